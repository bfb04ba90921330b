import type { FetchSource } from '../desired-state/definitions';
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from './errors';
import { getSmall, type HttpClient } from './http';
import { type IndexDigest, parseMetalink } from './metalink';
import { type RetryOptions, Sources, withFailover } from './sources';

/** Where a repository comes from, once its lists of mirrors are read. */
export interface ResolvedSources {
  /** Base URLs, in the order of preference. A `rsync://` address stays as it is declared. */
  readonly sources: Sources;
  /** Of a base URL that a metalink names: the digests of which `repomd.xml` there must have one. */
  readonly digests: ReadonlyMap<string, readonly IndexDigest[]>;
  /** The text of each list that is in use, by its address: for `known` of the next run. */
  readonly lists: Readonly<Record<string, string>>;
  /** Hosts that the definition names itself: only they may have private addresses. */
  readonly declaredHosts: ReadonlySet<string>;
}

export interface ResolveOptions {
  readonly retry: RetryOptions;
  /** The lists of the last run, by address: used where one cannot be had now. */
  readonly known: Readonly<Record<string, string>>;
  readonly warn: (line: string) => void;
}

const MAX_LIST_BYTES = 2 * 1024 * 1024;
/** More mirrors than this are no help. */
export const MAX_MIRRORS = 200;
const MAX_WARNINGS = 5;
const INDEX = 'repodata/repomd.xml';

/**
 * Reads the lists of mirrors among the sources. One that cannot be had or used is replaced by the last good one, or left out while there are
 * other sources; else its error is thrown.
 */
export async function resolveSources(
  client: HttpClient,
  fetchFrom: readonly FetchSource[],
  options: ResolveOptions,
): Promise<ResolvedSources> {
  const bases = new Set<string>();
  const digests = new Map<string, readonly IndexDigest[]>();
  const lists: Record<string, string> = {};
  const failures: DownloadError[] = [];
  for (const source of fetchFrom) {
    if (typeof source === 'string') {
      bases.add(withSlash(source));
      continue;
    }
    const url = addressOf(source);
    const list = await readList(client, source, options).catch((error: unknown) => {
      if (!(error instanceof DownloadError)) throw error;
      failures.push(error);
      return undefined;
    });
    if (list === undefined) continue;
    lists[url] = list.text;
    for (const base of list.bases) {
      // A mirror that is declared, or listed before, stays what it is.
      if (bases.has(base)) continue;
      bases.add(base);
      if (list.digests !== undefined) digests.set(base, list.digests);
    }
  }
  if (bases.size === 0 && failures[0] !== undefined) throw failures[0];
  for (const failure of failures) options.warn(`${failure.message}; the other sources are used`);
  return { sources: new Sources([...bases]), digests, lists, declaredHosts: declaredHosts(fetchFrom) };
}

/** Hosts that stand in the definition, as `URL.hostname` has them. */
export function declaredHosts(fetchFrom: readonly FetchSource[]): ReadonlySet<string> {
  return new Set(fetchFrom.map((source) => new URL(typeof source === 'string' ? source : addressOf(source)).hostname));
}

interface List {
  readonly text: string;
  readonly bases: readonly string[];
  readonly digests?: readonly IndexDigest[];
}

type ListSource = Exclude<FetchSource, string>;

function addressOf(source: ListSource): string {
  return 'mirrorlist' in source ? source.mirrorlist : source.metalink;
}

async function readList(client: HttpClient, source: ListSource, { retry, known, warn }: ResolveOptions): Promise<List> {
  const url = addressOf(source);
  try {
    return await withFailover(new Sources([url]), retry, async () => {
      const { bytes } = await getSmall(client, url, { maxBytes: MAX_LIST_BYTES });
      return parseList(source, bytes, warn);
    });
  } catch (error) {
    const last = Object.hasOwn(known, url) ? known[url] : undefined;
    if (!(error instanceof DownloadError) || last === undefined) throw error;
    warn(`${error.message}; the list of the last run is used`);
    return parseList(source, Buffer.from(last), () => undefined);
  }
}

/** Throws a DownloadError for a list without a mirror that can be used. */
function parseList(source: ListSource, bytes: Uint8Array, warn: (line: string) => void): List {
  const text = new TextDecoder().decode(bytes);
  if ('mirrorlist' in source) return { text, bases: usable(source.mirrorlist, linesOf(text), warn) };
  const { urls, digests } = parseMetalink(bytes, source.metalink);
  return { text, digests, bases: usable(source.metalink, urls, warn) };
}

function linesOf(text: string): readonly string[] {
  return text
    .split(/\r?\n|\r/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** The base URLs of a list; entries that cannot be used are left out, with a warning. */
function usable(list: string, entries: readonly string[], warn: (line: string) => void): readonly string[] {
  const bases = new Set<string>();
  const bad: string[] = [];
  for (const entry of entries) {
    if (bases.size === MAX_MIRRORS) break;
    const base = baseOf(entry);
    if ('problem' in base) bad.push(`${JSON.stringify(entry.slice(0, 100))} ${base.problem}`);
    // Mirrors offer the same files by ftp and rsync, too.
    else if (base.url !== undefined) bases.add(base.url);
  }
  if (bases.size === 0) {
    throw new DownloadError({
      kind: 'refused',
      code: 'MIRROR_LIST_UNUSABLE',
      message: `${list} names no mirror that can be used${bad[0] === undefined ? '' : `: ${bad[0]}`}`,
      remedy:
        'Look at the address with curl: each line must be the http or https address of a mirror. Else declare mirrors by their addresses.',
      exitCode: ExitCode.unreachable,
    });
  }
  for (const line of bad.slice(0, MAX_WARNINGS)) warn(`${list}: left out: ${line}`);
  if (bad.length > MAX_WARNINGS) warn(`${list}: ${bad.length - MAX_WARNINGS} more entries are left out`);
  return [...bases];
}

/** The base URL of an entry, with a slash at its end; undefined for a protocol that is not asked here. */
export function baseOf(entry: string): { readonly url: string | undefined } | { readonly problem: string } {
  if (entry.length > 2048) return { problem: 'is too long' };
  if (entry.includes('$')) return { problem: 'has a variable, which only a client can fill in' };
  let url: URL;
  try {
    url = new URL(entry);
  } catch {
    return { problem: 'is no URL' };
  }
  if (url.protocol === 'ftp:' || url.protocol === 'rsync:') return { url: undefined };
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return { problem: 'is not http or https' };
  if (url.username !== '' || url.password !== '') return { problem: 'has a user' };
  if (url.search !== '' || url.hash !== '') return { problem: 'has a query' };
  const base = withSlash(url.href);
  return { url: base.endsWith(`/${INDEX}/`) ? base.slice(0, -INDEX.length - 1) : base };
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}
