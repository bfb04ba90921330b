const LENGTHS = { sha224: 56, sha256: 64, sha384: 96, sha512: 128 } as const;
export type ChecksumAlgorithm = keyof typeof LENGTHS;

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Lower-case hex. */
  readonly hex: string;
}

/** Reads `<checksum type="…">`; returns what is wrong as a phrase. sha1 (also called `sha`) and md5 are broken and refused. */
export function parseChecksum(type: string | undefined, text: string): Checksum | { readonly problem: string } {
  if (type === undefined) return { problem: 'the checksum has no type' };
  if (['md5', 'sha', 'sha1'].includes(type))
    return { problem: `the checksum type ${type} is broken and not accepted; sha256 or better is` };
  if (!Object.hasOwn(LENGTHS, type)) return { problem: `the checksum type ${JSON.stringify(type.slice(0, 40))} is unknown` };
  const algorithm = type as ChecksumAlgorithm;
  const hex = text.trim().toLowerCase();
  if (!/^[0-9a-f]+$/.test(hex) || hex.length !== LENGTHS[algorithm])
    return { problem: `the ${type} checksum is not ${LENGTHS[algorithm]} hexadecimal digits` };
  // A copy: a piece of a larger string would keep all of that in memory, for each package of a list.
  return { algorithm, hex: Buffer.from(hex, 'latin1').toString('latin1') };
}

/** Reads a size in bytes; undefined when it is not a whole number from 0 to 2^53. */
export function parseSize(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^\d{1,16}$/.test(trimmed)) return undefined;
  const size = Number(trimmed);
  return Number.isSafeInteger(size) ? size : undefined;
}
