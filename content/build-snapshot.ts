import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import type { Accumulated } from '../rpm-metadata/accumulate/write';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Signer } from '../signatures/sign';
import { type LostFile, writeDamage } from './damage';
import { type Dropped, writeDropped } from './dropped';
import { flushDirectory, flushFileSystem } from './files';
import type { Layout } from './layout';
import { writePackageList } from './package-list';
import type { Published } from './published';
import { recordText, type SnapshotRecord } from './record';
import { filesOf, filesToCarry, freeName, namesIn, publish, TreeBuilder, type TreeFile } from './snapshot';
import type { Incoming, Store } from './store';

/** What a new snapshot is made of. */
export interface SnapshotPlan {
  readonly id: string;
  readonly at: Date;
  readonly graceSeconds: number;
  readonly published: Published | undefined;
  readonly packages: readonly ListedPackage[];
  /** Packages that stay listed although they were lost. */
  readonly lost: readonly LostFile[];
  /** Of an accumulated one: what upstream no longer lists. */
  readonly dropped?: Dropped | undefined;
  /** Paths at which the index lists what is not here: what was there before has other content. */
  readonly withheld: readonly string[];
  /** Files beside the packages and the index; those that `write` makes are not among them. */
  readonly files: readonly TreeFile[];
  /** Makes the index, with whatever else it writes below `tree`; a path that it returns as catalogue is kept beside the snapshot. */
  readonly write: (tree: string) => Promise<SnapshotIndex>;
  /** Called before the snapshot is published, with its name and where it lies by then. */
  readonly announce: (snapshot: string, tree: string) => Promise<void>;
  readonly record: Omit<
    SnapshotRecord,
    'version' | 'index' | 'repodata' | 'carried' | 'publishedAt' | 'packages' | 'bytes' | 'signedBy' | 'merged'
  >;
}

export interface SnapshotIndex {
  readonly repomd: Uint8Array;
  readonly signature: Uint8Array | undefined;
  readonly key: Uint8Array | undefined;
  readonly signedBy?: string;
  readonly merged?: Readonly<Record<string, string>>;
  /** Paths below the tree that `write` made. */
  readonly made: readonly string[];
  readonly catalogue?: string;
}

/** The index of merged metadata, signed by the mirror. */
export async function signedIndex({ repomd, records }: Pick<Accumulated, 'repomd' | 'records'>, signer: Signer): Promise<SnapshotIndex> {
  return {
    repomd,
    signature: Buffer.from(await signer.sign(repomd)),
    key: Buffer.from(signer.identity.publicKeys),
    signedBy: signer.identity.digest,
    made: records.map(({ name }) => `repodata/${name}`),
  };
}

/**
 * Builds a snapshot by hard links, brings it and all that it needs to disk by one flush of the file system, and publishes it by one rename.
 * Until then nothing that is served has changed; what is left of a run that dies is removed by the next.
 */
export async function buildSnapshot(
  layout: Layout,
  store: Store,
  incoming: Incoming,
  plan: SnapshotPlan,
): Promise<{ readonly snapshot: string; readonly record: SnapshotRecord }> {
  const { id, at, published } = plan;
  const builder = await TreeBuilder.start(store, layout, id, at);
  const lost = new Set(plan.lost.map(({ path }) => path));
  for (const { path, checksum, size } of plan.packages) {
    if (lost.has(path)) continue;
    await builder.addOrRegain({ path, checksum, size }, incoming.locate(checksum), published?.tree);
  }
  const digests: Record<string, string> = {};
  for (const file of plan.files) {
    builder.add(file, 'checksum' in file ? incoming.locate(file.checksum) : undefined);
    if ('bytes' in file) digests[file.path] = sha256(file.bytes);
  }
  builder.folder('repodata');
  const index = await plan.write(builder.directory);
  const indexFiles = [
    ['repodata/repomd.xml', index.repomd],
    ['repodata/repomd.xml.asc', index.signature],
    ['repodata/repomd.xml.key', index.key],
  ] as const;
  for (const [path, bytes] of indexFiles) {
    if (bytes === undefined) continue;
    builder.add({ path, bytes });
    digests[path] = sha256(bytes);
  }
  // The first snapshot is compared with nothing, and the list is long.
  const own = new Set(
    published === undefined ? [] : [...plan.packages, ...plan.files].map(({ path }) => path).concat(index.made, plan.withheld),
  );
  const superseded = published && { tree: published.tree, carried: published.record?.carried };
  const carried = await carrySuperseded(builder, superseded, own, plan);

  const record: SnapshotRecord = {
    version: 1,
    repodata: readdirSync(join(builder.directory, 'repodata')),
    ...plan.record,
    ...(index.signedBy === undefined ? {} : { signedBy: index.signedBy }),
    ...(index.merged === undefined ? {} : { merged: index.merged }),
    index: digests,
    publishedAt: at.toISOString(),
    packages: plan.packages.length,
    bytes: plan.packages.reduce((sum, { size }) => sum + size, 0),
    carried,
  };
  const snapshot = await freeName(layout, id, sha256(index.repomd), at);
  mkdirSync(dirname(layout.record(id, snapshot, 'json')), { recursive: true });
  writeFileSync(layout.record(id, snapshot, 'json'), recordText(record));
  writePackageList(layout.record(id, snapshot, 'packages'), plan.packages);
  if (plan.dropped !== undefined) writeDropped(layout.record(id, snapshot, 'dropped'), plan.dropped);
  await writeDamage(layout, id, snapshot, plan.lost);
  if (index.catalogue !== undefined) await rename(index.catalogue, layout.record(id, snapshot, 'catalogue'));

  await plan.announce(snapshot, builder.directory);
  await publishBuilt(layout, incoming, { id, snapshot, built: builder.directory });
  return { snapshot, record };
}

/** Brings a built tree, what is known of it and what arrived for it to disk by one flush; then publishes it by one rename. */
export async function publishBuilt(
  layout: Layout,
  incoming: Incoming,
  { id, snapshot, built }: { readonly id: string; readonly snapshot: string; readonly built: string },
): Promise<void> {
  await incoming.around(() => flushFileSystem(layout.root));
  await rename(built, join(layout.snapshots(id), snapshot));
  // Journals keep the order of renames, POSIX does not promise it.
  await flushDirectory(layout.snapshots(id));
  await publish(layout, id, snapshot);
  await incoming.close();
}

/** Links what stays served of the superseded tree, in its grace period; returns it, with until when. `own` are paths of the new tree. */
export async function carrySuperseded(
  builder: TreeBuilder,
  superseded: { readonly tree: string; readonly carried: Readonly<Record<string, string>> | undefined } | undefined,
  own: ReadonlySet<string>,
  { at, graceSeconds }: { readonly at: Date; readonly graceSeconds: number },
): Promise<Readonly<Record<string, string>>> {
  if (superseded === undefined) return {};
  const { tree, carried: carriedBefore = {} } = superseded;
  const carried = filesToCarry({ superseded: await filesOf(tree), carriedBefore, own, now: at, graceSeconds });
  return Object.fromEntries(Object.entries(carried).filter(([path]) => builder.carry(tree, path)));
}

/** Removes the records of snapshots that are not there: an interrupted run wrote them. Only the holder of the lock may do so. */
export async function removeOrphanedRecords(layout: Layout, id: string): Promise<void> {
  const directory = dirname(layout.record(id, 'x', 'json'));
  const snapshots = new Set(await namesIn(layout.snapshots(id)));
  for (const name of await namesIn(directory)) {
    if (!snapshots.has(name.split('.')[0] as string)) await rm(join(directory, name), { force: true });
  }
}
