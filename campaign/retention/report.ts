/** What the campaign over retention prints and writes. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CampaignError } from '../errors';
import { ROOT } from '../host';
import { type CaseName, CASES } from './cases';

/** What came of one kill. */
export interface RetentionOutcome {
  readonly case: CaseName;
  readonly kind: 'call' | 'random';
  readonly what: string;
  readonly ended: string;
  readonly failures: readonly string[];
  /** The call did not come, so nothing was killed: it does not count. */
  readonly missed: boolean;
}

export interface RetentionRow {
  readonly case: CaseName;
  readonly date: string;
  readonly calls: number;
  readonly struck: number;
  readonly random: number;
  readonly failed: number;
  readonly minutes: number;
}

export interface RetentionResult {
  readonly seed: number;
  readonly rows: readonly RetentionRow[];
  readonly failures: readonly RetentionOutcome[];
}

export function lineOf({ case: name, what, ended, failures, missed }: RetentionOutcome, number: number): string {
  const head = `${failures.length > 0 ? 'FAIL' : missed ? 'miss' : 'ok  '} ${String(number).padStart(4)}  ${name}: ${what}; ended ${ended}`;
  return [head, ...failures.map((failure) => `            ! ${failure}`)].join('\n');
}

export function rowOf(name: CaseName, date: string, calls: number, outcomes: readonly RetentionOutcome[], minutes: number): RetentionRow {
  const counted = outcomes.filter(({ missed }) => !missed);
  return {
    case: name,
    date,
    calls,
    struck: counted.filter(({ kind }) => kind === 'call').length,
    random: counted.filter(({ kind }) => kind === 'random').length,
    failed: outcomes.filter(({ failures }) => failures.length > 0).length,
    minutes: Number(minutes.toFixed(1)),
  };
}

/** Cases that were not run stay as they were. */
export function merged(before: RetentionResult, now: RetentionResult): RetentionResult {
  const ran = new Set(now.rows.map((row) => row.case));
  return {
    seed: now.seed,
    rows: [...before.rows.filter((row) => !ran.has(row.case)), ...now.rows].sort((a, b) => CASES.indexOf(a.case) - CASES.indexOf(b.case)),
    failures: [...before.failures.filter((one) => !ran.has(one.case)), ...now.failures],
  };
}

const HEADS = ['Command', 'Mutating calls', 'Struck', 'At random times', 'Failed', 'Minutes'];

export function tableOf(rows: readonly RetentionRow[]): string {
  const lines = rows.map((row) => [row.case, row.calls, row.struck, row.random, row.failed, row.minutes]);
  return [HEADS, HEADS.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

const BEGIN = '<!-- begin retention: written by `npm run campaign -- table` -->';
const END = '<!-- end retention -->';

/** Writes the table of docs/reliability.md from campaign/results/retention.json. */
export function writeRetentionPage(): void {
  const file = join(ROOT, 'campaign/results/retention.json');
  if (!existsSync(file)) return;
  const { rows } = JSON.parse(readFileSync(file, 'utf8')) as RetentionResult;
  const page = join(ROOT, 'docs/reliability.md');
  const old = readFileSync(page, 'utf8');
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) throw new CampaignError(`${page} lacks the lines ${BEGIN} and ${END}: put them where the table belongs`);
  const sum = (of: 'struck' | 'random' | 'failed'): number => rows.reduce((total, row) => total + row[of], 0);
  const dates = [...new Set(rows.map(({ date }) => date))].sort().join(', ');
  const head = `${dates}: ${sum('struck')} kills at calls and ${sum('random')} at random times, ${sum('failed')} failed.`;
  writeFileSync(page, `${old.slice(0, from)}${BEGIN}\n\n${head}\n\n${tableOf(rows)}\n\n${old.slice(to)}`);
}
