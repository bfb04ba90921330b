/** Paths in a copied tree, as the upstream names them. Pure. */
import { unsafeName } from '../downloads/listing';
import { type Location, safeLocation } from '../rpm-metadata/locations';

/** Judges a name from a checksum file, `.treeinfo` or an rsync listing: not encoded, so that a percent sign is one. */
export function treeLocation(name: string): Location {
  const location = safeLocation(name.split('/').map(encode).join('/'));
  if ('problem' in location) return location;
  const unsafe = location.path.split('/').flatMap((segment) => unsafeName(segment) ?? [])[0];
  return unsafe === undefined ? location : { problem: unsafe };
}

/** The path below a tree's base of what is called `name` in `folder` (`.`: the base). */
export function inFolder(folder: string, name: string): string {
  return folder === '.' || folder === '' ? name : `${folder}/${name}`;
}

/** The folder of a path; `.` for the base. */
export function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '.' : path.slice(0, slash);
}

/** Whether a path is excluded by one of the globs: by the whole path, or by a segment where the glob has no slash. */
export function excluded(path: string, globs: readonly string[]): boolean {
  const segments = path.split('/');
  return globs.some((glob) => {
    const pattern = globPattern(glob);
    // A folder that matches goes with everything below.
    if (glob.includes('/')) return segments.some((_, index) => pattern.test(segments.slice(0, index + 1).join('/')));
    return segments.some((segment) => pattern.test(segment));
  });
}

function globPattern(glob: string): RegExp {
  const escaped = glob.replace(/[.+^$()|[\]{}\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/\*+/g, '[^/]*').replaceAll('?', '[^/]')}$`, 's');
}

/** Two paths that no file system can hold together (`a` and `a/b`), or undefined. */
export function clash(paths: Iterable<string>): readonly [string, string] | undefined {
  const files = new Set(paths);
  for (const path of files) {
    const parent = parentsOf(path).find((one) => files.has(one));
    if (parent !== undefined) return [parent, path];
  }
  return undefined;
}

function parentsOf(path: string): readonly string[] {
  const segments = path.split('/');
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
}

function encode(segment: string): string {
  try {
    return encodeURIComponent(segment);
  } catch {
    // Half a surrogate pair: what it stands for is refused as not being UTF-8.
    return encodeURIComponent('\ufffd');
  }
}
