import type { Dispatcher } from 'undici';
import { ExitCode } from '../desired-state/errors';
import { connectionFailure, DownloadError } from './errors';

/** How an answer begins. */
export class Head {
  constructor(
    readonly status: number,
    private readonly raw: readonly Buffer[],
  ) {}

  /** The first header of this name, which is given in lower case. */
  header(name: string): string | undefined {
    for (let i = 0; i + 1 < this.raw.length; i += 2) {
      const key = this.raw[i] as Buffer;
      if (key.length === name.length && key.toString('latin1').toLowerCase() === name)
        return (this.raw[i + 1] as Buffer).toString('latin1');
    }
    return undefined;
  }
}

/** Takes a body chunk by chunk. A promise makes the sender wait; false is enough, and nothing more is read. */
export type Sink = (chunk: Buffer) => void | boolean | Promise<unknown>;

/** What becomes of a body. */
export interface Intake {
  /** A longer body is cut off at once. */
  readonly maxBytes: number;
  readonly sink: Sink;
}

export interface ExchangeLimits {
  readonly lowSpeedBytes: number;
  readonly lowSpeedSeconds: number;
  /** Milliseconds to wait after so many bytes: the bandwidth limit. */
  readonly pauseAfter: (bytes: number) => number;
}

export interface ExchangeOptions {
  readonly url: string;
  /** As the connection wants it: a path, or a URL for a proxy. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Before the reason of a failed connection, for instance `the proxy http://proxy:3128: `. */
  readonly via: string;
  readonly limits: ExchangeLimits;
  /** Undefined: the body is of no interest. A DownloadError that it throws ends the exchange. */
  readonly onHead: (head: Head) => Intake | undefined;
}

/** An uninteresting body of this size is read to its end, since a new connection would cost more. */
const DISCARDED = 64 * 1024;

/**
 * One request and its answer on a connection that others may share: answers come in the order of the requests. Without streams and without
 * a promise per chunk, which for small files cost more than the transfer.
 */
export class Exchange implements Dispatcher.DispatchHandlers {
  readonly done: Promise<Head>;
  head: Head | undefined;
  /** Called when the connection has no more to do with it. True: it is sent again. */
  released: (error: unknown) => boolean = () => false;
  private settled = false;
  private resolve!: (head: Head) => void;
  private reject!: (error: unknown) => void;
  private abort: ((error?: Error) => void) | undefined;
  private resume: () => void = () => undefined;
  private intake: Intake | undefined;
  private received = 0;
  private windowStart = 0;
  private windowBytes = 0;

  constructor(readonly options: ExchangeOptions) {
    this.done = new Promise<Head>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  get isSettled(): boolean {
    return this.settled;
  }

  /** Ends it now with this reason, on whatever stage it is. */
  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.reject(error);
    this.abort?.();
  }

  onConnect(abort: (error?: Error) => void): void {
    this.abort = abort;
    if (this.settled) abort();
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status < 200) return true;
    this.resume = resume;
    this.head = new Head(status, raw);
    this.windowStart = Date.now();
    try {
      this.intake = this.options.onHead(this.head);
    } catch (error) {
      this.fail(error);
      return true;
    }
    if (this.intake === undefined) this.succeed();
    return true;
  }

  onData(chunk: Buffer): boolean {
    this.received += chunk.length;
    if (this.settled) {
      if (this.received > DISCARDED) this.abort?.();
      return true;
    }
    const { maxBytes, sink } = this.intake as Intake;
    if (this.received > maxBytes) {
      this.fail(tooLong(this.options.url, maxBytes, 'does not end there'));
      return true;
    }
    if (this.isSlow(chunk.length)) return true;
    let answer: ReturnType<Sink>;
    try {
      answer = sink(chunk);
    } catch (error) {
      this.fail(error);
      return true;
    }
    if (answer === false) {
      this.succeed();
      this.abort?.();
      return true;
    }
    const pause = this.options.limits.pauseAfter(chunk.length);
    if (typeof answer !== 'object' && pause <= 0) return true;
    this.waitFor(answer, pause);
    return false;
  }

  onComplete(): void {
    this.abort = undefined;
    this.released(undefined);
    this.succeed();
  }

  onError(error: Error): void {
    this.abort = undefined;
    if (!this.released(error)) this.disconnected(error);
  }

  /** Fails it for a reason of the connection. */
  disconnected(error: unknown): void {
    this.fail(connectionFailure(this.options.url, error, this.options.via));
  }

  private succeed(): void {
    if (this.settled) return;
    this.settled = true;
    this.resolve(this.head as Head);
  }

  private isSlow(bytes: number): boolean {
    const { lowSpeedBytes, lowSpeedSeconds } = this.options.limits;
    this.windowBytes += bytes;
    const elapsed = (Date.now() - this.windowStart) / 1000;
    if (elapsed < lowSpeedSeconds) return false;
    if (this.windowBytes < lowSpeedBytes * elapsed) {
      this.fail(
        new DownloadError({
          kind: 'transient',
          code: 'UPSTREAM_SLOW',
          message: `${this.options.url} brings less than ${lowSpeedBytes} bytes a second`,
        }),
      );
      return true;
    }
    this.windowStart = Date.now();
    this.windowBytes = 0;
    return false;
  }

  /** The time that we make the sender wait does not count as his slowness. */
  private waitFor(answer: ReturnType<Sink>, pause: number): void {
    const since = Date.now();
    const wait = pause > 0 ? new Promise((resolve) => setTimeout(resolve, pause)) : undefined;
    Promise.all([answer, wait]).then(
      () => {
        this.windowStart += Date.now() - since;
        this.resume();
      },
      (error: unknown) => this.fail(error),
    );
  }
}

export function tooLong(url: string, maxBytes: number, what: string): DownloadError {
  return new DownloadError({
    kind: 'refused',
    code: 'BODY_TOO_LONG',
    message: `${url} may have ${maxBytes} bytes and ${what}`,
    remedy: 'The upstream or a proxy in between sends something else; look at the address with curl.',
    exitCode: ExitCode.untrusted,
  });
}
