/**
 * 32 bits that tell whether two pieces of metadata differ, and the hash of the tables. It withstands nobody: it decides only whether a
 * fragment of ours is replaced by upstream's, and tables are seeded so that crafted keys don't meet in one place.
 */
export function fingerprint(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let h = (seed ^ 0x9e3779b9 ^ (end - start)) | 0;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    const word =
      (bytes[i] as number) | ((bytes[i + 1] as number) << 8) | ((bytes[i + 2] as number) << 16) | ((bytes[i + 3] as number) << 24);
    h = Math.imul(h ^ word, 0x85ebca6b);
    h ^= h >>> 15;
  }
  for (; i < end; i++) h = Math.imul(h ^ (bytes[i] as number), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0xc2b2ae35);
  return (h ^ (h >>> 13)) >>> 0;
}
