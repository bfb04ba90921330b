import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { inKeyHome, type KeyRing } from './pinned-keys';
import { run } from './run';

/** Why a key or subkey signs no more. */
export type Unusable = 'expired' | 'revoked';

export interface UsableKeys {
  /** The keys that sign today; undefined where there is none. */
  readonly ring: KeyRing | undefined;
  /** The other keys and subkeys: key id (16 hexadecimal digits, upper-case) → why. */
  readonly unusable: ReadonlyMap<string, Unusable>;
}

interface ListedKey {
  readonly fingerprint: string;
  readonly why: Unusable | undefined;
  readonly subkeys: { readonly fingerprint: string; readonly why: Unusable | undefined }[];
}

const WHY: Readonly<Record<string, Unusable>> = { e: 'expired', r: 'revoked' };

/**
 * Parts a ring: rpm takes the signatures of expired and of revoked keys for good ones, so that these must not come into its data base.
 *
 * @param directory where `buildKeyRing` built it; unusable subkeys are taken out of what lies there
 */
export function usableKeys(ring: KeyRing, directory: string): Promise<UsableKeys> {
  return inKeyHome(async (base) => {
    await gpg([...base, '--import', '--', ...ring.armoured]);
    return partedKeys(ring, directory, [...base, '--yes']);
  });
}

async function partedKeys(ring: KeyRing, directory: string, base: readonly string[]): Promise<UsableKeys> {
  const keys = listedKeys((await gpg([...base, '--with-colons', '--list-keys'])).stdout);
  const unusable = new Map<string, Unusable>();
  const usable = new Set<string>();
  for (const { fingerprint, why, subkeys } of keys) {
    if (why === undefined) usable.add(fingerprint);
    else unusable.set(keyId(fingerprint), why);
    for (const subkey of subkeys) {
      // A subkey falls with its key.
      const fallen = subkey.why ?? why;
      if (fallen !== undefined) unusable.set(keyId(subkey.fingerprint), fallen);
    }
    const gone = subkeys.filter((subkey) => subkey.why !== undefined);
    if (why !== undefined || gone.length === 0) continue;
    await gpg([...base, '--delete-keys', ...gone.map((subkey) => `${subkey.fingerprint}!`)]);
    await gpg([...base, '--armor', '--output', join(directory, `${fingerprint}.asc`), '--export', `0x${fingerprint}`]);
  }
  const armoured = ring.armoured.filter((path) => [...usable].some((fingerprint) => path === join(directory, `${fingerprint}.asc`)));
  return { ring: armoured.length === 0 ? undefined : { ...ring, armoured, fingerprints: usable }, unusable };
}

/** The keys in the output of `gpg --with-colons --list-keys`, which says of each whether it has expired or was revoked. */
export function listedKeys(colons: string): readonly ListedKey[] {
  const keys: ListedKey[] = [];
  let open: { readonly kind: string; readonly why: Unusable | undefined } | undefined;
  for (const fields of colons.split('\n').map((line) => line.split(':'))) {
    const [kind = '', validity = ''] = fields;
    if (kind === 'pub' || kind === 'sub') open = { kind, why: WHY[validity] };
    if (kind !== 'fpr' || open === undefined) continue;
    const { why } = open;
    const fingerprint = fields[9] as string;
    if (open.kind === 'pub') keys.push({ fingerprint, why, subkeys: [] });
    else keys.at(-1)?.subkeys.push({ fingerprint, why });
    open = undefined;
  }
  return keys;
}

function keyId(fingerprint: string): string {
  return fingerprint.slice(-16);
}

async function gpg(argv: readonly string[]): Promise<{ readonly stdout: string }> {
  const result = await run('gpg', argv);
  if (result.code === 0) return result;
  throw new MirrorError({
    code: 'KEY_UNUSABLE',
    message: `gpg cannot say which of the declared keys are valid: ${result.stderr.trim()}`,
    remedy: 'Check the key files with gpg --show-keys.',
    exitCode: ExitCode.untrusted,
  });
}
