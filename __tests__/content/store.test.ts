import { createHash } from 'node:crypto';
import fs, { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { linkOrCopy } from '../../content/files';
import { Progress } from '../../content/progress';
import { Store } from '../../content/store';
import { sha256 } from '../../desired-state/canonical';

const directory = mkdtempSync(join(tmpdir(), 'store-'));
const store = new Store(directory);
const checksum = { algorithm: 'sha256', hex: sha256('content') } as const;
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
  mkdirSync(dirname(store.path(checksum)), { recursive: true });
  writeFileSync(store.path(checksum), 'content');
});
afterEach(() => jest.restoreAllMocks());

test('what the store has, by checksum and size', () => {
  expect(store.has(checksum, 7)).toBe(true);
  expect(store.has(checksum, undefined)).toBe(true);
  expect(store.has({ algorithm: 'sha256', hex: sha256('other') }, 7)).toBe(false);
  expect(store.has(checksum, 8)).toBe(false);
});

test('a file that was deleted comes back from a published tree, if it is whole there', async () => {
  const published = join(directory, 'published');
  rmSync(store.path(checksum));
  await expect(store.regain(checksum, 7, published)).rejects.toThrow(/is gone, and .*published is gone, too/);
  writeFileSync(published, 'CONTENT');
  await expect(store.regain(checksum, 7, published)).rejects.toThrow(/is gone, and .*published is damaged, too/);
  expect(store.has(checksum, undefined)).toBe(false);
  writeFileSync(published, 'content');
  await store.regain(checksum, 7, published);
  expect(readFileSync(store.path(checksum), 'utf8')).toBe('content');
});

test('what is fetched again takes the place of what is damaged, under both names', async () => {
  const other = { algorithm: 'sha512' as const, hex: createHash('sha512').update('content').digest('hex') };
  const incoming = await store.incoming('one');
  for (const path of [store.path(checksum), store.path(other)]) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, 'cont');
  }
  expect([checksum, other].map((one) => store.has(one, 7))).toEqual([false, false]);
  writeFileSync(incoming.path(other), 'content');
  incoming.add(other, checksum.hex, 7);
  await incoming.commit();
  expect([checksum, other].map((one) => readFileSync(store.path(one), 'utf8'))).toEqual(['content', 'content']);
  await incoming.close();
});

test('at the limit of links a second copy takes the place in the store', () => {
  const link = fs.linkSync;
  const full = statSync(store.path(checksum)).ino;
  jest.spyOn(fs, 'linkSync').mockImplementation((from, to) => {
    if (statSync(from).ino === full) throw Object.assign(new Error('too many links'), { code: 'EMLINK' });
    link(from, to);
  });
  linkOrCopy(store.path(checksum), join(directory, 'linked'));
  expect(readFileSync(join(directory, 'linked'), 'utf8')).toBe('content');
  expect(statSync(join(directory, 'linked')).ino).toBe(statSync(store.path(checksum)).ino);
});

test('another error of a link is not hidden', () => {
  expect(() => linkOrCopy(store.path({ algorithm: 'sha256', hex: sha256('absent') }), join(directory, 'x'))).toThrow(/ENOENT/);
});

test('progress is a plain line every few seconds', () => {
  jest.useFakeTimers();
  const said: string[] = [];
  const progress = new Progress('centos-7-os', 4000, 9.8 * 2 ** 30, (line) => said.push(line));
  jest.advanceTimersByTime(4999);
  for (let i = 0; i < 120; i++) progress.fileDone();
  progress.addBytes(1.2 * 2 ** 30);
  jest.advanceTimersByTime(1);
  progress.stop();
  jest.advanceTimersByTime(60_000);
  jest.useRealTimers();
  expect(said).toEqual(['centos-7-os: 120 of 4000 files, 1.2 of 9.8 GiB']);
});
