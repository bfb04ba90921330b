import { ExitCode, MirrorError } from '../desired-state/errors';
import { fingerprintOf, HOST_KEY_TYPES, typeOfKey } from '../desired-state/host-key';
import { place, type Hop } from './stages';

/** A host key as a server offered it. */
export interface OfferedKey {
  readonly type: string;
  readonly fingerprint: string;
}

/** Type and fingerprint of a public key in wire format. */
export function describeKey(key: Buffer): OfferedKey {
  return { type: typeOfKey(key), fingerprint: fingerprintOf(key) };
}

/** The error for a server that offers none of the keys we know: names every fingerprint, and how to find out which is right. Pure. */
export function hostKeyError(hop: Hop, offered: readonly OfferedKey[]): MirrorError {
  const { hostKeys } = hop.endpoint;
  const at = place(hop);
  const shown = offered.map((key) => `${key.fingerprint} (${key.type})`).join(', ');
  const make = (code: string, message: string, remedy: string): MirrorError =>
    new MirrorError({ code, message, remedy, exitCode: ExitCode.untrusted });
  const check = 'On that host\'s console, run: for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$f"; done';
  if (offered.length === 0) {
    return make(
      'HOST_KEY_TYPE',
      `${at} has no host key of a type that we accept (${HOST_KEY_TYPES.join(', ')})`,
      'Make one there: ssh-keygen -A, then restart sshd; and look at HostKey and HostKeyAlgorithms in its sshd_config.',
    );
  }
  if (hostKeys.length === 0) {
    return make(
      'HOST_KEY_UNKNOWN',
      `no host key is pinned for ${at}; it offers ${shown}`,
      `${check}. If it prints the same, pin it: hostKey: '${offered[0]?.fingerprint ?? ''}'.`,
    );
  }
  return make(
    'HOST_KEY_MISMATCH',
    `the host key of ${at} is not the pinned one: pinned ${hostKeys.join(', ')}, offered ${shown}`,
    `Somebody may be in between, or that host was reinstalled or lost this type of key. ${check}. Change the pin (hostKey, or the line in knownHosts) only when the console prints what is offered here.`,
  );
}
