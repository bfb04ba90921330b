import { lstatSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, sha256 } from '../desired-state/canonical';
import type { ReleaseDefinition } from '../desired-state/definitions';
import { pinsOf } from '../desired-state/pin';
import type { MetadataSource } from '../rpm-metadata/elements';
import { writeAccumulated } from '../rpm-metadata/accumulate/write';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Signer } from '../signatures/sign';
import { buildSnapshot, signedIndex } from './build-snapshot';
import { listed } from './compare-contents';
import type { Definitions } from './definitions';
import { removeTree } from './files';
import type { Layout } from './layout';
import { Lock } from './lock';
import { readPackageList } from './package-list';
import { metadataOf, Published } from './published';
import { pinsRepository, readFrozen, snapshotsHere } from './releases';
import { currentSnapshot, GRACE_SECONDS, NEW } from './snapshot';
import { Store } from './store';
import { inWorkspace } from './workspace';

export interface PinsOutcome {
  /** Pins that no package here has. */
  readonly missing: readonly string[];
  /** Whether something else is published than before. */
  readonly changed: boolean;
}

/** A package that is pinned, and where it is. */
interface Found {
  readonly item: ListedPackage;
  /** Of a repository. */
  readonly tree: string;
}

/** Publishes what a release pins: a repository of its own, signed by the mirror, that may change while the release does not. */
export async function publishPins(
  layout: Layout,
  definitions: Definitions,
  release: ReleaseDefinition & { readonly pins: readonly string[] },
  signer: () => Promise<Signer>,
  now: Date,
): Promise<PinsOutcome> {
  const id = pinsRepository(release.id);
  const lock = await Lock.take(layout.lockFile(id), id);
  try {
    const { found, missing } = await find(layout, definitions, release);
    const keys = await signer();
    const packages = found.map(({ item }) => item);
    const digest = digestOf({ packages: packages.map((item) => [nevra(item), item.checksum.hex, item.path]), by: keys.identity.digest });
    const published = await Published.read(layout, id);
    if (published?.record?.definition === digest && published.lost.length === 0) return { missing, changed: false };
    await inWorkspace(layout, id, () => publish(layout, id, { found, packages, digest, published, keys, at: now }));
    const current = await currentSnapshot(layout, id);
    for (const name of await snapshotsHere(layout, id)) if (name !== current) await removeTree(join(layout.snapshots(id), name));
    return { missing, changed: true };
  } finally {
    await lock.release();
  }
}

interface Publication {
  readonly found: readonly Found[];
  readonly packages: readonly ListedPackage[];
  readonly digest: string;
  readonly published: Published | undefined;
  readonly keys: Signer;
  readonly at: Date;
}

async function publish(layout: Layout, id: string, { found, packages, digest, published, keys, at }: Publication): Promise<void> {
  const store = new Store(layout.store);
  const incoming = await store.incoming(id);
  for (const { item, tree } of found)
    if (!store.has(item.checksum, item.size)) await store.regain(item.checksum, item.size, join(tree, item.path));
  const catalogue = join(layout.repository(id), `${NEW}catalogue`);
  await buildSnapshot(layout, store, incoming, {
    id,
    at,
    graceSeconds: GRACE_SECONDS,
    published,
    packages,
    lost: [],
    withheld: [],
    files: [],
    announce: () => Promise.resolve(),
    record: {
      definition: digest,
      repomd: sha256(digest),
      url: '',
      upstreamPackages: packages.length,
      problems: [],
    },
    write: async (tree) => {
      const sources: Record<'primary' | 'filelists' | 'other', MetadataSource>[] = [];
      for (const source of new Set(found.map((one) => one.tree)))
        sources.push(Object.fromEntries(await metadataOf(source)) as (typeof sources)[number]);
      const accept = listed(packages);
      const written = await writeAccumulated({
        sources,
        accept,
        directory: join(tree, 'repodata'),
        catalogue,
        revision: Math.floor(at.getTime() / 1000),
      });
      await rm(catalogue, { force: true });
      if (written.packages.length !== packages.length)
        throw new Error(`${id}: the metadata lists ${written.packages.length} packages, not the ${packages.length} that are pinned`);
      return signedIndex(written, keys);
    },
  });
}

/**
 * Looks for pinned packages in all copied repositories: first in what the release is made of and what is published, then, for what is in none of
 * these, in older snapshots, the newest first. Customers' packages are not looked at: everybody may read a release.
 */
async function find(
  layout: Layout,
  definitions: Definitions,
  { id, pins }: ReleaseDefinition & { readonly pins: readonly string[] },
): Promise<{ readonly found: readonly Found[]; readonly missing: readonly string[] }> {
  const wanted = new Set(pins);
  const open = new Set(pins);
  const names = new Set<string>();
  const places = new Set<string>();
  const found: Found[] = [];
  const look = (repository: string, snapshot: string): void => {
    const tree = join(layout.snapshots(repository), snapshot);
    for (const item of readPackageList(layout.record(repository, snapshot, 'packages')) ?? []) {
      const matching = pinsOf(wanted, item);
      if (matching.length === 0 || names.has(nevra(item)) || places.has(item.path)) continue;
      if (lstatSync(join(tree, item.path), { throwIfNoEntry: false }) === undefined) continue;
      names.add(nevra(item));
      places.add(item.path);
      found.push({ item, tree });
      for (const pin of matching) open.delete(pin);
    }
  };
  const repositories = [...definitions.repositories, ...definitions.lists].map(({ id: one }) => one);
  for (const member of (await readFrozen(layout, id))?.members ?? [])
    if (repositories.includes(member.id)) look(member.id, member.snapshot);
  for (const repository of repositories) {
    const current = await currentSnapshot(layout, repository);
    if (current !== undefined) look(repository, current);
  }
  for (const repository of repositories) {
    for (const snapshot of [...(await snapshotsHere(layout, repository))].reverse()) if (open.size > 0) look(repository, snapshot);
  }
  return { found, missing: [...open] };
}

/** Pins that what is published has not; of a release whose pins were never published, all. */
export async function missingPins(layout: Layout, release: ReleaseDefinition): Promise<readonly string[]> {
  const id = pinsRepository(release.id);
  const current = await currentSnapshot(layout, id);
  const list = current === undefined ? [] : (readPackageList(layout.record(id, current, 'packages')) ?? []);
  const wanted = new Set(release.pins);
  for (const item of list) for (const pin of pinsOf(new Set(release.pins), item)) wanted.delete(pin);
  return [...wanted];
}
