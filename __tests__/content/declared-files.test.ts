/** Files of which each has an address of its own: known ones are not asked for, others are verified, and one that fails stops no other. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type DeclaredFile, fetchDeclared, type Declared, type SeenFile } from '../../content/declared-files';
import { Store } from '../../content/store';
import { HttpClient } from '../../downloads/http';
import { sha256, write } from './support/tree-upstream';
import { Upstream } from './support/upstream';

const work = mkdtempSync(join(tmpdir(), 'declared-'));
const TARBALL = gzipSync('a tarball');
const OTHER = gzipSync('another tarball');
let root: string;
let web: Upstream;
let store: Store;
let announced: (readonly [number, number])[];
const client = new HttpClient();

beforeEach(async () => {
  root = mkdtempSync(join(work, 'upstream-'));
  write(root, { 'a.tar.gz': TARBALL, 'b.tar.gz': OTHER, 'read.me': 'read me\n' });
  web = await new Upstream(root).start();
  store = new Store(mkdtempSync(join(work, 'store-')));
  announced = [];
});
afterEach(() => web.stop());
afterAll(async () => {
  await client.close();
  rmSync(work, { recursive: true });
});

async function fetched(files: readonly DeclaredFile[], seen: Readonly<Record<string, SeenFile>> = {}): Promise<Declared> {
  const incoming = await store.incoming('x');
  const done = await fetchDeclared(
    {
      client,
      retry: { tries: 2, backoff: 1 },
      store,
      incoming,
      announce: (count, bytes) => Promise.resolve(void announced.push([count, bytes])),
      onBytes: () => undefined,
      onFile: () => undefined,
    },
    files,
    new Map(Object.entries(seen)),
  );
  await incoming.commit();
  return done;
}

const stored = (bytes: Buffer): boolean => store.has({ algorithm: 'sha256', hex: sha256(bytes) }, bytes.length);
const seenAs = (bytes: Buffer): SeenFile => ({ sha256: sha256(bytes), size: bytes.length });

test('at first sight a file is taken as it is, and the store has it; what is there is not asked for again', async () => {
  const url = `${web.url}a.tar.gz`;
  const files = [
    { path: 'a.tar.gz', url },
    { path: 'the same by another name.tgz', url },
  ];
  const first = await fetched(files);
  expect(first).toEqual({ taken: files.map((file) => ({ ...file, ...seenAs(TARBALL) })), problems: [] });
  expect(stored(TARBALL)).toBe(true);
  // Its size is asked for before it is fetched, once for both.
  expect(web.requests).toEqual(['a.tar.gz', 'a.tar.gz']);
  expect(announced).toEqual([[1, TARBALL.length]]);
  web.requests.length = 0;
  expect(await fetched(files, { [url]: seenAs(TARBALL) })).toEqual(first);
  expect(await fetched(files.map((file) => ({ ...file, sha256: sha256(TARBALL) })))).toEqual(first);
  expect(web.requests).toEqual([]);
  expect(announced).toHaveLength(1);
});

test('what was seen before is taken under its URL and nothing else, unless its digest is declared', async () => {
  const url = `${web.url}a.tar.gz`;
  write(root, { 'a.tar.gz': OTHER });
  const refused = await fetched([{ path: 'a.tar.gz', url }], { [url]: seenAs(TARBALL) });
  expect(refused.taken).toEqual([]);
  expect(refused.problems).toEqual([
    expect.objectContaining({
      path: 'a.tar.gz',
      url,
      code: 'CONTENT_MISMATCH',
      exitCode: 6,
      message: expect.stringMatching(/a\.tar\.gz has more than the \d+ bytes that it had when it was first fetched/),
      remedy: expect.stringContaining('record its digest'),
    }),
  ]);
  expect(stored(OTHER)).toBe(false);
  const { taken } = await fetched([{ path: 'a.tar.gz', url, sha256: sha256(OTHER) }], { [url]: seenAs(TARBALL) });
  expect(taken).toEqual([{ path: 'a.tar.gz', url, ...seenAs(OTHER) }]);
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
const send =
  (status: number, body: string | Buffer, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body);

test.each<[string, Answer, Partial<DeclaredFile>, string, RegExp]>([
  ['is not there', send(404, 'gone'), {}, 'UPSTREAM_FILE_MISSING', /status 404/],
  ['is not for everybody', send(403, 'no'), {}, 'UPSTREAM_REFUSED', /status 403/],
  ['is broken there', send(503, 'later'), {}, 'UPSTREAM_UNREACHABLE', /status 503/],
  [
    'is cut',
    (_r, response) => void response.writeHead(200, { 'content-length': 999 }).write('x', () => response.destroy()),
    {},
    'UPSTREAM_UNREACHABLE',
    /x\.tar\.gz/,
  ],
  ['is a page', send(200, '<html>log in</html>'), {}, 'NOT_AN_ARCHIVE', /is no archive.*<html>log in/],
  ['is empty', send(200, ''), {}, 'NOT_AN_ARCHIVE', /is no archive/],
  ['is another one', send(200, OTHER), { sha256: sha256(TARBALL) }, 'CONTENT_MISMATCH', /recorded is [0-9a-f]{64}$/],
  ['is a page where a digest is declared', send(200, '<html>'), { sha256: sha256(TARBALL) }, 'CONTENT_MISMATCH', /recorded is/],
  ['leads into the network', send(302, '', { location: 'http://localhost:9/x' }), {}, 'PRIVATE_ADDRESS', /localhost/],
  ['leads to a file', send(302, '', { location: 'file:///etc/passwd' }), {}, 'REDIRECT_UNSAFE', /file/],
  ['is longer than it can be', send(200, 'x', { 'content-length': String(2 ** 41) }), {}, 'BODY_TOO_LONG', /bytes/],
])('a file that %s is told, and the others are taken', async (_what, answer, more, code, message) => {
  web.handlers.set('x.tar.gz', (request, response) => (answer(request, response), true));
  const { taken, problems } = await fetched([
    { path: 'x.tar.gz', url: `${web.url}x.tar.gz`, ...more },
    { path: 'b.tar.gz', url: `${web.url}b.tar.gz` },
    { path: 'read.me', url: `${web.url}read.me` },
  ]);
  expect(taken.map(({ path }) => path)).toEqual(['b.tar.gz', 'read.me']);
  expect(problems).toEqual([
    expect.objectContaining({ path: 'x.tar.gz', code, message: expect.stringMatching(message), remedy: expect.stringMatching(/./) }),
  ]);
  expect(readdirSync(store.root)).toEqual(expect.arrayContaining(['sha256']));
  const incoming = join(store.root, '.incoming/x');
  expect(existsSync(incoming) ? readdirSync(incoming) : []).toEqual([]);
});

test('a host that does not answer costs its time a few times, and no other host anything', async () => {
  const dead = await new Upstream(root).start();
  const { url } = dead;
  await dead.stop();
  const files = Array.from({ length: 30 }, (_, n) => ({ path: `dead ${n}`, url: `${url}${n}` }));
  const { taken, problems } = await fetched([...files, { path: 'a.tar.gz', url: `${web.url}a.tar.gz` }]);
  expect(taken.map(({ path }) => path)).toEqual(['a.tar.gz']);
  expect(problems).toHaveLength(30);
  expect(problems.filter(({ message }) => /was not asked for: 3 files in a row of 127\.0\.0\.1/.test(message)).length).toBeGreaterThan(15);
});

test('a large file that was cut is continued by the next run, at first sight as well; another version of it starts over', async () => {
  const big = Buffer.concat([gzipSync('x'), Buffer.alloc(20_000_000, 7)]);
  let version = big;
  let cut = true;
  const ranges: (string | undefined)[] = [];
  web.handlers.set('big.tar.gz', (request, response) => {
    const { range } = request.headers;
    if (range === 'bytes=0-0') {
      response.writeHead(206, { 'content-range': `bytes 0-0/${version.length}`, 'content-length': 1 }).end('x');
      return true;
    }
    ranges.push(range);
    const etag = `"${sha256(version)}"`;
    const from = range !== undefined && request.headers['if-range'] === etag ? Number(/^bytes=(\d+)-/.exec(range)?.[1]) : 0;
    const headers = { etag, 'content-length': version.length - from };
    if (from > 0) response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${version.length - 1}/${version.length}` });
    else response.writeHead(200, headers);
    if (cut) response.write(version.subarray(from, from + 12_000_000), () => setTimeout(() => response.destroy(), 50));
    else response.end(version.subarray(from));
    // A cut connection is continued at once where it brought something: then this one brings nothing more.
    if (cut && ranges.length > 1) response.destroy();
    return true;
  });
  const file = { path: 'big.tar.gz', url: `${web.url}big.tar.gz` };
  expect((await fetched([file])).problems).toHaveLength(1);
  cut = false;
  ranges.length = 0;
  expect((await fetched([file])).taken).toEqual([{ ...file, ...seenAs(big) }]);
  expect(ranges).toEqual([expect.stringMatching(/^bytes=1\d{7}-/)]);

  cut = true;
  version = Buffer.concat([big, Buffer.from('more')]);
  ranges.length = 0;
  expect((await fetched([file])).problems).toHaveLength(1);
  cut = false;
  version = Buffer.concat([gzipSync('y'), Buffer.alloc(20_000_000, 8)]);
  expect((await fetched([file])).taken).toEqual([{ ...file, ...seenAs(version) }]);
  expect(readFileSync(store.path({ algorithm: 'sha256', hex: sha256(version) })).equals(version)).toBe(true);
});

test('a full disk ends the run', async () => {
  const incoming = await store.incoming('x');
  const full = (): Promise<void> => Promise.reject(new Error('no room'));
  const context = { client, retry: {}, store, incoming, announce: full, onBytes: () => undefined, onFile: () => undefined };
  await expect(fetchDeclared(context, [{ path: 'a', url: `${web.url}a.tar.gz` }], new Map())).rejects.toThrow('no room');
  expect(web.requests).toEqual(['a.tar.gz']);
});
