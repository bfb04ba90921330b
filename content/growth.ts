/** How the disk fills: a note a day, and when it is full if it goes on like that. */
import { z } from 'zod';
import { readJson } from './json-file';
import { writeAtomically } from './files';
import type { Room } from './storage';

const DAY = 24 * 3600 * 1000;
/** So many days are kept. */
const KEPT_DAYS = 90;
/** A trend is of these last days. */
const TREND_DAYS = 28;
/** With fewer notes there is no trend. */
const MIN_NOTES = 7;

const GrowthSchema = z.object({
  version: z.literal(1),
  /** Oldest first; the last look of each day. */
  notes: z.array(z.object({ day: z.string().regex(/^\d{4}-\d\d-\d\d$/), bytes: z.number(), inodes: z.number() })),
});
export type Growth = z.infer<typeof GrowthSchema>;
type Note = Growth['notes'][number];

/** The notes; none before the first, and when the file is damaged. */
export async function readGrowth(path: string): Promise<Growth> {
  return (await readJson(path, GrowthSchema)) ?? { version: 1, notes: [] };
}

export async function writeGrowth(path: string, growth: Growth): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(growth)}\n`);
}

/** With today's figures. Notes of the future, from a clock that was wrong, are left out. Pure. */
export function noted({ notes }: Growth, room: Pick<Room, 'usedBytes' | 'usedInodes'>, now: Date): Growth {
  const day = now.toISOString().slice(0, 10);
  const others = notes.filter((note) => note.day < day);
  return { version: 1, notes: [...others, { day, bytes: room.usedBytes, inodes: room.usedInodes }].slice(-KEPT_DAYS) };
}

/**
 * How much is added a day: the median of the slopes between any two notes of the last four weeks (Theil and Sen), which one import, or one
 * purge, does not move. Undefined with less than a week of notes. Pure.
 */
export function growthPerDay({ notes }: Growth, of: (note: Note) => number): number | undefined {
  const time = (note: Note): number => Date.parse(note.day) / DAY;
  const last = notes.at(-1);
  if (last === undefined) return undefined;
  const recent = notes.filter((note) => time(note) > time(last) - TREND_DAYS);
  if (recent.length < MIN_NOTES) return undefined;
  const slopes = recent.flatMap((later, index) =>
    recent.slice(0, index).map((earlier) => (of(later) - of(earlier)) / (time(later) - time(earlier))),
  );
  slopes.sort((a, b) => a - b);
  const middle = slopes.length / 2;
  return slopes.length % 2 === 1 ? slopes[Math.floor(middle)] : ((slopes[middle - 1] as number) + (slopes[middle] as number)) / 2;
}

/** Days until `limit` is reached, 0 where it is; undefined where it never is. Pure. */
export function daysUntil(limit: number, used: number, perDay: number): number | undefined {
  if (used >= limit) return 0;
  return perDay <= 0 ? undefined : (limit - used) / perDay;
}
