import { gzipSync } from 'node:zlib';
import { gzipBomb } from '../support/edits';
import { guard, type Row } from '../support/row';
import { NEWER, pathOf } from '../support/workshop';

const ADVISORY = 'rpm-metadata/advisory.ts';
const COMPS = 'rpm-metadata/comps.ts';
const MODULES = 'rpm-metadata/modules.ts';
const ELEMENTS = 'rpm-metadata/elements.ts';

const MODULE = (more: string): string => `---\ndocument: modulemd\nversion: 2\ndata:\n  name: x\n  stream: "1"\n${more}...\n`;

const packagesAreThere: NonNullable<Row['also']> = (field) =>
  field.published(pathOf(NEWER)) === undefined ? ['the good package is not there'] : [];

/** A file that is merged with what is published. */
function merged(
  type: 'updateinfo' | 'group_gz' | 'modules',
  name: string,
  content: string | Buffer,
  says: RegExp,
  file: string,
  code: string,
  without?: string,
): Row {
  return {
    name: `${type}: ${name}`,
    view: 'accumulate',
    ends: 'degraded',
    guard: guard(file, code, without),
    also: packagesAreThere,
    hostile: (field) => void field.add(type, gzipSync(content), Buffer.byteLength(content), type === 'modules' ? 'yaml.gz' : 'xml.gz'),
    says: [new RegExp(`-${type}\\.(xml|yaml)\\.gz: `), says],
  };
}

/** What an accumulated repository merges: it must never make an index that clients cannot read. */
export const MERGING: readonly Row[] = [
  {
    name: 'filelists lacks a package that primary lists',
    attack: 'mix-and-match',
    view: 'accumulate',
    guard: guard('rpm-metadata/accumulate/merge.ts', 'if (source !== undefined)'),
    hostile: (field) => field.metadata('filelists', (xml) => xml.replace(/<package [^>]*name="p25"[\s\S]*?<\/package>/, '')),
    says: /-filelists\.xml\.gz: lacks the package p25-(0:)?1-1\.noarch with pkgid [0-9a-f]{64}, which primary lists/,
  },
  {
    name: 'an advisory of gigabytes',
    attack: 'endless data',
    view: 'accumulate',
    ends: 'degraded',
    also: packagesAreThere,
    guard: guard(ELEMENTS, 'if (this.text.length > MAX_ELEMENT)'),
    hostile: (field) => {
      const { bytes, size } = gzipBomb('<updates><update><id>A</id>', '<a>x</a>'.repeat(100_000), 60, '</update></updates>');
      field.add('updateinfo', bytes, size, 'xml.gz');
    },
    says: /-updateinfo\.xml\.gz: has an element of more than 16 MiB/,
  },
  merged('updateinfo', 'a web page', '<html/>', /is no updateinfo metadata: its root is <html>/, ADVISORY, "if (name !== 'updates')"),
  merged(
    'updateinfo',
    'an advisory without an id',
    '<updates><update><title>x</title></update></updates>',
    /has an advisory without an id/,
    ADVISORY,
    "if (id === undefined || id === '')",
  ),
  merged(
    'updateinfo',
    'an advisory with two ids',
    '<updates><update><id>A</id><id>B</id></update></updates>',
    /has an advisory with two ids, "A" and "B"/,
    ADVISORY,
    'if (second !== undefined)',
  ),
  merged(
    'updateinfo',
    'an id that turns the text around',
    '<updates><update><id>A&#x202e;B</id></update></updates>',
    /has an advisory with the id "A\\u202eB"/,
    ADVISORY,
    'if (id.length > MAX_ID || /\\p{C}/u.test(id))',
  ),
  merged('group_gz', 'a web page', '<html/>', /is no comps metadata: its root is <html>/, COMPS, "if (name !== 'comps')"),
  merged(
    'group_gz',
    'entities of its own',
    '<!DOCTYPE comps [<!ENTITY a "b">]><comps><group><id>g</id></group></comps>',
    /has a document type declaration/,
    'rpm-metadata/xml.ts',
    "&& !text.includes('[')",
    '',
  ),
  merged(
    'group_gz',
    'a group without an id',
    '<comps><group><name>x</name></group></comps>',
    /has a group without an id/,
    COMPS,
    "if (id === undefined || id === '')",
  ),
  merged(
    'group_gz',
    'a group with two ids',
    '<comps><group><id>a</id><id>b</id></group></comps>',
    /has a group with two ids, "a" and "b"/,
    COMPS,
    'if (second !== undefined)',
  ),
  merged(
    'group_gz',
    'language packs of nothing',
    '<comps><langpacks><match install="x"/></langpacks></comps>',
    /has language packs of a package without a name/,
    COMPS,
    'if (attributes.name === undefined)',
  ),
  merged(
    'modules',
    'aliases that would multiply',
    MODULE('  a: &a [x, x]\n  b: &b [*a, *a]\n'),
    /has an alias, \*"a"/,
    MODULES,
    'Alias: (_key, node) => {',
    'Alias: (_key, node) => {\n if (node) return;',
  ),
  merged(
    'modules',
    'a control character',
    MODULE('  summary: a\u0007b\n'),
    /has the control character "\\u0007"/,
    MODULES,
    'if (bad !== null)',
  ),
  merged(
    'modules',
    'a directive',
    `%TAG ! tag:evil,2026:\n${MODULE('')}`,
    /has the directive "%TAG/,
    MODULES,
    "throw refuse('METADATA_MALFORMED', `has the directive ${quoted(line.trim())}`);",
    'continue;',
  ),
  merged(
    'modules',
    'no kind',
    '---\nversion: 2\n...\n',
    /has a document that does not say which kind it is/,
    MODULES,
    'if (kind === undefined)',
  ),
  merged('modules', 'no YAML', '---\ndocument: [\n...\n', /is not well-formed YAML/, MODULES, 'if (problem !== undefined)'),
  merged('modules', 'one key twice', MODULE('  stream: "2"\n'), /says stream twice in one document/, MODULES, 'if (pairs.length > 1)'),
  merged(
    'modules',
    'not UTF-8',
    Buffer.from(MODULE('  summary: \u00ff\n'), 'latin1'),
    /is not UTF-8/,
    MODULES,
    "new TextDecoder('utf-8', { fatal: true })",
    "new TextDecoder('utf-8')",
  ),
  merged(
    'modules',
    'a stream that is a list',
    '---\ndocument: modulemd\ndata:\n  name: x\n  stream: [1]\n...\n',
    /has a stream that is no plain value/,
    MODULES,
    "if (!isScalar(value) || typeof value.value !== 'string')",
  ),
  merged(
    'modules',
    'a name that breaks the line',
    MODULE('').replace('name: x', 'name: "x\\ny"'),
    /has the name "x\\ny"/,
    MODULES,
    'if (text.length > MAX_VALUE || /\\p{C}/u.test(text))',
  ),
];
