import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';

/** Answers a path; false serves the file after all. `count` is how often the path was asked for, from 1. */
export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => boolean | void;

/** A web server over a directory that does what a row says. */
export class HostileServer {
  readonly requests: string[] = [];
  readonly handlers = new Map<string, Handler>();
  private server: Server & { closeAllConnections(): void };

  private constructor(
    public root: string,
    private readonly host: string,
    private readonly tls: ServerOptions | undefined,
  ) {
    const listener: RequestListener = (request, response) => this.answer(request, response);
    this.server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  }

  static async start(root: string, host = '127.0.0.1', tls?: ServerOptions): Promise<HostileServer> {
    const self = new HostileServer(root, host, tls);
    await new Promise<void>((resolve) => self.server.listen(0, host, resolve));
    return self;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.tls === undefined ? 'http' : 'https'}://${this.host}:${this.port}/`;
  }

  /** Answers a path, given as it is requested and decoded, without the slash in front. */
  on(path: string, handler: Handler): void {
    this.handlers.set(path, handler);
  }

  asked(path: string): number {
    return this.requests.filter((one) => one === path).length;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    let path = (request.url as string).slice(1);
    try {
      path = decodeURIComponent(path);
    } catch {
      // It stays as it was sent.
    }
    this.requests.push(path);
    const handler = this.handlers.get(path);
    if (handler !== undefined && handler(request, response, this.asked(path)) !== false) return;
    const file = join(this.root, path);
    if (path.includes('\0') || !existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end('nothing here\n');
    response.writeHead(200, { 'content-length': statSync(file).size });
    createReadStream(file).pipe(response);
  }
}

/** Sends without end; after `most` bytes it ends all the same, so that a client without a guard fails and does not hang. */
export function endless(chunk: Buffer, most = 64 * 1024 * 1024): Handler {
  return (_request, response) => {
    let sent = 0;
    const more = (): void => {
      while (!response.destroyed && sent < most) {
        sent += chunk.length;
        if (!response.write(chunk)) return;
      }
      response.end();
    };
    response.on('drain', more);
    more();
  };
}

export function redirect(to: string): Handler {
  return (_request, response) => void response.writeHead(302, { location: to }).end();
}

export function status(code: number, headers: Readonly<Record<string, string>> = {}, body = ''): Handler {
  return (_request, response) => void response.writeHead(code, headers).end(body);
}

/** Answers the first requests like this, and then as a good server does. */
export const first =
  (times: number, handler: Handler): Handler =>
  (request, response, count) =>
    count <= times ? handler(request, response, count) : false;
