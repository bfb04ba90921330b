import { execFileSync, spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { ImportOutcome } from '../../content/import';
import { judge, obstacleOf } from '../../content/import-judge';
import { Importer } from '../../content/import-take';
import { walk } from '../../content/import-walk';
import { type Wants, wantsOf } from '../../content/import-wants';
import { Layout } from '../../content/layout';
import { Store } from '../../content/store';
import type { TreeTrustDefinition, TrustDefinition } from '../../desired-state/definitions';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from './support/keys';
import { bundle, TestMirror, type Ran } from './support/mirror';
import { sha256, sha256sums } from './support/tree-upstream';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const NAMES = ['a', 'b', 'c', 'd'];
/** How StarlingX's download scripts leave their tree. */
const STARLINGX = 'output/stx-r1/CentOS/pike';

const work = mkdtempSync(join(tmpdir(), 'import-'));
const packages: Record<string, string> = {};
let pinned: TestKey;
let stranger: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
/** Of upstream. */
let web: string;
/** The old mirror. */
let old: string;

beforeAll(() => {
  for (const name of NAMES) packages[name] = buildPackage(work, name, '1', 60_000);
  pinned = makeKey(join(work, 'pinned'), 'pinned');
  stranger = makeKey(join(work, 'stranger'), 'stranger');
  for (const [name, key] of Object.entries({ signed: pinned, foreign: stranger })) {
    packages[name] = buildPackage(work, name, '1');
    signPackage(key, packages[name]);
  }
  packages.unsigned = buildPackage(work, 'unsigned', '1');
});
afterAll(() => {
  dropKey(pinned);
  dropKey(stranger);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  web = mkdtempSync(join(work, 'web-'));
  old = mkdtempSync(join(work, 'old-'));
  upstream = await new Upstream(web).start();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

const asRoot = process.getuid?.() === 0 ? test : test.failing;

function put(path: string, from: string | Buffer): string {
  mkdirSync(dirname(path), { recursive: true });
  if (typeof from === 'string') copyFileSync(from, path);
  else writeFileSync(path, from);
  return path;
}

/** Makes the upstream hold exactly these packages. */
function publishUpstream(names: readonly string[], ...options: string[]): void {
  for (const name of names) put(join(web, 'Packages', basename(packages[name] as string)), packages[name] as string);
  createrepo(web, ...options);
}

/** Puts packages into the old tree and returns their paths in it. */
function leave(folder: string, names: readonly string[]): readonly string[] {
  return names.map((name) => {
    const path = join(folder, basename(packages[name] as string));
    put(join(old, path), packages[name] as string);
    return path;
  });
}

async function imported(...argv: string[]): Promise<ImportOutcome & { readonly ran: Ran }> {
  const ran = await mirror.run('import', old, '--json', ...argv);
  if (ran.stdout === '') throw new Error(ran.stderr);
  return { ...(JSON.parse(ran.stdout) as ImportOutcome), ran };
}

/** Every file of a directory with what must not change, and its bytes. */
function everything(directory: string): Record<string, unknown> {
  const entries = readdirSync(directory, { withFileTypes: true, recursive: true });
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { ino, mode, uid, size, mtimeMs } = lstatSync(path);
      return [path, { ino, mode, uid, size: entry.isFile() ? size : 0, mtimeMs, bytes: entry.isFile() ? sha256(readFileSync(path)) : '' }];
    }),
  );
}

/** The names of the store by algorithm; each must be that of its content, whole and read-only. */
function stored(): Record<string, readonly string[]> {
  const root = join(mirror.root, 'store');
  if (!existsSync(root)) return {};
  const names: Record<string, string[]> = {};
  for (const algorithm of readdirSync(root).filter((name) => !name.startsWith('.'))) {
    for (const folder of readdirSync(join(root, algorithm))) {
      for (const name of readdirSync(join(root, algorithm, folder))) {
        const path = join(root, algorithm, folder, name);
        expect(createHash(algorithm).update(readFileSync(path)).digest('hex')).toBe(name);
        expect(folder).toBe(name.slice(0, 2));
        expect(statSync(path).mode & 0o7777).toBe(0o444);
        (names[algorithm] ??= []).push(name);
      }
    }
  }
  return names;
}

function inStore(path: string): string {
  const name = sha256(readFileSync(path));
  return join(mirror.root, 'store/sha256', name.slice(0, 2), name);
}

/** Packages that upstream was asked for. */
function fetched(): readonly string[] {
  return upstream.requests.filter((path) => path.endsWith('rpm'));
}

test.each([
  ['sha256', []],
  ['sha224', []],
  ['sha384', []],
  ['sha512', []],
  ['sha1', [{ allow: 'weakChecksums', reason: 'an upstream of 2009' }]],
] as const)(
  "a tree of StarlingX's scripts: the sync of a repository with %s checksums fetches metadata only",
  async (checksum, waivers) => {
    publishUpstream(NAMES, '--checksum', checksum);
    mirror.repository('centos', [upstream.url], undefined, waivers.length === 0 ? {} : { waivers: [...waivers] });
    leave(`${STARLINGX}/Binary/x86_64`, ['a']);
    leave(`${STARLINGX}/Binary/noarch`, ['b', 'c']);
    leave(`${STARLINGX}/Source`, ['d']);
    put(join(old, STARLINGX, 'downloads/helm-v2.12.1-linux-amd64.tar.gz'), Buffer.from('a tarball'));
    const before = everything(old);
    const outcome = await imported();
    expect(outcome).toMatchObject({ ran: { code: 0 }, present: 0, again: 0, problems: [], passedOver: { 'files of no declared tree': 1 } });
    expect(outcome.taken.map(({ path }) => path)).toEqual(
      ['Binary/noarch/b', 'Binary/noarch/c', 'Binary/x86_64/a', 'Source/d'].map((path) => `${STARLINGX}/${path}-1-1.noarch.rpm`),
    );
    expect(everything(old)).toEqual(before);
    stored();
    const synced = await mirror.run('sync', 'centos', '--json');
    expect(JSON.parse(synced.stdout)).toMatchObject({ repositories: [{ result: 'published', packages: 4, downloadedFiles: 3 }] });
    expect(fetched()).toEqual([]);
    for (const name of NAMES)
      expect(readFileSync(mirror.published('centos', 'Packages', basename(packages[name] as string)))).toEqual(
        readFileSync(packages[name] as string),
      );
  },
);

test("a tree of reposync's: what is there is not fetched, what upstream has more is", async () => {
  publishUpstream(NAMES);
  mirror.repository('centos', [upstream.url], undefined, { view: 'verbatim' });
  leave('centos/Packages', ['a', 'b', 'c']);
  createrepo(join(old, 'centos'));
  const outcome = await imported();
  expect(outcome).toMatchObject({ ran: { code: 0 }, passedOver: { metadata: 1 }, taken: [{}, {}, {}] });
  expect(await mirror.run('sync', 'centos')).toMatchObject({ code: 0, stdout: expect.stringContaining('4 packages') });
  expect(fetched()).toEqual(['Packages/d-1-1.noarch.rpm']);
});

test('what is damaged is named with the reason, is not taken, and is fetched by the sync', async () => {
  publishUpstream(NAMES);
  mirror.repository('centos', [upstream.url]);
  const [whole, flipped, cut, page] = leave('Packages', NAMES) as [string, string, string, string];
  const bytes = readFileSync(join(old, flipped));
  bytes[bytes.length - 2000] = (bytes[bytes.length - 2000] as number) ^ 1;
  writeFileSync(join(old, flipped), bytes);
  truncateSync(join(old, cut), 30_000);
  writeFileSync(join(old, page), '<html>Sign in</html>');
  put(join(old, 'Packages/nothing.rpm'), Buffer.alloc(0));
  const outcome = await imported();
  expect(outcome).toMatchObject({ ran: { code: 6, stderr: expect.stringContaining('The next sync fetches what upstream has.') } });
  expect(outcome.taken.map(({ path }) => path)).toEqual([whole]);
  expect(outcome.problems.map(({ path, code }) => [path, code])).toEqual(
    [flipped, cut, page, 'Packages/nothing.rpm'].map((path) => [path, 'PACKAGE_DAMAGED']),
  );
  expect(outcome.problems[0]?.message).toMatch(/b-1-1\.noarch\.rpm: it is damaged \(Payload SHA256 (ALT )?digest: BAD/);
  for (const { message } of outcome.problems) expect(outcome.ran.stderr).toContain(`  - ${message}`);
  expect(stored().sha256).toHaveLength(1);
  expect(await mirror.run('sync', 'centos')).toMatchObject({ code: 0 });
  expect([...fetched()].sort()).toEqual(['b', 'c', 'd'].map((name) => `Packages/${name}-1-1.noarch.rpm`));
});

test('a file that is there twice is stored once; a second import finds nothing new', async () => {
  mirror.repository('centos', [upstream.url]);
  leave('one', NAMES);
  const [second] = leave('two', ['a', 'b']) as [string, string];
  // Of the two the one that can be linked.
  chmodSync(join(old, second), 0o444);
  const first = await imported();
  expect(first).toMatchObject({ ran: { code: 0 }, present: 0, again: 2 });
  expect(first.taken.map(({ path, by }) => [path, by])).toEqual([
    ['one/b-1-1.noarch.rpm', expect.stringMatching(/copy|reflink/)],
    ['one/c-1-1.noarch.rpm', expect.stringMatching(/copy|reflink/)],
    ['one/d-1-1.noarch.rpm', expect.stringMatching(/copy|reflink/)],
    [second, 'link'],
  ]);
  const store = stored();
  const inodes = everything(join(mirror.root, 'store/sha256'));
  const again = await mirror.run('import', old);
  expect(again).toMatchObject({ code: 0, stdout: expect.stringMatching(/: nothing is new; already here: 6; in [\d.]+ s\n$/) });
  expect(stored()).toEqual(store);
  expect(everything(join(mirror.root, 'store/sha256'))).toEqual(inodes);
  expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
});

test('what a sync brought by another algorithm gets its other names, and is not copied', async () => {
  publishUpstream(NAMES);
  mirror.repository('first', [upstream.url]);
  expect(await mirror.run('sync', 'first')).toMatchObject({ code: 0 });
  createrepo(web, '--checksum', 'sha512');
  mirror.repository('second', [upstream.url]);
  leave('.', NAMES);
  expect(await imported()).toMatchObject({ ran: { code: 0 }, taken: [], present: 4 });
  upstream.requests.length = 0;
  expect(await mirror.run('sync', 'second')).toMatchObject({ code: 0 });
  expect(fetched()).toEqual([]);
  stored();
});

describe('whose file it is', () => {
  beforeEach(() => mirror.repository('centos', [upstream.url]));

  test.each<[string, Parameters<typeof obstacleOf>[0], string | undefined]>([
    ["read-only and this user's", { dev: 1, uid: process.getuid?.() as number, mode: 0o100444 }, undefined],
    ['another file system', { dev: 2, uid: process.getuid?.() as number, mode: 0o100444 }, 'on another file system'],
    ['another user', { dev: 1, uid: 4711, mode: 0o100444 }, 'of another user'],
    ['writable', { dev: 1, uid: process.getuid?.() as number, mode: 0o100644 }, 'of another mode than 0444'],
    ['set-user-ID', { dev: 1, uid: process.getuid?.() as number, mode: 0o104444 }, 'of another mode than 0444'],
    ['readable for its owner only', { dev: 1, uid: process.getuid?.() as number, mode: 0o100400 }, 'of another mode than 0444'],
  ])('a hard link of one that is: %s', (_what, stat, obstacle) => expect(obstacleOf(stat, 1)).toBe(obstacle));

  asRoot('hard-linked where nobody else can write to it; else who writes to the old file does not reach the store', async () => {
    const [linked, writable, foreign] = leave('.', ['a', 'b', 'c']).map((path) => join(old, path)) as [string, string, string];
    chmodSync(linked, 0o444);
    chmodSync(foreign, 0o444);
    chownSync(foreign, 65534, 65534);
    const outcome = await mirror.run('import', old);
    expect(outcome).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/: took 3 files, [\d.]+ KiB \(/),
    });
    expect(statSync(inStore(linked)).ino).toBe(statSync(linked).ino);
    const places = [inStore(writable), inStore(foreign)];
    const bytes = places.map((path) => readFileSync(path));
    for (const path of [writable, foreign]) {
      chmodSync(path, 0o644);
      appendFileSync(path, 'by the old owner');
    }
    expect(places.map((path) => readFileSync(path))).toEqual(bytes);
    // As reposync and rsync replace a file.
    const kept = inStore(linked);
    renameSync(put(`${linked}.new`, packages.d as string), linked);
    expect(sha256(readFileSync(kept))).toBe(basename(kept));
    stored();
  });

  test('--copy shares nothing', async () => {
    const [path] = leave('.', ['a']) as [string];
    chmodSync(join(old, path), 0o444);
    expect(await imported('--copy')).toMatchObject({ ran: { code: 0 }, taken: [{ path, by: 'copy' }] });
    expect(statSync(inStore(join(old, path)))).toMatchObject({ nlink: 4 });
    expect(statSync(join(old, path))).toMatchObject({ nlink: 1 });
  });

  asRoot('a tree that another user left, for the user of the content: what it may not read is named', () => {
    chmodSync(work, 0o755);
    chmodSync(old, 0o755);
    const [good, closed] = leave('Packages', ['a', 'b']) as [string, string];
    chmodSync(join(old, closed), 0o600);
    mkdirSync(join(old, 'private'), { mode: 0o700 });
    chmodSync(dirname(bundle()), 0o755);
    execFileSync('chown', ['-R', 'nobody', mirror.directory]);
    const argv = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, ...mirror.argv('import', old, '--json')];
    const run = (): SpawnSyncReturns<string> => spawnSync('setpriv', argv, { encoding: 'utf8' });
    const ran = run();
    expect(ran.status).toBe(7);
    const outcome = JSON.parse(ran.stdout) as ImportOutcome;
    expect(outcome.taken).toMatchObject([{ path: good, by: expect.stringMatching(/copy|reflink/), obstacle: 'of another user' }]);
    expect(outcome.problems).toMatchObject([
      { path: 'private', code: 'FILE_UNREADABLE', message: 'private cannot be read: permission denied', exitCode: 7 },
      { path: closed, code: 'FILE_UNREADABLE', remedy: expect.stringContaining('chmod -R a+rX') },
    ]);
    chmodSync(old, 0o700);
    expect(run()).toMatchObject({
      status: 7,
      stdout: '',
      stderr: expect.stringMatching(/cannot be read: permission denied\n {2}The tree is read/),
    });
  });
});

describe('what is trusted', () => {
  const nothingSigned: TrustDefinition = { mode: 'digestsOnly', reason: 'a test upstream signs nothing' };
  const tree: TreeTrustDefinition = { mode: 'checksums', files: ['SHA256SUMS'], reason: 'nobody signs them' };
  const signed: TrustDefinition = { mode: 'signedPackages', keys: [{ file: 'keys/a', fingerprint: 'A'.repeat(40) }] };
  const metadata: TrustDefinition = { ...signed, mode: 'signedMetadata' };

  test.each<[string, readonly TrustDefinition[], readonly TreeTrustDefinition[], Wants['packages'], boolean, number]>([
    ['signed packages only', [signed, signed], [], 'signed', false, 2],
    ['signed packages, and digests', [signed, nothingSigned], [], 'any', false, 1],
    ['signed packages, and signed metadata', [metadata, signed], [], 'any', false, 1],
    ['signed packages, and a file tree', [signed], [tree], 'any', true, 1],
    ['a file tree', [], [tree], 'any', true, 0],
  ])('%s', (_what, repositories, trees, packagesWanted, files, keys) => {
    const wants = wantsOf({
      repositories: repositories.map((trust) => ({ trust, view: 'accumulate' })),
      trees: trees.map((trust) => ({ trust })),
    } as unknown as Parameters<typeof wantsOf>[0]);
    expect(wants).toMatchObject({ packages: packagesWanted, files, deltas: false, algorithms: ['sha224', 'sha256', 'sha384', 'sha512'] });
    expect(wants.keys).toHaveLength(keys);
  });

  const ALL = ['signed', 'foreign', 'unsigned'];

  test('where everything that is declared wants signed packages, others are refused', async () => {
    mirror.repository('centos', [upstream.url], mirror.pin('signedPackages', pinned));
    const [good] = leave('.', ALL) as [string];
    const outcome = await imported();
    expect(outcome).toMatchObject({ ran: { code: 6, stderr: expect.stringContaining('Pin its key') }, unsigned: [] });
    expect(outcome.taken.map(({ path }) => path)).toEqual([good]);
    expect(outcome.problems.map(({ code, message }) => [code, message])).toEqual([
      [
        'PACKAGE_UNTRUSTED',
        expect.stringMatching(/^foreign-1-1.noarch.rpm: it is signed by key [0-9a-f]+, which is not pinned; pinned: [0-9A-F]{40}$/),
      ],
      ['PACKAGE_UNTRUSTED', expect.stringMatching(/^unsigned-1-1.noarch.rpm: it is not signed; pinned: /)],
    ]);
    expect(stored().sha256).toHaveLength(1);
  });

  test('where something that is declared does not, they are taken and named; a repository that does publishes none of them', async () => {
    publishUpstream(ALL);
    mirror.repository('centos', [upstream.url], mirror.pin('signedPackages', pinned), { view: 'verbatim' });
    mirror.repository('other', [upstream.url]);
    leave('.', ALL);
    const ran = await mirror.run('import', old);
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('  2 without a good signature by a pinned key: a repository') });
    expect(stored().sha256).toHaveLength(3);
    expect(await mirror.run('sync', 'centos')).toMatchObject({ code: 6, stderr: expect.stringMatching(/2 files of 3/) });
    expect(await mirror.run('sync', 'other')).toMatchObject({ code: 0 });
    expect(fetched()).toEqual([]);
  });

  test('a damaged package is refused, whoever signed it', async () => {
    mirror.repository('centos', [upstream.url], mirror.pin('signedPackages', pinned));
    mirror.repository('other', [upstream.url]);
    for (const path of leave('.', ALL)) truncateSync(join(old, path), statSync(join(old, path)).size - 1);
    const outcome = await imported();
    expect(outcome).toMatchObject({ ran: { code: 6 }, taken: [], unsigned: [] });
    expect(outcome.problems.map(({ code }) => code)).toEqual(ALL.map(() => 'PACKAGE_DAMAGED'));
    expect(stored()).toEqual({});
  });

  test('files of a file tree: the sync fetches its checksums only', async () => {
    const files = { 'isos/boot.iso': 'an image', 'tars/helm.tar.gz': 'a tarball' };
    for (const [path, content] of Object.entries(files)) {
      put(join(web, path), Buffer.from(content));
      put(join(old, STARLINGX, 'downloads', basename(path)), Buffer.from(content));
    }
    put(join(old, 'README'), Buffer.from('of nobody'));
    writeFileSync(join(web, 'SHA256SUMS'), sha256sums(web, Object.keys(files)));
    mirror.tree('files', [upstream.url], { trust: tree });
    expect(await imported()).toMatchObject({ ran: { code: 0 }, taken: [{}, {}, {}], problems: [] });
    expect(await mirror.run('sync', 'files')).toMatchObject({ code: 0 });
    expect([...new Set(upstream.requests)]).toEqual(['SHA256SUMS']);
  });

  test('delta rpms, which a verbatim copy has too', async () => {
    put(join(old, 'drpms/a.drpm'), Buffer.from('a delta'));
    mirror.repository('centos', [upstream.url], undefined, { view: 'accumulate' });
    expect(await imported()).toMatchObject({ taken: [], passedOver: { 'files of no declared tree': 1 } });
    mirror.repository('centos', [upstream.url], undefined, { view: 'verbatim' });
    expect(await imported()).toMatchObject({ taken: [{ path: 'drpms/a.drpm' }] });
  });
});

describe('what is looked at', () => {
  beforeEach(() => mirror.repository('centos', [upstream.url]));

  test('regular files: links are not followed, pipes and sockets not opened, temporary files passed over', async () => {
    const [path] = leave('Packages', ['a']) as [string];
    const outside = put(join(work, 'outside', 'b.rpm'), packages.b as string);
    symlinkSync(outside, join(old, 'Packages/link.rpm'));
    symlinkSync(dirname(outside), join(old, 'linked'));
    symlinkSync('.', join(old, 'loop'));
    execFileSync('mkfifo', [join(old, 'pipe.rpm')]);
    put(join(old, 'Packages/.a-1-1.noarch.rpm.Xy12'), packages.c as string);
    put(join(old, '.cache/c.rpm'), packages.c as string);
    put(join(old, 'repodata/repomd.xml'), Buffer.from('<repomd/>'));
    const outcome = await imported();
    expect(outcome).toMatchObject({ ran: { code: 0 }, problems: [] });
    expect(outcome.taken.map((one) => one.path)).toEqual([path]);
    expect(outcome.passedOver).toEqual({ 'symbolic links': 3, 'special files': 1, 'hidden files': 2, metadata: 1 });
  });

  test('names that could lie to whoever reads the output of rpmkeys are refused, odd ones are not', async () => {
    const odd = ['with space.rpm', '-v.rpm', '*.rpm', '%{name}.rpm', 'ü: digests OK.rpm'];
    for (const name of odd) put(join(old, name), packages.a as string);
    put(join(old, 'b.rpm: digests OK\nc.rpm'), packages.a as string);
    execFileSync('sh', ['-c', `cp "$1" "$(printf '%s/\\377.rpm' "$2")"`, 'sh', packages.a as string, old]);
    const outcome = await imported();
    expect(outcome).toMatchObject({ ran: { code: 6 }, taken: [{ path: '%{name}.rpm' }], again: odd.length - 1 });
    expect(outcome.problems.map(({ code }) => code)).toEqual(['NAME_UNUSABLE', 'NAME_UNUSABLE']);
    expect(outcome.ran.stderr).toContain('"b.rpm: digests OK\\nc.rpm": its name has control characters');
  });

  test('a tree in the storage root, and the storage root itself without what the mirror keeps there', async () => {
    publishUpstream(['a']);
    expect(await mirror.run('sync', 'centos')).toMatchObject({ code: 0 });
    put(join(mirror.root, 'old/b.rpm'), packages.b as string);
    old = mirror.root;
    expect(await imported()).toMatchObject({ ran: { code: 0 }, taken: [{ path: 'old/b.rpm' }], present: 0 });
  });

  test.each<[string, () => string, RegExp]>([
    ['no directory', () => join(old, 'nowhere'), /there is no directory ".*nowhere"\n {2}Name the directory/],
    ['a file', () => put(join(old, 'a.rpm'), packages.a as string), /a\.rpm" is no directory/],
    ['the store', () => dirname(dirname(put(join(mirror.root, 'store/sha256/x'), Buffer.alloc(1)))), /is the mirror's own/],
    ['a snapshot', () => dirname(put(join(mirror.root, 'repositories/centos/x'), Buffer.alloc(1))), /is the mirror's own/],
  ])('%s is a usage error', async (_what, path, message) => {
    expect(await mirror.run('import', path())).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
  });
});

test('where nothing is declared that would find it, nothing is imported', async () => {
  leave('.', ['a']);
  mirror.tree('files', [upstream.url]);
  expect(await mirror.run('import', old)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no sync would find what is imported'),
  });
  expect(stored()).toEqual({});
});

test('a disk that is not mounted, and another import that runs', async () => {
  mirror.repository('centos', [upstream.url]);
  leave('.', ['a']);
  mkdirSync(join(mirror.state, 'locks'), { recursive: true });
  const holder = spawn('flock', [join(mirror.state, 'locks/+import.lock'), 'sleep', '60'], { stdio: 'ignore', detached: true });
  while (spawnSync('flock', ['-n', join(mirror.state, 'locks/+import.lock'), 'true']).status === 0);
  expect(await mirror.run('import', old)).toMatchObject({ code: 4, stderr: expect.stringContaining('the import is locked by') });
  process.kill(-(holder.pid as number));
  await new Promise((resolve) => holder.on('close', resolve));
  rmSync(join(mirror.root, '.mirror-data'));
  expect(await mirror.run('import', old)).toMatchObject({ code: 7, stderr: expect.stringContaining('the disk is not mounted') });
});

test('a dry run says exactly what a real one takes, and changes nothing', async () => {
  mirror.repository('centos', [upstream.url]);
  leave('Packages', NAMES);
  chmodSync(join(old, 'Packages/a-1-1.noarch.rpm'), 0o444);
  truncateSync(join(old, 'Packages/d-1-1.noarch.rpm'), 1000);
  const before = everything(old);
  const dry = await imported('--dry-run');
  expect(stored()).toEqual({});
  expect(existsSync(join(mirror.root, 'store/.incoming'))).toBe(false);
  expect(await mirror.run('import', old, '--dry-run')).toMatchObject({
    code: 6,
    stdout: expect.stringMatching(
      /would take 3 files, .* \(1 hard-linked, 2 copied\).*\n {2}\+ Packages\/a-1-1.noarch.rpm\n {2}\+ Packages\/b-1-1.noarch.rpm \(a copy\)/,
    ),
    stderr: expect.stringContaining('  - Packages/d-1-1.noarch.rpm: it is '),
  });
  const real = await imported();
  const what = ({ taken, problems, ran }: typeof real): unknown => [
    taken.map(({ path, sha256: digest, size }) => [path, digest, size]),
    problems,
    ran.code,
  ];
  expect(what(dry)).toEqual(what(real));
  expect(stored().sha256?.slice().sort()).toEqual(dry.taken.map(({ sha256: digest }) => digest).sort());
  expect(everything(old)).toEqual(before);
});

test('what changes after it was judged is left out', async () => {
  leave('.', ['a', 'b', 'c', 'd']);
  const at = (name: string): string => join(old, basename(packages[name] as string));
  chmodSync(at('d'), 0o444);
  const layout = new Layout(mirror.root, mirror.state, mirror.configuration);
  const store = new Store(layout.store);
  mkdirSync(layout.store);
  const device = statSync(layout.store).dev;
  const wants: Wants = { packages: 'any', keys: [], deltas: false, files: false, algorithms: ['sha256'] };
  const progress = { onBytes: () => undefined, onFile: () => undefined };
  const server = { kind: 'server', storageRoot: layout.root, ownMount: false } as const;
  const { found } = await walk(old, layout, wants);
  const judged = await judge({ directory: old, store, device, wants, ring: undefined, temporary: join(work, 'rpm'), ...progress }, found);
  expect(judged.take).toHaveLength(4);
  appendFileSync(at('a'), 'x');
  rmSync(at('b'));
  rmSync(at('c'));
  execFileSync('mkfifo', [at('c')]);
  renameSync(put(join(old, 'other'), Buffer.from('another file')), at('d'));
  const incoming = await store.incoming('+import');
  const { taken, problems } = await new Importer({
    layout,
    server,
    directory: old,
    store,
    incoming,
    device,
    copyOnly: false,
    ...progress,
  }).take(judged.take);
  expect(taken).toEqual([]);
  expect(problems.map(({ code, path }) => [code, path.slice(0, 1)]).sort()).toEqual([
    ['FILE_CHANGED', 'a'],
    ['FILE_CHANGED', 'd'],
    ['FILE_UNREADABLE', 'b'],
    ['FILE_UNREADABLE', 'c'],
  ]);
  expect(stored()).toEqual({});
});

describe('interrupted', () => {
  beforeEach(() => {
    mirror.repository('centos', [upstream.url]);
    const paths = leave('.', NAMES);
    for (const path of paths.slice(0, 2)) chmodSync(join(old, path), 0o444);
  });

  /** Kills it at one call; true when it came to its end first. */
  async function killedAt(call: string, when: number): Promise<boolean> {
    const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${when}`];
    const child = spawn('strace', [...inject, process.execPath, ...mirror.argv('import', old)], {
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
      stdio: 'ignore',
    });
    return (await new Promise<number | null>((resolve) => child.on('close', resolve))) === 0;
  }

  test('at each call that changes a file: the store holds whole files only, the tree is as it was, and the next run goes on', async () => {
    const before = everything(old);
    let points = 0;
    for (const call of ['link', 'rename', 'chmod', 'mkdir', 'ioctl', 'copy_file_range', 'sendfile', 'unlink', 'rmdir', 'ftruncate']) {
      for (let when = 1; ; when++) {
        const ended = await killedAt(call, when);
        stored();
        if (ended) break;
        points++;
        if (when % 4 !== 0) continue;
        expect(await mirror.run('import', old)).toMatchObject({ code: 0 });
        expect(stored().sha256).toHaveLength(4);
        for (const algorithm of ['sha224', 'sha384', 'sha512']) expect(stored()[algorithm]).toHaveLength(4);
        rmSync(join(mirror.root, 'store'), { recursive: true });
      }
      rmSync(join(mirror.root, 'store'), { recursive: true, force: true });
    }
    console.info(`survived SIGKILL at ${points} points`);
    expect(points).toBeGreaterThan(20);
    // Links come and go with the store: the number of them is all that differs.
    expect(everything(old)).toEqual(before);
    expect(await mirror.run('import', old)).toMatchObject({ code: 0 });
    expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
  });

  test('what it had brought is used if it is whole', async () => {
    const incoming = join(mirror.root, 'store/.incoming/+import');
    const key = (name: string): string => join(incoming, `sha256-${sha256(readFileSync(packages[name] as string))}`);
    for (const name of ['a', 'b', 'c']) chmodSync(put(key(name), packages[name] as string), 0o444);
    truncateSync(key('c'), 100);
    const outcome = await imported();
    expect(outcome.taken.map(({ by }) => by)).toEqual([
      'interrupted run',
      'interrupted run',
      expect.stringMatching(/copy|reflink/),
      expect.stringMatching(/copy|reflink/),
    ]);
    expect(stored().sha256).toHaveLength(4);
  });

  test('a signal says so', async () => {
    const running = mirror.start('import', old);
    while (!running.said().includes('to be read')) await new Promise((resolve) => setTimeout(resolve, 5));
    running.kill('SIGTERM');
    expect(await running.done).toMatchObject({ code: null, stderr: expect.stringContaining('mirrorctl: interrupted by SIGTERM') });
  });
});

describe('file systems', () => {
  /** A mirror on a file system of its own. */
  async function on(mount: (root: string) => void, work_: (small: TestMirror, root: string) => Promise<void>): Promise<void> {
    const root = join(mirror.directory, 'disk');
    mkdirSync(root);
    mount(root);
    const small = new TestMirror({ root, ownMount: true });
    try {
      small.repository('centos', [upstream.url]);
      await work_(small, root);
    } finally {
      execFileSync('umount', [root]);
      small.remove();
    }
  }

  asRoot.each([
    ['bytes', 'size=200k', /the import of .* needs \d+ bytes more, and .* has \d+ left\n {2}Free space/],
    ['inodes', 'size=50m,nr_inodes=9', /% of the inodes of .* are used; the import of .* needs 4 files more/],
  ])('a disk without %s: nothing is changed, and the next run takes it', async (_what, options, message) => {
    leave('.', NAMES);
    await on(
      (root) => execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]),
      async (small, root) => {
        expect(await small.run('import', old)).toMatchObject({ code: 7, stdout: '', stderr: expect.stringMatching(message) });
        const names = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
        expect(names.map(({ name }) => name)).toEqual(['.mirror-data']);
        execFileSync('mount', ['-o', 'remount,size=50m,nr_inodes=10000', root]);
        expect(await small.run('import', old)).toMatchObject({ code: 0, stdout: expect.stringContaining('took 4 files') });
      },
    );
  });

  const onXfs = spawnSync('mkfs.xfs', ['-V']).status === 0 && process.getuid?.() === 0 ? test : test.skip;
  onXfs('reflinks where the file system can: other inodes, the same blocks', async () => {
    const image = join(work, 'xfs.img');
    writeFileSync(image, '');
    truncateSync(image, 400 * 1024 * 1024);
    execFileSync('mkfs.xfs', ['-q', image]);
    await on(
      (root) => execFileSync('mount', ['-o', 'loop', image, root]),
      async (small, root) => {
        old = join(root, 'old');
        leave('.', NAMES);
        chmodSync(join(old, basename(packages.a as string)), 0o444);
        const ran = await small.run('import', old, '--json');
        expect((JSON.parse(ran.stdout) as ImportOutcome).taken.map(({ by }) => by)).toEqual(['link', 'reflink', 'reflink', 'reflink']);
        appendFileSync(join(old, basename(packages.b as string)), 'x');
        expect((JSON.parse((await small.run('import', old, '--copy', '--json')).stdout) as ImportOutcome).present).toBe(3);
      },
    );
  });
});
