import { randomBytes } from 'node:crypto';
import type { Checksum, ChecksumAlgorithm } from '../checksum';
import { packageLocation } from '../locations';
import { fingerprint } from './fingerprint';
import { GrowingBytes, GrowingF64, GrowingU32 } from './growing';

/** A package of a repository. */
export interface PackageEntry {
  /** The pkgid: the checksum of the package file. */
  readonly checksum: Checksum;
  readonly name: string;
  /** `0` where the metadata says none. */
  readonly epoch: string;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
  /** Below the repository's root, decoded. */
  readonly path: string;
  /** The same as it is requested, encoded. */
  readonly href: string;
  readonly size: number;
}

/** By their number in tables and catalogues: append only. */
export const ALGORITHMS: readonly ChecksumAlgorithm[] = ['sha224', 'sha256', 'sha384', 'sha512', 'sha1'];

/** The columns of a table as they lie in a catalogue. */
export interface TableColumns {
  readonly algorithms: Uint8Array;
  readonly sizes: Float64Array;
  /** Where each row's text ends in `heap`: the digest's bytes, then name, epoch, version, release, architecture and path, NUL between them. */
  readonly ends: Uint32Array;
  readonly heap: Buffer;
}

/** Packages in columns: about 140 bytes each, where objects would take 500. Entries are made when asked for. */
export class PackageTable implements Iterable<PackageEntry> {
  constructor(readonly columns: TableColumns) {}

  get length(): number {
    return this.columns.ends.length;
  }

  entry(row: number): PackageEntry {
    const { algorithms, sizes, ends, heap } = this.columns;
    const start = row === 0 ? 0 : (ends[row - 1] as number);
    const algorithm = ALGORITHMS[algorithms[row] as number] as ChecksumAlgorithm;
    const middle = start + (DIGEST_BYTES[algorithms[row] as number] as number);
    const [name, epoch, version, release, arch, path] = heap.toString('utf8', middle, ends[row]).split('\0') as Six;
    const location = packageLocation(path.split('/').map(encodeURIComponent).join('/'));
    const href = 'problem' in location ? path : location.href;
    return {
      checksum: { algorithm, hex: heap.toString('hex', start, middle) },
      name,
      epoch,
      version,
      release,
      arch,
      path,
      href,
      size: sizes[row] as number,
    };
  }

  *[Symbol.iterator](): Iterator<PackageEntry> {
    for (let row = 0; row < this.length; row++) yield this.entry(row);
  }
}
type Six = [string, string, string, string, string, string];

/** Bytes of one row in a heap. */
export interface Span {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A table that grows. */
export class TableBuilder {
  private readonly algorithms = new GrowingBytes(1024);
  private readonly sizes = new GrowingF64();
  private readonly ends = new GrowingU32();
  private readonly heap = new GrowingBytes();

  get length(): number {
    return this.ends.length;
  }

  add(entry: Omit<PackageEntry, 'href'>): number {
    this.heap.push(Buffer.from(entry.checksum.hex, 'hex'));
    this.heap.pushText([entry.name, entry.epoch, entry.version, entry.release, entry.arch, entry.path].join('\0'));
    return this.finish(ALGORITHMS.indexOf(entry.checksum.algorithm), entry.size);
  }

  /** Takes over a row of another table, at another path if one is given. */
  copy(from: PackageTable, row: number, path?: string): number {
    const { algorithms, sizes } = from.columns;
    const whole = wholeOf(from.columns, row);
    if (path === undefined) this.heap.push(whole.bytes, whole.start, whole.end);
    else {
      this.heap.push(whole.bytes, whole.start, pathOf(from.columns, row).start);
      this.heap.pushText(path);
    }
    return this.finish(algorithms[row] as number, sizes[row] as number);
  }

  /** A view, valid until the next row is added. */
  view(): PackageTable {
    return new PackageTable({
      algorithms: this.algorithms.view(),
      sizes: this.sizes.view(),
      ends: this.ends.view(),
      heap: this.heap.view(),
    });
  }

  private finish(algorithm: number, size: number): number {
    this.algorithms.pushByte(algorithm);
    this.sizes.push(size);
    this.ends.push(this.heap.length);
    return this.ends.length - 1;
  }
}

/** Bytes of a digest, by the algorithm's number. */
const DIGEST_BYTES = ALGORITHMS.map((algorithm) => (algorithm === 'sha1' ? 20 : Number(algorithm.slice(3)) / 8));

function wholeOf({ ends, heap }: TableColumns, row: number): Span {
  return { bytes: heap, start: row === 0 ? 0 : (ends[row - 1] as number), end: ends[row] as number };
}

/** The digest's bytes of a row. */
export function idOf(columns: TableColumns, row: number): Span {
  const whole = wholeOf(columns, row);
  return { ...whole, end: whole.start + (DIGEST_BYTES[columns.algorithms[row] as number] as number) };
}

/** The path's bytes of a row. */
export function pathOf(columns: TableColumns, row: number): Span {
  const whole = wholeOf(columns, row);
  return { ...whole, start: columns.heap.lastIndexOf(0, whole.end - 1) + 1 };
}

/** The bytes of a row's name, epoch, version, release and architecture. */
export function nevraOf(columns: TableColumns, row: number): Span {
  return { bytes: columns.heap, start: idOf(columns, row).end, end: pathOf(columns, row).start - 1 };
}

/** Finds rows by a part of their bytes. The keys stay in the table; the first row of a key is the one that is found. */
export class RowIndex {
  private slots: Int32Array;
  private count = 0;
  private readonly seed = randomBytes(4).readInt32LE();

  constructor(
    private readonly columns: () => TableColumns,
    private readonly part: (columns: TableColumns, row: number) => Span,
    expected = 500,
  ) {
    this.slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * expected + 2))).fill(-1);
  }

  /** The row that has this key; undefined if none. */
  find({ bytes, start, end }: Span): number | undefined {
    const columns = this.columns();
    for (let slot = this.slot(bytes, start, end); ; slot = (slot + 1) & (this.slots.length - 1)) {
      const row = this.slots[slot] as number;
      if (row < 0) return undefined;
      const own = this.part(columns, row);
      if (own.end - own.start === end - start && (own.bytes as Buffer).compare(bytes, start, end, own.start, own.end) === 0) return row;
    }
  }

  /** Adds a row of the table, unless its key is there already; returns the row that has it. */
  add(row: number): number {
    const key = this.part(this.columns(), row);
    const other = this.find(key);
    if (other !== undefined) return other;
    if (++this.count * 2 > this.slots.length) this.grow();
    this.put(row, key);
    return row;
  }

  private put(row: number, { bytes, start, end }: Span): void {
    let slot = this.slot(bytes, start, end);
    while ((this.slots[slot] as number) >= 0) slot = (slot + 1) & (this.slots.length - 1);
    this.slots[slot] = row;
  }

  private slot(bytes: Uint8Array, start: number, end: number): number {
    return fingerprint(bytes, start, end, this.seed) & (this.slots.length - 1);
  }

  private grow(): void {
    const rows = this.slots.filter((row) => row >= 0);
    this.slots = new Int32Array(this.slots.length * 2).fill(-1);
    const columns = this.columns();
    for (const row of rows) this.put(row, this.part(columns, row));
  }
}

/** An index over all rows of a table that does not grow. */
export function indexOf(table: PackageTable, part: (columns: TableColumns, row: number) => Span): RowIndex {
  const index = new RowIndex(() => table.columns, part, table.length);
  for (let row = 0; row < table.length; row++) index.add(row);
  return index;
}

/** Bytes of a text as a key. */
export function keyOf(bytes: Buffer): Span {
  return { bytes, start: 0, end: bytes.length };
}
