import { readFileSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { secretFile, SENTINEL, SIGNING_KEYS, type Foreseen, type ObservationRequest, type ObservationResult } from '../desired-state/model';
import { accountDeviations } from './account';
import { findContentUser } from './bootstrap';
import { certificateDeviations } from './certificates';
import { compareDigests, driftText } from './drift';
import { foresee } from './foresee';
import { isMissing, kindOf, linkTarget, readIfPresent } from './files';
import { currentGeneration, secretDigest } from './generation';
import { generatedKeyDeviations } from './generated-keys';
import { missingHosted } from './hosted';
import { machineClock, readJournal, secondsLeft } from './journal';
import { foundLinks, planLinks } from './links';
import { isStartable, unitsOf, type Manifest } from './manifest';
import type { HostPaths } from './paths';
import { digestOfPrograms, programLinks } from './programs';
import { revertUnitDeviations } from './revert-unit';
import { run } from './run';
import { sshdDeviations } from './sshd';
import { mountPoints } from './storage';
import { unitFacts } from './units';
import { uploadDeviations } from './uploads';

/** What the trigger `last_drift` becomes: the recorded value when the server is intact and nothing is pending, else what deviates. */
export async function observe(paths: HostPaths, request: ObservationRequest, now: Date): Promise<ObservationResult> {
  const manifest = currentGeneration(paths);
  const secrets = comparedSecrets(paths, manifest, request.secrets);
  const others = Object.keys(secrets).filter((name) => secrets[name] === 'other');
  const rotated = others.map((name) => `the secret ${name} is another than the deployed one`);
  const found = manifest.generation === 0 ? [] : [...(await deviations(paths, manifest)), ...rotated];
  const foreseen = foresee(paths, manifest, request, { deviations: found, secrets, ...previousKey(paths, manifest, request) });
  const answer = (text: string, intact: boolean): ObservationResult => ({
    kind: 'observation',
    text,
    intact,
    ...(foreseen === undefined ? {} : { foreseen }),
  });
  // The time makes it another value in every plan: a wiped server always shows.
  if (manifest.generation === 0) return answer(`no generation on ${hostname()} (asked ${now.toISOString()})`, false);
  const text = driftText({
    generation: manifest.generation,
    owner: manifest.owner,
    askedBy: request.owner,
    deviations: found,
    actual: manifest.elements,
    declared: request.elements,
  });
  if (text !== undefined) return answer(text, false);
  const recorded = readIfPresent(paths.lastDrift);
  // An answer of no bytes would be no element of the trigger map at all: the apply that reads it would fail.
  if (recorded === undefined || recorded === '') {
    return answer(`generation ${manifest.generation}: ${paths.lastDrift} ${recorded === undefined ? 'missing' : 'empty'}`, false);
  }
  return answer(recorded, true);
}

/** Everything in which the server differs from a generation. Changes nothing. */
export async function deviations(paths: HostPaths, manifest: Manifest): Promise<string[]> {
  const nginxActive = run('systemctl', ['is-active', '--quiet', 'nginx.service']);
  const units = await unitFacts(paths);
  const directory = join(paths.generations, String(manifest.generation));
  const found: string[] = [];

  const journal = readJournal(paths);
  if (journal !== undefined) {
    found.push(
      secondsLeft(journal, machineClock(paths)) > 0
        ? `generation ${journal.to} waits for its confirmation`
        : 'an activation is running or was interrupted',
    );
  }
  const left = readIfPresent(paths.leftRecord);
  if (left !== undefined) found.push(left);
  found.push(...revertUnitDeviations(paths), ...accountDeviations(paths, manifest.deployAccount));
  found.push(...uploadDeviations(paths, manifest, findContentUser(paths)), ...(await sshdDeviations(paths, manifest)));
  found.push(...compareDigests(manifest.files, filesOf(directory), (file) => join(paths.current, file), { unexpected: true }));
  found.push(
    ...secretDeviations(paths, manifest, directory),
    ...generatedKeyDeviations(paths, manifest),
    ...certificateDeviations(paths, manifest),
  );

  const wantedUnits = Object.fromEntries(unitsOf(manifest).map((unit) => [unit, manifest.files[`systemd/${unit}`] ?? '']));
  found.push(...compareDigests(wantedUnits, units.installed, (unit) => join(paths.units, unit), { unexpected: false }));
  for (const unit of Object.keys(wantedUnits).filter(isStartable)) {
    if (units.installed[unit] === undefined) continue;
    if (!units.enabled.has(unit)) found.push(`${unit} disabled`);
    if (!units.active.has(unit)) found.push(`${unit} stopped`);
  }

  const nginxTarget = join(paths.current, 'nginx', 'vhost.conf');
  if (linkTarget(paths.nginxLink) !== nginxTarget) {
    found.push(`${paths.nginxLink} ${kindOf(paths.nginxLink) === 'missing' ? 'missing' : 'modified'}`);
  }
  if (kindOf(join(paths.units, 'multi-user.target.wants', 'nginx.service')) === 'missing') found.push('nginx.service disabled');
  if ((await nginxActive).exitCode !== 0) found.push('nginx.service stopped');

  if (digestOfPrograms(join(paths.programs, manifest.programs)) !== manifest.programs) {
    found.push(`${join(paths.programs, manifest.programs)} modified`);
  }
  for (const [link, target] of Object.entries(programLinks(paths, manifest.programs))) {
    if (linkTarget(link) !== target) found.push(`${link} ${kindOf(link) === 'missing' ? 'missing' : 'modified'}`);
  }
  found.push(...storageDeviations(paths, manifest));
  return found;
}

/** Of the secrets that the planning machine has: whether they are the server's. Nothing but their names is told. */
function comparedSecrets(paths: HostPaths, manifest: Manifest, given: Readonly<Record<string, string>>): Foreseen['secrets'] {
  const key = readIfPresent(paths.hostKey);
  if (key === undefined) return {};
  const compared = Object.entries(given)
    .filter(([name]) => manifest.secrets[name] !== undefined)
    .map(([name, content]) => [name, manifest.secrets[name] === secretDigest(key, name, content) ? 'same' : 'other'] as const);
  return Object.fromEntries(compared);
}

/** Whether a former signing key, newly declared, is the one that signs now: another one would help no client. */
function previousKey(paths: HostPaths, manifest: Manifest, { secrets, deploy }: ObservationRequest): Pick<Foreseen, 'previousKey'> {
  const [signing, previous] = SIGNING_KEYS;
  const generated = deploy?.generatedKeys?.[previous];
  const content = secrets[previous];
  const key = readIfPresent(paths.hostKey);
  if (key === undefined || manifest.secrets[signing] === undefined || manifest.secrets[previous] !== undefined) return {};
  if (generated !== undefined) return { previousKey: manifest.generatedKeys?.[signing] === generated ? 'same' : 'other' };
  if (content === undefined) return {};
  return { previousKey: manifest.secrets[signing] === secretDigest(key, signing, content) ? 'same' : 'other' };
}

function secretDeviations(paths: HostPaths, manifest: Manifest, directory: string): string[] {
  const found: string[] = [];
  if (linkTarget(paths.secrets) !== 'current/secrets') found.push(`${paths.secrets} modified`);
  const key = readIfPresent(paths.hostKey);
  if (key === undefined) return Object.keys(manifest.secrets).length === 0 ? found : [...found, `${paths.hostKey} missing`];
  const present: Record<string, string> = {};
  for (const name of Object.keys(manifest.secrets)) {
    const content = readIfPresent(join(directory, secretFile(name)));
    if (content !== undefined) present[name] = secretDigest(key, name, content);
  }
  return [...found, ...compareDigests(manifest.secrets, present, (name) => secretPath(paths, name), { unexpected: false })];
}

function secretPath(paths: HostPaths, name: string): string {
  const file = secretFile(name);
  return file.startsWith('secrets/') ? join(paths.secrets, name) : join(paths.current, file);
}

function storageDeviations(paths: HostPaths, manifest: Manifest): string[] {
  const { storage } = manifest;
  if (storage === undefined) return [];
  if (storage.ownMount && !mountPoints(readFileSync(paths.mountInfo, 'utf8')).has(storage.root)) return [`${storage.root} not mounted`];
  // Without the sentinel the disk is not there: naming every link would say the same many times.
  if (kindOf(join(storage.root, SENTINEL)) !== 'file') return [`${join(storage.root, SENTINEL)} missing`];
  const links = foundLinks(storage.root);
  const deviating = Object.keys(planLinks([], manifest.links, links).place).map(
    (path) => `${join(storage.root, 'www', path)} ${links(path) === undefined ? 'missing' : 'modified'}`,
  );
  return [...deviating, ...missingHosted(manifest).map((target) => `${join(storage.root, target)} missing`)];
}

/** Relative path → SHA-256 of the files of a generation, without its manifest and secrets. */
function filesOf(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (relative: string): void => {
    let entries;
    try {
      entries = readdirSync(join(directory, relative), { withFileTypes: true });
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    for (const entry of entries) {
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (path === 'manifest.json' || path === 'secrets' || path === 'passwords') continue;
      if (entry.isDirectory()) walk(path);
      else found[path] = entry.isFile() ? sha256(readFileSync(join(directory, path))) : 'not a regular file';
    }
  };
  walk('');
  return found;
}
