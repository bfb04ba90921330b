import { createReadStream, existsSync, linkSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { Hashes } from '../downloads/file';
import type { Checksum } from '../rpm-metadata/checksum';
import { flushFileSystem } from './files';
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

  /** True when the file is there. Throws when its size is not the one that metadata says: one of the two is wrong. */
  has(checksum: Checksum, size: number | undefined): boolean {
    const path = this.path(checksum);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return false;
    if (size === undefined || found.size === size) return true;
    throw new MirrorError({
      code: 'STORE_CONTRADICTS',
      message: `${path} has ${found.size} bytes; the metadata says ${size}`,
      remedy: `Check it with ${checksum.algorithm}sum. If the sum is not the file's name, delete the file and run again; else the upstream's metadata is wrong.`,
      exitCode: ExitCode.untrusted,
    });
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
    return join(this.directory, nameOf(checksum));
  }

  /** Where the file can be read now: here, or in the store. */
  locate(checksum: Checksum): string {
    return this.pending.has(nameOf(checksum)) ? this.path(checksum) : this.store.path(checksum);
  }

  has(checksum: Checksum): boolean {
    return this.pending.has(nameOf(checksum));
  }

  /** SHA-256 of a file that arrived in this run and is not in the store yet. */
  sha256Of(checksum: Checksum): string | undefined {
    return this.pending.get(nameOf(checksum))?.sha256;
  }

  /** Takes over what an interrupted run had fetched, if its bytes are right: a power cut may have left holes in it. */
  async adopt(checksum: Checksum, size: number | undefined): Promise<boolean> {
    const name = nameOf(checksum);
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
    this.pending.set(nameOf(checksum), { checksum, sha256 });
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
      const alias = this.store.path(checksum);
      if (alias !== primary && !existsSync(alias)) {
        this.folder(dirname(alias));
        linkSync(primary, alias);
      }
      this.pending.delete(name);
    }
  }

  private folder(path: string): void {
    if (this.folders.has(path)) return;
    mkdirSync(path, { recursive: true });
    this.folders.add(path);
  }
}

function nameOf(checksum: Checksum): string {
  return `${checksum.algorithm}-${checksum.hex}`;
}
