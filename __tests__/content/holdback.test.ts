import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { changeCodenameState, readCodenameState } from '../../content/codename-state';
import { type Holdbacks, settled } from '../../content/holdback';
import { Layout } from '../../content/layout';
import type { ChangeOutcome } from '../../content/publish';
import { HostedMirror, signedRpm } from './support/hosted';
import { dropKey, makeKey, type TestKey } from './support/keys';
import { fillRepository, Upstream } from './support/upstream';

jest.setTimeout(180_000);

const CODENAME = 'acme/mos7.0-centos6';
const HOLDBACK = `${CODENAME}/holdback`;
const work = mkdtempSync(join(tmpdir(), 'holdback-'));
let own: TestKey;
let owner: TestKey;
let distribution: TestKey;
let mirror: HostedMirror;
let first: string;
let second: string;

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'mirror');
  owner = makeKey(join(work, 'owner'), 'acme');
  distribution = makeKey(join(work, 'distribution'), 'centos');
  first = rpm('openssl', '1');
  second = rpm('openssl', '2');
});
afterAll(() => {
  for (const key of [own, owner, distribution]) dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new HostedMirror(own, owner);
  mirror.write('owners/acme/centos.asc', distribution.publicKey);
  mirror.codename(CODENAME, { holdbackKeys: [{ file: 'owners/acme/centos.asc', fingerprint: distribution.fingerprint }] });
  await mirror.prepare();
});
afterEach(() => mirror.remove());

function rpm(name: string, version: string, key = distribution): string {
  return signedRpm(mkdtempSync(join(work, 'rpm-')), key, { name, version });
}

async function json<T>(...argv: string[]): Promise<T> {
  const ran = await mirror.run(...argv, '--json');
  expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(ran.stdout) as T;
}
const add = (file: string, reason = 'bug 7'): Promise<ChangeOutcome> => json('holdback', 'add', CODENAME, file, '--reason', reason);
const list = (): Promise<Holdbacks> => json('holdback', 'list');
const layout = (): Layout => new Layout(mirror.root, mirror.state, mirror.configuration);
const entries = async (): Promise<readonly { nevra: string; state: string }[]> => (await readCodenameState(layout(), CODENAME)).holdback;

test('an older package with its reason, and what it stands before; removed it is history', async () => {
  expect((await mirror.publish(`${CODENAME}/updates`, rpm('openssl', '2', owner))).code).toBe(0);
  expect((await add(first, 'bug 7: 2 breaks keystone')).files).toMatchObject([{ package: 'openssl-1-1.noarch', result: 'published' }]);
  const { heldBack, history } = await list();
  expect(heldBack).toEqual([
    {
      codename: CODENAME,
      package: 'openssl-1-1.noarch',
      reason: 'bug 7: 2 breaks keystone',
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      insteadOf: [{ id: `${CODENAME}/updates`, package: 'openssl-2-1.noarch' }],
    },
  ]);
  expect(history).toEqual([]);
  const text = (await mirror.run('holdback', 'list', CODENAME)).stdout;
  expect(text).toBe(
    `${CODENAME}: openssl-1-1.noarch, since ${heldBack[0]?.since?.slice(0, 10)}\n  bug 7: 2 breaks keystone\n  instead of openssl-2-1.noarch of ${CODENAME}/updates\n`,
  );
  expect((await mirror.run('status')).stdout).toContain(`Held back: 1 in ${HOLDBACK} (mirrorctl holdback list says why)`);

  expect(await json('holdback', 'remove', CODENAME, 'openssl', '--reason', '3 is good')).toMatchObject({
    codename: CODENAME,
    removed: ['openssl-1-1.noarch'],
    done: [],
  });
  const after = await list();
  expect(after.heldBack).toEqual([]);
  expect(after.history).toMatchObject([
    { codename: CODENAME, package: 'openssl-1-1.noarch', reason: 'bug 7: 2 breaks keystone', removedBecause: '3 is good' },
  ]);
  expect((await mirror.run('holdback', 'list', '--history')).stdout).toMatch(
    /^Nothing is held back\.\n\nBefore:\nacme\/mos7\.0-centos6: openssl-1-1\.noarch, \S+ to \S+: bug 7: 2 breaks keystone; removed: 3 is good\n$/,
  );
  expect((await mirror.run('status')).stdout).not.toContain('Held back');
  // Once more is no error: a run before this one did it.
  expect((await mirror.run('holdback', 'remove', CODENAME, 'openssl')).stdout).toMatch(/^openssl: is not held back since \S+ already\n$/);
  expect((await mirror.run('holdback', 'remove', CODENAME, 'openssl-1-1')).code).toBe(0);
  // The beginning of a name is another one's.
  expect(await add(rpm('ssl-libs', '1'))).toMatchObject({ files: [{ result: 'published' }] });
  await json('holdback', 'remove', CODENAME, 'ssl-libs');
  expect((await mirror.run('holdback', 'remove', CODENAME, 'ssl')).stderr).toContain('does not hold back "ssl", and never did');
});

test('from a copy of this mirror, of the snapshot before, too: with the same bytes, and what it stands before there', async () => {
  const site = await new Upstream(mkdtempSync(join(work, 'tree-'))).start();
  try {
    mirror.repository('base', [site.url]);
    for (const file of [first, second]) {
      fillRepository(site.root, [file]);
      expect((await mirror.run('sync', 'base')).code).toBe(0);
    }
    const added = await json<ChangeOutcome>('holdback', 'add', CODENAME, '--from', 'base', 'openssl-1-1', '--reason', 'bug 7');
    expect(added.files).toMatchObject([{ package: 'openssl-1-1.noarch', result: 'published' }]);
    expect(readFileSync(mirror.published(HOLDBACK, 'x86_64/Packages/openssl-1-1.noarch.rpm'))).toEqual(readFileSync(first));
    expect((await list()).heldBack).toMatchObject([{ from: 'base', insteadOf: [{ id: 'base', package: 'openssl-2-1.noarch' }] }]);
    const unknown = await mirror.run('holdback', 'add', CODENAME, '--from', 'base', 'bash', '--reason', 'bug 7');
    expect([unknown.code, unknown.stderr]).toEqual([3, expect.stringContaining('base has no package "bash"')]);
  } finally {
    await site.stop();
  }
});

test('a name of which a repository has several versions holds nothing back: one of them is named', async () => {
  expect((await mirror.publish(`${CODENAME}/updates`, rpm('openssl', '1', owner), rpm('openssl', '2', owner))).code).toBe(0);
  const bare = ['holdback', 'add', CODENAME, '--from', 'updates', 'openssl', '--reason', 'bug 7'];
  const refused = await mirror.run(...bare);
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining('updates has several versions of "openssl": openssl-2-1.noarch, openssl-1-1.noarch'),
  ]);
  expect((await list()).heldBack).toEqual([]);
  await json(...bare.map((word) => (word === 'openssl' ? 'openssl-1-1' : word)));
  expect((await list()).heldBack).toMatchObject([{ package: 'openssl-1-1.noarch' }]);
});

test('keys of holdback count there and nowhere else, and packages by neither are refused with the whole call', async () => {
  const foreign = makeKey(join(work, 'foreign'), 'foreign');
  try {
    const refused = await mirror.run('holdback', 'add', CODENAME, first, rpm('bash', '1', foreign), '--reason', 'bug 7');
    expect(refused.code).toBe(6);
    expect(refused.stderr).toContain('bash-1-1.noarch: ');
    expect(await entries()).toEqual([]);
    expect(mirror.snapshots(HOLDBACK)).toHaveLength(1);
    expect((await mirror.publish(`${CODENAME}/updates`, first)).code).toBe(6);
    expect((await add(rpm('nova', '1', owner))).files).toMatchObject([{ result: 'published' }]);
    expect(readFileSync(mirror.published(HOLDBACK, 'RPM-GPG-KEY-mos7.0'), 'utf8')).toBe(
      own.publicKey + owner.publicKey + distribution.publicKey,
    );
    expect(readFileSync(mirror.published(`${CODENAME}/updates`, 'RPM-GPG-KEY-mos7.0'), 'utf8')).toBe(own.publicKey + owner.publicKey);
  } finally {
    dropKey(foreign);
  }
});

test('the keys of holdback are enough where the owner has none', async () => {
  mirror.codename(CODENAME, { keys: [], holdbackKeys: [{ file: 'owners/acme/centos.asc', fingerprint: distribution.fingerprint }] });
  await mirror.prepare();
  expect((await add(first)).files).toMatchObject([{ result: 'published' }]);
});

test('publishing there goes by holdback add alone; a reason says something', async () => {
  const published = await mirror.run('publish', HOLDBACK, first);
  expect([published.code, published.stderr]).toEqual([
    3,
    expect.stringContaining(`mirrorctl holdback add ${CODENAME} FILE… --reason TEXT`),
  ]);
  for (const reason of ['', ' ', 'two\nlines', '\u001b[31mred'])
    expect((await mirror.run('holdback', 'add', CODENAME, first, '--reason', reason)).code).toBe(2);
  expect((await mirror.run('holdback', 'add', CODENAME, first)).code).toBe(2);
  const missing = await mirror.run('holdback', 'remove', CODENAME, 'openssl');
  expect([missing.code, missing.stderr]).toEqual([
    3,
    `mirrorctl: ${CODENAME} does not hold back "openssl", and never did\n  Nothing is held back there.\n`,
  ]);
  expect(mirror.snapshots(HOLDBACK)).toHaveLength(1);
});

test('the same again changes nothing; an older one beside it is refused, and the other way round is an update', async () => {
  await add(second, 'bug 7');
  const again = await add(second, 'bug 8');
  expect(again).toMatchObject({ files: [{ result: 'skipped' }] });
  expect((await list()).heldBack).toMatchObject([{ package: 'openssl-2-1.noarch', reason: 'bug 7' }]);
  const older = await mirror.run('holdback', 'add', CODENAME, first, '--reason', 'bug 9');
  expect([older.code, older.stderr]).toEqual([3, expect.stringContaining('it is older than openssl-2-1.noarch')]);
  expect((await list()).heldBack).toHaveLength(1);
  expect((await mirror.run('holdback', 'add', CODENAME, first, '--reason', 'bug 9', '--allow-downgrade')).code).toBe(0);
  expect((await list()).heldBack.map((row) => [row.package, row.reason]).sort()).toEqual([
    ['openssl-1-1.noarch', 'bug 9'],
    ['openssl-2-1.noarch', 'bug 7'],
  ]);
});

test('nothing is taken from another customer; from the product it is', async () => {
  mirror.codename('widgets/mos7.0-centos6', { publicPath: 'widgets/centos/mos7.0-centos6' });
  mirror.codename('mos/mos7.0-centos6', { publicPath: 'mos-repos/centos/mos7.0-centos6' });
  await mirror.prepare();
  const file = rpm('nova', '1', owner);
  for (const id of ['widgets/mos7.0-centos6/updates', 'mos/mos7.0-centos6/updates']) expect((await mirror.publish(id, file)).code).toBe(0);
  const refused = await mirror.run('holdback', 'add', CODENAME, '--from', 'widgets/mos7.0-centos6/updates', 'nova', '--reason', 'bug 7');
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('belongs to another owner')]);
  await json('holdback', 'add', CODENAME, '--from', 'mos7.0-centos6/updates', 'nova', '--reason', 'bug 7');
  expect((await list()).heldBack).toMatchObject([{ codename: CODENAME, package: 'nova-1-1.noarch', from: 'mos7.0-centos6/updates' }]);
});

/** What a run has done when it is killed. */
const MOMENTS: Record<string, () => string | undefined> = {
  'the reason is noted': () =>
    existsSync(layout().codenameState(CODENAME)) ? readFileSync(layout().codenameState(CODENAME), 'utf8') : undefined,
  'the package is published, or gone': () => mirror.currentTarget(HOLDBACK),
};

function published(): readonly string[] {
  const path = mirror.published(HOLDBACK, 'x86_64/repodata/repomd.xml');
  const href = /<data type="primary">[^]*?href="([^"]+)"/.exec(readFileSync(path, 'utf8'))?.[1] as string;
  const primary = gunzipSync(readFileSync(mirror.published(HOLDBACK, 'x86_64', href))).toString();
  return [...primary.matchAll(/<location href="Packages\/([^"]+)"/g)].map(([, name]) => name as string);
}

/** Each package with its reason, each reason with its package. */
async function expectWhole(): Promise<void> {
  const { heldBack } = await list();
  expect(heldBack.map(({ package: name }) => `${name}.rpm`)).toEqual(published());
  for (const { reason } of heldBack) expect(reason).toBe('bug 7');
}

async function killed(moment: string, ...argv: string[]): Promise<void> {
  const look = MOMENTS[moment] as () => string | undefined;
  const before = look();
  const started = mirror.start('holdback', ...argv);
  const ended = started.done.then(() => true);
  while (look() === before && !(await Promise.race([ended, new Promise<false>((resolve) => setImmediate(() => resolve(false)))])));
  started.kill();
  expect((await started.done).code).toBeNull();
  expect(look()).not.toBe(before);
}

test.each(Object.keys(MOMENTS))('killed as soon as %s, then run again', async (moment) => {
  for (const argv of [
    ['add', CODENAME, first, '--reason', 'bug 7'],
    ['remove', CODENAME, 'openssl', '--reason', 'good again'],
  ]) {
    await killed(moment, ...argv);
    await expectWhole();
    const again = await mirror.run('holdback', ...argv);
    expect({ code: again.code, stderr: again.stderr }).toEqual({ code: 0, stderr: '' });
    await expectWhole();
  }
  expect(published()).toEqual([]);
  expect(await entries()).toMatchObject([{ nevra: 'openssl-1-1.noarch', state: 'removed', removedBecause: 'good again' }]);
});

test('a note without its package counts for nothing, and the next run drops it', async () => {
  const note = {
    nevra: 'openssl-1-1.noarch',
    sha256: '0'.repeat(64),
    reason: 'bug 6',
    since: '2026-11-22T00:00:00.000Z',
    state: 'adding' as const,
  };
  await changeCodenameState(layout(), CODENAME, (state) => ({ ...state, holdback: [note] }));
  expect(await list()).toEqual({ heldBack: [], history: [] });
  expect((await mirror.run('holdback', 'remove', CODENAME, 'openssl')).code).toBe(3);
  expect(await entries()).toEqual([]);
});

test('notes and packages: what each leaves of the other', () => {
  const item = { name: 'a', epoch: '0', version: '1', release: '1', arch: 'noarch', size: 1, path: 'x86_64/Packages/a', trees: ['x86_64'] };
  const present = [{ ...item, checksum: { algorithm: 'sha256' as const, hex: 'aa' } }];
  const entry = { nevra: 'a-1-1.noarch', sha256: 'aa', reason: 'r', since: 's' };
  const at = '2026-11-22T00:00:00.000Z';
  const table = [
    [{ ...entry, state: 'adding' }, present, [{ ...entry, state: 'held' }]],
    [{ ...entry, state: 'adding' }, [], []],
    [{ ...entry, state: 'held' }, present, [{ ...entry, state: 'held' }]],
    [{ ...entry, state: 'held', removedBecause: 'why' }, present, [{ ...entry, state: 'held' }]],
    [{ ...entry, state: 'held', removedBecause: 'why' }, [], [{ ...entry, state: 'removed', removedAt: at, removedBecause: 'why' }]],
    [{ ...entry, state: 'removed', removedAt: 't' }, present, [{ ...entry, state: 'removed', removedAt: 't' }]],
  ] as const;
  for (const [before, packages, after] of table) expect(settled([before], packages, at)).toEqual(after);
});

test('a package that lost its note gets another one by the same command; a note that cannot be read stops everything', async () => {
  await add(first);
  const path = layout().codenameState(CODENAME);
  const before = readFileSync(path, 'utf8');
  rmSync(path);
  expect((await list()).heldBack).toMatchObject([{ package: 'openssl-1-1.noarch' }]);
  expect((await mirror.run('holdback', 'list')).stdout).toContain('nobody noted why');
  await add(first, 'bug 8');
  expect((await list()).heldBack).toMatchObject([{ package: 'openssl-1-1.noarch', reason: 'bug 8' }]);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, before.slice(0, 40));
  expect((await mirror.run('holdback', 'list')).code).toBe(7);
  expect((await mirror.run('holdback', 'remove', CODENAME, 'openssl')).code).toBe(7);
  expect(mirror.currentTarget(HOLDBACK)).toBeDefined();
});
