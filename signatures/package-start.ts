/**
 * The first bytes of an RPM package: which signatures it carries, and over what. Enough to see who signed a package without fetching it.
 *
 * Format (rpm 4): a lead of 96 bytes; the signature header, padded to 8 bytes; the main header; the payload. A header is the magic
 * 8eade801 and four bytes of zero, the number of index entries and the size of the data, the entries (tag, type, offset, count: 16 bytes),
 * the data.
 */

export interface PackageSignature {
  /** `header` covers the main header, which names the payload's digest; `package` covers everything after the signature header. */
  readonly covers: 'header' | 'package';
  /** OpenPGP, binary. */
  readonly bytes: Buffer;
}

export type PackageStart =
  | {
      readonly signatures: readonly PackageSignature[];
      readonly header: Buffer;
      /** Bytes of the whole package, as its signature header says, which nobody signed. */
      readonly size: number | undefined;
    }
  /** The first so many bytes of the package are needed. */
  | { readonly need: number }
  | { readonly problem: string };

const LEAD = 96;
const INTRO = 16;
const ENTRY = 16;
/** As rpm itself bounds them. */
const MAX_ENTRIES = 65_535;
const MAX_DATA = 256 * 1024 * 1024;

const INT32 = 4;
const INT64 = 5;
const BINARY = 7;
const STRING_ARRAY = 8;
/** Tag → what its signature covers: DSA and RSA over the header, PGP and GPG over header and payload, OPENPGP (rpm 6) over the header. */
const SIGNATURE_TAGS: Readonly<Record<number, PackageSignature['covers']>> = {
  267: 'header',
  268: 'header',
  278: 'header',
  1002: 'package',
  1005: 'package',
};
/** Bytes of main header and payload: where they need more than 32 bits, and else. */
const LONG_SIZE = 270;
const SIZE = 1000;

/** More than any package has. Each may name all of the header's data, which would take gigabytes to read. */
const MAX_SIGNATURES = 32;
/** Bytes of one in base64: the largest algorithms' have some thousand. */
const MAX_SIGNATURE = 64 * 1024;

/** Reads what is there of a package. */
export function readPackageStart(bytes: Buffer): PackageStart {
  if (bytes.length < 4) return { need: LEAD + INTRO };
  if (bytes.readUInt32BE(0) !== 0xedabeedb) return { problem: 'it does not begin as an RPM package does' };
  const signature = headerAt(bytes, LEAD);
  if (!('end' in signature)) return signature;
  const start = Math.ceil(signature.end / 8) * 8;
  const main = headerAt(bytes, start);
  if (!('end' in main)) return main;
  const signatures: PackageSignature[] = [];
  let size: number | undefined;
  for (let i = 0; i < signature.entries; i++) {
    const at = LEAD + INTRO + i * ENTRY;
    const [tag, type, offset, count] = [0, 4, 8, 12].map((n) => bytes.readUInt32BE(at + n)) as [number, number, number, number];
    if (tag === SIZE && type === INT32 && offset + 4 <= signature.data.length) size = start + signature.data.readUInt32BE(offset);
    if (tag === LONG_SIZE && type === INT64 && offset + 8 <= signature.data.length)
      size = start + Number(signature.data.readBigUInt64BE(offset));
    const covers = SIGNATURE_TAGS[tag];
    if (covers === undefined) continue;
    if (offset > signature.data.length) return { problem: 'its signature header points outside of itself' };
    if (type === BINARY) signatures.push({ covers, bytes: signature.data.subarray(offset, offset + count) });
    else if (type === STRING_ARRAY)
      for (const text of strings(signature.data.subarray(offset), count)) signatures.push({ covers, bytes: Buffer.from(text, 'base64') });
    if (signatures.length > MAX_SIGNATURES) return { problem: `it has more than ${MAX_SIGNATURES} signatures` };
  }
  return { signatures, header: bytes.subarray(start, main.end), size };
}

function headerAt(
  bytes: Buffer,
  start: number,
): { readonly entries: number; readonly data: Buffer; readonly end: number } | { readonly need: number } | { readonly problem: string } {
  if (bytes.length < start + INTRO) return { need: start + INTRO };
  if (bytes.readUInt32BE(start) !== 0x8eade801) return { problem: `it has no header at byte ${start}` };
  const entries = bytes.readUInt32BE(start + 8);
  const size = bytes.readUInt32BE(start + 12);
  if (entries > MAX_ENTRIES || size > MAX_DATA) return { problem: `its header at byte ${start} has an impossible size` };
  const data = start + INTRO + entries * ENTRY;
  const end = data + size;
  return bytes.length < end ? { need: end } : { entries, data: bytes.subarray(data, end), end };
}

function strings(data: Buffer, count: number): readonly string[] {
  const found: string[] = [];
  for (let from = 0; found.length < Math.min(count, MAX_SIGNATURES) && from < data.length;) {
    const piece = data.subarray(from, from + MAX_SIGNATURE);
    const end = piece.indexOf(0);
    found.push(piece.toString('latin1', 0, end < 0 ? piece.length : end));
    from += end < 0 ? data.length : end + 1;
  }
  return found;
}
