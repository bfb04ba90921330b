import { readFileSync, statSync } from 'node:fs';
import type { IConstruct } from 'constructs';
import { keyscan, knownHostKeys } from '../../desired-state/known-hosts';
import { hostKey, projectFile } from '../../desired-state/validate';
import { check, invalid, show } from './check';

/** How a host key is pinned: by exactly one of the two. */
export interface HostKeyPin {
  /** SHA-256 fingerprint of the SSH host key, as `ssh-keygen -lf` prints it. */
  readonly hostKey?: string;
  /** Path of a known_hosts file, relative to the project: every key that it has for the address and port is accepted. */
  readonly knownHosts?: string;
}

/** Bytes. A line has a few hundred. */
const MAX_KNOWN_HOSTS = 256 * 1024;

/**
 * The fingerprints that are accepted for one host.
 *
 * @param prefix of the props' names: `jumpHost.`, or nothing
 */
export function hostKeysOf(where: IConstruct, prefix: string, pin: HostKeyPin, host: { address: string; port: number }): string[] {
  if (pin.knownHosts === undefined) {
    check(where, `${prefix}hostKey`, pin.hostKey, hostKey);
    return [pin.hostKey as string];
  }
  const prop = `${prefix}knownHosts`;
  if (pin.hostKey !== undefined) {
    throw invalid(where, prop, show(pin.knownHosts), {
      allowed: `a host key is pinned by ${prefix}hostKey or by ${prop}, not by both`,
      fix: 'Remove one of the two.',
    });
  }
  check(where, prop, pin.knownHosts, projectFile);
  const text = readSmallFile(pin.knownHosts);
  if (text === undefined) {
    throw invalid(where, prop, show(pin.knownHosts), {
      allowed: `it is a readable, regular file of at most ${MAX_KNOWN_HOSTS} bytes`,
      fix: `Make it: ${keyscan(host)} > known_hosts, and compare it with the server's console.`,
    });
  }
  return knownHostKeys(text, { file: pin.knownHosts, ...host });
}

/** Undefined for what is no file that can be read at once: reading a FIFO waits for ever. */
function readSmallFile(path: string): string | undefined {
  try {
    const stats = statSync(path);
    return stats.isFile() && stats.size <= MAX_KNOWN_HOSTS ? readFileSync(path, 'utf8') : undefined;
  } catch {
    return undefined;
  }
}
