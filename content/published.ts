import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { decompressed } from '../rpm-metadata/decompress';
import { type ListedPackage, readPrimary } from '../rpm-metadata/primary';
import type { MetadataSource } from '../rpm-metadata/elements';
import { parseRepomd } from '../rpm-metadata/repomd';
import { type LostFile, readDamage } from './damage';
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

  /** What a scrub found to be lost of it. */
  get lost(): readonly LostFile[] {
    return readDamage(this.layout, this.id, this.snapshot);
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

  private async fromMetadata(): Promise<readonly ListedPackage[]> {
    const index = join(this.tree, 'repodata/repomd.xml');
    try {
      const { primary } = parseRepomd(await readFile(index), index, { weakChecksums: true });
      const path = join(this.tree, primary.path);
      return await readPrimary(decompressed(path, path, primary.openSize), path, { weakChecksums: true });
    } catch (error) {
      throw new MirrorError({
        code: 'SNAPSHOT_DAMAGED',
        message: `what ${this.id} publishes cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        remedy: `Look at the disk (dmesg). To begin anew from upstream, remove ${this.layout.current(this.id)}: what only this mirror still has is then no longer listed.`,
        exitCode: ExitCode.environment,
        cause: error,
      });
    }
  }
}

/** The metadata files of a complete tree, by type; of several of one type the last. */
export async function metadataOf(tree: string): Promise<ReadonlyMap<string, MetadataSource>> {
  const index = join(tree, 'repodata/repomd.xml');
  const { records } = parseRepomd(await readFile(index), index, { weakChecksums: true });
  return new Map(records.map(({ type, path, openSize }) => [type, { path: join(tree, path), what: join(tree, path), openSize }]));
}
