import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { difference } from '../../content/component';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'prepare-'));
const components = ['os', 'updates', 'security', 'holdback', 'cr'];
let own: TestKey;
let next: TestKey;
let owner: TestKey;
let mirror: TestMirror;

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'mirror');
  next = makeKey(join(work, 'next'), 'rotated');
  owner = makeKey(join(work, 'owner'), 'acme');
  for (const key of [own, next]) writeFileSync(join(work, `${key.name}.secret`), key.secretKey);
});
afterAll(() => {
  for (const key of [own, next, owner]) dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  mirror = new TestMirror();
});
afterEach(() => mirror.remove());

function codename(id: string, change: object = {}): void {
  const [name] = id.split('/') as [string];
  const definition = {
    kind: 'codename',
    id,
    owner: name,
    release: '7.0',
    distribution: 'centos',
    version: '6',
    publicPath: `${name}/centos/mos7.0-centos6`,
  };
  mirror.write(`definitions/codenames/${id}.yaml`, {
    ...definition,
    components,
    architectures: ['x86_64'],
    keyFile: 'RPM-GPG-KEY-mos7.0',
    keys: [],
    ...change,
  });
}

const prepare = async (
  key = own,
  ...former: readonly TestKey[]
): Promise<{ created: string[]; changed: { id: string; why: string }[]; unchanged: number }> => {
  const files = [key, ...former].map(({ name }) => join(work, `${name}.secret`));
  const ran = await mirror.run('prepare', '--json', '--signing-key', ...files);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(ran.stdout) as { created: string[]; changed: { id: string; why: string }[]; unchanged: number };
};
const os = (...path: string[]): string => mirror.published('acme/mos7.0-centos6/os', ...path);

/** The signature must be by this key alone, with the published key file as the only source of trust. */
function expectSignedBy(key: TestKey, tree: string): void {
  const home = mkdtempSync(join(work, 'verify-'));
  const gpg = (...argv: string[]): string =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--no-autostart', ...argv], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  gpg('--import', os('RPM-GPG-KEY-mos7.0'));
  expect(gpg('--status-fd', '1', '--verify', os(tree, 'repodata/repomd.xml.asc'), os(tree, 'repodata/repomd.xml'))).toContain(
    `VALIDSIG ${key.fingerprint}`,
  );
}

test('components appear empty, valid and signed; a second run changes nothing', async () => {
  mirror.write('owners/acme/acme.asc', owner.publicKey);
  codename('acme/mos7.0-centos6', { keys: [{ file: 'owners/acme/acme.asc', fingerprint: owner.fingerprint }] });
  expect((await prepare()).created).toEqual(components.map((component) => `acme/mos7.0-centos6/${component}`));
  expect(readdirSync(os())).toEqual(['RPM-GPG-KEY-mos7.0', 'Source', 'x86_64']);
  expect(readdirSync(os('x86_64'))).toEqual(['Packages', 'repodata']);
  expect(readdirSync(os('Source'))).toEqual(['SPackages', 'repodata']);
  expect(mirror.currentTarget('acme/mos7.0-centos6/os')).toMatch(/^snapshots\/\d{8}T\d{6}Z-[0-9a-f]{12}$/);
  expect(readFileSync(os('RPM-GPG-KEY-mos7.0'), 'utf8')).toBe(own.publicKey + owner.publicKey);
  expectSignedBy(own, 'x86_64');
  expectSignedBy(own, 'Source');
  expect(statSync(os('x86_64/repodata/repomd.xml')).mode & 0o777).toBe(0o444);
  const before = mirror.currentTarget('acme/mos7.0-centos6/os');
  expect(await prepare()).toMatchObject({ created: [], changed: [], unchanged: 5 });
  expect(mirror.currentTarget('acme/mos7.0-centos6/os')).toBe(before);
  // One tree of empty metadata for all: hard links.
  expect(statSync(os('x86_64/repodata/repomd.xml')).nlink).toBe(11);
});

test('dnf reads an empty component with repo_gpgcheck=1', async () => {
  codename('acme/mos7.0-centos6');
  await prepare();
  const config = join(work, 'dnf.conf');
  writeFileSync(
    config,
    `[main]\nreposdir=/nonexistent\n[os]\nname=os\nbaseurl=file://${os('x86_64')}\nrepo_gpgcheck=1\ngpgcheck=1\ngpgkey=file://${os('RPM-GPG-KEY-mos7.0')}\n`,
  );
  const argv = ['-c', config, '--installroot', join(work, 'installroot'), '--releasever', '7', '--forcearch', 'x86_64', '-y', 'makecache'];
  expect(execFileSync('dnf', argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })).toContain('Metadata cache created.');
});

test('keys and architectures that change come in a new snapshot; packages stay', async () => {
  codename('acme/mos7.0-centos6');
  await prepare();
  const name = 'a-1-1.noarch.rpm';
  copyFileSync(buildPackage(work, 'a', '1'), os('x86_64/Packages', name));
  mirror.write('owners/acme/acme.asc', owner.publicKey.trimEnd());
  codename('acme/mos7.0-centos6', {
    architectures: ['x86_64', 'aarch64'],
    keys: [{ file: 'owners/acme/acme.asc', fingerprint: owner.fingerprint }],
  });
  expect((await prepare()).changed).toContainEqual({ id: 'acme/mos7.0-centos6/os', why: 'architectures were Source, x86_64' });
  expect(readdirSync(os())).toEqual(['RPM-GPG-KEY-mos7.0', 'Source', 'aarch64', 'x86_64']);
  expect(readFileSync(os('RPM-GPG-KEY-mos7.0'), 'utf8')).toBe(own.publicKey + owner.publicKey);
  expect(readdirSync(os('x86_64/Packages'))).toEqual([name]);
  expect((await prepare(next)).changed).toHaveLength(5);
  expectSignedBy(next, 'x86_64');
  expectSignedBy(next, 'aarch64');
  expect(existsSync(os('x86_64/Packages', name))).toBe(true);
  codename('acme/mos7.0-centos6', { architectures: ['x86_64'], keyFile: 'RPM-GPG-KEY-mos7.1' });
  expect((await prepare(next)).changed).toHaveLength(5);
  expect(readdirSync(os())).toEqual(['RPM-GPG-KEY-mos7.1', 'Source', 'x86_64']);
  expect(mirror.snapshots('acme/mos7.0-centos6/os')).toHaveLength(4);
  expect(await prepare(next)).toMatchObject({ changed: [], unchanged: 5 });
});

test('what an interrupted run left goes away, and a damaged store is not trusted', async () => {
  codename('acme/mos7.0-centos6');
  const left = join(mirror.root, 'repositories/acme/mos7.0-centos6/os/snapshots/.new-20200101T000000Z/x');
  mkdirSync(left, { recursive: true });
  await prepare();
  const shard = (path: string): string => execFileSync('sha256sum', [path], { encoding: 'utf8' }).slice(0, 64);
  const key = shard(os('RPM-GPG-KEY-mos7.0'));
  expect(mirror.snapshots('acme/mos7.0-centos6/os').filter((n) => n.startsWith('.'))).toEqual([]);
  const stored = join(mirror.root, 'store/sha256', key.slice(0, 2), key);
  rmSync(stored);
  writeFileSync(stored, '');
  codename('other/mos7.0-centos6');
  await prepare();
  expect(readFileSync(mirror.published('other/mos7.0-centos6/os', 'RPM-GPG-KEY-mos7.0'), 'utf8')).toBe(own.publicKey);
});

test.each<[string, () => string, number, RegExp]>([
  ['no key', () => join(work, 'absent'), 7, /the signing key .*absent cannot be read/],
  [
    'a public key',
    () => [writeFileSync(join(work, 'public'), own.publicKey), join(work, 'public')][1] as string,
    3,
    /holds no OpenPGP secret key/,
  ],
])('%s: nothing is made', async (_name, key, code, message) => {
  codename('acme/mos7.0-centos6');
  expect(await mirror.run('prepare', '--signing-key', key())).toMatchObject({ code, stderr: expect.stringMatching(message) });
  expect(existsSync(join(mirror.root, 'repositories'))).toBe(false);
});

describe('the public key at its stable place', () => {
  const published = (): string => readFileSync(join(mirror.root, 'keys/RPM-GPG-KEY-mirror'), 'utf8');
  const changed = { changed: [{ id: 'acme/mos7.0-centos6/os', why: 'keys changed' }], created: [] };

  test('is there without hosted components too, and again when it was removed', async () => {
    await prepare();
    expect(published()).toBe(own.publicKey);
    expect(statSync(join(mirror.root, 'keys/RPM-GPG-KEY-mirror')).mode & 0o777).toBe(0o644);
    // What retention announces has an answer from the beginning.
    expect(JSON.parse(readFileSync(join(mirror.root, 'announcements/retention.json'), 'utf8'))).toMatchObject({ items: [] });
    rmSync(join(mirror.root, 'keys'), { recursive: true });
    await prepare();
    expect(published()).toBe(own.publicKey);
  });

  test('holds both keys while they overlap, as hosted components do, which both keys then sign', async () => {
    codename('acme/mos7.0-centos6', { components: ['os'] });
    await prepare();
    expect(await prepare(next, own)).toMatchObject(changed);
    expect([published(), readFileSync(os('RPM-GPG-KEY-mos7.0'), 'utf8')]).toEqual([
      next.publicKey + own.publicKey,
      next.publicKey + own.publicKey,
    ]);
    for (const key of [own, next]) expectSignedBy(key, 'x86_64');
    expect(await prepare(next, own)).toMatchObject({ changed: [], unchanged: 1 });
    expect(await prepare(next)).toMatchObject(changed);
    expect(published()).toBe(next.publicKey);
    expect(() => expectSignedBy(own, 'x86_64')).toThrow();
    expectSignedBy(next, 'x86_64');
  });
});

describe('the keys come', () => {
  const secrets = (): string => join(mirror.configuration, 'secrets');
  const published = (): string => readFileSync(join(mirror.root, 'keys/RPM-GPG-KEY-mirror'), 'utf8');
  const input = (stdin: string, ...argv: string[]) =>
    spawnSync(process.execPath, mirror.argv('prepare', ...argv), { input: stdin, encoding: 'utf8' });

  test('from standard input, a zero byte between them, as mirror-host gives them', () => {
    expect(input(`${next.secretKey}\0${own.secretKey}`, '--signing-key', '-')).toMatchObject({ status: 0, stderr: '' });
    expect(published()).toBe(next.publicKey + own.publicKey);
    expect(input('', '--signing-key', '-')).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('signing-key on standard input holds no'),
    });
  });

  test('from the server, where none is named', async () => {
    expect(await mirror.run('prepare')).toMatchObject({ code: 7, stderr: expect.stringMatching(/no signing key[^]*cdktf deploy/) });
    mkdirSync(secrets());
    writeFileSync(join(secrets(), 'signing-key'), own.secretKey);
    expect(await mirror.run('prepare')).toMatchObject({ code: 0 });
    expect(published()).toBe(own.publicKey);
    writeFileSync(join(secrets(), 'previous-signing-key'), next.secretKey);
    expect(await mirror.run('prepare')).toMatchObject({ code: 0 });
    expect(published()).toBe(own.publicKey + next.publicKey);
  });

  test("from the unit's credentials, which go before; 'none' is none", () => {
    mkdirSync(secrets());
    writeFileSync(join(secrets(), 'signing-key'), own.secretKey);
    const credentials = join(work, 'credentials');
    mkdirSync(credentials);
    writeFileSync(join(credentials, 'signing-key'), next.secretKey);
    writeFileSync(join(credentials, 'previous-signing-key'), 'none');
    const env = { ...process.env, CREDENTIALS_DIRECTORY: credentials };
    expect(spawnSync(process.execPath, mirror.argv('prepare'), { env })).toMatchObject({ status: 0 });
    expect(published()).toBe(next.publicKey);
  });

  test('to nobody but root: others are told what to do', () => {
    mkdirSync(secrets(), { mode: 0o700 });
    writeFileSync(join(secrets(), 'signing-key'), own.secretKey, { mode: 0o400 });
    for (const open of [mirror.directory, mirror.root]) chmodSync(open, 0o777);
    const argv = mirror.argv('prepare');
    chmodSync(join(argv[0] as string, '..'), 0o755);
    const ran = spawnSync(process.execPath, argv, { uid: 65534, gid: 65534, encoding: 'utf8' });
    expect(ran).toMatchObject({
      status: 7,
      stderr: expect.stringMatching(/cannot be read by the user nobody \(EACCES\)\n.*As root, run the same command/),
    });
  });
});

const shape = { id: 'x', trees: ['x86_64', 'Source'], keyFile: 'K', keyText: 'k' };
test.each([
  ['absent', undefined, 'does not exist yet'],
  ['as declared', { trees: ['Source', 'x86_64'], rootFiles: ['K'], keyText: 'k' }, undefined],
  ['another architecture', { trees: ['Source'], rootFiles: ['K'], keyText: 'k' }, 'architectures were Source'],
  ['other keys', { trees: ['Source', 'x86_64'], rootFiles: ['K'], keyText: 'l' }, 'keys changed'],
  ['another key file', { trees: ['Source', 'x86_64'], rootFiles: ['L'], keyText: undefined }, 'key file was L'],
  ['no key file', { trees: ['Source', 'x86_64'], rootFiles: [], keyText: undefined }, 'key file was missing'],
])('a component that is %s', (_name, found, why) => {
  expect(difference(shape, found)).toBe(why);
});
