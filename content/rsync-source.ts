import { constants, lstatSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { Hashes, wrongDigest, wrongSize } from '../downloads/file';
import { moduleOf, PARTIAL, rsyncFetch, rsyncList } from '../downloads/rsync';
import { rsyncFileFailure } from '../downloads/rsync-errors';
import { readRsyncListing, type RsyncEntry } from '../downloads/rsync-listing';
import type { Checksum } from '../rpm-metadata/checksum';
import type { BandwidthShare } from './bandwidth-share';
import type { Incoming } from './store';

/** Whether a source is an rsync module. */
export function isModule(url: string): boolean {
  return url.startsWith('rsync://');
}

/** A file that is wanted of a module. */
export interface RsyncWanted {
  /** Decoded, below the base; judged before. */
  readonly path: string;
  /** Undefined: nothing says what it must be. */
  readonly checksum: Checksum | undefined;
  readonly size: number | undefined;
}

/** What arrived: the checksum under which it is in `incoming` now. */
export interface RsyncArrived {
  readonly checksum: Checksum;
  readonly size: number;
}

export interface RsyncOutcome {
  readonly arrived: ReadonlyMap<string, RsyncArrived>;
  readonly failed: ReadonlyMap<string, DownloadError>;
}

/** Files that travel with one run of rsync; then they are verified and taken over before the next. */
const BATCH_FILES = 1000;
const BATCH_BYTES = 2 * 1024 * 1024 * 1024;
/** With a limit a run of rsync has so many seconds' worth: the next one learns what its share is by then. */
const BATCH_SECONDS = 60;

/**
 * One rsync module (or a folder of one). Everything arrives in a quarantine of its own first: nothing is believed of what lies there, and
 * only regular files that are what was asked for leave it.
 */
export class RsyncSource {
  private readonly folder: string;

  /**
   * @param url base URL with a slash at its end
   * @param quarantine a directory that this source alone uses, on the file system of the store
   */
  constructor(
    readonly url: string,
    private readonly quarantine: string,
    private readonly share: Pick<BandwidthShare, 'ofOne' | 'took'>,
  ) {
    this.folder = moduleOf(url).folder;
  }

  /** Small files, those that are there; one run for all of them. */
  async small(paths: readonly string[], maxBytes: number): Promise<ReadonlyMap<string, Buffer>> {
    await this.clean();
    const fetch = { paths, directory: this.quarantine, maxBytes, onBytes: () => undefined };
    const result = await rsyncFetch(this.url, fetch, { bandwidth: this.share.ofOne });
    const found = new Map<string, Buffer>();
    for (const path of paths) {
      const judged = this.judge(path, maxBytes);
      if (judged === 'absent') {
        const failure = rsyncFileFailure(this.url, path, result);
        if (failure.kind !== 'missing') throw failure;
        continue;
      }
      if (judged !== undefined) throw judged;
      found.set(path, await readWhole(join(this.quarantine, this.folder, path)));
    }
    await this.clean();
    return found;
  }

  /** Everything below these folders; or, not `deep`, what these paths themselves are. */
  async list(paths: readonly string[], deep = true): Promise<readonly RsyncEntry[]> {
    const entries = readRsyncListing(await rsyncList(this.url, paths, { bandwidth: this.share.ofOne }, deep));
    const { folder } = this;
    // The folders above the base are listed, too.
    if (!('problem' in entries))
      return entries.flatMap((entry) => (entry.path.startsWith(folder) ? [{ ...entry, path: entry.path.slice(folder.length) }] : []));
    throw new DownloadError({
      kind: 'refused',
      code: 'LISTING_UNUSABLE',
      message: `${this.url} ${entries.problem}`,
      exitCode: ExitCode.untrusted,
    });
  }

  /**
   * Fetches files into `incoming`, each verified. One that cannot be had, or is not what it must be, is among the failed; only what makes
   * the whole source useless is thrown.
   */
  async fetch(
    wanted: readonly RsyncWanted[],
    incoming: Incoming,
    maxUndeclared: number,
    onBytes: (count: number) => void,
    onFile: () => void,
  ): Promise<RsyncOutcome> {
    await this.clean();
    const arrived = new Map<string, RsyncArrived>();
    const failed = new Map<string, DownloadError>();
    for (const rest = [...wanted]; rest.length > 0;) {
      const bandwidth = this.share.ofOne;
      const batch = rest.splice(0, batchOf(rest, bandwidth));
      const maxBytes = Math.max(...batch.map(({ size }) => size ?? maxUndeclared));
      const paths = batch.map(({ path }) => path);
      // What counts in the end is what was taken.
      let told = 0;
      const tell = (count: number): void => {
        told += count;
        this.share.took(count);
        onBytes(count);
      };
      const fetch = { paths, directory: this.quarantine, maxBytes, onBytes: tell };
      const result = await rsyncFetch(this.url, fetch, { bandwidth }).catch(broken);
      for (const file of batch) {
        const taken = await this.take(file, incoming, file.size ?? maxUndeclared);
        if (taken === 'absent') {
          if (!(result instanceof DownloadError)) failed.set(file.path, rsyncFileFailure(this.url, file.path, result));
        } else if (taken instanceof DownloadError) failed.set(file.path, taken);
        else {
          arrived.set(file.path, taken);
          told -= taken.size;
          onFile();
        }
      }
      if (told !== 0) onBytes(-told);
      if (result instanceof DownloadError) throw result;
      await incoming.commitBeyond(BATCH_BYTES / 2);
    }
    await rm(this.quarantine, { recursive: true, force: true });
    return { arrived, failed };
  }

  /** Verifies a file of the quarantine and moves it over. */
  private async take(file: RsyncWanted, incoming: Incoming, maxBytes: number): Promise<RsyncArrived | 'absent' | DownloadError> {
    const judged = this.judge(file.path, maxBytes);
    if (judged !== undefined) return judged;
    const path = join(this.quarantine, this.folder, file.path);
    const hashes = new Hashes(file.checksum?.algorithm ?? 'sha256');
    let size = 0;
    for await (const chunk of (await open(path, READ)).createReadStream() as AsyncIterable<Buffer>) {
      hashes.update(chunk);
      size += chunk.length;
    }
    const { sha256, declared } = hashes.digests();
    const url = this.url + file.path;
    const wrong =
      file.size !== undefined && size !== file.size
        ? wrongSize(url, size, file.size)
        : file.checksum !== undefined && declared !== file.checksum.hex
          ? wrongDigest(url, declared, file.checksum)
          : undefined;
    if (wrong !== undefined) {
      await rm(path, { force: true });
      return wrong;
    }
    const checksum: Checksum = file.checksum ?? { algorithm: 'sha256', hex: sha256 };
    await chmod(path, 0o444);
    await rename(path, incoming.path(checksum));
    incoming.add(checksum, sha256, size);
    return { checksum, size };
  }

  /** What lies under a path: undefined for a regular file of ours, by real folders. */
  private judge(path: string, maxBytes: number): 'absent' | DownloadError | undefined {
    const refuse = (what: string): DownloadError =>
      new DownloadError({
        kind: 'refused',
        code: 'RSYNC_UNSAFE',
        message: `${this.url}${path} arrived as ${what}`,
        remedy: 'Nothing was changed. The server sends what it was not asked for: put another source into fetchFrom.',
        exitCode: ExitCode.untrusted,
      });
    const segments = (this.folder + path).split('/');
    for (let depth = 1; depth <= segments.length; depth++) {
      const stats = lstatSync(join(this.quarantine, ...segments.slice(0, depth)), { throwIfNoEntry: false });
      if (stats === undefined) return 'absent';
      if (depth < segments.length) {
        if (!stats.isDirectory()) return refuse(`a file below ${segments.slice(0, depth).join('/')}, which is no folder`);
      } else if (!stats.isFile()) return refuse('something that is no regular file');
      else if (stats.nlink !== 1) return refuse('a hard link');
      else if (stats.size > maxBytes) return refuse(`${stats.size} bytes; it may have ${maxBytes}`);
    }
    return undefined;
  }

  /** Removes everything but what was cut off, which the next transfer goes on with. */
  private async clean(): Promise<void> {
    await mkdir(this.quarantine, { recursive: true, mode: 0o700 });
    const walk = async (directory: string): Promise<boolean> => {
      let kept = false;
      for (const entry of await readdir(directory, { withFileTypes: true })) {
        const path = join(directory, entry.name);
        const keep = entry.isDirectory() && (entry.name === PARTIAL || (await walk(path)));
        if (keep) kept = true;
        else await rm(path, { recursive: true, force: true });
      }
      return kept;
    };
    await walk(this.quarantine);
  }
}

/** A symlink is not followed, whatever put it there since it was looked at. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;

async function readWhole(path: string): Promise<Buffer> {
  const file = await open(path, READ);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** How many of these files, one at least, go with the next run of rsync. */
export function batchOf(wanted: readonly Pick<RsyncWanted, 'size'>[], bandwidth: number | undefined): number {
  const most = Math.min(BATCH_BYTES, (bandwidth ?? Infinity) * BATCH_SECONDS);
  let bytes = 0;
  let count = 0;
  for (const { size = 0 } of wanted) {
    bytes += size;
    if (count > 0 && (count === BATCH_FILES || bytes > most)) break;
    count++;
  }
  return count;
}

/** For a run that broke off: it has brought files nevertheless, or there is another source. Rethrows what is no DownloadError. */
export function broken(error: unknown): DownloadError {
  if (error instanceof DownloadError) return error;
  throw error;
}
