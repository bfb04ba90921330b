import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode } from '../desired-state/errors';
import { forEachParallel } from '../downloads/parallel';
import type { Checksum } from '../rpm-metadata/checksum';
import { identityOf } from '../signatures/package-identity';
import { PackageVerifier } from '../signatures/packages';
import type { KeyRing } from '../signatures/pinned-keys';
import { type Found, unreadable } from './import-walk';
import type { Wants } from './import-wants';
import type { Problem } from './record';
import type { Store } from './store';

/** Why a file cannot be hard-linked into the store. */
export type Obstacle = 'on another file system' | 'of another user' | 'of another mode than 0444';

/** A file that may enter the store. */
export interface Sound {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  /** Every checksum by which metadata may ask for it, its SHA-256 among them. */
  readonly checksums: readonly Checksum[];
  /** Undefined: a hard link is safe. */
  readonly obstacle: Obstacle | undefined;
}

export interface Judged {
  /** What the store lacks, each content once, in the order of the paths. */
  readonly take: readonly Sound[];
  /** What the store has; it may lack some of the names. */
  readonly present: readonly Sound[];
  /** Files whose content is in `take` from another path. */
  readonly again: number;
  /** Packages without a good signature by a pinned key, which something that is declared may publish all the same. */
  readonly unsigned: readonly string[];
  readonly problems: readonly Problem[];
}

export interface Judging {
  readonly directory: string;
  readonly store: Store;
  /** The file system of the store. */
  readonly device: number;
  readonly wants: Wants;
  /** The pinned keys of packages; undefined where there are none. */
  readonly ring: KeyRing | undefined;
  /** For rpm's data base. */
  readonly temporary: string;
  readonly onBytes: (count: number) => void;
  readonly onFile: () => void;
}

/** Files that are looked at by one rpmkeys. */
const BATCH = 200;
/** So many bytes are read at a time. */
const PIECE = 1024 * 1024;
/** While rpmkeys reads one batch the next is hashed. */
const PARALLEL = 2;

/**
 * Reads every file once for all its checksums, and judges packages that the store lacks: each must be readable and as its own digests say,
 * and where everything that is declared wants signed packages, signed by a pinned key. Changes nothing.
 */
export async function judge(judging: Judging, found: readonly Found[]): Promise<Judged> {
  const { store, ring, temporary } = judging;
  const verifier = await PackageVerifier.create(ring, temporary);
  const refused = new Map<string, Problem>();
  const unsigned: string[] = [];
  const sound: Sound[] = [];
  await forEachParallel(batches(found), PARALLEL, async (batch) => {
    const packages: Sound[] = [];
    for (const file of batch) {
      const read = await readWhole(judging, file);
      if ('code' in read) {
        refused.set(file.path, read);
        continue;
      }
      sound.push(read);
      if (file.kind === 'package' && !isPresent(store, read)) packages.push(read);
    }
    for (const [path, verdict] of await judgePackages(judging, verifier, packages)) {
      if (verdict === 'unsigned') unsigned.push(path);
      else refused.set(path, verdict);
    }
  });
  const good = sound.filter(({ path }) => !refused.has(path)).sort(byPath);
  const take = new Map<string, Sound>();
  for (const file of good) {
    if (isPresent(store, file)) continue;
    const before = take.get(file.sha256);
    // Of several places one that can be linked.
    if (before === undefined || (before.obstacle !== undefined && file.obstacle === undefined)) take.set(file.sha256, file);
  }
  const present = good.filter((file) => isPresent(store, file));
  return {
    take: [...take.values()].sort(byPath),
    present,
    again: good.length - present.length - take.size,
    unsigned: unsigned.sort(),
    problems: [...refused.values()].sort(byPath),
  };
}

function isPresent(store: Store, { sha256, size }: Sound): boolean {
  return store.has({ algorithm: 'sha256', hex: sha256 }, size);
}

async function judgePackages(
  { directory, wants, ring }: Judging,
  verifier: PackageVerifier,
  packages: readonly Sound[],
): Promise<ReadonlyMap<string, Problem | 'unsigned'>> {
  const places = new Map(packages.map(({ path }) => [join(directory, path), path]));
  const verdicts = new Map<string, Problem | 'unsigned'>();
  const unproven = ring === undefined ? undefined : await verifier.failures([...places.keys()]);
  const damaged = await verifier.damaged([...(unproven ?? places).keys()]);
  for (const [place, path] of places) {
    const harm = damaged.get(place) ?? (identityOf(place) === undefined ? 'it has no name that could be read' : undefined);
    const distrust = unproven?.get(place);
    if (harm !== undefined) verdicts.set(path, damagedPackage(path, harm));
    else if (distrust !== undefined)
      verdicts.set(path, wants.packages === 'any' ? 'unsigned' : untrustedPackage(path, distrust, ring as KeyRing));
  }
  return verdicts;
}

function damagedPackage(path: string, why: string): Problem {
  return {
    path,
    code: 'PACKAGE_DAMAGED',
    message: `${path}: ${why}`,
    remedy: 'The next sync fetches what upstream has. Where upstream has it no more, look for another copy.',
    exitCode: ExitCode.untrusted,
  };
}

function untrustedPackage(path: string, why: string, { fingerprints }: KeyRing): Problem {
  return {
    path,
    code: 'PACKAGE_UNTRUSTED',
    message: `${path}: ${why}; pinned: ${[...fingerprints].join(', ')}`,
    remedy:
      'Every declared repository wants signed packages: none would publish it. Pin its key, or declare the repository that it is of, and import again.',
    exitCode: ExitCode.untrusted,
  };
}

/** Opens a regular file of the tree and nothing else: it may have become a symlink or a pipe since it was listed. */
export async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw Object.assign(new Error(`${path} is no file any more`), { code: 'ENOENT' });
}

async function readWhole({ directory, device, wants, onBytes, onFile }: Judging, { path, size: listed }: Found): Promise<Sound | Problem> {
  const hashes = new Map(wants.algorithms.map((algorithm) => [algorithm, createHash(algorithm)]));
  try {
    const file = await openRegular(join(directory, path));
    try {
      let size = 0;
      // A stream takes several times as long for the small files that most packages are.
      const buffer = Buffer.allocUnsafe(Math.min(listed + 1, PIECE));
      for (;;) {
        // Node 18 reads nothing where it is not told how much.
        const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
        if (bytesRead === 0) break;
        const piece = buffer.subarray(0, bytesRead);
        for (const hash of hashes.values()) hash.update(piece);
        size += piece.length;
        onBytes(piece.length);
      }
      onFile();
      const stat = await file.stat();
      if (stat.size !== size) return changed(path);
      const checksums = [...hashes].map(([algorithm, hash]): Checksum => ({ algorithm, hex: hash.digest('hex') }));
      const sha256 = checksums.find(({ algorithm }) => algorithm === 'sha256')?.hex as string;
      return { path, size, sha256, checksums, obstacle: obstacleOf(stat, device) };
    } finally {
      await file.close();
    }
  } catch (error) {
    return unreadable(path, error);
  }
}

/** A file that is not what it was when it was listed or judged. */
export function changed(path: string): Problem {
  return {
    path,
    code: 'FILE_CHANGED',
    message: `${path} changed while it was read`,
    remedy: 'End whatever writes there, and import again.',
    exitCode: ExitCode.untrusted,
  };
}

/**
 * A file in the store never changes. So a hard link is made only of what nobody but this user could write, and what this user has made
 * read-only: its owner is this user, and its mode that of the store.
 */
export function obstacleOf({ dev, uid, mode }: Pick<Stats, 'dev' | 'uid' | 'mode'>, device: number): Obstacle | undefined {
  if (dev !== device) return 'on another file system';
  if (uid !== process.getuid?.()) return 'of another user';
  return (mode & 0o7777) === 0o444 ? undefined : 'of another mode than 0444';
}

function batches(found: readonly Found[]): readonly (readonly Found[])[] {
  return Array.from({ length: Math.ceil(found.length / BATCH) }, (_, i) => found.slice(i * BATCH, (i + 1) * BATCH));
}

export function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : 1;
}
