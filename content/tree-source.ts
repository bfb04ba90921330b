import { ExitCode } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { getSmall, type HttpClient } from '../downloads/http';
import { type ListedNames, readListing } from '../downloads/listing';
import { forEachParallel } from '../downloads/parallel';
import { excluded, inFolder, treeLocation } from './tree-paths';

/** For a conditional request at the same address. */
export interface Validators {
  readonly url: string;
  readonly etag?: string | undefined;
  readonly lastModified?: string | undefined;
}

/** A small file, with what a later conditional request needs. */
export interface SmallFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly validators: Validators;
}

/** A file that a listing names. */
export interface ListedFile {
  readonly path: string;
  /** Where the listing says them exactly (rsync): bytes, and the time of its last change as it says it. */
  readonly size?: number;
  readonly modified?: string;
}

export interface Listing {
  readonly files: readonly ListedFile[];
  /** What is there and is no file: `latest (a symbolic link)`. */
  readonly leftOut: readonly string[];
}

/** One place that a tree is copied from. Errors are DownloadErrors that name the URL. */
export interface TreeSource {
  /** Base URL, with a slash at its end. */
  readonly url: string;
  /** A file of at most `maxBytes`; `unchanged` to a conditional request; undefined where there is none. */
  small(path: string, maxBytes: number, known?: Validators): Promise<SmallFile | 'unchanged' | undefined>;
  /** Everything below these folders. */
  list(folders: readonly string[], exclude: readonly string[]): Promise<Listing>;
}

/** A tree has at most so many files, in at most so many folders, at most so deep: more is a loop or an attack. */
export const MAX_TREE_FILES = 200_000;
const MAX_FOLDERS = 20_000;
const MAX_DEPTH = 24;
const MAX_LISTING_BYTES = 16 * 1024 * 1024;

/** A tree behind a web server that lists its folders (Apache's and nginx's autoindex). */
export class WebTree implements TreeSource {
  constructor(
    private readonly client: HttpClient,
    readonly url: string,
  ) {}

  async small(path: string, maxBytes: number, known?: Validators): Promise<SmallFile | 'unchanged' | undefined> {
    const url = this.url + hrefOf(path);
    try {
      const { answer, bytes } = await getSmall(this.client, url, { maxBytes, headers: conditionsOf(known, url) });
      if (answer.status === 304) return 'unchanged';
      return { path, bytes, validators: { url, etag: answer.etag, lastModified: answer.lastModified } };
    } catch (error) {
      if (error instanceof DownloadError && error.kind === 'missing') return undefined;
      throw error;
    }
  }

  async list(folders: readonly string[], exclude: readonly string[]): Promise<Listing> {
    const files = new Map<string, ListedFile>();
    const seen = new Set<string>(folders);
    for (let level = [...seen], depth = 0; level.length > 0; depth++) {
      if (depth > MAX_DEPTH) throw unsafeListing(this.url + hrefOf(level[0] as string), `is more than ${MAX_DEPTH} folders deep: a loop`);
      const next: string[] = [];
      await forEachParallel(level, this.client.connections, async (folder) => {
        const names = await this.page(folder);
        for (const name of names.files) {
          const path = inFolder(folder, name);
          if (!excluded(path, exclude)) files.set(path, { path });
        }
        for (const name of names.folders) {
          const path = inFolder(folder, name);
          if (excluded(path, exclude) || seen.has(path)) continue;
          seen.add(path);
          next.push(path);
        }
        if (files.size > MAX_TREE_FILES) throw unsafeListing(this.url, `has more than ${MAX_TREE_FILES} files`);
        if (seen.size > MAX_FOLDERS) throw unsafeListing(this.url, `has more than ${MAX_FOLDERS} folders`);
      });
      level = next.sort();
    }
    return { files: [...files.values()], leftOut: [] };
  }

  private async page(folder: string): Promise<ListedNames> {
    const url = folder === '.' ? this.url : `${this.url}${hrefOf(folder)}/`;
    const { bytes } = await getSmall(this.client, url, { maxBytes: MAX_LISTING_BYTES });
    const names = readListing(bytes.toString('utf8'), url);
    if ('problem' in names) throw unsafeListing(url, names.problem);
    return names;
  }
}

/** Headers for a conditional request, when the same address was answered before. */
export function conditionsOf(known: Validators | undefined, url: string): Record<string, string> {
  if (known === undefined || known.url !== url) return {};
  return {
    ...(known.etag === undefined ? {} : { 'if-none-match': known.etag }),
    ...(known.lastModified === undefined ? {} : { 'if-modified-since': known.lastModified }),
  };
}

/** A path as it is requested. It was judged before. */
export function hrefOf(path: string): string {
  const location = treeLocation(path);
  if ('problem' in location) throw new Error(`the path ${JSON.stringify(path)} ${location.problem}, and nobody refused it`);
  return location.href;
}

/** A listing that cannot be used: another source may have a good one. */
export function unsafeListing(url: string, problem: string): DownloadError {
  return new DownloadError({
    kind: 'refused',
    code: 'LISTING_UNUSABLE',
    message: `${url} ${problem}`,
    remedy: 'Nothing was changed. Look at the address with a browser; exclude what is odd (exclude), or name the files one by one (files).',
    exitCode: ExitCode.untrusted,
  });
}
