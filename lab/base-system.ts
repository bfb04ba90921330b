/** The root file system of a bare Debian 12 server, made once for all labs of this machine. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptOptions, DEBIAN, machineAptSources } from './apt';
import { withLock } from './lock';
import { runBeside, step } from './shell';

/** A server as a provider hands it over: it boots, it has sshd. Everything else is the deploy's business. */
const PACKAGES = ['systemd-sysv', 'dbus', 'openssh-server'];
/** Raise it when `finish` changes. */
const RECIPE = 1;

/** The directory of the root file system; nothing may be written below it. */
export async function baseSystem(cache: string): Promise<string> {
  const digest = createHash('sha256')
    .update(JSON.stringify([RECIPE, DEBIAN, PACKAGES]))
    .digest('hex')
    .slice(0, 12);
  const directory = join(cache, `debian-${digest}`);
  if (existsSync(directory)) return directory;
  mkdirSync(cache, { recursive: true });
  await withLock(join(cache, 'debian.lock'), async () => {
    if (existsSync(directory)) return;
    for (const name of readdirSync(cache)) if (name.startsWith('debian-new-')) rmSync(join(cache, name), { recursive: true, force: true });
    await step('made the root file system of a bare Debian 12', () => build(cache, directory));
  });
  return directory;
}

async function build(cache: string, directory: string): Promise<void> {
  const work = mkdtempSync(join(cache, 'debian-new-'));
  const root = join(work, 'root');
  const sources = machineAptSources().map((s) => `deb ${s.uri} ${s.suite} ${s.components.join(' ')}`);
  await runBeside([
    'mmdebstrap', '--quiet', '--variant=minbase', `--include=${PACKAGES.join(',')}`, ...aptOptions().map((o) => `--aptopt=${o.replace(/;$/, '')}`), DEBIAN, root, ...sources,
  ]); // prettier-ignore
  finish(root);
  renameSync(root, directory);
  rmSync(work, { recursive: true, force: true });
}

/** Removes what is this build's and not a server's: identity, host keys, where the packages came from. */
function finish(root: string): void {
  writeFileSync(join(root, 'etc/machine-id'), '');
  for (const name of readdirSync(join(root, 'etc/ssh'))) if (name.startsWith('ssh_host_')) rmSync(join(root, 'etc/ssh', name));
  for (const folder of ['etc/apt/sources.list.d', 'etc/apt/apt.conf.d']) {
    for (const name of readdirSync(join(root, folder))) if (/mmdebstrap|^0000/.test(name)) rmSync(join(root, folder, name));
  }
  writeFileSync(join(root, 'etc/apt/sources.list'), '');
  writeFileSync(join(root, 'etc/resolv.conf'), '');
  writeFileSync(join(root, 'etc/hostname'), 'mirror\n');
}
