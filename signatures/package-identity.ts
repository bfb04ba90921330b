import { closeSync, openSync, readSync } from 'node:fs';
import { type PackageStart, readPackageStart } from './package-start';

/** What a package says of itself, in the header that its signature covers. */
export interface PackageIdentity {
  readonly name: string;
  /** Decimal digits; `0` where it says none. */
  readonly epoch: string;
  readonly version: string;
  readonly release: string;
  /** Of a source package `src`. */
  readonly arch: string;
}

const INTRO = 16;
const ENTRY = 16;
const INT32 = 4;
const STRING = 6;
const TAGS = { name: 1000, version: 1001, release: 1002, epoch: 1003, arch: 1022, sourceRpm: 1044 };
const BUILD_TIME = 1006;
const WANTED: ReadonlySet<number> = new Set(Object.values(TAGS));
/** Bytes. No file name holds more; each tag of a hostile header may name all of its data. */
const MAX_TEXT = 4096;

/** Most headers fit into this. */
const FIRST_READ = 32 * 1024;

/** Reads the identity of the package at `path`; undefined where it has none that can be read. The signature is another's to judge. */
export function identityOf(path: string): PackageIdentity | undefined {
  const start = startOf(path);
  return 'header' in start ? identityIn(start.header) : undefined;
}

/** The first bytes of the package at `path`; `need` where the file ends before they do. */
export function startOf(path: string): PackageStart {
  const file = openSync(path, 'r');
  try {
    let need = FIRST_READ;
    for (let reads = 0; reads < 8; reads++) {
      const bytes = Buffer.alloc(need);
      const got = readSync(file, bytes, 0, need, 0);
      const start = readPackageStart(bytes.subarray(0, got));
      if (!('need' in start) || got < need) return start;
      need = Math.max(start.need, need * 2);
    }
    return { problem: 'its headers do not end' };
  } finally {
    closeSync(file);
  }
}

/** The identity that a main header says. Pure. */
export function identityIn(header: Buffer): PackageIdentity | undefined {
  const entries = header.readUInt32BE(8);
  const data = header.subarray(INTRO + entries * ENTRY);
  const found = new Map<number, string>();
  for (let i = 0; i < entries; i++) {
    const [tag, type, offset] = [0, 4, 8].map((n) => header.readUInt32BE(INTRO + i * ENTRY + n)) as [number, number, number];
    // The first counts, as for rpm.
    if (!WANTED.has(tag) || found.has(tag) || offset >= data.length) continue;
    if (type === STRING) found.set(tag, data.toString('utf8', offset, endOf(data, offset)));
    else if (type === INT32 && offset + 4 <= data.length) found.set(tag, String(data.readUInt32BE(offset)));
  }
  const of = (tag: number): string | undefined => found.get(tag);
  const [name, version, release, arch] = [of(TAGS.name), of(TAGS.version), of(TAGS.release), of(TAGS.arch)];
  if (name === undefined || version === undefined || release === undefined || arch === undefined) return undefined;
  return { name, version, release, epoch: of(TAGS.epoch) ?? '0', arch: of(TAGS.sourceRpm) === undefined ? 'src' : arch };
}

/** When the package was built, as its main header says: Unix seconds; undefined where it says nothing. Pure. */
export function buildTimeIn(header: Buffer): number | undefined {
  const entries = header.readUInt32BE(8);
  const data = header.subarray(INTRO + entries * ENTRY);
  for (let i = 0; i < entries; i++) {
    const [tag, type, offset] = [0, 4, 8].map((n) => header.readUInt32BE(INTRO + i * ENTRY + n)) as [number, number, number];
    if (tag === BUILD_TIME) return type === INT32 && offset + 4 <= data.length ? data.readUInt32BE(offset) : undefined;
  }
  return undefined;
}

function endOf(data: Buffer, offset: number): number {
  const most = Math.min(data.length, offset + MAX_TEXT);
  const end = data.subarray(offset, most).indexOf(0);
  return end < 0 ? most : offset + end;
}
