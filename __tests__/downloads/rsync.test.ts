/** Servers that never come to the point, by the real rsync, and when a transfer is given up. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type RsyncOptions, rsyncFetch, rsyncList, SpeedWatch } from '../../downloads/rsync';

jest.setTimeout(30_000);

let server: Server;
let sockets: Socket[];
let directory: string;
let speak: (socket: Socket) => void;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rsync-'));
  sockets = [];
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    speak(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(directory, { recursive: true });
});

const base = (): string => `rsync://127.0.0.1:${(server.address() as AddressInfo).port}/files/`;
const fetch = (options: RsyncOptions): Promise<unknown> =>
  rsyncFetch(base(), { paths: ['a'], directory, maxBytes: 1000, onBytes: () => undefined }, options);

/** Says this again and again. */
const drip = (text: string, milliseconds: number) => (socket: Socket) => {
  socket.write('@RSYNCD: 31.0 md5 md4\n');
  const timer = setInterval(() => socket.write(text), milliseconds);
  socket.on('close', () => clearInterval(timer));
};

test.each<[string, (socket: Socket) => void]>([
  ['greets for ever', drip('Welcome, and welcome again\n', 5)],
  ['drips a greeting that never ends', drip('.', 300)],
  ['says nothing', () => undefined],
])('a server that %s is given up, for a listing and for a file, and nothing is left', async (_name, how) => {
  speak = how;
  const started = Date.now();
  for (const attempt of [() => fetch({ startSeconds: 1 }), () => rsyncList(base(), ['.'], { startSeconds: 1 }, true)]) {
    expect(await caught(attempt())).toMatchObject({
      kind: 'transient',
      code: 'UPSTREAM_SLOW',
      message: expect.stringMatching(/rsync:\/\/127\.0\.0\.1:\d+\/files\/ sent nothing of use within 1 s/),
    });
  }
  expect(Date.now() - started).toBeLessThan(15_000);
  expect(readdirSync(directory)).toEqual([]);
});

test('a server that falls silent is given up by rsync itself', async () => {
  speak = (socket) => void socket.write('@RSYNCD: 31.0 md5 md4\n@RSYNCD: OK\n');
  expect(await caught(fetch({ idleSeconds: 1 }))).toMatchObject({ kind: 'transient', message: expect.stringContaining('files/') });
});

test('garbage instead of a protocol is refused or broken off, never taken', async () => {
  speak = (socket) => void socket.end('@RSYNCD: 31.0 md5 md4\n@RSYNCD: OK\n' + '\u0000\u0001garbage'.repeat(1000));
  const error = await caught(fetch({ startSeconds: 5 }));
  expect(error).toMatchObject({ kind: expect.stringMatching(/transient|refused/) });
  expect(readdirSync(directory)).toEqual([]);
});

test('a signal ends it', async () => {
  speak = () => undefined;
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 200);
  expect(await caught(fetch({ signal: abort.signal }))).toMatchObject({ message: expect.stringContaining('given up') });
});

describe('how slow is too slow', () => {
  const limits = { startSeconds: 10, lowSpeedBytes: 1000, lowSpeedSeconds: 5 };

  test('before the first byte, and from then on by windows', () => {
    const watch = new SpeedWatch(limits, 0);
    expect(watch.verdict(10_000)).toBeUndefined();
    expect(watch.verdict(10_001)).toMatch(/nothing of use within 10 s/);
    watch.progress(0, 20_000);
    expect(watch.verdict(24_999)).toBeUndefined();
    watch.progress(5000, 25_000);
    expect(watch.verdict(25_000)).toBeUndefined();
    watch.progress(9000, 29_000);
    expect(watch.verdict(30_000)).toMatch(/brings less than 1000 bytes a second/);
  });

  test('what keeps up the speed is never given up, and what stands still always is', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 50, max: 3000 }), { minLength: 1, maxLength: 60 }), (steps) => {
        const [fast, still] = [new SpeedWatch(limits, 0), new SpeedWatch(limits, 0)];
        let now = 0;
        fast.progress(0, 0);
        still.progress(500, 0);
        for (const step of steps) {
          now += step;
          fast.progress(now * 2, now);
          expect(fast.verdict(now)).toBeUndefined();
        }
        expect(still.verdict(now) !== undefined).toBe(now >= 5000);
      }),
    );
  });
});

async function caught(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('nothing was thrown');
    },
    (error: unknown) => error,
  );
}
