import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { downloadVerified } from '../../downloads/file';
import { HttpClient } from '../../downloads/http';
import { Head } from '../../downloads/exchange';
import { checkRest } from '../../downloads/ranges';

// Megabytes, on a machine that others use.
jest.setTimeout(60_000);

const MiB = 1024 * 1024;
const body = Buffer.alloc(20 * MiB);
for (let i = 0; i < body.length; i += 4) body.writeUInt32LE((i * 2654435761) >>> 0, i);
const expected = { algorithm: 'sha256', hex: createHash('sha256').update(body).digest('hex'), size: body.length, maxBytes: 0 };

interface Behaviour {
  readonly headers?: Record<string, string>;
  /** Bytes after which the nth connection is cut; the rest comes when there is none. */
  readonly cuts?: readonly number[];
  /** Instead of the right answer to a range. */
  readonly onRange?: (start: number, response: ServerResponse) => void;
}

let behaviour: Behaviour;
let asked: IncomingMessage['headers'][];
let sent: number;
let server: Server;
let url: string;
let directory: string;
let target: string;
let client: HttpClient;
let counted: number;

beforeAll(async () => {
  server = createServer((request, response) => {
    const { headers = { etag: '"one"' }, cuts = [], onRange } = behaviour;
    const nth = asked.push(request.headers) - 1;
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (start > 0 && onRange !== undefined) return onRange(start, response);
    const place = { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` };
    response.writeHead(start > 0 ? 206 : 200, { ...headers, ...(start > 0 ? place : {}), 'content-length': body.length - start });
    const cut = cuts[nth];
    const bytes = body.subarray(start, cut === undefined ? undefined : start + cut);
    sent += bytes.length;
    if (cut === undefined) response.end(bytes);
    else response.write(bytes, () => setTimeout(() => response.destroy(), 50));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/big`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'resume-'));
  target = join(directory, 'file');
  client = new HttpClient();
  asked = [];
  sent = counted = 0;
});
afterEach(async () => {
  await client.close();
  rmSync(directory, { recursive: true });
});

const get = (from = url): Promise<unknown> => downloadVerified(client, from, target, expected, (count) => (counted += count));
const expectWhole = (): void => {
  expect(readdirSync(directory)).toEqual(['file']);
  expect(readFileSync(target).equals(body)).toBe(true);
  expect(counted).toBe(body.length);
};

test.each<[string, Record<string, string>, string | undefined]>([
  ['a strong ETag', { etag: '"one"', 'last-modified': 'Sun, 22 Nov 2026 02:00:10 GMT' }, '"one"'],
  [
    'a date, where the ETag is weak',
    { etag: 'W/"one"', 'last-modified': 'Sun, 22 Nov 2026 02:00:10 GMT' },
    'Sun, 22 Nov 2026 02:00:10 GMT',
  ],
  ['nothing, since the checksum decides', {}, undefined],
])('what is cut goes on where it was, by %s', async (_name, headers, validator) => {
  behaviour = { headers, cuts: [3 * MiB, 9 * MiB] };
  await get();
  expectWhole();
  expect(asked.map((h) => h['if-range'])).toEqual([undefined, validator, validator]);
  expect(asked.map((h) => h.range)).toEqual([undefined, `bytes=${3 * MiB}-`, `bytes=${12 * MiB}-`]);
  expect(sent).toBe(body.length);
});

const partial = (response: ServerResponse, range: string, bytes: Buffer, headers = {}): void =>
  void response.writeHead(206, { 'content-range': range, ...headers }).end(bytes);
const last = body.length - 1;

test.each<[string, NonNullable<Behaviour['onRange']>]>([
  ['ignores the range', (_start, r) => r.end(body)],
  ['sends another place', (start, r) => partial(r, `bytes ${start + 1}-${last}/${body.length}`, body.subarray(start + 1))],
  ['sends from the beginning and calls it the rest', (_start, r) => partial(r, `bytes 0-${last}/${body.length}`, body)],
  ['has another size by now', (start, r) => partial(r, `bytes ${start}-${last + 9}/${body.length + 9}`, body.subarray(start))],
  [
    'has another version by now',
    (start, r) => partial(r, `bytes ${start}-${last}/${body.length}`, body.subarray(start), { etag: '"two"' }),
  ],
  ['sends less than the rest', (start, r) => partial(r, `bytes ${start}-${start + 9}/${body.length}`, body.subarray(start, start + 10))],
  ['does not say which part', (start, r) => void r.writeHead(206).end(body.subarray(start))],
  ['has no such range', (_start, r) => void r.writeHead(416, { 'content-range': `bytes */${body.length}` }).end()],
])('a server that %s: from the beginning again', async (_name, onRange) => {
  behaviour = { cuts: [3 * MiB], onRange };
  await get();
  expectWhole();
});

test('the rest that is wrong is thrown away with the beginning, and the next attempt has it', async () => {
  behaviour = {
    cuts: [9 * MiB],
    onRange: (start, r) => partial(r, `bytes ${start}-${last}/${body.length}`, Buffer.alloc(body.length - start)),
  };
  await expect(get()).rejects.toMatchObject({ kind: 'corrupt' });
  expect([readdirSync(directory), counted]).toEqual([[], 0]);
  await get();
  expectWhole();
});

describe('the next run', () => {
  const dead: Behaviour = { cuts: [9 * MiB], onRange: (_start, r) => void r.destroy() };
  beforeEach(async () => {
    behaviour = dead;
    await expect(get()).rejects.toMatchObject({ kind: 'transient' });
    expect([readdirSync(directory), counted]).toEqual([['file.part', 'file.part.json'], 0]);
    expect(JSON.parse(readFileSync(`${target}.part.json`, 'utf8'))).toEqual({ url, validator: '"one"' });
    await client.close();
    client = new HttpClient();
    asked = [];
    sent = 0;
    behaviour = {};
  });

  test('goes on', async () => {
    await get();
    expectWhole();
    expect([asked[0]?.range, asked[0]?.['if-range'], sent]).toEqual([`bytes=${9 * MiB}-`, '"one"', 11 * MiB]);
  });

  test('goes on at another source, whose versions have other names', async () => {
    await get(url.replace('/big', '/elsewhere'));
    expectWhole();
    expect([asked[0]?.range, asked[0]?.['if-range'], sent]).toEqual([`bytes=${9 * MiB}-`, undefined, 11 * MiB]);
  });

  test('notices holes that a power cut left', async () => {
    truncateSync(`${target}.part`, 100);
    truncateSync(`${target}.part`, 9 * MiB);
    await expect(get()).rejects.toMatchObject({ kind: 'corrupt' });
    expect(readdirSync(directory)).toEqual([]);
    counted = 0;
    await get();
    expectWhole();
  });

  test('needs no request when all is there', async () => {
    writeFileSync(`${target}.part`, body);
    await get();
    expectWhole();
    expect(asked).toEqual([]);
  });

  test.each([
    ['longer than the file', () => writeFileSync(`${target}.part`, Buffer.alloc(body.length + 1))],
    ['empty', () => truncateSync(`${target}.part`, 0)],
    ['gone', () => rmSync(`${target}.part`)],
    ['of unknown origin', () => rmSync(`${target}.part.json`)],
    ['with a damaged note', () => writeFileSync(`${target}.part.json`, '{"url')],
  ])('starts over when the beginning is %s', async (_name, damage) => {
    damage();
    await get();
    expectWhole();
    expect(asked.map((h) => h.range)).toEqual([undefined]);
  });
});

test('a file that every source lacks leaves its beginning for a source that has it', async () => {
  behaviour = { cuts: [9 * MiB], onRange: (_start, r) => void r.writeHead(404).end() };
  await expect(get()).rejects.toMatchObject({ kind: 'missing' });
  behaviour = {};
  await get();
  expectWhole();
  expect(sent).toBe(body.length);
});

const head = (range: string | undefined, etag?: string): Head =>
  new Head(
    206,
    [...(range === undefined ? [] : ['Content-Range', range]), ...(etag === undefined ? [] : ['ETag', etag])].map((text) =>
      Buffer.from(text),
    ),
  );

test.each<[string | undefined, number | undefined, string | undefined, boolean]>([
  ['bytes 5-9/10', 10, undefined, true],
  ['bytes 5-9/*', 10, undefined, true],
  ['bytes 5-9/10', undefined, undefined, true],
  ['bytes 5-9/*', undefined, undefined, true],
  ['bytes 5-9/10', 10, '"one"', true],
  ['bytes 5-9/10', 10, '"two"', false],
  ['bytes 4-9/10', 10, undefined, false],
  ['bytes 5-8/10', 10, undefined, false],
  ['bytes 5-8/*', 10, undefined, false],
  ['bytes 5-10/11', 10, undefined, false],
  ['bytes 5-9', 10, undefined, false],
  ['5-9/10', 10, undefined, false],
  [undefined, 10, undefined, false],
])('%s as the rest from 5 of %s, ETag %s: %s', (range, total, etag, good) => {
  const check = (): void => checkRest('http://a/', head(range, etag), { offset: 5, validator: '"one"', total });
  if (good) check();
  else expect(check).toThrow(expect.objectContaining({ code: 'RANGE_WRONG' }) as Error);
});

test.each<[string, () => unknown]>([
  ['takes each chunk at once', () => undefined],
  ['makes the sender wait', () => new Promise((resolve) => setImmediate(resolve))],
])('a connection that dies in the middle of a body is known at once by who %s', async (_name, sink) => {
  for (const cut of [100_000, 5 * MiB]) {
    behaviour = { cuts: [cut, cut] };
    asked = [];
    const started = Date.now();
    let received = 0;
    const error: unknown = await client
      .get(url, { maxBytes: body.length }, (chunk) => {
        received += chunk.length;
        return sink() as Promise<unknown>;
      })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: 'transient', message: expect.stringContaining('UND_ERR_SOCKET') });
    expect(received).toBe(cut);
    expect(Date.now() - started).toBeLessThan(5000);
  }
});
