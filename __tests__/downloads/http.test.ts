import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { downloadVerified, type Expectation } from '../../downloads/file';
import { HttpClient } from '../../downloads/http';

const body = Buffer.from('the bytes of a package\n');
const sum = (algorithm: string): string => createHash(algorithm).update(body).digest('hex');

/** What the server does at each path. */
const behaviours: Record<string, (response: ServerResponse) => void> = {
  good: (r) => r.end(body),
  moved: (r) => r.writeHead(302, { location: '/good' }).end(),
  loop: (r) => r.writeHead(302, { location: '/loop' }).end(),
  local: (r) => r.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  nowhere: (r) => r.writeHead(302).end(),
  gone: (r) => r.writeHead(404).end('gone'),
  busy: (r) => r.writeHead(503, { 'retry-after': '4' }).end(),
  unasked: (r) => r.writeHead(304).end(),
  empty: (r) => r.end(),
  short: (r) => {
    r.writeHead(200, { 'content-length': 100 });
    r.write(body, () => r.destroy());
  },
  huge: (r) => r.writeHead(200, { 'content-length': 10 ** 12 }).write('x'),
  endless: (r) => {
    const chunk = Buffer.alloc(65536);
    const more = (): void => {
      while (!r.destroyed && r.write(chunk));
    };
    r.on('drain', more);
    more();
  },
  silent: (r) => void r.write('x'),
  mute: () => undefined,
  part: (r) => r.writeHead(206, { 'content-range': `bytes 0-3/${body.length}` }).end(body.subarray(0, 4)),
  unsized: (r) => r.writeHead(206, { 'content-range': 'bytes 0-3/*' }).end(body.subarray(0, 4)),
  middle: (r) => r.writeHead(206, { 'content-range': 'bytes 4-7/100' }).end(body.subarray(4, 8)),
  placeless: (r) => r.writeHead(206).end(body),
  drip: (r) => {
    const timer = setInterval(() => (r.destroyed ? clearInterval(timer) : r.write('x')), 50);
  },
  flipped: (r) => r.end(Buffer.from(body).fill('X', 3, 4)),
};

let server: Server;
let base: string;
let client: HttpClient;
let directory: string;

beforeAll(async () => {
  server = createServer((request, response) => (behaviours[(request.url as string).slice(1)] as (r: ServerResponse) => void)(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'downloads-'));
  client = new HttpClient({ headersTimeout: 300, idleTimeout: 300, connectTimeout: 300, lowSpeedBytes: 1000, lowSpeedSeconds: 0.3 });
});
afterEach(async () => {
  await client.close();
  rmSync(directory, { recursive: true });
});

const expectation = (change: Partial<Expectation> = {}): Expectation => ({
  algorithm: 'sha256',
  hex: sum('sha256'),
  size: body.length,
  maxBytes: 1000,
  ...change,
});

test.each([
  ['good', {}],
  ['moved', {}],
  ['good', { size: undefined }],
  ['good', { algorithm: 'sha512', hex: sum('sha512') }],
  ['good', { algorithm: 'sha384', hex: sum('sha384') }],
])('%s with %j arrives, read-only', async (path, change) => {
  const target = join(directory, 'file');
  expect(await downloadVerified(client, `${base}/${path}`, target, expectation(change))).toEqual({
    sha256: sum('sha256'),
    size: body.length,
  });
  expect(readFileSync(target)).toEqual(body);
  expect(statSync(target).mode & 0o777).toBe(0o444);
  expect(readdirSync(directory)).toEqual(['file']);
});

test.each<[string, Partial<Expectation>, string, RegExp]>([
  ['flipped', {}, 'corrupt', /has the sha256 [0-9a-f]{64}; the metadata says [0-9a-f]{64}/],
  ['good', { size: body.length + 1 }, 'corrupt', /has 23 bytes; the metadata says 24/],
  ['good', { size: body.length - 1 }, 'refused', /may have 22 bytes and/],
  ['empty', {}, 'corrupt', /has 0 bytes/],
  ['good', { size: undefined, maxBytes: 10 }, 'refused', /may have 10 bytes/],
  ['endless', { size: 1_000_000 }, 'refused', /does not end there/],
  ['huge', {}, 'refused', /announces 1000000000000 bytes/],
  ['short', { size: 100 }, 'transient', /short/],
  ['gone', {}, 'missing', /answered with status 404/],
  ['busy', {}, 'transient', /answered with status 503/],
  ['unasked', {}, 'refused', /status 304/],
  ['loop', {}, 'refused', /more than 5 times/],
  ['local', {}, 'refused', /only http and https/],
  ['nowhere', {}, 'refused', /status 302/],
  ['silent', { size: 1_000_000 }, 'transient', /Body Timeout/],
  ['mute', {}, 'transient', /Headers Timeout/],
  ['drip', { size: 1_000_000 }, 'transient', /less than 1000 bytes a second/],
])('%s with %j leaves nothing: %s', async (path, change, kind, message) => {
  let counted = 0;
  const failing = downloadVerified(client, `${base}/${path}`, join(directory, 'file'), expectation(change), (count) => (counted += count));
  await expect(failing).rejects.toMatchObject({ kind, message: expect.stringMatching(message), remedy: expect.stringMatching(/./) });
  await expect(failing).rejects.toThrow(`${base}/`);
  expect(readdirSync(directory)).toEqual([]);
  expect(counted).toBe(0);
});

test('a server that is not there is named', async () => {
  await expect(client.get('http://127.0.0.1:1/x', { maxBytes: 1 }, () => undefined)).rejects.toMatchObject({
    kind: 'transient',
    exitCode: 5,
    message: expect.stringContaining('ECONNREFUSED'),
  });
});

test('Retry-After reaches the caller', async () => {
  await expect(client.get(`${base}/busy`, { maxBytes: 1 }, () => undefined)).rejects.toMatchObject({ retryAfter: 4 });
});

test('a certificate that nobody vouches for is refused, and not tried again', async () => {
  const key = join(directory, 'key.pem');
  const cert = join(directory, 'cert.pem');
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', '-days', '2', '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  );
  const secure = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => response.end(body));
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
  try {
    const url = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/x`;
    await expect(client.get(url, { maxBytes: 1000 }, () => undefined)).rejects.toMatchObject({
      kind: 'refused',
      code: 'TLS_UNTRUSTED',
      exitCode: 6,
      message: expect.stringContaining(url),
    });
  } finally {
    secure.closeAllConnections();
    secure.close();
  }
});

describe('the beginning of a file', () => {
  test.each<[string, string, number | undefined]>([
    ['part', 'the ', 23],
    ['unsized', 'the ', undefined],
    ['good', 'the ', 23],
    ['moved', 'the ', 23],
    ['endless', '\0\0\0\0', undefined],
    ['huge', 'x', 10 ** 12],
  ])('%s', async (path, text, total) => {
    const first = await client.begin(`${base}/${path}`, path === 'huge' ? 1 : 4);
    expect([first.bytes.toString(), first.total]).toEqual([text, total]);
  });

  test.each([
    ['middle', /answers a range with bytes 4-7\/100/],
    ['placeless', /answers a range with no place/],
    ['gone', /status 404/],
  ])('%s is refused', async (path, message) => {
    await expect(client.begin(`${base}/${path}`, 4)).rejects.toThrow(message);
  });

  test('a part that nobody asked for is no file', async () => {
    await expect(client.get(`${base}/part`, { maxBytes: 100 }, () => undefined)).rejects.toThrow(/status 206/);
  });

  test('a signal ends it, with its reason', async () => {
    const signal = AbortSignal.timeout(50);
    await expect(client.get(`${base}/mute`, { maxBytes: 100, signal }, () => undefined)).rejects.toThrow(/\/mute: .*timeout/);
  });
});
