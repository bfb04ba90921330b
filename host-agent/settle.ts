/** How a switch comes to its end: confirmed, or taken back. The caller holds the host lock. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { SettledResult } from '../desired-state/model';
import { keepAccounts } from './account';
import { findContentUser } from './bootstrap';
import { orderCertificate } from './certificates';
import { asMirrorError, type Reporter } from './events';
import { readIfPresent, writeDurably } from './files';
import {
  currentGeneration,
  generationNumbers,
  manifestOnDisk,
  manifestsOnDisk,
  markActivated,
  pruneGenerations,
  retireGeneration,
} from './generation';
import { pruneGeneratedKeys } from './generated-keys';
import { missingCopies, restoreHosted } from './hosted';
import { closeJournal, readJournal, type Journal } from './journal';
import { EMPTY_MANIFEST, unitsOf, type Manifest } from './manifest';
import type { HostPaths } from './paths';
import { prunePrograms } from './programs';
import { disarmRevert } from './revert-unit';
import { lastWords, run } from './run';
import { switchTo, type SwitchContext } from './switch';
import { keepUploads } from './uploads';

const GENERATIONS_KEPT = 10;
const NEW_SYNCS_UNIT = 'mirror-sync-new.service';

/**
 * Makes the generation that was switched to the one that stays. Throws MirrorError NOTHING_TO_CONFIRM when it does not wait for that (any
 * more), so that an operator whose deploy was taken back is not told that it serves.
 */
export async function confirm(paths: HostPaths, generation: number | undefined, report: Reporter): Promise<SettledResult> {
  const journal = readJournal(paths);
  const current = currentGeneration(paths);
  const asked = generation ?? journal?.to ?? current.generation;
  if (journal === undefined && current.generation === asked && asked !== 0) {
    return { kind: 'settled', outcome: 'confirmed', generation: asked };
  }
  if (journal?.phase !== 'unconfirmed' || journal.to !== asked) {
    throw new MirrorError({
      code: 'NOTHING_TO_CONFIRM',
      message:
        asked === 0
          ? 'no generation waits for a confirmation: none was deployed to this server yet'
          : `generation ${asked} does not wait for a confirmation: generation ${journal?.from ?? current.generation} serves`,
      remedy: 'See `mirror-host generations`. Plan and deploy again.',
      exitCode: ExitCode.rolledBack,
    });
  }
  recordLastDrift(paths, journal.lastDrift);
  markActivated(paths, current);
  await finishConfirmation(paths, current, report);
  return { kind: 'settled', outcome: 'confirmed', generation: current.generation, from: journal.from };
}

/** What follows when a generation is marked as confirmed. Doing it twice does no harm. */
async function finishConfirmation(paths: HostPaths, current: Manifest, report: Reporter): Promise<void> {
  rmSync(paths.leftRecord, { force: true });
  closeJournal(paths);
  await disarmRevert();
  await keepAccounts(paths, current.deployAccount === undefined ? [] : [current.deployAccount], report);
  await keepUploads(paths, current, report);
  const before = manifestsOnDisk(paths);
  pruneGenerations(paths, current.generation, GENERATIONS_KEPT);
  pruneGeneratedKeys(paths, before, manifestsOnDisk(paths));
  prunePrograms(paths, new Set(manifestsOnDisk(paths).map((kept) => kept.programs)), new Date());
  await startNewSyncs(current, report);
  await orderCertificate(paths, current, report);
}

/**
 * Takes back what a journal tells of: the generation before serves again, whole. Throws MirrorError when it cannot be restored; the journal
 * then stays, and the next attempt goes on from there.
 */
export async function takeBack(paths: HostPaths, journal: Journal, report: Reporter): Promise<SettledResult> {
  const target = manifestOnDisk(paths, journal.to);
  if (journal.phase === 'unconfirmed' && target?.activated === true) {
    // The confirmation came, and its last steps did not.
    await finishConfirmation(paths, target, report);
    return { kind: 'settled', outcome: 'confirmed', generation: journal.to };
  }
  const why = journal.phase === 'unconfirmed' ? 'nobody confirmed it' : 'the deploy was interrupted';
  report.progress(`generation ${journal.to}: ${why}: restoring generation ${journal.from}`);
  const previous = await restore(paths, journal.from, report);
  // A full disk must not keep what is restored from being settled; the generation then stays, and keeps its number.
  try {
    recordLeft(paths, `generation ${journal.to} was taken back: ${why}`);
    if (target?.activated !== true) retireGeneration(paths, journal.to);
  } catch (error) {
    report.warning(`generation ${journal.to} is not cleared away: ${asMirrorError(error).message}`);
  }
  closeJournal(paths);
  return { kind: 'settled', outcome: 'reverted', generation: previous.generation, from: journal.to };
}

/**
 * A run died or was not confirmed: the generation before comes back, whole, before anything else happens. What hinders that may be what the
 * caller is about to repair: it is told, and the journal stays until the next one takes its place. Returns that journal.
 */
export async function recover(paths: HostPaths, report: Reporter): Promise<Journal | undefined> {
  const interrupted = readJournal(paths);
  if (interrupted === undefined) return undefined;
  try {
    await takeBack(paths, interrupted, report);
    return undefined;
  } catch (error) {
    report.warning(`generation ${interrupted.from} could not be restored: ${asMirrorError(error).message}`);
    return interrupted;
  }
}

/** Where a switch falls back: the current generation, or the one that could not be restored to it. Pure. */
export function fallback(current: Manifest, known: readonly Manifest[], unrestored: Journal | undefined): Manifest {
  return (unrestored && known.find((manifest) => manifest.generation === unrestored.from)) ?? current;
}

/** Switches to a generation that is on disk, from whatever state the server is in, hosted content included. */
async function restore(paths: HostPaths, generation: number, report: Reporter): Promise<Manifest> {
  const known = manifestsOnDisk(paths);
  const previous = generation === 0 ? EMPTY_MANIFEST : known.find((manifest) => manifest.generation === generation);
  if (previous === undefined) {
    throw new MirrorError({
      code: 'GENERATION_MISSING',
      message: `generation ${generation} is not on this server: there are ${generationNumbers(paths).join(', ') || 'none'}`,
      remedy: 'Name one of those (mirror-host rollback --to N), or deploy again.',
      exitCode: ExitCode.environment,
    });
  }
  const context = contextFor(paths, known);
  await switchTo({ ...context, afterCrash: true }, previous);
  await restoreHosted(paths, previous, context.user, report);
  return previous;
}

/** The storage root of the newest generation that has one. Pure. */
export function lastStorageRoot(known: readonly Manifest[]): string | undefined {
  return [...known].reverse().find((manifest) => manifest.storage !== undefined)?.storage?.root;
}

/** What a switch to a generation on disk needs. Throws MirrorError where nothing was ever deployed. */
export function contextFor(paths: HostPaths, known: readonly Manifest[]): SwitchContext {
  const user = findContentUser(paths);
  const storageRoot = lastStorageRoot(known);
  if (user !== undefined && storageRoot !== undefined) return { paths, user, storageRoot, known };
  throw new MirrorError({
    code: 'NO_GENERATION',
    message: 'no generation was ever deployed to this server',
    remedy: 'Deploy to it: cdktf deploy.',
    exitCode: ExitCode.invalid,
  });
}

/** Restores the generation before after a failed switch. Returns the error to report; when restoring fails too, the journal stays. */
export async function takeBackFailed(
  context: SwitchContext,
  previous: Manifest,
  failed: Manifest,
  cause: MirrorError,
  report: Reporter,
): Promise<MirrorError> {
  const { paths } = context;
  report.progress(`generation ${failed.generation} failed: restoring generation ${previous.generation}`);
  try {
    await switchTo(context, previous);
  } catch (error) {
    const second = asMirrorError(error);
    const both = second.message === cause.message;
    const restoring = `generation ${previous.generation} could not be restored`;
    return new MirrorError({
      code: 'ROLLBACK_INCOMPLETE',
      message: `generation ${failed.generation} failed: ${cause.message}; and ${restoring}${both ? ' for the same reason' : `: ${second.message}`}`,
      remedy: `${both ? cause.remedy : `${cause.remedy} ${second.remedy}`} The server tries again within a minute; or deploy again: it converges.`,
      exitCode: ExitCode.environment,
      cause,
    });
  }
  if (!failed.activated) rmSync(join(paths.generations, String(failed.generation)), { recursive: true, force: true });
  await restoreHosted(paths, previous, context.user, report);
  closeJournal(paths);
  await disarmRevert();
  return new MirrorError({
    code: 'ROLLED_BACK',
    message: `generation ${failed.generation} was taken back, generation ${previous.generation} serves: ${cause.message}`,
    remedy: cause.remedy,
    exitCode: ExitCode.rolledBack,
    cause,
  });
}

/** Notes what an intact server returns as `last_drift`. */
export function recordLastDrift(paths: HostPaths, text: string): void {
  if (readIfPresent(paths.lastDrift) !== text) writeDurably(paths.lastDrift, text, 0o600);
}

/** Notes that a generation was left other than by a deploy: shown as drift until the next one. */
export function recordLeft(paths: HostPaths, text: string): void {
  writeDurably(paths.leftRecord, text, 0o600);
}

/** Repositories that were never published begin to fill in the background: a deploy does not wait for gigabytes. */
export async function startNewSyncs(manifest: Manifest, report: Reporter): Promise<void> {
  const repositories = missingCopies(manifest);
  if (repositories.length === 0 || !unitsOf(manifest).includes(NEW_SYNCS_UNIT)) return;
  const started = await run('systemctl', ['start', '--no-block', NEW_SYNCS_UNIT]);
  if (started.exitCode === 0) report.progress(`the first sync of ${repositories.length} new repositories runs in the background`);
  else report.warning(`the first sync did not start (the timers will): ${lastWords(started)}`);
}
