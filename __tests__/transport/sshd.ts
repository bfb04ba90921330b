/**
 * A real sshd (Debian's openssh-server) on a free port, in a directory of its own. Started by root it lives in a mount namespace with
 * accounts and sudo rules of its own, so that nothing of the machine changes; started by another user it knows that user only.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as tcpConnect, createServer, type AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { waitUntil } from '../support/wait';

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

/** A key pair made by ssh-keygen. */
export interface KeyFile {
  readonly path: string;
  readonly privateKey: Buffer;
  /** "ssh-ed25519 AAAA…" without the comment. */
  readonly publicKey: string;
  /** As `ssh-keygen -lf` prints it. */
  readonly fingerprint: string;
}

export function keyFile(directory: string, type: KeyType, name: string = type, options: readonly string[] = []): KeyFile {
  const path = join(directory, name);
  const bits = type === 'rsa' ? ['-b', '2048'] : [];
  execFileSync('ssh-keygen', ['-q', '-t', type, ...bits, '-N', '', '-C', 'test', '-f', path, ...options]);
  return {
    path,
    privateKey: readFileSync(path),
    publicKey: readFileSync(`${path}.pub`, 'utf8').split(' ').slice(0, 2).join(' ').trim(),
    fingerprint: execFileSync('ssh-keygen', ['-lf', `${path}.pub`], { encoding: 'utf8' }).split(' ')[1] as string,
  };
}

export interface Account {
  readonly name: string;
  /** @default /bin/sh */
  readonly shell?: string;
  /** Day since 1970 on which the account ends; field 8 of shadow(5). */
  readonly expires?: number;
  /** Lines of its authorized_keys. */
  readonly authorizedKeys: readonly string[];
  /** Files of its home. */
  readonly home?: Readonly<Record<string, string>>;
}

export interface SshdOptions {
  /** @default 127.0.0.1 */
  readonly address?: '127.0.0.1' | '::1';
  /** @default one of ed25519 */
  readonly hostKeys?: readonly KeyFile[];
  /** For the user of this process. */
  readonly authorizedKeys?: readonly string[];
  /** Lines of sshd_config. They come first, and the first one counts. */
  readonly config?: readonly string[];
  /** Needs root. */
  readonly accounts?: readonly Account[];
  /** Text of /etc/sudoers. Needs root. */
  readonly sudoers?: string;
}

export interface Sshd {
  readonly port: number;
  readonly directory: string;
  readonly hostKeys: readonly KeyFile[];
  /** Its processes for connections get a signal; the one that listens does not. */
  signalConnections(signal: NodeJS.Signals): void;
  /** How many connections it has. */
  connections(): number;
  log(): string;
  stop(): Promise<void>;
}

const SSHD = '/usr/sbin/sshd';
export const ME = userInfo().username;
const IS_ROOT = process.getuid?.() === 0;

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  if (!existsSync(SSHD)) throw new Error(`these tests need ${SSHD}: apt-get install openssh-server`);
  const directory = mkdtempSync(join(tmpdir(), 'mirror-sshd-'));
  chmodSync(directory, 0o755);
  const address = options.address ?? '127.0.0.1';
  const port = await freePort(address);
  const hostKeys = options.hostKeys ?? [keyFile(directory, 'ed25519', 'host_key')];
  const keysDirectory = join(directory, 'keys');
  mkdirSync(keysDirectory);
  const authorize = (name: string, lines: readonly string[]): void =>
    writeFileSync(join(keysDirectory, name), lines.map((line) => `${line}\n`).join(''), { mode: 0o644 });
  authorize(ME, options.authorizedKeys ?? []);
  for (const account of options.accounts ?? []) authorize(account.name, account.authorizedKeys);
  writeFileSync(
    join(directory, 'sshd_config'),
    [
      ...(options.config ?? []),
      ...[`ListenAddress ${address}`, `Port ${port}`, ...hostKeys.map((key) => `HostKey ${key.path}`)],
      ...['PidFile none', 'StrictModes no', 'UsePAM no', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no', 'UseDNS no'],
      ...[`AuthorizedKeysFile ${keysDirectory}/%u`, 'LogLevel VERBOSE', ''],
    ].join('\n'),
  );
  const child = IS_ROOT
    ? spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-euc', privateRoot(directory, options)], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
    : spawn(SSHD, ['-D', '-e', '-f', join(directory, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text));
  await waitUntil(async () => {
    if (child.exitCode !== null) throw new Error(`sshd did not start: ${log}`);
    return await answers(port, address);
  });
  return {
    port,
    directory,
    hostKeys,
    signalConnections: (signal) => descendants(child.pid as number).forEach((pid) => send(pid, signal)),
    connections: () => descendants(child.pid as number).length,
    log: () => log,
    stop: () => stop(child, directory),
  };
}

/** A shell script that makes the namespace and becomes sshd: the process keeps its id. */
function privateRoot(directory: string, options: SshdOptions): string {
  const files: Record<string, string> = { passwd: '', shadow: '', group: readFileSync('/etc/group', 'utf8') };
  const machine = readFileSync('/etc/passwd', 'utf8').split('\n');
  // Whatever root's shell and password are on this machine.
  const own = ['root:x:0:0:root:/root:/bin/sh', ...machine.filter((line) => /^(sshd|nobody|_apt|daemon):/.test(line))];
  (options.accounts ?? []).forEach((account, index) => {
    const id = 4000 + index;
    const home = join(directory, `home-${account.name}`);
    mkdirSync(home);
    for (const [name, text] of Object.entries(account.home ?? {})) writeFileSync(join(home, name), text);
    own.push(`${account.name}:x:${id}:${id}::${home}:${account.shell ?? '/bin/sh'}`);
    files.group += `${account.name}:x:${id}:\n`;
  });
  files.passwd = `${own.join('\n')}\n`;
  const expiry = new Map((options.accounts ?? []).map((account) => [account.name, account.expires]));
  files.shadow = own
    .map((line) => line.split(':')[0] as string)
    .map((name) => `${name}:*:20000:0:99999:7::${expiry.get(name) ?? ''}:\n`)
    .join('');
  if (options.sudoers !== undefined) files.sudoers = options.sudoers;
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text);
    chmodSync(join(directory, name), name === 'sudoers' ? 0o440 : name === 'shadow' ? 0o600 : 0o644);
  }
  return [
    ...Object.keys(files).map((name) => `mount --bind ${directory}/${name} /etc/${name}`),
    // Root's start-up files stay out of it, and /run is sshd's own.
    ...['mount -t tmpfs tmpfs /root', 'mount -t tmpfs tmpfs /run', 'mkdir -m 755 /run/sshd'],
    `exec ${SSHD} -D -e -f ${directory}/sshd_config`,
  ].join('\n');
}

async function stop(child: ChildProcess, directory: string): Promise<void> {
  const ended = new Promise((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(undefined),
  );
  for (const pid of descendants(child.pid as number)) send(pid, 'SIGKILL');
  child.kill('SIGKILL');
  await ended;
  rmSync(directory, { recursive: true, force: true });
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** The processes below one that are sshd's own: not the commands that they run. */
function descendants(parent: number): number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const [, id, command, above] = /^(\d+) \((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? [];
        return [{ pid: Number(id), command, above: Number(above) }];
      } catch {
        return [];
      }
    });
  const below = (pid: number): number[] =>
    all.filter((p) => p.above === pid && p.command === 'sshd').flatMap((p) => [p.pid, ...below(p.pid)]);
  return below(parent);
}

export function freePort(address = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, address, () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

function answers(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tcpConnect({ port, host });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
