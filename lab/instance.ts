/** Names, paths and addresses of one lab: everything that must not collide with another checkout's or another instance's. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { UPSTREAM_HOSTS } from './upstreams';
import { usageError } from './shell';

/** All labs of this machine, outside any checkout. Readable by root only. */
export const STATE_ROOT = '/var/tmp/package-mirror-lab';

/** Held by commands that change an instance; removed with it. */
export const lockOf = (instance: Instance): string => join(STATE_ROOT, '.locks', instance.key);

/** The name that clients know the mirror by: `serverName` of the vhost in main.ts. */
export const MIRROR_NAME = 'mirror.example.org';

export interface Instance {
  /** From `MIRROR_LAB`. */
  readonly name: string;
  /** Name and a digest of the checkout's path. */
  readonly key: string;
  readonly checkout: string;
  readonly state: string;
  readonly cache: string;
  /** Network namespaces. `switch` holds the bridge, out of reach of the machine's own packet filter. */
  readonly namespaces: { readonly switch: string; readonly mirror: string; readonly upstream: string; readonly client: string };
  /** The interface of this machine, at most 15 characters. */
  readonly gatewayInterface: string;
}

/** @throws MirrorError when the name does not fit into the names that are made from it */
export function instanceOf(name: string, checkout: string, cache: string): Instance {
  if (!/^[a-z0-9][a-z0-9-]{0,19}$/.test(name)) {
    throw usageError(
      `MIRROR_LAB=${JSON.stringify(name)}: a lab's name is 1 to 20 of a-z, 0-9 and "-", starting with a letter or digit`,
      'For instance MIRROR_LAB=review.',
    );
  }
  const digest = createHash('sha256').update(`${checkout}\0${name}`).digest('hex').slice(0, 8);
  const key = `${name}-${digest}`;
  const namespace = (host: string): string => `lab-${key}-${host}`;
  return {
    name,
    key,
    checkout,
    state: join(STATE_ROOT, key),
    cache,
    namespaces: { switch: namespace('switch'), mirror: namespace('mirror'), upstream: namespace('upstream'), client: namespace('client') },
    gatewayInterface: `lab${digest}`,
  };
}

export interface Addresses {
  /** `10.x.y`: a /24 that nothing else on this machine uses. */
  readonly prefix: string;
  readonly gateway: string;
  readonly mirror: string;
  readonly client: string;
  /** Host name → address. */
  readonly upstreams: Readonly<Record<string, string>>;
}

export function addressesIn(prefix: string): Addresses {
  return {
    prefix,
    gateway: `${prefix}.1`,
    mirror: `${prefix}.2`,
    client: `${prefix}.3`,
    upstreams: Object.fromEntries(UPSTREAM_HOSTS.map((host, index) => [host, `${prefix}.${10 + index}`])),
  };
}

/** `/etc/hosts` of a host of the lab. */
export function hostsFile(own: string, addresses: Addresses, names: Readonly<Record<string, string>>): string {
  const lines = [`127.0.0.1 localhost ${own}`, '::1 localhost', `${addresses.gateway} lab-gateway`];
  for (const [name, address] of Object.entries(names)) lines.push(`${address} ${name}`);
  return `${lines.join('\n')}\n`;
}

/**
 * The /24s to try, a different first one for each instance, so that two that start at once seldom ask for the same.
 * 10.200.0.0 to 10.249.255.0: seldom used by VPNs and container networks.
 */
export function* candidatePrefixes(key: string): Generator<string> {
  const start = createHash('sha256').update(key).digest().readUInt32BE(0) % (50 * 256);
  for (let i = 0; i < 50 * 256; i++) {
    const n = (start + i) % (50 * 256);
    yield `10.${200 + Math.floor(n / 256)}.${n % 256}`;
  }
}

/** True when the /24 overlaps one of the networks (`a.b.c.d/len`, or an address), a default route aside. */
export function overlaps(prefix: string, networks: readonly string[]): boolean {
  const value = (address: string): number => address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const first = value(`${prefix}.0`);
  return networks.some((network) => {
    const [address, length = '32'] = network.split('/') as [string, string?];
    if (!/^\d+(\.\d+){3}$/.test(address)) return false;
    const size = 2 ** (32 - Number(length));
    const base = Math.floor(value(address) / size) * size;
    return base < first + 256 && first < base + size;
  });
}
