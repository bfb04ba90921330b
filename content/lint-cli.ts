/** The command `mirrorctl lint`. */
import type { Command } from 'commander';
import { print, printJson, usage, warn } from './cli';

const EXAMPLES = `
Looks at repositories that others made, or that are served, by the scheme that docs/reference/mos-repositories.md describes: names, trees, keys,
signatures, metadata, packages, snapshots. It finds out by itself whether a prefix, a distribution, a codename, a component or one tree is meant.
Nothing is changed. --deep reads every package, too. --rules prints everything that it can find.

Exit code 3: there are errors. Warnings alone leave it at 0.

Examples:
  mirrorctl lint /srv/builds/mos7.0-centos6                                a codename in a directory
  mirrorctl lint http://mirror.example.org/mos-repos/centos --deep         a distribution on a web server, every byte
  mirrorctl lint build/os --json                                           one component, for programs
  mirrorctl lint --rules                                                   what can be found, and how it is put right`;

/** Adds the command to the program. */
export function addLintCommand(root: Command): void {
  root
    .command('lint')
    .description('compare repositories with the scheme, and say how what is wrong is put right')
    .argument('[place]', 'a directory, or a URL (http or https)')
    .option('--deep', 'read every package: checksums, signatures, headers', false)
    .option('--rules', 'print what can be found, and look at nothing', false)
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(async (place: string | undefined, { deep, rules, json }: { deep: boolean; rules: boolean; json: boolean }) => {
      if ((place === undefined) !== rules)
        throw usage('mirrorctl lint wants a directory or a URL, or --rules', 'mirrorctl lint --help has examples.');
      const { lintLines, ruleLines } = await import('./lint-text');
      const { LINT_RULES } = await import('../desired-state/lint-rules');
      if (place === undefined) {
        if (json) printJson({ rules: LINT_RULES });
        else for (const line of ruleLines()) print(line);
        return;
      }
      const { lint, lintExitCode } = await import('./lint');
      const outcome = await lint(place, { deep, say: warn });
      if (json) printJson(outcome);
      else for (const line of lintLines(outcome)) print(line);
      process.exitCode = lintExitCode(outcome);
    });
}
