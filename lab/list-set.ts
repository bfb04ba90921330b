/**
 * A StarlingX release as its lists name it, and which upstream would have what: the plan by which the lab makes small packages of those very names.
 *
 * The lists are read here by expressions of their own, not by the project's parsers: the lab must not agree with itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { usageError } from './shell';

/** One package of `rpms_*.lst`. */
export interface ListedPackage {
  /** The line's file name: `bash-4.2.46-31.el7.x86_64.rpm`. */
  readonly file: string;
  /** Where upstream has it: base URLs of repositories, or the address of the file. */
  readonly at: readonly string[];
  /** Key file that it is signed with. */
  readonly key: string;
}

export interface ListedTarball {
  readonly file: string;
  readonly directory: string;
  readonly url: string;
  /** Set when the URL is a git repository. */
  readonly ref?: string;
  /** What the URL gives has to go through a script of the builds. */
  readonly script: boolean;
}

export interface ListSet {
  readonly packages: readonly ListedPackage[];
  /** Base URL of each section in `yum.repos.d`, disabled ones too, → the key that its packages are signed with. */
  readonly repositories: ReadonlyMap<string, string>;
  readonly tarballs: readonly ListedTarball[];
  /** URLs of the installer's files: where they were, and where they went. */
  readonly installer: readonly string[];
}

/** Where the historical download script had `other_downloads.lst` from. */
export const INSTALLER = 'http://mirror.centos.org/7.6.1810/os/x86_64/';
const INSTALLER_NOW = 'http://vault.centos.org/7.6.1810/os/x86_64/';

const CENTOS = 'RPM-GPG-KEY-CentOS-7';
const EPEL = 'RPM-GPG-KEY-EPEL-7';
const CLOUD = 'RPM-GPG-KEY-CentOS-SIG-Cloud';
/** All keys that packages of a list set are signed with; files of these names verify them. */
export const LIST_SET_KEYS: readonly string[] = [CENTOS, EPEL, CLOUD];

const vault = (path: string): string => `http://vault.centos.org/${path}/`;
const RPMFIND = 'https://www.rpmfind.net/linux/epel/7/x86_64';
const CERN = 'http://linuxsoft.cern.ch/cern/centos/7.5/rt/Sources/';
const QUEENS = 'http://mirror.centos.org/centos/7/cloud/x86_64/openstack-queens/';

/**
 * The base URLs that have a package, as it might be upstream: what an update release says (`el7_5`) in the updates of that release, OpenStack in the cloud group's, and so on.
 * Every eighth package of CentOS 7.5 is in 7.6, too.
 */
export function homesOf(file: string, thirdParty: boolean): readonly string[] {
  const update = /\.el7_([0-7])/.exec(file)?.[1];
  if (file.endsWith('.src.rpm')) {
    if (file.startsWith('kernel-rt-')) return [CERN];
    return [vault(`7.6.1810/${update === undefined ? 'os' : 'updates'}/Source`)];
  }
  if (/^(openstack-|python\d?-(oslo|keystone|nova|glance|cinder|neutron|heat|horizon|barbican|magnum|ironic|murano))/.test(file))
    return [QUEENS];
  if (/^(docker-ce|containerd|container-|runc)/.test(file)) return [vault('centos/7.6.1810/extras/x86_64')];
  if (thirdParty && update === undefined) return [RPMFIND];
  if (update === '6' || update === '7') return [vault('centos/7.6.1810/updates/x86_64')];
  if (update === '5' || update === '4') return [vault('7.5.1804/updates/x86_64')];
  if (update === '3') return [vault('7.3.1611/updates/x86_64')];
  if (update !== undefined) return [vault('7.2.1511/updates/x86_64')];
  const older = vault('7.5.1804/os/x86_64');
  const newer = vault('centos/7.6.1810/os/x86_64');
  const lot = createHash('sha256').update(file).digest()[0] as number;
  if (lot % 8 === 0) return [older, newer];
  return [lot % 2 === 0 ? newer : older];
}

/**
 * Reads `rpms_*.lst`, `tarball-dl.lst`, `other_downloads.lst` and `yum.repos.d` of a release's directory.
 * Without `yum.repos.d`, only what has an address of its own: the repositories are somebody else's then.
 */
export function readListSet(directory: string): ListSet {
  if (!existsSync(join(directory, 'rpms_centos.lst')))
    throw usageError(`${directory} has no rpms_centos.lst`, 'Name the directory of a release’s lists.');
  const sections = join(directory, 'yum.repos.d');
  const repositories = sectionsIn(sections);
  const packages = new Map<string, ListedPackage>();
  for (const name of ['rpms_centos.lst', 'rpms_centos3rdparties.lst', 'rpms_3rdparties.lst']) {
    for (const line of linesOf(join(directory, name))) {
      const [file, url] = line.split('#') as [string, string?];
      if (url === undefined && !existsSync(sections)) continue;
      const at = url === undefined ? homesOf(file, name === 'rpms_centos3rdparties.lst') : [url];
      for (const home of at) if (url === undefined && !repositories.has(home)) throw new Error(`no section has ${home}, for ${file}`);
      packages.set(file, { file, at, key: repositories.get(at[0] as string) ?? CENTOS });
    }
  }
  return {
    packages: [...packages.values()],
    repositories,
    tarballs: linesOf(join(directory, 'tarball-dl.lst')).map(tarballOf),
    installer: linesOf(join(directory, 'other_downloads.lst'))
      .flatMap((line) => /^file:(.+)$/.exec(line)?.[1] ?? [])
      .flatMap((path) => [INSTALLER + path, INSTALLER_NOW + path]),
  };
}

function linesOf(path: string): string[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function tarballOf(line: string): ListedTarball {
  const [file, directory, url, method, util] = line.replace(/^!/, '').split('#') as [string, string, string, string?, string?];
  return {
    file,
    directory: directory.replace(/\/$/, ''),
    url: /^\w+:\/\//.test(url) ? url : `http://${url}`,
    ...(method?.startsWith('git') ? { ref: util ?? '' } : {}),
    script: method?.endsWith('_script') === true,
  };
}

function sectionsIn(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  const files = existsSync(directory) ? readdirSync(directory).sort() : [];
  for (const file of files) {
    for (const section of readFileSync(join(directory, file), 'utf8').split(/^\[/m)) {
      const url = /^baseurl=(.+)$/m.exec(section)?.[1]?.trim().replaceAll('$basearch', 'x86_64');
      if (url !== undefined) found.set(url, keyOf(url));
    }
  }
  return found;
}

function keyOf(url: string): string {
  if (url.includes('/cloud/')) return url.includes('mirror.centos.org') ? CLOUD : CENTOS;
  return /epel/.test(url) ? EPEL : CENTOS;
}
