import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import type { DownloadsDefinition } from '../desired-state/definitions';
import type { Signer } from '../signatures/sign';
import { carrySuperseded, publishBuilt } from './build-snapshot';
import { type DownloadsRecord, type ServedFile, sumsText } from './downloads-record';
import type { Layout } from './layout';
import { currentSnapshot, freeName, TreeBuilder } from './snapshot';
import type { Incoming, Store } from './store';
import { manifestText, readManifest, type TreeManifest } from './tree-manifest';

/** What is published of downloads. */
export interface PublishedDownloads {
  readonly snapshot: string;
  readonly tree: string;
  /** Undefined where it cannot be read: then everything is looked at anew. */
  readonly manifest: (TreeManifest & { readonly downloads: DownloadsRecord }) | undefined;
}

export async function readDownloads(layout: Layout, id: string): Promise<PublishedDownloads | undefined> {
  const snapshot = await currentSnapshot(layout, id);
  if (snapshot === undefined) return undefined;
  const manifest = await readManifest(layout.record(id, snapshot, 'tree'));
  const { downloads } = manifest ?? {};
  return {
    snapshot,
    tree: join(layout.snapshots(id), snapshot),
    manifest: manifest === undefined || downloads === undefined ? undefined : { ...manifest, downloads },
  };
}

/** What a new snapshot is made of. */
export interface DownloadsContent {
  readonly files: readonly ServedFile[];
  readonly seen: DownloadsRecord['seen'];
  readonly problems: DownloadsRecord['problems'];
}

export interface DownloadsPlan extends DownloadsContent {
  readonly layout: Layout;
  readonly store: Store;
  readonly incoming: Incoming;
  readonly signer: Signer;
  readonly at: Date;
  readonly graceSeconds: number;
  readonly definition: DownloadsDefinition;
  readonly definitionDigest: string;
  readonly published: PublishedDownloads | undefined;
}

/** What `sha256sum --check` reads: of all files and lists. */
export function sumsOf(definition: DownloadsDefinition, files: readonly ServedFile[]): string {
  return sumsText([...files, ...listsOf(definition).map(({ path, text }) => ({ path, sha256: sha256(text) }))]);
}

/** The lists, beside the digests. */
function listsOf({ lists = {}, sums }: DownloadsDefinition): readonly { readonly path: string; readonly text: string }[] {
  return Object.entries(lists).map(([name, text]) => ({ path: join(dirname(sums), 'lists', name), text }));
}

/** Tells one content from another, whoever signed it. */
export function contentDigest(definition: DownloadsDefinition, files: readonly ServedFile[]): string {
  return sha256(`${definition.sums}\n${sumsOf(definition, files)}`);
}

/** Builds a snapshot by hard links, signs its digests, brings it to disk by one flush and publishes it by one rename. Returns its name. */
export async function publishDownloads(plan: DownloadsPlan): Promise<{ readonly snapshot: string; readonly bytes: number }> {
  const { layout, store, incoming, definition, published, at, files } = plan;
  const { id, sums } = definition;
  const builder = await TreeBuilder.start(store, layout, id, at);
  for (const { path, sha256: hex, size } of files) {
    const checksum = { algorithm: 'sha256', hex } as const;
    await builder.addOrRegain({ path, checksum, size }, incoming.locate(checksum), published?.tree);
  }
  const text = Buffer.from(sumsOf(definition, files));
  const made: Record<string, string> = {};
  const write = (path: string, bytes: Uint8Array): void => {
    builder.add({ path, bytes });
    made[path] = sha256(bytes);
  };
  for (const list of listsOf(definition)) write(list.path, Buffer.from(list.text));
  write(sums, text);
  write(`${sums}.asc`, Buffer.from(await plan.signer.sign(text)));
  const own = new Set([...files.map(({ path }) => path), ...Object.keys(made)]);
  const superseded = published && { tree: published.tree, carried: published.manifest?.carried };
  const carried = await carrySuperseded(builder, superseded, own, plan);
  const digest = contentDigest(definition, files);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const manifest: TreeManifest = {
    version: 1,
    definition: plan.definitionDigest,
    digest,
    url: definition.files[0]?.url ?? '',
    publishedAt: at.toISOString(),
    files: files.length,
    bytes,
    carried,
    own: {},
    made: {},
    listed: [],
    unlisted: [],
    downloads: { signedBy: plan.signer.identity.digest, files: [...files], made, seen: plan.seen, problems: plan.problems },
  };
  const snapshot = await freeName(layout, id, digest, at);
  const record = layout.record(id, snapshot, 'tree');
  await mkdir(dirname(record), { recursive: true });
  await writeFile(record, manifestText(manifest));
  await publishBuilt(layout, incoming, { id, snapshot, built: builder.directory });
  return { snapshot, bytes };
}
