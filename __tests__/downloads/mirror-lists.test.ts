import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpClient } from '../../downloads/http';
import { parseMetalink } from '../../downloads/metalink';
import { baseOf, MAX_MIRRORS, type ResolvedSources, resolveSources } from '../../downloads/mirror-lists';

const A = 'a'.repeat(64);
const B = 'b'.repeat(128);
const C = 'c'.repeat(64);

/** As MirrorManager writes it. */
const version3 = (inside: string, file = 'repomd.xml'): string => `<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" generator="mirrormanager" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files><file name="${file}">
   <mm0:timestamp>1779326542</mm0:timestamp>
   <size>4057</size>
   ${inside}
 </file></files>
</metalink>`;
const verification = (...hashes: [string, string][]): string =>
  `<verification>${hashes.map(([type, hex]) => `<hash type="${type}">${hex}</hash>`).join('')}</verification>`;
const alternates = `<mm0:alternates><mm0:alternate><mm0:timestamp>100</mm0:timestamp><size>20</size>${verification(['md5', '0'.repeat(32)], ['sha256', C])}</mm0:alternate></mm0:alternates>`;
const resources = (...urls: [string, number][]): string =>
  `<resources maxconnections="1">${urls.map(([url, preference]) => `<url protocol="https" type="https" location="DE" preference="${preference}">${url}</url>`).join('\n')}</resources>`;

describe('a metalink', () => {
  const url = 'https://lists.example/metalink';
  const read = (text: string): ReturnType<typeof parseMetalink> => parseMetalink(Buffer.from(text), url);

  test('of MirrorManager: the strongest checksum, older versions, preferred mirrors first', () => {
    const text = version3(
      verification(['md5', '0'.repeat(32)], ['sha256', A], ['sha512', B]) +
        alternates +
        resources(['http://b/', 97], ['http://a/', 100], ['http://c/', 97]),
    );
    expect(read(text)).toEqual({
      urls: ['http://a/', 'http://b/', 'http://c/'],
      digests: [
        { algorithm: 'sha512', hex: B, size: 4057, timestamp: 1779326542 },
        { algorithm: 'sha256', hex: C, size: 20, timestamp: 100 },
      ],
    });
  });

  test('with its alternates before the checksum of the current version', () => {
    expect(
      read(version3(alternates + verification(['sha256', A]) + resources(['http://a/', 1]))).digests.map(({ hex, size }) => [hex, size]),
    ).toEqual([
      [A, 4057],
      [C, 20],
    ]);
  });

  test('of RFC 5854', () => {
    const text = `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="other"><url>http://x/</url></file><file name="repomd.xml"><size>7</size>
      <hash type="sha-256">${A.toUpperCase()}</hash><url priority="2">http://b/</url><url priority="1" location="de">http://a/</url></file></metalink>`;
    expect(read(text)).toEqual({
      urls: ['http://a/', 'http://b/'],
      digests: [{ algorithm: 'sha256', hex: A, size: 7, timestamp: undefined }],
    });
  });

  test.each<[string, string, RegExp]>([
    ['HTML of a portal', '<html><body>Please log in</body></html>', /is no metalink: it begins with <html>/],
    ['nothing', '', /is no metalink/],
    ['half of it', version3(verification(['sha256', A])).slice(0, 400), /is no metalink/],
    ['not UTF-8', '\u00ff', /is no metalink|begins/],
    ['another file', version3(verification(['sha256', A]), 'other.xml'), /has no file repomd\.xml/],
    [
      'md5 and sha1 alone',
      version3(verification(['md5', '0'.repeat(32)], ['sha1', '0'.repeat(40)])),
      /no checksum of repomd\.xml by sha256 or better/,
    ],
    ['a checksum that is none', version3(verification(['sha256', 'x'.repeat(64)])), /no checksum/],
    ['no checksum', version3(resources(['http://a/', 1])), /no checksum/],
    ['a checksum of the alternate alone', version3(alternates), /no checksum/],
    ['entities', `<!DOCTYPE m [<!ENTITY a "b">]>${version3('').slice(39)}`, /document type/],
    ['unknown entities', version3('&boom;'), /is no metalink/],
    ['deep nesting', version3('<a>'.repeat(50)), /nested too deeply/],
  ])('with %s is refused', (_name, text, why) => {
    expect(() => read(text)).toThrow(why);
    expect(() => read(text)).toThrow(url);
  });
});

test.each<[string, ReturnType<typeof baseOf>]>([
  ['http://a/x', { url: 'http://a/x/' }],
  ['https://a/x/', { url: 'https://a/x/' }],
  ['https://a/x/repodata/repomd.xml', { url: 'https://a/x/' }],
  ['rsync://a/x/', { url: undefined }],
  ['ftp://a/x/', { url: undefined }],
  ['file:///etc/', { problem: 'is not http or https' }],
  ['javascript:1', { problem: 'is not http or https' }],
  ['http://a/$basearch/', { problem: 'has a variable, which only a client can fill in' }],
  ['http://user:pw@a/', { problem: 'has a user' }],
  ['http://a/?x=1', { problem: 'has a query' }],
  ['<html>', { problem: 'is no URL' }],
  [`http://a/${'x'.repeat(3000)}`, { problem: 'is too long' }],
])('%s in a list', (entry, expected) => {
  expect(baseOf(entry)).toEqual(expected);
});

describe('resolveSources', () => {
  let server: Server;
  let base: string;
  let client: HttpClient;
  const texts: Record<string, string> = {
    '/good': '# comment\r\nhttp://one/x\n\nhttp://two/x/\nhttp://one/x/\nnonsense\nrsync://three/x/\n',
    '/many': Array.from({ length: 500 }, (_, i) => `http://m${i}/`).join('\n'),
    '/bad': Array.from({ length: 9 }, (_, i) => `bad ${i}`).join('\n') + '\nhttp://one/x/\n',
    '/portal': '<html>\n<body>Please log in</body>\n</html>',
    '/variables': 'http://one/$basearch/\n',
    '/metalink': version3(
      verification(['sha256', A]) + resources(['http://two/x/repodata/repomd.xml', 99], ['rsync://one/repodata/repomd.xml', 100]),
    ),
    '/endless': 'http://one/\n'.repeat(300_000),
  };
  beforeAll(async () => {
    server = createServer((request, response) => {
      const text = texts[request.url as string];
      if (text === undefined) response.writeHead(404).end();
      else response.end(text);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    client = new HttpClient();
  });
  afterAll(async () => {
    await client.close();
    server.close();
  });

  type Source = Parameters<typeof resolveSources>[1][number];
  const resolve = async (
    fetchFrom: Source[],
    known: Record<string, string> = {},
  ): Promise<{ resolved: ResolvedSources; warnings: string[] }> => {
    const warnings: string[] = [];
    const resolved = await resolveSources(client, fetchFrom, { retry: { tries: 1 }, known, warn: (line) => warnings.push(line) });
    return { resolved, warnings };
  };

  test('the order is that of the declaration, each mirror once, bad lines left out with a warning', async () => {
    const { resolved, warnings } = await resolve([
      'http://zero/x',
      { mirrorlist: `${base}/good` },
      { metalink: `${base}/metalink` },
      'rsync://r/m/',
    ]);
    expect(resolved.sources.all).toEqual(['http://zero/x/', 'http://one/x/', 'http://two/x/', 'rsync://r/m/']);
    expect(resolved.digests).toEqual(new Map());
    expect(warnings).toEqual([`${base}/good: left out: "nonsense" is no URL`]);
    expect(Object.keys(resolved.lists)).toEqual([`${base}/good`, `${base}/metalink`]);
    expect([...resolved.declaredHosts]).toEqual(['zero', '127.0.0.1', 'r']);
  });

  test('a metalink says what repomd.xml of its mirrors must be', async () => {
    const { resolved } = await resolve([{ metalink: `${base}/metalink` }]);
    expect(resolved.sources.all).toEqual(['http://two/x/']);
    expect(resolved.digests).toEqual(new Map([['http://two/x/', [{ algorithm: 'sha256', hex: A, size: 4057, timestamp: 1779326542 }]]]));
  });

  test('lists end somewhere, and warnings too', async () => {
    expect((await resolve([{ mirrorlist: `${base}/many` }])).resolved.sources.all).toHaveLength(MAX_MIRRORS);
    const { warnings } = await resolve([{ mirrorlist: `${base}/bad` }]);
    expect([warnings.length, warnings.at(-1)]).toEqual([6, `${base}/bad: 4 more entries are left out`]);
  });

  test.each<[string, string]>([
    ['/portal', 'names no mirror that can be used: "<html>" is no URL'],
    ['/variables', 'has a variable'],
    ['/gone', 'answered with status 404'],
    ['/endless', 'may have 2097152 bytes'],
  ])('%s: an error, the list of the last run, or the other sources', async (path, why) => {
    const list = { mirrorlist: base + path };
    await expect(resolve([list])).rejects.toMatchObject({ name: 'MirrorError', message: expect.stringContaining(why) });
    const kept = await resolve([list], { [base + path]: 'http://kept/' });
    expect(kept.resolved.sources.all).toEqual(['http://kept/']);
    expect(kept.resolved.lists).toEqual({ [base + path]: 'http://kept/' });
    expect(kept.warnings).toEqual([expect.stringMatching(/; the list of the last run is used$/)]);
    const others = await resolve([list, 'http://zero/']);
    expect(others.resolved.sources.all).toEqual(['http://zero/']);
    expect(others.warnings).toEqual([expect.stringMatching(/; the other sources are used$/)]);
  });
});
