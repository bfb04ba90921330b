import { MirrorError } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { downloadVerified } from '../downloads/file';
import type { HttpClient } from '../downloads/http';
import { forEachParallel } from '../downloads/parallel';
import { type RetryOptions, type Sources, withFailover } from '../downloads/sources';
import type { Checksum } from '../rpm-metadata/checksum';
import type { Incoming, Store } from './store';

/** A file that a repository needs. */
export interface Wanted {
  readonly href: string;
  readonly checksum: Checksum;
  readonly size: number | undefined;
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
}

/** After this many bytes complete files enter the store, so that an interrupted run has little to read again. */
const COMMIT_BYTES = 1024 * 1024 * 1024;
/** So many failures mean that more attempts are a waste of everybody's time. */
const MAX_FAILURES = 10;

/** What of `wanted` neither the store nor an earlier run has, each file once. */
export async function missingFiles(store: Store, incoming: Incoming, wanted: Iterable<Wanted>): Promise<readonly Wanted[]> {
  const missing = new Map<string, Wanted>();
  for (const file of wanted) {
    const key = `${file.checksum.algorithm}-${file.checksum.hex}`;
    if (missing.has(key) || incoming.has(file.checksum) || store.has(file.checksum, file.size)) continue;
    if (!(await incoming.adopt(file.checksum, file.size))) missing.set(key, file);
  }
  return [...missing.values()];
}

/**
 * Downloads files in parallel, each with failover, into `incoming`. One that cannot be had does not stop the others, so that the next run
 * has less to do; then the first failure is thrown, with the count.
 */
export async function fetchFiles(context: FetchContext, missing: readonly Wanted[]): Promise<Fetched> {
  const failures: DownloadError[] = [];
  let files = 0;
  let bytes = 0;
  await forEachParallel(missing, context.parallel, async (file) => {
    if (failures.length >= MAX_FAILURES) return;
    try {
      const done = await withFailover(context.sources, context.retry, (source) =>
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
      context.onFile();
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      failures.push(error);
      return;
    }
    await context.incoming.commitBeyond(COMMIT_BYTES);
  });
  const [first] = failures;
  if (first !== undefined) throw severalFailed(first, failures.length, missing.length);
  return { files, bytes };
}

function severalFailed(first: DownloadError, count: number, total: number): MirrorError {
  if (count === 1) return first;
  const how = count >= MAX_FAILURES ? `${count} files or more` : `${count} files`;
  return new DownloadError({
    kind: first.kind,
    code: first.code,
    message: `${how} of ${total} could not be had; the first: ${first.message}`,
    remedy: first.remedy,
    exitCode: first.exitCode,
    cause: first,
  });
}
