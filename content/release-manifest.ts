import type { Checksum, ChecksumAlgorithm } from '../rpm-metadata/checksum';

/** The file of a frozen release that says what each of its files is: served, so that everybody can check. */
export const MANIFEST_FILE = 'manifest.txt';

/** One file of a release. */
export interface ManifestLine {
  /** Below the release. */
  readonly path: string;
  /** Undefined for a file that lies there for clients of a superseded snapshot, and is no part of the release. */
  readonly checksum: Checksum | undefined;
  readonly size: number;
}

/** Paths have no control characters. */
export function manifestLine({ path, checksum, size }: ManifestLine): string {
  return checksum === undefined ? `carried\t-\t${path}\n` : `${checksum.algorithm}:${checksum.hex}\t${size}\t${path}\n`;
}

/** Throws where the text is none; `what` is its path, for errors. */
export function parseReleaseManifest(text: string, what: string): readonly ManifestLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const match = /^(?:carried\t-|(sha1|sha224|sha256|sha384|sha512):([0-9a-f]+)\t(\d+))\t(.+)$/.exec(line);
      if (match === null) throw new Error(`${what}: ${JSON.stringify(line.slice(0, 100))} is no line of a manifest`);
      const [, algorithm, hex, size, path] = match;
      const checksum = algorithm === undefined ? undefined : { algorithm: algorithm as ChecksumAlgorithm, hex: hex as string };
      return { path: path as string, checksum, size: Number(size ?? 0) };
    });
}
