import { execFileSync } from 'node:child_process';
import { copyFileSync, createReadStream, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';

/** Overrides the answer to one path; returns false to serve the file after all. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A web server on 127.0.0.1 that serves a directory, with conditional requests, and remembers what it was asked. */
export class Upstream {
  readonly requests: string[] = [];
  readonly handlers = new Map<string, Handler>();
  private server: Server | undefined;

  constructor(public root: string) {}

  async start(): Promise<this> {
    const server = createServer((request, response) => this.answer(request, response));
    this.server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server?.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url as string).slice(1));
    this.requests.push(path);
    const handler = this.handlers.get(path);
    if (handler?.(request, response) === true) return;
    const file = join(this.root, path);
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end('nothing here\n');
    const { size, mtimeMs } = statSync(file);
    const etag = `"${size}-${mtimeMs}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
    response.writeHead(200, { 'content-length': size, etag });
    createReadStream(file).pipe(response);
  }
}

/** Makes a directory a repository of exactly these package files. */
export function fillRepository(directory: string, packages: readonly string[], folder = 'Packages'): void {
  for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
  mkdirSync(join(directory, folder), { recursive: true });
  for (const path of packages) copyFileSync(path, join(directory, folder, basename(path)));
  createrepo(directory);
}

/** Runs createrepo_c over a directory. */
export function createrepo(directory: string, ...options: string[]): void {
  execFileSync('createrepo_c', ['--quiet', '--no-database', ...options, directory], { stdio: 'ignore' });
}
