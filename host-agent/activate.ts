import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { desiredStateDigest, type ActivationRequest, type ActivationResult } from '../desired-state/model';
import { bootstrap } from './bootstrap';
import { checkCertificate, ensureCertificate } from './certificates';
import { asMirrorError, type Reporter } from './events';
import { readIfPresent } from './files';
import {
  assemble,
  currentGeneration,
  generationNumbers,
  hostKey,
  manifestFor,
  manifestOnDisk,
  manifestsOnDisk,
  nextGenerationNumber,
  secretDigest,
  writeGeneration,
} from './generation';
import { findGeneratedKeys, generatedKeys } from './generated-keys';
import { hostedIsCurrent, prepareHosted, recordHosted, restoreHosted } from './hosted';
import { awaitConfirmation, openJournal } from './journal';
import { callerGone } from './lock';
import { compareElements, unitsOf, type Manifest } from './manifest';
import { testConfiguration } from './nginx';
import { deviations } from './observe';
import type { HostPaths } from './paths';
import { requirePrograms } from './programs';
import { rehearse } from './rehearsal';
import { checkPasswords, servingGroup } from './passwords';
import { armRevert } from './revert-unit';
import { lastWords, run } from './run';
import { fallback, recordLastDrift, recover, startNewSyncs, takeBackFailed } from './settle';
import { switchTo, type SwitchContext } from './switch';
import { unitFacts } from './units';
import { checkAgainst } from './waivers';

/** When the timer looks for the first time whether a switch died or is still to be confirmed: a longer wait it then waits out. */
const REVERT_LOOKS_AFTER_S = 60;

/**
 * Makes the server match a request, as a whole or not at all. The caller holds the host lock. What it activates is taken back unless
 * `confirm` follows in time. Throws MirrorError: `invalid` and `environment` when nothing was changed, `rolledBack` when the previous
 * generation was restored.
 *
 * @param by who deploys, for those who wait
 */
export async function activate(paths: HostPaths, request: ActivationRequest, by: string, report: Reporter): Promise<ActivationResult> {
  const started = Date.now();
  const { desiredState: desired } = request;
  checkSecrets(request);
  checkPasswords(request.secrets);
  requirePrograms(paths, request.programs);
  const unrestored = await recover(paths, report);
  const before = currentGeneration(paths);
  checkCertificate(request, before, new Date(), report);
  checkAgainst(before, desired, (target) => existsSync(join(desired.storage.root, target)));
  assemble(desired, 0);
  findGeneratedKeys(paths, desired.generatedKeys, manifestsOnDisk(paths));

  const same = matches(paths, before, request) && hostedIsCurrent(paths, before);
  if (same && (await deviations(paths, before)).length === 0) {
    recordLastDrift(paths, request.lastDrift);
    await startNewSyncs(before, report);
    const nothing = { added: [], changed: [], removed: [] };
    return { kind: 'activation', outcome: 'unchanged', generation: before.generation, ...nothing, seconds: since(started) };
  }

  const user = await bootstrap(paths, desired, request.programs, before.deployAccount, report);
  const known = manifestsOnDisk(paths);
  const number = nextGenerationNumber(paths);
  const restorable = fallback(before, known, unrestored);
  dropUnfinished(paths, [0, before.generation, ...(unrestored === undefined ? [] : [unrestored.from, unrestored.to])]);
  const content = assemble(desired, number);
  await ensureCertificate(paths, desired, report);
  const secrets = { ...request.secrets, ...(await generatedKeys(paths, desired, known, report)) };
  const manifest = manifestFor({ ...request, secrets }, content, number, hostKey(paths), new Date());
  const directory = await writeGeneration(paths, manifest, content, secrets, servingGroup(paths, secrets));
  try {
    await validate(paths, manifest, before);
    const adopting = desired.elements.some((element) => element.adopts !== undefined && before.elements[element.id] === undefined);
    if (adopting || !hostedIsCurrent(paths, manifest)) await prepareHosted(paths, manifest, user, report);
    await armRevert(Math.min(desired.confirmSeconds, REVERT_LOOKS_AFTER_S));
    // From here on it is finished or taken back, whoever listens. Up to here, an operator who gave up has given up.
    if (!(await report.stillHeard(`switching to generation ${number}`))) throw callerGone();
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    await restoreHosted(paths, before, user, report);
    throw asMirrorError(error);
  }

  const context: SwitchContext = {
    paths,
    user,
    storageRoot: desired.storage.root,
    known: [...known, manifest],
    afterCrash: unrestored !== undefined,
  };
  const journal = openJournal(paths, { from: restorable.generation, to: number, by, lastDrift: request.lastDrift });
  try {
    await switchTo(context, manifest);
    recordHosted(paths, manifest);
    awaitConfirmation(paths, journal, desired.confirmSeconds);
  } catch (error) {
    throw await takeBackFailed(context, restorable, manifest, asMirrorError(error), report);
  }
  const difference = compareElements(before.elements, manifest.elements);
  const { confirmSeconds } = desired;
  return { kind: 'activation', outcome: 'activated', generation: number, ...difference, seconds: since(started), confirmSeconds };
}

/** True when the generation was made from the same desired state, programs and secrets. */
function matches(paths: HostPaths, before: Manifest, request: ActivationRequest): boolean {
  if (before.generation === 0 || before.desiredState !== desiredStateDigest(request.desiredState)) return false;
  if (before.programs !== request.programs) return false;
  const key = readIfPresent(paths.hostKey) ?? '';
  return Object.entries(request.secrets).every(([name, content]) => before.secrets[name] === secretDigest(key, name, content));
}

function checkSecrets(request: ActivationRequest): void {
  const wanted = Object.keys(request.desiredState.secrets).sort().join(', ');
  const given = Object.keys(request.secrets).sort().join(', ');
  if (wanted === given) return;
  throw new MirrorError({
    code: 'SECRETS_MISMATCH',
    message: `the desired state names the secrets [${wanted}], the request brings [${given}]`,
    remedy: 'Deploy with the apply program of the same version as the server programs.',
    exitCode: ExitCode.invalid,
  });
}

/** Removes generations that were written but never confirmed, and damaged ones. */
function dropUnfinished(paths: HostPaths, kept: readonly number[]): void {
  for (const number of generationNumbers(paths).filter((n) => !kept.includes(n))) {
    if (manifestOnDisk(paths, number)?.activated !== true)
      rmSync(join(paths.generations, String(number)), { recursive: true, force: true });
  }
}

/** Asks nginx and systemd what they think of the new files, and the new site for its number, before anything is switched. */
async function validate(paths: HostPaths, manifest: Manifest, previous: Manifest): Promise<void> {
  const candidate = join(paths.generations, String(manifest.generation));
  const installed = (await unitFacts(paths)).installed;
  const changed = unitsOf(manifest).filter((unit) => installed[unit] !== manifest.files[`systemd/${unit}`]);
  const current = join(paths.generations, String(previous.generation));
  const nginx = testConfiguration(candidate, current, paths.nginxLink).then(() => {
    if (manifest.probe !== undefined) return rehearse(candidate, current, manifest.probe, manifest.generation);
  });
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

function since(started: number): number {
  return (Date.now() - started) / 1000;
}
