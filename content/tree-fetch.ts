import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DownloadError } from '../downloads/errors';
import { downloadVerified, Hashes, wrongSize } from '../downloads/file';
import type { HttpClient } from '../downloads/http';
import { forEachParallel } from '../downloads/parallel';
import { type RetryOptions, Sources, withFailover } from '../downloads/sources';
import { Writer } from '../downloads/writer';
import type { Checksum } from '../rpm-metadata/checksum';
import { missingFiles } from './fetch';
import type { Modules } from './rsync-modules';
import { broken, isModule, type RsyncSource } from './rsync-source';
import type { Incoming, Store } from './store';
import type { TreeTarget } from './tree-plan';
import { conditionsOf, hrefOf, type Validators } from './tree-source';

/** A file of the tree, in the store or in `incoming`. */
export interface TreeFound {
  readonly path: string;
  readonly checksum: Checksum;
  readonly size: number;
  /** Of a file that nothing has a checksum of: what the next run asks with. */
  readonly validators?: Validators;
  readonly modified?: string;
}

export interface TreeFetchContext {
  readonly client: HttpClient;
  readonly retry: RetryOptions;
  /** Base URLs in the declared order. */
  readonly sources: readonly string[];
  readonly modules: Modules;
  readonly store: Store;
  readonly incoming: Incoming;
  /** Called once, before anything is fetched, with what is missing. */
  readonly announce: (files: number, bytes: number) => Promise<void>;
  readonly onBytes: (count: number) => void;
  readonly onFile: () => void;
}

/** The cap of a file of which nothing says how long it is. */
const MAX_UNKNOWN = 1024 * 1024 * 1024;
/** No file is longer: images of installers have 20 GB. */
const MAX_FILE = 256 * 1024 * 1024 * 1024;
const COMMIT_BYTES = 1024 * 1024 * 1024;
const MAX_FAILURES = 10;

type Sized = TreeTarget & { readonly checksum: Checksum };

/** Fetches what is missing of files whose checksums are known, from any of the sources. Throws when one cannot be had. */
export async function fetchListed(context: TreeFetchContext, targets: readonly Sized[]): Promise<readonly string[]> {
  const missing = await missingFiles(context.store, context.incoming, targets);
  const failures = new Map<string, DownloadError>();
  let rest = missing;
  let announced = false;
  for (const group of groupsOf(context.sources)) {
    if (rest.length === 0) break;
    const sized = await (group.rsync
      ? sizesOfModule(context.modules(group.urls[0] as string), rest).catch(broken)
      : sizesOnWeb(context, group.urls, rest));
    if (sized instanceof DownloadError) {
      // Nothing can be had there; the next source may have everything.
      for (const { path } of rest) failures.set(path, sized);
      continue;
    }
    if (!announced) await context.announce(sized.length, sum(sized));
    announced = true;
    for (const { path } of rest) failures.delete(path);
    if (group.rsync) await fromModule(context, group.urls[0] as string, sized, failures);
    else await fromWeb(context, group.urls, sized, failures);
    // Without the sizes that this source told: another one may have the right file.
    rest = rest.filter(({ path }) => failures.has(path));
  }
  if (failures.size > 0) throw severalFailed([...failures.values()], missing.length);
  return missing.map(({ path }) => path);
}

async function fromWeb(
  context: TreeFetchContext,
  urls: readonly string[],
  files: readonly Sized[],
  failures: Map<string, DownloadError>,
): Promise<void> {
  const sources = new Sources(urls);
  await forEachParallel(files, context.client.connections, async (file) => {
    if (failures.size >= MAX_FAILURES) {
      failures.set(file.path, [...failures.values()][0] as DownloadError);
      return;
    }
    const wanted = { ...file.checksum, size: file.size, maxBytes: MAX_UNKNOWN };
    try {
      const done = await withFailover(sources, context.retry, (source) =>
        downloadVerified(context.client, source + hrefOf(file.path), context.incoming.path(file.checksum), wanted, context.onBytes),
      );
      context.incoming.add(file.checksum, done.sha256, done.size);
      context.onFile();
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      failures.set(file.path, error);
      return;
    }
    await context.incoming.commitBeyond(COMMIT_BYTES);
  });
}

async function fromModule(
  context: TreeFetchContext,
  url: string,
  files: readonly Sized[],
  failures: Map<string, DownloadError>,
): Promise<void> {
  try {
    const { failed } = await withFailover(new Sources([url]), context.retry, (source) =>
      context.modules(source).fetch(files, context.incoming, MAX_FILE, context.onBytes, context.onFile),
    );
    for (const [path, error] of failed) failures.set(path, error);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    for (const { path, checksum, size } of files)
      if (!context.incoming.has(checksum) && !context.store.has(checksum, size)) failures.set(path, error);
  }
}

/**
 * Fetches files that nothing has a checksum of, from the one source whose list they come from. What the source says is unchanged stays as
 * it is.
 */
export async function fetchUnlisted(
  context: TreeFetchContext,
  url: string,
  targets: readonly TreeTarget[],
  known: ReadonlyMap<string, TreeFound>,
): Promise<readonly TreeFound[]> {
  if (isModule(url)) return unlistedFromModule(context, url, targets, known);
  const found: TreeFound[] = [];
  const sources = new Sources([url]);
  await forEachParallel(targets, context.client.connections, async ({ path }) => {
    const before = known.get(path);
    const have = before !== undefined && context.store.has(before.checksum, before.size);
    const file = await withFailover(sources, context.retry, () => freshOf(context, url + hrefOf(path), path, have ? before : undefined));
    found.push(file);
    await context.incoming.commitBeyond(COMMIT_BYTES);
  });
  return found;
}

async function freshOf(context: TreeFetchContext, url: string, path: string, before: TreeFound | undefined): Promise<TreeFound> {
  const headers = conditionsOf(before?.validators, url);
  if (before !== undefined && Object.keys(headers).length > 0) {
    try {
      return await download(context, url, path, { maxBytes: Math.max(MAX_UNKNOWN, before.size * 2), headers, before });
    } catch (error) {
      // It grew: then its size is asked for first.
      if (!(error instanceof DownloadError) || error.code !== 'BODY_TOO_LONG') throw error;
    }
  }
  const { total } = await context.client.begin(url, 1);
  return download(context, url, path, { maxBytes: Math.min(total ?? MAX_UNKNOWN, MAX_FILE), headers: {}, size: total });
}

interface UnlistedDownload {
  readonly maxBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly size?: number | undefined;
  /** What a "not modified" stands for. */
  readonly before?: TreeFound;
}

/** A download without a checksum: it enters the store under the one that it has. */
async function download(context: TreeFetchContext, url: string, path: string, options: UnlistedDownload): Promise<TreeFound> {
  const { incoming, client } = context;
  const part = join(dirname(incoming.path({ algorithm: 'sha256', hex: '0'.repeat(64) })), `unlisted-${serial++}`);
  const file = await open(part, 'w', 0o444);
  const writer = new Writer(file, 0);
  let size = 0;
  try {
    const hashes = new Hashes('sha256');
    const answer = await client.get(url, { maxBytes: options.maxBytes, headers: options.headers }, (chunk) => {
      hashes.update(chunk);
      size += chunk.length;
      context.onBytes(chunk.length);
      return writer.push(chunk);
    });
    await writer.drain();
    await file.close();
    if (answer.status === 304 && options.before !== undefined) {
      await rm(part);
      return { ...options.before, path };
    }
    if (options.size !== undefined && size !== options.size) throw wrongSize(url, size, options.size);
    const checksum: Checksum = { algorithm: 'sha256', hex: hashes.digests().sha256 };
    await rename(part, incoming.path(checksum));
    incoming.add(checksum, checksum.hex, size);
    context.onFile();
    return { path, checksum, size, validators: { url, etag: answer.etag, lastModified: answer.lastModified } };
  } catch (error) {
    context.onBytes(-size);
    await writer.drain().catch(() => undefined);
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw error;
  }
}

let serial = 0;

async function unlistedFromModule(
  context: TreeFetchContext,
  url: string,
  targets: readonly TreeTarget[],
  known: ReadonlyMap<string, TreeFound>,
): Promise<readonly TreeFound[]> {
  const sized = await sizesOfModule(context.modules(url), targets);
  const same = (target: TreeTarget): TreeFound | undefined => {
    const before = known.get(target.path);
    if (before === undefined || before.validators?.url !== url || target.modified === undefined) return undefined;
    if (before.size !== target.size || before.modified !== target.modified) return undefined;
    return context.store.has(before.checksum, before.size) ? before : undefined;
  };
  const kept = sized.flatMap((target) => same(target) ?? []);
  const wanted = sized.filter((target) => same(target) === undefined);
  if (wanted.length === 0) return kept;
  await context.announce(wanted.length, sum(wanted));
  const { arrived, failed } = await withFailover(new Sources([url]), context.retry, (source) =>
    context.modules(source).fetch(wanted, context.incoming, MAX_FILE, context.onBytes, context.onFile),
  );
  if (failed.size > 0) throw severalFailed([...failed.values()], wanted.length);
  return [
    ...kept,
    ...wanted.map(({ path, modified }): TreeFound => {
      const { checksum, size } = arrived.get(path) as { checksum: Checksum; size: number };
      return { path, checksum, size, validators: { url }, ...(modified === undefined ? {} : { modified }) };
    }),
  ];
}

/** Sizes where only the server knows them: they bound what it may send, and say whether it fits. */
async function sizesOnWeb<T extends TreeTarget>(
  context: TreeFetchContext,
  urls: readonly string[],
  files: readonly T[],
): Promise<readonly T[]> {
  const sources = new Sources(urls);
  const result: T[] = [];
  await forEachParallel(files, context.client.connections, async (file) => {
    if (file.size !== undefined) return void result.push(file);
    try {
      const { total } = await withFailover(sources, { ...context.retry, tries: 1 }, (source) =>
        context.client.begin(source + hrefOf(file.path), 1),
      );
      result.push({ ...file, ...(total === undefined || total > MAX_FILE ? {} : { size: total }) });
    } catch (error) {
      // The download itself says what is wrong.
      if (!(error instanceof DownloadError)) throw error;
      result.push(file);
    }
  });
  return result.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function sizesOfModule<T extends TreeTarget>(source: RsyncSource, files: readonly T[]): Promise<readonly T[]> {
  const unknown = files.filter(({ size, modified }) => size === undefined || modified === undefined);
  if (unknown.length === 0) return files;
  const entries = await source.list(
    unknown.map(({ path }) => path),
    false,
  );
  const byPath = new Map(entries.filter(({ kind }) => kind === 'file').map((entry) => [entry.path, entry]));
  return files.map((file) => {
    const entry = byPath.get(file.path);
    return entry === undefined ? file : { ...file, size: file.size ?? entry.size, modified: entry.modified };
  });
}

/** Neighbouring web servers are asked file by file, in turn; each module as a whole. */
function groupsOf(urls: readonly string[]): readonly { readonly rsync: boolean; readonly urls: readonly string[] }[] {
  const groups: { rsync: boolean; urls: string[] }[] = [];
  for (const url of urls) {
    const rsync = isModule(url);
    const last = groups[groups.length - 1];
    if (last === undefined || rsync || last.rsync) groups.push({ rsync, urls: [url] });
    else last.urls.push(url);
  }
  return groups;
}

function sum(files: readonly TreeTarget[]): number {
  return files.reduce((total, { size }) => total + (size ?? 0), 0);
}

function severalFailed(failures: readonly DownloadError[], total: number): DownloadError {
  const [first] = failures as readonly [DownloadError];
  if (failures.length === 1) return first;
  const how = failures.length >= MAX_FAILURES ? `${failures.length} files or more` : `${failures.length} files`;
  return new DownloadError({
    kind: first.kind,
    code: first.code,
    message: `${how} of ${total} could not be had; the first: ${first.message}`,
    remedy: first.remedy,
    exitCode: first.exitCode,
    cause: first,
  });
}
