/** How a switch comes to its end: confirmed, taken back, or rolled back later. The caller holds the host lock. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { SettledResult } from '../desired-state/model';
import { keepAccounts } from './account';
import { findContentUser } from './bootstrap';
import { asMirrorError, type Reporter } from './events';
import { linkTarget, readIfPresent, writeDurably } from './files';
import { currentGeneration, generationNumbers, manifestsOnDisk, markActivated, pruneGenerations } from './generation';
import { missingCopies, restoreHosted } from './hosted';
import { closeJournal, openJournal, readJournal, type Journal } from './journal';
import { EMPTY_MANIFEST, readManifest, unitsOf, type Manifest } from './manifest';
import type { HostPaths } from './paths';
import { prunePrograms } from './programs';
import { disarmRevert } from './revert-unit';
import { lastWords, run } from './run';
import { switchTo, type SwitchContext } from './switch';

const GENERATIONS_KEPT = 10;
const NEW_SYNCS_UNIT = 'mirror-sync-new.service';

/**
 * Makes the generation that was switched to the one that stays. Throws MirrorError NOTHING_TO_CONFIRM when it does not wait for that (any
 * more), so that an operator whose deploy was taken back is not told that it serves.
 */
export async function confirm(paths: HostPaths, generation: number | undefined, report: Reporter): Promise<SettledResult> {
  const journal = readJournal(paths);
  const current = currentGeneration(paths, linkTarget(paths.current));
  const asked = generation ?? journal?.to ?? current.generation;
  if (journal === undefined && current.generation === asked && asked !== 0) {
    return { kind: 'settled', outcome: 'confirmed', generation: asked };
  }
  if (journal?.phase !== 'unconfirmed' || journal.to !== asked) {
    throw new MirrorError({
      code: 'NOTHING_TO_CONFIRM',
      message: `generation ${asked} does not wait for a confirmation: generation ${journal?.from ?? current.generation} serves`,
      remedy: 'See `mirror-host generations`. Plan and deploy again.',
      exitCode: ExitCode.rolledBack,
    });
  }
  recordLastDrift(paths, journal.lastDrift);
  markActivated(paths, current);
  rmSync(paths.leftRecord, { force: true });
  closeJournal(paths);
  await disarmRevert();
  await keepAccounts(paths, current.deployAccount === undefined ? [] : [current.deployAccount], report);
  pruneGenerations(paths, current.generation, GENERATIONS_KEPT);
  prunePrograms(paths, new Set(manifestsOnDisk(paths).map((kept) => kept.programs)), new Date());
  await startNewSyncs(current, report);
  return { kind: 'settled', outcome: 'confirmed', generation: current.generation, from: journal.from };
}

/**
 * Takes back what a journal tells of: the generation before serves again, whole. Throws MirrorError when it cannot be restored; the journal
 * then stays, and the next attempt goes on from there.
 */
export async function takeBack(paths: HostPaths, journal: Journal, report: Reporter): Promise<SettledResult> {
  const target = readManifest(join(paths.generations, String(journal.to)));
  if (journal.phase === 'unconfirmed' && target?.activated === true) {
    // The confirmation came, and its last step did not.
    closeJournal(paths);
    return { kind: 'settled', outcome: 'confirmed', generation: journal.to };
  }
  const why = journal.phase === 'unconfirmed' ? 'nobody confirmed it' : 'the deploy was interrupted';
  report.progress(`generation ${journal.to}: ${why}: restoring generation ${journal.from}`);
  const previous = await restore(paths, journal.from, report);
  closeJournal(paths);
  if (target?.activated !== true) rmSync(join(paths.generations, String(journal.to)), { recursive: true, force: true });
  recordLeft(paths, `generation ${journal.to} was taken back: ${why}`);
  return { kind: 'settled', outcome: 'reverted', generation: previous.generation, from: journal.to };
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

function contextFor(paths: HostPaths, known: readonly Manifest[]): SwitchContext {
  const user = findContentUser(paths);
  const storage = [...known].reverse().find((manifest) => manifest.storage !== undefined)?.storage;
  if (user !== undefined && storage !== undefined) return { paths, user, storageRoot: storage.root, known };
  throw new MirrorError({
    code: 'NO_GENERATION',
    message: 'no generation was ever deployed to this server',
    remedy: 'Deploy to it: cdktf deploy.',
    exitCode: ExitCode.invalid,
  });
}

/** An emergency: an older generation serves, and shows as drift until the next deploy. On failure the one that served is restored. */
export async function rollback(paths: HostPaths, to: number | undefined, by: string, report: Reporter): Promise<SettledResult> {
  const pending = readJournal(paths);
  if (pending !== undefined && (to === undefined || to === pending.from)) return takeBack(paths, pending, report);
  if (pending !== undefined) await takeBack(paths, pending, report);
  const current = currentGeneration(paths, linkTarget(paths.current));
  const target = rollbackTarget(manifestsOnDisk(paths), current.generation, to);
  const known = manifestsOnDisk(paths);
  const context = contextFor(paths, known);
  const journal = openJournal(paths, { from: current.generation, to: target.generation, by, lastDrift: '' });
  try {
    await switchTo(context, target);
  } catch (error) {
    const cause = asMirrorError(error);
    await takeBack(paths, journal, report);
    const message = `generation ${target.generation} does not serve, generation ${current.generation} was restored: ${cause.message}`;
    throw new MirrorError({ code: 'ROLLED_BACK', message, remedy: cause.remedy, exitCode: ExitCode.rolledBack, cause });
  }
  closeJournal(paths);
  await restoreHosted(paths, target, context.user, report);
  recordLeft(paths, `rolled back from generation ${current.generation}`);
  return { kind: 'settled', outcome: 'rolled back', generation: target.generation, from: current.generation };
}

/** The generation to roll back to: the one asked for, else the newest confirmed one before the current. Throws MirrorError. Pure. */
export function rollbackTarget(manifests: readonly Manifest[], current: number, to: number | undefined): Manifest {
  const candidates = manifests.filter((m) => m.activated && m.generation !== 0 && m.generation !== current);
  const older = candidates.filter((m) => m.generation < current).sort((a, b) => b.generation - a.generation);
  const found = to === undefined ? older[0] : candidates.find((m) => m.generation === to);
  if (found !== undefined) return found;
  const there = candidates.map((m) => m.generation).sort((a, b) => a - b);
  throw new MirrorError({
    code: 'NO_SUCH_GENERATION',
    message:
      to === undefined
        ? `there is no confirmed generation before ${current}`
        : to === current
          ? `generation ${to} serves already`
          : `generation ${to} is not on this server, or never was confirmed`,
    remedy: there.length === 0 ? 'Deploy instead.' : `Generations to roll back to: ${there.join(', ')} (mirror-host generations).`,
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
  rmSync(join(paths.generations, String(failed.generation)), { recursive: true, force: true });
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
function recordLeft(paths: HostPaths, text: string): void {
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
