import { join } from 'node:path';
import { ANNOUNCEMENTS, BUILDS, MIRROR_KEY, PUBLIC_SNAPSHOTS, SENTINEL } from '../desired-state/model';

/** What is kept of a snapshot beside it: see `Layout.record`. */
export const RECORD_KINDS = ['json', 'packages', 'catalogue', 'tree', 'component', 'damage', 'dropped'] as const;
export type RecordKind = (typeof RECORD_KINDS)[number];

/** Name in the state directory. */
export const BACKUP_CACHE = 'backup-cache';

/** Where everything is: the storage root, the state and the configuration, by what it holds. */
export class Layout {
  constructor(
    /** The storage root, `/srv/mirror`. */
    readonly root: string,
    /** `/var/lib/mirror`. */
    readonly state: string,
    /** The generation that is read, `/etc/mirror/generations/<n>`. */
    readonly configuration: string,
  ) {}

  get sentinel(): string {
    return join(this.root, SENTINEL);
  }

  /** The public halves of the keys that sign now, for everybody. */
  get mirrorKey(): string {
    return join(this.root, MIRROR_KEY.file);
  }

  /** Public halves of signing keys that were seen. */
  get signingIdentities(): string {
    return join(this.state, 'signing-keys.json');
  }

  get store(): string {
    return join(this.root, 'store');
  }

  /** Of a copied repository (`epel-7`) or of a hosted component (`acme/mos7.0-centos6/os`). */
  repository(id: string): string {
    return join(this.root, 'repositories', ...id.split('/'));
  }

  snapshots(id: string): string {
    return join(this.repository(id), 'snapshots');
  }

  current(id: string): string {
    return join(this.repository(id), 'current');
  }

  /**
   * What is known of a snapshot and is not served: `.json` (its record), `.packages` (its list), `.catalogue` (of an accumulated one), `.tree`
   * (the manifest of a file tree), `.component` (the record of a hosted component), `.damage` (what a scrub found to be lost), `.dropped` (what upstream no longer lists of an accumulated one). On the file system of the content, so that one flush covers both.
   */
  record(id: string, snapshot: string, kind: RecordKind): string {
    return join(this.repository(id), 'records', `${snapshot}.${kind}`);
  }

  /** Links to the snapshots of a codename's components, by time: what the public finds at `snapshots/` (public-snapshots.ts). */
  publicSnapshots(codename: string): string {
    return join(this.root, PUBLIC_SNAPSHOTS, ...codename.split('/'));
  }

  /** The catalogue of one tree of a hosted component: made anew from its metadata where it is lost. */
  treeCatalogue(id: string, snapshot: string, tree: string): string {
    return join(this.repository(id), 'records', `${snapshot}.${tree}.catalogue`);
  }

  /** Frozen releases, one directory each; what begins with a dot is being made. */
  get releases(): string {
    return join(this.root, 'releases');
  }

  release(id: string): string {
    return join(this.releases, id);
  }

  /** The builds of a series (`master/centos/flock`), one directory each, with links to them: what is public. */
  series(series: string): string {
    return join(this.root, BUILDS, ...series.split('/'));
  }

  build(series: string, timestamp: string): string {
    return join(this.series(series), timestamp);
  }

  /** Where builds are made, and go to when they expire: a directory each. What a run that was killed left is removed by the next one. */
  get buildWork(): string {
    return join(this.root, 'build-work');
  }

  /**
   * What is known of a build and is not served: `.json` (build-record.ts), `.manifest` (digest, size and path of each file, release-manifest.ts),
   * `.damage` (what a scrub found to be lost).
   */
  buildRecord(series: string, timestamp: string, kind: 'json' | 'manifest' | 'damage'): string {
    return join(this.root, 'build-records', ...series.split('/'), `${timestamp}.${kind}`);
  }

  /** What a repository takes from upstream no more, whatever upstream lists: by digest. */
  refused(id: string): string {
    return join(this.repository(id), 'refused');
  }

  /** What lists asked for when a filtered repository last looked (asked.ts). */
  lookedFor(id: string): string {
    return join(this.repository(id), 'asked');
  }

  /**
   * Files with wrong bytes, which are kept for whoever looks into it: `quarantine/<date>/<algorithm>-<hex>.<inode>`; and what retention took out
   * of service: quarantine.ts.
   */
  get damaged(): string {
    return join(this.root, 'quarantine');
  }

  /** What retention has announced, and what it keeps in quarantine until when. */
  get retentionLedger(): string {
    return join(this.state, 'retention.json');
  }

  /** Files of the store that nothing uses, with when that was first seen. */
  get unusedFiles(): string {
    return join(this.state, 'retention-unused');
  }

  /** What of the announcements everybody may read. */
  get announcements(): string {
    return join(this.root, ANNOUNCEMENTS.file);
  }

  /** Shared by whoever puts into the store or links from it; alone by who takes away what nothing uses. */
  get storeLock(): string {
    return join(this.state, 'locks', 'store.lock');
  }

  /** What was scrubbed when. */
  get scrubState(): string {
    return join(this.state, 'scrub.json');
  }

  /** What `mirrorctl health` found last. */
  get healthFile(): string {
    return join(this.state, 'health.json');
  }

  /** How full the disk was, a note a day. */
  get growth(): string {
    return join(this.state, 'growth.json');
  }

  /** What a backup is made of, or one that is being restored, while that goes on: `staging`, `restore`. Only the holder of `backupLock` uses it. */
  get backup(): string {
    return join(this.root, 'backup');
  }

  get backupLock(): string {
    return this.lockFile('+backup');
  }

  /** How backups went, and in which repository: on the disk of the content, so that an empty one in its place is not taken for it. */
  get backupState(): string {
    return join(this.root, 'backup.json');
  }

  /** What restic remembers of its repository. */
  get backupCache(): string {
    return join(this.state, BACKUP_CACHE);
  }

  /** Where what rsync brings is looked at; only the holder of the repository's lock uses it. */
  quarantine(id: string): string {
    return join(this.store, '.incoming', `${flat(id)}+rsync`);
  }

  stateFile(id: string): string {
    return join(this.state, 'repositories', `${id}.json`);
  }

  /** What operators did with codenames: `<owner>/<codename>.json` (codename-state.ts). */
  get codenameStates(): string {
    return join(this.state, 'codenames');
  }

  codenameState(codename: string): string {
    return join(this.codenameStates, `${codename}.json`);
  }

  /** What each publish changed: one file a snapshot. */
  changes(id: string): string {
    return join(this.state, 'changes', flat(id));
  }

  lockFile(id: string): string {
    return join(this.state, 'locks', `${flat(id)}.lock`);
  }

  /** Locks of which only so many can be held at a time, by everything that syncs on this host. */
  get slots(): string {
    return join(this.state, 'locks', 'slots');
  }

  /** A directory for one run, cleared at its start and end. */
  temporary(id: string): string {
    return join(this.state, 'tmp', flat(id));
  }

  /** Packages of which a pinned key is known to have signed: one SHA-256 a line. */
  provenSignatures(keySet: string): string {
    return join(this.state, 'signatures', `${keySet}.txt`);
  }
}

/** An id as one file name: `+` is in no id. */
export function flat(id: string): string {
  return id.replaceAll('/', '+');
}
