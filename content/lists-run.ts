import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, sha256 } from '../desired-state/canonical';
import { isWaived, type ListsDefinition } from '../desired-state/definitions';
import type { Source } from '../rpm-metadata/accumulate/merge';
import { writeAccumulated } from '../rpm-metadata/accumulate/write';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Signer } from '../signatures/sign';
import { askedName, type AskedPackage, askedPackages } from '../starlingx/asked';
import { buildSnapshot, signedIndex, type SnapshotIndex } from './build-snapshot';
import { hasSameProblems, isSameContent, listed } from './compare-contents';
import { accumulatedContents, type Contents } from './contents';
import type { LostFile } from './damage';
import type { Dropped } from './dropped';
import { listsMemory } from './first-sight';
import { type AskedByUrl, type ByUrl, fetchByUrl } from './listed-by-url';
import { forgotten, nobodyHas, toldOnce } from './lists-problems';
import { hasDigest, type IsSigned, locate, type Located, type Locations } from './locate';
import { noteChanges } from './note-changes';
import { unsignedPackages } from './package-signatures';
import { type PinnedRing, pinnedRing } from './pinned-ring';
import { inOneSentence } from './problems';
import { metadataOf, Published } from './published';
import type { Problem } from './record';
import { readRefusedBy, type RefusedBy } from './refused';
import { servedLists } from './served-lists';
import { NEW } from './snapshot';
import { type Incoming, Store } from './store';
import { type Done, type SyncContext, SyncFailed } from './sync';
import { inWorkspace } from './workspace';
import { usingStore } from './lock';

/** What was found of what is asked for. */
interface Gathered {
  readonly located: readonly Located[];
  readonly byUrl: ByUrl;
  readonly problems: readonly Problem[];
}

/**
 * One sync of package lists, under their lock: whatever they ask for, from the copied repositories or by its URL, is published beside what they asked for
 * before. Upstreams of repositories are not asked: their own syncs do that.
 */
export class ListsRun {
  private readonly store: Store;
  private readonly definitionDigest: string;
  private readonly asked: readonly AskedPackage[];
  /** What was forgotten in these lists, or in whatever copy, they take from nowhere. */
  private readonly refused: RefusedBy;
  private readonly work: string;
  /** Undefined where the lists declare no keys. */
  private readonly ring: PinnedRing | undefined;

  constructor(
    private readonly context: SyncContext,
    private readonly definition: ListsDefinition,
  ) {
    this.store = new Store(context.layout.store);
    this.definitionDigest = digestOf({ ...definition, retention: undefined, waivers: undefined });
    this.asked = askedPackages(definition.lists, definition.digests);
    this.refused = readRefusedBy(context.layout, [definition.id, ...context.definitions.repositories.map(({ id }) => id)]);
    const { id, keys } = definition;
    this.ring = keys === undefined ? undefined : pinnedRing(context.layout, keys, join(context.layout.temporary(id), 'keys'));
    this.work = join(context.layout.repository(definition.id), `${NEW}metadata`);
  }

  /** Throws a MirrorError or a SyncFailed; what is published is then as it was. */
  async run(): Promise<Done> {
    const { layout, signer } = this.context;
    const { id } = this.definition;
    return inWorkspace(layout, id, async () => {
      const published = await Published.read(layout, id);
      const keys = await signer();
      if (this.isComplete(published, keys)) return this.done(published as Published & { record: object }, 'unchanged', [], NOTHING);
      try {
        return await usingStore(layout, () => this.take(published, keys));
      } catch (error) {
        throw published === undefined ? error : published.blamed(error);
      }
    });
  }

  /** Published under the same lists, by the same keys, whole, with nothing missing, then or since: something may have been forgotten. */
  private isComplete(published: Published | undefined, keys: Signer): boolean {
    return (
      this.refused.size === 0 && published?.record?.problems.length === 0 && published.lost.length === 0 && this.isCurrent(published, keys)
    );
  }

  private isCurrent(published: Published, keys: Signer): boolean {
    const { record } = published;
    const now = this.context.now().getTime();
    if (record?.definition !== this.definitionDigest || record.signedBy !== keys.identity.digest || !published.hasMetadata) return false;
    return Object.values(record.carried).every((until) => Date.parse(until) > now);
  }

  private async take(published: Published | undefined, keys: Signer): Promise<Done> {
    const { context, definition, store } = this;
    const { layout } = context;
    const { id } = definition;
    const at = context.now();
    const incoming = await store.incoming(id);
    const before = (await published?.packages([])) ?? [];
    const lost = published?.lost ?? [];
    const { located, byUrl, problems: missing } = await this.gather(before, lost, published, incoming);
    const offered = [...located.map(({ item }) => item), ...byUrl.packages];
    const contents = accumulatedContents(offered, this.without(before, offered), {});
    const stillLost = lost.filter(
      ({ path, checksum }) =>
        contents.packages.some((item) => item.path === path && !contents.taken.has(item)) && !store.has(checksum, undefined),
    );
    const problems = [...toldOnce(missing, stillLost), ...contents.problems].sort((a, b) => (a.path < b.path ? -1 : 1));
    if (contents.packages.length === 0 && problems.length > 0) {
      await incoming.commit();
      throw new SyncFailed(this.inOneSentence(problems, 'nothing is left to publish'), problems);
    }
    await this.requireHere(contents.packages, { located, stillLost, published, incoming });
    if (
      published?.record !== undefined &&
      this.isCurrent(published, keys) &&
      lost.length === stillLost.length &&
      isSameContent(contents, before) &&
      hasSameProblems(problems, published.record.problems)
    ) {
      await incoming.commit();
      return this.done(published, 'unchanged', problems, byUrl.fetched);
    }
    const { packages } = contents;
    const built = await buildSnapshot(layout, store, incoming, {
      ...{ id, at, graceSeconds: context.graceSeconds, published, packages, lost: stillLost, withheld: [] },
      dropped: this.dropped(packages, published?.dropped, at),
      files: await servedLists(new Map(Object.entries(definition.lists).map(([name, text]) => [name, Buffer.from(text)])), keys),
      write: (tree) => this.writeIndex(tree, contents, { located, byUrl, published, keys, at }),
      announce: (snapshot, tree) => noteChanges(layout, id, { at, snapshot, tree, packages }, published && { published, packages: before }),
      record: {
        definition: this.definitionDigest,
        repomd: sha256(packages.map((item) => `${item.path} ${item.checksum.hex}\n`).join('')),
        url: '',
        upstreamPackages: this.asked.length,
        seen: byUrl.seen,
        problems,
      },
    });
    return this.done(built, 'published', problems, byUrl.fetched);
  }

  /** What is asked for and not published: from the copied repositories, else by its URL. */
  private async gather(
    before: readonly ListedPackage[],
    lost: readonly LostFile[],
    published: Published | undefined,
    incoming: Incoming,
  ): Promise<Gathered> {
    const { context, definition, store } = this;
    const gone = new Set(lost.filter(({ checksum }) => !store.has(checksum, undefined)).map(({ path }) => path));
    const here = new Map(before.filter(({ path }) => !gone.has(path)).map((item) => [askedName(item), item]));
    const open: AskedPackage[] = [];
    for (const one of this.asked) {
      const item = here.get(askedName(one));
      const tree = published?.tree ?? '';
      const isHere = item !== undefined && (one.sha256 === undefined || (await hasDigest(item, join(tree, item.path), one.sha256)));
      if (!isHere) open.push(one);
    }
    const none: Locations = { found: new Map(), refused: new Map(), versions: new Map(), remarks: [] };
    const { found, refused, versions, remarks } =
      open.length === 0 ? none : await locate(context.layout, context.definitions.repositories, open, this.refused, this.isSigned);
    for (const remark of remarks) context.say(`${definition.id}: ${remark}`);
    const rest = open.filter(({ file }) => !found.has(file));
    const memory = await listsMemory(context.layout, definition, published, before, rest.filter(isByUrl));
    const byUrl = await fetchByUrl(context, definition, rest.filter(isByUrl), {
      store,
      incoming,
      seen: memory.seen,
      refused: this.refused,
      ring: this.ring,
      work: join(context.layout.temporary(definition.id), 'describe'),
    });
    const without = rest.filter((one) => !isByUrl(one));
    return {
      located: [...found.values()],
      byUrl,
      problems: [
        ...without.map((one) => {
          const by = refused.get(one.file);
          return by === undefined ? nobodyHas(one, versions.get(one.name) ?? []) : forgotten(one, by);
        }),
        ...byUrl.problems,
        ...memory.lost.filter(({ path }) => byUrl.packages.some((item) => item.path.endsWith(`/${path}`))),
      ],
    };
  }

  /** Undefined where any will do. */
  private get isSigned(): IsSigned | undefined {
    const { ring, definition, context } = this;
    if (ring === undefined) return undefined;
    return async (item, path) => (await unsignedPackages(context.layout, () => path, definition.id, [item], await ring())).size === 0;
  }

  /** What is published, without that in whose place a package comes whose digest was recorded since. */
  private without(before: readonly ListedPackage[], offered: readonly ListedPackage[]): readonly ListedPackage[] {
    const recorded = new Set(this.asked.filter((one) => one.sha256 !== undefined).map(askedName));
    const replaced = new Set(offered.map(askedName).filter((name) => recorded.has(name)));
    return replaced.size === 0 ? before : before.filter((item) => !replaced.has(askedName(item)));
  }

  /** Makes sure that the store has what is published: of a copied repository, or of the snapshot before. */
  private async requireHere(
    packages: readonly ListedPackage[],
    from: { located: readonly Located[]; stillLost: readonly LostFile[]; published: Published | undefined; incoming: Incoming },
  ): Promise<void> {
    const trees = new Map(from.located.map(({ item, tree }) => [item, tree]));
    const gone = new Set(from.stillLost.map(({ path }) => path));
    for (const item of packages) {
      if (gone.has(item.path) || from.incoming.has(item.checksum)) continue;
      const tree = trees.get(item) ?? from.published?.tree;
      if (tree !== undefined) await this.store.regain(item.checksum, item.size, join(tree, item.path));
    }
  }

  /** What the lists ask for no more, and since when. */
  private dropped(packages: readonly ListedPackage[], before: Dropped | undefined, at: Date): Dropped {
    const names = new Set(this.asked.map(askedName));
    const dropped = packages.filter((item) => !names.has(askedName(item)));
    return new Map(dropped.map(({ path }) => [path, before?.get(path) ?? at.toISOString()]));
  }

  private async writeIndex(
    tree: string,
    { packages, taken }: Contents,
    from: { located: readonly Located[]; byUrl: ByUrl; published: Published | undefined; keys: Signer; at: Date },
  ): Promise<SnapshotIndex> {
    await mkdir(this.work, { recursive: true });
    const catalogue = join(this.work, 'catalogue');
    const { published, byUrl } = from;
    const sources: Source[] = [];
    for (const place of new Set(from.located.filter(({ item }) => taken.has(item)).map((one) => one.tree)))
      sources.push(Object.fromEntries(await metadataOf(place)) as unknown as Source);
    if (byUrl.source !== undefined) sources.push(byUrl.source);
    const written = await writeAccumulated({
      previous: published === undefined ? undefined : { repodata: join(published.tree, 'repodata'), catalogue: published.catalogue },
      sources,
      accept: listed(taken),
      keep: listed(packages),
      directory: join(tree, 'repodata'),
      catalogue,
      revision: Math.floor(from.at.getTime() / 1000),
    });
    const digests = new Set(packages.map(({ checksum }) => checksum.hex));
    if (written.packages.length !== digests.size)
      throw new Error(
        `${this.definition.id}: the metadata lists ${written.packages.length} packages, not the ${digests.size} that are there`,
      );
    return { ...(await signedIndex(written, from.keys)), catalogue };
  }

  private done(
    {
      snapshot,
      record,
    }: { readonly snapshot: string; readonly record?: { readonly packages?: number; readonly bytes?: number } | undefined },
    result: 'published' | 'unchanged',
    problems: readonly Problem[],
    fetched: ByUrl['fetched'],
  ): Done {
    const content = { snapshot, packages: record?.packages ?? 0, bytes: record?.bytes ?? 0 };
    const done = { result, ...content, downloadedFiles: fetched.files, downloadedBytes: fetched.bytes, problems };
    if (problems.length === 0 || isWaived(this.definition, 'incomplete')) return done;
    const { code, message, remedy, exitCode } = this.inOneSentence(problems, 'everything else is published');
    return { ...done, result: 'degraded', error: { code, message, remedy, exitCode } };
  }

  private inOneSentence(problems: readonly Problem[], consequence: string): ReturnType<typeof inOneSentence> {
    return inOneSentence(this.definition.id, problems, this.asked.length, consequence);
  }
}

const NOTHING = { files: 0, bytes: 0 };

function isByUrl(asked: AskedPackage): asked is AskedByUrl {
  return asked.url !== undefined;
}
