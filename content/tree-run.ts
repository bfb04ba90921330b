import { statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestOf, sha256 } from '../desired-state/canonical';
import type { TreeDefinition } from '../desired-state/definitions';
import { DownloadError } from '../downloads/errors';
import type { HttpClient } from '../downloads/http';
import { Sources, withFailover } from '../downloads/sources';
import type { Checksum } from '../rpm-metadata/checksum';
import { carrySuperseded, publishBuilt } from './build-snapshot';
import { readDamage } from './damage';
import { Fetching } from './fetching';
import { type PinnedRing, pinnedRing } from './pinned-ring';
import { type Modules, modulesOf } from './rsync-modules';
import { isModule } from './rsync-source';
import { RsyncTree } from './rsync-tree';
import { currentSnapshot, freeName, TreeBuilder } from './snapshot';
import { clientFor } from './source-lists';
import { Store } from './store';
import type { Done, SyncContext } from './sync';
import { fetchListed, fetchUnlisted, type TreeFetchContext, type TreeFound } from './tree-fetch';
import { readTreeIndex, type TreeIndex } from './tree-index';
import { manifestText, readManifest, type TreeManifest, unlistedOf } from './tree-manifest';
import { type TreeSource, WebTree } from './tree-source';
import { withSlots } from './with-slots';
import { inWorkspace } from './workspace';

/** What is published of a tree. */
interface Published {
  readonly snapshot: string;
  /** Undefined where it cannot be read: then nothing is taken as unchanged. */
  readonly manifest: TreeManifest | undefined;
}

/** One sync of a file tree, under its lock. */
export class TreeRun {
  private readonly store: Store;
  private readonly sources: Sources;
  private readonly definitionDigest: string;
  private readonly temporary: string;
  private readonly client: HttpClient;
  private readonly modules: Modules;
  /** Undefined where no checksums are signed. */
  private readonly ring: PinnedRing | undefined;

  constructor(
    private readonly context: SyncContext,
    private readonly definition: TreeDefinition,
  ) {
    this.store = new Store(context.layout.store);
    this.sources = new Sources(definition.fetchFrom);
    this.definitionDigest = digestOf({ ...definition, retention: undefined });
    this.temporary = context.layout.temporary(definition.id);
    this.client = clientFor(context.client, definition);
    this.modules = modulesOf(context, definition.id);
    const { trust } = definition;
    this.ring = trust.mode === 'signedChecksums' ? pinnedRing(context.layout, trust.keys, join(this.temporary, 'keys')) : undefined;
  }

  async run(): Promise<Done> {
    return inWorkspace(this.context.layout, this.definition.id, () => this.attempts());
  }

  /** Upstream may change while it is read: then one new attempt starts from its index. */
  private async attempts(): Promise<Done> {
    const { layout } = this.context;
    const { id } = this.definition;
    const snapshot = await currentSnapshot(layout, id);
    const published = snapshot === undefined ? undefined : { snapshot, manifest: await readManifest(layout.record(id, snapshot, 'tree')) };
    const index = await this.index(published);
    if (index === 'unchanged') return unchanged(published as Published);
    // Only now, since most runs end by then.
    return withSlots(this.context, id, index.url, () => this.takeOrAgain(index, published));
  }

  private async takeOrAgain(index: TreeIndex, published: Published | undefined): Promise<Done> {
    try {
      return await this.publishIndex(index, published);
    } catch (error) {
      if (!(error instanceof DownloadError) || error.kind === 'transient') throw error;
      const again = (await this.index(published, false)) as TreeIndex;
      if (digestOf(again.targets) === digestOf(index.targets)) throw error;
      this.context.say(`${this.definition.id}: upstream changed during the sync; starting again`);
      return this.publishIndex(again, published);
    }
  }

  private async index(published: Published | undefined, mayBeUnchanged = true): Promise<TreeIndex | 'unchanged'> {
    const { definition, temporary } = this;
    const complete = mayBeUnchanged && this.isComplete(published);
    return withFailover(this.sources, this.context.retry, (url) =>
      readTreeIndex(this.treeSource(url), { definition, ring: this.ring, published: published?.manifest, complete, temporary }),
    );
  }

  private treeSource(url: string): TreeSource {
    return isModule(url) ? new RsyncTree(this.modules(url)) : new WebTree(this.client, url);
  }

  /** Whether the same files, under today's definition, would be published anew for nothing. */
  private isComplete(published: Published | undefined): boolean {
    const manifest = published?.manifest;
    const now = this.context.now().getTime();
    return (
      published !== undefined &&
      manifest !== undefined &&
      readDamage(this.context.layout, this.definition.id, published.snapshot).length === 0 &&
      manifest.definition === this.definitionDigest &&
      Object.values(manifest.carried).every((until) => Date.parse(until) > now)
    );
  }

  private async publishIndex(index: TreeIndex, published: Published | undefined): Promise<Done> {
    const { layout, say } = this.context;
    const { id } = this.definition;
    if (index.leftOut.length > 0) {
      const more = index.leftOut.length > 5 ? ` and ${index.leftOut.length - 5} more` : '';
      say(`${id}: left out, since only regular files are copied: ${index.leftOut.slice(0, 5).join(', ')}${more}`);
    }
    const incoming = await this.store.incoming(id);
    const { found, fetched } = await this.fetch(index, published?.manifest, incoming);
    const digest = sha256(
      [
        ...found.map(({ path, checksum }) => `${path}\0${checksum.algorithm}:${checksum.hex}`),
        ...index.own.map(({ path, bytes }) => `${path}\0sha256:${sha256(bytes)}`),
      ]
        .sort()
        .join('\n'),
    );
    if (published !== undefined && this.isComplete(published) && published.manifest?.digest === digest) {
      await incoming.close();
      return unchanged(published);
    }
    const at = this.context.now();
    const builder = await TreeBuilder.start(this.store, layout, id, at);
    for (const { path, checksum } of found) builder.add({ path, checksum }, incoming.locate(checksum));
    for (const { path, bytes } of index.own) builder.add({ path, bytes });
    const paths = new Set([...found, ...index.own].map(({ path }) => path));
    const superseded = published && { tree: join(layout.snapshots(id), published.snapshot), carried: published.manifest?.carried };
    const carried = await carrySuperseded(builder, superseded, paths, { at, graceSeconds: this.context.graceSeconds });
    const manifest: TreeManifest = {
      version: 1,
      definition: this.definitionDigest,
      digest,
      url: index.url,
      publishedAt: at.toISOString(),
      files: paths.size,
      bytes: found.reduce((sum, { size }) => sum + size, 0) + index.own.reduce((sum, { bytes }) => sum + bytes.length, 0),
      carried,
      own: Object.fromEntries(index.own.map(({ path, bytes, validators }) => [path, { sha256: sha256(bytes), validators }])),
      made: index.made,
      listed: found.filter(({ validators }) => validators === undefined).map(({ path, checksum, size }) => ({ path, checksum, size })),
      unlisted: unlistedOf(found.filter(({ validators }) => validators !== undefined)),
    };
    const snapshot = await freeName(layout, id, digest, at);
    const record = layout.record(id, snapshot, 'tree');
    await mkdir(dirname(record), { recursive: true });
    await writeFile(record, manifestText(manifest));
    await publishBuilt(layout, incoming, { id, snapshot, built: builder.directory });
    return {
      result: 'published',
      snapshot,
      files: manifest.files,
      bytes: manifest.bytes,
      downloadedFiles: fetched.files,
      downloadedBytes: fetched.bytes,
      problems: [],
    };
  }

  private async fetch(
    index: TreeIndex,
    published: TreeManifest | undefined,
    incoming: TreeFetchContext['incoming'],
  ): Promise<{ readonly found: readonly TreeFound[]; readonly fetched: { readonly files: number; readonly bytes: number } }> {
    const fetching = new Fetching(this.context, this.definition.id);
    const context: TreeFetchContext = {
      client: this.client,
      retry: this.context.retry,
      sources: this.sources.all,
      modules: this.modules,
      store: this.store,
      incoming,
      announce: (files, bytes) =>
        fetching.announce(files, bytes, files > 0 ? `${index.targets.length} files, of which ${files} are to be fetched` : undefined),
      onBytes: fetching.onBytes,
      onFile: fetching.onFile,
    };
    try {
      const listed = index.targets.filter((target): target is typeof target & { checksum: Checksum } => target.checksum !== undefined);
      const unlisted = index.targets.filter(({ checksum }) => checksum === undefined);
      await fetchListed(context, listed);
      const known = new Map(published?.unlisted.map((file): [string, TreeFound] => [file.path, file as TreeFound]));
      const taken = unlisted.length === 0 ? [] : await fetchUnlisted(context, index.url, unlisted, known);
      return { found: [...listed.map((target) => this.located(target, incoming)), ...taken], fetched: fetching.fetched };
    } finally {
      fetching.stop();
    }
  }

  private located({ path, checksum }: { path: string; checksum: Checksum }, incoming: TreeFetchContext['incoming']): TreeFound {
    return { path, checksum, size: statSync(incoming.locate(checksum)).size };
  }
}

function unchanged({ snapshot, manifest }: Published): Done {
  return {
    result: 'unchanged',
    snapshot,
    files: manifest?.files ?? 0,
    bytes: manifest?.bytes ?? 0,
    downloadedFiles: 0,
    downloadedBytes: 0,
    problems: [],
  };
}
