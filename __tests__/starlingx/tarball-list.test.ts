import fc from 'fast-check';
import { needsScript, parseTarballList, tarballsOf, writeTarballList } from '../../starlingx/tarball-list';
import { caught } from '../support/caught';

const parse = (text: string) => parseTarballList(Buffer.from(text), 'tarball-dl.lst');

describe('a line', () => {
  test.each<[string, string, object]>([
    [
      'of 2018',
      'a-1.tar.gz#a-1#https://h.example/a-1.tar.gz',
      { file: 'a-1.tar.gz', directory: 'a-1', url: 'https://h.example/a-1.tar.gz', method: 'https', util: '', script: '', special: false },
    ],
    ['of 2018, without TLS', 'a-1.tar.gz#a-1#http://h.example/a-1.tar.gz', { method: 'http' }],
    ['with all columns', 'a-1.tar.gz#a-1#https://h.example/a-1.tar.gz#http##', { method: 'http', url: 'https://h.example/a-1.tar.gz' }],
    ['without the last columns', 'a-1.tar.gz#a-1#https://h.example/a-1.tar.gz#https', { method: 'https' }],
    [
      'special',
      '!a-1.tar.gz#a-1#http://h.example/a.tar.gz#http_script##fix/a.sh',
      { special: true, method: 'http_script', script: 'fix/a.sh' },
    ],
    ['with a script in the column before its own', '!a.tar.gz#a#http://h.example/a#http_script#fix/a.sh', { util: '', script: 'fix/a.sh' }],
    ['with an empty method', 'go.tar.gz#go#https://h.example/go.tar.gz##https##', { method: 'https', util: '', script: '' }],
    ['git', '!tss2-930.tar.gz#tss2-930#https://git.code.sf.net/p/ibmtpm20tss/tss#git#v930#', { method: 'git', util: 'v930' }],
    ['git with a script', 'a.tar.gz#a#https://h.example/a.git#git_script#0f1e2d#fix/a.sh', { method: 'git_script', script: 'fix/a.sh' }],
    ['a list of files', 'a.tar.gz#a#https://h.example/a/#http_filelist#lists/a.files#', { method: 'http_filelist', util: 'lists/a.files' }],
    ['a directory that ends with a slash', 'a.tar.gz#p/m/a/#https://h.example/a.tar.gz', { directory: 'p/m/a' }],
    ['another archive at the URL', 'smart-1.tar.gz#smart-1#http://h.example/smart-1.tar.bz2#http##', { file: 'smart-1.tar.gz' }],
    ['without the scheme', 'a.tar.gz#a#github.com/a/a.tar.gz#http##', { url: 'http://github.com/a/a.tar.gz' }],
    ['without the scheme, with TLS', 'a.tar.gz#a#github.com/a/a.tar.gz#https##', { url: 'https://github.com/a/a.tar.gz' }],
    ['a version with +-', 'checker-0.37+-5cc77741.tar.gz#checker#https://h.example/5cc7#http##', { file: 'checker-0.37+-5cc77741.tar.gz' }],
  ])('%s', (_what, line, expected) => {
    const list = parse(`${line}\n`);
    expect(tarballsOf(list)).toMatchObject([{ line: 1, ...expected }]);
    expect(writeTarballList(list)).toBe(`${line}\n`);
  });
  test('which archives a script makes', () => {
    expect(
      ['http', 'https', 'http_filelist', 'http_script', 'git', 'git_script'].filter((method) => needsScript({ method } as never)),
    ).toEqual(['http_script', 'git_script']);
  });
});

describe('the same archive again', () => {
  const line = 'a.tar.gz#a#https://h.example/a.tar.gz#http##';
  test('a line twice is one request', () => {
    expect(tarballsOf(parse(`${line}\n${line}\n`))).toHaveLength(1);
  });
  test.each([
    ['another URL', 'a.tar.gz#a#https://h.example/b.tar.gz#http##'],
    ['another method', 'a.tar.gz#a#https://h.example/a.tar.gz#git#v1#'],
    ['another reference', 'a.tar.gz#a#https://h.example/a.tar.gz#http_script##x.sh'],
  ])('%s is a conflict', (_what, other) => {
    expect(caught(() => parse(`${line}\n${other}\n`)).message).toBe(
      'tarball-dl.lst line 2 "a.tar.gz": line 1 asks for the same file in another way',
    );
  });
  test('two archives may come from one URL', () => {
    expect(tarballsOf(parse(`${line}\nb.tar.gz#b#https://h.example/a.tar.gz#http##\n`))).toHaveLength(2);
  });
});

describe('what is refused', () => {
  test.each<[string, RegExp]>([
    ['!', /name of the file is missing/],
    ['!#a#http://h.example/a', /name of the file is missing/],
    ['a.tar.gz', /1 of at least 3 columns/],
    ['a.tar.gz#a', /2 of at least 3/],
    ['a.tar.gz##http://h.example/a', /directory is missing/],
    ['a.tar.gz#/#http://h.example/a', /directory is missing/],
    ['a.tar.gz#a#', /URL is missing/],
    ['a.tar.gz#a#http://h.example/a#ftp##', /ftp is no method/],
    ['a.tar.gz#a#http://h.example/a###', /method is missing/],
    ['a.tar.gz#a#http://h.example/a#http#x#', /takes nothing/],
    ['a.tar.gz#a#http://h.example/a#http##fix.sh', /runs no script/],
    ['a.tar.gz#a#http://h.example/a#http_script##', /script is missing/],
    ['a.tar.gz#a#http://h.example/a#http_script##../fix.sh', /script contains "\.\."/],
    ['a.tar.gz#a#http://h.example/a#http##x#y', /7 columns/],
    ['a.tar.gz#a#http://h.example/a#frag#http', /frag is no method/],
    ['a.tar.gz#a#http://h.example/a#git##', /reference is missing/],
    ['a.tar.gz#a#http://h.example/a#git#--upload-pack=id#', /git reference is no/],
    ['a.tar.gz#a#http://h.example/a#git#v1..v2#', /git reference is no/],
    ['a.tar.gz#a#http://h.example/a#http_filelist##', /file list is missing/],
    ['a.tar.gz#a#http://h.example/a#http_filelist#/etc/passwd#', /file list is absolute/],
    ['../a.tar.gz#a#http://h.example/a', /name of the file has a path/],
    ['..#a#http://h.example/a', /name of the file contains/],
    ['.#a#http://h.example/a', /name of the file has an empty name/],
    ['-rf#a#http://h.example/a', /takes? for an option/],
    ['a*.tar.gz#a#http://h.example/a', /pattern/],
    ['a.tar.gz#../a#http://h.example/a', /directory contains/],
    ['a.tar.gz#/a#http://h.example/a', /directory is absolute/],
    ['a.tar.gz#a#http://me:pw@h.example/a', /user name or a password/],
    ['a.tar.gz#a#ftp://h.example/a', /scheme is ftp/],
    ['a.tar.gz#a#a', /no scheme/],
    ['a.tar.gz#a b#http://h.example/a', /a space/],
  ])('%s', (line, reason) => {
    const error = caught(() => parse(`# c\n${line}\n`));
    expect(error).toMatchObject({ code: 'LIST_LINE', exitCode: 3 });
    expect(error.message).toMatch(/^tarball-dl\.lst line 2 /);
    expect(error.message).toMatch(reason);
    expect(error.message).not.toContain(':pw@');
  });
});

test('nothing but a MirrorError is thrown for any line, and what is taken comes back as it was', () => {
  const parts = fc.constantFrom(
    '!',
    'a',
    '.tar.gz',
    '#',
    '#',
    '#',
    'http',
    'https',
    'git',
    '_script',
    '://',
    'h.example',
    '/',
    '..',
    '-',
    '\n',
    ' ',
    '%',
    '\u0000',
  );
  let taken = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(parts, { maxLength: 24 }).map((p) => p.join('')),
        fc.string({ unit: 'binary' }),
      ),
      (text) => {
        let list;
        try {
          list = parse(text);
        } catch (error) {
          caught(() => {
            throw error;
          });
          return;
        }
        taken++;
        expect(writeTarballList(list)).toBe(text);
      },
    ),
    { numRuns: 5000 },
  );
  expect(taken).toBeGreaterThan(10);
});

test('generated lines come back as they were', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._+]{0,10}[A-Za-z0-9]$/);
  const tail = fc.oneof(
    fc.constantFrom('', '#http', '#https##', '#http##', '##https##', '#http_script##x/y.sh', '#http_script#x.sh'),
    word.filter((ref) => !ref.includes('..')).map((ref) => `#git#${ref}x#`),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), word, word, tail), { maxLength: 20 }), (lines) => {
      const text = lines
        .map(([special, file, directory, rest], n) => `${special ? '!' : ''}${n}-${file}#${directory}#http://h.example/${file}${rest}\n`)
        .join('');
      const list = parse(text);
      expect(tarballsOf(list)).toHaveLength(lines.length);
      expect(writeTarballList(list)).toBe(text);
    }),
  );
});
