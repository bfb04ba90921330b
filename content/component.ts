import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import type { HostedDefinition, KeyReference } from '../desired-state/definitions';
import { packagesFolder, SOURCE } from '../desired-state/mos-scheme';
import { emptyMetadata } from '../rpm-metadata/empty';
import type { Layout } from './layout';
import { snapshotsHere } from './releases';
import { currentSnapshot, filesOf, TreeBuilder } from './snapshot';
import type { Store } from './store';

/** What a hosted component must look like, packages aside. */
export interface ComponentShape {
  readonly id: string;
  /** `x86_64`, …, and `Source`: each a repository of its own. */
  readonly trees: readonly string[];
  readonly keyFile: string;
  readonly keyText: string;
}

/** The release itself, frozen at general availability. */
export const OS = 'os';
/** Replaces regressed packages of the distribution for a time. */
export const HOLDBACK = 'holdback';

/** The keys of which one must have signed a package of this component. */
export function keysOf(of: HostedDefinition, component: string): readonly KeyReference[] {
  if (of.kind === 'packages') return of.trust.mode === 'signedPackages' ? of.trust.keys : [];
  const { keys, holdbackKeys = [] } = of;
  if (component !== HOLDBACK) return keys;
  return [...keys, ...holdbackKeys.filter(({ fingerprint }) => !keys.some((key) => key.fingerprint === fingerprint))];
}

/** Whether packages need no signature: the metadata, which the mirror signs, vouches for what was published. */
export function isDigestsOnly(of: HostedDefinition): boolean {
  return of.kind === 'packages' && of.trust.mode === 'digestsOnly';
}

/** Whether a package that was built anew takes the place of the one that has its name and version. */
export function replaces(of: HostedDefinition, component: string): boolean {
  return of.kind === 'packages' && of.replaces?.includes(component) === true;
}

export function shapeOf(id: string, codename: HostedDefinition, keyText: string): ComponentShape {
  return { id, trees: [...codename.architectures, SOURCE], keyFile: codename.keyFile, keyText };
}

/** What was found of a published component. */
export interface ComponentFound {
  readonly trees: readonly string[];
  /** Files in its root. */
  readonly rootFiles: readonly string[];
  readonly keyText: string | undefined;
}

/** Why a component is to be published anew, or undefined when it is as declared. */
export function difference(shape: ComponentShape, found: ComponentFound | undefined): string | undefined {
  if (found === undefined) return 'does not exist yet';
  const wanted = [...shape.trees].sort();
  if (wanted.join('\n') !== [...found.trees].sort().join('\n')) return `architectures were ${found.trees.join(', ')}`;
  if (found.rootFiles.length !== 1 || found.rootFiles[0] !== shape.keyFile)
    return `key file was ${found.rootFiles.join(', ') || 'missing'}`;
  if (found.keyText !== shape.keyText) return 'keys changed';
  return undefined;
}

export async function findComponent(
  layout: Layout,
  shape: ComponentShape,
): Promise<{ readonly name: string; readonly found: ComponentFound } | undefined> {
  const name = await currentSnapshot(layout, shape.id);
  if (name === undefined) return undefined;
  const tree = join(layout.snapshots(shape.id), name);
  const entries = readdirSync(tree, { withFileTypes: true });
  const rootFiles = entries.filter((e) => e.isFile()).map((e) => e.name);
  const keyText = rootFiles.includes(shape.keyFile) ? readFileSync(join(tree, shape.keyFile), 'utf8') : undefined;
  return { name, found: { trees: entries.filter((e) => e.isDirectory()).map((e) => e.name), rootFiles, keyText } };
}

/** Makes a signature of `repomd.xml`. */
export type Sign = (bytes: Uint8Array) => Promise<string>;

/** Puts texts into the store and remembers where: many components share the same few. */
export type Keep = (bytes: Uint8Array) => Promise<string>;

/**
 * Builds the next tree of a component: what the published one has (by hard links) in the declared architectures, what the newest snapshot has of one that was declared
 * before and is again, empty repositories for those that are new, the key file, and each index signed by today's key. Returns its path, the digest that names it, the
 * digests of what it has of its own, and which tree is of which snapshot.
 */
export async function buildComponent(
  layout: Layout,
  store: Store,
  shape: ComponentShape,
  published: string | undefined,
  tools: { readonly sign: Sign; readonly keep: Keep },
  at: Date,
): Promise<{
  readonly directory: string;
  readonly digest: string;
  readonly index: Readonly<Record<string, string>>;
  readonly origins: ReadonlyMap<string, string>;
}> {
  const builder = await TreeBuilder.start(store, layout, shape.id, at);
  const digests: string[] = [];
  const index: Record<string, string> = {};
  const origins = new Map<string, string>();
  const before = published === undefined ? [] : [...(await snapshotsHere(layout, shape.id))].reverse();
  const put = async (path: string, bytes: Uint8Array): Promise<void> =>
    builder.add({ path, checksum: { algorithm: 'sha256', hex: await tools.keep(bytes) } });
  for (const tree of shape.trees) {
    builder.folder(`${tree}/${packagesFolder(tree)}`);
    let repomd: Uint8Array;
    // The published one comes first. An architecture that left the declaration for a while, be it by a deploy that was taken back, goes on with what it had.
    const origin = before.find((snapshot) => existsSync(join(layout.snapshots(shape.id), snapshot, tree, 'repodata/repomd.xml')));
    if (origin !== undefined) {
      const old = join(layout.snapshots(shape.id), origin);
      for (const file of await filesOf(join(old, tree))) if (file !== 'repodata/repomd.xml.asc') builder.carry(old, `${tree}/${file}`);
      repomd = readFileSync(join(old, tree, 'repodata/repomd.xml'));
      origins.set(tree, origin);
    } else {
      const empty = emptyMetadata();
      for (const file of [empty.repomd, ...empty.files]) await put(`${tree}/repodata/${file.name}`, file.bytes);
      repomd = empty.repomd.bytes;
    }
    const signature = Buffer.from(await tools.sign(repomd));
    await put(`${tree}/repodata/repomd.xml.asc`, signature);
    index[`${tree}/repodata/repomd.xml`] = sha256(repomd);
    index[`${tree}/repodata/repomd.xml.asc`] = sha256(signature);
    digests.push(`${tree} ${sha256(repomd)}`);
  }
  await put(shape.keyFile, Buffer.from(shape.keyText));
  index[shape.keyFile] = sha256(shape.keyText);
  digests.push(`${shape.keyFile} ${sha256(shape.keyText)}`);
  return { directory: builder.directory, digest: sha256(digests.join('\n')), index, origins };
}

/** The packages that are in the folders of a component, listed or not: below its tree. */
export async function countPackages(tree: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const architecture of await readdir(tree, { withFileTypes: true })) {
    if (!architecture.isDirectory()) continue;
    const files = await filesOf(join(tree, architecture.name, packagesFolder(architecture.name))).catch(() => []);
    found.push(...files.filter((f) => f.endsWith('.rpm')).map((f) => join(architecture.name, packagesFolder(architecture.name), f)));
  }
  return found;
}
