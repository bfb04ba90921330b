/** The developers' page, command by command: downloads, a source package rebuilt with BuildRequires from the mirror alone, and a release. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { developer } from './lists-support';
import { adding, asItIs, codeBlocks, type Finished, importing, lab, onMirror, ROOT, withDeployment } from './support';

jest.setTimeout(300_000);

const PAGE = 'docs/how-to/build-from-the-mirror.md';
const home = mkdtempSync(join(tmpdir(), 'mirror-developer-'));
const build = join(home, 'build');
const LISTS = ['stx-3.0', 'stx-3.0-tarballs', 'stx-3.0-installer'];

/** The block of the page that has this text, as it stands, on the client host. */
function follow(text: string, edit: (script: string) => string = (script) => script): Finished {
  const found = codeBlocks(PAGE, 'sh').filter((block) => block.includes(text));
  expect([text, found.length]).toEqual([text, 1]);
  const script = found[0] as string;
  return developer(home, script.startsWith('# in a checkout') ? ROOT : build, ['bash', '-euo', 'pipefail', '-c', edit(script)]);
}
const succeeds = (text: string): string => {
  const { status, text: said } = follow(text);
  expect([text, status, status === 0 ? '' : said.slice(-3000)]).toEqual([text, 0, '']);
  return said;
};

beforeAll(async () => {
  mkdirSync(build);
  lab('up');
  onMirror('rm -rf /srv/mirror/releases/*');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('mirrorctl sync --wait 300 --all');
  const of = LISTS.map((id) => `server.node.findChild('${id}') as PackageLists`).join(', ');
  const at = onMirror('date -u +%Y-%m-%dT%H:%M:%SZ').trim();
  const release = adding(`new Release(server, '3.0', { of: [${of}], at: '${at}' });`);
  await withDeployment(
    (main) => release(importing('Release')(main)),
    (deployment) => deployment.deploy(),
  );
  // From here on, what is not on the mirror is nowhere.
  lab('upstream', 'down', 'all');
});
afterAll(async () => {
  lab('upstream', 'up', 'all');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('rm -rf /srv/mirror/releases/* /srv/mirror/repositories/releases');
  rmSync(home, { recursive: true });
});

test('the tool and the key', () => {
  succeeds('npm run build');
  expect(succeeds('gpg --show-keys')).toContain('mirror-signing-key');
});

test('everything that a build needs comes from the mirror, in the layout of the historical script', () => {
  succeeds('download-mirror -s --branch 3.0');
  const output = join(build, 'output/stx/CentOS');
  expect(readdirSync(join(output, 'Source')).sort()).toEqual(['bash-4.2.46-34.el7.src.rpm', 'dpdk-18.11.8-1.el7.src.rpm', 'openssl-1.0.2k-19.el7.src.rpm']); // prettier-ignore
  expect(readdirSync(join(output, 'Binary')).sort()).toEqual(['EFI', 'LiveOS', 'images', 'noarch', 'x86_64']);
  expect(readdirSync(join(output, 'Binary/noarch'))).toContain('novnc-0.6.2-1.el7.noarch.rpm');
  expect(readdirSync(join(output, 'downloads'))).toEqual(expect.arrayContaining(['lldpd-0.9.0.tar.gz', 'tss2-930.tar.gz', 'originals']));
  succeeds('createrepo_c');
});

test('a source package is rebuilt with its BuildRequires from the mirror alone, and not without them', () => {
  succeeds('repo-files/stx-3.0.repo');
  const without = follow('rpmbuild --rebuild', (script) => script.replace('$PWD/root', '$PWD/nothing'));
  expect([without.status === 0, without.text]).toEqual([false, expect.stringContaining('zlib-devel is needed by dpdk')]);
  expect(succeeds('builddep')).toContain('zlib-devel-1.2.7-18.el7.x86_64');
  expect(succeeds('rpmbuild --rebuild')).toContain('dpdk-devel-18.11.8-1.el7.x86_64.rpm');
});

test('with lists of a checkout, and of a frozen release', () => {
  succeeds('--lists lists/stx-3.0');
  expect(readdirSync(join(build, 'output/stx/CentOS/Source'))).toHaveLength(3);
  succeeds('--release 3.0');
  expect(readdirSync(join(build, 'release/CentOS/Source'))).toHaveLength(3);
});

test('every command of the page was run', () => {
  expect(codeBlocks(PAGE, 'sh')).toHaveLength(9);
});
