/** What archives can be made of, and under which names: for declarations, and for whoever makes them. Pure. */

/**
 * What a git ref may be: a commit, or the name of a tag or branch. Nothing that git reads as an option, a range, a pattern or another revision.
 * Undefined where it is good, else why not.
 */
export function refProblem(ref: string): string | undefined {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}$/.test(ref)) return 'is no commit and no name of a tag or branch';
  if (/\.\.|\/\/|\/\.|\.lock(\/|$)|[/.]$/.test(ref)) return 'is no name that git allows';
  return undefined;
}

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz';

const ENDINGS: readonly (readonly [ending: RegExp, compression: Compression])[] = [
  [/\.tar$/, 'none'],
  [/\.(tar\.gz|tgz)$/, 'gzip'],
  [/\.(tar\.bz2|tbz2?)$/, 'bzip2'],
  [/\.(tar\.xz|txz)$/, 'xz'],
];

/** How an archive of this name is compressed; undefined where the name does not say it, so that none can be made. */
export function compressionOf(name: string): Compression | undefined {
  return ENDINGS.find(([ending]) => ending.test(name))?.[1];
}

/**
 * The name under which the digest of an archive that the mirror makes is recorded: that of its tar, since what compresses it differs from version to version.
 * `tss2-930.tar.gz` is recorded as `tss2-930.tar`.
 */
export function tarName(name: string): string {
  const found = ENDINGS.find(([ending]) => ending.test(name));
  return found === undefined ? name : name.replace(found[0], '.tar');
}
