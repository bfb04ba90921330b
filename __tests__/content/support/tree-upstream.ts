import { createHash } from 'node:crypto';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Writes files below a directory. */
export function write(root: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** What `sha256sum` prints for these files, run in `folder`. */
export function sha256sums(root: string, paths: readonly string[], ...options: string[]): string {
  return execFileSync('sha256sum', [...options, '--', ...paths], { cwd: root, encoding: 'utf8' });
}

/** `.treeinfo` of CentOS 7, for these images. */
export function treeinfo(root: string, images: readonly string[], options: { time?: string; extra?: string } = {}): string {
  const sums = images.map((path) => `${path} = sha256:${sha256(readFileSync(join(root, path)))}\n`).join('');
  return `[general]
name = CentOS-7
family = CentOS
timestamp = ${options.time ?? '1604000000.12'}
variant =
version = 7
packagedir =
arch = x86_64

[stage2]
mainimage = LiveOS/squashfs.img

[images-x86_64]
kernel = images/pxeboot/vmlinuz
initrd = images/pxeboot/initrd.img

[variant-CentOS]
repository = .
packages = Packages

[checksums]
${sums}${options.extra ?? ''}`;
}

/** A program that serves on a port until it is stopped. */
export class Daemon {
  readonly directory = mkdtempSync(join(tmpdir(), 'daemon-'));
  port = 0;
  private child: ChildProcess | undefined;

  /** @param argv makes the command once the port is known */
  async start(command: string, argv: (port: number, directory: string) => readonly string[]): Promise<this> {
    this.port = await freePort();
    this.child = spawn(command, argv(this.port, this.directory), { stdio: 'ignore' });
    for (let attempt = 0; attempt < 200; attempt++) {
      if (await answers(this.port)) return this;
      await sleep(25);
    }
    throw new Error(`${command} does not answer`);
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** nginx, with its own folder listings. */
export async function startNginx(root: string): Promise<Daemon> {
  return new Daemon().start('nginx', (port, directory) => {
    writeFileSync(
      join(directory, 'nginx.conf'),
      `daemon off; master_process off; user root; pid ${directory}/pid; error_log ${directory}/error.log;
events {}
http { access_log ${directory}/access.log; client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b; fastcgi_temp_path ${directory}/c;
uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e; charset utf-8;
server { listen 127.0.0.1:${port}; root ${root}; autoindex on; } }`,
    );
    return ['-c', join(directory, 'nginx.conf'), '-p', directory, '-e', join(directory, 'error.log')];
  });
}

/** A real rsync daemon with one module, \`files\`. */
export async function startRsyncd(root: string, options: readonly string[] = []): Promise<Daemon> {
  return new Daemon().start('rsync', (port, directory) => {
    const lines = [
      'use chroot = no',
      'uid = 0',
      'gid = 0',
      'address = 127.0.0.1',
      `log file = ${directory}/log`,
      '[files]',
      `path = ${root}`,
      ...options,
    ];
    writeFileSync(join(directory, 'rsyncd.conf'), `${lines.join('\n')}\n`);
    return ['--daemon', '--no-detach', `--port=${port}`, `--config=${join(directory, 'rsyncd.conf')}`];
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
