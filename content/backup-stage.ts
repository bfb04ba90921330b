/** The tree of hard links that restic reads: content by digest, once, and beside it lists of where it belongs. */
import { copyFileSync, existsSync, linkSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { cp, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { checksumKey } from '../rpm-metadata/checksum';
import { collect, type Collected, type Listing } from './backup-contents';
import type { Definitions } from './definitions';
import { isAbsent, removeTree } from './files';
import { BACKUP_CACHE, flat, type Layout, RECORD_KINDS } from './layout';
import { existingReleases, releasesLock, snapshotsHere } from './releases';
import { Lock } from './lock';
import { readRefused } from './refused';
import { goneSnapshots } from './retention-ledger';
import { namesIn } from './snapshot';
import { Store } from './store';

/** `manifest.json` of a backup. */
export const BackupManifestSchema = z.object({
  version: z.literal(1),
  createdAt: z.string(),
  /** The storage root that it was made of. */
  root: z.string(),
  snapshots: z.array(z.object({ id: z.string(), snapshot: z.string(), current: z.boolean() })),
  releases: z.array(z.string()),
});
export type BackupManifest = z.infer<typeof BackupManifestSchema>;

/** What is known of a repository beside its snapshots: those that there were, those that retention took, and packages that were forgotten by name. */
export const HistorySchema = z.object({
  snapshots: z.array(z.string()),
  gone: z.record(z.string(), z.string()),
  refused: z.record(z.string(), z.string()),
});

/** Where things are in a backup. */
export const BackupPaths = {
  manifest: 'manifest.json',
  /** `store/<algorithm>/ab/<hex>` */
  store: 'store',
  listing: (id: string, snapshot: string): string => join('repositories', flat(id), `${snapshot}.files`),
  record: (id: string, snapshot: string, kind: string): string => join('repositories', flat(id), `${snapshot}.${kind}`),
  history: (id: string): string => join('repositories', flat(id), 'history.json'),
  releases: 'releases',
  state: 'state',
  /** Definitions and public keys as they were declared: for people. */
  configuration: 'configuration',
} as const;

/** What of the state is not worth keeping: locks, what is made again, what only says how things are now. */
const NOT_KEPT = ['locks', 'tmp', 'signatures', 'host', 'scrub.json', 'signing-keys.json', BACKUP_CACHE];

/** What a backup has, or would have. */
export interface Staged {
  readonly snapshots: number;
  readonly releases: number;
  /** Files by digest, each once, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** What it should have and is lost here: `<id>: <path>`. */
  readonly lost: readonly string[];
}

/**
 * Collects what cannot be fetched again below `directory`, on the file system of the content; with `undefined` only says what that would be.
 * Fast, whatever the sizes: files are linked, never read.
 */
export async function stage(layout: Layout, definitions: Definitions, now: Date, directory: string | undefined): Promise<Staged> {
  const stored = new Map<string, number>();
  const lost: string[] = [];
  const snapshots: BackupManifest['snapshots'] = [];
  // A release does not come or go between the list of its snapshots and its own files.
  const lock = await Lock.take(releasesLock(layout), 'the releases', { waitSeconds: 600 });
  try {
    const releases = await existingReleases(layout);
    for await (const found of collect(layout, definitions, now)) {
      snapshots.push({ id: found.id, snapshot: found.snapshot, current: found.current });
      lost.push(...found.lost.map(({ path }) => `${found.id}: ${path}`));
      add(found, stored, directory);
      if (directory !== undefined) writeListing(layout, found, directory);
    }
    if (directory !== undefined) {
      for (const id of new Set(snapshots.map((one) => one.id)))
        write(join(directory, BackupPaths.history(id)), await historyOf(layout, id));
      for (const id of releases) await linkTree(layout.release(id), join(directory, BackupPaths.releases, id));
      await copyState(layout, join(directory, BackupPaths.state));
      await copyConfiguration(layout.configuration, join(directory, BackupPaths.configuration));
      const manifest: BackupManifest = { version: 1, createdAt: now.toISOString(), root: layout.root, snapshots, releases: [...releases] };
      write(join(directory, BackupPaths.manifest), manifest);
    }
    const bytes = [...stored.values()].reduce((sum, size) => sum + size, 0);
    return { snapshots: snapshots.length, releases: releases.length, files: stored.size, bytes, lost: [...new Set(lost)].sort() };
  } finally {
    await lock.release();
  }
}

function add({ tree, files }: Collected, stored: Map<string, number>, directory: string | undefined): void {
  const store = directory === undefined ? undefined : new Store(join(directory, BackupPaths.store));
  for (const { path, checksum, held } of files) {
    const key = checksumKey(checksum);
    if (!held || stored.has(key)) continue;
    const source = join(tree, path);
    stored.set(key, statSync(source).size);
    if (store === undefined) continue;
    const target = store.path(checksum);
    mkdirSync(dirname(target), { recursive: true });
    link(source, target);
  }
}

function writeListing(layout: Layout, { id, snapshot, kind, current, folders, files }: Collected, directory: string): void {
  const listing: Listing = { id, snapshot, kind, current, folders: [...folders], files: [...files] };
  write(join(directory, BackupPaths.listing(id, snapshot)), listing);
  for (const record of RECORD_KINDS.filter((one) => one !== 'damage')) {
    const source = layout.record(id, snapshot, record);
    if (existsSync(source)) link(source, join(directory, BackupPaths.record(id, snapshot, record)));
  }
}

async function historyOf(layout: Layout, id: string): Promise<z.infer<typeof HistorySchema>> {
  const snapshots = [...(await snapshotsHere(layout, id))];
  return { snapshots, gone: Object.fromEntries(goneSnapshots(layout, id)), refused: Object.fromEntries(readRefused(layout, id)) };
}

/** A file with as many links as the file system allows is not linked once more: it is copied. */
function link(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMLINK') throw error;
    copyFileSync(source, target);
  }
}

/** The same tree by hard links; symbolic links as they are. */
async function linkTree(from: string, to: string): Promise<void> {
  mkdirSync(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await linkTree(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else if (entry.isFile()) link(source, target);
  }
}

async function copyState(layout: Layout, target: string): Promise<void> {
  for (const name of await namesIn(layout.state)) {
    if (NOT_KEPT.includes(name) || name.endsWith('.new')) continue;
    await copied(join(layout.state, name), join(target, name));
  }
}

async function copyConfiguration(configuration: string, target: string): Promise<void> {
  for (const name of ['definitions', 'keys', 'owners']) await copied(join(configuration, name), join(target, name));
}

/** What goes while it is copied was written anew, or is gone. */
async function copied(source: string, target: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      mkdirSync(dirname(target), { recursive: true });
      await cp(source, target, { recursive: true, preserveTimestamps: true, filter: (path) => !path.endsWith('.new') });
      return;
    } catch (error) {
      if (!isAbsent(error)) throw error;
      if (!existsSync(source)) return;
      if (attempt === 5) throw error;
      await removeTree(target);
    }
  }
}

function write(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  writeFileSync(path, `${JSON.stringify(value)}\n`);
}
