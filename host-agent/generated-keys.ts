/** Signing keys that the server makes itself. They are root's, stay the same from deploy to deploy, and never leave the server. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { type DesiredState, SIGNING_KEYS } from '../desired-state/model';
import type { Reporter } from './events';
import { ensureDirectory, kindOf, namesIn, readIfPresent, writeDurably } from './files';
import { generationNumbers, secretDigest } from './generation';
import type { Manifest } from './manifest';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** gpg's temporary directory, in memory. */
const HOME = '.mirror-key-';

/** Clients whose clocks are late by up to this accept the key too: gpg refuses one that is from the future. */
const BACKDATED_SECONDS = 86_400;

/** Where the key of a version is kept, whatever generation uses it. */
export function generatedKeyFile(paths: HostPaths, version: string): string {
  return join(paths.generatedKeys, `${version}.asc`);
}

/** The files of all keys that were made here. */
export function generatedKeyFiles(paths: HostPaths): string[] {
  return namesIn(paths.generatedKeys)
    .sort()
    .map((name) => join(paths.generatedKeys, name));
}

/** Found keys by name of the secret; undefined: it is to be made. */
type FoundKeys = Readonly<Record<string, string | undefined>>;

/**
 * Looks for declared keys that were made before: in a generation that has it unharmed, else where they are kept. Throws MirrorError when one
 * is lost, since another one in its place would lock out every client in silence.
 *
 * @param known manifests on disk, oldest first
 */
export function findGeneratedKeys(paths: HostPaths, declared: DesiredState['generatedKeys'], known: readonly Manifest[]): FoundKeys {
  return Object.fromEntries(Object.entries(declared ?? {}).map(([name, version]) => [name, find(paths, name, version, known)]));
}

function find(paths: HostPaths, name: string, version: string, known: readonly Manifest[]): string | undefined {
  const file = generatedKeyFile(paths, version);
  const kept = readIfPresent(file);
  const uses = [...known].reverse().flatMap((manifest) =>
    Object.entries(manifest.generatedKeys ?? {})
      .filter(([, used]) => used === version)
      .map(([secret]) => ({ secret, manifest })),
  );
  const key = readIfPresent(paths.hostKey) ?? '';
  for (const { secret, manifest } of uses) {
    const own = readIfPresent(join(paths.generations, String(manifest.generation), 'secrets', secret));
    const intact = [own, kept].find((text) => text !== undefined && manifest.secrets[secret] === secretDigest(key, secret, text));
    if (intact !== undefined) return intact;
  }
  if (uses.length > 0) throw lost(file, version, kept !== undefined);
  // One that was restored from a backup to a server that was set up anew is there without any generation.
  if (kept !== undefined && kept !== '') return kept;
  if (name !== SIGNING_KEYS[0] && known.some((manifest) => manifest.generation > 0)) throw neverMade(file, version);
  return undefined;
}

/** The declared keys, made where they are new, and kept where all generations find them. Throws MirrorError as `findGeneratedKeys`. */
export async function generatedKeys(
  paths: HostPaths,
  desired: Pick<DesiredState, 'generatedKeys' | 'probe'>,
  known: readonly Manifest[],
  report: Reporter,
): Promise<Record<string, string>> {
  const keys: Record<string, string> = {};
  for (const [name, found] of Object.entries(findGeneratedKeys(paths, desired.generatedKeys, known))) {
    const version = desired.generatedKeys?.[name] ?? '';
    if (found === undefined) report.progress(`making the signing key of version ${version}`);
    const text = found ?? (await makeKey(paths, `Package mirror ${desired.probe.serverName}, signing key ${version}`));
    const file = generatedKeyFile(paths, version);
    ensureDirectory(paths.generatedKeys, 0o700);
    if (readIfPresent(file) !== text) writeDurably(file, text, 0o400);
    keys[name] = text;
  }
  return keys;
}

/** Keys of this generation that are not where they are kept, or are others. */
export function generatedKeyDeviations(paths: HostPaths, manifest: Manifest): string[] {
  const key = readIfPresent(paths.hostKey) ?? '';
  return Object.entries(manifest.generatedKeys ?? {}).flatMap(([name, version]) => {
    const file = generatedKeyFile(paths, version);
    const text = readIfPresent(file);
    if (text === undefined) return [`${file} missing`];
    return secretDigest(key, name, text) === manifest.secrets[name] ? [] : [`${file} modified`];
  });
}

/** Removes keys that only generations had which are gone now; one that no generation ever had is somebody's backup. */
export function pruneGeneratedKeys(paths: HostPaths, before: readonly Manifest[], after: readonly Manifest[]): void {
  // A generation that cannot be read may need any of them.
  if (after.length < generationNumbers(paths).length) return;
  const versions = (manifests: readonly Manifest[]): string[] => manifests.flatMap((one) => Object.values(one.generatedKeys ?? {}));
  const needed = new Set(versions(after));
  for (const version of new Set(versions(before))) if (!needed.has(version)) rmSync(generatedKeyFile(paths, version), { force: true });
}

/** RSA, since CentOS 7 (GnuPG 2.0, rpm 4.11) knows no elliptic curves of today. */
async function makeKey(paths: HostPaths, name: string): Promise<string> {
  for (const left of readdirSync(paths.memory)) {
    // What a run left that was killed. Nobody used that key, and no program is run in it: anybody may put a directory there.
    if (left.startsWith(HOME) && kindOf(join(paths.memory, left)) === 'directory') rmSync(join(paths.memory, left), { recursive: true });
  }
  const home = mkdtempSync(join(paths.memory, HOME));
  const options = ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
  const then = new Date(Date.now() - BACKDATED_SECONDS * 1000).toISOString().replace(/[-:]|\.\d+Z$/g, '');
  try {
    const made = await run('gpg', [
      ...options,
      '--faked-system-time',
      `${then}!`,
      '--quick-generate-key',
      name,
      'rsa4096',
      'sign',
      'never',
    ]);
    const exported = await run('gpg', [...options, '--armor', '--export-secret-keys']);
    if (made.exitCode === 0 && exported.exitCode === 0 && exported.stdout.includes('PRIVATE KEY')) return exported.stdout;
    throw new MirrorError({
      code: 'KEY_NOT_MADE',
      message: `gpg could not make a signing key: ${lastWords(made.exitCode === 0 ? exported : made)}`,
      remedy: 'Nothing was switched. See what gpg says; or declare a key that you have: signingKey: Secret.fromEnvironment(…).',
      exitCode: ExitCode.environment,
    });
  } finally {
    await run('gpgconf', ['--homedir', home, '--kill', 'gpg-agent']);
    rmSync(home, { recursive: true, force: true });
  }
}

function lost(file: string, version: string, other: boolean): MirrorError {
  return new MirrorError({
    code: 'GENERATED_KEY_LOST',
    message: `the signing key that this server made as version ${version} is gone (${file} is ${other ? 'another one' : 'missing'}): nothing was changed`,
    remedy: `Restore ${file} from its backup and deploy again. If there is none, declare another version: a new key is made, and every client must import it.`,
    exitCode: ExitCode.invalid,
  });
}

function neverMade(file: string, version: string): MirrorError {
  return new MirrorError({
    code: 'GENERATED_KEY_UNKNOWN',
    message: `previousSigningKey: this server never made a signing key of version ${version} (${file} is missing): nothing was changed`,
    remedy: 'Declare the version that signed before, or leave previousSigningKey out.',
    exitCode: ExitCode.invalid,
  });
}
