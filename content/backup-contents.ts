/** What of the content cannot be fetched again. */
import { lstatSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { accumulates } from '../desired-state/definitions';
import { checksumKey } from '../rpm-metadata/checksum';
import { ChecksumSchema, readDamage } from './damage';
import { copied, type Definitions, hostedComponents } from './definitions';
import { readDropped } from './dropped';
import { type ExpectedFile, expectedFiles } from './expected';
import { fileDigest, isAbsent } from './files';
import type { Layout } from './layout';
import { present } from './present';
import { readRecord } from './record';
import { reachedByReleases } from './releases';
import { currentSnapshot, namesIn, repositoriesHere, timeOf } from './snapshot';
import { readState } from './state';

/** An upstream that no sync reached for so many days does not count as one that still has what it had. */
const UPSTREAM_COUNTS_DAYS = 14;

/** How often a repository is looked at again whose snapshots change meanwhile. */
const ATTEMPTS = 5;

const ListedFileSchema = z.strictObject({
  path: z.string(),
  checksum: ChecksumSchema,
  size: z.number().optional(),
  href: z.string().optional(),
  base: z.string().optional(),
  /** Whether the backup has its bytes; upstream has those of the others. */
  held: z.boolean(),
});
export type ListedFile = z.infer<typeof ListedFileSchema>;

/** A snapshot as a backup has it: every file that it consists of. */
export const ListingSchema = z.strictObject({
  id: z.string(),
  snapshot: z.string(),
  kind: z.enum(['copied', 'hosted']),
  current: z.boolean(),
  /** Folders without files. */
  folders: z.array(z.string()),
  files: z.array(ListedFileSchema),
});
export type Listing = z.infer<typeof ListingSchema>;

/** A listing, and what was not there. */
export interface Collected extends Listing {
  /** Directory of the snapshot. */
  readonly tree: string;
  /** Files that the backup should have, and that are lost here. */
  readonly lost: readonly ListedFile[];
}

/** Digests that upstreams of what is declared are known to offer: of files that are no metadata. */
type Offered = ReadonlySet<string>;

/**
 * Lists, one after the other, the snapshots that a backup has: the current one of everything that is here, and those that releases are made of. No lock is needed:
 * snapshots never change. Where one goes meanwhile, its repository is looked at again.
 */
export async function* collect(layout: Layout, definitions: Definitions, now: Date): AsyncGenerator<Collected> {
  const reached = await reachedByReleases(layout, definitions);
  const ids = await repositoriesHere(layout);
  const offered = await offeredBy(layout, definitions, now);
  const hosted = new Set(hostedComponents(definitions).map(({ id }) => id));
  const whole = new Set(definitions.backup?.whole);
  for (const id of ids) {
    const nothing: Offered = new Set();
    yield* await again(layout, id, async () => {
      const current = await currentSnapshot(layout, id);
      const wanted = new Set([...(current === undefined ? [] : [current]), ...(reached.get(id)?.keys() ?? [])]);
      const found: Collected[] = [];
      for (const snapshot of [...wanted].sort()) {
        const tree = join(layout.snapshots(id), snapshot);
        if (!isDirectory(tree)) continue;
        const kind = hosted.has(id) || !isCopy(layout, id, snapshot) ? 'hosted' : 'copied';
        const listing =
          kind === 'hosted' ? await ofHosted(layout, id, snapshot) : await ofCopy(layout, id, snapshot, whole.has(id) ? nothing : offered);
        found.push({ id, snapshot, kind, current: snapshot === current, tree, ...listing });
      }
      return found;
    });
  }
}

/** Whether a file of a copy is metadata, or made by the mirror: what a sync goes on from. */
function isMetadata({ path, stored }: ExpectedFile, isTree: boolean): boolean {
  return isTree ? !stored : path.startsWith('repodata/');
}

async function ofCopy(
  layout: Layout,
  id: string,
  snapshot: string,
  offered: Offered,
): Promise<Pick<Collected, 'folders' | 'files' | 'lost'>> {
  const tree = join(layout.snapshots(id), snapshot);
  const isTree = lstatSync(layout.record(id, snapshot, 'tree'), { throwIfNoEntry: false }) !== undefined;
  const files: ListedFile[] = [];
  const lost: ListedFile[] = [];
  const known = new Set(readDamage(layout, id, snapshot).map(({ path }) => path));
  for (const file of await expectedFiles(layout, id, snapshot)) {
    const { path, checksum, size, href, base } = file;
    const wanted = isMetadata(file, isTree) || !offered.has(checksumKey(checksum));
    const listed = { path, checksum, ...present({ size, href, base }) };
    const held = wanted && !known.has(path) && isFile(join(tree, path));
    files.push({ ...listed, held });
    if (wanted && !held) lost.push({ ...listed, held });
  }
  // Where the index is not the one that was published, nobody knows what it named.
  const index = files.find(({ path }) => path === 'repodata/repomd.xml');
  if (!isTree && index !== undefined && !files.some(({ path }) => /^repodata\/(?!repomd\.xml)/.test(path))) lost.push(index);
  return { folders: [], files, lost };
}

/** Everything: nobody else has it. */
async function ofHosted(layout: Layout, id: string, snapshot: string): Promise<Pick<Collected, 'folders' | 'files' | 'lost'>> {
  const tree = join(layout.snapshots(id), snapshot);
  const expected = new Map((await expectedFiles(layout, id, snapshot)).map((file) => [file.path, file]));
  const { files: there, empty } = await everythingIn(tree);
  const lost = [...expected.values()].filter(({ path }) => !there.includes(path));
  const files: ListedFile[] = [];
  for (const path of there) {
    const known = expected.get(path);
    const checksum = known?.checksum ?? { algorithm: 'sha256' as const, hex: await fileDigest(join(tree, path), 'sha256') };
    files.push({ path, checksum, ...present({ size: known?.size }), held: true });
  }
  const gone = lost.map(({ path, checksum, size }): ListedFile => ({ path, checksum, ...present({ size }), held: false }));
  return { folders: [...empty], files: [...files, ...gone], lost: gone };
}

/**
 * What upstreams are known to have: of each copy, its current snapshot without what upstream dropped. Not of what has an address of its own (downloads, and
 * packages of lists by their URL): once it is here, no sync asks whether it is still there.
 */
async function offeredBy(layout: Layout, definitions: Definitions, now: Date): Promise<Offered> {
  const offered = new Set<string>();
  const whole = new Set(definitions.backup?.whole);
  for (const definition of copied(definitions)) {
    const { id } = definition;
    // A copy that is not synced any more has an upstream that is gone.
    if (whole.has(id) || definition.retired !== undefined || definition.kind === 'downloads' || definition.kind === 'lists') continue;
    await again(layout, id, async () => {
      const snapshot = await currentSnapshot(layout, id);
      if (snapshot === undefined || !(await isReached(layout, id, snapshot, now))) return [];
      const dropped = accumulates(definition) ? readDropped(layout, id, snapshot) : new Map<string, string>();
      // What upstream has is not known: all of it may be gone.
      if (dropped === undefined) return [];
      const files = await expectedFiles(layout, id, snapshot);
      for (const file of files) if (file.href !== undefined && !dropped.has(file.path)) offered.add(checksumKey(file.checksum));
      return [];
    });
  }
  return offered;
}

/** Whether a sync found its upstream of late. */
async function isReached(layout: Layout, id: string, snapshot: string, now: Date): Promise<boolean> {
  const { lastSuccess } = await readState(layout.stateFile(id), id);
  const last = Math.max(...[lastSuccess, timeOf(snapshot)].map((time) => (time === undefined ? 0 : Date.parse(time))));
  return now.getTime() - last < UPSTREAM_COUNTS_DAYS * 86_400_000;
}

/** Once more where a snapshot that was being looked at is gone by then: a sync published, a purge removed it. */
async function again<T>(layout: Layout, id: string, look: () => Promise<readonly T[]>): Promise<readonly T[]> {
  for (let attempt = 1; ; attempt++) {
    const before = (await namesIn(layout.snapshots(id))).join(' ');
    try {
      return await look();
    } catch (error) {
      const changed = (await namesIn(layout.snapshots(id))).join(' ') !== before;
      if (!isAbsent(error) || !changed || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Whether it is known what a snapshot has of an upstream. What owners publish has no such record, nor what a release pins: all of it is the mirror's own. */
function isCopy(layout: Layout, id: string, snapshot: string): boolean {
  return readRecord(layout, id, snapshot) !== undefined || isFile(layout.record(id, snapshot, 'tree'));
}

async function everythingIn(tree: string): Promise<{ readonly files: readonly string[]; readonly empty: readonly string[] }> {
  const files: string[] = [];
  const empty: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    const entries = await readdir(join(tree, folder), { withFileTypes: true });
    if (entries.length === 0) empty.push(folder.slice(0, -1));
    for (const entry of entries) {
      if (entry.isDirectory()) await walk(`${folder}${entry.name}/`);
      else if (entry.isFile()) files.push(folder + entry.name);
    }
  };
  await walk('');
  return { files: files.sort(), empty: empty.sort() };
}

function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
