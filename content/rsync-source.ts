import { constants, lstatSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { Hashes, wrongDigest, wrongSize } from '../downloads/file';
import { moduleOf, PARTIAL, rsyncFetch, rsyncList, type RsyncOptions } from '../downloads/rsync';
import { rsyncFileFailure } from '../downloads/rsync-errors';
import { readRsyncListing, type RsyncEntry } from '../downloads/rsync-listing';
import type { Checksum } from '../rpm-metadata/checksum';
import type { Incoming } from './store';
import { excluded, treeLocation } from './tree-paths';
import { type Listing, MAX_TREE_FILES, type SmallFile, type TreeSource, unsafeListing } from './tree-source';

export const RSYNC = 'rsync://';

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
    private readonly options: RsyncOptions,
  ) {
    this.folder = moduleOf(url).folder;
  }

  /** Small files, those that are there; one run for all of them. */
  async small(paths: readonly string[], maxBytes: number): Promise<ReadonlyMap<string, Buffer>> {
    await this.clean();
    const result = await rsyncFetch(this.url, { paths, directory: this.quarantine, maxBytes, onBytes: () => undefined }, this.options);
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
    const entries = readRsyncListing(await rsyncList(this.url, paths, this.options, deep));
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
    for (const batch of batches(wanted)) {
      const maxBytes = Math.max(...batch.map(({ size }) => size ?? maxUndeclared));
      const paths = batch.map(({ path }) => path);
      const result = await rsyncFetch(this.url, { paths, directory: this.quarantine, maxBytes, onBytes }, this.options);
      for (const file of batch) {
        const taken = await this.take(file, incoming, file.size ?? maxUndeclared);
        if (taken === 'absent') failed.set(file.path, rsyncFileFailure(this.url, file.path, result));
        else if (taken instanceof DownloadError) failed.set(file.path, taken);
        else {
          arrived.set(file.path, taken);
          onFile();
        }
      }
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

function batches(wanted: readonly RsyncWanted[]): readonly (readonly RsyncWanted[])[] {
  const result: RsyncWanted[][] = [];
  let bytes = Infinity;
  for (const file of wanted) {
    const last = result[result.length - 1];
    if (last === undefined || last.length >= BATCH_FILES || bytes + (file.size ?? 0) > BATCH_BYTES) {
      result.push([file]);
      bytes = file.size ?? 0;
    } else {
      last.push(file);
      bytes += file.size ?? 0;
    }
  }
  return result;
}

/** A tree in an rsync module. */
export class RsyncTree implements TreeSource {
  constructor(private readonly source: RsyncSource) {}

  get url(): string {
    return this.source.url;
  }

  async small(path: string, maxBytes: number): Promise<SmallFile | undefined> {
    const bytes = (await this.source.small([path], maxBytes)).get(path);
    return bytes === undefined ? undefined : { path, bytes, validators: { url: this.url + path } };
  }

  async list(folders: readonly string[], exclude: readonly string[]): Promise<Listing> {
    const entries = (await this.source.list(folders)).filter(({ path }) => !excluded(path, exclude));
    const unsafe = entries.find((entry) => entry.unsafe !== undefined);
    if (unsafe !== undefined) throw unsafeListing(this.url, `lists ${JSON.stringify(unsafe.path.slice(0, 300))}, which ${unsafe.unsafe}`);
    const odd = entries.flatMap(({ path }) => {
      const location = treeLocation(path);
      return 'problem' in location ? [`lists ${JSON.stringify(path.slice(0, 300))}, which ${location.problem}`] : [];
    })[0];
    if (odd !== undefined) throw unsafeListing(this.url, odd);
    const files = entries.filter(({ kind }) => kind === 'file');
    if (files.length > MAX_TREE_FILES) throw unsafeListing(this.url, `has more than ${MAX_TREE_FILES} files`);
    return {
      files: files.map(({ path, size, modified }) => ({ path, size, modified })),
      leftOut: entries.filter(({ kind }) => kind !== 'file' && kind !== 'folder').map(({ path, kind }) => `${path} (${kind})`),
    };
  }
}
