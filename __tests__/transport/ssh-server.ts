/**
 * An SSH server of the ssh2 library on 127.0.0.1, for tests of what a real sshd does rarely or never. (The lab tests speak to a real
 * sshd; this machine need not have one.)
 */
import { spawnSync, spawn } from 'node:child_process';
import { connect as tcpConnect, type AddressInfo } from 'node:net';
import { Server, utils, type Connection as ServerConnection } from 'ssh2';

export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
  /** As `ssh-keygen -lf` prints it. */
  readonly fingerprint: string;
}

export function makeKey(type: 'ed25519' | 'ecdsa' | 'rsa'): KeyPair {
  const generate = (): ReturnType<typeof utils.generateKeyPairSync> =>
    type === 'ed25519'
      ? utils.generateKeyPairSync('ed25519')
      : type === 'ecdsa'
        ? utils.generateKeyPairSync('ecdsa', { bits: 256 })
        : utils.generateKeyPairSync('rsa', { bits: 2048 });
  let pair = generate();
  // Of ssh2's Ed25519 keys one in 200 is malformed, as it says itself.
  while (utils.parseKey(pair.public) instanceof Error || utils.parseKey(pair.private) instanceof Error) pair = generate();
  // Not our own code: the fingerprint must be what operators see.
  const shown = spawnSync('ssh-keygen', ['-lf', '-'], { input: pair.public, encoding: 'utf8' });
  return { privateKey: pair.private, publicKey: pair.public, fingerprint: shown.stdout.split(' ')[1] ?? '' };
}

export interface TestServer {
  readonly port: number;
  /** Cuts every connection, as a network does. */
  cut(): void;
  close(): Promise<void>;
}

/** Accepts one user key; runs commands in a real shell, where `sudo` is what `sudoScript` says. */
export function startServer(options: {
  hostKeys: readonly KeyPair[];
  userKey: KeyPair;
  environment?: NodeJS.ProcessEnv;
}): Promise<TestServer> {
  const allowed = utils.parseKey(options.userKey.publicKey);
  if (allowed instanceof Error) throw allowed;
  const clients = new Set<ServerConnection>();
  const sockets = new Set<{ destroy(): void }>();
  const server = new Server({ hostKeys: options.hostKeys.map((k) => k.privateKey) }, (client) => {
    clients.add(client);
    client.on('error', () => undefined);
    client.on('close', () => clients.delete(client));
    client.on('authentication', (context) => {
      if (context.method !== 'publickey' || !context.key.data.equals(allowed.getPublicSSH())) return context.reject(['publickey']);
      if (context.signature !== undefined && context.blob !== undefined && allowed.verify(context.blob, context.signature) !== true) {
        return context.reject(['publickey']);
      }
      context.accept();
    });
    client.on('ready', () => {
      client.on('tcpip', (accept, reject, info) => {
        const socket = tcpConnect(info.destPort, info.destIP);
        socket.once('error', () => reject());
        socket.once('connect', () => {
          const channel = accept();
          channel.pipe(socket).pipe(channel);
          channel.on('error', () => socket.destroy());
        });
      });
      client.on('session', (acceptSession) => {
        acceptSession().on('exec', (acceptExec, _reject, info) => {
          const channel = acceptExec();
          const child = spawn('sh', ['-c', info.command], { env: { ...process.env, ...options.environment } });
          channel.pipe(child.stdin);
          child.stdin.on('error', () => undefined);
          child.stdout.pipe(channel, { end: false });
          child.stderr.pipe(channel.stderr, { end: false });
          channel.on('error', () => child.kill());
          channel.on('close', () => child.kill());
          child.on('close', (code, signal) => {
            if (signal === null) channel.exit(code ?? 1);
            else channel.exit(signal.replace(/^SIG/, ''), false, '');
            channel.end();
          });
        });
      });
    });
  });
  return new Promise((resolve) => {
    // Accepted sockets are remembered so that a test can cut them.
    (server as unknown as { _srv: import('node:net').Server })._srv.on('connection', (socket) => sockets.add(socket));
    server.listen(0, '127.0.0.1', () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        cut: () => sockets.forEach((socket) => socket.destroy()),
        close: () =>
          new Promise((closed) => {
            sockets.forEach((socket) => socket.destroy());
            server.close(() => closed());
          }),
      });
    });
  });
}
