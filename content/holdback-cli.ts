import { type Command, Option } from 'commander';
import { ExitCode } from '../desired-state/errors';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, requireReason, sayWhenInterrupted, usage, warn, wholeSeconds, withSigner } from './cli';

const EXAMPLES = `
A package in holdback is an older one of the distribution, in the place of a newer one that is broken. The client files give holdback the best priority, so it wins
while it is there. It must be signed by a key of the owner, or by one that is declared for it: holdbackKeys of the codename.

Examples:
  mirrorctl holdback list                                                  what is held back, since when, why, and instead of what
  mirrorctl holdback add mos9.0-centos7 ./openssl-1.0.2k-21.el7.x86_64.rpm --reason 'bug 123: 1.0.2k-26 breaks keystone'
  mirrorctl holdback add mos9.0-centos7 --from centos-7-updates openssl-1.0.2k-21.el7.x86_64 --reason 'bug 123'
  mirrorctl holdback remove mos9.0-centos7 openssl --reason '1.0.2k-27 works'`;

const ADD_EXAMPLES = `
With --from the packages are named as rpm -q does, or by their name alone, and their bytes are already here; of a copy the snapshots that are still here are
looked at, too. Exit code 3 or 6: one of the packages was refused, and nothing changed.

Examples:
  mirrorctl holdback add mos9.0-centos7 ./a-1-1.noarch.rpm --reason 'bug 7: version 2 loses messages'
  mirrorctl holdback add acme/mos9.0-centos7 --from epel-7 a-1-1.noarch --reason 'bug 7: version 2 loses messages'`;

const REMOVE_EXAMPLES = `
What was held back stays in the history: mirrorctl holdback list --history.

Examples:
  mirrorctl holdback remove mos9.0-centos7 a-1-1.noarch
  mirrorctl holdback remove acme/mos9.0-centos7 a --reason 'version 3 is good'`;

const LIST_EXAMPLES = `
Examples:
  mirrorctl holdback list
  mirrorctl holdback list acme/mos9.0-centos7 --history
  mirrorctl holdback list --json    always with the history, for programs`;

const NAME = 'acme/mos9.0-centos7, or mos9.0-centos7 of the product';

/** @param keys those that the program opened while it was still root */
export function addHoldbackCommands(root: Command, keys: () => KeySource): void {
  const holdback = root
    .command('holdback')
    .description('hold a broken package of the distribution back by an older one, for a time and a reason')
    .addHelpText('after', EXAMPLES);
  const wait = (): Option =>
    new Option('--wait <seconds>', 'wait so long for whoever publishes there').default(600).argParser(wholeSeconds);
  holdback
    .command('add')
    .description('publish older packages in holdback')
    .argument('<codename>', NAME)
    .argument('<what...>', 'package files, or directories with some; with --from, packages')
    .requiredOption('--reason <text>', 'why; it is kept, and shown to everybody who asks')
    .option('--from <id>', 'a copied repository or a component of this mirror that has the packages')
    .option('--allow-downgrade', 'also what is older than the newest that is held back', false)
    .addOption(wait())
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', ADD_EXAMPLES)
    .action(
      async (
        name: string,
        what: string[],
        options: { reason: string; from?: string; allowDowngrade: boolean; wait: number; json: boolean },
      ) => {
        sayWhenInterrupted();
        const reason = requireReason(options.reason);
        const { layout, definitions, declared } = await opened(root);
        const { codenameNamed } = await import('./component-name');
        const { holdBack } = await import('./holdback');
        const codename = codenameNamed(definitions, name);
        await withSigner(keys(), layout, async (signer) => {
          const context = { layout, definitions, declared, signer, now: () => new Date(), say: warn, waitSeconds: options.wait };
          const { from, allowDowngrade } = options;
          const outcome = await holdBack(context, codename, { what, from, reason, allowDowngrade });
          if (options.json) printJson(outcome);
          for (const file of outcome.files) {
            if (file.result === 'refused') warn(`mirrorctl: ${file.package ?? file.file}: ${file.message}\n  ${file.remedy}`);
            else if (options.json) continue;
            else if (file.result === 'published') print(`${file.package}: is held back in ${codename.id}`);
            else print(`${file.package}: ${file.message}`);
          }
          process.exitCode = outcome.files.find(({ result }) => result === 'refused')?.exitCode ?? ExitCode.ok;
        });
      },
    );

  holdback
    .command('remove')
    .description('take packages out of holdback: the newer ones win again')
    .argument('<codename>', NAME)
    .argument('<packages...>', 'names, or name-version-release.arch')
    .option('--reason <text>', 'why not any more; it is kept')
    .addOption(wait())
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', REMOVE_EXAMPLES)
    .action(async (name: string, packages: string[], options: { reason?: string; wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const reason = options.reason === undefined ? undefined : requireReason(options.reason);
      const { layout, definitions, declared } = await opened(root);
      const { codenameNamed } = await import('./component-name');
      const { letGo } = await import('./holdback');
      const codename = codenameNamed(definitions, name);
      await withSigner(keys(), layout, async (signer) => {
        const context = { layout, definitions, declared, signer, now: () => new Date(), say: warn, waitSeconds: options.wait };
        const outcome = await letGo(context, codename, packages, reason);
        if (options.json) return printJson({ codename: codename.id, ...outcome });
        for (const item of outcome.removed) print(`${item}: is not held back any more in ${codename.id}`);
        for (const { name: one, removedAt } of outcome.done) print(`${one}: is not held back since ${removedAt.slice(0, 10)} already`);
      });
    });

  holdback
    .command('list')
    .description('what is held back, since when, why, and instead of what')
    .argument('[codenames...]', 'all that are declared when none is given')
    .option('--history', 'also what was held back before', false)
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', LIST_EXAMPLES)
    .action(async (names: string[], { history, json }: { history: boolean; json: boolean }) => {
      if (json && history) throw usage('--json has the history always', 'Leave --history out.');
      const { layout, definitions } = await opened(root);
      const { codenameNamed } = await import('./component-name');
      const { holdbackLines, holdbacks } = await import('./holdback');
      const codenames = names.length === 0 ? definitions.codenames : names.map((name) => codenameNamed(definitions, name));
      const found = await holdbacks(layout, definitions, codenames);
      if (json) printJson(found);
      else for (const line of holdbackLines(found, history)) print(line);
    });
}
