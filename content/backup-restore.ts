/** Putting back what a backup has: content by digest, snapshots under their names, releases, and what is known of them. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  createReadStream,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { Hashes } from '../downloads/file';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { type ListedFile, type Listing, ListingSchema } from './backup-contents';
import { type BackupContext, declaredBackup, lockBackup } from './backup-run';
import { type BackupManifest, BackupManifestSchema, BackupPaths, HistorySchema } from './backup-stage';
import { readBackupState, writeBackupState } from './backup-state';
import { countPackages } from './component';
import { type LostFile, writeDamage } from './damage';
import { hostedComponents } from './definitions';
import { readDropped } from './dropped';
import { flushDirectory, flushFileSystem, linkOrCopy, removeTree } from './files';
import { Layout, RECORD_KINDS } from './layout';
import { secondsBetween } from './lines';
import { Lock, usingStore, waitingFor } from './lock';
import { size } from './progress';
import { updatePublicSnapshots } from './public-snapshots';
import { readRefused, writeRefused } from './refused';
import { releasesLock } from './releases';
import { goneSnapshots, noteGone } from './retention-ledger';
import { Restic, type Saved } from './restic';
import { currentSnapshot, namesIn, publish, removeUnfinished, TreeBuilder } from './snapshot';
import { requireStorage } from './storage';
import { type Incoming, Store } from './store';

export interface RestoreOptions {
  /** Id of a backup, or its beginning; the newest where undefined. */
  readonly snapshot: string | undefined;
  /** A directory that gets everything in place of the storage root. */
  readonly into: string | undefined;
  readonly dryRun: boolean;
  /** How long to wait for a sync that runs. */
  readonly waitSeconds: number;
}

/** What became of one repository, tree or component. */
export interface RestoredRepository {
  readonly id: string;
  /** Snapshots that were put back; in a dry run those that would be. */
  readonly snapshots: readonly string[];
  /** The one that is published now because of it; undefined where what was published stays. */
  readonly published: string | undefined;
  /** Files of those snapshots that are to come from upstream: the next sync and scrub fetch them. */
  readonly fromUpstream: number;
  /** Why what was published stays. */
  readonly kept: string | undefined;
}

export interface RestoreOutcome {
  readonly snapshot: string;
  readonly time: string;
  readonly repositories: readonly RestoredRepository[];
  /** Releases that were put back. */
  readonly releases: readonly string[];
  /** Files that came from the backup, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Digests of files that the backup should have, and has not, or not whole. */
  readonly damaged: readonly string[];
  readonly dryRun: boolean;
  readonly seconds: number;
}

/** Much content is read in so many steps: a run that is killed goes on at the one that it had begun. */
const STEPS = [...'0123456789abcdef'];
/** Bytes that are read at once. */
const ONE_STEP = 2 ** 30;
/** The restore's own place among those that arrive: no id has a `+`. */
const RESTORE = '+restore';

/**
 * Puts back what a backup has and this server has not. Nothing that is here is overwritten; a repository is as before or whole as in the backup, and a run that
 * was killed is continued by the next one. Every file is compared with its digest before it is used.
 */
export async function restoreBackup(context: BackupContext, options: RestoreOptions): Promise<RestoreOutcome> {
  const { definitions, layout: own } = context;
  const definition = declaredBackup(definitions);
  const layout = options.into === undefined ? own : new Layout(options.into, join(options.into, 'state'), own.configuration);
  if (options.into === undefined) await requireStorage(layout, definitions.server);
  else mkdirSync(options.into, { recursive: true });
  const lock = await lockBackup(own);
  try {
    const restic = await Restic.open(definition, context.secrets, own.backupCache, lock);
    try {
      const repository = await restic.id();
      if (repository === undefined) throw noBackup(restic.location, 'there is no backup repository');
      if (!options.dryRun) await restic.unlock();
      const saved = find(await restic.list(), options.snapshot, restic.location);
      const work = new Restore({ ...context, layout }, restic, saved, options);
      const outcome = await usingStore(layout, () => work.run());
      if (options.into === undefined && !options.dryRun) await writeBackupState(own, { ...(await readBackupState(own)), repository });
      return outcome;
    } finally {
      await restic.close();
    }
  } finally {
    await lock.release();
  }
}

function find(list: readonly Saved[], id: string | undefined, location: string): Saved {
  const found = id === undefined ? list.slice(-1) : list.filter((one) => one.id.startsWith(id));
  if (found.length === 1) return found[0] as Saved;
  throw noBackup(
    location,
    id === undefined
      ? 'it holds no backup of this server'
      : `${found.length === 0 ? 'no' : 'more than one'} backup begins with ${JSON.stringify(id)}`,
  );
}

function noBackup(location: string, why: string): MirrorError {
  return new MirrorError({
    code: 'BACKUP_MISSING',
    message: `${location}: ${why}`,
    remedy:
      'mirrorctl backup list shows those that there are. Where there should be some: is its disk mounted, and is the site called as before (serverName)?',
    exitCode: ExitCode.invalid,
  });
}

class Restore {
  private readonly layout: Layout;
  private readonly store: Store;
  /** What restic writes, on the file system of the content. */
  private readonly work: string;
  private readonly damaged = new Map<string, Checksum>();
  private files = 0;
  private bytes = 0;

  constructor(
    private readonly context: BackupContext,
    private readonly restic: Restic,
    private readonly saved: Saved,
    private readonly options: RestoreOptions,
  ) {
    this.layout = context.layout;
    this.store = new Store(this.layout.store);
    this.work = join(this.layout.backup, 'restore');
  }

  async run(): Promise<RestoreOutcome> {
    const { now, say } = this.context;
    const started = now();
    await removeTree(this.work);
    mkdirSync(this.work, { recursive: true, mode: 0o700 });
    try {
      say(`reading the backup ${this.saved.shortId} of ${this.saved.time.slice(0, 16).replace('T', ' ')} UTC`);
      await this.restic.restore(this.saved.id, this.work, ['--exclude', `/${BackupPaths.store}`]);
      const manifest = this.read(BackupPaths.manifest, BackupManifestSchema);
      const byId = new Map<string, Listing[]>();
      for (const { id, snapshot } of manifest.snapshots) {
        const listing = this.checked(this.read(BackupPaths.listing(id, snapshot), ListingSchema), id, snapshot);
        byId.set(id, [...(byId.get(id) ?? []), listing]);
      }
      if (!this.options.dryRun) await this.fetch([...byId.values()].flat());
      const repositories: RestoredRepository[] = [];
      for (const [id, listings] of [...byId].sort()) repositories.push(await this.repository(id, listings));
      const releases = await this.releases(manifest);
      if (!this.options.dryRun) this.state();
      return {
        snapshot: this.saved.id,
        time: this.saved.time,
        repositories,
        releases,
        files: this.files,
        bytes: this.bytes,
        damaged: [...this.damaged.keys()].sort(),
        dryRun: this.options.dryRun,
        seconds: secondsBetween(started, now()),
      };
    } finally {
      await removeTree(this.layout.backup);
    }
  }

  private read<T>(path: string, schema: z.ZodType<T>): T {
    try {
      return schema.parse(JSON.parse(readFileSync(join(this.work, path), 'utf8')));
    } catch (error) {
      throw new MirrorError({
        code: 'BACKUP_DAMAGED',
        message: `${path} of the backup ${this.saved.shortId} cannot be read: ${error instanceof Error ? error.message.slice(0, 300) : String(error)}`,
        remedy:
          'Take another backup: mirrorctl backup list, then mirrorctl backup restore --snapshot ID. If it was made by newer programs, deploy those.',
        exitCode: ExitCode.untrusted,
        cause: error,
      });
    }
  }

  /** Names in a backup become names on the disk: none of them leads elsewhere. */
  private checked(listing: Listing, id: string, snapshot: string): Listing {
    const segment = /^(?!\.{1,2}$)[^/\0]+$/;
    const isPath = (path: string): boolean => path.split('/').every((part) => segment.test(part));
    const good =
      listing.id === id &&
      listing.snapshot === snapshot &&
      id.split('/').every((part) => /^[a-z0-9][a-z0-9.-]*$/.test(part)) &&
      /^\d{8}T\d{6}Z-[0-9a-f]{12}$/.test(snapshot) &&
      [...listing.files.map(({ path }) => path), ...listing.folders].every(isPath);
    if (good) return listing;
    throw new Error(`the backup ${this.saved.id} has names that no mirror has: ${id} ${snapshot}`);
  }

  /** Brings into the store what the backup has of it, every file compared with its digest. */
  private async fetch(listings: readonly Listing[]): Promise<void> {
    const wanted = new Map<string, ListedFile>();
    for (const file of listings.flatMap(({ files }) => files))
      if (file.held && !this.store.has(file.checksum, file.size)) wanted.set(checksumKey(file.checksum), file);
    if (wanted.size === 0) return;
    const incoming = await this.store.incoming(RESTORE);
    const files = [...wanted.values()];
    const steps = files.reduce((sum, { size: bytes = 0 }) => sum + bytes, 0) > ONE_STEP ? STEPS : [''];
    for (const step of steps) {
      const some = files.filter(({ checksum }) => checksum.hex.startsWith(step));
      if (some.length === 0) continue;
      const target = join(this.work, 'content');
      await removeTree(target);
      await this.restic.restore(this.saved.id, target, ['--include', `/${BackupPaths.store}/*/${step}*`]);
      const arrived = new Store(join(target, BackupPaths.store));
      for (const file of some) await this.take(file, arrived.path(file.checksum), incoming);
      await incoming.commit();
      this.context.say(`${this.files} of ${files.length} files, ${size(this.bytes)} read from the backup`);
    }
    await incoming.close();
  }

  private async take({ checksum }: ListedFile, path: string, incoming: Incoming): Promise<void> {
    const found = lstatSync(path, { throwIfNoEntry: false });
    const hashes = new Hashes(checksum.algorithm);
    if (found?.isFile() === true) {
      for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hashes.update(chunk);
    }
    const { sha256, declared } = hashes.digests();
    if (found?.isFile() !== true || declared !== checksum.hex) {
      this.damaged.set(checksumKey(checksum), checksum);
      return;
    }
    chmodSync(path, 0o444);
    renameSync(path, incoming.path(checksum));
    incoming.add(checksum, sha256, found.size);
    this.files++;
    this.bytes += found.size;
  }

  private async repository(id: string, listings: readonly Listing[]): Promise<RestoredRepository> {
    const { layout } = this;
    if (this.options.dryRun) return this.putBack(id, listings);
    const wait = waitingFor({ waitSeconds: this.options.waitSeconds, say: this.context.say });
    const locks = [await Lock.take(layout.lockFile(id), id, wait)];
    try {
      if (listings.some(({ kind }) => kind === 'hosted'))
        locks.push(await Lock.take(layout.lockFile('prepare'), 'the preparation of hosted components', wait));
      return await this.putBack(id, listings);
    } finally {
      for (const lock of locks.reverse()) await lock.release();
    }
  }

  private async putBack(id: string, listings: readonly Listing[]): Promise<RestoredRepository> {
    const { layout } = this;
    const here = new Set(await namesIn(layout.snapshots(id)));
    const before = await currentSnapshot(layout, id);
    const missing = listings.filter(({ snapshot }) => !here.has(snapshot));
    const current = listings.find((one) => one.current);
    const kept =
      before === undefined || current === undefined || before === current.snapshot
        ? undefined
        : await this.whyKept(id, before, current, listings, here);
    let fromUpstream = 0;
    if (!this.options.dryRun) {
      await removeUnfinished(layout, id);
      for (const listing of missing) fromUpstream += await this.snapshot(listing);
    } else
      for (const { files } of missing)
        fromUpstream += files.filter(({ held, checksum, size: bytes }) => !held && !this.store.has(checksum, bytes)).length;
    const published = current === undefined || kept !== undefined || before === current.snapshot ? undefined : current.snapshot;
    if (!this.options.dryRun) await this.history(id);
    if (published !== undefined && !this.options.dryRun) await publish(layout, id, published);
    if (!this.options.dryRun && this.isDeclaredComponent(id)) await updatePublicSnapshots(layout, id);
    return { id, snapshots: missing.map(({ snapshot }) => snapshot), published, fromUpstream, kept };
  }

  /** Only of those the public sees snapshots by time. */
  private isDeclaredComponent(id: string): boolean {
    return hostedComponents(this.context.definitions).some((component) => component.id === id);
  }

  /**
   * Why what is published stays: it is newer, and has something that the backup has not. A component without packages has nothing; an accumulated copy that began
   * anew, and kept nothing yet that upstream dropped, has only what the next sync takes again, which goes on from what the backup has.
   */
  private async whyKept(
    id: string,
    before: string,
    current: Listing,
    listings: readonly Listing[],
    here: ReadonlySet<string>,
  ): Promise<string | undefined> {
    if (listings.some(({ snapshot }) => here.has(snapshot)) && current.kind === 'copied') return `${before} was published since the backup`;
    const tree = join(this.layout.snapshots(id), before);
    if (current.kind === 'hosted') return (await countPackages(tree)).length === 0 ? undefined : `${before} has packages`;
    if (!existsSync(join(this.work, BackupPaths.record(id, current.snapshot, 'dropped'))))
      return `${before} is newer, and has all that upstream has`;
    const dropped = readDropped(this.layout, id, before);
    return dropped?.size === 0 ? undefined : `${before} has packages that upstream dropped since`;
  }

  /** Times of snapshots that are lost get no answer instead of that of another one; what was forgotten by name stays so. */
  private async history(id: string): Promise<void> {
    const { layout } = this;
    const { snapshots, gone, refused } = this.read(BackupPaths.history(id), HistorySchema);
    const here = new Set(await namesIn(layout.snapshots(id)));
    const now = this.context.now().toISOString();
    const all = new Map([...snapshots.map((name): [string, string] => [name, now]), ...Object.entries(gone), ...goneSnapshots(layout, id)]);
    await noteGone(layout, id, new Map([...all].filter(([name]) => !here.has(name)).sort()));
    await writeRefused(layout, id, new Map([...Object.entries(refused), ...readRefused(layout, id)]));
  }

  /** Makes one snapshot as it was. What is neither in the backup nor here is noted as lost: scrub and sync fetch it from upstream. Returns how many. */
  private async snapshot(listing: Listing): Promise<number> {
    const { layout, store } = this;
    const { id, snapshot } = listing;
    const builder = await TreeBuilder.start(store, layout, id, this.context.now());
    const since = this.context.now().toISOString();
    const lost: LostFile[] = [];
    for (const folder of listing.folders) builder.folder(folder);
    for (const { path, checksum, size: bytes, href, base, held } of listing.files) {
      if (store.has(checksum, bytes)) builder.add({ path, checksum });
      else lost.push({ path, checksum, size: bytes, href, base, since, why: held ? NOT_WHOLE : NOT_HELD });
    }
    const records = dirname(layout.record(id, snapshot, 'json'));
    mkdirSync(records, { recursive: true });
    for (const kind of RECORD_KINDS.filter((one) => one !== 'damage')) {
      const from = join(this.work, BackupPaths.record(id, snapshot, kind));
      const target = layout.record(id, snapshot, kind);
      rmSync(target, { force: true });
      if (existsSync(from)) linkOrCopy(from, target);
    }
    await writeDamage(layout, id, snapshot, lost);
    await flushFileSystem(layout.root);
    await rename(builder.directory, join(layout.snapshots(id), snapshot));
    await flushDirectory(layout.snapshots(id));
    return lost.length;
  }

  private async releases({ releases }: BackupManifest): Promise<readonly string[]> {
    const { layout } = this;
    const missing = releases.filter((id) => /^[a-z0-9][a-z0-9.-]*$/.test(id) && !existsSync(layout.release(id)));
    if (this.options.dryRun || missing.length === 0) return missing;
    const lock = await Lock.take(releasesLock(layout), 'the releases', { waitSeconds: this.options.waitSeconds });
    try {
      mkdirSync(layout.releases, { recursive: true });
      await flushFileSystem(layout.root);
      for (const id of missing) await rename(join(this.work, BackupPaths.releases, id), layout.release(id));
      await flushDirectory(layout.releases);
    } finally {
      await lock.release();
    }
    return missing;
  }

  /** What was known, where nothing is known now: records of publishes, how syncs went. */
  private state(): void {
    const from = join(this.work, BackupPaths.state);
    const walk = (folder: string): void => {
      for (const entry of readdirSync(join(from, folder), { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) walk(path);
        else if (entry.isFile() && !existsSync(join(this.layout.state, path))) moveTo(join(from, path), join(this.layout.state, path));
      }
    };
    if (existsSync(from)) walk('');
  }
}

const NOT_HELD = 'is not here since a backup was restored, which leaves to upstream what that has';
const NOT_WHOLE = 'is not here since a backup was restored, which has it no more, or not whole';

/** Across file systems; whole or not at all. */
function moveTo(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.new`;
  copyFileSync(source, temporary);
  const file = openSync(temporary, 'r');
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, target);
}
