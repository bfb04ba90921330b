import { nevra } from '../../rpm-metadata/nevra';
import { readDeltas } from '../../rpm-metadata/deltas';
import { baseLocation, deltaLocation } from '../../rpm-metadata/locations';
import { type ListedPackage, readPrimary } from '../../rpm-metadata/primary';
import { parseRepomd } from '../../rpm-metadata/repomd';

const hex = 'ab'.repeat(32);
const sha1 = 'cd'.repeat(20);
const stream = (text: string): AsyncIterable<Uint8Array> => [Buffer.from(text)] as unknown as AsyncIterable<Uint8Array>;

interface Package {
  name?: string;
  evr?: string;
  arch?: string;
  checksum?: string;
  location?: string;
}
const item = ({
  name = 'a',
  evr = 'epoch="0" ver="1" rel="2"',
  arch = 'noarch',
  checksum = `<checksum type="sha256">${hex}</checksum>`,
  location = 'href="a.rpm"',
}: Package = {}): string =>
  `<package type="rpm"><name>${name}</name><arch>${arch}</arch><version ${evr}/>${checksum}<size package="5"/><location ${location}/></package>`;
const read = (items: readonly string[], weakChecksums = false): Promise<readonly ListedPackage[]> =>
  readPrimary(stream(`<metadata>${items.join('')}</metadata>`), 'primary of epel-7', { weakChecksums });

test.each<[Package, Partial<ListedPackage>, string]>([
  [{}, { name: 'a', epoch: '0', version: '1', release: '2', arch: 'noarch' }, 'a-1-2.noarch'],
  [{ name: 'libstdc++', evr: 'epoch="7" ver="1~rc" rel="2^x"', arch: 'x86_64' }, { epoch: '7' }, 'libstdc++-7:1~rc-2^x.x86_64'],
  [{ evr: 'ver="1" rel="2"' }, { epoch: '0' }, 'a-1-2.noarch'],
  [{ evr: 'epoch="00" ver="1" rel="2"' }, { epoch: '0' }, 'a-1-2.noarch'],
  [{ evr: 'epoch="" ver="1" rel="2"' }, { epoch: '0' }, 'a-1-2.noarch'],
])('identity of %j', async (given, expected, text) => {
  const [listed] = await read([item(given)]);
  expect(listed).toMatchObject(expected);
  expect(nevra(listed as ListedPackage)).toBe(text);
});

test.each<[string, Package, string]>([
  ['no name', { name: '' }, '"a.rpm" has the name ""'],
  ['a line end in a name', { name: 'a&#10;b' }, 'has the name'],
  ['a slash in a name', { name: 'a/b' }, 'has the name'],
  ['no version', { evr: 'epoch="0" rel="2"' }, 'has the version ""'],
  ['no release', { evr: 'ver="2"' }, 'has the release ""'],
  ['a negative epoch', { evr: 'epoch="-1" ver="1" rel="2"' }, 'has the epoch "-1"'],
  ['no architecture', { arch: '' }, 'has the arch ""'],
])('%s is refused', async (_name, given, message) => {
  await expect(read([item(given)])).rejects.toMatchObject({ code: 'METADATA_MALFORMED', message: expect.stringContaining(message) });
});

describe('weak checksums', () => {
  test.each(['sha', 'sha1'])('%s: refused, naming the waiver that takes it', async (type) => {
    const weak = item({ checksum: `<checksum type="${type}">${sha1}</checksum>` });
    await expect(read([weak])).rejects.toMatchObject({
      code: 'CHECKSUM_UNUSABLE',
      remedy: expect.stringMatching(/If it is meant, declare Waiver\.weakChecksums\(reason\) in its waivers\.$/),
    });
    expect((await read([weak], true))[0]?.checksum).toEqual({ algorithm: 'sha1', hex: sha1 });
  });

  test('md5 is never taken, and no waiver is named', async () => {
    const broken = item({ checksum: `<checksum type="md5">${'a'.repeat(32)}</checksum>` });
    for (const weak of [false, true]) {
      await expect(read([broken], weak)).rejects.toMatchObject({
        code: 'CHECKSUM_UNUSABLE',
        remedy: expect.not.stringContaining('Waiver'),
      });
    }
  });

  test('of the index, too', () => {
    const index = Buffer.from(
      `<repomd><data type="primary"><checksum type="sha">${sha1}</checksum><location href="repodata/primary.xml.gz"/></data></repomd>`,
    );
    expect(() => parseRepomd(index, 'x', { weakChecksums: false })).toThrow('is broken and not accepted');
    expect(parseRepomd(index, 'x', { weakChecksums: true }).primary.checksum).toEqual({ algorithm: 'sha1', hex: sha1 });
  });
});

describe('xml:base', () => {
  test.each<[string | undefined, unknown]>([
    [undefined, { folder: '' }],
    ['', { folder: '' }],
    ['http://other.example', { url: 'http://other.example/', folder: '' }],
    ['https://other.example:8080/a/b', { url: 'https://other.example:8080/a/b/', folder: '' }],
    ['HTTP://Other.example/a/', { url: 'http://other.example/a/', folder: '' }],
    ['../el6', { problem: 'has a segment "." or ".."' }],
    ['os', { folder: 'os/' }],
    ['os/', { folder: 'os/' }],
    ['./', { problem: 'has a segment "." or ".."' }],
    ['/srv', { problem: 'is no http or https URL' }],
    ['//other.example/', { problem: 'is no http or https URL' }],
    ['file:///etc/', { problem: 'is no http or https URL' }],
    ['ftp://other.example/', { problem: 'is no http or https URL' }],
    ['media://1', { problem: 'is no http or https URL' }],
    ['http:///a', { problem: 'is no http or https URL' }],
    ['http://u:p@other.example/', { problem: 'has credentials' }],
    ['http://u@other.example/', { problem: 'has credentials' }],
    ['http://other.example/?a=', { problem: expect.stringContaining('has one of') }],
    ['http://other.example/#', { problem: expect.stringContaining('has one of') }],
    ['http://other.example/a\\b', { problem: expect.stringContaining('has one of') }],
    ['http://other.example/a b', { problem: expect.stringContaining('has one of') }],
    ['http://other.example/a/../b', { problem: expect.stringContaining('segment') }],
    ['http://other.example/%2E%2e/b', { problem: expect.stringContaining('segment') }],
    ['http://[::1', { problem: 'is no URL' }],
    [`http://other.example/${'a'.repeat(2000)}`, { problem: expect.stringContaining('longer') }],
  ])('%j', (base, expected) => {
    expect(baseLocation(base)).toEqual(expected);
  });

  test('a package elsewhere keeps its place in the tree', async () => {
    const [one, two] = await read([
      item({ location: 'xml:base="http://other.example/pool" href="P/a.rpm"' }),
      item({ location: 'xml:base="os" href="b+c.rpm"' }),
    ]);
    expect(one).toMatchObject({ path: 'P/a.rpm', href: 'P/a.rpm', base: 'http://other.example/pool/' });
    expect(two).toMatchObject({ path: 'os/b+c.rpm', href: 'os/b%2Bc.rpm' });
    expect(two).not.toHaveProperty('base');
  });

  test.each<[string, string, string]>([
    ['credentials', 'xml:base="http://u:p@other.example/" href="a.rpm"', 'LOCATION_UNSAFE'],
    ['a file', 'xml:base="file:///etc" href="a.rpm"', 'LOCATION_UNSAFE'],
    ['a location that leaves it', 'xml:base="http://other.example/a" href="../a.rpm"', 'LOCATION_UNSAFE'],
    ['metadata', 'xml:base="repodata" href="a.rpm"', 'LOCATION_UNSAFE'],
    ['one place for two', 'xml:base="http://other.example/" href="b.rpm"', 'METADATA_CONTRADICTS'],
  ])('%s is refused', async (_name, location, code) => {
    const read2 = read([item({ location: 'href="b.rpm"' }), item({ location })]);
    await expect(read2).rejects.toMatchObject({ code, exitCode: 6 });
  });

  test('of the index', () => {
    const data = (location: string, type = 'primary'): string =>
      `<data type="${type}"><checksum type="sha256">${hex}</checksum><location ${location}/></data>`;
    const parse = (...all: string[]) => parseRepomd(Buffer.from(`<repomd>${all.join('')}</repomd>`), 'x', { weakChecksums: false });
    expect(parse(data('xml:base="https://other.example/r" href="repodata/p.xml"')).primary).toMatchObject({
      path: 'repodata/p.xml',
      base: 'https://other.example/r/',
    });
    expect(() => parse(data('xml:base="file:///r" href="repodata/p.xml"'))).toThrow('is no http or https URL');
    expect(() => parse(data('xml:base="os" href="repodata/p.xml"'))).toThrow('is not directly in repodata/');
    expect(() => parse(data('xml:base="http://o/" href="repodata/p.xml"'), data('href="repodata/p.xml"', 'other'))).toThrow('two places');
  });
});

test('unknown records, databases and zchunk are carried as the index says them', () => {
  const record = (type: string, more = ''): string =>
    `<data type="${type}"><checksum type="sha256">${hex}</checksum><open-checksum type="sha256">${hex}</open-checksum>` +
    `<location href="repodata/${type}"/><timestamp>1</timestamp><size>3</size><open-size>4</open-size>${more}</data>`;
  const { records, primary } = parseRepomd(
    Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?><repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
<revision>1</revision><tags><distro cpeid="cpe:/o:x">X</distro><content>binary</content></tags>${[
        record('primary'),
        record('primary_db', '<database_version>10</database_version>'),
        record('primary_zck', `<header-checksum type="sha1">${sha1}</header-checksum><header-size>7</header-size>`),
        record('productid'),
        record('appstream', '<x:y xmlns:x="urn:x"><location href="../../etc/passwd"/></x:y>'),
      ].join('')}</repomd>`,
    ),
    'x',
    { weakChecksums: false },
  );
  expect(primary.path).toBe('repodata/primary');
  expect(records.map((r) => r.type)).toEqual(['primary', 'primary_db', 'primary_zck', 'productid', 'appstream']);
  for (const { type, ...rest } of records)
    expect(rest).toEqual({
      path: `repodata/${type}`,
      href: `repodata/${type}`,
      checksum: { algorithm: 'sha256', hex },
      size: 3,
      openSize: 4,
      timestamp: 1,
    });
});

describe('delta rpms', () => {
  const delta = (more = '', file = 'drpms/a-1_2.noarch.drpm'): string =>
    `<newpackage name="a" epoch="0" version="2" release="1" arch="noarch"><delta oldepoch="0" oldversion="1" oldrelease="1">` +
    `<filename>${file}</filename><sequence>a-1-abc</sequence>${more || `<size>7</size><checksum type="sha256">${hex}</checksum>`}</delta></newpackage>`;
  const deltas = (text: string, weakChecksums = false) => readDeltas(stream(text), 'prestodelta of x', { weakChecksums });

  test('are listed, each location once', async () => {
    const a = { path: 'drpms/a-1_2.noarch.drpm', href: 'drpms/a-1_2.noarch.drpm', checksum: { algorithm: 'sha256', hex }, size: 7 };
    const b = { ...a, path: 'drpms/b+.drpm', href: 'drpms/b%2B.drpm' };
    expect(await deltas(`<prestodelta>${delta()}${delta('', 'drpms/b+.drpm')}${delta()}</prestodelta>`)).toEqual([a, b]);
    expect(await deltas(`<deltainfo>${delta()}</deltainfo>`)).toEqual([a]);
    expect(await deltas('<prestodelta/>')).toEqual([]);
  });

  test.each<[string, string, string]>([
    ['another root', '<metadata/>', 'METADATA_MALFORMED'],
    ['a location outside', `<prestodelta>${delta('', '../a.drpm')}</prestodelta>`, 'LOCATION_UNSAFE'],
    ['a package', `<prestodelta>${delta('', 'a.rpm')}</prestodelta>`, 'LOCATION_UNSAFE'],
    ['metadata', `<prestodelta>${delta('', 'repodata/a.drpm')}</prestodelta>`, 'LOCATION_UNSAFE'],
    ['no file name', `<prestodelta>${delta().replace(/<filename>.*<\/filename>/, '')}</prestodelta>`, 'METADATA_MALFORMED'],
    ['no size', `<prestodelta>${delta(`<checksum type="sha256">${hex}</checksum>`)}</prestodelta>`, 'METADATA_MALFORMED'],
    ['no checksum', `<prestodelta>${delta('<size>1</size>')}</prestodelta>`, 'CHECKSUM_UNUSABLE'],
    ['sha1', `<prestodelta>${delta(`<size>1</size><checksum type="sha">${sha1}</checksum>`)}</prestodelta>`, 'CHECKSUM_UNUSABLE'],
    [
      'two at one place',
      `<prestodelta>${delta()}${delta(`<size>8</size><checksum type="sha256">${hex}</checksum>`)}</prestodelta>`,
      'METADATA_CONTRADICTS',
    ],
  ])('%s is refused', async (_name, text, code) => {
    await expect(deltas(text)).rejects.toMatchObject({ code, exitCode: 6, message: expect.stringMatching(/^prestodelta of x: /) });
  });

  test('sha1 is taken by waiver', async () => {
    const weak = `<prestodelta>${delta(`<size>1</size><checksum type="sha">${sha1}</checksum>`)}</prestodelta>`;
    expect((await deltas(weak, true))[0]?.checksum).toEqual({ algorithm: 'sha1', hex: sha1 });
  });

  test('the name decides: no package takes the place of a delta', () => {
    expect(deltaLocation('a.drpm')).toEqual({ path: 'a.drpm', href: 'a.drpm' });
    expect(deltaLocation('a.drpm.rpm')).toHaveProperty('problem');
  });
});
