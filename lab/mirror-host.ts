/** The mirror host: Debian 12 with its own systemd and sshd, and nothing of ours. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  ftruncateSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { aptOptions, machineAptSources, proxiedSources } from './apt';
import { baseSystem } from './base-system';
import { processesIn, removeGroup, startIn } from './cgroups';
import { type Addresses, hostsFile, type Instance } from './instance';
import { labError, run, runBeside, sleep } from './shell';

/** Sparse: it takes what is written into it. */
const DISK_BYTES = 20 * 1024 ** 3;

/** Paths of one instance's mirror host. */
export const mirrorPaths = (instance: Instance) => ({
  directory: join(instance.state, 'mirror'),
  disk: join(instance.state, 'mirror/disk.img'),
  operatorKey: join(instance.state, 'ssh/operator'),
  hostKey: join(instance.state, 'ssh/host'),
  knownHosts: join(instance.state, 'ssh/known_hosts'),
  log: join(instance.state, 'log/mirror.log'),
});

/**
 * Root on a server rules its network, and mirror-host makes a namespace with one of its own: hence CAP_NET_ADMIN, for this host's namespace.
 * All mounts live in a namespace of the container's own: they vanish with its last process, however that ends.
 * `slave`: a namespace that is deleted elsewhere must not be held here.
 */
const BOOT = `set -e
mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd
# A server that lost power is booted again with its upper layer; "volatile" (no syncs: disposable, and three times as fast) leaves a mark that refuses it.
rm -rf "$DIRECTORY/work/work/incompat"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$DIRECTORY/upper,workdir=$DIRECTORY/work,volatile" "$DIRECTORY/root"
loop=$(losetup -f --show "$DISK")
mount "$loop" "$DIRECTORY/data"
losetup -d "$loop" # Takes effect when the last mount is gone.
exec systemd-nspawn --quiet --directory="$DIRECTORY/root" --register=no --keep-unit --hostname=mirror --resolv-conf=off --timezone=off \\
  --capability=CAP_NET_ADMIN --network-namespace-path="/run/netns/$NAMESPACE" --bind="$DATA_SOURCE:/srv/mirror" --bind="$loop:/dev/mirror-disk" --boot --console=pipe
`;

export const mirrorRuns = (instance: Instance): boolean => processesIn(instance.key, 'mirror').length > 0;

/** Boots the host, made anew when there is none. */
export async function mirrorUp(instance: Instance, addresses: Addresses, certificate: string): Promise<void> {
  const paths = mirrorPaths(instance);
  makeKeys(instance, addresses);
  if (mirrorRuns(instance)) return booted(instance, addresses);
  const base = await baseSystem(instance.cache);
  for (const name of ['upper', 'work', 'root', 'data']) mkdirSync(join(paths.directory, name), { recursive: true });
  writeRoot(instance, addresses, certificate);
  if (!existsSync(paths.disk)) makeDisk(paths.disk);
  await startIn(instance.key, 'mirror', ['unshare', '--mount', '--propagation', 'slave', 'bash', '-c', BOOT], paths.log, {
    PATH: process.env['PATH'],
    BASE: base,
    DIRECTORY: paths.directory,
    DISK: paths.disk,
    DATA_SOURCE: join(paths.directory, 'data'),
    NAMESPACE: instance.namespaces.mirror,
  });
  await booted(instance, addresses);
}

/** Pulls the plug. */
export async function mirrorOff(instance: Instance): Promise<void> {
  await removeGroup(instance.key, 'mirror');
}

/** Throws the host away: a bare one with the same address and host key boots next. `keepDisk`: only the system is lost. */
export async function mirrorForget(instance: Instance, keepDisk: boolean): Promise<void> {
  await mirrorOff(instance);
  const paths = mirrorPaths(instance);
  for (const name of ['upper', 'work', ...(keepDisk ? [] : ['disk.img'])])
    rmSync(join(paths.directory, name), { recursive: true, force: true });
}

/** Arguments for ssh up to the host: the lab's key and nothing of the operator's own configuration. */
export function sshArguments(instance: Instance, addresses: Addresses): string[] {
  const { operatorKey, knownHosts } = mirrorPaths(instance);
  return [
    'ssh', '-F', 'none', '-i', operatorKey, '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=yes',
    '-o', `UserKnownHostsFile=${knownHosts}`, '-o', 'ConnectTimeout=5', '-o', 'LogLevel=ERROR', `root@${addresses.mirror}`,
  ]; // prettier-ignore
}

/** `SHA256:…` of the host key. */
export function hostKeyFingerprint(instance: Instance): string {
  return run(['ssh-keygen', '-lf', `${mirrorPaths(instance).hostKey}.pub`]).split(' ')[1] as string;
}

function makeKeys(instance: Instance, addresses: Addresses): void {
  const { operatorKey, hostKey, knownHosts } = mirrorPaths(instance);
  mkdirSync(join(instance.state, 'ssh'), { recursive: true, mode: 0o700 });
  for (const [path, comment] of [
    [operatorKey, 'operator of the lab'],
    [hostKey, 'root@mirror'],
  ] as const) {
    if (!existsSync(`${path}.pub`)) {
      rmSync(path, { force: true });
      run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path]);
    }
  }
  writeFileSync(knownHosts, `${addresses.mirror} ${readFileSync(`${hostKey}.pub`, 'utf8')}`, { mode: 0o600 });
}

/** What a provider's installer leaves on a server: keys, name resolution, apt sources. */
function writeRoot(instance: Instance, addresses: Addresses, certificate: string): void {
  const { directory, hostKey, operatorKey } = mirrorPaths(instance);
  const put = (path: string, content: string, mode = 0o644): void => {
    const target = join(directory, 'upper', path);
    mkdirSync(join(target, '..'), { recursive: true });
    writeFileSync(target, content, { mode });
    chmodSync(target, mode);
  };
  chmodSync(join(directory, 'upper'), 0o755);
  put('etc/hosts', hostsFile('mirror', addresses, addresses.upstreams));
  put('etc/apt/sources.list', proxiedSources(machineAptSources(), addresses.gateway));
  put(
    'etc/apt/apt.conf.d/90lab',
    aptOptions()
      .map((option) => `${option}\n`)
      .join(''),
  );
  put('etc/ssh/ssh_host_ed25519_key', readFileSync(hostKey, 'utf8'), 0o600);
  put('etc/ssh/ssh_host_ed25519_key.pub', readFileSync(`${hostKey}.pub`, 'utf8'));
  put(
    'etc/ssh/sshd_config.d/lab.conf',
    'PermitRootLogin prohibit-password\nPasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n',
  );
  put('root/.ssh/authorized_keys', readFileSync(`${operatorKey}.pub`, 'utf8'), 0o600);
  for (const path of ['root', 'root/.ssh']) chmodSync(join(directory, 'upper', path), 0o700);
  // ca-certificates is not there yet: when the deploy installs it, it takes this one up.
  put('usr/local/share/ca-certificates/lab-ca.crt', '');
  copyFileSync(certificate, join(directory, 'upper/usr/local/share/ca-certificates/lab-ca.crt'));
}

function makeDisk(path: string): void {
  const fd = openSync(path, 'w', 0o600);
  ftruncateSync(fd, DISK_BYTES);
  closeSync(fd);
  run(['mkfs.ext4', '-q', '-L', 'mirror', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', path]);
}

async function booted(instance: Instance, addresses: Addresses): Promise<void> {
  const deadline = Date.now() + 60_000;
  let said = '';
  while (Date.now() < deadline) {
    if (!mirrorRuns(instance)) break;
    try {
      said = (
        await runBeside([
          ...sshArguments(instance, addresses),
          'systemctl is-system-running --wait || systemctl --failed --plain --no-legend',
        ])
      ).trim();
      if (said === 'running' || onlyOursFailed(said)) return;
    } catch {
      await sleep(100);
    }
  }
  const log = existsSync(mirrorPaths(instance).log)
    ? readFileSync(mirrorPaths(instance).log, 'utf8').trim().split('\n').slice(-8).join('\n')
    : '';
  throw labError(
    'BOOT',
    `the mirror host did not boot${said ? `; systemd says: ${said}` : ''}\n${log}`,
    `Its console: ${mirrorPaths(instance).log}`,
  );
}

/** A sync that failed before a reboot is the mirror's own business: the host has booted all the same. */
function onlyOursFailed(said: string): boolean {
  const [state, ...failed] = said.split('\n');
  return state === 'degraded' && failed.length > 0 && failed.every((line) => line.startsWith('mirror-'));
}
