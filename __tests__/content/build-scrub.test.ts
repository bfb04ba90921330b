/** The scrub on builds: what is damaged comes from another copy, or is served no more, and that can be read. */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Layout } from '../../content/layout';
import type { ScrubOutcome } from '../../content/scrub';
import { archive, makeBuild, SERIES } from './support/builds';
import { TestMirror } from './support/mirror';

jest.setTimeout(120_000);

const ONE = '20261101T000000Z';
const TWO = '20261102T000000Z';
const FILES = { 'outputs/RPMS/std/a.rpm': 'the bytes of a', 'logs/build.log': 'all that was done\n', Success: '' };
const MADE = { 'outputs/RPMS/std/rpm.lst': 'a.rpm\n', 'outputs/RPMS/std/repodata/repomd.xml': '<repomd/>' };

let mirror: TestMirror;
let layout: Layout;
beforeEach(() => {
  mirror = new TestMirror();
  layout = new Layout(mirror.root, mirror.state, mirror.configuration);
  mirror.write('definitions/builds/stx-master.yaml', archive());
});
afterEach(() => mirror.remove());

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
const stored = (text: string): string => join(layout.store, 'sha256', digest(text).slice(0, 2), digest(text));
const at = (timestamp: string, path: string): string => join(layout.build(SERIES, timestamp), path);

/** A build as a publish leaves it: what came with it are links to the store. */
function published(timestamp: string): void {
  const all = { ...FILES, ...MADE };
  const manifest = Object.entries(all)
    .map(([path, text]) => `sha256:${digest(text)}\t${text.length}\t${path}\n`)
    .join('');
  const repositories = [{ path: 'outputs/RPMS/std', packages: 1 }];
  makeBuild(layout, { timestamp, files: all, record: { manifest: digest(manifest), repositories } });
  writeFileSync(layout.buildRecord(SERIES, timestamp, 'manifest'), manifest);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(stored(text)), { recursive: true });
    if (!existsSync(stored(text))) writeFileSync(stored(text), text, { mode: 0o444 });
    rmSync(at(timestamp, path));
    linkSync(stored(text), at(timestamp, path));
  }
}

function damage(path: string): void {
  chmodSync(path, 0o644);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^./, '#'));
  chmodSync(path, 0o444);
}

async function scrubbed(code: number): Promise<ScrubOutcome> {
  const ran = await mirror.run('scrub', '--all', '--json');
  expect(`${ran.code} ${ran.code === code ? '' : ran.stderr}`).toBe(`${code} `);
  return JSON.parse(ran.stdout) as ScrubOutcome;
}

const show = async (timestamp: string): Promise<{ lostFiles: number; lost: object[] }> =>
  JSON.parse((await mirror.run('build', 'show', SERIES, timestamp, '--json')).stdout) as Awaited<ReturnType<typeof show>>;

test('what is whole stays as it is; what was marked and kept is no damage, and one part of the scrub is the series', async () => {
  published(ONE);
  expect(await mirror.run('build', 'mark', SERIES, ONE, 'green')).toMatchObject({ code: 0 });
  const outcome = await scrubbed(0);
  expect(outcome).toMatchObject({ repaired: [], lost: [], unread: 0, parts: 257 });
  expect(outcome.files).toBe(Object.keys(FILES).length + Object.keys(MADE).length);
  expect(existsSync(stored(MADE['outputs/RPMS/std/rpm.lst']))).toBe(false);
});

test('a damaged file of the store leaves every build that links to it; it comes back from a backup', async () => {
  const text = FILES['outputs/RPMS/std/a.rpm'];
  published(ONE);
  published(TWO);
  damage(stored(text));
  const outcome = await scrubbed(6);
  expect(outcome.lost.map(({ id, snapshot, path }) => [id, snapshot, path])).toEqual([
    [`builds/${SERIES}`, ONE, 'outputs/RPMS/std/a.rpm'],
    [`builds/${SERIES}`, TWO, 'outputs/RPMS/std/a.rpm'],
  ]);
  for (const path of [at(ONE, 'outputs/RPMS/std/a.rpm'), at(TWO, 'outputs/RPMS/std/a.rpm'), stored(text)])
    expect(existsSync(path)).toBe(false);
  expect(await show(ONE)).toMatchObject({ lostFiles: 1, lost: [{ path: 'outputs/RPMS/std/a.rpm', why: 'was changed on disk' }] });
  expect((await mirror.run('build', 'list', SERIES)).stdout).toContain('succeeded, one file lost');
  expect((await mirror.run('build', 'show', SERIES, ONE)).stdout).toMatch(
    /Lost \(.*\n {2}outputs\/RPMS\/std\/a\.rpm was changed on disk \(found on 20/,
  );

  writeFileSync(stored(text), text, { mode: 0o444 });
  expect((await scrubbed(0)).repaired).toMatchObject([{ from: 'copy', places: [`builds/${SERIES}: outputs/RPMS/std/a.rpm`] }]);
  for (const timestamp of [ONE, TWO]) expect(statSync(at(timestamp, 'outputs/RPMS/std/a.rpm')).ino).toBe(statSync(stored(text)).ino);
  expect(await show(ONE)).toMatchObject({ lostFiles: 0, lost: [] });
  expect(existsSync(layout.buildRecord(SERIES, ONE, 'damage'))).toBe(false);
});

test('another copy of the same bytes takes the place of a damaged one', async () => {
  const text = FILES['logs/build.log'];
  published(ONE);
  published(TWO);
  rmSync(at(TWO, 'logs/build.log'));
  writeFileSync(at(TWO, 'logs/build.log'), text);
  damage(stored(text));
  const { repaired } = await scrubbed(0);
  expect(repaired).toMatchObject([{ from: 'copy', places: [`builds/${SERIES}: logs/build.log`] }]);
  expect(readFileSync(at(ONE, 'logs/build.log'), 'utf8')).toBe(text);
  expect(statSync(at(ONE, 'logs/build.log')).ino).toBe(statSync(stored(text)).ino);
});

test('metadata that the mirror made, and a file that somebody deleted', async () => {
  published(ONE);
  damage(at(ONE, 'outputs/RPMS/std/repodata/repomd.xml'));
  rmSync(at(ONE, 'outputs/RPMS/std/a.rpm'));
  const outcome = await scrubbed(6);
  expect(outcome.lost.map(({ path, why }) => [path, why])).toEqual([['outputs/RPMS/std/repodata/repomd.xml', 'was changed on disk']]);
  expect(readFileSync(at(ONE, 'outputs/RPMS/std/a.rpm'), 'utf8')).toBe(FILES['outputs/RPMS/std/a.rpm']);
  expect(existsSync(at(ONE, 'outputs/RPMS/std/repodata/repomd.xml'))).toBe(false);
});

test('what is damaged in a build that is being made is found as well, and of one that expired nothing is left to say', async () => {
  const text = FILES['outputs/RPMS/std/a.rpm'];
  published(ONE);
  const work = join(layout.buildWork, 'master+centos+flock@new-1', 'a.rpm');
  mkdirSync(dirname(work), { recursive: true });
  linkSync(stored(text), work);
  damage(stored(text));
  expect((await scrubbed(6)).unfinished).toEqual([`sha256-${digest(text)}`]);
  rmSync(dirname(work), { recursive: true });
  expect((await scrubbed(6)).unfinished).toEqual([]);
  rmSync(layout.build(SERIES, ONE), { recursive: true });
  expect(await mirror.run('build', 'expire')).toMatchObject({ code: 0 });
  expect(existsSync(layout.buildRecord(SERIES, ONE, 'damage'))).toBe(false);
  expect(await scrubbed(0)).toMatchObject({ lost: [] });
});
