import { guard, type Row } from '../support/row';
import { endless } from '../support/server';

const REPOMD = 'rpm-metadata/repomd.ts';
const XML = 'rpm-metadata/xml.ts';
const CHECKSUM = 'rpm-metadata/checksum.ts';
const INDEX = 'repodata/repomd.xml';
const INDEX_URL = /http:\/\/127\.0\.0\.1:\d+\/repodata\/repomd\.xml/;

/** What is wrong with repomd.xml itself. */
export const METADATA: readonly Row[] = [
  {
    name: 'repomd.xml is empty',
    guard: guard(XML, 'this.parser.close();', ''),
    hostile: (field) => field.write(''),
    says: [INDEX_URL, /is not well-formed XML: 1:0: document must contain a root element/],
  },
  {
    name: 'repomd.xml ends in the middle',
    guard: guard(XML, "this.parser.on('error', (error) => {", "this.parser.on('error', (error) => {\n return;"),
    hostile: (field) => field.repomd((xml) => xml.slice(0, -30)),
    says: [INDEX_URL, /is not well-formed XML/],
  },
  {
    name: 'a captive portal answers for repomd.xml',
    attack: 'arbitrary software',
    guard: guard(REPOMD, "if (path.length === 1 && path[0] !== 'repomd')"),
    hostile: (field) => field.write('<html><body>Sign in</body></html>'),
    says: [INDEX_URL, /is no repomd\.xml: its root is <html>/],
  },
  {
    name: 'repomd.xml is not UTF-8',
    guard: guard(XML, "new TextDecoder('utf-8', { fatal: true })", "new TextDecoder('utf-8')"),
    hostile: (field) => field.write(Buffer.from(field.text().replace('</repomd>', '<!-- \u00ff --></repomd>'), 'latin1')),
    says: /repomd\.xml: is not UTF-8/,
  },
  {
    name: 'repomd.xml says that it is in another encoding',
    guard: guard(XML, "if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8')"),
    hostile: (field) => field.repomd((xml) => xml.replace('encoding="UTF-8"', 'encoding="ISO-8859-1"')),
    says: /is encoded in ISO-8859-1; only UTF-8 is read/,
  },
  {
    name: 'a billion laughs',
    attack: 'endless data',
    guard: guard(XML, "this.parser.on('doctype', (text) => {", "this.parser.on('doctype', (text) => {\n return;"),
    program: true,
    hostile: (field) =>
      field.repomd((xml) => {
        const levels = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('');
        return xml.replace('<repomd', `<!DOCTYPE r [<!ENTITY l0 "ha">${levels}]><repomd`).replace('<revision>', '<revision>&l9;');
      }),
    says: /has a document type declaration, which metadata never needs/,
  },
  {
    name: 'elements nest without end',
    attack: 'endless data',
    guard: guard(XML, 'if (this.path.length >= MAX_DEPTH)'),
    program: true,
    hostile: (field) => field.repomd((xml) => xml.replace('</repomd>', `${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}</repomd>`)),
    says: /nests elements more than 32 deep/,
  },
  {
    name: 'a text of megabytes',
    attack: 'endless data',
    guard: guard(XML, 'if (all.length > MAX_TEXT)'),
    hostile: (field) => field.repomd((xml) => xml.replace('</repomd>', `<tags>${'x'.repeat(1_000_000)}</tags></repomd>`)),
    says: /has a text of more than 65536 characters in <repomd\/tags>/,
  },
  {
    name: 'a comment that nearly fills the index',
    attack: 'endless data',
    guard: guard(XML, 'if (this.sinceToken > MAX_TOKEN)'),
    hostile: (field) => field.repomd((xml) => xml.replace('</repomd>', `<!--${' '.repeat(9_000_000)}--></repomd>`)),
    says: /has a name, attribute or text of more than 8 MiB/,
  },
  {
    name: 'repomd.xml without an end',
    attack: 'endless data',
    guard: guard('downloads/exchange.ts', 'if (this.received > maxBytes)'),
    program: true,
    hostile: (field) => field.server.on(INDEX, endless(Buffer.alloc(1 << 16, ' '), 1 << 30)),
    says: [INDEX_URL, /may have 10485760 bytes and does not end there/],
    within: 20_000,
  },
  {
    name: 'repomd.xml lists thousands of files',
    attack: 'endless data',
    guard: guard(REPOMD, 'if (drafts.length > MAX_RECORDS)'),
    hostile: (field) =>
      field.repomd((xml) => {
        const block = /<data type="other">.*?<\/data>/s.exec(xml)?.[0] as string;
        const many = Array.from({ length: 5000 }, (_, i) => block.replace('type="other"', `type="other${i}"`)).join('');
        return xml.replace('</repomd>', `${many}</repomd>`);
      }),
    says: /lists more than 200 files/,
  },
  {
    name: 'no primary metadata',
    guard: guard(REPOMD, 'if (primary === undefined)'),
    hostile: (field) => field.drop('primary'),
    says: /lists no primary metadata, so there is no list of packages/,
  },
  {
    name: 'two primary metadata',
    attack: 'mix-and-match',
    guard: guard(REPOMD, 'if (primaries.length > 1)'),
    hostile: (field) => field.repomd((xml) => xml.replace('</repomd>', `${/<data type="primary">.*?<\/data>/s.exec(xml)?.[0]}</repomd>`)),
    says: /lists primary metadata twice/,
  },
  {
    name: 'two records are one file with two checksums',
    attack: 'mix-and-match',
    guard: guard(REPOMD, 'if (other !== undefined && other.checksum.hex !== record.checksum.hex)'),
    hostile: (field) => {
      const path = field.path('filelists');
      field.record('other', (block) => block.replace(/href="[^"]+"/, `href="${path}"`));
    },
    says: /are one file, "repodata\/[0-9a-f]+-filelists\.xml\.gz", with two checksums/,
  },
  {
    name: 'two records are one path at two places',
    attack: 'mix-and-match',
    guard: guard(REPOMD, 'if (other !== undefined && other.base !== record.base)'),
    hostile: (field) =>
      field.repomd((xml) => {
        const block = /<data type="other">.*?<\/data>/s.exec(xml)?.[0] as string;
        const twin = block.replace('type="other"', 'type="twin"').replace('<location ', `<location xml:base="${field.server.url}" `);
        return xml.replace('</repomd>', `${twin}</repomd>`);
      }),
    says: /is taken from two places/,
  },
  {
    name: 'a record without a checksum',
    attack: 'arbitrary software',
    guard: guard(REPOMD, 'if (draft.checksum === undefined)'),
    hostile: (field) => field.record('primary', (block) => block.replace(/<checksum type.*?<\/checksum>/s, '')),
    says: /has no checksum for primary/,
  },
  {
    name: 'a checksum without a type',
    attack: 'arbitrary software',
    guard: guard(CHECKSUM, 'if (type === undefined)'),
    hostile: (field) => field.record('primary', (block) => block.replace('<checksum type="sha256"', '<checksum')),
    says: /primary: the checksum has no type/,
  },
  {
    name: 'an md5 checksum',
    attack: 'arbitrary software',
    guard: guard(CHECKSUM, "name === 'md5' || ", ''),
    hostile: (field) =>
      field.record('primary', (block) =>
        block.replace(/<checksum type.*?<\/checksum>/s, `<checksum type="md5">${'0'.repeat(32)}</checksum>`),
      ),
    says: /primary: the checksum type md5 is broken and not accepted/,
  },
  {
    name: 'a sha1 checksum',
    attack: 'arbitrary software',
    guard: guard(CHECKSUM, "(name === 'sha1' && !weakChecksums)", 'false'),
    hostile: (field) => field.workshop.index(field.root, Math.floor(Date.now() / 1000), '--checksum', 'sha1'),
    says: /the checksum type sha1? is broken and not accepted; sha256 or better is/,
    waiver: 'weakChecksums',
  },
  {
    name: 'a checksum of an unknown type',
    guard: guard(CHECKSUM, 'if (!Object.hasOwn(LENGTHS, name))'),
    hostile: (field) => field.record('primary', (block) => block.replace('<checksum type="sha256"', '<checksum type="__proto__"')),
    says: /primary: the checksum type "__proto__" is unknown/,
  },
  {
    name: 'a checksum that is too short',
    attack: 'arbitrary software',
    guard: guard(CHECKSUM, ' || hex.length !== LENGTHS[algorithm]', ''),
    hostile: (field) => field.record('primary', (block) => block.replace(/(<checksum type="sha256">[0-9a-f]{8})[0-9a-f]+/, '$1')),
    says: /primary: the sha256 checksum is not 64 hexadecimal digits/,
  },
  {
    name: 'a checksum that is a path',
    attack: 'path escape',
    guard: guard(CHECKSUM, '!/^[0-9a-f]+$/.test(hex) || ', ''),
    hostile: (field) =>
      field.record('primary', (block) => block.replace(/(<checksum type="sha256">)[0-9a-f]+/, `$1${'../'.repeat(20).padEnd(64, 'x')}`)),
    says: /primary: the sha256 checksum is not 64 hexadecimal digits/,
  },
  {
    name: 'a size that is no number',
    guard: guard(REPOMD, 'if (size === undefined) throw'),
    hostile: (field) => field.record('primary', (block) => block.replace(/<size>\d+/, '<size>NaN')),
    says: /primary has the size "NaN"/,
  },
  {
    name: 'a negative size',
    guard: guard(CHECKSUM, '/^\\d{1,16}$/', '/^-?\\d{1,16}$/'),
    hostile: (field) => field.record('primary', (block) => block.replace(/<size>\d+/, '<size>-1')),
    says: /primary has the size "-1"/,
  },
  {
    name: 'a size of 2^53',
    guard: guard(CHECKSUM, 'Number.isSafeInteger(size) ? size : undefined', 'size'),
    hostile: (field) => field.record('primary', (block) => block.replace(/<size>\d+/, '<size>9007199254740993')),
    says: /primary has the size "9007199254740993"/,
  },
  {
    name: 'a metadata file of terabytes',
    attack: 'endless data',
    guard: guard(REPOMD, 'if (size !== undefined && size > MAX_METADATA_BYTES)'),
    hostile: (field) => field.record('primary', (block) => block.replace(/<size>\d+/, '<size>1099511627776')),
    says: /primary has 1099511627776 bytes; at most 4294967296 are taken/,
  },
  {
    name: 'a type with control characters',
    guard: guard(REPOMD, 'if (!/^[A-Za-z0-9_.-]{1,100}$/.test(type))'),
    hostile: (field) => field.repomd((xml) => xml.replace('<data type="other">', '<data type="other&#x202e;&#127;&#10;">')),
    says: /has a file of type "other\\u202e\\u007f\\n"/,
  },
  {
    name: 'a record without a location',
    guard: guard(REPOMD, 'if (draft.href === undefined)'),
    hostile: (field) => field.record('other', (block) => block.replace(/<location [^>]+>/, '')),
    says: /says no location for other/,
  },
  {
    name: 'metadata outside repodata/',
    attack: 'path escape',
    guard: guard('rpm-metadata/locations.ts', "folder !== 'repodata' || ", ''),
    hostile: (field) => {
      field.put('Packages/other.xml.gz', field.bytes('other'));
      field.record('other', (block) => block.replace(/href="[^"]+"/, 'href="Packages/other.xml.gz"'));
    },
    says: /the location "Packages\/other\.xml\.gz" of other is not directly in repodata\//,
  },
  {
    name: 'metadata in the place of the signature',
    attack: 'path escape',
    guard: guard('rpm-metadata/locations.ts', "if (name.startsWith('repomd.xml') || name.startsWith('.'))"),
    hostile: (field) => {
      field.put('repodata/repomd.xml.extra', field.bytes('other'));
      field.record('other', (block) => block.replace(/href="[^"]+"/, 'href="repodata/repomd.xml.extra"'));
    },
    says: /of other takes the name of the index/,
  },
  {
    name: 'metadata whose path leaves the tree',
    attack: 'path escape',
    guard: guard(REPOMD, "if ('problem' in location)"),
    hostile: (field) => field.record('other', (block) => block.replace(/href="[^"]+"/, 'href="repodata/../../../../../other.xml.gz"')),
    says: /the location "repodata\/\.\.\/.*" of other has a segment "\." or "\.\."/,
  },
];
