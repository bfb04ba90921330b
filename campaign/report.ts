/** What the campaign prints and writes. Pure. */
import type { Call } from './calls';
import { KINDS, RECOVERIES, type Recovery } from './fault';
import type { Outcome } from './runner';

/** One line per fault. */
export function line(outcome: Outcome, number: number, of: number): string {
  const generations = `${outcome.before} → ${outcome.struck} → ${outcome.after}`;
  const alone = outcome.aloneSeconds > 0 ? ` after ${outcome.aloneSeconds.toFixed(1)} s` : '';
  const down = outcome.downSeconds > 0 ? `, away ${outcome.downSeconds.toFixed(1)} s by the fault itself` : '';
  const head = `${outcome.failures.length > 0 ? 'FAIL' : outcome.missed ? 'miss' : 'ok  '} ${String(number).padStart(3)}/${of}  ${outcome.kind}: ${outcome.what}`;
  const tail = `generation ${generations}; ${outcome.samples} samples, ${outcome.bad.length} bad${down}; ${outcome.recovery}${alone}`;
  return [`${head}\n       ${tail}`, ...outcome.failures.map((failure) => `       ! ${failure}`)].join('\n');
}

/** One row of the summary. */
export interface Row {
  readonly kind: string;
  readonly faults: number;
  readonly failed: number;
  readonly samples: number;
  readonly bad: number;
  /** Seconds that the fault itself took the server away, at most. */
  readonly away: number;
  readonly recoveries: Readonly<Partial<Record<Recovery, number>>>;
  /** Seconds until the server was at rest by itself, at most. */
  readonly alone: number;
  readonly slowestMs: number;
}

const sumOf = <T>(all: readonly T[], value: (one: T) => number): number => all.reduce((sum, one) => sum + value(one), 0);

/** How many faults a summary counts, and how many failed, with what was left behind at the end. */
export function totals(summary: readonly Row[], left: readonly string[]): Pick<Result, 'faults' | 'failed'> {
  return { faults: sumOf(summary, (row) => row.faults), failed: sumOf(summary, (row) => row.failed) + left.length };
}

/** Outcomes by kind, in the order in which they came. What missed does not count. */
export function rows(outcomes: readonly Outcome[]): Row[] {
  const counted = outcomes.filter((outcome) => !outcome.missed || outcome.failures.length > 0);
  const kinds = [...new Set(counted.map((outcome) => outcome.kind))];
  return kinds.map((kind) => {
    const of = counted.filter((outcome) => outcome.kind === kind);
    const most = (value: (outcome: Outcome) => number): number => Math.max(...of.map(value));
    const recoveries: Partial<Record<Recovery, number>> = {};
    for (const { recovery } of of) recoveries[recovery] = (recoveries[recovery] ?? 0) + 1;
    return {
      kind,
      faults: of.length,
      failed: sumOf(of, (outcome) => (outcome.failures.length > 0 ? 1 : 0)),
      samples: sumOf(of, (outcome) => outcome.samples),
      bad: sumOf(of, (outcome) => outcome.bad.length),
      away: most((outcome) => outcome.downSeconds),
      recoveries,
      alone: most((outcome) => outcome.aloneSeconds),
      slowestMs: most((outcome) => outcome.slowestMs),
    };
  });
}

/** The summary as a table of Markdown, which a terminal shows well enough. */
export function table(all: readonly Row[]): string {
  const total = (value: (row: Row) => number): number => sumOf(all, value);
  const cells = all.map((row) => [
    row.kind,
    row.faults,
    row.failed,
    row.samples,
    row.bad,
    row.away === 0 ? '' : `${row.away.toFixed(1)} s`,
    ...RECOVERIES.map((recovery) => row.recoveries[recovery] ?? ''),
    row.alone === 0 ? '' : `${row.alone.toFixed(1)} s`,
  ]);
  const last = [
    '**all**',
    total((r) => r.faults),
    total((r) => r.failed),
    total((r) => r.samples),
    total((r) => r.bad),
    '',
    ...RECOVERIES.map((recovery) => total((r) => r.recoveries[recovery] ?? 0)),
    '',
  ];
  const heads = [
    'Kind',
    'Faults',
    'Failed',
    'Samples',
    'Bad',
    'Away',
    ...RECOVERIES.map((r) => `${r[0]?.toUpperCase()}${r.slice(1)}`),
    'At rest alone after',
  ];
  return [heads, heads.map(() => '---'), ...cells, last].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** How many mutating calls there are, and how many of them were struck, by command and phase. */
export interface Coverage {
  readonly command: string;
  readonly phase: string;
  readonly calls: number;
  readonly struck: number;
}

export function coverage(recordings: Readonly<Record<string, readonly Call[]>>, outcomes: readonly Outcome[]): Coverage[] {
  return Object.entries(recordings).flatMap(([command, calls]) =>
    [...new Set(calls.map((call) => call.phase))].map((phase) => ({
      command,
      phase,
      calls: calls.filter((call) => call.phase === phase).length,
      struck: outcomes.filter((o) => o.kind === `kill ${command}` && !o.missed && o.what.startsWith(`${command}, ${phase},`)).length,
    })),
  );
}

export function coverageTable(all: readonly Coverage[]): string {
  const cells = all.map(({ command, phase, calls, struck }) => `| ${command} | ${phase} | ${calls} | ${struck} |`);
  return ['| Command | Phase | Mutating calls | Struck by SIGKILL |', '|---|---|---|---|', ...cells].join('\n');
}

/** A campaign as a whole. */
export interface Result {
  readonly date: string;
  readonly seed: number;
  readonly minutes: number;
  readonly faults: number;
  readonly failed: number;
  readonly summary: readonly Row[];
  readonly struck: readonly Coverage[];
}

/** As it is written to the file. */
export interface WholeResult extends Result {
  readonly left: readonly string[];
  readonly outcomes: readonly Outcome[];
}

/** A result with the kinds that only an earlier one has. */
export function merged(before: WholeResult, now: WholeResult): WholeResult {
  const kinds = new Set(now.outcomes.map((outcome) => outcome.kind));
  const kept = before.outcomes.filter((outcome) => !kinds.has(outcome.kind));
  const place = ({ kind }: Outcome): number => (KINDS as readonly string[]).indexOf(kind);
  const outcomes = [...kept, ...now.outcomes].sort((a, b) => place(a) - place(b));
  const summary = rows(outcomes);
  const struck = now.struck.map((row) => {
    const old = before.struck.find(({ command, phase }) => command === row.command && phase === row.phase);
    return kinds.has(`kill ${row.command}`) || old === undefined ? row : old;
  });
  const minutes = Number((now.minutes + sumOf(kept, ({ seconds }) => seconds / 60)).toFixed(1));
  return {
    ...now,
    minutes,
    outcomes,
    summary,
    struck,
    ...totals(summary, now.left),
  };
}
