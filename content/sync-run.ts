import { join } from 'node:path';
import { digestOf } from '../desired-state/canonical';
import { isWaived, type RepositoryDefinition } from '../desired-state/definitions';
import { DownloadError } from '../downloads/errors';
import type { HttpClient } from '../downloads/http';
import type { ResolvedSources } from '../downloads/mirror-lists';
import { checksumKey } from '../rpm-metadata/checksum';
import type { ListedPackage } from '../rpm-metadata/primary';
import { buildSnapshot } from './build-snapshot';
import { Asked, readLookedFor, writeLookedFor } from './asked';
import { AccumulatedView } from './accumulated-view';
import type { Contents } from './contents';
import { hasSameProblems, isSameContent, requireMost } from './compare-contents';
import { type LostFile, problemOfLost } from './damage';
import { type Dropped, droppedNow } from './dropped';
import { noteChanges } from './note-changes';
import { frozen, type IndexTime, refusedIndex } from './judge-index';
import { inOneSentence } from './problems';
import { type PinnedRing, pinnedRing } from './pinned-ring';
import { Published } from './published';
import { present } from './present';
import type { Problem } from './record';
import { type Modules, modulesOf } from './rsync-modules';
import { clientFor, sourcesOf } from './source-lists';
import { type Incoming, Store } from './store';
import { type Done, type SyncContext, SyncFailed } from './sync';
import { digestOfOptional, fetchIndex, isSameIndex, type UpstreamIndex } from './upstream-index';
import { type Missing, Retrieval } from './retrieval';
import { VerbatimView, type View } from './views';
import { withSlots } from './with-slots';
import { inWorkspace } from './workspace';

interface Upstream extends ResolvedSources {
  readonly client: HttpClient;
  readonly modules: Modules;
}

/** One sync of one repository, under its lock. */
export class SyncRun {
  private readonly store: Store;
  private readonly definitionDigest: string;
  private readonly temporary: string;
  /** Undefined where nothing of upstream's is signed. */
  private readonly ring: PinnedRing | undefined;
  private readonly asked: Asked;
  /** Digest of the mirror's keys, where it signs. */
  private signedBy: string | undefined;

  constructor(
    private readonly context: SyncContext,
    private readonly definition: RepositoryDefinition,
  ) {
    this.store = new Store(context.layout.store);
    this.definitionDigest = digestOf({ ...definition, retention: undefined, pins: undefined });
    this.temporary = context.layout.temporary(definition.id);
    this.asked = Asked.by(definition.filter === undefined ? [] : context.definitions.lists);
    const { trust } = definition;
    this.ring = trust.mode === 'digestsOnly' ? undefined : pinnedRing(context.layout, trust.keys, join(this.temporary, 'keys'));
  }

  /** Throws a MirrorError or a SyncFailed; what is published is then as it was. */
  async run(): Promise<Done> {
    const { layout } = this.context;
    const { id } = this.definition;
    return inWorkspace(layout, id, async () => this.attempts(await Published.read(layout, id)));
  }

  /** Upstream may change while it is read: then one new attempt starts from its index. */
  private async attempts(published: Published | undefined): Promise<Done> {
    const upstream = await this.upstream();
    if (this.definition.view === 'accumulate') this.signedBy = (await this.context.signer()).identity.digest;
    const index = await this.index(upstream, published, true);
    if (index === 'unchanged') return this.unchanged(published as Published);
    try {
      // Only now, since most runs end by then.
      return await withSlots(this.context, this.definition.id, index.url, () => this.takeOrAgain(index, upstream, published));
    } catch (error) {
      throw published === undefined ? error : published.blamed(error);
    }
  }

  private async takeOrAgain(index: UpstreamIndex, upstream: Upstream, published: Published | undefined): Promise<Done> {
    const moved = async (): Promise<UpstreamIndex | undefined> => {
      const again = (await this.index(upstream, published, false)) as UpstreamIndex;
      return again.digest === index.digest ? undefined : again;
    };
    try {
      return await this.take(index, upstream, published, moved);
    } catch (error) {
      if (!(error instanceof UpstreamMoved)) throw error;
      this.context.say(`${this.definition.id}: upstream changed during the sync; starting again`);
      return this.take(error.index, upstream, published, undefined);
    }
  }

  /** Where the bytes come from, and a client that goes nowhere else within private networks than the definition says. */
  private async upstream(): Promise<Upstream> {
    const { context, definition } = this;
    const client = clientFor(context.client, definition);
    return { client, modules: modulesOf(context, definition.id), ...(await sourcesOf({ ...context, client }, definition)) };
  }

  private async index(
    { client, modules, sources, digests }: Upstream,
    published: Published | undefined,
    mayBeUnchanged: boolean,
  ): Promise<UpstreamIndex | 'unchanged'> {
    const { retry } = this.context;
    const record = published?.record;
    return fetchIndex({
      client,
      retry,
      sources,
      modules,
      digests,
      definition: this.definition,
      ring: this.ring,
      known: mayBeUnchanged && this.isComplete(published) ? record : undefined,
      published: record === undefined ? await this.served(published) : { revision: record.revision, newest: record.newest },
      now: this.context.now(),
      temporary: this.temporary,
    });
  }

  /** When upstream made what is served, where the record of it is lost: its own index says so, a merged one does not. */
  private async served(published: Published | undefined): Promise<IndexTime | undefined> {
    if (published === undefined || this.definition.view !== 'verbatim') return undefined;
    return published.indexTime();
  }

  /** How many packages upstream listed; where the record of it is lost, a verbatim view has as many. */
  private async listedBefore(published: Published | undefined): Promise<number | undefined> {
    if (published?.record !== undefined || this.definition.view !== 'verbatim') return published?.record?.upstreamPackages;
    return (await published?.packages([]))?.length;
  }

  /** Published under the same definition and lists, nothing is missing, then or since, and no grace has passed. */
  private isComplete(published: Published | undefined): boolean {
    const record = published?.record;
    const { layout } = this.context;
    if (readLookedFor(layout, this.definition.id) !== this.asked.digest) return false;
    return record !== undefined && record.problems.length === 0 && published?.lost.length === 0 && this.isCurrent(published);
  }

  /** Published under the same definition and by the same keys, no grace has passed, and what clients read first is there. */
  private isCurrent(published: Published | undefined): boolean {
    const record = published?.record;
    const now = this.context.now().getTime();
    if (record?.definition !== this.definitionDigest || record.signedBy !== this.signedBy) return false;
    if (published?.hasMetadata !== true) return false;
    return Object.values(record.carried).every((until) => Date.parse(until) > now);
  }

  /** Throws where an upstream that stands still has done so for too long. */
  private unchanged({ snapshot, record }: Published): Done {
    if (record === undefined) throw new Error('what has no record is not unchanged');
    const { packages, bytes, url, revision, newest } = record;
    const { maxAgeDays } = this.definition;
    const stale = isWaived(this.definition, 'staleMetadata') ? undefined : frozen({ revision, newest }, maxAgeDays, this.context.now());
    if (stale !== undefined) throw refusedIndex(url, stale);
    return { result: 'unchanged', snapshot, packages, bytes, downloadedFiles: 0, downloadedBytes: 0, problems: [] };
  }

  private async take(
    index: UpstreamIndex,
    from: Upstream,
    published: Published | undefined,
    moved: (() => Promise<UpstreamIndex | undefined>) | undefined,
  ): Promise<Done> {
    const { context, definition, store } = this;
    const { layout } = context;
    const at = context.now();
    const gone = published?.lost ?? [];
    if (definition.view === 'accumulate') requireMerged(published);
    const incoming = await store.incoming(definition.id);
    const retrieval = new Retrieval({ ...from, context, definition, store, incoming, index, ring: this.ring });
    const view: View =
      definition.view === 'verbatim'
        ? new VerbatimView(definition, index)
        : new AccumulatedView({ definition, asked: this.asked, layout, incoming, index, published, signer: context.signer, at });
    const checkMoved = async (): Promise<void> => {
      const again = await moved?.();
      if (again !== undefined) throw new UpstreamMoved(again);
    };
    const lost = await retrieval.metadata(view.required, view.optional).catch(async (error: unknown) => {
      if (mayHaveMoved(error)) await checkMoved();
      throw error;
    });
    if (lost.size > 0) await checkMoved();
    const upstream = await retrieval.list(await this.listedBefore(published));
    const deltas = definition.view === 'verbatim' ? await retrieval.deltas() : [];
    const before = (await published?.packages(upstream)) ?? [];
    const wanted = view.contents(upstream, before, new Set());
    const { missing: lacking, fetched } = await retrieval.packages(wanted, deltas, published);
    if ([...lacking.values()].some(({ fromUpstream }) => fromUpstream)) await checkMoved();

    const without = (some: ReadonlyMap<object, unknown>): Contents =>
      some.size === 0 ? wanted : view.contents(upstream, before, new Set(some.keys()));
    const untrusted =
      published === undefined ? new Map<never, Missing>() : await retrieval.untrustedKept(without(lacking), published.tree, gone);
    requireMost(definition, untrusted, before.length);
    const missing = new Map([...lacking, ...untrusted]);
    const contents = without(missing);
    const refused = retrieval.located(contents.problems, upstream);
    const stillLost = stillLostOf(gone, contents, store, incoming);
    const problems = [
      ...(await view.prepare(lost)),
      ...refused,
      ...[...missing.values()].map(({ problem }) => problem),
      ...stillLost.map(problemOfLost),
    ];
    const held = view.holds(problems, upstream.length);
    if (held !== undefined || (problems.length > 0 && contents.packages.length === 0)) {
      // The next run has less to do.
      await incoming.commit();
      throw new SyncFailed(held ?? inOneSentence(definition.id, problems, upstream.length, 'nothing is left to publish'), problems);
    }
    await this.requireKept(contents, stillLost, published, incoming);
    const counts = { downloadedFiles: fetched.files, downloadedBytes: fetched.bytes };
    if (
      published?.record !== undefined &&
      this.isCurrent(published) &&
      gone.length === stillLost.length &&
      isSameIndex(index, published.record) &&
      isSameContent(contents, before) &&
      hasSameProblems(problems, published.record.problems)
    ) {
      await incoming.commit();
      await writeLookedFor(layout, definition.id, this.asked.digest);
      return this.done({ snapshot: published.snapshot, ...published.record }, counts, problems, upstream, 'unchanged');
    }
    const built = await buildSnapshot(layout, store, incoming, {
      id: definition.id,
      at,
      graceSeconds: context.graceSeconds,
      published,
      packages: contents.packages,
      lost: stillLost,
      ...(definition.view === 'accumulate' ? { dropped: this.dropped(contents, upstream, published, at) } : {}),
      withheld: [...missing.keys()].map(({ path }) => path),
      files: [...view.files(), ...deltas.filter((delta) => !missing.has(delta))],
      write: (tree) => view.write(tree, contents),
      announce: (snapshot, tree) =>
        noteChanges(
          layout,
          definition.id,
          { at, snapshot, tree, packages: contents.packages },
          published && { published, packages: before },
        ),
      record: {
        definition: this.definitionDigest,
        repomd: index.digest,
        ...present({
          signature: digestOfOptional(index.signature),
          key: digestOfOptional(index.key),
          revision: index.repomd.revision,
          newest: index.repomd.newest,
        }),
        url: index.url,
        upstreamPackages: upstream.length,
        problems,
      },
    });
    await writeLookedFor(layout, definition.id, this.asked.digest);
    return this.done({ snapshot: built.snapshot, ...built.record }, counts, problems, upstream, 'published');
  }

  private dropped({ packages, taken }: Contents, upstream: readonly ListedPackage[], published: Published | undefined, at: Date): Dropped {
    const kept = packages.length === taken.size ? [] : packages.filter((item) => !taken.has(item));
    return droppedNow(kept, upstream, published?.dropped, at);
  }

  /** What stays from what is published is there whole, as far as sizes tell: nobody looked at it in this run. */
  private async requireKept(
    { packages, taken }: Contents,
    lost: readonly LostFile[],
    published: Published | undefined,
    incoming: Incoming,
  ): Promise<void> {
    if (published === undefined || packages.length === taken.size) return;
    const gone = new Set(lost.map(({ path }) => path));
    for (const item of packages) {
      if (taken.has(item) || gone.has(item.path) || incoming.has(item.checksum)) continue;
      await this.store.regain(item.checksum, item.size, join(published.tree, item.path));
    }
  }

  private done(
    content: { readonly snapshot: string; readonly packages: number; readonly bytes: number },
    counts: Pick<Done, 'downloadedFiles' | 'downloadedBytes'>,
    problems: readonly Problem[],
    upstream: readonly ListedPackage[],
    result: 'published' | 'unchanged',
  ): Done {
    const { id } = this.definition;
    const done = { result, snapshot: content.snapshot, packages: content.packages, bytes: content.bytes, ...counts, problems };
    if (problems.length === 0 || isWaived(this.definition, 'incomplete')) return done;
    const { code, message, remedy, exitCode } = inOneSentence(id, problems, upstream.length, 'everything else is published');
    return { ...done, result: 'degraded', error: { code, message, remedy, exitCode } };
  }
}

/** Packages that stay listed, and that neither upstream nor this disk has: they are not forgotten, and hold up nothing. */
function stillLostOf(gone: readonly LostFile[], { packages, taken }: Contents, store: Store, incoming: Incoming): readonly LostFile[] {
  if (gone.length === 0) return gone;
  const kept = new Map(packages.filter((item) => !taken.has(item)).map((item) => [item.path, checksumKey(item.checksum)]));
  return gone.filter(
    ({ path, checksum }) => kept.get(path) === checksumKey(checksum) && !incoming.has(checksum) && !store.has(checksum, undefined),
  );
}

/** Without the metadata that is published it cannot be known what only this mirror still has. That of snapshots before it is not asked for. */
function requireMerged(published: Published | undefined): void {
  const carried = published?.record?.carried ?? {};
  const file = published?.lost.find(({ path }) => path.startsWith('repodata/') && !Object.hasOwn(carried, path));
  if (published !== undefined && file !== undefined) throw published.damaged(problemOfLost(file).message);
}

/** Upstream has another index than the one that was read. */
class UpstreamMoved extends Error {
  constructor(readonly index: UpstreamIndex) {
    super('upstream moved');
  }
}

/** Files that its index lists are not there, or are others. */
function mayHaveMoved(error: unknown): boolean {
  return error instanceof DownloadError && error.kind !== 'transient';
}
