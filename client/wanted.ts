/** What the lists ask for, and where it goes in the output. Pure. */
import { uncompressedName } from '../starlingx/digests';
import type { PackageLine } from '../starlingx/package-list';

/** One file that is asked for. */
export interface Wanted {
  readonly kind: 'package' | 'tarball' | 'install';
  /** Below the output directory. */
  readonly path: string;
  /** As its list names it. */
  readonly name: string;
  readonly list: string;
  readonly line: number;
  /** The original address, where the list says one. */
  readonly url?: string;
  /** Of a package: what its header must say. */
  readonly identity?: Identity;
  /** Of an archive that nobody serves upstream: what it is made of. */
  readonly made?: Made;
  /** What has to be run to make the file that builds want of this one. */
  readonly script?: string;
}

export type Identity = Pick<PackageLine, 'name' | 'version' | 'release' | 'arch'>;

export type Made =
  | { readonly method: 'git'; readonly ref: string; readonly directory: string }
  | { readonly method: 'filelist'; readonly members: readonly string[]; readonly directory: string };

/** The name under which a digest of it is recorded, as the mirror's declarations do; of an archive that is made that of its uncompressed tar. */
export function recordedName({ name, made, script }: Wanted): string {
  const file = script === undefined ? name : `originals/${name}`;
  return made === undefined ? file : uncompressedName(file);
}

/** What its list says of where a file is from, for comparison with what an earlier list said; undefined where that is only its name. */
export function originOf({ url, made }: Wanted): string | undefined {
  return url === undefined ? undefined : JSON.stringify(made === undefined ? [url] : [url, made]);
}

/** Source packages go to `Source/`, others to a directory of their architecture, as generate-centos-repo.sh wants them. */
export function packagePath(file: string, arch: string): string {
  return isSourceArch(arch) ? `Source/${file}` : `Binary/${arch}/${file}`;
}

export function isSourceArch(arch: string): boolean {
  return arch === 'src' || arch === 'nosrc';
}

/** What has to go through a script is kept apart from what the script makes of it. Puppet modules have a directory of their own. */
export function tarballPath(file: string, needsScript: boolean): string {
  if (needsScript) return `downloads/originals/${file}`;
  return file.startsWith('pupp') ? `downloads/puppet/${file}` : `downloads/${file}`;
}

export function installPath(path: string): string {
  return `Binary/${path}`;
}
