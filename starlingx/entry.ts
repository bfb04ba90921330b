/** What entries of several formats have in common: URLs, paths, conflicts. */
import { MirrorError } from '../desired-state/errors';
import { lineError } from './list-text';
import { mirrorPath } from './url-mapping';

/** Says why a URL of a line has no place on the mirror, or must not be in a public file. */
export function checkUrl(url: string, name: string, line: number): void {
  if (/^[^/]*:\/\/[^/?#]*@/.test(url))
    throw lineError(
      name,
      line,
      url,
      'its URL carries a user name or a password, and lists are public',
      'Remove "user:password@"; what needs a login is published by hand.',
    );
  try {
    // Which distribution it is does not matter to whether there is a place.
    mirrorPath(url, 'centos', `${name} line ${line}`);
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    const { message, remedy, exitCode } = error;
    throw new MirrorError({ code: 'LIST_LINE', message, remedy, exitCode, cause: error });
  }
}

/** Why a text is no relative path below a folder of its own; undefined where it is one. */
export function pathProblem(path: string): string | undefined {
  if (path.startsWith('/')) return 'is absolute';
  const names = path.split('/');
  if (names.includes('..')) return 'contains ".."';
  if (names.some((name) => name === '' || name === '.')) return 'has an empty name or "."';
  if (names.some((name) => name.startsWith('-'))) return 'has a name that begins with "-", which programs take for an option';
  if (/[*?[\]{}]/.test(path)) return 'has a pattern: what is wanted is named exactly';
  if (!/^[A-Za-z0-9._+~^@=,/-]+$/.test(path)) return 'has a character other than letters, digits and . _ + ~ ^ @ = , -';
  return names.some((name) => name.length > 255) || path.length > 1024 ? 'is too long' : undefined;
}

/** Refuses what asks for one file at two places; the same line twice is legitimate, as the real lists have it. */
export function checkConflicts<E extends { readonly line: number; readonly file: string }>(
  name: string,
  entries: readonly E[],
  place: (entry: E) => string | undefined,
): void {
  const first = new Map<string, E>();
  for (const entry of entries) {
    const before = first.get(entry.file);
    if (before === undefined || (place(before) === undefined && place(entry) !== undefined)) first.set(entry.file, entry);
    else if (place(entry) !== undefined && place(entry) !== place(before))
      throw lineError(
        name,
        entry.line,
        entry.file,
        `line ${before.line} asks for the same file in another way`,
        'Keep one of the two lines.',
      );
  }
}

/** Each file once: the first line that names it, or the first that says where it is. */
export function eachOnce<E extends { readonly file: string }>(
  entries: readonly E[],
  place: (entry: E) => string | undefined,
): readonly E[] {
  const once = new Map<string, E>();
  for (const entry of entries) {
    const before = once.get(entry.file);
    if (before === undefined || (place(before) === undefined && place(entry) !== undefined)) once.set(entry.file, entry);
  }
  return [...once.values()];
}
