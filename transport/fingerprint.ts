import { createHash } from 'node:crypto';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Endpoint } from '../desired-state/target';

/** A host key as a server offered it. */
export interface OfferedKey {
  readonly type: string;
  readonly fingerprint: string;
}

/** The fingerprint of a public key in wire format, as `ssh-keygen -lf` prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** Type and fingerprint of a public key in wire format (its first string is the type). */
export function describeKey(key: Buffer): OfferedKey {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return { type: key.subarray(4, 4 + length).toString('latin1'), fingerprint: fingerprintOf(key) };
}

/**
 * Groups of host key algorithms, most usual first. A server has one key per group and a handshake shows one of them, so that a pin of
 * another type than the preferred one is found by asking again.
 */
export const HOST_KEY_GROUPS = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'rsa-sha2-256'],
] as const;

/** The error for a server that offers none of the keys we know: names every fingerprint, and how to find out which is right. */
export function hostKeyError(endpoint: Endpoint, offered: readonly OfferedKey[]): MirrorError {
  const place = endpoint.port === 22 ? endpoint.address : `${endpoint.address} port ${endpoint.port}`;
  const shown = offered.map((k) => `${k.fingerprint} (${k.type})`).join(', ');
  const check = 'On the server\'s console, run: for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$f"; done';
  if (endpoint.hostKey === undefined) {
    return new MirrorError({
      code: 'HOST_KEY_UNKNOWN',
      message: `no host key is pinned for ${place}; the server offers ${shown}`,
      remedy: `${check}. If it prints the same, pin it: hostKey: '${offered[0]?.fingerprint ?? ''}'.`,
      exitCode: ExitCode.untrusted,
    });
  }
  return new MirrorError({
    code: 'HOST_KEY_MISMATCH',
    message: `the host key of ${place} is not the pinned one: pinned ${endpoint.hostKey}, offered ${shown}`,
    remedy: `Somebody may be in between, or the server was reinstalled. ${check}. Change hostKey only when the console prints what is offered here.`,
    exitCode: ExitCode.untrusted,
  });
}
