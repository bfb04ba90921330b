import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SUBJECTS } from '../rows';
import { ROOT } from './engine';
import { failed, type Proof } from './guards';
import { ATTACKS } from './row';

const BEGIN = '<!-- begin: written by `npm run guards -- --write` -->';
const END = '<!-- end of guards -->';
const FILE = join(ROOT, 'campaign/results/guards.json');
const PAGE = join(ROOT, 'docs/reliability.md');

interface Result {
  readonly date: string;
  readonly upstreams: number;
  readonly guards: number;
  readonly failed: number;
  readonly proofs: readonly Proof[];
}

/** Writes what was proven, with what earlier runs proved of the rows that this one did not run, and the section of the page. */
export function writeResult(proofs: readonly Proof[]): void {
  const keyOf = ({ subject, row }: Pick<Proof, 'subject' | 'row'>): string => `${subject}: ${row}`;
  const before = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Result).proofs : [];
  const known = new Map([...before, ...proofs].map((proof) => [keyOf(proof), proof]));
  const all = Object.entries(SUBJECTS).flatMap(([subject, rows]) =>
    rows.flatMap(({ name }) => known.get(keyOf({ subject, row: name })) ?? []),
  );
  const result: Result = {
    date: new Date().toISOString().slice(0, 10),
    upstreams: all.length,
    guards: new Set(all.map(({ file, code, without }) => `${file}\n${code}\n${without}`)).size,
    failed: all.filter(failed).length,
    proofs: all,
  };
  mkdirSync(dirname(FILE), { recursive: true });
  writeFileSync(FILE, `${JSON.stringify(result, undefined, 1)}\n`);
  const old = readFileSync(PAGE, 'utf8');
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the lines ${BEGIN} and ${END}: put them where the table belongs`);
  writeFileSync(PAGE, old.slice(0, from) + written(result) + old.slice(to));
}

/** The part of the page that is written. Pure. */
function written({ date, upstreams, guards, failed: bad, proofs }: Result): string {
  const accepted = proofs.filter(({ withoutGuard }) => withoutGuard?.startsWith('it ended with 0') === true).length;
  const rowsOf = (attack: string | undefined): readonly Proof[] => proofs.filter((proof) => proof.attack === attack);
  const line = (name: string, rows: readonly Proof[]): string =>
    `| ${name} | ${rows.length} | ${rows.map(({ row }) => cell(row)).join('; ')} |`;
  return [
    BEGIN,
    `${date}: ${upstreams} hostile upstreams, ${guards} guards removed one at a time, ${bad} without a red row. Without its guard, ${accepted} were taken or passed over in silence; in the others something else stood in the way, and said something else.`,
    [
      '| Attack | Rows | |',
      '|---|---|---|',
      ...ATTACKS.map((attack) => line(attack, rowsOf(attack))),
      line('(damage, and what must be survived)', rowsOf(undefined)),
    ].join('\n'),
    '',
  ].join('\n\n');
}

function cell(text: string): string {
  return text.replace(/[|<>*_`\\]/g, '\\$&');
}
