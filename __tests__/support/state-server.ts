/**
 * A state server that speaks Terraform's HTTP protocol: GET, POST, DELETE, and LOCK and UNLOCK (423 with the holder's own words). A process
 * of its own on 127.0.0.1, since tests wait for Terraform without an event loop. What it holds is a directory that tests read and change.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createInterface } from 'node:readline';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

export interface StateServerOptions {
  /** Asked for by basic authentication. @default nobody is asked */
  readonly user?: string;
  readonly password?: string;
  /** PEM files. @default plain HTTP */
  readonly certificate?: string;
  readonly key?: string;
  /** @default any free one */
  readonly port?: number;
}

export interface StateServer {
  /** `http(s)://127.0.0.1:port` */
  readonly url: string;
  readonly port: number;
  /** One file per state, and `<state>.lock` while it is locked. */
  readonly directory: string;
  /** `METHOD path status`, one per request so far. */
  requests(): string[];
  stop(): Promise<void>;
  /** Stops, and removes the directory. */
  remove(): Promise<void>;
}

/** @param directory what an earlier server held */
export async function startStateServer(options: StateServerOptions = {}, directory = mkdtempSync(join(tmpdir(), 'mirror-state-'))) {
  const program = join(directory, '..', `${directory.split('/').pop() as string}.cjs`);
  buildSync({ entryPoints: [__filename], outfile: program, bundle: true, platform: 'node', packages: 'external', logLevel: 'error' });
  mkdirSync(directory, { recursive: true });
  const child = spawn(process.execPath, [program, JSON.stringify(options), directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_PATH: join(process.cwd(), 'node_modules') },
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const port = Number(line);
  let running = true;
  const stop = async (): Promise<void> => {
    if (!running) return;
    running = false;
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    await closed;
    rmSync(program, { force: true });
  };
  const log = join(directory, 'requests.log');
  const server: StateServer = {
    url: `${options.certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    directory,
    requests: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    stop,
    remove: async () => {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return server;
}

/** What the process does. */
function serve(options: StateServerOptions, directory: string): void {
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      answer(request, response, Buffer.concat(chunks), options, directory);
    });
  };
  const server =
    options.certificate !== undefined && options.key !== undefined
      ? createSecureServer({ cert: readFileSync(options.certificate), key: readFileSync(options.key) }, listener)
      : createServer(listener);
  server.listen(options.port ?? 0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
  // With the test that started it.
  process.stdin.resume().on('end', () => process.exit(0));
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer, options: StateServerOptions, directory: string): void {
  const end = (status: number, text: string | Buffer = ''): void => {
    // Before the answer: who has the answer finds the line.
    writeFileSync(join(directory, 'requests.log'), `${request.method} ${(request.url ?? '').split('?')[0]} ${status}\n`, { flag: 'a' });
    response.writeHead(status).end(text);
  };
  if (options.user !== undefined) {
    const given = request.headers.authorization;
    if (given === undefined) return end(401);
    const expected = `Basic ${Buffer.from(`${options.user}:${options.password ?? ''}`).toString('base64')}`;
    if (given !== expected) return end(403);
  }
  const url = new URL(request.url ?? '/', 'http://state');
  const file = join(directory, url.pathname.replace(/[^a-z0-9]+/gi, '_'));
  const lock = `${file}.lock`;
  const holder = existsSync(lock) ? readFileSync(lock, 'utf8') : undefined;
  const holderId = idOf(holder);
  switch (request.method ?? '') {
    case 'GET':
      return existsSync(file) ? end(200, readFileSync(file)) : end(404);
    case 'POST':
      if (holderId !== undefined && url.searchParams.get('ID') !== holderId) return end(423, holder);
      writeFileSync(file, body);
      return end(200);
    case 'DELETE':
      rmSync(file, { force: true });
      return end(200);
    case 'LOCK':
      if (holder !== undefined) return end(423, holder);
      writeFileSync(lock, body);
      return end(200);
    case 'UNLOCK':
      if (body.length > 0 && holderId !== undefined && idOf(body.toString()) !== holderId) return end(409, holder);
      rmSync(lock, { force: true });
      return end(200);
    default:
      return end(405);
  }
}

/** A test may have put anything there. */
function idOf(lock: string | undefined): string | undefined {
  return /"ID":"([^"]*)"/.exec(lock ?? '')?.[1];
}

// Run as a program, not imported by a test.
if (process.argv[2]?.startsWith('{') === true && process.argv[3] !== undefined) {
  serve(JSON.parse(process.argv[2]) as StateServerOptions, process.argv[3]);
}
