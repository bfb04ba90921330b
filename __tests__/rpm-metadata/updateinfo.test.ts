import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';
import fc from 'fast-check';
import type { MetadataSource } from '../../rpm-metadata/elements';
import { type MergedUpdateinfo, mergeUpdateinfo } from '../../rpm-metadata/updateinfo';
import { Files } from './support/files';

jest.setTimeout(60_000);

const files = new Files();
afterAll(() => files.remove());

interface Edition {
  id: string;
  description?: string;
  packages?: readonly string[];
  collection?: string;
}
const packageXml = (name: string): string =>
  `<package name="${name}" version="1" release="2" epoch="0" arch="noarch">\n<filename>${name}-1-2.noarch.rpm</filename></package>`;
const update = ({ id, description = 'd', packages = ['a'], collection = 'short="EPEL"' }: Edition): string =>
  `<update type="security"><id>${id}</id><description>${description}</description><pkglist><collection ${collection}><name>EPEL 7</name>${packages.map(packageXml).join('')}</collection></pkglist></update>`;
const updates = (...editions: readonly (Edition | string)[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n  ${editions.map((edition) => (typeof edition === 'string' ? edition : update(edition))).join('\n  ')}\n</updates>\n`;

async function merged(
  previous: string | undefined,
  ...upstream: readonly string[]
): Promise<{ text: string; result: MergedUpdateinfo; file: MetadataSource }> {
  const output = files.output();
  const result = await mergeUpdateinfo({
    previous: previous === undefined ? undefined : files.write(previous, 'the previous one'),
    upstream: upstream.map((text) => files.write(text, 'http://u/updateinfo.xml')),
    output,
  });
  return { text: files.text(output), result, file: { path: output, what: 'merged' } };
}

/** What is between the root's tags. */
const inside = (text: string): string => text.replace(/^<\?xml[^>]*>\n<updates[^>]*>\n/, '').replace(/<\/updates>\n$/, '');

test('a vanished advisory stays, a new one comes, each byte for byte', async () => {
  const odd = `<update from='x &amp; y'  type="security"><!-- a comment --><id> B&#45;2 </id><description><![CDATA[<b>ü\r\n]]></description></update>`;
  const { text, result } = await merged(updates({ id: 'A-1' }), updates(odd, { id: 'C-3' }));
  expect(inside(text)).toBe(`${update({ id: 'A-1' })}\n${odd}\n${update({ id: 'C-3' })}\n`);
  expect(result).toMatchObject({ advisories: 3, survived: 1, completed: 0 });
});

test('the result says what repomd.xml wants to know, and is the same each time', async () => {
  const first = await merged(undefined, updates({ id: 'A-1' }));
  const bytes = readFileSync(first.file.path);
  expect(first.result).toMatchObject({
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    openSize: Buffer.byteLength(first.text),
    openSha256: createHash('sha256').update(first.text).digest('hex'),
  });
  const second = await merged(undefined, updates({ id: 'A-1' }));
  expect(second.result).toEqual(first.result);
});

test("upstream's edition wins, and keeps the packages that it forgets in their collection", async () => {
  const before = updates({ id: 'A-1', description: 'old', packages: ['a', 'b', 'c'] });
  const { text, result } = await merged(before, updates({ id: 'A-1', description: 'new', packages: ['b', 'd'] }));
  expect(inside(text)).toBe(
    `${update({ id: 'A-1', description: 'new', packages: ['b', 'd'] }).replace('</collection>', `${packageXml('a')}\n${packageXml('c')}\n</collection>`)}\n`,
  );
  expect(result).toMatchObject({ advisories: 1, survived: 0, completed: 1 });
  // The same once more changes nothing, and what is withdrawn by upstream is there in the end.
  const again = await merged(text, updates({ id: 'A-1', description: 'new', packages: ['b', 'd'] }));
  expect(again.text).toBe(text);
  expect((await merged(again.text, updates())).text).toBe(text);
});

test.each<[string, string, string]>([
  [
    'another collection',
    update({ id: 'A-1', packages: ['b'], collection: 'short="OTHER"' }),
    `<package name="b" version="1" release="2" epoch="0" arch="noarch">\n<filename>b-1-2.noarch.rpm</filename></package></collection><collection short="EPEL"><name>EPEL 7</name>\n${packageXml('a')}\n</collection>\n</pkglist></update>`,
  ],
  [
    'an empty collection',
    '<update><id>A-1</id><pkglist><collection short="EPEL"/></pkglist></update>',
    `<collection short="EPEL"/><collection short="EPEL"><name>EPEL 7</name>\n${packageXml('a')}\n</collection>\n</pkglist></update>`,
  ],
  [
    'an empty list',
    '<update><id>A-1</id><pkglist/></update>',
    `<pkglist/><pkglist>\n<collection short="EPEL"><name>EPEL 7</name>\n${packageXml('a')}\n</collection>\n</pkglist>\n</update>`,
  ],
  [
    'no list',
    '<update><id>A-1</id></update>',
    `<id>A-1</id><pkglist>\n<collection short="EPEL"><name>EPEL 7</name>\n${packageXml('a')}\n</collection>\n</pkglist>\n</update>`,
  ],
])('an edition with %s gets the collection back', async (_name, edition, end) => {
  const { text } = await merged(updates({ id: 'A-1' }), updates(edition));
  expect(inside(text).endsWith(`${end}\n`)).toBe(true);
  expect((await merged(text, updates(edition))).text).toBe(text);
});

test('collections of modules are told apart by the whole module', async () => {
  const collection = (context: string, name: string): string =>
    `<collection short=""><name>AppStream</name><module name="perl" stream="5.26" version="1" context="${context}" arch="x86_64"/>${packageXml(name)}</collection>`;
  const edition = (...collections: string[]): string => `<update><id>A-1</id><pkglist>${collections.join('')}</pkglist></update>`;
  const { text } = await merged(
    updates(edition(collection('aa', 'one'), collection('bb', 'two'))),
    updates(edition(collection('aa', 'three'), collection('bb', 'four'))),
  );
  const added = (context: string, name: string, lost: string): string =>
    collection(context, name).replace('</collection>', `${packageXml(lost)}\n</collection>`);
  expect(inside(text)).toBe(`${edition(added('aa', 'three', 'one'), added('bb', 'four', 'two'))}\n`);
});

test('two editions with one id in one file both stay; what the former ones list is added once', async () => {
  const first = { id: 'A-1', packages: ['a'] };
  const second = { id: 'A-1', packages: ['b'] };
  const { text, result } = await merged(updates({ id: 'A-1', packages: ['a', 'b', 'c'] }), updates(first, second));
  expect(inside(text)).toBe(`${update(first)}\n${update(second).replace('</collection>', `${packageXml('c')}\n</collection>`)}\n`);
  expect(result.advisories).toBe(2);
  expect((await merged(text, updates(first, second))).text).toBe(text);
});

test('a package without a version is known by its file name', async () => {
  const bare = (file: string): string => `<package name="x"><filename>${file}</filename></package>`;
  const edition = (...names: string[]): string =>
    `<update><id>A-1</id><pkglist><collection>${names.map(bare).join('')}</collection></pkglist></update>`;
  const { text } = await merged(updates(edition('a.rpm', 'b.rpm')), updates(edition('b.rpm', 'c.rpm')));
  expect(inside(text)).toBe(`${edition('b.rpm', 'c.rpm').replace('</collection>', `${bare('a.rpm')}\n</collection>`)}\n`);
});

test('upstream without updateinfo, and several files of it', async () => {
  expect(inside((await merged(updates({ id: 'A-1' }))).text)).toBe(`${update({ id: 'A-1' })}\n`);
  expect(inside((await merged(undefined, updates({ id: 'A-1' }), updates({ id: 'B-2' }))).text)).toBe(
    `${update({ id: 'A-1' })}\n${update({ id: 'B-2' })}\n`,
  );
  expect((await merged(undefined)).text).toBe('<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n</updates>\n');
});

test('prefixes that are declared at a root stay declared', async () => {
  const prefixed = (uri: string, id: string): string =>
    `<updates xmlns:x="${uri}" y="&quot;&amp;"><update x:z="1"><id>${id}</id></update></updates>`;
  const { text } = await merged(prefixed('urn:1', 'A-1'), updates({ id: 'B-2' }));
  expect(text).toMatch(/^<\?xml[^>]*>\n<updates xmlns:x="urn:1" y="&quot;&amp;">\n<update x:z/);
  await expect(merged(prefixed('urn:1', 'A-1'), prefixed('urn:2', 'B-2'))).rejects.toMatchObject({ code: 'METADATA_CONTRADICTS' });
});

test.each<[string, (text: Buffer) => Buffer]>([
  ['gzip', (text) => gzipSync(text)],
  ['xz', (text) => execFileSync('xz', ['-c'], { input: text })],
  ['bzip2', (text) => execFileSync('bzip2', ['-c'], { input: text })],
  ['zstd', (text) => execFileSync('zstd', ['-cq'], { input: text })],
])('upstream in %s', async (_name, compress) => {
  const output = files.output();
  const upstream = [files.write(compress(Buffer.from(updates({ id: 'A-1' }))))];
  await mergeUpdateinfo({ upstream, output });
  expect(inside(files.text(output))).toBe(`${update({ id: 'A-1' })}\n`);
});

test.each<[string, string | Buffer, string]>([
  ['empty', '', 'METADATA_MALFORMED'],
  ['HTML', '<html><body/></html>', 'METADATA_MALFORMED'],
  ['truncated', updates({ id: 'A-1' }).slice(0, -30), 'METADATA_MALFORMED'],
  ['an advisory without id', updates('<update><title/></update>'), 'METADATA_MALFORMED'],
  ['an empty id', updates('<update><id> </id></update>'), 'METADATA_MALFORMED'],
  ['an advisory that closes itself', updates('<update/>'), 'METADATA_MALFORMED'],
  ['two ids', updates('<update><id>a</id><id>b</id></update>'), 'METADATA_MALFORMED'],
  ['an id with a newline', updates('<update><id>a&#10;b</id></update>'), 'METADATA_MALFORMED'],
  ['an id with an override', updates('<update><id>a\u202eb</id></update>'), 'METADATA_MALFORMED'],
  ['a long id', updates(`<update><id>${'a'.repeat(300)}</id></update>`), 'METADATA_MALFORMED'],
  ['a document type', '<!DOCTYPE updates><updates/>', 'METADATA_DOCTYPE'],
  ['a billion laughs', '<!DOCTYPE l [<!ENTITY a "ha">]><updates>&a;</updates>', 'METADATA_DOCTYPE'],
  ['deep nesting', `<updates>${'<a>'.repeat(100)}`, 'METADATA_TOO_DEEP'],
  ['not UTF-8', Buffer.concat([Buffer.from('<updates>'), Buffer.from([0xff])]), 'METADATA_ENCODING'],
  ['an endless advisory', `<updates><update>${'<id>a</id>'.repeat(2_000_000)}`, 'METADATA_TOO_LARGE'],
  ['an endless comment', `<updates><!--${' '.repeat(20_000_000)}`, 'METADATA_TOKEN_TOO_LONG'],
  ['a cut gzip', gzipSync(updates({ id: 'A-1' })).subarray(0, 60), 'METADATA_DAMAGED'],
])('%s is refused', async (_name, text, code) => {
  const upstream = [files.write(text, 'http://u/updateinfo.xml')];
  await expect(mergeUpdateinfo({ upstream, output: files.output() })).rejects.toMatchObject({
    code,
    exitCode: 6,
    message: expect.stringContaining('http://u/updateinfo.xml: '),
  });
});

test('a bomb ends at the size that is declared', async () => {
  const bomb = files.write(gzipSync(Buffer.alloc(50_000_000, '<updates> ')));
  await expect(mergeUpdateinfo({ upstream: [{ ...bomb, openSize: 1000 }], output: files.output() })).rejects.toMatchObject({
    code: 'METADATA_BOMB',
  });
});

describe('for any sequence of upstreams', () => {
  const edition = fc.record({
    id: fc.constantFrom('A', 'B', 'C', 'D'),
    description: fc.constantFrom('x', 'y', ' <![CDATA[</update>]]> ', '&lt;update&gt;', 'ü€😀'),
    packages: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e')),
    collection: fc.constantFrom('short="1"', 'short="2"', ''),
  });
  const upstream = fc.uniqueArray(edition, { selector: ({ id }) => id });
  const listed = (text: string): Map<string, Set<string>> =>
    new Map(
      [...text.matchAll(/<update .*?<\/update>/gs)]
        .filter(([element]) => element.includes('<id>'))
        .map(([element]) => [
          (/<id>(.*)<\/id>/.exec(element) as RegExpExecArray)[1] as string,
          new Set([...element.matchAll(/<package name="(.)"/g)].map((match) => match[1] as string)),
        ]),
    );

  test('each advisory and package that was ever listed stays, the newest edition counts, and merging again changes nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(upstream, { minLength: 1, maxLength: 5 }), async (sequence) => {
        const expected = new Map<string, { packages: Set<string>; description: string }>();
        let published: string | undefined;
        for (const editions of sequence) {
          for (const { id, packages, description } of editions)
            expected.set(id, { packages: new Set([...(expected.get(id)?.packages ?? []), ...packages]), description });
          published = (await merged(published, updates(...editions))).text;
          expect((await merged(published, updates(...editions))).text).toBe(published);
        }
        const plain = (published as string).replaceAll('<![CDATA[</update>]]>', '');
        expect(listed(plain)).toEqual(new Map([...expected].map(([id, { packages }]) => [id, packages])));
        for (const [id, { description }] of expected)
          expect(published).toContain(`<id>${id}</id><description>${description}</description>`);
      }),
      { numRuns: 60 },
    );
  });
});

test('memory does not grow with the text', () => {
  const script = join(files.directory, 'merge.cjs');
  buildSync({
    stdin: {
      contents: `import { mergeUpdateinfo } from './rpm-metadata/updateinfo';
        const [previous, upstream, output] = process.argv.slice(2).map((path) => ({ path, what: path }));
        mergeUpdateinfo({ previous, upstream: [upstream], output: output.path }).then(() => console.log(process.resourceUsage().maxRSS));`,
      resolveDir: join(__dirname, '../..'),
      loader: 'ts',
    },
    outfile: script,
    bundle: true,
    platform: 'node',
    logLevel: 'error',
  });
  const big = join(files.directory, 'big.xml');
  const descriptor = openSync(big, 'w');
  writeSync(descriptor, '<updates>');
  for (let i = 0; i < 5000; i++)
    writeSync(descriptor, update({ id: `EPEL-${i}`, description: 'words '.repeat(1500), packages: ['a', 'b'] }));
  writeSync(descriptor, '</updates>');
  closeSync(descriptor);
  expect(statSync(big).size).toBeGreaterThan(40e6);
  const small = join(files.directory, 'small.xml');
  writeFileSync(small, updates({ id: 'A-1' }));
  const output = files.output();
  const ran = spawnSync(process.execPath, ['--max-old-space-size=48', script, big, small, output], { encoding: 'utf8' });
  expect(ran).toMatchObject({ status: 0, stderr: '' });
  // The heap, where text is, is bound above; buffers outside of it wait for the collector, on a busy machine up to 330 MiB of them.
  expect(Number(ran.stdout)).toBeLessThan(450 * 1024);
  expect(gunzipSync(readFileSync(output)).length).toBeGreaterThan(40e6);
});
