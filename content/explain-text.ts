/** What `mirrorctl explain` prints for people. */
import type { Explanation } from './explain';
import { someOf } from './lines';
import { size } from './progress';
import { count, day, into } from './retention-text';

/** So many sources are named. */
const MAX_SOURCES = 3;

export function explainedLines(explanations: readonly Explanation[]): readonly string[] {
  return explanations.flatMap(({ item, standing, why, entry, also = [], since, from = [], until, snapshots, releases = [] }) => [
    `${item}: ${standing}: ${why}${entry === undefined ? '' : `${into(entry)}, ${size(entry.bytes)}`}`,
    ...also.map((reason) => `  kept besides, since ${reason}`),
    ...(from.length === 0 ? [] : [`  from ${someOf(from, MAX_SOURCES)}`]),
    ...(since === undefined ? [] : [`  here since ${day(since)}`]),
    ...(until === undefined ? [] : [`  gone for good on ${day(until)} at the earliest`]),
    ...(snapshots === undefined ? [] : [`  in ${placesIn(snapshots)}`]),
    ...(releases.length === 0 ? [] : [`  in ${count(releases.length, 'release')}: ${releases.join(', ')}`]),
  ]);
}

function placesIn(snapshots: readonly string[]): string {
  return snapshots.length === 1 ? `the snapshot ${snapshots[0]}` : `${snapshots.length} snapshots, ${snapshots[0]} to ${snapshots.at(-1)}`;
}
