import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BandwidthShare } from '../../content/bandwidth-share';
import { readDefinitions } from '../../content/definitions';
import { Layout } from '../../content/layout';
import { filesToCarry, stamp } from '../../content/snapshot';
import { type SyncOutcome, syncRepository } from '../../content/sync';
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { HttpClient } from '../../downloads/http';
import { buildPackage } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'robust-'));
const names = ['a', 'b', 'c', 'd', 'e', 'f'];
const packages: Record<string, string> = {};
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const name of names) packages[name] = buildPackage(work, name, '1', 300_000);
});
afterAll(() => rmSync(work, { recursive: true }));
beforeEach(async () => {
  mirror = new TestMirror();
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
  mirror.repository('epel-7', [upstream.url]);
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

function publishUpstream(...list: string[]): void {
  rmSync(join(tree, 'Packages'), { recursive: true, force: true });
  mkdirSync(join(tree, 'Packages'), { recursive: true });
  for (const name of list) copyFileSync(packages[name] as string, join(tree, 'Packages', basename(packages[name] as string)));
  createrepo(tree);
}

/** Every file that the published index names is there with its size: what a client would find. */
function expectWhole(id: string, m: TestMirror = mirror): void {
  const repomd = readFileSync(m.published(id, 'repodata/repomd.xml'), 'utf8');
  for (const [, href] of repomd.matchAll(/<location href="([^"]+)"/g)) expect(existsSync(m.published(id, href as string))).toBe(true);
  const primary = /href="([^"]+primary\.xml\.gz)"/.exec(repomd)?.[1] as string;
  const xml = execFileSync('gzip', ['-dc', m.published(id, primary)], { encoding: 'utf8' });
  const sizes = [...xml.matchAll(/<size package="(\d+)"/g)].map((s) => Number(s[1]));
  const listed = [...xml.matchAll(/<location href="([^"]+)"/g)].map((l) => l[1] as string);
  listed.forEach((href, i) => expect(statSync(m.published(id, href)).size).toBe(sizes[i]));
}

/** Waits until `ready`, at most ten seconds. */
async function until(ready: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !ready(); i++) await sleep(10);
  expect(ready()).toBe(true);
}

describe('storage', () => {
  test('without the sentinel nothing happens', async () => {
    rmSync(join(mirror.root, '.mirror-data'));
    const ran = await mirror.run('sync', 'epel-7');
    expect(ran).toMatchObject({ code: 7, stderr: expect.stringContaining('.mirror-data is missing: the disk is not mounted') });
    expect(readdirSync(mirror.root)).toEqual([]);
    expect(upstream.requests).toEqual([]);
  });

  test('a mount of its own that is none', async () => {
    mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: true });
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('is declared to be a mount of its own, and is not one'),
    });
  });

  const asRoot = process.getuid?.() === 0 ? test : test.failing;
  asRoot('root does not write into what belongs to another user', async () => {
    execFileSync('chown', ['nobody', mirror.root]);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/belongs to the user \d+, and this is root/),
    });
  });

  asRoot.each([
    ['bytes', 'size=1m', /needs \d+ bytes more, and .* has \d+ left|no space/],
    ['inodes', 'size=50m,nr_inodes=40', /no space \(or no inodes\) left/],
  ])('a disk without %s keeps what is published and what was fetched', async (_what, options, message) => {
    const root = join(mirror.directory, 'disk');
    mkdirSync(root);
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]);
    const small = new TestMirror({ root, ownMount: true });
    try {
      small.repository('epel-7', [upstream.url]);
      publishUpstream('a');
      expect(await small.run('sync', 'epel-7')).toMatchObject({ code: 0 });
      const before = small.currentTarget('epel-7');
      publishUpstream(...names);
      const ran = await small.run('sync', 'epel-7');
      expect(ran).toMatchObject({ code: 7, stderr: expect.stringMatching(message) });
      expect(small.currentTarget('epel-7')).toBe(before);
      expectWhole('epel-7', small);
      execFileSync('mount', ['-o', 'remount,size=50m,nr_inodes=10000', root]);
      expect(await small.run('sync', 'epel-7')).toMatchObject({ code: 0 });
      expectWhole('epel-7', small);
    } finally {
      execFileSync('umount', [root]);
      small.remove();
    }
  });
});

describe('what is published is damaged', () => {
  const records = (): readonly string[] => readdirSync(join(mirror.root, 'repositories/epel-7/records')).sort();

  test.each<[string, (link: string) => void, RegExp]>([
    ['leads nowhere', (link) => symlinkSync('snapshots/20260101T000000Z-000000000000', link), /which does not exist/],
    ['leads elsewhere', (link) => symlinkSync('/srv', link), /current leads to "\/srv", which is no snapshot/],
    ['is a directory', (link) => mkdirSync(link), /current is not a symbolic link/],
  ])('a link that %s is no first sync: what only the mirror has would be lost', async (_what, damage, message) => {
    publishUpstream('a');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    const link = join(mirror.root, 'repositories/epel-7/current');
    const target = readlinkSync(link);
    const known = [mirror.snapshots('epel-7'), records()];
    rmSync(link);
    damage(link);
    mirror.repository('other', [upstream.url]);
    for (const which of ['epel-7', '--all', '--new']) {
      const ran = await mirror.run('sync', which);
      expect(ran).toMatchObject({ code: 7, stderr: expect.stringMatching(message) });
      expect(ran.stderr).toContain(`ln -sfn snapshots/NAME ${link}`);
    }
    const status = await mirror.run('status');
    expect(status).toMatchObject({ code: 0, stdout: expect.stringMatching(/^epel-7 +damaged/m) });
    expect(status.stdout).toMatch(message);
    expect(status.stdout).toMatch(/^other +(published|unchanged)/m);
    expect(await mirror.run('changes')).toMatchObject({ code: 0, stdout: expect.stringMatching(/other: first publish/) });
    expect([mirror.snapshots('epel-7'), records()]).toEqual(known);
    rmSync(link, { recursive: true });
    symlinkSync(target, link);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('epel-7: unchanged') });
  });

  test('snapshots that cannot be listed: no record is removed', async () => {
    publishUpstream('a');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    const known = records();
    const snapshots = join(mirror.root, 'repositories/epel-7/snapshots');
    renameSync(snapshots, `${snapshots}.away`);
    writeFileSync(snapshots, '');
    const ran = await mirror.run('sync', 'epel-7');
    expect(ran).toMatchObject({ code: 7, stderr: expect.stringContaining('snapshots: a file is where a directory belongs') });
    expect(records()).toEqual(known);
  });
});

describe('lock', () => {
  test('a second run says who syncs, and a killed holder leaves no lock', async () => {
    publishUpstream('a');
    upstream.handlers.set('Packages/a-1-1.noarch.rpm', (_request, response) => response.writeHead(200).write('x') || true);
    const first = mirror.start('sync', 'epel-7');
    await until(() => upstream.requests.includes('Packages/a-1-1.noarch.rpm'));
    const second = await mirror.run('sync', 'epel-7');
    expect(second).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/epel-7 is locked by process \d+ \(mirrorctl .*sync epel-7\) since \d{4}-/),
    });
    expect((await mirror.run('status')).stdout).toMatch(/epel-7 +running/);
    expect(await mirror.run('sync', '--new')).toMatchObject({ code: 0 });
    first.kill();
    await first.done;
    expect((await mirror.run('status')).stdout).toMatch(/epel-7 +interrupted/);
    const other = mirror.start('sync', 'epel-7');
    await until(() => other.said().includes('to be fetched'));
    other.kill('SIGTERM');
    expect(await other.done).toMatchObject({
      code: null,
      stderr: expect.stringContaining('mirrorctl: interrupted by SIGTERM; what is served is whole'),
    });
    upstream.handlers.clear();
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
  });
});

test('two publishes of upstream are two, although its validators are the same', async () => {
  const modified = 'Tue, 01 Sep 2026 12:00:00 GMT';
  upstream.handlers.set('repodata/repomd.xml', (request, response) => {
    if (request.headers['if-none-match'] === '"same"') return response.writeHead(304).end() !== undefined;
    response.writeHead(200, { etag: '"same"', 'last-modified': modified });
    return response.end(readFileSync(join(tree, 'repodata/repomd.xml'))) !== undefined;
  });
  publishUpstream('a');
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
  publishUpstream('b');
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
  expectWhole('epel-7');
});

test('one that waits goes on when the first has ended', async () => {
  publishUpstream('a');
  let end: () => void = () => undefined;
  upstream.handlers.set('Packages/a-1-1.noarch.rpm', (_request, response) => {
    end = () => createReadStream(join(tree, 'Packages/a-1-1.noarch.rpm')).pipe(response);
    return true;
  });
  const first = mirror.start('sync', 'epel-7');
  await until(() => upstream.requests.includes('Packages/a-1-1.noarch.rpm'));
  const second = mirror.start('sync', 'epel-7', '--wait', '60');
  await until(() => second.said().includes('waiting for it to end'));
  end();
  expect(await first.done).toMatchObject({ code: 0 });
  expect(await second.done).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  expect(await mirror.run('sync', 'epel-7', '--wait', 'soon')).toMatchObject({ code: 2, stderr: expect.stringContaining('whole number') });
});

test('at most so many syncs of one upstream at a time, whatever starts them', async () => {
  publishUpstream('a');
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, sync: { slotsPerUpstream: 1 } });
  mirror.repository('second', [upstream.url]);
  upstream.handlers.set('Packages/a-1-1.noarch.rpm', () => true);
  const first = mirror.start('sync', 'epel-7');
  await until(() => upstream.requests.includes('Packages/a-1-1.noarch.rpm'));
  const second = mirror.start('sync', 'second');
  await until(() => /second waits for a slot of 127\.0\.0\.1:\d+ \(1 sync is running: epel-7\)/.test(second.said()));
  upstream.handlers.clear();
  first.kill();
  await first.done;
  expect(await second.done).toMatchObject({ code: 0 });
});

describe('kill -9', () => {
  test('in the middle of a download: the next run uses what was fetched', async () => {
    publishUpstream(...names);
    upstream.handlers.set('Packages/f-1-1.noarch.rpm', (_request, response) => response.writeHead(200).write('x') || true);
    const first = mirror.start('sync', 'epel-7');
    const incoming = join(mirror.root, 'store/.incoming/epel-7');
    // Three metadata files and five packages are complete, the sixth is under way.
    await until(() => existsSync(incoming) && readdirSync(incoming).filter((n) => !n.endsWith('.part')).length === 8);
    first.kill();
    await first.done;
    expect(mirror.currentTarget('epel-7')).toBeUndefined();
    const damaged = join(
      incoming,
      readdirSync(incoming).find((n) => !n.endsWith('.part') && statSync(join(incoming, n)).size > 200_000) as string,
    );
    execFileSync('truncate', ['-s', '1000', damaged]);
    upstream.handlers.clear();
    upstream.requests.length = 0;
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    // Only the one that was under way and the one that a power cut would have damaged.
    expect(upstream.requests.filter((path) => path.endsWith('.rpm'))).toHaveLength(2);
    expect(upstream.requests.some((path) => path.includes('primary'))).toBe(false);
    expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
    expectWhole('epel-7');
  });

  test('at each call that changes a file: what is published is whole, and the next run repairs the rest', async () => {
    publishUpstream('a', 'b');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    // strace counts each call of each thread by itself: one sweep for each call.
    const calls = ['rename', 'link', 'symlink', 'mkdir', 'rmdir', 'fsync', 'ftruncate'];
    let points = 0;
    let turn = 0;
    for (const call of calls) {
      for (let when = 1; ; when++) {
        turn++;
        publishUpstream(...(turn % 2 === 1 ? ['c', 'd', 'a'] : ['a', 'b', 'e']), names[turn % names.length] as string);
        const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${when}`];
        const child = spawn('strace', [...inject, process.execPath, ...mirror.argv('sync', 'epel-7')], {
          env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
          stdio: 'ignore',
        });
        const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
        expectWhole('epel-7');
        if (code === 0) break;
        points++;
      }
    }
    console.info(`survived SIGKILL at ${points} points`);
    expect(points).toBeGreaterThan(20);
    publishUpstream('f');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
    expectWhole('epel-7');
    expect(mirror.snapshots('epel-7').filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('superseded content', () => {
  const hours = (n: number): Date => new Date(Date.UTC(2026, 10, 22, n));
  const at = async (now: Date): Promise<SyncOutcome> => {
    const definitions = await readDefinitions(mirror.configuration);
    const client = new HttpClient();
    try {
      const layout = new Layout(definitions.server.storageRoot, mirror.state, definitions.directory);
      return await syncRepository(
        {
          layout,
          server: definitions.server,
          client,
          retry: {},
          now: () => now,
          say: () => undefined,
          graceSeconds: 48 * 3600,
          waitSeconds: 0,
          definitions,
          share: new BandwidthShare(client.bandwidth),
          signer: () => Promise.reject(new Error('a verbatim copy signs nothing')),
        },
        definitions.repositories[0] as RepositoryDefinition,
      );
    } finally {
      await client.close();
    }
  };
  const rpms = (): string[] => readdirSync(mirror.published('epel-7', 'Packages')).map((name) => name.slice(0, 1));

  test('stays for 48 hours after it was superseded, then goes with the next sync', async () => {
    publishUpstream('a');
    const first = readdirSync(join(tree, 'repodata')).filter((name) => name !== 'repomd.xml');
    expect(await at(hours(0))).toMatchObject({ result: 'published', snapshot: expect.stringMatching(/^20261122T000000Z-/) });
    publishUpstream('b');
    expect(await at(hours(10))).toMatchObject({ result: 'published' });
    publishUpstream('c');
    expect(await at(hours(20))).toMatchObject({ result: 'published', packages: 1 });
    expect(rpms()).toEqual(['a', 'b', 'c']);
    expect(await at(hours(57))).toMatchObject({ result: 'unchanged' });
    expect(await at(hours(58))).toMatchObject({ result: 'published', packages: 1, downloadedFiles: 0 });
    expect(rpms()).toEqual(['b', 'c']);
    for (const name of first) expect(existsSync(mirror.published('epel-7', 'repodata', name))).toBe(false);
    expect(await at(hours(68))).toMatchObject({ result: 'published' });
    expect(rpms()).toEqual(['c']);
    expect(mirror.recordOf('epel-7')).toMatchObject({ carried: {}, packages: 1, problems: [] });
    expect(await at(hours(69))).toMatchObject({ result: 'unchanged' });
    expectWhole('epel-7');
    // Nothing is deleted: the five snapshots are there.
    expect(mirror.snapshots('epel-7')).toHaveLength(5);
  });

  test('a lost record is no harm: everything is verified again, nothing is fetched again', async () => {
    publishUpstream('a');
    await at(hours(0));
    rmSync(join(mirror.root, 'repositories/epel-7/records'), { recursive: true });
    upstream.requests.length = 0;
    expect(await at(hours(1))).toMatchObject({ result: 'published', downloadedFiles: 0 });
    expect(upstream.requests.filter((path) => !path.includes('repomd.xml'))).toEqual([]);
    for (const text of ['{"version": 9}', '']) {
      writeFileSync(mirror.recordPath('epel-7'), text);
      expect(await at(hours(2))).toMatchObject({ result: 'published', downloadedFiles: 0 });
    }
  });

  test('a lost record does not let an older upstream in', async () => {
    publishUpstream('a');
    const old = readFileSync(join(tree, 'repodata/repomd.xml'), 'utf8');
    await at(hours(0));
    rmSync(join(mirror.root, 'repositories/epel-7/records'), { recursive: true });
    writeFileSync(join(tree, 'repodata/repomd.xml'), old.replace(/<revision>\d+/, '<revision>1000000001'));
    expect(await at(hours(1))).toMatchObject({ result: 'failed', error: { code: 'METADATA_OLDER' } });
  });

  test('a clock that went back does not make the newest snapshot an older one', async () => {
    publishUpstream('a');
    await at(hours(5));
    publishUpstream('b');
    expect(await at(hours(3))).toMatchObject({ result: 'published', snapshot: expect.stringMatching(/^20261122T050001Z-/) });
    expect((await mirror.run('changes')).stdout).toMatch(/epel-7: .*[^]*epel-7: /);
  });

  test('a lost or damaged state loses how the last run went, and nothing else', async () => {
    publishUpstream('a');
    await at(hours(0));
    for (const text of ['{"version": 9}', '']) {
      writeFileSync(join(mirror.state, 'repositories/epel-7.json'), text);
      expect((await mirror.run('status')).stdout).toMatch(/epel-7 +never/);
      expect(await at(hours(2))).toMatchObject({ result: 'unchanged' });
    }
  });

  const now = hours(12);
  const iso = (n: number): string => hours(n).toISOString();
  test.each<[string, string[], Record<string, string>, string[], Record<string, string>]>([
    ['a file that is not listed any more', ['x.rpm'], {}, [], { 'x.rpm': iso(60) }],
    ['a file that is still listed', ['x.rpm'], {}, ['x.rpm'], {}],
    ['one that was carried already keeps its date', ['x.rpm'], { 'x.rpm': iso(20) }, [], { 'x.rpm': iso(20) }],
    ['one whose time has come', ['x.rpm'], { 'x.rpm': iso(12) }, [], {}],
    ['one that was carried and is listed again', ['x.rpm'], { 'x.rpm': iso(20) }, ['x.rpm'], {}],
    ['the index and its signature', ['repodata/repomd.xml', 'repodata/repomd.xml.asc', 'repodata/repomd.xml.key'], {}, [], {}],
    ['metadata', ['repodata/1-primary.xml.gz'], {}, [], { 'repodata/1-primary.xml.gz': iso(60) }],
  ])('%s', (_name, superseded, carriedBefore, own, expected) => {
    expect(filesToCarry({ superseded, carriedBefore, own: new Set(own), now, graceSeconds: 48 * 3600 })).toEqual(expected);
  });

  test('the stamp', () => {
    expect(stamp(new Date('2026-11-22T02:30:00.999Z'))).toBe('20261122T023000Z');
  });
});
