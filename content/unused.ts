import { lstatSync, type Stats, unlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';
import { namesOfShard, SHARDS } from './scrub-read';
import type { Store } from './store';

/** A file of the store that no tree has a link to: names in the store are all that it has. */
export interface UnusedFile {
  readonly names: readonly Checksum[];
  readonly inode: number;
  /** On the disk. */
  readonly bytes: number;
}

export interface StoreSurvey {
  readonly unused: readonly UnusedFile[];
  /** All files of the store, on the disk. */
  readonly bytes: number;
  /** How many names of the store an inode has. */
  names(inode: number): number;
}

const OTHER_ALGORITHMS = ['sha1', 'sha224', 'sha384', 'sha512'] as const;

/** Looks at every file of the store: the file system counts who uses it. Something outside that links to it uses it, too. */
export function surveyStore(store: Store): StoreSurvey {
  const aliases = new Map<number, Checksum[]>();
  for (const algorithm of OTHER_ALGORITHMS)
    eachFile(store, algorithm, (checksum, { ino }) => void aliases.set(ino, [...(aliases.get(ino) ?? []), checksum]));
  const unused: UnusedFile[] = [];
  const primaries = new Set<number>();
  let bytes = 0;
  const look = (names: readonly Checksum[], { ino, nlink, blocks }: Stats): void => {
    bytes += blocks * 512;
    if (nlink === names.length) unused.push({ names, inode: ino, bytes: blocks * 512 });
  };
  eachFile(store, 'sha256', (checksum, stat) => {
    primaries.add(stat.ino);
    look([checksum, ...(aliases.get(stat.ino) ?? [])], stat);
  });
  for (const [inode, names] of aliases) {
    if (primaries.has(inode)) continue;
    const stat = lstatSync(store.path(names[0] as Checksum), { throwIfNoEntry: false });
    if (stat !== undefined) look(names, stat);
  }
  return { unused, bytes, names: (inode) => (primaries.has(inode) ? 1 : 0) + (aliases.get(inode)?.length ?? 0) };
}

function eachFile(store: Store, algorithm: Checksum['algorithm'], visit: (checksum: Checksum, stat: Stats) => void): void {
  for (const shard of SHARDS) {
    for (const hex of namesOfShard(store, algorithm, shard)) {
      const checksum = { algorithm, hex };
      const stat = lstatSync(store.path(checksum), { throwIfNoEntry: false });
      if (stat?.isFile() === true) visit(checksum, stat);
    }
  }
}

/** Removes files of the store, if nothing uses them still; returns those that went. Only for who holds the store's lock alone. */
export function removeUnused(store: Store, files: readonly UnusedFile[]): readonly UnusedFile[] {
  return files.filter(({ names, inode }) => {
    const found = names.map((name) => lstatSync(store.path(name), { throwIfNoEntry: false }));
    if (found.some((stat) => stat?.ino !== inode || stat.nlink !== names.length)) return false;
    for (const name of names) unlinkSync(store.path(name));
    return true;
  });
}

/** `checksumKey` of an unused file's first name → when it was first seen to be unused (ISO). */
export type Seen = ReadonlyMap<string, string>;

const HEAD = 'unused 1';

/** What earlier runs saw. A list that is lost begins anew. */
export async function readSeen(layout: Layout): Promise<Seen> {
  const text = await readFile(layout.unusedFiles, 'utf8').catch((error: unknown) => {
    if (isAbsent(error)) return '';
    throw error;
  });
  const lines = text.split('\n');
  if (lines.shift() !== HEAD) return new Map();
  const pairs = lines.map((line) => line.split(' ')).filter((pair): pair is [string, string] => pair.length === 2);
  return new Map(pairs.map(([since, key]) => [key, since]));
}

export async function writeSeen(layout: Layout, seen: Seen): Promise<void> {
  const lines = [...seen].map(([key, since]) => `${since} ${key}\n`);
  await writeAtomically(layout.unusedFiles, `${HEAD}\n${lines.join('')}`);
}

export function seenKey({ names }: UnusedFile): string {
  return checksumKey(names[0] as Checksum);
}
