/** File trees behind real web servers. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TreeDefinition } from '../../desired-state/definitions';
import { dropKey, makeKey, signDetached, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { type Daemon, sha256, sha256sums, startNginx, treeinfo, write } from './support/tree-upstream';
import { Upstream } from './support/upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'tree-web-'));
let pinned: TestKey;
let stranger: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let root: string;

beforeAll(() => {
  pinned = makeKey(join(work, 'pinned'), 'pinned');
  stranger = makeKey(join(work, 'stranger'), 'stranger');
});
afterAll(() => {
  dropKey(pinned);
  dropKey(stranger);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  root = mkdtempSync(join(work, 'root-'));
  upstream = await new Upstream(root).start();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

const WHY = 'a test upstream signs nothing';
const sums = (...files: string[]): TreeDefinition['trust'] => ({ mode: 'checksums', files, reason: WHY });
const signed = (...files: string[]): TreeDefinition['trust'] => {
  const { keys } = mirror.pin('signedMetadata', pinned) as { keys: { file: string; fingerprint: string }[] };
  return { mode: 'signedChecksums', files, keys };
};
const IMAGES = ['images/boot.iso', 'images/pxeboot/vmlinuz', 'images/pxeboot/initrd.img', 'LiveOS/squashfs.img'];

function installTree(): void {
  write(root, Object.fromEntries(IMAGES.map((path) => [path, `${path} `.repeat(1000)])));
  write(root, { EULA: 'agree', 'repodata/repomd.xml': '<repomd/>' });
  write(root, { '.treeinfo': treeinfo(root, IMAGES, { extra: `repodata/repomd.xml = sha256:${sha256('<repomd/>')}\n` }) });
}

async function refused(id: string, exitCode: number, message: RegExp): Promise<void> {
  const before = mirror.currentTarget(id);
  const ran = await mirror.run('sync', id);
  expect(ran).toMatchObject({ code: exitCode, stdout: '', stderr: expect.stringMatching(message) });
  expect(ran.stderr).toContain(`${id}: failed: `);
  expect(ran.stderr).not.toMatch(/^\s+at /m);
  expect(mirror.currentTarget(id)).toBe(before);
  expect(mirror.snapshots(id)).toHaveLength(before === undefined ? 0 : 1);
}

function publishedFiles(id: string): string[] {
  return execFileSync('find', ['.', '-type', 'f', '-printf', '%P\n'], { cwd: mirror.published(id), encoding: 'utf8' })
    .trim()
    .split('\n')
    .sort();
}

describe('install trees', () => {
  test('everything that .treeinfo names is copied and verified; the second run asks once', async () => {
    installTree();
    mirror.tree('install', [upstream.url], { trust: sums('.treeinfo') });
    const first = await mirror.run('sync', 'install', '--json');
    expect(first.code).toBe(0);
    const { repositories } = JSON.parse(first.stdout) as { repositories: object[] };
    expect(repositories).toEqual([expect.objectContaining({ id: 'install', result: 'published', files: 5, downloadedFiles: 4 })]);
    expect(publishedFiles('install')).toEqual(['.treeinfo', ...IMAGES].sort());
    for (const path of IMAGES) expect(readFileSync(mirror.published('install', path))).toEqual(readFileSync(join(root, path)));
    expect(statSync(mirror.published('install', 'images/boot.iso')).mode & 0o777).toBe(0o444);
    upstream.requests.length = 0;
    expect(await mirror.run('sync', 'install')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^install: unchanged \(5 files, /),
    });
    expect(upstream.requests).toEqual(['.treeinfo']);
    expect((await mirror.run('status', 'install')).stdout).toMatch(/install +unchanged +\S+ \S+ +5 files/);
    expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
  });

  test('declared files come along only when something lists them', async () => {
    installTree();
    mirror.tree('install', [upstream.url], { trust: sums('.treeinfo'), files: ['EULA'] });
    await refused('install', 6, /EULA is not listed in \.treeinfo/);
    write(root, { 'sha256sum.txt': sha256sums(root, ['EULA']) });
    mirror.tree('install', [upstream.url], { trust: sums('.treeinfo', 'sha256sum.txt'), files: ['EULA'] });
    expect((await mirror.run('sync', 'install')).code).toBe(0);
    expect(publishedFiles('install')).toEqual(['.treeinfo', 'EULA', 'sha256sum.txt', ...IMAGES].sort());
  });
});

describe('checksum files', () => {
  const tarballs = (): void => write(root, { 'rel/dpdk-1.tar.xz': 'one', 'rel/dpdk-2.tar.xz': 'two', 'rel/README': 'read me' });

  test('without files and folders: everything that they list, relative to where they lie; GNU and BSD form', async () => {
    tarballs();
    const bsd = `# Fedora\n# dpdk-2.tar.xz: 3 bytes\n${sha256sums(join(root, 'rel'), ['dpdk-2.tar.xz'], '--tag')}`;
    write(root, { 'rel/SHA256SUMS': sha256sums(join(root, 'rel'), ['./dpdk-1.tar.xz', 'README']), 'rel/CHECKSUM': bsd });
    mirror.tree('dpdk', [upstream.url], { trust: sums('rel/SHA256SUMS', 'rel/CHECKSUM') });
    expect((await mirror.run('sync', 'dpdk')).code).toBe(0);
    expect(publishedFiles('dpdk')).toEqual(['rel/CHECKSUM', 'rel/README', 'rel/SHA256SUMS', 'rel/dpdk-1.tar.xz', 'rel/dpdk-2.tar.xz']);
    expect(readFileSync(mirror.published('dpdk', 'rel/README'), 'utf8')).toBe('read me');
  });

  test('sha512 is as good; of sha512 and sha256 both are served once', async () => {
    tarballs();
    write(root, {
      SHA512SUMS: sha256sums(root, ['rel/README']).replace(
        /^\S+/,
        execFileSync('sha512sum', [join(root, 'rel/README')], { encoding: 'utf8' }).split(' ')[0] as string,
      ),
    });
    mirror.tree('dpdk', [upstream.url], { trust: sums('SHA512SUMS') });
    expect((await mirror.run('sync', 'dpdk')).code).toBe(0);
    expect(publishedFiles('dpdk')).toEqual(['SHA512SUMS', 'rel/README']);
  });

  test('an update fetches what changed; what went away stays for the grace; a changed file of the same name is a new snapshot', async () => {
    tarballs();
    write(root, { SHA256SUMS: sha256sums(root, ['rel/dpdk-1.tar.xz', 'rel/README']) });
    mirror.tree('dpdk', [upstream.url], { trust: sums('SHA256SUMS') });
    await mirror.run('sync', 'dpdk');
    const before = mirror.currentTarget('dpdk');
    write(root, { 'rel/README': 'read me again' });
    write(root, { SHA256SUMS: sha256sums(root, ['rel/dpdk-2.tar.xz', 'rel/README']) });
    upstream.requests.length = 0;
    expect((await mirror.run('sync', 'dpdk')).code).toBe(0);
    expect(mirror.currentTarget('dpdk')).not.toBe(before);
    expect(new Set(upstream.requests)).toEqual(new Set(['SHA256SUMS', 'rel/dpdk-2.tar.xz', 'rel/README']));
    expect(readFileSync(mirror.published('dpdk', 'rel/README'), 'utf8')).toBe('read me again');
    expect(readFileSync(mirror.published('dpdk', 'rel/dpdk-1.tar.xz'), 'utf8')).toBe('one');
    // Still there, and under a folder now: what is served first wins.
    rmSync(join(root, 'rel/README'));
    write(root, { 'rel/README/now-a-folder': 'x' });
    write(root, { SHA256SUMS: sha256sums(root, ['rel/README/now-a-folder']) });
    expect((await mirror.run('sync', 'dpdk')).code).toBe(0);
    expect(publishedFiles('dpdk')).toEqual(['SHA256SUMS', 'rel/README/now-a-folder', 'rel/dpdk-1.tar.xz', 'rel/dpdk-2.tar.xz']);
  });

  test('a file that went to another source first is had from the second; the folder listing from the first that has one', async () => {
    tarballs();
    write(root, { SHA256SUMS: sha256sums(root, ['rel/dpdk-1.tar.xz', 'rel/README']) });
    const other = mkdtempSync(join(work, 'other-'));
    write(other, { 'rel/README': 'read me', SHA256SUMS: readFileSync(join(root, 'SHA256SUMS')) });
    const second = await new Upstream(other).start();
    rmSync(join(root, 'rel/README'));
    mirror.tree('dpdk', [upstream.url, second.url], { trust: sums('SHA256SUMS') });
    expect((await mirror.run('sync', 'dpdk')).code).toBe(0);
    expect(publishedFiles('dpdk')).toEqual(['SHA256SUMS', 'rel/README', 'rel/dpdk-1.tar.xz']);
    await second.stop();
  });

  const row = (name: string, break_: () => void, exitCode: number, message: RegExp) => ({ name, break_, exitCode, message });
  test.each([
    row('a flipped byte', () => write(root, { 'rel/README': 'read Me' }), 6, /rel\/README has the sha256 [0-9a-f]+; the metadata says/),
    row('a missing file', () => rmSync(join(root, 'rel/README')), 5, /rel\/README answered with status 404/),
    row(
      'a captive portal',
      () => write(root, { SHA256SUMS: '<html>Please log in</html>' }),
      6,
      /SHA256SUMS: line 1: "<html>Please log in<\/html>" is no checksum/,
    ),
    row(
      'a way out',
      () => write(root, { SHA256SUMS: `${sha256('x')}  ../../etc/passwd\n` }),
      6,
      /the name "\.\.\/\.\.\/etc\/passwd" has a segment/,
    ),
    row('an absolute path', () => write(root, { SHA256SUMS: `${sha256('x')}  /etc/passwd\n` }), 6, /the name "\/etc\/passwd" /),
    row(
      'two checksums',
      () => write(root, { SHA256SUMS: `${sha256('x')}  rel/README\n${sha256('y')}  rel/README\n` }),
      6,
      /rel\/README has two checksums/,
    ),
    row(
      'md5 only',
      () => write(root, { SHA256SUMS: `${'a'.repeat(32)}  rel/README\n` }),
      6,
      /rel\/README is listed in SHA256SUMS by md5 or sha1 only/,
    ),
    row('an empty list', () => write(root, { SHA256SUMS: '\n# nothing\n' }), 6, /SHA256SUMS: lists no file/),
    row(
      'a file below a file',
      () => write(root, { SHA256SUMS: `${sha256('x')}  rel\n${sha256('y')}  rel/README\n` }),
      6,
      /rel is a file, and rel\/README lies below it/,
    ),
    row('no list at all', () => rmSync(join(root, 'SHA256SUMS')), 5, /SHA256SUMS is not there, and the declaration names it/),
    row('a control character', () => write(root, { SHA256SUMS: `${sha256('x')}  rel/a\u001bb\n` }), 6, /has a control character/),
  ])('refused: $name', async ({ break_, exitCode, message }) => {
    tarballs();
    write(root, { SHA256SUMS: sha256sums(root, ['rel/dpdk-1.tar.xz', 'rel/README']) });
    mirror.tree('dpdk', [upstream.url], { trust: sums('SHA256SUMS') });
    break_();
    await refused('dpdk', exitCode, message);
  });

  test('a list that lost most of its files is refused, unless that is waived', async () => {
    const many = Array.from({ length: 30 }, (_, index) => `f${index}`);
    write(root, Object.fromEntries(many.map((name) => [name, name])));
    write(root, { SHA256SUMS: sha256sums(root, many) });
    mirror.tree('many', [upstream.url], { trust: sums('SHA256SUMS') });
    await mirror.run('sync', 'many');
    write(root, { SHA256SUMS: sha256sums(root, many.slice(0, 3)) });
    await refused('many', 6, /the upstream has 4 files, and had 31 before[^]*declare Waiver\.shrunk\(reason\)/);
    // Other files are asked for: that is no accident.
    mirror.tree('many', [upstream.url], { trust: sums('SHA256SUMS'), files: ['f1'] });
    expect((await mirror.run('sync', 'many')).code).toBe(0);
    mirror.tree('other', [upstream.url], { trust: sums('SHA256SUMS') });
    write(root, { SHA256SUMS: sha256sums(root, many) });
    await mirror.run('sync', 'other');
    write(root, { SHA256SUMS: sha256sums(root, many.slice(0, 3)) });
    await refused('other', 6, /had 31 before/);
    mirror.tree('other', [upstream.url], { trust: sums('SHA256SUMS'), waivers: [{ allow: 'shrunk', reason: WHY }] });
    // A waiver is another declaration, too: the guard compares only what was asked for in the same words.
    expect((await mirror.run('sync', 'other')).code).toBe(0);
  });
});

describe('signatures', () => {
  const files = (): void => write(root, { 'a.iso': 'image', 'sha256sum.txt': `${sha256('image')}  a.iso\n` });
  const clearsign = (key: TestKey, path: string): void => {
    const bytes = execFileSync('gpg', ['--homedir', key.home, '--batch', '--quiet', '--clearsign', '--output', '-', path], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    writeFileSync(`${path}.asc`, bytes);
  };

  test('a detached signature, a clearsigned copy beside the file, and a clearsigned file itself', async () => {
    files();
    signDetached(pinned, join(root, 'sha256sum.txt'));
    mirror.tree('detached', [upstream.url], { trust: signed('sha256sum.txt') });
    expect((await mirror.run('sync', 'detached')).code).toBe(0);
    expect(publishedFiles('detached')).toEqual(['a.iso', 'sha256sum.txt', 'sha256sum.txt.asc']);
    clearsign(pinned, join(root, 'sha256sum.txt'));
    mirror.tree('beside', [upstream.url], { trust: signed('sha256sum.txt') });
    expect((await mirror.run('sync', 'beside')).code).toBe(0);
    mirror.tree('itself', [upstream.url], { trust: signed('sha256sum.txt.asc') });
    expect((await mirror.run('sync', 'itself')).code).toBe(0);
    expect(publishedFiles('itself')).toEqual(['a.iso', 'sha256sum.txt.asc']);
  });

  test('refused: no signature, a foreign one, one over other bytes, and a text that it does not cover', async () => {
    files();
    mirror.tree('iso', [upstream.url], { trust: signed('sha256sum.txt') });
    await refused('iso', 6, /sha256sum\.txt has no signature in itself, nor beside it/);
    signDetached(stranger, join(root, 'sha256sum.txt'));
    await refused('iso', 6, /sha256sum\.txt\.asc: .*not pinned|sha256sum\.txt\.asc: .*key/);
    signDetached(pinned, join(root, 'sha256sum.txt'));
    write(root, { 'sha256sum.txt': `${sha256('image')}  a.iso\n\n` });
    await refused('iso', 6, /sha256sum\.txt\.asc: the signature by key \S+ does not match the file/);
    files();
    clearsign(pinned, join(root, 'sha256sum.txt'));
    write(root, { 'sha256sum.txt': `${sha256('evil')}  a.iso\n`, 'a.iso': 'evil' });
    await refused('iso', 6, /sha256sum\.txt\.asc signs another text than sha256sum\.txt has/);
    // What stands before the signed text is no part of it.
    const text = readFileSync(join(root, 'sha256sum.txt.asc'), 'utf8');
    write(root, { 'sha256sum.txt.asc': `${text}${sha256('evil')}  b.iso\n`, 'b.iso': 'evil', 'a.iso': 'image' });
    mirror.tree('iso', [upstream.url], { trust: signed('sha256sum.txt.asc') });
    const ran = await mirror.run('sync', 'iso');
    if (ran.code === 0) expect(publishedFiles('iso')).toEqual(['a.iso', 'sha256sum.txt.asc']);
    else expect(ran.stderr).toMatch(/sha256sum\.txt\.asc: /);
  });

  test('a list that was signed before the published one is a replay, unless that is waived', async () => {
    files();
    const path = join(root, 'sha256sum.txt');
    const at = (time: string): void =>
      void execFileSync('gpg', [
        '--homedir',
        pinned.home,
        '--batch',
        '--yes',
        '--quiet',
        '--faked-system-time',
        time,
        '--ignore-time-conflict',
        '--armor',
        '--detach-sign',
        '--output',
        `${path}.asc`,
        path,
      ]);
    const [today, earlier] = [new Date(), new Date(Date.now() - 1000)].map(
      (date) => `${date.toISOString().replace(/\..*/, '').replaceAll(/[-:]/g, '')}!`,
    ) as [string, string];
    at(today);
    mirror.tree('iso', [upstream.url], { trust: signed('sha256sum.txt') });
    expect((await mirror.run('sync', 'iso')).code).toBe(0);
    write(root, { 'b.iso': 'old', 'sha256sum.txt': `${sha256('old')}  b.iso\n` });
    at(earlier);
    await refused(
      'iso',
      6,
      /sha256sum\.txt was signed at .*, and what was signed at .* is published[^]*declare Waiver\.olderRevision\(reason\)/,
    );
    mirror.tree('iso', [upstream.url], { trust: signed('sha256sum.txt'), waivers: [{ allow: 'olderRevision', reason: WHY }] });
    expect((await mirror.run('sync', 'iso')).code).toBe(0);
  });

  test('.treeinfo that a signed list covers vouches for its images; one that is older is a replay', async () => {
    installTree();
    write(root, { 'sha256sum.txt': sha256sums(root, ['.treeinfo']) });
    signDetached(pinned, join(root, 'sha256sum.txt'));
    mirror.tree('install', [upstream.url], { trust: signed('sha256sum.txt'), files: ['.treeinfo'] });
    expect((await mirror.run('sync', 'install')).code).toBe(0);
    expect(publishedFiles('install')).toEqual(['.treeinfo', 'sha256sum.txt', 'sha256sum.txt.asc', ...IMAGES].sort());
    write(root, { '.treeinfo': treeinfo(root, IMAGES, { time: '1600000000' }) });
    await mirror.run('sync', 'install');
    write(root, { 'sha256sum.txt': `${sha256sums(root, ['.treeinfo'])}\n` });
    await refused('install', 6, /\.treeinfo was made at 2020-09-13|sha256sum\.txt\.asc: the signature/);
    signDetached(pinned, join(root, 'sha256sum.txt'));
    await refused('install', 6, /\.treeinfo was made at 2020-09-13 12:26 UTC, and what was made at 2020-10-29/);
    write(root, { '.treeinfo': 'something else' });
    await refused('install', 6, /\.treeinfo is not what sha256sum\.txt lists/);
  });
});

describe('.treeinfo', () => {
  test.each([
    ['no INI', 'hello\n', /\.treeinfo: line 1: is neither a section/],
    ['a way out', '[checksums]\n../x = sha256:00\n', /line 2: the path "\.\.\/x" has a segment/],
    ['md5', `[checksums]\nx = md5:${'0'.repeat(32)}\n`, /line 2: x: the checksum type md5 is broken/],
    ['an image without a checksum', '[images-x86_64]\nkernel = vmlinuz\n', /vmlinuz is not listed in \.treeinfo/],
    ['no image', '[general]\nname = x\n', /names no file/],
    ['an encoded way out', '[images-x]\nkernel = %2e%2e/x\n', /%2e%2e\/x is not listed/],
  ])('refused: %s', async (_name, text, message) => {
    write(root, { '.treeinfo': text });
    mirror.tree('install', [upstream.url], { trust: sums('.treeinfo') });
    await refused('install', 6, message);
  });
});

describe('folders, by real listings of nginx', () => {
  let nginx: Daemon;
  beforeEach(async () => {
    write(root, {
      'rel/a+b.tar': 'ab',
      'rel/sub dir/ä & <b>.txt': 'umlaut',
      'rel/sub dir/deep/x%41.bin': 'x',
      'rel/old/gone.tar': 'old',
      'rel/y.torrent': 't',
    });
    nginx = await startNginx(root);
  });
  afterEach(() => nginx.stop());
  const url = (): string => `http://127.0.0.1:${nginx.port}/`;

  test('everything below them, except what is excluded; without checksums each file is asked for conditionally', async () => {
    mirror.tree('rel', [`${url()}rel/`], { folders: ['.'], exclude: ['*.torrent', 'old'] });
    expect(await mirror.run('sync', 'rel')).toMatchObject({ code: 0, stdout: expect.stringContaining('3 files, ') });
    expect(publishedFiles('rel')).toEqual(['a+b.tar', 'sub dir/deep/x%41.bin', 'sub dir/ä & <b>.txt']);
    expect(readFileSync(mirror.published('rel', 'sub dir/deep/x%41.bin'), 'utf8')).toBe('x');
    const log = join(nginx.directory, 'access.log');
    truncateSync(log, 0);
    expect(await mirror.run('sync', 'rel')).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
    const asked = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => /"GET (\S+) [^"]*" (\d+)/.exec(line)?.slice(1).join(' '))
      .sort();
    expect(asked).toEqual([
      '/rel/ 200',
      '/rel/a%2Bb.tar 304',
      '/rel/sub%20dir/ 200',
      '/rel/sub%20dir/%C3%A4%20%26%20%3Cb%3E.txt 304',
      '/rel/sub%20dir/deep/ 200',
      '/rel/sub%20dir/deep/x%2541.bin 304',
    ]);
    write(root, { 'rel/a+b.tar': 'ab, changed' });
    expect(await mirror.run('sync', 'rel', '--json')).toMatchObject({ code: 0, stdout: expect.stringContaining('"downloadedFiles": 1') });
    expect(readFileSync(mirror.published('rel', 'a+b.tar'), 'utf8')).toBe('ab, changed');
  });

  test('with checksums, a file that is listed in the folder and not in the list is refused', async () => {
    write(root, {
      'rel/SHA256SUMS': sha256sums(join(root, 'rel'), ['a+b.tar', 'sub dir/ä & <b>.txt', 'sub dir/deep/x%41.bin', 'y.torrent']),
    });
    mirror.tree('rel', [`${url()}rel/`], { folders: ['.'], trust: sums('SHA256SUMS') });
    await refused('rel', 6, /old\/gone\.tar is not listed in SHA256SUMS[^]*Exclude it/);
    mirror.tree('rel', [`${url()}rel/`], { folders: ['.'], trust: sums('SHA256SUMS'), exclude: ['old/*'] });
    expect((await mirror.run('sync', 'rel')).code).toBe(0);
    expect(publishedFiles('rel')).toEqual(['SHA256SUMS', 'a+b.tar', 'sub dir/deep/x%41.bin', 'sub dir/ä & <b>.txt', 'y.torrent']);
  });

  test('a folder that is its own child is no endless tree', async () => {
    symlinkSync('.', join(root, 'rel/loop'));
    mirror.tree('rel', [`${url()}rel/`], { folders: ['.'] });
    await refused('rel', 6, /is more than 24 folders deep: a loop/);
  });

  test('an empty folder, and one that is not there', async () => {
    write(root, { 'empty/x': '' });
    rmSync(join(root, 'empty/x'));
    mirror.tree('rel', [url()], { folders: ['empty'] });
    await refused('rel', 6, /there is nothing to copy: the upstream lists no file/);
    mirror.tree('rel', [url()], { folders: ['nowhere'] });
    await refused('rel', 5, /nowhere\/ answered with status 404/);
  });

  test('the page of something else is no listing', async () => {
    write(root, { 'rel/index.html': '<title>Welcome</title><a href="a+b.tar">a</a>' });
    mirror.tree('rel', [`${url()}rel/`], { folders: ['.'] });
    await refused('rel', 6, /rel\/ is no folder listing of a web server/);
  });
});

describe('without checksums', () => {
  test('files one by one; a body that never ends, or is cut, is refused', async () => {
    write(root, { 'a.iso': 'image' });
    mirror.tree('one', [upstream.url], { files: ['a.iso'] });
    expect((await mirror.run('sync', 'one')).code).toBe(0);
    expect(publishedFiles('one')).toEqual(['a.iso']);
    upstream.handlers.set('a.iso', (_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('cut');
      setTimeout(() => response.destroy(), 50);
      return true;
    });
    await refused('one', 5, /a\.iso/);
  });

  test('.treeinfo that is asked for is believed all the same', async () => {
    installTree();
    mirror.tree('install', [upstream.url], { files: ['.treeinfo', 'EULA'] });
    expect((await mirror.run('sync', 'install')).code).toBe(0);
    expect(publishedFiles('install')).toEqual(['.treeinfo', 'EULA', ...IMAGES].sort());
    write(root, { EULA: 'agree again', 'images/boot.iso': 'damaged' });
    expect((await mirror.run('sync', 'install')).code).toBe(0);
    expect(readFileSync(mirror.published('install', 'EULA'), 'utf8')).toBe('agree again');
    expect(readFileSync(mirror.published('install', 'images/boot.iso'), 'utf8')).toMatch(/^images/);
    mirror.tree('other', [upstream.url], { files: ['.treeinfo'] });
    expect((await mirror.run('sync', 'other')).code).toBe(0);
    rmSync(mirror.root + '/store', { recursive: true });
    mirror.tree('third', [upstream.url], { files: ['.treeinfo'] });
    await refused('third', 6, /images\/boot\.iso has /);
  });
});
