/** What the campaigns over retention and over publishing print and write. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CampaignError } from '../errors';
import { ROOT } from '../host';
import { type CaseName, CASES } from './cases';
import { PUBLISH_CASES, type PublishCaseName } from '../publish/cases';

/** What came of one kill. */
export interface RetentionOutcome {
  readonly case: CaseName | PublishCaseName;
  readonly kind: 'call' | 'random';
  readonly what: string;
  readonly ended: string;
  readonly failures: readonly string[];
  /** The call did not come, so nothing was killed: it does not count. */
  readonly missed: boolean;
}

export interface RetentionRow {
  readonly case: CaseName | PublishCaseName;
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

export function rowOf(
  name: CaseName | PublishCaseName,
  date: string,
  calls: number,
  outcomes: readonly RetentionOutcome[],
  minutes: number,
): RetentionRow {
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

const ORDER: readonly (CaseName | PublishCaseName)[] = [...CASES, ...PUBLISH_CASES];

/** Cases that were not run stay as they were. */
export function merged(before: RetentionResult, now: RetentionResult): RetentionResult {
  const ran = new Set(now.rows.map((row) => row.case));
  return {
    seed: now.seed,
    rows: [...before.rows.filter((row) => !ran.has(row.case)), ...now.rows].sort((a, b) => ORDER.indexOf(a.case) - ORDER.indexOf(b.case)),
    failures: [...before.failures.filter((one) => !ran.has(one.case)), ...now.failures],
  };
}

const HEADS = ['Command', 'Mutating calls', 'Struck', 'At random times', 'Failed', 'Minutes'];

export function tableOf(rows: readonly RetentionRow[]): string {
  const lines = rows.map((row) => [row.case, row.calls, row.struck, row.random, row.failed, row.minutes]);
  return [HEADS, HEADS.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** Writes a table of docs/reliability.md from `campaign/results/<name>.json`. */
export function writeKillsPage(name: 'retention' | 'publish'): void {
  const file = join(ROOT, `campaign/results/${name}.json`);
  if (!existsSync(file)) return;
  const begin = `<!-- begin ${name}: written by \`npm run campaign -- table\` -->`;
  const end = `<!-- end ${name} -->`;
  const { rows } = JSON.parse(readFileSync(file, 'utf8')) as RetentionResult;
  const page = join(ROOT, 'docs/reliability.md');
  const old = readFileSync(page, 'utf8');
  const [from, to] = [old.indexOf(begin), old.indexOf(end)];
  if (from < 0 || to < from) throw new CampaignError(`${page} lacks the lines ${begin} and ${end}: put them where the table belongs`);
  const sum = (of: 'struck' | 'random' | 'failed'): number => rows.reduce((total, row) => total + row[of], 0);
  const dates = [...new Set(rows.map(({ date }) => date))].sort().join(', ');
  const head = `${dates}: ${sum('struck')} kills at calls and ${sum('random')} at random times, ${sum('failed')} failed.`;
  writeFileSync(page, `${old.slice(0, from)}${begin}\n\n${head}\n\n${tableOf(rows)}\n\n${old.slice(to)}`);
}
