import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { hostedFixture, buildRpm, HostedMirror, type RpmOptions, signedRpm } from './support/hosted';
import { dropKey, makeKey, signPackage, type TestKey } from './support/keys';

jest.setTimeout(120_000);

const CODENAME = 'acme/mos7.0-centos6';
const ID = `${CODENAME}/updates`;
let own: TestKey;
let owner: TestKey;
let mirror: HostedMirror;
/** Packages of the owner, built once. */
const built = new Map<string, string>();

const work = hostedFixture('publish', CODENAME, (made) => ({ own, owner, mirror } = made));

function rpm(options: RpmOptions): string {
  const key = JSON.stringify(options);
  const known = built.get(key);
  if (known !== undefined) return known;
  const directory = join(work, `built-${built.size}`);
  mkdirSync(directory);
  const path = signedRpm(directory, owner, options);
  built.set(key, path);
  return path;
}

const packages = (tree = 'x86_64', id = ID): readonly string[] =>
  readdirSync(mirror.published(id, tree, tree === 'Source' ? 'SPackages' : 'Packages')).sort();

/** What createrepo_c finds in a tree, and what is published: the same packages with the same words, in any order. */
function expectAsCreaterepo(tree: string, id = ID): void {
  const oracle = mkdtempSync(join(work, 'oracle-'));
  for (const folder of readdirSync(mirror.published(id, tree)).filter((name) => name !== 'repodata'))
    execFileSync('cp', ['-al', mirror.published(id, tree, folder), oracle]);
  execFileSync('createrepo_c', ['--quiet', '--no-database', '--simple-md-filenames', oracle]);
  for (const kind of ['primary', 'filelists', 'other']) {
    const [file] = readdirSync(mirror.published(id, tree, 'repodata')).filter(
      (name) => name.endsWith(`-${kind}.xml.gz`) && mirror.repomd(id, tree).includes(name),
    );
    const texts = [join(oracle, 'repodata', `${kind}.xml.gz`), mirror.published(id, tree, 'repodata', file as string)].map((path) =>
      execFileSync('gzip', ['-dc', path], { encoding: 'utf8', maxBuffer: 1 << 28 }),
    );
    const [theirs, ours] = texts.map((text) => [...text.matchAll(/<package [^]*?<\/package>/g)].map(([one]) => one).sort());
    expect(ours).toEqual(theirs);
    expect(texts[1]).toContain(`packages="${theirs?.length}"`);
  }
  rmSync(oracle, { recursive: true });
}

function dnf(tree: string, id: string, ...argv: string[]): string {
  const config = join(work, 'dnf.conf');
  const repository = `hosted-${randomUUID()}`;
  writeFileSync(
    config,
    `[main]\nplugins=0\nreposdir=/nonexistent\ncachedir=${mkdtempSync(join(work, 'cache-'))}\n[${repository}]\nname=c\nbaseurl=file://${mirror.published(id, tree)}\nrepo_gpgcheck=1\ngpgcheck=1\ngpgkey=file://${mirror.published(id, 'RPM-GPG-KEY-mos7.0')}\n`,
  );
  const options = [
    '-c',
    config,
    '--installroot',
    mkdtempSync(join(work, 'root-')),
    '--releasever',
    '7',
    '--forcearch',
    'x86_64',
    '-y',
    '-q',
    // It would add packages that other tests installed on this machine.
    '--disableplugin=local',
  ];
  return execFileSync('dnf', [...options, ...argv], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

test('packages of every kind come into their trees, with the metadata that createrepo_c writes, and dnf installs them', async () => {
  mirror.codename(CODENAME, { architectures: ['x86_64', 'aarch64'] });
  await mirror.prepare();
  const tool = rpm({
    name: 'tool',
    version: '1.0~rc1',
    release: '1.el6~mos1',
    arch: 'x86_64',
    head: 'Epoch: 2\nRecommends: nice\nSuggests: (a if b)\nRequires: (bash or zsh)\nProvides: tool(x) = 3\nConflicts: bad < 2\nObsoletes: older',
    tail: '%changelog\n* Sun Nov 22 2026 A Packager <a@example.org> - 1.0-1\n- fixes "<&>" and CVE-2026-1234\n',
  });
  const files = [tool, rpm({ name: 'any' }), rpm({ name: 'small', arch: 'i686' }), rpm({ name: 'tool', arch: 'src' })];
  const { code, stderr, outcome } = await mirror.publish(ID, ...files);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(outcome.files.map(({ package: name, result, trees }) => [name, result, trees?.join()])).toEqual([
    ['tool-2:1.0~rc1-1.el6~mos1.x86_64', 'published', 'x86_64'],
    ['any-1-1.noarch', 'published', 'aarch64,x86_64'],
    ['small-1-1.i686', 'published', 'x86_64'],
    ['tool-1-1.src', 'published', 'Source'],
  ]);
  expect(outcome).toMatchObject({ id: ID, packages: 4, removed: [] });
  expect(packages()).toEqual(['any-1-1.noarch.rpm', 'small-1-1.i686.rpm', 'tool-1.0~rc1-1.el6~mos1.x86_64.rpm']);
  expect(packages('aarch64')).toEqual(['any-1-1.noarch.rpm']);
  expect(packages('Source')).toEqual(['tool-1-1.src.rpm']);
  for (const tree of ['x86_64', 'aarch64', 'Source']) expectAsCreaterepo(tree);
  expect(readFileSync(mirror.published(ID, 'x86_64/Packages', basename(tool)))).toEqual(readFileSync(tool));
  expect(dnf('x86_64', ID, 'repoquery', '--qf', '%{name}-%{evr}').trim().split('\n').sort()).toEqual([
    'any-1-1',
    'small-1-1',
    'tool-2:1.0~rc1-1.el6~mos1',
  ]);
  dnf('x86_64', ID, 'install', 'any');

  // One more: what was there stays as it was, in one new snapshot.
  expect((await mirror.publish(ID, rpm({ name: 'any', version: '2' }))).outcome).toMatchObject({
    packages: 5,
    snapshot: expect.any(String),
  });
  expect(packages()).toContain('any-1-1.noarch.rpm');
  for (const tree of ['x86_64', 'aarch64', 'Source']) expectAsCreaterepo(tree);
  expect((await mirror.run('explain', 'any-2-1')).stdout).toMatch(
    new RegExp(`^${ID}:any-2-1\\.noarch: kept: \\S+ published it here: nothing of it goes by a rule\\n  in the snapshot `),
  );
  const changes = await mirror.run('changes', ID);
  expect(changes.stdout).toMatch(/: 4 added, 0 updated, 0 removed\n.*: 0 added, 1 updated, 0 removed/);
  const { stdout } = await mirror.run('status', ID);
  expect(stdout).toMatch(/ready .* 5 /);
});

test('superseded metadata stays for clients that hold an older index', async () => {
  await mirror.publish(ID, rpm({ name: 'any' }));
  const before = readdirSync(mirror.published(ID, 'x86_64/repodata'));
  await mirror.publish(ID, rpm({ name: 'any', version: '2' }));
  expect(readdirSync(mirror.published(ID, 'x86_64/repodata'))).toEqual(expect.arrayContaining(before));
});

describe('what is not new', () => {
  test('the same content is skipped; nothing is published anew for it', async () => {
    const file = rpm({ name: 'any' });
    await mirror.publish(ID, file);
    const before = mirror.currentTarget(ID);
    const { code, outcome } = await mirror.publish(ID, file);
    expect(code).toBe(0);
    expect(outcome).toMatchObject({ files: [{ result: 'skipped', message: 'it is published already' }], packages: 1 });
    expect(outcome.snapshot).toBeUndefined();
    expect(mirror.currentTarget(ID)).toBe(before);
  });

  test('the same version with other content is refused, also while clients may ask for one that left', async () => {
    await mirror.publish(ID, rpm({ name: 'any' }));
    const { code, outcome } = await mirror.publish(ID, rpm({ name: 'any', content: 'other' }));
    expect(code).toBe(3);
    expect(outcome.files[0]).toMatchObject({ result: 'refused', code: 'PACKAGE_CHANGED', message: /published with other content/ });
  });

  test.each<[string, RpmOptions, RpmOptions]>([
    ['version', { name: 'v', version: '1.10' }, { name: 'v', version: '1.9' }],
    ['a tilde sorts below', { name: 'v', version: '1.0' }, { name: 'v', version: '1.0~rc1' }],
    ['a caret sorts above', { name: 'v', version: '1.0^git1' }, { name: 'v', version: '1.0' }],
    ['release', { name: 'v', release: '2' }, { name: 'v', release: '1' }],
    ['epoch', { name: 'v', version: '1', epoch: '1' }, { name: 'v', version: '9' }],
  ])('an older one is refused, unless it is wanted: %s', async (_what, newer, older) => {
    expect((await mirror.publish(ID, rpm(newer))).code).toBe(0);
    const refused = await mirror.publish(ID, rpm(older));
    expect(refused).toMatchObject({ code: 3, outcome: { files: [{ result: 'refused', code: 'PACKAGE_OLDER' }] } });
    const waived = await mirror.publish(ID, rpm(older), '--allow-downgrade');
    expect(waived).toMatchObject({ code: 0, outcome: { files: [{ result: 'published' }], packages: 2 } });
    expectAsCreaterepo('x86_64');
  });

  test('two that would lie at one place, since no file name has the epoch', async () => {
    await mirror.publish(ID, rpm({ name: 'v' }));
    const { outcome } = await mirror.publish(ID, rpm({ name: 'v', epoch: '1' }));
    expect(outcome.files[0]).toMatchObject({ result: 'refused', code: 'PLACE_TAKEN' });
  });
});

describe('bad files', () => {
  let good: string;
  let before: string | undefined;
  beforeEach(async () => {
    good = rpm({ name: 'good' });
    await mirror.publish(ID, rpm({ name: 'base' }));
    before = mirror.currentTarget(ID);
  });

  /** A changed copy of a good package, in a directory of its own. */
  function changed(name: string, change: (path: string) => void): string {
    const directory = mkdtempSync(join(work, 'bad-'));
    const path = join(directory, name);
    copyFileSync(good, path);
    change(path);
    return path;
  }
  const signedBy = (key: TestKey): string => {
    const directory = mkdtempSync(join(work, 'bad-'));
    const path = join(directory, 'other-1-1.noarch.rpm');
    copyFileSync(buildRpm(directory, { name: 'other' }), path);
    signPackage(key, path);
    return path;
  };

  test.each<[string, () => string, string, number, RegExp]>([
    [
      'no package',
      () => changed('good-1-1.noarch.rpm', (path) => writeFileSync(path, 'no package at all')),
      'NOT_A_PACKAGE',
      3,
      /is no RPM package/,
    ],
    ['empty', () => changed('good-1-1.noarch.rpm', (path) => truncateSync(path, 0)), 'PACKAGE_CUT', 6, /has 0 bytes/],
    [
      'cut in its header',
      () => changed('good-1-1.noarch.rpm', (path) => truncateSync(path, 1000)),
      'PACKAGE_CUT',
      6,
      /is cut: it has 1000 bytes/,
    ],
    [
      'cut in its payload',
      () => changed('good-1-1.noarch.rpm', (path) => truncateSync(path, readFileSync(path).length - 1)),
      'PACKAGE_CUT',
      6,
      /is cut/,
    ],
    [
      'one byte of its payload',
      () =>
        changed('good-1-1.noarch.rpm', (path) => {
          const bytes = readFileSync(path);
          bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 1;
          writeFileSync(path, bytes);
        }),
      'PACKAGE_DAMAGED',
      6,
      /is damaged .*BAD/,
    ],
    ['more after its end', () => changed('good-1-1.noarch.rpm', (path) => appendFileSync(path, 'x')), 'PACKAGE_DAMAGED', 6, /is damaged/],
    [
      'a name that contradicts its header',
      () => changed('better-1-1.noarch.rpm', () => undefined),
      'PACKAGE_MISNAMED',
      3,
      /by its header it is good-1-1/,
    ],
    [
      'a symbolic link',
      () =>
        changed('good-1-1.noarch.rpm', (path) => {
          rmSync(path);
          symlinkSync(good, path);
        }),
      'SYMBOLIC_LINK',
      3,
      /is a symbolic link/,
    ],
    [
      'a fifo',
      () =>
        changed('good-1-1.noarch.rpm', (path) => {
          rmSync(path);
          execFileSync('mkfifo', [path]);
        }),
      'NOT_A_FILE',
      3,
      /is no regular file/,
    ],
    ['4 GiB', () => changed('good-1-1.noarch.rpm', (path) => truncateSync(path, 2 ** 32)), 'PACKAGE_TOO_LARGE', 3, /4294967296 bytes/],
    [
      'another architecture',
      () => rpm({ name: 'arm', arch: 'aarch64' }),
      'PACKAGE_ARCHITECTURE',
      3,
      /"aarch64", and the component has x86_64/,
    ],
    [
      'not signed',
      () => {
        const directory = mkdtempSync(join(work, 'bad-'));
        return buildRpm(directory, { name: 'plain' });
      },
      'PACKAGE_UNSIGNED',
      6,
      /is not signed/,
    ],
    ['signed by another', () => signedBy(own), 'PACKAGE_UNTRUSTED', 6, /which is none of the owner's/],
  ])('%s: refused, and nothing is changed', async (_what, make, code, exitCode, message) => {
    const bad = make();
    const { outcome, ...ran } = await mirror.publish(ID, good, bad);
    expect(outcome.files).toEqual([
      expect.objectContaining({ file: good, result: 'withheld', message: 'another file was refused' }),
      expect.objectContaining({ file: bad, result: 'refused', code, message: expect.stringMatching(message), remedy: expect.any(String) }),
    ]);
    expect(ran.code).toBe(exitCode);
    expect(mirror.currentTarget(ID)).toBe(before);
    expect(packages()).toEqual(['base-1-1.noarch.rpm']);
    expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
  });

  test('keys that expired, were revoked, or are not declared', async () => {
    const expiring = makeKey(join(work, 'expiring'), 'expiring');
    const revoked = makeKey(join(work, 'revoked'), 'revoked');
    const files = [expiring, revoked].map(signedBy);
    const gpg = (key: TestKey, ...argv: string[]): string =>
      execFileSync(
        'gpg',
        ['--homedir', key.home, '--batch', '--yes', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...argv],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
    gpg(expiring, '--quick-set-expire', expiring.fingerprint, 'seconds=1');
    const certificate = readFileSync(join(revoked.home, 'openpgp-revocs.d', `${revoked.fingerprint}.rev`), 'utf8');
    writeFileSync(join(work, 'revocation'), certificate.replace(/^:-/m, '-'));
    gpg(revoked, '--import', join(work, 'revocation'));
    const keys = [expiring, revoked].map((key) => {
      mirror.write(`owners/acme/${key.name}.asc`, gpg(key, '--armor', '--export', key.fingerprint));
      return { file: `owners/acme/${key.name}.asc`, fingerprint: key.fingerprint };
    });
    mirror.codename(CODENAME, { keys });
    // gpg counts whole seconds, and takes the last one for good.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const found: string[] = [];
    for (const file of files) found.push((await mirror.publish(ID, file)).outcome.files[0]?.code ?? '');
    expect(found).toEqual(['KEY_EXPIRED', 'KEY_REVOKED']);
    for (const key of [expiring, revoked]) dropKey(key);

    mirror.codename(CODENAME, { keys: [] });
    expect(await mirror.run('publish', ID, good)).toMatchObject({
      code: 6,
      stderr: expect.stringMatching(/no key is declared[^]*Declare the public key/),
    });
    expect(mirror.currentTarget(ID)).toBe(before);
  });

  test('two files of one call that contradict each other are both refused; the same twice is skipped once', async () => {
    const [one, two] = [rpm({ name: 'any' }), rpm({ name: 'any', content: 'other' })];
    const { outcome } = await mirror.publish(ID, one, two);
    expect(outcome.files.map(({ code }) => code)).toEqual(['PACKAGE_CONTRADICTS', 'PACKAGE_CONTRADICTS']);
    const source = rpm({ name: 'any', arch: 'src' });
    const nosrc = join(mkdtempSync(join(work, 'nosrc-')), 'any-1-1.nosrc.rpm');
    copyFileSync(rpm({ name: 'any', arch: 'src', content: 'other' }), nosrc);
    const sources = await mirror.publish(ID, source, nosrc);
    expect(sources.outcome.files.map(({ code }) => code)).toEqual(['PACKAGE_CONTRADICTS', 'PACKAGE_CONTRADICTS']);
    const twice = await mirror.publish(ID, one, one);
    expect(twice.outcome.files.map(({ result }) => result)).toEqual(['published', 'skipped']);
  });

  test('the command line: unknown components, files that are not there, directories', async () => {
    expect(await mirror.run('publish', 'acme/mos7.0-centos6/update', good)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /no hosted component is called "acme\/mos7.0-centos6\/update"\n {2}There are acme\/mos7.0-centos6\/updates, /,
      ),
    });
    expect(await mirror.run('publish', ID)).toMatchObject({ code: 2, stderr: expect.stringMatching(/wants package files/) });
    expect(await mirror.run('publish', ID, join(work, 'absent.rpm'))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/there is no file/),
    });
    const pipe = join(mkdtempSync(join(work, 'pipe-')), 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const [comps, message] of [
      [join(work, 'absent.xml'), 'there is no file'],
      [pipe, 'is no regular file'],
      [work, 'is no regular file'],
    ] as const)
      expect(await mirror.run('publish', ID, '--comps', comps)).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
    const directory = mkdtempSync(join(work, 'dir-'));
    expect(await mirror.run('publish', ID, directory)).toMatchObject({ code: 2, stderr: expect.stringMatching(/has no \*\.rpm in it/) });
    mkdirSync(join(directory, 'noarch'));
    copyFileSync(good, join(directory, 'noarch', basename(good)));
    writeFileSync(join(directory, 'build.log'), 'x');
    const ran = await mirror.run('publish', ID, directory);
    expect(ran).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/1 published in [\d.]+ s\n {2}published {2}good-1-1.noarch \(x86_64\)\n/),
    });
    expect(existsSync(good)).toBe(true);
  });
});

test('groups are published, kept by later publishes, and taken away; what is no comps is refused', async () => {
  const comps = join(work, 'comps.xml');
  writeFileSync(
    comps,
    '<?xml version="1.0"?>\n<comps><group><id>openstack</id><name>OpenStack</name><uservisible>true</uservisible><packagelist><packagereq type="mandatory">any</packagereq></packagelist></group></comps>\n',
  );
  expect((await mirror.publish(ID, rpm({ name: 'any' }), '--comps', comps)).code).toBe(0);
  await mirror.publish(ID, rpm({ name: 'any', version: '2' }));
  expect(dnf('x86_64', ID, 'group', 'list')).toMatch(/OpenStack/);
  const before = mirror.currentTarget(ID);
  writeFileSync(comps, '<html/>');
  expect(await mirror.run('publish', ID, '--comps', comps)).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/is no comps metadata/),
  });
  expect(mirror.currentTarget(ID)).toBe(before);
  expect((await mirror.publish(ID, '--no-comps')).outcome.snapshot).toBeDefined();
  expect(mirror.repomd(ID, 'x86_64')).not.toMatch(/group/);
  expectAsCreaterepo('x86_64');
});

test('two publishers at once lose nothing, and the second says for whom it waits', async () => {
  const files = ['p1', 'p2', 'p3', 'p4'].map((name) => rpm({ name }));
  const ran = await Promise.all(files.map((file) => mirror.publish(ID, file)));
  expect(ran.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(ran.map(({ stderr }) => stderr).join('')).toMatch(/acme\/mos7.0-centos6\/updates is locked by .*; waiting for it to end/);
  expect(packages()).toEqual(files.map((file) => basename(file)));
  expectAsCreaterepo('x86_64');
});

test('the metadata that is remembered may be lost: it is read again', async () => {
  await mirror.publish(ID, rpm({ name: 'any' }));
  rmSync(join(mirror.root, 'repositories', ID, 'records'), { recursive: true });
  await mirror.publish(ID, rpm({ name: 'good' }));
  expectAsCreaterepo('x86_64');
  expect((await mirror.run('status', ID)).stdout).toMatch(/ready .* 2 /);
});
