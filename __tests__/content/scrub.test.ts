/** The scrub on real files: what it finds, what it repairs from where, and that nothing bad is served whatever interrupts it. */
import { createHash } from 'node:crypto';
import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ScrubOutcome } from '../../content/scrub';
import { coverage, portionOf } from '../../content/scrub-portion';
import type { TreeTrustDefinition } from '../../desired-state/definitions';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'scrub-'));
const packages: Record<string, string> = {};
let key: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const name of ['a', 'b', 'c']) packages[name] = buildPackage(work, name, '1', 100_000);
  key = makeKey(join(work, 'key'), 'mirror');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

const rpm = (name: string): string => `Packages/${name}-1-1.noarch.rpm`;
const original = (name: string): Buffer => readFileSync(packages[name] as string);
const hex = (bytes: Buffer, algorithm = 'sha256'): string => createHash(algorithm).update(bytes).digest('hex');
const stored = (name: string, algorithm = 'sha256'): string => {
  const digest = hex(original(name), algorithm);
  return join(mirror.root, 'store', algorithm, digest.slice(0, 2), digest);
};

function publishUpstream(names: readonly string[], ...options: string[]): void {
  rmSync(join(tree, 'Packages'), { recursive: true, force: true });
  mkdirSync(join(tree, 'Packages'), { recursive: true });
  for (const name of names) copyFileSync(packages[name] as string, join(tree, rpm(name)));
  createrepo(tree, ...options);
}

async function synced(view: 'verbatim' | 'accumulate', names: readonly string[] = ['a', 'b'], ...options: string[]): Promise<void> {
  if (view === 'accumulate') mirror.signBy(key);
  mirror.repository('epel-7', [upstream.url], undefined, {
    view,
    ...(options.includes('sha1') ? { waivers: [{ allow: 'weakChecksums', reason: 'an old upstream' }] } : {}),
  });
  publishUpstream(names, ...options);
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
}

/** Flips one bit, as a disk does: size and times stay. */
function flip(path: string): void {
  const { atime, mtime, size } = statSync(path);
  const file = openSync(path, 'r+');
  const at = Math.floor(size / 2);
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  writeSync(file, Buffer.from([(byte[0] as number) ^ 4]), 0, 1, at);
  closeSync(file);
  utimesSync(path, atime, mtime);
}

async function scrubbed(code: number, ...options: string[]): Promise<ScrubOutcome> {
  const ran = await mirror.run('scrub', '--all', '--json', ...options);
  expect(`${ran.code} ${ran.code === code ? '' : ran.stderr}`).toBe(`${code} `);
  return JSON.parse(ran.stdout) as ScrubOutcome;
}

/** Every file below the storage root by inode, the quarantine aside. */
function everywhere(): readonly string[] {
  return execFileSync('find', [join(mirror.root, 'store'), join(mirror.root, 'repositories'), '-type', 'f'], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

const quarantined = (): readonly string[] => {
  const root = join(mirror.root, 'quarantine');
  return existsSync(root) ? readdirSync(root).flatMap((date) => readdirSync(join(root, date)).map((name) => join(root, date, name))) : [];
};

async function status(): Promise<{ result: string; error?: { code: string; message: string }; problems: { path: string }[] }> {
  const ran = await mirror.run('status', 'epel-7', '--json');
  return (JSON.parse(ran.stdout) as { repositories: [Awaited<ReturnType<typeof status>>] }).repositories[0];
}

test('what is whole stays as it is, and each file is read once, also under two names', async () => {
  await synced('verbatim', ['a', 'b'], '--checksum', 'sha512');
  const before = everywhere().map((path) => [path, statSync(path).ino]);
  const outcome = await scrubbed(0);
  const inStore = everywhere().filter((path) => path.includes('/store/sha256/'));
  expect(outcome).toMatchObject({ files: inStore.length + 1, repaired: [], lost: [], unfinished: [], unread: 0 });
  const index = statSync(mirror.published('epel-7', 'repodata/repomd.xml')).size;
  expect(outcome.bytes).toBe(inStore.reduce((sum, path) => sum + statSync(path).size, 0) + index);
  expect(everywhere().map((path) => [path, statSync(path).ino])).toEqual(before);
  expect(quarantined()).toEqual([]);
});

describe('a flipped bit, with size and time of before', () => {
  test('is fetched again, and every link gets the right bytes', async () => {
    await synced('verbatim');
    publishUpstream(['a', 'b', 'c']);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    const trees = mirror.snapshots('epel-7').map((name) => join(mirror.root, 'repositories/epel-7/snapshots', name, rpm('a')));
    expect(trees).toHaveLength(2);
    const bad = statSync(stored('a')).ino;
    // As a directory that was imported has it: it is not the mirror's.
    const imported = join(mirror.directory, 'imported');
    linkSync(stored('a'), imported);
    flip(stored('a'));
    expect(readFileSync(trees[0] as string)).not.toEqual(original('a'));
    const { repaired, lost } = await scrubbed(0);
    expect(repaired).toEqual([
      { digest: `sha256-${hex(original('a'))}`, why: 'was changed on disk', from: 'upstream', places: [`epel-7: ${rpm('a')}`] },
    ]);
    expect(lost).toEqual([]);
    for (const path of [stored('a'), ...trees]) expect(readFileSync(path)).toEqual(original('a'));
    expect(new Set([stored('a'), ...trees].map((path) => statSync(path).ino)).size).toBe(1);
    // Kept for whoever looks into it, and nowhere else.
    expect(quarantined().map((path) => statSync(path).ino)).toEqual([bad]);
    expect(statSync(imported).ino).toBe(bad);
    expect(statSync(quarantined()[0] as string).nlink).toBe(2);
    expect(await status()).toMatchObject({ result: 'published', problems: [] });
    expect(await scrubbed(0)).toMatchObject({ repaired: [] });
  });

  test('lets another copy on this disk take its place, without a request', async () => {
    await synced('verbatim');
    const other = mirror.published('epel-7', rpm('a'));
    rmSync(other);
    copyFileSync(stored('a'), other);
    flip(stored('a'));
    upstream.requests.length = 0;
    const { repaired } = await scrubbed(0);
    expect(repaired).toMatchObject([{ from: 'copy', places: [] }]);
    expect(readFileSync(stored('a'))).toEqual(original('a'));
    expect(upstream.requests).toEqual([]);
  });

  test('in a copy that one tree has for itself', async () => {
    await synced('verbatim');
    const other = mirror.published('epel-7', rpm('a'));
    rmSync(other);
    copyFileSync(stored('a'), other);
    flip(other);
    const { repaired } = await scrubbed(0);
    expect(repaired).toMatchObject([{ from: 'copy', places: [`epel-7: ${rpm('a')}`] }]);
    expect(statSync(other).ino).toBe(statSync(stored('a')).ino);
    expect(readFileSync(other)).toEqual(original('a'));
  });

  test.each(['sha512', 'sha1'])('in a file that upstream names by its %s: both names', async (algorithm) => {
    await synced('verbatim', ['a'], '--checksum', algorithm);
    flip(stored('a'));
    const { repaired } = await scrubbed(0);
    expect(repaired).toMatchObject([{ from: 'upstream', places: [`epel-7: ${rpm('a')}`] }]);
    for (const path of [stored('a'), stored('a', algorithm), mirror.published('epel-7', rpm('a'))])
      expect(readFileSync(path)).toEqual(original('a'));
  });

  test('in metadata, and in the index itself', async () => {
    await synced('verbatim');
    const [primary] = readdirSync(mirror.published('epel-7', 'repodata')).filter((name) => name.includes('primary.xml'));
    for (const name of [primary as string, 'repomd.xml']) {
      const path = mirror.published('epel-7', 'repodata', name);
      const bytes = readFileSync(path);
      flip(path);
      const { repaired } = await scrubbed(0);
      expect(repaired).toMatchObject([{ from: 'upstream', places: [`epel-7: repodata/${name}`] }]);
      expect(readFileSync(path)).toEqual(bytes);
    }
  });
});

describe('a file that is missing', () => {
  test('from the store comes back from a tree', async () => {
    await synced('verbatim');
    rmSync(stored('a'));
    upstream.requests.length = 0;
    const { repaired } = await scrubbed(0);
    expect(repaired).toMatchObject([{ why: 'is missing', from: 'copy' }]);
    expect(statSync(stored('a')).ino).toBe(statSync(mirror.published('epel-7', rpm('a'))).ino);
    expect(upstream.requests).toEqual([]);
  });

  test('from a tree comes back from the store', async () => {
    await synced('verbatim');
    rmSync(mirror.published('epel-7', rpm('a')));
    expect((await scrubbed(0)).repaired).toMatchObject([{ why: 'is missing', from: 'copy', places: [`epel-7: ${rpm('a')}`] }]);
    expect(readFileSync(mirror.published('epel-7', rpm('a')))).toEqual(original('a'));
  });

  test('from both is fetched again', async () => {
    await synced('accumulate');
    rmSync(stored('a'));
    rmSync(mirror.published('epel-7', rpm('a')));
    expect((await scrubbed(0)).repaired).toMatchObject([{ why: 'is missing', from: 'upstream', places: [`epel-7: ${rpm('a')}`] }]);
    for (const path of [stored('a'), mirror.published('epel-7', rpm('a'))]) expect(readFileSync(path)).toEqual(original('a'));
  });
});

describe('a second name that leads to another file', () => {
  test('gets the right one, and the other file stays', async () => {
    await synced('verbatim', ['a', 'b'], '--checksum', 'sha512');
    rmSync(stored('a', 'sha512'));
    linkSync(stored('b'), stored('a', 'sha512'));
    const { repaired, lost } = await scrubbed(0);
    expect(repaired).toMatchObject([{ digest: `sha512-${hex(original('a'), 'sha512')}`, why: 'is another file', from: 'copy' }]);
    expect(lost).toEqual([]);
    for (const name of ['a', 'b'])
      for (const one of [stored(name), stored(name, 'sha512')]) expect(readFileSync(one)).toEqual(original(name));
    expect(quarantined()).toEqual([]);
  });
});

describe('what nobody has any more', () => {
  async function lose(view: 'verbatim' | 'accumulate'): Promise<void> {
    await synced(view);
    flip(stored('a'));
    rmSync(join(tree, rpm('a')));
    const { lost, repaired } = await scrubbed(6);
    expect(repaired).toEqual([]);
    expect(lost).toMatchObject([{ id: 'epel-7', path: rpm('a'), why: 'was changed on disk', upstream: expect.stringContaining('404') }]);
  }

  test('is served no more, is in the quarantine, and in the status, until it is back', async () => {
    await lose('verbatim');
    expect(existsSync(stored('a'))).toBe(false);
    expect(existsSync(mirror.published('epel-7', rpm('a')))).toBe(false);
    expect(readFileSync(mirror.published('epel-7', rpm('b')))).toEqual(original('b'));
    expect(quarantined()).toHaveLength(1);
    expect(await status()).toMatchObject({
      result: 'damaged',
      error: { code: 'CONTENT_LOST', message: expect.stringContaining(`${rpm('a')} was changed on disk`) },
      problems: [{ path: rpm('a') }],
    });
    const ran = await mirror.run('scrub');
    expect(ran).toMatchObject({
      code: 6,
      stdout: expect.stringMatching(/epel-7: lost from one snapshot: Packages\/a-1-1\.noarch\.rpm was changed/),
    });
    // From a backup: wrong bytes are not taken.
    mkdirSync(dirname(stored('a')), { recursive: true });
    writeFileSync(stored('a'), 'no package');
    await scrubbed(6);
    expect(existsSync(mirror.published('epel-7', rpm('a')))).toBe(false);
    copyFileSync(packages['a'] as string, stored('a'));
    expect((await scrubbed(0)).repaired).toMatchObject([{ from: 'copy', places: [`epel-7: ${rpm('a')}`] }]);
    expect(readFileSync(mirror.published('epel-7', rpm('a')))).toEqual(original('a'));
    expect(await status()).toMatchObject({ result: 'published' });
  });

  test('comes with the next sync, once upstream has it again', async () => {
    await lose('verbatim');
    // Nothing changed upstream, and it is no reason to do nothing.
    const held = await mirror.run('sync', 'epel-7');
    expect(held.code).not.toBe(0);
    expect(await status()).toMatchObject({ result: 'damaged' });
    copyFileSync(packages['a'] as string, join(tree, rpm('a')));
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    expect(readFileSync(mirror.published('epel-7', rpm('a')))).toEqual(original('a'));
    expect(await status()).toMatchObject({ result: 'published', problems: [] });
    // The older snapshot gets it, too.
    await scrubbed(0);
    for (const name of mirror.snapshots('epel-7'))
      expect(readFileSync(join(mirror.root, 'repositories/epel-7/snapshots', name, rpm('a')))).toEqual(original('a'));
  });

  test('holds up nothing of an accumulated repository, and is not forgotten there', async () => {
    await lose('accumulate');
    // Upstream lists it, and does not have it.
    expect((await mirror.run('sync', 'epel-7')).code).not.toBe(0);
    expect(readFileSync(mirror.published('epel-7', rpm('b')))).toEqual(original('b'));
    expect(await status()).toMatchObject({ result: 'damaged', packages: 2, problems: [{ path: rpm('a') }] });
    publishUpstream(['b', 'c']);
    const ran = await mirror.run('sync', 'epel-7');
    expect(ran).toMatchObject({ code: 6, stderr: expect.stringContaining(`${rpm('a')} was changed on disk`) });
    expect(readFileSync(mirror.published('epel-7', rpm('c')))).toEqual(original('c'));
    expect(await status()).toMatchObject({ result: 'damaged', problems: [{ path: rpm('a') }] });
    const before = mirror.currentTarget('epel-7');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 6 });
    expect(mirror.currentTarget('epel-7')).toBe(before);
    copyFileSync(packages['a'] as string, join(work, 'backup'));
    mkdirSync(dirname(stored('a')), { recursive: true });
    renameSync(join(work, 'backup'), stored('a'));
    await scrubbed(0);
    expect(readFileSync(mirror.published('epel-7', rpm('a')))).toEqual(original('a'));
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ problems: [], packages: 3 });
  });

  test('merged metadata: the sync says which snapshot to go back to, and goes on from there', async () => {
    await synced('accumulate', ['a']);
    publishUpstream(['a', 'b']);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    const repomd = readFileSync(mirror.published('epel-7', 'repodata/repomd.xml'), 'utf8');
    const primary = /repodata\/([^"]+primary\.xml\.gz)"/.exec(repomd)?.[1];
    flip(mirror.published('epel-7', 'repodata', primary as string));
    expect((await scrubbed(6)).lost).toMatchObject([{ path: `repodata/${primary}` }]);
    expect(existsSync(mirror.published('epel-7', 'repodata', primary as string))).toBe(false);
    const link = join(mirror.root, 'repositories/epel-7/current');
    const refused = await mirror.run('sync', 'epel-7');
    expect(refused).toMatchObject({ code: 7, stderr: expect.stringContaining(`ln -sfn snapshots/NAME ${link}`) });
    execFileSync('ln', ['-sfn', `snapshots/${mirror.snapshots('epel-7')[0]}`, link]);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ result: 'published', packages: 2 });
  });
});

describe('file trees', () => {
  test.each<[string, TreeTrustDefinition]>([
    ['without checksums', { mode: 'none', reason: 'a test' }],
    ['with checksums', { mode: 'checksums', files: ['SHA256SUMS'], reason: 'a test' }],
  ])('%s: what was changed or is missing is fetched again', async (_what, trust) => {
    for (const name of ['a', 'b']) copyFileSync(packages[name] as string, join(tree, name));
    writeFileSync(join(tree, 'SHA256SUMS'), execFileSync('sha256sum', ['a', 'b'], { cwd: tree }));
    mirror.tree('files', [upstream.url], { trust, ...(trust.mode === 'none' ? { files: ['a', 'b'] } : {}) });
    expect(await mirror.run('sync', 'files')).toMatchObject({ code: 0 });
    flip(stored('a'));
    rmSync(stored('b'));
    rmSync(mirror.published('files', 'b'));
    expect((await scrubbed(0)).repaired.map(({ from, places }) => [from, places])).toEqual(
      expect.arrayContaining([
        ['upstream', ['files: a']],
        ['upstream', ['files: b']],
      ]),
    );
    for (const name of ['a', 'b']) expect(readFileSync(mirror.published('files', name))).toEqual(original(name));
  });
});

describe('interruptions', () => {
  test('killed at each rename, link and removal, the next run goes on: nothing bad is served in the end', async () => {
    await synced('verbatim');
    const part = `store/${hex(original('a')).slice(0, 2)}`;
    // A small portion, with the damaged file in it.
    await scrubbed(0);
    const state = JSON.parse(readFileSync(join(mirror.state, 'scrub.json'), 'utf8')) as { read: Record<string, string> };
    state.read[part] = '2026-01-01T00:00:00.000Z';
    let died = 0;
    for (let when = 1; ; when++) {
      writeFileSync(join(mirror.state, 'scrub.json'), JSON.stringify(state));
      flip(stored('a'));
      const calls = 'rename,renameat,renameat2,link,linkat,unlink,unlinkat';
      const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${calls}:signal=KILL:when=${when}`];
      const running = spawn('strace', [...inject, process.execPath, ...mirror.argv('scrub')], {
        env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
        stdio: 'ignore',
      });
      const struck = (await new Promise((resolve) => running.on('close', resolve))) !== 0;
      if (struck) died++;
      const next = await mirror.run('scrub');
      expect(`${when} ${next.code} ${next.code === 0 ? '' : next.stdout + next.stderr}`).toBe(`${when} 0 `);
      for (const path of [stored('a'), mirror.published('epel-7', rpm('a'))]) expect(readFileSync(path)).toEqual(original('a'));
      expect(quarantined().filter((path) => statSync(path).nlink !== 1)).toEqual([]);
      expect(await status()).toMatchObject({ result: 'published' });
      if (!struck) break;
    }
    expect(died).toBeGreaterThan(10);
  }, 300_000);

  test('wrong bytes that a tree still has when the run ended are known by the quarantine', async () => {
    await synced('verbatim');
    flip(stored('a'));
    const folder = join(mirror.root, 'quarantine/20260101');
    mkdirSync(folder, { recursive: true });
    const { ino } = statSync(stored('a'));
    renameSync(stored('a'), join(folder, `sha256-${hex(original('a'))}.${ino}`));
    expect((await scrubbed(0)).repaired).toMatchObject([{ from: 'upstream', places: [`epel-7: ${rpm('a')}`] }]);
    expect(readFileSync(mirror.published('epel-7', rpm('a')))).toEqual(original('a'));
  });

  test('what was read is remembered part by part', async () => {
    await synced('verbatim');
    const first = await mirror.run('scrub', '--json');
    const outcome = JSON.parse(first.stdout) as ScrubOutcome;
    expect(outcome).toMatchObject({ parts: 257, unread: 257 - 9 });
    const state = JSON.parse(readFileSync(join(mirror.state, 'scrub.json'), 'utf8')) as { read: Record<string, string> };
    expect(Object.keys(state.read)).toHaveLength(9);
    const second = JSON.parse((await mirror.run('scrub', '--json')).stdout) as ScrubOutcome;
    expect(second.unread).toBe(257 - 18);
    appendFileSync(join(mirror.state, 'scrub.json'), 'damaged');
    expect(JSON.parse((await mirror.run('scrub', '--json')).stdout)).toMatchObject({ unread: 257 - 9 });
    const all = await mirror.run('scrub', '--all');
    expect(all).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/0 repaired, 0 lost; everything was read since \d{4}-\d\d-\d\d\n$/),
    });
  });

  test('two do not run together', async () => {
    await synced('verbatim');
    const one = mirror.start('scrub', '--all');
    const lock = join(mirror.state, 'locks/+scrub.lock');
    while (!existsSync(lock) || statSync(lock).size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    one.kill('SIGSTOP');
    expect(await mirror.run('scrub')).toMatchObject({ code: 4, stderr: expect.stringContaining('the scrub is locked by process') });
    one.kill('SIGCONT');
    expect(await one.done).toMatchObject({ code: 0 });
  });

  const asRoot = process.getuid?.() === 0 ? test : test.skip;
  asRoot('a full disk during a repair changes nothing that is served, and the next run goes on', async () => {
    const root = join(mirror.directory, 'disk');
    mkdirSync(root);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', root]);
    const small = new TestMirror({ root, ownMount: true });
    const inSmall = (path: string): string => path.replace(mirror.root, root);
    try {
      small.repository('epel-7', [upstream.url]);
      publishUpstream(['a', 'b']);
      expect(await small.run('sync', 'epel-7')).toMatchObject({ code: 0 });
      flip(inSmall(stored('a')));
      const before = readFileSync(small.published('epel-7', rpm('a')));
      execFileSync('sh', ['-c', `cat /dev/zero > ${root}/full 2>/dev/null || true`]);
      expect(await small.run('scrub', '--all')).toMatchObject({ code: 7, stderr: expect.stringMatching(/no space/) });
      expect(readFileSync(small.published('epel-7', rpm('a')))).toEqual(before);
      rmSync(join(root, 'full'));
      expect(await small.run('scrub', '--all')).toMatchObject({ code: 0 });
      expect(readFileSync(small.published('epel-7', rpm('a')))).toEqual(original('a'));
    } finally {
      execFileSync('umount', [root]);
      small.remove();
    }
  });
});

test('beside a running sync: what it had linked from the damaged file, and publishes, is put right when it has ended', async () => {
  await synced('accumulate', ['a']);
  publishUpstream(['a', 'b']);
  // The tree is built when the sync flushes the file system: there it waits.
  const [bin, go, flushing] = ['bin', 'go', 'flushing'].map((name) => join(mirror.directory, name)) as [string, string, string];
  mkdirSync(bin);
  writeFileSync(join(bin, 'sync'), `#!/bin/sh\n: > ${flushing}\nwhile [ ! -e ${go} ]; do sleep 0.05; done\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const sync = spawn(process.execPath, mirror.argv('sync', 'epel-7'), { env, stdio: 'ignore' });
  const synchronized = new Promise((resolve) => sync.on('close', resolve));
  const until = async (ready: () => boolean): Promise<void> => {
    for (let i = 0; i < 1000 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(ready()).toBe(true);
  };
  await until(() => existsSync(flushing));
  const bad = statSync(stored('a')).ino;
  flip(stored('a'));
  const scrub = mirror.start('scrub', '--all', '--json', '--wait', '60');
  await until(() => scrub.said().includes('waiting for it to end'));
  // By now nothing that is published has the wrong bytes; what the sync made has.
  expect(readFileSync(mirror.published('epel-7', rpm('a')))).toEqual(original('a'));
  const building = mirror.snapshots('epel-7').filter((name) => name.startsWith('.new-'));
  expect(building.map((name) => statSync(join(mirror.root, 'repositories/epel-7/snapshots', name, rpm('a'))).ino)).toEqual([bad]);
  writeFileSync(go, '');
  expect(await synchronized).toBe(0);
  const ran = await scrub.done;
  expect(`${ran.code} ${ran.code === 0 ? '' : ran.stdout}`).toBe('0 ');
  expect(JSON.parse(ran.stdout)).toMatchObject({ unfinished: [], lost: [] });
  for (const name of ['a', 'b']) expect(readFileSync(mirror.published('epel-7', rpm(name)))).toEqual(original(name));
  expect(statSync(quarantined()[0] as string).nlink).toBe(1);
});

test('a sync that is running and uses wrong bytes is told of, where nobody waits for it; the next scrub goes on', async () => {
  await synced('verbatim', ['a']);
  const building = join(mirror.root, 'repositories/epel-7/snapshots/.new-20260101T000000Z');
  mkdirSync(building);
  linkSync(stored('a'), join(building, 'a'));
  flip(stored('a'));
  expect(await scrubbed(6)).toMatchObject({ unfinished: [`sha256-${hex(original('a'))}`], lost: [] });
  expect((await mirror.run('scrub')).stdout).toContain('a sync that is running uses the damaged file; the next scrub goes on with it');
  renameSync(building, join(dirname(building), '20260101T000000Z-000000000000'));
  expect(await scrubbed(0)).toMatchObject({ unfinished: [], lost: [] });
  expect(readFileSync(join(dirname(building), '20260101T000000Z-000000000000', 'a'))).toEqual(original('a'));
});

describe('the portion of a day', () => {
  const parts = Array.from({ length: 60 }, (_, n) => `p${String(n).padStart(2, '0')}`);
  const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n, 0, 30));

  /** The longest time that a part was not read for, of runs on these days; without what was read before `after`. */
  function simulate(runs: readonly number[], period: number, jitter: (n: number) => number = () => 0, after = 0): number {
    let state: { version: 1; read: Record<string, string>; lastRun?: string } = { version: 1, read: {} };
    let longest = 0;
    for (const n of runs) {
      const now = new Date(day(n).getTime() + jitter(n) * 60_000);
      const read = { ...state.read };
      for (const part of portionOf(parts, state, now, period)) {
        if (read[part] !== undefined && n > after) longest = Math.max(longest, (now.getTime() - Date.parse(read[part])) / 86_400_000);
        read[part] = now.toISOString();
      }
      state = { version: 1, read, lastRun: now.toISOString() };
    }
    expect(coverage(parts, state).unread).toBe(0);
    return longest;
  }

  const days = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);

  test.each([1, 7, 30, 45])('everything within %d days', (period) => {
    expect(simulate(days(0, 200), period)).toBeLessThanOrEqual(period);
  });

  test('whatever the delay of a timer is', () => {
    expect(simulate(days(0, 200), 30, (n) => (n * 7) % 6)).toBeLessThanOrEqual(30.1);
  });

  test('days without a run are made up for by the next one', () => {
    expect(simulate([...days(0, 40), ...days(52, 200)], 30, undefined, 52)).toBeLessThanOrEqual(30);
    expect(portionOf(parts, { version: 1, read: {}, lastRun: day(0).toISOString() }, day(90), 30)).toHaveLength(60);
  });

  test('what is new, or was not read for longest, comes first', () => {
    const read = Object.fromEntries(parts.slice(1).map((part, n) => [part, day(n).toISOString()]));
    expect(portionOf(parts, { version: 1, read }, day(90), 30)).toEqual(['p00', 'p01']);
    expect(coverage(parts, { version: 1, read })).toEqual({ since: day(0).toISOString(), unread: 1 });
  });
});
