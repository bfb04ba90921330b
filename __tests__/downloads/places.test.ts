import { createServer, type Server as HttpServer } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isPrivate } from '../../downloads/addresses';
import { Bandwidth } from '../../downloads/bandwidth';
import { privateLiteral } from '../../downloads/connect';
import { getSmall, HttpClient } from '../../downloads/http';
import { isProxied } from '../../downloads/proxy';

test.each([
  // what every list of special addresses has, at both ends
  ['0.0.0.0', true],
  ['0.255.255.255', true],
  ['1.0.0.0', false],
  ['9.255.255.255', false],
  ['10.0.0.0', true],
  ['10.255.255.255', true],
  ['11.0.0.0', false],
  ['100.63.255.255', false],
  ['100.64.0.1', true],
  ['100.127.255.255', true],
  ['100.128.0.0', false],
  ['127.0.0.1', true],
  ['127.255.255.255', true],
  ['128.0.0.0', false],
  ['169.253.255.255', false],
  ['169.254.169.254', true],
  ['172.15.255.255', false],
  ['172.16.0.1', true],
  ['172.31.255.255', true],
  ['172.32.0.0', false],
  ['192.0.0.192', true],
  ['192.0.2.1', true],
  ['192.167.255.255', false],
  ['192.168.0.1', true],
  ['192.169.0.0', false],
  ['198.17.255.255', false],
  ['198.18.0.1', true],
  ['198.51.100.7', true],
  ['203.0.113.7', true],
  ['223.255.255.255', false],
  ['224.0.0.1', true],
  ['239.1.1.1', true],
  ['255.255.255.255', true],
  ['8.8.8.8', false],
  ['193.0.6.139', false],
  // IPv6
  ['::', true],
  ['::1', true],
  ['::ffff:8.8.8.8', true],
  ['::ffff:10.0.0.1', true],
  ['64:ff9b::a00:1', true],
  ['100::1', true],
  ['2001::1', true],
  ['2001:db8::1', true],
  ['2002:a00:1::1', true],
  ['3fff::1', true],
  ['fc00::1', true],
  ['fd12:3456::1', true],
  ['fe80::1', true],
  ['fe80::1%eth0', true],
  ['fec0::1', true],
  ['ff02::1', true],
  ['fd00:ec2::254', true],
  ['2a00:1450:4001::1', false],
  ['2620:52:3:1::1', false],
  ['2001:4860:4860::8888', false],
  // no address at all
  ['', true],
  ['example.org', true],
  ['1.2.3', true],
])('%s is private: %s', (address, expected) => {
  expect(isPrivate(address)).toBe(expected);
});

test.each([
  ['http://127.1/', true],
  ['http://2130706433/', true],
  ['http://0x7f.0.0.1/', true],
  ['http://0177.0.0.1/', true],
  ['http://[::1]/', true],
  ['http://[::ffff:127.0.0.1]/', true],
  ['http://localhost/', true],
  ['http://a.localhost/', true],
  ['http://0/', true],
  ['http://8.8.8.8/', false],
  ['http://[2a00:1450:4001::1]/', false],
  ['http://example.org/', false],
])('%s as it is written is private: %s', (url, expected) => {
  expect(privateLiteral(new URL(url).hostname) !== undefined).toBe(expected);
});

test.each([
  ['example.org', 'example.org', false],
  ['example.org', 'a.example.org', false],
  ['example.org', 'badexample.org', true],
  ['example.org', 'EXAMPLE.org', false],
  ['.example.org', 'a.example.org', false],
  ['*.example.org', 'a.b.example.org', false],
  ['10.0.0.1', '10.0.0.1', false],
  ['0.0.1', '10.0.0.1', true],
  ['fd00::1', '[fd00::1]', false],
  ['[fd00::1]', '[fd00::1]', false],
  ['org', 'example.com', true],
])('except %s: %s goes through the proxy: %s', (exception, host, expected) => {
  expect(isProxied({ url: 'http://p:1', except: ['other', exception] }, host)).toBe(expected);
});

test('the bandwidth is what was declared, divided by those who use it, with a little in stock', () => {
  let now = 1000;
  const bandwidth = new Bandwidth(1_000_000, () => now);
  expect(bandwidth.take(100_000)).toBe(0);
  expect(bandwidth.take(500_000)).toBe(500);
  expect(bandwidth.take(500_000)).toBe(1000);
  now += 1000;
  expect(bandwidth.take(0)).toBe(0);
  bandwidth.divideBy(2);
  expect(bandwidth.take(500_000)).toBe(1000);
  now += 3_600_000;
  expect(bandwidth.take(600_000)).toBe(1100);
  expect(new Bandwidth(undefined).take(10 ** 12)).toBe(0);
});

let server: HttpServer;
let port: number;
let client: HttpClient;
const hosts: (string | undefined)[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    hosts.push(request.headers.host);
    const to = /^\/to\?(.+)$/.exec(request.url as string)?.[1];
    if (to !== undefined) response.writeHead(302, { location: decodeURIComponent(to) }).end();
    else response.end(request.url === '/big' ? Buffer.alloc(600_000) : 'here');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  client = new HttpClient({ connectTimeout: 500, headersTimeout: 500 });
});
afterEach(() => client.close());

const text = async (from: HttpClient, url: string): Promise<string> => (await getSmall(from, url, { maxBytes: 10_000 })).bytes.toString();

describe('private addresses', () => {
  const refusal = {
    kind: 'refused',
    code: 'PRIVATE_ADDRESS',
    exitCode: 6,
    remedy: expect.stringMatching(
      /put its address into fetchFrom\. If it is meant, declare Waiver\.privateAddresses\(reason\) in its waivers\.$/,
    ) as string,
  };
  const away = (place: string): string => `http://127.0.0.1:${port}/to?${encodeURIComponent(place)}`;

  test.each([
    ['an address', 'http://127.0.0.2:1/', /http:\/\/127\.0\.0\.2:1\/: 127\.0\.0\.2 is not a public address/],
    ['an address in disguise', 'http://0x7f000002:1/', /127\.0\.0\.2 is not a public address/],
    ['the metadata of a cloud', 'http://169.254.169.254/latest/', /169\.254\.169\.254 is not/],
    ['a name for this host', 'http://localhost:1/', /localhost is not a public address/],
    ['IPv6', 'http://[::1]:1/', /::1 is not a public address/],
  ])('a redirect to %s is refused', async (_name, place, message) => {
    await expect(text(client, away(place))).rejects.toMatchObject({ ...refusal, message: expect.stringMatching(message) as string });
  });

  test('a name is judged by the address that it has when we connect', async () => {
    const { hostname } = await import('node:os');
    const mine = `http://${hostname()}:${port}/x`;
    const here = new HttpClient({ connectTimeout: 2000 });
    try {
      const outcome = await text(here.reaching(new Set()), mine).catch((error: unknown) => error);
      expect(outcome).toMatchObject({
        message: expect.stringMatching(/ is at \S+, which is not a public address|ENOTFOUND|EAI_AGAIN/) as string,
      });
    } finally {
      await here.close();
    }
  });

  test('what is asked for, and where it stays, is the decision of who asks', async () => {
    expect(await text(client, `http://127.0.0.1:${port}/x`)).toBe('here');
    expect(await text(client, away('/x'))).toBe('here');
    await expect(text(client.reaching(new Set()), `http://127.0.0.1:${port}/x`)).rejects.toMatchObject(refusal);
    expect(await text(client.reaching(new Set(['127.0.0.1'])), away('/x'))).toBe('here');
    expect(await text(client.reaching('all'), away(`http://localhost:${port}/x`))).toBe('here');
  });
});

/** A proxy: absolute addresses for http, CONNECT for https. It refuses a host called `forbidden`. */
async function proxy(): Promise<{ url: string; seen: string[]; close: () => void }> {
  const seen: string[] = [];
  const tunnels = new Set<Socket>();
  const own = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (!/^http:/.test(request.url as string)) return void response.writeHead(400).end();
    if (new URL(request.url as string).hostname === 'forbidden') return void response.writeHead(407).end();
    response.end(`for ${request.headers.host}`);
  });
  own.on('connect', (request, socket: Socket) => {
    seen.push(`CONNECT ${request.url}`);
    tunnels.add(socket);
    socket.on('error', () => undefined);
    const [host, to] = (request.url as string).split(':');
    if (host === 'forbidden') return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    if (host === 'silent') return;
    const onward = connect(Number(to), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
  });
  await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    for (const socket of tunnels) socket.destroy();
    own.closeAllConnections();
    own.close();
  };
  return { url: `http://127.0.0.1:${(own.address() as AddressInfo).port}`, seen, close };
}

describe('through a proxy', () => {
  let own: Awaited<ReturnType<typeof proxy>>;
  let through: HttpClient;
  beforeEach(async () => {
    own = await proxy();
    through = new HttpClient({ proxy: { url: own.url, except: ['127.0.0.1'] }, connectTimeout: 500, headersTimeout: 500 });
  });
  afterEach(async () => {
    await through.close();
    own.close();
  });

  test('http places are asked for by their whole address, exceptions directly', async () => {
    expect(await text(through, 'http://mirror.example/a?b')).toBe('for mirror.example');
    expect(await text(through, 'http://mirror.example:8080/a')).toBe('for mirror.example:8080');
    expect(await text(through, `http://127.0.0.1:${port}/x`)).toBe('here');
    expect(own.seen).toEqual(['GET http://mirror.example/a?b', 'GET http://mirror.example:8080/a']);
  });

  test('a private address that somebody sends us to is refused here too', async () => {
    await expect(text(through.reaching(new Set(['mirror.example'])), 'http://10.0.0.1/')).rejects.toMatchObject({
      code: 'PRIVATE_ADDRESS',
    });
    expect(own.seen).toEqual([]);
  });

  test.each<[string, string, RegExp, object]>([
    [
      'http',
      'http://forbidden/a',
      /^http:\/\/forbidden\/a answered with status 407 \(through the proxy http:\/\/127\.0\.0\.1:\d+\)$/,
      { kind: 'refused', status: 407 },
    ],
    [
      'https',
      'https://forbidden/a',
      /^https:\/\/forbidden\/a: through the proxy http:\/\/127\.0\.0\.1:\d+: answers CONNECT forbidden:443 with status 403/,
      { kind: 'refused', code: 'PROXY_FAILED' },
    ],
    ['https to nobody', 'https://nobody:1/a', /answers CONNECT nobody:1 with status 502/, { kind: 'transient', code: 'PROXY_FAILED' }],
    ['https without an answer', 'https://silent/a', /does not answer CONNECT silent:443 for 500 ms/, { kind: 'transient' }],
  ])('what it refuses names it: %s', async (_name, url, message, rest) => {
    await expect(text(through, url)).rejects.toMatchObject({ ...rest, message: expect.stringMatching(message) as string });
  });

  test.each(['http://mirror.example/a', 'https://mirror.example/a'])('one that is not there is named: %s', async (url) => {
    own.close();
    await expect(text(through, url)).rejects.toMatchObject({
      kind: 'transient',
      message: expect.stringMatching(/through the proxy http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/) as string,
    });
  });
});

describe('certificates', () => {
  let directory: string;
  const servers: TlsServer[] = [];
  const secure = async (name: string, host: string, days: number): Promise<number> => {
    const [key, request, cert] = ['key', 'csr', 'pem'].map((suffix) => join(directory, `${name}.${suffix}`)) as [string, string, string];
    const asked = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`];
    const openssl = (...argv: string[]): unknown => execFileSync('openssl', argv, { stdio: 'ignore' });
    openssl(...asked, '-keyout', key, '-out', request, '-addext', `subjectAltName=DNS:${host}`);
    openssl('x509', '-req', '-in', request, '-signkey', key, '-days', String(days), '-copy_extensions', 'copy', '-out', cert);
    const own = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => response.end('secret'));
    servers.push(own);
    await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
    return (own.address() as AddressInfo).port;
  };
  beforeAll(() => (directory = mkdtempSync(join(tmpdir(), 'certificates-'))));
  afterAll(() => {
    for (const own of servers) {
      own.closeAllConnections();
      own.close();
    }
    rmSync(directory, { recursive: true });
  });

  /** In a process of its own, since Node reads the authorities when it starts. */
  const fetchWith = async (authority: string, url: string, proxyUrl?: string): Promise<string> => {
    const script = `
      const { HttpClient, getSmall } = require(${JSON.stringify(join(directory, 'client.cjs'))});
      const client = new HttpClient(${JSON.stringify(proxyUrl === undefined ? {} : { proxy: { url: proxyUrl, except: [] } })});
      getSmall(client, ${JSON.stringify(url)}, { maxBytes: 100 }).then(({ bytes }) => console.log(bytes.toString()), (e) => console.log(e.kind, e.code, e.message)).finally(() => client.close());`;
    const options = { env: { ...process.env, NODE_EXTRA_CA_CERTS: authority } };
    return (await promisify(execFile)(process.execPath, ['-e', script], options)).stdout;
  };

  test('expired, for another host, and good, directly and through a tunnel', async () => {
    const { build } = await import('esbuild');
    const entry = join(__dirname, '../../downloads/http.ts');
    await build({
      entryPoints: [entry],
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node18',
      outfile: join(directory, 'client.cjs'),
    });
    const good = await secure('good', 'localhost', 2);
    const other = await secure('other', 'other.example', 2);
    const old = await secure('old', 'localhost', -1);
    const authority = (name: string): string => join(directory, `${name}.pem`);
    const run = (name: string, to: number, through?: string): Promise<string> =>
      fetchWith(authority(name), `https://localhost:${to}/x`, through);
    const own = await proxy();
    try {
      expect(await run('good', good)).toBe('secret\n');
      expect(await run('good', good, own.url)).toBe('secret\n');
      expect(own.seen).toEqual([`CONNECT localhost:${good}`]);
      expect(await run('other', other)).toMatch(/^refused TLS_UNTRUSTED https:\/\/localhost:\d+\/x: .*other\.example/);
      expect(await run('old', old)).toMatch(/^refused TLS_UNTRUSTED https:\/\/localhost:\d+\/x: .*expired/);
      expect(await run('old', old, own.url)).toMatch(/^refused TLS_UNTRUSTED .*expired/);
      expect(await run('good', old)).toMatch(/^refused TLS_UNTRUSTED/);
    } finally {
      own.close();
    }
  });
});

test('a limit of the bandwidth slows everything down together', async () => {
  const slow = new HttpClient({ bandwidth: 1_000_000 });
  const began = Date.now();
  try {
    await Promise.all([1, 2].map(() => slow.get(`http://127.0.0.1:${port}/big`, { maxBytes: 10 ** 6 }, () => undefined)));
  } finally {
    await slow.close();
  }
  const seconds = (Date.now() - began) / 1000;
  expect(seconds).toBeGreaterThan(0.9);
  expect(seconds).toBeLessThan(5);
});
