import { join } from 'node:path';
import { isWaived, type RepositoryDefinition } from '../desired-state/definitions';
import type { DownloadError } from '../downloads/errors';
import type { HttpClient } from '../downloads/http';
import type { Sources } from '../downloads/sources';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { DELTA_RECORDS, type ListedDelta, readDeltas } from '../rpm-metadata/deltas';
import { decompressed } from '../rpm-metadata/decompress';
import { type ListedPackage, readPrimary } from '../rpm-metadata/primary';
import { MAX_UNDECLARED_METADATA_BYTES, type RepomdRecord } from '../rpm-metadata/repomd';
import { changed, type Contents } from './contents';
import type { LostFile } from './damage';
import { type Fetched, fetchFiles, missingFiles } from './fetch';
import { fileDigest } from './files';
import { refusedIndex, shrunk } from './judge-index';
import { unsignedPackages } from './package-signatures';
import type { PinnedRing } from './pinned-ring';
import { problemOf } from './problems';
import { Progress } from './progress';
import type { Published } from './published';
import type { Problem } from './record';
import { requireRoom } from './storage';
import type { Incoming, Store } from './store';
import type { Modules } from './rsync-modules';
import type { SyncContext } from './sync';
import type { UpstreamIndex } from './upstream-index';

export interface RetrievalOptions {
  readonly context: SyncContext;
  readonly definition: RepositoryDefinition;
  readonly store: Store;
  readonly incoming: Incoming;
  readonly client: HttpClient;
  readonly sources: Sources;
  readonly modules: Modules;
  readonly index: UpstreamIndex;
  /** The pinned keys; undefined when nothing is signed. */
  readonly ring: PinnedRing | undefined;
}

/** A package that is not taken. */
export interface Missing {
  readonly problem: Problem;
  /** Upstream does not have what its index lists: it may have changed meanwhile. */
  readonly fromUpstream: boolean;
}

export interface Retrieved {
  readonly missing: ReadonlyMap<ListedPackage | ListedDelta, Missing>;
  readonly fetched: { readonly files: number; readonly bytes: number };
}

/** Brings what one index lists into the incoming area, each byte verified. */
export class Retrieval {
  private files = 0;
  private bytes = 0;

  constructor(private readonly options: RetrievalOptions) {}

  /** Fetches metadata files. Throws a DownloadError when a required one cannot be had; returns which of the others cannot. */
  async metadata(required: readonly RepomdRecord[], optional: readonly RepomdRecord[]): Promise<ReadonlyMap<RepomdRecord, Problem>> {
    const { store, incoming } = this.options;
    const { failures } = await this.fetch(await missingFiles(store, incoming, [...required, ...optional]), undefined);
    const failed = byChecksum(failures);
    for (const { checksum } of required) {
      const error = failed.get(checksumKey(checksum));
      if (error !== undefined) throw error;
    }
    const lost = new Map<RepomdRecord, Problem>();
    for (const record of optional) {
      const error = failed.get(checksumKey(record.checksum));
      if (error !== undefined) lost.set(record, problemOf(record.path, this.urlOf(record), error));
    }
    return lost;
  }

  /** Reads the list of packages. Throws where it must not be used; `before` is how many upstream listed the last time. */
  async list(before: number | undefined): Promise<readonly ListedPackage[]> {
    const { index, incoming, definition } = this.options;
    const { primary } = index.repomd;
    const what = this.urlOf(primary);
    const stream = decompressed(incoming.locate(primary.checksum), what, primary.openSize);
    const packages = await readPrimary(stream, what, { weakChecksums: isWaived(definition, 'weakChecksums') });
    const refusal = isWaived(definition, 'shrunk') ? undefined : shrunk(packages.length, before);
    if (refusal !== undefined) throw refusedIndex(what, refusal);
    return packages;
  }

  /** Reads which delta rpms the index offers. */
  async deltas(): Promise<readonly ListedDelta[]> {
    const { index, incoming, definition } = this.options;
    const found = new Map<string, ListedDelta>();
    for (const record of index.repomd.records.filter(({ type }) => DELTA_RECORDS.includes(type))) {
      const what = this.urlOf(record);
      const stream = decompressed(incoming.locate(record.checksum), what, record.openSize);
      for (const delta of await readDeltas(stream, what, { weakChecksums: isWaived(definition, 'weakChecksums') }))
        found.set(delta.path, delta);
    }
    return [...found.values()];
  }

  /**
   * Fetches and judges the packages that are taken from upstream, and delta rpms. Of those that go where a superseded file is still served the
   * content must be that file's: clients with older metadata ask for it there.
   */
  async packages(contents: Contents, deltas: readonly ListedDelta[], published: Published | undefined): Promise<Retrieved> {
    const { context, definition, store, incoming, ring } = this.options;
    const { id, trust } = definition;
    const missing = new Map<ListedPackage | ListedDelta, Missing>();
    const files = [...contents.taken, ...deltas];
    const wanted = await missingFiles(store, incoming, files);
    const bytes = wanted.reduce((sum, item) => sum + item.size, 0);
    await requireRoom(context.layout, context.server, id, { bytes, files: wanted.length });
    if (wanted.length > 0) context.say(`${id}: ${contents.packages.length} packages, of which ${wanted.length} are to be fetched`);
    const progress = new Progress(id, wanted.length, bytes, context.say);
    let fetched: Fetched;
    try {
      fetched = await this.fetch(wanted, progress);
    } finally {
      progress.stop();
    }
    if (fetched.failures.size > 0) {
      const failed = byChecksum(fetched.failures);
      for (const item of files) {
        const error = failed.get(checksumKey(item.checksum));
        if (error === undefined) continue;
        missing.set(item, { problem: problemOf(item.path, this.urlOf(item), error), fromUpstream: error.kind !== 'transient' });
      }
    }
    if (trust.mode === 'signedPackages' && ring !== undefined) {
      const present = [...contents.taken].filter((item) => !missing.has(item));
      const untrusted = await unsignedPackages(context.layout, (checksum) => incoming.locate(checksum), id, present, await ring());
      for (const [item, problem] of untrusted) missing.set(item, { problem: { ...problem, url: this.urlOf(item) }, fromUpstream: false });
    }
    for (const { taken, published } of contents.undecided) {
      if (missing.has(taken) || isWaived(definition, 'changedPackages')) continue;
      if ((await this.contentOf(taken.checksum)) !== (await this.contentOf(published.checksum)))
        missing.set(taken, { problem: { ...changed(taken, undefined), url: this.urlOf(taken) }, fromUpstream: false });
    }
    const carried = published?.record?.carried ?? {};
    for (const item of Object.keys(carried).length === 0 || isWaived(definition, 'changedPackages') ? [] : contents.taken) {
      if (!Object.hasOwn(carried, item.path) || missing.has(item)) continue;
      const served = await fileDigest(join(published?.tree ?? '', item.path), item.checksum.algorithm).catch(() => undefined);
      if (served !== undefined && served !== item.checksum.hex)
        missing.set(item, { problem: { ...changed(item, undefined), url: this.urlOf(item) }, fromUpstream: false });
    }
    return { missing, fetched: { files: this.files, bytes: this.bytes } };
  }

  /**
   * Packages that stay from what is published in `tree`, and that today's trust does not allow: they were taken under another one, or their
   * key is no longer pinned. Empty where trust asks nothing of packages. Those that are not there any more (`lost`) cannot be looked at.
   */
  async untrustedKept(
    { packages, taken }: Contents,
    tree: string,
    lost: readonly LostFile[],
  ): Promise<ReadonlyMap<ListedPackage, Missing>> {
    const { context, definition, ring } = this.options;
    const { id, trust } = definition;
    const untrusted = new Map<ListedPackage, Missing>();
    if (trust.mode !== 'signedPackages' || ring === undefined) return untrusted;
    const gone = new Set(lost.map(({ path }) => path));
    const kept = packages.filter((item) => !taken.has(item) && !gone.has(item.path));
    if (kept.length === 0) return untrusted;
    const places = new Map(kept.map(({ checksum, path }) => [checksumKey(checksum), join(tree, path)]));
    const locate = (checksum: Checksum): string => places.get(checksumKey(checksum)) as string;
    for (const [item, problem] of await unsignedPackages(context.layout, locate, id, kept, await ring())) {
      const message = `${problem.message}; it was published before, and is left out now`;
      untrusted.set(item, { problem: { ...problem, message }, fromUpstream: false });
    }
    return untrusted;
  }

  /** Problems of packages that were not asked for, with where upstream has them. */
  located(problems: readonly Problem[], upstream: readonly ListedPackage[]): readonly Problem[] {
    if (problems.length === 0) return problems;
    const byPath = new Map(upstream.map((item) => [item.path, item]));
    return problems.map((problem) => {
      const item = byPath.get(problem.path);
      return item === undefined ? problem : { ...problem, url: this.urlOf(item) };
    });
  }

  private async fetch(wanted: Parameters<typeof fetchFiles>[1], progress: Progress | undefined): Promise<Fetched> {
    const { context, store, incoming, client, sources, modules } = this.options;
    const { retry } = context;
    const fetched = await fetchFiles(
      {
        client,
        retry,
        sources,
        modules,
        store,
        incoming,
        parallel: client.parallel,
        maxUndeclared: MAX_UNDECLARED_METADATA_BYTES,
        onBytes: (count) => progress?.addBytes(count),
        onFile: () => progress?.fileDone(),
      },
      wanted,
    );
    this.files += fetched.files;
    this.bytes += fetched.bytes;
    return fetched;
  }

  private urlOf({ base, href }: { readonly base?: string; readonly href: string }): string {
    return (base ?? this.options.index.base) + href;
  }

  /** SHA-256 of a file that is here. */
  private async contentOf(checksum: Checksum): Promise<string> {
    const { incoming } = this.options;
    if (checksum.algorithm === 'sha256') return checksum.hex;
    const arrived = incoming.sha256Of(checksum);
    if (arrived !== undefined) return arrived;
    return fileDigest(incoming.locate(checksum), 'sha256');
  }
}

/** Why files could not be had, by what they are. */
function byChecksum(failures: Fetched['failures']): ReadonlyMap<string, DownloadError> {
  return new Map([...failures].map(([{ checksum }, error]) => [checksumKey(checksum), error]));
}
