import type { Command } from 'commander';
import { Option } from 'commander';
import { opened, print, printJson, requireReason, warn, wholeSeconds } from './cli';

const EXAMPLES = `
At general availability the component os of a codename is frozen: publishing and promoting there is refused from then on. What comes after goes to cr and, promoted,
to updates; security fixes go to security. The freeze is kept on the server whatever is declared, and is in backups.

Examples:
  mirrorctl ga list                                                   which codenames are generally available, since when
  mirrorctl ga freeze mos9.0-centos7                                  the product's; a customer's is acme/mos9.0-centos7
  mirrorctl ga thaw mos9.0-centos7 --reason 'declared a day too early'  publish to os again`;

const NAME = 'acme/mos9.0-centos7, or mos9.0-centos7 of the product';

export function addAvailabilityCommands(root: Command): void {
  const ga = root
    .command('ga')
    .description('general availability: freeze os of a codename, see which are frozen')
    .addHelpText('after', EXAMPLES);
  ga.command('freeze')
    .description('freeze os as it is now; nothing is published or promoted there any more')
    .argument('<codename>', NAME)
    .addOption(new Option('--wait <seconds>', 'wait so long for whoever publishes to os').default(600).argParser(wholeSeconds))
    .option('--json', 'print one JSON document on standard output', false)
    .action(async (name: string, { wait, json }: { wait: number; json: boolean }) => {
      const { layout, definitions } = await opened(root);
      const { codenameNamed } = await import('./component-name');
      const { freezeAtAvailability } = await import('./general-availability');
      const { waitingFor } = await import('./lock');
      const codename = codenameNamed(definitions, name);
      const { frozen, changed } = await freezeAtAvailability(
        layout,
        definitions,
        codename,
        new Date(),
        waitingFor({ waitSeconds: wait, say: warn }),
      );
      if (json) printJson({ codename: codename.id, frozen, changed });
      else
        print(
          `${codename.id}/os ${changed ? 'is frozen' : `was frozen on ${frozen.at.slice(0, 10)} already`}: ${frozen.packages} ${frozen.packages === 1 ? 'package' : 'packages'}, snapshot ${frozen.snapshot}`,
        );
    });
  ga.command('thaw')
    .description('undo a freeze: os can be published to again')
    .argument('<codename>', NAME)
    .requiredOption('--reason <text>', 'why; it is kept')
    .option('--json', 'print one JSON document on standard output', false)
    .action(async (name: string, { reason, json }: { reason: string; json: boolean }) => {
      const { layout, definitions } = await opened(root);
      const { codenameNamed } = await import('./component-name');
      const { thaw } = await import('./general-availability');
      const { id } = codenameNamed(definitions, name);
      const undone = await thaw(layout, id, requireReason(reason), new Date());
      if (json) printJson({ codename: id, undone });
      else print(`${id}/os is open again; it was frozen on ${undone.at.slice(0, 10)}`);
    });
  ga.command('list')
    .description('which codenames are frozen, since when, and which freezes were undone')
    .option('--json', 'print one JSON document on standard output', false)
    .action(async ({ json }: { json: boolean }) => {
      const { layout, definitions } = await opened(root);
      const { availabilities, availabilityLines } = await import('./general-availability');
      const rows = await availabilities(layout, definitions);
      if (json) printJson({ codenames: rows });
      else for (const line of availabilityLines(rows)) print(line);
    });
}
