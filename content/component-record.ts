import { existsSync, linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { readAccumulated } from '../rpm-metadata/accumulate/published';
import type { PackageTable } from '../rpm-metadata/accumulate/table';
import { nevra, type Nevra } from '../rpm-metadata/nevra';
import type { Checksum } from '../rpm-metadata/checksum';
import { SOURCE } from '../desired-state/mos-scheme';
import { type LostFile, readDamage, writeDamage } from './damage';
import { readJsonSync } from './json-file';
import type { Layout } from './layout';
import { present } from './present';
import { currentSnapshot } from './snapshot';

const KeptPackageSchema = z.object({
  /** NEVRA. */
  package: z.string(),
  sha256: z.string(),
  size: z.number(),
  /** When it was replaced (ISO). */
  since: z.string(),
});
export type KeptPackages = Readonly<Record<string, z.infer<typeof KeptPackageSchema>>>;

/** What is known of one snapshot of a hosted component. Flushed with it; where it is lost, its metadata says the rest. */
const ComponentRecordSchema = z.object({
  version: z.literal(1),
  publishedAt: z.string(),
  /** The snapshot that `prepare` made this one of, with the same packages; absent where packages were published. */
  preparedFrom: z.string().optional(),
  /** Packages, each once, whatever trees have it. */
  packages: z.number(),
  bytes: z.number(),
  /** SHA-256 of what is in the snapshot alone, by path: each tree's `repodata/repomd.xml` and its signature, and the key file. */
  index: z.record(z.string(), z.string()),
  /** Files of superseded snapshots that are still served: path → until when (ISO). */
  carried: z.record(z.string(), z.string()),
  /** Packages that were replaced by others of their name and version: they stay where they were, and no metadata lists them. By path. */
  kept: z.record(z.string(), KeptPackageSchema).optional(),
});
export type ComponentRecord = z.infer<typeof ComponentRecordSchema>;

/** The record of a snapshot; undefined where there is none that can be read. */
export function readComponentRecord(layout: Layout, id: string, snapshot: string): ComponentRecord | undefined {
  return readJsonSync(layout.record(id, snapshot, 'component'), ComponentRecordSchema);
}

/** Writes the record to a new file, in a folder that is there. */
export function writeComponentRecord(layout: Layout, id: string, snapshot: string, record: ComponentRecord): void {
  writeFileSync(layout.record(id, snapshot, 'component'), `${JSON.stringify(record)}\n`);
}

/** Names of the trees of a snapshot: `x86_64`, …, `Source`. */
export function treesOf(layout: Layout, id: string, snapshot: string): readonly string[] {
  return readdirSync(join(layout.snapshots(id), snapshot), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** What the metadata of one tree lists: by its catalogue, or where that is lost by the metadata itself. */
export function readTree(layout: Layout, id: string, snapshot: string, tree: string): Promise<PackageTable> {
  const repodata = join(layout.snapshots(id), snapshot, tree, 'repodata');
  return readAccumulated({ repodata, catalogue: layout.treeCatalogue(id, snapshot, tree) });
}

/** A tree and what it publishes. */
export interface Tree {
  readonly name: string;
  readonly table: PackageTable;
}

/** All trees of a snapshot. */
export async function readTrees(layout: Layout, id: string, snapshot: string): Promise<readonly Tree[]> {
  const trees: Tree[] = [];
  for (const name of treesOf(layout, id, snapshot)) trees.push({ name, table: await readTree(layout, id, snapshot, name) });
  return trees;
}

/** What trees publish, each package once: those for all architectures are in several trees. */
export function countsOf(trees: readonly Tree[]): Pick<ComponentRecord, 'packages' | 'bytes'> {
  const several = trees.filter(({ name }) => name !== SOURCE).length > 1;
  const seen = new Set<string>();
  let packages = 0;
  let bytes = 0;
  for (const { name, table } of trees) {
    if (name === SOURCE || !several) {
      packages += table.length;
      bytes += table.columns.sizes.reduce((sum, size) => sum + size, 0);
      continue;
    }
    for (const { path, size } of table) {
      if (seen.has(path)) continue;
      seen.add(path);
      packages++;
      bytes += size;
    }
  }
  return { packages, bytes };
}

/** Writes the record of a snapshot that `prepare` made of others: each tree with the packages that it has there. Returns those. */
export async function takeOverRecord(
  layout: Layout,
  id: string,
  former: string | undefined,
  next: {
    readonly snapshot: string;
    /** Each tree that was taken over, and from which snapshot. */
    readonly origins: ReadonlyMap<string, string>;
    readonly index: Readonly<Record<string, string>>;
    readonly at: Date;
  },
): Promise<readonly Tree[]> {
  const { snapshot, origins, index, at } = next;
  mkdirSync(dirname(layout.record(id, snapshot, 'component')), { recursive: true });
  const tables: Tree[] = [];
  const carried: Record<string, string> = {};
  const kept: Record<string, KeptPackages[string]> = {};
  const lost: LostFile[] = [];
  for (const [name, origin] of origins) {
    tables.push({ name, table: await readTree(layout, id, origin, name) });
    const catalogue = layout.treeCatalogue(id, origin, name);
    if (existsSync(catalogue)) linkSync(catalogue, layout.treeCatalogue(id, snapshot, name));
    const isOfTree = (path: string): boolean => path.startsWith(`${name}/`);
    const before = readComponentRecord(layout, id, origin);
    const ofTree = <T>(files: Readonly<Record<string, T>> = {}): Record<string, T> =>
      Object.fromEntries(Object.entries(files).filter(([path]) => isOfTree(path)));
    Object.assign(carried, ofTree(before?.carried));
    Object.assign(kept, ofTree(before?.kept));
    lost.push(...readDamage(layout, id, origin).filter(({ path }) => isOfTree(path)));
  }
  writeComponentRecord(layout, id, snapshot, {
    version: 1,
    publishedAt: at.toISOString(),
    ...present({ preparedFrom: former }),
    ...countsOf(tables),
    index: { ...index },
    carried,
    ...(Object.keys(kept).length === 0 ? {} : { kept }),
  });
  await writeDamage(layout, id, snapshot, lost);
  return tables;
}

/** NEVRAs of packages for all architectures that other trees have and this one lacks. Pure. */
export function missingNoarch(trees: readonly Tree[], tree: string): readonly string[] {
  const own = new Set<string>();
  const others = new Set<string>();
  for (const { name, table } of trees)
    if (name !== SOURCE) for (const item of table) if (item.arch === 'noarch') (name === tree ? own : others).add(nevra(item));
  return [...others].filter((name) => !own.has(name)).sort();
}

/** A package of a hosted component. */
export interface ComponentPackage extends Nevra {
  readonly checksum: Checksum;
  readonly size: number;
  /** Below the component, in the first of its trees: `x86_64/Packages/a-1-1.noarch.rpm`. */
  readonly path: string;
  readonly trees: readonly string[];
}

/** What a component publishes, each package once, in the order of its trees; nothing before it was prepared. */
export async function packagesOf(layout: Layout, id: string): Promise<readonly ComponentPackage[]> {
  const snapshot = await currentSnapshot(layout, id);
  if (snapshot === undefined) return [];
  const found = new Map<string, ComponentPackage & { readonly trees: string[] }>();
  for (const { name: tree, table } of await readTrees(layout, id, snapshot)) {
    for (const { name, epoch, version, release, arch, checksum, size, path } of table) {
      const item = { name, epoch, version, release, arch, checksum, size };
      const key = nevra(item);
      const known = found.get(key);
      if (known === undefined) found.set(key, { ...item, path: `${tree}/${path}`, trees: [tree] });
      else known.trees.push(tree);
    }
  }
  return [...found.values()];
}
