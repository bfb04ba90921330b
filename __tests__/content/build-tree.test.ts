import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildFile, copyFiles, digestFiles, missingIn, readAgain, refusedBuild, walkBuild } from '../../content/build-tree';
import { Store } from '../../content/store';
import { rejected } from '../support/caught';

const SMALL = 'outputs/small';
const LARGE = 'outputs/folder/large';
let directory: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'build-tree-'));
  store = new Store(join(directory, 'store'));
  mkdirSync(join(directory, 'build/outputs/folder'), { recursive: true });
  writeFileSync(at(SMALL), 'small\n');
  writeFileSync(at(LARGE), Buffer.alloc(3_000_000, 'large'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (path: string): string => join(directory, 'build', path);
const nothing = (): void => undefined;
const digests = (): Promise<readonly BuildFile[]> => digestFiles(at('.').replace(/\/\.$/, ''), walkBuild(at('')), nothing);
const root = (): string => join(directory, 'build');

test('the digests are those of sha256sum, in the order of the paths', async () => {
  const files = await digests();
  const expected = execFileSync('sha256sum', [LARGE, SMALL], { cwd: root(), encoding: 'utf8' });
  expect(files.map(({ sha256, path }) => `${sha256}  ${path}\n`).join('')).toBe(expected);
});

test('copies what the store lacks, each content once, with the time of the original', async () => {
  writeFileSync(at('outputs/twin'), 'small\n');
  utimesSync(at(SMALL), 1_600_000_000, 1_600_000_000);
  const files = await digests();
  const missing = missingIn(store, files);
  expect(missing.map(({ path }) => path)).toEqual([LARGE, SMALL]);
  const incoming = await store.incoming('builds/x');
  await copyFiles(root(), missing, incoming, nothing);
  for (const file of missing) {
    const path = incoming.locate({ algorithm: 'sha256', hex: file.sha256 });
    expect(readFileSync(path).equals(readFileSync(at(file.path)))).toBe(true);
  }
  await incoming.commit();
  expect(missingIn(store, files)).toEqual([]);
});

/** What whoever uploads may do at the worst time. */
const CHANGES: readonly (readonly [string, (path: string) => void])[] = [
  ['it grows', (path) => appendFileSync(at(path), 'more')],
  ['it is cut', (path) => truncateSync(at(path), 2)],
  ['it is written anew', (path) => writeFileSync(at(path), Buffer.alloc(readFileSync(at(path)).length, 'x'))],
  ['it goes away', (path) => rmSync(at(path))],
  ['it becomes a link', (path) => (renameSync(at(path), at('outputs/other')), symlinkSync(at('outputs/other'), at(path)))],
  ['it becomes a FIFO', (path) => (rmSync(at(path)), void execFileSync('mkfifo', [at(path)]))],
  ['it becomes a folder', (path) => (rmSync(at(path)), mkdirSync(at(path)))],
  [
    'a folder above becomes a link to one with the same files',
    () => (renameSync(at('outputs'), join(directory, 'elsewhere')), symlinkSync(join(directory, 'elsewhere'), at('outputs'))),
  ],
];

describe.each([SMALL, LARGE])('%s changes between the look and the read', (path) => {
  test.each(CHANGES)('%s: refused', async (_what, change) => {
    const found = walkBuild(root());
    change(path);
    expect(await rejected(() => digestFiles(root(), found, nothing))).toMatchObject({ code: 'BUILD_CHANGED', exitCode: 3 });
  });

  test.each(CHANGES)('%s, after it was digested: refused, and nothing of it stays', async (_what, change) => {
    const files = (await digests()).filter((file) => file.path === path);
    change(path);
    const incoming = await store.incoming('builds/x');
    expect(await rejected(() => copyFiles(root(), files, incoming, nothing))).toMatchObject({ code: 'BUILD_CHANGED' });
    expect(() => readAgain(root(), files[0] as BuildFile)).toThrow(/changed while the build was read$/);
    await incoming.close();
    expect(readdirSync(join(store.root, '.incoming'))).toEqual([]);
  });

  test('other bytes of the same size and time: refused, since the copy is not what was judged', async () => {
    const files = (await digests()).filter((file) => file.path === path);
    const [{ mtimeMs, size }] = files as [BuildFile];
    writeFileSync(at(path), Buffer.alloc(size, 'y'));
    utimesSync(at(path), mtimeMs / 1000, mtimeMs / 1000);
    const now = walkBuild(root()).find((file) => file.path === path);
    const incoming = await store.incoming('builds/x');
    const given = files.map((file) => ({ ...file, mtimeMs: now?.mtimeMs as number }));
    expect(await rejected(() => copyFiles(root(), given, incoming, nothing))).toMatchObject({ code: 'BUILD_CHANGED' });
  });
});

test('more files than any build has are refused before all of them were looked at', () => {
  for (let i = 0; i < 20; i++) mkdirSync(at(`logs/${i}`), { recursive: true });
  execFileSync('sh', ['-c', 'for d in logs/*; do (cd "$d" && seq 10100 | xargs touch); done'], { cwd: root() });
  expect(() => walkBuild(root())).toThrow(/more than 200000 files/);
});

test('ten of many problems are named, escaped', () => {
  const problems = Array.from({ length: 12 }, (_, i) => ({ path: `a\u001b[31m${i}`, why: 'is odd' }));
  const error = refusedBuild(problems);
  expect(error.message).toMatch(/^the build is refused: "a\\u001b\[31m0" is odd; (?:[^;]+; ){9}and 2 more$/);
});
