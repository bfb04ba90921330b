import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from '../../desired-state/target';
import { connect, type Connection } from '../../transport/connection';
import { failure } from '../support/failure';
import { makeKey, startServer, type TestServer } from './ssh-server';

const ed25519 = makeKey('ed25519');
const ecdsa = makeKey('ecdsa');
const rsa = makeKey('rsa');
const stranger = makeKey('ed25519');
const userKey = makeKey('ed25519');
const credentials = { privateKey: Buffer.from(userKey.privateKey) };
const bin = mkdtempSync(join(tmpdir(), 'mirror-transport-'));
let server: TestServer;
const open: Connection[] = [];

beforeAll(async () => {
  // What sudo does is decided by the name of the user's home, so that one server shows every case.
  writeFileSync(
    join(bin, 'sudo'),
    '#!/bin/sh\ntest "$SUDO_REFUSES" && { echo "sudo: a password is required" >&2; exit 1; }\nshift; IS_ROOT=1 exec "$@"\n',
    {
      mode: 0o755,
    },
  );
  server = await startServer({ hostKeys: [ed25519, ecdsa, rsa], userKey, environment: { PATH: `${bin}:${process.env.PATH}` } });
});
afterEach(() => open.splice(0).forEach((connection) => connection.close()));
afterAll(async () => {
  await server.close();
  rmSync(bin, { recursive: true });
});

async function dial(changes: Partial<Target> = {}): Promise<Connection> {
  const target: Target = {
    address: '127.0.0.1',
    port: server.port,
    user: 'root',
    hostKeys: [ed25519.fingerprint],
    secrets: {},
    ...changes,
  };
  const connection = await connect(target, credentials);
  open.push(connection);
  return connection;
}

describe('host keys', () => {
  test.each([
    ['ed25519', ed25519],
    ['ecdsa', ecdsa],
    ['rsa', rsa],
  ])('a pinned %s key is found among several', async (_, key) => {
    const connection = await dial({ hostKeys: [key.fingerprint] });
    expect(await connection.exec('echo in')).toMatchObject({ exitCode: 0, stdout: 'in\n' });
  });

  test('another key is refused, and both fingerprints are shown', async () => {
    const error = await failure(dial({ hostKeys: [stranger.fingerprint] }));
    expect(error).toMatchObject({ code: 'HOST_KEY_MISMATCH', exitCode: 6 });
    for (const key of [stranger, ed25519, ecdsa, rsa]) expect(error.message).toContain(key.fingerprint);
  });

  test('without a pin nothing is trusted, and the offered key is shown with the way to verify it', async () => {
    const unpinned: Target = { address: '127.0.0.1', port: server.port, user: 'root', hostKeys: [], secrets: {} };
    const error = await failure(connect(unpinned, credentials));
    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', exitCode: 6 });
    expect(error.message).toContain(ed25519.fingerprint);
    expect(error.remedy).toContain('ssh-keygen -lf');
  });
});

describe('jump host', () => {
  let jump: TestServer;
  const jumpKey = makeKey('ed25519');
  beforeAll(async () => {
    jump = await startServer({ hostKeys: [jumpKey], userKey });
  });
  afterAll(() => jump.close());
  const hop = (hostKey: string) => ({ address: '127.0.0.1', port: jump.port, user: 'jumper', hostKeys: [hostKey] });

  test('carries the connection, also when the pin needs a second handshake', async () => {
    const connection = await dial({ jumpHost: hop(jumpKey.fingerprint), hostKeys: [rsa.fingerprint] });
    expect((await connection.exec('cat', { stdin: 'through' })).stdout).toBe('through');
  });

  test('its own key is pinned too', async () => {
    const error = await failure(dial({ jumpHost: hop(stranger.fingerprint) }));
    expect(error.code).toBe('HOST_KEY_MISMATCH');
    expect(error.message).toContain(`port ${jump.port}`);
  });

  test('a server that the jump host cannot reach is named', async () => {
    const error = await failure(dial({ jumpHost: hop(jumpKey.fingerprint), port: await freePort() }));
    expect(error).toMatchObject({ code: 'JUMP_FAILED', exitCode: 5 });
  });
});

describe('commands', () => {
  test('give exit code, both outputs and lines as they come', async () => {
    const lines: string[] = [];
    const connection = await dial();
    const result = await connection.exec('printf "a\\nzwö"; echo oops >&2; exit 3', { onStdoutLine: (line) => lines.push(line) });
    expect(result).toEqual({ exitCode: 3, signal: null, stdout: 'a\nzwö', stderr: 'oops\n' });
    expect(lines).toEqual(['a', 'zwö']);
  });

  test('that a signal ended say which', async () => {
    const connection = await dial();
    expect(await connection.exec('kill -9 $$')).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
  });

  test('run side by side on one connection, with large input', async () => {
    const connection = await dial();
    const input = Buffer.alloc(3_000_000, 'x');
    const results = await Promise.all([1, 2, 3].map(() => connection.exec('wc -c', { stdin: input })));
    expect(results.map((r) => r.stdout.trim())).toEqual(['3000000', '3000000', '3000000']);
  });

  test('that do not read their input still end with their exit code', async () => {
    const connection = await dial();
    expect(await connection.exec('exit 92', { stdin: Buffer.alloc(1_000_000, 'x') })).toMatchObject({ exitCode: 92 });
  });

  test('fail as "lost connection" when the network goes away', async () => {
    const connection = await dial();
    const running = failure(connection.exec('echo up; exec sleep 30', { onStdoutLine: () => server.cut() }));
    expect(await running).toMatchObject({ code: 'CONNECTION_LOST', exitCode: 5 });
    expect(await failure(connection.exec('true'))).toMatchObject({ code: 'CONNECTION_LOST' });
  });
});

describe('root', () => {
  test('is there at once for the user root', async () => {
    const connection = await dial();
    expect((await connection.runAsRoot('echo "${IS_ROOT:-login}"')).stdout).toBe('login\n');
  });

  test('comes from sudo for another user', async () => {
    const connection = await dial({ user: 'deployer' });
    expect((await connection.runAsRoot('echo "${IS_ROOT:-login}"')).stdout).toBe('1\n');
  });

  test('is refused by a sudo that asks for a password', async () => {
    const strict = await startServer({
      hostKeys: [ed25519],
      userKey,
      environment: { PATH: `${bin}:${process.env.PATH}`, SUDO_REFUSES: '1' },
    });
    const connection = await dial({ user: 'deployer', port: strict.port });
    const error = await failure(connection.runAsRoot('true'));
    expect(error).toMatchObject({ code: 'SUDO_PASSWORD_REQUIRED', exitCode: 7 });
    expect(error.message).toContain('deployer@127.0.0.1');
    connection.close();
    await strict.close();
  });

  test('never sees a script with a single quote', async () => {
    const connection = await dial();
    await expect(connection.runAsRoot("echo 'x'")).rejects.toThrow('single quotes');
  });
});

describe('connecting', () => {
  test('a refused port says so', async () => {
    expect(await failure(dial({ port: await freePort() }))).toMatchObject({ code: 'CONNECTION_REFUSED', exitCode: 5 });
  });

  test('a name that does not resolve says so', async () => {
    expect(await failure(dial({ address: 'mirror.invalid' }))).toMatchObject({ code: 'NAME_NOT_RESOLVED', exitCode: 5 });
  });

  test('a key that the server does not know says whose and which variable', async () => {
    const target: Target = { address: '127.0.0.1', port: server.port, user: 'root', hostKeys: [ed25519.fingerprint], secrets: {} };
    const error = await failure(connect(target, { privateKey: Buffer.from(stranger.privateKey) }));
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED', exitCode: 6 });
    expect(error.remedy).toContain('MIRROR_SSH_KEY');
  });

  test('a private key that is none says so', async () => {
    const target: Target = { address: '127.0.0.1', port: server.port, user: 'root', hostKeys: [ed25519.fingerprint], secrets: {} };
    expect(await failure(connect(target, { privateKey: Buffer.from('not a key') }))).toMatchObject({
      code: 'SSH_KEY_UNUSABLE',
      exitCode: 7,
    });
  });

  test('a port where something else listens says so', async () => {
    const other: Server = createServer((socket) => socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const error = await failure(dial({ port: (other.address() as AddressInfo).port }));
    expect(error.exitCode).toBe(5);
    await new Promise((resolve) => other.close(resolve));
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
