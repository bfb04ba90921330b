import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { downloadVerified } from '../../downloads/file';
import { HttpClient, type HttpOptions } from '../../downloads/http';
import { forEachParallel } from '../../downloads/parallel';
import { Sources, withFailover } from '../../downloads/sources';

/** One request as it came, with what is needed to answer it or not. */
interface Asked {
  readonly path: string;
  readonly socket: Socket;
  /** Its place on the connection, from 1. */
  readonly nth: number;
  /** Its place among all. */
  readonly count: number;
  /** How many more had arrived with it. */
  readonly behind: number;
}

const bodyOf = (path: string): Buffer => Buffer.alloc(3000 + Number(path.slice(1)), path);
const answer = (path: string, headers = ''): Buffer => {
  const body = bodyOf(path);
  return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${headers}\r\n`), body]);
};

let server: Server | undefined;
let directory: string;
let sockets: Set<Socket>;
let opened: number;
let deepest: number;

/** A server of our own, since real ones never misbehave on demand: `react` gets the requests in their order, one connection at a time. */
async function serve(react: (asked: Asked) => void): Promise<string> {
  sockets = new Set();
  opened = deepest = 0;
  let count = 0;
  server = createServer((socket) => {
    opened++;
    sockets.add(socket);
    let text = '';
    let nth = 0;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      text += data.toString('latin1');
      const paths = [...text.matchAll(/GET (\S+) HTTP\/1\.1\r\n(?:[^\r]+\r\n)*\r\n/g)];
      const last = paths.at(-1);
      if (last !== undefined) text = text.slice(last.index + last[0].length);
      deepest = Math.max(deepest, paths.length);
      paths.forEach(([, path], i) => {
        if (!socket.destroyed) react({ path: path as string, socket, nth: ++nth, count: ++count, behind: paths.length - 1 - i });
      });
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

async function fetchAll(base: string, files: number, options: HttpOptions = {}): Promise<string[]> {
  const client = new HttpClient({ connections: 2, pipelining: 16, headersTimeout: 900, ...options });
  const sources = new Sources([base]);
  const failed: string[] = [];
  try {
    await forEachParallel(
      Array.from({ length: files }, (_, i) => String(i)),
      client.parallel,
      async (name) => {
        const body = bodyOf(`/${name}`);
        const expected = { algorithm: 'sha256', hex: createHash('sha256').update(body).digest('hex'), size: body.length, maxBytes: 0 };
        const attempt = (source: string): Promise<unknown> => downloadVerified(client, source + name, join(directory, name), expected);
        await withFailover(sources, { tries: 3, backoff: 1 }, attempt).catch((error: Error) => failed.push(error.message));
      },
    );
  } finally {
    await client.close();
  }
  return failed;
}

beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'pipelining-'))));
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server?.close();
  rmSync(directory, { recursive: true });
});

function expectAll(files: number): void {
  expect(readdirSync(directory)).toHaveLength(files);
  const wrong = readdirSync(directory).filter((name) => !readFileSync(join(directory, name)).equals(bodyOf(`/${name}`)));
  expect(wrong).toEqual([]);
}

test('small files are asked for ahead of the answers, over few connections', async () => {
  const base = await serve(({ path, socket }) => socket.write(answer(path)));
  expect(await fetchAll(base, 200)).toEqual([]);
  expectAll(200);
  expect([opened, deepest > 4]).toEqual([2, true]);
});

test.each<[string, (asked: Asked) => void]>([
  ['closes after each answer without a word', ({ path, socket }) => socket.end(answer(path))],
  ['closes after each answer and says so', ({ path, socket }) => socket.end(answer(path, 'connection: close\r\n'))],
  ['closes after ten answers', ({ path, socket, nth }) => (nth % 10 === 0 ? socket.end(answer(path)) : socket.write(answer(path)))],
  ['closes with a hundred on their way', ({ path, socket, count }) => (count === 50 ? socket.destroy() : socket.write(answer(path)))],
  [
    'resets in the middle of a body',
    ({ path, socket, count }) => {
      if (count !== 50) socket.write(answer(path));
      else socket.write(answer(path).subarray(0, 1000), () => socket.resetAndDestroy());
    },
  ],
  ['answers the last of several first', mixed()],
  ['answers only the last of several', ({ path, socket, behind }) => void (behind === 0 && socket.write(answer(path)))],
])('a server that %s loses nothing', async (_name, react) => {
  const base = await serve(react);
  expect(await fetchAll(base, 100)).toEqual([]);
  expectAll(100);
});

/** Answers what comes together in reverse order, as a server does that handles each request in a thread of its own. */
function mixed(): (asked: Asked) => void {
  const held: Buffer[] = [];
  return ({ path, socket, behind }) => {
    held.unshift(answer(path));
    if (behind === 0) for (const bytes of held.splice(0)) socket.write(bytes);
  };
}

test('a server that breaks every connection with company is asked one by one', async () => {
  const base = await serve(({ path, socket, behind }) => (behind > 0 ? socket.destroy() : socket.write(answer(path))));
  expect(await fetchAll(base, 60)).toEqual([]);
  expectAll(60);
  expect(opened).toBeLessThan(20);
});

test('a file that does not come fails alone', async () => {
  const base = await serve(({ path, socket }) => (path === '/30' ? socket.destroy() : socket.write(answer(path))));
  const failed = await fetchAll(base, 100);
  expect(failed).toEqual([expect.stringMatching(/\/30: other side closed/)]);
  expect(readdirSync(directory)).toHaveLength(99);
});
