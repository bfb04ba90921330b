import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { PackageXml } from '../../rpm-metadata/packages-xml';
import { PACKAGE_LISTS } from '../../rpm-metadata/package-lists';
import { decompressed } from '../../rpm-metadata/decompress';
import { type Nevra, nevra } from '../../rpm-metadata/nevra';
import { readPrimary } from '../../rpm-metadata/primary';
import { parseRepomd } from '../../rpm-metadata/repomd';
import { type PackageDraft, type PackageListKind, scanPackages } from '../../rpm-metadata/packages';
import { GuardedXml } from '../../rpm-metadata/xml';
import { oddPackages, run } from './odd-packages';

interface Read {
  readonly drafts: readonly PackageDraft[];
  readonly raw: readonly string[];
  readonly head: string;
  readonly tail: string;
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield await Promise.resolve(bytes.subarray(i, i + size));
}

/** By the route that the document takes. */
async function scanned(text: string | Uint8Array, kind: PackageListKind = 'primary', piece = 1 << 16): Promise<Read> {
  const drafts: PackageDraft[] = [];
  const raw: string[] = [];
  let head = '';
  let tail = '';
  await scanPackages(pieces(Buffer.from(text as string), piece), kind, 'x', {
    head: (bytes) => (head += Buffer.from(bytes).toString()),
    package: (draft, bytes) => {
      drafts.push(draft);
      raw.push(Buffer.from(bytes).toString());
    },
    tail: (bytes) => (tail += Buffer.from(bytes).toString()),
  });
  return { drafts, raw, head, tail };
}

/** By the careful route alone. */
function carefully(text: string | Uint8Array, kind: PackageListKind = 'primary'): Pick<Read, 'drafts' | 'raw'> {
  const drafts: PackageDraft[] = [];
  const raw: string[] = [];
  const xml = new PackageXml(kind, 'x', {
    package: (draft, bytes) => {
      drafts.push(draft);
      raw.push(Buffer.from(bytes).toString());
    },
  });
  xml.write(Buffer.from(text as string));
  xml.end();
  return { drafts, raw };
}

/** What an XML parser sees in one element: the same for two spellings of it. */
function meaning(xml: string): unknown {
  const events: unknown[] = [];
  const guarded = new GuardedXml('x', {
    open: (path, attributes) => void events.push(['<', path.at(-1), Object.entries(attributes).sort()]),
    text: (text) => {
      const last = events.at(-1) as [string, string];
      if (last[0] === 'text') last[1] += text;
      else events.push(['text', text]);
    },
    close: () => void events.push(['>']),
    wantsText: () => false,
  });
  guarded.write(Buffer.from(xml));
  guarded.end();
  return events;
}

const outcome = async (read: () => unknown): Promise<unknown> => {
  try {
    return await read();
  } catch (error) {
    return { refused: (error as { exitCode?: number }).exitCode };
  }
};

/** Both routes take a document in the same sense, or both refuse it. */
async function agree(text: string | Uint8Array, kind: PackageListKind, piece: number): Promise<void> {
  const slow = await outcome(() => carefully(text, kind));
  const fast = await outcome(() => scanned(text, kind, piece));
  if ('refused' in (slow as object)) {
    expect(slow).toEqual({ refused: 6 });
    expect(fast).toEqual(slow);
    return;
  }
  expect(fast).toMatchObject({ drafts: (slow as Read).drafts });
  expect((fast as Read).raw.map(meaning)).toEqual((slow as Read).raw.map(meaning));
}

const hex = 'ab'.repeat(32);
const ordinary = `<package type="rpm">
  <name>libstdc++</name>
  <arch>x86_64</arch>
  <version epoch="1" ver="8~rc1" rel="2^a"/>
  <checksum type="sha256" pkgid="YES">${hex}</checksum>
  <summary>a &amp; b &#13; ]] é 日本 😀</summary>
  <time file="1" build="2"/>
  <size package="5" installed='1' archive="6" />
  <location xml:base="http://a/" href="P/a&#43;b.rpm"/>
  <format><rpm:license>MIT</rpm:license><rpm:entry name="a" pre='"'/><file type="dir">/a</file></format>
</package>`;
/** Each character is one byte in any encoding. */
const ascii = ordinary.replace(/[^\n -~]/gu, '');
const inRoot = (...items: string[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="${items.length}">\n${items.join('\n')}\n</metadata>\n`;

test('an ordinary package: its fields and its own bytes, in pieces of any size', async () => {
  const text = inRoot(ordinary, ordinary.replace('>x86_64<', '>src<'));
  for (const piece of [1, 2, 3, 7, 100, 1000, 1 << 20]) {
    const { drafts, raw, head, tail } = await scanned(text, 'primary', piece);
    expect(drafts).toHaveLength(2);
    expect(drafts[0]).toEqual({
      name: 'libstdc++',
      epoch: '1',
      version: '8~rc1',
      release: '2^a',
      arch: 'x86_64',
      pkgid: undefined,
      checksumType: 'sha256',
      checksum: hex,
      size: '5',
      href: 'P/a+b.rpm',
      base: 'http://a/',
      built: '2',
    });
    expect(drafts[1]?.arch).toBe('src');
    expect(raw[0]).toBe(ordinary);
    expect(`${head}\n${raw.join('\n')}\n${tail}`).toBe(text);
  }
  await agree(text, 'primary', 5);
});

/** Each is read by the careful route: its fragment is written anew. */
const unusual: readonly (readonly [string, string])[] = [
  ['a comment in a package', inRoot(ordinary.replace('<time', '<!-- </package> --><time'))],
  ['a comment between packages', inRoot(ordinary, '<!-- x -->', ordinary)],
  ['a comment at the end', `${inRoot(ordinary)}<!-- x -->`],
  ['a comment before the root', inRoot(ordinary).replace('<metadata', '<!-- x --><metadata')],
  ['CDATA', inRoot(ordinary.replace('libstdc++', '<![CDATA[a<b]]>'))],
  ['a processing instruction', inRoot(ordinary.replace('<time', '<?x y?><time'))],
  ['a carriage return in a name', inRoot(ordinary.replace('libstdc++', 'a\r\nb'))],
  ['a line end in an attribute', inRoot(ordinary.replace('ver="8~rc1"', 'ver="8\n1"'))],
  ['blanks around the equals sign', inRoot(ordinary.replace('ver="8~rc1"', 'ver = "8"'))],
  ['a blank in an end tag', inRoot(ordinary.replace('</name>', '</name >').replace('</package>', '</package  >'), ordinary)],
  ['an element in a name', inRoot(ordinary.replace('libstdc++', 'a<b/>c'))],
  ['a byte order mark', `\ufeff${inRoot(ordinary)}`],
  ['text between packages', inRoot(ordinary, 'x', ordinary)],
  ['other elements in the root', inRoot(ordinary, '<other><package>no</package></other>', ordinary)],
  ['an empty package', inRoot('<package/>', ordinary)],
  ['more attributes of the root', inRoot(ordinary).replace('packages=', 'x="1" packages=')],
  ['another version of XML', inRoot(ordinary).replace('1.0', '1.1')],
  ['no packages at all', '<metadata/>'],
  ['another prefix', inRoot(ordinary.replaceAll('rpm:', 'r:')).replace('xmlns:rpm', 'xmlns:r')],
  [
    'a prefix for everything',
    inRoot(ordinary)
      .replace(/<(\/?)(?=[a-z]+[ >])/g, '<$1c:')
      .replace('xmlns=', 'xmlns:c='),
  ],
  ['another namespace', inRoot(ordinary.replace('<time', '<s:x xmlns:s="urn:s" s:y="1"/><time'))],
  ['another default namespace', inRoot(ordinary.replace('<time', '<x xmlns="urn:s"><y/></x><time'))],
  ['many attributes', inRoot(ordinary.replace('<time', `<x ${Array.from({ length: 40 }, (_, i) => `a${i}=""`).join(' ')}/><time`))],
  ['30 levels', inRoot(ordinary.replace('<time', `${'<x>'.repeat(28)}${'</x>'.repeat(28)}<time`))],
  ['a name in another script', inRoot(ordinary.replace('<time', '<é/><time'))],
];

test.each(unusual)('%s: read as the careful reader reads it', async (_name, text) => {
  for (const piece of [1, 13, 1 << 20]) await agree(text, 'primary', piece);
  expect(await outcome(() => scanned(text))).not.toHaveProperty('refused');
});

test('what was ordinary before the unusual is handed over once, and both are complete', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const text = inRoot(...names.map((n) => ordinary.replace('libstdc++', n === 'c' ? `<!-- -->${n}` : n)));
  for (const piece of [1, 10, 700, 1 << 20]) {
    const read = await scanned(text, 'primary', piece);
    expect(read.drafts.map((d) => d.name)).toEqual(names);
    expect(read.head.match(/<metadata/g)).toHaveLength(1);
    expect(read.tail).toContain('</metadata>');
  }
});

test('other prefixes are written as the usual ones, which clients know', async () => {
  const text = `<c:metadata xmlns:c="http://linux.duke.edu/metadata/common" xmlns:r="http://linux.duke.edu/metadata/rpm" xmlns:s="urn:s" packages="1">
<c:package type="rpm"><c:name>a</c:name><c:format><r:license>M &amp; "I"</r:license><s:x s:y="1&#10;&lt;"/></c:format></c:package></c:metadata>`;
  const { raw, drafts, head, tail } = await scanned(text);
  expect(drafts[0]?.name).toBe('a');
  expect(raw).toEqual([
    '<package xmlns:s="urn:s" type="rpm"><name>a</name><format><rpm:license>M &amp; "I"</rpm:license><s:x s:y="1&#10;&lt;"/></format></package>',
  ]);
  expect(meaning(head + raw.join('') + tail)).toBeDefined();
  expect(head).toContain('<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"');
});

/** Each is refused by both. */
test.each<[string, string | Uint8Array]>([
  ['another root', '<html></html>'],
  ['no end', inRoot(ordinary).slice(0, -20)],
  ['no end of a package', inRoot(ordinary).slice(0, 600)],
  ['two roots', inRoot(ordinary) + inRoot(ordinary)],
  ['text after the end', `${inRoot(ordinary)}x`],
  ['an end tag of another element', inRoot(ordinary.replace('</name>', '</nam>'))],
  ['an end tag too many', inRoot(`${ordinary}</package>`)],
  ['an unknown entity', inRoot(ordinary.replace('&amp;', '&nbsp;'))],
  ['a reference to nothing', inRoot(ordinary.replace('&amp;', '&#0;'))],
  ['a reference to half a character', inRoot(ordinary.replace('&amp;', '&#xd800;'))],
  ['a bare ampersand', inRoot(ordinary.replace('&amp;', '& '))],
  ['an attribute twice', inRoot(ordinary.replace('epoch="1"', 'ver="1"'))],
  ['an attribute without quotes', inRoot(ordinary.replace('"1"', '1'))],
  ['attributes without a blank between', inRoot(ordinary.replace('" ver', '"ver'))],
  ['< in an attribute', inRoot(ordinary.replace('8~rc1', '<'))],
  [']]> in text', inRoot(ordinary.replace(']]', ']]>'))],
  ['a control character', inRoot(ordinary.replace('é', '\u0001'))],
  ['U+FFFE', inRoot(ordinary.replace('é', '\ufffe'))],
  ['U+FFFF in an attribute', inRoot(ordinary.replace('8~rc1', '\uffff'))],
  ['bytes that are no UTF-8', Buffer.from(inRoot(ascii.replace('a &amp;', 'é')), 'latin1')],
  ['half a character at the end of a package', Buffer.from(inRoot(ascii).replace('\n</package', 'é</package'), 'latin1')],
  ['40 levels', inRoot(ordinary.replace('<time', `${'<x>'.repeat(40)}${'</x>'.repeat(40)}<time`))],
  ['a document type', inRoot(ordinary).replace('<metadata', '<!DOCTYPE x><metadata')],
  ['a document type in a package', inRoot(ordinary.replace('<time', '<!DOCTYPE x><time'))],
  ['another encoding', inRoot(ordinary).replace('UTF-8', 'ISO-8859-1')],
  ['an endless text', inRoot(ordinary.replace('a &amp;', 'a'.repeat(9 << 20)))],
  ['an endless attribute', inRoot(ordinary.replace('8~rc1', 'a'.repeat(9 << 20)))],
  ['endless white space', inRoot(ordinary, ' '.repeat(9 << 20), ordinary)],
  ['white space without end after the end', inRoot(ordinary) + ' '.repeat(9 << 20)],
  ['an endless checksum', inRoot(ordinary.replace(hex, 'a'.repeat(70_000)))],
  ['an endless package', inRoot(ordinary.replace('<time', `${'<file>/usr/share/a</file>'.repeat(1_500_000)}<time`))],
])('%s is refused on either route', async (_name, text) => {
  expect(await outcome(() => carefully(text))).toEqual({ refused: 6 });
  expect(await outcome(() => scanned(text))).toEqual({ refused: 6 });
});

/** Documents of ordinary and odd pieces, and what comes of them when bytes are changed. */
const piece = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('<name>a</name>', '<arch>noarch</arch>', '<version epoch="0" ver="1" rel="2"/>', '\n  ', '<file>/a</file>'),
  },
  fc.constantFrom(
    `<checksum type="sha256">${hex}</checksum>`,
    '<location href="a.rpm"/>',
    '<location xml:base="b" href="a"/>',
    "<location href='a&quot;b'/>",
    '<rpm:entry name="x"/>',
    '<name/>',
    '<name></name>',
    '<size package="1"/>',
    '<time build=""/>',
    '<x><name>no</name></x>',
    '<x:name>no</x:name>',
    '<rpm:name>no</rpm:name>',
    '<!-- c -->',
    '<![CDATA[</package>]]>',
    '<?p i?>',
    '&#x41;',
    '&lt;',
    '&amp;amp;',
    '&unknown;',
    '&#1114112;',
    ']]',
    ']]>',
    '<a b="1" b="2"/>',
    '<a xmlns="urn:x"><name>x</name></a>',
    '<a xmlns:rpm="urn:x" rpm:y="1"/>',
    '<p:a xmlns:p="http://linux.duke.edu/metadata/rpm" p:y="1"/>',
    '<a:b:c/>',
    '<package>in</package>',
    '<name>a<b/>c</name>',
    '<name>a\r\nb</name>',
    '<version ver="\t1"/>',
    '<version ver = "1"/>',
    '<version ver="1"rel="2"/>',
    '</name>',
    '</package>',
    '<',
    '>',
    '\ufffe',
    '\ufffd',
    '\u0000',
    'ﬀ',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const document = fc
  .array(
    fc.array(piece, { maxLength: 6 }).map((parts) => parts.join('')),
    { maxLength: 4 },
  )
  .chain((items) =>
    fc.constantFrom<PackageListKind>('primary', 'filelists', 'other').map((kind) => {
      const start = kind === 'primary' ? '<package type="rpm">' : `<package pkgid="${hex}" name="a" arch="x">`;
      const packages = items.map((item) => `${start}${item}</package>`).join('\n');
      const root = PACKAGE_LISTS[kind];
      return {
        kind,
        text: `<${root} xmlns="http://linux.duke.edu/metadata/${kind === 'primary' ? 'common' : kind}">${packages}</${root}>`,
      };
    }),
  );

test('both routes read generated documents in the same sense, or both refuse them', async () => {
  await fc.assert(
    fc.asyncProperty(document, fc.integer({ min: 1, max: 80 }), ({ kind, text }, size) => agree(text, kind, size)),
    { numRuns: 1500 },
  );
});

test('both routes agree on documents in which bytes were changed', async () => {
  const base = Buffer.from(inRoot(ordinary, ordinary));
  const change = fc.tuple(
    fc.nat(base.length - 1),
    fc.nat(3),
    fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc.constantFrom(...'<>&;"\'/=!?:- \r\n\t]x').map((c) => Buffer.from(c)),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 500 }), (changes, size) => {
      let bytes = base;
      for (const [at, drop, put] of changes) bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)]);
      return agree(bytes, 'primary', size);
    }),
    { numRuns: 1500 },
  );
});

describe('what createrepo_c writes of odd packages', () => {
  const directory = mkdtempSync(join(tmpdir(), 'packages-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  let rpms: readonly string[];
  beforeAll(() => {
    rpms = oddPackages(directory);
  });

  test.each(['sha1', 'sha224', 'sha256', 'sha384', 'sha512'])('with checksums %s', async (algorithm) => {
    run('createrepo_c', '--quiet', '--checksum', algorithm, '--no-database', directory);
    const said = run('rpm', '-qp', '--qf', '%{NAME} %{EPOCHNUM} %{VERSION} %{RELEASE} %|SOURCEPACKAGE?{src}:{%{ARCH}}|\\n', ...rpms);
    const index = parseRepomd(readFileSync(join(directory, 'repodata/repomd.xml')), 'x', { weakChecksums: true });
    const text = async (type: string): Promise<string> => {
      const chunks: Buffer[] = [];
      const record = index.records.find((r) => r.type === type);
      for await (const chunk of decompressed(join(directory, record?.path as string), 'x', record?.openSize)) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    const listed = await readPrimary(pieces(Buffer.from(await text('primary')), 999), 'x', { weakChecksums: true });
    const found = listed.map((p) => `${p.name} ${p.epoch} ${p.version} ${p.release} ${p.arch}`);
    expect(found.sort()).toEqual(said.trim().split('\n').sort());
    for (const item of listed) {
      const bytes = readFileSync(join(directory, item.path));
      expect(item).toMatchObject({ size: bytes.length, checksum: { algorithm, hex: createHash(algorithm).update(bytes).digest('hex') } });
    }
    for (const kind of ['primary', 'filelists', 'other'] as const) {
      const whole = await text(kind);
      const { raw, drafts, head, tail } = await scanned(whole, kind, 4321);
      // Byte for byte: nothing in it was unusual.
      expect(`${head}\n${raw.join('\n')}\n${tail}`).toBe(whole);
      if (kind !== 'primary') expect(drafts.map((d) => d.pkgid).sort()).toEqual(listed.map((p) => p.checksum.hex).sort());
      expect(drafts.map((d) => nevra(d as Nevra)).sort()).toEqual(listed.map(nevra).sort());
      await agree(whole, kind, 1000);
    }
  });
});
