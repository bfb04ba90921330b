/**
 * OpenPGP keys that stand in for the upstreams' own, by the name of the key file in `keys/`, and the mirror's signing key.
 * Made once per cache, so that signed packages can be cached; kept as armoured files, used through a key ring that lives as long as a
 * command: no agent stays behind, and no socket path gets too long.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withLock } from './lock';
import { run, step, succeeds } from './shell';

export const MIRROR_SIGNING_KEY = 'mirror-signing-key';

export interface SigningKey {
  readonly name: string;
  readonly fingerprint: string;
  /** Armoured. */
  readonly publicFile: string;
  readonly secretFile: string;
}

/** The keys by name, made when they are missing. */
export async function signingKeys(cache: string, names: readonly string[]): Promise<Map<string, SigningKey>> {
  const directory = join(cache, 'signing-keys');
  if (names.some((name) => !existsSync(join(directory, `${name}.json`)))) {
    await withLock(join(cache, 'signing-keys.lock'), async () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const missing = names.filter((name) => !existsSync(join(directory, `${name}.json`)));
      if (missing.length > 0) await step(`made ${missing.length} signing keys`, () => missing.forEach((name) => make(directory, name)));
    });
  }
  return new Map(names.map((name) => [name, JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8')) as SigningKey]));
}

function make(directory: string, name: string): void {
  const key = { name, publicFile: join(directory, name), secretFile: join(directory, `${name}.secret`) };
  withKeyRing([], (home) => {
    run([
      'gpg',
      '--homedir',
      home,
      '--batch',
      '--passphrase',
      '',
      '--quick-generate-key',
      `${name} (lab) <${name.toLowerCase()}@lab.invalid>`,
      'rsa3072',
      'sign',
      'never',
    ]);
    const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(
      run(['gpg', '--homedir', home, '--batch', '--with-colons', '--list-keys']),
    )?.[1] as string;
    writeFileSync(key.publicFile, run(['gpg', '--homedir', home, '--batch', '--armor', '--export', fingerprint]));
    writeFileSync(key.secretFile, run(['gpg', '--homedir', home, '--batch', '--armor', '--export-secret-keys', fingerprint]), {
      mode: 0o600,
    });
    const record = join(directory, `${name}.json`);
    writeFileSync(`${record}.new`, JSON.stringify({ ...key, fingerprint } satisfies SigningKey));
    renameSync(`${record}.new`, record);
  });
}

/** A key ring with the secret keys, for as long as `work` runs. */
export function withKeyRing<T>(keys: readonly SigningKey[], work: (home: string) => T): T {
  const home = mkdtempSync(join(tmpdir(), 'lab-gpg-'));
  const end = (): void => {
    succeeds(['gpgconf', '--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true, force: true });
  };
  try {
    for (const key of keys) run(['gpg', '--homedir', home, '--batch', '--quiet', '--import', key.secretFile]);
    const result = work(home);
    if (result instanceof Promise) return result.finally(end) as T;
    end();
    return result;
  } catch (error) {
    end();
    throw error;
  }
}

/**
 * Writes `<file>.asc`. `version3`: as CentOS' vault has them, an OpenPGP version 3 signature packet, which gpg reads and many libraries
 * do not; only GnuPG 1 still makes one.
 */
export function signDetached(file: string, key: SigningKey, version3: boolean): void {
  rmSync(`${file}.asc`, { force: true });
  if (!version3) {
    withKeyRing([key], (home) => detachSign('gpg', home, key, file, ['--yes']));
    return;
  }
  const home = mkdtempSync(join(tmpdir(), 'lab-gpg-'));
  try {
    run(['gpg1', '--homedir', home, '--batch', '--quiet', '--import', key.secretFile]);
    detachSign('gpg1', home, key, file, ['--force-v3-sigs']);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function detachSign(program: 'gpg' | 'gpg1', home: string, key: SigningKey, file: string, options: readonly string[]): void {
  const how = ['--digest-algo', 'SHA256', '--armor', '--local-user', key.fingerprint, '--detach-sign', file];
  run([program, '--homedir', home, '--batch', ...options, ...how]);
}
