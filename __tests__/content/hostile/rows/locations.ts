import { createHash } from 'node:crypto';
import type { Field } from '../support/field';
import { guard, type Row } from '../support/row';
import { HostileServer } from '../support/server';
import { fileOf, NEWER, pathOf } from '../support/workshop';

const LOCATIONS = 'rpm-metadata/locations.ts';
const PRIMARY = 'rpm-metadata/primary.ts';
const CONTROL = '/[\\u0000-\\u001f\\u007f-\\u009f\\ufffd\\\\]/';

/** A package at `href`, as XML says it; its file is there, too, if the name can be one. */
const at =
  (href: string, file?: string) =>
  (field: Field): void => {
    if (file !== undefined) field.put(file, field.file(pathOf(NEWER)));
    field.locate(NEWER, href);
  };

function row(name: string, href: string, problem: string | RegExp, code: string, without: string | undefined, file?: string): Row {
  return {
    name,
    attack: 'path escape',
    guard: guard(LOCATIONS, code, without),
    hostile: at(href, file),
    says: [/-primary\.xml\.gz: the location "/, typeof problem === 'string' ? new RegExp(problem.replace(/[.?#\\/]/g, '\\$&')) : problem],
  };
}

const BASE = (base: string, problem: RegExp, code: string, without?: string): Row => ({
  name: `xml:base ${base.slice(0, 60)}`,
  attack: 'path escape',
  guard: guard(LOCATIONS, code, without),
  hostile: (field) => field.item(NEWER, (element) => element.replace('<location ', `<location xml:base="${base}" `)),
  says: [/takes "Packages\/p25-1-1\.noarch\.rpm" from xml:base/, problem],
});

const reachable: Row['hostile'] = async (field) => {
  // Another address of this machine, where the very file is: only the guard keeps the sync away from it.
  const other = await field.another(HostileServer.start(field.root, '127.0.0.2'));
  field.item(NEWER, (element) => element.replace('<location ', `<location xml:base="${other.url}" `));
};

/** A second package like p25, changed by `edit`. */
const twin =
  (edit: (element: string) => string) =>
  (field: Field): void =>
    field.primary((xml) => {
      const element = /<package [^>]*>\s*<name>p25<[\s\S]*?<\/package>/.exec(xml)?.[0] as string;
      return xml.replace('</metadata>', () => `${edit(element)}\n</metadata>`);
    });

const OTHER_SUM = createHash('sha256').update('other').digest('hex');

/** Where the list of packages says that packages are. */
export const LOCATIONS_ROWS: readonly Row[] = [
  row('..', `../../../../../../${fileOf(NEWER)}`, 'has a segment "." or ".."', " || s === '..'", '', fileOf(NEWER)),
  row('.', `./${pathOf(NEWER)}`, 'has a segment "." or ".."', "s === '.' || ", ''),
  row('%2e%2e', `%2e%2e/%2E%2E/${fileOf(NEWER)}`, 'has a segment "." or ".."', 'path = decodeURIComponent(href);', 'path = href;'),
  row('%2f', `Packages%2f..%2f${fileOf(NEWER)}`, 'hides a slash', 'if (/%2f|%5c/i.test(href))', undefined),
  row(
    'a percent sign that encodes nothing',
    'Packages/%zz.rpm',
    'has a percent sign that encodes nothing',
    "return problem('has a percent sign that encodes nothing');",
    'path = href;',
    'Packages/%zz.rpm',
  ),
  row('an absolute path', `/${pathOf(NEWER)}`, 'is absolute', "if (path.startsWith('/'))", undefined),
  row('//', `Packages//${fileOf(NEWER)}`, 'has an empty segment', "if (segments.some((s) => s === ''))", undefined),
  row('nothing', '', 'is empty', "if (href === '')", undefined),
  row('file:', 'file:///etc/passwd.rpm', 'names a protocol or another host', 'if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(href)', 'if (false'),
  row('a query', `${pathOf(NEWER)}?x=.rpm`, 'has one of ? # \\', '/[?#\\\\]/.test(href)', '/[#\\\\]/.test(href)'),
  row('a fragment', `${pathOf(NEWER)}#.rpm`, 'has one of ? # \\', '/[?#\\\\]/.test(href)', '/[?\\\\]/.test(href)'),
  row('a backslash', `Packages\\..\\${fileOf(NEWER)}`, 'has one of ? # \\', '/[?#\\\\]/.test(href)', '/[?#]/.test(href)'),
  row('an encoded NUL', `Packages/a%00b.rpm`, 'has a control character', CONTROL, '/[\\u0001-\\u001f\\u007f-\\u009f\\ufffd\\\\]/'),
  row(
    'a newline',
    'Packages/a&#10;b.rpm',
    'has a control character',
    CONTROL,
    '/[\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f\\ufffd\\\\]/',
    'Packages/a\nb.rpm',
  ),
  row('DEL', 'Packages/a&#127;b.rpm', 'has a control character', CONTROL, '/[\\u0000-\\u001f\\ufffd\\\\]/', 'Packages/a\u007fb.rpm'),
  row(
    'a character that replaced bytes',
    'Packages/a\ufffdb.rpm',
    'has a control character',
    CONTROL,
    '/[\\u0000-\\u001f\\u007f-\\u009f\\\\]/',
    'Packages/a\ufffdb.rpm',
  ),
  row('5 kB', `${'a/'.repeat(2500)}x.rpm`, 'is longer than 1024 bytes', 'if (Buffer.byteLength(href) > MAX_LENGTH)', undefined),
  row(
    'a name that no file system takes',
    `Packages/${'x'.repeat(300)}.rpm`,
    'has a segment of more than 255 bytes',
    'if (segments.some((s) => Buffer.byteLength(s) > MAX_SEGMENT))',
    undefined,
  ),
  row(
    'repodata/x.rpm',
    'repodata/x.rpm',
    'lies in repodata/',
    "return { problem: 'lies in repodata/' };\n  if (!location.path.endsWith('.rpm'))",
    "void 0;\n  if (!location.path.endsWith('.rpm'))",
    'repodata/x.rpm',
  ),
  row(
    'repodata/repomd.xml',
    'repodata/repomd.xml',
    'lies in repodata/',
    "if (location.path.split('/')[0] === 'repodata') return { problem: 'lies in repodata/' };\n  if (!location.path.endsWith('.rpm')) return { problem: 'does not end in .rpm' };",
    '',
  ),
  row('a web page', 'index.html', 'does not end in .rpm', "if (!location.path.endsWith('.rpm'))", undefined, 'index.html'),
  {
    name: 'bytes that are not UTF-8',
    guard: guard('rpm-metadata/packages.ts', ' || !isUtf8(raw)', ''),
    hostile: (field) => field.primary((xml) => Buffer.from(xml.replace('href="Packages/p25', 'href="Packages/\u00ff'), 'latin1')),
    says: /-primary\.xml\.gz: is not UTF-8/,
  },
  {
    name: 'no location',
    guard: guard(PRIMARY, 'if (draft.href === undefined)'),
    hostile: (field) => field.item(NEWER, (element) => element.replace(/<location [^>]*>/, '')),
    says: /-primary\.xml\.gz: has a package without a location/,
  },
  {
    name: 'two packages at one location, with other checksums',
    attack: 'mix-and-match',
    guard: guard(PRIMARY, 'if (other.checksum.hex !== listed.checksum.hex || other.size !== listed.size)'),
    hostile: twin((element) => element.replace(/>[0-9a-f]{64}</, `>${OTHER_SUM}<`).replace('<name>p25', '<name>p26')),
    says: /two packages are at "Packages\/p25-1-1\.noarch\.rpm" with different checksums or sizes/,
  },
  {
    name: 'one location at two places',
    attack: 'mix-and-match',
    guard: guard(PRIMARY, 'if (other.base !== listed.base)'),
    hostile: (field) => twin((element) => element.replace('<location ', `<location xml:base="${field.server.url}" `))(field),
    says: /"Packages\/p25-1-1\.noarch\.rpm" is taken from two places/,
  },
  {
    name: 'a package where a folder is',
    guard: guard(PRIMARY, 'if (this.byPath.has(folder))'),
    hostile: (field) => {
      field.put('Packages/d.rpm/x.rpm', field.file(pathOf('p01')));
      field.primary((xml) =>
        xml
          .replace('href="Packages/p25-1-1.noarch.rpm"', 'href="Packages/d.rpm"')
          .replace('href="Packages/p01-1-1.noarch.rpm"', 'href="Packages/d.rpm/x.rpm"'),
      );
    },
    says: /"Packages\/d\.rpm" is a package and a folder/,
  },
  {
    name: 'names that differ in case only are two files',
    ends: 'survived',
    guard: guard(PRIMARY, 'const { path } = listed;\n    const other', 'const path = listed.path.toLowerCase();\n    const other'),
    hostile: (field) => {
      field.put('Packages/P01-1-1.noarch.rpm', field.file(pathOf(NEWER)));
      field.locate(NEWER, 'Packages/P01-1-1.noarch.rpm');
    },
    also: (field) =>
      ['P01', 'p01']
        .filter((name) => field.published(`Packages/${name}-1-1.noarch.rpm`) === undefined)
        .map((name) => `${name} is not there`),
  },
  {
    name: 'one NEVRA twice, with other content',
    attack: 'mix-and-match',
    guard: guard('content/contents.ts', 'if (twin !== undefined && differs(twin, item) === true)'),
    hostile: (field) => {
      const other = Buffer.concat([field.file(pathOf(NEWER)), Buffer.from('more')]);
      field.put('Packages/other.rpm', other);
      const sum = createHash('sha256').update(other).digest('hex');
      twin((element) =>
        element
          .replace(/>[0-9a-f]{64}</, `>${sum}<`)
          .replace(/href="[^"]+"/, 'href="Packages/other.rpm"')
          .replace(/size package="\d+"/, `size package="${other.length}"`),
      )(field);
    },
    says: /p25-(0:)?1-1\.noarch is listed a second time with other content, at Packages\//,
    waiver: 'changedPackages',
  },
  {
    name: 'a name with a slash',
    attack: 'path escape',
    guard: guard(PRIMARY, 'if (value === undefined || !WORD.test(value))'),
    hostile: (field) => field.item(NEWER, (element) => element.replace('<name>p25', '<name>../p25')),
    says: /"Packages\/p25-1-1\.noarch\.rpm" has the name "\.\.\/p25"/,
  },
  {
    name: 'an epoch that is no number',
    guard: guard(PRIMARY, 'if (!/^\\d{1,10}$/.test(epoch))'),
    hostile: (field) => field.item(NEWER, (element) => element.replace('epoch="0"', 'epoch="1e9"')),
    says: /"Packages\/p25-1-1\.noarch\.rpm" has the epoch "1e9"/,
  },
  {
    name: 'a package without a size',
    attack: 'endless data',
    guard: guard(PRIMARY, 'if (size === undefined)'),
    hostile: (field) => field.item(NEWER, (element) => element.replace(/<size [^>]*>/, '')),
    says: /"Packages\/p25-1-1\.noarch\.rpm" has the size ""/,
  },
  BASE('file:///etc/', /which is no http or https URL/, 'if (!/^https?:\\/\\/[^/]/i.test(base))'),
  BASE('http://user:secret@127.0.0.1/', /which has credentials/, "if (url.username !== '' || url.password !== '')"),
  BASE(`http://127.0.0.1/${'x'.repeat(1100)}`, /which is longer than 1024 bytes/, 'if (base.length > MAX_LENGTH)'),
  BASE('http://127.0.0.1/?x=', /which has one of \? # \\ or white space/, 'if (/[?#\\\\\\s\\u0000-\\u001f\\u007f-\\u009f]/.test(base))'),
  BASE(
    'http://127.0.0.1/a/../b/',
    /which has a segment "\." or "\.\." or hides a character/,
    'if (/%(2e|2f|5c|00)/i.test(base) || /\\/\\.{1,2}(\\/|$)/.test(base))',
  ),
  BASE('http://[::1/', /which is no URL/, "return { problem: 'is no URL' };", "return { folder: '' };"),
  BASE('../../', /which has a segment "\." or "\.\."/, "return 'problem' in location ? location : {", 'return {'),
  {
    name: 'xml:base of a place in a private network',
    attack: 'arbitrary software',
    exitCode: 6,
    guard: guard('downloads/connect.ts', 'const problem = privateLiteral(options.hostname);', 'const problem = undefined;'),
    hostile: reachable,
    says: /127\.0\.0\.2:\d+\/Packages\/p25-1-1\.noarch\.rpm: 127\.0\.0\.2 is not a public address/,
    waiver: 'privateAddresses',
  },
];
