import { createHash } from 'node:crypto';
import type { Problem } from './validate';

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
export type Weekday = (typeof DAYS)[number];

const two = (n: number): string => String(n).padStart(2, '0');

/** `OnCalendar=` of a daily run, in UTC. */
export function dailyCalendar(hour: number, minute: number): string {
  return `*-*-* ${two(hour)}:${two(minute)}:00 UTC`;
}

/** `OnCalendar=` of an hourly run, in UTC. */
export function hourlyCalendar(minute: number): string {
  return `*-*-* *:${two(minute)}:00 UTC`;
}

/** `OnCalendar=` of a weekly run, in UTC. */
export function weeklyCalendar(day: Weekday, hour: number, minute: number): string {
  return `${day} *-*-* ${two(hour)}:${two(minute)}:00 UTC`;
}

/**
 * The daily time of a repository that declares none: between 02:00 and 05:59 UTC, derived from the id, so that repositories spread out
 * and the plan shows the real time.
 */
export function spreadCalendar(id: string): string {
  const minutes = createHash('sha256').update(id).digest().readUInt32BE(0) % 240;
  return dailyCalendar(2 + Math.floor(minutes / 60), minutes % 60);
}

/** The same for what needs what the repositories' syncs bring: between 06:00 and 06:59 UTC. */
export function lateCalendar(id: string): string {
  return dailyCalendar(6, createHash('sha256').update(id).digest().readUInt32BE(0) % 60);
}

/** Hours between the runs of one of these calendars; undefined of any other. */
export function periodHours(onCalendar: string): number | undefined {
  if (/^\*-\*-\* \*:\d\d:00 UTC$/.test(onCalendar)) return 1;
  if (/^\*-\*-\* \d\d:\d\d:00 UTC$/.test(onCalendar)) return 24;
  return /^[A-Z][a-z]{2} \*-\*-\* \d\d:\d\d:00 UTC$/.test(onCalendar) ? 7 * 24 : undefined;
}

export function hour(value: unknown): Problem | undefined {
  return whole(value, 0, 23) ? undefined : { allowed: 'an hour is a whole number from 0 to 23 (UTC)', fix: 'For instance hour: 3.' };
}

export function minute(value: unknown): Problem | undefined {
  return whole(value, 0, 59) ? undefined : { allowed: 'a minute is a whole number from 0 to 59', fix: 'For instance minute: 30.' };
}

export function weekday(value: unknown): Problem | undefined {
  return (DAYS as readonly unknown[]).includes(value)
    ? undefined
    : { allowed: `a day is one of ${DAYS.join(', ')}`, fix: 'For instance day: "Sat".' };
}

function whole(value: unknown, low: number, high: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}
