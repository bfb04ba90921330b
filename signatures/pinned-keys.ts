import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { run } from './run';

/** A public key that the project pins: its file, and the fingerprint of its primary key in upper-case hex. */
export interface PinnedKey {
  readonly path: string;
  readonly fingerprint: string;
}

/** A key ring with exactly the pinned keys, in a directory of its own. */
export interface KeyRing {
  /** For gpgv. */
  readonly keyring: string;
  /** One armoured file for each key, for rpmkeys. */
  readonly armoured: readonly string[];
  readonly fingerprints: ReadonlySet<string>;
}

/** Fingerprints of the primary keys in the output of `gpg --show-keys --with-colons`. */
export function primaryFingerprints(colons: string): readonly string[] {
  const found: string[] = [];
  let primary = false;
  for (const line of colons.split('\n')) {
    const fields = line.split(':');
    if (fields[0] === 'pub' || fields[0] === 'sec') primary = true;
    else if (fields[0] === 'sub' || fields[0] === 'ssb') primary = false;
    else if (fields[0] === 'fpr' && primary && fields[9] !== undefined) {
      found.push(fields[9]);
      primary = false;
    }
  }
  return found;
}

/**
 * Builds the key ring in `directory` (made empty first). Throws unless every file holds the keys that the definition pins for it, and no
 * other: a key that slipped into a file must not become trusted.
 */
export async function buildKeyRing(keys: readonly PinnedKey[], directory: string): Promise<KeyRing> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return inKeyHome((base) => fillKeyRing(keys, directory, base));
}

/**
 * Works with public keys in a home of gpg's own.
 *
 * @param work is given the options of every gpg in it
 */
export async function inKeyHome<T>(work: (base: readonly string[]) => Promise<T>): Promise<T> {
  // Where the machine has no /run/user, gpg wants its agent's socket in its home, and the path of a socket ends at 108 bytes.
  const home = await mkdtemp(join(tmpdir(), 'key-ring-'));
  try {
    return await work(['--homedir', home, '--batch', '--no-tty', '--no-autostart', '--quiet']);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function fillKeyRing(keys: readonly PinnedKey[], directory: string, base: readonly string[]): Promise<KeyRing> {
  const files = [...new Set(keys.map((k) => k.path))];
  for (const path of files) await checkFile(path, keys, base);
  await gpg([...base, '--import', '--', ...files]);
  const keyring = join(directory, 'keyring.gpg');
  const fingerprints = [...new Set(keys.map((k) => k.fingerprint))];
  await gpg([...base, '--output', keyring, '--export', ...fingerprints.map((f) => `0x${f}`)]);
  const armoured: string[] = [];
  for (const fingerprint of fingerprints) {
    const path = join(directory, `${fingerprint}.asc`);
    await gpg([...base, '--armor', '--output', path, '--export', `0x${fingerprint}`]);
    armoured.push(path);
  }
  return { keyring, armoured, fingerprints: new Set(fingerprints) };
}

async function checkFile(path: string, keys: readonly PinnedKey[], base: readonly string[]): Promise<void> {
  const expected = new Set(keys.filter((k) => k.path === path).map((k) => k.fingerprint));
  const text = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw keyError(`the key file ${path} cannot be read: ${error.message}`, 'Deploy again: the key files are part of the configuration.');
  });
  const shown = await run('gpg', [...base, '--with-colons', '--show-keys'], { input: text });
  const found = primaryFingerprints(shown.stdout);
  if (found.length === 0)
    throw keyError(`the key file ${path} holds no OpenPGP public key`, 'Put the armoured public key of the upstream there.');
  const strangers = found.filter((f) => !expected.has(f));
  const absent = [...expected].filter((f) => !found.includes(f));
  if (strangers.length > 0 || absent.length > 0) {
    throw keyError(
      `the key file ${path} holds ${found.join(', ')}; pinned is ${[...expected].join(', ')}`,
      'Compare both with what the upstream publishes, then correct the file or the fingerprint. A file holds pinned keys only.',
    );
  }
}

async function gpg(argv: readonly string[]): Promise<void> {
  const result = await run('gpg', argv);
  if (result.code !== 0)
    throw keyError(`gpg cannot read the pinned keys: ${result.stderr.trim()}`, 'Check the key files with gpg --show-keys.');
}

function keyError(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'KEY_MISMATCH', message, remedy, exitCode: ExitCode.untrusted });
}
