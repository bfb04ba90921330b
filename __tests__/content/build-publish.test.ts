import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildRecord } from '../../content/build-record';
import { SERIES } from './support/builds';
import { dropKey, makeKey, type TestKey } from './support/keys';
import { BuildMirror, Packages } from './support/published-builds';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'build-publish-'));
const rpms = new Packages(work);
let key: TestKey;
let mirror: BuildMirror;
beforeAll(() => {
  key = makeKey(join(work, 'key'), 'mirror');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  mirror = new BuildMirror(key);
});
afterEach(() => mirror.remove());

const FIRST = '20261101T023000Z';
const SECOND = '20261102T023000Z';
const THIRD = '20261103T023000Z';
const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** What a build of StarlingX leaves, in small. */
const WHOLE = {
  'CONTEXT.sh': `# context\n(cd ./cgcs-root && git checkout -f ${COMMIT})\n\n(cd ./cgcs-root/stx/integ && git checkout -f ${COMMIT})\n`,
  'outputs/BUILD_INFO': '###\nOS="centos"\nSW_VERSION="20.06"\nBUILD_NUMBER=12\n',
  'CHANGELOG.txt': 'commit 0123 – a change\n',
  'inputs/downloads/kernel.tar.xz': 'a tarball',
  'outputs/iso/bootimage.iso': 'an image '.repeat(60_000),
  'outputs/image.inc': 'docker\n',
  'logs/build-std.log': 'all that was done\n',
  Success: '',
};

const build = (...path: string[]): string => join(mirror.root, 'builds', SERIES, ...path);
const link = (name: string): string | undefined => (existsSync(build(name)) ? readlinkSync(build(name)) : undefined);

function filesIn(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath ?? (entry as unknown as { path: string }).path, entry.name);
    if (entry.isFile()) found[path.slice(directory.length + 1)] = readFileSync(path, 'latin1');
  }
  return found;
}

/** Everything in the storage root: kind, inode, bytes and where links lead. */
function stateOf(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath ?? (entry as unknown as { path: string }).path, entry.name);
    const { ino, size, mtimeMs } = lstatSync(path);
    found[path] = entry.isSymbolicLink() ? readlinkSync(path) : entry.isDirectory() ? 'directory' : `${ino} ${size} ${mtimeMs}`;
  }
  return found;
}

/** What createrepo_c finds in a directory of packages, and what the mirror says of it: the same, package by package. */
function expectAsCreaterepo(directory: string): void {
  const oracle = mkdtempSync(join(work, 'oracle-'));
  cpSync(directory, oracle, { recursive: true, preserveTimestamps: true });
  rmSync(join(oracle, 'repodata'), { recursive: true });
  execFileSync('createrepo_c', ['--quiet', '--no-database', '--simple-md-filenames', oracle]);
  const index = readFileSync(join(directory, 'repodata/repomd.xml'), 'utf8');
  for (const kind of ['primary', 'filelists', 'other']) {
    const [file] = readdirSync(join(directory, 'repodata')).filter((name) => name.endsWith(`-${kind}.xml.gz`) && index.includes(name));
    const texts = [join(oracle, 'repodata', `${kind}.xml.gz`), join(directory, 'repodata', file as string)].map((path) =>
      execFileSync('gzip', ['-dc', path], { encoding: 'utf8', maxBuffer: 1 << 28 }),
    );
    const [theirs, ours] = texts.map((text) => [...text.matchAll(/<package [^]*?<\/package>/g)].map(([one]) => one).sort());
    expect(ours).toEqual(theirs);
    expect(texts[1]).toContain(`packages="${theirs?.length}"`);
  }
}

function expectSigned(directory: string): void {
  const file = (name: string): string => join(directory, 'repodata', name);
  const home = mkdtempSync(join(tmpdir(), 'g-'));
  try {
    const gpg = (...argv: string[]): string =>
      execFileSync('gpg', ['--homedir', home, '--batch', '--status-fd', '1', ...argv], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    gpg('--import', file('repomd.xml.key'));
    expect(gpg('--verify', file('repomd.xml.asc'), file('repomd.xml'))).toContain(`VALIDSIG ${key.fingerprint}`);
  } finally {
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true });
  }
}

const PACKAGES = {
  'outputs/RPMS/std': [{ name: 'alpha' }, { name: 'beta' }],
  'outputs/RPMS/std/deep/er': [{ name: 'gamma' }],
  'outputs/RPMS/rt': [{ name: 'alpha' }],
  'outputs/SRPMS/std': [{ name: 'alpha', arch: 'src' }],
  'inputs/RPMS': [{ name: 'delta' }],
};

describe('a build that succeeded', () => {
  test('is published with all of its files, and its packages as signed repositories', async () => {
    const directory = mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES), 'outputs/docker-images/a.tar': 'x' });
    const made = filesIn(directory);
    const outcome = await mirror.buildPublished(SERIES, directory);
    expect(outcome).toMatchObject({
      series: SERIES,
      timestamp: FIRST,
      result: 'published',
      succeeded: true,
      links: [
        { link: 'latest_build', to: FIRST },
        { link: 'latest_docker_image_build', to: FIRST },
      ],
      repositories: [
        { path: 'inputs/RPMS', packages: 1 },
        { path: 'outputs/RPMS/rt', packages: 1 },
        { path: 'outputs/RPMS/std', packages: 3 },
        { path: 'outputs/SRPMS/std', packages: 1 },
      ],
    });
    const published = filesIn(build(FIRST));
    for (const [path, text] of Object.entries(made)) expect([path, published[path] === text]).toEqual([path, true]);
    expect(published['outputs/RPMS/std/rpm.lst']).toBe('alpha-1-1.noarch.rpm\nbeta-1-1.noarch.rpm\ndeep/er/gamma-1-1.noarch.rpm\n');
    expect(published['outputs/SRPMS/std/srpm.lst']).toBe('alpha-1-1.src.rpm\n');
    for (const { path } of outcome.repositories) {
      expectAsCreaterepo(build(FIRST, path));
      expectSigned(build(FIRST, path));
    }
    expect(link('latest_build')).toBe(FIRST);
    expect(Object.keys(published)).toHaveLength(outcome.files);
    // Nothing of it can be written to by whoever reads it, and nobody but the mirror's user may write there.
    for (const path of Object.keys(published)) expect([path, lstatSync(build(FIRST, path)).mode & 0o777]).toEqual([path, 0o444]);
    const record = JSON.parse(readFileSync(join(mirror.root, 'build-records', SERIES, `${FIRST}.json`), 'utf8')) as BuildRecord;
    expect(record).toMatchObject({ succeeded: true, noNewContent: false, dockerImages: true, files: outcome.files, bytes: outcome.bytes });
    const manifest = readFileSync(join(mirror.root, 'build-records', SERIES, `${FIRST}.manifest`), 'utf8')
      .trimEnd()
      .split('\n');
    expect(manifest.map((line) => line.split('\t')[2])).toEqual(Object.keys(published).sort());
    expect(readdirSync(join(mirror.root, 'build-work'))).toEqual([]);
    expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
  });

  test('build.repo names its repositories by its timestamp, and dnf installs from them with signed metadata', async () => {
    await mirror.buildPublished(SERIES, mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES) }));
    const text = readFileSync(build('latest_build/build.repo'), 'utf8');
    expect([...text.matchAll(/^\[(.*)\]$/gm)].map(([, id]) => id)).toEqual(
      ['inputs-RPMS', 'outputs-RPMS-rt', 'outputs-RPMS-std', 'outputs-SRPMS-std'].map((id) => `master-centos-flock-${id}`),
    );
    const base = 'http://mirror.example.org/mirror/starlingx/master/centos/flock';
    expect(text).toContain(`baseurl=${base}/${FIRST}/outputs/RPMS/std/\nenabled=1\n`);
    expect(text).toContain(`baseurl=${base}/${FIRST}/outputs/SRPMS/std/\nenabled=0\n`);
    const local = join(mirror.directory, 'build.repo');
    writeFileSync(
      local,
      `[main]\nplugins=0\nreposdir=/nonexistent\ncachedir=${mirror.directory}/cache\n${text.replaceAll(base, `file://${build('.')}`)}`,
    );
    const options = ['-c', local, '--installroot', mkdtempSync(join(mirror.directory, 'root-')), '--releasever', '7', '-y', '--quiet'];
    const found = execFileSync('dnf', [...options, 'repoquery', '--qf', '%{repoid} %{name}\n', '*'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(
      found
        .split('\n')
        .filter((line) => line !== '')
        .sort(),
    ).toEqual(['rt alpha', 'std alpha', 'std beta', 'std gamma'].map((line) => `master-centos-flock-outputs-RPMS-${line}`));
  });

  test('shares with the store and with other builds what they have, and describes only what is new', async () => {
    const one = mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES) });
    await mirror.buildPublished(SERIES, one);
    const changed = { ...PACKAGES, 'outputs/RPMS/std': [{ name: 'alpha' }, { name: 'beta', version: '2' }] };
    const two = mirror.make(SECOND, { ...WHOLE, ...rpms.in(changed), 'logs/build-std.log': 'another log\n' });
    const outcome = await mirror.buildPublished(SERIES, two);
    expect(outcome).toMatchObject({ result: 'published', links: [{ link: 'latest_build', from: FIRST, to: SECOND }] });
    for (const path of ['outputs/iso/bootimage.iso', 'outputs/RPMS/std/alpha-1-1.noarch.rpm', 'Success'])
      expect(lstatSync(build(SECOND, path)).ino).toBe(lstatSync(build(FIRST, path)).ino);
    for (const { path } of outcome.repositories) {
      expectAsCreaterepo(build(SECOND, path));
      expectSigned(build(SECOND, path));
    }
    const generated = Object.entries(filesIn(build(SECOND))).filter(([path]) => /repodata|\.lst$|build\.repo$/.test(path));
    const fresh = [rpms.get({ name: 'beta', version: '2' }), join(two, 'logs/build-std.log')].map((path) => lstatSync(path).size);
    const bytes = [...fresh, ...generated.map(([, text]) => text.length)].reduce((sum, size) => sum + size, 0);
    expect(outcome.newBytes).toBe(bytes);
  });

  test('takes descriptions from an older build, too, where the newest lacks packages', async () => {
    await mirror.buildPublished(SERIES, mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES) }));
    await mirror.buildPublished(
      SERIES,
      mirror.make(SECOND, { 'logs/a': 'it failed\n', ...rpms.in({ 'outputs/RPMS/std': [{ name: 'beta' }] }) }),
    );
    const third = mirror.make(THIRD, { ...WHOLE, ...rpms.in(PACKAGES) });
    expect(mirror.publishWithoutCreaterepo(SERIES, third)).toMatchObject({ code: 0, stderr: '' });
    expectAsCreaterepo(build(THIRD, 'outputs/RPMS/std'));
  });

  test('describes everything anew where the metadata of the build before it is damaged', async () => {
    await mirror.buildPublished(SERIES, mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES) }));
    const repodata = build(FIRST, 'outputs/RPMS/std/repodata');
    for (const name of readdirSync(repodata).filter((one) => one.endsWith('.gz'))) {
      const bytes = readFileSync(join(repodata, name));
      bytes.fill(0x55, bytes.length >> 1, bytes.length - 8);
      chmodSync(join(repodata, name), 0o644);
      writeFileSync(join(repodata, name), bytes);
    }
    const ran = await mirror.publishBuild(SERIES, mirror.make(SECOND, { ...WHOLE, ...rpms.in(PACKAGES), 'logs/b': '' }));
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringMatching(/described anew/) });
    expectAsCreaterepo(build(SECOND, 'outputs/RPMS/std'));
  });

  test('brings metadata and lists of its own for nothing: the mirror makes them', async () => {
    const directory = mirror.make(FIRST, {
      ...WHOLE,
      ...rpms.in(PACKAGES),
      'outputs/RPMS/std/repodata/repomd.xml': 'not ours',
      'outputs/RPMS/std/repodata/sub/x': 'not ours',
      'outputs/RPMS/std/rpm.lst': 'nothing\n',
      'outputs/RPMS/std/srpm.lst': 'nothing\n',
      'build.repo': '[other]\n',
      'outputs/iso/repodata/kept': 'no repository',
    });
    await mirror.buildPublished(SERIES, directory);
    const published = filesIn(build(FIRST));
    expect(published['outputs/RPMS/std/rpm.lst']).toContain('alpha');
    expect(published['build.repo']).not.toContain('other');
    expect(published['outputs/iso/repodata/kept']).toBe('no repository');
    expect(
      Object.keys(published).filter((path) => path.startsWith('outputs/RPMS/std/repodata/sub') || path === 'outputs/RPMS/std/srpm.lst'),
    ).toEqual([]);
    expectSigned(build(FIRST, 'outputs/RPMS/std'));
  });
});

describe('links', () => {
  test('none leads to a build that failed or has nothing new, and an older one moves none', async () => {
    const of = async (timestamp: string, files: Readonly<Record<string, string>>): Promise<string> => {
      const ran = await mirror.publishBuild(SERIES, mirror.make(timestamp, { 'logs/log': timestamp, ...files }));
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      return ran.stdout;
    };
    expect(await of(SECOND, { 'outputs/Success': '', 'outputs/GREEN': '' })).toContain(
      `  latest_build leads to ${SECOND}\n  latest_green_build leads to ${SECOND}\n  latest_yellow_build leads to ${SECOND}\n`,
    );
    expect(await of(THIRD, {})).toContain('no link leads to it: it failed (it has no marker Success)');
    expect(await of('20261104T000000Z', { Success: '', No_New_Content: '' })).toContain('no link leads to it: it has nothing new');
    expect(await of(FIRST, { Success: '' })).toContain(`latest_build stays at ${SECOND}, which is newer`);
    expect(link('latest_build')).toBe(SECOND);
    expect(readdirSync(build()).filter((name) => name.startsWith('2'))).toHaveLength(4);
  });
});

describe('the same build again', () => {
  test('changes nothing; links that a killed run left behind are put right', async () => {
    const directory = mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES) });
    await mirror.buildPublished(SERIES, directory);
    const before = stateOf(mirror.root);
    // What it brings in the place of what the mirror makes does not count.
    mirror.make(FIRST, { 'outputs/RPMS/std/rpm.lst': 'other\n' });
    const ran = await mirror.publishBuild(SERIES, directory);
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/: unchanged, \d+ files, .* nothing new/) });
    expect(stateOf(mirror.root)).toEqual(before);
    rmSync(build('latest_build'));
    expect(await mirror.buildPublished(SERIES, directory)).toMatchObject({
      result: 'unchanged',
      links: [{ link: 'latest_build', to: FIRST }],
    });
  });

  test('is unchanged after it was marked', async () => {
    const directory = mirror.make(FIRST, { ...WHOLE, GREEN: '' });
    await mirror.buildPublished(SERIES, directory);
    expect(await mirror.run('build', 'mark', SERIES, FIRST, 'red')).toMatchObject({ code: 0 });
    expect(await mirror.buildPublished(SERIES, directory)).toMatchObject({ result: 'unchanged' });
    expect(link('latest_green_build')).toBeUndefined();
  });

  test.each<[string, (directory: string) => void, string]>([
    ['other content', (d) => writeFileSync(join(d, 'outputs/image.inc'), 'other\n'), 'outputs/image.inc has other content'],
    ['a file more', (d) => writeFileSync(join(d, 'outputs/more'), ''), 'outputs/more is new'],
    ['a file less', (d) => rmSync(join(d, 'outputs/image.inc')), 'outputs/image.inc is not there any more'],
  ])('is refused with %s', async (_what, change, why) => {
    const directory = mirror.make(FIRST, WHOLE);
    await mirror.buildPublished(SERIES, directory);
    const before = stateOf(mirror.root);
    change(directory);
    const ran = await mirror.publishBuild(SERIES, directory);
    expect(ran).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining(`is published already, and ${why}`) });
    expect(ran.stderr).toContain('--timestamp');
    expect(stateOf(mirror.root)).toEqual(before);
  });

  test('is refused where what is recorded of it is lost', async () => {
    const directory = mirror.make(FIRST, WHOLE);
    await mirror.buildPublished(SERIES, directory);
    rmSync(join(mirror.root, 'build-records', SERIES, `${FIRST}.manifest`));
    expect(await mirror.publishBuild(SERIES, directory)).toMatchObject({ code: 3, stderr: expect.stringContaining('is lost') });
  });
});

test('--dry-run judges, and changes nothing', async () => {
  await mirror.buildPublished(SERIES, mirror.make(FIRST, WHOLE));
  const before = stateOf(mirror.root);
  const good = await mirror.publishBuild(SERIES, mirror.make(SECOND, { ...WHOLE, ...rpms.in(PACKAGES), YELLOW: '' }), '--dry-run');
  expect(good).toMatchObject({ code: 0, stderr: '' });
  expect(good.stdout).toMatch(/20261102T023000Z: would be published, \d+ files/);
  expect(good.stdout).toContain(
    `  latest_build would lead to ${SECOND} (before: ${FIRST})\n  latest_yellow_build would lead to ${SECOND}\n`,
  );
  const bad = await mirror.publishBuild(SERIES, mirror.make(THIRD, { ...WHOLE, 'outputs/RPMS/std/a.rpm': 'none' }), '--dry-run');
  expect(bad).toMatchObject({ code: 3, stderr: expect.stringContaining('"outputs/RPMS/std/a.rpm" is no RPM package') });
  expect(stateOf(mirror.root)).toEqual(before);
});

describe('what is asked for', () => {
  test.each<[string, (directory: string) => readonly string[], number, string]>([
    ['a series that is not declared', (d) => ['master/centos/distro', d], 2, 'is no series of builds'],
    ['a directory that is not there', (d) => [SERIES, `${d}/none`, '--timestamp', FIRST], 2, 'there is no directory'],
    ['a file', (d) => [SERIES, `${d}/Success`, '--timestamp', FIRST], 2, 'is no directory'],
    ['a timestamp that is none', (d) => [SERIES, d, '--timestamp', '20261301T000000Z'], 2, 'is no name of a build'],
    ['a time to come', (d) => [SERIES, d, '--timestamp', '29990101T000000Z'], 3, 'would start more than a day from now'],
  ])('%s', async (_what, argv, code, why) => {
    const before = stateOf(mirror.root);
    const ran = await mirror.publishBuild(...argv(mirror.make(FIRST, WHOLE)));
    expect(ran).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(why) });
    expect(Object.keys(stateOf(mirror.root)).filter((path) => !path.endsWith('/store'))).toEqual(Object.keys(before));
  });

  test('the name of the directory is the timestamp, unless another is given', async () => {
    const directory = join(mirror.make(FIRST, WHOLE), '..', 'build');
    renameSync(join(directory, '..', FIRST), directory);
    expect(await mirror.publishBuild(SERIES, directory)).toMatchObject({ code: 2, stderr: expect.stringContaining('--timestamp') });
    expect(await mirror.buildPublished(SERIES, directory, '--timestamp', SECOND)).toMatchObject({ timestamp: SECOND });
  });
});

describe('a build that is refused changes nothing', () => {
  const other = rpms;
  test.each<[string, (directory: string) => void, string]>([
    ['a symbolic link', (d) => symlinkSync('/etc/passwd', join(d, 'outputs/link')), '"outputs/link" is a symbolic link'],
    [
      'a link for a folder',
      (d) => (rmSync(join(d, 'logs'), { recursive: true }), symlinkSync('/etc', join(d, 'logs'))),
      '"logs" is a symbolic link',
    ],
    ['a FIFO', (d) => void execFileSync('mkfifo', [join(d, 'outputs/fifo')]), '"outputs/fifo" is neither a file nor a directory'],
    ['a device', (d) => void execFileSync('mknod', [join(d, 'outputs/null'), 'c', '1', '3']), '"outputs/null" is neither'],
    ['a line feed in a name', (d) => writeFileSync(join(d, 'outputs/a\nb'), ''), '"outputs/a\\nb" has a name with control characters'],
    ['a name that is no UTF-8', (d) => writeFileSync(Buffer.from(`${d}/outputs/\xff`, 'latin1'), ''), 'that is no UTF-8'],
    ['another folder', (d) => mkdirSync(join(d, 'other')), '"other" is a directory beside inputs, outputs, logs'],
    [
      'too deep',
      (d) => mkdirSync(join(d, 'outputs', ...Array.from({ length: 31 }, () => 'x')), { recursive: true }),
      'lies deeper than 30',
    ],
    [
      'CONTEXT.sh with a command',
      (d) => writeFileSync(join(d, 'CONTEXT.sh'), 'rm -rf /\n'),
      '"CONTEXT.sh" has the line 1, "rm -rf /", which is not of the form',
    ],
    ['a colour that is not empty', (d) => writeFileSync(join(d, 'outputs/GREEN'), 'x'), '"outputs/GREEN" must be empty'],
    [
      'a package that is none',
      (d) => (
        mkdirSync(join(d, 'outputs/RPMS/std'), { recursive: true }),
        writeFileSync(join(d, 'outputs/RPMS/std/a.rpm'), 'x'.repeat(200))
      ),
      '"outputs/RPMS/std/a.rpm" is no RPM package',
    ],
    [
      'a package that was cut',
      (d) => (
        mkdirSync(join(d, 'outputs/RPMS/std'), { recursive: true }),
        cpSync(other.get({ name: 'alpha' }), join(d, 'outputs/RPMS/std/a.rpm')),
        truncateSync(join(d, 'outputs/RPMS/std/a.rpm'), 4500)
      ),
      'is a package that was cut',
    ],
    [
      'a source package in RPMS',
      (d) => (
        mkdirSync(join(d, 'outputs/RPMS/std'), { recursive: true }),
        cpSync(other.get({ name: 'alpha', arch: 'src' }), join(d, 'outputs/RPMS/std/a.src.rpm'))
      ),
      'is a source package, and lies in RPMS',
    ],
    [
      'a binary package in SRPMS',
      (d) => (mkdirSync(join(d, 'inputs/SRPMS'), { recursive: true }), cpSync(other.get({ name: 'alpha' }), join(d, 'inputs/SRPMS/a.rpm'))),
      'is no source package, and lies in SRPMS',
    ],
    [
      'a package with an odd path',
      (d) => (
        mkdirSync(join(d, 'outputs/RPMS/std/%2e'), { recursive: true }),
        cpSync(other.get({ name: 'alpha' }), join(d, 'outputs/RPMS/std/%2e/a.rpm'))
      ),
      'is a package, and its path has other characters',
    ],
    ['nothing in it', (d) => (rmSync(d, { recursive: true }), mkdirSync(d)), 'has none of inputs, outputs, logs'],
  ])('%s', async (_what, spoil, why) => {
    await mirror.buildPublished(SERIES, mirror.make(FIRST, WHOLE));
    const before = stateOf(mirror.root);
    const directory = mirror.make(SECOND, WHOLE);
    spoil(directory);
    const ran = await mirror.publishBuild(SERIES, directory);
    expect(ran).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining(why) });
    expect(stateOf(mirror.root)).toEqual(before);
  });

  test('names ten of many', async () => {
    const directory = mirror.make(FIRST, WHOLE);
    for (let i = 10; i < 25; i++) symlinkSync('x', join(directory, `outputs/link-${i}`));
    const ran = await mirror.publishBuild(SERIES, directory);
    expect(ran.stderr).toMatch(/"outputs\/link-\d+" is a symbolic link(?:; [^;]+){9}; and 5 more/);
  });

  test('a file that the user mirror may not read', () => {
    const directory = mirror.make(FIRST, WHOLE);
    chmodSync(join(directory, 'outputs/image.inc'), 0o000);
    // Root may read everything: the program runs as somebody else.
    execFileSync('chown', ['-R', '65534', mirror.directory]);
    execFileSync('chown', ['0', join(directory, 'outputs/image.inc')]);
    const argv = mirror.argv('build', 'publish', SERIES, directory);
    chmodSync(join(argv[0] as string, '..'), 0o755);
    let said = '';
    try {
      execFileSync(process.execPath, argv, { uid: 65534, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string };
      said = `${status} ${stderr}`;
    }
    expect(said).toContain(`7 mirrorctl: the user mirror may not read ${JSON.stringify(join(directory, 'outputs/image.inc'))}`);
    expect(existsSync(build(FIRST))).toBe(false);
  });
});

describe('SHA256SUMS', () => {
  const sums = (directory: string): string =>
    execFileSync('sh', ['-c', 'find . -type f ! -name SHA256SUMS -exec sha256sum {} +'], { cwd: directory, encoding: 'utf8' });

  test('what it says is required, and it is published', async () => {
    const directory = mirror.make(FIRST, { ...WHOLE, ...rpms.in(PACKAGES) });
    writeFileSync(join(directory, 'SHA256SUMS'), sums(directory));
    expect(await mirror.buildPublished(SERIES, directory)).toMatchObject({ result: 'published' });
    expect(readFileSync(build(FIRST, 'SHA256SUMS'), 'utf8')).toBe(sums(directory));
  });

  test.each<[string, (text: string) => string, string]>([
    ['another digest', (t) => t.replace(/^[0-9a-f]{4}/, '0000'), 'and SHA256SUMS says 0000'],
    ['a file that is not there', (t) => `${t}${'0'.repeat(64)}  outputs/none\n`, '"outputs/none" is named in SHA256SUMS, and is not there'],
    ['a file not named', (t) => t.split('\n').slice(1).join('\n'), 'is not named in SHA256SUMS'],
    ['a file named twice', (t) => t + t, 'is named twice'],
    ['no list', () => 'hello\n', 'which is none of sha256sum'],
  ])('%s', async (_what, spoil, why) => {
    const directory = mirror.make(FIRST, WHOLE);
    writeFileSync(join(directory, 'SHA256SUMS'), spoil(sums(directory)));
    const ran = await mirror.publishBuild(SERIES, directory);
    expect(ran).toMatchObject({ code: 3, stderr: expect.stringContaining(why) });
    expect(existsSync(build())).toBe(false);
  });
});

test('a file of the build is no link to the original: who changes that changes nothing here', async () => {
  const directory = mirror.make(FIRST, WHOLE);
  await mirror.buildPublished(SERIES, directory);
  writeFileSync(join(directory, 'outputs/image.inc'), 'changed afterwards\n');
  expect(readFileSync(build(FIRST, 'outputs/image.inc'), 'utf8')).toBe('docker\n');
  linkSync(join(directory, 'outputs/image.inc'), join(directory, 'outputs/second'));
  // A second name of the same file is a file like any other.
  expect(await mirror.buildPublished(SERIES, directory, '--timestamp', SECOND)).toMatchObject({ result: 'published' });
});
