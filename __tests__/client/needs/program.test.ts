/** The program as build machines run it: real specs, packages, repositories and signatures. */
import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildSync } from 'esbuild';
import { dropKey, makeKey, signDetached, type TestKey } from '../../content/support/keys';
import { createrepo } from '../../content/support/upstream';
import { TestWeb } from '../web';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'needs-build-test-'));
const bundle = join(work, 'needs-build.cjs');
const NODE = process.env['TEST_NODE'] ?? process.execPath;
const packages = join(work, 'packages');
const rpms = join(work, 'rpms');
const inputs = join(work, 'inputs.json');
const record = join(work, 'record.json');
const web = new TestWeb(join(work, 'www'));
let key: TestKey;
let other: TestKey;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
/** Beside this process, which serves what the program asks for. */
async function needs(...argv: string[]): Promise<Ran> {
  const child = spawn(NODE, [bundle, ...argv], {
    cwd: work,
    env: { PATH: process.env['PATH'], HOME: work },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ran = { stdout: '', stderr: '' };
  child.stdout.on('data', (text: Buffer) => (ran.stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (ran.stderr += text.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, ...ran };
}
const digest = (...argv: string[]): Promise<Ran> => needs('digest', ...argv, '--define', 'dist .tis', '--output', inputs);
const check = (...argv: string[]): Promise<Ran> => needs('check', '--inputs', inputs, ...argv);
const read = (file: string): { packages: { name: string; source: string; binaries: string[]; inputs: Record<string, string> }[] } =>
  JSON.parse(readFileSync(file, 'utf8')) as never;

const specOf = (name: string, version: string, more = ''): string =>
  `Name: ${name}\nVersion: ${version}\nRelease: 1%{?dist}\nSummary: x\nLicense: MIT\nBuildArch: noarch\nSource0: data\n${more}%description\nx\n%install\nmkdir -p %{buildroot}/opt\ncp %{SOURCE0} %{buildroot}/opt/${name}\n%files\n/opt/${name}\n`;
const WITH_DEVEL = '%package devel\nSummary: y\n%description devel\ny\n%files devel\n';

/** A package as StarlingX has it: all beside the spec. */
function source(name: string, version: string, more = ''): string {
  const directory = join(packages, name);
  mkdirSync(join(directory, 'centos'), { recursive: true });
  writeFileSync(join(directory, 'centos', `${name}.spec`), specOf(name, version, more));
  writeFileSync(join(directory, 'centos', 'data'), `${name} ${version}\n`);
  return directory;
}

/** What the build does: both packages of a spec, at once. */
function build(name: string): void {
  const folder = join(packages, name, 'centos');
  const define = (text: string): string[] => ['--define', text];
  const argv = ['-ba', '--quiet', ...define('dist .tis'), ...define(`_topdir ${join(work, 'build')}`), ...define(`_sourcedir ${folder}`), ...define(`_rpmdir ${rpms}`), ...define(`_srcrpmdir ${join(rpms, 'src')}`), join(folder, `${name}.spec`)]; // prettier-ignore
  execFileSync('rpmbuild', argv, { stdio: 'ignore' });
}

beforeAll(async () => {
  buildSync({ entryPoints: [join(__dirname, '../../../client/needs/main.ts')], outfile: bundle, bundle: true, platform: 'node', target: 'node18', logLevel: 'error' }); // prettier-ignore
  [key, other] = [makeKey(join(work, 'gnupg'), 'mirror'), makeKey(join(work, 'gnupg-other'), 'other')];
  writeFileSync(join(work, 'mirror.asc'), key.publicKey);
  writeFileSync(join(work, 'other.asc'), other.publicKey);
  mkdirSync(web.root, { recursive: true });
  await web.start();
});
afterAll(async () => {
  await web.stop();
  for (const one of [key, other]) dropKey(one);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  for (const path of [packages, rpms, record, inputs, join(work, 'build')]) rmSync(path, { recursive: true, force: true });
  for (const name of readdirSync(web.root)) rmSync(join(web.root, name), { recursive: true });
  for (const path of [packages, rpms]) mkdirSync(path);
  web.fault = () => false;
});

/** Two packages, digested, built and recorded. */
async function builtOnce(): Promise<void> {
  const [first, second] = [source('acl', '1.0', WITH_DEVEL), source('bash', '2.0')];
  expect(await digest(first, second)).toEqual({ code: 0, stdout: '', stderr: '' });
  for (const name of ['acl', 'bash']) build(name);
  expect(await needs('record', '--inputs', inputs, '--output', record)).toEqual({ code: 0, stdout: '', stderr: '' });
}
const both = (): string[] => [join(packages, 'acl'), join(packages, 'bash')];
const local = (...argv: string[]): Promise<Ran> => check('--record', record, '--built', rpms, ...argv);

describe('on a build machine', () => {
  test('the manifest has every file, and what the spec makes', async () => {
    await builtOnce();
    expect(read(inputs).packages.map((one) => [one.name, one.source, one.binaries, Object.keys(one.inputs)])).toEqual([
      ['acl', 'acl-1.0-1.tis.src.rpm', ['acl-1.0-1.tis.noarch.rpm', 'acl-devel-1.0-1.tis.noarch.rpm'], ['centos/acl.spec', 'centos/data']],
      ['bash', 'bash-2.0-1.tis.src.rpm', ['bash-2.0-1.tis.noarch.rpm'], ['centos/bash.spec', 'centos/data']],
    ]);
    const before = readFileSync(inputs, 'utf8');
    expect((await digest(...both().reverse())).code).toBe(0);
    expect(readFileSync(inputs, 'utf8')).toBe(before);
    expect(read(inputs).packages[1]?.inputs['centos/data']).toBe(
      `sha256:${execFileSync('sha256sum', [join(packages, 'bash/centos/data')])
        .toString()
        .slice(0, 64)}`,
    );
  });

  test('nothing was built: all of it must be; then nothing, until something changes', async () => {
    await builtOnce();
    rmSync(record);
    mkdirSync(join(work, 'empty'), { recursive: true });
    const first = await check('--built', join(work, 'empty'));
    expect(first).toMatchObject({ code: 10, stderr: '' });
    expect(first.stdout).toMatch(/^acl:\n  "centos\/acl\.spec" is new: nothing is recorded, now it is sha256:/);
    expect(first.stdout).toMatch(/acl-1\.0-1\.tis\.src\.rpm is missing: 1\.0-1\.tis is wanted, none is built/);
    expect(first.stdout).toMatch(/2 of 2 packages must be rebuilt\.\n$/);
    await needs('record', '--inputs', inputs, '--output', record);
    expect(await local()).toEqual({ code: 0, stdout: 'Nothing must be rebuilt: 2 packages are as recorded, and built.\n', stderr: '' });
    expect(await local('--names')).toEqual({ code: 0, stdout: '', stderr: '' });

    appendFileSync(join(packages, 'bash/centos/data'), 'more\n');
    writeFileSync(join(packages, 'bash/centos/new.patch'), 'x\n');
    await digest(...both());
    expect(await local('--names')).toEqual({ code: 10, stdout: 'bash\n', stderr: '' });
    const { code, stdout } = await local('--json');
    expect(code).toBe(10);
    const digestPattern = expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string;
    expect(JSON.parse(stdout)).toEqual({
      rebuild: [{ package: 'bash', causes: [
        { cause: 'inputChanged', input: 'centos/data', recorded: digestPattern, now: digestPattern },
        { cause: 'inputNew', input: 'centos/new.patch', recorded: null, now: digestPattern },
      ] }], unchanged: ['acl'], gone: [], unverified: [],
    }); // prettier-ignore

    build('bash');
    expect((await needs('record', '--inputs', inputs, '--record', record, '--packages', 'bash', '--output', record)).code).toBe(0);
    expect((await local()).code).toBe(0);
  });

  test('a build of one package records that one alone', async () => {
    await builtOnce();
    for (const name of ['acl', 'bash']) appendFileSync(join(packages, name, 'centos/data'), 'more\n');
    await digest(...both());
    build('acl');
    await needs('record', '--inputs', inputs, '--record', record, '--packages', 'acl', '--output', record);
    expect(await local('--names')).toMatchObject({ code: 10, stdout: 'bash\n' });
    const before = readFileSync(record, 'utf8');
    await needs('record', '--inputs', inputs, '--record', record, '--output', record, '--packages');
    expect(readFileSync(record, 'utf8')).toBe(before);
  });

  test('a package that is missing, of another version, older than its source', async () => {
    await builtOnce();
    const there = join(rpms, 'noarch/bash-2.0-1.tis.noarch.rpm');
    const aside = join(work, 'aside.rpm');
    copyFileSync(there, aside);
    rmSync(there);
    expect((await local()).stdout).toMatch(/bash-2\.0-1\.tis\.noarch\.rpm is missing/);
    copyFileSync(aside, there);
    source('bash', '2.1');
    await digest(...both());
    await needs('record', '--inputs', inputs, '--output', record);
    expect((await local()).stdout).toMatch(
      /bash-2\.1-1\.tis\.noarch\.rpm is built as another version: 2\.1-1\.tis is wanted, 2\.0-1\.tis is built/,
    );
    build('bash');
    expect((await local()).code).toBe(0);
    const first = join(work, 'first.rpm');
    copyFileSync(join(rpms, 'noarch/bash-2.1-1.tis.noarch.rpm'), first);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    build('bash');
    copyFileSync(first, join(rpms, 'noarch/bash-2.1-1.tis.noarch.rpm'));
    const { code, stdout } = await local();
    expect(code).toBe(10);
    const [, built, wanted] = /bash-2\.1-1\.tis\.noarch\.rpm is older than its source: built (\S+Z), its source (\S+Z)/.exec(stdout) ?? [];
    expect(Date.parse(wanted ?? '')).toBeGreaterThan(Date.parse(built ?? ''));
  });

  test('further files belong to a package where they are named', async () => {
    await builtOnce();
    mkdirSync(join(work, 'downloads'), { recursive: true });
    writeFileSync(join(work, 'downloads/acl.tar.gz'), 'x');
    expect((await digest(...both(), '--with', 'acl=downloads/acl.tar.gz', '--with', 'bash=downloads')).code).toBe(0);
    expect(read(inputs).packages.map((one) => Object.keys(one.inputs).at(-1))).toEqual(['extra/acl.tar.gz', 'extra/downloads/acl.tar.gz']);
    expect((await local('--names')).stdout).toBe('acl\nbash\n');
  });

  test("a spec of rpmbuild's own layout, for another architecture", async () => {
    mkdirSync(join(packages, 'gcc/SPECS'), { recursive: true });
    mkdirSync(join(packages, 'gcc/SOURCES'));
    writeFileSync(join(packages, 'gcc/SOURCES/version'), '4.8');
    writeFileSync(join(packages, 'gcc/SPECS/gcc.spec'), specOf('gcc', '%(cat %{_sourcedir}/version)').replace('BuildArch: noarch\n', ''));
    expect(await needs('digest', join(packages, 'gcc'), '--target', 'i686', '--output', inputs)).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(read(inputs).packages[0]).toMatchObject({ source: 'gcc-4.8-1.src.rpm', binaries: ['gcc-4.8-1.i686.rpm'] });
  });

  test('version control is no input, a link inside is, by where it leads', async () => {
    const directory = source('acl', '1.0');
    mkdirSync(join(directory, '.git'));
    writeFileSync(join(directory, '.git/HEAD'), 'x');
    symlinkSync('centos/data', join(directory, 'link'));
    expect((await digest(directory)).code).toBe(0);
    expect(Object.keys(read(inputs).packages[0]?.inputs ?? {})).toEqual(['centos/acl.spec', 'centos/data', 'link']);
    const before = read(inputs).packages[0]?.inputs['link'];
    rmSync(join(directory, 'link'));
    symlinkSync('centos/acl.spec', join(directory, 'link'));
    await digest(directory);
    expect(read(inputs).packages[0]?.inputs['link']).not.toBe(before);
  });

  test.each<[string, (directory: string) => string[], RegExp]>([
    ['no spec', (d) => (rmSync(join(d, 'centos/acl.spec')), [d]), /packages\/acl" has no \.spec file\n {2}Give the directory of one package/],
    ['two specs', (d) => (writeFileSync(join(d, 'b.spec'), ''), [d]), /has 2 \.spec files: "b\.spec", "centos\/acl\.spec"\n {2}Give a directory for each/],
    ['a broken spec', (d) => (writeFileSync(join(d, 'centos/acl.spec'), 'Name: acl\n'), [d]), /rpmspec cannot read ".*acl\.spec": .*(Version|must be present)/],
    ['a link that leads out', (d) => (symlinkSync('../bash/data', join(d, 'link')), [d]), /link" is a link to "\.\.\/bash\/data", outside of the package\n {2}.*--with package=path/],
    ['an absolute link', (d) => (symlinkSync(join(d, 'centos/data'), join(d, 'link')), [d]), /is a link to "\/.*outside of the package/],
    ['a FIFO', (d) => (execFileSync('mkfifo', [join(d, 'fifo')]), [d]), /fifo" is neither a file nor a directory/],
    ['a name with a newline', (d) => (writeFileSync(join(d, 'a\nb'), ''), [d]), /a\\u000ab" has a name that cannot be written down|a\\nb" has a name/],
    ['a name that is no UTF-8', (d) => (writeFileSync(Buffer.concat([Buffer.from(`${d}/`), Buffer.from([0xff])]), ''), [d]), /has a name that cannot be written down/],
    ['two of one name', (d) => (cpSync(d, join(work, 'elsewhere/acl'), { recursive: true }), [d, join(work, 'elsewhere/acl')]), /are both called "acl"/],
    ['no directory', (d) => [`${d}x`], /aclx" is no directory/],
    ['a further file that is not there', (d) => [d, '--with', 'acl=nothing'], /--with "acl=nothing": "nothing" does not exist/],
    ['a further file of no package', (d) => [d, '--with', 'alc=inputs'], /--with names "alc", which is none of the packages/],
    ['a further file twice', (d) => [d, '--with', 'acl=mirror.asc', '--with', 'acl=mirror.asc'], /has an input "extra\/mirror\.asc" already/],
    ['a further file without a package', (d) => [d, '--with', 'mirror.asc'], /--with "mirror\.asc" is not package=path/],
  ])('refused, and the manifest stays as it was: %s', async (_what, spoil, message) => {
    const directory = source('acl', '1.0');
    writeFileSync(inputs, 'as it was');
    const { code, stdout, stderr } = await digest(...spoil(directory));
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^needs-build: .*\n {2}\S/);
    expect([2, 3]).toContain(code);
    expect([stdout, readFileSync(inputs, 'utf8')]).toEqual(['', 'as it was']);
  }); // prettier-ignore

  test.each<[string, string[], number, RegExp]>([
    ['no place of what is built', [], 2, /--built is missing\n {2}Give where built packages are/],
    ['a place that is not there', ['--built', 'nowhere'], 2, /--built "nowhere" is no directory and no URL/],
    ['another scheme', ['--built', 'ftp://x/y'], 2, /--built "ftp:\/\/x\/y" is no address that can be asked/],
    ['a password in a URL', ['--built', 'http://me:secret@x/y'], 2, /--built "http:\/\/\*\*\*@x\/y" is no address/],
    ['a record that is not there', ['--record', 'none.json', '--built', 'rpms'], 3, /none\.json: it cannot be read: ENOENT.*\n {2}For a first build leave --record out/],
    ['a directory for a record', ['--record', 'rpms', '--built', 'rpms'], 3, /rpms: it is no file/],
    ['names and json', ['--names', '--json', '--built', 'rpms'], 2, /--names and --json exclude each other/],
    ['a time', ['--timeout', '1h', '--built', 'rpms'], 2, /--timeout "1h" is no number of seconds/],
    ['inputs for a record', ['--record', inputs, '--built', 'rpms'], 3, /kind is "inputs"/],
  ])('a command line that cannot be meant: %s', async (_what, argv, expected, message) => {
    await digest(source('acl', '1.0'));
    const { code, stdout, stderr } = await check(...argv);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([expected, '']);
    expect(stderr).not.toContain('secret');
  }); // prettier-ignore

  test('packages that are none, cut, or links', async () => {
    await builtOnce();
    const bad = join(work, 'bad');
    for (const [spoil, message] of [
      [(path: string) => writeFileSync(path, 'no package'), /a\.rpm" (is no RPM package|is cut)/],
      [
        (path: string) => writeFileSync(path, readFileSync(join(rpms, 'noarch/bash-2.0-1.tis.noarch.rpm')).subarray(0, 2000)),
        /a\.rpm" is cut/,
      ],
      [(path: string) => symlinkSync('/etc/passwd', path), /a\.rpm" is no plain file/],
      [(path: string) => execFileSync('mkfifo', [path]), /a\.rpm" is no plain file/],
    ] as const) {
      rmSync(bad, { recursive: true, force: true });
      mkdirSync(bad);
      spoil(join(bad, 'a.rpm'));
      const { code, stderr } = await check('--record', record, '--built', bad);
      expect(stderr).toMatch(message);
      expect(code).toBe(3);
    }
  });

  test('a manifest that is huge, or no UTF-8', async () => {
    await builtOnce();
    truncateSync(inputs, 128 * 1024 * 1024 + 1);
    expect((await local()).stderr).toMatch(/inputs\.json: it has 134,217,729 bytes, and no manifest has more than 134,217,728\n {2}/);
    writeFileSync(inputs, Buffer.from([0x7b, 0xff]));
    expect((await local()).stderr).toMatch(/inputs\.json: it is not UTF-8\n {2}/);
  });

  test('a record is written as a whole, or not at all', async () => {
    await builtOnce();
    const before = readFileSync(record, 'utf8');
    const tried = await needs('record', '--inputs', inputs, '--output', join(work, 'nowhere/record.json'));
    expect(tried.stderr).toMatch(/--output .*nowhere\/record\.json cannot be written: ENOENT/);
    expect(tried.code).toBe(2);
    expect((await needs('record', '--inputs', record, '--output', record)).stderr).toMatch(/kind is "record"/);
    expect((await needs('record', '--inputs', inputs, '--packages', 'blc', '--output', record)).stderr).toMatch(/names "blc".*\n {2}/);
    expect(readFileSync(record, 'utf8')).toBe(before);
    expect(readdirSync(work).filter((name) => name.endsWith('.new'))).toEqual([]);
  });
});

describe('against a repository', () => {
  /** Publishes what is built as a build on the mirror has it. */
  function publish(signedBy: TestKey | null = key): void {
    const build = join(web.root, '20261101T023000Z/outputs');
    for (const [name, from] of [
      ['RPMS/std', join(rpms, 'noarch')],
      ['SRPMS/std', join(rpms, 'src')],
    ] as const) {
      const at = join(build, name);
      mkdirSync(at, { recursive: true });
      for (const file of readdirSync(from)) copyFileSync(join(from, file), join(at, basename(file)));
      createrepo(at);
      if (signedBy !== null) signDetached(signedBy, join(at, 'repodata/repomd.xml'));
    }
    copyFileSync(record, join(build, 'record.json'));
    const section = (name: string): string =>
      `[${name.replace('/', '-')}]\nname=x\nbaseurl=${web.url}/20261101T023000Z/outputs/${name}/\nrepo_gpgcheck=1\n`;
    // What is in inputs/ was not built: nobody even looks there.
    const inputsSection = `[inputs]\nname=x\nbaseurl=${web.url}/20261101T023000Z/inputs/RPMS/\n`;
    writeFileSync(join(web.root, 'build.repo'), section('RPMS/std') + inputsSection + section('SRPMS/std'));
  }
  const at = (path: string): string => `${web.url}/20261101T023000Z/outputs/${path}`;
  const remote = (...argv: string[]): Promise<Ran> => check('--record', at('record.json'), '--built', at('RPMS/std'), '--built', at('SRPMS/std/'), ...argv); // prettier-ignore

  test('the same is said as of the packages themselves, by times of the metadata', async () => {
    await builtOnce();
    publish();
    const said = await remote('--key', 'mirror.asc');
    expect(said.code).toBe(0);
    expect(said.stdout).toMatch(/^Nothing must be rebuilt.*\nNot verified: http.*record\.json \(no signature covers records;.*\n$/);
    rmSync(join(rpms, 'noarch/bash-2.0-1.tis.noarch.rpm'));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const first = join(work, 'first.rpm');
    copyFileSync(join(rpms, 'noarch/acl-1.0-1.tis.noarch.rpm'), first);
    build('acl');
    copyFileSync(first, join(rpms, 'noarch/acl-1.0-1.tis.noarch.rpm'));
    rmSync(join(web.root, '20261101T023000Z'), { recursive: true });
    publish();
    const [ofRepository, ofDirectory] = await Promise.all([remote('--key', 'mirror.asc', '--json'), local('--json')]);
    const { rebuild } = JSON.parse(ofDirectory.stdout) as { rebuild: { package: string; causes: { cause: string }[] }[] };
    expect(rebuild.map((one) => [one.package, one.causes.map(({ cause }) => cause)])).toEqual([
      ['acl', ['packageOlderThanSource']],
      ['bash', ['packageMissing']],
    ]);
    expect(JSON.parse(ofRepository.stdout)).toMatchObject({ rebuild });
    expect(ofRepository.code).toBe(10);
  });

  test('a build.repo names all repositories of one build', async () => {
    await builtOnce();
    publish();
    const said = await check('--record', record, '--built', `${web.url}/build.repo`, '--key', 'mirror.asc');
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/Not verified: http.*build\.repo \(no signature covers which repositories it names\)\n$/);
    copyFileSync(join(web.root, 'build.repo'), join(work, 'build.repo'));
    expect((await check('--record', record, '--built', 'build.repo', '--key', 'mirror.asc')).stdout).not.toContain('Not verified');
    writeFileSync(join(work, 'build.repo'), '[x]\nname=x\nbaseurl=file:///srv\n');
    expect(await check('--record', record, '--built', 'build.repo')).toMatchObject({ code: 2 });
  });

  test.each<[string, () => void, string[], number, RegExp]>([
    ['no key: it says so', () => publish(null), [], 0, /Not verified: .*RPMS\/std\/ \(no key was given: --key\)/],
    ['not signed', () => publish(null), ['--key', 'mirror.asc'], 6, /repomd\.xml\.asc is missing/],
    ['signed by somebody else', () => publish(other), ['--key', 'mirror.asc'], 6, /repomd\.xml\.asc does not prove it/],
    ['changed on its way', () => (publish(), appendFileSync(join(web.root, '20261101T023000Z/outputs/RPMS/std/repodata/repomd.xml'), '<!-- -->')), ['--key', 'mirror.asc'], 6, /does not prove it/],
    ['another list of packages than the index says', () => {
      publish();
      const repodata = join(web.root, '20261101T023000Z/outputs/RPMS/std/repodata');
      const primary = readdirSync(repodata).find((name) => name.includes('primary.xml')) as string;
      const bytes = readFileSync(join(repodata, primary));
      bytes[40] = (bytes[40] as number) ^ 1;
      writeFileSync(join(repodata, primary), bytes);
    }, ['--key', 'mirror.asc'], 6, /primary\.xml/],
    ['no repository', () => (publish(), rmSync(join(web.root, '20261101T023000Z/outputs/SRPMS/std/repodata'), { recursive: true })), ['--key', 'mirror.asc'], 5, /SRPMS\/std\/repodata\/repomd\.xml/],
    ['no record', () => (publish(), rmSync(join(web.root, '20261101T023000Z/outputs/record.json'))), ['--key', 'mirror.asc'], 5, /record\.json.*\n {2}If nothing was built before, leave --record out/],
    ['a record that is a page of a portal', () => (publish(), writeFileSync(join(web.root, '20261101T023000Z/outputs/record.json'), '<html>')), ['--key', 'mirror.asc'], 3, /record\.json: it is not JSON/],
    ['no server', () => (publish(), void (web.fault = (_path, request) => (request.socket.destroy(), true))), ['--key', 'mirror.asc'], 5, /record\.json/],
    ['no such key file', () => publish(), ['--key', 'none.asc'], 3, /none\.asc cannot be read/],
  ])('%s', async (_what, prepare, argv, expected, message) => {
    await builtOnce();
    prepare();
    const { code, stdout, stderr } = await remote(...argv);
    expect(stdout + stderr).toMatch(message);
    expect(code).toBe(expected);
    if (expected !== 0) expect(stdout).toBe('');
  }); // prettier-ignore
});

test('--help has the exit codes and examples', async () => {
  const { code, stdout } = await needs('--help');
  expect(code).toBe(0);
  expect(stdout).toMatch(/10 {2}check: something must be rebuilt/);
  expect(stdout).toMatch(/Examples:\n {2}needs-build digest/);
  expect((await needs('chekc')).code).toBe(2);
});
