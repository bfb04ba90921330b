/** `mirrorctl build list|show|mark|keep|expire` as operators and programs run it: what it prints, its exit codes, and what is there when it is killed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Layout } from '../../content/layout';
import { timestampOf } from '../../starlingx/build-layout';
import { archive, makeBuild, SERIES } from './support/builds';
import { TestMirror } from './support/mirror';

jest.setTimeout(180_000);

const DAY = 24 * 3600 * 1000;
const daysAgo = (days: number): string => timestampOf(new Date(Math.floor(Date.now() / 1000) * 1000 - days * DAY));
const day = (timestamp: string, days: number): string =>
  new Date(Date.parse(timestamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z')) + days * DAY).toISOString().slice(0, 10);

let mirror: TestMirror;
let layout: Layout;
beforeEach(() => {
  mirror = new TestMirror();
  layout = new Layout(mirror.root, mirror.state, mirror.configuration);
  mirror.write('definitions/builds/stx-master.yaml', archive([SERIES, 'master/centos/distro']));
});
afterEach(() => mirror.remove());

const here = (): readonly string[] => readdirSync(layout.series(SERIES)).sort();

test('a list says what there is, which links lead to it and how long it stays', async () => {
  const [green, failed, newest] = [daysAgo(40), daysAgo(5), daysAgo(1)];
  makeBuild(layout, { timestamp: green, files: { Success: '', GREEN: '' }, record: { files: 3000, bytes: 1 << 30, newBytes: 1 << 20 } });
  makeBuild(layout, { timestamp: failed, files: {} });
  makeBuild(layout, { timestamp: newest, files: { Success: '', No_New_Content: '' }, record: false });
  const { code, stdout } = await mirror.run('build', 'list');
  expect(code).toBe(0);
  expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['master/centos/flock:'],
    ['build', 'result', 'colour', 'files', 'size', 'new', 'links', 'stays'],
    [newest, 'no new content', '-', '?', '?', '?', '-', 'the newest 2 stay'],
    [failed, 'failed', '-', '1', '1000 bytes', '100 bytes', '-', 'the newest 2 stay'],
    [
      green,
      'succeeded',
      'green',
      '3000',
      '1.0 GiB',
      '1.0 MiB',
      'latest, green, yellow',
      'latest_build, latest_green_build, latest_yellow_build lead to it',
    ],
    ['master/centos/distro: no build'],
    [''],
  ]);
  const listed = await mirror.run('build', 'list', SERIES, '--json');
  expect(JSON.parse(listed.stdout)).toMatchObject({
    series: [
      {
        series: SERIES,
        builds: [
          { build: newest, result: 'no-new-content', links: [], goes: false },
          {
            build: failed,
            result: 'failed',
            rule: 'builds that failed stay 7 days',
            until: expect.stringContaining(day(failed, 7)) as string,
          },
          {
            build: green,
            colour: 'green',
            files: 3000,
            bytes: 1 << 30,
            newBytes: 1 << 20,
            links: ['latest_build', 'latest_green_build', 'latest_yellow_build'],
          },
        ],
      },
    ],
  });
});

test('all that is known of a build, also by a link', async () => {
  const timestamp = daysAgo(1);
  const context = `(cd ./cgcs-root && git checkout -f ${'a'.repeat(40)})\n# a comment\n(cd ./stx/integ && git checkout -f ${'b'.repeat(40)})\n`;
  makeBuild(layout, {
    timestamp,
    files: { Success: '', 'outputs/CONTEXT.sh': context, KEEP: 'for the lab\n' },
    record: { repositories: [{ path: 'outputs/RPMS/std', packages: 120 }], publishedAt: '2026-11-01T03:00:00.000Z' },
  });
  const path = `/mirror/starlingx/${SERIES}/${timestamp}/`;
  const { code, stdout } = await mirror.run('build', 'show', SERIES, 'latest_build');
  expect(code).toBe(0);
  for (const part of [
    `${SERIES} ${timestamp}\n`,
    'for the lab',
    '4 files, 1000 bytes, of which 100 bytes were new',
    path,
    '120 packages',
    `${path}outputs/RPMS/std/`,
    `./stx/integ  ${'b'.repeat(40)}`,
    'it is kept: for the lab (builds that nobody marked stay 7 days)',
  ])
    // prettier-ignore
    expect(stdout).toContain(part);
  const shown = JSON.parse((await mirror.run('build', 'show', SERIES, timestamp, '--json')).stdout) as object;
  expect(shown).toMatchObject({
    build: timestamp,
    publicPath: path,
    publishedAt: '2026-11-01T03:00:00.000Z',
    repositories: [{ path: 'outputs/RPMS/std', packages: 120, url: `${path}outputs/RPMS/std/` }],
    context: [
      { path: './cgcs-root', commit: 'a'.repeat(40) },
      { path: './stx/integ', commit: 'b'.repeat(40) },
    ],
  });
  expect(shown).not.toHaveProperty('url');
  mirror.write('definitions/builds/stx-master.yaml', { ...archive(), siteUrl: 'https://mirror.example.org:8443' });
  expect((await mirror.run('build', 'show', SERIES, timestamp)).stdout).toContain(
    `https://mirror.example.org:8443${path}outputs/RPMS/std/`,
  );
});

test('marks and reasons', async () => {
  const timestamp = daysAgo(1);
  makeBuild(layout, { timestamp });
  const marked = await mirror.run('build', 'mark', SERIES, timestamp, 'green');
  expect(marked).toMatchObject({ code: 0 });
  expect(marked.stdout).toBe(
    `${SERIES} ${timestamp}: green\n${['build', 'green_build', 'yellow_build'].map((link) => `${SERIES}: latest_${link} leads to ${timestamp}\n`).join('')}`,
  );
  expect(readlinkSync(join(layout.series(SERIES), 'latest_green_build'))).toBe(timestamp);
  expect((await mirror.run('build', 'mark', SERIES, timestamp, 'green')).stdout).toBe(`${SERIES} ${timestamp}: green, as before\n`);
  expect(JSON.parse((await mirror.run('build', 'keep', SERIES, timestamp, '--reason', 'why', '--json')).stdout)).toEqual({
    ...{ series: SERIES, build: timestamp, colour: 'green', kept: 'why', changed: true, links: [] },
  });
  expect(readFileSync(join(layout.build(SERIES, timestamp), 'KEEP'), 'utf8')).toBe('why\n');
  expect((await mirror.run('build', 'keep', SERIES, timestamp, '--remove')).stdout).toBe(`${SERIES} ${timestamp}: green\n`);
  expect((await mirror.run('build', 'mark', SERIES, timestamp, 'none')).stdout).toContain(
    `${SERIES}: latest_green_build is gone: no build is left for it (before: ${timestamp})\n`,
  );
});

test.each<[string, readonly string[], number, string]>([
  ['a series that is not declared', ['list', 'master/centos/flok'], 2, 'Declared are master/centos/flock,'],
  ['a series that leads out', ['show', '../../etc', 'latest_build'], 2, 'is no series of builds that is declared'],
  ['a build that is not there', ['show', SERIES, '20200101T000000Z'], 2, 'has no build 20200101T000000Z'],
  ['a link without a build', ['show', SERIES, 'latest_build'], 2, 'leads to no build'],
  ['a colour that is none', ['mark', SERIES, '20200101T000000Z', 'blue'], 2, 'green, yellow, red, none'],
  ['a reason that says nothing', ['keep', SERIES, '20200101T000000Z', '--reason', ' '], 2, 'says nothing'],
  ['a reason of several lines', ['keep', SERIES, '20200101T000000Z', '--reason', 'a\nb'], 2, 'control characters'],
  ['a reason to keep no longer', ['keep', SERIES, '20200101T000000Z', '--reason', 'a', '--remove'], 2, 'Give one of the two'],
  ['expiry of what is not declared', ['expire', SERIES, 'rc/3.0/centos'], 2, '"rc/3.0/centos" is no series'],
])('%s', async (_, command, code, said) => {
  const ran = await mirror.run('build', ...command);
  expect(ran.code).toBe(code);
  expect(ran.stderr).toContain(said);
  expect(existsSync(layout.buildWork)).toBe(false);
});

test('where the disk is not mounted it says so, not that there is no build', async () => {
  rmSync(layout.sentinel);
  for (const command of [['list'], ['show', SERIES, 'latest_build'], ['expire'], ['expire', '--dry-run']])
    expect(await mirror.run('build', ...command)).toMatchObject({ code: 7, stderr: expect.stringContaining('not mounted') as string });
});

describe('expiry', () => {
  const [OLD, OLDER, OLDEST, KEPT, NEW, NEWER] = [20, 30, 40, 50, 2, 1].map(daysAgo) as [string, string, string, string, string, string];
  const STAY = [KEPT, NEW, NEWER];

  function fill(): void {
    for (const directory of [layout.series(SERIES), layout.buildWork, join(mirror.root, 'build-records')])
      rmSync(directory, { recursive: true, force: true });
    for (const timestamp of [OLD, OLDER, NEW, NEWER]) makeBuild(layout, { timestamp });
    makeBuild(layout, { timestamp: OLDEST, files: { 'outputs/a': 'a' } });
    makeBuild(layout, { timestamp: KEPT, files: { Success: '', KEEP: '' } });
    symlinkSync(OLD, join(layout.series(SERIES), 'latest_build'));
    // What a run that was killed before left.
    mkdirSync(join(layout.buildWork, 'master+centos+flock@going-x', 'outputs'), { recursive: true });
    writeFileSync(layout.buildRecord(SERIES, '20200101T000000Z', 'manifest'), '');
  }
  const whole = (): void => {
    for (const timestamp of STAY) expect(existsSync(join(layout.build(SERIES, timestamp), 'logs/build.log'))).toBe(true);
    for (const timestamp of STAY) expect(existsSync(layout.buildRecord(SERIES, timestamp, 'json'))).toBe(true);
  };
  const done = (): void => {
    whole();
    expect(here()).toEqual([...STAY, 'latest_build'].sort());
    expect(readlinkSync(join(layout.series(SERIES), 'latest_build'))).toBe(NEWER);
    expect(readdirSync(layout.buildWork)).toEqual([]);
    expect(readdirSync(join(layout.buildRecord(SERIES, 'x', 'json'), '..')).sort()).toEqual(STAY.map((name) => `${name}.json`).sort());
  };

  test('says what would go, then what is gone', async () => {
    fill();
    const before = here();
    const planned = await mirror.run('build', 'expire', SERIES, '--dry-run');
    expect(planned).toMatchObject({ code: 0, stderr: '' });
    expect(planned.stdout).toBe(
      `${[OLDEST, OLDER, OLD].map((name) => `${SERIES} ${name} would go: ${name === OLDEST ? 'builds that failed' : 'builds that nobody marked'} stay 7 days, to ${day(name, 7)}\n`).join('')}${SERIES}: 3 builds would go, 3 builds stay\n`,
    );
    expect(here()).toEqual(before);
    expect(readdirSync(layout.buildWork)).not.toEqual([]);
    const ran = await mirror.run('build', 'expire', '--json');
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      dryRun: false,
      series: [
        {
          series: SERIES,
          gone: [{ build: OLDEST }, { build: OLDER }, { build: OLD }],
          links: [{ link: 'latest_build', from: OLD, to: NEWER }],
        },
        { series: 'master/centos/distro', gone: [], stay: [] },
      ],
    });
    done();
    expect((await mirror.run('build', 'expire', SERIES)).stdout).toBe(`${SERIES}: 0 builds are gone, 3 builds stay\n`);
  });

  test('killed at each call by which it changes something: nothing that is protected is lost, no link is ever missing, and the next run ends it', async () => {
    const calls = ['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'symlink', 'fsync'];
    const trace = join(mirror.directory, 'trace');
    const under = (...inject: string[]): number | null => {
      const strace = ['-f', '-q', '-o', trace, '-e', `trace=${calls.map((name) => `?${name}`).join()}`, ...inject, process.execPath];
      return spawnSync('strace', [...strace, ...mirror.argv('build', 'expire', SERIES)], {
        env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
      }).status;
    };
    fill();
    expect(under()).toBe(0);
    done();
    const counts = new Map<string, number>();
    const byThread = new Map<string, number>();
    for (const [, thread, name] of readFileSync(trace, 'utf8').matchAll(/^(\d+) +(\w+)\(/gm)) {
      const key = `${thread} ${name}`;
      byThread.set(key, (byThread.get(key) ?? 0) + 1);
      counts.set(name as string, Math.max(counts.get(name as string) ?? 0, byThread.get(key) as number));
    }
    let killed = 0;
    for (const [name, count] of counts) {
      for (let when = 1; when <= count; when++) {
        fill();
        under('-e', `inject=${name}:signal=SIGKILL:when=${when}`);
        if (/killed by SIGKILL/.test(readFileSync(trace, 'utf8'))) killed++;
        whole();
        expect([OLD, NEWER]).toContain(readlinkSync(join(layout.series(SERIES), 'latest_build')));
        expect(existsSync(join(layout.series(SERIES), 'latest_build'))).toBe(true);
        expect(await mirror.run('build', 'expire', SERIES)).toMatchObject({ code: 0 });
        done();
      }
    }
    expect(killed).toBeGreaterThan(12);
  });
});
