import { chmodSync, constants, linkSync, lstatSync, renameSync, rmSync, type Stats } from 'node:fs';
import { copyFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { forEachParallel } from '../downloads/parallel';
import type { Checksum } from '../rpm-metadata/checksum';
import { missingFiles } from './fetch';
import { fileDigest } from './files';
import { byPath, changed, obstacleOf, openRegular, type Sound } from './import-judge';
import { unreadable } from './import-walk';
import type { ServerDefinition } from '../desired-state/definitions';
import type { Layout } from './layout';
import type { Problem } from './record';
import { requireRoom } from './storage';
import type { Incoming, Store } from './store';

/**
 * How a file comes into the store: as a second name of the same bytes, as a copy that shares its blocks with the original, as a copy, or by
 * what an interrupted run had brought.
 */
export type Means = 'link' | 'reflink' | 'copy' | 'interrupted run';

export interface Taken {
  readonly file: Sound;
  readonly by: Means;
}

export interface Taking {
  readonly layout: Layout;
  readonly server: ServerDefinition;
  readonly directory: string;
  readonly store: Store;
  readonly incoming: Incoming;
  /** The file system of the store. */
  readonly device: number;
  /** No hard link and no reflink. */
  readonly copyOnly: boolean;
  readonly onBytes: (count: number) => void;
  readonly onFile: () => void;
}

/** After this many bytes what is complete enters the store, so that an interrupted run has little to read again. */
const COMMIT_BYTES = 1024 * 1024 * 1024;
/** Small files wait for the disk more than they move. */
const PARALLEL = 4;
/** What a file system answers that has no reflinks, or none between these two. */
const NO_REFLINKS = new Set(['ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS']);

/** Whether a hard link is to be tried. Others are reflinked where the file system can, which only a try shows. */
export function isLinked({ obstacle }: Sound, copyOnly: boolean): boolean {
  return obstacle === undefined && !copyOnly;
}

/**
 * Brings judged files into the store. What enters it is hashed once more where it lies then; what changed since it was judged is left out. The
 * tree is only read.
 */
export class Importer {
  private reflinks: boolean;
  /** Bytes that may have to be copied yet. */
  private left = 0;
  /** Files, as `left`. */
  private leftFiles = 0;

  constructor(private readonly taking: Taking) {
    this.reflinks = !taking.copyOnly;
  }

  async take(files: readonly Sound[]): Promise<{ readonly taken: readonly Taken[]; readonly problems: readonly Problem[] }> {
    const { store, incoming, copyOnly } = this.taking;
    const wanted = files.map((file) => ({ file, checksum: storeKey(file), size: file.size }));
    const missing = new Set((await missingFiles(store, incoming, wanted)).map(({ file }) => file));
    const taken: Taken[] = files.filter((file) => !missing.has(file)).map((file) => ({ file, by: 'interrupted run' }));
    const problems: Problem[] = [];
    const copies = [...missing].filter((file) => !isLinked(file, copyOnly));
    this.left = copies.reduce((sum, { size }) => sum + size, 0);
    this.leftFiles = copies.length;
    if (copyOnly) await this.requireRoom();
    // Copies first: where they do not fit, nothing was done yet.
    const ordered = [...copies, ...[...missing].filter((file) => isLinked(file, copyOnly))];
    await forEachParallel(ordered, PARALLEL, async (file) => {
      const by = await this.place(file);
      if (typeof by === 'object') problems.push(by);
      else {
        incoming.add(storeKey(file), file.sha256, file.size);
        taken.push({ file, by });
      }
      if (!isLinked(file, copyOnly)) {
        this.left -= file.size;
        this.leftFiles--;
      }
      await incoming.commitBeyond(COMMIT_BYTES);
    });
    await incoming.commit();
    return { taken: taken.sort((a, b) => byPath(a.file, b.file)), problems: problems.sort(byPath) };
  }

  private async place(file: Sound): Promise<Means | Problem> {
    const { directory, incoming, copyOnly, device, onBytes, onFile } = this.taking;
    const path = join(directory, file.path);
    const target = incoming.path(storeKey(file));
    // Only what is finished has the name by which the next run would use it.
    const part = `${target}.import`;
    let source: FileHandle;
    try {
      source = await openRegular(path);
    } catch (error) {
      return unreadable(file.path, error);
    }
    try {
      const linked = isLinked(file, copyOnly) && link(path, await source.stat(), part, device);
      const by = linked ? 'link' : await this.duplicate(source, part);
      if (!linked) chmodSync(part, 0o444);
      if ((await fileDigest(part, 'sha256')) !== file.sha256) {
        rmSync(part);
        return changed(file.path);
      }
      renameSync(part, target);
      onBytes(file.size);
      onFile();
      return by;
    } finally {
      await source.close();
    }
  }

  private async duplicate(source: FileHandle, target: string): Promise<Means> {
    // The path may lead to another file by now.
    const from = `/proc/self/fd/${source.fd}`;
    if (this.reflinks) {
      try {
        await copyFile(from, target, constants.COPYFILE_FICLONE_FORCE);
        return 'reflink';
      } catch (error) {
        if (!NO_REFLINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
        this.reflinks = false;
        await this.requireRoom();
      }
    }
    await copyFile(from, target);
    return 'copy';
  }

  private async requireRoom(): Promise<void> {
    const { layout, server, directory } = this.taking;
    await requireRoom(layout, server, `the import of ${directory}`, { bytes: this.left, files: this.leftFiles });
  }
}

function storeKey({ sha256 }: Sound): Checksum {
  return { algorithm: 'sha256', hex: sha256 };
}

/** Makes a hard link, if it leads to the file that was opened and is safe; else there is none. */
function link(path: string, opened: Stats, target: string, device: number): boolean {
  try {
    linkSync(path, target);
  } catch (error) {
    // EXDEV: the same file system, mounted twice. EPERM: the kernel protects links (fs.protected_hardlinks). ENOENT: it went away.
    if (!['EMLINK', 'EXDEV', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return false;
  }
  const placed = lstatSync(target);
  if (placed.ino === opened.ino && obstacleOf(placed, device) === undefined) return true;
  rmSync(target);
  return false;
}
