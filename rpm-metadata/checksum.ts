import { metadataRefused, waivable } from './errors';

const LENGTHS = { sha1: 40, sha224: 56, sha256: 64, sha384: 96, sha512: 128 } as const;
export type ChecksumAlgorithm = keyof typeof LENGTHS;

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Lower-case hex. */
  readonly hex: string;
}

/** A checksum as one word, `sha256-<hex>`: a key of maps, and the name of a file that is on its way into the store. */
export function checksumKey({ algorithm, hex }: Checksum): string {
  return `${algorithm}-${hex}`;
}

export interface ChecksumOptions {
  /** Takes sha1, against which collisions can be made: only where that is waived. */
  readonly weakChecksums: boolean;
}

/** What is wrong, as a phrase, and whether the waiver `weakChecksums` would allow it. */
export interface ChecksumProblem {
  readonly problem: string;
  readonly waivable?: true;
}

const STRICT: ChecksumOptions = { weakChecksums: false };

/** The algorithms by which metadata may name a file. */
export function acceptedAlgorithms({ weakChecksums }: ChecksumOptions): readonly ChecksumAlgorithm[] {
  return (Object.keys(LENGTHS) as ChecksumAlgorithm[]).filter((name) => name !== 'sha1' || weakChecksums);
}

/** Reads `<checksum type="…">`. md5 is refused, and sha1 (which createrepo also calls `sha`) where the options do not allow it. */
export function parseChecksum(
  type: string | undefined,
  text: string,
  { weakChecksums }: ChecksumOptions = STRICT,
): Checksum | ChecksumProblem {
  if (type === undefined) return { problem: 'the checksum has no type' };
  const name = type === 'sha' ? 'sha1' : type;
  if (name === 'md5' || (name === 'sha1' && !weakChecksums)) {
    const problem = `the checksum type ${type} is broken and not accepted; sha256 or better is`;
    return name === 'md5' ? { problem } : { problem, waivable: true };
  }
  if (!Object.hasOwn(LENGTHS, name)) return { problem: `the checksum type ${JSON.stringify(type.slice(0, 40))} is unknown` };
  const algorithm = name as ChecksumAlgorithm;
  const hex = text.trim().toLowerCase();
  if (!/^[0-9a-f]+$/.test(hex) || hex.length !== LENGTHS[algorithm])
    return { problem: `the ${type} checksum is not ${LENGTHS[algorithm]} hexadecimal digits` };
  // A copy: a piece of a larger string would keep all of that in memory, for each package of a list.
  return { algorithm, hex: hex === text ? hex : Buffer.from(hex, 'latin1').toString('latin1') };
}

/** The same for `name` in the file `what`. Throws a MirrorError, which names the waiver where there is one. */
export function requireChecksum(
  said: { readonly type: string | undefined; readonly text: string },
  options: ChecksumOptions,
  what: string,
  name: () => string,
): Checksum {
  const checksum = parseChecksum(said.type, said.text, options);
  if (!('problem' in checksum)) return checksum;
  const why = `${name()}: ${checksum.problem}`;
  throw checksum.waivable ? waivable('CHECKSUM_UNUSABLE', what, why, 'weakChecksums') : metadataRefused('CHECKSUM_UNUSABLE', what, why);
}

/** Reads a size in bytes; undefined when it is not a whole number from 0 to 2^53. */
export function parseSize(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^\d{1,16}$/.test(trimmed)) return undefined;
  const size = Number(trimmed);
  return Number.isSafeInteger(size) ? size : undefined;
}
