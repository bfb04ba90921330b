import { ExitCode, MirrorError } from '../desired-state/errors';
import { fingerprintOf, typeOfKey } from '../desired-state/host-key';
import type { Endpoint } from '../desired-state/target';

/** A host key as a server offered it. */
export interface OfferedKey {
  readonly type: string;
  readonly fingerprint: string;
}

/** Type and fingerprint of a public key in wire format. */
export function describeKey(key: Buffer): OfferedKey {
  return { type: typeOfKey(key), fingerprint: fingerprintOf(key) };
}

/** The error for a server that offers none of the keys we know: names every fingerprint, and how to find out which is right. */
export function hostKeyError(endpoint: Endpoint, offered: readonly OfferedKey[]): MirrorError {
  const place = endpoint.port === 22 ? endpoint.address : `${endpoint.address} port ${endpoint.port}`;
  const shown = offered.map((k) => `${k.fingerprint} (${k.type})`).join(', ');
  const check = 'On the server\'s console, run: for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$f"; done';
  if (endpoint.hostKeys.length === 0) {
    return new MirrorError({
      code: 'HOST_KEY_UNKNOWN',
      message: `no host key is pinned for ${place}; the server offers ${shown}`,
      remedy: `${check}. If it prints the same, pin it: hostKey: '${offered[0]?.fingerprint ?? ''}'.`,
      exitCode: ExitCode.untrusted,
    });
  }
  return new MirrorError({
    code: 'HOST_KEY_MISMATCH',
    message: `the host key of ${place} is not the pinned one: pinned ${endpoint.hostKeys.join(', ')}, offered ${shown}`,
    remedy: `Somebody may be in between, or the server was reinstalled. ${check}. Change the pin (hostKey, or the line in knownHosts) only when the console prints what is offered here.`,
    exitCode: ExitCode.untrusted,
  });
}
