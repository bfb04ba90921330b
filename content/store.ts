import { createReadStream, existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { Hashes } from '../downloads/file';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { fileDigest, flushFileSystem, linkOrCopy } from './files';
import { flat } from './layout';

/**
 * The content store: each file once, read-only, under its SHA-256 (`sha256/ab/<hex>`); files that upstream names by another algorithm have
 * a second link (`sha512/ab/<hex>`). A file enters it only verified and flushed to disk, so what is in it needs no second look.
 */
export class Store {
  constructor(readonly root: string) {}

  path(checksum: Checksum): string {
    return join(this.root, checksum.algorithm, checksum.hex.slice(0, 2), checksum.hex);
  }

  /**
   * True when the file is there. One of another size than metadata says is not: what is fetched instead shows which of the two is wrong, and
   * takes its place if it was the file.
   */
  has(checksum: Checksum, size: number | undefined): boolean {
    const found = statSync(this.path(checksum), { throwIfNoEntry: false });
    return found !== undefined && (size === undefined || found.size === size);
  }

  /**
   * Makes sure that a file is here which a published tree has at `source`: somebody may have deleted or cut it here, and upstream may have it
   * no more. Throws a MirrorError where neither has it whole.
   */
  async regain(checksum: Checksum, size: number, source: string): Promise<void> {
    const path = this.path(checksum);
    if (this.has(checksum, size)) return;
    const found = await fileDigest(source, checksum.algorithm).catch(() => undefined);
    if (found !== checksum.hex) {
      throw new MirrorError({
        code: 'CONTENT_LOST',
        message: `${path} is ${existsSync(path) ? 'damaged' : 'gone'}, and ${source} is ${found === undefined ? 'gone' : 'damaged'}, too; upstream lists it no more`,
        remedy: `mirrorctl scrub --all notes that it is lost, and syncs go on without it; it comes back from a backup (docs/how-to/scrub.md).`,
        exitCode: ExitCode.environment,
      });
    }
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    linkOrCopy(source, path);
  }

  /** Where the files of one repository arrive. Only the holder of its lock may open it. */
  async incoming(id: string): Promise<Incoming> {
    const directory = join(this.root, '.incoming', flat(id));
    await mkdir(directory, { recursive: true });
    const leftovers = new Set<string>();
    for (const name of await readdir(directory)) {
      // The beginning of a large file, and what is known of it: its download goes on (downloads/large-file.ts).
      if (/^sha\d{1,3}-[0-9a-f]+\.part(\.json)?$/.test(name)) continue;
      if (/^sha\d{1,3}-[0-9a-f]+$/.test(name)) leftovers.add(name);
      else await rm(join(directory, name), { force: true });
    }
    return new Incoming(this, directory, leftovers);
  }
}

/** Verified files on their way into the store. They enter it in batches, after one flush for all. */
export class Incoming {
  private readonly pending = new Map<string, { readonly checksum: Checksum; readonly sha256: string }>();
  private readonly folders = new Set<string>();
  private pendingBytes = 0;
  private committing: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: Store,
    private readonly directory: string,
    private readonly leftovers: Set<string>,
  ) {}

  /** Where a download of this file belongs. */
  path(checksum: Checksum): string {
    return join(this.directory, checksumKey(checksum));
  }

  /** A place for bytes whose digest is not known yet; what is left there the next run removes. */
  temporary(name: string): string {
    return join(this.directory, `${name}.new`);
  }

  /** Where the file can be read now: here, or in the store. */
  locate(checksum: Checksum): string {
    return this.pending.has(checksumKey(checksum)) ? this.path(checksum) : this.store.path(checksum);
  }

  has(checksum: Checksum): boolean {
    return this.pending.has(checksumKey(checksum));
  }

  /** SHA-256 of a file that arrived in this run and is not in the store yet. */
  sha256Of(checksum: Checksum): string | undefined {
    return this.pending.get(checksumKey(checksum))?.sha256;
  }

  /** Takes over what an interrupted run had fetched, if its bytes are right: a power cut may have left holes in it. */
  async adopt(checksum: Checksum, size: number | undefined): Promise<boolean> {
    const name = checksumKey(checksum);
    if (!this.leftovers.delete(name)) return false;
    const path = join(this.directory, name);
    const hashes = new Hashes(checksum.algorithm);
    let bytes = 0;
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hashes.update(chunk);
      bytes += chunk.length;
    }
    const { sha256, declared } = hashes.digests();
    if (declared !== checksum.hex || (size !== undefined && bytes !== size)) {
      await rm(path, { force: true });
      return false;
    }
    this.add(checksum, sha256, bytes);
    return true;
  }

  /** Notes that the file at `path(checksum)` is complete and verified. */
  add(checksum: Checksum, sha256: string, bytes: number): void {
    this.pending.set(checksumKey(checksum), { checksum, sha256 });
    this.pendingBytes += bytes;
  }

  /** Commits when more than `bytes` wait: bounds what a later run would have to read again. */
  async commitBeyond(bytes: number): Promise<void> {
    if (this.pendingBytes > bytes) await this.commit();
  }

  /** Flushes the file system, then moves everything that was complete before into the store. */
  async commit(): Promise<void> {
    await this.around(() => flushFileSystem(this.directory));
  }

  /** Moves into the store what is complete now, once `flush` has brought it to disk with whatever else it flushes. */
  async around(flush: () => Promise<void>): Promise<void> {
    this.committing = this.committing.then(() => this.commitNow(flush));
    return this.committing;
  }

  /** Gives a file of the store the name that metadata with another algorithm has for it. */
  name(sha256: string, checksum: Checksum): void {
    const primary = this.store.path({ algorithm: 'sha256', hex: sha256 });
    const alias = this.store.path(checksum);
    if (alias === primary) return;
    this.folder(dirname(alias));
    // What is there may be damaged: it came again.
    const temporary = `${this.path(checksum)}.alias`;
    linkSync(primary, temporary);
    renameSync(temporary, alias);
  }

  /** Removes the directory with whatever nobody asked for. */
  async close(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  private async commitNow(flush: () => Promise<void>): Promise<void> {
    const batch = [...this.pending];
    this.pendingBytes = 0;
    await flush();
    for (const [name, { checksum, sha256 }] of batch) {
      const primary = this.store.path({ algorithm: 'sha256', hex: sha256 });
      this.folder(dirname(primary));
      renameSync(join(this.directory, name), primary);
      this.name(sha256, checksum);
      this.pending.delete(name);
    }
  }

  private folder(path: string): void {
    if (this.folders.has(path)) return;
    mkdirSync(path, { recursive: true });
    this.folders.add(path);
  }
}
