/** Upstreams for preflight: a web server on 127.0.0.1 that knows ranges (or not), and repositories by createrepo_c, rpmsign and gpg. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly agent: string | undefined;
}

/** Serves a directory; `special` overrides paths, or everything below a path that ends in a slash. */
export class Web {
  readonly requests: Request[] = [];
  readonly special = new Map<string, Answer>();
  ranges = true;
  /** Requests that are answered at the moment, and the most at once. */
  open = 0;
  most = 0;
  delay = 0;
  private server: Server | undefined;
  private tls = false;

  constructor(readonly root: string) {}

  async start(tls?: ServerOptions): Promise<this> {
    const listener: RequestListener = (request, response) => this.answer(request, response);
    this.tls = tls !== undefined;
    const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    this.server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    return `http${this.tls ? 's' : ''}://127.0.0.1:${(this.server?.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url as string).slice(1));
    const { range, 'user-agent': agent } = request.headers;
    this.requests.push({ method: request.method as string, path, range, agent });
    this.most = Math.max(this.most, ++this.open);
    response.on('close', () => this.open--);
    const special = [...this.special].find(([key]) => key === path || (key.endsWith('/') && path.startsWith(key)))?.[1];
    if (special !== undefined) return special(request, response);
    setTimeout(() => this.file(join(this.root, path), range, response), this.delay);
  }

  private file(file: string, range: string | undefined, response: ServerResponse): void {
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end('nothing here\n');
    const bytes = readFileSync(file);
    const last = /^bytes=0-(\d+)$/.exec(range ?? '')?.[1];
    if (!this.ranges || last === undefined) return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    const part = bytes.subarray(0, Number(last) + 1);
    response.writeHead(206, { 'content-length': part.length, 'content-range': `bytes 0-${part.length - 1}/${bytes.length}` }).end(part);
  }
}

/** A repository in `directory/Packages` with metadata by createrepo_c. */
export function makeRepository(directory: string, packages: readonly string[], ...options: string[]): string {
  mkdirSync(join(directory, 'Packages'), { recursive: true });
  for (const path of packages) copyFileSync(path, join(directory, 'Packages', basename(path)));
  execFileSync('createrepo_c', ['--quiet', ...(options.includes('--database') ? [] : ['--no-database']), ...options, directory], {
    stdio: 'ignore',
  });
  return directory;
}

/** An authority with its certificate in `ca`, and what it signed for 127.0.0.1: one that is good, one that has expired. */
export function certificates(directory: string, name: string): { ca: string; good: ServerOptions; expired: ServerOptions } {
  const path = (suffix: string): string => join(directory, `${name}.${suffix}`);
  const openssl = (...argv: string[]): void => void execFileSync('openssl', argv, { stdio: 'ignore' });
  mkdirSync(directory, { recursive: true });
  writeFileSync(path('ext'), 'subjectAltName=IP:127.0.0.1\n');
  const fresh = ['-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`];
  openssl('req', '-x509', ...fresh, '-keyout', path('key'), '-out', path('crt'), '-days', '30');
  const leaf = (kind: string, days: string): ServerOptions => {
    openssl('req', ...fresh, '-keyout', path(`${kind}.key`), '-out', path(`${kind}.csr`));
    openssl('x509', '-req', '-in', path(`${kind}.csr`), '-CA', path('crt'), '-CAkey', path('key'), '-CAcreateserial', '-days', days,
      '-extfile', path('ext'), '-out', path(`${kind}.crt`)); // prettier-ignore
    return { key: readFileSync(path(`${kind}.key`)), cert: readFileSync(path(`${kind}.crt`)) };
  };
  return { ca: path('crt'), good: leaf('good', '30'), expired: leaf('expired', '-1') };
}
