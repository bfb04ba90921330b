/** Compares versions as rpm does (`rpmvercmp` of rpm 4.15 and later, with `~` and `^`). */
export interface Evr {
  /** Decimal digits; absent and empty are 0. */
  readonly epoch?: string | undefined;
  readonly version: string;
  readonly release: string;
}

/** Below 0 when `a` is older than `b`, above when it is newer. */
export function compareEvr(a: Evr, b: Evr): number {
  return compareEpochs(a.epoch ?? '', b.epoch ?? '') || compareVersions(a.version, b.version) || compareVersions(a.release, b.release);
}

function compareEpochs(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => text.replace(/^0+/, '')) as [string, string];
  return x.length - y.length || order(x, y);
}

const SEPARATORS = /[^0-9A-Za-z~^]*/y;
const DIGITS = /[0-9]*/y;
const LETTERS = /[A-Za-z]*/y;

/**
 * -1, 0 or 1. Runs of digits and of letters are compared one by one; anything else separates them. `~` sorts before everything, the end
 * included; `^` after the end and before everything else.
 */
export function compareVersions(a: string, b: string): -1 | 0 | 1 {
  if (a === b) return 0;
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    i += run(SEPARATORS, a, i).length;
    j += run(SEPARATORS, b, j).length;
    if (a[i] === '~' || b[j] === '~') {
      if (a[i] !== '~') return 1;
      if (b[j] !== '~') return -1;
      i++;
      j++;
      continue;
    }
    if (a[i] === '^' || b[j] === '^') {
      if (i >= a.length) return -1;
      if (j >= b.length) return 1;
      if (a[i] !== '^') return 1;
      if (b[j] !== '^') return -1;
      i++;
      j++;
      continue;
    }
    if (i >= a.length || j >= b.length) break;
    const numbers = /[0-9]/.test(a[i] as string);
    const x = run(numbers ? DIGITS : LETTERS, a, i);
    const y = run(numbers ? DIGITS : LETTERS, b, j);
    // Numbers are newer than letters.
    if (y === '') return numbers ? 1 : -1;
    const compared = numbers ? compareEpochs(x, y) : order(x, y);
    if (compared !== 0) return compared < 0 ? -1 : 1;
    i += x.length;
    j += y.length;
  }
  if (i >= a.length && j >= b.length) return 0;
  return i >= a.length ? -1 : 1;
}

function run(pattern: RegExp, text: string, from: number): string {
  pattern.lastIndex = from;
  return pattern.exec(text)?.[0] ?? '';
}

function order(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
