import { readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { readIfPresent, syncDirectory, writeDurably } from './files';
import type { HostPaths } from './paths';

const JournalSchema = z.object({
  /** `switching`: files and links are being changed. `unconfirmed`: the new generation serves until its time is up. */
  phase: z.enum(['switching', 'unconfirmed']),
  from: z.number().int().min(0),
  to: z.number().int().min(0),
  since: z.string(),
  /** Who deploys, as in the lock. */
  by: z.string(),
  /** The boot and the uptime in seconds at which an unconfirmed generation is taken back: no clock that somebody sets decides it. */
  boot: z.string(),
  until: z.number(),
  /** What `last_drift` becomes with the confirmation. */
  lastDrift: z.string(),
});
/** Says that the server is between two generations: found by a deploy or at boot, it means that the one before did not come to its end. */
export type Journal = z.infer<typeof JournalSchema>;

/** What the machine's monotonic clock says. */
export interface MachineClock {
  readonly boot: string;
  /** Seconds since the machine started. */
  readonly uptime: number;
}

export function machineClock(paths: HostPaths): MachineClock {
  return {
    boot: readFileSync(paths.bootId, 'utf8').trim(),
    uptime: Number(readFileSync(paths.uptime, 'utf8').split(' ')[0]),
  };
}

/** Seconds that a generation may still wait for its confirmation; 0 when its time is up, or the machine has been started anew. Pure. */
export function secondsLeft(journal: Journal, clock: MachineClock): number {
  if (journal.phase !== 'unconfirmed' || journal.boot !== clock.boot) return 0;
  return Math.max(0, journal.until - clock.uptime);
}

/** Writes the journal, durably, before the first change. */
export function openJournal(paths: HostPaths, what: Pick<Journal, 'from' | 'to' | 'by' | 'lastDrift'>): Journal {
  const { boot } = machineClock(paths);
  const journal: Journal = { phase: 'switching', ...what, since: new Date().toISOString(), boot, until: 0 };
  writeDurably(paths.journal, JSON.stringify(journal), 0o600);
  return journal;
}

/** Notes, after the last change, until when the confirmation may come. */
export function awaitConfirmation(paths: HostPaths, journal: Journal, seconds: number): void {
  const unconfirmed: Journal = { ...journal, phase: 'unconfirmed', until: machineClock(paths).uptime + seconds };
  writeDurably(paths.journal, JSON.stringify(unconfirmed), 0o600);
}

/** Removes the journal: the server is at one generation. */
export function closeJournal(paths: HostPaths): void {
  rmSync(paths.journal, { force: true });
  syncDirectory(paths.hostState);
}

/** The journal of a switch that has not come to its end, or undefined. Throws MirrorError when it is damaged. */
export function readJournal(paths: HostPaths): Journal | undefined {
  const text = readIfPresent(paths.journal);
  if (text === undefined) return undefined;
  try {
    return JournalSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new MirrorError({
      code: 'JOURNAL_DAMAGED',
      message: `${paths.journal} is damaged`,
      remedy: 'See which generation serves (mirror-host status); remove the file and deploy again.',
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}
