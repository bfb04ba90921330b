import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, sha256 } from '../desired-state/canonical';
import { baseUrls, isWaived, type RepositoryDefinition, type ServerDefinition } from '../desired-state/definitions';
import { MirrorError } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import type { HttpClient } from '../downloads/http';
import { type RetryOptions, Sources } from '../downloads/sources';
import { decompressed } from '../rpm-metadata/decompress';
import { type ListedPackage, readPrimary } from '../rpm-metadata/primary';
import { MAX_UNDECLARED_METADATA_BYTES } from '../rpm-metadata/repomd';
import { buildKeyRing, type KeyRing } from '../signatures/pinned-keys';
import type { Signer } from '../signatures/sign';
import { type Fetched, fetchFiles, missingFiles } from './fetch';
import { machineFault, removeTree } from './files';
import type { Layout } from './layout';
import { Lock } from './lock';
import { requireSignedPackages } from './package-signatures';
import { Progress, type Say } from './progress';
import { currentSnapshot, filesOf, filesToCarry, publish, removeUnfinished, sealTree, TreeBuilder, type TreeFile } from './snapshot';
import { type Failure, failureOf, readState, type RepositoryState, type SnapshotRecord, writeState } from './state';
import { requireSpace, requireStorage } from './storage';
import { type Incoming, Store } from './store';
import { fetchIndex, type UpstreamIndex } from './upstream-index';

/** What every sync of one process shares. */
export interface SyncContext {
  readonly layout: Layout;
  readonly server: ServerDefinition;
  readonly client: HttpClient;
  readonly retry: RetryOptions;
  readonly now: () => Date;
  readonly say: Say;
  /** How long superseded metadata, and the packages it lists, stay served. */
  readonly graceSeconds: number;
  /** Of the mirror's own signatures. Its keys are read when it is asked for, gpg starts when something is signed. */
  readonly signer: () => Promise<Signer>;
}

/** 48 hours: longer than clients keep metadata (yum 6 hours, dnf 48). */
export const GRACE_SECONDS = 48 * 3600;

export interface SyncOutcome {
  readonly id: string;
  readonly result: 'published' | 'unchanged' | 'failed';
  readonly snapshot?: string;
  readonly packages?: number;
  readonly bytes?: number;
  readonly downloadedFiles: number;
  readonly downloadedBytes: number;
  readonly seconds: number;
  readonly error?: Failure;
}

/**
 * Makes the published tree of one repository what its upstream has now, completely verified, or leaves it as it is. Never throws for what
 * can go wrong with one repository: the outcome and the state file say it.
 */
export async function syncRepository(context: SyncContext, definition: RepositoryDefinition): Promise<SyncOutcome> {
  const started = context.now();
  const outcome = (rest: Omit<SyncOutcome, 'id' | 'seconds'>): SyncOutcome => ({
    id: definition.id,
    seconds: Math.round((context.now().getTime() - started.getTime()) / 100) / 10,
    ...rest,
  });
  let lock: Lock | undefined;
  try {
    await requireStorage(context.layout, context.server);
    lock = await Lock.take(context.layout.lockFile(definition.id), definition.id);
    return outcome(await new SyncRun(context, definition, started).run());
  } catch (error) {
    return outcome({ result: 'failed', downloadedFiles: 0, downloadedBytes: 0, error: failureOf(machineFault(error)) });
  } finally {
    await lock?.release();
  }
}

type Done = Omit<SyncOutcome, 'id' | 'seconds'>;

/** One sync under its lock. */
class SyncRun {
  private readonly store: Store;
  private readonly sources: Sources;
  private readonly definitionDigest: string;
  private readonly temporary: string;

  constructor(
    private readonly context: SyncContext,
    private readonly definition: RepositoryDefinition,
    private readonly started: Date,
  ) {
    this.store = new Store(context.layout.store);
    this.sources = new Sources(baseUrls(definition));
    this.definitionDigest = digestOf(definition);
    this.temporary = context.layout.temporary(definition.id);
  }

  async run(): Promise<Done> {
    const { layout } = this.context;
    const { id } = this.definition;
    const stateFile = layout.stateFile(id);
    const before = await readState(stateFile, id);
    await writeState(stateFile, { ...before, lastRun: { startedAt: this.started.toISOString(), result: 'running' } });
    try {
      await removeUnfinished(layout, id);
      await removeTree(this.temporary);
      await mkdir(this.temporary, { recursive: true, mode: 0o700 });
      const done = await this.attempts(before);
      const name = done.snapshot as string;
      const after = await readState(stateFile, id);
      const finishedAt = this.context.now().toISOString();
      const record = after.snapshots[name];
      await writeState(stateFile, {
        version: 1,
        id,
        lastSuccess: finishedAt,
        lastRun: { startedAt: this.started.toISOString(), finishedAt, result: done.result },
        snapshots: record === undefined ? {} : { [name]: record },
      });
      return done;
    } catch (error) {
      await this.noteFailure(stateFile, machineFault(error));
      throw error;
    } finally {
      await removeTree(this.temporary);
    }
  }

  /** Upstream may change while it is read: then one new attempt starts from its index. */
  private async attempts(state: RepositoryState): Promise<Done> {
    const name = await currentSnapshot(this.context.layout, this.definition.id);
    const current = name === undefined ? undefined : state.snapshots[name];
    const ring = await this.keyRing();
    const index = await this.index(ring, current);
    if (index === 'unchanged' || this.isUnchanged(index, current)) return unchanged(name as string, current as SnapshotRecord);
    try {
      return await this.publishIndex(index, state, name, current, ring);
    } catch (error) {
      if (!(error instanceof DownloadError) || error.kind === 'transient') throw error;
      const again = (await this.index(ring, undefined)) as UpstreamIndex;
      if (again.digest === index.digest) throw error;
      this.context.say(`${this.definition.id}: upstream changed during the sync; starting again`);
      return this.publishIndex(again, state, name, current, ring);
    }
  }

  private async keyRing(): Promise<KeyRing | undefined> {
    const { trust } = this.definition;
    if (trust.mode === 'digestsOnly') return undefined;
    const keys = trust.keys.map((key) => ({ path: join(this.context.layout.configuration, key.file), fingerprint: key.fingerprint }));
    return buildKeyRing(keys, join(this.temporary, 'keys'));
  }

  private async index(ring: KeyRing | undefined, current: SnapshotRecord | undefined): Promise<UpstreamIndex | 'unchanged'> {
    const { client, retry } = this.context;
    // A conditional request only where "not modified" would end the run: another definition, or a grace that has passed, needs the bytes.
    const known =
      current !== undefined && this.isComplete(current)
        ? { url: current.url, etag: current.etag, lastModified: current.lastModified }
        : undefined;
    return fetchIndex({ client, retry, sources: this.sources, definition: this.definition, ring, known, temporary: this.temporary });
  }

  private isComplete(current: SnapshotRecord): boolean {
    const now = this.context.now().getTime();
    return current.definition === this.definitionDigest && Object.values(current.carried).every((until) => Date.parse(until) > now);
  }

  private isUnchanged(index: UpstreamIndex, current: SnapshotRecord | undefined): boolean {
    return (
      current !== undefined &&
      this.isComplete(current) &&
      current.repomd === index.digest &&
      current.signature === digestOfOptional(index.signature) &&
      current.key === digestOfOptional(index.key)
    );
  }

  private async publishIndex(
    index: UpstreamIndex,
    state: RepositoryState,
    name: string | undefined,
    current: SnapshotRecord | undefined,
    ring: KeyRing | undefined,
  ): Promise<Done> {
    const { layout } = this.context;
    const { id, trust } = this.definition;
    const incoming = await this.store.incoming(id);
    const { packages, fetched } = await this.fetchAll(index, incoming);
    await incoming.commit();
    if (trust.mode === 'signedPackages' && ring !== undefined) await requireSignedPackages(layout, this.store, id, packages, ring);

    const at = this.context.now();
    const files = treeFiles(index, packages);
    const builder = await TreeBuilder.start(this.store, layout, id, at);
    for (const file of files) await builder.add(file);
    const carried = await this.carry(builder, files, name, current, at);
    const snapshot = await sealTree(layout, id, builder.directory, index.digest, at);
    const bytes = packages.reduce((sum, item) => sum + item.size, 0);
    const record = recordOf(index, this.definitionDigest, at, { packages: packages.length, bytes, carried });
    await writeState(layout.stateFile(id), {
      ...state,
      lastRun: { startedAt: this.started.toISOString(), result: 'running' },
      snapshots: { ...(name === undefined || current === undefined ? {} : { [name]: current }), [snapshot]: record },
    });
    await publish(layout, id, snapshot);
    await incoming.close();
    return {
      result: 'published',
      snapshot,
      packages: packages.length,
      bytes,
      downloadedFiles: fetched.files,
      downloadedBytes: fetched.bytes,
    };
  }

  private async fetchAll(index: UpstreamIndex, incoming: Incoming): Promise<{ packages: readonly ListedPackage[]; fetched: Fetched }> {
    const { client, retry, layout, say } = this.context;
    const { id } = this.definition;
    const base = {
      client,
      retry,
      sources: this.sources,
      store: this.store,
      incoming,
      parallel: client.parallel,
      maxUndeclared: MAX_UNDECLARED_METADATA_BYTES,
    };
    const metadata = await fetchFiles(
      { ...base, onBytes: () => undefined, onFile: () => undefined },
      await missingFiles(this.store, incoming, index.repomd.records),
    );
    const { primary } = index.repomd;
    const what = `${primary.path} of ${id}`;
    const packages = await readPrimary(decompressed(incoming.locate(primary.checksum), what, primary.openSize), what, {
      weakChecksums: isWaived(this.definition, 'weakChecksums'),
    });
    const missing = await missingFiles(this.store, incoming, packages);
    const bytes = missing.reduce((sum, item) => sum + (item.size ?? 0), 0);
    await requireSpace(layout, id, bytes);
    if (missing.length > 0) say(`${id}: ${packages.length} packages, of which ${missing.length} are to be fetched`);
    const progress = new Progress(id, missing.length, bytes, say);
    try {
      const fetched = await fetchFiles(
        { ...base, onBytes: (count) => progress.addBytes(count), onFile: () => progress.fileDone() },
        missing,
      );
      return { packages, fetched: { files: metadata.files + fetched.files, bytes: metadata.bytes + fetched.bytes } };
    } finally {
      progress.stop();
    }
  }

  private async carry(
    builder: TreeBuilder,
    files: readonly TreeFile[],
    name: string | undefined,
    current: SnapshotRecord | undefined,
    now: Date,
  ): Promise<Readonly<Record<string, string>>> {
    if (name === undefined) return {};
    const tree = join(this.context.layout.snapshots(this.definition.id), name);
    const carried = filesToCarry({
      superseded: await filesOf(tree),
      carriedBefore: current?.carried ?? {},
      own: new Set(files.map((file) => file.path)),
      now,
      graceSeconds: this.context.graceSeconds,
    });
    for (const path of Object.keys(carried)) builder.carry(tree, path);
    return carried;
  }

  private async noteFailure(stateFile: string, error: unknown): Promise<void> {
    try {
      const state = await readState(stateFile, this.definition.id);
      const lastRun = {
        startedAt: this.started.toISOString(),
        finishedAt: this.context.now().toISOString(),
        result: 'failed' as const,
        error: failureOf(error),
      };
      await writeState(stateFile, { ...state, lastRun });
    } catch (second) {
      // On a full disk the state cannot be written either: the outcome still tells what happened.
      if (!(machineFault(second) instanceof MirrorError)) throw second;
      this.context.say(`${this.definition.id}: the state cannot be written: ${(machineFault(second) as MirrorError).message}`);
    }
  }
}

function unchanged(name: string, current: SnapshotRecord): Done {
  return { result: 'unchanged', snapshot: name, packages: current.packages, bytes: current.bytes, downloadedFiles: 0, downloadedBytes: 0 };
}

function treeFiles(index: UpstreamIndex, packages: readonly ListedPackage[]): readonly TreeFile[] {
  const metadata = new Map(index.repomd.records.map((record) => [record.path, { path: record.path, checksum: record.checksum }]));
  return [
    ...packages.map(({ path, checksum }) => ({ path, checksum })),
    ...metadata.values(),
    { path: 'repodata/repomd.xml', bytes: index.bytes },
    ...(index.signature === undefined ? [] : [{ path: 'repodata/repomd.xml.asc', bytes: index.signature }]),
    ...(index.key === undefined ? [] : [{ path: 'repodata/repomd.xml.key', bytes: index.key }]),
  ];
}

function recordOf(
  index: UpstreamIndex,
  definition: string,
  at: Date,
  content: Pick<SnapshotRecord, 'packages' | 'bytes' | 'carried'>,
): SnapshotRecord {
  const optional = {
    signature: digestOfOptional(index.signature),
    key: digestOfOptional(index.key),
    revision: index.repomd.revision,
    etag: index.answer.etag,
    lastModified: index.answer.lastModified,
  };
  return {
    definition,
    repomd: index.digest,
    url: index.url,
    publishedAt: at.toISOString(),
    ...content,
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<SnapshotRecord>),
  };
}

function digestOfOptional(bytes: Buffer | undefined): string | undefined {
  return bytes === undefined ? undefined : sha256(bytes);
}
