import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** Answers instead of the file; returns false to serve that after all. */
export type Fault = (path: string, request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * A web server on 127.0.0.1 over a directory, with validators and ranges. As a proxy for http it serves each host from a directory of its
 * own, so that tests ask for real names.
 */
export class TestWeb {
  readonly asked: string[] = [];
  fault: Fault = () => false;
  private server: Server | undefined;
  private port = 0;

  constructor(readonly root: string) {}

  async start(): Promise<this> {
    const server = createServer((request, response) => this.answer(request, response));
    this.server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    return this;
  }

  /** Without a slash at its end; the same after a stop and a start. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get isUp(): boolean {
    return this.server !== undefined;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    server?.closeAllConnections();
    await new Promise<unknown>((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { host, pathname } = new URL(request.url as string, 'http://127.0.0.1');
    const proxied = /^http:\/\//.test(request.url as string);
    const path = decodeURIComponent((proxied ? host : '') + pathname).replace(/^\//, '');
    this.asked.push(path);
    if (this.fault(path, request, response)) return;
    const file = join(this.root, path);
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end('nothing here\n');
    const { size, mtimeMs } = statSync(file);
    const etag = `"${size}-${mtimeMs}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const partial = start > 0 && start < size ? { 'content-range': `bytes ${start}-${size - 1}/${size}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { etag, 'content-length': size - start, ...partial });
    createReadStream(file, { start }).pipe(response);
  }
}
