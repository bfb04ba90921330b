/** What is said of a signature by a key that is not pinned, and how it is known again: preflight tells it from damage. */
const NOT_PINNED = 'which is not pinned';

export function foreignKey(key: string): string {
  return `it is signed by key ${key}, ${NOT_PINNED}`;
}

export function isForeign(reason: string): boolean {
  return reason.includes(NOT_PINNED);
}
