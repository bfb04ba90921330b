import { type Dirent, existsSync, linkSync, lstatSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { flushDirectory, isAbsent, removeTree } from './files';
import { flat, type Layout, RECORD_KINDS } from './layout';
import { refreshPublicSnapshots } from './public-snapshots';
import { pinsRepository } from './releases';
import { goneSnapshots, type Item, keyOf, noteGone } from './retention-ledger';
import { namesIn } from './snapshot';

/**
 * What retention took out of service, until it goes for good: `quarantine/<date>/<key>/`, with `tree` and `records/` of a snapshot, or `all` of a
 * repository or release. Each move is one rename; what comes before and after it is done again by the next run where it was interrupted.
 * Whoever calls this holds the lock of the repository.
 */
type Movable = Exclude<Item, { readonly kind: 'package' }>;

/** What a folder that is being removed begins with. */
const GOING = '.going-';

/** The folder of an item in quarantine; undefined where it has none, or one without its content. */
export async function placeOf(layout: Layout, item: Movable): Promise<string | undefined> {
  for (const date of (await namesIn(layout.damaged)).slice().sort()) {
    const place = join(layout.damaged, date, flat(keyOf(item)));
    if (existsSync(join(place, contentOf(item)))) return place;
  }
  return undefined;
}

/** Where an item is in service. */
export function homeOf(layout: Layout, item: Movable): string {
  if (item.kind === 'snapshot') return join(layout.snapshots(item.id), item.snapshot);
  return item.kind === 'repository' ? layout.repository(item.id) : layout.release(item.id);
}

function contentOf({ kind }: Movable): string {
  return kind === 'snapshot' ? 'tree' : 'all';
}

/** Takes an item out of service. Does nothing where that is done. */
export async function putAway(layout: Layout, item: Movable, now: Date): Promise<void> {
  const home = homeOf(layout, item);
  if (!existsSync(home)) return finishPutAway(layout, item);
  const place = join(layout.damaged, now.toISOString().slice(0, 10), flat(keyOf(item)));
  await removeTree(place);
  await mkdir(place, { recursive: true });
  if (item.kind === 'snapshot') {
    await mkdir(join(place, 'records'));
    for (const kind of RECORD_KINDS) linkIfThere(layout.record(item.id, item.snapshot, kind), join(place, 'records', kind));
    await flushDirectory(join(place, 'records'));
    await noteGone(layout, item.id, new Map([...goneSnapshots(layout, item.id), [item.snapshot, now.toISOString()]]));
  }
  await flushAbove(place, layout.root);
  await rename(home, join(place, contentOf(item)));
  await flushDirectory(dirname(home));
  await flushDirectory(place);
  await finishPutAway(layout, item);
}

async function finishPutAway(layout: Layout, item: Movable): Promise<void> {
  if (item.kind === 'snapshot') for (const kind of RECORD_KINDS) await rm(layout.record(item.id, item.snapshot, kind), { force: true });
  else await removeEmptyAbove(dirname(homeOf(layout, item)), join(layout.root, item.kind === 'repository' ? 'repositories' : 'releases'));
  if (item.kind !== 'release') await refreshPublicSnapshots(layout, item.id);
}

/** Puts an item back into service. Throws where it is gone for good, or where another one has its place. */
export async function putBack(layout: Layout, item: Movable): Promise<void> {
  const home = homeOf(layout, item);
  const place = await placeOf(layout, item);
  if (place === undefined) {
    if (existsSync(home) || pinsOfRelease(layout, item) !== undefined) return noteBack(layout, item);
    throw new MirrorError({
      code: 'GONE',
      message: `${keyOf(item)} is not in ${layout.damaged}`,
      remedy: 'Its last step was taken, or somebody removed it. It comes back from a backup only: mirrorctl backup list.',
      exitCode: ExitCode.usage,
    });
  }
  if (existsSync(home))
    throw new MirrorError({
      code: 'PLACE_TAKEN',
      message: `${home} exists again: ${keyOf(item)} cannot be put back there`,
      remedy: `It was declared anew meanwhile. Move ${home} away to have the former content instead, and run this again; ${place} has it.`,
      exitCode: ExitCode.environment,
    });
  await mkdir(dirname(home), { recursive: true });
  if (item.kind === 'snapshot') {
    for (const kind of RECORD_KINDS) {
      await rm(layout.record(item.id, item.snapshot, kind), { force: true });
      linkIfThere(join(place, 'records', kind), layout.record(item.id, item.snapshot, kind));
    }
    await flushDirectory(dirname(layout.record(item.id, item.snapshot, 'json')));
  }
  await rename(join(place, contentOf(item)), home);
  await flushDirectory(dirname(home));
  await flushDirectory(place);
  await noteBack(layout, item);
  if (item.kind !== 'release') await refreshPublicSnapshots(layout, item.id);
  await removeTree(place);
  await removeEmptyAbove(dirname(place), layout.damaged);
}

async function noteBack(layout: Layout, item: Movable): Promise<void> {
  if (item.kind !== 'snapshot') return;
  const gone = new Map(goneSnapshots(layout, item.id));
  if (gone.delete(item.snapshot)) await noteGone(layout, item.id, gone);
}

export interface Removed {
  /** Inodes that lost a link. */
  readonly inodes: ReadonlySet<number>;
  /** What the disk has free now for it. */
  readonly bytes: number;
}

/** What a release pins: a repository of its own, that stays where it is until the last step. Undefined where there is none. */
export function pinsOfRelease(layout: Layout, item: Movable): string | undefined {
  const pins = item.kind === 'release' ? layout.repository(pinsRepository(item.id)) : undefined;
  return pins !== undefined && existsSync(pins) ? pins : undefined;
}

/**
 * The last step: removes an item from quarantine.
 *
 * @param isBack a release of that name is declared or frozen again: what it pins stays
 */
export async function removeForGood(layout: Layout, item: Movable, isBack: boolean): Promise<Removed> {
  const place = await placeOf(layout, item);
  const pins = isBack ? undefined : pinsOfRelease(layout, item);
  if (place === undefined && pins === undefined) return { inodes: new Set(), bytes: 0 };
  const folder = place === undefined ? join(layout.damaged, 'pins') : dirname(place);
  const going = join(folder, GOING + flat(keyOf(item)));
  await removeTree(going);
  await mkdir(going, { recursive: true });
  if (pins !== undefined) await rename(pins, join(going, 'pins'));
  if (place !== undefined) await rename(place, join(going, 'item'));
  await flushDirectory(going);
  await flushDirectory(folder);
  const links = linksBelow(going);
  await removeTree(going);
  await removeEmptyAbove(folder, layout.damaged);
  if (pins !== undefined) await removeEmptyAbove(dirname(pins), join(layout.root, 'repositories'));
  let bytes = 0;
  for (const { here, nlink, bytes: size } of links.values()) if (here === nlink) bytes += size;
  return { inodes: new Set(links.keys()), bytes };
}

/** Goes on with removals that were interrupted, and clears away the folders without content that moves left. */
export async function finishRemovals(layout: Layout): Promise<void> {
  for (const date of await namesIn(layout.damaged)) {
    const folder = join(layout.damaged, date);
    for (const entry of entriesOf(folder)) {
      const at = join(folder, entry.name);
      if (!entry.isDirectory()) continue;
      const isLeft = entry.name.startsWith(GOING) || (await namesIn(at)).every((name) => name === 'records');
      if (isLeft) await removeTree(at);
    }
    await removeEmptyAbove(folder, layout.damaged);
  }
}

export interface Links {
  /** Links below the directory that was looked at. */
  here: number;
  readonly nlink: number;
  /** On the disk. */
  readonly bytes: number;
}

/** Every regular file below a directory, by inode; what goes meanwhile is left out. */
export function linksBelow(directory: string): Map<number, Links> {
  const found = new Map<number, Links>();
  const walk = (folder: string): void => {
    for (const entry of entriesOf(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) {
        const stat = lstatSync(path, { throwIfNoEntry: false });
        if (stat === undefined) continue;
        const { ino, nlink, blocks } = stat;
        const known = found.get(ino);
        if (known === undefined) found.set(ino, { here: 1, nlink, bytes: blocks * 512 });
        else known.here++;
      }
    }
  };
  walk(directory);
  return found;
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

function linkIfThere(from: string, to: string): void {
  if (existsSync(from)) linkSync(from, to);
}

/** Flushes a new directory with those above it, up to `root`. */
async function flushAbove(directory: string, root: string): Promise<void> {
  for (let at = directory; at.startsWith(root); at = dirname(at)) await flushDirectory(at);
}

/** Removes directories that became empty, from `directory` upwards, but for `root`. */
async function removeEmptyAbove(directory: string, root: string): Promise<void> {
  for (let at = directory; at.startsWith(`${root}/`); at = dirname(at)) {
    try {
      await rmdir(at);
    } catch (error) {
      if (['ENOTEMPTY', 'ENOENT', 'EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return;
      throw error;
    }
  }
}
