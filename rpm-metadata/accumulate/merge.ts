import { decompressed } from '../decompress';
import { metadataRefused, quoted } from '../errors';
import { packageLocation } from '../locations';
import { nevra } from '../nevra';
import { type PackageDraft, type PackageListKind, scanPackages } from '../packages';
import { judgePackage } from '../primary';
import { type Catalogue, perKind } from './catalogue';
import { fingerprint } from './fingerprint';
import { bareFragment, relocated } from './fragments';
import type { FreshMembers } from './fresh';
import { GrowingU32 } from './growing';
import { idOf, indexOf, keyOf, nevraOf, type PackageEntry, pathOf, RowIndex, type Span, TableBuilder, type TableColumns } from './table';

/** A local file. `what` names it for errors (its URL). */
export interface SourceFile {
  readonly path: string;
  readonly what: string;
  /** Bytes after decompression, where its index says so: more is refused. */
  readonly openSize?: number | undefined;
}

/** The metadata of one upstream. Where it has no filelists or other, its packages are listed there by name only. */
export type Source = { readonly primary: SourceFile } & Readonly<Partial<Record<'filelists' | 'other', SourceFile | undefined>>>;

/** What became of the packages. */
export interface MergeCounts {
  /** New here. */
  added: number;
  /** Of a source and published before. */
  stayed: number;
  /** Of those, at another location than before; and kept ones that had to give way. */
  moved: number;
  /** Published before, no longer in a source, and kept. */
  kept: number;
  /** Published before, and not kept. */
  dropped: number;
  /** Published before, and superseded by a package of the same name, version and architecture with other content. */
  replaced: number;
  /** Of a source, and not accepted. */
  refused: number;
}

/** The sync has judged the list already: weak checksums were waived, or it would not have come to this. */
const ANY_CHECKSUM = { weakChecksums: true };

export type Decide = (entry: PackageEntry) => boolean;
/**
 * Whether a package stays that was published before and is not taken from a source now; `replaced` when one that is taken has its name, version
 * and architecture.
 */
export type Keep = (entry: PackageEntry, replaced: boolean) => boolean;
const KEEP: Keep = (_entry, replaced) => !replaced;
export type FreshFiles = Readonly<Record<PackageListKind, FreshMembers>>;

/** A kept package that has to give way: its fragment of primary.xml must be made anew. */
export interface Relocation {
  readonly oldRow: number;
  readonly newRow: number;
  readonly href: string;
}

/**
 * The union of packages as it grows: `addPrimary` of each source, then `keepOld` (or `addPublished` where no catalogue is left), then
 * `addList` of the other files, then `complete`. Fragments that are not published yet go to `fresh`.
 */
export class Merge {
  readonly table = new TableBuilder();
  readonly counts: MergeCounts = { added: 0, stayed: 0, moved: 0, kept: 0, dropped: 0, replaced: 0, refused: 0 };
  /** For each row that was published before: its new row, or -1. */
  readonly newRows: Int32Array;
  /** For each file and each row that was published before: 1 where a new fragment takes the old one's place. */
  readonly superseded: Readonly<Record<PackageListKind, Uint8Array>>;
  readonly relocations: Relocation[] = [];
  private columns: TableColumns = this.table.view().columns;
  private readonly byId = new RowIndex(() => this.columns, idOf);
  private readonly byNevra = new RowIndex(() => this.columns, nevraOf);
  private readonly byPath = new RowIndex(() => this.columns, pathOf);
  /** Folders of accepted packages that are named like a package. */
  private readonly folders = new Set<string>();
  private readonly oldById: RowIndex | undefined;
  private readonly oldPrints: Readonly<Record<PackageListKind, Uint32Array>>;
  /** By new row: the old one and 1, or 0. */
  private readonly oldRows = new GrowingU32();
  /** Rows of sources are below, of what was published before above. */
  private accepted = 0;
  private seen: Readonly<Record<'filelists' | 'other', Uint8Array>> | undefined;

  constructor(
    private readonly old: Catalogue | undefined,
    private readonly fresh: FreshFiles,
    private readonly signal: AbortSignal,
  ) {
    const rows = old?.packages.length ?? 0;
    this.newRows = new Int32Array(rows).fill(-1);
    this.superseded = perKind(() => new Uint8Array(rows));
    this.oldById = old === undefined ? undefined : indexOf(old.packages, idOf);
    this.oldPrints = perKind((kind) => {
      const prints = new Uint32Array(rows);
      old?.files[kind].rows.forEach((row, position) => (prints[row] = old.files[kind].prints[position] as number));
      return prints;
    });
  }

  /** Takes the packages of a source that `accept` wants; those of earlier sources go first. Returns where its rows begin and end. */
  async addPrimary(source: SourceFile, accept: Decide): Promise<readonly [number, number]> {
    const begin = this.table.length;
    await this.scan('primary', source, (draft, raw) => {
      const entry = judgePackage(draft, source.what, ANY_CHECKSUM);
      if (accept(entry)) this.take(entry, draft, raw, source.what);
      else this.counts.refused++;
    });
    this.accepted = this.table.length;
    return [begin, this.table.length];
  }

  /** Keeps what was published before; without `keep`, all but what was replaced. */
  keepOld(keep: Keep = KEEP): void {
    const { old } = this;
    if (old === undefined) return;
    for (let oldRow = 0; oldRow < old.packages.length; oldRow++) {
      if ((this.newRows[oldRow] as number) >= 0) continue;
      const { columns } = old.packages;
      const replaced = this.byNevra.find(nevraOf(columns, oldRow)) !== undefined;
      // Without a question there is no need for an entry.
      if (keep === KEEP ? replaced : !keep(old.packages.entry(oldRow), replaced)) {
        this.counts[replaced ? 'replaced' : 'dropped']++;
      } else {
        this.counts.kept++;
        const moved = this.taken(pathOf(columns, oldRow)) ? this.elsewhere(old.packages.entry(oldRow)) : undefined;
        const newRow = this.table.copy(old.packages, oldRow, moved?.path);
        this.newRows[oldRow] = newRow;
        if (moved === undefined) continue;
        this.superseded.primary[oldRow] = 1;
        this.relocations.push({ oldRow, newRow, href: moved.href });
      }
    }
  }

  /** The fragment of a kept package at its new location. */
  addRelocated(newRow: number, fragment: Uint8Array): void {
    this.fresh.primary.add(newRow, fragment, fingerprint(fragment, 0, fragment.length));
  }

  /** The same from the published file itself, which may be a verbatim copy of an upstream's. */
  async addPublished(published: SourceFile, keep: Keep = KEEP): Promise<void> {
    const staying = new Set<number>();
    await this.scan('primary', published, (draft, raw) => {
      const entry = judgePackage(draft, published.what, ANY_CHECKSUM);
      const replaced = this.byNevra.find(keyOf(nevraKey(entry))) !== undefined;
      const twin = this.byId.find(idKey(entry.checksum.hex));
      if (twin !== undefined) {
        // Of a source, or listed twice.
        if (twin < this.accepted) staying.add(twin);
      } else if (!keep(entry, replaced)) {
        this.counts[replaced ? 'replaced' : 'dropped']++;
      } else {
        this.counts.kept++;
        const place = this.taken(keyOf(Buffer.from(entry.path))) ? this.elsewhere(entry) : entry;
        const row = this.append({ ...entry, path: place.path, href: place.href });
        this.fresh.primary.add(row, isAt(draft, place.path) ? raw : relocated(raw, place.href), fingerprint(raw, 0, raw.length));
      }
    });
    this.counts.stayed += staying.size;
    this.counts.added -= staying.size;
  }

  /** Takes what a source says of accepted packages (`own`), or the published file of kept ones, in filelists or other. */
  async addList(kind: 'filelists' | 'other', source: SourceFile, own: 'accepted' | 'kept'): Promise<void> {
    this.seen ??= { filelists: new Uint8Array(this.table.length), other: new Uint8Array(this.table.length) };
    const seen = this.seen[kind];
    const prints = this.oldPrints[kind];
    await this.scan(kind, source, (draft, raw) => {
      const row = this.byId.find(idKey(draft.pkgid ?? ''));
      if (row === undefined || seen[row] === 1 || row < this.accepted !== (own === 'accepted')) return;
      seen[row] = 1;
      const print = fingerprint(raw, 0, raw.length);
      const oldRow = this.oldRows.at(row) - 1;
      if (oldRow >= 0 && prints[oldRow] === print) return;
      if (oldRow >= 0) this.superseded[kind][oldRow] = 1;
      this.fresh[kind].add(row, raw, print);
    });
  }

  /**
   * Every package must be in all files. `lists` says which files the source of the rows has; where it has none, its packages are listed by
   * name. Throws a MirrorError that names the package which is missing.
   */
  complete(kind: 'filelists' | 'other', [begin, end]: readonly [number, number], source: SourceFile | undefined): void {
    for (let row = begin; row < end; row++) {
      if (this.seen?.[kind][row] === 1) continue;
      const entry = this.table.view().entry(row);
      if (source !== undefined)
        throw metadataRefused(
          'METADATA_INCOMPLETE',
          source.what,
          `lacks the package ${nevra(entry)} with pkgid ${entry.checksum.hex}, which primary lists`,
        );
      if (this.oldRows.at(row) === 0) this.fresh[kind].add(row, bareFragment(entry), 0);
    }
  }

  private take(entry: PackageEntry, draft: PackageDraft, raw: Uint8Array, what: string): void {
    const id = idKey(entry.checksum.hex);
    // Listed twice, maybe at two locations: one is enough for clients.
    if (this.byId.find(id) !== undefined) return;
    if (this.taken(keyOf(Buffer.from(entry.path))))
      throw metadataRefused('METADATA_CONTRADICTS', what, `two packages are at ${quoted(entry.path)}, or one is a folder of the other`);
    const row = this.append(entry);
    this.byNevra.add(row);
    this.byPath.add(row);
    for (let cut = entry.path.indexOf('.rpm/'); cut >= 0; cut = entry.path.indexOf('.rpm/', cut + 1))
      this.folders.add(entry.path.slice(0, cut + 4));
    const print = fingerprint(raw, 0, raw.length);
    const oldRow = this.oldById?.find(id);
    if (oldRow === undefined) this.counts.added++;
    else {
      this.counts.stayed++;
      this.newRows[oldRow] = row;
      this.oldRows.set(row, oldRow + 1);
      const moved = (this.old as Catalogue).packages.entry(oldRow).path !== entry.path;
      if (moved) this.counts.moved++;
      else if (this.oldPrints.primary[oldRow] === print) return;
      this.superseded.primary[oldRow] = 1;
    }
    this.fresh.primary.add(row, isAt(draft, entry.path) ? raw : relocated(raw, entry.href), print);
  }

  private append(entry: PackageEntry): number {
    const row = this.table.add(entry);
    this.columns = this.table.view().columns;
    this.byId.add(row);
    this.oldRows.push(0);
    return row;
  }

  /** Whether an accepted package lies here, above or below. */
  private taken(path: Span): boolean {
    if (this.byPath.find(path) !== undefined) return true;
    const bytes = path.bytes as Buffer;
    for (let cut = bytes.lastIndexOf(0x2f, path.end - 1); cut > path.start; cut = bytes.lastIndexOf(0x2f, cut - 1)) {
      if (bytes[cut - 1] === 0x6d && this.byPath.find({ ...path, end: cut }) !== undefined) return true;
    }
    return this.folders.size > 0 && this.folders.has(bytes.toString('utf8', path.start, path.end));
  }

  /** Where a kept package goes whose place a source has taken. */
  private elsewhere({ path, checksum }: PackageEntry): { readonly path: string; readonly href: string } {
    this.counts.moved++;
    const name = path.slice(path.lastIndexOf('/') + 1);
    for (let folder = checksum.hex; ; folder += '-') {
      const location = packageLocation(['superseded', folder, name].map(encodeURIComponent).join('/'));
      if (!('problem' in location) && !this.taken(keyOf(Buffer.from(location.path)))) return location;
    }
  }

  private async scan(
    kind: PackageListKind,
    { path, what, openSize }: SourceFile,
    onPackage: (draft: PackageDraft, raw: Uint8Array) => void,
  ): Promise<void> {
    await scanPackages(decompressed(path, what, openSize), kind, what, {
      package: onPackage,
      drain: async () => {
        this.signal.throwIfAborted();
        await this.fresh[kind].drain();
      },
    });
  }
}

function idKey(hex: string): Span {
  return keyOf(Buffer.from(hex, 'hex'));
}

function nevraKey({ name, epoch, version, release, arch }: PackageEntry): Buffer {
  return Buffer.from([name, epoch, version, release, arch].join('\0'));
}

/** Whether clients that read the fragment ask for the file at `path`. */
function isAt({ href, base }: PackageDraft, path: string): boolean {
  if (base !== undefined || href === undefined) return false;
  const location = packageLocation(href);
  return !('problem' in location) && location.path === path;
}
