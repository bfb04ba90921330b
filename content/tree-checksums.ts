/** Checksum files: what `sha256sum` writes, and the BSD form of Fedora's `CHECKSUM`. Pure. */
import { type Checksum, parseChecksum } from '../rpm-metadata/checksum';
import { folderOf, inFolder, treeLocation } from './tree-paths';

/** What is known of the files of a tree, by path. */
export interface Digests {
  readonly checksums: ReadonlyMap<string, Checksum>;
  /** Bytes, where a checksum file says so (`# name: 123 bytes`). */
  readonly sizes: ReadonlyMap<string, number>;
  /** Files that have nothing better than md5 or sha1. */
  readonly weak: ReadonlySet<string>;
}

const MAX_LINES = 200_000;
/** By strength: of several, the strongest counts. */
const STRENGTH = ['sha224', 'sha256', 'sha384', 'sha512'] as const;
const BY_LENGTH: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' };

/**
 * Reads a checksum file; its names are relative to the folder it lies in. A phrase says what is wrong: a line that is no checksum makes all
 * of it useless, since it may be another thing altogether (the page of a captive portal).
 *
 * @param path of the checksum file, relative to the tree's base
 */
export function readChecksums(text: string, path: string): Digests | { readonly problem: string } {
  const checksums = new Map<string, Checksum>();
  const sizes = new Map<string, number>();
  const weak = new Set<string>();
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  if (lines.length > MAX_LINES) return { problem: `has more than ${MAX_LINES} lines` };
  for (const [index, line] of lines.entries()) {
    const wrong = (what: string): { problem: string } => ({ problem: `line ${index + 1}: ${what}` });
    const size = /^# (.+): (\d{1,15}) bytes$/.exec(line);
    const sized = size === null ? undefined : treeLocation(inFolder(folderOf(path), size[1] as string));
    if (sized !== undefined && 'path' in sized) sizes.set(sized.path, Number(size?.[2]));
    if (line.trim() === '' || line.startsWith('#')) continue;
    const read = checksumLine(line);
    if (read === undefined) return wrong(`${JSON.stringify(line.slice(0, 80))} is no checksum`);
    const location = treeLocation(inFolder(folderOf(path), read.name.replace(/^(\.\/)+/, '')));
    if ('problem' in location) return wrong(`the name ${JSON.stringify(read.name.slice(0, 200))} ${location.problem}`);
    if (read.algorithm === 'md5' || read.algorithm === 'sha1') {
      weak.add(location.path);
      continue;
    }
    const checksum = parseChecksum(read.algorithm, read.hex);
    if ('problem' in checksum) return wrong(checksum.problem);
    const before = checksums.get(location.path);
    if (before?.algorithm === checksum.algorithm && before.hex !== checksum.hex) return wrong(`${location.path} has two checksums`);
    if (before === undefined || strength(before) < strength(checksum)) checksums.set(location.path, checksum);
  }
  for (const known of checksums.keys()) weak.delete(known);
  if (checksums.size + weak.size === 0) return { problem: 'lists no file' };
  return { checksums, sizes, weak };
}

function checksumLine(line: string): { readonly algorithm: string; readonly hex: string; readonly name: string } | undefined {
  const gnu = /^([0-9a-fA-F]{32,128}) [ *](.+)$/.exec(line);
  const algorithm = BY_LENGTH[gnu?.[1]?.length ?? 0];
  if (gnu !== null && algorithm !== undefined) return { algorithm, hex: gnu[1] as string, name: gnu[2] as string };
  const bsd = /^(MD5|SHA1|SHA224|SHA256|SHA384|SHA512) ?\((.+)\) = ([0-9a-fA-F]{32,128})$/.exec(line);
  if (bsd !== null) return { algorithm: (bsd[1] as string).toLowerCase(), hex: bsd[3] as string, name: bsd[2] as string };
  return undefined;
}

function strength(checksum: Checksum): number {
  return STRENGTH.indexOf(checksum.algorithm as (typeof STRENGTH)[number]);
}

/** What several sources say together; a path on which two of the same kind differ is an error. */
export function joinDigests(parts: readonly Digests[]): Digests | { readonly problem: string } {
  const checksums = new Map<string, Checksum>();
  const sizes = new Map<string, number>();
  const weak = new Set<string>();
  for (const part of parts) {
    for (const [path, checksum] of part.checksums) {
      const before = checksums.get(path);
      if (before?.algorithm === checksum.algorithm && before.hex !== checksum.hex) return { problem: `${path} has two checksums` };
      if (before === undefined || strength(before) < strength(checksum)) checksums.set(path, checksum);
    }
    for (const [path, size] of part.sizes) sizes.set(path, size);
    for (const path of part.weak) weak.add(path);
  }
  for (const path of checksums.keys()) weak.delete(path);
  return { checksums, sizes, weak };
}
