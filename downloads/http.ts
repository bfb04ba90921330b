import { Agent, request, type Dispatcher } from 'undici';
import { ExitCode } from '../desired-state/errors';
import { DownloadError, failureOfStatus, isCertificateError, retryAfterSeconds } from './errors';

export interface HttpOptions {
  /** Connections per origin, kept alive. @default 8 */
  readonly connections?: number;
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
  /** What upstreams see in their logs. @default "mirrorctl" */
  readonly userAgent?: string;
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

/** The head of an answer: `status` is 200, or 304 to a conditional request. */
export interface Answer {
  readonly status: 200 | 304;
  /** Where the bytes came from, after redirects. */
  readonly url: string;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

const MAX_REDIRECTS = 5;

/** GET with limits: time, size, redirects. Every failure is a `DownloadError` that names the URL. */
export class HttpClient {
  readonly connections: number;
  private readonly agent: Agent;
  private readonly lowSpeedBytes: number;
  private readonly lowSpeedSeconds: number;
  private readonly userAgent: string;

  constructor(options: HttpOptions = {}) {
    this.connections = options.connections ?? 8;
    this.lowSpeedBytes = options.lowSpeedBytes ?? 1000;
    this.lowSpeedSeconds = options.lowSpeedSeconds ?? 30;
    this.userAgent = options.userAgent ?? 'mirrorctl';
    this.agent = new Agent({
      connections: this.connections,
      pipelining: 1,
      connect: { timeout: options.connectTimeout ?? 10_000 },
      // Hosts with IPv6 addresses but no route are common; Node 18 would not try IPv4 by itself.
      autoSelectFamily: true,
      headersTimeout: options.headersTimeout ?? 30_000,
      bodyTimeout: options.idleTimeout ?? 30_000,
      keepAliveTimeout: 10_000,
    });
  }

  /** Streams the body of `url` into `sink`, chunk by chunk; a sink that returns a promise slows the sender down. */
  async get(url: string, options: GetOptions, sink: (chunk: Buffer) => void | Promise<void>): Promise<Answer> {
    const { response, finalUrl } = await this.follow(url, options);
    const status = response.statusCode;
    if (status === 304) {
      await response.body.dump();
      return answerOf(304, finalUrl, response);
    }
    const declared = Number(response.headers['content-length'] ?? NaN);
    if (declared > options.maxBytes) {
      abandon(response);
      throw tooLong(url, options.maxBytes, `announces ${declared} bytes`);
    }
    await this.drain(url, response, options.maxBytes, sink);
    return answerOf(200, finalUrl, response);
  }

  /** The first `count` bytes of a file, or all of it. A server that knows no ranges is cut off there. */
  async begin(url: string, count: number, options: RequestOptions = {}): Promise<Beginning> {
    const headers = { ...options.headers, range: `bytes=0-${count - 1}` };
    const { response, finalUrl } = await this.follow(url, { ...options, headers });
    const partial = response.statusCode === 206 ? /^bytes 0-\d+\/(\d{1,15}|\*)$/.exec(header(response, 'content-range') ?? '') : undefined;
    if (partial === null) {
      abandon(response);
      throw new DownloadError({
        kind: 'corrupt',
        message: `${url} answers a range with ${header(response, 'content-range') ?? 'no place'}`,
      });
    }
    const said = partial === undefined ? header(response, 'content-length') : partial[1];
    const chunks: Buffer[] = [];
    let received = 0;
    await this.drain(url, response, Infinity, (chunk) => {
      chunks.push(chunk);
      received += chunk.length;
      return received < count;
    });
    return {
      url: finalUrl,
      bytes: Buffer.concat(chunks).subarray(0, count),
      total: /^\d{1,15}$/.test(said ?? '') ? Number(said) : undefined,
    };
  }

  /** Closes all connections; requests under way fail. */
  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async follow(url: string, options: RequestOptions): Promise<{ response: Dispatcher.ResponseData; finalUrl: string }> {
    let current = url;
    for (let redirects = 0; ; redirects++) {
      const response = await this.ask(current, options);
      const kind = failureOfStatus(response.statusCode);
      const location = header(response, 'location');
      if ([301, 302, 303, 307, 308].includes(response.statusCode) && location !== undefined) {
        abandon(response);
        options.onRedirect?.({ url: current, status: response.statusCode });
        if (redirects === MAX_REDIRECTS) {
          throw new DownloadError({ kind: 'refused', code: 'REDIRECTS', message: `${url} redirects more than ${MAX_REDIRECTS} times` });
        }
        current = redirectTarget(current, location);
        continue;
      }
      const partial = response.statusCode === 206 && options.headers?.['range'] !== undefined;
      if (partial || (kind === undefined && (response.statusCode !== 304 || isConditional(options))))
        return { response, finalUrl: current };
      abandon(response);
      throw new DownloadError({
        kind: kind ?? 'refused',
        message: `${current} answered with status ${response.statusCode}`,
        status: response.statusCode,
        retryAfter: retryAfterSeconds(header(response, 'retry-after'), new Date()),
      });
    }
  }

  private async ask(url: string, options: RequestOptions): Promise<Dispatcher.ResponseData> {
    try {
      return await request(url, {
        dispatcher: this.agent,
        headers: { 'accept-encoding': 'identity', 'user-agent': this.userAgent, ...options.headers },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (error) {
      throw connectionFailure(url, error);
    }
  }

  private async drain(
    url: string,
    response: Dispatcher.ResponseData,
    maxBytes: number,
    /** False: enough. */
    sink: (chunk: Buffer) => void | boolean | Promise<void>,
  ): Promise<void> {
    let total = 0;
    let windowStart = Date.now();
    let windowBytes = 0;
    const body = response.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    try {
      for (;;) {
        let next: IteratorResult<Buffer>;
        try {
          next = await body.next();
        } catch (error) {
          throw connectionFailure(url, error);
        }
        if (next.done === true) return;
        total += next.value.length;
        if (total > maxBytes) throw tooLong(url, maxBytes, 'does not end there');
        windowBytes += next.value.length;
        const elapsed = (Date.now() - windowStart) / 1000;
        if (elapsed >= this.lowSpeedSeconds) {
          if (windowBytes < this.lowSpeedBytes * elapsed) {
            throw new DownloadError({
              kind: 'transient',
              code: 'UPSTREAM_SLOW',
              message: `${url} brings less than ${this.lowSpeedBytes} bytes a second`,
            });
          }
          windowStart = Date.now();
          windowBytes = 0;
        }
        if ((await sink(next.value)) === false) return abandon(response);
      }
    } catch (error) {
      abandon(response);
      throw error;
    }
  }
}

/** The whole body of `url`, in memory: for what is small. */
export async function getSmall(client: HttpClient, url: string, options: GetOptions): Promise<{ answer: Answer; bytes: Buffer }> {
  const chunks: Buffer[] = [];
  const answer = await client.get(url, options, (chunk) => void chunks.push(chunk));
  return { answer, bytes: Buffer.concat(chunks) };
}

/** The absolute target of a redirect. Throws for other protocols than http and https, and from https to http. */
export function redirectTarget(from: string, location: string): string {
  let target: URL;
  try {
    target = new URL(location, from);
  } catch {
    throw new DownloadError({
      kind: 'refused',
      code: 'REDIRECT_UNSAFE',
      message: `${from} redirects to ${JSON.stringify(location)}, which is no URL`,
    });
  }
  const refuse = (why: string): DownloadError =>
    new DownloadError({
      kind: 'refused',
      code: 'REDIRECT_UNSAFE',
      message: `${from} redirects to ${target.href}: ${why}`,
      remedy: 'If that place is right, put its address into fetchFrom.',
      exitCode: ExitCode.untrusted,
    });
  if (target.protocol !== 'http:' && target.protocol !== 'https:') throw refuse('only http and https are followed');
  if (new URL(from).protocol === 'https:' && target.protocol === 'http:') throw refuse('https is not left for http');
  if (target.username !== '' || target.password !== '') throw refuse('addresses with a user are not followed');
  return target.href;
}

function isConditional(options: RequestOptions): boolean {
  return options.headers?.['if-none-match'] !== undefined || options.headers?.['if-modified-since'] !== undefined;
}

function header(response: Dispatcher.ResponseData, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function answerOf(status: 200 | 304, url: string, response: Dispatcher.ResponseData): Answer {
  return { status, url, etag: header(response, 'etag'), lastModified: header(response, 'last-modified') };
}

function abandon(response: Dispatcher.ResponseData): void {
  // Destroying a body emits an error, which nobody waits for any more.
  response.body.on('error', () => undefined);
  response.body.destroy();
}

function tooLong(url: string, maxBytes: number, what: string): DownloadError {
  return new DownloadError({
    kind: 'refused',
    code: 'BODY_TOO_LONG',
    message: `${url} may have ${maxBytes} bytes and ${what}`,
    remedy: 'The upstream or a proxy in between sends something else; look at the address with curl.',
    exitCode: ExitCode.untrusted,
  });
}

function connectionFailure(url: string, error: unknown): DownloadError {
  // The reason of a caller's signal.
  if (error instanceof DownloadError) return error;
  const { code, reason } = describe(error);
  if (isCertificateError(code)) {
    return new DownloadError({
      kind: 'refused',
      code: 'TLS_UNTRUSTED',
      message: `${url}: the certificate is not trusted: ${reason}`,
      remedy: 'Nothing was changed. Repair the certificate, or install its authority on the server (update-ca-certificates).',
      exitCode: ExitCode.untrusted,
      cause: error,
    });
  }
  return new DownloadError({ kind: 'transient', message: `${url}: ${reason}`, cause: error });
}

function describe(error: unknown): { code: string; reason: string } {
  // With several addresses Node throws an AggregateError without a message of its own.
  const inner: unknown = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const code = (inner as { code?: unknown }).code;
  const message = inner instanceof Error && inner.message !== '' ? inner.message : String(inner);
  return {
    code: typeof code === 'string' ? code : '',
    reason: typeof code === 'string' && !message.includes(code) ? `${message} (${code})` : message,
  };
}
