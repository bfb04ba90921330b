/** Names under which lists and files are served: which there may be beside one another. */
import type { Problem } from './validate';

/** Of a list: it is served under it, beside the digests of all lists. */
export const LIST_NAME = /^(?!SHA256SUMS(\.asc)?$)[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export function listName(value: unknown): Problem | undefined {
  if (typeof value === 'string' && LIST_NAME.test(value)) return undefined;
  return {
    allowed:
      'the name of a list is letters, digits, ".", "_" and "-", and neither SHA256SUMS nor SHA256SUMS.asc: these the mirror has beside it',
    fix: 'Rename the file, for instance "rpms_3rdparties.lst".',
  };
}

/**
 * Two of the paths that one tree cannot have: one is a folder of the other.
 *
 * @returns the file, and the path below it
 */
export function fileInTheWay(paths: readonly string[]): readonly [string, string] | undefined {
  const files = new Set(paths);
  for (const path of paths)
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1))
      if (files.has(path.slice(0, end))) return [path.slice(0, end), path];
  return undefined;
}
