import { z } from 'zod';
import { readJson } from './json-file';
import { writeAtomically } from './files';

/** The store and the trees are read within so many days where nothing else is declared. */
export const DEFAULT_SCRUB_DAYS = 30;

const DAY = 24 * 3600 * 1000;

/** What was read when. The parts are folders of the store (`store/ab`) and repositories (`repositories/epel-7`). */
const ScrubStateSchema = z.object({
  version: z.literal(1),
  /** Part → when it was last read to its end (ISO). */
  read: z.record(z.string(), z.string()),
  /** End of the last run that read its whole portion. */
  lastRun: z.string().optional(),
});
export type ScrubState = z.infer<typeof ScrubStateSchema>;

/** The state of the scrub; an empty one before the first, and when the file is damaged: then everything is due. */
export async function readScrubState(path: string): Promise<ScrubState> {
  return (await readJson(path, ScrubStateSchema)) ?? { version: 1, read: {} };
}

export async function writeScrubState(path: string, state: ScrubState): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(state, undefined, 1)}\n`);
}

/**
 * The parts that a run reads, those first that were not read for longest: as many of all as the time since the last run is of the period, a
 * day's at least. So what days without a run left is made up for by the next. Pure.
 */
export function portionOf(parts: readonly string[], { read, lastRun }: ScrubState, now: Date, periodDays: number): readonly string[] {
  const days = lastRun === undefined ? 1 : Math.max(1, (now.getTime() - Date.parse(lastRun)) / DAY);
  const count = Math.ceil(parts.length * Math.min(1, days / periodDays));
  return [...parts].sort((a, b) => (read[a] ?? '').localeCompare(read[b] ?? '') || (a < b ? -1 : 1)).slice(0, count);
}

/** Since when everything was read, and how many parts were not read yet. Pure. */
export function coverage(parts: readonly string[], { read }: ScrubState): { readonly since: string | undefined; readonly unread: number } {
  const times = parts.flatMap((part) => read[part] ?? []).sort();
  return { since: times[0], unread: parts.length - times.length };
}
