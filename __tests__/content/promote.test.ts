import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Layout } from '../../content/layout';
import { Lock } from '../../content/lock';
import type { PromoteOutcome } from '../../content/promote';
import { hostedFixture, HostedMirror, signedRpm } from './support/hosted';
import type { TestKey } from './support/keys';
import type { Ran } from './support/mirror';

jest.setTimeout(180_000);

const CODENAME = 'acme/mos7.0-centos6';
const CR = `${CODENAME}/cr`;
const UPDATES = `${CODENAME}/updates`;
let owner: TestKey;
let mirror: HostedMirror;

const work = hostedFixture('promote', CODENAME, (made) => ({ owner, mirror } = made));

const rpm = (name: string, version = '1', more: object = {}): string =>
  signedRpm(mkdtempSync(join(work, 'rpm-')), owner, { name, version, ...more });

async function publish(component: string, ...files: string[]): Promise<void> {
  expect(await mirror.publish(`${CODENAME}/${component}`, ...files)).toMatchObject({ code: 0 });
}

async function promote(...argv: string[]): Promise<Ran & { readonly outcome: PromoteOutcome }> {
  const ran = await mirror.run('promote', CODENAME, ...argv, '--json');
  return { ...ran, outcome: JSON.parse(ran.stdout === '' ? 'null' : ran.stdout) as PromoteOutcome };
}

const tick = (): Promise<false> => new Promise((resolve) => setImmediate(() => resolve(false)));

/** Names of the packages that a component lists, by its served metadata. */
function listed(component: string, tree = 'x86_64'): readonly string[] {
  const directory = mirror.published(`${CODENAME}/${component}`, tree);
  const href = /<data type="primary">[^]*?href="([^"]+)"/.exec(readFileSync(join(directory, 'repodata/repomd.xml'), 'utf8'))?.[1];
  const primary = gunzipSync(readFileSync(join(directory, href as string))).toString();
  return [...primary.matchAll(/<location href="([^"]+)"/g)].map(([, path]) => basename(path as string)).sort();
}

test('what is promoted is in updates, the same file, and no longer in cr; others stay', async () => {
  await publish('cr', rpm('nova'), rpm('nova-api'), rpm('glance'), rpm('nova', '1', { arch: 'src' }));
  const inode = statSync(mirror.published(CR, 'x86_64/Packages/nova-1-1.noarch.rpm')).ino;
  const { code, outcome } = await promote('nova');
  expect(code).toBe(0);
  expect(outcome).toMatchObject({
    from: CR,
    to: UPDATES,
    published:
      ['nova-1-1.src', 'nova-1-1.noarch'].sort().reverse() && (expect.arrayContaining(['nova-1-1.noarch', 'nova-1-1.src']) as unknown),
    there: [],
    left: expect.arrayContaining(['nova-1-1.noarch', 'nova-1-1.src']) as unknown,
    done: [],
    refused: [],
  });
  expect(listed('updates')).toEqual(['nova-1-1.noarch.rpm']);
  expect(listed('updates', 'Source')).toEqual(['nova-1-1.src.rpm']);
  expect(listed('cr')).toEqual(['glance-1-1.noarch.rpm', 'nova-api-1-1.noarch.rpm']);
  expect(listed('cr', 'Source')).toEqual([]);
  expect(statSync(mirror.published(UPDATES, 'x86_64/Packages/nova-1-1.noarch.rpm')).ino).toBe(inode);
  // The snapshots by time have followed.
  const latest = readlinkSync(join(mirror.root, 'public-snapshots', CODENAME, 'updates-latest'));
  expect(readFileSync(join(mirror.root, 'public-snapshots', CODENAME, 'updates-latest.target.txt'), 'utf8')).toBe(`${latest}\n`);
  expect(existsSync(join(mirror.root, 'public-snapshots', CODENAME, latest, 'x86_64/Packages/nova-1-1.noarch.rpm'))).toBe(true);
});

test('a version, everything, another component; in words', async () => {
  await publish('cr', rpm('nova'));
  await publish('cr', rpm('nova', '2'));
  expect((await promote('nova-1-1.noarch')).outcome.published).toEqual(['nova-1-1.noarch']);
  expect(listed('cr')).toEqual(['nova-2-1.noarch.rpm']);
  await publish('cr', rpm('glance'));
  expect((await mirror.run('promote', CODENAME, 'glance', '--to', 'security')).stdout).toBe(
    `glance-1-1.noarch: published in ${CODENAME}/security\n1 package moved from ${CR} to ${CODENAME}/security\n`,
  );
  expect((await promote('--all')).outcome).toMatchObject({ published: ['nova-2-1.noarch'], left: ['nova-2-1.noarch'] });
  expect((await mirror.run('promote', CODENAME, '--all')).stdout).toBe(`nothing to promote from ${CR}\n`);
  expect(listed('updates')).toEqual(['nova-1-1.noarch.rpm', 'nova-2-1.noarch.rpm']);
});

test('a dry run says what would be, and changes nothing', async () => {
  await publish('cr', rpm('nova'));
  const before = [mirror.currentTarget(CR), mirror.currentTarget(UPDATES)];
  const { outcome } = await promote('--all', '--dry-run');
  expect(outcome).toMatchObject({ dryRun: true, published: ['nova-1-1.noarch'], left: ['nova-1-1.noarch'] });
  expect((await mirror.run('promote', CODENAME, '--all', '--dry-run')).stdout).toBe(
    `nova-1-1.noarch: would be published in ${UPDATES}\n1 package would be moved from ${CR} to ${UPDATES}\n`,
  );
  expect([mirror.currentTarget(CR), mirror.currentTarget(UPDATES)]).toEqual(before);
  expect(mirror.snapshots(UPDATES)).toHaveLength(1);
});

test('what breaks a rule of publishing is refused, with all of the call, and both components are as before', async () => {
  await publish('updates', rpm('nova', '2'));
  await publish('cr', rpm('nova'), rpm('glance'));
  const before = [mirror.currentTarget(CR), mirror.currentTarget(UPDATES)];
  for (const dryRun of [[], ['--dry-run']]) {
    const { code, outcome, stderr } = await promote('--all', ...dryRun);
    expect(code).toBe(3);
    expect(outcome).toMatchObject({ published: [], left: [], refused: [{ package: 'nova-1-1.noarch', code: 'PACKAGE_OLDER' }] });
    expect(stderr).toContain('nova-1-1.noarch: it is older than nova-2-1.noarch, which is published\n  ');
  }
  expect([mirror.currentTarget(CR), mirror.currentTarget(UPDATES)]).toEqual(before);
  expect((await promote('nova', '--allow-downgrade')).outcome.published).toEqual(['nova-1-1.noarch']);
  expect(listed('updates')).toEqual(['nova-1-1.noarch.rpm', 'nova-2-1.noarch.rpm']);

  await publish('cr', rpm('nova', '2', { content: 'other' }));
  const changed = await promote('nova');
  expect(changed.outcome.refused).toMatchObject([{ package: 'nova-2-1.noarch', code: 'PACKAGE_CHANGED' }]);
  expect(listed('cr')).toEqual(['glance-1-1.noarch.rpm', 'nova-2-1.noarch.rpm']);
});

test('a run that was killed between the two components is finished by the same command, and one more changes nothing', async () => {
  const file = rpm('nova');
  await publish('cr', file);
  // So the first half leaves it.
  await publish('updates', file);
  const snapshots = mirror.snapshots(UPDATES).length;
  expect((await promote('nova')).outcome).toMatchObject({ published: [], there: ['nova-1-1.noarch'], left: ['nova-1-1.noarch'] });
  expect(mirror.snapshots(UPDATES)).toHaveLength(snapshots);
  expect(listed('cr')).toEqual([]);
  const again = await promote('nova');
  expect(again).toMatchObject({ code: 0, outcome: { left: [], done: [{ name: 'nova', there: ['nova-1-1.noarch'] }] } });
});

test.each(['updates', 'cr'])('killed as soon as %s is published anew, and run again: in updates and not in cr', async (component) => {
  await publish('cr', rpm('nova'), rpm('glance'));
  const id = `${CODENAME}/${component}`;
  const before = mirror.currentTarget(id);
  const started = mirror.start('promote', CODENAME, 'nova', 'glance');
  const ended = started.done.then(() => true);
  while (mirror.currentTarget(id) === before && !(await Promise.race([ended, tick()])));
  started.kill();
  expect((await started.done).code).toBeNull();
  expect(mirror.currentTarget(id)).not.toBe(before);
  // At any time each is in one of the two.
  expect([...new Set([...listed('cr'), ...listed('updates')])].sort()).toEqual(['glance-1-1.noarch.rpm', 'nova-1-1.noarch.rpm']);
  expect(listed('cr')).toHaveLength(component === 'updates' ? 2 : 0);
  expect((await promote('nova', 'glance')).code).toBe(0);
  expect(listed('cr')).toEqual([]);
  expect(listed('updates')).toEqual(['glance-1-1.noarch.rpm', 'nova-1-1.noarch.rpm']);
  const links = join(mirror.root, 'public-snapshots', CODENAME);
  expect(readdirSync(links).filter((name) => name.startsWith('.'))).toEqual([]);
  expect(readdirSync(links).filter((name) => /^updates-\d/.test(name))).toHaveLength(mirror.snapshots(UPDATES).length);
});

test('two at once: whoever is second finds it done, and says so', async () => {
  await publish('cr', rpm('nova'));
  const lock = await Lock.take(new Layout(mirror.root, mirror.state, mirror.configuration).lockFile(CR), CR);
  const both = [1, 2].map(() => mirror.start('promote', CODENAME, 'nova', '--json'));
  while (!both.every((one) => one.said().includes(`${CR} is locked by`))) await tick();
  await lock.release();
  const ran = await Promise.all(both.map(({ done }) => done));
  expect(ran.map(({ code, stderr }) => ({ code, stderr: stderr.replace(/^.*waiting for it to end\n/gm, '') }))).toEqual([
    { code: 0, stderr: '' },
    { code: 0, stderr: '' },
  ]);
  expect(ran.map(({ stdout }) => (JSON.parse(stdout) as PromoteOutcome).left.length).sort()).toEqual([0, 1]);
  expect([listed('cr'), listed('updates')]).toEqual([[], ['nova-1-1.noarch.rpm']]);
});

test('a frozen os takes nothing, by publish or promotion, and says where it goes instead', async () => {
  await publish('os', rpm('nova'));
  await publish('cr', rpm('glance'));
  expect((await mirror.run('ga', 'freeze', CODENAME)).stdout).toContain('1 package, ');
  const before = mirror.currentTarget(`${CODENAME}/os`);
  const published = await mirror.run('publish', `${CODENAME}/os`, rpm('cinder'));
  expect(published.code).toBe(3);
  expect(published.stderr).toContain(`${CODENAME}/os is frozen since the general availability of ${CODENAME} on `);
  expect(published.stderr).toContain(
    `Publish to cr, and promote to updates: mirrorctl promote ${CODENAME}. Security fixes are published to security.`,
  );
  expect((await mirror.run('promote', CODENAME, 'glance', '--to', 'os')).code).toBe(3);
  expect(mirror.currentTarget(`${CODENAME}/os`)).toBe(before);
  expect(listed('cr')).toEqual(['glance-1-1.noarch.rpm']);
  expect((await mirror.run('ga', 'thaw', CODENAME, '--reason', 'cinder was forgotten')).code).toBe(0);
  expect((await mirror.run('promote', CODENAME, 'glance', '--to', 'os')).code).toBe(0);
  expect(listed('os')).toEqual(['glance-1-1.noarch.rpm', 'nova-1-1.noarch.rpm']);
});

test.each([
  [['nova'], 3, `${CR} has no package "nova", nor has ${UPDATES}\n  There is glance-1-1.noarch. Nothing was changed.`],
  [['glance', '--from', 'nothing'], 2, `${CODENAME} has no component "nothing"\n  It has os, updates, security, holdback, cr.`],
  [['glance', '--to', 'cr'], 3, `packages are in ${CR} already`],
  [['glance', '--from', 'os'], 3, `packages do not leave ${CODENAME}/os by promotion`],
  [['glance', '--from', 'holdback'], 3, 'mirrorctl holdback remove'],
  [['glance', '--to', 'holdback'], 3, 'holds packages back for a time, each for a reason'],
  [[], 2, 'wants packages, or --all'],
  [['glance', '--all'], 2, 'wants packages, or --all'],
])('%j: refused, and nothing changes', async (argv, code, message) => {
  await publish('cr', rpm('glance'));
  const ran = await mirror.run('promote', CODENAME, ...argv);
  expect({ ...ran, stdout: '' }).toMatchObject({ code });
  expect(ran.stderr).toContain(message);
  expect(listed('cr')).toEqual(['glance-1-1.noarch.rpm']);
  expect(mirror.snapshots(UPDATES)).toHaveLength(1);
});
