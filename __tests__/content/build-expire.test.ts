import { existsSync, linkSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expireBuilds, type Expired, plannedExpiry, standingsOf } from '../../content/build-expire';
import { type Build, linksOf, seriesLock } from '../../content/builds';
import type { Definitions } from '../../content/definitions';
import type { Layout } from '../../content/layout';
import { holding } from '../../content/lock';
import { buildName, releasesLock } from '../../content/releases';
import { Store } from '../../content/store';
import { surveyStore } from '../../content/unused';
import { timestampOf } from '../../starlingx/build-layout';
import { archive, buildStorage, makeBuild, SERIES } from './support/builds';

const DAY = 24 * 3600 * 1000;
const NOW = new Date('2026-11-30T00:00:00Z');
const daysAgo = (days: number): string => timestampOf(new Date(NOW.getTime() - days * DAY));

function build(days: number, rest: Partial<Build> = {}): Build {
  const timestamp = daysAgo(days);
  return {
    series: SERIES,
    timestamp,
    directory: `/builds/${timestamp}`,
    succeeded: true,
    noNewContent: false,
    dockerImages: false,
    lostFiles: 0,
    ...rest,
  };
}

describe('whether a build stays', () => {
  /** Two newer ones, of which the newest is the latest, so that age alone decides. */
  const NEWER = [build(0, { noNewContent: true }), build(0.5, { noNewContent: true }), build(0.6)];

  test.each<[string, Build, boolean, string]>([
    ['a green one on its last day', build(27.99, { colour: 'green', noNewContent: true }), false, 'green builds stay 28 days'],
    ['a green one after 28 days', build(28, { colour: 'green', noNewContent: true }), true, 'green builds stay 28 days'],
    ['a yellow one on its last day', build(9.99, { colour: 'yellow', noNewContent: true }), false, 'yellow builds stay 10 days'],
    ['a yellow one after 10 days', build(10, { colour: 'yellow', noNewContent: true }), true, 'yellow builds stay 10 days'],
    ['a red one after 7 days', build(7, { colour: 'red' }), true, 'red builds stay 7 days'],
    ['one that nobody marked, on its last day', build(6.99), false, 'builds that nobody marked stay 7 days'],
    ['one that nobody marked, after 7 days', build(7), true, 'builds that nobody marked stay 7 days'],
    [
      'one that failed after 7 days, whatever colour came with it',
      build(7, { succeeded: false, colour: 'green' }),
      true,
      'builds that failed stay 7 days',
    ],
  ])('%s', (_, old, goes, rule) => {
    expect(standingsOf([...NEWER, old], undefined, new Set(), NOW).at(-1)).toMatchObject({ build: old, goes, rule });
  });

  test.each<[string, readonly Build[], string]>([
    [
      'the newest green one, however old',
      [...NEWER, build(400, { colour: 'green' })],
      'latest_green_build, latest_yellow_build lead to it',
    ],
    [
      'the last one that succeeded',
      [build(1, { succeeded: false }), build(2, { succeeded: false }), build(400)],
      'latest_build leads to it',
    ],
    ['one with KEEP', [...NEWER, build(400, { kept: '' })], 'it is kept (KEEP)'],
    ['one with KEEP and a reason', [...NEWER, build(400, { kept: 'for the lab' })], 'it is kept: for the lab'],
    ['the second newest', [build(300, { succeeded: false }), build(400, { succeeded: false })], 'the newest 2 stay'],
  ])('%s is protected', (_, builds, protection) => {
    expect(standingsOf(builds, undefined, new Set(), NOW).at(-1)).toMatchObject({ goes: false, protection });
  });

  test('one that is released is protected, whatever else holds', () => {
    const old = build(400, { succeeded: false });
    expect(standingsOf([...NEWER, old], undefined, new Set([old.timestamp]), NOW).at(-1)).toMatchObject({
      goes: false,
      protection: 'a release is made of it',
    });
  });

  test('by other rules', () => {
    const builds = [
      build(1),
      build(2),
      build(3, { colour: 'yellow', noNewContent: true }),
      build(4, { colour: 'green', noNewContent: true }),
    ];
    const goes = (retention: object): readonly boolean[] => standingsOf(builds, retention, new Set(), NOW).map((one) => one.goes);
    expect(goes({})).toEqual([false, false, false, false]);
    expect(goes({ otherDays: 1, atLeast: 1 })).toEqual([false, true, false, false]);
    expect(goes({ yellowDays: 3, greenDays: 4, otherDays: 1, atLeast: 2 })).toEqual([false, false, true, true]);
    expect(goes({ yellowDays: 3, greenDays: 4, otherDays: 1, atLeast: 3 })).toEqual([false, false, false, true]);
  });

  const someBuilds = fc.uniqueArray(
    fc.record({
      days: fc.integer({ min: 0, max: 60 }),
      succeeded: fc.boolean(),
      noNewContent: fc.boolean(),
      dockerImages: fc.boolean(),
      colour: fc.constantFrom(undefined, 'red' as const, 'yellow' as const, 'green' as const),
      kept: fc.constantFrom(undefined, ''),
      released: fc.boolean(),
    }),
    { selector: ({ days }) => days, maxLength: 20 },
  );

  test('whatever builds there are: nothing that is protected goes, links stay where they are, and a second run finds nothing', () => {
    fc.assert(
      fc.property(someBuilds, (made) => {
        const builds = made.map(({ days, ...rest }) => build(days, rest as Partial<Build>));
        const released = new Set(made.filter((one) => one.released).map(({ days }) => daysAgo(days)));
        const all = standingsOf(builds, undefined, released, NOW);
        const gone = all.filter(({ goes }) => goes).map((one) => one.build);
        const left = all.filter(({ goes }) => !goes).map((one) => one.build);
        for (const { kept, timestamp } of gone) expect(kept !== undefined || released.has(timestamp)).toBe(false);
        expect(linksOf(left)).toEqual(linksOf(builds));
        expect(left.length).toBeGreaterThanOrEqual(Math.min(2, builds.length));
        expect(standingsOf(left, undefined, released, NOW).filter(({ goes }) => goes)).toEqual([]);
      }),
    );
  });
});

describe('builds on the disk', () => {
  let layout: Layout;
  let definitions: Definitions;
  let remove: () => void;
  beforeEach(() => ({ layout, definitions, remove } = buildStorage()));
  afterEach(() => remove());

  const context = (now = NOW): Parameters<typeof expireBuilds>[0] => ({
    layout,
    definitions,
    now: () => now,
    say: () => undefined,
    waitSeconds: 0,
  });
  const expire = async (now = NOW): Promise<Expired> => (await expireBuilds(context(now), [SERIES]))[0] as Expired;
  const names = ({ gone }: Expired): readonly string[] => gone.map((one) => one.build.timestamp);
  const here = (): readonly string[] => readdirSync(layout.series(SERIES)).sort();
  const records = (): readonly string[] => readdirSync(join(layout.buildRecord(SERIES, 'x', 'json'), '..')).sort();
  const work = (): readonly string[] => (existsSync(layout.buildWork) ? readdirSync(layout.buildWork) : []);

  const [A, B, C, D] = [1, 2, 10, 40].map(daysAgo) as [string, string, string, string];

  test('what is over goes with its record, the oldest first; the rest and the links stay', async () => {
    makeBuild(layout, { timestamp: A });
    makeBuild(layout, { timestamp: B });
    makeBuild(layout, { timestamp: C });
    makeBuild(layout, { timestamp: D });
    const [planned] = await plannedExpiry(context(), [SERIES]);
    expect(names(planned as Expired)).toEqual([D, C]);
    expect(here()).toEqual([D, C, B, A]);
    const done = await expire();
    expect(names(done)).toEqual([D, C]);
    expect(done.links).toEqual([{ link: 'latest_build', to: A }]);
    expect(here()).toEqual([B, A, 'latest_build']);
    expect(records()).toEqual([`${B}.json`, `${A}.json`]);
    expect(work()).toEqual([]);
    expect(names(await expire())).toEqual([]);
  });

  test('a link that somebody led to an old build does not hold it: links are put right first', async () => {
    makeBuild(layout, { timestamp: A });
    makeBuild(layout, { timestamp: B });
    makeBuild(layout, { timestamp: D });
    symlinkSync(D, join(layout.series(SERIES), 'latest_build'));
    expect(await expire()).toMatchObject({ links: [{ link: 'latest_build', from: D, to: A }] });
    expect(here()).toEqual([B, A, 'latest_build']);
    expect(readlinkSync(join(layout.series(SERIES), 'latest_build'))).toBe(A);
  });

  test('a build that a release wants is not touched, not even one that waits to be frozen', async () => {
    for (const timestamp of [A, B, C, D]) makeBuild(layout, { timestamp });
    const released = { kind: 'release', id: '3.0.1', members: [], builds: [{ series: SERIES, timestamp: D, publicPath: 'mirror/x' }] };
    definitions = { ...definitions, releases: [released] } as unknown as Definitions;
    expect(buildName({ series: SERIES, timestamp: D })).toBe(`${SERIES}@${D}`);
    expect(names(await expire())).toEqual([C]);
    expect(here()).toContain(D);
  });

  test('nothing goes while a release is being frozen, or a build of the series published; another series does', async () => {
    for (const series of [SERIES, 'master/centos/distro']) for (const timestamp of [A, B, D]) makeBuild(layout, { timestamp, series });
    definitions = { ...definitions, builds: [archive([SERIES, 'master/centos/distro'])] };
    const both = [SERIES, 'master/centos/distro'];
    await holding(releasesLock(layout), 'the freezing of releases', {}, async () => {
      for (const { error } of await expireBuilds(context(), both)) expect(error).toMatchObject({ code: 'LOCKED' });
    });
    await holding(seriesLock(layout, SERIES), 'the builds', {}, async () => {
      const [flock, distro] = await expireBuilds(context(), both);
      expect(flock).toMatchObject({ error: { code: 'LOCKED' }, gone: [] });
      expect(names(distro as Expired)).toEqual([D]);
    });
    expect(here()).toContain(D);
  });

  test('nothing goes by a clock that went back, nor in 1970; the record that tells is named', async () => {
    for (const timestamp of [A, B, D]) makeBuild(layout, { timestamp });
    makeBuild(layout, { timestamp: C, record: { publishedAt: '2026-12-01T00:00:00.000Z' } });
    for (const now of [NOW, new Date(0)]) {
      expect((await expire(now)).error).toMatchObject({
        code: 'CLOCK_BACK',
        message: `the clock shows ${now.toISOString()}, and a build was published at 2026-12-01T00:00:00.000Z`,
      });
      expect((await plannedExpiry(context(now), [SERIES]))[0]?.error?.code).toBe('CLOCK_BACK');
    }
    expect(here()).toEqual([D, C, B, A, 'latest_build']);
  });

  test('by a clock that is far ahead the newest, what links lead to and what is kept stay', async () => {
    for (const timestamp of [A, B, C]) makeBuild(layout, { timestamp });
    makeBuild(layout, { timestamp: D, files: { Success: '', KEEP: 'always\n' } });
    expect(names(await expire(new Date('2099-01-01T00:00:00Z')))).toEqual([C]);
  });

  test('what is no build stays; what killed runs left of this series goes, and nothing of another one', async () => {
    for (const timestamp of [A, B]) makeBuild(layout, { timestamp });
    mkdirSync(join(layout.series(SERIES), 'notes'));
    mkdirSync(join(layout.series(SERIES), `.new-${D}`));
    for (const name of ['master+centos+flock@going-x', 'master+centos+flock@new-x', 'master+centos+flock2@going-x'])
      mkdirSync(join(layout.buildWork, name, 'outputs'), { recursive: true });
    const [of, other] = [layout.buildRecord(SERIES, D, 'manifest'), layout.buildRecord(SERIES, D, 'json')];
    for (const path of [of, other, join(of, '..', 'notes.txt')]) writeFileSync(path, '');
    await expire();
    expect(here()).toEqual([`.new-${D}`, B, A, 'latest_build', 'notes'].sort());
    expect(work().slice().sort()).toEqual(['master+centos+flock2@going-x', 'master+centos+flock@new-x']);
    expect(records()).toEqual([`${B}.json`, `${A}.json`, 'notes.txt']);
  });

  test('links in a build are not followed', async () => {
    for (const timestamp of [A, B]) makeBuild(layout, { timestamp });
    const outside = join(layout.root, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'file'), 'precious');
    symlinkSync(outside, join(makeBuild(layout, { timestamp: D }), 'link'));
    expect(names(await expire())).toEqual([D]);
    expect(readdirSync(outside)).toEqual(['file']);
  });

  test('a file of the store is in use as long as a build has it', async () => {
    const store = new Store(layout.store);
    const file = store.path({ algorithm: 'sha256', hex: 'a'.repeat(64) });
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, 'shared');
    for (const timestamp of [A, B]) makeBuild(layout, { timestamp });
    linkSync(file, join(makeBuild(layout, { timestamp: D }), 'file'));
    expect(surveyStore(store).unused).toEqual([]);
    await expire();
    expect(surveyStore(store).unused.map(({ names: found }) => found)).toEqual([[{ algorithm: 'sha256', hex: 'a'.repeat(64) }]]);
  });

  test('a disk that is not mounted has no builds that could go', async () => {
    for (const timestamp of [A, B, D]) makeBuild(layout, { timestamp });
    rmSync(layout.sentinel);
    await expect(expire()).rejects.toMatchObject({ code: 'NOT_MOUNTED' });
    expect(here()).toEqual([D, B, A]);
  });
});
