import type { Duplex } from 'node:stream';
import { Client, type ConnectConfig, type ServerHostKeyAlgorithm } from 'ssh2';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Endpoint, Target } from '../desired-state/target';
import type { Credentials } from './credentials';
import { connectionLost, explainConnectError, explainSudo } from './errors';
import { HOST_KEY_GROUPS } from '../desired-state/host-key';
import { describeKey, hostKeyError, type OfferedKey } from './fingerprint';

/** How a remote command ended. `exitCode` is null when a signal ended it. */
export interface ExecResult {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a command reads and who listens to what it prints. */
export interface ExecOptions {
  readonly stdin?: string | Buffer;
  /** Called with each line of standard output, as it arrives, without the line end. */
  readonly onStdoutLine?: (line: string) => void;
  readonly onStderr?: (text: string) => void;
}

const READY_TIMEOUT_MS = 20_000;

/** One authenticated SSH connection; each command is a channel of it. */
export class Connection {
  private lost: Error | undefined;
  private readonly running = new Set<(cause?: Error) => void>();

  constructor(
    private readonly client: Client,
    readonly endpoint: Endpoint,
    private readonly via: Connection | undefined,
  ) {
    client.on('error', (error) => this.onLost(error));
    client.on('close', () => this.onLost());
  }

  /** Runs a command as the login user. Rejects with MirrorError when the connection is lost before it ended. */
  exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    return new Promise((resolve, reject) => {
      const fail = (cause?: Error): void => reject(connectionLost(this.endpoint, cause ?? this.lost));
      if (this.lost !== undefined) return fail();
      this.running.add(fail);
      const settle = (act: () => void): void => {
        this.running.delete(fail);
        act();
      };
      this.client.exec(command, (error, channel) => {
        if (error) return settle(() => fail(error));
        const stdout = new LineCollector(options.onStdoutLine);
        let stderr = '';
        let ended: { code: number | null; signal: string | null } | undefined;
        channel.on('data', (chunk: Buffer) => stdout.push(chunk));
        channel.stderr.setEncoding('utf8').on('data', (text: string) => {
          stderr += text;
          options.onStderr?.(text);
        });
        channel.on('exit', (code: number | null, signal?: string) => (ended = { code, signal: signal ?? null }));
        // A command that does not read its input ends the channel under our write; how it ended is in `exit`.
        channel.on('error', () => undefined);
        channel.on('close', () =>
          settle(() => {
            if (ended === undefined) return fail();
            resolve({ exitCode: ended.code, signal: ended.signal, stdout: stdout.end(), stderr });
          }),
        );
        channel.end(options.stdin ?? '');
      });
    });
  }

  /**
   * Runs a shell script as root, with `sudo -n` for other users. `script` holds constants and validated digests only: anything
   * variable travels on standard input.
   */
  async runAsRoot(script: string, options: ExecOptions = {}): Promise<ExecResult> {
    if (script.includes("'")) throw new Error('a root script must not contain single quotes');
    const shell = `sh -c '${script}'`;
    if (this.endpoint.user === 'root') return this.exec(shell, options);
    const result = await this.exec(`sudo -n ${shell}`, options);
    const refused = explainSudo(this.endpoint, result.exitCode, result.stderr);
    if (refused !== undefined) throw refused;
    return result;
  }

  /**
   * Runs a program as root, with `sudo -n` for other users. Words are paths, options and numbers: anything that a shell would read
   * otherwise throws.
   */
  async runProgramAsRoot(words: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const odd = words.find((word) => !/^[A-Za-z0-9/._=-]+$/.test(word));
    if (odd !== undefined) throw new Error(`${JSON.stringify(odd)} must not go through a shell`);
    const command = words.join(' ');
    if (this.endpoint.user === 'root') return this.exec(command, options);
    const result = await this.exec(`sudo -n ${command}`, options);
    // A program that is not there is no refusal.
    if (/^sudo: \/\S+: command not found$/m.test(result.stderr)) return result;
    const refused = explainSudo(this.endpoint, result.exitCode, result.stderr);
    if (refused !== undefined) throw refused;
    return result;
  }

  /** A byte stream from the far end to `address:port`, for the next hop. */
  forward(address: string, port: number): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      this.client.forwardOut('127.0.0.1', 0, address, port, (error, channel) => {
        if (error === undefined) return resolve(channel);
        reject(
          new MirrorError({
            code: 'JUMP_FAILED',
            message: `the jump host ${this.endpoint.address} cannot reach ${address} port ${port}: ${error.message}`,
            remedy: 'Check the address, that sshd runs there, and that the jump host allows TCP forwarding (AllowTcpForwarding).',
            exitCode: ExitCode.unreachable,
            cause: error,
          }),
        );
      });
    });
  }

  /** Ends the connection, and the one to the jump host. */
  close(): void {
    this.client.end();
    this.via?.close();
  }

  private onLost(error?: Error): void {
    this.lost ??= error ?? new Error('closed');
    for (const fail of [...this.running]) fail(error);
    this.running.clear();
  }
}

/** Splits a byte stream into lines without cutting characters in half. */
class LineCollector {
  private readonly chunks: Buffer[] = [];
  private rest = Buffer.alloc(0);

  constructor(private readonly onLine: ((line: string) => void) | undefined) {}

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    if (this.onLine === undefined) return;
    let buffer = Buffer.concat([this.rest, chunk]);
    for (let end = buffer.indexOf(10); end >= 0; end = buffer.indexOf(10)) {
      this.onLine(buffer.subarray(0, end).toString('utf8').replace(/\r$/, ''));
      buffer = buffer.subarray(end + 1);
    }
    this.rest = buffer;
  }

  end(): string {
    if (this.rest.length > 0) this.onLine?.(this.rest.toString('utf8'));
    return Buffer.concat(this.chunks).toString('utf8');
  }
}

/** Connects to a target, through its jump host when it has one; every hop's host key must be the pinned one. */
export async function connect(target: Target, credentials: Credentials): Promise<Connection> {
  if (target.jumpHost === undefined) return connectTo(target, credentials, undefined);
  const jump = await connectTo(target.jumpHost, credentials, undefined);
  try {
    return await connectTo(target, credentials, jump);
  } catch (error) {
    jump.close();
    throw error;
  }
}

async function connectTo(endpoint: Endpoint, credentials: Credentials, via: Connection | undefined): Promise<Connection> {
  const offered: OfferedKey[] = [];
  // The first attempt leaves the choice to the server; the next ones ask for one group of key types each.
  for (const algorithms of [HOST_KEY_GROUPS.flat(), ...HOST_KEY_GROUPS] as readonly (readonly ServerHostKeyAlgorithm[])[]) {
    const attempt = await handshake(endpoint, credentials, via, [...algorithms]);
    if ('client' in attempt) return new Connection(attempt.client, endpoint, via);
    if (attempt.offered !== undefined && !offered.some((k) => k.fingerprint === attempt.offered?.fingerprint)) {
      offered.push(attempt.offered);
    }
  }
  throw hostKeyError(endpoint, offered);
}

type Attempt = { readonly client: Client } | { readonly offered: OfferedKey | undefined };

/** One handshake. Resolves with the key that was refused, or with none when the server has no key of these types. */
async function handshake(
  endpoint: Endpoint,
  credentials: Credentials,
  via: Connection | undefined,
  algorithms: ServerHostKeyAlgorithm[],
): Promise<Attempt> {
  const address = endpoint.address.replace(/^\[(.*)\]$/, '$1');
  const sock = via === undefined ? undefined : await via.forward(address, endpoint.port);
  const client = new Client();
  return new Promise((resolve, reject) => {
    let refused: OfferedKey | undefined;
    const config: ConnectConfig = {
      host: address,
      port: endpoint.port,
      username: endpoint.user,
      readyTimeout: READY_TIMEOUT_MS,
      keepaliveInterval: 10_000,
      keepaliveCountMax: 3,
      algorithms: { serverHostKey: algorithms },
      hostVerifier: (key: Buffer) => {
        const key_ = describeKey(key);
        if (endpoint.hostKeys.includes(key_.fingerprint)) return true;
        refused = key_;
        return false;
      },
      ...credentials,
      ...(sock === undefined ? {} : { sock }),
    };
    client.once('ready', () => {
      client.removeAllListeners('error');
      client.removeAllListeners('close');
      resolve({ client });
    });
    client.once('error', (error: Error & { level?: string }) => {
      // A refused connection may report more than once; what counts is the first.
      client.on('error', () => undefined);
      client.end();
      if (refused !== undefined) return resolve({ offered: refused });
      if (/no matching host key format/i.test(error.message)) return resolve({ offered: undefined });
      reject(explainConnectError(error, endpoint));
    });
    client.once('close', () => reject(explainConnectError(new Error('Connection lost before handshake'), endpoint)));
    try {
      client.connect(config);
    } catch (error) {
      reject(explainBadKey(error as Error));
    }
  });
}

/** ssh2 throws at once when the private key cannot be used. */
function explainBadKey(error: Error): MirrorError {
  return new MirrorError({
    code: 'SSH_KEY_UNUSABLE',
    message: `the private key in MIRROR_SSH_KEY cannot be used: ${error.message}`,
    remedy:
      'A key with a passphrase goes into the agent (ssh-add) with MIRROR_SSH_KEY unset; another must be an OpenSSH or PEM private key.',
    exitCode: ExitCode.environment,
    cause: error,
  });
}
