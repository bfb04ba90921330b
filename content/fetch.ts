import { DownloadError } from '../downloads/errors';
import { downloadVerified } from '../downloads/file';
import type { HttpClient } from '../downloads/http';
import { forEachParallel } from '../downloads/parallel';
import { type RetryOptions, Sources, withFailover } from '../downloads/sources';
import type { Checksum } from '../rpm-metadata/checksum';
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
export async function missingFiles<T extends Wanted>(store: Store, incoming: Incoming, wanted: Iterable<T>): Promise<readonly T[]> {
  const missing = new Map<string, T>();
  for (const file of wanted) {
    const key = `${file.checksum.algorithm}-${file.checksum.hex}`;
    if (missing.has(key) || incoming.has(file.checksum) || store.has(file.checksum, file.size)) continue;
    if (!(await incoming.adopt(file.checksum, file.size))) missing.set(key, file);
  }
  return [...missing.values()];
}

/**
 * Downloads files in parallel, each with failover, into `incoming`. One that cannot be had does not stop the others. After several in a row
 * that no source brought the rest is not tried.
 */
export async function fetchFiles(context: FetchContext, missing: readonly Wanted[]): Promise<Fetched> {
  const failures = new Map<Wanted, DownloadError>();
  const elsewhere = new Map<string, Sources>();
  const sourcesOf = ({ base }: Wanted): Sources => {
    if (base === undefined) return context.sources;
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
      const done = await withFailover(sourcesOf(file), context.retry, (source) =>
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
