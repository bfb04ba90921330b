/** The lab as a whole: up, down, status, and what a deploy needs to know. */
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { aptProxyUp } from './apt';
import { baseSystem } from './base-system';
import { certificatesUp } from './certificates';
import { processesIn, removeGroup } from './cgroups';
import { type Addresses, type Instance, lockOf, MIRROR_NAME, STATE_ROOT } from './instance';
import { hostKeyFingerprint, mirrorForget, mirrorPaths, mirrorRuns, mirrorUp } from './mirror-host';
import { addressesOf, networkDown, networkUp } from './network';
import { labError, removeIfEmpty, step } from './shell';
import { MIRROR_SIGNING_KEY, type SigningKey, signingKeys } from './signing-keys';
import { contentUp } from './upstream-content';
import { accessLog, hostsDown, upstreamUp } from './upstream-server';
import { UPSTREAM_HOSTS, UPSTREAM_KEYS } from './upstreams';

export const caCertificate = (instance: Instance): string => join(instance.state, 'tls/ca.crt');

export async function up(instance: Instance): Promise<void> {
  const addresses = await step('network', () => networkUp(instance));
  const certificate = certificatesUp(instance, UPSTREAM_HOSTS);
  await step('signing keys', () => keysUp(instance));
  await step('apt proxy', () => aptProxyUp(instance, addresses));
  // The two slow ones of a first run, side by side: one waits for the network, the other computes.
  await step('base system and upstream content', () => Promise.all([baseSystem(instance.cache), contentUp(instance)]));
  await step('upstream hosts', () => upstreamUp(instance, addresses));
  await step('mirror host', () => mirrorUp(instance, addresses, certificate));
}

/** Public keys where main.ts looks for them (`MIRROR_KEYS`), and the mirror's own secret key. */
async function keysUp(instance: Instance): Promise<void> {
  const keys = await signingKeys(instance.cache, [...UPSTREAM_KEYS, MIRROR_SIGNING_KEY]);
  const directory = join(instance.state, 'keys');
  mkdirSync(directory, { recursive: true });
  for (const name of UPSTREAM_KEYS) copyFileSync((keys.get(name) as SigningKey).publicFile, join(directory, name));
  copyFileSync((keys.get(MIRROR_SIGNING_KEY) as SigningKey).secretFile, signingKeyFile(instance));
}

const signingKeyFile = (instance: Instance): string => join(instance.state, 'mirror-signing-key.asc');

/** Removes all that `up` made, but for the cache. Safe after a crash, and twice. */
export async function down(instance: Instance): Promise<void> {
  await removeGroup(instance.key);
  await networkDown(instance);
  rmSync(instance.state, { recursive: true, force: true });
  rmSync(lockOf(instance), { force: true });
  for (const path of [join(STATE_ROOT, '.subnets'), join(STATE_ROOT, '.locks'), STATE_ROOT]) removeIfEmpty(path);
}

export async function resetMirror(instance: Instance, keepDisk: boolean): Promise<void> {
  const addresses = requireUp(instance);
  await step('mirror host', async () => {
    await mirrorForget(instance, keepDisk);
    await mirrorUp(instance, addresses, caCertificate(instance));
  });
}

/** @throws MirrorError when the lab is not up */
export function requireUp(instance: Instance): Addresses {
  const addresses = addressesOf(instance);
  if (!addresses || !existsSync(caCertificate(instance)))
    throw labError('DOWN', `the lab "${instance.name}" of this checkout is not up`, 'Start it: scripts/lab up');
  return addresses;
}

export function status(instance: Instance) {
  const addresses = addressesOf(instance);
  const pids = {
    mirror: processesIn(instance.key, 'mirror'),
    upstream: processesIn(instance.key, 'upstream'),
    apt: processesIn(instance.key, 'apt'),
  };
  return {
    instance: instance.name,
    key: instance.key,
    up: addresses !== undefined && Object.values(pids).every((list) => list.length > 0),
    state: instance.state,
    cache: instance.cache,
    subnet: addresses && `${addresses.prefix}.0/24`,
    mirror: {
      address: addresses?.mirror,
      name: MIRROR_NAME,
      running: mirrorRuns(instance),
      namespace: instance.namespaces.mirror,
      disk: mirrorPaths(instance).disk,
    },
    upstream: {
      running: pids.upstream.length > 0,
      addresses: addresses?.upstreams,
      down: hostsDown(instance),
      accessLog: accessLog(instance),
      namespace: instance.namespaces.upstream,
    },
    client: { address: addresses?.client, namespace: instance.namespaces.client },
    aptProxy: { running: pids.apt.length > 0 },
    certificateAuthority: caCertificate(instance),
    processes: pids,
  };
}

/** What the deploy reads: the variables of main.ts and of the apply program, and those that Terraform needs on this machine. */
export function environment(instance: Instance, inherited: NodeJS.ProcessEnv): Record<string, string> {
  const addresses = requireUp(instance);
  const { operatorKey } = mirrorPaths(instance);
  const terraform = (inherited['MIRROR_TERRAFORM_ENV'] ?? '').split(' ').filter(Boolean);
  return {
    MIRROR_ADDRESS: addresses.mirror,
    MIRROR_PORT: '22',
    MIRROR_USER: 'root',
    MIRROR_HOST_KEY: hostKeyFingerprint(instance),
    MIRROR_SSH_KEY: operatorKey,
    MIRROR_KEYS: join(instance.state, 'keys'),
    MIRROR_SIGNING_KEY_FILE: signingKeyFile(instance),
    MIRROR_STATE: join(instance.state, 'terraform.tfstate'),
    ...Object.fromEntries(terraform.map((name) => [name, inherited[name] ?? ''])),
  };
}
