import { Bandwidth } from './bandwidth';
import { DownloadError, failureOfStatus, retryAfterSeconds } from './errors';
import { Exchange, type ExchangeLimits, type Head, type Intake, type Sink, tooLong } from './exchange';
import type { Proxy } from './proxy';
import { checkRest, rangeHeaders, type Rest } from './ranges';
import { redirectTarget } from './redirects';
import { Routes } from './routes';

export interface HttpOptions {
  /** Connections per origin, kept alive. @default 8 */
  readonly connections?: number;
  /** Small requests sent ahead of their answers on each connection, where the server keeps it open. @default 32 */
  readonly pipelining?: number;
  /** Milliseconds until a connection must stand. @default 10,000 */
  readonly connectTimeout?: number;
  /** Milliseconds until the headers of an answer must be there. @default 30,000 */
  readonly headersTimeout?: number;
  /** Milliseconds that a body may be silent. @default 30,000 */
  readonly idleTimeout?: number;
  /** A body that brings less than this many bytes a second over `lowSpeedSeconds` is given up. @default 1000, as dnf */
  readonly lowSpeedBytes?: number;
  /** @default 30 */
  readonly lowSpeedSeconds?: number;
  /** Bytes a second over all connections. @default no limit */
  readonly bandwidth?: number;
  readonly proxy?: Proxy;
  /** What upstreams see in their logs. @default "mirrorctl" */
  readonly userAgent?: string;
  /** Ends every request that has no signal of its own. */
  readonly signal?: AbortSignal;
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the request; what it says is the reason in the error. */
  readonly signal?: AbortSignal;
  /** Called with each place that redirects elsewhere. */
  readonly onRedirect?: (hop: Hop) => void;
}

export interface GetOptions extends RequestOptions {
  /** A longer body is cut off at once. */
  readonly maxBytes: number;
  /** Asks for the rest of a file. The answer is that (206), or the whole file (200). */
  readonly from?: Rest;
  /** Called before the first chunk. A promise makes the sender wait. */
  readonly onStart?: (answer: Answer) => Promise<void> | undefined;
  /** It is small: others may share its connection and wait for it. */
  readonly shared?: boolean;
}

/** One step of a chain of redirects. */
export interface Hop {
  readonly url: string;
  readonly status: number;
}

/** The first bytes of a file. */
export interface Beginning {
  /** After redirects. */
  readonly url: string;
  readonly bytes: Buffer;
  /** Size of the whole file, where the server says it. */
  readonly total: number | undefined;
}

/** The head of an answer: `status` is 200, 206 to a request for the rest of a file, or 304 to a conditional request. */
export interface Answer {
  readonly status: 200 | 206 | 304;
  /** Where the bytes came from, after redirects. */
  readonly url: string;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

const MAX_REDIRECTS = 5;

/** GET with limits: time, size, redirects. Every failure is a `DownloadError` that names the URL. */
export class HttpClient {
  readonly connections: number;
  readonly bandwidth: Bandwidth;
  private readonly pipelining: number;
  private readonly routes: Routes;
  private readonly limits: ExchangeLimits;
  private readonly userAgent: string;

  constructor(
    private readonly options: HttpOptions = {},
    private readonly reach: { readonly hosts?: ReadonlySet<string> | 'all'; readonly sharedWith?: HttpClient } = {},
  ) {
    this.connections = options.connections ?? 8;
    this.pipelining = options.pipelining ?? 32;
    this.userAgent = options.userAgent ?? 'mirrorctl';
    this.routes = reach.sharedWith?.routes ?? new Routes({ ...options, connections: this.connections, pipelining: this.pipelining });
    this.bandwidth = reach.sharedWith?.bandwidth ?? new Bandwidth(options.bandwidth);
    this.limits = {
      lowSpeedBytes: options.lowSpeedBytes ?? 1000,
      lowSpeedSeconds: options.lowSpeedSeconds ?? 30,
      pauseAfter: (bytes) => this.bandwidth.take(bytes),
    };
  }

  /**
   * The same client, over the same connections, for which only these hosts may have private addresses. Without this it is the host that each
   * call names; where an answer sends us is never among them.
   */
  reaching(hosts: ReadonlySet<string> | 'all'): HttpClient {
    return new HttpClient(this.options, { hosts, sharedWith: this });
  }

  /** So many small requests are worth having under way at a time. */
  get parallel(): number {
    return this.connections * this.pipelining;
  }

  /** Brings the body of `url` to `sink`, chunk by chunk; a sink that returns a promise slows the sender down. */
  async get(url: string, options: GetOptions, sink: Sink): Promise<Answer> {
    const { from, maxBytes } = options;
    const headers = { ...options.headers, ...(from === undefined ? {} : rangeHeaders(from)) };
    const { head, url: last } = await this.follow(url, { ...options, headers }, options.shared ?? false, (head, at) => {
      const partial = head.status === 206 && from !== undefined;
      if (partial) checkRest(at, head, from);
      const rest = partial ? maxBytes - from.offset : maxBytes;
      const declared = Number(head.header('content-length') ?? NaN);
      if (declared > rest) throw tooLong(url, rest, `announces ${declared} bytes`);
      const start = options.onStart?.(answerOf(head, at));
      if (start === undefined) return { maxBytes: rest, sink };
      let started = false;
      return { maxBytes: rest, sink: (chunk) => (started ? sink(chunk) : ((started = true), start.then(() => sink(chunk)))) };
    });
    return answerOf(head, last);
  }

  /** The first `count` bytes of a file, or all of it. A server that knows no ranges is cut off there. */
  async begin(url: string, count: number, options: RequestOptions = {}): Promise<Beginning> {
    const headers = { ...options.headers, range: `bytes=0-${count - 1}` };
    const chunks: Buffer[] = [];
    let received = 0;
    let said: string | undefined;
    const { url: last } = await this.follow(url, { ...options, headers }, false, (head) => {
      if (head.status === 206) {
        const range = head.header('content-range');
        const partial = /^bytes 0-\d+\/(\d{1,15}|\*)$/.exec(range ?? '');
        if (partial === null) throw new DownloadError({ kind: 'corrupt', message: `${url} answers a range with ${range ?? 'no place'}` });
        said = partial[1];
      } else said = head.header('content-length');
      const sink: Sink = (chunk) => {
        chunks.push(chunk);
        received += chunk.length;
        return received < count;
      };
      return { maxBytes: Infinity, sink };
    });
    return {
      url: last,
      bytes: Buffer.concat(chunks).subarray(0, count),
      total: /^\d{1,15}$/.test(said ?? '') ? Number(said) : undefined,
    };
  }

  /** What came from there over a shared connection was not what was asked for: from now on one request at a time. */
  distrust(url: string): void {
    this.routes.distrust(url);
  }

  /** Closes all connections; requests under way fail. */
  async close(): Promise<void> {
    await this.routes.close();
  }

  /** Asks, and goes where the answer sends us, until there is a body; `onBody` says what becomes of it. */
  private async follow(
    url: string,
    options: RequestOptions,
    shared: boolean,
    onBody: (head: Head, url: string) => Intake,
  ): Promise<{ head: Head; url: string }> {
    let current = url;
    for (let redirects = 0; ; redirects++) {
      const asked = current;
      const { head, via } = await this.ask(asked, { ...options, shared, first: url }, (answer) => {
        if (locationOf(answer) !== undefined || (answer.status === 304 && isConditional(options))) return undefined;
        const kind = failureOfStatus(answer.status);
        const partial = answer.status === 206 && options.headers?.['range'] !== undefined;
        return partial || (kind === undefined && answer.status !== 304) ? onBody(answer, asked) : undefined;
      });
      const location = locationOf(head);
      if (location === undefined) {
        checkStatus(asked, head, options, via);
        return { head, url: asked };
      }
      options.onRedirect?.({ url: asked, status: head.status });
      if (redirects === MAX_REDIRECTS) {
        throw new DownloadError({ kind: 'refused', code: 'REDIRECTS', message: `${url} redirects more than ${MAX_REDIRECTS} times` });
      }
      current = redirectTarget(asked, location);
    }
  }

  private async ask(
    url: string,
    options: RequestOptions & { readonly first: string; readonly shared: boolean },
    onHead: (head: Head) => Intake | undefined,
  ): Promise<{ head: Head; via: string }> {
    const { hosts } = this.reach;
    const { hostname } = new URL(url);
    const anywhere = hosts === undefined ? hostname === new URL(options.first).hostname : hosts === 'all' || hosts.has(hostname);
    const route = this.routes.to(url, anywhere);
    const headers = { 'accept-encoding': 'identity', 'user-agent': this.userAgent, ...options.headers, ...route.headers };
    const exchange = new Exchange({ url, path: route.path, headers, via: route.via, limits: this.limits, onHead });
    const signal = options.signal ?? this.options.signal;
    if (signal === undefined) {
      route.connections.send(exchange, options.shared);
      return { head: await exchange.done, via: route.via };
    }
    const stop = (): void => exchange.disconnected(signal.reason);
    if (signal.aborted) stop();
    else route.connections.send(exchange, options.shared);
    signal.addEventListener('abort', stop);
    try {
      return { head: await exchange.done, via: route.via };
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

/** The whole body of `url`, in memory: for what is small. */
export async function getSmall(client: HttpClient, url: string, options: GetOptions): Promise<{ answer: Answer; bytes: Buffer }> {
  const chunks: Buffer[] = [];
  const answer = await client.get(url, options, (chunk) => void chunks.push(chunk));
  return { answer, bytes: Buffer.concat(chunks) };
}

function answerOf(head: Head, url: string): Answer {
  const status = head.status === 304 || head.status === 206 ? head.status : 200;
  return { status, url, etag: head.header('etag'), lastModified: head.header('last-modified') };
}

function locationOf(head: Head): string | undefined {
  if (![301, 302, 303, 307, 308].includes(head.status)) return undefined;
  // Servers write what they decoded as it is: its bytes are the path.
  return head.header('location')?.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
}

/** Throws for what is neither the file nor "not modified" to somebody who asked for that. */
function checkStatus(url: string, head: Head, options: RequestOptions, via: string): void {
  const { status } = head;
  if (status === 206 && options.headers?.['range'] !== undefined) return;
  const kind = failureOfStatus(status);
  if (kind === undefined && (status !== 304 || isConditional(options))) return;
  throw new DownloadError({
    kind: kind ?? 'refused',
    message: `${url} answered with status ${status}${via === '' ? '' : ` (${via.slice(0, -2)})`}`,
    status,
    retryAfter: retryAfterSeconds(head.header('retry-after'), new Date()),
  });
}

function isConditional(options: RequestOptions): boolean {
  return options.headers?.['if-none-match'] !== undefined || options.headers?.['if-modified-since'] !== undefined;
}
