/** Builds in releases: what is frozen of them, what is refused, and that nothing that becomes of a build changes it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Layout } from '../../content/layout';
import type { ReleaseDefinition } from '../../desired-state/definitions';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { makeBuild } from './support/builds';
import { TestMirror } from './support/mirror';
import { makeBuildWithPackages } from './support/released';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'release-builds-'));
const SERIES = 'rc/3.0/centos/flock';
const TIMESTAMP = '20261101T023000Z';
const PLACE = 'mirror/starlingx/release/3.0.1/centos/flock';
const URL = 'http://mirror.example.org/releases/3.0.1';
const CONTEXT = `(cd ./cgcs-root && git checkout -f ${'a'.repeat(40)})\n`;
let key: TestKey;
let hello: string;
let mirror: TestMirror;
let layout: Layout;

beforeAll(() => {
  key = makeKey(join(work, 'key'), 'own');
  hello = buildPackage(work, 'hello', '1.0');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  mirror = new TestMirror();
  mirror.signBy(key);
  layout = new Layout(mirror.root, mirror.state, mirror.configuration);
});
afterEach(() => mirror.remove());

const FILES = {
  Success: '',
  GREEN: '',
  SHA256SUMS: '',
  'build.repo': '[x]\n',
  'CONTEXT.sh': CONTEXT,
  'outputs/BUILD_INFO': 'BUILD="1"\n',
  'outputs/iso/bootimage.iso': 'an image',
  'inputs/downloads/a.tar.gz': 'a tarball',
  // Brought along, and none that the mirror made: there are no packages.
  'outputs/RPMS/empty/repodata/repomd.xml': '<repomd/>',
};

function publish(timestamp = TIMESTAMP, files: Readonly<Record<string, string>> = FILES): string {
  const repositories = { 'outputs/RPMS/std': [hello], 'outputs/RPMS/rt': [], 'outputs/SRPMS': [], 'inputs/RPMS': [hello] };
  return makeBuildWithPackages(layout, key, { timestamp, series: SERIES, files, repositories });
}

const reference = (timestamp = TIMESTAMP) => ({ series: SERIES, timestamp, publicPath: PLACE });

function declare(rest: Partial<ReleaseDefinition> = {}): void {
  mirror.write('definitions/releases/3.0.1.yaml', { kind: 'release', id: '3.0.1', members: [], builds: [reference()], url: URL, ...rest });
}

interface Json {
  readonly releases: readonly Record<string, unknown>[];
  readonly errors: readonly { readonly code: string; readonly message: string; readonly remedy: string }[];
}
async function json(...argv: string[]): Promise<Json & { readonly code: number | null }> {
  const ran = await mirror.run('release', ...argv, '--json');
  if (ran.stdout === '') throw new Error(ran.stderr);
  return { ...(JSON.parse(ran.stdout) as Json), code: ran.code };
}

const at = (...path: string[]): string => join(mirror.root, 'releases/3.0.1', ...path);

/** Digest of every file of the release, by its path there, links followed. */
function digests(): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (folder: string): void => {
    for (const name of readdirSync(at(folder))) {
      const path = join(folder, name);
      if (path === 'pins') continue;
      if (statSync(at(path)).isDirectory()) walk(path);
      else
        found[path] = createHash('sha256')
          .update(readFileSync(at(path)))
          .digest('hex');
    }
  };
  walk('');
  return found;
}

test('it has inputs, outputs and what says from what was built, and no timestamp, logs or marks; its manifest has each file', async () => {
  publish();
  declare();
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ id: '3.0.1', state: 'frozen', problems: [] }], errors: [] });
  expect(readdirSync(at(PLACE)).sort()).toEqual(['CONTEXT.sh', 'inputs', 'outputs']);
  expect(readFileSync(at(PLACE, 'CONTEXT.sh'), 'utf8')).toBe(CONTEXT);
  expect(readFileSync(at(PLACE, 'outputs/iso/bootimage.iso'), 'utf8')).toBe('an image');
  // Relative: the file system may be mounted elsewhere.
  expect(readlinkSync(at(PLACE, 'outputs'))).toMatch(/^(\.\.\/){8}builds\/rc\/3\.0\/centos\/flock\/20261101T023000Z\/outputs$/);
  expect(realpathSync(at(PLACE, 'outputs'))).toBe(realpathSync(join(layout.build(SERIES, TIMESTAMP), 'outputs')));
  const rest = digests();
  for (const own of ['manifest.txt', 'release.json']) delete rest[own];
  const lines = [...readFileSync(at('manifest.txt'), 'utf8').matchAll(/^sha256:([0-9a-f]{64})\t\d+\t(.+)$/gm)];
  expect(Object.fromEntries(lines.map(([, hex, path]) => [path, hex]))).toEqual(rest);
  expect(Object.keys(rest)).toEqual(
    expect.arrayContaining(['builds.repo', `${PLACE}/outputs/RPMS/std/rpm.lst`, `${PLACE}/outputs/BUILD_INFO`]),
  );
  expect(JSON.parse(readFileSync(at('release.json'), 'utf8'))).toMatchObject({
    members: [],
    builds: [{ ...reference(), files: lines.length - 1, bytes: expect.any(Number) }],
  });
  expect(await json('verify')).toMatchObject({ code: 0, releases: [{ files: lines.length, differences: [] }] });
  expect((await json('list')).releases).toMatchObject([{ state: 'frozen', builds: { [SERIES]: TIMESTAMP }, files: lines.length - 1 }]);
  expect((await mirror.run('release', 'list')).stdout).toMatch(/^3\.0\.1 +frozen +- +\S+ \S+ +0 +1 /m);
});

test('builds.repo has each repository of the builds, by its address in the release and the key of then; what was built is on', async () => {
  publish();
  declare();
  await json('freeze');
  const file = readFileSync(at('builds.repo'), 'utf8');
  expect(file.match(/^\[.*$/gm)).toEqual(
    ['inputs-RPMS', 'outputs-RPMS-rt', 'outputs-RPMS-std', 'outputs-SRPMS'].map((name) => `[3.0.1-centos-flock-${name}]`),
  );
  const base = `${URL}/${PLACE}/outputs/RPMS/std/`;
  expect(file).toContain(
    `[3.0.1-centos-flock-outputs-RPMS-std]\nname=outputs/RPMS/std of centos/flock, release 3.0.1\nbaseurl=${base}\nenabled=1\ngpgcheck=0\nrepo_gpgcheck=1\ngpgkey=${base}repodata/repomd.xml.key\npriority=50\n`,
  );
  expect(file.match(/^enabled=.*$/gm)).toEqual(['enabled=0', 'enabled=1', 'enabled=1', 'enabled=0']);
  // What dnf makes of it, where the release is a directory.
  const local = join(mirror.directory, 'builds.repo');
  writeFileSync(local, file.replaceAll(URL, `file://${at()}`));
  const config = join(mirror.directory, 'dnf.conf');
  writeFileSync(config, '[main]\n');
  const options = [
    '-q',
    '-y',
    '-c',
    config,
    `--setopt=reposdir=${mirror.directory}`,
    `--setopt=cachedir=${join(mirror.directory, 'cache')}`,
  ];
  const found = execFileSync(
    'dnf',
    [...options, '--setopt=module_platform_id=platform:el8', '--disableplugin=local', 'repoquery', '--location', 'hello'],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  expect(found).toBe(`file://${at(PLACE, 'outputs/RPMS/std/hello-1.0-1.noarch.rpm')}\n`);
});

test('marks, other builds, another name of the site and another freeze change no byte of it', async () => {
  const directory = publish();
  declare();
  await json('freeze');
  const before = digests();
  rmSync(join(directory, 'GREEN'));
  writeFileSync(join(directory, 'RED'), '');
  writeFileSync(join(directory, 'KEEP'), 'for the customer');
  publish('20261102T023000Z', { ...FILES, 'outputs/iso/bootimage.iso': 'another image' });
  rmSync(layout.buildRecord(SERIES, TIMESTAMP, 'manifest'));
  declare({ url: 'http://other.example.org/releases/3.0.1' });
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ state: 'unchanged' }] });
  expect(digests()).toEqual(before);
  expect(await json('verify')).toMatchObject({ code: 0, releases: [{ differences: [] }] });
});

test('where what was recorded of the build is lost or is not what was recorded, its files are read', async () => {
  publish();
  writeFileSync(layout.buildRecord(SERIES, TIMESTAMP, 'manifest'), `sha256:${'0'.repeat(64)}\t1\toutputs/gone\n`);
  declare();
  rmSync(layout.buildRecord(SERIES, TIMESTAMP, 'json'));
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ state: 'frozen', problems: [] }] });
  expect(readFileSync(at('builds.repo'), 'utf8')).toContain('/outputs/RPMS/std/\n');
  expect(await json('verify')).toMatchObject({ code: 0, releases: [{ differences: [] }] });
});

test('a file of the build that is gone by then is told, and a part of the release all the same', async () => {
  const directory = publish();
  rmSync(join(directory, 'outputs/iso/bootimage.iso'));
  declare();
  const frozen = await json('freeze');
  expect(frozen).toMatchObject({ code: 0, releases: [{ state: 'frozen' }] });
  expect(frozen.releases[0]?.['problems']).toEqual([
    `1 files of the build ${SERIES}/${TIMESTAMP} are missing, outputs/iso/bootimage.iso the first`,
  ]);
  const missing = [{ path: `${PLACE}/outputs/iso/bootimage.iso`, what: 'missing' }];
  expect(await json('verify')).toMatchObject({ code: 6, releases: [{ differences: missing }] });
});

test('verify names what differs, is missing, was not there, and a link that leads elsewhere', async () => {
  const directory = publish();
  declare();
  await json('freeze');
  const iso = join(directory, 'outputs/iso/bootimage.iso');
  chmodSync(iso, 0o644);
  writeFileSync(iso, 'an imagf');
  rmSync(join(directory, 'inputs/downloads/a.tar.gz'));
  writeFileSync(join(directory, 'inputs/more'), '');
  const { code, releases } = await json('verify');
  expect(code).toBe(6);
  expect(releases[0]?.['differences']).toEqual([
    { path: `${PLACE}/inputs/more`, what: 'additional' },
    { path: `${PLACE}/inputs/downloads/a.tar.gz`, what: 'missing' },
    { path: `${PLACE}/outputs/iso/bootimage.iso`, what: 'differs' },
  ]);
  rmSync(at(PLACE, 'inputs'));
  symlinkSync('/etc', at(PLACE, 'inputs'));
  rmSync(at(PLACE, 'CONTEXT.sh'));
  expect((await json('verify')).releases[0]?.['differences']).toEqual(
    expect.arrayContaining([
      { path: `${PLACE}/inputs`, what: 'differs' },
      { path: `${PLACE}/CONTEXT.sh`, what: 'missing' },
    ]),
  );
});

test.each<[string, (directory: string) => void, string]>([
  ['was never published', (directory) => rmSync(directory, { recursive: true }), 'has expired; builds that succeeded are 20261102T023000Z'],
  [
    'failed',
    () => rmSync(layout.buildRecord(SERIES, TIMESTAMP, 'json')),
    `the build ${SERIES}/${TIMESTAMP} failed (it has no file Success)`,
  ],
  [
    'has nothing to release',
    (directory) => ['inputs', 'outputs'].forEach((folder) => rmSync(join(directory, folder), { recursive: true })),
    'has neither inputs nor outputs',
  ],
])('a build that %s cannot be released, which holds up no deploy', async (what, change, message) => {
  const directory = publish(TIMESTAMP, what === 'failed' ? { 'outputs/a': 'a' } : FILES);
  publish('20261102T023000Z');
  change(directory);
  declare();
  const frozen = await json('freeze');
  expect(frozen).toMatchObject({ code: 3, releases: [{ state: 'unsatisfiable' }], errors: [{ code: 'RELEASE_UNSATISFIABLE' }] });
  expect(frozen.errors[0]?.message).toContain(message);
  expect(frozen.errors[0]?.remedy).toContain('mirrorctl build list');
  expect(lstatSync(at(), { throwIfNoEntry: false })).toBeUndefined();
  expect(await json('list')).toMatchObject({ code: 3, releases: [{ state: 'unsatisfiable', builds: { [SERIES]: TIMESTAMP } }] });
  expect(await mirror.run('prepare')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('warning: the release 3.0.1 cannot be frozen'),
  });
});

test('no series at all says so', async () => {
  declare();
  expect((await json('freeze')).errors[0]?.message).toContain(`no build of ${SERIES} that succeeded is here`);
});

test('another build, one more or one less of what was frozen is refused by the deploy', async () => {
  publish();
  publish('20261102T023000Z');
  const distro = { series: 'rc/3.0/centos/distro', timestamp: TIMESTAMP, publicPath: PLACE.replace('flock', 'distro') };
  makeBuild(layout, { timestamp: TIMESTAMP, series: distro.series, files: { Success: '', 'outputs/a': 'a' } });
  declare();
  expect(await mirror.run('prepare')).toMatchObject({ code: 0, stdout: expect.stringContaining('release 3.0.1: frozen') });
  const before = digests();
  const changes: [Partial<ReleaseDefinition>, string][] = [
    [
      { builds: [reference('20261102T023000Z')] },
      `/${PLACE}/ is the build ${SERIES}/${TIMESTAMP}, not the build ${SERIES}/20261102T023000Z`,
    ],
    [{ builds: [reference(), distro] }, `the build ${distro.series}/${TIMESTAMP} is no part of it`],
    [{ builds: [distro] }, `the build ${SERIES}/${TIMESTAMP} is a part of it`],
  ];
  for (const [change, message] of changes) {
    declare(change);
    const ran = await mirror.run('prepare');
    expect(ran.code).toBe(3);
    expect(ran.stderr.replaceAll(/\s+/g, ' ')).toContain(message);
  }
  expect(digests()).toEqual(before);
  declare();
  expect(await mirror.run('prepare')).toMatchObject({ code: 0 });
});

test('what a hostile build has for links and odd files is no part of it', async () => {
  const directory = publish();
  symlinkSync('/etc/passwd', join(directory, 'outputs/passwd'));
  execFileSync('mkfifo', [join(directory, 'outputs/fifo')]);
  rmSync(join(directory, 'CONTEXT.sh'));
  symlinkSync('/etc/passwd', join(directory, 'CONTEXT.sh'));
  declare();
  const problems = [`1 files of the build ${SERIES}/${TIMESTAMP} are missing, CONTEXT.sh the first`];
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ problems }] });
  expect(readFileSync(at('manifest.txt'), 'utf8')).not.toMatch(/passwd|fifo/);
  expect(lstatSync(at(PLACE, 'CONTEXT.sh'), { throwIfNoEntry: false })).toBeUndefined();
});
