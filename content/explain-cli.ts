import type { Command } from 'commander';
import { opened, print, printJson } from './cli';

const EXAMPLES = `
Of a package: where each version of it comes from, since when it is here, what keeps it (upstream, a list, a pin, a release, a rule), and when it would be
gone at the earliest. A package is named as rpm -q does; what lists ask for and nothing here has is said, too.

Examples:
  mirrorctl explain                           everything that is here
  mirrorctl explain epel-7                    its rules and its snapshots
  mirrorctl explain bash                      each version of bash, in all that is copied and hosted
  mirrorctl explain bash-4.2.46-34.el7        one version
  mirrorctl explain epel-7:bash               of one repository
  mirrorctl explain bash --json               for programs`;

export function addExplainCommand(root: Command): void {
  root
    .command('explain')
    .description('say where something comes from, what keeps it, and when and why it goes')
    .argument('[what]', 'id, <id>@<snapshot>, <id>:<package>, or a package by name')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(async (what: string | undefined, options: { json: boolean }) => {
      const { explain } = await import('./explain');
      const { layout, definitions } = await opened(root);
      const explanations = await explain({ layout, definitions, now: () => new Date() }, what);
      if (options.json) printJson({ explanations });
      else for (const line of (await import('./explain-text')).explainedLines(explanations)) print(line);
    });
}
