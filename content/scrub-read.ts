import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { readLost } from './damage';
import type { ExpectedFile } from './expected';
import { isAbsent } from './files';
import type { Layout } from './layout';
import { damageRecord, treeDirectory } from './scrubbed-trees';
import type { Store } from './store';

/** Something that is not as its digest says. */
export interface Finding {
  readonly checksum: Checksum;
  /** A phrase that follows the name of the file. */
  readonly why: string;
  /** The inode with the wrong bytes; undefined where the file is missing. */
  readonly inode?: number;
  /** Where that inode is. */
  readonly at?: string;
}

export const CHANGED = 'was changed on disk';
const MISSING = 'is missing';
const MISPLACED = 'is another file';
const UNREADABLE = 'cannot be read from the disk';

const PIECE = 1024 * 1024;

/** Digests of a file by algorithm, and its inode; undefined where it is not there (any more). What the disk cannot read has no digests. */
export async function digestsOf(
  path: string,
  algorithms: Iterable<string>,
  onBytes: (count: number) => void = () => undefined,
): Promise<{ readonly inode: number; readonly digests: ReadonlyMap<string, string> | undefined } | undefined> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  const { ino: inode } = await file.stat();
  try {
    const hashes = [...new Set(algorithms)].map((algorithm) => [algorithm, createHash(algorithm)] as const);
    const piece = Buffer.allocUnsafe(PIECE);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, PIECE);
      if (bytesRead === 0) break;
      for (const [, hash] of hashes) hash.update(piece.subarray(0, bytesRead));
      onBytes(bytesRead);
    }
    return { inode, digests: new Map(hashes.map(([algorithm, hash]) => [algorithm, hash.digest('hex')])) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return { inode, digests: undefined };
    throw error;
  } finally {
    await file.close();
  }
}

type Read = NonNullable<Awaited<ReturnType<typeof digestsOf>>>;

/** Whether the store has this inode under the SHA-256 of its bytes: then it is whole, whatever else links to it. */
export function isWhole(store: Store, { inode, digests }: Read): boolean {
  const hex = digests?.get('sha256');
  return hex !== undefined && present(store.path({ algorithm: 'sha256', hex }))?.ino === inode;
}

function wrong(store: Store, read: Read, checksum: Checksum, at: string): Finding {
  if (isWhole(store, read)) return { checksum, why: MISPLACED };
  return { checksum, why: read.digests === undefined ? UNREADABLE : CHANGED, inode: read.inode, at };
}

/** A file's stat; undefined where it is not there. */
export function present(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Files of the store under another algorithm than SHA-256. */
export interface Aliases {
  /** Inode of a file that is there under its SHA-256 → its other names. */
  readonly byInode: ReadonlyMap<number, readonly Checksum[]>;
  /** Those of which no SHA-256 is there: copies, or what somebody deleted. */
  readonly alone: readonly Checksum[];
}

const HEX = /^[0-9a-f]{40,128}$/;
const ALGORITHMS = ['sha1', 'sha224', 'sha384', 'sha512'] as const;

/** The files below one folder of the store, by name. */
export function namesOfShard(store: Store, algorithm: Checksum['algorithm'], shard: string): readonly string[] {
  try {
    return readdirSync(join(store.root, algorithm, shard))
      .filter((name) => HEX.test(name))
      .sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** `00` … `ff`: the folders of each algorithm. */
export const SHARDS: readonly string[] = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'));

/** Looks for other names, so that a file with several is read once. */
export function aliasesOf(store: Store): Aliases {
  const byInode = new Map<number, Checksum[]>();
  for (const algorithm of ALGORITHMS) {
    for (const shard of SHARDS) {
      for (const hex of namesOfShard(store, algorithm, shard)) {
        const inode = present(store.path({ algorithm, hex }))?.ino;
        if (inode !== undefined) byInode.set(inode, [...(byInode.get(inode) ?? []), { algorithm, hex }]);
      }
    }
  }
  if (byInode.size === 0) return { byInode, alone: [] };
  const alone = new Map(byInode);
  for (const shard of SHARDS) {
    for (const hex of namesOfShard(store, 'sha256', shard)) alone.delete(present(store.path({ algorithm: 'sha256', hex }))?.ino ?? -1);
  }
  return { byInode, alone: [...alone.values()].flat() };
}

/** Reads one folder of the store: each file once, whatever names it has. */
export async function readShard(
  store: Store,
  shard: string,
  aliases: Aliases,
  onBytes: (count: number) => void,
  onFile: () => void,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const primaries = namesOfShard(store, 'sha256', shard).map((hex): Checksum => ({ algorithm: 'sha256', hex }));
  const alone = aliases.alone.filter(({ hex }) => hex.startsWith(shard));
  for (const checksum of [...primaries, ...alone]) {
    const inode = present(store.path(checksum))?.ino;
    const others = checksum.algorithm === 'sha256' && inode !== undefined ? (aliases.byInode.get(inode) ?? []) : [];
    findings.push(...(await readOne(store, [checksum, ...others], onBytes)));
    onFile();
  }
  return findings;
}

/** Looks at one file under all its names. One that a sync replaced meanwhile is read again. */
async function readOne(store: Store, names: readonly [Checksum, ...Checksum[]], onBytes: (count: number) => void): Promise<Finding[]> {
  const path = store.path(names[0]);
  for (;;) {
    const read = await digestsOf(
      path,
      names.map(({ algorithm }) => algorithm),
      onBytes,
    );
    const now = present(path)?.ino;
    if (read === undefined || now === undefined) return [];
    if (now !== read.inode) continue;
    return names
      .filter(({ algorithm, hex }) => read.digests?.get(algorithm) !== hex)
      .map((checksum) => wrong(store, read, checksum, store.path(checksum)));
  }
}

/**
 * Looks at the tree of one snapshot: whether each file is there, and is the one of the store; bytes are read only of what the store does not
 * have. What is known to be lost is not found again.
 *
 * @param seen inodes that were read before, with whether they were whole, by digest
 */
export async function readTree(
  layout: Layout,
  store: Store,
  { id, snapshot, files }: { readonly id: string; readonly snapshot: string; readonly files: readonly ExpectedFile[] },
  seen: Map<string, boolean>,
  onBytes: (count: number) => void,
  onFile: () => void,
): Promise<readonly Finding[]> {
  const tree = treeDirectory(layout, id, snapshot);
  const lost = new Set(readLost(damageRecord(layout, id, snapshot)).map(({ path }) => path));
  const findings: Finding[] = [];
  for (const { path, checksum, stored } of files) {
    const at = join(tree, path);
    const inode = present(at)?.ino;
    if (inode === undefined) {
      if (!lost.has(path) && present(tree) !== undefined) findings.push({ checksum, why: MISSING });
      continue;
    }
    const inStore = stored ? present(store.path(checksum))?.ino : undefined;
    if (inStore === inode) continue;
    const key = `${inode} ${checksumKey(checksum)}`;
    if (!seen.has(key)) {
      const read = await digestsOf(at, [checksum.algorithm, 'sha256'], onBytes);
      if (read === undefined) continue;
      onFile();
      seen.set(key, read.digests?.get(checksum.algorithm) === checksum.hex);
      if (seen.get(key) === false) findings.push(wrong(store, read, checksum, at));
    }
    if (seen.get(key) === true && stored && inStore === undefined) findings.push({ checksum, why: MISSING });
  }
  return findings;
}
