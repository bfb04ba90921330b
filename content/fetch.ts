import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DownloadError } from '../downloads/errors';
import { downloadVerified } from '../downloads/file';
import type { HttpClient } from '../downloads/http';
import { forEachParallel } from '../downloads/parallel';
import { combined, pauseBefore, type RetryOptions, Sources, withFailover } from '../downloads/sources';
import type { Checksum } from '../rpm-metadata/checksum';
import type { Modules } from './rsync-modules';
import { isModule } from './rsync-source';
import type { Incoming, Store } from './store';

/** A file that a repository needs. */
export interface Wanted {
  readonly href: string;
  readonly checksum: Checksum;
  readonly size: number | undefined;
  /** Where metadata says that it is, instead of below the sources (`xml:base`). */
  readonly base?: string;
}

export interface FetchContext {
  readonly client: HttpClient;
  readonly sources: Sources;
  readonly modules: Modules;
  readonly retry: RetryOptions;
  readonly store: Store;
  readonly incoming: Incoming;
  readonly parallel: number;
  /** The cap of a file whose size is not declared. */
  readonly maxUndeclared: number;
  readonly onBytes: (count: number) => void;
  readonly onFile: () => void;
}

export interface Fetched {
  readonly files: number;
  readonly bytes: number;
  /** What could not be had, with the reason. */
  readonly failures: ReadonlyMap<Wanted, DownloadError>;
}

/** After this many bytes complete files enter the store, so that an interrupted run has little to read again. */
const COMMIT_BYTES = 1024 * 1024 * 1024;
/** So many files in a row that no source brought: what is left would fail, too. */
const MAX_IN_A_ROW = 10;

/** What of `wanted` neither the store nor an earlier run has, each file once. */
export async function missingFiles<T extends Pick<Wanted, 'checksum'> & Partial<Pick<Wanted, 'size'>>>(
  store: Store,
  incoming: Incoming,
  wanted: Iterable<T>,
): Promise<readonly T[]> {
  // By digest alone: none has the length of another algorithm's, and a first sync misses everything.
  const missing = new Map<string, T>();
  for (const file of wanted) {
    const { hex } = file.checksum;
    if (missing.has(hex) || incoming.has(file.checksum) || store.has(file.checksum, file.size)) continue;
    if (!(await incoming.adopt(file.checksum, file.size))) missing.set(hex, file);
  }
  return [...missing.values()];
}

/**
 * Fetches files into `incoming`, each verified, with failover. One that cannot be had does not stop the others. After several in a row that
 * no source brought the rest is not tried.
 */
export async function fetchFiles(context: FetchContext, missing: readonly Wanted[]): Promise<Fetched> {
  if (!context.sources.all.some(isModule)) return fromWeb(context, missing, context.sources, context.retry);
  const elsewhere = missing.filter(({ base }) => base !== undefined);
  const here = await fromEach(
    context,
    missing.filter(({ base }) => base === undefined),
  );
  const there = await fromWeb(context, elsewhere, context.sources, context.retry);
  return {
    files: here.files + there.files,
    bytes: here.bytes + there.bytes,
    failures: new Map([...here.failures, ...there.failures]),
  };
}

/**
 * Asks one source after the other for all that is left, since a module sends a thousand files with one process. In rounds, by the same rules
 * as `withFailover`.
 */
async function fromEach(context: FetchContext, missing: readonly Wanted[]): Promise<Fetched> {
  const { sources, retry } = context;
  const tries = retry.tries ?? 3;
  const errors = new Map<Wanted, Map<string, DownloadError>>();
  const isOut = (file: Wanted, source: string): boolean => ['missing', 'refused'].includes(errors.get(file)?.get(source)?.kind ?? '');
  let files = 0;
  let bytes = 0;
  let rest = missing;
  for (let round = 1; rest.length > 0; round++) {
    for (const source of sources.ordered()) {
      const asked = rest.filter((file) => !isOut(file, source));
      if (asked.length === 0) continue;
      const got = isModule(source)
        ? await fromModule(context, asked, source)
        : await fromWeb(context, asked, new Sources([source]), { ...retry, tries: 1 });
      files += got.files;
      bytes += got.bytes;
      if (got.files > 0) sources.succeeded(source);
      else if ([...got.failures.values()].some(({ kind }) => kind === 'transient')) sources.failed(source);
      for (const [file, error] of got.failures) errors.set(file, (errors.get(file) ?? new Map<string, DownloadError>()).set(source, error));
      rest = rest.filter((file) => got.failures.has(file) || isOut(file, source));
    }
    if (round >= tries || rest.every((file) => sources.all.every((source) => isOut(file, source)))) break;
    const last = rest.flatMap((file) => [...(errors.get(file)?.values() ?? [])]);
    await sleep(pauseBefore(round, last, retry.backoff ?? 500), undefined, retry.signal === undefined ? {} : { signal: retry.signal });
  }
  return { files, bytes, failures: new Map(rest.map((file) => [file, combined([...(errors.get(file)?.values() ?? [])])])) };
}

async function fromModule(
  { modules, incoming, store, ...context }: FetchContext,
  asked: readonly Wanted[],
  source: string,
): Promise<Fetched> {
  const paths = new Map(asked.map((file) => [file, decodeURIComponent(file.href)]));
  const wanted = asked.map((file) => ({ path: paths.get(file) as string, checksum: file.checksum, size: file.size }));
  let failed: ReadonlyMap<string, DownloadError> = new Map();
  let broken: DownloadError | undefined;
  try {
    ({ failed } = await modules(source).fetch(wanted, incoming, context.maxUndeclared, context.onBytes, context.onFile));
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    broken = error;
  }
  const failures = new Map<Wanted, DownloadError>();
  let bytes = 0;
  for (const file of asked) {
    if (incoming.has(file.checksum) || store.has(file.checksum, file.size))
      bytes += file.size ?? statSync(incoming.locate(file.checksum)).size;
    else failures.set(file, broken ?? failed.get(paths.get(file) as string) ?? notTried(source + file.href));
  }
  return { files: asked.length - failures.size, bytes, failures };
}

/** Downloads files in parallel, each with failover. */
async function fromWeb(context: FetchContext, missing: readonly Wanted[], declared: Sources, retry: RetryOptions): Promise<Fetched> {
  const failures = new Map<Wanted, DownloadError>();
  const elsewhere = new Map<string, Sources>();
  const sourcesOf = ({ base }: Wanted): Sources => {
    if (base === undefined) return declared;
    const sources = elsewhere.get(base) ?? new Sources([base]);
    elsewhere.set(base, sources);
    return sources;
  };
  let files = 0;
  let bytes = 0;
  let inARow = 0;
  await forEachParallel(missing, context.parallel, async (file) => {
    if (inARow >= MAX_IN_A_ROW) {
      failures.set(file, notTried(sourcesOf(file).all[0] + file.href));
      return;
    }
    try {
      const done = await withFailover(sourcesOf(file), retry, (source) =>
        downloadVerified(
          context.client,
          source + file.href,
          context.incoming.path(file.checksum),
          { ...file.checksum, size: file.size, maxBytes: context.maxUndeclared },
          context.onBytes,
        ),
      );
      context.incoming.add(file.checksum, done.sha256, done.size);
      files++;
      bytes += done.size;
      inARow = 0;
      context.onFile();
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      failures.set(file, error);
      if (error.kind === 'transient') inARow++;
      return;
    }
    await context.incoming.commitBeyond(COMMIT_BYTES);
  });
  return { files, bytes, failures };
}

function notTried(url: string): DownloadError {
  return new DownloadError({ kind: 'transient', message: `${url} was not asked for: ${MAX_IN_A_ROW} files in a row could not be had` });
}
