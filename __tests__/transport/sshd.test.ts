/** Against a real sshd and a real ssh-agent. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knownHostKeys } from '../../desired-state/known-hosts';
import type { Target } from '../../desired-state/target';
import { connect, type Connection } from '../../transport/connection';
import { credentialsFrom, type Credentials } from '../../transport/credentials';
import { TIMEOUTS, type Timeouts } from '../../transport/stages';
import { failure } from '../support/failure';
import { waitUntil } from '../support/wait';
import { freePort, keyFile, ME, startSshd, type KeyFile, type KeyType, type Sshd, type SshdOptions } from './sshd';

jest.setTimeout(30_000);

const directory = mkdtempSync(join(tmpdir(), 'mirror-ssh-keys-'));
const types: KeyType[] = ['ed25519', 'ecdsa', 'rsa'];
const user = Object.fromEntries(types.map((type) => [type, keyFile(directory, type, `user_${type}`)])) as Record<KeyType, KeyFile>;
const host = Object.fromEntries(types.map((type) => [type, keyFile(directory, type, `host_${type}`)])) as Record<KeyType, KeyFile>;
const stranger = keyFile(directory, 'ed25519', 'stranger');
const running: Sshd[] = [];
const open: Connection[] = [];

afterEach(async () => {
  open.splice(0).forEach((connection) => connection.close());
  await Promise.all(running.splice(0).map((sshd) => sshd.stop()));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function sshd(options: SshdOptions = {}): Promise<Sshd> {
  const started = await startSshd({
    hostKeys: types.map((type) => host[type]),
    authorizedKeys: types.map((type) => user[type].publicKey),
    ...options,
  });
  running.push(started);
  return started;
}
const targetOf = (server: Sshd, changes: Partial<Target> = {}): Target => ({
  address: '127.0.0.1',
  port: server.port,
  user: ME,
  hostKeys: [host.ed25519.fingerprint],
  secrets: {},
  ...changes,
});
async function dial(target: Target, credentials: Credentials = user.ed25519, timeouts: Partial<Timeouts> = {}): Promise<Connection> {
  const connection = await connect(target, credentials, { ...TIMEOUTS, ...timeouts });
  open.push(connection);
  return connection;
}
const greets = async (connection: Connection): Promise<void> => expect((await connection.exec('echo in')).stdout).toBe('in\n');

describe('keys', () => {
  test.each(types)('an %s key file logs in', async (type) => {
    const server = await sshd();
    await greets(await dial(targetOf(server), credentialsFrom({ MIRROR_SSH_KEY: user[type].path })));
  });

  test.each(types)('an %s host key is found among the three', async (type) => {
    await greets(await dial(targetOf(await sshd(), { hostKeys: [host[type].fingerprint] })));
  });

  test('a key that is not authorized is named, with account and fingerprint', async () => {
    const error = await failure(dial(targetOf(await sshd()), stranger));
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED', exitCode: 6 });
    expect(error.message).toContain(`${ME}@127.0.0.1`);
    expect(error.message).toContain(stranger.fingerprint);
  });

  test('host key rotation: the old and the new one are accepted by a known_hosts file with both, and not by one with the old', async () => {
    const server = await sshd({ hostKeys: [host.rsa] });
    const at = { file: 'known_hosts', address: '127.0.0.1', port: server.port };
    const old = `[127.0.0.1]:${server.port} ${stranger.publicKey}\n`;
    const both = `${old}[127.0.0.1]:${server.port} ${host.rsa.publicKey}\n`;
    await greets(await dial(targetOf(server, { hostKeys: knownHostKeys(both, at) })));
    const error = await failure(dial(targetOf(server, { hostKeys: knownHostKeys(old, at) })));
    expect(error).toMatchObject({ code: 'HOST_KEY_MISMATCH', exitCode: 6 });
    for (const key of [stranger, host.rsa]) expect(error.message).toContain(key.fingerprint);
  });

  test('what ssh-keyscan prints, plain and hashed, is a known_hosts file that we read as OpenSSH does', async () => {
    const server = await sshd();
    const scanned = execFileSync('ssh-keyscan', ['-p', String(server.port), '127.0.0.1'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    }).toString();
    const file = join(directory, 'scanned');
    writeFileSync(file, scanned);
    const at = { file, address: '127.0.0.1', port: server.port };
    const all = types.map((type) => host[type].fingerprint).sort();
    expect(knownHostKeys(scanned, at)).toEqual(all);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', file], { stdio: 'ignore' });
    const hashed = execFileSync('cat', [file]).toString();
    expect(hashed).toMatch(/^\|1\|/m);
    expect(knownHostKeys(hashed, at)).toEqual(all);
    await greets(await dial(targetOf(server, { hostKeys: knownHostKeys(hashed, at) })));
  });

  test('IPv6', async () => {
    const server = await sshd({ address: '::1' });
    await greets(await dial(targetOf(server, { address: '::1' })));
    await greets(await dial(targetOf(server, { address: '0:0:0:0:0:0:0:1' })));
  });

  test('a name with several addresses is tried on each', async () => {
    await greets(await dial(targetOf(await sshd(), { address: 'localhost' })));
  });
});

describe('agent', () => {
  let agent: ChildProcess;
  const socket = join(directory, 'agent');
  const add = (...arguments_: string[]): void =>
    void execFileSync('ssh-add', ['-q', ...arguments_], {
      env: { ...process.env, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: 'never' },
      stdio: 'ignore',
    });
  beforeAll(async () => {
    // Where a desktop would ask for confirmation, nobody does.
    const environment = { PATH: process.env['PATH'], SSH_ASKPASS: '/bin/false' };
    agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore', env: environment });
    await waitUntil(() => {
      try {
        add('-D');
        return true;
      } catch {
        return false;
      }
    });
  });
  afterEach(() => {
    if (agent.signalCode === null) add('-D');
  });
  afterAll(() => agent.kill());

  test.each(types)('logs in with its %s key, also as the second one', async (type) => {
    add(stranger.path);
    add(user[type].path);
    await greets(await dial(targetOf(await sshd()), credentialsFrom({ SSH_AUTH_SOCK: socket })));
  });

  test('that is empty says so before anything is sent', async () => {
    const error = await failure(dial({ ...targetOf(await sshd()), port: 1 }, { agent: socket }));
    expect(error).toMatchObject({ code: 'AGENT_EMPTY', exitCode: 7 });
    expect(error.message).toContain(socket);
  });

  test('with wrong keys: each is named', async () => {
    add(stranger.path);
    add(host.rsa.path);
    const error = await failure(dial(targetOf(await sshd()), { agent: socket }));
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED', exitCode: 6 });
    for (const key of [stranger, host.rsa]) expect(error.message).toContain(key.fingerprint);
    expect(error.remedy).toContain('ssh-add');
  });

  test('with more keys than the server looks at', async () => {
    for (const key of [stranger, host.rsa, host.ecdsa, user.ed25519]) add(key.path);
    const error = await failure(dial(targetOf(await sshd({ config: ['MaxAuthTries 2'] })), { agent: socket }));
    expect(error).toMatchObject({ code: 'TOO_MANY_KEYS', exitCode: 6 });
    expect(error.message).toContain('4 keys');
  });

  test('that does not sign, since nobody confirms', async () => {
    add('-c', user.ed25519.path);
    expect(await failure(dial(targetOf(await sshd()), { agent: socket }))).toMatchObject({ code: 'AGENT_REFUSED', exitCode: 7 });
  });

  test('that is stopped, and one that has died', async () => {
    const server = await sshd();
    agent.kill('SIGSTOP');
    const error = await failure(dial(targetOf(server), { agent: socket }, { name: 300 }));
    agent.kill('SIGCONT');
    expect(error).toMatchObject({ code: 'AGENT_UNREACHABLE', exitCode: 7 });
    expect(error.message).toContain('within 0.3 s');
    agent.kill('SIGKILL');
    await waitUntil(() => agent.signalCode !== null);
    expect(await failure(dial(targetOf(server), { agent: socket }))).toMatchObject({ code: 'AGENT_UNREACHABLE' });
  });
});

describe('jump host', () => {
  const jumpTo = (jump: Sshd, changes: Partial<NonNullable<Target['jumpHost']>> = {}): Partial<Target> => ({
    jumpHost: { address: '127.0.0.1', port: jump.port, user: ME, hostKeys: [jump.hostKeys[0]?.fingerprint as string], ...changes },
  });
  const jumpHost = (options: SshdOptions = {}): Promise<Sshd> => sshd({ hostKeys: [stranger], ...options });

  test('carries the connection, over IPv6 too, and when the pin needs another handshake', async () => {
    const [jump, server] = await Promise.all([jumpHost(), sshd({ address: '::1' })]);
    const connection = await dial(targetOf(server, { address: '::1', hostKeys: [host.rsa.fingerprint], ...jumpTo(jump) }));
    const input = Buffer.alloc(2_000_000, 'x');
    expect((await connection.exec('wc -c', { stdin: input })).stdout.trim()).toBe('2000000');
  });

  test.each<[string, () => Promise<Partial<Target>>, string, string]>([
    [
      'refuses connections',
      async () => jumpTo(await jumpHost(), { port: await freePort() }),
      'CONNECTION_REFUSED',
      'the jump host 127.0.0.1 port',
    ],
    ['has an unknown name', async () => jumpTo(await jumpHost(), { address: 'jump.invalid' }), 'NAME_NOT_RESOLVED', 'jump.invalid'],
    [
      'has another key',
      async () => jumpTo(await jumpHost(), { hostKeys: [host.rsa.fingerprint] }),
      'HOST_KEY_MISMATCH',
      'the jump host 127.0.0.1',
    ],
    [
      'does not know our key',
      async () => jumpTo(await jumpHost({ authorizedKeys: [] })),
      'AUTHENTICATION_FAILED',
      `the jump host ${ME}@127.0.0.1`,
    ],
    [
      'forbids forwarding',
      async () => jumpTo(await jumpHost({ config: ['AllowTcpForwarding no'] })),
      'JUMP_FORWARDING_REFUSED',
      'AllowTcpForwarding',
    ],
    [
      'allows other targets only',
      async () => jumpTo(await jumpHost({ config: ['PermitOpen 192.0.2.1:22'] })),
      'JUMP_FORWARDING_REFUSED',
      'PermitOpen',
    ],
  ])('that %s is what the error names', async (_, jump, code, text) => {
    const error = await failure(dial(targetOf(await sshd(), await jump())));
    expect(error.code).toBe(code);
    expect(error.describe()).toContain(text);
  });

  test.each<[string, () => Promise<Target>, string, string]>([
    [
      'refuses connections',
      async () => ({ ...targetOf(await sshd()), port: await freePort() }),
      'CONNECTION_REFUSED',
      'refuses connections from the jump host',
    ],
    [
      'has a name that only the jump host does not know',
      async () => targetOf(await sshd(), { address: 'mirror.invalid' }),
      'NAME_NOT_RESOLVED',
      'cannot resolve the name mirror.invalid',
    ],
    [
      'has another key',
      async () => targetOf(await sshd(), { hostKeys: [stranger.fingerprint] }),
      'HOST_KEY_MISMATCH',
      '(through the jump host 127.0.0.1)',
    ],
    [
      'does not know our key',
      async () => targetOf(await sshd({ authorizedKeys: [] })),
      'AUTHENTICATION_FAILED',
      '(through the jump host 127.0.0.1)',
    ],
  ])('a server behind it that %s is what the error names', async (_, target, code, text) => {
    const jump = await jumpHost();
    const error = await failure(dial({ ...(await target()), ...jumpTo(jump) }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
    expect(error.message).not.toMatch(/^the jump host 127.0.0.1 port/);
    // The connection to the jump host does not stay behind.
    await waitUntil(() => jump.connections() === 0);
  });
});

describe('faults while commands run', () => {
  test('silence is noticed by keep-alive, and the error says for how long', async () => {
    const server = await sshd();
    const connection = await dial(targetOf(server), user.ed25519, { keepAlive: 200 });
    const started = Date.now();
    const error = await failure(connection.exec('echo up; exec sleep 30', { onStdoutLine: () => server.signalConnections('SIGSTOP') }));
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', exitCode: 5 });
    expect(error.message).toContain('no answer for 0.6 s');
    expect(Date.now() - started).toBeGreaterThanOrEqual(550);
    expect(Date.now() - started).toBeLessThan(5000);
  });

  test('a long silent command is no silence of the connection', async () => {
    const connection = await dial(targetOf(await sshd()), user.ed25519, { keepAlive: 100 });
    expect(await connection.exec('sleep 1.5; echo done')).toMatchObject({ stdout: 'done\n' });
  });

  test('a connection that is cut during a command, and its further commands', async () => {
    const server = await sshd();
    const connection = await dial(targetOf(server));
    const error = await failure(connection.exec('echo up; exec sleep 30', { onStdoutLine: () => server.signalConnections('SIGKILL') }));
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', exitCode: 5 });
    expect(error.message).toContain(`127.0.0.1 port ${server.port}`);
    expect(await failure(connection.exec('true'))).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(await failure(connection.runAsRoot('true'))).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  test('a server that stops before it opens a session', async () => {
    const server = await sshd();
    const connection = await dial(targetOf(server), user.ed25519, { session: 300 });
    server.signalConnections('SIGSTOP');
    const error = await failure(connection.exec('true'));
    expect(error).toMatchObject({ code: 'SESSION_TIMEOUT', exitCode: 5 });
    expect(error.message).toContain('within 0.3 s');
  });

  test('one session at a time (MaxSessions 1) is enough for commands side by side', async () => {
    const connection = await dial(targetOf(await sshd({ config: ['MaxSessions 1'] })));
    const outputs = await Promise.all([1, 2, 3, 4].map((n) => connection.exec(`sleep 0.1; echo ${n}`)));
    expect(outputs.map((o) => o.stdout)).toEqual(['1\n', '2\n', '3\n', '4\n']);
  });

  test('no session at all (MaxSessions 0)', async () => {
    const connection = await dial(targetOf(await sshd({ config: ['MaxSessions 0'] })));
    const error = await failure(connection.exec('true'));
    expect(error).toMatchObject({ code: 'SESSION_REFUSED', exitCode: 7 });
    expect(error.message).toContain(`${ME}@127.0.0.1`);
  });
});

describe('sshd that refuses', () => {
  test('too many connections (MaxStartups)', async () => {
    const server = await sshd({ config: ['MaxStartups 1'] });
    const { connect: tcp } = await import('node:net');
    const idle = tcp(server.port, '127.0.0.1');
    await new Promise((resolve) => idle.once('data', resolve));
    const error = await failure(dial(targetOf(server)));
    idle.destroy();
    expect(error).toMatchObject({ code: 'TOO_MANY_CONNECTIONS', exitCode: 5 });
    expect(error.message).toContain(`port ${server.port}`);
  });

  test('no common key exchange', async () => {
    const server = await sshd({ config: ['KexAlgorithms sntrup761x25519-sha512@openssh.com'] });
    expect(await failure(dial(targetOf(server)))).toMatchObject({ code: 'ALGORITHMS_MISMATCH', exitCode: 5 });
  });

  test('no host key type that we know', async () => {
    const server = await sshd({ hostKeys: [host.rsa], config: ['HostKeyAlgorithms ssh-rsa'] });
    expect(await failure(dial(targetOf(server)))).toMatchObject({ code: 'HOST_KEY_TYPE', exitCode: 6 });
  });

  test('an account that is not in AllowUsers, with the banner of the server', async () => {
    const banner = join(directory, 'banner');
    writeFileSync(banner, 'Authorised staff only\u001b[31m\n');
    const error = await failure(dial(targetOf(await sshd({ config: ['AllowUsers nobody', `Banner ${banner}`] }))));
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED', exitCode: 6 });
    expect(error.message).toContain('"Authorised staff only"');
  });
});
