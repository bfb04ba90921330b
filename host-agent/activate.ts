import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { ActivationRequest, ActivationResult } from '../desired-state/model';
import { bootstrap, type ContentUser } from './bootstrap';
import { asMirrorError, type Reporter } from './events';
import { linkTarget, readIfPresent, writeDurably } from './files';
import {
  assemble,
  currentGeneration,
  desiredStateDigest,
  generationNumbers,
  hostKey,
  manifestFor,
  markActivated,
  pruneGenerations,
  secretDigest,
  writeGeneration,
} from './generation';
import { hostedIsCurrent, missingCopies, prepareHosted, recordHosted, restoreHosted } from './hosted';
import { callerGone } from './lock';
import { compareElements, EMPTY_MANIFEST, readManifest, unitsOf, type Manifest } from './manifest';
import { testConfiguration } from './nginx';
import { deviations } from './observe';
import type { HostPaths } from './paths';
import { prunePrograms, requirePrograms } from './programs';
import { lastWords, run } from './run';
import { closeJournal, openJournal, readJournal, switchTo, type SwitchContext } from './switch';
import { unitFacts } from './units';

const GENERATIONS_KEPT = 10;
const NEW_SYNCS_UNIT = 'mirror-sync-new.service';

/**
 * Makes the server match a request, as a whole or not at all. The caller holds the host lock. Throws MirrorError: `invalid` and
 * `environment` when nothing was changed, `rolledBack` when the previous generation was restored.
 */
export async function activate(paths: HostPaths, request: ActivationRequest, report: Reporter): Promise<ActivationResult> {
  const started = Date.now();
  const { desiredState: desired } = request;
  checkSecrets(request);
  requirePrograms(paths, request.programs);
  const before = currentGeneration(paths, linkTarget(paths.current));
  checkOwner(before, desired.owner);
  const interrupted = readJournal(paths);
  assemble(desired, 0);

  const same = interrupted === undefined && matches(paths, before, request) && hostedIsCurrent(paths, before);
  if (same && (await deviations(paths, before)).length === 0) {
    recordLastDrift(paths, request.lastDrift);
    await startNewSyncs(before, report);
    const nothing = { added: [], changed: [], removed: [] };
    return { kind: 'activation', outcome: 'unchanged', generation: before.generation, ...nothing, seconds: since(started) };
  }

  const user = await bootstrap(paths, desired, request.programs, report);
  if (interrupted !== undefined) await recover(paths, interrupted.from, user, desired.storage.root, report);
  const previous = currentGeneration(paths, linkTarget(paths.current));
  dropUnfinished(paths, previous.generation);
  const known = manifestsOnDisk(paths);
  const number = Math.max(...generationNumbers(paths)) + 1;
  const content = assemble(desired, number);
  const manifest = manifestFor(request, content, number, hostKey(paths), new Date());
  const directory = await writeGeneration(paths, manifest, content, request.secrets);
  try {
    await validate(paths, manifest, previous);
    if (!hostedIsCurrent(paths, manifest)) await prepareHosted(paths, manifest, user, report);
    // From here on it is finished or taken back, whoever listens. Up to here, an operator who gave up has given up.
    if (!(await report.stillHeard(`switching to generation ${number}`))) throw callerGone();
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    await restoreHosted(paths, previous, user, report);
    throw asMirrorError(error);
  }

  const context: SwitchContext = { paths, user, storageRoot: desired.storage.root, known: [...known, manifest] };
  openJournal(paths, previous.generation, number, new Date());
  try {
    await switchTo(context, manifest);
    markActivated(paths, manifest);
    recordHosted(paths, manifest);
    recordLastDrift(paths, request.lastDrift);
  } catch (error) {
    throw await takeBack(context, previous, manifest, asMirrorError(error), report);
  }
  closeJournal(paths);
  pruneGenerations(paths, number, GENERATIONS_KEPT);
  prunePrograms(paths, new Set(manifestsOnDisk(paths).map((kept) => kept.programs)), new Date());
  const difference = compareElements(previous.elements, manifest.elements);
  await startNewSyncs(manifest, report);
  return { kind: 'activation', outcome: 'activated', generation: number, ...difference, seconds: since(started) };
}

/** True when the generation was made from the same desired state, programs and secrets. */
function matches(paths: HostPaths, before: Manifest, request: ActivationRequest): boolean {
  if (before.generation === 0 || before.desiredState !== desiredStateDigest(request.desiredState)) return false;
  if (before.programs !== request.programs) return false;
  const key = readIfPresent(paths.hostKey) ?? '';
  return Object.entries(request.secrets).every(([name, content]) => before.secrets[name] === secretDigest(key, name, content));
}

function checkSecrets(request: ActivationRequest): void {
  const wanted = [...request.desiredState.secrets].sort().join(', ');
  const given = Object.keys(request.secrets).sort().join(', ');
  if (wanted === given) return;
  throw new MirrorError({
    code: 'SECRETS_MISMATCH',
    message: `the desired state names the secrets [${wanted}], the request brings [${given}]`,
    remedy: 'Deploy with the apply program of the same version as the server programs.',
    exitCode: ExitCode.invalid,
  });
}

function checkOwner(before: Manifest, owner: string): void {
  if (before.generation === 0 || before.owner === owner) return;
  throw new MirrorError({
    code: 'FOREIGN_OWNER',
    message: `this server belongs to ${before.owner} (generation ${before.generation}), not to ${owner}: nothing was changed`,
    remedy:
      `Deploy it from ${before.owner}. Only if that deployment is given up for good, say so on the server: ` +
      'mv /etc/mirror/current /etc/mirror/current.given-up',
    exitCode: ExitCode.invalid,
  });
}

/** A run died in the middle of a switch: the generation that served before comes back, whole, before anything else happens. */
async function recover(paths: HostPaths, from: number, user: ContentUser, storageRoot: string, report: Reporter): Promise<void> {
  const current = currentGeneration(paths, linkTarget(paths.current));
  if (!current.activated || current.generation === from) {
    report.progress(`an earlier deploy was interrupted: restoring generation ${from}`);
    const previous = from === 0 ? EMPTY_MANIFEST : readManifest(join(paths.generations, String(from)));
    try {
      if (previous !== undefined) {
        await switchTo({ paths, user, storageRoot, known: manifestsOnDisk(paths), afterCrash: true }, previous);
        await restoreHosted(paths, previous, user, report);
      }
    } catch (error) {
      // What stopped it may be what this deploy repairs: say so and go on.
      report.warning(`generation ${from} could not be restored: ${asMirrorError(error).message}`);
    }
  }
  closeJournal(paths);
}

/** Removes generations that were written but never served. */
function dropUnfinished(paths: HostPaths, current: number): void {
  for (const number of generationNumbers(paths)) {
    const directory = join(paths.generations, String(number));
    if (number !== current && number !== 0 && readManifest(directory)?.activated !== true) {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

function manifestsOnDisk(paths: HostPaths): Manifest[] {
  return generationNumbers(paths).flatMap((n) => readManifest(join(paths.generations, String(n))) ?? []);
}

/** Asks nginx and systemd what they think of the new files, before anything is switched. */
async function validate(paths: HostPaths, manifest: Manifest, previous: Manifest): Promise<void> {
  const candidate = join(paths.generations, String(manifest.generation));
  const installed = (await unitFacts(paths)).installed;
  const changed = unitsOf(manifest).filter((unit) => installed[unit] !== manifest.files[`systemd/${unit}`]);
  const nginx = testConfiguration(candidate, join(paths.generations, String(previous.generation)), paths.nginxLink);
  const units = verifyUnits(changed.map((unit) => join(candidate, 'systemd', unit)));
  // Both are awaited whatever happens, so that none works on a directory that is being removed.
  const outcomes = await Promise.allSettled([nginx, units]);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function verifyUnits(files: readonly string[]): Promise<void> {
  if (files.length === 0) return;
  const result = await run('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', ...files]);
  if (result.exitCode === 0) return;
  throw new MirrorError({
    code: 'UNITS_INVALID',
    message: `systemd does not accept the new units: ${lastWords(result)}`,
    remedy: 'Correct the schedule or the unit that the construct renders. Nothing was changed.',
    exitCode: ExitCode.invalid,
  });
}

/** Restores the previous generation after a failed switch. Returns the error to report. */
async function takeBack(
  context: SwitchContext,
  previous: Manifest,
  failed: Manifest,
  cause: MirrorError,
  report: Reporter,
): Promise<MirrorError> {
  report.progress(`generation ${failed.generation} failed: restoring generation ${previous.generation}`);
  try {
    await switchTo(context, previous);
  } catch (error) {
    const second = asMirrorError(error);
    const both = second.message === cause.message;
    const restoring = `generation ${previous.generation} could not be restored`;
    // The journal stays: the next deploy converges from here.
    return new MirrorError({
      code: 'ROLLBACK_INCOMPLETE',
      message: `generation ${failed.generation} failed: ${cause.message}; and ${restoring}${both ? ' for the same reason' : `: ${second.message}`}`,
      remedy: `${both ? cause.remedy : `${cause.remedy} ${second.remedy}`} Then deploy again: it converges.`,
      exitCode: ExitCode.environment,
      cause,
    });
  }
  rmSync(join(context.paths.generations, String(failed.generation)), { recursive: true, force: true });
  await restoreHosted(context.paths, previous, context.user, report);
  closeJournal(context.paths);
  return new MirrorError({
    code: 'ROLLED_BACK',
    message: `generation ${failed.generation} was taken back, generation ${previous.generation} serves: ${cause.message}`,
    remedy: cause.remedy,
    exitCode: ExitCode.rolledBack,
    cause,
  });
}

function recordLastDrift(paths: HostPaths, text: string): void {
  if (readIfPresent(paths.lastDrift) !== text) writeDurably(paths.lastDrift, text, 0o600);
}

/** Repositories that were never published begin to fill in the background: a deploy does not wait for gigabytes. */
async function startNewSyncs(manifest: Manifest, report: Reporter): Promise<void> {
  const repositories = missingCopies(manifest);
  if (repositories.length === 0 || !unitsOf(manifest).includes(NEW_SYNCS_UNIT)) return;
  const started = await run('systemctl', ['start', '--no-block', NEW_SYNCS_UNIT]);
  if (started.exitCode === 0) report.progress(`the first sync of ${repositories.length} new repositories runs in the background`);
  else report.warning(`the first sync did not start (the timers will): ${lastWords(started)}`);
}

function since(started: number): number {
  return (Date.now() - started) / 1000;
}
