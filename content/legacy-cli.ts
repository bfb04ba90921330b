/** The command `mirrorctl legacy`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { LEGACY_LOG } from '../desired-state/render/alias';
import { opened, print, printJson } from './cli';
import type { LegacyLogs } from './legacy';

const EXAMPLES = `
Each LegacyAlias keeps old URLs answering. nginx logs who uses them, and logrotate removes that after 14 days: addresses of clients are personal.
Root alone reads the log: sudo mirrorctl legacy.

Examples:
  mirrorctl legacy              who used which old URL in the last 14 days, most requests first
  mirrorctl legacy --days 1     since yesterday
  mirrorctl legacy --json       with first and last use, for programs`;

const DAY = 24 * 60 * 60 * 1000;

/**
 * Adds the command to the program.
 *
 * @param logs what was opened before root's rights were given up
 */
export function addLegacyCommand(root: Command, logs: () => LegacyLogs): void {
  root
    .command('legacy')
    .description('who still uses old URLs')
    .addOption(new Option('--days <number>', 'look so many days back').default(14).argParser(wholeDays))
    .addOption(new Option('--log <file>', 'the log to read, and what was rotated beside it').default(LEGACY_LOG))
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(async ({ days, json }: { days: number; json: boolean }) => {
      const { legacyLines, legacyUses } = await import('./legacy');
      const { definitions } = await opened(root);
      const uses = await legacyUses(logs(), definitions.aliases, new Date(Date.now() - days * DAY));
      if (json) printJson({ days, uses });
      else for (const line of legacyLines(uses, days)) print(line);
    });
}

function wholeDays(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a whole number of days, at most 9999.');
}
