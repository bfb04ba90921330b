/** Downloads from real servers: what is taken, signed, kept and told, whatever becomes of upstream. */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { DownloadedFile, DownloadsDefinition } from '../../desired-state/definitions';
import { GitRepository, GitServer } from './support/git-upstream';
import { History } from './support/history';
import { dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { sha256, write } from './support/tree-upstream';
import { Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'downloads-'));
const ID = 'stx';
const LIST = 'dpdk.tar.gz#dpdk#http://fast.dpdk.org/rel/dpdk.tar.gz#http##\n';
const DPDK = gzipSync('dpdk');
const DRBD = gzipSync('drbd');
let own: TestKey;
let next: TestKey;
let mirror: TestMirror;
let root: string;
let web: Upstream;
let repository: GitRepository;
let git: GitServer;

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'own');
  next = makeKey(join(work, 'next'), 'next');
});
afterAll(() => {
  for (const key of [own, next]) dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  mirror.signBy(own);
  root = mkdtempSync(join(work, 'upstream-'));
  write(root, { 'dpdk.tar.gz': DPDK, 'old/drbd.tar.gz': DRBD, 'parts/one': '1', 'parts/sub/two': '2' });
  web = await new Upstream(root).start();
  repository = new GitRepository();
  repository.commit({ 'tss.c': 'int main;\n' });
  repository.git('tag', 'v930');
  git = await new GitServer(repository.directory).start();
});
afterEach(async () => {
  await web.stop();
  await git.stop();
  rmSync(repository.directory, { recursive: true });
  mirror.remove();
});

const dpdk = (more: object = {}): DownloadedFile => ({ path: 'dpdk.tar.gz', url: `${web.url}dpdk.tar.gz`, ...more });
const drbd = (more: object = {}): DownloadedFile => ({ path: 'originals/drbd.tar.gz', url: `${web.url}old/drbd.tar.gz`, ...more });
const tss = (more: object = {}): DownloadedFile => ({
  ...{ path: 'tss2-930.tgz', url: `${git.url}.git`, method: 'git', ref: 'v930', directory: 'tss2-930' },
  ...more,
});
const parts = (): DownloadedFile => ({
  ...{ path: 'parts.tar.xz', url: `${web.url}parts`, method: 'filelist', members: ['one', 'sub/two'], directory: 'parts' },
});

function declare(files: readonly DownloadedFile[], rest: Partial<DownloadsDefinition> = {}): void {
  mirror.downloads(ID, files, { lists: { 'tarball-dl.lst': LIST }, ...rest });
}

/** Returns what is said of the outcome. */
async function sync(code = 0): Promise<string> {
  web.requests.length = git.requests.length = 0;
  const ran = await mirror.run('sync', ID);
  expect(`${ran.code} ${ran.code === code ? '' : ran.stdout + ran.stderr}`).toBe(`${code} `);
  return code === 0 ? ran.stdout : ran.stderr;
}

const asked = (): readonly string[] => [...web.requests, ...git.requests];
const served = (...path: string[]): string => mirror.published(ID, ...path);
const sums = (): string => readFileSync(served('SHA256SUMS'), 'utf8');

/** As a developer checks what is there, with gpg and sha256sum. */
function check(key: TestKey): void {
  const home = mkdtempSync(join(work, 'gpg-'));
  chmodSync(home, 0o700);
  execFileSync('gpg', ['--homedir', home, '--quiet', '--import'], { input: key.publicKey, stdio: ['pipe', 'ignore', 'ignore'] });
  execFileSync('gpg', ['--homedir', home, '--verify', served('SHA256SUMS.asc'), served('SHA256SUMS')], { stdio: 'ignore' });
  execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
  execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: served() });
}

test('files of the web and archives that are made, with their digests under the mirror’s signature; then nothing is asked for', async () => {
  declare([dpdk(), drbd(), tss(), parts()]);
  const told = await sync();
  expect(told).toMatch(/^stx: published \S+ \(4 files, /);
  expect(readFileSync(served('dpdk.tar.gz')).equals(DPDK)).toBe(true);
  expect(readFileSync(served('originals/drbd.tar.gz')).equals(DRBD)).toBe(true);
  expect(readFileSync(served('lists/tarball-dl.lst'), 'utf8')).toBe(LIST);
  expect(execFileSync('tar', ['-xOf', served('tss2-930.tgz'), 'tss2-930/tss.c'], { encoding: 'utf8' })).toBe('int main;\n');
  expect(execFileSync('tar', ['-xOf', served('parts.tar.xz'), 'parts/sub/two'], { encoding: 'utf8' })).toBe('2');
  expect(
    sums()
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(66)),
  ).toEqual(['dpdk.tar.gz', 'lists/tarball-dl.lst', 'originals/drbd.tar.gz', 'parts.tar.xz', 'tss2-930.tgz']);
  check(own);
  expect(await sync()).toMatch(/^stx: unchanged \(4 files, /);
  expect(asked()).toEqual([]);
  expect(mirror.snapshots(ID)).toHaveLength(1);

  const digests = (await mirror.run('digests', ID)).stdout;
  const lines = digests.trimEnd().split('\n');
  expect(lines.map((line) => line.slice(66))).toEqual(['dpdk.tar.gz', 'originals/drbd.tar.gz', 'parts.tar', 'tss2-930.tar']);
  expect(lines[3]?.slice(0, 64)).toBe(sha256(execFileSync('gzip', ['-dc', served('tss2-930.tgz')])));
  // Recorded in the project, they change the declaration and nothing else: what is here is what they say.
  const by = (name: string): { sha256: string } => ({ sha256: lines.find((line) => line.endsWith(`  ${name}`))?.slice(0, 64) as string });
  declare([dpdk(by('dpdk.tar.gz')), drbd(by('originals/drbd.tar.gz')), tss(by('tss2-930.tar')), { ...parts(), ...by('parts.tar') }]);
  await sync();
  expect(asked()).toEqual([]);
  expect((await mirror.run('digests', ID)).stdout).toBe(digests);
});

test('what upstream has under an address later is never taken, and what it has no more stays', async () => {
  declare([dpdk(), tss({ ref: 'main' })]);
  await sync();
  const before = sums();
  write(root, { 'dpdk.tar.gz': gzipSync('trojan') });
  repository.commit({ 'tss.c': 'trojan' });
  await sync();
  declare([dpdk(), drbd(), tss({ ref: 'main' })]);
  await sync();
  expect(sums().split('\n')).toEqual(expect.arrayContaining(before.trimEnd().split('\n')));
  expect(asked().filter((path) => !path.includes('drbd'))).toEqual([]);
  await web.stop();
  await git.stop();
  expect((await mirror.run('sync', '--all')).code).toBe(0);
  web = await new Upstream(root).start();
  git = await new GitServer(repository.directory).start();
});

describe('where the record of what is published is cut', () => {
  const cut = (): void => {
    const snapshot = basename(mirror.currentTarget(ID) as string);
    const record = join(mirror.root, `repositories/${ID}/records/${snapshot}.tree`);
    writeFileSync(record, readFileSync(record).subarray(0, 100));
  };
  const trojan = (): void => {
    write(root, { 'dpdk.tar.gz': gzipSync('trojan'), 'old/drbd.tar.gz': gzipSync('trojan'), 'parts/one': 'trojan' });
    repository.commit({ 'tss.c': 'trojan' });
  };

  test('the signed digests say what was seen first, also of a file whose bytes are gone', async () => {
    declare([dpdk(), drbd(), tss({ ref: 'main' }), parts()]);
    await sync();
    const before = sums();
    cut();
    trojan();
    await sync();
    expect(sums()).toBe(before);
    expect(asked()).toEqual([]);
    cut();
    rmSync(served('dpdk.tar.gz'), { force: true });
    execFileSync('find', [join(mirror.root, 'store'), '-name', sha256(DPDK), '-delete']);
    expect(await sync(6)).toMatch(new RegExp(`dpdk.tar.gz has the sha256 [0-9a-f]{64}; recorded is ${sha256(DPDK)}`));
    expect(existsSync(served('dpdk.tar.gz'))).toBe(false);
    expect(sums()).toContain('tss2-930.tgz');
  });

  test('an older record says it where the signature does not', async () => {
    declare([dpdk()]);
    await sync();
    declare([dpdk(), drbd()]);
    await sync();
    const before = sums();
    cut();
    trojan();
    rmSync(served('SHA256SUMS.asc'));
    const told = await sync(6);
    expect(told).toMatch(
      /one file of 2 may be other than before, and everything else is published; originals\/drbd.tar.gz was taken as its address has it now/,
    );
    expect(sums().split('\n')[0]).toBe(before.split('\n')[0]);
    expect(readFileSync(served('originals/drbd.tar.gz')).equals(DRBD)).toBe(false);
    // Said once: from now on that is what was seen first.
    await sync();
  });

  test('it is told that nothing says it', async () => {
    declare([dpdk(), tss({ ref: 'main' })]);
    await sync();
    cut();
    trojan();
    mirror.signBy(next);
    expect(await sync(6)).toMatch(/2 files of 2 may be other than before[^]*Compare it with what its makers publish/);
    const status = JSON.parse((await mirror.run('status', ID, '--json')).stdout) as { repositories: { problems: { path: string }[] }[] };
    expect(status.repositories[0]?.problems.map(({ path }) => path)).toEqual(['dpdk.tar.gz', 'tss2-930.tgz']);
    check(next);
  });
});

test('a declared digest wins: another content is refused while the old one stays served, and taken once it is right', async () => {
  declare([dpdk(), drbd(), tss()]);
  await sync();
  const other = gzipSync('dpdk, released again');
  declare([dpdk({ sha256: sha256(other) }), drbd(), tss({ sha256: '0'.repeat(64) })]);
  const told = await sync(6);
  expect(told).toMatch(/stx: degraded: 2 files of 3 could not be had or must not be used, and everything else is published/);
  expect(told).toMatch(new RegExp(`dpdk.tar.gz has the sha256 ${sha256(DPDK)}; recorded is ${sha256(other)}`));
  expect(told).toMatch(/tss2-930.tgz is made of at \S+ gives a tar with the sha256 [0-9a-f]{64}; recorded is 0{64}/);
  expect(readFileSync(served('dpdk.tar.gz')).equals(DPDK)).toBe(true);
  expect(existsSync(served('tss2-930.tgz'))).toBe(true);
  check(own);
  const count = mirror.snapshots(ID).length;
  await sync(6);
  expect(mirror.snapshots(ID)).toHaveLength(count);
  expect((await mirror.run('status', ID)).stdout).toMatch(/stx +degraded .* 3 files /);
  write(root, { 'dpdk.tar.gz': other });
  declare([dpdk({ sha256: sha256(other) }), drbd(), tss()]);
  await sync();
  expect(readFileSync(served('dpdk.tar.gz')).equals(other)).toBe(true);
  // Without the digest it is that one which counts from now on.
  declare([dpdk(), drbd(), tss()]);
  await sync();
  expect(asked()).toEqual([]);
  expect(readFileSync(served('dpdk.tar.gz')).equals(other)).toBe(true);
});

test('what cannot be had is told and asked for again, and holds up nothing; a waiver makes that good enough', async () => {
  declare([dpdk(), { path: 'gone.tar.gz', url: `${web.url}gone.tar.gz` }, tss({ ref: 'v931' })]);
  const told = await sync(5);
  expect(told).toMatch(/gone\.tar\.gz answered with status 404[^]*"v931" is no tag, branch or commit there/);
  expect(existsSync(served('dpdk.tar.gz'))).toBe(true);
  expect(existsSync(served('gone.tar.gz'))).toBe(false);
  const outcome = JSON.parse((await mirror.run('sync', ID, '--json')).stdout) as { repositories: { problems: { path: string }[] }[] };
  expect(outcome.repositories[0]?.problems.map(({ path }) => path)).toEqual(['gone.tar.gz', 'tss2-930.tgz']);
  declare([dpdk(), { path: 'gone.tar.gz', url: `${web.url}gone.tar.gz` }], {
    waivers: [{ allow: 'incomplete', reason: 'upstream is gone' }],
  });
  expect(await sync()).toContain('gone.tar.gz answered with status 404');
  write(root, { 'gone.tar.gz': DRBD });
  await sync();
  expect(readFileSync(served('gone.tar.gz')).equals(DRBD)).toBe(true);
  await sync();
  expect(asked()).toEqual([]);
});

test('under another id they go on with what is here', async () => {
  declare([dpdk()]);
  await sync();
  rmSync(join(mirror.configuration, `definitions/downloads/${ID}.yaml`));
  mirror.downloads('renamed', [dpdk()], { lists: { 'tarball-dl.lst': LIST }, formerId: ID });
  expect(await mirror.run('prepare')).toMatchObject({ code: 0 });
  expect(readFileSync(mirror.published('renamed', 'dpdk.tar.gz')).equals(DPDK)).toBe(true);
  web.requests.length = 0;
  expect(await mirror.run('sync', 'renamed')).toMatchObject({ code: 0 });
  expect(asked()).toEqual([]);
});

test('where nothing can be had nothing is published', async () => {
  declare([{ path: 'gone.tar.gz', url: `${web.url}gone.tar.gz` }]);
  expect(await sync(5)).toMatch(/stx: failed: one file of 1 could not be had or must not be used, and nothing is published; .*gone/);
  expect(mirror.currentTarget(ID)).toBeUndefined();
  expect((await mirror.run('digests', ID)).stderr).toMatch(/nothing of stx is published yet\n {2}Sync it first: mirrorctl sync stx/);
});

test('what the list drops stays for its grace; what comes back later is what it was', async () => {
  const history = new History(mirror);
  declare([dpdk(), drbd()]);
  await history.sync(ID);
  declare([dpdk()]);
  await history.sync(ID);
  expect(existsSync(served('originals/drbd.tar.gz'))).toBe(true);
  expect(sums()).not.toContain('drbd');
  expect((await history.pass(2).sync(ID)).result).toBe('unchanged');
  expect((await history.pass(2).sync(ID)).result).toBe('published');
  expect(existsSync(served('originals/drbd.tar.gz'))).toBe(false);
  write(root, { 'old/drbd.tar.gz': gzipSync('another') });
  declare([dpdk(), drbd()]);
  await history.sync(ID);
  expect(readFileSync(served('originals/drbd.tar.gz')).equals(DRBD)).toBe(true);
  await history.close();
});

test('a new key of the mirror signs anew, also what is not synced any more, and asks nobody', async () => {
  declare([dpdk(), tss()]);
  await sync();
  mirror.signBy(next);
  await sync();
  expect(asked()).toEqual([]);
  check(next);
  declare([dpdk(), tss()], { retired: 'the release is built' });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 3, stderr: expect.stringContaining('declared never to be synced') });
  mirror.signBy(own);
  web.requests.length = git.requests.length = 0;
  expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stx: published/) });
  expect(asked()).toEqual([]);
  check(own);
  expect((await mirror.run('sync', '--all')).stdout).toBe('nothing to sync\n');
});

test('superseded snapshots go by the server’s rules; a release keeps its own, whole', async () => {
  const history = new History(mirror);
  history.server({ snapshotDays: 5, graceDays: 1, quarantineDays: 1, sharePercent: 100 });
  declare([dpdk()]);
  await history.sync(ID);
  const members = [{ id: ID, publicPath: 'mirror/starlingx/tarballs/stx/centos' }];
  mirror.write('definitions/releases/3.0.yaml', { kind: 'release', id: '3.0', at: history.at.toISOString(), members });
  expect(await history.freeze()).toMatchObject([{ id: '3.0' }]);
  declare([dpdk(), drbd()]);
  await history.pass(1).sync(ID);
  declare([drbd(), tss()]);
  await history.pass(1).sync(ID);
  const [released, superseded] = mirror.snapshots(ID);
  await history.pass(10).sync(ID);
  expect(mirror.snapshots(ID)).toHaveLength(4);
  await history.live(10);
  expect(mirror.snapshots(ID)).toHaveLength(3);
  expect(mirror.snapshots(ID)).toContain(released);
  expect(mirror.snapshots(ID)).not.toContain(superseded);
  const frozen = join(mirror.root, 'releases/3.0/mirror/starlingx/tarballs/stx/centos');
  expect(readFileSync(join(frozen, 'dpdk.tar.gz')).equals(DPDK)).toBe(true);
  expect(existsSync(join(frozen, 'SHA256SUMS.asc'))).toBe(true);
  expect((await history.verify('3.0')).differences).toEqual([]);
  expect(existsSync(served('dpdk.tar.gz'))).toBe(false);
  chmodSync(join(frozen, 'dpdk.tar.gz'), 0o644);
  appendFileSync(join(frozen, 'dpdk.tar.gz'), 'x');
  expect((await history.verify('3.0')).differences).toHaveLength(1);
  await history.close();
});

test('a scrub brings damaged files back from their addresses, and the next sync what the mirror made', async () => {
  declare([dpdk(), tss()]);
  await sync();
  const made = readFileSync(served('tss2-930.tgz'));
  for (const name of ['dpdk.tar.gz', 'tss2-930.tgz']) {
    chmodSync(served(name), 0o644);
    writeFileSync(served(name), 'damaged');
  }
  const scrubbed = await mirror.run('scrub', '--all', '--json');
  expect(scrubbed.code).toBe(6);
  expect(JSON.parse(scrubbed.stdout)).toMatchObject({
    repaired: [{ from: 'upstream', places: ['stx: dpdk.tar.gz'] }],
    lost: [{ path: 'tss2-930.tgz' }],
  });
  expect(readFileSync(served('dpdk.tar.gz')).equals(DPDK)).toBe(true);
  expect(existsSync(served('tss2-930.tgz'))).toBe(false);
  expect((await mirror.run('status', ID)).stdout).toMatch(/stx +damaged/);
  await sync();
  expect(readFileSync(served('tss2-930.tgz')).equals(made)).toBe(true);
  check(own);
  expect(await mirror.run('scrub', '--all', '--json')).toMatchObject({ code: 0 });
});

test('a backup has all files, since nobody knows whether upstream still has them, and a restore gives all of it back', async () => {
  const repositories = mkdtempSync('/dev/shm/downloads-backup-');
  mirror.write('definitions/backup.yaml', {
    ...{ kind: 'backup', name: 'mirror.example.org', keep: { daily: 7, weekly: 5, monthly: 12 }, checkEveryDays: 30, everyHours: 24 },
    repository: { type: 'directory', path: join(repositories, 'restic') },
  });
  mirror.write('secrets/backup-password', 'correct horse\n');
  try {
    declare([dpdk(), tss()]);
    await sync();
    const before = sums();
    // Upstream has it no more. The next sync asks nobody, and ends well.
    rmSync(join(root, 'dpdk.tar.gz'));
    await sync();
    expect(await mirror.run('backup', 'run')).toMatchObject({ code: 0 });
    for (const name of ['repositories', 'store']) rmSync(join(mirror.root, name), { recursive: true });
    rmSync(repository.directory, { recursive: true });
    mkdirSync(repository.directory);
    expect(await mirror.run('backup', 'restore')).toMatchObject({ code: 0 });
    expect(readFileSync(served('dpdk.tar.gz')).equals(DPDK)).toBe(true);
    await sync();
    expect(sums()).toBe(before);
    check(own);
    // What it had the first time is known still.
    write(root, { 'dpdk.tar.gz': gzipSync('trojan') });
    await sync();
    expect(sums()).toBe(before);
  } finally {
    rmSync(repositories, { recursive: true });
  }
});

test('a run that is killed leaves what was served, and the next one completes it', async () => {
  declare([dpdk()]);
  await sync();
  const before = mirror.currentTarget(ID);
  const noise = Array.from({ length: 200_000 }, (_, n) => sha256(String(n))).join('');
  repository.commit({ noise });
  declare([dpdk(), drbd(), tss({ ref: 'main' }), parts()]);
  for (const milliseconds of [150, 250, 350, 450, 600]) {
    const running = mirror.start('sync', ID);
    await sleep(milliseconds);
    running.kill();
    await running.done;
    if (mirror.currentTarget(ID) !== before) break;
    expect(readFileSync(served('dpdk.tar.gz')).equals(DPDK)).toBe(true);
  }
  await sync();
  check(own);
  expect(execFileSync('find', [join(mirror.root, 'store/.incoming'), '-type', 'f'], { encoding: 'utf8' })).toBe('');
  expect(basename(mirror.currentTarget(ID) as string)).toBe(mirror.snapshots(ID).at(-1));
});

test('no archive is begun where the disk guard leaves no room', async () => {
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, diskGuard: { stopAtPercent: 1 } });
  declare([tss()]);
  expect(await sync(7)).toMatch(/nothing is added beyond 1 %/);
  expect(asked()).toEqual([]);
});

test('git and its helpers end with a run that is interrupted', async () => {
  let isAsked = false;
  git.instead = (request, response) => {
    if (request.headers['user-agent']?.startsWith('git/') !== true) return false;
    isAsked = true;
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' }).write('001e# service=git-upload-pack\n0000');
    return true;
  };
  declare([tss()]);
  const running = mirror.start('sync', ID);
  while (!isAsked) await sleep(20);
  const talking = (): string => spawnSync('pgrep', ['-f', `git.*${git.url}`], { encoding: 'utf8' }).stdout;
  expect(talking()).not.toBe('');
  running.kill('SIGTERM');
  await running.done;
  await sleep(200);
  expect(talking()).toBe('');
});

test('other commands tell downloads from repositories and trees', async () => {
  declare([dpdk()]);
  await sync();
  expect(await mirror.run('changes', ID)).toMatchObject({ code: 2, stderr: expect.stringContaining('stx is no repository') });
  expect(JSON.parse((await mirror.run('status', '--json')).stdout)).toMatchObject({
    repositories: [{ id: ID, kind: 'downloads', files: 1, result: 'published' }],
  });
  mirror.tree('a-tree', [web.url], { files: ['dpdk.tar.gz'] });
  expect(await mirror.run('digests', 'a-tree')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('a-tree is a file tree: its upstream says its digests'),
  });
  expect(await mirror.run('digests', 'nothing')).toMatchObject({ code: 2, stderr: expect.stringContaining('"nothing" is not declared') });
  expect(await mirror.run('explain', ID)).toMatchObject({ code: 0 });
  expect(await mirror.run('lint', '--help')).toMatchObject({ code: 0 });
});

test.each<[string, object, RegExp]>([
  ['a method that there is not', { method: 'svn' }, /files\.0/],
  ['git without a ref', { method: 'git', directory: 'd' }, /files\.0/],
  ['a list of no files', { method: 'filelist', members: [], directory: 'd' }, /files\.0/],
  ['a digest in upper case', { sha256: 'A'.repeat(64) }, /files\.0/],
  ['no URL', { url: 'x' }, /files\.0/],
])('a definition with %s is refused', async (_what, change, message) => {
  declare([dpdk(change)]);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 3, stderr: expect.stringMatching(message) });
});

test.each<[string, () => void, RegExp]>([
  [
    'a file that is a folder of another',
    () => declare([dpdk({ path: 'q' }), drbd({ path: 'q/r' })]),
    /files: one path is a folder of another/,
  ],
  ['such members', () => declare([{ ...parts(), members: ['one', 'one/two'] } as DownloadedFile]), /files\.0/],
  ['a list of the mirror’s name', () => declare([dpdk()], { lists: { SHA256SUMS: LIST } }), /lists/],
])('a definition with %s is refused', async (_what, write, message) => {
  write();
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 3, stderr: expect.stringMatching(message) });
});
