/** What package lists ask for, taken together. Pure. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { type PackageLine, packagesOf, parsePackageList } from './package-list';

/** One package that some list asks for. */
export interface AskedPackage extends Omit<PackageLine, 'kind'> {
  /** SHA-256 (hex) of the file, where one is recorded. */
  readonly sha256?: string;
  /** The list that asks first; the line is its line. */
  readonly list: string;
}

/**
 * Each package once, in the order of the lists and lines. The same request twice is one; two URLs for one file contradict each other, and a recorded
 * digest belongs to a file that is asked for.
 *
 * @param lists name → text
 * @param digests file name → SHA-256
 * @throws MirrorError that names list, line and value
 */
export function askedPackages(
  lists: Readonly<Record<string, string>>,
  digests: Readonly<Record<string, string>> = {},
): readonly AskedPackage[] {
  const asked = new Map<string, AskedPackage>();
  for (const [list, text] of Object.entries(lists)) {
    for (const { file, name, version, release, arch, url, line } of packagesOf(parsePackageList(Buffer.from(text), list))) {
      const before = asked.get(file);
      if (before?.url !== undefined && url !== undefined && before.url !== url) throw contradiction(before, { list, line, url });
      if (before !== undefined && (before.url !== undefined || url === undefined)) continue;
      const sha256 = Object.hasOwn(digests, file) ? digests[file] : undefined;
      asked.set(file, {
        ...{ file, name, version, release, arch, list, line },
        ...(url === undefined ? {} : { url }),
        ...(sha256 === undefined ? {} : { sha256 }),
      });
    }
  }
  const stray = Object.keys(digests).find((file) => !asked.has(file));
  if (stray !== undefined)
    throw new MirrorError({
      code: 'LIST_DIGEST',
      message: `a digest is recorded for ${JSON.stringify(stray)}, which no list asks for (${Object.keys(lists).join(', ')})`,
      remedy: 'Remove its line from the file of digests, or correct the name: it is that of the file in the list.',
      exitCode: ExitCode.invalid,
    });
  return [...asked.values()];
}

function contradiction(first: AskedPackage, second: { readonly list: string; readonly line: number; readonly url: string }): MirrorError {
  return new MirrorError({
    code: 'LIST_CONFLICT',
    message: `${second.list}:${second.line}: ${first.file} is at ${second.url}, and at ${first.url ?? ''} by ${first.list}:${first.line}`,
    remedy: 'One package has one address: leave the one that is right.',
    exitCode: ExitCode.invalid,
  });
}

/** `name-version-release.arch`: what a line names. Source packages are `src`, whether or not all of their sources are in them. */
export function askedName({ name, version, release, arch }: Pick<AskedPackage, 'name' | 'version' | 'release' | 'arch'>): string {
  return `${name}-${version}-${release}.${arch === 'nosrc' ? 'src' : arch}`;
}
