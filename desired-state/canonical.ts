import { createHash } from 'node:crypto';

/** JSON with object keys sorted (by UTF-16 code unit) at every level: the same value gives the same bytes everywhere. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value));
}

/** SHA-256 in hex of `canonicalJson(value)`. */
export function digestOf(value: unknown): string {
  return sha256(canonicalJson(value));
}

/** SHA-256 in hex of a text (as UTF-8) or of bytes. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return Object.fromEntries(entries.map(([k, v]) => [k, sorted(v)]));
  }
  return value;
}
