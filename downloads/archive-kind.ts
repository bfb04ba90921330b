/** What a file is by its first bytes: a portal's page under the name of a tarball is none. Pure. */

/** How many of the first bytes tell. */
export const TELLING_BYTES = 512;

const SIGNATURES: readonly (readonly [kind: string, offset: number, bytes: string])[] = [
  ['gzip', 0, '1f8b'],
  ['xz', 0, 'fd377a585a00'],
  ['bzip2', 0, '425a68'],
  ['zstd', 0, '28b52ffd'],
  ['zip', 0, '504b0304'],
  ['rpm', 0, 'edabeedb'],
  ['tar', 257, '7573746172'],
];

/** The kind of an archive or compressed file; undefined where it is none that is known. */
export function archiveKind(beginning: Buffer): string | undefined {
  return SIGNATURES.find(([, offset, hex]) => beginning.subarray(offset, offset + hex.length / 2).toString('hex') === hex)?.[0];
}

/** Whether a name says that the file is an archive or compressed. Of which kind it says is not always so: there are bzip2 files named `.tar.gz`. */
export function isNamedAsArchive(name: string): boolean {
  return /\.(tar|gz|tgz|bz2|tbz2?|xz|txz|zst|zip|rpm)$/i.test(name);
}
