/** Writes campaign/results/sync.json, and from it the tables of docs/reliability.md. Text outside the marks is kept. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CampaignError } from '../errors';
import { ROOT } from '../host';
import { coverageTable, merged, pollingTable, table, type SyncResult } from './report';

const BEGIN = '<!-- begin: written by `npm run campaign -- table` -->';
const END = '<!-- end -->';
const FILE = join(ROOT, 'campaign/results/sync.json');

/** Writes the result, with the parts of earlier ones that it does not have, and the page. */
export function writeSyncResult(result: SyncResult): void {
  const before = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as SyncResult) : undefined;
  writeFileSync(FILE, `${JSON.stringify(before === undefined ? result : merged(before, result), null, 1)}\n`);
  writeSyncPage();
}

/** The part of the page that is written. Pure. */
export function written({ rows, coverage, polled }: SyncResult): string {
  const sum = (of: 'faults' | 'failed'): number => rows.reduce((total, row) => total + row[of], 0);
  const dates = [...new Set(rows.map(({ date }) => date))].sort().join(', ');
  const head = `${dates}: ${sum('faults')} faults and publishes, ${sum('failed')} failed.`;
  return [
    BEGIN,
    head,
    table(rows),
    'Mutating calls, and how many of them were struck:',
    coverageTable(coverage),
    'Clients that poll:',
    pollingTable(polled),
    END,
  ].join('\n\n');
}

export function writeSyncPage(): void {
  if (!existsSync(FILE)) return;
  const page = join(ROOT, 'docs/reliability.md');
  const old = readFileSync(page, 'utf8');
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) throw new CampaignError(`${page} lacks the lines ${BEGIN} and ${END}: put them where the tables belong`);
  writeFileSync(page, old.slice(0, from) + written(JSON.parse(readFileSync(FILE, 'utf8')) as SyncResult) + old.slice(to + END.length));
}
