import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNamed, keepBuild, markBuild, type MarkContext, releaseKept } from '../../content/build-marks';
import { buildsOf, type Colour, seriesLock } from '../../content/builds';
import type { Layout } from '../../content/layout';
import { holding } from '../../content/lock';
import { rejected } from '../support/caught';
import { buildStorage, makeBuild, SERIES } from './support/builds';

const ONE = '20261101T000000Z';
const TWO = '20261102T000000Z';

let layout: Layout;
let context: MarkContext;
let remove: () => void;
beforeEach(() => {
  const storage = buildStorage();
  ({ layout, remove } = storage);
  context = { layout, definitions: storage.definitions, say: () => undefined, waitSeconds: 0 };
});
afterEach(() => remove());

const marks = (timestamp: string): readonly string[] =>
  readdirSync(layout.build(SERIES, timestamp))
    .filter((name) => /^[A-Z]+$/.test(name))
    .sort();
const mark = (timestamp: string, colour: Colour | 'none'): ReturnType<typeof markBuild> => markBuild(context, SERIES, timestamp, colour);

test('a colour is one empty file, and the links follow it', async () => {
  makeBuild(layout, { timestamp: ONE });
  makeBuild(layout, { timestamp: TWO });
  expect(await mark(ONE, 'green')).toMatchObject({
    changed: true,
    build: { timestamp: ONE, colour: 'green' },
    links: [
      { link: 'latest_build', to: TWO },
      { link: 'latest_green_build', to: ONE },
      { link: 'latest_yellow_build', to: ONE },
    ],
  });
  expect(await mark(ONE, 'green')).toMatchObject({ changed: false, links: [] });
  expect((await mark(TWO, 'yellow')).links).toEqual([{ link: 'latest_yellow_build', from: ONE, to: TWO }]);
  expect((await mark(TWO, 'red')).links).toEqual([{ link: 'latest_yellow_build', from: TWO, to: ONE }]);
  expect([marks(ONE), marks(TWO)]).toEqual([['GREEN'], ['RED']]);
  expect(statSync(join(layout.build(SERIES, ONE), 'GREEN')).size).toBe(0);
  expect((await mark(ONE, 'none')).links).toEqual([
    { link: 'latest_green_build', from: ONE },
    { link: 'latest_yellow_build', from: ONE },
  ]);
  expect(marks(ONE)).toEqual([]);
  expect(await mark(ONE, 'none')).toMatchObject({ changed: false });
});

test.each([['GREEN'], ['YELLOW'], ['RED']])('what a run that was killed left beside %s is put right', async (left) => {
  makeBuild(layout, { timestamp: ONE, files: { Success: '', [left]: '', YELLOW: '' } });
  await mark(ONE, 'green');
  expect(marks(ONE)).toEqual(['GREEN']);
});

test('a failed build can be red, and nothing else', async () => {
  makeBuild(layout, { timestamp: ONE, files: {} });
  for (const colour of ['green', 'yellow'] as const)
    expect(await rejected(() => mark(ONE, colour))).toMatchObject({
      code: 'BUILD_FAILED',
      message: `the build ${ONE} of ${SERIES} failed: it cannot be ${colour}`,
      exitCode: 3,
    });
  expect(marks(ONE)).toEqual([]);
  expect(await mark(ONE, 'red')).toMatchObject({ changed: true, links: [] });
});

test('what came with a build in its outputs stays, and what is marked here counts', async () => {
  makeBuild(layout, { timestamp: ONE, files: { Success: '', 'outputs/RED': '' } });
  expect((await buildsOf(layout, SERIES))[0]?.colour).toBe('red');
  expect((await mark(ONE, 'green')).build.colour).toBe('green');
  expect(await rejected(() => mark(ONE, 'none'))).toMatchObject({
    code: 'MARK_OF_BUILD',
    message: `outputs/RED came with the build ${ONE} of ${SERIES}, and what came with a build does not change`,
  });
  expect((await buildsOf(layout, SERIES))[0]?.colour).toBe('green');
  expect(existsSync(join(layout.build(SERIES, ONE), 'outputs/RED'))).toBe(true);
});

test('a build is kept for a reason that is in it, until it is kept no more', async () => {
  makeBuild(layout, { timestamp: ONE });
  expect(await keepBuild(context, SERIES, ONE, ' for the lab ')).toMatchObject({ changed: true, build: { kept: 'for the lab' } });
  expect(readFileSync(join(layout.build(SERIES, ONE), 'KEEP'), 'utf8')).toBe('for the lab\n');
  expect(await keepBuild(context, SERIES, ONE, 'for the lab')).toMatchObject({ changed: false });
  expect(await keepBuild(context, SERIES, ONE, '')).toMatchObject({ changed: true, build: { kept: '' } });
  const done = await releaseKept(context, SERIES, ONE);
  expect(done).toMatchObject({ changed: true });
  expect(done.build.kept).toBeUndefined();
  expect(await releaseKept(context, SERIES, ONE)).toMatchObject({ changed: false });
});

test('a KEEP that came with the build at its top is replaced, not written to: the store has the file as well', async () => {
  const directory = makeBuild(layout, { timestamp: ONE });
  const stored = join(layout.store, 'file');
  writeFileSync(stored, 'as it came');
  linkSync(stored, join(directory, 'KEEP'));
  await keepBuild(context, SERIES, ONE, 'another reason');
  expect(readFileSync(stored, 'utf8')).toBe('as it came');
  makeBuild(layout, { timestamp: TWO, files: { Success: '', 'outputs/KEEP': 'always' } });
  expect(await rejected(() => releaseKept(context, SERIES, TWO))).toMatchObject({ code: 'MARK_OF_BUILD' });
});

test('a directory in the place of a mark is named, and nothing changes', async () => {
  mkdirSync(join(makeBuild(layout, { timestamp: ONE }), 'GREEN'));
  await expect(mark(ONE, 'green')).rejects.toMatchObject({ code: 'EISDIR' });
  expect((await buildsOf(layout, SERIES))[0]?.colour).toBeUndefined();
});

describe('what cannot be', () => {
  beforeEach(() => void makeBuild(layout, { timestamp: ONE }));

  test.each<[string, () => Promise<unknown>, string, string]>([
    ['a series that is not declared', () => markBuild(context, 'rc/3.0/centos', ONE, 'red'), 'NO_SUCH_SERIES', '"rc/3.0/centos"'],
    ['a build that is not there', () => mark(TWO, 'red'), 'NO_SUCH_BUILD', `${SERIES} has no build ${TWO}`],
    ['a name of no build', () => mark('../..', 'red'), 'BUILD_TIMESTAMP', '"../.."'],
    ['a link: who marks says which build', () => mark('latest_build', 'red'), 'BUILD_TIMESTAMP', '"latest_build"'],
  ])('%s', async (_, run, code, named) => {
    const error = await rejected(run);
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.message).toContain(named);
    expect(marks(ONE)).toEqual([]);
  });

  test('a mark while somebody publishes', async () => {
    await holding(seriesLock(layout, SERIES), 'the builds', {}, async () => {
      expect(await rejected(() => mark(ONE, 'green'))).toMatchObject({ code: 'LOCKED', exitCode: 4 });
    });
  });
});

test('a build is found by its name and by that of a link; the remedy says which there are', async () => {
  makeBuild(layout, { timestamp: ONE });
  const builds = await buildsOf(layout, SERIES);
  expect(buildNamed(builds, SERIES, 'latest_build').timestamp).toBe(ONE);
  expect(buildNamed(builds, SERIES, ONE).timestamp).toBe(ONE);
  expect(await rejected(async () => Promise.resolve(buildNamed(builds, SERIES, 'latest_green_build')))).toMatchObject({
    code: 'NO_SUCH_BUILD',
    message: `latest_green_build of ${SERIES} leads to no build`,
    remedy: `There are ${ONE}: mirrorctl build list ${SERIES}`,
  });
});
