/** Preflight on upstreams that are unlike what is declared: content by createrepo_c, rpmsign and gpg, served on 127.0.0.1. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { GRACE_SECONDS } from '../../content/snapshot';
import { sha256 } from '../../desired-state/canonical';
import type { FetchSource, RepositoryDefinition, TrustDefinition } from '../../desired-state/definitions';
import { GRACE_HOURS } from '../../scripts/survey/needs';
import { reportText } from '../../scripts/survey/report';
import { exitCodeOf, preflight, type RunOptions, type ServerReport } from '../../scripts/survey/run';
import type { RepositoryReport } from '../../scripts/survey/types';
import { buildPackage, dropKey, makeKey, signDetached, signPackage, type TestKey } from '../content/support/keys';
import { TestMirror } from '../content/support/mirror';
import { makeRepository, Web } from './support/web';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'preflight-test-'));
const MAIN = "const key = 1;\nconst trust = Trust.signedMetadata([key('RPM')]);\nconst packages = Trust.signedPackages([key('RPM')]);\n";
let pinned: TestKey;
let stranger: TestKey;
let web: Web;
let dead: string;
/** By name: signed by the pinned key, by another one, by none; one of 300 kB. */
const packages: Record<'a' | 'b' | 'large' | 'foreign' | 'unsigned', string> = { a: '', b: '', large: '', foreign: '', unsigned: '' };

beforeAll(async () => {
  pinned = makeKey(join(work, 'pinned'), 'pinned');
  stranger = makeKey(join(work, 'stranger'), 'stranger');
  const build = join(work, 'packages');
  for (const name of Object.keys(packages) as (keyof typeof packages)[])
    packages[name] = buildPackage(build, name, '1', name === 'large' ? 300_000 : 2000);
  for (const name of ['a', 'b', 'large'] as const) signPackage(pinned, packages[name]);
  signPackage(stranger, packages.foreign);
  web = await new Web(join(work, 'www')).start();
  const gone = await new Web(work).start();
  dead = `${gone.url}dead/`;
  await gone.stop();
});
afterAll(async () => {
  await web.stop();
  for (const key of [pinned, stranger]) dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  web.special.clear();
  web.requests.length = 0;
  web.ranges = true;
});

const repository = (name: string, list: readonly (keyof typeof packages)[], ...options: string[]): string =>
  makeRepository(
    join(web.root, name),
    list.map((p) => packages[p]),
    ...options,
  );
const signed = (directory: string, key: TestKey): string => {
  signDetached(key, join(directory, 'repodata/repomd.xml'));
  return directory;
};
const edit = (directory: string, change: (repomd: string) => string): void => {
  const file = join(directory, 'repodata/repomd.xml');
  writeFileSync(file, change(readFileSync(file, 'utf8')));
};

const trusts = {
  metadata: (): TrustDefinition => ({ mode: 'signedMetadata', keys: [{ file: 'keys/RPM', fingerprint: pinned.fingerprint }] }),
  packages: (): TrustDefinition => ({ mode: 'signedPackages', keys: [{ file: 'keys/RPM', fingerprint: pinned.fingerprint }] }),
  digests: (): TrustDefinition => ({ mode: 'digestsOnly', reason: 'a test' }),
};

/** Directories of preflight's own, not those of its tests. */
const temporary = (): string[] => readdirSync(tmpdir()).filter((name) => /^preflight-\w{6}$/.test(name));

type Declared = Partial<Pick<RepositoryDefinition, 'view' | 'filter' | 'maxAgeDays' | 'waivers'>>;

async function look(
  repositories: Record<string, { trust: keyof typeof trusts; fetchFrom?: readonly FetchSource[] } & Declared>,
  options: Partial<RunOptions> = {},
): Promise<{ report: ServerReport; exitCode: number; only: RepositoryReport }> {
  const server = {
    stack: 'test',
    keys: new Map([['keys/RPM', pinned.publicKey]]),
    repositories: Object.entries(repositories).map(([id, { trust, fetchFrom, ...declared }]) => ({
      trustAt: { metadata: 'main.ts:2:21', packages: 'main.ts:3:24', digests: undefined }[trust],
      definition: {
        kind: 'repository' as const, id, publishedAs: 'https://example.org/', publicPath: `mirror/centos/${id}`,
        fetchFrom: [...(fetchFrom ?? [`${web.url}${id}/`])], trust: trusts[trust](), view: 'verbatim' as const, ...declared,
      }, // prettier-ignore
    })),
  };
  const before = temporary().length;
  const report = await preflight(server, {
    timeout: 5, concurrency: 2, free: undefined, main: MAIN, say: () => undefined, now: () => new Date(), ...options,
  }); // prettier-ignore
  expect(temporary()).toHaveLength(before);
  expect(web.requests.filter((r) => r.method !== 'GET')).toEqual([]);
  return { report, exitCode: exitCodeOf([report]), only: report.repositories[0] as RepositoryReport };
}

describe('trust', () => {
  test('signed metadata, as declared', async () => {
    signed(repository('good', ['a', 'large']), pinned);
    const { only, exitCode } = await look({ good: { trust: 'metadata' } });
    expect(only).toMatchObject({ result: 'fits', problems: [], trust: { verdict: 'fits', text: 'declared signedMetadata: fits' } });
    expect(only.addresses[0]?.signature).toMatchObject({ state: 'good', fingerprint: pinned.fingerprint });
    expect(only.metadata).toMatchObject({ digests: ['sha256'], names: 'unique', compressions: ['gzip'], databases: false });
    expect(only.packages).toMatchObject({ count: 2, digests: ['sha256'], compression: 'gzip' });
    expect(Date.now() - Date.parse(only.packages?.newestBuilt as string)).toBeLessThan(600_000);
    // The small one is checked as a sync does, the large one by the signature of its header.
    const checked = Object.fromEntries(only.samples.map((s) => [basename(s.path), [s.checked, s.verdict]]));
    expect(checked).toEqual({ 'a-1-1.noarch.rpm': ['whole', 'good'], 'large-1-1.noarch.rpm': ['header', 'good'] });
    expect(exitCode).toBe(0);
  });

  test('a large package by another key, or with a header that was changed after it was signed', async () => {
    const other = join(work, 'other');
    const foreign = buildPackage(other, 'strange', '1', 300_000);
    signPackage(stranger, foreign);
    const changed = buildPackage(other, 'changed', '1', 300_000);
    signPackage(pinned, changed);
    const bytes = readFileSync(changed);
    bytes.write('T', bytes.lastIndexOf(Buffer.from('test\0')), 'latin1'); // Its summary.
    writeFileSync(changed, bytes);
    makeRepository(join(web.root, 'strange'), [foreign]);
    makeRepository(join(web.root, 'changed'), [changed]);
    const { report } = await look({ strange: { trust: 'packages' }, changed: { trust: 'packages' } });
    expect(report.repositories.map((r) => r.samples[0])).toMatchObject([
      { verdict: 'foreign', checked: 'header', by: [{ fingerprint: stranger.fingerprint }] },
      { verdict: 'bad', checked: 'header', reason: expect.stringContaining('does not match') },
    ]);
  });

  test('a header that is longer than the first request', async () => {
    const long = manyFiles(join(work, 'long'));
    signPackage(pinned, long);
    makeRepository(join(web.root, 'long'), [long]);
    const { only } = await look({ long: { trust: 'packages' } });
    expect(only.samples).toMatchObject([{ verdict: 'good', checked: 'header', bytes: statSync(long).size }]);
    const ranges = web.requests.flatMap((r) => (r.range === undefined ? [] : [Number(r.range.split('-')[1])]));
    expect(ranges[0]).toBe(102_399);
    expect(ranges.at(-1)).toBeGreaterThan(102_399);
    expect(ranges.at(-1)).toBeLessThan(statSync(long).size);
  });

  test('unsigned while declared signed: the line of main.ts, and what it should be', async () => {
    repository('nothing-signed', ['unsigned']);
    const byMetadata = await look({ 'nothing-signed': { trust: 'metadata' } });
    expect(byMetadata.only.trust).toMatchObject({
      verdict: 'does not fit',
      text: 'declared signedMetadata, but there is no repomd.xml.asc',
      change: {
        at: 'main.ts:2',
        now: "const trust = Trust.signedMetadata([key('RPM')]);",
        then: "const trust = Trust.digestsOnly('<why nothing else can be verified>');",
      },
    });
    expect(byMetadata.exitCode).toBe(6);
    const byPackages = await look({ 'nothing-signed': { trust: 'packages' } });
    expect(byPackages.only.trust.text).toBe('declared signedPackages, but Packages/unsigned-1-1.noarch.rpm: it is not signed');
    expect(byPackages.only.samples[0]).toMatchObject({ verdict: 'unsigned', by: [] });
    expect(byPackages.exitCode).toBe(6);
    expect((await look({ 'nothing-signed': { trust: 'digests' } })).exitCode).toBe(0);
  });

  test('only packages are signed while signed metadata is declared', async () => {
    repository('packages-only', ['a']);
    const { only, exitCode } = await look({ 'packages-only': { trust: 'metadata' } });
    expect(only.trust.change).toMatchObject({ at: 'main.ts:2', then: "const trust = Trust.signedPackages([key('RPM')]);" });
    expect(only.problems).toEqual([
      expect.objectContaining({ exitCode: 6, message: 'declared signedMetadata, but there is no repomd.xml.asc (main.ts:2)' }),
    ]);
    expect(exitCode).toBe(6);
  });

  test('signed by another key', async () => {
    signed(repository('foreign', ['foreign']), stranger);
    for (const trust of ['metadata', 'packages'] as const) {
      const { only, exitCode } = await look({ foreign: { trust } });
      expect(only.trust.verdict).toBe('does not fit');
      expect(only.problems[0]?.message.toUpperCase()).toContain(stranger.fingerprint.slice(-8));
      expect(only.problems[0]?.remedy).toContain(`Is ${stranger.fingerprint} upstream's?`);
      expect(exitCode).toBe(6);
    }
  });

  test('metadata is signed too, and what it is worth where it does not verify', async () => {
    signed(repository('both', ['a']), pinned);
    const both = await look({ both: { trust: 'packages' } });
    expect(both.only.trust).toMatchObject({
      verdict: 'could be stronger',
      text: expect.stringContaining('metadata is signed too: signedMetadata would be stronger'),
      change: { at: 'main.ts:3', then: "const packages = Trust.signedMetadata([key('RPM')]);" },
    });
    expect(both.exitCode).toBe(0);
    const directory = signed(repository('stale', ['a']), pinned);
    edit(directory, (repomd) => `${repomd}\n`);
    const stale = await look({ stale: { trust: 'packages' } });
    expect(stale.only).toMatchObject({ result: 'fits', trust: { text: expect.stringContaining('repomd.xml.asc is of no use') } });
    expect((await look({ stale: { trust: 'metadata' } })).only.trust.text).toContain(
      'repomd.xml.asc does not verify: the signature by key',
    );
  });

  test('digests only: what could be verified', async () => {
    repository('unpinned', ['a']);
    const { only, exitCode } = await look({ unpinned: { trust: 'digests' } });
    expect(only.trust).toMatchObject({
      verdict: 'could be stronger',
      text: expect.stringContaining(`signed by ${pinned.fingerprint}`),
      change: { at: undefined, then: "Trust.signedPackages([key('<the public key, in keys/>')])" },
    });
    expect(exitCode).toBe(0);
  });

  test('a key file that holds another key than the pinned one', async () => {
    repository('pin', ['a']);
    const key = pinned.publicKey;
    (pinned as { publicKey: string }).publicKey = stranger.publicKey;
    const { only, exitCode } = await look({ pin: { trust: 'packages' } });
    (pinned as { publicKey: string }).publicKey = key;
    expect(only.problems[0]?.code).toBe('KEY_MISMATCH');
    expect(exitCode).toBe(6);
  });
});

describe('forms of metadata', () => {
  test.each([
    ['xz', 'xz'],
    ['bz2', 'bzip2'],
    ['gz', 'gzip'],
  ])('a package list in %s', async (type, compression) => {
    repository(`in-${type}`, ['a'], `--general-compress-type=${type}`);
    const { only } = await look({ [`in-${type}`]: { trust: 'packages' } });
    expect(only).toMatchObject({ result: 'fits', packages: { count: 1, compression }, metadata: { compressions: [compression] } });
  });

  test('a package list in zstd', async () => {
    const directory = repository('in-zstd', ['a']);
    const folder = join(directory, 'repodata');
    const list = readdirSync(folder).find((f) => f.includes('primary')) as string;
    const bytes = execFileSync('sh', ['-c', `gzip -dc ${list} | zstd -c`], { cwd: folder });
    const hex = sha256(bytes);
    writeFileSync(join(folder, `${hex}-primary.xml.zst`), bytes);
    // This distribution's createrepo_c writes no zstd.
    const record = `$1${hex}$2repodata/${hex}-primary.xml.zst$3${bytes.length}$4`;
    edit(directory, (repomd) =>
      repomd.replace(
        /(<data type="primary">\s*<checksum type="sha256">)[0-9a-f]+([^]*?<location href=")[^"]+([^]*?<size>)\d+(<\/size>)/,
        record,
      ),
    );
    const { only } = await look({ 'in-zstd': { trust: 'packages' } });
    expect(only).toMatchObject({
      result: 'fits',
      packages: { count: 1, compression: 'zstd' },
      metadata: { compressions: ['gzip', 'zstd'] },
    });
  });

  test('sha1: refused as a sync does, and still measured', async () => {
    repository('sha1', ['a', 'b'], '--checksum=sha1', '--simple-md-filenames');
    const { only, exitCode, report } = await look({ sha1: { trust: 'packages' } });
    expect(only.metadata).toMatchObject({ digests: ['sha1'], names: 'reused' });
    expect(only.packages).toMatchObject({ count: 2, digests: ['sha1'] });
    expect(only.problems.map((p) => p.code)).toEqual(['CHECKSUM_UNUSABLE', 'CHECKSUM_UNUSABLE']);
    expect(only.problems[1]?.message).toContain('(and 1 more)');
    for (const { remedy } of only.problems) expect(remedy).toContain('Waiver.weakChecksums(reason)');
    expect(report.needs.packages.bytes).toBeGreaterThan(2 * 4096);
    expect(exitCode).toBe(6);
  });

  test('packages below another base are looked at there', async () => {
    mkdirSync(join(web.root, 'pool'), { recursive: true });
    const directory = repository('based', ['a'], `--baseurl=${web.url}pool`);
    renameSync(join(directory, 'Packages'), join(web.root, 'pool', 'Packages'));
    const { only, exitCode } = await look({ based: { trust: 'packages' } });
    expect(only.problems).toEqual([]);
    expect(exitCode).toBe(0);
    expect(web.requests.map((r) => r.path)).toContain(`pool/Packages/${basename(packages.a)}`);
  });

  test('sha1 by waiver; a waiver that is not needed is told', async () => {
    repository('sha1-waived', ['a'], '--checksum=sha1');
    repository('sha256', ['a']);
    const waivers = [{ allow: 'weakChecksums' as const, reason: 'upstream ended in 2014' }];
    expect((await look({ 'sha1-waived': { trust: 'packages', waivers } })).only).toMatchObject({ result: 'fits', notes: [] });
    expect((await look({ sha256: { trust: 'packages', waivers } })).only).toMatchObject({
      result: 'fits',
      notes: ['Waiver.weakChecksums is not needed by the index: it has no sha1'],
    });
  });

  test('a maximum age: metadata that is older, just as old, younger, of no time; by waiver', async () => {
    repository('aged', ['a'], '--revision=1700000000');
    repository('timeless', ['a'], '--revision=7');
    for (const name of ['aged', 'timeless']) edit(join(web.root, name), (repomd) => repomd.replace(/<timestamp>\d+/g, '<timestamp>7'));
    const now = (days: number) => ({ now: () => new Date((1_700_000_000 + days * 86_400) * 1000) });
    const aged = (declared: Declared, days: number) => look({ aged: { trust: 'packages', ...declared } }, now(days));
    const { only, exitCode } = await aged({ maxAgeDays: 14 }, 14);
    expect(only).toMatchObject({ result: 'does not fit', problems: [{ code: 'METADATA_STALE' }] });
    expect(only.problems[0]?.message).toBe(`${web.url}aged/repodata/repomd.xml was made 14 days ago, and maxAgeDays is 14`);
    expect(exitCode).toBe(6);
    expect((await aged({ maxAgeDays: 14 }, 13.9)).only).toMatchObject({ result: 'fits', notes: [] });
    expect((await aged({}, 9000)).only).toMatchObject({ result: 'fits', notes: [] });
    const waivers = [{ allow: 'staleMetadata' as const, reason: 'upstream is on holiday' }];
    expect((await aged({ maxAgeDays: 14, waivers }, 20)).only).toMatchObject({ result: 'fits', notes: [] });
    expect((await aged({ maxAgeDays: 14, waivers }, 1)).only.notes.join()).toContain('Waiver.staleMetadata is not needed now');
    const { problems } = (await look({ timeless: { trust: 'packages', maxAgeDays: 1 } })).only;
    expect(problems[0]?.message).toBe(`${web.url}timeless/repodata/repomd.xml does not say when it was made, and maxAgeDays is 1`);
    edit(join(web.root, 'timeless'), (repomd) => repomd.replace('<timestamp>7', '<timestamp>1700000000'));
    expect((await look({ timeless: { trust: 'packages', maxAgeDays: 14 } }, now(13))).only.result).toBe('fits');
  });

  test('a filter: what it takes is counted and looked at; one that takes nothing does not fit', async () => {
    repository('filtered', ['a', 'b']);
    const filtered = (include: string) => {
      const filter = { include: [include], sources: true, debuginfo: true };
      return look({ filtered: { trust: 'packages', view: 'accumulate', filter } });
    };
    const { only, report } = await filtered('a');
    expect(only).toMatchObject({
      result: 'fits',
      packages: { count: 1, listed: 2 },
      samples: [{ path: expect.stringContaining('a-1-1') }],
      notes: ['the filter takes 1 of the 2 packages that upstream lists'],
    });
    expect(report.needs.packages.inodes).toBe(1);
    const none = await filtered('a-1*');
    expect(none).toMatchObject({ exitCode: 6, only: { result: 'does not fit', problems: [{ code: 'FILTER_TAKES_NOTHING' }] } });
  });

  test('names that are used again', async () => {
    repository('reused', ['a'], '--simple-md-filenames');
    const { only, exitCode } = await look({ reused: { trust: 'packages' } });
    expect(only.metadata?.names).toBe('reused');
    expect(only.notes.join()).toContain('metadata file names are used again');
    expect(exitCode).toBe(0);
  });

  test('sqlite beside XML, and alone', async () => {
    const directory = repository('sqlite', ['a'], '--database');
    expect((await look({ sqlite: { trust: 'packages' } })).only).toMatchObject({ result: 'fits', metadata: { databases: true, files: 6 } });
    edit(directory, (repomd) => repomd.replace(/<data type="primary">[^]*?<\/data>/, ''));
    const { only, exitCode } = await look({ sqlite: { trust: 'packages' } });
    expect(only).toMatchObject({
      metadata: { databases: true },
      problems: [{ message: expect.stringContaining('lists no primary metadata') }],
    });
    expect(only.packages).toBeUndefined();
    expect(exitCode).toBe(6);
  });

  test('an empty repository', async () => {
    signed(repository('empty', []), pinned);
    for (const trust of ['metadata', 'packages'] as const) {
      const { only, exitCode } = await look({ empty: { trust } });
      expect(only).toMatchObject({
        result: 'fits',
        packages: { count: 0, bytes: 0, newestBuilt: undefined },
        notes: ['the repository is empty'],
      });
      expect(exitCode).toBe(0);
    }
  });

  test('the package list is missing, or another one than the index says', async () => {
    const directory = repository('no-list', ['a']);
    const list = join(directory, 'repodata', readdirSync(join(directory, 'repodata')).find((f) => f.includes('primary')) as string);
    renameSync(list, `${list}.away`);
    const missing = await look({ 'no-list': { trust: 'packages' } });
    expect(missing.only).toMatchObject({ result: 'unreachable', problems: [{ message: expect.stringContaining('status 404') }] });
    expect(missing).toMatchObject({ exitCode: 5, report: { notCounted: ['no-list'] } });
    const bytes = readFileSync(`${list}.away`);
    bytes[20] = (bytes[20] as number) ^ 1;
    writeFileSync(list, bytes);
    expect(await look({ 'no-list': { trust: 'packages' } })).toMatchObject({
      exitCode: 6,
      only: { problems: [{ code: 'CONTENT_MISMATCH' }] },
    });
  });

  test('a list that is a bomb', async () => {
    const directory = repository('bomb', ['a']);
    edit(directory, (repomd) => repomd.replace(/(<data type="primary">[^]*?<open-size>)\d+/, '$15'));
    expect((await look({ bomb: { trust: 'packages' } })).only.problems).toMatchObject([{ code: 'METADATA_BOMB' }]);
  });

  test('locations that leave the repository, and entities', async () => {
    const directory = repository('tricks', ['a']);
    edit(directory, (repomd) => repomd.replace(/(<data type="primary">[^]*?href=")/, '$1../'));
    expect((await look({ tricks: { trust: 'packages' } })).only.problems).toMatchObject([{ code: 'LOCATION_UNSAFE' }]);
    edit(directory, (repomd) => repomd.replace('<repomd', '<!DOCTYPE x [<!ENTITY a "b">]><repomd'));
    expect((await look({ tricks: { trust: 'packages' } })).only.problems).toMatchObject([{ code: 'METADATA_DOCTYPE' }]);
  });
});

describe('packages that are not what is listed', () => {
  test.each([true, false])('a size that lies (the server knows ranges: %s)', async (ranges) => {
    const directory = repository('lies', ['a', 'large']);
    appendFileSync(join(directory, 'Packages/large-1-1.noarch.rpm'), 'x'.repeat(5000));
    web.ranges = ranges;
    const { only, exitCode } = await look({ lies: { trust: 'packages' } });
    expect(only.problems).toMatchObject([
      { code: 'CONTENT_MISMATCH', message: expect.stringMatching(/large.* has \d+ bytes; the metadata says \d+/) },
    ]);
    expect(exitCode).toBe(6);
  });

  test('a listed package that is not there, and one that is a web page', async () => {
    const directory = repository('absent', ['a']);
    rmSync(join(directory, 'Packages/a-1-1.noarch.rpm'));
    expect(await look({ absent: { trust: 'packages' } })).toMatchObject({ exitCode: 5, only: { result: 'unreachable' } });
    writeFileSync(join(directory, 'Packages/a-1-1.noarch.rpm'), '<html>'.repeat(100));
    const { only } = await look({ absent: { trust: 'packages' } });
    expect(only.samples[0]).toMatchObject({ verdict: 'bad', reason: 'it does not begin as an RPM package does' });
    expect(only.problems.map((p) => p.code).sort()).toEqual(['CONTENT_MISMATCH', 'PACKAGES_DAMAGED']);
  });

  test('no more than the beginning of a large package is read', async () => {
    repository('sparing', ['large']);
    let sent = 0;
    web.ranges = false;
    // The package, and then no end: what is not asked for must not be read.
    web.special.set('sparing/Packages/', (_request, response) => {
      sent += 300_000;
      response.write(readFileSync(packages.large));
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      response.on('drain', more);
      more();
    });
    const { only } = await look({ sparing: { trust: 'packages' } });
    expect(only.samples).toMatchObject([{ verdict: 'good', checked: 'header', bytes: undefined }]);
    expect(sent).toBeLessThan(20_000_000);
    expect(web.requests.at(-1)).toMatchObject({ range: 'bytes=0-102399', agent: 'mirror-preflight' });
  });
});

describe('addresses', () => {
  const page = '<!DOCTYPE html>\n<html><body>Please log in</body></html>';
  test.each<[string, string, (web: Web) => void, number, object]>([
    [
      'a captive portal',
      'portal',
      (w) => w.special.set('portal/', (_q, r) => void r.end(page)),
      6,
      { status: 200, cause: 'content', problem: { code: 'NOT_METADATA' } },
    ],
    ['nothing there', 'gone', () => undefined, 5, { status: 404, cause: 'status' }],
    ['a busy server', 'busy', (w) => w.special.set('busy/', (_q, r) => void r.writeHead(503).end()), 5, { status: 503, cause: 'status' }],
    ['a loop', 'loop', (w) => w.special.set('loop/', (q, r) => void r.writeHead(302, { location: q.url }).end()), 5, { cause: 'redirect' }],
    ['an endless index', 'endless', (w) => w.special.set('endless/', endless), 6, { cause: 'endless', problem: { code: 'BODY_TOO_LONG' } }],
    ['a byte a second', 'slow', (w) => w.special.set('slow/', slow), 5, { cause: 'slow', problem: { code: 'UPSTREAM_SLOW' } }],
    ['no answer', 'mute', (w) => w.special.set('mute/', () => undefined), 5, { cause: 'timeout' }],
  ])('%s', async (_name, id, prepare, exitCode, address) => {
    prepare(web);
    const started = Date.now();
    const looked = await look({ [id]: { trust: 'packages' } }, { timeout: 1 });
    expect(looked.only.addresses[0]).toMatchObject(address);
    expect(looked.only.addresses[0]?.problem?.message).toContain(`${web.url}${id}/repodata/repomd.xml`);
    expect(looked).toMatchObject({
      exitCode,
      only: { result: exitCode === 5 ? 'unreachable' : 'does not fit', trust: { verdict: 'unknown' } },
    });
    expect(Date.now() - started).toBeLessThan(8000);
  });

  test('an address that refuses, and a name that does not resolve', async () => {
    const { report, exitCode } = await look({
      refused: { trust: 'packages', fetchFrom: [dead] },
      dns: { trust: 'packages', fetchFrom: ['http://nowhere.invalid/x/'] },
    });
    expect(report.repositories.map((r) => r.addresses[0]?.cause)).toEqual(['refused', 'dns']);
    expect(exitCode).toBe(5);
  });

  test('a chain of redirects is told', async () => {
    repository('moved', ['a']);
    web.special.set('first/', (q, r) => void r.writeHead(301, { location: (q.url as string).replace('first', 'second') }).end());
    web.special.set('second/', (q, r) => void r.writeHead(302, { location: (q.url as string).replace('second', 'moved') }).end());
    const { only, exitCode } = await look({ first: { trust: 'packages' } });
    expect(only.addresses[0]).toMatchObject({
      status: 200,
      redirects: [
        { url: `${web.url}first/repodata/repomd.xml`, status: 301 },
        { url: `${web.url}second/repodata/repomd.xml`, status: 302 },
      ],
      finalUrl: `${web.url}moved/repodata/repomd.xml`,
    });
    expect(exitCode).toBe(0);
  });

  test('the first address is dead, the second one is looked at; another revision is told', async () => {
    signed(repository('alive', ['a']), pinned);
    signed(repository('older', ['a'], '--revision=7'), pinned);
    repository('bare', ['a']);
    const addresses = [dead, `${web.url}alive`, `${web.url}older/`, `${web.url}bare/`];
    const { only, exitCode } = await look({ alive: { trust: 'metadata', fetchFrom: addresses } });
    expect(only).toMatchObject({ result: 'does not fit', trust: { verdict: 'fits' }, packages: { count: 1 } });
    expect(only.addresses.map((a) => a.cause ?? a.status)).toEqual(['refused', 200, 200, 200]);
    expect(only.notes.join()).toContain('older/ serves another revision (7)');
    // The last one lacks the signature that is declared: a sync that failed over to it would stop.
    expect(only.problems.map((p) => [p.exitCode, p.message])).toEqual([
      [5, expect.stringContaining(dead)],
      [6, `${web.url}bare/repodata/repomd.xml.asc is missing`],
    ]);
    expect(exitCode).toBe(6);
    expect((await look({ alive: { trust: 'metadata', fetchFrom: addresses.slice(0, 2) } })).exitCode).toBe(5);
  });

  test('lists of mirrors and rsync are not looked at, and it says so', async () => {
    repository('listed', ['a']);
    const lists = [{ metalink: `${web.url}metalink` }, { mirrorlist: `${web.url}list` }, 'rsync://mirror.invalid/x/'];
    const notes = [
      `not looked at: the mirrors of ${web.url}metalink (a metalink)`,
      `not looked at: the mirrors of ${web.url}list (a mirror list)`,
      'not looked at: rsync://mirror.invalid/x/ (rsync)',
    ];
    const some = await look({ listed: { trust: 'packages', fetchFrom: [...lists, `${web.url}listed/`] } });
    expect(some).toMatchObject({ exitCode: 0, only: { result: 'fits', packages: { count: 1 }, notes } });
    const none = await look({ listed: { trust: 'packages', fetchFrom: lists } });
    expect(none).toMatchObject({ exitCode: 0, only: { result: 'not looked at', addresses: [], trust: { verdict: 'unknown' }, notes } });
    expect(none.report.notCounted).toEqual(['listed']);
    expect(reportText([none.report], 0)).toContain('0 of 1 repository fit; 1 not looked at. Nothing that was seen stands in the way.');
  });

  test('a repository is given up in the end, however busy its upstream seems', async () => {
    const directory = repository('forever', ['a']);
    edit(directory, (repomd) => repomd.replace(/(<data type="primary">[^]*?<size>)\d+/, '$1900000000'));
    web.special.set('forever/repodata/repomd.xml.asc', (_q, r) => void r.writeHead(404).end());
    const list = readdirSync(join(directory, 'repodata')).find((f) => f.includes('primary')) as string;
    web.special.set(`forever/repodata/${list}`, (_q, r) => {
      const timer = setInterval(() => (r.destroyed ? clearInterval(timer) : r.write(Buffer.alloc(2000))), 100);
    });
    const { only, exitCode } = await look({ forever: { trust: 'packages' } }, { timeout: 1 });
    expect(only.problems).toMatchObject([{ code: 'DEADLINE', message: 'forever was given up after 10 s' }]);
    expect(exitCode).toBe(5);
  });
});

function endless(_request: unknown, response: import('node:http').ServerResponse): void {
  const chunk = Buffer.alloc(65_536, '<');
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}

function slow(_request: unknown, response: import('node:http').ServerResponse): void {
  const timer = setInterval(() => (response.destroyed ? clearInterval(timer) : response.write('<')), 300);
}

describe('what the server needs', () => {
  test('is what a sync takes, packages that two repositories share once', async () => {
    signed(repository('one', ['a', 'large', 'unsigned']), pinned);
    signed(repository('two', ['b', 'large']), pinned);
    repository('sha512', ['foreign'], '--checksum=sha512', '--database');
    const trust = { one: 'metadata', two: 'packages', sha512: 'digests' } as const;
    const declared = Object.fromEntries(Object.entries(trust).map(([id, t]) => [id, { trust: t }]));
    const { needs, notCounted } = (await look(declared)).report;
    expect(notCounted).toEqual([]);
    expect(needs.packages).toMatchObject({ sharedFiles: 1, sharedBytes: statSync(packages.large).size, inodes: 5 - 1 + 1 });

    const mirror = new TestMirror();
    try {
      for (const [id, t] of Object.entries(trust)) {
        mirror.repository(id, [`${web.url}${id}/`], t === 'digests' ? trusts.digests() : mirror.pin('signedMetadata', pinned));
      }
      mirror.repository('two', [`${web.url}two/`], mirror.pin('signedPackages', pinned));
      expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0 });
      // The activation makes the public links.
      for (const id of Object.keys(trust)) {
        const link = join(mirror.root, 'www/mirror/centos', id);
        mkdirSync(dirname(link), { recursive: true });
        symlinkSync(`../../../repositories/${id}/current`, link);
      }
      const found = measure(mirror.root);
      expect(needs.packages.bytes + needs.metadata.bytes).toBe(found.bytes);
      // The directory of a SHA-256 that upstream does not say is a guess: two hexadecimal digits may be shared or not.
      const inodes = needs.packages.inodes + needs.metadata.inodes + needs.tree.inodes;
      expect(Math.abs(inodes - found.inodes)).toBeLessThanOrEqual(3);
    } finally {
      mirror.remove();
    }
  });

  test('exactly, where digests are SHA-256', async () => {
    signed(repository('exact', ['a', 'b', 'large']), pinned);
    const { needs } = (await look({ exact: { trust: 'metadata' } })).report;
    const mirror = new TestMirror();
    try {
      mirror.repository('exact', [`${web.url}exact/`], mirror.pin('signedMetadata', pinned));
      expect(await mirror.run('sync', 'exact')).toMatchObject({ code: 0 });
      mkdirSync(join(mirror.root, 'www/mirror/centos'), { recursive: true });
      symlinkSync('../../../repositories/exact/current', join(mirror.root, 'www/mirror/centos/exact'));
      const found = measure(mirror.root);
      expect(needs.packages.inodes + needs.metadata.inodes + needs.tree.inodes).toBe(found.inodes);
      expect(needs.packages.bytes + needs.metadata.bytes).toBe(found.bytes);
    } finally {
      mirror.remove();
    }
  });

  test('grace and headroom, and a free space', async () => {
    signed(repository('grace', ['a']), pinned);
    const now = async (time: string, free?: number): Promise<ServerReport> =>
      (await look({ grace: { trust: 'packages' } }, { now: () => new Date(time), free })).report;
    const built = new Date().toISOString();
    const soon = await now(built);
    const later = await now('2036-01-01T00:00:00Z');
    // What was built lately may be replaced within the grace period.
    expect(soon.needs.grace.bytes - later.needs.grace.bytes).toBe(soon.needs.packages.bytes);
    const { packages: content, metadata, tree, grace, headroom, total } = later.needs;
    expect(headroom.bytes).toBe(Math.ceil((content.bytes + metadata.bytes + tree.bytes + grace.bytes) * 0.1));
    expect(total.bytes).toBe(content.bytes + metadata.bytes + tree.bytes + grace.bytes + headroom.bytes);
    expect((await now(built, soon.needs.total.bytes)).space).toEqual({ free: soon.needs.total.bytes, missing: 0 });
    const short = await now(built, soon.needs.total.bytes - 1);
    expect(short.space?.missing).toBe(1);
    expect(exitCodeOf([short])).toBe(6);
    expect(GRACE_HOURS * 3600).toBe(GRACE_SECONDS);
  });
});

/** A package of 2,000 files, whose names fill its header, and of content that does not compress. */
function manyFiles(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const spec = join(directory, 'long.spec');
  writeFileSync(
    spec,
    `Name: long\nVersion: 1\nRelease: 1\nSummary: test\nLicense: MIT\nBuildArch: noarch\n%description\ntest\n%install\nmkdir -p %{buildroot}/opt/long\nfor i in $(seq 2000); do echo $i > %{buildroot}/opt/long/a-file-with-quite-a-long-name-$i; done\nhead -c 300000 /dev/urandom > %{buildroot}/opt/long/random\n%files\n/opt/long\n`,
  );
  execFileSync('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${directory}`, spec], { stdio: 'ignore' });
  return join(directory, 'RPMS/noarch/long-1-1.noarch.rpm');
}

/** Blocks of 4 KiB of all files, and inodes of everything, hard links once. */
function measure(root: string): { bytes: number; inodes: number } {
  const lines = execFileSync('find', [root, '-printf', '%i %y %s %P\\n'], { encoding: 'utf8' }).trim().split('\n');
  const inodes = new Map(lines.map((line) => [line.split(' ')[0], line.split(' ')] as const));
  // What is kept beside a snapshot is estimated with the trees.
  const files = [...inodes.values()].filter(([, type, , path]) => type === 'f' && !path?.includes('/records/'));
  const bytes = files.reduce((sum, [, , size]) => sum + Math.ceil(Number(size) / 4096) * 4096, 0);
  return { bytes, inodes: inodes.size };
}
