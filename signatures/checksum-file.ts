import { judgeStatus, type Verdict } from './detached';
import type { KeyRing } from './pinned-keys';
import { run } from './run';

/** The verdict on a signature, and when it was made (Unix seconds) where it is good. */
export interface TimedVerdict {
  readonly verdict: Verdict;
  readonly madeAt: number | undefined;
}

const CLEARSIGNED = '-----BEGIN PGP SIGNED MESSAGE-----';

/** Whether a text is one that carries its own signature, as `sha256sum.txt.asc` of CentOS and `CHECKSUM` of Fedora do. */
export function isClearsigned(text: string): boolean {
  return text
    .replace(/^\ufeff/, '')
    .trimStart()
    .startsWith(CLEARSIGNED);
}

/**
 * Verifies a clearsigned file and writes what was signed, and nothing else, to `output`: whatever stands before or after it in the file
 * counts for nothing.
 */
export async function verifyClearsigned(ring: KeyRing, file: string, output: string): Promise<TimedVerdict> {
  return timed(ring, ['--output', output, '--', file]);
}

/** Verifies a detached signature, and says when it was made. */
export async function verifyDetachedTimed(ring: KeyRing, signature: string, data: string): Promise<TimedVerdict> {
  return timed(ring, ['--', signature, data]);
}

async function timed(ring: KeyRing, argv: readonly string[]): Promise<TimedVerdict> {
  const { stdout } = await run('gpgv', ['--status-fd', '1', '--keyring', ring.keyring, ...argv]);
  const verdict = judgeStatus(stdout, ring.fingerprints);
  return { verdict, madeAt: verdict.verdict === 'good' ? signatureTime(stdout) : undefined };
}

/** The oldest time of a valid signature in the status lines of gpgv: with two of them, neither may be newer than what is said. */
export function signatureTime(status: string): number | undefined {
  const times = [...status.matchAll(/^\[GNUPG:\] VALIDSIG \S+ \S+ (\d{1,12})\b/gm)].map((match) => Number(match[1]));
  return times.length === 0 ? undefined : Math.min(...times);
}
