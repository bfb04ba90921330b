import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { readCodenameState, requireOpen } from '../../content/codename-state';
import { hostedComponents, readDefinitions } from '../../content/definitions';
import { Layout } from '../../content/layout';
import { dropKey, makeKey, type TestKey } from './support/keys';
import { HostedMirror, signedRpm } from './support/hosted';
import { type Ran, TestMirror } from './support/mirror';

jest.setTimeout(60_000);

const CODENAME = 'acme/mos9.0-centos7';
const work = mkdtempSync(join(tmpdir(), 'ga-'));
let own: TestKey;
let mirror: TestMirror;

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'mirror');
});
afterAll(() => {
  dropKey(own);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  mirror = new TestMirror();
  mirror.signBy(own);
});
afterEach(() => mirror.remove());

function codename(id: string, change: object = {}): void {
  const [owner] = id.split('/') as [string];
  mirror.write(`definitions/codenames/${id}.yaml`, {
    kind: 'codename',
    id,
    owner,
    release: '9.0',
    distribution: 'centos',
    version: '7',
    publicPath: `${owner}/centos/${id.slice(owner.length + 1)}`,
    components: ['os', 'updates', 'holdback', 'cr'],
    architectures: ['x86_64'],
    keyFile: 'RPM-GPG-KEY-mos9.0',
    keys: [],
    ...change,
  });
}

async function json<T>(...argv: string[]): Promise<T> {
  const ran = await mirror.run(...argv, '--json');
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(ran.stdout) as T;
}
const refusal = ({ code, stderr }: Ran): [number | null, string] => [code, stderr];
const layout = (): Layout => new Layout(mirror.root, mirror.state, mirror.configuration);
async function open(component: string, holdback = false): Promise<unknown> {
  const found = hostedComponents(await readDefinitions(mirror.configuration)).find(({ id }) => id === `${CODENAME}/${component}`);
  if (found === undefined) throw new Error(`${component} is not declared`);
  return requireOpen(layout(), found, holdback).then(
    () => 'open',
    (error: unknown) => (error as { code: string }).code,
  );
}

test('os is frozen, once; the freeze is in the status, and refuses every change of its packages until it is undone for a reason', async () => {
  codename(CODENAME);
  expect((await mirror.run('prepare')).code).toBe(0);
  expect(await open('os')).toBe('open');
  const snapshot = mirror.currentTarget(`${CODENAME}/os`)?.slice('snapshots/'.length);
  const first = await json<{ frozen: { at: string } }>('ga', 'freeze', CODENAME);
  expect(first).toEqual({ codename: CODENAME, changed: true, frozen: { at: expect.any(String) as string, snapshot, packages: 0 } });
  expect(await open('os')).toBe('FROZEN');
  expect(await open('updates')).toBe('open');
  const again = await mirror.run('ga', 'freeze', CODENAME);
  expect(again.stdout).toBe(
    `${CODENAME}/os was frozen on ${first.frozen.at.slice(0, 10)} already: 0 packages, snapshot ${snapshot as string}\n`,
  );
  expect((await mirror.run('status')).stdout).toContain(
    `Frozen at general availability: ${CODENAME}/os since ${first.frozen.at.slice(0, 10)}\n`,
  );
  const { repositories } = await json<{ repositories: { id: string; frozen?: string }[] }>('status');
  expect(repositories.filter(({ frozen }) => frozen !== undefined)).toMatchObject([{ id: `${CODENAME}/os`, frozen: first.frozen.at }]);

  expect(refusal(await mirror.run('ga', 'thaw', CODENAME))[0]).toBe(2);
  expect(refusal(await mirror.run('ga', 'thaw', CODENAME, '--reason', ' '))[0]).toBe(2);
  expect(await open('os')).toBe('FROZEN');
  expect((await mirror.run('ga', 'thaw', CODENAME, '--reason', 'a day too early')).code).toBe(0);
  expect(await open('os')).toBe('open');
  const [code, stderr] = refusal(await mirror.run('ga', 'thaw', CODENAME, '--reason', 'again'));
  expect([code, stderr]).toEqual([3, `mirrorctl: ${CODENAME}/os is not frozen\n  mirrorctl ga list says which codenames are.\n`]);
  expect(await json('ga', 'list')).toMatchObject({
    codenames: [{ codename: CODENAME, declared: true, undone: [{ at: first.frozen.at, undone: { reason: 'a day too early' } }] }],
  });
  expect((await mirror.run('ga', 'list')).stdout).toMatch(/^acme\/mos9\.0-centos7 +open .* open again on \S+: a day too early$/m);
});

test('a key that changes is published in a frozen os, and it stays frozen; so it does without its construct, and under another id', async () => {
  codename(CODENAME);
  await mirror.run('prepare');
  await json('ga', 'freeze', CODENAME);
  codename(CODENAME, { keyFile: 'RPM-GPG-KEY-mos9.1' });
  expect((await json<{ changed: unknown[] }>('prepare')).changed).toHaveLength(4);
  expect(await open('os')).toBe('FROZEN');
  rmSync(join(mirror.configuration, `definitions/codenames/${CODENAME}.yaml`));
  await mirror.run('prepare');
  expect(await json('ga', 'list')).toMatchObject({ codenames: [{ codename: CODENAME, declared: false, frozen: { packages: 0 } }] });
  codename('widgets/mos9.0-centos7', { formerId: CODENAME });
  expect((await json<{ adopted: unknown[] }>('prepare')).adopted).toHaveLength(4);
  const before = await readCodenameState(layout(), CODENAME);
  expect(await readCodenameState(layout(), 'widgets/mos9.0-centos7')).toMatchObject(before);
  codename(CODENAME);
  expect(await open('os')).toBe('FROZEN');
  // What was done with the new id since is not overwritten.
  expect((await mirror.run('ga', 'thaw', 'widgets/mos9.0-centos7', '--reason', 'not yet')).code).toBe(0);
  await mirror.run('prepare');
  expect((await readCodenameState(layout(), 'widgets/mos9.0-centos7')).generalAvailability).toMatchObject([
    { undone: { reason: 'not yet' } },
  ]);
});

test('a package for all architectures counts once, however many architectures have it', async () => {
  const owner = makeKey(join(work, 'owner'), 'acme');
  const hosted = new HostedMirror(own, owner);
  try {
    hosted.codename(CODENAME, { architectures: ['x86_64', 'aarch64'] });
    await hosted.prepare();
    const files = ['a', 'b'].map((name) => signedRpm(mkdtempSync(join(work, 'rpm-')), owner, { name }));
    expect((await hosted.publish(`${CODENAME}/os`, ...files)).code).toBe(0);
    const frozen = await hosted.run('ga', 'freeze', CODENAME, '--json');
    expect(JSON.parse(frozen.stdout)).toMatchObject({ frozen: { packages: 2 } });
  } finally {
    hosted.remove();
    dropKey(owner);
  }
});

test('a codename of the product by its name alone; names that are none, and what cannot be frozen', async () => {
  codename('mos/mos9.0-centos7');
  codename('acme/tools', { components: ['tools'] });
  expect(refusal(await mirror.run('ga', 'freeze', 'mos9.0-centos7'))).toEqual([
    7,
    'mirrorctl: mos/mos9.0-centos7/os does not exist yet\n  A deploy makes it; by hand, as root: mirrorctl prepare.\n',
  ]);
  await mirror.run('prepare');
  expect(await json('ga', 'freeze', 'mos9.0-centos7')).toMatchObject({ codename: 'mos/mos9.0-centos7', changed: true });
  const [code, stderr] = refusal(await mirror.run('ga', 'freeze', 'mos9.0-centos8'));
  expect(code).toBe(2);
  expect(stderr).toContain('no codename "mos9.0-centos8" is declared on this server\n  There is acme/tools, mos9.0-centos7.');
  expect(refusal(await mirror.run('ga', 'freeze', 'acme/tools'))).toEqual([
    3,
    'mirrorctl: acme/tools has no component os, which is what general availability freezes; it has tools\n  Name os among its components in main.ts, and deploy.\n',
  ]);
});

test('a state that cannot be read opens nothing', async () => {
  codename(CODENAME);
  await mirror.run('prepare');
  const path = layout().codenameState(CODENAME);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '{"version":1');
  expect(await open('os')).toBe('STATE_DAMAGED');
  expect(refusal(await mirror.run('ga', 'freeze', CODENAME))[0]).toBe(7);
  expect(readFileSync(path, 'utf8')).toBe('{"version":1');
  const { repositories } = await json<{ repositories: { id: string; result: string }[] }>('status');
  expect(repositories.find(({ id }) => id === `${CODENAME}/os`)?.result).toBe('damaged');
});

test('holdback is for those who say why', async () => {
  codename(CODENAME);
  expect(await open('holdback')).toBe('HOLDBACK_NEEDS_REASON');
  expect(await open('holdback', true)).toBe('open');
});
