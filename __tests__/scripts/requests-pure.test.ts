import type { DownloadsDefinition, ListsDefinition } from '../../desired-state/definitions';
import { changed, filesOf, requestsOf } from '../../scripts/requests/changed';
import { Offers } from '../../scripts/requests/offers';
import { recordedName, withDigests } from '../../scripts/requests/record';
import { exitCodeOf, reportText } from '../../scripts/requests/report';
import type { Request, Result, Verdict } from '../../scripts/requests/types';
import { askedPackages } from '../../starlingx/asked';

const lists = (text: string): ListsDefinition => ({ kind: 'lists', id: 'stx', publicPath: 'p', lists: { 'rpms_centos.lst': text } });
const packagesIn = (text: string): readonly Request[] =>
  requestsOf({ definition: lists(text), paths: { 'rpms_centos.lst': 'stx/rpms_centos.lst' }, digests: undefined });
const now = (text: string): ReadonlyMap<string, string> => new Map([['stx/rpms_centos.lst', text]]);
const names = (requests: readonly Request[]): readonly string[] =>
  requests.map((r) => (r.kind === 'package' ? r.asked.file : r.wanted.path));

describe('which lines are requests', () => {
  const before = '# bash-4.2.46-31.el7.x86_64.rpm provided by mock\nzlib-1-1.x86_64.rpm\nbash-4.2.46-31.el7.x86_64.rpm\n';
  test.each<[string, string, readonly string[]]>([
    ['another version', before.replace('\nbash-4.2.46-31', '\nbash-4.2.46-34'), ['bash-4.2.46-34.el7.x86_64.rpm']],
    ['a new line', `${before}nvme-cli-1.8.1-3.el7.x86_64.rpm\n`, ['nvme-cli-1.8.1-3.el7.x86_64.rpm']],
    ['lines in another order', 'bash-4.2.46-31.el7.x86_64.rpm\nzlib-1-1.x86_64.rpm\n', []],
    ['a line less', 'zlib-1-1.x86_64.rpm\n', []],
    ['another comment', before.replace('mock', 'the host'), []],
    ['a URL behind it', before.replace('zlib-1-1.x86_64.rpm', 'zlib-1-1.x86_64.rpm#http://h.example/z'), ['zlib-1-1.x86_64.rpm']],
  ])('%s', (_what, text, expected) => {
    expect(names(changed(packagesIn(text), now(before), now(text)))).toEqual(expected);
  });
  test('all of a list that was not there', () => {
    expect(names(changed(packagesIn(before), new Map(), now(before)))).toHaveLength(2);
  });
  test('a request names its list in the project, and its line', () => {
    expect(packagesIn(before)).toMatchObject([
      { id: 'stx', list: 'stx/rpms_centos.lst', line: 2 },
      { line: 3, asked: { name: 'bash' } },
    ]);
  });
  test('another member of a file list, though the line that names it is the same', () => {
    const line = 'acm.tar.gz#acm#http://h.example/acm#http_filelist#members/acm.txt#\n';
    const definition: DownloadsDefinition = {
      kind: 'downloads',
      id: 'tar',
      publicPath: 'p',
      sums: 'SHA256SUMS',
      files: [{ path: 'acm.tar.gz', url: 'http://h.example/acm', method: 'filelist', members: ['one', 'two'], directory: 'acm' }],
      lists: { 'tarball-dl.lst': line },
    };
    const requests = requestsOf({ definition, paths: { 'tarball-dl.lst': 'stx/tarball-dl.lst' }, digests: undefined });
    expect(filesOf(requests)).toEqual(['stx/tarball-dl.lst', 'stx/members/acm.txt']);
    const texts = (members: string) =>
      new Map([
        ['stx/tarball-dl.lst', line],
        ['stx/members/acm.txt', members],
      ]);
    expect(names(changed(requests, texts('one\n'), texts('one\ntwo\n')))).toEqual(['acm.tar.gz']);
    expect(names(changed(requests, texts('one\ntwo\n'), texts('# both\ntwo\n\none\n')))).toEqual([]);
  });
  test('tarballs and installers: what is served, by its line; what the declaration excludes is no request', () => {
    const definition: DownloadsDefinition = {
      kind: 'downloads',
      id: 'tar',
      publicPath: 'p',
      sums: 'SHA256SUMS',
      files: [
        { path: 'a.tar.gz', url: 'http://h.example/a' },
        { path: 'originals/b.tar.gz', url: 'http://h.example/b' },
      ],
      lists: {
        'tarball-dl.lst':
          'a.tar.gz#a#http://h.example/a\n!b.tar.gz#b#http://h.example/b#http_script##x.sh\nc.tar.gz#c#http://h.example/c\n',
        'other_downloads.lst': '#\nfolder:x\nfile:a.tar.gz\n',
      },
    };
    const requests = requestsOf({ definition, paths: { 'tarball-dl.lst': 'stx/tarball-dl.lst' }, digests: undefined });
    expect(requests.map(({ list, line }, index) => [names(requests)[index], list, line])).toEqual([
      ['a.tar.gz', 'stx/tarball-dl.lst', 1],
      ['originals/b.tar.gz', 'stx/tarball-dl.lst', 2],
      ['a.tar.gz', 'other_downloads.lst', 3],
    ]);
  });
});

describe('what repositories offer', () => {
  const [asked] = askedPackages({ l: 'bash-4.2.46-40.el7.x86_64.rpm\n' });
  const bash = (release: string, arch = 'x86_64', epoch = '0') => ({ name: 'bash', epoch, version: '4.2.46', release, arch });
  const offers = (): Offers => {
    const all = new Offers([asked as NonNullable<typeof asked>]);
    all.add('os', [
      bash('31.el7'),
      bash('9.el7'),
      bash('40.el7', 'src'),
      { ...bash('1'), name: 'bash-doc' },
      { ...bash('1'), name: 'zlib' },
    ]);
    all.add('updates', [bash('34.el7', 'x86_64', '1'), bash('31.el7')]);
    return all;
  };
  const ask = (file: string) => askedPackages({ l: `${file}\n` })[0] as NonNullable<typeof asked>;
  test('exactly what is asked for, of its architecture, whatever its epoch', () => {
    expect(offers().having(ask('bash-4.2.46-31.el7.x86_64.rpm'))).toEqual(['os', 'updates']);
    expect(offers().having(ask('bash-4.2.46-34.el7.x86_64.rpm'))).toEqual(['updates']);
    expect(offers().having(ask('bash-4.2.46-40.el7.nosrc.rpm'))).toEqual(['os']);
    expect(offers().having(ask('bash-4.2.46-40.el7.x86_64.rpm'))).toEqual([]);
  });
  test('other versions: of its architecture first, newest first, each once', () => {
    expect(offers().versions(ask('bash-4.2.46-40.el7.x86_64.rpm'))).toEqual([
      { file: 'bash-4.2.46-34.el7.x86_64.rpm', repository: 'updates' },
      { file: 'bash-4.2.46-31.el7.x86_64.rpm', repository: 'os' },
      { file: 'bash-4.2.46-9.el7.x86_64.rpm', repository: 'os' },
      { file: 'bash-4.2.46-40.el7.src.rpm', repository: 'os' },
    ]);
  });
  test('names that may have been meant', () => {
    expect(offers().near(ask('bahs-4.2.46-40.el7.x86_64.rpm'))).toEqual(['bash']);
    expect(offers().near(ask('bash-docs-1-1.noarch.rpm'))).toContain('bash-doc');
    expect(offers().near(ask('bash-4.2.46-40.el7.x86_64.rpm'))).toEqual([]);
    expect(offers().near(ask('kernel-1-1.noarch.rpm'))).toEqual([]);
  });
});

describe('digests', () => {
  const hex = (letter: string): string => letter.repeat(64);
  test('each in its place; comments and other lines stay', () => {
    expect(withDigests(`# first sight\n${hex('a')}  a.tar\n${hex('c')}  c.tar\n`, new Map([['b.tar', hex('b')]]))).toBe(
      `# first sight\n${hex('a')}  a.tar\n${hex('b')}  b.tar\n${hex('c')}  c.tar\n`,
    );
    expect(withDigests('', new Map([['b', hex('b')]]))).toBe(`${hex('b')}  b\n`);
    expect(withDigests(`${hex('a')}  a`, new Map([['b', hex('b')]]))).toBe(`${hex('a')}  a\n${hex('b')}  b\n`);
  });
  test.each<[string, Request, string | undefined]>([
    ['a package of a repository', packagesIn('a-1-1.noarch.rpm\n')[0] as Request, undefined],
    ['a package with a URL', packagesIn('a-1-1.noarch.rpm#http://h.example/a\n')[0] as Request, 'a-1-1.noarch.rpm'],
    ['a tarball', { kind: 'file', id: 'x', list: 'l', line: 1, wanted: { path: 'a.tar.gz', url: 'http://h.example/a' } }, 'a.tar.gz'],
    [
      'an archive that the mirror makes',
      {
        kind: 'file',
        id: 'x',
        list: 'l',
        line: 1,
        wanted: { path: 'a.tar.gz', url: 'http://h.example/a', method: 'git', ref: 'v1', directory: 'a' },
      },
      'a.tar',
    ],
  ])('%s', (_what, request, name) => {
    expect(recordedName(request)).toBe(name);
  });
});

describe('the exit code', () => {
  const result = (verdict: Verdict): Result => ({
    request: packagesIn('a-1-1.noarch.rpm\n')[0] as Request,
    verdict,
    from: [],
    versions: [],
    names: [],
  });
  test.each<[readonly Verdict[], number]>([
    [[], 0],
    [['on the mirror', 'can be met'], 0],
    [['can be met', 'unknown'], 5],
    [['unknown', 'cannot be met'], 3],
    [['is another', 'cannot be met', 'unknown'], 6],
  ])('%j: %d', (verdicts, code) => {
    expect(exitCodeOf({ results: verdicts.map(result) })).toBe(code);
  });
  test('what stands in the way comes first, and all is counted', () => {
    const text = reportText({ results: [result('can be met'), result('cannot be met')], unasked: [], comparedWith: 'abc' });
    expect(text.split('\n')[0]).toBe('stx/rpms_centos.lst:1: a-1-1.noarch.rpm: cannot be met');
    expect(text).toMatch(/2 requests \(compared with abc\): 1 cannot be met, 1 can be met\.\n$/);
  });
  test('nothing is asked for', () => {
    expect(reportText({ results: [], unasked: [], comparedWith: 'abc' })).toBe('No line asks for anything that abc does not ask for.\n');
  });
});
