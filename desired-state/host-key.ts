/** SSH host keys in wire format (RFC 4253): a string with the type, then the key itself. */
import { createHash } from 'node:crypto';

/**
 * Groups of host key algorithms, most usual first. A server has one key per group and a handshake shows one of them, so that a pin of
 * another type than the preferred one is found by asking again.
 */
export const HOST_KEY_GROUPS = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'rsa-sha2-256'],
] as const;

/** Types of keys that a pin can be for, as they are written in a key file. */
export const HOST_KEY_TYPES = [...HOST_KEY_GROUPS[0], ...HOST_KEY_GROUPS[1], 'ssh-rsa'] as const;

/** The fingerprint of a public key, as `ssh-keygen -lf` prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The type that the key itself names. Empty when there is none. */
export function typeOfKey(key: Buffer): string {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return key.subarray(4, 4 + length).toString('latin1');
}
