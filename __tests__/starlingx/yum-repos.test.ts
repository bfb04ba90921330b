import fc from 'fast-check';
import { parseYumRepos } from '../../starlingx/yum-repos';
import { caught } from '../support/caught';

const parse = (text: string, vars = {}) => parseYumRepos(Buffer.from(text), 'x.repo', vars);

test('a section', () => {
  expect(
    parse(
      '# EPEL\n[epel-7]\nname=EPEL $releasever\nbaseurl=https://h.example/$releasever/${basearch}/\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-EPEL-7\n',
      { releasever: '7', basearch: 'x86_64' },
    ),
  ).toEqual([
    {
      id: 'epel-7',
      name: 'EPEL 7',
      baseurls: ['https://h.example/7/x86_64/'],
      enabled: true,
      gpgcheck: true,
      gpgkeys: ['file:///etc/pki/rpm-gpg/RPM-GPG-KEY-EPEL-7'],
      repoGpgcheck: false,
      exclude: [],
      includepkgs: [],
      line: 2,
    },
  ]);
});

test.each<[string, string, object]>([
  [
    'several base URLs on a line',
    'baseurl=http://a.example/x http://b.example/x',
    { baseurls: ['http://a.example/x', 'http://b.example/x'] },
  ],
  [
    'several base URLs on lines',
    'baseurl=http://a.example/x\n        http://b.example/x',
    { baseurls: ['http://a.example/x', 'http://b.example/x'] },
  ],
  ['a base URL on the line after', 'baseurl=\n  http://a.example/x', { baseurls: ['http://a.example/x'] }],
  ['a mirror list', 'mirrorlist=http://a.example/l?r=7&a=b', { mirrorlist: 'http://a.example/l?r=7&a=b', baseurls: [] }],
  ['a metalink', 'metalink = https://a.example/m', { metalink: 'https://a.example/m' }],
  ['disabled', 'baseurl=http://a.example/x\nenabled=0', { enabled: false }],
  ['disabled in words', 'baseurl=http://a.example/x\nEnabled: False', { enabled: false }],
  ['unsigned', 'baseurl=http://a.example/x\ngpgcheck=0', { gpgcheck: false }],
  ['signed metadata', 'baseurl=http://a.example/x\nrepo_gpgcheck=yes', { repoGpgcheck: true }],
  ['a priority', 'baseurl=http://a.example/x\npriority=2', { priority: 2 }],
  ['two keys', 'baseurl=http://a.example/x\ngpgkey=file:///a\n  file:///b', { gpgkeys: ['file:///a', 'file:///b'] }],
  ['exclusions', 'baseurl=http://a.example/x\nexclude=sip,PyQt4 a*', { exclude: ['sip', 'PyQt4', 'a*'] }],
  ['only some', 'baseurl=http://a.example/x\nincludepkgs=a b', { includepkgs: ['a', 'b'] }],
  [
    'what does not matter here',
    'baseurl=http://a.example/x\nskip_if_unavailable=1\nfailovermethod=priority',
    { baseurls: ['http://a.example/x'] },
  ],
  ['a comment that is moved in', 'baseurl=http://a.example/x\n  # c\n; d', { baseurls: ['http://a.example/x'] }],
  ['line ends of Windows', 'baseurl=http://a.example/x\r\ngpgcheck=0\r', { gpgcheck: false }],
])('%s', (_what, options, expected) => {
  expect(parse(`[r]\n${options}\n`)).toMatchObject([{ id: 'r', ...expected }]);
});

test('a byte-order mark is no part of the first line; [main] is no repository', () => {
  expect(parse('\ufeff[main]\ngpgcheck=1\n[a]\nbaseurl=http://a.example/x\n')).toMatchObject([{ id: 'a', line: 3 }]);
});

test.each<[string, string, RegExp]>([
  ['a variable that nobody gave', '[r]\nbaseurl=http://h.example/$basearch/', /line 2 .*\$basearch, and nobody said.*/],
  ['nowhere', '[r]\nname=x', /line 1 "\[r\]": it has neither baseurl/],
  ['no URL', '[r]\nbaseurl=h.example/x', /line 2 "h\.example\/x": it is no URL/],
  ['an option before the first section', 'name=x', /line 1 .*before the first section/],
  [
    'a section twice',
    '[r]\nbaseurl=http://h.example/x\n[r]\nbaseurl=http://h.example/y',
    /line 3 "\[r\]": there is a section of this name/,
  ],
  ['an option twice', '[r]\nbaseurl=http://h.example/x\nbaseurl=http://h.example/y', /line 3 .*has this option before/],
  ['no section name', '[]\nbaseurl=http://h.example/x', /line 1 .*no name of a repository/],
  ['a path as section', '[../x]\nbaseurl=http://h.example/x', /no name of a repository/],
  ['an unclosed section', '[r\nbaseurl=http://h.example/x', /neither a section, an option nor a comment/],
  ['a line that continues nothing', '[r]\n  http://h.example/x', /continues nothing/],
  ['HTML', '<html>', /neither a section/],
  ['a strange flag', '[r]\nbaseurl=http://h.example/x\nenabled=maybe', /line 3 "enabled=maybe": it is neither true nor false/],
  ['a strange priority', '[r]\nbaseurl=http://h.example/x\npriority=high', /line 3 "priority=high": it is no number/],
])('%s is refused', (_what, text, reason) => {
  const error = caught(() => parse(text));
  expect(error).toMatchObject({ code: 'LIST_LINE', exitCode: 3 });
  expect(error.message).toMatch(reason);
  expect(error.message).toMatch(/^x\.repo /);
});

test('names of objects are no variables', () => {
  expect(caught(() => parse('[r]\nbaseurl=http://h.example/$constructor')).message).toMatch(/nobody said what constructor is/);
});

test('nothing but a MirrorError is thrown for any input', () => {
  const parts = fc.constantFrom(
    '[',
    ']',
    'r',
    '\n',
    '=',
    'baseurl',
    'http://h/',
    '$',
    '{',
    '}',
    ' ',
    '#',
    ';',
    'enabled',
    '1',
    '\r',
    '\u0000',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(parts).map((p) => p.join('')),
        fc.string({ unit: 'binary' }),
      ),
      (text) => {
        try {
          parse(text);
        } catch (error) {
          caught(() => {
            throw error;
          });
        }
      },
    ),
    { numRuns: 3000 },
  );
});
