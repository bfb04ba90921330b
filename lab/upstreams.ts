/**
 * The upstreams of main.ts, as the lab imitates them: one row per real repository, each with the reason why it looks the way it does.
 *
 * Evidence: [B] blog.centos.org 2018-07-09, "Improving CentOS package delivery security with signed repository metadata"; [T] CentOS/sig-core-t_functional
 * issue 1; [N] community.nethserver.org 2018, "SCLo repositories version lock"; [L] lists.centos.org centos-devel, September 2020, "repo_gpgcheck for
 * centos repos?"; [C] github.com/ceph/ceph-build/pull/2125; [E] github.com/voxpupuli/puppet-epel/issues/76; [V] public checkers of the vault's signature.
 */

/** One source package: what a spec file says. Binary packages carry the version of their source. */
export interface SourcePackage {
  readonly name: string;
  readonly version: string;
  readonly release: string;
  readonly epoch?: number;
  /** Of all its binary packages. */
  readonly arch: 'x86_64' | 'noarch';
  /** @default one, named like the source */
  readonly binaries?: readonly string[];
  /** `BuildRequires:` of its spec file. */
  readonly buildRequires?: readonly string[];
}

/** How `repodata/repomd.xml.asc` is. */
export type MetadataSignature =
  | 'valid'
  /** Valid, as a version 3 OpenPGP signature packet: gpg reads it, many libraries drop it. */
  | 'valid-version-3'
  /** There is one that does not verify: it was made before the last createrepo. */
  | 'stale'
  /** There is none. */
  | 'none';

export interface UpstreamRepository {
  /** For the lab's commands. */
  readonly name: string;
  readonly url: string;
  /** Key file that its packages, and its metadata if any, are signed with. */
  readonly key: string;
  readonly metadata: MetadataSignature;
  /** Where packages lie below the repository; `{initial}` is the first letter of a package's name. */
  readonly layout: string;
  readonly kind: 'binary' | 'source';
  /** A comps file of package groups: in repomd as `group` and `group_gz`. */
  readonly comps?: boolean;
  /** Advisories: in repomd as `updateinfo`, compressed like this. */
  readonly updateinfo?: 'gz' | 'bz2' | 'xz';
  readonly packages: readonly SourcePackage[];
  readonly evidence: string;
}

const source = (name: string, version: string, release: string, more: Partial<SourcePackage> = {}): SourcePackage => ({
  name,
  version,
  release,
  arch: 'x86_64',
  ...more,
});

const os = [
  source('bash', '4.2.46', '34.el7', { binaries: ['bash', 'bash-doc'] }),
  source('openssl', '1.0.2k', '19.el7', { epoch: 1, binaries: ['openssl', 'openssl-libs', 'openssl-devel'] }),
  source('zlib', '1.2.7', '18.el7', { binaries: ['zlib', 'zlib-devel'] }),
  source('libstdc++-docs', '4.8.5', '44.el7', { arch: 'noarch' }),
  source('tzdata', '2020a', '1.el7', { arch: 'noarch', binaries: ['tzdata', 'tzdata-java'] }),
];
const updates = [
  source('openssl', '1.0.2k', '26.el7_9', { epoch: 1, binaries: ['openssl', 'openssl-libs', 'openssl-devel'] }),
  source('bind', '9.11.4', '26.P2.el7_9.16', { epoch: 32, binaries: ['bind', 'bind-libs', 'bind-utils'] }),
  source('tzdata', '2024a', '1.el7', { arch: 'noarch', binaries: ['tzdata', 'tzdata-java'] }),
];
const extras = [
  source('epel-release', '7', '11', { arch: 'noarch' }),
  source('container-selinux', '2.119.2', '1.911c772.el7_8', { epoch: 2, arch: 'noarch' }),
];
const rh = [
  source('devtoolset-8', '8.1', '1.el7', { binaries: ['devtoolset-8', 'devtoolset-8-runtime'] }),
  source('rh-python36', '2.0', '1.el7', { binaries: ['rh-python36', 'rh-python36-runtime'] }),
];
const sclo = [
  source('sclo-git25', '1.0', '1.el7'),
  source('sclo-php72-php-pecl-redis', '5.3.2', '1.el7', { binaries: ['sclo-php72-php-pecl-redis'] }),
];
const stein = [
  source('openstack-keystone', '15.0.1', '1.el7', { epoch: 1, arch: 'noarch', binaries: ['openstack-keystone', 'python2-keystone'] }),
  source('openstack-nova', '19.3.2', '1.el7', {
    epoch: 1,
    arch: 'noarch',
    binaries: ['openstack-nova', 'openstack-nova-api', 'openstack-nova-compute'],
  }),
  source('dpdk', '18.11.8', '1.el7', { binaries: ['dpdk', 'dpdk-devel', 'dpdk-tools'], buildRequires: ['zlib-devel'] }),
];
const sigNautilus = [
  source('ceph', '14.2.20', '0.el7', { epoch: 2, binaries: ['ceph', 'ceph-common', 'librados2'] }),
  source('nfs-ganesha', '2.8.4', '1.el7'),
];
const nautilus = [
  source('ceph', '14.2.22', '0.el7', { epoch: 2, binaries: ['ceph', 'ceph-common', 'librados2', 'librbd1', 'python-rados'] }),
  source('ceph-release', '1', '1.el7', { arch: 'noarch' }),
];
const nautilusNoarch = [
  source('ceph-deploy', '2.0.1', '0', { arch: 'noarch' }),
  source('ceph-medic', '1.0.8', '0.el7', { arch: 'noarch' }),
  source('ceph-release', '1', '1.el7', { arch: 'noarch' }),
];
const docker = ['19.03.15', '20.10.24', '24.0.7'].map((version) =>
  source('docker-ce', version, version.startsWith('19') ? '3.el7' : '1.el7', {
    epoch: 3,
    binaries: ['docker-ce', ...(version.startsWith('19') ? [] : ['docker-ce-rootless-extras'])],
  }),
);
/** Many packages for little work: sub-packages of few specs, spread over the alphabet as EPEL's directories are. */
const epel = ['ansible', 'golang-github', 'nodejs-modules', 'perl-Test', 'python36-pip']
  .map((name, i) =>
    source(name, `${i + 1}.4.2`, '1.el7', {
      arch: i % 2 === 0 ? 'noarch' : 'x86_64',
      binaries: [
        name,
        ...Array.from({ length: 59 }, (_, n) => `${name}-${String.fromCharCode(97 + (n % 26))}${String(n).padStart(3, '0')}`),
      ],
    }),
  )
  .concat(source('htop', '2.2.0', '3.el7'), source('jq', '1.6', '2.el7', { binaries: ['jq', 'oniguruma-compat++'] }));

const vault = 'https://vault.centos.org/7.9.2009';
const CENTOS = 'RPM-GPG-KEY-CentOS-7';

const centos = (section: string, packages: readonly SourcePackage[]): UpstreamRepository[] => [
  {
    name: `centos-${section}`, url: `${vault}/${section}/x86_64/`, key: CENTOS, metadata: 'valid-version-3', layout: 'Packages', kind: 'binary', comps: section === 'os', packages,
    evidence: 'repomd.xml.asc by the CentOS 7 key, a version 3 signature [B][V]; updates and extras likewise [T]; comps in os only; no advisories: CentOS never published any',
  },
  {
    name: `centos-${section}-source`, url: `${vault}/${section}/Source/`, key: CENTOS, metadata: 'none', layout: 'SPackages', kind: 'source', packages,
    evidence: 'nothing names a signature for Source: the lab takes the harder case',
  },
]; // prettier-ignore

const interestGroup = (
  name: string,
  group: string,
  path: string,
  key: string,
  metadata: MetadataSignature,
  packages: readonly SourcePackage[],
  evidence: string,
): UpstreamRepository[] => [
  { name, url: `${vault}/${group}/x86_64/${path}/`, key, metadata, layout: 'Packages/{initial}', kind: 'binary', packages, evidence },
  {
    name: `${name}-source`,
    url: `${vault}/${group}/Source/${path}/`,
    key,
    metadata: 'none',
    layout: '',
    kind: 'source',
    packages,
    evidence: 'as centos-os-source',
  },
];

export const UPSTREAMS: readonly UpstreamRepository[] = [
  ...centos('os', os),
  ...centos('updates', updates),
  ...centos('extras', extras),
  ...interestGroup('sclo-rh', 'sclo', 'rh', 'RPM-GPG-KEY-CentOS-SIG-SCLo', 'stale', rh, 'its repomd.xml.asc was a bad signature in 2018 [N]; signed by hand, with delays [L]'),
  ...interestGroup('sclo-sclo', 'sclo', 'sclo', 'RPM-GPG-KEY-CentOS-SIG-SCLo', 'stale', sclo, 'as sclo-rh'),
  ...interestGroup('openstack-stein', 'cloud', 'openstack-stein', 'RPM-GPG-KEY-CentOS-SIG-Cloud', 'valid-version-3', stein, 'special interest groups sign since 2018 [B]; nobody may rely on it [L]'),
  ...interestGroup('sig-ceph-nautilus', 'storage', 'ceph-nautilus', 'RPM-GPG-KEY-CentOS-SIG-Storage', 'valid-version-3', sigNautilus, 'as openstack-stein'),
  {
    name: 'epel', url: 'https://archives.fedoraproject.org/pub/archive/epel/7/x86_64/', key: 'RPM-GPG-KEY-EPEL-7', metadata: 'none', layout: 'Packages/{initial}', kind: 'binary',
    comps: true, updateinfo: 'bz2', packages: epel, evidence: 'EPEL signs packages only: its answer for metadata is the metalink [E]; comps, updateinfo.xml.bz2, one directory per letter',
  },
  {
    name: 'epel-source', url: 'https://archives.fedoraproject.org/pub/archive/epel/7/SRPMS/', key: 'RPM-GPG-KEY-EPEL-7', metadata: 'none', layout: 'Packages/{initial}', kind: 'source',
    packages: epel, evidence: 'as epel',
  },
  ...([['x86_64', 'binary', nautilus], ['noarch', 'binary', nautilusNoarch], ['SRPMS', 'source', [...nautilus, ...nautilusNoarch.slice(0, 2)]]] as const).map(
    ([directory, kind, packages]): UpstreamRepository => ({
      name: `ceph-${directory.toLowerCase()}`, url: `https://download.ceph.com/rpm-nautilus/el7/${directory}/`, key: 'RPM-GPG-KEY-Ceph', metadata: 'stale', layout: '', kind, packages,
      evidence: 'every release before 2023 was signed before createrepo ran last: "we always had bad signatures" [C]',
    }),
  ),
  {
    name: 'docker', url: 'https://download.docker.com/linux/centos/7/x86_64/stable/', key: 'RPM-GPG-KEY-Docker', metadata: 'valid', layout: 'Packages', kind: 'binary', updateinfo: 'gz', packages: docker,
    evidence: 'current trees carry a valid repomd.xml.asc; updateinfo.xml.gz as listed in 2019; several versions side by side',
  },
]; // prettier-ignore

/** What else the lists of StarlingX name: packages, tarballs, git repositories and installers with addresses of their own. */
const LISTED_HOSTS: readonly string[] = [
  'mirror.centos.org', 'buildlogs.centos.org', 'buildlogs-seed.centos.org', 'debuginfo.centos.org', 'cbs.centos.org', 'dl.fedoraproject.org',
  'kojipkgs.fedoraproject.org', 'www.rpmfind.net', 'linuxsoft.cern.ch', 'ftp.iij.ad.jp', 'trunk.rdoproject.org', 'releases.ansible.com', 'libvirt.org',
  's3.amazonaws.com', 'fast.dpdk.org', 'api.github.com', 'github.com', 'dl.bintray.com', 'http.debian.net', 'www.linbit.com', 'www.kernel.org',
  'git.kernel.org', 'sourceforge.net', 'git.code.sf.net', 'git.savannah.gnu.org', 'git.infradead.org', 'dl.google.com', 'storage.googleapis.com',
  'media.luffy.cx', 'content.mellanox.com', '01.org', 'launchpad.net', 'ftp.osuosl.org',
]; // prettier-ignore

/** Files that a tree of main.ts copies, found by the listing of their folder. */
export const FILES: readonly string[] = ['18.11', '18.11.11', '19.11.14', '20.11.10'].map(
  (v) => `https://fast.dpdk.org/rel/dpdk-${v}.tar.xz`,
);

/** The host names that the lab answers for. */
export const UPSTREAM_HOSTS: readonly string[] = [...new Set([...UPSTREAMS.map((row) => new URL(row.url).hostname), ...LISTED_HOSTS])];

export const UPSTREAM_KEYS: readonly string[] = [...new Set(UPSTREAMS.map((row) => row.key))];
