import { mkdirSync, writeFileSync } from 'node:fs';
import { lstat, mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Checksum } from '../rpm-metadata/checksum';
import { flushDirectory, isAbsent, linkOrCopy, removeTree } from './files';
import type { Layout } from './layout';
import type { Store } from './store';

interface StoredFile {
  readonly path: string;
  readonly checksum: Checksum;
}
/** A file of a tree: linked from the store, or written as it is. */
export type TreeFile = StoredFile | { readonly path: string; readonly bytes: Uint8Array };

/** What a name begins with while it is made: removed by the next run. */
export const NEW = '.new-';

/** How long superseded metadata stays served: 72 hours, a day longer than clients keep metadata (yum 6 hours, dnf 48). */
export const GRACE_SECONDS = 72 * 3600;

/** `20261122T023000Z`. */
export function stamp(at: Date): string {
  return at
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '');
}

/** The time in a snapshot's name, as ISO. */
export function timeOf(snapshot: string): string | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-/.exec(snapshot);
  return match === null ? undefined : `${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}.000Z`;
}

/**
 * The name of the published snapshot, or undefined before the first. Throws where `current` leads nowhere or cannot be read: to take that for
 * a first sync would lose what only this mirror still has.
 */
export async function currentSnapshot(layout: Layout, id: string): Promise<string | undefined> {
  const link = layout.current(id);
  let target: string;
  try {
    target = await readlink(link);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') throw damaged(`${link} is not a symbolic link`, link, error);
    throw error;
  }
  const name = /^snapshots\/([^/]+)$/.exec(target)?.[1];
  if (name === undefined) throw damaged(`${link} leads to ${JSON.stringify(target)}, which is no snapshot`, link);
  try {
    await lstat(join(layout.snapshots(id), name));
  } catch (error) {
    if (isAbsent(error)) throw damaged(`${link} leads to ${target}, which does not exist`, link, error);
    throw error;
  }
  return name;
}

function damaged(message: string, link: string, cause?: unknown): MirrorError {
  return new MirrorError({
    code: 'SNAPSHOT_DAMAGED',
    message,
    remedy: `Bring it back, or lead it to another one that is there: ln -sfn snapshots/NAME ${link}. To begin anew from upstream, remove ${link}: what only this mirror still has is then no longer listed.`,
    exitCode: ExitCode.environment,
    cause,
  });
}

/** What is in a directory; nothing where it does not exist. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** Ids of everything that has snapshots here, declared or not. */
export async function repositoriesHere(layout: Layout): Promise<readonly string[]> {
  const found: string[] = [];
  const walk = async (id: string, depth: number): Promise<void> => {
    const names = (await namesIn(layout.repository(id))).filter((name) => !name.startsWith(NEW));
    if (id !== '.' && names.includes('snapshots')) found.push(id);
    else if (depth < 3) for (const name of names) await walk(id === '.' ? name : `${id}/${name}`, depth + 1);
  };
  await walk('.', 0);
  return found.sort();
}

/** The snapshots of a repository, the oldest first, without those that are being made. */
export async function snapshotsOf(layout: Layout, id: string): Promise<readonly string[]> {
  return (await namesIn(layout.snapshots(id))).filter((name) => !name.startsWith(NEW)).sort();
}

/** Removes what interrupted runs left in `snapshots/` and beside `current`; only the holder of the lock may do so. */
export async function removeUnfinished(layout: Layout, id: string): Promise<void> {
  for (const directory of [layout.repository(id), layout.snapshots(id)]) {
    const names = await namesIn(directory);
    for (const name of names.filter((n) => n.startsWith(NEW))) await removeTree(join(directory, name));
  }
}

/** Builds a tree under a temporary name. Nothing is flushed yet. */
export class TreeBuilder {
  private readonly made = new Set<string>();

  private constructor(
    private readonly store: Store,
    readonly directory: string,
  ) {}

  static start(store: Store, layout: Layout, id: string, at: Date): Promise<TreeBuilder> {
    return TreeBuilder.at(store, join(layout.snapshots(id), `${NEW}${stamp(at)}`));
  }

  /** The same in a directory that the caller names. */
  static async at(store: Store, directory: string): Promise<TreeBuilder> {
    await mkdir(directory, { recursive: true });
    return new TreeBuilder(store, directory);
  }

  folder(path: string): void {
    if (this.made.has(path)) return;
    mkdirSync(join(this.directory, path), { recursive: true });
    this.made.add(path);
  }

  /** Adds a file: its bytes, or a link to where it was found (`found`), which is the store unless it is said. */
  add(file: TreeFile, found?: string): void {
    this.folder(dirname(file.path));
    const target = join(this.directory, file.path);
    if ('bytes' in file) writeFileSync(target, file.bytes, { mode: 0o444, flag: 'wx' });
    else linkOrCopy(found ?? this.store.path(file.checksum), target);
  }

  /**
   * Adds a file that the published tree may have, too: what the store lost comes back from there.
   *
   * @param found where it is, in the store or on its way into it
   * @param published the tree that is published; undefined where there is none
   */
  async addOrRegain(file: StoredFile & { readonly size: number }, found: string, published: string | undefined): Promise<void> {
    try {
      this.add(file, found);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || published === undefined) throw error;
      await this.store.regain(file.checksum, file.size, join(published, file.path));
      this.add(file);
    }
  }

  /** Links a file of an older tree, unless something of this tree is in its way: a folder where it was, or a file where its folder was. */
  carry(from: string, path: string): boolean {
    try {
      this.folder(dirname(path));
      linkOrCopy(join(from, path), join(this.directory, path));
      return true;
    } catch (error) {
      if (['EEXIST', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  }
}

/** All files of a tree, relative to it, sorted. */
export async function filesOf(tree: string): Promise<readonly string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(tree, folder), { withFileTypes: true })) {
      if (entry.isDirectory()) await walk(`${folder}${entry.name}/`);
      else if (entry.isFile()) found.push(folder + entry.name);
    }
  };
  await walk('');
  return found.sort();
}

/**
 * Which files of the superseded tree stay served in the new one, and until when. Clients that hold an older `repomd.xml` still ask for the
 * metadata it names and for the packages which that lists. The index itself is replaced.
 */
export function filesToCarry(options: {
  readonly superseded: readonly string[];
  /** Until when the superseded tree itself carried files of its predecessors (ISO). */
  readonly carriedBefore: Readonly<Record<string, string>>;
  readonly own: ReadonlySet<string>;
  readonly now: Date;
  readonly graceSeconds: number;
}): Readonly<Record<string, string>> {
  const fresh = new Date(options.now.getTime() + options.graceSeconds * 1000).toISOString();
  const kept = options.superseded
    .filter((path) => !options.own.has(path) && !path.startsWith('repodata/repomd.xml'))
    .map((path): [string, string] => [path, options.carriedBefore[path] ?? fresh])
    .filter(([, until]) => Date.parse(until) > options.now.getTime());
  return Object.fromEntries(kept);
}

/** A name that no snapshot has, `<time>-<12 hex>`: later by seconds where it is taken, and later than the published one, whatever the clock says. Only the holder of the lock may ask. */
export async function freeName(layout: Layout, id: string, digest: string, at: Date): Promise<string> {
  const current = await currentSnapshot(layout, id);
  const before = current === undefined ? undefined : timeOf(current);
  const from = Math.max(at.getTime(), before === undefined ? 0 : Date.parse(before) + 1000);
  for (let second = 0; ; second++) {
    const name = `${stamp(new Date(from + second * 1000))}-${digest.slice(0, 12)}`;
    if ((await lstat(join(layout.snapshots(id), name)).catch(() => undefined)) === undefined) return name;
  }
}

/** Makes a snapshot the published one: a symlink beside `current`, renamed over it. */
export async function pointTo(layout: Layout, id: string, name: string): Promise<void> {
  await replaceLink(layout.current(id), `snapshots/${name}`);
}

/** Leads a symlink elsewhere by one rename: nobody finds it missing, or half. What a run that was killed left beside it begins with `NEW`. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = join(dirname(path), NEW + basename(path));
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, path);
}

/** Publishes durably. */
export async function publish(layout: Layout, id: string, name: string): Promise<void> {
  await pointTo(layout, id, name);
  await flushDirectory(layout.repository(id));
}
