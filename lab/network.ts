/** Three hosts and this machine on one bridge. The bridge has a namespace of its own: no packet filter of this machine sees it. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Addresses, addressesIn, candidatePrefixes, hostsFile, type Instance, MIRROR_NAME, overlaps, STATE_ROOT } from './instance';
import { kill } from './cgroups';
import { labError, removeIfEmpty, run, sleep, succeeds } from './shell';

const RESERVATIONS = join(STATE_ROOT, '.subnets');

/** The addresses of an instance that is up, or undefined. */
export function addressesOf(instance: Instance): Addresses | undefined {
  const path = join(instance.state, 'subnet');
  return existsSync(path) ? addressesIn(readFileSync(path, 'utf8').trim()) : undefined;
}

/** Chooses and records a subnet. Making the directory is the lock: only one instance can. */
function reserve(instance: Instance): Addresses {
  const known = addressesOf(instance);
  if (known) return known;
  mkdirSync(RESERVATIONS, { recursive: true, mode: 0o700 });
  for (const prefix of readdirSync(RESERVATIONS)) dropStale(prefix);
  const used = networksInUse();
  for (const prefix of candidatePrefixes(instance.key)) {
    if (overlaps(prefix, used)) continue;
    mkdirSync(RESERVATIONS, { recursive: true, mode: 0o700 });
    try {
      mkdirSync(join(RESERVATIONS, prefix));
    } catch {
      continue;
    }
    writeFileSync(join(RESERVATIONS, prefix, 'owner'), instance.key);
    writeFileSync(join(instance.state, 'subnet'), prefix);
    return addressesIn(prefix);
  }
  throw labError(
    'SUBNET',
    'no /24 from 10.200.0.0 to 10.249.255.0 is free',
    'See `ip route`; scripts/lab down in other checkouts frees theirs.',
  );
}

/** A reservation whose instance is gone; one without an owner is just being made, unless it is old. */
function dropStale(prefix: string): void {
  const directory = join(RESERVATIONS, prefix);
  try {
    const owner = readFileSync(join(directory, 'owner'), 'utf8');
    if (!existsSync(join(STATE_ROOT, owner))) rmSync(directory, { recursive: true, force: true });
  } catch {
    if (existsSync(directory) && Date.now() - statSync(directory).mtimeMs > 60_000) rmSync(directory, { recursive: true, force: true });
  }
}

function networksInUse(): string[] {
  const routes = JSON.parse(run(['ip', '-j', '-4', 'route', 'show', 'table', 'all'])) as { dst?: string }[];
  const links = JSON.parse(run(['ip', '-j', '-4', 'addr'])) as { addr_info?: { local: string; prefixlen: number }[] }[];
  return [
    ...routes.flatMap((route) => (route.dst && route.dst !== 'default' ? [route.dst] : [])),
    ...links.flatMap((link) => (link.addr_info ?? []).map((a) => `${a.local}/${a.prefixlen}`)),
  ];
}

/** Makes what is missing. */
export function networkUp(instance: Instance): Addresses {
  mkdirSync(instance.state, { recursive: true, mode: 0o700 });
  const addresses = reserve(instance);
  if (!succeeds(['ip', 'link', 'show', instance.gatewayInterface])) build(instance, addresses);
  writeClientFiles(instance, addresses);
  return addresses;
}

function build(instance: Instance, addresses: Addresses): void {
  const { namespaces, gatewayInterface } = instance;
  removeNamespaces(instance);
  const upstreams = Object.values(addresses.upstreams);
  for (const namespace of Object.values(namespaces)) run(['ip', 'netns', 'add', namespace]);
  batch(namespaces.switch, ['link set lo up', 'link add lab type bridge', 'link set lab up']);
  const plug = (port: string, target: string, name: string): void => {
    run(['ip', '-n', namespaces.switch, 'link', 'add', port, 'type', 'veth', 'peer', 'name', name, 'netns', target]);
    batch(namespaces.switch, [`link set ${port} master lab`, `link set ${port} up`]);
  };
  for (const [host, own] of [
    ['mirror', [addresses.mirror]],
    ['client', [addresses.client]],
    ['upstream', upstreams],
  ] as const) {
    plug(host, namespaces[host], 'host0');
    batch(namespaces[host], ['link set lo up', ...own.map((address) => `addr add ${address}/24 dev host0`), 'link set host0 up']);
  }
  // The gateway comes last: that it exists says that the rest does. Its peer is in the switch, so it vanishes with it.
  run(['ip', 'link', 'add', gatewayInterface, 'type', 'veth', 'peer', 'name', 'gateway', 'netns', namespaces.switch]);
  batch(namespaces.switch, ['link set gateway master lab', 'link set gateway up']);
  run(['ip', 'addr', 'add', `${addresses.gateway}/24`, 'dev', gatewayInterface]);
  run(['ip', 'link', 'set', gatewayInterface, 'up']);
}

function batch(namespace: string, commands: readonly string[]): void {
  run(['ip', '-n', namespace, '-batch', '-'], { input: commands.join('\n') });
}

/** `ip netns exec` lays these over /etc for the client. */
function writeClientFiles(instance: Instance, addresses: Addresses): void {
  const directory = `/etc/netns/${instance.namespaces.client}`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'hosts'), hostsFile('client', addresses, { [MIRROR_NAME]: addresses.mirror, ...addresses.upstreams }));
  writeFileSync(join(directory, 'resolv.conf'), '');
}

/** Removes namespaces, interfaces and what the client's /etc had; ends what still runs in them. */
export async function networkDown(instance: Instance): Promise<void> {
  const present = new Set(namespacesPresent());
  for (const namespace of Object.values(instance.namespaces)) {
    if (!present.has(namespace)) continue;
    for (let attempt = 0; attempt < 100; attempt++) {
      const pids = run(['ip', 'netns', 'pids', namespace]).split('\n').filter(Boolean).map(Number);
      if (pids.length === 0) break;
      for (const pid of pids) kill(pid);
      await sleep(20);
    }
  }
  removeNamespaces(instance);
  rmSync(`/etc/netns/${instance.namespaces.client}`, { recursive: true, force: true });
  removeIfEmpty('/etc/netns');
  const addresses = addressesOf(instance);
  if (addresses) rmSync(join(RESERVATIONS, addresses.prefix), { recursive: true, force: true });
}

function removeNamespaces(instance: Instance): void {
  // Deleted by hand: a namespace lives on for as long as anything holds it, and its interfaces with it.
  succeeds(['ip', 'link', 'del', instance.gatewayInterface]);
  const present = new Set(namespacesPresent());
  for (const namespace of Object.values(instance.namespaces)) if (present.has(namespace)) run(['ip', 'netns', 'del', namespace]);
}

function namespacesPresent(): string[] {
  return run(['ip', 'netns', 'list'])
    .split('\n')
    .map((line) => line.split(' ')[0] as string)
    .filter(Boolean);
}
