/** What the campaign over sync prints and writes. Pure. */
import type { Sightings } from './clients';
import type { Outcome, Part } from './judge';
import { PARTS } from './judge';
import type { Coverage } from './kills';
import type { View } from './mirror';
import type { Polled } from './polling';

/** One line per fault. */
export function line(outcome: Outcome, number: number): string {
  const { part, view, what, after, ended, failures, missed } = outcome;
  const head = `${failures.length > 0 ? 'FAIL' : missed ? 'miss' : 'ok  '} ${String(number).padStart(4)}  ${part}, ${view}: ${what}`;
  return [`${head}\n            ended ${ended}; ${after} is published`, ...failures.map((failure) => `            ! ${failure}`)].join(
    '\n',
  );
}

/** One row of the summary: the faults of a part, on a view. */
export interface Row {
  readonly part: Part;
  readonly view: View;
  readonly date: string;
  readonly faults: number;
  readonly failed: number;
  /** Strikes that hit nothing; they do not count as faults. */
  readonly missed: number;
  /** After how many faults the old content was published, the new one, or (before the first publish) nothing. */
  readonly old: number;
  readonly new: number;
  readonly nothing: number;
  readonly minutes: number;
  /** What clients saw meanwhile, where they polled. */
  readonly seen?: Sightings;
}

export function rowOf(part: Part, view: View, date: string, outcomes: readonly Outcome[], minutes: number, seen?: Sightings): Row {
  const counted = outcomes.filter((outcome) => !outcome.missed || outcome.failures.length > 0);
  const published = (what: string): number => counted.filter(({ after }) => after === what).length;
  return {
    part,
    view,
    date,
    faults: counted.length,
    failed: counted.filter(({ failures }) => failures.length > 0).length,
    missed: outcomes.length - counted.length,
    old: published('old'),
    new: published('new'),
    nothing: published('nothing'),
    minutes: Number(minutes.toFixed(1)),
    ...(seen === undefined
      ? {}
      : { seen: { ...seen, mismatchMs: [...seen.mismatchMs].sort((a, b) => a - b).map((ms) => Number(ms.toFixed(1))) } }),
  };
}

/** A campaign, or what is known of several. */
export interface SyncResult {
  readonly seed: number;
  readonly rows: readonly Row[];
  readonly coverage: readonly Coverage[];
  readonly polled: readonly Polled[];
  readonly failures: readonly Outcome[];
}

/** Parts that were not run stay as they were. */
export function merged(before: SyncResult, now: SyncResult): SyncResult {
  const ran = new Set(now.rows.map(({ part, view }) => `${part} ${view}`));
  const kept = <T>(all: readonly T[], keyOf: (one: T) => string): T[] => all.filter((one) => !ran.has(keyOf(one)));
  const order = (a: Row, b: Row): number => PARTS.indexOf(a.part) - PARTS.indexOf(b.part) || b.view.localeCompare(a.view);
  return {
    seed: now.seed,
    rows: [...kept(before.rows, ({ part, view }) => `${part} ${view}`), ...now.rows].sort(order),
    coverage: [...kept(before.coverage, ({ view }) => `kills ${view}`), ...now.coverage],
    polled: [...kept(before.polled, ({ view }) => `polling ${view}`), ...now.polled],
    failures: [...kept(before.failures, ({ part, view }) => `${part} ${view}`), ...now.failures],
  };
}

const markdown = (heads: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [heads, heads.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

const NAMES: Readonly<Record<Part, string>> = {
  kills: 'SIGKILL at each mutating call',
  random: 'SIGKILL at random times',
  power: 'power losses',
  disk: 'full disks, I/O errors',
  polling: 'publishes under polling',
};

/** Faults by part and view. */
export function table(rows: readonly Row[]): string {
  return markdown(
    ['Fault', 'View', 'Faults', 'Failed', 'Old stays', 'New', 'Nothing yet', 'Requests meanwhile', '404', 'Wrong checksum', 'Minutes'],
    rows.map(({ part, view, faults, failed, old, new: fresh, nothing, seen, minutes }) => [
      NAMES[part],
      view,
      faults,
      failed,
      old,
      fresh,
      nothing,
      ...(seen === undefined ? ['', '', ''] : [seen.requests, seen.notFound, seen.checksumErrors + seen.broken]),
      minutes,
    ]),
  );
}

export function coverageTable(coverage: readonly Coverage[]): string {
  return markdown(
    ['Scenario', 'View', 'By', 'Mutating calls', 'Struck'],
    coverage.map(({ scenario, view, by, calls, struck }) => [scenario, view, by, calls, struck]),
  );
}

/** The value below which so many percent lie. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? 0;
}

/** What polling clients saw, of us and of `dnf reposync`. */
export function pollingTable(polled: readonly Polled[]): string {
  const heads = [
    '',
    'View',
    'Publishes',
    'Requests',
    'Of them with metadata older than 24 h',
    '404 with fresh metadata',
    '404 with older metadata',
    'Wrong checksum',
    'Looks',
    'Index and signature of two publishes',
    'of all looks',
    'Median, longest until they match',
  ];
  return markdown(
    heads,
    polled.map(({ what, view, publishes, seen }) => {
      const times = [...seen.mismatchMs].sort((a, b) => a - b);
      return [
        what,
        what === 'mirrorctl' ? view : '',
        publishes,
        seen.requests,
        (seen.ages['48'] ?? 0) + (seen.ages['49'] ?? 0),
        seen.notFoundFresh,
        seen.notFound - seen.notFoundFresh,
        seen.checksumErrors + seen.broken,
        seen.looks,
        ...(what === 'mirrorctl'
          ? [seen.mismatches, `${((100 * seen.mismatches) / Math.max(1, seen.looks)).toFixed(2)} %`]
          : ['no signatures', '']),
        times.length === 0 ? '' : `${percentile(times, 50).toFixed(0)} ms, ${percentile(times, 100).toFixed(0)} ms`,
      ];
    }),
  );
}
