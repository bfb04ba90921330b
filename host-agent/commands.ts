/** What mirror-host's commands do around their work: the lock, the wait for another deploy's confirmation, the error as the last event. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { SettledResult } from '../desired-state/model';
import { asMirrorError, reporter, type Reporter } from './events';
import { currentGeneration } from './generation';
import { machineClock, readJournal, secondsLeft, type Journal } from './journal';
import { callerGone, describeCaller, takeLock } from './lock';
import type { HostPaths } from './paths';
import { parseRequest } from './request';
import { takeBack } from './settle';

/** Reads the JSON document on standard input. Not by readFileSync, which fails on a pipe that has nothing to read yet. */
export async function readRequest<T extends z.ZodTypeAny>(schema: T): Promise<z.output<T>> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return parseRequest(schema, Buffer.concat(chunks).toString('utf8'));
}

/** Runs `action` with the host lock. */
export async function locked<T>(
  paths: HostPaths,
  owner: string,
  waitSeconds: number,
  report: Reporter,
  action: (by: string) => Promise<T>,
): Promise<T> {
  const by = describeCaller(process.env, owner);
  const lock = await takeLock(paths.lock, by, waitSeconds, (text) => report.stillHeard(text));
  try {
    return await action(by);
  } finally {
    lock.release();
  }
}

/** As `locked`, but not between a switch and its confirmation: that one's operator has the word. */
export async function lockedAndSettled<T>(
  paths: HostPaths,
  owner: string,
  waitSeconds: number,
  report: Reporter,
  action: (by: string) => Promise<T>,
): Promise<T> {
  const giveUp = machineClock(paths).uptime + waitSeconds;
  let told = false;
  for (;;) {
    const waited = Math.max(0, giveUp - machineClock(paths).uptime);
    const outcome = await locked(paths, owner, Math.ceil(waited), report, async (by) => {
      const pending = readJournal(paths);
      const left = pending === undefined ? 0 : secondsLeft(pending, machineClock(paths));
      return pending === undefined || left === 0 ? { done: await action(by) } : { pending, left };
    });
    if ('done' in outcome) return outcome.done;
    const { pending, left } = outcome;
    if (machineClock(paths).uptime >= giveUp) throw unconfirmed(pending, left);
    if (!told && !(await report.stillHeard(waiting(pending, left)))) throw callerGone();
    told = true;
    await sleep(250);
  }
}

function waiting(journal: Journal, left: number): string {
  return `waiting at most ${Math.ceil(left)} s for the confirmation of generation ${journal.to}, deployed by ${journal.by}`;
}

function unconfirmed(journal: Journal, left: number): MirrorError {
  return new MirrorError({
    code: 'LOCKED',
    message: `generation ${journal.to}, deployed by ${journal.by}, still waits for its confirmation`,
    remedy: `It is confirmed or taken back within ${Math.ceil(left)} s: deploy again after that.`,
    exitCode: ExitCode.locked,
  });
}

/** Takes back a generation whose time is up, waiting for that time; run by a timer and at boot. */
export async function revertWhenDue(paths: HostPaths, report: Reporter): Promise<SettledResult> {
  for (;;) {
    const outcome = await locked(paths, 'mirror-revert', 900, report, async () => {
      const journal = readJournal(paths);
      if (journal === undefined) {
        const { generation } = currentGeneration(paths);
        return { done: { kind: 'settled', outcome: 'nothing to revert', generation } satisfies SettledResult };
      }
      const left = secondsLeft(journal, machineClock(paths));
      return left > 0 ? { left } : { done: await takeBack(paths, journal, report) };
    });
    if ('done' in outcome) return outcome.done;
    await sleep(outcome.left * 1000 + 100);
  }
}

export interface EventOptions {
  readonly json?: true;
}

/** Prints a line; false when nobody reads any more. */
function printLine(line: string): Promise<boolean> {
  return new Promise((resolve) => process.stdout.write(`${line}\n`, (error) => resolve(!error)));
}

/**
 * Runs a command that reports events; its error is the last event, its exit code the process's.
 *
 * @param reader who reads what is no terminal: a program, or the system's journal
 */
export async function reporting(
  options: EventOptions,
  action: (report: Reporter) => Promise<void>,
  reader: 'program' | 'journal' = 'program',
): Promise<void> {
  const report = reporter(options.json === true || (reader === 'program' && !process.stdout.isTTY), printLine);
  try {
    requireRoot();
    await action(report);
  } catch (thrown) {
    const error = asMirrorError(thrown);
    report.error(error);
    process.exitCode = error.exitCode;
  }
}

/** Runs a command that prints a document, as JSON or as `describe` puts it. */
export async function printing<T>(options: EventOptions, read: () => T | Promise<T>, describe: (document: T) => string): Promise<void> {
  try {
    const document = await read();
    process.stdout.write(options.json === true ? `${JSON.stringify(document)}\n` : `${describe(document)}\n`);
  } catch (thrown) {
    const error = asMirrorError(thrown);
    process.stderr.write(`${error.describe()}\n`);
    process.exitCode = error.exitCode;
  }
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new MirrorError({
    code: 'NOT_ROOT',
    message: 'mirror-host works as root only',
    remedy: 'Run it with sudo.',
    exitCode: ExitCode.environment,
  });
}
