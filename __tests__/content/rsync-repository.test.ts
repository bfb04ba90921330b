/** Repositories in modules of a real rsync daemon, some of them hostile, with and without web servers beside them. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { BandwidthShare } from '../../content/bandwidth-share';
import { batchOf } from '../../content/rsync-source';
import { Bandwidth } from '../../downloads/bandwidth';
import { buildPackage, dropKey, makeKey, signDetached, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { type Daemon, startRsyncd } from './support/tree-upstream';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'rsync-repository-'));
const packages: string[] = [];
let key: TestKey;
let mirror: TestMirror;
let root: string;
let tree: string;
let daemon: Daemon;
let web: Upstream;

beforeAll(() => {
  for (const version of ['1.0', '2.0', '3.0']) packages.push(buildPackage(work, 'hello', version, 20_000));
  key = makeKey(join(work, 'key'), 'pinned');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  root = mkdtempSync(join(work, 'root-'));
  tree = join(root, 'os/x86_64');
  fill(2);
  daemon = await startRsyncd(root);
  web = await new Upstream(mkdtempSync(join(work, 'web-'))).start();
});
afterEach(async () => {
  await daemon.stop();
  await web.stop();
  mirror.remove();
});

function fill(count: number): void {
  mkdirSync(join(tree, 'Packages'), { recursive: true });
  for (const path of packages.slice(0, count)) copyFileSync(path, join(tree, 'Packages', basename(path)));
  createrepo(tree);
}

const inModule = (path = 'files/os/x86_64/', port = daemon.port): string => `rsync://127.0.0.1:${port}/${path}`;
const rpm = (index: number): string => `Packages/${basename(packages[index] as string)}`;
const runsOfRsync = (): number => readFileSync(join(daemon.directory, 'log'), 'utf8').match(/rsync on files/g)?.length ?? 0;
const metadata = (type: string): string => `repodata/${readdirSync(join(tree, 'repodata')).find((name) => name.includes(type))}`;

function copyToWeb(): void {
  execFileSync('cp', ['-a', `${tree}/.`, web.root]);
}

function expectPublished(): void {
  for (const folder of ['Packages', 'repodata'])
    for (const name of readdirSync(join(tree, folder)))
      expect(readFileSync(mirror.published('r', folder, name))).toEqual(readFileSync(join(tree, folder, name)));
}

function expectClean(): void {
  expect(existsSync(join(mirror.root, 'store/.incoming')) ? readdirSync(join(mirror.root, 'store/.incoming')) : []).toEqual([]);
}

async function refused(exitCode: number, message: RegExp): Promise<void> {
  const before = mirror.currentTarget('r');
  const ran = await mirror.run('sync', 'r');
  expect(ran).toMatchObject({ code: exitCode, stdout: '', stderr: expect.stringMatching(message) });
  expect(ran.stderr).not.toMatch(/^\s+at /m);
  expect(mirror.currentTarget('r')).toBe(before);
}

test('a first sync, an unchanged one and an update, signed, with one run of rsync for each kind of file', async () => {
  signDetached(key, join(tree, 'repodata/repomd.xml'));
  mirror.repository('r', [inModule()], mirror.pin('signedMetadata', key));
  expect(await mirror.run('sync', 'r', '--json')).toMatchObject({ code: 0, stdout: expect.stringContaining('"downloadedFiles": 5') });
  expectPublished();
  expectClean();
  expect(statSync(mirror.published('r', rpm(0))).mode & 0o7777).toBe(0o444);
  expect(runsOfRsync()).toBe(3);
  expect(await mirror.run('sync', 'r')).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  expect(runsOfRsync()).toBe(4);
  fill(3);
  await refused(6, /repomd\.xml\.asc: /);
  signDetached(key, join(tree, 'repodata/repomd.xml'));
  expect((await mirror.run('sync', 'r')).code).toBe(0);
  expectPublished();
  rmSync(join(tree, 'repodata/repomd.xml.asc'));
  await refused(6, /repomd\.xml\.asc is missing/);
});

test('an accumulated repository keeps what its module drops', async () => {
  mirror.signBy(key);
  mirror.repository('r', [inModule()], undefined, { view: 'accumulate' });
  expect((await mirror.run('sync', 'r')).code).toBe(0);
  rmSync(join(tree, rpm(0)));
  copyFileSync(packages[2] as string, join(tree, rpm(2)));
  createrepo(tree);
  expect(await mirror.run('sync', 'r')).toMatchObject({ code: 0, stdout: expect.stringContaining('3 packages') });
});

describe('failover, file by file', () => {
  test('wrong bytes and an absent file in the module come from the web', async () => {
    copyToWeb();
    truncateSync(join(tree, rpm(0)), 5000);
    rmSync(join(tree, rpm(1)));
    mirror.repository('r', [inModule(), web.url]);
    expect((await mirror.run('sync', 'r')).code).toBe(0);
    expect(web.requests.sort()).toEqual([rpm(0), rpm(1)]);
    expect(readFileSync(mirror.published('r', rpm(0)))).toEqual(readFileSync(packages[0] as string));
  });

  test('bytes of the right number that are wrong come from the web', async () => {
    copyToWeb();
    writeFileSync(join(tree, rpm(0)), Buffer.alloc(statSync(join(tree, rpm(0))).size, 1));
    mirror.repository('r', [inModule(), web.url]);
    expect((await mirror.run('sync', 'r')).code).toBe(0);
    expect(web.requests).toEqual([rpm(0)]);
    mirror.repository('r', [inModule()]);
    rmSync(join(mirror.root, 'store'), { recursive: true });
    rmSync(join(mirror.root, 'repositories'), { recursive: true });
    await refused(6, new RegExp(`${inModule()}Packages/hello-1\\.0[^ ]* has the sha256 [0-9a-f]+; the metadata says`));
    expect(existsSync(mirror.published('r'))).toBe(false);
  });

  test('what the web lacks, or brings damaged, comes from the module', async () => {
    copyToWeb();
    rmSync(join(web.root, rpm(0)));
    writeFileSync(join(web.root, rpm(1)), 'damaged');
    mirror.repository('r', [web.url, inModule()]);
    expect((await mirror.run('sync', 'r')).code).toBe(0);
    expectPublished();
    expect(runsOfRsync()).toBe(1);
  });

  test('a web server that is gone', async () => {
    const { url } = web;
    await web.stop();
    mirror.repository('r', [url, inModule()]);
    expect((await mirror.run('sync', 'r')).code).toBe(0);
    expectPublished();
  });

  test('a module that is gone', async () => {
    copyToWeb();
    await daemon.stop();
    mirror.repository('r', [inModule(), web.url]);
    expect((await mirror.run('sync', 'r')).code).toBe(0);
    expectPublished();
  });

  test('what no source has is named with each', async () => {
    copyToWeb();
    for (const place of [tree, web.root]) rmSync(join(place, rpm(1)));
    mirror.repository('r', [inModule(), web.url]);
    const ran = await mirror.run('sync', 'r');
    expect(ran.code).toBe(5);
    expect(ran.stderr).toMatch(
      /none of 2 sources has it: rsync:\/\/\S+hello-2\.0\S+ is not there[^]*; http:\/\/\S+hello-2\.0\S+ answered with status 404/,
    );
  });
});

describe('what is no regular file', () => {
  test.each<[string, (path: string) => void]>([
    ['a FIFO', (path) => void execFileSync('mkfifo', [path])],
    ['a device', (path) => void execFileSync('mknod', [path, 'c', '1', '3'])],
    ['a symlink out of the module', (path) => symlinkSync('/etc/passwd', path)],
    ['a folder', (path) => mkdirSync(path)],
  ])('%s instead of a package', async (_name, make) => {
    rmSync(join(tree, rpm(0)));
    make(join(tree, rpm(0)));
    mirror.repository('r', [inModule()]);
    await refused(6, /hello-1\.0\S+ (is no regular file|arrived as something that is no regular file)/);
    expect(existsSync(mirror.published('r'))).toBe(false);
  });

  test.each(['repomd.xml', 'repomd.xml.asc'])('%s that is a symlink out of the module', async (name) => {
    copyFileSync(join(tree, 'repodata/repomd.xml'), join(root, 'elsewhere'));
    rmSync(join(tree, 'repodata', name), { force: true });
    symlinkSync(join(root, 'elsewhere'), join(tree, 'repodata', name));
    mirror.repository('r', [inModule()]);
    await refused(6, new RegExp(`repodata/${name} is no regular file`));
  });
});

describe('modules', () => {
  test('metadata that went away, that is cut, and an index that is none', async () => {
    mirror.repository('r', [inModule()]);
    const primary = metadata('primary');
    const bytes = readFileSync(join(tree, primary));
    rmSync(join(tree, primary));
    await refused(5, /primary\S+ is not there/);
    writeFileSync(join(tree, primary), bytes.subarray(0, bytes.length - 10));
    await refused(6, /primary\S+ has \d+ bytes; the metadata says/);
    writeFileSync(join(tree, primary), Buffer.concat([bytes, bytes]));
    await refused(5, /primary\S+ is not there, or is no regular file of the size it should have/);
    writeFileSync(join(tree, 'repodata/repomd.xml'), 'nothing');
    await refused(6, /repomd\.xml/);
    rmSync(join(tree, 'repodata/repomd.xml'));
    await refused(5, /repodata\/repomd\.xml is not there/);
  });

  test('an index or a signature that is too long', async () => {
    mirror.repository('r', [inModule()]);
    writeFileSync(join(tree, 'repodata/repomd.xml.asc'), Buffer.alloc(300 * 1024, 'x'));
    await refused(6, /repomd\.xml\.asc may have 262144 bytes and is longer/);
    rmSync(join(tree, 'repodata/repomd.xml.asc'));
    truncateSync(join(tree, 'repodata/repomd.xml'), 200 * 1024 * 1024);
    await refused(5, /repomd\.xml is not there, or has more than \d+ bytes/);
  });

  test('an unknown one, one with a password, and what is no rsync server', async () => {
    mirror.repository('r', [inModule('nothing/os/')]);
    await refused(5, /the server has no such module/);
    writeFileSync(join(work, 'secrets'), 'somebody:secret\n', { mode: 0o600 });
    const closed = await startRsyncd(root, ['auth users = somebody', `secrets file = ${join(work, 'secrets')}`]);
    mirror.repository('r', [inModule('files/os/x86_64/', closed.port)]);
    await refused(5, /the module wants a password/);
    await closed.stop();
    mirror.repository('r', [inModule('files/', Number(new URL(web.url).port))]);
    await refused(5, /is no rsync server|broke off|ended with/);
  });

  test('names that a shell or a URL would read otherwise arrive as they are called', async () => {
    const name = 'a b#%41$(x)*.rpm';
    copyFileSync(packages[2] as string, join(tree, 'Packages', name));
    createrepo(tree);
    mirror.repository('r', [inModule()]);
    const ran = await mirror.run('sync', 'r');
    if (ran.code === 0) expect(readdirSync(mirror.published('r', 'Packages'))).toContain(name);
    else expect(ran).toMatchObject({ code: 6, stderr: expect.stringContaining('has one of ? # \\') });
  });
});

test('a module has the share of one sync, and a run of rsync a minute of it', async () => {
  const bandwidth = new Bandwidth(8_000_000);
  const share = new BandwidthShare(bandwidth);
  expect(share.ofOne).toBe(8_000_000);
  const slots = [1, 2].map(() => ({ active: () => Promise.resolve(4), release: () => Promise.resolve() }));
  for (const one of slots) await share.join(one);
  expect(share.ofOne).toBe(2_000_000);
  share.took(40_000_000);
  expect(bandwidth.take(1)).toBeGreaterThan(5000);
  for (const one of slots) share.leave(one);
  expect(new BandwidthShare(new Bandwidth(undefined)).ofOne).toBeUndefined();
  const files = Array.from({ length: 3000 }, () => ({ size: 1_000_000 }));
  expect([batchOf(files, undefined), batchOf(files, 1_000_000), batchOf(files, 1), batchOf([{ size: undefined }], 1)]).toEqual([
    1000, 60, 1, 1,
  ]);
});

test('rsync keeps to the bandwidth that is declared', async () => {
  appendFileSync(join(tree, 'Packages/.keep'), '');
  const big = buildPackage(work, 'big', '1.0', 3_000_000);
  copyFileSync(big, join(tree, 'Packages', basename(big)));
  createrepo(tree);
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, sync: { bandwidth: 1_000_000 } });
  mirror.repository('r', [inModule()]);
  const started = Date.now();
  expect((await mirror.run('sync', 'r')).code).toBe(0);
  expect(Date.now() - started).toBeGreaterThan(statSync(big).size / 1000 / 2);
});
