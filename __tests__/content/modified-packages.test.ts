/** The versioned mirror of modified packages: every version stays, and what was built anew is refused or replaces, by the rule of its layer. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readChanges } from '../../content/change-records';
import { componentNamed } from '../../content/component-name';
import { readDefinitions } from '../../content/definitions';
import { expectedFiles } from '../../content/expected';
import { Layout } from '../../content/layout';
import { offersIn } from '../../content/offered';
import { changeComponent } from '../../content/publish';
import { currentSnapshot } from '../../content/snapshot';
import { openSigner } from '../../signatures/sign';
import { buildRpm, hostedFixture, type HostedMirror, type RpmOptions, signedRpm } from './support/hosted';
import type { TestKey } from './support/keys';

jest.setTimeout(300_000);

const REFUSES = 'starlingx/stx/compiler';
const REPLACES = 'starlingx/stx/flock';
const KEY_FILE = 'RPM-GPG-KEY-starlingx';
let own: TestKey;
let owner: TestKey;
let mirror: HostedMirror;

const work = hostedFixture('modified', undefined, (made) => ({ own, owner, mirror } = made));

/** Declares the packages of a branch with two layers, the second of which lets rebuilt packages replace. */
async function declare(change: object = {}): Promise<void> {
  mirror.write('keys/builders', owner.publicKey);
  mirror.write('definitions/packages/stx.yaml', {
    kind: 'packages',
    id: 'starlingx/stx',
    owner: 'starlingx',
    branch: 'master',
    distribution: 'centos',
    publicPath: 'mirror/starlingx/packages/master/centos',
    components: ['compiler', 'flock'],
    architectures: ['x86_64'],
    keyFile: KEY_FILE,
    trust: { mode: 'signedPackages', keys: [{ file: 'keys/builders', fingerprint: owner.fingerprint }] },
    replaces: ['flock'],
    ...change,
  });
  await mirror.prepare();
}
const UNSIGNED = { trust: { mode: 'digestsOnly', reason: 'builds sign nothing yet' } };

const fresh = (): string => mkdtempSync(join(work, 'built-'));
const signed = (options: RpmOptions): string => signedRpm(fresh(), owner, options);
const unsigned = (options: RpmOptions): string => buildRpm(fresh(), options);
const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const layout = (): Layout => new Layout(mirror.root, mirror.state, mirror.configuration);

/** What a client finds: the files that dnf would fetch, by what it was told of them. */
class Client {
  /** Has its cache, too. */
  private readonly root = mkdtempSync(join(work, 'root-'));
  private readonly config = join(mkdtempSync(join(work, 'client-')), 'dnf.conf');

  constructor(id: string, gpgcheck: 0 | 1, tree = 'x86_64') {
    const options = `baseurl=file://${mirror.published(id, tree)}\nrepo_gpgcheck=1\ngpgcheck=${gpgcheck}\ngpgkey=file://${mirror.published(id, KEY_FILE)}\n`;
    writeFileSync(this.config, `[main]\nplugins=0\nreposdir=/nonexistent\nmetadata_expire=-1\n[modified]\nname=modified\n${options}`);
  }

  dnf(...argv: string[]): string {
    const options = ['-c', this.config, '--installroot', this.root, '--releasever', '7', '--forcearch', 'x86_64', '-y', '-q'];
    return execFileSync('dnf', [...options, '--disableplugin=local', ...argv], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** SHA-256 of what dnf would install of a package: dnf itself verifies it by the metadata that it has. */
  downloads(name: string): string {
    const destination = fresh();
    this.dnf('install', '--downloadonly', '--downloaddir', destination, name);
    return digest(join(destination, readdirSync(destination)[0] as string));
  }
}

/** Publishes when the grace of what is superseded today is over. */
async function publishLater(id: string, file: string): Promise<void> {
  const definitions = await readDefinitions(mirror.configuration);
  const signer = await openSigner(() => [{ text: Buffer.from(own.secretKey), from: 'the key of the test' }], layout().signingIdentities);
  const context = {
    ...{ layout: layout(), definitions, declared: () => readDefinitions(mirror.configuration), signer: () => Promise.resolve(signer) },
    ...{ now: () => new Date(Date.now() + 73 * 3_600_000), say: () => undefined, waitSeconds: 5 },
  };
  try {
    await changeComponent(context, { component: componentNamed(definitions, id), add: offersIn([file]), remove: [] });
  } finally {
    await signer.close();
  }
}

/** The files of packages of a tree, as they lie there. */
const filesIn = (id: string, folder = 'x86_64/Packages'): string[] =>
  (readdirSync(mirror.published(id, folder), { recursive: true }) as string[]).filter((name) => name.endsWith('.rpm')).sort();

test('every version stays, dnf gets each of them, and publishing what is there changes nothing', async () => {
  await declare();
  const [v1, v2, source] = [
    signed({ name: 'tool', version: '1' }),
    signed({ name: 'tool', version: '2' }),
    signed({ name: 'tool', arch: 'src' }),
  ];
  expect(await mirror.publish(REFUSES, v1, source)).toMatchObject({
    code: 0,
    outcome: { id: REFUSES, publicPath: 'mirror/starlingx/packages/master/centos/compiler', packages: 2 },
  });
  const before = mirror.currentTarget(REFUSES);
  const again = await mirror.publish(REFUSES, v1, source);
  expect(again).toMatchObject({ code: 0, outcome: { files: [{ result: 'skipped' }, { result: 'skipped' }] } });
  expect(again.outcome.snapshot).toBeUndefined();
  expect(mirror.currentTarget(REFUSES)).toBe(before);

  expect(await mirror.publish(REFUSES, v2)).toMatchObject({ code: 0, outcome: { packages: 3 } });
  const client = new Client(REFUSES, 1);
  expect(client.downloads('tool-1')).toBe(digest(v1));
  expect(client.downloads('tool-2')).toBe(digest(v2));
  expect(filesIn(REFUSES, 'Source/SPackages')).toEqual(['tool-1-1.src.rpm']);
  expect((await mirror.publish(REFUSES, signed({ name: 'tool', version: '1.5' }))).outcome.files[0]).toMatchObject({
    code: 'PACKAGE_OLDER',
  });
  expect(await mirror.publish('--allow-downgrade', REFUSES, signed({ name: 'tool', version: '1.5' }))).toMatchObject({ code: 0 });
});

test('the same version with other content is refused, and nothing is changed', async () => {
  await declare();
  await mirror.publish(REFUSES, signed({ name: 'tool' }));
  const before = mirror.currentTarget(REFUSES);
  const { code, outcome } = await mirror.publish(REFUSES, signed({ name: 'tool', content: 'rebuilt' }));
  expect({ code, files: outcome.files }).toMatchObject({ code: 3, files: [{ result: 'refused', code: 'PACKAGE_CHANGED' }] });
  expect(mirror.currentTarget(REFUSES)).toBe(before);
});

describe('where rebuilt packages replace', () => {
  let first: string;
  let second: string;
  const places = (): { plain: string; own: string } => ({
    plain: 'x86_64/Packages/tool-1-1.noarch.rpm',
    own: `x86_64/Packages/${digest(second).slice(0, 12)}/tool-1-1.noarch.rpm`,
  });

  beforeEach(async () => {
    await declare();
    first = signed({ name: 'tool' });
    second = signed({ name: 'tool', content: 'rebuilt' });
    await mirror.publish(REPLACES, first, signed({ name: 'other' }));
  });

  test('the new content is served and the old one kept: both are named, and clients with either metadata get what theirs says', async () => {
    const old = new Client(REPLACES, 1);
    old.dnf('makecache');
    const { code, outcome } = await mirror.publish(REPLACES, second);
    expect(code).toBe(0);
    expect(outcome).toMatchObject({
      packages: 2,
      removed: [],
      files: [
        {
          package: 'tool-1-1.noarch',
          result: 'published',
          sha256: digest(second),
          replaced: { served: { sha256: digest(second), path: places().own }, kept: { sha256: digest(first), path: places().plain } },
        },
      ],
    });
    const fileUrl = (path: string): Buffer => readFileSync(mirror.published(REPLACES, path));
    expect(fileUrl(places().plain)).toEqual(readFileSync(first));
    expect(fileUrl(places().own)).toEqual(readFileSync(second));
    expect(old.downloads('tool')).toBe(digest(first));
    expect(new Client(REPLACES, 1).downloads('tool')).toBe(digest(second));
    expect(new Client(REPLACES, 1).dnf('repoquery', '--qf', '%{name}-%{evr}').trim().split('\n').sort()).toEqual(['other-1-1', 'tool-1-1']);
    const change = (await readChanges(layout(), REPLACES)).at(-1);
    expect(change?.updated).toEqual([{ package: 'tool.noarch', from: '1-1', to: '1-1' }]);
  });

  test('it is said in words, and publishing the new content once more changes nothing', async () => {
    const ran = await mirror.run('publish', REPLACES, second);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toContain(
      `  replaced   tool-1-1.noarch: served is SHA-256 ${digest(second).slice(0, 12)}… at ${places().own}; kept is ${`SHA-256 ${digest(first).slice(0, 12)}…`} at ${places().plain}, for clients with older metadata\n`,
    );
    const before = mirror.currentTarget(REPLACES);
    expect(await mirror.publish(REPLACES, second)).toMatchObject({ code: 0, outcome: { files: [{ result: 'skipped' }] } });
    expect(mirror.currentTarget(REPLACES)).toBe(before);
  });

  test('what was replaced is refused, unless it is said to be meant: then it is served again, and the other one kept', async () => {
    await mirror.publish(REPLACES, second);
    const before = mirror.currentTarget(REPLACES);
    const refused = await mirror.publish(REPLACES, first);
    expect(refused).toMatchObject({
      code: 3,
      outcome: { files: [{ code: 'PACKAGE_SUPERSEDED', message: expect.stringMatching(/was replaced on 20\d\d-/) }] },
    });
    expect(mirror.currentTarget(REPLACES)).toBe(before);
    const { outcome } = await mirror.publish('--allow-downgrade', REPLACES, first);
    expect(outcome.files[0]?.replaced).toEqual({
      served: { sha256: digest(first), path: places().plain },
      kept: { sha256: digest(second), path: places().own },
    });
    expect(new Client(REPLACES, 1).downloads('tool')).toBe(digest(first));
    expect(filesIn(REPLACES)).toHaveLength(3);
    expect((await mirror.publish(REPLACES, second)).outcome.files[0]).toMatchObject({ code: 'PACKAGE_SUPERSEDED' });
  });

  test('three times, and what is kept stays after the grace of superseded metadata, after a deploy, and is scrubbed', async () => {
    const third = signed({ name: 'tool', content: 'once more' });
    await mirror.publish(REPLACES, second);
    await mirror.publish(REPLACES, third);
    const all = filesIn(REPLACES);
    expect(all).toHaveLength(4);
    await declare({ architectures: ['x86_64', 'aarch64'] });
    expect(filesIn(REPLACES)).toEqual(all);
    await publishLater(REPLACES, signed({ name: 'more' }));
    expect(filesIn(REPLACES)).toEqual([...all, 'more-1-1.noarch.rpm'].sort());
    // Metadata of the first snapshots is not served any more.
    expect(readdirSync(mirror.published(REPLACES, 'x86_64/repodata')).filter((name) => name.endsWith('primary.xml.gz'))).toHaveLength(2);
    const snapshot = (await currentSnapshot(layout(), REPLACES)) as string;
    const expected = (await expectedFiles(layout(), REPLACES, snapshot)).filter(({ path }) => path.startsWith('x86_64/Packages'));
    expect(expected.map(({ path }) => path.slice('x86_64/Packages/'.length)).sort()).toEqual([...all, 'more-1-1.noarch.rpm'].sort());
    const scrub = await mirror.run('scrub', '--all', '--json');
    expect(scrub).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(scrub.stdout)).toMatchObject({ lost: [], repaired: [], unfinished: [] });
  });

  test('no place ever gets other content, not even where the first was lost', async () => {
    writeFileSync(mirror.published(REPLACES, places().plain), 'wrong bytes');
    await mirror.run('scrub', '--all', '--json');
    expect(existsSync(mirror.published(REPLACES, places().plain))).toBe(false);
    const { outcome } = await mirror.publish(REPLACES, second);
    expect(outcome.files[0]?.replaced?.served.path).toBe(places().own);
    expect(existsSync(mirror.published(REPLACES, places().plain))).toBe(false);
    expect(new Client(REPLACES, 1).downloads('tool')).toBe(digest(second));
  });

  test('two rebuilt ones in one call contradict each other, and a refused file holds up the others', async () => {
    const before = mirror.currentTarget(REPLACES);
    const both = await mirror.publish(REPLACES, second, signed({ name: 'tool', content: 'third' }));
    expect(both.outcome.files.map(({ code }) => code)).toEqual(['PACKAGE_CONTRADICTS', 'PACKAGE_CONTRADICTS']);
    const held = await mirror.publish(REPLACES, second, unsigned({ name: 'odd' }));
    expect(held.outcome.files.map(({ result, code }) => [result, code])).toEqual([
      ['withheld', undefined],
      ['refused', 'PACKAGE_UNSIGNED'],
    ]);
    expect(mirror.currentTarget(REPLACES)).toBe(before);
  });
});

describe('by digests only', () => {
  beforeEach(() => declare(UNSIGNED));

  test('unsigned packages are published, each by its digest in metadata that the mirror signed', async () => {
    const file = unsigned({ name: 'tool' });
    expect(await mirror.publish(REFUSES, file)).toMatchObject({ code: 0, outcome: { files: [{ result: 'published' }] } });
    expect(new Client(REFUSES, 0).downloads('tool')).toBe(digest(file));
    expect(readFileSync(mirror.published(REFUSES, KEY_FILE), 'utf8')).toBe(own.publicKey);
  });

  test('a package whose payload was changed is refused', async () => {
    const file = unsigned({ name: 'tool', content: 'x'.repeat(5000) });
    const bytes = readFileSync(file);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] as number) ^ 0xff;
    const bad = join(fresh(), basename(file));
    writeFileSync(bad, bytes);
    expect(await mirror.publish(REFUSES, bad)).toMatchObject({ code: 6, outcome: { files: [{ code: 'PACKAGE_DAMAGED' }] } });
  });
});

test('unsigned packages are refused where keys are declared', async () => {
  await declare();
  expect(await mirror.publish(REFUSES, unsigned({ name: 'tool' }))).toMatchObject({
    code: 6,
    outcome: { files: [{ code: 'PACKAGE_UNSIGNED' }] },
  });
});

test('layers that are called as components of MOS have none of their rules', async () => {
  await declare({ components: ['os', 'holdback'], replaces: undefined });
  expect(await mirror.publish('starlingx/stx/holdback', signed({ name: 'tool' }))).toMatchObject({ code: 0 });
  const ga = await mirror.run('ga', 'declare', 'starlingx/stx');
  expect(ga.code).toBe(2);
  expect((await mirror.run('status', 'starlingx/stx/os')).stdout).toMatch(/ready/);
});

test('snapshots are public by their time', async () => {
  await declare();
  await mirror.publish(REPLACES, signed({ name: 'tool' }));
  const names = readdirSync(join(mirror.root, 'public-snapshots/starlingx/stx'));
  expect(names.filter((name) => /^flock-\d{4}-/.test(name))).toHaveLength(2);
  await declare({ components: ['compiler'], replaces: undefined });
  expect(readdirSync(join(mirror.root, 'public-snapshots/starlingx/stx')).filter((name) => name.startsWith('flock'))).toEqual([]);
});

/** SHA-256 of what the published metadata lists as the package. */
function listedAs(name: string): string {
  const repodata = mirror.published(REPLACES, 'x86_64/repodata');
  const href = /<data type="primary">[^]*?<location href="repodata\/([^"]+)"/.exec(mirror.repomd(REPLACES, 'x86_64'))?.[1] as string;
  const text = execFileSync('gzip', ['-dc', join(repodata, href)], { encoding: 'utf8' });
  const found = [...text.matchAll(/<package [^]*?<\/package>/g)].map(([one]) => one).filter((one) => one.includes(`<name>${name}</name>`));
  expect(found).toHaveLength(1);
  return />([0-9a-f]{64})<\/checksum>/.exec(found[0] as string)?.[1] as string;
}

test('a publish that replaces and is killed at any time leaves the old or the new, and the next one ends it', async () => {
  await declare();
  const [first, second] = [signed({ name: 'tool' }), signed({ name: 'tool', content: 'rebuilt' })];
  await mirror.publish(REPLACES, first);
  const saved = fresh();
  const copy = (from: string, to: string): void => {
    execFileSync('cp', ['-a', from, to]);
  };
  copy(mirror.root, join(saved, 'root'));
  copy(mirror.state, join(saved, 'state'));
  const plain = 'x86_64/Packages/tool-1-1.noarch.rpm';
  let killed = 0;
  for (let delay = 100; ; delay += 60) {
    for (const directory of [mirror.root, mirror.state]) rmSync(directory, { recursive: true });
    copy(join(saved, 'root'), mirror.root);
    copy(join(saved, 'state'), mirror.state);
    const started = mirror.start('publish', REPLACES, second);
    const timer = setTimeout(() => started.kill(), delay);
    const { code } = await started.done;
    clearTimeout(timer);
    expect([digest(first), digest(second)]).toContain(listedAs('tool'));
    expect(digest(mirror.published(REPLACES, plain))).toBe(digest(first));
    if (code === 0) break;
    killed++;
    expect(await mirror.publish(REPLACES, second)).toMatchObject({ code: 0 });
    expect(listedAs('tool')).toBe(digest(second));
    expect(digest(mirror.published(REPLACES, plain))).toBe(digest(first));
  }
  expect(killed).toBeGreaterThan(3);
});
