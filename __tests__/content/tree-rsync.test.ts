/** File trees in modules of a real rsync daemon, some of them hostile. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TreeDefinition } from '../../desired-state/definitions';
import { TestMirror } from './support/mirror';
import { Daemon, sha256, sha256sums, startNginx, startRsyncd, treeinfo, write } from './support/tree-upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'tree-rsync-'));
let mirror: TestMirror;
let root: string;
let daemon: Daemon;

afterAll(() => rmSync(work, { recursive: true }));
beforeEach(async () => {
  mirror = new TestMirror();
  root = mkdtempSync(join(work, 'root-'));
  write(root, { 'rel/a b.tar': 'ab', 'rel/sub/ä.txt': 'umlaut', 'rel/sub/x%41#101.bin': 'x' });
  daemon = await startRsyncd(root);
});
afterEach(async () => {
  await daemon.stop();
  mirror.remove();
});

const WHY = 'a test upstream signs nothing';
const url = (path = 'rel/'): string => `rsync://127.0.0.1:${daemon.port}/files/${path}`;
const sums = (...files: string[]): TreeDefinition['trust'] => ({ mode: 'checksums', files, reason: WHY });
const THREE = ['a b.tar', 'sub/x%41#101.bin', 'sub/ä.txt'];

function publishedFiles(id: string): string[] {
  return execFileSync('find', ['.', '-mindepth', '1', '-not', '-type', 'd', '-printf', '%P\n'], {
    cwd: mirror.published(id),
    encoding: 'utf8',
  })
    .trim()
    .split('\n')
    .sort();
}

/** What stays when all is well: nothing in the incoming area, and no rsync. */
function expectClean(): void {
  expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
}

async function refused(id: string, exitCode: number, message: RegExp): Promise<void> {
  const before = mirror.currentTarget(id);
  const ran = await mirror.run('sync', id);
  expect(ran).toMatchObject({ code: exitCode, stdout: '', stderr: expect.stringMatching(message) });
  expect(ran.stderr).not.toMatch(/^\s+at /m);
  expect(mirror.currentTarget(id)).toBe(before);
}

test('a folder with everything below; unchanged by size and time; a change fetches that file alone', async () => {
  mirror.tree('rel', [url()], { folders: ['.'] });
  expect(await mirror.run('sync', 'rel')).toMatchObject({ code: 0, stdout: expect.stringContaining('3 files, ') });
  expect(publishedFiles('rel')).toEqual(THREE);
  expect(readFileSync(mirror.published('rel', 'sub/ä.txt'), 'utf8')).toBe('umlaut');
  expect(statSync(mirror.published('rel', 'a b.tar')).mode & 0o7777).toBe(0o444);
  expectClean();
  expect(await mirror.run('sync', 'rel')).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  write(root, { 'rel/a b.tar': 'another' });
  expect(await mirror.run('sync', 'rel', '--json')).toMatchObject({ code: 0, stdout: expect.stringContaining('"downloadedFiles": 1') });
  expect(readFileSync(mirror.published('rel', 'a b.tar'), 'utf8')).toBe('another');
});

test('an install tree by its checksums, files that are named, and exclusions', async () => {
  write(root, { 'os/images/pxeboot/vmlinuz': 'kernel', 'os/images/pxeboot/initrd.img': 'initrd', 'os/LiveOS/squashfs.img': 'squash' });
  write(root, {
    'os/.treeinfo': treeinfo(join(root, 'os'), ['images/pxeboot/vmlinuz', 'images/pxeboot/initrd.img', 'LiveOS/squashfs.img']),
  });
  mirror.tree('os', [url('os/')], { trust: sums('.treeinfo') });
  expect((await mirror.run('sync', 'os')).code).toBe(0);
  expect(publishedFiles('os')).toEqual(['.treeinfo', 'LiveOS/squashfs.img', 'images/pxeboot/initrd.img', 'images/pxeboot/vmlinuz']);
  expect(await mirror.run('sync', 'os')).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  write(root, { 'os/LiveOS/squashfs.img': 'squish' });
  rmSync(join(mirror.root, 'store'), { recursive: true });
  mirror.tree('again', [url('os/')], { trust: sums('.treeinfo') });
  await refused('again', 6, /LiveOS\/squashfs\.img has the sha256 [0-9a-f]+; the metadata says/);
  mirror.tree('rel', [url()], { folders: ['sub'], exclude: ['*.bin'] });
  expect((await mirror.run('sync', 'rel')).code).toBe(0);
  expect(publishedFiles('rel')).toEqual(['sub/ä.txt']);
});

test('what the module lacks comes from the next source, and the other way round', async () => {
  const web = mkdtempSync(join(work, 'web-'));
  write(web, { 'a b.tar': 'ab', 'sub/ä.txt': 'umlaut' });
  const nginx = await startNginx(web);
  write(root, { 'rel/SUMS': sha256sums(join(root, 'rel'), ['a b.tar', 'sub/ä.txt']) });
  rmSync(join(root, 'rel/a b.tar'));
  mirror.tree('rel', [url(), `http://127.0.0.1:${nginx.port}/`], { trust: sums('SUMS') });
  expect((await mirror.run('sync', 'rel')).code).toBe(0);
  expect(publishedFiles('rel')).toEqual(['SUMS', 'a b.tar', 'sub/ä.txt']);
  write(web, { SUMS: readFileSync(join(root, 'rel/SUMS')), 'sub/ä.txt': 'damaged' });
  rmSync(join(mirror.root, 'store'), { recursive: true });
  mirror.tree('web', [`http://127.0.0.1:${nginx.port}/`, url()], { trust: sums('SUMS') });
  expect((await mirror.run('sync', 'web')).code).toBe(0);
  await nginx.stop();
});

test('a module that is gone', async () => {
  const web = mkdtempSync(join(work, 'web-'));
  write(web, { 'a b.tar': 'ab', 'sub/ä.txt': 'umlaut' });
  write(web, { SUMS: sha256sums(web, ['a b.tar', 'sub/ä.txt']) });
  const nginx = await startNginx(web);
  await daemon.stop();
  mirror.tree('rel', [url(), `http://127.0.0.1:${nginx.port}/`], { trust: sums('SUMS') });
  const ran = await mirror.run('sync', 'rel');
  await nginx.stop();
  expect(ran.code).toBe(0);
  expect(publishedFiles('rel')).toEqual(['SUMS', 'a b.tar', 'sub/ä.txt']);
});

describe('what is no regular file', () => {
  test.each<[string, () => void, RegExp]>([
    ['a symlink to a file', () => symlinkSync('a b.tar', join(root, 'rel/odd')), /odd \(symbolic link\)/],
    ['a symlink out of the tree', () => symlinkSync('/etc/passwd', join(root, 'rel/odd')), /odd \(symbolic link\)/],
    ['a symlink to a folder', () => symlinkSync('/etc', join(root, 'rel/odd')), /odd \(symbolic link\)/],
    ['a dangling symlink', () => symlinkSync('nowhere', join(root, 'rel/odd')), /odd \(symbolic link\)/],
    ['a FIFO', () => void execFileSync('mkfifo', [join(root, 'rel/odd')]), /odd \(FIFO or socket\)/],
    ['a device', () => void execFileSync('mknod', [join(root, 'rel/odd'), 'c', '1', '3']), /odd \(device\)/],
  ])('%s is left out, and refused where it is asked for by name', async (_name, make, said) => {
    make();
    mirror.tree('rel', [url()], { folders: ['.'] });
    expect(await mirror.run('sync', 'rel')).toMatchObject({ code: 0, stderr: expect.stringMatching(said) });
    expect(publishedFiles('rel')).toEqual(THREE);
    mirror.tree('odd', [url()], { files: ['odd'] });
    await refused('odd', 6, /odd is no regular file/);
  });

  test('a folder where a file is asked for, and a file below a symlink', async () => {
    mirror.tree('odd', [url()], { files: ['sub'] });
    await refused('odd', 6, /sub arrived as something that is no regular file/);
    symlinkSync('sub', join(root, 'rel/link'));
    mirror.tree('odd', [url()], { files: ['link/ä.txt'] });
    const ran = await mirror.run('sync', 'odd');
    if (ran.code === 0) expect(publishedFiles('odd')).toEqual(['link/ä.txt']);
    else expect(ran.stderr).toMatch(/link\/ä\.txt/);
  });
});

describe('odd files', () => {
  test('hard links, setuid, no permissions at all, and a time in the far future are files like others', async () => {
    linkSync(join(root, 'rel/a b.tar'), join(root, 'rel/same'));
    write(root, { 'rel/setuid': 's', 'rel/none': 'n', 'rel/future': 'f' });
    chmodSync(join(root, 'rel/setuid'), 0o6777);
    chmodSync(join(root, 'rel/none'), 0);
    utimesSync(join(root, 'rel/future'), 4_000_000_000, 4_000_000_000);
    mirror.tree('rel', [url()], { folders: ['.'] });
    expect((await mirror.run('sync', 'rel')).code).toBe(0);
    expect(publishedFiles('rel')).toEqual([...THREE, 'future', 'none', 'same', 'setuid'].sort());
    for (const name of ['setuid', 'none', 'same']) expect(statSync(mirror.published('rel', name)).mode & 0o7777).toBe(0o444);
    expect(await mirror.run('sync', 'rel')).toMatchObject({ stdout: expect.stringContaining('unchanged') });
  });

  test.each<[string, Buffer, RegExp]>([
    ['a newline', Buffer.from('new\nline'), /lists "odd\/new\\\\#012line", which has a control character/],
    ['an escape', Buffer.from('esc\u001b[31m'), /which has a control character/],
    ['no UTF-8', Buffer.from([0xff, 0xfe]), /which is not UTF-8/],
    ['a backslash', Buffer.from('back\\slash'), /which has a slash/],
    ['a right-to-left mark', Buffer.from('\u202egpj.exe'), /which has a control character/],
  ])('a name with %s is refused, unless it is excluded', async (_name, name, message) => {
    const path = Buffer.concat([Buffer.from(join(root, 'rel/odd')), Buffer.from('/'), name]);
    write(root, { 'rel/odd/good': 'good' });
    writeFileSync(path, 'x');
    mirror.tree('rel', [url()], { folders: ['.'] });
    await refused('rel', 6, message);
    mirror.tree('rel', [url()], { folders: ['.'], exclude: ['odd'] });
    expect((await mirror.run('sync', 'rel')).code).toBe(0);
    expect(publishedFiles('rel')).toEqual(THREE);
  });

  test('a file that grows while it is sent is cut off where its size was announced', async () => {
    write(root, { 'rel/grow': Buffer.alloc(3_000_000, 1) });
    write(root, { 'rel/SUMS': sha256sums(join(root, 'rel'), ['grow']) });
    mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, sync: { bandwidth: 1_000_000 } });
    mirror.tree('rel', [url()], { trust: sums('SUMS') });
    const running = mirror.start('sync', 'rel');
    await sleep(1500);
    truncateSync(join(root, 'rel/grow'), 10_000_000);
    const ran = await running.done;
    if (ran.code === 0) expect(statSync(mirror.published('rel', 'grow')).size).toBe(3_000_000);
    else expect(ran.stderr).toMatch(/grow/);
  });

  test('the bandwidth limit holds, and a file that goes away meanwhile is missed by name', async () => {
    write(root, Object.fromEntries(Array.from({ length: 6 }, (_, index) => [`rel/f${index}`, Buffer.alloc(500_000, index)])));
    write(root, { 'rel/SUMS': sha256sums(join(root, 'rel'), ['f0', 'f1', 'f2', 'f3', 'f4', 'f5']) });
    mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, sync: { bandwidth: 1_000_000 } });
    mirror.tree('rel', [url()], { trust: sums('SUMS') });
    const started = Date.now();
    const running = mirror.start('sync', 'rel');
    await sleep(1500);
    rmSync(join(root, 'rel/f5'));
    const ran = await running.done;
    expect(Date.now() - started).toBeGreaterThan(2000);
    expect(ran).toMatchObject({ code: 5, stderr: expect.stringMatching(/f5 (went away|is not there)/) });
    expect(mirror.currentTarget('rel')).toBeUndefined();
    // What came is kept for the next run.
    write(root, { 'rel/f5': Buffer.alloc(500_000, 5) });
    expect(await mirror.run('sync', 'rel', '--json')).toMatchObject({ code: 0, stdout: expect.stringContaining('"downloadedFiles": 1') });
  });
});

describe('servers', () => {
  test('a module with nothing in it, a folder that is not there, and one that cannot be read', async () => {
    write(root, { 'empty/x': '' });
    rmSync(join(root, 'empty/x'));
    mirror.tree('rel', [url('empty/')], { folders: ['.'] });
    await refused('rel', 6, /there is nothing to copy: the upstream lists no file/);
    mirror.tree('rel', [url()], { folders: ['nowhere'] });
    await refused('rel', 5, /there is no such folder/);
    mirror.tree('rel', [url('nowhere/')], { folders: ['.'] });
    await refused('rel', 5, /no such|not there|cannot be read/);
  });

  test('an empty module does not empty what is published', async () => {
    write(root, Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`rel/f${index}`, 'x'])));
    mirror.tree('rel', [url()], { folders: ['.'] });
    expect((await mirror.run('sync', 'rel')).code).toBe(0);
    for (let index = 0; index < 28; index++) rmSync(join(root, `rel/f${index}`));
    await refused('rel', 6, /has 5 files, and had 33 before[^]*Waiver\.shrunk/);
    rmSync(join(root, 'rel'), { recursive: true });
    write(root, { 'rel/sub/.x': '' });
    rmSync(join(root, 'rel/sub/.x'));
    await refused('rel', 6, /there is nothing to copy/);
  });

  test('an unknown module, one with a password, one that is not for us, and one with too many connections', async () => {
    mirror.tree('rel', [`rsync://127.0.0.1:${daemon.port}/nothing/`], { folders: ['.'] });
    await refused('rel', 5, /the server has no such module/);
    writeFileSync(join(work, 'secrets'), 'somebody:secret\n', { mode: 0o600 });
    for (const [options, message] of [
      [['auth users = somebody', `secrets file = ${join(work, 'secrets')}`], /the module wants a password/],
      [['hosts deny = *'], /the server refuses: @ERROR: access denied/],
      [['max connections = -1'], /as many connections as it allows|@ERROR/],
    ] as const) {
      const other = await startRsyncd(root, options);
      mirror.tree('rel', [`rsync://127.0.0.1:${other.port}/files/rel/`], { folders: ['.'] });
      await refused('rel', 5, message);
      await other.stop();
    }
  });

  test('something else that answers, nobody who answers, and a name that does not exist', async () => {
    const nginx = await startNginx(root);
    mirror.tree('rel', [`rsync://127.0.0.1:${nginx.port}/files/`], { folders: ['.'] });
    await refused('rel', 5, /is no rsync server|broke off|ended with/);
    await nginx.stop();
    mirror.tree('rel', [`rsync://127.0.0.1:${nginx.port}/files/`], { folders: ['.'] });
    await refused('rel', 5, /cannot be reached/);
    mirror.tree('rel', ['rsync://no-such-host.invalid/files/'], { folders: ['.'] });
    await refused('rel', 5, /no-such-host\.invalid/);
  });
});

test('a run that is killed publishes nothing, and what its rsync still writes is in the way of no other', async () => {
  write(root, { 'rel/big': Buffer.alloc(6_000_000, 7) });
  write(root, { 'rel/SUMS': `${sha256(Buffer.alloc(6_000_000, 7))}  big\n` });
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, sync: { bandwidth: 1_000_000 } });
  mirror.tree('rel', [url()], { trust: sums('SUMS') });
  const running = mirror.start('sync', 'rel');
  await sleep(2500);
  running.kill();
  await running.done;
  expect(existsSync(mirror.published('rel'))).toBe(false);
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false });
  expect((await mirror.run('sync', 'rel')).code).toBe(0);
  expectClean();
});
