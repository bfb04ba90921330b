/**
 * The mirror, as it is deployed. Review changes to this file by their plan: `npm run plan`.
 *
 * MIRROR_* variables point the same declaration at another machine (the lab, a staging server); what they hold by default is production.
 */
import { App } from 'cdktf';
import {
  Access,
  BuildArchive,
  Customer,
  DefaultSet,
  Distribution,
  FileTree,
  InstallTree,
  LegacyAlias,
  MirrorServer,
  MirrorStack,
  ModifiedPackages,
  MosCodename,
  NginxVhost,
  PackageLists,
  PublicKey,
  Rebuilt,
  RpmRepository,
  Secret,
  State,
  SyncSchedule,
  TarballDownloads,
  TreeTrust,
  Trust,
  Variant,
  View,
} from './constructs';

const env = (name: string, production: string): string => process.env[name] ?? production;
const key = PublicKey.from(env('MIRROR_KEYS', 'keys'));

const app = new App();
const stack = new MirrorStack(app, 'mirror', { state: State.from(env('MIRROR_STATE', 'terraform.mirror.tfstate')) });

// ---- The server -----------------------------------------------------------------------------------------------------------------------
const server = new MirrorServer(stack, 'server', {
  address: env('MIRROR_ADDRESS', 'mirror.example.org'),
  port: Number(env('MIRROR_PORT', '22')),
  user: env('MIRROR_USER', 'root'),
  hostKey: env('MIRROR_HOST_KEY', 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'), // ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
  signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY'),
});
new NginxVhost(server, 'vhost', { serverName: 'mirror.example.org' });

// Copies accumulate: builds go on finding the versions that they name, whatever upstream drops.

// ---- CentOS 7, from the vault: upstream moved there, the public paths did not -----------------------------------------------------------
const vault = 'https://vault.centos.org/7.9.2009';
const mirrorCentos = 'http://mirror.centos.org/centos/7';
const vaultCentos = 'http://vault.centos.org/centos/7';
const centos = [key('RPM-GPG-KEY-CentOS-7')];

for (const section of ['os', 'updates', 'extras']) {
  new RpmRepository(server, `centos-7-${section}`, {
    publishedAs: `${mirrorCentos}/${section}/x86_64/`,
    fetchFrom: [`${vault}/${section}/x86_64/`],
    trust: Trust.signedMetadata(centos),
    view: View.ACCUMULATE,
  });
  new RpmRepository(server, `centos-7-${section}-source`, {
    publishedAs: `${vaultCentos}/${section}/Source/`,
    fetchFrom: [`${vault}/${section}/Source/`],
    trust: Trust.signedPackages(centos),
    view: View.ACCUMULATE,
  });
}

// ---- CentOS special interest groups: software collections, OpenStack, Ceph --------------------------------------------------------------
const interestGroups = [
  { id: 'centos-7-sclo-rh', group: 'sclo', path: 'rh', key: 'RPM-GPG-KEY-CentOS-SIG-SCLo' },
  { id: 'centos-7-sclo-sclo', group: 'sclo', path: 'sclo', key: 'RPM-GPG-KEY-CentOS-SIG-SCLo' },
  { id: 'centos-7-openstack-stein', group: 'cloud', path: 'openstack-stein', key: 'RPM-GPG-KEY-CentOS-SIG-Cloud' },
  { id: 'centos-7-ceph-nautilus', group: 'storage', path: 'ceph-nautilus', key: 'RPM-GPG-KEY-CentOS-SIG-Storage' },
];
for (const { id, group, path, key: name } of interestGroups) {
  const trust = Trust.signedPackages([key(name)]);
  new RpmRepository(server, id, {
    publishedAs: `${mirrorCentos}/${group}/x86_64/${path}/`,
    fetchFrom: [`${vault}/${group}/x86_64/${path}/`],
    trust,
    view: View.ACCUMULATE,
  });
  new RpmRepository(server, `${id}-source`, {
    publishedAs: `${vaultCentos}/${group}/Source/${path}/`,
    fetchFrom: [`${vault}/${group}/Source/${path}/`],
    trust,
    view: View.ACCUMULATE,
  });
}

// ---- EPEL 7, from the archive -----------------------------------------------------------------------------------------------------------
const epel = Trust.signedPackages([key('RPM-GPG-KEY-EPEL-7')]);
new RpmRepository(server, 'epel-7', {
  publishedAs: 'https://dl.fedoraproject.org/pub/epel/7/x86_64/',
  fetchFrom: ['https://archives.fedoraproject.org/pub/archive/epel/7/x86_64/'],
  trust: epel,
  view: View.ACCUMULATE,
  schedule: SyncSchedule.daily({ hour: 3 }),
});
new RpmRepository(server, 'epel-7-source', {
  publishedAs: 'https://dl.fedoraproject.org/pub/epel/7/SRPMS/',
  fetchFrom: ['https://archives.fedoraproject.org/pub/archive/epel/7/SRPMS/'],
  trust: epel,
  view: View.ACCUMULATE,
});

// ---- Others -----------------------------------------------------------------------------------------------------------------------------
const ceph = Trust.signedPackages([key('RPM-GPG-KEY-Ceph')]); // its repomd.xml.asc never verified for this release
for (const [id, directory] of [
  ['ceph-nautilus', 'x86_64'],
  ['ceph-nautilus-noarch', 'noarch'],
  ['ceph-nautilus-source', 'SRPMS'],
] as const) {
  new RpmRepository(server, id, {
    publishedAs: `https://download.ceph.com/rpm-nautilus/el7/${directory}/`,
    trust: ceph,
    view: View.ACCUMULATE,
  });
}
new RpmRepository(server, 'docker-ce-7', {
  publishedAs: 'https://download.docker.com/linux/centos/7/x86_64/stable/',
  trust: Trust.signedPackages([key('RPM-GPG-KEY-Docker')]),
  view: View.ACCUMULATE,
});

// ---- DPDK: every release, as its site has them -----------------------------------------------------------------------------------------
new FileTree(server, 'dpdk', {
  publishedAs: 'http://fast.dpdk.org/rel/',
  fetchFrom: ['https://fast.dpdk.org/rel/'],
  trust: TreeTrust.none('DPDK publishes its sums on a page of its web site only'),
  folders: ['.'],
  exclude: ['*.torrent'],
});

// ---- StarlingX 3.0: what its builds take, by lists. A line more is a request: docs/how-to/request-a-package.md ---------------------------
new PackageLists(server, 'stx-3.0', {
  release: '3.0',
  lists: ['lists/stx-3.0/rpms_centos.lst', 'lists/stx-3.0/rpms_centos3rdparties.lst', 'lists/stx-3.0/rpms_3rdparties.lst'],
});
new TarballDownloads(server, 'stx-3.0-tarballs', { release: '3.0', list: 'lists/stx-3.0/tarball-dl.lst' });
new InstallTree(server, 'stx-3.0-installer', {
  publishedAs: 'http://mirror.centos.org/7.6.1810/os/x86_64/',
  fetchFrom: 'https://vault.centos.org/7.6.1810/os/x86_64/',
  list: 'lists/stx-3.0/other_downloads.lst',
});

// ---- StarlingX master: its recent builds, layer by layer (`mirrorctl build list`), and the packages of the distribution that it modifies ---
const master = new BuildArchive(server, 'stx-master', { branch: 'master', layers: ['compiler', 'distro', 'flock'] });
new ModifiedPackages(server, 'stx-master-packages', {
  builds: master,
  trust: Trust.digestsOnly('StarlingX signs no packages: the metadata, which the mirror signs, vouches for each'),
  rebuilt: { flock: Rebuilt.REPLACES },
});

// ---- MOS: /mos-repos/centos/<codename>/{os,updates,security,holdback,cr}/x86_64/ ---------------------------------------------------------
const mos70 = new MosCodename(server, 'mos7.0-centos6', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
const mos70fuel = new MosCodename(server, 'mos7.0-centos6-fuel', {
  release: '7.0',
  distribution: Distribution.CENTOS,
  version: '6',
  variant: Variant.FUEL,
});

// What nodes get: /repo-files/7.0-centos6-openstack.repo and /repo-files/7.0-centos6-fuel-master.repo
new DefaultSet(server, 'openstack-7.0-centos6', { codename: mos70 });
new DefaultSet(server, 'fuel-master-7.0-centos6', { codename: mos70fuel });

// URLs from before there were codenames, and those of 6.1, lead to today's release; `mirrorctl legacy` says who still uses them.
new LegacyAlias(server, 'mos-centos-6', { path: 'mos/centos-6', to: mos70 });
new LegacyAlias(server, 'mos6.1-centos-6', { path: 'mos/centos-6/mos6.1', to: mos70, components: { updates: 'updates' } });

// ---- Customers --------------------------------------------------------------------------------------------------------------------------
const customer = new Customer(server, 'customer', { access: Access.public() });
new MosCodename(customer, 'mos7.0-centos6', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });

app.synth();
