/**
 * Which servers do not answer: each is found out once, and not by every repository and file that it might have. After a failure one request
 * alone asks the server again, later each time and as late as it asks for; the others wait for what comes of it, so that a short break costs nobody
 * a try.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DownloadError } from '../downloads/errors';
import { pauseBefore, type RetryOptions, Sources, withFailover } from '../downloads/sources';

/** After so many failures one after the other a server that does answer, but not as it must, is asked no more. */
const MAX_IN_A_ROW = 10;
/** Milliseconds, where the server asks for no more: so long it takes at most to notice that an answering one works again. */
const LONGEST_PAUSE = 1000;

/** A server whose last answer was a failure. */
interface Troubled {
  readonly error: DownloadError;
  /** Failures one after the other: those that were under way at the same time are one. */
  readonly failures: number;
  /** When it failed, and when it may be asked again; both of `performance.now()`. */
  readonly at: number;
  readonly until: number;
  readonly down: boolean;
  /** Settles when the one request that asks it again knows. */
  probe?: Promise<void>;
}

export class Servers {
  private readonly troubled = new Map<string, Troubled>();
  private readonly answered = new Map<string, number>();

  /**
   * `withFailover` at those of the sources whose servers answer.
   *
   * @param attempt gets a function to call when data comes: others need not wait for the end of a large file
   */
  async watch<T>(sources: Sources, retry: RetryOptions, attempt: (source: string, comes: () => void) => Promise<T>): Promise<T> {
    const errors = sources.all.map((source) => this.isDown(originOf(source)));
    const first = errors[0];
    if (first !== undefined && errors.every((error) => error !== undefined)) throw notAsked(sources.all[0] as string, first);
    const passed = new Set<string>();
    return withFailover(sources, retry, async (source) => {
      const origin = originOf(source);
      const elsewhere = !passed.has(source) && sources.all.some((other) => !this.troubled.has(originOf(other)));
      passed.add(source);
      const done = await this.turn(origin, source, elsewhere, retry.signal);
      const startedAt = performance.now();
      try {
        const value = await attempt(source, done);
        this.works(origin);
        return value;
      } catch (error) {
        if (error instanceof DownloadError && error.kind === 'transient') this.failed(origin, error, startedAt, retry);
        // It has not this file, or another one: it answers.
        else if (error instanceof DownloadError) this.works(origin);
        throw error;
      } finally {
        done();
      }
    });
  }

  /** Waits until the server may be asked; returns what says that the answer is known. Throws where it is given up, or another source can be asked. */
  private async turn(origin: string, source: string, elsewhere: boolean, signal: AbortSignal | undefined): Promise<() => void> {
    for (;;) {
      signal?.throwIfAborted();
      const state = this.troubled.get(origin);
      if (state === undefined) return () => undefined;
      if (state.down) throw notAsked(source, state.error);
      if (elsewhere) throw notAsked(source, state.error, 'transient');
      const left = state.until - performance.now();
      if (state.probe !== undefined) await state.probe;
      else if (left > 0) await sleep(left, undefined, signal === undefined ? {} : { signal });
      else {
        let known = (): void => undefined;
        const probe = new Promise<void>((resolve) => (known = resolve));
        state.probe = probe;
        return () => {
          if (state.probe === probe) delete state.probe;
          known();
        };
      }
    }
  }

  private works(origin: string): void {
    this.troubled.delete(origin);
    this.answered.set(origin, performance.now());
  }

  private failed(origin: string, error: DownloadError, startedAt: number, { tries = 3, backoff = 500 }: RetryOptions): void {
    const before = this.troubled.get(origin);
    // Who was asked before that failure, or beside a request that succeeded, says nothing new of the server.
    if ((before?.at ?? -Infinity) > startedAt || (this.answered.get(origin) ?? -Infinity) > startedAt) return;
    const failures = (before?.failures ?? 0) + 1;
    // Who gives no answer at all, or says when to come back, is given up sooner than who answers with errors.
    const most = error.status === undefined || error.retryAfter !== undefined ? tries : MAX_IN_A_ROW;
    const pause = Math.max(Math.min(LONGEST_PAUSE, pauseBefore(failures, [], 2 * backoff)), pauseBefore(1, [error], 0));
    const at = performance.now();
    this.troubled.set(origin, { error, failures, at, until: at + pause, down: failures >= most });
  }

  private isDown(origin: string): DownloadError | undefined {
    const state = this.troubled.get(origin);
    return state?.down === true ? state.error : undefined;
  }
}

function originOf(source: string): string {
  return new URL(source).origin;
}

function notAsked(source: string, error: DownloadError, kind: 'refused' | 'transient' = 'refused'): DownloadError {
  return new DownloadError({
    kind,
    code: 'SERVER_DOWN',
    message: `${source} was not asked: ${error.message}`,
    remedy: 'Run it again when that server is back: what is here is not fetched again.',
    exitCode: error.exitCode,
  });
}
