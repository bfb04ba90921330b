import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readTags } from '../rpm-metadata/accumulate/index-file';
import type { Source } from '../rpm-metadata/accumulate/merge';
import { writeAccumulated } from '../rpm-metadata/accumulate/write';
import type { MetadataSource } from '../rpm-metadata/elements';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Signer } from '../signatures/sign';
import { buildSnapshot, signedIndex, type SnapshotIndex } from './build-snapshot';
import { listed } from './compare-contents';
import type { Layout } from './layout';
import { noteChanges } from './note-changes';
import { present } from './present';
import { metadataOf, type Published } from './published';
import { servedAgain } from './served-lists';
import { NEW } from './snapshot';
import { Store } from './store';
import { inWorkspace } from './workspace';

export interface RebuildOptions {
  readonly layout: Layout;
  readonly id: string;
  /** Of an accumulated repository, with its record. */
  readonly published: Published;
  /** What the new snapshot lists. */
  readonly packages: readonly ListedPackage[];
  /** Of those, packages that another snapshot of this repository has, and the published one does not. */
  readonly back?: { readonly tree: string; readonly packages: readonly ListedPackage[]; readonly dropped: ReadonlyMap<string, string> };
  /** Paths that are not to be had any more from now on, not even for the grace period of superseded metadata. */
  readonly withheld: readonly string[];
  readonly graceSeconds: number;
  readonly at: Date;
  readonly signer: () => Promise<Signer>;
}

/**
 * Publishes another snapshot of an accumulated repository, of what is here: without some of its packages, or with some that it had before. What is
 * known of its upstream stays as it is. Only for the holder of its lock; returns the name of the snapshot.
 */
export async function rebuild(options: RebuildOptions): Promise<string> {
  const { layout, id, published, packages, at } = options;
  const { record } = published;
  if (record === undefined) throw published.damaged(`${layout.record(id, published.snapshot, 'json')} is lost`);
  const store = new Store(layout.store);
  return inWorkspace(layout, id, async () => {
    const incoming = await store.incoming(id);
    const before = await published.packages([]);
    const stays = new Set(packages.map(({ path }) => path));
    const dropped = new Map([...(published.dropped ?? []), ...(options.back?.dropped ?? [])].filter(([path]) => stays.has(path)));
    const { snapshot } = await buildSnapshot(layout, store, incoming, {
      id,
      at,
      graceSeconds: options.graceSeconds,
      published,
      packages,
      lost: published.lost.filter(({ path }) => stays.has(path)),
      dropped,
      withheld: options.withheld,
      files: await servedAgain(published.tree, record, options.signer),
      write: (tree) => writeIndex(options, tree),
      announce: (name, tree) => noteChanges(layout, id, { at, snapshot: name, tree, packages }, { published, packages: before }),
      record: {
        definition: record.definition,
        repomd: record.repomd,
        ...present({ signature: record.signature, key: record.key, revision: record.revision, newest: record.newest, seen: record.seen }),
        url: record.url,
        upstreamPackages: record.upstreamPackages,
        problems: record.problems,
      },
    });
    return snapshot;
  });
}

const LISTS = ['primary', 'filelists', 'other'];

async function writeIndex({ layout, id, published, packages, back, signer, at }: RebuildOptions, tree: string): Promise<SnapshotIndex> {
  const work = join(layout.repository(id), `${NEW}metadata`);
  await mkdir(work, { recursive: true });
  const catalogue = join(work, 'catalogue');
  const metadata = await metadataOf(published.tree);
  const index = join(published.tree, 'repodata/repomd.xml');
  const isThere = listed(packages);
  const written = await writeAccumulated({
    previous: { repodata: join(published.tree, 'repodata'), catalogue: published.catalogue },
    sources: back === undefined ? [] : [sourceOf(await metadataOf(back.tree))],
    accept: listed(back?.packages ?? []),
    keep: isThere,
    records: [...metadata].filter(([type]) => !LISTS.includes(type)).map(([type, from]) => ({ type, name: nameOf(from), from })),
    tags: readTags(await readFile(index), index),
    directory: join(tree, 'repodata'),
    catalogue,
    revision: Math.floor(at.getTime() / 1000),
  });
  const digests = new Set(packages.map(({ checksum }) => checksum.hex));
  if (written.packages.length !== digests.size)
    throw new Error(`${id}: the metadata lists ${written.packages.length} packages, not the ${digests.size} that are there`);
  return {
    ...(await signedIndex(written, await signer())),
    catalogue,
    ...(published.record?.merged === undefined ? {} : { merged: published.record.merged }),
  };
}

function nameOf({ path }: MetadataSource): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function sourceOf(metadata: ReadonlyMap<string, MetadataSource>): Source {
  const primary = metadata.get('primary');
  if (primary === undefined) throw new Error('metadata without primary');
  return { primary, filelists: metadata.get('filelists'), other: metadata.get('other') };
}
