/** Writes the tables between the two marks of docs/campaigns.md. Text outside the marks is kept. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CampaignError } from './errors';
import { ROOT } from './host';
import { coverageTable, table, type Coverage, type Row } from './report';

const BEGIN = '<!-- begin: written by `npm run campaign -- table` -->';
const END = '<!-- end -->';

interface Result {
  readonly date: string;
  readonly seed: number;
  readonly minutes: number;
  readonly faults: number;
  readonly failed: number;
  readonly summary: readonly Row[];
  readonly struck: readonly Coverage[];
}

/** The part of the page that is written. Pure. */
export function written(result: Result): string {
  const head = `${result.date}, seed ${result.seed}: ${result.faults} faults in ${result.minutes} minutes, ${result.failed} failed.`;
  return `${BEGIN}\n\n${head}\n\n${table(result.summary)}\n\n${coverageTable(result.struck)}\n\n${END}`;
}

export function writePage(): void {
  const page = join(ROOT, 'docs/campaigns.md');
  const result = JSON.parse(readFileSync(join(ROOT, 'campaign/results/deploy.json'), 'utf8')) as Result;
  const old = readFileSync(page, 'utf8');
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) throw new CampaignError(`${page} lacks the lines ${BEGIN} and ${END}: put them where the tables belong`);
  writeFileSync(page, old.slice(0, from) + written(result) + old.slice(to + END.length));
}
