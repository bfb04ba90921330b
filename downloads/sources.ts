import { setTimeout as sleep } from 'node:timers/promises';
import { DownloadError } from './errors';

export interface RetryOptions {
  /** How often each source is asked. @default 3 */
  readonly tries?: number;
  /** Milliseconds before the second round; doubled for each further one. @default 500 */
  readonly backoff?: number;
  /** Stops waiting. */
  readonly signal?: AbortSignal;
}

/** So many failures in a row, and a source is asked last for the rest of the run. */
const BROKEN_AFTER = 3;

/** The sources of one repository, in the order of preference. Each is a URL that ends in a slash. */
export class Sources {
  readonly all: readonly string[];
  private readonly failures = new Map<string, number>();
  /** In the order in which they broke. */
  private readonly broken = new Set<string>();

  constructor(urls: readonly string[]) {
    this.all = urls.map((url) => (url.endsWith('/') ? url : `${url}/`));
  }

  /**
   * First choice first. One that just failed moves back, and one that failed several times in a row stays at the end for the rest of the
   * run: a dead one costs its timeout once and not for each file. One that merely lacks a file keeps its place.
   */
  ordered(): readonly string[] {
    if (this.failures.size === 0 && this.broken.size === 0) return this.all;
    const late = [...this.broken];
    const penalty = (url: string): number => (this.broken.has(url) ? BROKEN_AFTER + late.indexOf(url) : (this.failures.get(url) ?? 0));
    return [...this.all].sort((a, b) => penalty(a) - penalty(b));
  }

  succeeded(url: string): void {
    this.failures.delete(url);
  }

  failed(url: string): void {
    const count = (this.failures.get(url) ?? 0) + 1;
    this.failures.set(url, count);
    if (count >= BROKEN_AFTER) this.broken.add(url);
  }
}

/**
 * Runs `attempt` at each source until one succeeds, in rounds with a growing pause. A source that lacks the file or refuses it is not asked
 * again. Errors other than `DownloadError` (a full disk) end it at once.
 */
export async function withFailover<T>(sources: Sources, options: RetryOptions, attempt: (source: string) => Promise<T>): Promise<T> {
  const tries = options.tries ?? 3;
  const last = new Map<string, DownloadError>();
  const out = new Set<string>();
  for (let round = 1; round <= tries; round++) {
    for (const source of sources.ordered().filter((s) => !out.has(s))) {
      options.signal?.throwIfAborted();
      try {
        const value = await attempt(source);
        sources.succeeded(source);
        return value;
      } catch (error) {
        if (!(error instanceof DownloadError)) throw error;
        last.set(source, error);
        if (error.kind === 'transient') sources.failed(source);
        if (error.kind === 'missing' || error.kind === 'refused') out.add(source);
      }
    }
    if (out.size === sources.all.length) break;
    if (round < tries) await sleep(pauseBefore(round, [...last.values()], options.backoff ?? 500), undefined, signalOf(options));
  }
  throw combined([...last.values()]);
}

function signalOf(options: RetryOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

const LONGEST_PAUSE = 30_000;

/** Milliseconds after round `round`: doubled each time, at least what a server asked for, at most 30 s. */
export function pauseBefore(round: number, failures: readonly DownloadError[], backoff: number): number {
  const asked = Math.max(0, ...failures.map((f) => (f.retryAfter ?? 0) * 1000));
  return Math.min(LONGEST_PAUSE, Math.max(asked, backoff * 2 ** (round - 1)));
}

/** One error for what several sources said: the gravest kind, each source's message. */
export function combined(failures: readonly DownloadError[]): DownloadError {
  const [first] = failures;
  if (first === undefined) throw new Error('there is no source: the definition has an empty fetchFrom');
  if (failures.length === 1) return first;
  const gravest =
    failures.find((f) => f.kind === 'corrupt') ??
    failures.find((f) => f.kind === 'transient') ??
    failures.find((f) => f.kind === 'refused') ??
    first;
  return new DownloadError({
    kind: gravest.kind,
    code: gravest.code,
    message: `none of ${failures.length} sources has it: ${failures.map((f) => f.message).join('; ')}`,
    remedy: gravest.remedy,
    exitCode: gravest.exitCode,
    cause: gravest,
  });
}
