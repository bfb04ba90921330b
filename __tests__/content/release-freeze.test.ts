/** Releases, from real upstreams to what dnf reads of them. */
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ReleaseDefinition } from '../../desired-state/definitions';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { fillRepository, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'freeze-'));
const ID = 'epel-7';
const PATH = `mirror/centos/example.org/${ID}`;
const FUTURE = '2999-01-01T00:00:00Z';
const packages: Record<string, string> = {};
let own: TestKey;
let next: TestKey;
let packager: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'own');
  next = makeKey(join(work, 'next'), 'next');
  packager = makeKey(join(work, 'packager'), 'packager');
  for (const version of ['1.0', '2.0', '3.0']) {
    packages[`hello-${version}`] = buildPackage(join(work, version), 'hello', version);
    signPackage(packager, packages[`hello-${version}`] as string);
  }
});
afterAll(() => {
  for (const key of [own, next, packager]) dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  mirror.signBy(own);
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
  mirror.repository(ID, [upstream.url], mirror.pin('signedPackages', packager), { view: 'accumulate' });
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

async function upstreamHas(...names: readonly string[]): Promise<void> {
  fillRepository(
    tree,
    names.map((name) => packages[name] as string),
  );
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
}

const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');

function declare(id: string, rest: Partial<ReleaseDefinition> = {}): void {
  mirror.write(`definitions/releases/${id}.yaml`, {
    kind: 'release',
    id,
    ...('members' in rest ? {} : { at: now() }),
    members: [{ id: ID, publicPath: PATH }],
    ...rest,
  });
}

interface Json {
  readonly releases: readonly Record<string, unknown>[];
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}
async function json(...argv: string[]): Promise<Json & { readonly code: number | null }> {
  const ran = await mirror.run('release', ...argv, '--json');
  if (ran.stdout === '') throw new Error(ran.stderr);
  return { ...(JSON.parse(ran.stdout) as Json), code: ran.code };
}

const at = (id: string, ...path: string[]): string => join(mirror.root, 'releases', id, ...path);

/** Every file of a release, links followed, with its bytes. */
function bytesOf(id: string): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (folder: string): void => {
    for (const name of readdirSync(at(id, folder))) {
      const path = join(folder, name);
      if (path === 'pins') continue;
      if (readdirSync(at(id, folder), { withFileTypes: true }).length && existsSync(at(id, path)) && !isFile(at(id, path))) walk(path);
      else found[path] = readFileSync(at(id, path), 'base64');
    }
  };
  walk('');
  return found;
}
function isFile(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

function dnf(baseurl: string, ...argv: string[]): string {
  const cache = mkdtempSync(join(work, 'cache-'));
  const config = join(cache, 'dnf.conf');
  writeFileSync(
    config,
    `[main]\nreposdir=/nonexistent\ncachedir=${cache}\n[m]\nname=m\nbaseurl=file://${baseurl}\nrepo_gpgcheck=1\ngpgcheck=1\ngpgkey=file://${baseurl}/repodata/repomd.xml.key\n`,
  );
  return execFileSync('dnf', ['-q', '-y', '-c', config, '--repo=m', '--setopt=module_platform_id=platform:el8', ...argv], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
const versions = (baseurl: string): string[] =>
  dnf(baseurl, 'repoquery', '--qf', '%{name}-%{version}\n').split('\n').filter(Boolean).sort();

test('a release stays byte for byte what it was, whatever is synced, and whoever signs', async () => {
  await upstreamHas('hello-1.0');
  declare('r1');
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ id: 'r1', state: 'frozen', problems: [] }], errors: [] });
  const before = bytesOf('r1');
  expect(Object.keys(before)).toEqual(
    expect.arrayContaining([
      'manifest.txt',
      'release.json',
      `keys/${ID}`,
      `${PATH}/repodata/repomd.xml.key`,
      `${PATH}/Packages/hello-1.0-1.noarch.rpm`,
    ]),
  );
  // What everybody can check by themselves.
  const sha256 = /^sha256:([0-9a-f]{64})\t\d+\t(.+)$/gm;
  const sums = [...(Buffer.from(before['manifest.txt'] as string, 'base64').toString() + '').matchAll(sha256)];
  expect(sums.length).toBe(Object.keys(before).length - 2);
  execFileSync('sha256sum', ['-c', '--quiet', '-'], { cwd: at('r1'), input: sums.map(([, hex, path]) => `${hex}  ${path}\n`).join('') });

  mirror.signBy(next, own);
  await upstreamHas('hello-2.0');
  mirror.signBy(next);
  mirror.write('keys/packager', next.publicKey);
  await upstreamHas('hello-3.0').catch(() => undefined);
  expect(bytesOf('r1')).toEqual(before);
  expect(versions(at('r1', PATH))).toEqual(['hello-1.0']);
  expect(await json('verify')).toMatchObject({ code: 0, releases: [{ id: 'r1', differences: [] }] });
  expect(await json('freeze')).toMatchObject({ releases: [{ state: 'unchanged' }] });
  expect(bytesOf('r1')).toEqual(before);
});

test('verify names each file that differs, is missing, or was not there', async () => {
  await upstreamHas('hello-1.0', 'hello-2.0');
  declare('r1');
  await json('freeze');
  const folder = join(mirror.root, 'repositories', ID, 'current', 'Packages');
  const [one, two] = ['hello-1.0-1.noarch.rpm', 'hello-2.0-1.noarch.rpm'];
  const bytes = readFileSync(join(folder, one));
  bytes[100] = (bytes[100] as number) ^ 1;
  rmSync(join(folder, one));
  writeFileSync(join(folder, one), bytes);
  rmSync(join(folder, two));
  writeFileSync(join(folder, 'more.rpm'), 'x');
  const ran = await mirror.run('release', 'verify', 'r1');
  expect(ran.code).toBe(6);
  expect(ran.stdout).toContain(`release r1: ${PATH}/Packages/${one} is not what was frozen`);
  expect(ran.stdout).toContain(`release r1: ${PATH}/Packages/${two} is missing`);
  expect(ran.stdout).toContain(`release r1: ${PATH}/Packages/more.rpm is no part of the release`);
  expect(ran.stdout).toContain('3 differences');
  expect((await json('verify')).releases[0]?.differences).toHaveLength(3);
  // The scrub brings one back from upstream, and the other from the store.
  rmSync(join(folder, 'more.rpm'));
  expect(await mirror.run('scrub', '--all')).toMatchObject({ code: 0 });
  expect(await json('verify', 'r1')).toMatchObject({ code: 0, releases: [{ differences: [] }] });
  rmSync(at('r1', PATH));
  symlinkSync('/', at('r1', PATH));
  expect((await json('verify')).releases[0]?.differences).toContainEqual({ path: PATH, what: 'differs' });
  writeFileSync(at('r1', 'x'), '');
  renameSync(at('r1', 'x'), at('r1', 'manifest.txt'));
  expect(await json('verify')).toMatchObject({ code: 6, releases: [{ differences: [{ path: 'manifest.txt', what: 'differs' }] }] });
  expect(await mirror.run('release', 'verify', '../releases/r1')).toMatchObject({ code: 2 });
});

test('its time may be to come; what can never be had is told, and holds up no other', async () => {
  const before = now();
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await upstreamHas('hello-1.0');
  declare('later', { at: FUTURE });
  declare('never', { at: before });
  declare('named', { members: [{ id: ID, publicPath: PATH, snapshot: '20200101T000000Z-000000000000' }] });
  declare('now');
  const frozen = await json('freeze');
  expect(frozen.code).toBe(3);
  expect(Object.fromEntries(frozen.releases.map(({ id, state }) => [id, state]))).toEqual({
    later: 'waiting',
    never: 'unsatisfiable',
    named: 'unsatisfiable',
    now: 'frozen',
  });
  expect(frozen.errors.map(({ code }) => code)).toEqual(['RELEASE_UNSATISFIABLE', 'RELEASE_UNSATISFIABLE']);
  expect(frozen.errors[1]?.message).toContain(`${ID} has no snapshot that was there at ${before}: the oldest is of 20`);
  expect(readdirSync(join(mirror.root, 'releases'))).toEqual(['now']);
  const list = await json('list');
  expect(list.code).toBe(3);
  expect(Object.fromEntries(list.releases.map(({ id, state }) => [id, state]))).toMatchObject({ later: 'waiting', now: 'frozen' });
  const { stdout } = await mirror.run('release', 'list');
  expect(stdout).toMatch(/^never +unsatisfiable +/m);
  expect(stdout).toContain('\nnever: the release never cannot be frozen');
  // None of it fails a deploy.
  const prepared = await mirror.run('prepare');
  expect(prepared).toMatchObject({ code: 0, stdout: expect.stringContaining('warning: the release never cannot be frozen') });
  const status = JSON.parse((await mirror.run('status', '--json')).stdout) as { releases: { id: string; state: string }[] };
  expect(status.releases.map(({ id, state }) => [id, state])).toContainEqual(['never', 'unsatisfiable']);
  expect((await mirror.run('status')).stdout).toContain('never: the release never cannot be frozen');
});

test('a declaration that contradicts what was frozen is refused by the deploy; another release is what it wants', async () => {
  await upstreamHas('hello-1.0');
  declare('r1');
  expect(await mirror.run('prepare')).toMatchObject({ code: 0, stdout: expect.stringContaining('release r1: frozen') });
  const snapshot = basename(mirror.currentTarget(ID) as string);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await upstreamHas('hello-2.0');
  // The same in other words.
  declare('r1', { members: [{ id: ID, publicPath: PATH, snapshot }] });
  expect(await mirror.run('prepare')).toMatchObject({ code: 0 });
  const changes: Partial<ReleaseDefinition>[] = [
    { at: FUTURE },
    { members: [{ id: ID, publicPath: PATH, snapshot: basename(mirror.currentTarget(ID) as string) }] },
    { members: [{ id: ID, publicPath: 'elsewhere', snapshot }] },
    { members: [{ id: 'other', publicPath: 'other', snapshot }] },
  ];
  for (const change of changes) {
    declare('r1', change);
    expect(await mirror.run('prepare')).toMatchObject({ code: 3, stderr: expect.stringContaining('was frozen at') });
  }
  rmSync(join(mirror.configuration, 'definitions/releases/r1.yaml'));
  expect((await json('list')).releases).toMatchObject([{ id: 'r1', state: 'undeclared' }]);
});

test('pins are a repository of their own, that changes while the release does not', async () => {
  await upstreamHas('hello-1.0');
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await upstreamHas('hello-2.0');
  const oldest = mirror.snapshots(ID)[0] as string;
  const members = [{ id: ID, publicPath: PATH, snapshot: oldest }];
  declare('r1', { members, pins: ['hello-2.0-1', 'gone-1-1'] });
  const first = await json('freeze');
  expect(first).toMatchObject({ code: 3, releases: [{ state: 'frozen', pinsChanged: true, missingPins: ['gone-1-1'] }] });
  expect(first.errors).toMatchObject([{ code: 'PIN_NOT_FOUND', message: expect.stringContaining('gone-1-1') }]);
  const before = bytesOf('r1');
  expect(versions(at('r1', 'pins'))).toEqual(['hello-2.0']);
  expect(dnf(at('r1', 'pins'), 'download', '--destdir', work, 'hello')).toBe('');
  expect(await json('freeze')).toMatchObject({ releases: [{ state: 'unchanged', pinsChanged: false }] });
  expect((await json('list')).releases).toMatchObject([{ pins: ['hello-2.0-1', 'gone-1-1'], missingPins: ['gone-1-1'] }]);

  declare('r1', { members, pins: ['hello-0:1.0-1.noarch'] });
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ pinsChanged: true, missingPins: [] }] });
  expect(versions(at('r1', 'pins'))).toEqual(['hello-1.0']);
  expect(mirror.snapshots('releases/r1')).toHaveLength(1);
  const signedBefore = readFileSync(at('r1', 'pins/repodata/repomd.xml.key'), 'utf8');
  mirror.signBy(next);
  expect(await json('freeze')).toMatchObject({ releases: [{ pinsChanged: true }] });
  expect(readFileSync(at('r1', 'pins/repodata/repomd.xml.key'), 'utf8')).not.toBe(signedBefore);
  expect(bytesOf('r1')).toEqual(before);
  expect(await mirror.run('scrub', '--all')).toMatchObject({ code: 0, stdout: expect.stringContaining('0 repaired, 0 lost') });
  // None of them is here: clients still find a repository.
  declare('r1', { members, pins: ['gone-1-1'] });
  expect(await json('freeze')).toMatchObject({ code: 3 });
  expect(versions(at('r1', 'pins'))).toEqual([]);
});

test('what was killed half way is not there, and the next run makes it', async () => {
  await upstreamHas('hello-1.0');
  declare('r1');
  mkdirSync(join(mirror.root, 'releases/.new-r1/mirror'), { recursive: true });
  mkdirSync(join(mirror.root, 'releases/.new-other'), { recursive: true });
  mkdirSync(join(mirror.root, 'releases/.kept'), { recursive: true });
  expect(await json('freeze')).toMatchObject({ code: 0, releases: [{ state: 'frozen' }] });
  expect(readdirSync(join(mirror.root, 'releases')).sort()).toEqual(['.kept', 'r1']);
  expect(lstatSync(at('r1', PATH)).isSymbolicLink()).toBe(true);
  expect(readlinkSync(at('r1', PATH))).toMatch(/^(\.\.\/){5}repositories\/epel-7\/snapshots\//);
});

test('files of a superseded snapshot that are still served there are no part of a release', async () => {
  await upstreamHas('hello-1.0');
  await upstreamHas('hello-2.0');
  await new Promise((resolve) => setTimeout(resolve, 2100));
  declare('r1');
  expect(await json('freeze')).toMatchObject({ code: 0 });
  expect(readFileSync(at('r1', 'manifest.txt'), 'utf8')).toMatch(/^carried\t-\t.*repodata\//m);
  expect(await json('verify')).toMatchObject({ code: 0, releases: [{ differences: [] }] });
});

test('killed at each call that changes a file: it is frozen whole or not at all, and the next run goes on', async () => {
  await upstreamHas('hello-1.0');
  const members = [{ id: ID, publicPath: PATH, snapshot: basename(mirror.currentTarget(ID) as string) }];
  // Of the same snapshots every release has the same files, but for when it was frozen.
  let reference: Record<string, string> | undefined;
  let points = 0;
  for (const call of ['rename', 'link', 'symlink', 'mkdir', 'rmdir', 'unlink', 'fsync']) {
    for (let when = 1; ; when++) {
      rmSync(join(mirror.root, 'releases'), { recursive: true, force: true });
      declare('r1', { members });
      const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${when}`];
      const child = spawn('strace', [...inject, process.execPath, ...mirror.argv('release', 'freeze')], {
        env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
        stdio: 'ignore',
      });
      const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
      if (existsSync(at('r1'))) expect(await json('verify')).toMatchObject({ code: 0, releases: [{ differences: [] }] });
      if (code === 0) break;
      points++;
      expect(await json('freeze')).toMatchObject({ code: 0, errors: [] });
      const found = bytesOf('r1');
      delete found['release.json'];
      expect(found).toEqual((reference ??= found));
      expect(readdirSync(join(mirror.root, 'releases'))).toEqual(['r1']);
    }
  }
  expect(points).toBeGreaterThan(8);
});
