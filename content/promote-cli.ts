import { type Command, Option } from 'commander';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, sayWhenInterrupted, usage, warn, wholeSeconds, withSigner } from './cli';

const EXAMPLES = `
What is promoted is published in the one component, then it leaves the other. The rules of "mirrorctl publish" hold: nothing older than the newest that is there, and
never another content under the same name and version. One package that is refused holds up all of the call. A run that was interrupted is finished by the same
command. os is closed since general availability; security fixes need no promotion, they are published to security.

Examples:
  mirrorctl promote mos9.0-centos7 keystone              every keystone that is in cr, to updates
  mirrorctl promote acme/mos9.0-centos7 nova-2-1.noarch  this version
  mirrorctl promote mos9.0-centos7 --all --dry-run       what would become of all of cr
  mirrorctl promote mos9.0-centos7 nova --to security    a fix that turned out to be one of security
Exit code 3: something was refused, and nothing changed.`;

export function addPromoteCommand(root: Command, keys: () => KeySource): void {
  root
    .command('promote')
    .description('move proposed packages of a codename from cr to updates')
    .argument('<codename>', 'acme/mos9.0-centos7, or mos9.0-centos7 of the product')
    .argument('[packages...]', 'names, or name-version-release.arch')
    .option('--all', 'everything that is there', false)
    .option('--from <component>', 'where they are', 'cr')
    .option('--to <component>', 'where they go', 'updates')
    .option('--allow-downgrade', 'also what is older than the newest that is there', false)
    .option('--dry-run', 'say what would be done, and do nothing', false)
    .addOption(new Option('--wait <seconds>', 'wait so long for whoever publishes there').default(600).argParser(wholeSeconds))
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(
      async (
        name: string,
        packages: string[],
        options: { all: boolean; from: string; to: string; allowDowngrade: boolean; dryRun: boolean; wait: number; json: boolean },
      ) => {
        if (packages.length > 0 === options.all)
          throw usage('mirrorctl promote wants packages, or --all', 'mirrorctl promote --help has examples.');
        sayWhenInterrupted();
        const { layout, definitions, declared } = await opened(root);
        const { codenameNamed } = await import('./component-name');
        const { promote, promoteLines } = await import('./promote');
        const codename = codenameNamed(definitions, name);
        await withSigner(keys(), layout, async (signer) => {
          const context = { layout, definitions, declared, signer, now: () => new Date(), say: warn, waitSeconds: options.wait };
          const outcome = await promote(context, codename, { ...options, packages });
          if (options.json) printJson(outcome);
          else if (outcome.refused.length === 0) for (const line of promoteLines(outcome)) print(line);
          for (const { package: item, message, remedy } of outcome.refused) warn(`mirrorctl: ${item}: ${message}\n  ${remedy}`);
          process.exitCode = outcome.exitCode;
        });
      },
    );
}
