import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { opened, readIndex, readPackages } from '../../../campaign/sync/checker';

/** Path → SHA-256. */
export type Files = ReadonlyMap<string, string>;

export interface ObservedRepository {
  /** The published snapshot; undefined where `current` is missing or leads nowhere. */
  readonly current: string | undefined;
  readonly snapshots: ReadonlyMap<string, Files>;
  /** What the published index lists: path → SHA-256. */
  readonly listed: Files;
}

/** Everything of a storage root, read without any code of the mirror. */
export interface Observed {
  readonly repositories: ReadonlyMap<string, ObservedRepository>;
  /** Links followed, without pins. */
  readonly releases: ReadonlyMap<string, Files>;
  /** What a release's `pins` leads to lists; undefined where it leads nowhere, or is no link. */
  readonly pins: ReadonlyMap<string, Files | undefined>;
  /** Key of an item → its files. */
  readonly quarantine: ReadonlyMap<string, Files>;
  /** Names in the store → the inode, and how many links it has. */
  readonly store: ReadonlyMap<string, { readonly inode: number; readonly nlink: number }>;
  /** Inode → bytes on the disk, of everything but what tells readers of announcements. */
  readonly blocks: ReadonlyMap<number, number>;
  /** Inode → its paths outside of the store. */
  readonly uses: ReadonlyMap<number, readonly string[]>;
  readonly problems: readonly string[];
}

const listings = new Map<string, Files>();

export function observe(root: string): Observed {
  const digests = new Map<number, string>();
  const blocks = new Map<number, number>();
  const uses = new Map<number, string[]>();
  const problems: string[] = [];
  const digestOf = (path: string): string => {
    const { ino, blocks: count } = lstatSync(path);
    const known = digests.get(ino);
    if (known !== undefined) return known;
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
    digests.set(ino, digest);
    blocks.set(ino, count * 512);
    return digest;
  };
  const filesOf = (directory: string, ...skip: string[]): Files => {
    const files = new Map<string, string>();
    const walk = (folder: string): void => {
      for (const entry of names(folder)) {
        const path = join(folder, entry);
        if (skip.includes(entry)) continue;
        const stat = lstatSync(path);
        if (stat.isDirectory()) walk(path);
        else if (stat.isFile()) {
          files.set(relative(directory, path), digestOf(path));
          uses.set(stat.ino, [...(uses.get(stat.ino) ?? []), path]);
        } else if (stat.isSymbolicLink() && existsSync(path)) {
          for (const [below, digest] of filesOf(join(folder, readlinkSync(path))))
            files.set(join(relative(directory, path), below), digest);
        }
      }
    };
    walk(directory);
    return files;
  };
  const listingOf = (tree: string): Files => {
    const repomd = readFileSync(join(tree, 'repodata/repomd.xml'));
    const key = createHash('sha256').update(repomd).digest('hex');
    const known = listings.get(key);
    if (known !== undefined) return known;
    const primary = readIndex(repomd).metadata.find(({ type }) => type === 'primary');
    const listed = new Map(readPackages(opened(readFileSync(join(tree, primary?.path as string)))).map((one) => [one.path, one.sha256]));
    listings.set(key, listed);
    return listed;
  };

  const repositories = new Map<string, ObservedRepository>();
  const visit = (directory: string, id: string): void => {
    const inside = names(directory);
    if (!inside.includes('snapshots')) {
      for (const name of inside) visit(join(directory, name), id === '' ? name : `${id}/${name}`);
      return;
    }
    // `gone` and `refused` are notes, that are written anew.
    filesOf(directory, 'snapshots', 'current', 'gone', 'refused');
    const snapshots = new Map<string, Files>();
    for (const name of names(join(directory, 'snapshots'))) {
      if (name.startsWith('.')) problems.push(`${id} has ${name}`);
      snapshots.set(name, filesOf(join(directory, 'snapshots', name)));
    }
    const link = join(directory, 'current');
    const current = existsSync(link) ? basename(readlinkSync(link)) : undefined;
    let listed: Files = new Map();
    if (current !== undefined) {
      const tree = snapshots.get(current) ?? new Map<string, string>();
      listed = listingOf(join(directory, 'snapshots', current));
      for (const [path, digest] of listed)
        if (tree.get(path) !== digest) problems.push(`${id} publishes ${path}, which is ${tree.get(path) ?? 'missing'}`);
    }
    repositories.set(id, { current, snapshots, listed });
  };
  if (existsSync(join(root, 'repositories'))) visit(join(root, 'repositories'), '');

  const releases = new Map<string, Files>();
  const pins = new Map<string, Files | undefined>();
  for (const id of names(join(root, 'releases'))) {
    if (id.startsWith('.')) problems.push(`releases/${id} was left`);
    releases.set(id, filesOf(join(root, 'releases', id), 'pins'));
    const link = join(root, 'releases', id, 'pins');
    pins.set(id, existsSync(join(link, 'repodata/repomd.xml')) ? listingOf(link) : undefined);
  }
  const quarantine = new Map<string, Files>();
  for (const date of names(join(root, 'quarantine')))
    for (const name of names(join(root, 'quarantine', date))) {
      const at = join(root, 'quarantine', date, name);
      if (lstatSync(at).isFile()) digestOf(at);
      else if (name.startsWith('.')) problems.push(`quarantine/${date}/${name} was left`);
      else quarantine.set(name.replaceAll('+', '/'), filesOf(at));
    }
  const store = new Map<string, { inode: number; nlink: number }>();
  for (const shard of names(join(root, 'store/sha256')))
    for (const hex of names(join(root, 'store/sha256', shard))) {
      const path = join(root, 'store/sha256', shard, hex);
      const { ino, nlink } = lstatSync(path);
      store.set(hex, { inode: ino, nlink });
      if (digestOf(path) !== hex) problems.push(`store/${hex} has the bytes of ${digestOf(path)}`);
    }
  return { repositories, releases, pins, quarantine, store, blocks, uses, problems };
}

function names(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}
