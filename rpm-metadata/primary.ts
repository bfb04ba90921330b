import { type Checksum, type ChecksumOptions, parseSize, requireChecksum } from './checksum';
import { metadataRefused, quoted } from './errors';
import { baseLocation, packageLocation } from './locations';
import type { Nevra } from './nevra';
import { type PackageDraft, scanPackages } from './packages';

/** More than any distribution has; the list is held in memory. */
export const MAX_PACKAGES = 400_000;

/** Of a name, version, release or architecture; they become parts of file names and lines of reports. */
const WORD = /^[^\s/\u0000-\u001f\u007f-\u009f]{1,255}$/;

/** What a sync needs to know of a package. */
export interface ListedPackage extends Nevra {
  /** Below the repository's root, decoded. */
  readonly path: string;
  /** The same as it is requested, encoded. */
  readonly href: string;
  readonly checksum: Checksum;
  readonly size: number;
  /** The URL that `href` is below, with a slash at its end, where it is not the repository's (`xml:base`). */
  readonly base?: string;
}

/**
 * Streams `primary.xml` and returns its packages, once per location. `what` names the file for errors. Throws a MirrorError for an unsafe
 * location, a checksum that is missing or broken, and two packages at one place.
 */
export async function readPrimary(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  options: ChecksumOptions,
): Promise<readonly ListedPackage[]> {
  const list = new PackageList(what, options);
  await scanPackages(stream, 'primary', what, { package: (draft) => void list.add(draft) });
  return list.finish();
}

/**
 * Judges what a list says of a package. Throws a MirrorError for an unsafe location, an unusable checksum and no identity. `shared` may
 * return another string with the same characters.
 */
export function judgePackage(
  draft: PackageDraft,
  what: string,
  options: ChecksumOptions,
  shared: (word: string) => string = (word) => word,
): ListedPackage {
  const refuse = (code: string, why: string): Error => metadataRefused(code, what, why);
  if (draft.href === undefined) throw refuse('METADATA_MALFORMED', 'has a package without a location');
  const base = baseLocation(draft.base);
  if ('problem' in base)
    throw refuse('LOCATION_UNSAFE', `takes ${quoted(draft.href)} from xml:base ${quoted(draft.base ?? '')}, which ${base.problem}`);
  const location = packageLocation(base.folder + draft.href);
  if ('problem' in location) throw refuse('LOCATION_UNSAFE', `the location ${quoted(draft.href)} ${location.problem}`);
  const { path, href } = location;
  const checksum = requireChecksum({ type: draft.checksumType, text: draft.checksum ?? '' }, options, what, () => quoted(path));
  const size = draft.size === undefined ? undefined : parseSize(draft.size);
  if (size === undefined) throw refuse('METADATA_MALFORMED', `${quoted(path)} has the size ${quoted(draft.size ?? '')}`);
  const word = (name: 'name' | 'version' | 'release' | 'arch'): string => {
    const value = draft[name];
    if (value === undefined || !WORD.test(value))
      throw refuse('METADATA_MALFORMED', `${quoted(path)} has the ${name} ${quoted(value ?? '')}`);
    return name === 'name' ? value : shared(value);
  };
  const epoch = (draft.epoch ?? '').replace(/^0+(?=.)/, '') || '0';
  if (!/^\d{1,10}$/.test(epoch)) throw refuse('METADATA_MALFORMED', `${quoted(path)} has the epoch ${quoted(epoch)}`);
  const listed: ListedPackage = {
    path,
    href,
    checksum,
    size,
    name: word('name'),
    epoch: shared(epoch),
    version: word('version'),
    release: word('release'),
    arch: word('arch'),
  };
  return base.url === undefined ? listed : { ...listed, base: shared(base.url) };
}

/** Judges packages one by one, and then as a whole. */
export class PackageList {
  private readonly byPath = new Map<string, ListedPackage>();
  private readonly folders = new Set<string>();
  private lastFolder = '';
  /** One string for all packages that say the same: the list is long. */
  private readonly words = new Map<string, string>();

  constructor(
    private readonly what: string,
    private readonly options: ChecksumOptions,
  ) {}

  /** Returns what was added; undefined for a package that is listed twice in the same words. */
  add(draft: PackageDraft): ListedPackage | undefined {
    return this.addListed(judgePackage(draft, this.what, this.options, (word) => this.shared(word)));
  }

  private addListed(listed: ListedPackage): ListedPackage | undefined {
    const { path } = listed;
    const other = this.byPath.get(path);
    if (other === undefined) {
      if (this.byPath.size >= MAX_PACKAGES) throw this.refuse('METADATA_TOO_LARGE', `lists more than ${MAX_PACKAGES} packages`);
      this.byPath.set(path, listed);
      this.noteFolders(path);
      return listed;
    }
    if (other.checksum.hex !== listed.checksum.hex || other.size !== listed.size)
      throw this.refuse('METADATA_CONTRADICTS', `two packages are at ${quoted(path)} with different checksums or sizes`);
    if (other.base !== listed.base)
      throw this.refuse(
        'METADATA_CONTRADICTS',
        `${quoted(path)} is taken from two places, ${quoted(other.base ?? '')} and ${quoted(listed.base ?? '')}`,
      );
    return undefined;
  }

  /** The folders above, as they must not be packages. */
  private noteFolders(path: string): void {
    let cut = path.lastIndexOf('/');
    const folder = path.slice(0, Math.max(cut, 0));
    if (folder === this.lastFolder) return;
    for (; cut > 0; cut = path.lastIndexOf('/', cut - 1)) this.folders.add(path.slice(0, cut));
    this.lastFolder = folder;
  }

  private shared(word: string): string {
    const known = this.words.get(word);
    if (known !== undefined) return known;
    this.words.set(word, word);
    return word;
  }

  finish(): readonly ListedPackage[] {
    for (const folder of this.folders) {
      if (this.byPath.has(folder)) throw this.refuse('METADATA_CONTRADICTS', `${quoted(folder)} is a package and a folder`);
    }
    return [...this.byPath.values()];
  }

  private refuse(code: string, why: string): Error {
    return metadataRefused(code, this.what, why);
  }
}
