/** Backups with the real restic: what is in them, what comes back, and that nothing is lost whatever interrupts either. */
import { createHash } from 'node:crypto';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { PORTIONS, portionsDue } from '../../content/backup-check';
import type { RestoreOutcome } from '../../content/backup-restore';
import type { RunOutcome } from '../../content/backup-run';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(240_000);

const work = mkdtempSync(join(tmpdir(), 'backup-'));
/** Another file system than that of the content: a backup beside it is refused. */
const elsewhere = mkdtempSync('/dev/shm/backup-test-');
const packages: Record<string, string> = {};
let key: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;
let repository: string;

const HOSTED = 'acme/mos7.0-centos6/os';

beforeAll(() => {
  for (const name of ['a', 'b', 'c', 'hosted']) packages[name] = buildPackage(work, name, '1', 50_000);
  key = makeKey(join(work, 'key'), 'mirror');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
  rmSync(elsewhere, { recursive: true });
});
beforeEach(async () => {
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
  repository = join(mkdtempSync(join(elsewhere, 'repository-')), 'restic');
  mirror = declared();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

/** A mirror with one of each: an accumulated copy, a verbatim one, a file tree, a hosted codename, and the backup. */
function declared(): TestMirror {
  const made = new TestMirror();
  made.signBy(key);
  made.repository('kept', [upstream.url], undefined, { view: 'accumulate' });
  made.repository('exact', [upstream.url], undefined, { view: 'verbatim', publishedAs: 'https://example.org/exact/' });
  made.tree('files', [upstream.url], { files: ['README'] });
  made.write('definitions/codenames/acme/mos7.0-centos6.yaml', {
    kind: 'codename',
    id: 'acme/mos7.0-centos6',
    owner: 'acme',
    release: '7.0',
    distribution: 'centos',
    version: '6',
    publicPath: 'acme/centos/mos7.0-centos6',
    components: ['os'],
    architectures: ['x86_64'],
    keyFile: 'RPM-GPG-KEY-mos7.0',
    keys: [],
  });
  backup(made);
  made.write('secrets/backup-password', 'correct horse\n');
  return made;
}

function backup(made: TestMirror, change: object = {}): void {
  made.write('definitions/backup.yaml', {
    kind: 'backup',
    name: 'mirror.example.org',
    repository: { type: 'directory', path: repository },
    keep: { daily: 7, weekly: 5, monthly: 12 },
    checkEveryDays: 30,
    everyHours: 24,
    ...change,
  });
}

/** Upstream has these packages from now on. */
function publishUpstream(names: readonly string[]): void {
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(join(tree, 'Packages'), { recursive: true });
  for (const name of names) copyFileSync(packages[name] as string, join(tree, 'Packages', `${name}-1-1.noarch.rpm`));
  writeFileSync(join(tree, 'README'), 'read me\n');
  createrepo(tree);
}

async function ran(made: TestMirror, code: number, ...argv: string[]): Promise<string> {
  const { code: ended, stdout, stderr } = await made.run(...argv);
  expect(`${ended} ${ended === code ? '' : stderr}`).toBe(`${code} `);
  return stdout;
}
const run = async (...argv: string[]): Promise<RunOutcome> =>
  JSON.parse(await ran(mirror, 0, 'backup', 'run', '--json', ...argv)) as RunOutcome;
const restore = async (...argv: string[]): Promise<RestoreOutcome> =>
  JSON.parse(await ran(mirror, 0, 'backup', 'restore', '--json', ...argv)) as RestoreOutcome;

/** A package is published in a hosted component, as its owner's publishing will do it. */
function publishHosted(made: TestMirror): void {
  const component = join(made.root, 'repositories', HOSTED);
  const next = join(component, 'snapshots/20991122T000000Z-0123456789ab');
  cpSync(join(component, 'current/'), next, { recursive: true, dereference: true });
  execFileSync('chmod', ['-R', 'u+w', next]);
  copyFileSync(packages['hosted'] as string, join(next, 'x86_64/Packages/hosted-1-1.noarch.rpm'));
  createrepo(join(next, 'x86_64'));
  rmSync(join(component, 'current'));
  symlinkSync(`snapshots/${basename(next)}`, join(component, 'current'));
}

/** Two syncs, between which upstream drops b; a package in a hosted component. */
async function filled(): Promise<void> {
  publishUpstream(['a', 'b']);
  await ran(mirror, 0, 'prepare');
  publishHosted(mirror);
  await ran(mirror, 0, 'sync', '--all');
  publishUpstream(['a', 'c']);
  await ran(mirror, 0, 'sync', '--all');
}

/** Every file that is published, by its path, with the digest of its bytes. */
function served(made: TestMirror, ...ids: string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const id of ids) {
    const current = join(made.root, 'repositories', id, 'current');
    for (const path of execFileSync('find', ['-L', current, '-type', 'f', '-printf', '%P\n'], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean))
      found[`${id}/${path}`] = digest(join(current, path));
  }
  return found;
}
const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** The server is lost; another one has the same declarations. */
function lose(): void {
  mirror.remove();
  mirror = declared();
}

test('the first run makes the repository; what upstream has is not in it, what only the mirror has is', async () => {
  await filled();
  const would = await run('--dry-run');
  expect(existsSync(repository)).toBe(false);
  const done = await run();
  expect(done).toMatchObject({ snapshots: would.snapshots, files: would.files, bytes: would.bytes, lost: [] });
  expect(existsSync(join(mirror.root, 'backup'))).toBe(false);
  const names = execFileSync('restic', ['-r', repository, 'ls', 'latest'], {
    encoding: 'utf8',
    env: { ...process.env, RESTIC_PASSWORD: 'correct horse' },
  });
  const has = (name: string): boolean =>
    names.includes(`/store/sha256/${digest(packages[name] as string).slice(0, 2)}/${digest(packages[name] as string)}\n`);
  expect({ a: has('a'), b: has('b'), c: has('c'), hosted: has('hosted') }).toEqual({ a: false, b: true, c: false, hosted: true });
  expect(names).toContain('/configuration/definitions/repositories/kept.yaml');
  expect(names).toMatch(/\/state\/changes\/kept\//);
  expect(names).not.toContain('secrets');
  const second = await run();
  expect(second.files).toBe(done.files);
  expect(second.added).toBeLessThan(100_000);
  const list = JSON.parse(await ran(mirror, 0, 'backup', 'list', '--json')) as { backups: unknown[] };
  // Of one day the last stays.
  expect(list.backups).toHaveLength(1);
});

test('a lost server comes back: hosted content byte for byte, dropped packages, and from upstream the rest', async () => {
  await filled();
  const before = served(mirror, 'kept', 'exact', 'files', HOSTED);
  await run();
  lose();
  const would = await restore('--dry-run');
  expect(readdirSync(mirror.root)).toEqual(['.mirror-data', 'store']);
  const done = await restore();
  expect(done.damaged).toEqual([]);
  expect(done.repositories.map(({ id, snapshots }) => [id, snapshots])).toEqual(
    would.repositories.map(({ id, snapshots }) => [id, snapshots]),
  );
  expect(done.repositories.map(({ id }) => id)).toEqual([HOSTED, 'exact', 'files', 'kept']);
  expect(served(mirror, HOSTED)).toEqual(Object.fromEntries(Object.entries(before).filter(([path]) => path.startsWith(HOSTED))));
  expect(existsSync(mirror.published('kept', 'Packages/b-1-1.noarch.rpm'))).toBe(true);
  expect(existsSync(mirror.published('kept', 'Packages/a-1-1.noarch.rpm'))).toBe(false);
  const status = JSON.parse(await ran(mirror, 0, 'status', '--json')) as { repositories: { id: string; result: string }[] };
  expect(status.repositories.find(({ id }) => id === 'kept')).toMatchObject({ result: 'damaged' });
  // What is lost comes back under the published snapshot itself.
  await ran(mirror, 0, 'scrub');
  const after = served(mirror, 'kept', 'exact', 'files', HOSTED);
  // What was served for clients with older metadata alone is not in a backup.
  for (const path of Object.keys(before))
    if (after[path] === undefined) expect(path).toMatch(/^(exact|kept)\/(repodata\/[0-9a-f]{64}-|Packages\/b)/);
  expect(after).toEqual(Object.fromEntries(Object.entries(before).filter(([path]) => after[path] !== undefined)));
  for (const path of [
    'kept/Packages/a-1-1.noarch.rpm',
    'kept/Packages/b-1-1.noarch.rpm',
    'kept/repodata/repomd.xml',
    'exact/Packages/c-1-1.noarch.rpm',
    'files/README',
  ])
    expect(Object.keys(after)).toContain(path);
  await ran(mirror, 0, 'sync', '--all');
  expect(existsSync(mirror.published('kept', 'Packages/b-1-1.noarch.rpm'))).toBe(true);
  expect(JSON.parse(await ran(mirror, 0, 'scrub', '--all', '--json'))).toMatchObject({ lost: [], repaired: [] });
  // A second restore has nothing to do, and the next backup goes on.
  expect((await restore()).repositories.every(({ snapshots, published }) => snapshots.length === 0 && published === undefined)).toBe(true);
  await run();
});

test('snapshots that are lost with the disk are told to be gone, and what was forgotten by name stays so', async () => {
  await filled();
  await ran(mirror, 0, 'retention', 'forget', 'kept:a-1-1', '--now');
  const snapshots = mirror.snapshots('kept');
  const current = basename(mirror.currentTarget('kept') as string);
  expect(snapshots.length).toBeGreaterThan(1);
  await run();
  lose();
  await restore();
  const gone = readFileSync(join(mirror.root, 'repositories/kept/gone'), 'utf8');
  expect(gone.split('\n').flatMap((line) => line.split(' ')[0] || [])).toEqual(snapshots.filter((name) => name !== current));
  await ran(mirror, 0, 'sync', '--all');
  expect(existsSync(mirror.published('kept', 'Packages/a-1-1.noarch.rpm'))).toBe(false);
  expect(await ran(mirror, 0, 'explain', 'kept:a-1-1')).toContain('taken from upstream no more');
});

test('a release comes back byte for byte, with what it pins', async () => {
  publishUpstream(['a', 'b']);
  await ran(mirror, 0, 'prepare');
  publishHosted(mirror);
  await ran(mirror, 0, 'sync', '--all');
  const members = ['kept', 'exact', 'files', HOSTED].map((id) => ({
    id,
    publicPath: `mirror/${id}`,
    snapshot: mirror.currentTarget(id)?.replace('snapshots/', '') as string,
  }));
  const release = (): void => mirror.write('definitions/releases/r-1.yaml', { kind: 'release', id: 'r-1', members, pins: ['b-1-1'] });
  release();
  await ran(mirror, 0, 'release', 'freeze');
  await ran(mirror, 0, 'release', 'verify');
  publishUpstream(['a', 'c']);
  await ran(mirror, 0, 'sync', '--all');
  const frozen = readFileSync(join(mirror.root, 'releases/r-1/release.json'), 'utf8');
  await run();
  lose();
  release();
  expect((await restore()).releases).toEqual(['r-1']);
  expect(readFileSync(join(mirror.root, 'releases/r-1/release.json'), 'utf8')).toBe(frozen);
  // b, which upstream dropped, is from the backup, also where the verbatim copy had it; a is not yet there.
  const verified = await mirror.run('release', 'verify');
  expect(verified.code).toBe(6);
  await ran(mirror, 0, 'scrub');
  await ran(mirror, 0, 'release', 'verify');
  expect(Object.values(served(mirror, 'releases/r-1'))).toContain(digest(packages['b'] as string));
});

test('a server that was synced anew meanwhile gets back what upstream dropped, and keeps what is newer', async () => {
  await filled();
  await run();
  lose();
  await ran(mirror, 0, 'prepare');
  await ran(mirror, 0, 'sync', '--all');
  expect(existsSync(mirror.published('kept', 'Packages/b-1-1.noarch.rpm'))).toBe(false);
  const exact = mirror.currentTarget('exact');
  const done = await restore();
  expect(done.repositories.find(({ id }) => id === 'exact')?.kept).toMatch(/is newer, and has all that upstream has/);
  expect(mirror.currentTarget('exact')).toBe(exact);
  expect(existsSync(mirror.published(HOSTED, 'x86_64/Packages/hosted-1-1.noarch.rpm'))).toBe(true);
  await ran(mirror, 0, 'sync', '--all');
  for (const name of ['a', 'b', 'c'])
    expect(digest(mirror.published('kept', `Packages/${name}-1-1.noarch.rpm`))).toBe(digest(packages[name] as string));
  expect(JSON.parse(await ran(mirror, 0, 'scrub', '--all', '--json'))).toMatchObject({ lost: [] });
});

test('content of constructs that are gone is whole in the backup, and so are copies whose upstream is not reached, or that are declared whole', async () => {
  await filled();
  const count = async (): Promise<number> => (await run('--dry-run')).files;
  const normal = await count();
  backup(mirror, { whole: ['kept'] });
  // `exact` offers a and c still.
  const packagesOf = async (): Promise<number> => (await count()) - normal;
  expect(await packagesOf()).toBe(2);
  backup(mirror);
  rmSync(join(mirror.configuration, 'definitions/repositories/exact.yaml'));
  rmSync(join(mirror.configuration, 'definitions/repositories/kept.yaml'));
  expect(await packagesOf()).toBe(2);
  rmSync(join(mirror.configuration, 'definitions/codenames'), { recursive: true });
  await run();
  const [hosted, copy] = [served(mirror, HOSTED), served(mirror, 'kept')];
  lose();
  for (const path of ['repositories/exact.yaml', 'repositories/kept.yaml', 'codenames'])
    rmSync(join(mirror.configuration, 'definitions', path), { recursive: true });
  await restore();
  expect(served(mirror, HOSTED)).toEqual(hosted);
  const after = served(mirror, 'kept');
  // Metadata of the snapshot before, for clients that hold its index, is not in a backup.
  const index = readFileSync(mirror.published('kept', 'repodata/repomd.xml'), 'utf8');
  const named = Object.entries(copy).filter(([path]) => !/repodata\/[0-9a-f]{64}-/.test(path) || index.includes(basename(path)));
  expect(after).toEqual(Object.fromEntries(named));
  expect(Object.keys(after)).toHaveLength(9);
});

test('an upstream that no sync reached for 14 days counts as gone', async () => {
  await filled();
  const normal = (await run('--dry-run')).files;
  for (const id of ['kept', 'exact', 'files']) {
    const path = join(mirror.state, 'repositories', `${id}.json`);
    const state = JSON.parse(readFileSync(path, 'utf8')) as { lastSuccess: string };
    writeFileSync(path, JSON.stringify({ ...state, lastSuccess: '2020-01-01T00:00:00.000Z' }));
    const snapshots = join(mirror.root, 'repositories', id, 'snapshots');
    const old = mirror.currentTarget(id)?.replace('snapshots/', '') as string;
    const older = `20200101T000000Z-${old.slice(-12)}`;
    renameSync(join(snapshots, old), join(snapshots, older));
    for (const name of readdirSync(join(snapshots, '../records')).filter((one) => one.startsWith(old)))
      renameSync(join(snapshots, '../records', name), join(snapshots, '../records', name.replace(old, older)));
    rmSync(join(snapshots, '../current'));
    symlinkSync(`snapshots/${older}`, join(snapshots, '../current'));
  }
  // a and c, and the file of the tree.
  expect((await run('--dry-run')).files - normal).toBe(3);
});

test('signing keys that the server made are in the repository by themselves, and a backup without what is lost here says so', async () => {
  await filled();
  mkdirSync(join(mirror.directory, 'signing-keys'));
  writeFileSync(join(mirror.directory, 'signing-keys/1.asc'), key.secretKey);
  expect((await run()).signingKeys).toEqual(['1']);
  const kept = execFileSync('restic', ['-r', repository, 'dump', '--tag', 'signing-key-1', 'latest', '/1.asc'], {
    encoding: 'utf8',
    env: { ...process.env, RESTIC_PASSWORD: 'correct horse' },
  });
  expect(kept).toBe(key.secretKey);
  const listed = JSON.parse(await ran(mirror, 0, 'backup', 'list', '--json')) as { backups: unknown[] };
  expect(listed.backups).toHaveLength(1);
  rmSync(mirror.published(HOSTED, 'x86_64/Packages/hosted-1-1.noarch.rpm'));
  const incomplete = JSON.parse(await ran(mirror, 6, 'backup', 'run', '--json')) as RunOutcome;
  expect(incomplete.lost).toEqual([`${HOSTED}: x86_64/Packages/hosted-1-1.noarch.rpm`]);
  expect(await ran(mirror, 0, 'status')).toContain('a backup was made without one file that is lost here');
  // Nothing was forgotten, so that it can be had back.
  const after = JSON.parse(await ran(mirror, 0, 'backup', 'list', '--json')) as { backups: { id: string }[] };
  expect(after.backups).toHaveLength(2);
  lose();
  await restore('--snapshot', (after.backups[0] as { id: string }).id.slice(0, 10));
  expect(existsSync(mirror.published(HOSTED, 'x86_64/Packages/hosted-1-1.noarch.rpm'))).toBe(true);
});

describe('what can be wrong', () => {
  const said = async (code: number, ...argv: string[]): Promise<string> => {
    const { code: ended, stderr } = await mirror.run(...argv);
    expect(`${ended} ${ended === code ? '' : stderr}`).toBe(`${code} `);
    return stderr;
  };

  test('no backup is declared', async () => {
    rmSync(join(mirror.configuration, 'definitions/backup.yaml'));
    expect(await said(3, 'backup', 'run')).toContain('no backup is declared on this server');
  });
  test('the password is missing, or another one', async () => {
    await ran(mirror, 0, 'backup', 'run');
    mirror.write('secrets/backup-password', 'wrong\n');
    expect(await said(3, 'backup', 'run')).toContain('its password is another one');
    rmSync(join(mirror.configuration, 'secrets/backup-password'));
    expect(await said(7, 'backup', 'list')).toMatch(/backup-password, which the backup needs, cannot be read \(ENOENT\)/);
  });
  test('the disk of the backup is not mounted: no second repository is begun', async () => {
    await ran(mirror, 0, 'backup', 'run');
    renameSync(repository, `${repository}.elsewhere`);
    expect(await said(7, 'backup', 'run')).toContain('holds no backups any more');
    expect(existsSync(repository)).toBe(false);
    expect(await ran(mirror, 0, 'status')).toContain('holds no backups any more');
    await ran(mirror, 0, 'backup', 'run', '--anew');
  });
  test('the repository has backups of a server before: an empty one does not drive them out', async () => {
    await filled();
    await run();
    lose();
    expect(await said(3, 'backup', 'run')).toMatch(/has backups that are not of the content which is here[^]*mirrorctl backup restore/);
    const { checks } = JSON.parse((await mirror.run('health', '--json')).stdout) as {
      checks: { name: string; verdict: string; text: string }[];
    };
    expect(checks.find(({ name }) => name === 'backup')).toMatchObject({
      verdict: 'alert',
      text: expect.stringContaining('not of the content') as string,
    });
    await ran(mirror, 0, 'backup', 'run', '--anew');
  });
  test('most of the content is gone: it does not drive out the backups that have it', async () => {
    await filled();
    await run();
    rmSync(join(mirror.root, 'repositories'), { recursive: true });
    expect(await said(3, 'backup', 'run')).toMatch(/this backup would have 0 files, and the last one has \d+: no backup was made/);
    await ran(mirror, 0, 'backup', 'restore');
    expect(existsSync(mirror.published(HOSTED, 'x86_64/Packages/hosted-1-1.noarch.rpm'))).toBe(true);
    await ran(mirror, 0, 'backup', 'run');
  });
  test('it is on the disk of the content', async () => {
    backup(mirror, { repository: { type: 'directory', path: join(mirror.root, '../repository') } });
    expect(await said(7, 'backup', 'run')).toContain('is on the file system of the content');
  });
  test('there is no such backup', async () => {
    await ran(mirror, 0, 'backup', 'run');
    expect(await said(3, 'backup', 'restore', '--snapshot', 'ffffffff')).toContain('no backup begins with "ffffffff"');
  });
  test('a host that does not answer, and one with another key', async () => {
    mirror.write('secrets/backup-ssh-key', readFileSync(sshKey(), 'utf8'));
    const hostKey = readFileSync(`${sshKey()}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
    backup(mirror, { repository: { type: 'sftp', user: 'mirror', host: '127.0.0.1', port: 9, path: '/backup', hostKey } });
    expect(await said(5, 'backup', 'run')).toContain('sftp://mirror@127.0.0.1:9//backup: it cannot be reached');
  });
  test('bytes of the repository changed: the reading finds it, and the status says so until it is whole again', async () => {
    await filled();
    await run();
    const pack = execFileSync('find', [join(repository, 'data'), '-type', 'f', '-size', '+40k'], { encoding: 'utf8' }).split(
      '\n',
    )[0] as string;
    const bytes = readFileSync(pack);
    chmodSync(pack, 0o644);
    const flipped = Buffer.from(bytes);
    flipped[1000] = (flipped[1000] as number) ^ 1;
    writeFileSync(pack, flipped);
    expect(await said(6, 'backup', 'verify', '--all')).toContain('is damaged');
    expect(await ran(mirror, 0, 'status')).toContain('is damaged');
    writeFileSync(pack, bytes);
    await ran(mirror, 0, 'backup', 'verify', '--all');
    expect(await ran(mirror, 0, 'status')).not.toContain('is damaged');
  });
});

function sshKey(): string {
  const path = join(work, 'id');
  if (!existsSync(path)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
  return path;
}

test('a restore that is killed at any call leaves each repository as before or whole, and the next one ends it', async () => {
  await filled();
  const before = served(mirror, HOSTED);
  await run();
  let killed = 0;
  // strace counts each call of each thread by itself: a sweep for each.
  const sweep = ['rename', 'link', 'symlink', 'mkdir', 'fsync'].flatMap((call) => [1, 4, 16].map((when) => ({ call, when })));
  const beyond = new Set<string>();
  for (const { call, when } of sweep) {
    if (beyond.has(call)) continue;
    lose();
    const inject = ['-qq', '-f', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`];
    const child = spawn('strace', [...inject, process.execPath, ...mirror.argv('backup', 'restore')], { stdio: 'ignore' });
    const code = await new Promise((resolve) => child.on('close', resolve));
    if (code === 0) beyond.add(call);
    else killed++;
    for (const id of [HOSTED, 'kept']) {
      const link = join(mirror.root, 'repositories', id, 'current');
      if (lstatSync(link, { throwIfNoEntry: false }) === undefined) continue;
      // Published is only what is whole, but for what upstream has.
      expect(statSync(join(dirname(link), readlinkSync(link))).isDirectory()).toBe(true);
      if (id === HOSTED && Object.keys(served(mirror, HOSTED)).length > 10) expect(served(mirror, HOSTED)).toEqual(before);
    }
    expect((await restore()).damaged).toEqual([]);
    expect(served(mirror, HOSTED)).toEqual(before);
    expect(existsSync(mirror.published('kept', 'Packages/b-1-1.noarch.rpm'))).toBe(true);
    expect(existsSync(join(mirror.root, 'backup'))).toBe(false);
  }
  expect(killed).toBeGreaterThan(8);
  await ran(mirror, 0, 'sync', '--all');
  expect(JSON.parse(await ran(mirror, 0, 'scrub', '--all', '--json'))).toMatchObject({ lost: [] });
  // Some thirty restores, each with several runs of restic, beside other tests.
}, 900_000);

test('a backup that is killed leaves what is served and the backups before as they were, and the next one clears up', async () => {
  await filled();
  await run();
  const before = served(mirror, 'kept', 'exact', 'files', HOSTED);
  for (const delay of [400, 900, 1300, 2000]) {
    const running = mirror.start('backup', 'run');
    setTimeout(() => running.kill(), delay);
    await running.done;
    expect(served(mirror, 'kept', 'exact', 'files', HOSTED)).toEqual(before);
    const list = JSON.parse(await ran(mirror, 0, 'backup', 'list', '--json')) as { backups: unknown[] };
    expect(list.backups.length).toBeGreaterThan(0);
  }
  // A restic that outlived its run holds the lock as long as it works.
  for (let tries = 0; (await mirror.run('backup', 'run')).code === 4 && tries < 60; tries++)
    await new Promise((resolve) => setTimeout(resolve, 500));
  await run();
  expect(existsSync(join(mirror.root, 'backup'))).toBe(false);
  lose();
  expect((await restore()).damaged).toEqual([]);
});

test('into a directory of its own: everything, and nothing that is served changes', async () => {
  await filled();
  await run();
  const before = served(mirror, 'kept', HOSTED);
  const into = join(mirror.root, '../look');
  await restore('--into', into);
  expect(existsSync(join(into, 'repositories/kept/current/Packages/b-1-1.noarch.rpm'))).toBe(true);
  expect(existsSync(join(into, 'repositories', HOSTED, 'current/x86_64/Packages/hosted-1-1.noarch.rpm'))).toBe(true);
  expect(served(mirror, 'kept', HOSTED)).toEqual(before);
});

test('which portions are due', () => {
  const now = new Date('2026-11-22T00:00:00Z');
  const at = (days: number): string => new Date(now.getTime() - days * 86_400_000).toISOString();
  const all = (days: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: PORTIONS }, (_, i) => [`${i + 1}/${PORTIONS}`, at(days)]));
  // A first run reads a day's share.
  expect(portionsDue({}, 30, now)).toEqual([1, 2, 3]);
  expect(portionsDue(all(1), 30, now)).toHaveLength(3);
  expect(portionsDue(all(40), 30, now)).toHaveLength(PORTIONS);
  // Those that were not read for longest come first.
  expect(portionsDue({ ...all(1), [`7/${PORTIONS}`]: at(20) }, 30, now)[0]).toBe(7);
  // An hourly run reads one.
  expect(portionsDue(all(1 / 24), 30, now)).toHaveLength(1);
});
