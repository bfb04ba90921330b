import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { homesOf, INSTALLER, readListSet } from '../../lab/list-set';
import { listSetContent } from '../../lab/list-set-content';
import { UPSTREAM_HOSTS, UPSTREAMS } from '../../lab/upstreams';

jest.setTimeout(120_000);

const scratch = mkdtempSync(join(tmpdir(), 'list-set-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const BASE = 'http://vault.centos.org/centos/7.6.1810/updates/x86_64/';
const CLOUD = 'http://mirror.centos.org/centos/7/cloud/x86_64/openstack-queens/';
const SOURCE = 'http://vault.centos.org/7.6.1810/updates/Source/';

/** Lists like the real ones, with their oddities. */
function lists(): string {
  const directory = join(scratch, 'lists');
  mkdirSync(join(directory, 'yum.repos.d'), { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  write(
    'rpms_centos.lst',
    '# pkg-1-1.el7.x86_64.rpm provided by mock\nlibstdc++-devel-4.8.5-36.el7_6.1.x86_64.rpm\nlibstdc++-devel-4.8.5-36.el7_6.1.i686.rpm\nlibstdc++-devel-4.8.5-36.el7_6.2.x86_64.rpm\n' +
      'tzdata-2019a-1.el7_6.noarch.rpm\nacl-2.2.51-14.el7_6.src.rpm\npython-oslo-log-lang-3.39.2-1.el7.noarch.rpm\npython-oslo-log-lang-3.39.2-1.el7.noarch.rpm\n',
  );
  write('rpms_3rdparties.lst', 'novnc-0.6.2-1.el7.noarch.rpm#http://cbs.centos.org/kojifiles/packages/novnc-0.6.2-1.el7.noarch.rpm\n');
  write(
    'tarball-dl.lst',
    'a b.tar.gz#x#https://sourceforge.net/a%20b.tar.gz/download#http##\n!tss2-930.tar.gz#tss2-930#https://git.code.sf.net/p/tss#git#v930\nlibtrust.tar.gz#l#github.com/docker/libtrust.tar.gz#http##\n',
  );
  write('other_downloads.lst', 'folder:EFI\n#file:EFI/no\nfile:EFI/BOOT/grub.cfg\n');
  write(
    'yum.repos.d/a.repo',
    `[u]\nbaseurl=${BASE}\nenabled=1\n[s]\nbaseurl=${SOURCE}\n[c]\nbaseurl=${CLOUD.replace('x86_64', '$basearch')}\nenabled=0\n[e]\nbaseurl=http://vault.centos.org/empty/\n`,
  );
  return directory;
}

test.each([
  ['bash-4.2.46-31.el7_6.x86_64.rpm', false, BASE],
  ['bash-4.2.46-31.el7_5.x86_64.rpm', false, 'http://vault.centos.org/7.5.1804/updates/x86_64/'],
  ['bash-4.2.46-31.el7_2.x86_64.rpm', true, 'http://vault.centos.org/7.2.1511/updates/x86_64/'],
  ['bash-4.2.46-31.el7.src.rpm', false, 'http://vault.centos.org/7.6.1810/os/Source/'],
  ['kernel-rt-3.10.0-1127.13.1.rt56.1110.el7.src.rpm', true, 'http://linuxsoft.cern.ch/cern/centos/7.5/rt/Sources/'],
  ['python-oslo-log-lang-3.39.2-1.el7.noarch.rpm', false, CLOUD],
  ['cppcheck-1.88-3.el7.x86_64.rpm', true, 'https://www.rpmfind.net/linux/epel/7/x86_64'],
])('%s (third party: %s) is upstream at %s', (file, thirdParty, home) => expect(homesOf(file, thirdParty)).toEqual([home]));

test('lists become what upstreams serve: packages of those very names and versions, metadata, files, a git repository', async () => {
  const directory = lists();
  const places = await listSetContent(join(scratch, 'cache'), directory);
  expect(places).toMatchObject({ packages: 7, repositories: 4 });
  const at = (url: string): string => join(places.www, url.replace(/^https?:\/\//, ''));
  const files = readdirSync(at(`${BASE}Packages`)).sort();
  expect(files).toHaveLength(4);
  for (const file of [...files.map((f) => at(`${BASE}Packages/${f}`)), at(`${SOURCE}SPackages/acl-2.2.51-14.el7_6.src.rpm`)]) {
    const named = execFileSync('rpm', ['-qp', '--nosignature', '--qf', '%{NAME}-%{VERSION}-%{RELEASE}.%|SOURCERPM?{%{ARCH}}:{src}|.rpm %{RSAHEADER:pgpsig}', file]).toString(); // prettier-ignore
    expect(named.split(' ')[0]).toBe(file.split('/').at(-1));
    expect(named).toContain('RSA/SHA256');
  }
  expect(readdirSync(at(`${CLOUD}Packages`))).toEqual(['python-oslo-log-lang-3.39.2-1.el7.noarch.rpm']);
  for (const url of [BASE, SOURCE, CLOUD, 'http://vault.centos.org/empty/']) expect(existsSync(at(`${url}repodata/repomd.xml`))).toBe(true);
  for (const url of [
    'http://cbs.centos.org/kojifiles/packages/novnc-0.6.2-1.el7.noarch.rpm',
    'https://sourceforge.net/a b.tar.gz/download',
    'https://github.com/docker/libtrust.tar.gz',
    `${INSTALLER}EFI/BOOT/grub.cfg`,
  ])
    expect(existsSync(at(url))).toBe(true);
  const refs = execFileSync('git', ['ls-remote', at('https://git.code.sf.net/p/tss'), 'v930']).toString();
  expect(refs).toContain('refs/tags/v930');
  // The second time it is there.
  expect(await listSetContent(join(scratch, 'cache'), directory)).toEqual(places);
});

test('a directory without lists is refused', () => {
  expect(() => readListSet(scratch)).toThrow(/has no rpms_centos.lst/);
});

test('a package that no section of yum.repos.d would have is named', () => {
  const directory = lists();
  rmSync(join(directory, 'yum.repos.d/a.repo'));
  expect(() => readListSet(directory)).toThrow(/no section has .*vault.centos.org.*libstdc\+\+-devel/);
});

test('without yum.repos.d, only what has an address of its own is wanted', () => {
  const directory = lists();
  rmSync(join(directory, 'yum.repos.d'), { recursive: true });
  expect(readListSet(directory).packages.map((p) => p.file)).toEqual(['novnc-0.6.2-1.el7.noarch.rpm']);
});

test('what the lists of main.ts name, the lab has: packages of its repositories, addresses of its hosts', () => {
  const project = join(__dirname, '../../lists/stx-3.0');
  const built = UPSTREAMS.flatMap((row) =>
    row.packages.flatMap((p) => [
      `${p.name}-${p.version}-${p.release}.src.rpm`,
      ...(p.binaries ?? [p.name]).map((name) => `${name}-${p.version}-${p.release}.${p.arch}.rpm`),
    ]),
  );
  for (const name of ['rpms_centos.lst', 'rpms_centos3rdparties.lst']) {
    const asked = readFileSync(join(project, name), 'utf8').split('\n').filter((line) => /^[^#]/.test(line)); // prettier-ignore
    expect(asked.filter((file) => !built.includes(file))).toEqual([]);
  }
  const set = readListSet(project);
  const urls = [...set.packages.flatMap((p) => p.at), ...set.tarballs.map((t) => t.url), ...set.installer];
  expect(urls.length).toBeGreaterThan(10);
  expect(urls.map((url) => new URL(url).hostname).filter((host) => !UPSTREAM_HOSTS.includes(host))).toEqual([]);
});

const REAL = join(__dirname, '../../../shared/data/starlingx/r-stx.3.0');
(existsSync(REAL) ? test : test.skip)('every host of the real lists is one that the lab answers for (needs ../shared/data)', () => {
  const set = readListSet(REAL);
  const urls = [...set.repositories.keys(), ...set.packages.flatMap((p) => p.at), ...set.tarballs.map((t) => t.url), ...set.installer];
  expect(new Set(urls.map((url) => new URL(url).hostname).filter((host) => !UPSTREAM_HOSTS.includes(host)))).toEqual(new Set());
  expect(set.packages).toHaveLength(2187);
});
