import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { closeGpgHome, gpgOptions, openGpgHome } from './gpg-home';
import { primaryFingerprints } from './pinned-keys';
import { run } from './run';

/** A secret key of the mirror: armoured, without passphrase. */
export interface SecretKey {
  /** Where it was read, for errors. */
  readonly from: string;
  readonly text: Uint8Array;
}

/** Reads the keys that sign now: today's first, then the former one while their overlap lasts. */
export type KeySource = () => readonly SecretKey[] | Promise<readonly SecretKey[]>;

/** Who signs now, as it is handed out. */
export interface SigningIdentity {
  /** SHA-256 (hex) over the fingerprints: whatever was signed under another one is to be signed anew. */
  readonly digest: string;
  /** Of the primary keys, today's first. */
  readonly fingerprints: readonly string[];
  /** Armoured, one block a key, today's first. */
  readonly publicKeys: string;
}

interface PublicHalf {
  readonly fingerprint: string;
  /** Armoured. */
  readonly publicKey: string;
}

/**
 * Opens the mirror's signing keys. gpg starts only when something is signed, or when a key is seen for the first time.
 *
 * @param cache file that keeps the public halves beside digests of the secret ones, so that known keys need no gpg
 */
export async function openSigner(source: KeySource, cache: string): Promise<Signer> {
  const keys = await source();
  const digests = keys.map((key) => secretDigest(key.text));
  const known = await readCache(cache);
  const cached = digests.flatMap((digest) => known[digest] ?? []);
  if (cached.length === keys.length) return new Signer(keys, cached);
  const home = await openGpgHome();
  try {
    const halves: PublicHalf[] = [];
    for (const key of keys) halves.push(await publicHalf(home, key));
    await writeCache(cache, Object.fromEntries(digests.map((digest, i) => [digest, halves[i] as PublicHalf])));
    return new Signer(keys, halves, home);
  } catch (error) {
    await closeGpgHome(home);
    throw error;
  }
}

/**
 * Signs with the mirror's keys, which live in a directory in memory until `close`. Signatures of the same bytes are made once.
 */
export class Signer {
  readonly identity: SigningIdentity;
  private readonly made = new Map<string, Promise<string>>();
  private home: Promise<string> | undefined;

  /** @param home where the keys are imported already */
  constructor(
    private readonly keys: readonly SecretKey[],
    halves: readonly PublicHalf[],
    home?: string,
  ) {
    const fingerprints = halves.map(({ fingerprint }) => fingerprint);
    if (new Set(fingerprints).size < fingerprints.length) {
      throw keyError(
        `${keys.map(({ from }) => from).join(' and ')} hold the same key`,
        'Declare the former key, or none: see docs/how-to/rotate-a-secret.md.',
      );
    }
    this.identity = {
      digest: createHash('sha256').update(fingerprints.join('\n')).digest('hex'),
      fingerprints,
      publicKeys: halves.map(({ publicKey }) => publicKey).join(''),
    };
    if (home !== undefined) this.home = Promise.resolve(home);
  }

  /**
   * Detached armoured signatures by all keys: one block each, the former key's first. A client with either key accepts the file where it
   * looks at all signatures (gpg, gpgme); yum 3.4 and librepo on rpm's own OpenPGP look at the first one only, and have the former key or
   * fetch both. One block with two signatures would be refused by the latter.
   */
  async sign(bytes: Uint8Array): Promise<string> {
    const digest = createHash('sha256').update(bytes).digest('hex');
    let signature = this.made.get(digest);
    if (signature === undefined) {
      signature = this.signNow(bytes);
      this.made.set(digest, signature);
    }
    return signature;
  }

  async close(): Promise<void> {
    const home = await this.home?.catch(() => undefined);
    this.home = undefined;
    if (home !== undefined) await closeGpgHome(home);
  }

  private async signNow(bytes: Uint8Array): Promise<string> {
    const home = await (this.home ??= importAll(this.keys));
    const made = await Promise.all(
      [...this.identity.fingerprints].reverse().map(async (fingerprint) => {
        const how = ['--local-user', `0x${fingerprint}`, '--digest-algo', 'SHA512', '--armor', '--detach-sign'];
        const result = await run('gpg', [...gpgOptions(home), ...how], { input: bytes });
        if (result.code !== 0) throw keyError(`gpg cannot sign with ${fingerprint}: ${result.stderr.trim()}`);
        return result.stdout;
      }),
    );
    return made.join('');
  }
}

async function importAll(keys: readonly SecretKey[]): Promise<string> {
  const home = await openGpgHome();
  try {
    for (const key of keys) await importKey(home, key);
    return home;
  } catch (error) {
    await closeGpgHome(home);
    throw error;
  }
}

async function importKey(home: string, { from, text }: SecretKey): Promise<void> {
  const imported = await run('gpg', [...gpgOptions(home), '--import'], { input: text });
  if (imported.code !== 0) throw keyError(`gpg cannot import ${from}: ${imported.stderr.trim()}`);
}

/** Imports a key, and makes sure that it is one secret key. */
async function publicHalf(home: string, key: SecretKey): Promise<PublicHalf> {
  const shown = await run('gpg', [...gpgOptions(home), '--with-colons', '--show-keys'], { input: key.text });
  const [fingerprint, ...others] = primaryFingerprints(shown.stdout);
  if (fingerprint === undefined || !/^sec:/m.test(shown.stdout)) throw keyError(`${key.from} holds no OpenPGP secret key`);
  if (others.length > 0) throw keyError(`${key.from} holds ${others.length + 1} keys; the mirror signs with one`);
  await importKey(home, key);
  const exported = await run('gpg', [...gpgOptions(home), '--armor', '--export', `0x${fingerprint}`]);
  if (exported.stdout === '') throw keyError(`gpg cannot export the public half of ${key.from}: ${exported.stderr.trim()}`);
  return { fingerprint, publicKey: exported.stdout };
}

/** Tells a secret key from another without keeping any of it. */
function secretDigest(text: Uint8Array): string {
  return createHash('sha256').update('mirror signing key\n').update(text).digest('hex');
}

async function readCache(path: string): Promise<Readonly<Record<string, PublicHalf>>> {
  const text = await readFile(path, 'utf8').catch(() => '{}');
  try {
    const { keys } = JSON.parse(text) as { keys?: Record<string, Partial<PublicHalf>> };
    const whole = Object.entries(keys ?? {}).filter(
      ([, half]) => typeof half.fingerprint === 'string' && typeof half.publicKey === 'string',
    );
    return Object.fromEntries(whole) as Record<string, PublicHalf>;
  } catch {
    // Damaged: made again.
    return {};
  }
}

/** A cache that is lost is made again; one that several runs write at a time is whole all the same. */
async function writeCache(path: string, keys: Readonly<Record<string, PublicHalf>>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await removeUnfinished(path);
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify({ keys }, undefined, 1)}\n`);
  await rename(temporary, path);
}

/** Removes what processes left that died while they wrote. */
async function removeUnfinished(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    const pid = name.startsWith(`${basename(path)}.`) ? /^\d+$/.exec(name.slice(basename(path).length + 1))?.[0] : undefined;
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await rm(join(dirname(path), name), { force: true });
  }
}

function keyError(
  message: string,
  remedy = 'Give one secret key without passphrase: gpg --armor --export-secret-keys FINGERPRINT.',
): MirrorError {
  return new MirrorError({ code: 'SIGNING_KEY_UNUSABLE', message, remedy, exitCode: ExitCode.invalid });
}
