/** Ports on which something else than a healthy sshd answers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as tcpConnect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { MirrorError } from '../../desired-state/errors';
import { connect } from '../../transport/connection';
import { TIMEOUTS, type Timeouts } from '../../transport/stages';
import { failure } from '../support/failure';
import { makeKey } from './ssh-server';

const credentials = { privateKey: Buffer.from(makeKey('ed25519').privateKey) };
const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** What connecting to a port fails with, where `behave` is done with every connection. */
async function against(behave: (socket: Socket) => void, timeouts: Partial<Timeouts> = {}): Promise<{ error: MirrorError; took: number }> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    behave(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const target = { address: '127.0.0.1', port, user: 'root', hostKeys: [`SHA256:${'A'.repeat(43)}`], secrets: {} };
  const started = Date.now();
  const error = await failure(connect(target, credentials, { ...TIMEOUTS, handshake: 500, ...timeouts }));
  expect(error.message).toContain(`127.0.0.1 port ${port}`);
  expect(error.exitCode).toBe(5);
  return { error, took: Date.now() - started };
}

/** Sends a text a piece at a time, for ever. */
const drip = (text: string, every: number) => (socket: Socket) => {
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] as string), every);
  socket.on('close', () => clearInterval(timer));
};

test.each<[string, (socket: Socket) => void, string, string]>([
  ['says nothing', () => undefined, 'HANDSHAKE_TIMEOUT', 'it said nothing'],
  ['sends its banner a byte at a time', drip('Welcome to the machine. ', 100), 'HANDSHAKE_TIMEOUT', 'it said "Welc'],
  ['says its version, then nothing', (socket) => socket.write('SSH-2.0-OpenSSH_9.2p1\r\n'), 'HANDSHAKE_TIMEOUT', 'SSH-2.0-OpenSSH_9.2p1'],
  ['closes at once', (socket) => socket.end(), 'CONNECTION_CLOSED', 'before it said anything'],
  ['resets the connection', (socket) => socket.resetAndDestroy(), 'CONNECTION_CLOSED', 'closed the connection'],
  ['speaks HTTP', (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')), 'NOT_SSH', 'HTTP/1.1 400'],
  ['speaks SMTP', (socket) => socket.end('220 mail.example.org ESMTP\r\n'), 'NOT_SSH', '220 mail.example.org'],
  ['speaks TLS', (socket) => socket.end(Buffer.from('15030100020250', 'hex')), 'NOT_SSH', 'is not an SSH server'],
  ['speaks SSH 1', (socket) => socket.end('SSH-1.5-Cisco-1.25\n'), 'NOT_SSH', 'SSH-1.5-Cisco-1.25'],
  ['colours the terminal', (socket) => socket.end('\u001b[2J\u001b[31mgo away\r\n'), 'NOT_SSH', '"go away"'],
  ['allows nobody for a while', (socket) => socket.end('Not allowed at this time\r\n'), 'TOO_MANY_CONNECTIONS', 'Not allowed'],
  [
    'damages packets',
    (socket) => socket.write(Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(64, 255)])),
    'SSH_FAILED',
    'SSH-2.0-x',
  ],
])('a port that %s', async (_, behave, code, text) => {
  const { error, took } = await against(behave);
  expect(error.code).toBe(code);
  expect(error.message).toContain(text);
  expect(took).toBeLessThan(3000);
});

test('an endless greeting of lines, and one endless line, end long before memory does', async () => {
  const flood = (text: string) => (socket: Socket) => {
    const more = (): void => {
      if (socket.destroyed) return;
      if (socket.write(text)) setImmediate(more);
      else socket.once('drain', more);
    };
    more();
  };
  for (const text of ['hello\r\n'.repeat(1000), 'x'.repeat(10_000)]) {
    const before = process.memoryUsage().rss;
    const { error } = await against(flood(text), { handshake: 5000 });
    expect(error.code).toBe('NOT_SSH');
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  }
});

test('packets that are dropped: the time of the stage is kept', async () => {
  // A stopped listener with a full queue: the kernel drops what comes next, as a firewall does.
  const program =
    'const s = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port))';
  const listener = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [printed] = (await once(listener.stdout, 'data')) as [Buffer];
  listener.kill('SIGSTOP');
  const port = Number(printed.toString());
  for (let i = 0; i < 8; i++) sockets.add(tcpConnect({ port, host: '127.0.0.1' }).on('error', () => undefined));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const target = { address: '127.0.0.1', port, user: 'root', hostKeys: [], secrets: {} };
  const started = Date.now();
  const error = await failure(connect(target, credentials, { ...TIMEOUTS, connect: 300 }));
  listener.kill('SIGKILL');
  expect(error).toMatchObject({ code: 'CONNECT_TIMEOUT', exitCode: 5 });
  expect(error.message).toContain(`127.0.0.1 port ${port} did not answer within 0.3 s`);
  expect(Date.now() - started).toBeLessThan(2000);
});
