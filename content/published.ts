import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, faultCode, MirrorError } from '../desired-state/errors';
import { decompressed } from '../rpm-metadata/decompress';
import { type ListedPackage, readPrimary } from '../rpm-metadata/primary';
import type { MetadataSource } from '../rpm-metadata/elements';
import { parseRepomd } from '../rpm-metadata/repomd';
import { type LostFile, readDamage } from './damage';
import { type Dropped, readDropped } from './dropped';
import type { IndexTime } from './judge-index';
import type { Layout } from './layout';
import { readPackageList } from './package-list';
import { readRecord, type SnapshotRecord } from './record';
import { currentSnapshot } from './snapshot';

/** What a repository publishes now. */
export class Published {
  private constructor(
    private readonly layout: Layout,
    private readonly id: string,
    readonly snapshot: string,
    /** Undefined where it cannot be read: then nothing is taken as unchanged. */
    readonly record: SnapshotRecord | undefined,
  ) {}

  /** Undefined before the first publish. */
  static async read(layout: Layout, id: string): Promise<Published | undefined> {
    const snapshot = await currentSnapshot(layout, id);
    return snapshot === undefined ? undefined : new Published(layout, id, snapshot, readRecord(layout, id, snapshot));
  }

  get tree(): string {
    return join(this.layout.snapshots(this.id), this.snapshot);
  }

  /** What a scrub has found to be lost of it, by now: it runs beside a sync. */
  get lost(): readonly LostFile[] {
    return readDamage(this.layout, this.id, this.snapshot);
  }

  /** What upstream no longer lists of it; undefined where that is not known. */
  get dropped(): Dropped | undefined {
    return readDropped(this.layout, this.id, this.snapshot);
  }

  get catalogue(): string {
    return this.layout.record(this.id, this.snapshot, 'catalogue');
  }

  /**
   * Its packages: from the list beside it, or, where that is lost, from the metadata that is served. Those that are the same in `upstream` share
   * memory with it.
   */
  async packages(upstream: readonly ListedPackage[]): Promise<readonly ListedPackage[]> {
    return readPackageList(this.layout.record(this.id, this.snapshot, 'packages'), upstream) ?? (await this.fromMetadata());
  }

  /** When the served index says that it was made; undefined where it cannot be read. */
  async indexTime(): Promise<IndexTime | undefined> {
    const path = join(this.tree, 'repodata/repomd.xml');
    try {
      const { revision, newest } = parseRepomd(await readFile(path), path, { weakChecksums: true });
      return { revision, newest };
    } catch {
      return undefined;
    }
  }

  /** Whether the metadata of the snapshot is there. Whether its bytes are right, and the packages, a scrub looks at. */
  get hasMetadata(): boolean {
    const directory = join(this.tree, 'repodata');
    const there = new Set(existsSync(directory) ? readdirSync(directory) : []);
    return this.record?.repodata.every((name) => there.has(name)) === true;
  }

  /** A fault of what is published, as an error that says what to do: without it nobody knows what only this mirror still has. */
  damaged(why: string, cause?: unknown): MirrorError {
    return new MirrorError({
      code: 'SNAPSHOT_DAMAGED',
      message: `what ${this.id} publishes cannot be read: ${why}`,
      remedy: `Publish the snapshot before it (ls ${this.layout.snapshots(this.id)}): ln -sfn snapshots/NAME ${this.layout.current(this.id)}; the next sync goes on from there. To begin anew from upstream, remove that link: what only this mirror still has is then no longer listed.`,
      exitCode: ExitCode.environment,
      cause,
    });
  }

  /** The same for an error that some file of the published tree caused; every other value comes back as it is. */
  blamed(error: unknown): unknown {
    const { path, message } = error as NodeJS.ErrnoException;
    const isOwn = [path, error instanceof MirrorError ? message : undefined].some((text) => text?.startsWith(`${this.tree}/`) === true);
    const isRead = error instanceof MirrorError || faultCode(error as NodeJS.ErrnoException) === 'ENOENT';
    return isOwn && isRead ? this.damaged(message, error) : error;
  }

  private async fromMetadata(): Promise<readonly ListedPackage[]> {
    const index = join(this.tree, 'repodata/repomd.xml');
    try {
      const { primary } = parseRepomd(await readFile(index), index, { weakChecksums: true });
      const path = join(this.tree, primary.path);
      return await readPrimary(decompressed(path, path, primary.openSize), path, { weakChecksums: true });
    } catch (error) {
      throw this.damaged(error instanceof Error ? error.message : String(error), error);
    }
  }
}

/** The metadata files of a complete tree, by type; of several of one type the last. */
export async function metadataOf(tree: string): Promise<ReadonlyMap<string, MetadataSource>> {
  const index = join(tree, 'repodata/repomd.xml');
  const { records } = parseRepomd(await readFile(index), index, { weakChecksums: true });
  return new Map(records.map(({ type, path, openSize }) => [type, { path: join(tree, path), what: join(tree, path), openSize }]));
}
