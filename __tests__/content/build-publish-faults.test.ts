import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flat } from '../../content/layout';
import { Lock } from '../../content/lock';
import { parseReleaseManifest } from '../../content/release-manifest';
import { timestampOf } from '../../starlingx/build-layout';
import { SERIES } from './support/builds';
import { dropKey, makeKey, type TestKey } from './support/keys';
import { BuildMirror, Packages } from './support/published-builds';

jest.setTimeout(600_000);

const work = mkdtempSync(join(tmpdir(), 'build-faults-'));
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
afterEach(() => mirror.remove());

const build = (...path: string[]): string => join(mirror.root, 'builds', SERIES, ...path);
const names = (...path: string[]): readonly string[] => {
  const directory = join(mirror.root, ...path);
  return existsSync(directory) ? readdirSync(directory).sort() : [];
};

/** That each build which can be seen is whole: its files are those of its manifest, byte for byte. Returns their names. */
function expectWhole(): readonly string[] {
  const builds = names('builds', SERIES).filter((name) => /^\d/.test(name));
  for (const timestamp of builds) {
    const record = join(mirror.root, 'build-records', SERIES, timestamp);
    const lines = parseReleaseManifest(readFileSync(`${record}.manifest`, 'utf8'), record);
    const sums = lines.map(({ path, checksum }) => `${checksum?.hex}  ${path}\n`).join('');
    execFileSync('sha256sum', ['--quiet', '--check', '-'], { cwd: build(timestamp), input: sums });
    const found = execFileSync('find', ['.', '-type', 'f'], { cwd: build(timestamp), encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(found.map((path) => path.slice(2)).sort()).toEqual(lines.map(({ path }) => path).sort());
  }
  return builds;
}

test('killed at each call that changes something: nothing half can be seen, and the next run goes on and tidies up', async () => {
  mirror = new BuildMirror(key);
  const packages = rpms.in({ 'outputs/RPMS/std': [{ name: 'alpha' }] });
  const start = Date.parse('2026-11-01T00:00:00Z');
  const made = (turn: number): readonly [string, string] => {
    const timestamp = timestampOf(new Date(start + turn * 1000));
    return [timestamp, mirror.make(timestamp, { ...packages, Success: '', 'logs/log': `log ${turn}\n`, 'outputs/new': `new ${turn}\n` })];
  };
  let [latest, directory] = made(0);
  expect(await mirror.publishBuild(SERIES, directory)).toMatchObject({ code: 0 });
  let turn = 1;
  let points = 0;
  let visible = 0;
  // Of calls that repeat for each file and each program, every third.
  const steps = { rename: 1, link: 3, symlink: 1, mkdir: 3, rmdir: 3, unlink: 3, fsync: 1 };
  for (const [call, step] of Object.entries(steps)) {
    for (let when = 1; ; when += step) {
      const former = latest;
      [latest, directory] = made(turn++);
      const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${when}`];
      const child = spawn('strace', [...inject, process.execPath, ...mirror.argv('build', 'publish', SERIES, directory)], {
        env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
        stdio: 'ignore',
      });
      const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
      const there = names('builds', SERIES).includes(latest);
      expect([call, when, there ? [former, latest] : [former]]).toEqual([
        call,
        when,
        expect.arrayContaining([readlinkSync(build('latest_build'))]),
      ]);
      if (code === 0) break;
      points++;
      // Elsewhere the next build tidies up.
      if (!there && points % 8 !== 0) {
        latest = former;
        continue;
      }
      if (there) visible++;
      const again = await mirror.publishBuild(SERIES, directory);
      expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining(there ? 'unchanged' : 'published') as string });
      expect(readlinkSync(build('latest_build'))).toBe(latest);
      expect([...names('build-work'), ...names('store/.incoming')]).toEqual([]);
    }
  }
  console.info(`survived SIGKILL at ${points} points, at ${visible} of them after the build was published`);
  expect(points).toBeGreaterThan(15);
  expect(visible).toBeGreaterThan(0);
  const builds = expectWhole();
  const records = names('build-records', SERIES);
  expect(records.filter((name) => !name.endsWith('.catalogue'))).toEqual(
    builds.flatMap((name) => [`${name}.json`, `${name}.manifest`]).sort(),
  );
  expect(records.filter((name) => name.endsWith('.catalogue'))).toEqual([expect.stringContaining(latest)]);
});

test('a tool that fails changes nothing', () => {
  mirror = new BuildMirror(key);
  const directory = mirror.make('20261101T023000Z', { ...rpms.in({ 'outputs/RPMS/std': [{ name: 'alpha' }] }), Success: '' });
  const ran = mirror.publishWithoutCreaterepo(SERIES, directory);
  expect(ran).toMatchObject({ code: 7, stderr: expect.stringContaining('createrepo_c ended with 9: broken') as string });
  expect([...names('builds', SERIES), ...names('build-work'), ...names('build-records', SERIES), ...names('store/.incoming')]).toEqual([]);
});

describe('a disk that is full', () => {
  const onDisk = async (options: string, work_: (root: string) => Promise<void>): Promise<void> => {
    const root = mkdtempSync(join(tmpdir(), 'disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]);
    try {
      mirror = new BuildMirror(key, { root });
      await work_(root);
    } finally {
      execFileSync('umount', [root]);
      rmSync(root, { recursive: true });
    }
  };
  const TWO = '20261102T023000Z';

  test('is asked first', () =>
    onDisk('size=2m', async () => {
      const directory = mirror.make(TWO, { Success: '', 'outputs/iso/large': 'x'.repeat(3_000_000) });
      expect(await mirror.publishBuild(SERIES, directory)).toMatchObject({
        code: 7,
        stderr: expect.stringMatching(/needs 3000000 bytes more, .* Nothing was published/s) as string,
      });
      expect(names('builds', SERIES)).toEqual([]);
    }));

  test('that has what is needed once, since the store has the rest, takes the build', () =>
    onDisk('size=8m', async () => {
      const large = 'x'.repeat(4_000_000);
      const first = mirror.make('20261101T023000Z', { Success: '', 'outputs/iso/large': large });
      expect(await mirror.publishBuild(SERIES, first)).toMatchObject({ code: 0 });
      const second = mirror.make(TWO, { Success: '', 'outputs/iso/large': large, 'logs/log': 'another' });
      expect(await mirror.publishBuild(SERIES, second)).toMatchObject({ code: 0 });
      expectWhole();
    }));

  test('in the middle: nothing of the build stays, and the one before serves', () =>
    onDisk('size=20m,nr_inodes=120', async (root) => {
      expect(await mirror.publishBuild(SERIES, mirror.make('20261101T023000Z', { Success: '', 'logs/a': 'a' }))).toMatchObject({ code: 0 });
      const used = (): string => execFileSync('df', ['--output=iused', root], { encoding: 'utf8' });
      const before = used();
      const folders = Object.fromEntries(Array.from({ length: 120 }, (_, i) => [`outputs/${i}/empty`, '']));
      const ran = await mirror.publishBuild(SERIES, mirror.make(TWO, { Success: '', ...folders }));
      expect(ran).toMatchObject({
        code: 7,
        stderr: expect.stringMatching(/no space \(or no inodes\) left\n {2}Nothing was published/) as string,
      });
      expect(used()).toBe(before);
      expect(readlinkSync(build('latest_build'))).toBe('20261101T023000Z');
      expect(expectWhole()).toEqual(['20261101T023000Z']);
    }));
});

test('several at a time wait for each other', async () => {
  mirror = new BuildMirror(key);
  const of = (second: number): string =>
    mirror.make(`20261101T0230${second}Z`, { Success: '', 'outputs/large': `${second}`.repeat(20_000_000) });
  const directories = [of(10), of(11), of(12)];
  const ran = await Promise.all(directories.map((directory) => mirror.publishBuild(SERIES, directory)));
  expect(ran.map(({ code, stderr }) => [code, code === 0 ? '' : stderr])).toEqual([
    [0, ''],
    [0, ''],
    [0, ''],
  ]);
  expect(readlinkSync(build('latest_build'))).toBe('20261101T023012Z');
  expectWhole();
});

test('one that waits for too short says who holds the series, and publishes nothing', async () => {
  mirror = new BuildMirror(key);
  const directory = mirror.make('20261101T023000Z', { Success: '', 'outputs/file': 'x' });
  expect(await mirror.publishBuild(SERIES, directory)).toMatchObject({ code: 0 });
  const next = mirror.make('20261102T023000Z', { Success: '', 'outputs/file': 'y' });
  const lock = await Lock.take(join(mirror.state, 'locks', `${flat(`builds/${SERIES}`)}.lock`), 'the test');
  try {
    const { code, stderr } = await mirror.publishBuild(SERIES, next, '--wait', '1');
    expect(code).toBe(4);
    expect(stderr).toContain(`the series ${SERIES} is locked by process ${process.pid}`);
  } finally {
    await lock.release();
  }
  expect(names('builds', SERIES)).toEqual(['20261101T023000Z', 'latest_build']);
});
