/** Repositories that createrepo_c and gpg made, right and wrong in every way that lint knows. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lint, type LintOutcome } from '../../content/lint';
import { LINT_RULES, type LintCode } from '../../desired-state/lint-rules';
import { COMPONENTS } from '../../desired-state/render/repo-file';
import { buildPackage, dropKey, makeKey, signDetached, signPackage, type TestKey } from './support/keys';
import { HostedMirror } from './support/hosted';
import { TestMirror } from './support/mirror';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'lint-'));
const NAME = 'mos7.0-centos6';
const KEY_FILE = 'RPM-GPG-KEY-mos7.0';
let own: TestKey;
let other: TestKey;
let pkg: string;
let source: string;
/** `<prefix>/centos/mos7.0-centos6/…`, as it should be. */
let good: string;
let count = 0;

const said: string[] = [];
const look = (place: string, deep = false): Promise<LintOutcome> => lint(place, { deep, say: (text) => said.push(text) });
/** Codes and paths. */
const found = ({ findings }: LintOutcome): [LintCode, string][] => findings.map(({ code, path }) => [code, path]);

/** createrepo_c and a signature, as somebody makes a repository. */
function index(tree: string, ...options: string[]): void {
  execFileSync('createrepo_c', ['--quiet', '--checksum', 'sha256', ...options, tree], { stdio: 'ignore' });
  signDetached(own, join(tree, 'repodata/repomd.xml'));
}

function sourcePackage(directory: string): string {
  const spec = join(directory, 'lint-source.spec');
  mkdirSync(directory, { recursive: true });
  writeFileSync(spec, 'Name: lint-source\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n%description\ns\n');
  execFileSync('rpmbuild', ['-bs', '--quiet', '--define', `_topdir ${directory}`, '--define', `_srcrpmdir ${directory}`, spec], {
    stdio: 'ignore',
  });
  return join(directory, 'lint-source-1-1.src.rpm');
}

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'own');
  other = makeKey(join(work, 'other'), 'other');
  pkg = buildPackage(join(work, 'build'), 'lint-a', '1.0');
  source = sourcePackage(join(work, 'build-source'));
  for (const file of [pkg, source]) signPackage(own, file);
  good = join(work, 'good');
  for (const component of COMPONENTS) {
    for (const [tree, folder] of [
      ['x86_64', 'Packages'],
      ['Source', 'SPackages'],
    ] as const) {
      const path = join(good, 'centos', NAME, component, tree);
      mkdirSync(join(path, folder), { recursive: true });
      if (component === 'os') cpSync(tree === 'Source' ? source : pkg, join(path, folder, tree === 'Source' ? 'lint-source-1-1.src.rpm' : 'lint-a-1.0-1.noarch.rpm')); // prettier-ignore
      index(path);
    }
    writeFileSync(join(good, 'centos', NAME, component, KEY_FILE), own.publicKey);
  }
  const snapshots = join(good, 'centos', NAME, 'snapshots');
  mkdirSync(snapshots);
  for (const time of ['2026-11-01-000000', '2026-11-22-093000']) cpSync(join(good, 'centos', NAME, 'os'), join(snapshots, `os-${time}`), { recursive: true }); // prettier-ignore
  index(join(snapshots, 'os-2026-11-01-000000/x86_64'), '--revision', '1');
  symlinkSync('os-2026-11-22-093000', join(snapshots, 'os-latest'));
  writeFileSync(join(snapshots, 'os-latest.target.txt'), 'os-2026-11-22-093000\n');
});
afterAll(() => {
  for (const key of [own, other]) dropKey(key);
  rmSync(work, { recursive: true, force: true });
});

/** A copy of what is right, to be broken. */
function copy(): string {
  const directory = join(work, String(count++));
  cpSync(good, directory, { recursive: true, verbatimSymlinks: true });
  return directory;
}

describe('what is right', () => {
  test.each([
    ['prefix', '.', 10],
    ['distribution', 'centos', 10],
    ['codename', `centos/${NAME}`, 10],
    ['component', `centos/${NAME}/os`, 2],
    ['tree', `centos/${NAME}/os/x86_64`, 1],
  ])('a %s has no finding, also when every byte is read', async (level, path, trees) => {
    for (const deep of [false, true])
      expect(await look(join(good, path), deep)).toMatchObject({ level, deep, trees, errors: 0, warnings: 0, findings: [] });
  });
});

type Break = (codename: string, prefix: string) => void;
const REPOMD = 'os/x86_64/repodata/repomd.xml';
const PACKAGE = 'os/x86_64/Packages/lint-a-1.0-1.noarch.rpm';
const edit = (path: string, change: (text: string) => string): void => writeFileSync(path, change(readFileSync(path, 'latin1')), 'latin1');
const record = (codename: string, type: string): string => join('os/x86_64/repodata', readdirSync(join(codename, 'os/x86_64/repodata')).find((name) => name.includes(`-${type}.xml`)) as string); // prettier-ignore
/** Signs again what was changed, so that only the change is found. */
const resign = (codename: string): void => signDetached(own, join(codename, REPOMD));
const packageList = (codename: string, change: (xml: string) => string): void => {
  const tree = join(codename, 'os/x86_64');
  const primary = join(tree, 'primary.xml');
  const packed = execFileSync('zcat', ['-f', join(codename, record(codename, 'primary'))], { encoding: 'utf8' });
  writeFileSync(primary, change(packed));
  execFileSync('modifyrepo_c', ['--remove', 'primary', join(tree, 'repodata')], { stdio: 'ignore' });
  execFileSync('modifyrepo_c', ['--checksum', 'sha256', '--mdtype', 'primary', primary, join(tree, 'repodata')], { stdio: 'ignore' });
  rmSync(primary);
  resign(codename);
};
const reindex = (codename: string, ...options: string[]): void => index(join(codename, 'os/x86_64'), ...options);

/** What is done to a codename, and what is found: `…` is the codename's path. */
const CASES: readonly (readonly [string, Break, readonly (readonly [LintCode, string | RegExp])[]])[] = [
  ['a folder of no distribution', (_c, prefix) => mkdirSync(join(prefix, 'debian')), [['DISTRIBUTION_UNKNOWN', 'debian']]],
  ['a codename without the distribution', (_c, prefix) => mkdirSync(join(prefix, 'centos/mos7.0')), [['CODENAME_MALFORMED', 'centos/mos7.0']]],
  ['a codename of another variant', (_c, prefix) => mkdirSync(join(prefix, `centos/${NAME}-nodes`)), [['CODENAME_MALFORMED', `centos/${NAME}-nodes`]]],
  ['a codename in another distribution', (_c, prefix) => renameSync(join(prefix, 'centos'), join(prefix, 'fedora')), [['CODENAME_MISPLACED', `fedora/${NAME}`]]],
  ['a component in capitals', (codename) => renameSync(join(codename, 'cr'), join(codename, 'CR')), [['COMPONENT_MALFORMED', '…/CR'], ['COMPONENT_MISSING', '…/cr']]],
  ['a component that is missing', (codename) => rmSync(join(codename, 'holdback'), { recursive: true }), [['COMPONENT_MISSING', '…/holdback']]],
  ['a tree that is missing', (codename) => rmSync(join(codename, 'cr/x86_64'), { recursive: true }), [['TREE_MISSING', '…/cr']]],
  ['a tree of another name', (codename) => renameSync(join(codename, 'cr/x86_64'), join(codename, 'cr/amd64')), [['TREE_UNKNOWN', '…/cr/amd64'], ['TREE_MISSING', '…/cr']]],
  ['no sources', (codename) => rmSync(join(codename, 'cr/Source'), { recursive: true }), [['SOURCE_MISSING', '…/cr/Source']]],
  ['a file that is nothing', (codename) => writeFileSync(join(codename, 'cr/README'), ''), [['STRAY_FILE', '…/cr/README']]],
  ['no key', (codename) => unlinkSync(join(codename, 'cr', KEY_FILE)), [['KEY_MISSING', `…/cr/${KEY_FILE}`]]],
  ['a key of another release', (codename) => renameSync(join(codename, 'cr', KEY_FILE), join(codename, 'cr/RPM-GPG-KEY-mos8.0')), [['KEY_MISNAMED', '…/cr/RPM-GPG-KEY-mos8.0'], ['KEY_MISSING', `…/cr/${KEY_FILE}`]]],
  ['a secret key', (codename) => writeFileSync(join(codename, 'cr', KEY_FILE), own.secretKey), [['KEY_UNUSABLE', `…/cr/${KEY_FILE}`]]],
  ['a key that is none', (codename) => writeFileSync(join(codename, 'cr', KEY_FILE), 'a key'), [['KEY_UNUSABLE', `…/cr/${KEY_FILE}`]]],
  ['no index', (codename) => rmSync(join(codename, 'cr/x86_64/repodata'), { recursive: true }), [['INDEX_MISSING', '…/cr/x86_64/repodata/repomd.xml']]],
  ['an index that is cut off', (codename) => { truncateSync(join(codename, REPOMD), 400); resign(codename); }, [['INDEX_UNUSABLE', `…/${REPOMD}`]]],
  ['an index that leads out of the tree', (codename) => { edit(join(codename, REPOMD), (xml) => xml.replace('href="repodata/', 'href="../../../../etc/')); resign(codename); }, [['INDEX_UNUSABLE', `…/${REPOMD}`]]],
  ['an index with an entity', (codename) => { edit(join(codename, REPOMD), (xml) => xml.replace('<repomd', '<!DOCTYPE r [<!ENTITY a "a">]><repomd')); resign(codename); }, [['INDEX_UNUSABLE', `…/${REPOMD}`]]],
  ['no signature', (codename) => unlinkSync(join(codename, `${REPOMD}.asc`)), [['SIGNATURE_MISSING', `…/${REPOMD}.asc`]]],
  ['a binary signature', (codename) => { execFileSync('gpg', ['--homedir', own.home, '--batch', '--yes', '--quiet', '--detach-sign', '--output', join(codename, `${REPOMD}.asc`), join(codename, REPOMD)], { stdio: 'ignore' }); }, [['SIGNATURE_BINARY', `…/${REPOMD}.asc`]]],
  ['a signature by another key', (codename) => signDetached(other, join(codename, REPOMD)), [['SIGNATURE_UNTRUSTED', `…/${REPOMD}.asc`]]],
  ['an index that was changed after it was signed', (codename) => appendFileSync(join(codename, REPOMD), '\n'), [['SIGNATURE_UNTRUSTED', `…/${REPOMD}.asc`]]],
  ['sha1', (codename) => reindex(codename, '--checksum', 'sha'), [['CHECKSUM_WEAK', `…/${REPOMD}`]]],
  ['md5', (codename) => reindex(codename, '--checksum', 'md5'), [['CHECKSUM_WEAK', `…/${REPOMD}`]]],
  ['packages from another place', (codename) => reindex(codename, '--baseurl', 'http://elsewhere.example.org/'), [['ELSEWHERE', `…/${PACKAGE}`]]],
  ['a metadata file that is missing', (codename) => unlinkSync(join(codename, record(codename, 'filelists'))), [['METADATA_MISSING', /-filelists\.xml/]]],
  ['a metadata file that is longer', (codename) => appendFileSync(join(codename, record(codename, 'other')), 'x'), [['METADATA_DAMAGED', /-other\.xml/]]],
  ['a metadata file with other bytes', (codename) => { const file = join(codename, record(codename, 'filelists')); const bytes = readFileSync(file); bytes[20] = (bytes[20] as number) ^ 1; writeFileSync(file, bytes); }, [['METADATA_DAMAGED', /-filelists\.xml/]]],
  ['no changelogs', (codename) => { execFileSync('modifyrepo_c', ['--remove', 'other', join(codename, 'os/x86_64/repodata')], { stdio: 'ignore' }); resign(codename); }, [['METADATA_INCOMPLETE', `…/${REPOMD}`]]],
  ['a list that is no XML', (codename) => packageList(codename, (xml) => xml.replace('</package>', '')), [['LIST_UNUSABLE', /primary/]]],
  ['a list that leads out of the tree', (codename) => packageList(codename, (xml) => xml.replace('href="Packages/', 'href="../../Packages/')), [['LIST_UNUSABLE', /primary/]]],
  ['a package that is missing', (codename) => unlinkSync(join(codename, PACKAGE)), [['PACKAGE_MISSING', `…/${PACKAGE}`]]],
  ['a pipe in the place of a package', (codename) => { unlinkSync(join(codename, PACKAGE)); execFileSync('mkfifo', [join(codename, PACKAGE)]); }, [['PACKAGE_MISSING', `…/${PACKAGE}`]]],
  ['a package that was cut off', (codename) => truncateSync(join(codename, PACKAGE), 1000), [['PACKAGE_SIZE', `…/${PACKAGE}`]]],
  ['one package twice', (codename) => { cpSync(join(codename, PACKAGE), join(codename, 'os/x86_64/Packages/again/lint-a-1.0-1.noarch.rpm')); reindex(codename); }, [['PACKAGE_TWICE', /lint-a-1\.0-1\.noarch\.rpm$/]]],
  ['a package beside Packages', (codename) => { renameSync(join(codename, PACKAGE), join(codename, 'os/x86_64/lint-a-1.0-1.noarch.rpm')); reindex(codename); }, [['PACKAGE_MISPLACED', '…/os/x86_64/lint-a-1.0-1.noarch.rpm']]],
  ['a package of another name', (codename) => { renameSync(join(codename, PACKAGE), join(codename, 'os/x86_64/Packages/a.rpm')); reindex(codename); }, [['PACKAGE_MISNAMED', '…/os/x86_64/Packages/a.rpm']]],
  ['a source package among binaries', (codename) => { cpSync(source, join(codename, 'os/x86_64/Packages/lint-source-1-1.src.rpm')); reindex(codename); }, [['PACKAGE_ARCHITECTURE', '…/os/x86_64/Packages/lint-source-1-1.src.rpm']]],
  ['a package that nobody listed', (codename) => cpSync(join(codename, PACKAGE), join(codename, 'os/x86_64/Packages/new.rpm')), [['PACKAGE_UNLISTED', '…/os/x86_64/Packages/new.rpm']]],
  ['a name among snapshots', (codename) => mkdirSync(join(codename, 'snapshots/os-20261101')), [['SNAPSHOT_MALFORMED', '…/snapshots/os-20261101']]],
  ['a snapshot of no component', (codename) => mkdirSync(join(codename, 'snapshots/extras-2026-11-01-000000')), [['SNAPSHOT_COMPONENT', '…/snapshots/extras-2026-11-01-000000']]],
  ['a snapshot that leads nowhere', (codename) => symlinkSync('gone', join(codename, 'snapshots/os-2026-10-01-000000')), [['SNAPSHOT_BROKEN', '…/snapshots/os-2026-10-01-000000']]],
  ['an empty snapshot', (codename) => mkdirSync(join(codename, 'snapshots/os-2026-10-01-000000')), [['SNAPSHOT_BROKEN', '…/snapshots/os-2026-10-01-000000']]],
  ['no latest', (codename) => unlinkSync(join(codename, 'snapshots/os-latest')), [['SNAPSHOT_LATEST_MISSING', '…/snapshots/os-latest']]],
  ['no target', (codename) => unlinkSync(join(codename, 'snapshots/os-latest.target.txt')), [['SNAPSHOT_TARGET_MISSING', '…/snapshots/os-latest.target.txt']]],
  ['a target that is not there', (codename) => writeFileSync(join(codename, 'snapshots/os-latest.target.txt'), '../../etc\n'), [['SNAPSHOT_TARGET_WRONG', '…/snapshots/os-latest.target.txt']]],
  ['a target that is another', (codename) => writeFileSync(join(codename, 'snapshots/os-latest.target.txt'), 'os-2026-11-01-000000\n'), [['SNAPSHOT_TARGET_WRONG', '…/snapshots/os-latest.target.txt']]],
  ['a latest that is not the newest', (codename) => { unlinkSync(join(codename, 'snapshots/os-latest')); symlinkSync('os-2026-11-01-000000', join(codename, 'snapshots/os-latest')); writeFileSync(join(codename, 'snapshots/os-latest.target.txt'), 'os-2026-11-01-000000\n'); }, [['SNAPSHOT_LATEST_OLD', '…/snapshots/os-latest']]],
]; // prettier-ignore

/** What is only found when every byte is read. */
const DEEP: typeof CASES = [
  ['a package with other bytes', (codename) => { const file = join(codename, PACKAGE); const bytes = readFileSync(file); bytes[bytes.length - 9] = (bytes.at(-9) as number) ^ 1; writeFileSync(file, bytes); }, [['PACKAGE_DAMAGED', `…/${PACKAGE}`]]],
  ['a package by another key', (codename) => { execFileSync('rpmsign', ['--delsign', join(codename, PACKAGE)], { stdio: 'ignore' }); signPackage(other, join(codename, PACKAGE)); reindex(codename); }, [['PACKAGE_UNSIGNED', `…/${PACKAGE}`]]],
  ['a package without a signature', (codename) => { execFileSync('rpmsign', ['--delsign', join(codename, PACKAGE)], { stdio: 'ignore' }); reindex(codename); }, [['PACKAGE_UNSIGNED', `…/${PACKAGE}`]]],
  ['a list that calls a package another one', (codename) => { packageList(codename, (xml) => xml.replaceAll('ver="1.0"', 'ver="2.0"').replaceAll('lint-a-1.0-1.noarch.rpm', 'lint-a-2.0-1.noarch.rpm')); renameSync(join(codename, PACKAGE), join(codename, PACKAGE.replace('1.0', '2.0'))); }, [['PACKAGE_CONTRADICTS', `…/${PACKAGE.replace('1.0', '2.0')}`]]],
]; // prettier-ignore

describe('what is wrong is found, and nothing else', () => {
  test.each([...CASES.map((one) => [false, ...one] as const), ...DEEP.map((one) => [true, ...one] as const)])(
    '(deep: %s) %s',
    async (deep, _what, act, expected) => {
      const prefix = copy();
      const codename = join(prefix, 'centos', NAME);
      act(codename, prefix);
      // What is in one component is looked for there: all of a prefix takes five times as long.
      const inOs = expected.every(([, path]) => typeof path !== 'string' || path.startsWith('…/os/'));
      const [place, above] = inOs ? [join(codename, 'os'), '…/os/'] : [prefix, '…'];
      if (deep) expect(found(await look(place))).toEqual([]);
      const outcome = await look(place, deep);
      const below = inOs ? '' : `centos/${NAME}`;
      const paths = expected.map(([code, path]) => [code, typeof path === 'string' ? path.replace(above, below) : (expect.stringMatching(path) as string)]); // prettier-ignore
      expect(found(outcome)).toEqual(paths);
      for (const { code, severity, remedy, message } of outcome.findings) {
        expect({ severity, remedy }).toEqual({ severity: LINT_RULES[code].severity, remedy: LINT_RULES[code].remedy });
        expect(message.length).toBeGreaterThan(10);
      }
      expect(outcome.errors + outcome.warnings).toBe(expected.length);
      rmSync(prefix, { recursive: true });
    },
  );

  test('each rule has a case', () => {
    const elsewhere: LintCode[] = ['NOTHING_FOUND', 'LISTING_MISSING'];
    const covered = new Set([...elsewhere, ...[...CASES, ...DEEP].flatMap(([, , expected]) => expected.map(([code]) => code))]);
    expect(Object.keys(LINT_RULES).filter((code) => !covered.has(code as LintCode))).toEqual([]);
  });
});

describe('on a web server', () => {
  let server: Server;
  let listings = true;
  let redirect: string | undefined;
  const url = (path = ''): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`;
  beforeAll(async () => {
    server = createServer((asked, answer) => {
      if (redirect !== undefined) return void answer.writeHead(302, { location: redirect }).end();
      const path = join(good, decodeURIComponent((asked.url as string).replace(/\?.*/, '')));
      if (!existsSync(path)) return void answer.writeHead(404).end();
      if (!statSync(path).isDirectory()) return void answer.end(readFileSync(path));
      if (!listings) return void answer.writeHead(403).end();
      const links = readdirSync(path).map((name) => `<a href="${encodeURIComponent(name)}${statSync(join(path, name)).isDirectory() ? '/' : ''}">x</a>`); // prettier-ignore
      answer.end(`<html><title>Index of /</title><a href="../">..</a>${links.join('\n')}</html>`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  afterEach(() => {
    listings = true;
    redirect = undefined;
  });

  test.each([
    ['prefix', ''],
    ['codename', `centos/${NAME}`],
    ['component', `centos/${NAME}/os/`],
  ])('a %s: the same as on a disk, every byte read', async (level, path) => {
    expect(await look(url(path), true)).toMatchObject({ level, errors: 0, warnings: 0, findings: [] });
  });

  test('without listings what the scheme says by name is looked at', async () => {
    listings = false;
    const outcome = await look(url(`centos/${NAME}`));
    expect(outcome).toMatchObject({ level: 'codename', trees: 10 });
    expect(found(outcome)).toEqual([['LISTING_MISSING', '.']]);
  });

  test('a server that sends us to a private address is not followed', async () => {
    redirect = 'http://127.0.0.2:9/';
    await expect(look(url())).rejects.toMatchObject({ code: 'PRIVATE_ADDRESS' });
  });

  test('a server that is not there is no finding: it cannot be looked at', async () => {
    await expect(look('http://127.0.0.1:9/x/')).rejects.toMatchObject({ exitCode: 5 });
  });
});

test('nothing of the scheme, and nothing at all', async () => {
  const empty = join(work, 'empty');
  mkdirSync(join(empty, 'pool'), { recursive: true });
  expect(found(await look(empty))).toEqual([['NOTHING_FOUND', '.']]);
  await expect(look(join(work, 'nowhere'))).rejects.toMatchObject({ code: 'USAGE', exitCode: 2 });
  for (const place of ['ftp://example.org/a/', 'http://user:pass@example.org/', 'http://example.org/../a', 'file:///etc'])
    await expect(look(place)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('cannot be looked at') as string });
});

describe('the program', () => {
  let mirror: TestMirror;
  beforeEach(() => (mirror = new TestMirror()));
  afterEach(() => mirror.remove());

  test('says what is wrong once a kind, with its remedy, and ends with 3 for errors only', async () => {
    const prefix = copy();
    const codename = join(prefix, 'centos', NAME);
    for (const component of COMPONENTS) unlinkSync(join(codename, component, 'x86_64/repodata/repomd.xml.asc'));
    writeFileSync(join(codename, 'os', 'odd\u001b[31m'), '');
    const ran = await mirror.run('lint', prefix);
    expect(ran.code).toBe(3);
    expect(ran.stdout).toMatch(
      /^error SIGNATURE_MISSING: repomd\.xml has no signature\n( {2}centos\/mos7\.0-centos6\/\S+: .*\n){5} {2}→ gpg --armor --detach-sign/,
    );
    expect(ran.stdout).toContain('warning STRAY_FILE');
    expect(ran.stdout).not.toContain('\u001b');
    expect(ran.stdout).toMatch(/: a prefix, 10 trees, 2 packages; 5 errors, 1 warning\n$/);
    const json = await mirror.run('lint', prefix, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ level: 'prefix', errors: 5, warnings: 1, findings: { length: 6 } });
    const warned = copy();
    writeFileSync(join(warned, 'centos', NAME, 'os/README'), '');
    expect(await mirror.run('lint', warned)).toMatchObject({ code: 0, stderr: '' });
  });

  test('prints its rules; wants a place or those', async () => {
    expect((await mirror.run('lint', '--rules')).stdout).toContain('error SIGNATURE_MISSING: repomd.xml has no signature\n  → gpg');
    expect(JSON.parse((await mirror.run('lint', '--rules', '--json')).stdout)).toEqual({ rules: LINT_RULES });
    for (const argv of [[], ['--rules', '.']]) expect(await mirror.run('lint', ...argv)).toMatchObject({ code: 2, stdout: '' });
  });
});

test('what a deploy prepares is clean, and what is published in it', async () => {
  const mirror = new HostedMirror(own, other);
  try {
    mirror.codename('mos/mos7.0-centos6', { architectures: ['x86_64', 'i386'] });
    await mirror.prepare();
    const www = join(mirror.directory, 'www/centos', NAME);
    mkdirSync(www, { recursive: true });
    for (const component of COMPONENTS)
      symlinkSync(join(mirror.root, 'repositories/mos', NAME, component, 'current'), join(www, component));
    symlinkSync(join(mirror.root, 'public-snapshots/mos', NAME), join(www, 'snapshots'));
    const place = join(mirror.directory, 'www');
    expect(await look(place, true)).toMatchObject({ level: 'prefix', trees: 15, packages: 0, findings: [] });
    const built = buildPackage(join(work, 'published'), 'lint-b', '1.0');
    signPackage(other, built);
    expect(await mirror.publish('mos7.0-centos6/updates', built)).toMatchObject({ code: 0 });
    // noarch: in the tree of each architecture.
    expect(await look(place, true)).toMatchObject({ level: 'prefix', trees: 15, packages: 2, findings: [] });
  } finally {
    mirror.remove();
  }
});
