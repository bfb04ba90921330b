/** The command `mirrorctl health`. */
import type { Command } from 'commander';
import { opened, print, printJson } from './cli';

const EXAMPLES = `
Exit code 7: something is wrong; each alert says what to do. mirror-health.timer runs it hourly, so that mirror-health.service has failed
while something is wrong, and mirrorctl status names the alerts. Disks, arrays, clock and units are looked at by mirror-machine.service.

Examples:
  mirrorctl health           room, growth, disks, arrays, clock, units, overdue syncs, scrub, backup
  mirrorctl health --json    the same for a monitoring system
  systemctl start mirror-health.service; mirrorctl health     look at disks and clock anew, too`;

/** Adds the command to the program. */
export function addHealthCommand(root: Command): void {
  root
    .command('health')
    .description('what is wrong with the machine and the mirror, or soon will be')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }: { json: boolean }) => {
      const { health, healthExitCode, healthLines } = await import('./health');
      const { layout, definitions } = await opened(root);
      const found = await health(layout, definitions, new Date());
      // systemd gives each line of a unit the priority that it begins with: 3 is an error.
      const inJournal = process.env.JOURNAL_STREAM !== undefined && process.stdout.isTTY !== true;
      if (json) printJson(found);
      else for (const { alert, text } of healthLines(found)) print(`${inJournal && alert ? '<3>' : ''}${text}`);
      process.exitCode = healthExitCode(found);
    });
}
