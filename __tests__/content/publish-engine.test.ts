/** The engine of publishing as other commands use it, many packages at once, and what a full disk does to it. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { componentNamed } from '../../content/component-name';
import { packagesOf } from '../../content/component-record';
import { readDefinitions } from '../../content/definitions';
import { Layout } from '../../content/layout';
import { offersIn } from '../../content/offered';
import { type Change, changeComponent, type ChangeOutcome, type PublishContext } from '../../content/publish';
import { Lock } from '../../content/lock';
import { outcomeLines } from '../../content/publish-text';
import { expectedFiles } from '../../content/expected';
import { currentSnapshot } from '../../content/snapshot';
import { openSigner } from '../../signatures/sign';
import { hostedFixture, HostedMirror, signedRpm } from './support/hosted';
import type { TestKey } from './support/keys';

jest.setTimeout(300_000);

const ID = 'acme/mos7.0-centos6/updates';
let own: TestKey;
let owner: TestKey;
let mirror: HostedMirror;

const work = hostedFixture('engine', 'acme/mos7.0-centos6', (made) => ({ own, owner, mirror } = made));

/** Calls the engine in this process. */
async function change(what: Omit<Change, 'component'>, component = ID, more: Partial<PublishContext> = {}): Promise<ChangeOutcome> {
  const definitions = await readDefinitions(mirror.configuration);
  const layout = new Layout(mirror.root, mirror.state, definitions.directory);
  const signer = await openSigner(() => [{ text: Buffer.from(own.secretKey), from: 'the key of the test' }], layout.signingIdentities);
  try {
    return await changeComponent(
      {
        layout,
        definitions,
        declared: () => readDefinitions(mirror.configuration),
        signer: () => Promise.resolve(signer),
        now: () => new Date(),
        say: () => undefined,
        waitSeconds: 5,
        ...more,
      },
      { component: componentNamed(definitions, component), ...what },
    );
  } finally {
    await signer.close();
  }
}

const layoutOf = (): Layout => new Layout(mirror.root, mirror.state, mirror.configuration);
const names = async (id = ID): Promise<readonly string[]> =>
  (await packagesOf(layoutOf(), id)).map(({ name, version }) => `${name}-${version}`).sort();

test('packages leave, and stay fetchable in their grace; until it ends no other content takes their place', async () => {
  const [one, two] = [signedRpm(work, owner, { name: 'one' }), signedRpm(work, owner, { name: 'two' })];
  await change({ add: offersIn([one, two]), remove: [] });
  const outcome = await change({ add: [], remove: ['one-1-1.noarch'] });
  expect(outcome).toMatchObject({ removed: ['one-1-1.noarch'], packages: 1 });
  expect(await names()).toEqual(['two-1']);
  expect(readdirSync(mirror.published(ID, 'x86_64/Packages')).sort()).toEqual(['one-1-1.noarch.rpm', 'two-1-1.noarch.rpm']);
  const other = signedRpm(mkdtempSync(join(work, 'other-')), owner, { name: 'one', content: 'other' });
  expect((await change({ add: offersIn([other]), remove: [] })).files[0]).toMatchObject({
    code: 'PACKAGE_CHANGED',
    message: expect.stringMatching(/was published with other content, which clients may ask for until 20/),
  });
  const later = { now: () => new Date(Date.now() + 73 * 3_600_000) };
  expect((await change({ add: offersIn([other]), remove: [], dryRun: true }, ID, later)).files[0]).toMatchObject({ result: 'published' });
  expect((await change({ add: offersIn([one]), remove: [] })).files[0]).toMatchObject({ result: 'published' });
  await expect(change({ add: [], remove: ['three-1-1.noarch'] })).rejects.toMatchObject({ code: 'NOT_PUBLISHED' });
});

test('from one component to another: no new bytes; a dry run changes nothing; who is asked before a publish hears what comes', async () => {
  const file = signedRpm(work, owner, { name: 'moved' });
  const cr = 'acme/mos7.0-centos6/cr';
  await change({ add: offersIn([file]), remove: [] }, cr);
  const [item] = await packagesOf(layoutOf(), cr);
  const add = [{ file: mirror.published(cr, item?.path as string), checksum: item?.checksum as NonNullable<typeof item>['checksum'] }];
  const before = mirror.currentTarget(ID);
  expect((await change({ add, remove: [], dryRun: true })).files[0]).toMatchObject({ result: 'published' });
  expect(mirror.currentTarget(ID)).toBe(before);
  const heard: unknown[] = [];
  const beforePublish = (...what: unknown[]): Promise<void> => Promise.resolve(void heard.push(what, mirror.currentTarget(ID)));
  await change({ add, remove: [], beforePublish });
  expect(heard).toEqual([[[{ nevra: 'moved-1-1.noarch', sha256: item?.checksum.hex }], []], before]);
  const inodes = [cr, ID].map((id) =>
    execFileSync('stat', ['-c', '%i', mirror.published(id, 'x86_64/Packages', basename(file))], { encoding: 'utf8' }),
  );
  expect(inodes[0]).toBe(inodes[1]);
});

test('scrub finds all of a component as it was published, and backups know every file of it', async () => {
  await change({ add: offersIn([signedRpm(work, owner, { name: 'whole' })]), remove: [] });
  const snapshot = (await currentSnapshot(layoutOf(), ID)) as string;
  const expected = (await expectedFiles(layoutOf(), ID, snapshot)).map(({ path }) => path);
  expect(expected).toEqual(
    expect.arrayContaining([
      'RPM-GPG-KEY-mos7.0',
      'x86_64/repodata/repomd.xml',
      'x86_64/repodata/repomd.xml.asc',
      'x86_64/Packages/whole-1-1.noarch.rpm',
    ]),
  );
  const scrub = await mirror.run('scrub', '--all', '--json');
  expect(scrub).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(scrub.stdout)).toMatchObject({ lost: [], repaired: [], unfinished: [] });
});

test('prepare takes over what was published: a new architecture gets an empty tree, and the next publish goes on', async () => {
  const file = signedRpm(work, owner, { name: 'stays' });
  await change({ add: offersIn([file]), remove: [] });
  mirror.codename('acme/mos7.0-centos6', { architectures: ['x86_64', 'aarch64'] });
  await mirror.prepare();
  expect(await names()).toEqual(['stays-1']);
  // It is missing in the new tree.
  expect((await change({ add: offersIn([file]), remove: [] })).files[0]).toMatchObject({ result: 'published', trees: ['aarch64'] });
  expect((await mirror.run('status', ID)).stdout).toMatch(/ready .* 1 /);
});

test('public snapshots that cannot be written: it is published all the same, that is said, and the next publish puts them right', async () => {
  const directory = join(mirror.root, 'public-snapshots/acme');
  rmSync(directory, { recursive: true });
  writeFileSync(directory, '');
  const said: string[] = [];
  const say = (line: string): void => void said.push(line);
  const [one, two] = [signedRpm(work, owner, { name: 'first' }), signedRpm(work, owner, { name: 'second' })];
  const outcome = await change({ add: offersIn([one]), remove: [] }, ID, { say });
  expect(outcome).toMatchObject({ snapshot: mirror.currentTarget(ID)?.split('/').at(-1), files: [{ result: 'published' }] });
  expect(said.join('\n')).toContain(`${ID}: its public snapshots are not up to date: `);
  rmSync(directory);
  await change({ add: offersIn([two]), remove: [] });
  expect(readdirSync(join(directory, 'mos7.0-centos6')).filter((name) => /^updates-\d/.test(name))).toHaveLength(
    mirror.snapshots(ID).length,
  );
});

test('a package that was lost here is served again once it is published again, also beside a new one', async () => {
  const [file, fresh] = [signedRpm(work, owner, { name: 'hurt' }), signedRpm(work, owner, { name: 'fresh' })];
  const place = (): string => mirror.published(ID, 'x86_64/Packages', basename(file));
  const lose = async (): Promise<void> => {
    writeFileSync(place(), 'wrong bytes');
    expect((JSON.parse((await mirror.run('scrub', '--all', '--json')).stdout) as { lost: unknown[] }).lost).not.toEqual([]);
    expect(existsSync(place())).toBe(false);
  };
  await change({ add: offersIn([file]), remove: [] });
  await lose();
  const outcome = await change({ add: offersIn([file]), remove: [] });
  expect(outcome).toMatchObject({ files: [{ result: 'skipped', repaired: true, message: expect.stringContaining('is back') }] });
  expect(outcomeLines(outcome).at(-1)).toMatch(/^ {2}no new snapshot: .* has 1 package, /);
  expect(readFileSync(place())).toEqual(readFileSync(file));
  await lose();
  expect((await change({ add: offersIn([file, fresh]), remove: [] })).files).toMatchObject([{ repaired: true }, { result: 'published' }]);
  expect(readFileSync(place())).toEqual(readFileSync(file));
  const scrub = await mirror.run('scrub', '--all', '--json');
  expect(JSON.parse(scrub.stdout)).toMatchObject({ lost: [], repaired: [], unfinished: [] });
});

test('a deploy that ends while a publisher waits: what it took away is trusted no more', async () => {
  const file = signedRpm(work, owner, { name: 'late' });
  const before = mirror.currentTarget(ID);
  const waiting = async (deploy: () => void): Promise<ChangeOutcome> => {
    const lock = await Lock.take(layoutOf().lockFile(ID), ID);
    const say = (): void => {
      deploy();
      void lock.release();
    };
    return change({ add: offersIn([file]), remove: [] }, ID, { say });
  };
  await expect(waiting(() => mirror.codename('acme/mos7.0-centos6', { keys: [] }))).rejects.toMatchObject({ code: 'NO_KEYS' });
  mirror.codename('acme/mos7.0-centos6');
  const renamed = waiting(() => mirror.codename('acme/mos7.0-centos6', { components: ['os', 'cr'] }));
  await expect(renamed).rejects.toMatchObject({ code: 'NOT_DECLARED' });
  expect(mirror.currentTarget(ID)).toBe(before);
});

test('500 packages in one call, while another publisher waits', async () => {
  const files = manyPackages(500);
  const one = signedRpm(work, owner, { name: 'beside' });
  const ran = await Promise.all([mirror.publish(ID, files), mirror.publish(ID, one)]);
  expect(ran.map(({ code }) => code)).toEqual([0, 0]);
  expect(await names()).toHaveLength(501);
  const oracle = mkdtempSync(join(work, 'oracle-'));
  execFileSync('cp', ['-al', mirror.published(ID, 'x86_64/Packages'), oracle]);
  execFileSync('createrepo_c', ['--quiet', '--no-database', '--simple-md-filenames', oracle]);
  const list = (path: string): string[] =>
    [...execFileSync('gzip', ['-dc', path], { encoding: 'utf8', maxBuffer: 1 << 28 }).matchAll(/<package [^]*?<\/package>/g)]
      .map(([text]) => text)
      .sort();
  const repomd = mirror.repomd(ID, 'x86_64');
  const [primary] = readdirSync(mirror.published(ID, 'x86_64/repodata')).filter(
    (name) => name.includes('-primary.') && repomd.includes(name),
  );
  expect(list(mirror.published(ID, 'x86_64/repodata', primary as string))).toEqual(list(join(oracle, 'repodata/primary.xml.gz')));
});

/** A directory with signed packages, of one spec. */
function manyPackages(count: number): string {
  const directory = mkdtempSync(join(work, 'many-'));
  const parts = Array.from(
    { length: count },
    (_, i) => `%package -n many-${i}\nSummary: s\n%description -n many-${i}\nd\n%files -n many-${i}\n`,
  ).join('');
  writeFileSync(
    join(directory, 'x.spec'),
    `Name: x\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n${parts}`,
  );
  const define = (key: string, value: string): string[] => ['--define', `${key} ${value}`];
  execFileSync(
    'rpmbuild',
    ['-bb', '--quiet', ...define('_topdir', join(directory, 'b')), ...define('_rpmdir', directory), join(directory, 'x.spec')],
    { stdio: 'ignore' },
  );
  rmSync(join(directory, 'b'), { recursive: true });
  const files = readdirSync(join(directory, 'noarch')).map((name) => join(directory, 'noarch', name));
  execFileSync('rpmsign', [...define('__gpg', '/usr/bin/gpg'), ...define('_gpg_name', owner.name), '--addsign', ...files], {
    stdio: 'ignore',
    env: { ...process.env, GNUPGHOME: owner.home },
  });
  return directory;
}

test('a file that grows once there is room for it: refused, and no more of it is copied', async () => {
  const file = signedRpm(mkdtempSync(join(work, 'grows-')), owner, { name: 'grows' });
  let looks = 0;
  const offer = {
    get file(): string {
      // The first look is at its size.
      if (looks++ === 1) truncateSync(file, 100 * 1024 ** 2);
      return file;
    },
  };
  const before = mirror.currentTarget(ID);
  expect(await change({ add: [offer], remove: [] })).toMatchObject({
    snapshot: undefined,
    files: [{ result: 'refused', code: 'FILE_CHANGED' }],
  });
  expect(looks).toBeGreaterThan(1);
  expect(mirror.currentTarget(ID)).toBe(before);
});

test('a disk that is too full: refused, and nothing is changed', async () => {
  const before = mirror.currentTarget(ID);
  const file = signedRpm(work, owner, { name: 'heavy' });
  mirror.write('definitions/server.yaml', {
    kind: 'server',
    storageRoot: mirror.root,
    ownMount: false,
    diskGuard: { stopAtPercent: 2 },
  });
  expect(await mirror.run('publish', ID, file)).toMatchObject({ code: 7, stderr: expect.stringMatching(/nothing is added beyond 2 %/) });
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false });
  expect(mirror.currentTarget(ID)).toBe(before);
});

test('a disk without room for the file: refused before anything is copied, and it is published once there is room', async () => {
  const root = join(mirror.directory, 'small');
  mkdirSync(root);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', root]);
  try {
    writeFileSync(join(root, '.mirror-data'), '');
    mirror.write('definitions/server.yaml', {
      kind: 'server',
      storageRoot: root,
      ownMount: false,
      diskGuard: { stopAtPercent: 99 },
    });
    await mirror.prepare();
    const { bavail, bsize } = statfsSync(root);
    const ballast = join(root, 'ballast');
    const bytes = 300_000;
    const file = signedRpm(work, owner, { name: 'large', head: '%define _binary_payload w0.gzdio', content: 'x'.repeat(bytes) });
    writeFileSync(ballast, Buffer.alloc(bavail * bsize - bytes / 2));
    const ran = await mirror.run('publish', ID, file);
    expect(ran).toMatchObject({ code: 7, stderr: expect.stringMatching(/needs \d+ bytes more, and .* left\n {2}Free space/) });
    expect(readdirSync(join(root, 'store/.incoming'))).toEqual([]);
    rmSync(ballast);
    expect((await mirror.run('publish', ID, file)).code).toBe(0);
  } finally {
    execFileSync('umount', [root]);
  }
});
