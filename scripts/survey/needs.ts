/**
 * Pure: what a server needs on disk for the repositories that were looked at. Follows content/store.ts and content/snapshot.ts: a file is
 * stored once, under its SHA-256, and hard-linked into the trees that show it, which takes neither blocks nor an inode; the index and its
 * signature are written into each tree; directories take both.
 */
import type { SizedFile } from './index-facts';

/** How long superseded content stays: GRACE_SECONDS of content/sync.ts. */
export const GRACE_HOURS = 72;
/** Packages built in so many days before today stand for what upstream replaces within the grace period. */
export const RECENT_DAYS = 30;
/** Of everything: file systems slow down, and syncs fail, when the last blocks are in use. */
export const HEADROOM = 0.1;
const BLOCK = 4096;
/** Bytes of a package in the list beside a snapshot, its path aside. */
const LISTED = 130;

export interface Tree {
  readonly id: string;
  readonly publicPath: string;
  readonly packages: readonly (SizedFile & { readonly built: number })[];
  readonly metadata: readonly SizedFile[];
  /** Sizes of `repomd.xml` and what is beside it. */
  readonly indexFiles: readonly number[];
}

export interface Amount {
  readonly bytes: number;
  readonly inodes: number;
}

export interface Needs {
  readonly packages: Amount & {
    /** Bytes that need no room, since another repository, or another path, has the same file. */
    readonly sharedBytes: number;
    readonly sharedFiles: number;
  };
  readonly metadata: Amount;
  /** Directories and links. */
  readonly tree: Amount;
  readonly grace: Amount;
  readonly headroom: Amount;
  readonly total: Amount;
}

/** Adds repositories up, one by one: only digests and sizes are kept of each. */
export class NeedsOfServer {
  private readonly stored = new Set<string>();
  private readonly fanOut = new Set<string>();
  private readonly directories = new Set<string>(['', 'store', 'store/.incoming', 'repositories', 'www']);
  private packages = { bytes: 0, inodes: 0, sharedBytes: 0, sharedFiles: 0 };
  private metadata: Amount = { bytes: 0, inodes: 0 };
  /** Of the trees, and what is known of each beside it (its record and its list), which a later snapshot makes again. */
  private trees: Amount = { bytes: 0, inodes: 0 };
  private recent: Amount = { bytes: 0, inodes: 0 };
  private links = 0;
  private metadataOnceMore: Amount = { bytes: 0, inodes: 0 };

  /** @param now seconds since 1970 */
  add(tree: Tree, now: number): void {
    for (const file of tree.packages) {
      if (!this.store(file)) {
        this.packages.sharedBytes += file.size;
        this.packages.sharedFiles++;
        continue;
      }
      this.packages.bytes += blocks(file.size);
      this.packages.inodes++;
      if (file.built > now - RECENT_DAYS * 86_400) this.recent = plus(this.recent, blocks(file.size), 1);
    }
    for (const file of tree.metadata) if (this.store(file)) this.metadata = plus(this.metadata, blocks(file.size), 1);
    for (const size of tree.indexFiles) this.metadata = plus(this.metadata, blocks(size), 1);
    for (const size of [...tree.metadata.map((file) => file.size), ...tree.indexFiles])
      this.metadataOnceMore = plus(this.metadataOnceMore, blocks(size), 1);
    this.trees = add(this.trees, treeDirectories([...tree.packages, ...tree.metadata].map((file) => file.path)));
    this.trees = plus(this.trees, BLOCK + blocks(tree.packages.reduce((sum, { path }) => sum + path.length + LISTED, 0)), 2);
    this.parents(`repositories/${tree.id}/snapshots/x`);
    this.parents(`repositories/${tree.id}/records/x`);
    this.parents(`www/${tree.publicPath}`);
    this.links += 2; // `current`, and the public path
  }

  total(): Needs {
    const directories = this.directories.size + this.fanOut.size;
    // The sentinel is the one file of its own.
    const fixed = { bytes: directories * BLOCK, inodes: directories + this.links + 1 };
    const tree = add(fixed, this.trees);
    const content = add(add(this.packages, this.metadata), tree);
    const grace = add(add(this.metadataOnceMore, this.trees), this.recent);
    const both = add(content, grace);
    const headroom = { bytes: Math.ceil(both.bytes * HEADROOM), inodes: Math.ceil(both.inodes * HEADROOM) };
    return { packages: this.packages, metadata: this.metadata, tree, grace, headroom, total: add(both, headroom) };
  }

  /** False when the store has it already. */
  private store(file: SizedFile): boolean {
    // Half of a digest tells files apart well enough to count them, in half of the memory.
    const key =
      file.hex === '' ? `${file.path} ${file.size}` : `${file.algorithm} ${Buffer.from(file.hex.slice(0, 32), 'hex').toString('latin1')}`;
    if (this.stored.has(key)) return false;
    this.stored.add(key);
    this.fanOut.add(`${file.algorithm}/`).add(`${file.algorithm}/${file.hex.slice(0, 2)}`);
    // A file that upstream names by another digest is stored under its SHA-256, too: nobody knows it before, but it spreads alike.
    if (file.algorithm !== 'sha256') this.fanOut.add('sha256/').add(`sha256/${file.hex.slice(0, 2)}`);
    return true;
  }

  private parents(path: string): void {
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) this.directories.add(path.slice(0, cut));
  }
}

/** Directories of one snapshot, itself included. An entry takes 8 bytes and its name (ext4). */
function treeDirectories(paths: readonly string[]): Amount {
  const entries = new Map<string, number>([['', 24]]);
  const enter = (path: string, isDirectory: boolean): void => {
    const cut = path.lastIndexOf('/');
    const parent = cut < 0 ? '' : path.slice(0, cut);
    if (cut >= 0 && !entries.has(parent)) enter(parent, true);
    if (isDirectory) entries.set(path, 24);
    entries.set(parent, (entries.get(parent) ?? 24) + 8 + Math.ceil(Buffer.byteLength(path.slice(cut + 1)) / 4) * 4);
  };
  for (const path of paths) enter(path, false);
  if (!entries.has('repodata')) enter('repodata', true);
  return { bytes: [...entries.values()].reduce((sum, bytes) => sum + blocks(bytes), 0), inodes: entries.size };
}

const blocks = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;
const plus = (a: Amount, bytes: number, inodes: number): Amount => ({ bytes: a.bytes + bytes, inodes: a.inodes + inodes });
const add = (a: Amount, b: Amount): Amount => plus(a, b.bytes, b.inodes);
