import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { type Build, buildsOf, type Linkable, linksOf, requireSeries, seriesHere, updateBuildLinks } from '../../content/builds';
import type { Layout } from '../../content/layout';
import { BUILD_LINKS } from '../../starlingx/build-layout';
import { caught, rejected } from '../support/caught';
import { archive, buildStorage, makeBuild, SERIES } from './support/builds';

const ONE = '20261101T000000Z';
const TWO = '20261102T000000Z';
const THREE = '20261103T000000Z';

let layout: Layout;
let remove: () => void;
beforeEach(() => ({ layout, remove } = buildStorage()));
afterEach(() => remove());

const build = (timestamp: string, rest: Partial<Linkable> = {}): Linkable => ({
  timestamp,
  succeeded: true,
  noNewContent: false,
  dockerImages: false,
  ...rest,
});

describe('which links there are', () => {
  test.each<[string, readonly Linkable[], Readonly<Record<string, string>>]>([
    ['no build', [], {}],
    ['one that nobody tested', [build(ONE)], { latest_build: ONE }],
    ['one that failed', [build(ONE), build(TWO, { succeeded: false })], { latest_build: ONE }],
    ['one without anything new', [build(ONE), build(TWO, { noNewContent: true })], { latest_build: ONE }],
    ['green counts as yellow', [build(ONE, { colour: 'green' })], { latest_build: ONE, latest_green_build: ONE, latest_yellow_build: ONE }],
    [
      'the newest of each colour',
      [build(ONE, { colour: 'green' }), build(TWO, { colour: 'yellow' }), build(THREE, { colour: 'red' })],
      { latest_build: THREE, latest_green_build: ONE, latest_yellow_build: TWO },
    ],
    [
      'a failed build that somebody marked by hand',
      [build(ONE, { colour: 'green' }), build(TWO, { colour: 'green', succeeded: false, dockerImages: true })],
      { latest_build: ONE, latest_green_build: ONE, latest_yellow_build: ONE },
    ],
    [
      'docker images are not of every build',
      [build(ONE, { dockerImages: true }), build(TWO)],
      { latest_build: TWO, latest_docker_image_build: ONE },
    ],
  ])('%s', (_, builds, links) => {
    expect(Object.fromEntries(linksOf(builds))).toEqual(links);
  });

  const someBuilds = fc.uniqueArray(
    fc.record({
      timestamp: fc.integer({ min: 0, max: 59 }).map((second) => `20261101T0000${String(second).padStart(2, '0')}Z`),
      succeeded: fc.boolean(),
      noNewContent: fc.boolean(),
      dockerImages: fc.boolean(),
      colour: fc.constantFrom(undefined, 'red' as const, 'yellow' as const, 'green' as const),
    }),
    { selector: ({ timestamp }) => timestamp, maxLength: 20 },
  );

  test('whatever builds there are: each leads to one that may be used, green is never newer than yellow, nor yellow than latest, and the order does not matter', () => {
    fc.assert(
      fc.property(someBuilds, (builds) => {
        const links = linksOf(builds as readonly Linkable[]);
        for (const target of links.values()) {
          const found = builds.find(({ timestamp }) => timestamp === target);
          expect(found).toMatchObject({ succeeded: true, noNewContent: false });
        }
        const [latest = '', green = '', yellow = '', docker = ''] = BUILD_LINKS.map((link) => links.get(link));
        expect(green <= yellow && yellow <= latest && docker <= latest).toBe(true);
        expect(linksOf([...(builds as readonly Linkable[])].reverse())).toEqual(links);
      }),
    );
  });

  test('a build that is no candidate changes nothing', () => {
    fc.assert(
      fc.property(someBuilds, fc.boolean(), (builds, failed) => {
        const more = build('20991231T000000Z', { colour: 'green', dockerImages: true, succeeded: !failed, noNewContent: true });
        expect(linksOf([...(builds as readonly Linkable[]), more])).toEqual(linksOf(builds as readonly Linkable[]));
      }),
    );
  });
});

describe('the builds there are', () => {
  const names = async (): Promise<readonly string[]> => (await buildsOf(layout, SERIES)).map(({ timestamp }) => timestamp);

  test('the newest first; what is no build is none', async () => {
    expect(await names()).toEqual([]);
    makeBuild(layout, { timestamp: TWO });
    makeBuild(layout, { timestamp: THREE });
    makeBuild(layout, { timestamp: ONE });
    for (const name of ['20261341T000000Z', '.new-20261104T000000Z', 'notes']) mkdirSync(join(layout.series(SERIES), name));
    writeFileSync(join(layout.series(SERIES), '20261105T000000Z'), 'a file');
    symlinkSync(ONE, join(layout.series(SERIES), '20261106T000000Z'));
    expect(await names()).toEqual([THREE, TWO, ONE]);
  });

  test('markers at the top and in outputs; the record counts for what never changes', async () => {
    makeBuild(layout, { timestamp: ONE, files: { 'outputs/Success': '', 'outputs/GREEN': '', 'outputs/docker-images/images.txt': 'x' } });
    makeBuild(layout, { timestamp: TWO, files: { Success: '', No_New_Content: '' }, record: false });
    makeBuild(layout, { timestamp: THREE, files: { KEEP: '' }, record: { succeeded: true, dockerImages: true } });
    const told = (await buildsOf(layout, SERIES)).map((found) => ({ ...found, record: undefined, directory: undefined }));
    expect(told).toEqual([
      { series: SERIES, timestamp: THREE, succeeded: true, noNewContent: false, dockerImages: true, kept: '', lostFiles: 0 },
      { series: SERIES, timestamp: TWO, succeeded: true, noNewContent: true, dockerImages: false, lostFiles: 0 },
      { series: SERIES, timestamp: ONE, succeeded: true, noNewContent: false, dockerImages: true, colour: 'green', lostFiles: 0 },
    ]);
  });

  test.each<[string, readonly string[], Build['colour']]>([
    ['what was marked here counts before what came with it', ['outputs/GREEN', 'RED'], 'red'],
    ['also where it is better', ['outputs/RED', 'GREEN'], 'green'],
    ['of two, the more careful', ['GREEN', 'YELLOW'], 'yellow'],
    ['of three', ['GREEN', 'YELLOW', 'RED'], 'red'],
    ['none', [], undefined],
  ])('%s', async (_, files, colour) => {
    makeBuild(layout, { timestamp: ONE, files: Object.fromEntries(['Success', ...files].map((path) => [path, ''])) });
    expect((await buildsOf(layout, SERIES))[0]?.colour).toBe(colour);
  });

  test('a folder called like a marker is none; a reason is a line of a length that can be shown', async () => {
    makeBuild(layout, {
      timestamp: ONE,
      files: { 'GREEN/x': '', 'Success/y': '', 'outputs/KEEP': `for\u001b[31m ever\nsince${'x'.repeat(5000)}` },
    });
    const [found] = await buildsOf(layout, SERIES);
    expect(found).toMatchObject({ succeeded: false });
    expect(found?.colour).toBeUndefined();
    expect(found?.kept).toMatch(/^for \[31m ever sincex{970,985}$/);
  });

  test('200 builds are listed in less than a second, without a look at their files', async () => {
    for (let n = 0; n < 200; n++) {
      const directory = makeBuild(layout, {
        timestamp: `20261101T${String(Math.floor(n / 60)).padStart(2, '0')}${String(n % 60).padStart(2, '0')}00Z`,
      });
      mkdirSync(join(directory, 'inputs', 'RPMS'), { recursive: true });
    }
    const started = performance.now();
    expect(await buildsOf(layout, SERIES)).toHaveLength(200);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('the links on the disk', () => {
  const links = (): Readonly<Record<string, string>> =>
    Object.fromEntries(
      readdirSync(layout.series(SERIES))
        .filter((name) => lstatSync(join(layout.series(SERIES), name)).isSymbolicLink())
        .map((name) => [name, readlinkSync(join(layout.series(SERIES), name))]),
    );

  test('are made, moved and removed as builds come, change and go; what is right is not touched', async () => {
    expect(await updateBuildLinks(layout, SERIES)).toEqual([]);
    expect(existsSync(layout.series(SERIES))).toBe(false);
    const first = makeBuild(layout, { timestamp: ONE, files: { Success: '', GREEN: '' } });
    expect(await updateBuildLinks(layout, SERIES)).toEqual([
      { link: 'latest_build', to: ONE },
      { link: 'latest_green_build', to: ONE },
      { link: 'latest_yellow_build', to: ONE },
    ]);
    const inode = lstatSync(join(layout.series(SERIES), 'latest_green_build')).ino;
    expect(await updateBuildLinks(layout, SERIES)).toEqual([]);
    makeBuild(layout, { timestamp: TWO });
    expect(await updateBuildLinks(layout, SERIES)).toEqual([{ link: 'latest_build', from: ONE, to: TWO }]);
    expect(lstatSync(join(layout.series(SERIES), 'latest_green_build')).ino).toBe(inode);
    rmSync(join(first, 'GREEN'));
    expect(await updateBuildLinks(layout, SERIES)).toEqual([
      { link: 'latest_green_build', from: ONE },
      { link: 'latest_yellow_build', from: ONE },
    ]);
    expect(links()).toEqual({ latest_build: TWO });
  });

  test('what somebody led elsewhere, put there, or a killed run left is put right', async () => {
    makeBuild(layout, { timestamp: ONE });
    const at = (name: string): string => join(layout.series(SERIES), name);
    symlinkSync('/etc', at('latest_build'));
    writeFileSync(at('latest_green_build'), 'no link');
    symlinkSync('20200101T000000Z', at('latest_yellow_build'));
    symlinkSync(ONE, at('.new-latest_build'));
    expect(await updateBuildLinks(layout, SERIES)).toEqual([
      { link: 'latest_build', from: '/etc', to: ONE },
      { link: 'latest_green_build', from: '' },
      { link: 'latest_yellow_build', from: '20200101T000000Z' },
    ]);
    expect(links()).toEqual({ latest_build: ONE });
    expect(readdirSync(layout.series(SERIES)).sort()).toEqual([ONE, 'latest_build']);
  });

  test('a directory in the place of a link is named, and stays', async () => {
    makeBuild(layout, { timestamp: ONE });
    mkdirSync(join(layout.series(SERIES), 'latest_build'));
    expect(await rejected(() => updateBuildLinks(layout, SERIES))).toMatchObject({
      code: 'PATH_TAKEN',
      message: `${join(layout.series(SERIES), 'latest_build')}: a directory is where a link belongs`,
    });
  });
});

test('every series that has builds here, declared or not; what a branch was built as before does not hide what it is now', async () => {
  expect(await seriesHere(layout)).toEqual([]);
  for (const series of ['release/2018.10/2018.10.5/centos/flock', 'master/centos', 'master/centos/flock'])
    makeBuild(layout, { timestamp: ONE, series });
  mkdirSync(join(layout.series('master/centos/empty')));
  mkdirSync(join(layout.series('master/centos/.new'), ONE), { recursive: true });
  symlinkSync('flock', layout.series('master/centos/link'));
  expect(await seriesHere(layout)).toEqual(['master/centos', 'master/centos/flock', 'release/2018.10/2018.10.5/centos/flock']);
});

describe('a series by its name', () => {
  test('is found, with what is declared of it', () => {
    const flock = archive(['master/centos/distro', SERIES]);
    expect(requireSeries({ builds: [archive(['rc/3.0/centos']), flock] }, SERIES)).toBe(flock);
  });

  test('one that is not declared is named, with those that are nearest', () => {
    const error = caught(() => requireSeries({ builds: [archive(['master/centos/distro', SERIES])] }, 'master/centos/flok'));
    expect(error).toMatchObject({
      code: 'NO_SUCH_SERIES',
      message: '"master/centos/flok" is no series of builds that is declared on this server',
      remedy: `Declared are ${SERIES}, master/centos/distro. A new one is declared in main.ts as a BuildArchive and deployed.`,
    });
    expect(caught(() => requireSeries({ builds: [] }, '../../etc'))).toMatchObject({
      remedy: expect.stringContaining('new BuildArchive(') as string,
    });
  });
});
