/** Requests against real upstreams on 127.0.0.1: packages by rpmbuild, metadata by createrepo_c, git by git. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import type { DownloadedFile, FetchSource, ListsDefinition, RepositoryDefinition } from '../../desired-state/definitions';
import { requestsOf } from '../../scripts/requests/changed';
import { digestNow } from '../../scripts/requests/record';
import { clientOf, lookFor, type RunOptions } from '../../scripts/requests/run';
import type { DeclaredLists, Result } from '../../scripts/requests/types';
import { GitRepository, GitServer } from '../content/support/git-upstream';
import { buildPackage, dropKey, makeKey, signDetached, signPackage, type TestKey } from '../content/support/keys';
import { makeRepository, Web } from './support/web';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'requests-test-'));
let web: Web;
let dead: string;
let key: TestKey;
let stranger: TestKey;

beforeAll(async () => {
  key = makeKey(join(work, 'key'), 'upstream');
  stranger = makeKey(join(work, 'stranger'), 'stranger');
  web = await new Web(join(work, 'www')).start();
  const build = join(work, 'packages');
  const rpms = { one: buildPackage(build, 'tool', '1'), two: buildPackage(build, 'tool', '2'), other: buildPackage(build, 'other', '7') };
  makeRepository(join(web.root, 'os'), [rpms.one, rpms.other]);
  makeRepository(join(web.root, 'updates'), [rpms.two]);
  signDetached(key, join(web.root, 'updates/repodata/repomd.xml'));
  makeRepository(join(web.root, 'mirror/lists'), [rpms.one]);
  makeRepository(join(web.root, 'mirror/centos/os'), [rpms.one, rpms.other]);
  mkdirSync(join(web.root, 'files'), { recursive: true });
  for (const path of Object.values(rpms)) copyFileSync(path, join(web.root, 'files', basename(path)));
  writeFileSync(join(web.root, 'files/a.tar.gz'), 'a tarball');
  writeFileSync(join(web.root, 'files/page.rpm'), '<html>not here</html>');
  const gone = await new Web(work).start();
  dead = gone.url;
  await gone.stop();
});
afterAll(async () => {
  await web.stop();
  for (const one of [key, stranger]) dropKey(one);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  web.special.clear();
  web.requests.length = 0;
});

const repository = (id: string, fetchFrom?: readonly FetchSource[], more: Partial<RepositoryDefinition> = {}) => ({
  trustAt: undefined,
  definition: {
    kind: 'repository' as const,
    id,
    publishedAs: 'https://example.org/',
    publicPath: `mirror/centos/${id}`,
    fetchFrom: [...(fetchFrom ?? [`${web.url}${id}/`])],
    trust: { mode: 'digestsOnly' as const, reason: 'a test' },
    view: 'accumulate' as const,
    ...more,
  } satisfies RepositoryDefinition,
});

interface Asked {
  readonly lines?: readonly string[];
  readonly files?: readonly DownloadedFile[];
  readonly keys?: ListsDefinition['keys'];
}

async function ask(
  { lines = [], files = [], keys }: Asked,
  repositories: readonly ReturnType<typeof repository>[],
  options: Partial<RunOptions> = {},
) {
  const lists: DeclaredLists[] = [
    ...(lines.length === 0
      ? []
      : [
          {
            definition: {
              kind: 'lists' as const,
              id: 'stx',
              publicPath: 'mirror/lists',
              lists: { 'r.lst': lines.map((l) => `${l}\n`).join('') },
              ...(keys === undefined ? {} : { keys }),
            },
            paths: { 'r.lst': 'stx/r.lst' },
            digests: undefined,
          },
        ]),
    ...(files.length === 0
      ? []
      : [
          {
            definition: {
              kind: 'downloads' as const,
              id: 'tar',
              publicPath: 'mirror/tar',
              sums: 'SHA256SUMS',
              files: [...files],
              lists: { 't.lst': files.map(({ path, url }) => `${path}#d#${url}\n`).join('') },
            },
            paths: { 't.lst': 'stx/t.lst' },
            digests: undefined,
          },
        ]),
  ];
  const before = temporary();
  const server = { stack: 'test', repositories, keys: new Map([['keys/RPM', key.publicKey]]) };
  const found = await lookFor(lists.flatMap(requestsOf), server, lists, {
    mirror: undefined,
    timeout: 5,
    concurrency: 2,
    say: () => undefined,
    ...options,
  });
  expect(temporary()).toEqual(before);
  return { ...found, only: found.results[0] as Result };
}
const temporary = (): string[] => readdirSync(tmpdir()).filter((name) => /^check-requests-\w{6}$/.test(name));

describe('packages of declared repositories', () => {
  test('who has it', async () => {
    const { results, unasked } = await ask({ lines: ['tool-1-1.noarch.rpm', 'tool-2-1.noarch.rpm'] }, [
      repository('os'),
      repository('updates'),
    ]);
    expect(results).toMatchObject([
      { verdict: 'can be met', from: ['os'] },
      { verdict: 'can be met', from: ['updates'] },
    ]);
    expect(unasked).toEqual([]);
    // The lists of packages are enough: no package is fetched.
    expect(web.requests.filter(({ path }) => path.endsWith('.rpm'))).toEqual([]);
  });
  test('nobody has it: the versions that there are', async () => {
    const { only } = await ask({ lines: ['tool-3-1.noarch.rpm'] }, [repository('os'), repository('updates')]);
    expect(only).toMatchObject({
      verdict: 'cannot be met',
      reason: 'no declared repository has it',
      versions: [
        { file: 'tool-2-1.noarch.rpm', repository: 'updates' },
        { file: 'tool-1-1.noarch.rpm', repository: 'os' },
      ],
    });
  });
  test('nobody has that name: the nearest', async () => {
    const { only } = await ask({ lines: ['tolo-1-1.noarch.rpm'] }, [repository('os')]);
    expect(only).toMatchObject({ verdict: 'cannot be met', versions: [], names: ['tool'] });
  });
  test('a repository that does not answer costs that repository', async () => {
    const { results, unasked } = await ask({ lines: ['tool-1-1.noarch.rpm', 'tool-2-1.noarch.rpm'] }, [
      repository('os'),
      repository('updates', [`${dead}updates/`]),
    ]);
    expect(results).toMatchObject([
      { verdict: 'can be met' },
      { verdict: 'unknown', reason: expect.stringContaining('updates could not') },
    ]);
    expect(unasked).toMatchObject([{ repository: 'updates', problem: { message: expect.stringContaining(dead) } }]);
  });
  test('the next address is asked', async () => {
    const { only, unasked } = await ask({ lines: ['tool-1-1.noarch.rpm'] }, [repository('os', [`${dead}os/`, `${web.url}os/`])]);
    expect([only.verdict, unasked]).toEqual(['can be met', []]);
  });
  test('signed metadata must be signed', async () => {
    const signedBy = (fingerprint: string): Partial<RepositoryDefinition> => ({
      trust: { mode: 'signedMetadata', keys: [{ file: 'keys/RPM', fingerprint }] },
    });
    const good = await ask({ lines: ['tool-2-1.noarch.rpm'] }, [repository('updates', undefined, signedBy(key.fingerprint))]);
    expect(good.only.verdict).toBe('can be met');
    const bare = await ask({ lines: ['tool-1-1.noarch.rpm'] }, [repository('os', undefined, signedBy(key.fingerprint))]);
    expect(bare.only.verdict).toBe('unknown');
    expect(bare.unasked).toMatchObject([{ problem: { message: expect.stringContaining('repomd.xml.asc is missing') } }]);
  });
  test('a list that was changed on its way is not believed', async () => {
    const primary = readdirSync(join(web.root, 'os/repodata')).find((name) => name.includes('primary')) as string;
    web.special.set(`os/repodata/${primary}`, (_request, response) => void response.writeHead(200).end('no list at all'));
    const { only, unasked } = await ask({ lines: ['tool-1-1.noarch.rpm'] }, [repository('os')]);
    expect([only.verdict, unasked.length]).toEqual(['unknown', 1]);
  });
  test('what lists ask for passes the filter of a repository', async () => {
    const filtered = repository('os', undefined, { filter: { exclude: ['tool'], sources: true, debuginfo: true } });
    expect((await ask({ lines: ['tool-1-1.noarch.rpm'] }, [filtered])).only.verdict).toBe('can be met');
  });
  test('mirror lists are not asked, and that is said', async () => {
    const { only, unasked } = await ask({ lines: ['tool-1-1.noarch.rpm'] }, [repository('os', [{ mirrorlist: `${web.url}list` }])]);
    expect(only.verdict).toBe('unknown');
    expect(unasked).toMatchObject([{ problem: { message: 'none of its sources is a web address' } }]);
  });
});

describe('packages with a URL', () => {
  const at = (file: string, path: string): string => `${file}#${web.url.replace('127.0.0.1', 'localhost')}${path}`;
  test.each<[string, string, string, string, RegExp | undefined]>([
    ['the package', 'tool-1-1.noarch.rpm', 'files/tool-1-1.noarch.rpm', 'can be met', undefined],
    ['another version', 'tool-1-1.noarch.rpm', 'files/tool-2-1.noarch.rpm', 'is another', /is tool-2-1\.noarch\.rpm/],
    ['another architecture', 'tool-1-1.x86_64.rpm', 'files/tool-1-1.noarch.rpm', 'is another', /is tool-1-1\.noarch\.rpm/],
    ['a web page', 'tool-1-1.noarch.rpm', 'files/page.rpm', 'is another', /no RPM package/],
    ['nothing', 'tool-1-1.noarch.rpm', 'files/nothing.rpm', 'cannot be met', /is not there/],
  ])('%s', async (_what, file, path, verdict, reason) => {
    const { only } = await ask({ lines: [at(file, path)] }, [repository('os')]);
    expect(only).toMatchObject({ verdict, digest: 'missing' });
    if (reason !== undefined) expect(only.reason).toMatch(reason);
    // Nothing but the beginning of what is at the URL.
    expect(web.requests.map((request) => request.range)).toEqual(['bytes=0-102399']);
  });
  test('where keys are declared and no digest is, one of them must have signed it', async () => {
    const path = join(web.root, 'files', 'signed.rpm');
    copyFileSync(join(web.root, 'files/tool-1-1.noarch.rpm'), path);
    signPackage(key, path);
    const keys = [{ file: 'keys/RPM', fingerprint: key.fingerprint }];
    expect((await ask({ lines: [at('tool-1-1.noarch.rpm', 'files/signed.rpm')], keys }, [])).only.verdict).toBe('can be met');
    expect((await ask({ lines: [at('tool-1-1.noarch.rpm', 'files/tool-1-1.noarch.rpm')], keys }, [])).only).toMatchObject({
      verdict: 'is another',
      reason: expect.stringContaining('is not signed, and no digest is recorded'),
    });
    copyFileSync(join(web.root, 'files/tool-1-1.noarch.rpm'), path);
    signPackage(stranger, path);
    expect((await ask({ lines: [at('tool-1-1.noarch.rpm', 'files/signed.rpm')], keys }, [])).only).toMatchObject({
      verdict: 'is another',
      reason: expect.stringContaining('signed by nobody who is declared'),
    });
  });
  test('a server that does not answer', async () => {
    const { only } = await ask({ lines: [`tool-1-1.noarch.rpm#${dead.replace('127.0.0.1', 'localhost')}tool.rpm`] }, []);
    expect(only).toMatchObject({ verdict: 'unknown', from: [] });
  });
});

describe('the mirror, if asked', () => {
  test('what it has needs no upstream', async () => {
    const mirror = web.url.replace(/\/$/, '');
    const { results, unasked } = await ask({ lines: ['tool-1-1.noarch.rpm', 'other-7-1.noarch.rpm'] }, [repository('os', [`${dead}os/`])], {
      mirror,
    });
    expect(results).toMatchObject([
      { verdict: 'on the mirror', from: ['stx'] },
      { verdict: 'on the mirror', from: ['os'] },
    ]);
    expect(unasked).toEqual([]);
  });
  test('what it lacks is looked for upstream', async () => {
    const { only } = await ask({ lines: ['tool-2-1.noarch.rpm'] }, [repository('updates')], { mirror: web.url.replace(/\/$/, '') });
    expect(only).toMatchObject({ verdict: 'can be met', from: ['updates'] });
  });
  test('tarballs by its digests', async () => {
    mkdirSync(join(web.root, 'mirror/tar'), { recursive: true });
    writeFileSync(join(web.root, 'mirror/tar/SHA256SUMS'), `${'a'.repeat(64)}  a.tar.gz\n`);
    const files = ['a.tar.gz', 'b.tar.gz'].map((path) => ({ path, url: `${dead}${path}` }));
    const { results } = await ask({ files }, [], { mirror: web.url.replace(/\/$/, '') });
    expect(results.map(({ verdict }) => verdict)).toEqual(['on the mirror', 'unknown']);
  });
});

describe('tarballs', () => {
  test('is it there, and what is its digest', async () => {
    const wanted = { path: 'a.tar.gz', url: `${web.url}files/a.tar.gz` };
    const { only } = await ask({ files: [wanted] }, []);
    expect(only).toMatchObject({ verdict: 'can be met', from: [wanted.url], digest: 'missing' });
    const client = clientOf(5);
    try {
      expect(await digestNow(client, only.request, work)).toBe(sha256(readFileSync(join(web.root, 'files/a.tar.gz'))));
    } finally {
      await client.close();
    }
  });
  test('a recorded digest is nothing to do', async () => {
    const wanted = { path: 'a.tar.gz', url: `${web.url}files/a.tar.gz`, sha256: 'a'.repeat(64) };
    expect((await ask({ files: [wanted] }, [])).only.digest).toBe('recorded');
  });
  test('it is gone', async () => {
    expect((await ask({ files: [{ path: 'a.tar.gz', url: `${web.url}gone.tar.gz` }] }, [])).only).toMatchObject({
      verdict: 'cannot be met',
      reason: `${web.url}gone.tar.gz is not there`,
    });
  });
  test('a reference of a git repository, and the digest of the archive that is made of it', async () => {
    const repository = new GitRepository();
    repository.commit({ 'src/a.c': 'int a;' });
    repository.git('tag', 'v1');
    const server = await new GitServer(dirname(repository.directory)).start();
    const url = `${server.url}${basename(repository.directory)}`;
    const wanted = (ref: string): DownloadedFile => ({ path: 'x-1.tar.gz', url, method: 'git', ref, directory: 'x-1' });
    const client = clientOf(5);
    try {
      const { only } = await ask({ files: [wanted('v1')] }, []);
      expect(only).toMatchObject({ verdict: 'can be met', digest: 'missing' });
      const tar = execFileSync('git', ['-c', 'tar.umask=0022', 'archive', '--format=tar', '--prefix=x-1/', 'v1'], {
        cwd: repository.directory,
      });
      expect(await digestNow(client, only.request, work)).toBe(sha256(tar));
      expect((await ask({ files: [wanted('v2')] }, [])).only).toMatchObject({
        verdict: 'cannot be met',
        reason: expect.stringContaining('"v2" is no tag, branch or commit there'),
      });
    } finally {
      await client.close();
      await server.stop();
      rmSync(repository.directory, { recursive: true });
    }
  });
  test('each member of a file list', async () => {
    const list = (members: string[]): DownloadedFile => ({
      path: 'x.tar',
      url: `${web.url}files`,
      method: 'filelist',
      members,
      directory: 'x',
    });
    expect((await ask({ files: [list(['a.tar.gz'])] }, [])).only.verdict).toBe('can be met');
    expect((await ask({ files: [list(['a.tar.gz', 'b.tar.gz'])] }, [])).only.verdict).toBe('cannot be met');
  });
});
