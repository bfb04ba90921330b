import { foreignKey } from './foreign-key';
import type { KeyRing } from './pinned-keys';
import { run } from './run';

/** `bad`: made by a pinned key over other bytes (or at another moment); `untrusted`: everything else that is no proof. */
export type Verdict =
  { readonly verdict: 'good'; readonly fingerprint: string } | { readonly verdict: 'bad' | 'untrusted'; readonly reason: string };

/**
 * Judges the status lines of `gpgv --status-fd`. Good is: at least one good and valid signature whose primary key is pinned, and no bad
 * one. Expired signatures, and expired or revoked keys, are no proof.
 */
export function judgeStatus(status: string, pinned: ReadonlySet<string>): Verdict {
  const lines = status
    .split('\n')
    .filter((l) => l.startsWith('[GNUPG:] '))
    .map((l) => l.slice('[GNUPG:] '.length).split(' '));
  const has = (word: string): string[] | undefined => lines.find((l) => l[0] === word);
  const bad = has('BADSIG');
  if (bad !== undefined) return { verdict: 'bad', reason: `the signature by key ${bad[1] ?? '?'} does not match the file` };
  for (let i = 0; i < lines.length; i++) {
    // gpgv reports each signature from NEWSIG on; VALIDSIG follows GOODSIG, EXPKEYSIG and the others alike.
    if (lines[i]?.[0] !== 'GOODSIG') continue;
    const valid = lines.slice(i + 1).find((l) => l[0] === 'VALIDSIG' || l[0] === 'NEWSIG');
    const primary = valid?.[0] === 'VALIDSIG' ? (valid[10] ?? valid[1]) : undefined;
    if (primary !== undefined && pinned.has(primary)) return { verdict: 'good', fingerprint: primary };
  }
  const expired = has('EXPSIG') ?? has('EXPKEYSIG') ?? has('REVKEYSIG');
  if (expired !== undefined) {
    const words: Record<string, string> = {
      EXPSIG: 'the signature has expired',
      EXPKEYSIG: 'its key has expired',
      REVKEYSIG: 'its key was revoked',
    };
    return { verdict: 'untrusted', reason: `${words[expired[0] as string]} (key ${expired[1] ?? '?'})` };
  }
  const unknown = has('NO_PUBKEY');
  if (unknown !== undefined) return { verdict: 'untrusted', reason: foreignKey(unknown[1] ?? '?') };
  return { verdict: 'untrusted', reason: 'there is no OpenPGP signature in it' };
}

/** Verifies a detached signature (armoured or binary) of the file `data` with exactly the keys of the ring. */
export async function verifyDetached(ring: KeyRing, signature: string, data: string): Promise<Verdict> {
  const result = await run('gpgv', ['--status-fd', '1', '--keyring', ring.keyring, '--', signature, data]);
  return judgeStatus(result.stdout, ring.fingerprints);
}
