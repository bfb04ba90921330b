/** Declarations that change, and change back, around what owners published: nothing of it is lost, and nothing stays public that should not. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readCodenameState } from '../../content/codename-state';
import { Layout } from '../../content/layout';
import type { PrepareOutcome } from '../../content/prepare';
import { hostedFixture, HostedMirror, type RpmOptions, signedRpm } from './support/hosted';
import type { TestKey } from './support/keys';

jest.setTimeout(120_000);

const FORMER = 'acme/mos7.0-centos6';
const NEXT = 'acme/mos7.1-centos6';
let owner: TestKey;
let mirror: HostedMirror;

const work = hostedFixture('declared-again', undefined, (made) => ({ owner, mirror } = made));

const rpm = (name: string, options: Partial<RpmOptions> = {}): string =>
  signedRpm(mkdtempSync(join(work, 'rpm-')), owner, { name, ...options });
async function prepare(): Promise<PrepareOutcome> {
  const ran = await mirror.run('prepare', '--json', '--signing-key', join(mirror.configuration, 'secrets/signing-key'));
  expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(ran.stdout) as PrepareOutcome;
}
async function ok(...argv: string[]): Promise<void> {
  const { code, stderr } = await mirror.run(...argv);
  expect({ code, stderr }).toMatchObject({ code: 0 });
}
/** What the metadata of a tree lists. */
const listed = async (id: string, tree = 'x86_64'): Promise<readonly string[]> => {
  const { packagesOf } = await import('../../content/component-record');
  return (await packagesOf(layout(), id))
    .filter(({ trees }) => trees.includes(tree))
    .map(({ name, version }) => `${name}-${version}`)
    .sort();
};
const layout = (): Layout => new Layout(mirror.root, mirror.state, mirror.configuration);
const undeclare = (id: string): void => rmSync(join(mirror.configuration, `definitions/codenames/${id}.yaml`));
const links = (codename = FORMER): readonly string[] => readdirSync(layout().publicSnapshots(codename)).sort();

/** Another id, which goes on with what the former one has. */
async function rename(change: object = {}): Promise<PrepareOutcome> {
  undeclare(FORMER);
  mirror.codename(NEXT, { formerId: FORMER, ...change });
  return prepare();
}
/** As `mirror-host` prepares again for the generation that goes on to serve. */
async function takeBack(): Promise<void> {
  undeclare(NEXT);
  mirror.codename(FORMER);
  await prepare();
}

test('what is published under a new id stays, however often it is prepared; so do the freeze and what is held back', async () => {
  mirror.codename(FORMER);
  await prepare();
  await ok('publish', `${FORMER}/os`, rpm('base'));
  await ok('ga', 'freeze', FORMER);
  await ok('holdback', 'add', FORMER, rpm('openssl'), '--reason', 'bug 7');
  await ok('publish', `${FORMER}/updates`, rpm('a'));
  expect((await rename()).adopted).toHaveLength(5);
  await ok('publish', `${NEXT}/updates`, rpm('a', { version: '2' }));
  await ok('holdback', 'add', NEXT, rpm('bash'), '--reason', 'bug 8');
  const state = await readCodenameState(layout(), NEXT);
  for (const changed of [{}, {}, { keyFile: 'RPM-GPG-KEY-mos7.1' }, { keyFile: 'RPM-GPG-KEY-mos7.1' }]) {
    mirror.codename(NEXT, { formerId: FORMER, ...changed });
    expect((await prepare()).adopted).toEqual([]);
    expect(await listed(`${NEXT}/updates`)).toEqual(['a-1', 'a-2']);
    expect(await listed(`${NEXT}/holdback`)).toEqual(['bash-1', 'openssl-1']);
    expect(await listed(`${NEXT}/os`)).toEqual(['base-1']);
    expect(await readCodenameState(layout(), NEXT)).toEqual(state);
    const latest = realpathSync(join(layout().publicSnapshots(NEXT), 'updates-latest'));
    expect(latest).toBe(realpathSync(mirror.published(`${NEXT}/updates`)));
  }
  expect(await listed(`${FORMER}/updates`)).toEqual(['a-1']);
  expect((await mirror.run('publish', `${NEXT}/os`, rpm('base', { version: '2' }))).stderr).toContain('is frozen since');
});

test.each([
  ['as it was', {}],
  ['with other keys, of which the new id got a snapshot of its own', { keyFile: 'RPM-GPG-KEY-mos7.1' }],
])('a deploy that was taken back: what the former id published and did since, the next one has, %s', async (_, change) => {
  mirror.codename(FORMER);
  await prepare();
  await ok('publish', `${FORMER}/updates`, rpm('a'));
  await ok('holdback', 'add', FORMER, rpm('openssl'), '--reason', 'bug 7');
  await rename(change);
  await takeBack();
  await ok('publish', `${FORMER}/updates`, rpm('b'));
  await ok('holdback', 'add', FORMER, rpm('bash'), '--reason', 'bug 8');
  await ok('ga', 'freeze', FORMER);
  const adopted = (await rename(change)).adopted.map(({ id }) => id);
  expect(adopted).toEqual(expect.arrayContaining([`${NEXT}/updates`, `${NEXT}/holdback`]));
  expect(await listed(`${NEXT}/updates`)).toEqual(['a-1', 'b-1']);
  expect(await listed(`${NEXT}/holdback`)).toEqual(['bash-1', 'openssl-1']);
  expect((await mirror.run('publish', `${NEXT}/os`, rpm('base'))).stderr).toContain('is frozen since');
  const { holdback, generalAvailability } = await readCodenameState(layout(), NEXT);
  expect(holdback.map(({ reason }) => reason)).toEqual(['bug 7', 'bug 8']);
  expect(generalAvailability).toHaveLength(1);
});

test('an architecture that is declared again has what it had, through a deploy that is taken back, too', async () => {
  const id = `${FORMER}/updates`;
  const both = { architectures: ['x86_64', 'aarch64'] };
  mirror.codename(FORMER, both);
  await prepare();
  await ok('publish', id, rpm('a', { arch: 'aarch64' }), rpm('a', { arch: 'x86_64' }), rpm('n'));
  const before = mirror.repomd(id, 'aarch64');
  mirror.codename(FORMER);
  await prepare();
  expect(existsSync(mirror.published(id, 'aarch64'))).toBe(false);
  mirror.codename(FORMER, both);
  // It is as complete as it was.
  expect((await prepare()).incomplete).toEqual([]);
  expect(mirror.repomd(id, 'aarch64')).toBe(before);
  expect(readdirSync(mirror.published(id, 'aarch64/Packages')).sort()).toEqual(['a-1-1.aarch64.rpm', 'n-1-1.noarch.rpm']);
  const record = (): unknown => JSON.parse(readFileSync(layout().record(id, mirror.snapshots(id).at(-1) as string, 'component'), 'utf8'));
  expect(record()).toMatchObject({ packages: 3 });
  // Once more, with packages meanwhile.
  mirror.codename(FORMER);
  await prepare();
  const late = rpm('late');
  await ok('publish', id, late);
  mirror.codename(FORMER, both);
  expect((await prepare()).incomplete).toEqual([{ id, tree: 'aarch64', packages: ['late-1-1.noarch'] }]);
  expect(await listed(id, 'aarch64')).toEqual(['a-1', 'n-1']);
  await ok('publish', id, late, rpm('b', { arch: 'aarch64' }));
  expect(await listed(id, 'aarch64')).toEqual(['a-1', 'b-1', 'late-1', 'n-1']);
  expect(record()).toMatchObject({ packages: 5 });
});

test('an architecture that is new begins empty, and prepare says which packages belong there, too', async () => {
  const id = `${FORMER}/updates`;
  mirror.codename(FORMER);
  await prepare();
  const file = rpm('n');
  await ok('publish', id, file, rpm('a', { arch: 'x86_64' }));
  mirror.codename(FORMER, { architectures: ['x86_64', 'aarch64'] });
  const ran = await mirror.run('prepare');
  expect(ran.stdout).toContain(
    `warning: ${id}: aarch64 lacks n-1-1.noarch, which the other architectures have: publish the same files again\n`,
  );
  expect(await listed(id, 'aarch64')).toEqual([]);
  expect((await mirror.publish(id, file)).outcome.files).toMatchObject([{ result: 'published', trees: ['aarch64'] }]);
  expect(await listed(id, 'aarch64')).toEqual(['n-1']);
  expect((await prepare()).incomplete).toEqual([]);
});

test('a component that is not declared any more has no public snapshots, whatever happens to its snapshots, until it is again', async () => {
  const id = `${FORMER}/cr`;
  mirror.codename(FORMER);
  await prepare();
  await ok('publish', id, rpm('a'));
  const before = links();
  const ofCr = before.filter((name) => name.startsWith('cr-'));
  expect(ofCr).toHaveLength(4);
  mirror.codename(FORMER, { components: ['os', 'updates'] });
  await prepare();
  expect(links()).toEqual(before.filter((name) => /^(os|updates)-/.test(name)));
  expect(mirror.snapshots(id)).toHaveLength(2);
  const { putAway, putBack } = await import('../../content/quarantine');
  const item = { kind: 'snapshot', id, snapshot: mirror.snapshots(id)[0] as string } as const;
  await putAway(layout(), item, new Date());
  await putBack(layout(), item);
  expect(links().filter((name) => name.startsWith('cr-'))).toEqual([]);
  mirror.codename(FORMER);
  await prepare();
  expect(links()).toEqual(before);
  expect(await listed(id)).toEqual(['a-1']);
});
