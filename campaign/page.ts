/** Writes the tables between the two marks of docs/campaigns.md. Text outside the marks is kept. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CampaignError } from './errors';
import { ROOT } from './host';
import { coverageTable, merged, table, type Result, type WholeResult } from './report';

const BEGIN = '<!-- begin: written by `npm run campaign -- table` -->';
const END = '<!-- end -->';

const FILE = join(ROOT, 'campaign/results/deploy.json');

/** Writes the result, with the kinds of earlier ones that it does not have, and the page. */
export function writeResult(result: WholeResult): void {
  mkdirSync(dirname(FILE), { recursive: true });
  const before = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as WholeResult) : undefined;
  writeFileSync(FILE, `${JSON.stringify(before === undefined ? result : merged(before, result), null, 1)}\n`);
  writePage();
}

/** The part of the page that is written. Pure. */
export function written(result: Result): string {
  const head = `${result.date}, seed ${result.seed}: ${result.faults} faults in ${result.minutes} minutes, ${result.failed} failed.`;
  return `${BEGIN}\n\n${head}\n\n${table(result.summary)}\n\n${coverageTable(result.struck)}\n\n${END}`;
}

export function writePage(): void {
  const page = join(ROOT, 'docs/campaigns.md');
  const result = JSON.parse(readFileSync(FILE, 'utf8')) as Result;
  const old = readFileSync(page, 'utf8');
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) throw new CampaignError(`${page} lacks the lines ${BEGIN} and ${END}: put them where the tables belong`);
  writeFileSync(page, old.slice(0, from) + written(result) + old.slice(to + END.length));
}
