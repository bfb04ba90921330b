import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { PackageListKind } from '../packages';
import type { FileColumns, Member } from './members';
import { PackageTable } from './table';

export const KINDS: readonly PackageListKind[] = ['primary', 'filelists', 'other'];

/** One thing for each of the three files. */
export function perKind<T>(make: (kind: PackageListKind) => T): Readonly<Record<PackageListKind, T>> {
  return { primary: make('primary'), filelists: make('filelists'), other: make('other') };
}

/** One published file: what `repomd.xml` says of it, and what lies where in it. */
export interface CataloguedFile extends FileColumns {
  /** In `repodata/`. */
  readonly name: string;
  /** SHA-256, hex. */
  readonly checksum: string;
  readonly openChecksum: string;
  readonly size: number;
  readonly openSize: number;
  /** Unix seconds. */
  readonly timestamp: number;
  /** Bytes of the member before the first one with packages. */
  readonly headSize: number;
}

/** What is known of a published repository without reading its metadata. */
export interface Catalogue {
  /** Of `repomd.xml`, Unix seconds. */
  readonly revision: number;
  readonly packages: PackageTable;
  readonly files: Readonly<Record<PackageListKind, CataloguedFile>>;
}

/** Of the form below; another one is not read, and the metadata itself is read instead. */
const MAGIC = 'package mirror catalogue 1\n';
const DIGEST = 32;

/** Everything that is small; the columns follow, each at a multiple of 8 bytes. */
interface Head {
  readonly revision: number;
  readonly packages: number;
  readonly heap: number;
  readonly files: readonly (Omit<CataloguedFile, 'rows' | 'lengths' | 'prints' | 'members'> & {
    readonly members: readonly (readonly [count: number, size: number, open: number])[];
  })[];
}

/** Writes a catalogue to a new file: magic, length of the head, head as JSON, columns, SHA-256 of all that. Little endian. */
export async function writeCatalogue(path: string, { revision, packages, files }: Catalogue): Promise<void> {
  const { algorithms, sizes, ends, heap } = packages.columns;
  const head: Head = {
    revision,
    packages: packages.length,
    heap: heap.length,
    files: KINDS.map((kind) => {
      const { name, checksum, openChecksum, size, openSize, timestamp, headSize, members } = files[kind];
      const small = members.map(({ count, size: bytes, open }): [number, number, number] => [count, bytes, open]);
      return { name, checksum, openChecksum, size, openSize, timestamp, headSize, members: small };
    }),
  };
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const columns = [sizes, ends, ...KINDS.flatMap((kind) => [files[kind].rows, files[kind].lengths, files[kind].prints]), algorithms, heap];
  const parts: Uint8Array[] = [];
  let at = 0;
  const push = (bytes: Uint8Array): void => {
    const padding = (8 - (at % 8)) % 8;
    if (padding > 0) parts.push(Buffer.alloc(padding));
    parts.push(bytes);
    at += padding + bytes.length;
  };
  push(Buffer.concat([Buffer.from(MAGIC), length, json]));
  for (const column of columns) push(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  await writeFile(path, [...parts, hash.digest()], { flag: 'wx', mode: 0o644 });
}

/**
 * Reads a catalogue; undefined when it is missing, of another form, or damaged. About 190 bytes of memory per package, outside of the
 * JavaScript heap.
 */
export async function readCatalogue(path: string): Promise<Catalogue | undefined> {
  let bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined || bytes.length < MAGIC.length + 4 + DIGEST || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC)
    return undefined;
  const end = bytes.length - DIGEST;
  if (!createHash('sha256').update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end))) return undefined;
  const start = MAGIC.length + 4;
  const json = bytes.readUInt32LE(MAGIC.length);
  const head = JSON.parse(bytes.toString('utf8', start, start + json)) as Head;
  let at = start + json;
  // The columns are looked at where they lie, which must be at a multiple of 8 bytes.
  if (bytes.byteOffset % 8 !== 0) bytes = Buffer.from(new Uint8Array(bytes).buffer);
  const { buffer, byteOffset } = bytes;
  const take = <T>(Column: new (buffer: ArrayBufferLike, offset: number, length: number) => T, length: number, width: number): T => {
    at += (8 - (at % 8)) % 8;
    const column = new Column(buffer, byteOffset + at, length);
    at += length * width;
    return column;
  };
  const n = head.packages;
  const sizes = take(Float64Array, n, 8);
  const ends = take(Uint32Array, n, 4);
  const columns = KINDS.map(() => ({ rows: take(Uint32Array, n, 4), lengths: take(Uint32Array, n, 4), prints: take(Uint32Array, n, 4) }));
  const algorithms = take(Uint8Array, n, 1);
  at += (8 - (at % 8)) % 8;
  const heap = bytes.subarray(at, at + head.heap);
  const files = perKind((kind) => {
    const file = head.files[KINDS.indexOf(kind)] as Head['files'][number];
    const members = file.members.map(([count, size, open]): Member => ({ count, size, open }));
    return { ...file, ...(columns[KINDS.indexOf(kind)] as (typeof columns)[number]), members };
  });
  return { revision: head.revision, packages: new PackageTable({ algorithms, sizes, ends, heap }), files };
}
