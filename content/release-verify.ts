import { createHash } from 'node:crypto';
import { readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Layout } from './layout';
import { Progress, type Say } from './progress';
import { KEYS } from './freeze';
import { MANIFEST_FILE, type ManifestLine, parseReleaseManifest } from './release-manifest';
import { buildLinks, releasedFiles } from './release-builds';
import { existingReleases, type Frozen, readFrozen } from './releases';
import { fileDigest, isAbsent } from './files';
import { secondsBetween } from './lines';
import { filesOf } from './snapshot';

/** A file of a release that is not as it was frozen. */
export interface Difference {
  /** Below the release. */
  readonly path: string;
  readonly what: 'differs' | 'missing' | 'additional' | 'unreadable';
}

export interface Verified {
  readonly id: string;
  readonly files: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly differences: readonly Difference[];
}

/** Reads every byte of a frozen release and compares it with what was recorded. */
export async function verifyRelease(layout: Layout, id: string, say: Say): Promise<Verified> {
  const started = new Date();
  const frozen = (await existingReleases(layout)).includes(id) ? await readFrozen(layout, id) : undefined;
  if (frozen === undefined) throw notFrozen(id);
  const root = layout.release(id);
  const manifest = await readFile(join(root, MANIFEST_FILE)).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  // Nothing else can be told without it.
  if (manifest === undefined || createHash('sha256').update(manifest).digest('hex') !== frozen.manifest) {
    const what = manifest === undefined ? 'missing' : 'differs';
    return { id, files: 0, bytes: 0, seconds: 0, differences: [{ path: MANIFEST_FILE, what }] };
  }
  const lines = parseReleaseManifest(manifest.toString('utf8'), join(root, MANIFEST_FILE));
  const differences = [...(await strayLinks(root, frozen, lines)), ...(await additional(layout, frozen, lines))];
  const owned = lines.filter((line) => line.checksum !== undefined);
  const total = owned.reduce((sum, { size }) => sum + size, 0);
  const progress = new Progress(`release ${id}`, owned.length, total, say);
  const read = new Map<string, string | undefined>();
  let bytes = 0;
  try {
    for (const line of owned) {
      const what = await compare(root, line, read, (count) => {
        bytes += count;
        progress.addBytes(count);
      });
      if (what !== undefined) differences.push({ path: line.path, what });
      progress.fileDone();
    }
  } finally {
    progress.stop();
  }
  return { id, files: owned.length, bytes, seconds: secondsBetween(started, new Date()), differences };
}

function notFrozen(id: string): MirrorError {
  return new MirrorError({
    code: 'NOT_FROZEN',
    message: `${JSON.stringify(id)} is no release that is frozen on this server`,
    remedy: 'mirrorctl release list says which are, and why others are not.',
    exitCode: ExitCode.usage,
  });
}

/** @param read digests by inode and algorithm: a file that is in several places is read once */
async function compare(
  root: string,
  { path, checksum, size }: ManifestLine,
  read: Map<string, string | undefined>,
  onBytes: (count: number) => void,
): Promise<Difference['what'] | undefined> {
  if (checksum === undefined) return undefined;
  const full = join(root, path);
  try {
    const { ino, size: actual } = await stat(full);
    if (actual !== size) return 'differs';
    const key = `${ino} ${checksum.algorithm}`;
    if (!read.has(key)) read.set(key, await fileDigest(full, checksum.algorithm, onBytes));
    return read.get(key) === checksum.hex ? undefined : 'differs';
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) return 'missing';
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 'unreadable';
    throw error;
  }
}

/** Links that lead to something else than the snapshot or the build that was frozen. */
async function strayLinks(root: string, { members, builds = [] }: Frozen, lines: readonly ManifestLine[]): Promise<Difference[]> {
  const found: Difference[] = [];
  const look = async (path: string, end: string): Promise<void> => {
    const target = await readlink(join(root, path)).catch(() => undefined);
    if (target?.endsWith(end) !== true) found.push({ path, what: target === undefined ? 'missing' : 'differs' });
  };
  for (const { id, publicPath, snapshot } of members) await look(publicPath, `/repositories/${id}/snapshots/${snapshot}`);
  for (const build of builds)
    for (const [path, end] of buildLinks(build)) {
      // A build has not each of them.
      if (lines.some((line) => line.path === path || line.path.startsWith(`${path}/`))) await look(path, end);
    }
  return found;
}

async function additional(layout: Layout, { id, members, builds = [] }: Frozen, lines: readonly ManifestLine[]): Promise<Difference[]> {
  const known = new Set(lines.map(({ path }) => path));
  const found: Difference[] = [];
  const look = async (tree: string, prefix: string): Promise<void> => {
    const files = await filesOf(tree).catch((error: unknown) => {
      // A tree that is missing lacks each of its files.
      if (isAbsent(error)) return [];
      throw error;
    });
    for (const path of files) if (!known.has(prefix + path)) found.push({ path: prefix + path, what: 'additional' });
  };
  for (const { id: member, publicPath, snapshot } of members) await look(`${layout.snapshots(member)}/${snapshot}`, `${publicPath}/`);
  await look(join(layout.release(id), KEYS), `${KEYS}/`);
  for (const { series, timestamp, publicPath } of builds)
    for (const path of await releasedFiles(layout.build(series, timestamp))) {
      const inRelease = `${publicPath}/${path}`;
      if (!known.has(inRelease)) found.push({ path: inRelease, what: 'additional' });
    }
  return found;
}
