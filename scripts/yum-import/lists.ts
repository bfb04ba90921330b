/** Pure: which constructs declare the lists of a directory. */
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { idOf } from './repositories';

/** One construct for lists of the project. */
export type ImportedList =
  | { readonly construct: 'PackageLists'; readonly id: string; readonly lists: readonly string[] }
  | { readonly construct: 'TarballDownloads'; readonly id: string; readonly list: string }
  | { readonly construct: 'InstallTree'; readonly id: string; readonly list: string; readonly publishedAs: string };

export interface ListOptions {
  /** A segment of the public path: `3.0`. */
  readonly release: string;
  readonly layer: string | undefined;
  /** URL of the tree that `other_downloads.lst` is about. */
  readonly installer: string | undefined;
}

/** @param paths of the lists, relative to the project */
export function importLists(
  paths: readonly string[],
  { release, layer, installer }: ListOptions,
  ids: Set<string>,
): readonly ImportedList[] {
  const name = (path: string): string => path.replace(/^.*\//, '');
  const id = (what: string): string => idOf(['stx', release, layer, what].filter((part) => part !== undefined).join('-'), ids);
  const packages = paths.filter((path) => /^rpms_[^/]*\.lst$/.test(name(path)));
  const tarballs = paths.filter((path) => name(path) === 'tarball-dl.lst');
  const trees = paths.filter((path) => name(path) === 'other_downloads.lst');
  if (trees.length > 0 && installer === undefined)
    throw new MirrorError({
      code: 'INSTALLER_URL',
      message: `${trees[0]} does not say below which URL its files are`,
      remedy: 'Say it, for instance --installer http://mirror.centos.org/centos/7.6.1810/os/x86_64/',
      exitCode: ExitCode.usage,
    });
  return [
    ...(packages.length === 0 ? [] : [{ construct: 'PackageLists' as const, id: id('lists'), lists: packages }]),
    ...tarballs.map((list) => ({ construct: 'TarballDownloads' as const, id: id('tarballs'), list })),
    ...trees.map((list) => ({ construct: 'InstallTree' as const, id: id('installer'), list, publishedAs: installer as string })),
  ];
}
