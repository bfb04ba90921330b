import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PackageListKind } from '../packages';
import { assemble, type MemberSource } from './assemble';
import { type Catalogue, type CataloguedFile, KINDS, perKind, writeCatalogue } from './catalogue';
import { relocated } from './fragments';
import { FreshMembers } from './fresh';
import { type PublishedRecord, repomdXml, type Tag } from './index-file';
import { type Decide, type FreshFiles, type Keep, Merge, type MergeCounts, type Source } from './merge';
import { damaged, type Previous, Published, publishedSource } from './published';
import { addRecord, type ExtraRecord } from './records';
import type { PackageTable } from './table';

export interface AccumulateOptions {
  /** What was published last; undefined for the first time. */
  readonly previous?: Previous | undefined;
  /** Where the same package is in several, the first one counts. */
  readonly sources: readonly Source[];
  /** Which of the sources' packages are taken; all without it. What was published before and is not taken again is asked of `keep`. */
  readonly accept?: Decide | undefined;
  /** Which of the packages that are not taken from a source (any more) stay; without it, all but those that one which is taken replaces. */
  readonly keep?: Keep | undefined;
  readonly records?: readonly ExtraRecord[] | undefined;
  readonly tags?: readonly Tag[] | undefined;
  /** `repodata/` of the new tree, without such files yet. All but `repomd.xml` is written there. */
  readonly directory: string;
  /** A new file for the catalogue, not to be served. */
  readonly catalogue: string;
  /** Unix seconds. One more than the previous revision is taken where that is later: revisions never repeat or go back. */
  readonly revision: number;
  readonly signal?: AbortSignal | undefined;
  /** Bytes after decompression at which a gzip member is full. @default 512 KiB */
  readonly memberBytes?: number | undefined;
}

export interface Accumulated {
  /** To be signed and written by the caller, last. */
  readonly repomd: Buffer;
  readonly revision: number;
  readonly records: readonly PublishedRecord[];
  readonly packages: PackageTable;
  readonly counts: MergeCounts;
  /** Whether the published files had to be read since their catalogue was missing or damaged. */
  readonly rebuilt: boolean;
}

/**
 * Writes the metadata of the union of `sources` and what was published before. Nothing is flushed, and nothing is left open when it throws;
 * what it wrote by then lies in `directory`. Throws a MirrorError for unusable metadata and for published files that are damaged.
 */
export async function writeAccumulated(options: AccumulateOptions): Promise<Accumulated> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  const published = options.previous === undefined ? undefined : await Published.open(options.previous);
  const temporary = perKind((kind) => join(options.directory, `.fresh-${kind}`));
  const fresh = new Map<PackageListKind, FreshMembers>();
  try {
    for (const kind of KINDS) fresh.set(kind, await FreshMembers.create(temporary[kind], options.memberBytes));
    const files: FreshFiles = perKind((kind) => fresh.get(kind) as FreshMembers);
    const own = options.previous === undefined || published !== undefined ? undefined : await publishedSource(options.previous.repodata);
    const merge = new Merge(published?.catalogue, files, signal);
    await gather(merge, options, published, own?.source, stop);
    const revision = Math.max(options.revision, (published?.catalogue.revision ?? own?.revision ?? 0) + 1);
    const packages = merge.table.view();
    const columns = await allOf(
      stop,
      KINDS.map((kind) => () => files[kind].finish()),
    );
    const written = await allOf(
      stop,
      KINDS.map((kind, i) => (): Promise<CataloguedFile> => {
        const newest: MemberSource = {
          columns: columns[i] as MemberSource['columns'],
          file: files[kind].file,
          start: 0,
          what: files[kind].path,
        };
        const old = published === undefined ? undefined : oldSource(published, kind);
        const newRow = (position: number): number => {
          const row = old?.columns.rows[position] as number;
          return merge.superseded[kind][row] === 1 ? -1 : (merge.newRows[row] as number);
        };
        return assemble({
          kind,
          directory: options.directory,
          packages: packages.length,
          timestamp: revision,
          fresh: newest,
          old,
          newRow,
          signal,
          memberBytes: options.memberBytes,
          damaged,
        });
      }),
    );
    const catalogue: Catalogue = { revision, packages, files: perKind((kind) => written[KINDS.indexOf(kind)] as CataloguedFile) };
    await writeCatalogue(options.catalogue, catalogue);
    const records = [...KINDS.map((kind) => recordOf(kind, catalogue.files[kind]))];
    for (const record of options.records ?? []) records.push(await addRecord(options.directory, record, revision));
    return {
      repomd: repomdXml(revision, options.tags ?? [], records),
      revision,
      records,
      packages,
      counts: merge.counts,
      rebuilt: own !== undefined,
    };
  } finally {
    for (const { file, path } of fresh.values()) {
      await file.close();
      await rm(path, { force: true });
    }
    await published?.close();
  }
}

/** Decides on all packages and gathers the fragments that are new. */
async function gather(
  merge: Merge,
  { sources, accept = () => true, keep }: AccumulateOptions,
  published: Published | undefined,
  own: Source | undefined,
  stop: AbortController,
): Promise<void> {
  const ranges: (readonly [number, number])[] = [];
  for (const source of sources) ranges.push(await merge.addPrimary(source.primary, accept));
  if (own !== undefined) await merge.addPublished(own.primary, keep);
  merge.keepOld(keep);
  for (const { oldRow, newRow, href } of merge.relocations)
    merge.addRelocated(newRow, relocated(await (published as Published).fragment('primary', oldRow), href));
  await allOf(
    stop,
    (['filelists', 'other'] as const).map((kind) => async () => {
      for (const source of sources) if (source[kind] !== undefined) await merge.addList(kind, source[kind], 'accepted');
      sources.forEach((source, i) => merge.complete(kind, ranges[i] as readonly [number, number], source[kind]));
      if (own === undefined) return;
      if (own[kind] !== undefined) await merge.addList(kind, own[kind], 'kept');
      merge.complete(kind, [ranges.at(-1)?.[1] ?? 0, merge.table.length], own[kind]);
    }),
  );
}

function oldSource(
  published: Published,
  kind: PackageListKind,
): MemberSource & { readonly published: CataloguedFile; readonly path: string } {
  const file = published.catalogue.files[kind];
  const path = published.paths[kind];
  return { columns: file, file: published.files[kind], start: file.headSize, what: path, published: file, path };
}

function recordOf(kind: PackageListKind, { name, checksum, openChecksum, size, openSize, timestamp }: CataloguedFile): PublishedRecord {
  return { type: kind, name, checksum, size, open: { checksum: openChecksum, size: openSize }, timestamp };
}

/** Runs tasks side by side. The first error stops the others, which are waited for, since they use the same files. */
async function allOf<T>(stop: AbortController, tasks: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const errors: unknown[] = [];
  const results = await Promise.all(
    tasks.map((task) =>
      task().catch((error: unknown) => {
        errors.push(error);
        stop.abort();
        return undefined as T;
      }),
    ),
  );
  if (errors.length > 0) throw errors[0];
  return results;
}
