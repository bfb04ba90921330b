import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseChecksum, parseSize } from '../../rpm-metadata/checksum';
import { decompressed } from '../../rpm-metadata/decompress';
import { emptyMetadata } from '../../rpm-metadata/empty';
import { type ListedPackage, readPrimary } from '../../rpm-metadata/primary';
import { parseRepomd, type Repomd } from '../../rpm-metadata/repomd';

const hex = 'ab'.repeat(32);
const strict = { weakChecksums: false };

interface Data {
  type?: string;
  checksum?: string;
  location?: string;
  size?: string;
  more?: string;
}
const data = ({
  type = 'primary',
  checksum = `<checksum type="sha256">${hex}</checksum>`,
  location = '<location href="repodata/p.xml.gz"/>',
  size = '<size>10</size>',
  more = '',
}: Data = {}): string => `<data type="${type}">${checksum}${location}${size}${more}</data>`;
const repomd = (...records: string[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>7</revision>${records.join('')}</repomd>`;
const parse = (text: string | Buffer): Repomd => parseRepomd(Buffer.from(text as string), 'http://u/repomd.xml', strict);

test('repomd is read', () => {
  const filelists = data({
    type: 'filelists',
    location: '<location href="repodata/f.xml.xz"/>',
    size: '',
    more: '<open-size>99</open-size>',
  });
  const index = parse(repomd(data(), filelists));
  expect(index.revision).toBe('7');
  expect(index.primary).toEqual({
    type: 'primary',
    path: 'repodata/p.xml.gz',
    href: 'repodata/p.xml.gz',
    checksum: { algorithm: 'sha256', hex },
    size: 10,
    openSize: undefined,
  });
  expect(index.records[1]).toMatchObject({ type: 'filelists', size: undefined, openSize: 99 });
});

test.each<[string, string | Buffer, string]>([
  ['empty', '', 'METADATA_MALFORMED'],
  ['HTML', '<html><body>Sign in</body></html>', 'METADATA_MALFORMED'],
  ['truncated', repomd(data()).slice(0, -20), 'METADATA_MALFORMED'],
  ['not XML', 'PK\u0003\u0004', 'METADATA_MALFORMED'],
  ['UTF-16', Buffer.from(repomd(data()), 'utf16le'), 'METADATA_'],
  ['not UTF-8', Buffer.concat([Buffer.from('<repomd>'), Buffer.from([0xff, 0xfe])]), 'METADATA_ENCODING'],
  ['another encoding', repomd(data()).replace('UTF-8', 'ISO-8859-1'), 'METADATA_ENCODING'],
  ['no primary', repomd(data({ type: 'filelists' })), 'METADATA_MALFORMED'],
  ['two primaries', repomd(data(), data({ location: '<location href="repodata/q.xml.gz"/>' })), 'METADATA_MALFORMED'],
  [
    'one file, two checksums',
    repomd(data(), data({ type: 'other', checksum: `<checksum type="sha256">${'cd'.repeat(32)}</checksum>` })),
    'METADATA_CONTRADICTS',
  ],
  ['no checksum', repomd(data({ checksum: '' })), 'CHECKSUM_MISSING'],
  ['md5', repomd(data({ checksum: `<checksum type="md5">${'a'.repeat(32)}</checksum>` })), 'CHECKSUM_UNUSABLE'],
  ['sha1', repomd(data({ checksum: `<checksum type="sha">${'a'.repeat(40)}</checksum>` })), 'CHECKSUM_UNUSABLE'],
  ['a short checksum', repomd(data({ checksum: '<checksum type="sha256">abc</checksum>' })), 'CHECKSUM_UNUSABLE'],
  ['a checksum without type', repomd(data({ checksum: `<checksum>${hex}</checksum>` })), 'CHECKSUM_UNUSABLE'],
  ['no location', repomd(data({ location: '' })), 'METADATA_MALFORMED'],
  ['an escaping location', repomd(data({ location: '<location href="../../etc/x"/>' })), 'LOCATION_UNSAFE'],
  ['the index itself', repomd(data({ location: '<location href="repodata/repomd.xml"/>' })), 'LOCATION_UNSAFE'],
  ['another host', repomd(data({ location: '<location xml:base="file:///etc/" href="repodata/p.xml.gz"/>' })), 'LOCATION_UNSAFE'],
  ['a negative size', repomd(data({ size: '<size>-1</size>' })), 'METADATA_MALFORMED'],
  ['a size of 2^63', repomd(data({ size: '<size>9223372036854775808</size>' })), 'METADATA_MALFORMED'],
  ['a size of a petabyte', repomd(data({ size: '<size>1000000000000000</size>' })), 'METADATA_TOO_LARGE'],
  ['a type that is a path', repomd(data({ type: '../x' })), 'METADATA_MALFORMED'],
  ['a thousand files', repomd(...Array.from({ length: 1000 }, (_, i) => data({ type: `t${i}` }))), 'METADATA_MALFORMED'],
  ['deep nesting', `<repomd>${'<a>'.repeat(1000)}`, 'METADATA_TOO_DEEP'],
  ['a billion laughs', `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><repomd>&b;</repomd>`, 'METADATA_DOCTYPE'],
  ['an external entity', '<!DOCTYPE r SYSTEM "file:///etc/passwd"><repomd/>', 'METADATA_DOCTYPE'],
  ['an unknown entity', repomd('&x;'), 'METADATA_MALFORMED'],
  ['an endless text', `<repomd><revision>${'9'.repeat(70_000)}</revision></repomd>`, 'METADATA_TOKEN_TOO_LONG'],
  ['an endless attribute', `<repomd a="${'9'.repeat(9 * 1024 * 1024)}`, 'METADATA_TOKEN_TOO_LONG'],
])('repomd that is/has %s is refused', (_name, text, code) => {
  let error: unknown;
  try {
    parse(text);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({
    code: expect.stringContaining(code),
    exitCode: 6,
    message: expect.stringContaining('http://u/repomd.xml: '),
    remedy: expect.stringMatching(/./),
  });
});

test.each<[string | undefined, string, unknown]>([
  ['sha256', hex.toUpperCase(), { algorithm: 'sha256', hex }],
  ['sha512', `\n ${hex}${hex} `, { algorithm: 'sha512', hex: hex + hex }],
  ['sha224', 'a'.repeat(56), { algorithm: 'sha224', hex: 'a'.repeat(56) }],
  ['sha384', 'a'.repeat(96), { algorithm: 'sha384', hex: 'a'.repeat(96) }],
  ['sha1', 'a'.repeat(40), { problem: expect.stringContaining('broken'), waivable: true }],
  ['constructor', 'a', { problem: expect.stringContaining('unknown') }],
  ['sha256', 'g'.repeat(64), { problem: expect.stringContaining('64 hexadecimal') }],
])('checksum %s %s', (type, text, expected) => {
  expect(parseChecksum(type, text)).toEqual(expected);
});

test.each<[string, number | undefined]>([
  ['0', 0],
  [' 12\n', 12],
  ['9007199254740991', 9007199254740991],
  ['9007199254740993', undefined],
  ['1e3', undefined],
  ['0x10', undefined],
  ['1.5', undefined],
  ['', undefined],
])('size %j is %s', (text, expected) => {
  expect(parseSize(text)).toBe(expected);
});

interface Package {
  href?: string;
  checksum?: string;
  size?: string;
  base?: string;
}
const item = ({
  href = 'Packages/a.rpm',
  checksum = `<checksum type="sha256" pkgid="YES">${hex}</checksum>`,
  size = '<size package="5" installed="1"/>',
  base = '',
}: Package = {}): string =>
  `<package type="rpm"><name>a</name><arch>noarch</arch><version epoch="0" ver="1" rel="2"/>${checksum}<description>x &amp; y</description>${size}<location ${base} href="${href}"/><format><rpm:license>MIT</rpm:license><file>/opt/a</file></format></package>`;
const primary = (...items: string[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?><metadata xmlns="http://linux.duke.edu/metadata/common" packages="${items.length}">${items.join('')}</metadata>`;
const read = (text: string, piece = text.length): Promise<readonly ListedPackage[]> => {
  const bytes = Buffer.from(text);
  return readPrimary(
    (function* () {
      for (let i = 0; i < bytes.length; i += piece) yield bytes.subarray(i, i + piece);
    })() as unknown as AsyncIterable<Uint8Array>,
    'primary of epel-7',
    strict,
  );
};

test('primary is read, in pieces of any size, each location once', async () => {
  const text = primary(item(), item({ href: 'Packages/é+b.rpm' }), item());
  const same = { name: 'a', epoch: '0', version: '1', release: '2', arch: 'noarch', checksum: { algorithm: 'sha256', hex }, size: 5 };
  const expected = [
    { ...same, path: 'Packages/a.rpm', href: 'Packages/a.rpm' },
    { ...same, path: 'Packages/é+b.rpm', href: 'Packages/%C3%A9%2Bb.rpm' },
  ];
  for (const piece of [1, 2, 3, 7, 100, 100_000]) expect(await read(text, piece)).toEqual(expected);
  expect(await read(primary())).toEqual([]);
});

test.each<[string, string, string]>([
  ['an unsafe location', primary(item({ href: '../../etc/cron.d/x.rpm' })), 'LOCATION_UNSAFE'],
  ['another host', primary(item({ base: 'xml:base="file:///etc/"' })), 'LOCATION_UNSAFE'],
  ['a newline in a location', primary(item({ href: 'a&#10;b.rpm' })), 'LOCATION_UNSAFE'],
  ['no location', primary(item().replace(/<location[^>]*>/, '')), 'METADATA_MALFORMED'],
  ['no checksum', primary(item({ checksum: '' })), 'CHECKSUM_UNUSABLE'],
  ['md5', primary(item({ checksum: '<checksum type="md5">aa</checksum>' })), 'CHECKSUM_UNUSABLE'],
  ['no size', primary(item({ size: '' })), 'METADATA_MALFORMED'],
  ['a negative size', primary(item({ size: '<size package="-5"/>' })), 'METADATA_MALFORMED'],
  [
    'two packages at one place',
    primary(item(), item({ checksum: `<checksum type="sha256">${'cd'.repeat(32)}</checksum>` })),
    'METADATA_CONTRADICTS',
  ],
  [
    'two spellings of one place',
    primary(item(), item({ href: 'Packages/%61.rpm', checksum: `<checksum type="sha256">${'cd'.repeat(32)}</checksum>` })),
    'METADATA_CONTRADICTS',
  ],
  ['a folder where a package is', primary(item({ href: 'a.rpm' }), item({ href: 'a.rpm/b.rpm' })), 'METADATA_CONTRADICTS'],
  ['another root', '<html/>', 'METADATA_MALFORMED'],
  ['no end', primary(item()).slice(0, -30), 'METADATA_MALFORMED'],
  ['a document type', `<!DOCTYPE x>${primary(item())}`, 'METADATA_DOCTYPE'],
])('primary with %s is refused', async (_name, text, code) => {
  await expect(read(text)).rejects.toMatchObject({ code, exitCode: 6, message: expect.stringMatching(/^primary of epel-7: /) });
});

describe('decompressed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'decompress-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const content = Buffer.from(primary(item()));
  const compress: Record<string, (bytes: Buffer) => Buffer> = {
    none: (bytes) => bytes,
    gzip: (bytes) => gzipSync(bytes),
    xz: (bytes) => execFileSync('xz', ['-c'], { input: bytes, maxBuffer: 1e8 }),
    bzip2: (bytes) => execFileSync('bzip2', ['-c'], { input: bytes, maxBuffer: 1e8 }),
    zstd: (bytes) => execFileSync('zstd', ['-c'], { input: bytes, maxBuffer: 1e8, stdio: ['pipe', 'pipe', 'ignore'] }),
  };
  const all = async (bytes: Buffer, max?: number): Promise<Buffer> => {
    const path = join(directory, 'file');
    writeFileSync(path, bytes);
    const chunks: Buffer[] = [];
    for await (const chunk of decompressed(path, 'primary of x', max)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  test.each(Object.keys(compress))('%s, by its content and not its name', async (kind) => {
    expect(await all((compress[kind] as (b: Buffer) => Buffer)(content), content.length)).toEqual(content);
  });

  test.each(Object.keys(compress))('a bomb of %s stops at the declared size', async (kind) => {
    const bomb = (compress[kind] as (b: Buffer) => Buffer)(Buffer.alloc(50_000_000));
    await expect(all(bomb, 100_000)).rejects.toMatchObject({
      code: 'METADATA_BOMB',
      message: expect.stringContaining('more than 100000 bytes'),
    });
  });

  test.each(['gzip', 'xz', 'bzip2', 'zstd'])('damaged %s is named', async (kind) => {
    const bytes = (compress[kind] as (b: Buffer) => Buffer)(Buffer.from(content.toString().repeat(50)));
    await expect(all(bytes.subarray(0, bytes.length - 9))).rejects.toMatchObject({
      code: 'METADATA_DAMAGED',
      message: expect.stringContaining('primary of x'),
    });
  });
});

test('empty metadata is the same every time, agrees with itself, and lists nothing', async () => {
  const made = emptyMetadata();
  expect(emptyMetadata()).toEqual(made);
  const index = parseRepomd(made.repomd.bytes, 'empty', strict);
  expect(index.records.map((r) => r.type)).toEqual(['primary', 'filelists', 'other']);
  for (const [i, file] of made.files.entries()) {
    const record = index.records[i];
    expect(record).toMatchObject({ path: `repodata/${file.name}`, size: file.bytes.length, openSize: gunzipSync(file.bytes).length });
    expect(record?.checksum.hex).toBe(createHash('sha256').update(file.bytes).digest('hex'));
  }
  expect(await read(gunzipSync(made.files[0]?.bytes as Buffer).toString())).toEqual([]);
});
