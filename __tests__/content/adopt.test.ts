/** A new id goes on with the content of a former one. On a real file system, by real hard links. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { adopt, declaredAdoptions } from '../../content/adopt';
import type { Definitions } from '../../content/definitions';
import { Layout } from '../../content/layout';
import { readRefused, writeRefused } from '../../content/refused';
import { readPackageList, writePackageList } from '../../content/package-list';
import { readRecord, recordText, type SnapshotRecord } from '../../content/record';
import { readState, writeState } from '../../content/state';

let directory: string;
let layout: Layout;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mirror-adopt-'));
  layout = new Layout(join(directory, 'root'), join(directory, 'state'), join(directory, 'configuration'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const record = (definition: string): SnapshotRecord => ({
  version: 1,
  definition,
  index: {},
  repodata: [],
  repomd: 'r',
  url: 'http://u/',
  publishedAt: 't',
  upstreamPackages: 1,
  packages: 1,
  bytes: 3,
  carried: {},
  problems: [],
});

async function publishSnapshot(id: string, name: string, text: string): Promise<void> {
  const tree = join(layout.snapshots(id), name);
  mkdirSync(join(tree, 'repodata'), { recursive: true });
  mkdirSync(join(tree, 'empty'));
  writeFileSync(join(tree, 'repodata', 'repomd.xml'), text);
  symlinkSync('/etc/passwd', join(tree, 'stray'));
  rmSync(layout.current(id), { force: true });
  symlinkSync(`snapshots/${name}`, layout.current(id));
  mkdirSync(dirname(layout.record(id, name, 'json')), { recursive: true });
  writeFileSync(layout.record(id, name, 'json'), recordText(record('d')));
  writePackageList(layout.record(id, name, 'packages'), []);
  const lastRun = { startedAt: 'then', finishedAt: 'then', result: 'published' as const };
  await writeState(layout.stateFile(id), { version: 2, id, lastSuccess: 'then', lastRun });
}
const served = (id: string): string => readFileSync(join(layout.current(id), 'repodata', 'repomd.xml'), 'utf8');

test('the same files under the new id, by hard links; the former tree stays', async () => {
  await publishSnapshot('old', '1-a', 'one');
  await writeRefused(layout, 'old', new Map([['sha256-ab', 'bad-1-1.noarch']]));
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(true);
  expect([served('new'), served('old')]).toEqual(['one', 'one']);
  expect([...readRefused(layout, 'new')]).toEqual([['sha256-ab', 'bad-1-1.noarch']]);
  const inode = (id: string): number => statSync(join(layout.current(id), 'repodata', 'repomd.xml')).ino;
  expect(inode('new')).toBe(inode('old'));
  expect(existsSync(join(layout.current('new'), 'empty'))).toBe(true);
  expect(readdirSync(layout.current('new')).sort()).toEqual(['empty', 'repodata']);
  expect(await readState(layout.stateFile('new'), 'new')).toEqual({ version: 2, id: 'new', lastSuccess: 'then' });
  expect(readRecord(layout, 'new', '1-a')).toEqual(record('d'));
  expect(readPackageList(layout.record('new', '1-a', 'packages'))).toEqual([]);
});

test('again it does nothing; after the former id went on, and the new one never ran, it follows', async () => {
  await publishSnapshot('old', '1-a', 'one');
  await adopt(layout, { id: 'new', formerId: 'old' });
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(false);
  await publishSnapshot('old', '2-b', 'two');
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(true);
  expect(served('new')).toBe('two');
});

test('a file tree: its manifest, too', async () => {
  const publishTree = async (name: string, text: string): Promise<void> => {
    await publishSnapshot('old', name, text);
    for (const kind of ['json', 'packages'] as const) rmSync(layout.record('old', name, kind));
    writeFileSync(layout.record('old', name, 'tree'), text);
  };
  await publishTree('1-a', 'one');
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(true);
  expect(readFileSync(layout.record('new', '1-a', 'tree'), 'utf8')).toBe('one');
  await publishTree('2-b', 'two');
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(true);
  expect(readFileSync(layout.record('new', '2-b', 'tree'), 'utf8')).toBe('two');
});

test('content of its own is never replaced', async () => {
  await publishSnapshot('old', '1-a', 'one');
  await publishSnapshot('new', '9-z', 'mine');
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(false);
  expect(served('new')).toBe('mine');
});

test('a former id without content: nothing to go on with', async () => {
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(false);
  expect(existsSync(layout.repository('new'))).toBe(false);
});

test('what an interrupted adoption left is in the way of nothing', async () => {
  await publishSnapshot('old', '1-a', 'one');
  mkdirSync(join(layout.snapshots('new'), '.new-1-a', 'half'), { recursive: true });
  mkdirSync(join(layout.snapshots('new'), '1-a', 'repodata'), { recursive: true });
  writeFileSync(join(layout.snapshots('new'), '1-a', 'repodata', 'repomd.xml'), 'one');
  expect(await adopt(layout, { id: 'new', formerId: 'old' })).toBe(true);
  expect(readlinkSync(layout.current('new'))).toBe('snapshots/1-a');
  expect(readdirSync(layout.snapshots('new'))).toEqual(['1-a']);
});

test('everything that is copied, and each component of a codename', () => {
  const definitions = {
    repositories: [{ id: 'a' }, { id: 'b', formerId: 'z' }],
    trees: [{ id: 'c', formerId: 'y' }],
    downloads: [{ id: 'd', formerId: 'x' }],
    lists: [{ id: 'e', formerId: 'w' }],
    codenames: [
      { id: 'acme/c', formerId: 'old/c', components: ['os', 'cr'] },
      { id: 'mos/c', components: ['os'] },
    ],
  } as unknown as Definitions;
  expect(declaredAdoptions(definitions)).toEqual([
    { id: 'b', formerId: 'z' },
    { id: 'c', formerId: 'y' },
    { id: 'd', formerId: 'x' },
    { id: 'e', formerId: 'w' },
    { id: 'acme/c/os', formerId: 'old/c/os' },
    { id: 'acme/c/cr', formerId: 'old/c/cr' },
  ]);
});
