/** Package lists: what they ask for is found, verified and published; with real packages, metadata and signatures. Only the clock is the test's. */
import { execFileSync } from 'node:child_process';
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
import { basename, dirname, join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import type { ListsDefinition } from '../../desired-state/definitions';
import { listsMemory } from '../../content/first-sight';
import { Layout } from '../../content/layout';
import type { AskedByUrl } from '../../content/listed-by-url';
import { Published } from '../../content/published';
import { explainedLines } from '../../content/explain-text';
import type { SyncOutcome } from '../../content/sync';
import { askedPackages } from '../../starlingx/asked';
import { History } from './support/history';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { fillRepository, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'lists-'));
const ID = 'stx-3.0';
const LIST = 'rpms_centos.lst';
const files: Record<string, string> = {};
let key: TestKey;
let vendor: TestKey;
let mirror: TestMirror;
let history: History;
let os: Upstream;
let elsewhere: Upstream;

beforeAll(() => {
  for (const name of ['a-1', 'a-2', 'b-1', 'c-1', 'd-1']) {
    const [stem, version] = name.split('-') as [string, string];
    files[name] = buildPackage(join(work, name), stem, version);
  }
  files['b-1 again'] = buildPackage(join(work, 'again'), 'b', '1', 2100);
  files['d-1 unsigned'] = join(work, 'unsigned.rpm');
  copyFileSync(files['d-1'] as string, files['d-1 unsigned']);
  key = makeKey(join(work, 'key'), 'mirror');
  vendor = makeKey(join(work, 'vendor'), 'vendor');
  signPackage(vendor, files['d-1'] as string);
});
afterAll(() => {
  dropKey(key);
  dropKey(vendor);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  mirror.signBy(key);
  history = new History(mirror);
  os = await new Upstream(mkdtempSync(join(work, 'os-'))).start();
  elsewhere = await new Upstream(mkdtempSync(join(work, 'elsewhere-'))).start();
});
afterEach(async () => {
  await history.close();
  await os.stop();
  await elsewhere.stop();
  mirror.remove();
});

const rpm = (name: string): string => `${name.replace(' again', '').replace(' unsigned', '')}-1.noarch.rpm`;

function upstreamHas(...names: string[]): void {
  fillRepository(
    os.root,
    names.map((name) => files[name] as string),
  );
}

/** Puts a package where a list says that it is. */
function put(name: string, at = rpm(name)): string {
  mkdirSync(join(elsewhere.root, 'files'), { recursive: true });
  copyFileSync(files[name] as string, join(elsewhere.root, 'files', at));
  return `${elsewhere.url}files/${at}`;
}

function ask(lines: readonly string[], more: Partial<ListsDefinition> = {}): void {
  mirror.write(`definitions/lists/${ID}.yaml`, {
    kind: 'lists',
    id: ID,
    publicPath: `mirror/starlingx/lists/${ID}/centos`,
    lists: { [LIST]: lines.map((line) => `${line}\n`).join('') },
    ...more,
  });
}

function repository(more: Parameters<TestMirror['repository']>[3] = {}, id = 'os'): void {
  mirror.repository(id, [os.url], undefined, { view: 'accumulate', ...more });
}

async function synced(...ids: string[]): Promise<SyncOutcome> {
  let outcome: SyncOutcome | undefined;
  for (const id of ids) outcome = await history.sync(id);
  return outcome as SyncOutcome;
}

/** Names that dnf finds in what is published. */
function listedNow(): string[] {
  const path = mirror.published(ID);
  const argv = [
    '-q',
    `--repofrompath=x,file://${path}`,
    '--repo=x',
    `--installroot=${work}`,
    '--refresh',
    'repoquery',
    '--qf',
    '%{name}-%{version}',
  ];
  return execFileSync('dnf', argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .trim()
    .split('\n')
    .sort();
}

describe('a package that is asked for', () => {
  it('comes from a copied repository, with its metadata, under the signature of the mirror', async () => {
    upstreamHas('a-1', 'b-1', 'c-1');
    repository();
    ask([`# ${rpm('b-1')} is a comment`, rpm('a-1'), rpm('c-1')]);

    const outcome = await synced('os', ID);

    expect(outcome).toMatchObject({ result: 'published', packages: 2, downloadedFiles: 0 });
    expect(listedNow()).toEqual(['a-1', 'c-1']);
    const verify = [
      '--homedir',
      key.home,
      '--verify',
      mirror.published(ID, 'repodata/repomd.xml.asc'),
      mirror.published(ID, 'repodata/repomd.xml'),
    ];
    expect(() => execFileSync('gpg', verify, { stdio: 'ignore' })).not.toThrow();
    expect(readFileSync(mirror.published(ID, 'Packages', rpm('a-1')))).toEqual(readFileSync(files['a-1'] as string));
  });

  it('is found in an earlier snapshot of a verbatim copy whose upstream dropped it', async () => {
    upstreamHas('a-1');
    repository({ view: 'verbatim' });
    await synced('os');
    upstreamHas('a-2');
    await synced('os');
    ask([rpm('a-1'), rpm('a-2')]);

    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 2 });
    expect(listedNow()).toEqual(['a-1', 'a-2']);
  });

  it('that nobody has is named with its line and what there is; the rest is published', async () => {
    upstreamHas('a-1', 'b-1');
    repository();
    ask([rpm('a-1'), 'b-7-1.noarch.rpm', 'zzz-1-1.noarch.rpm']);

    const outcome = await synced('os', ID);

    expect(outcome.result).toBe('degraded');
    expect(outcome.error?.exitCode).toBe(5);
    expect(outcome.problems.map(({ message }) => message)).toEqual([
      `${LIST} line 2: no copied repository has b-7-1.noarch.rpm, now or in an earlier snapshot; of b there are 1-1.noarch`,
      `${LIST} line 3: no copied repository has zzz-1-1.noarch.rpm, now or in an earlier snapshot, nor another version of zzz`,
    ]);
    expect(listedNow()).toEqual(['a-1']);
    expect(await synced(ID)).toMatchObject({ result: 'degraded', snapshot: outcome.snapshot });
  });

  it('that nobody has holds up nothing where a waiver says so', async () => {
    upstreamHas('a-1');
    repository();
    ask([rpm('a-1'), 'zzz-1-1.noarch.rpm'], { waivers: [{ allow: 'incomplete', reason: 'a test' }] });

    expect(await synced('os', ID)).toMatchObject({ result: 'published', packages: 1 });
  });

  it('is taken from the repository that signs, where another one has other content of the same name, and that is said', async () => {
    upstreamHas('b-1');
    repository({}, 'a-unsigned');
    const signed = await new Upstream(mkdtempSync(join(work, 'signed-'))).start();
    try {
      const copy = join(signed.root, 'x.rpm');
      copyFileSync(files['b-1 again'] as string, copy);
      signPackage(vendor, copy);
      copyFileSync(copy, join(work, rpm('b-1')));
      fillRepository(signed.root, [join(work, rpm('b-1'))]);
      mirror.repository('z-signed', [signed.url], mirror.pin('signedPackages', vendor), { view: 'accumulate' });
      ask([rpm('b-1')]);

      await synced('a-unsigned', 'z-signed', ID);

      expect(readFileSync(mirror.published(ID, 'Packages', rpm('b-1')))).toEqual(readFileSync(join(work, rpm('b-1'))));
      expect(history.said.join('\n')).toContain(`${rpm('b-1')} is taken from z-signed`);
      // What was published once stays, whoever has other content since.
      rmSync(join(mirror.configuration, 'definitions/repositories/z-signed.yaml'));
      ask([rpm('b-1')], { retention: { snapshotDays: 5 } });
      expect(await synced(ID)).toMatchObject({ result: 'unchanged' });
    } finally {
      await signed.stop();
    }
  });
});

describe('a package with a URL', () => {
  it('is fetched once, described, and stays when its URL is gone', async () => {
    ask([`${rpm('d-1')}#${put('d-1')}`]);

    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 1, downloadedFiles: 1 });
    expect(listedNow()).toEqual(['d-1']);
    await elsewhere.stop();
    ask([`${rpm('d-1')}#${elsewhereGone()}`, rpm('a-1')]);
    upstreamHas('a-1');
    repository();
    expect(await synced('os', ID)).toMatchObject({ result: 'published', packages: 2, downloadedFiles: 0 });
    await elsewhere.start();
  });

  it('that a copied repository has comes from there', async () => {
    upstreamHas('d-1');
    repository();
    ask([`${rpm('d-1')}#${put('a-1', 'other.rpm')}`]);

    expect(await synced('os', ID)).toMatchObject({ result: 'published', downloadedFiles: 0 });
    expect(elsewhere.requests).toEqual([]);
  });

  it.each([
    ['another package', () => put('a-1', 'd.rpm'), 'by its header it is a-1-1.noarch.rpm', 3],
    ['no package', () => `${elsewhere.url}${notThere()}`, '404', 5],
  ])('is not taken where there is %s', async (_what, url, message, exitCode) => {
    upstreamHas('b-1');
    repository();
    ask([rpm('b-1'), `${rpm('d-1')}#${url()}`]);

    const outcome = await synced('os', ID);

    expect(outcome.result).toBe('degraded');
    expect(outcome.problems[0]?.message).toContain(message);
    expect(outcome.problems[0]?.message).toContain(`${LIST} line 2`);
    expect(outcome.error?.exitCode).toBe(exitCode);
    expect(listedNow()).toEqual(['b-1']);
  });

  it('must have its recorded digest, and one that is recorded later comes in its place', async () => {
    const url = put('b-1');
    const recorded = sha256(readFileSync(files['b-1 again'] as string));
    ask([`${rpm('b-1')}#${url}`]);
    await synced(ID);
    ask([`${rpm('b-1')}#${url}`], { digests: { [rpm('b-1')]: recorded } });

    expect(await synced(ID)).toMatchObject({ result: 'degraded', problems: [{ path: rpm('b-1') }] });
    expect(readFileSync(mirror.published(ID, 'Packages', rpm('b-1')))).toEqual(readFileSync(files['b-1'] as string));
    put('b-1 again');
    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 1 });
    expect(sha256(readFileSync(mirror.published(ID, 'Packages', rpm('b-1'))))).toBe(recorded);
  });

  it('must be signed by one of the declared keys where no digest is recorded', async () => {
    const trust = mirror.pin('signedPackages', vendor);
    const keys = trust.mode === 'signedPackages' ? trust.keys : [];
    ask([`${rpm('d-1')}#${put('d-1')}`, `${rpm('a-1')}#${put('a-1')}`], { keys });

    const outcome = await synced(ID);
    expect(outcome.problems.map(({ path, code }) => [path, code])).toEqual([[rpm('a-1'), 'PACKAGE_UNTRUSTED']]);
    expect(listedNow()).toEqual(['d-1']);
    ask([`${rpm('d-1')}#${put('d-1')}`, `${rpm('a-1')}#${put('a-1')}`], {
      keys,
      digests: { [rpm('a-1')]: sha256(readFileSync(files['a-1'] as string)) },
    });
    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 2 });
  });
});

describe('what lists ask for no more', () => {
  it('stays beside the new version, and goes by the rules of retention', async () => {
    upstreamHas('a-1', 'a-2');
    repository();
    history.server({ graceDays: 1, quarantineDays: 1, sharePercent: 100 });
    ask([rpm('a-1')], { retention: { droppedDays: 10 } });
    await synced('os', ID);
    ask([rpm('a-2')], { retention: { droppedDays: 10 } });

    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 2 });
    expect(listedNow()).toEqual(['a-1', 'a-2']);
    await history.live(9);
    expect(listedNow()).toEqual(['a-1', 'a-2']);
    await history.live(5);
    expect(listedNow()).toEqual(['a-2']);
    // Without it the lists are served all the same.
    expect(existsSync(mirror.published(ID, 'lists', LIST))).toBe(true);
    // The grace of what was superseded has ended meanwhile.
    expect(await synced(ID, ID)).toMatchObject({ result: 'unchanged', packages: 1 });
  });
});

describe('what lists ask for', () => {
  it('is never dropped from the repository that it is in, until no list asks for it', async () => {
    upstreamHas('a-1');
    repository({ retention: { droppedDays: 5 } });
    history.server({ graceDays: 1, quarantineDays: 1, sharePercent: 100 });
    ask([rpm('a-1')]);
    await synced('os', ID);
    upstreamHas('a-2');
    await synced('os');
    await history.live(20);
    expect(history.published('os')).toEqual(['a-1', 'a-2']);

    ask([rpm('a-2')]);
    await history.live(5);
    expect(history.published('os')).toEqual(['a-2']);
  });

  it('passes the filter of a repository, which looks again although its upstream is the same', async () => {
    upstreamHas('a-1', 'b-1', 'c-1');
    repository({ filter: { include: ['b'], sources: false, debuginfo: false } });
    await synced('os');
    expect(history.published('os')).toEqual(['b-1']);
    const snapshot = mirror.currentTarget('os');
    ask(['zzz-1-1.noarch.rpm']);
    expect(await synced('os')).toMatchObject({ result: 'unchanged' });
    expect(mirror.currentTarget('os')).toBe(snapshot);

    ask([rpm('c-1')]);
    expect(await synced('os')).toMatchObject({ result: 'published', packages: 2 });
    os.requests.length = 0;
    expect(await synced('os')).toMatchObject({ result: 'unchanged' });
    expect(os.requests).toEqual(['repodata/repomd.xml']);
    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 1 });
  });
});

describe('explain', () => {
  const told = async (what: string): Promise<readonly string[]> => explainedLines(await history.explain(what));

  it('says where a version comes from, since when, what keeps it, and when it could be gone', async () => {
    history.server({ graceDays: 3, quarantineDays: 4, sharePercent: 100 });
    upstreamHas('a-1');
    repository({ retention: { droppedDays: 5 } });
    ask([rpm('a-1'), `${rpm('d-1')}#${put('d-1')}`], { retention: { droppedDays: 10 } });
    await synced('os', ID);
    history.pass(1);
    upstreamHas('a-2');
    await synced('os');

    const [day0, day1, first] = ['2030-01-01', '2030-01-02', mirror.snapshots('os')[0] as string];
    expect(await told('os:a-1-1')).toEqual([
      `os:a-1-1.noarch: kept: line 1 of ${LIST} (${ID}) asks for it`,
      `  from ${os.url}Packages/${rpm('a-1')}`,
      `  here since ${day0}`,
      `  in 2 snapshots, ${first} to ${mirror.snapshots('os')[1]}`,
    ]);
    expect((await told('os:a-2-1')).slice(0, 3)).toEqual([
      'os:a-2-1.noarch: kept: upstream has it',
      `  from ${os.url}Packages/${rpm('a-2')}`,
      `  here since ${day1}`,
    ]);
    expect(await told(`${ID}:a`)).toContain('  from os');
    expect(await told('d')).toContain(`  from ${elsewhere.url}files/${rpm('d-1')}`);

    // Asked for no more: its terms run, in the repository from the day on which upstream dropped it.
    ask([rpm('a-2')], { retention: { droppedDays: 10 } });
    await synced(ID);
    expect(await told('a-1-1')).toEqual(
      expect.arrayContaining([
        'os:a-1-1.noarch: kept: upstream dropped it on 2030-01-02, 0 days ago, and it stays for 5 days',
        '  gone for good on 2030-01-14 at the earliest',
        `${ID}:a-1-1.noarch: kept: the lists dropped it on 2030-01-02, 0 days ago, and it stays for 10 days`,
        '  gone for good on 2030-01-19 at the earliest',
      ]),
    );
  });

  it('says what a release keeps besides, and what is asked for and is not here', async () => {
    upstreamHas('a-1');
    repository();
    ask([rpm('a-1'), 'zzz-1-1.noarch.rpm']);
    await synced('os', ID);
    history.release('3.0', ID, history.at);
    await history.freeze();

    expect(await told(`${ID}:a`)).toContain('  kept besides, since the release 3.0 is made of a snapshot that has it');
    expect(await told('zzz')).toEqual([
      `${ID}:zzz-1-1.noarch: asked: line 2 of ${LIST} asks for it, and nothing here has it: mirrorctl status ${ID} says what the last sync met`,
    ]);
    await expect(told('yyy')).rejects.toThrow('nothing here is called "yyy"');
  });

  it('is a command, for programs too', async () => {
    upstreamHas('a-1');
    repository();
    await synced('os');

    const { stdout, code } = await mirror.run('explain', 'a', '--json');

    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      explanations: [{ item: 'os:a-1-1.noarch', standing: 'kept', why: 'upstream has it', from: [`${os.url}Packages/${rpm('a-1')}`] }],
    });
    expect((await mirror.run('explain', 'nothing')).code).toBe(2);
    expect((await mirror.run('retention', 'explain')).code).toBe(2);
  });
});

describe('the lists themselves', () => {
  it('are served byte for byte with signed digests, and frozen like the rest', async () => {
    upstreamHas('a-1');
    repository();
    ask([`# für alle`, rpm('a-1')]);
    await synced('os', ID);
    const text = `# für alle\n${rpm('a-1')}\n`;

    expect(readFileSync(mirror.published(ID, 'lists', LIST), 'utf8')).toBe(text);
    expect(readFileSync(mirror.published(ID, 'lists/SHA256SUMS'), 'utf8')).toBe(`${sha256(text)}  ${LIST}\n`);
    const sums = [
      '--homedir',
      key.home,
      '--verify',
      mirror.published(ID, 'lists/SHA256SUMS.asc'),
      mirror.published(ID, 'lists/SHA256SUMS'),
    ];
    expect(() => execFileSync('gpg', sums, { stdio: 'ignore' })).not.toThrow();
    history.release('3.0', ID, history.at);
    await history.freeze();
    expect(await history.verify('3.0')).toMatchObject({ files: 10, differences: [] });
    const status = JSON.parse((await mirror.run('status', '--json')).stdout) as { repositories: object[] };
    expect(status.repositories).toContainEqual(expect.objectContaining({ id: ID, kind: 'lists', result: 'published', packages: 1 }));
  });

  it('come back from their repository, or from their URL, where a disk changed them', async () => {
    upstreamHas('a-1');
    repository({ trust: { mode: 'digestsOnly', reason: 'a test' } });
    ask([rpm('a-1'), `${rpm('d-1')}#${put('d-1')}`]);
    await synced('os', ID);
    for (const name of ['a-1', 'd-1']) {
      const stored = mirror.published(ID, 'Packages', rpm(name));
      const bytes = readFileSync(stored);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 9) ^ 4, bytes.length - 9);
      chmodSync(stored, 0o644);
      writeFileSync(stored, bytes);
      chmodSync(stored, 0o444);
    }

    expect(await mirror.run('scrub', '--all')).toMatchObject({ code: 0 });

    for (const name of ['a-1', 'd-1'])
      expect(readFileSync(mirror.published(ID, 'Packages', rpm(name)))).toEqual(readFileSync(files[name] as string));
  });

  it('come back from the URL of a line that is gone', async () => {
    const path = mirror.published(ID, 'Packages', rpm('d-1'));
    upstreamHas('a-1');
    repository();
    ask([rpm('a-1'), `${rpm('d-1')}#${put('d-1')}`]);
    await synced('os', ID);
    ask([rpm('a-1')]);
    await synced(ID);
    chmodSync(path, 0o644);
    writeFileSync(path, 'damaged');

    expect(await mirror.run('scrub', '--all')).toMatchObject({ code: 0, stderr: expect.stringContaining('fetched again') });

    expect(readFileSync(path)).toEqual(readFileSync(files['d-1'] as string));
  });

  describe('where the record of what is published is cut', () => {
    const cut = (): void => {
      const record = join(mirror.root, 'repositories', ID, 'records', `${basename(mirror.currentTarget(ID) as string)}.json`);
      writeFileSync(record, readFileSync(record).subarray(0, 100));
    };

    it('keep what the published metadata and an older record say of a URL', async () => {
      upstreamHas('a-1');
      repository();
      const url = put('d-1');
      ask([rpm('a-1'), `${rpm('d-1')}#${url}`]);
      await synced('os', ID);
      const d = { sha256: sha256(readFileSync(files['d-1'] as string)), size: statSync(files['d-1'] as string).size };
      ask([rpm('a-1')]);
      await synced(ID);
      cut();
      const layout = new Layout(mirror.root, mirror.state, mirror.configuration);
      const published = (await Published.read(layout, ID)) as Published;
      const wanted = askedPackages({ [LIST]: `${rpm('d-1')}#${url}\n` }) as AskedByUrl[];
      expect(published.record).toBeUndefined();

      expect(await listsMemory(layout, { id: ID }, published, [], wanted)).toEqual({ seen: { [url]: d }, lost: [] });

      for (const name of readdirSync(dirname(layout.record(ID, '', 'json'))).filter((one) => one.endsWith('.json')))
        rmSync(join(dirname(layout.record(ID, '', 'json')), name));
      const before = await published.packages([]);
      expect(await listsMemory(layout, { id: ID }, published, before, wanted)).toEqual({ seen: { [url]: d }, lost: [] });
    });

    it('tell of a package that came for the first time, as far as anybody knows', async () => {
      upstreamHas('a-1');
      repository();
      ask([rpm('a-1')]);
      await synced('os', ID);
      cut();
      ask([rpm('a-1'), `${rpm('d-1')}#${put('d-1')}`]);

      const outcome = await synced(ID);

      expect(outcome).toMatchObject({
        result: 'degraded',
        problems: [{ path: rpm('d-1'), code: 'FIRST_SIGHT_LOST', message: expect.stringContaining(`${LIST} line 2`) }],
      });
      expect(listedNow()).toEqual(['a-1', 'd-1']);
      expect(await synced(ID)).toMatchObject({ problems: [] });
    });
  });

  it('are backed up with the packages that have a URL, which nobody looks for again', async () => {
    const backups = mkdtempSync('/dev/shm/lists-backup-');
    mirror.write('definitions/backup.yaml', {
      ...{ kind: 'backup', name: 'mirror.example.org', keep: { daily: 7, weekly: 5, monthly: 12 }, checkEveryDays: 30, everyHours: 24 },
      repository: { type: 'directory', path: join(backups, 'restic') },
    });
    mirror.write('secrets/backup-password', 'correct horse\n');
    try {
      upstreamHas('a-1');
      repository();
      ask([rpm('a-1'), `${rpm('d-1')}#${put('d-1')}`]);
      await synced('os', ID);
      rmSync(join(elsewhere.root, 'files'), { recursive: true });
      expect((await synced(ID)).result).toBe('unchanged');
      expect(await mirror.run('backup', 'run')).toMatchObject({ code: 0 });
      for (const name of ['repositories', 'store']) rmSync(join(mirror.root, name), { recursive: true });

      expect(await mirror.run('backup', 'restore')).toMatchObject({ code: 0 });

      expect(readFileSync(mirror.published(ID, 'Packages', rpm('d-1')))).toEqual(readFileSync(files['d-1'] as string));
    } finally {
      rmSync(backups, { recursive: true });
    }
  });

  it('are signed anew by another key, also where they are never synced again', async () => {
    upstreamHas('a-1');
    repository();
    ask([rpm('a-1')]);
    await synced('os', ID);
    mirror.signBy(vendor);
    ask([rpm('a-1')], { retired: 'a test' });

    expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0 });

    for (const path of ['lists/SHA256SUMS', 'repodata/repomd.xml']) {
      const argv = ['--homedir', vendor.home, '--verify', mirror.published(ID, `${path}.asc`), mirror.published(ID, path)];
      expect(() => execFileSync('gpg', argv, { stdio: 'ignore' })).not.toThrow();
    }
    expect(readFileSync(mirror.published(ID, 'lists', LIST), 'utf8')).toBe(`${rpm('a-1')}\n`);
  });

  it('of a run that was killed leave what was published, and the next run goes on', async () => {
    upstreamHas('a-1', 'b-1');
    repository();
    ask([rpm('a-1')]);
    await synced('os', ID);
    const before = mirror.currentTarget(ID);
    ask([rpm('a-1'), rpm('b-1'), `${rpm('d-1')}#${put('d-1')}`]);
    for (let attempt = 0, delay = 20; attempt < 12; attempt++, delay += 40) {
      const run = mirror.start('sync', ID);
      setTimeout(() => run.kill(), delay);
      const { code } = await run.done;
      const whole = listedNow();
      expect(whole).toEqual(mirror.currentTarget(ID) === before ? ['a-1'] : ['a-1', 'b-1', 'd-1']);
      if (code === 0) break;
    }
    expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
    expect(listedNow()).toEqual(['a-1', 'b-1', 'd-1']);
    expect(mirror.snapshots(ID).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('that ask for nothing give an empty repository', async () => {
    ask(['# nothing yet']);
    expect(await synced(ID)).toMatchObject({ result: 'published', packages: 0 });
    expect(existsSync(mirror.published(ID, 'repodata/repomd.xml.asc'))).toBe(true);
  });
});

it('sync --all and --new look at lists when the repositories are done', async () => {
  upstreamHas('a-1');
  repository({}, 'zz-os');
  mirror.write('definitions/lists/a-lists.yaml', {
    kind: 'lists',
    id: 'a-lists',
    publicPath: 'mirror/starlingx/lists/a/centos',
    lists: { [LIST]: `${rpm('a-1')}\n` },
  });

  const { code, stdout } = await mirror.run('sync', '--new');

  expect(stdout).toContain('a-lists: published');
  expect(code).toBe(0);
});

function elsewhereGone(): string {
  return `http://127.0.0.1:1/files/${basename(rpm('d-1'))}`;
}

function notThere(): string {
  return 'files/nothing.rpm';
}
