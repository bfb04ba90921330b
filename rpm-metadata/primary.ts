import { type Checksum, parseChecksum, parseSize } from './checksum';
import { metadataRefused, quoted } from './errors';
import { packageLocation } from './locations';
import { GuardedXml } from './xml';

/** More than any distribution has; the list is held in memory. */
export const MAX_PACKAGES = 400_000;

/** What a sync needs to know of a package. */
export interface ListedPackage {
  /** Below the repository's root, decoded. */
  readonly path: string;
  /** The same as it is requested, encoded. */
  readonly href: string;
  readonly checksum: Checksum;
  readonly size: number;
}

/** A package as the metadata says it, before any judgement. */
export interface PackageDraft {
  readonly checksumType: string | undefined;
  readonly checksum: string | undefined;
  readonly size: string | undefined;
  readonly href: string | undefined;
  /** `xml:base`: the location is below another place. */
  readonly base: string | undefined;
  /** `<time build="…">`. */
  readonly built: string | undefined;
}

/**
 * Streams `primary.xml` and returns its packages, once per location. `what` names the file for errors. Throws a MirrorError for an unsafe
 * location, a checksum that is missing or broken, and two packages at one place.
 */
export async function readPrimary(stream: AsyncIterable<Uint8Array>, what: string): Promise<readonly ListedPackage[]> {
  const list = new PackageList(what);
  await scanPrimary(stream, what, (draft) => void list.add(draft));
  return list.finish();
}

/** Streams `primary.xml` and hands each package over as it is said to be. Throws a MirrorError for what is no primary metadata. */
export async function scanPrimary(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  onPackage: (draft: PackageDraft) => void,
): Promise<void> {
  let draft: { -readonly [K in keyof PackageDraft]: PackageDraft[K] } | undefined;
  const xml = new GuardedXml(what, {
    open(path, attributes) {
      if (path.length === 1 && path[0] !== 'metadata')
        throw metadataRefused('METADATA_MALFORMED', what, `is no primary metadata: its root is <${path[0]}>`);
      if (path.length === 2 && path[1] === 'package')
        draft = { checksumType: undefined, checksum: undefined, size: undefined, href: undefined, base: undefined, built: undefined };
      if (path.length !== 3 || draft === undefined) return;
      if (path[2] === 'checksum') draft.checksumType = attributes.type;
      else if (path[2] === 'size') draft.size = attributes.package;
      else if (path[2] === 'time') draft.built = attributes.build;
      else if (path[2] === 'location') {
        draft.base = attributes['xml:base'];
        draft.href = attributes.href;
      }
    },
    close(path, text) {
      if (draft === undefined) return;
      if (path.length === 3 && path[2] === 'checksum') draft.checksum = text;
      else if (path.length === 2 && path[1] === 'package') {
        onPackage(draft);
        draft = undefined;
      }
    },
    wantsText: (path) => path.length === 3 && path[2] === 'checksum',
  });
  for await (const chunk of stream) xml.write(chunk);
  xml.end();
}

/** Judges packages one by one, and then as a whole. */
export class PackageList {
  private readonly byPath = new Map<string, ListedPackage>();
  private readonly folders = new Set<string>();

  constructor(private readonly what: string) {}

  /** Returns what was added; undefined for a package that is listed twice in the same words. */
  add(draft: PackageDraft): ListedPackage | undefined {
    if (draft.base !== undefined) {
      throw this.refuse(
        'LOCATION_UNSAFE',
        `takes ${quoted(draft.href ?? '')} from another place (xml:base ${quoted(draft.base)}), which is not followed`,
      );
    }
    if (draft.href === undefined) throw this.refuse('METADATA_MALFORMED', 'has a package without a location');
    const location = packageLocation(draft.href);
    if ('problem' in location) throw this.refuse('LOCATION_UNSAFE', `the location ${quoted(draft.href)} ${location.problem}`);
    const checksum = parseChecksum(draft.checksumType, draft.checksum ?? '');
    if ('problem' in checksum) throw this.refuse('CHECKSUM_UNUSABLE', `${quoted(location.path)}: ${checksum.problem}`);
    const size = draft.size === undefined ? undefined : parseSize(draft.size);
    if (size === undefined) throw this.refuse('METADATA_MALFORMED', `${quoted(location.path)} has the size ${quoted(draft.size ?? '')}`);
    const other = this.byPath.get(location.path);
    if (other === undefined) {
      if (this.byPath.size >= MAX_PACKAGES) throw this.refuse('METADATA_TOO_LARGE', `lists more than ${MAX_PACKAGES} packages`);
      const listed = { path: location.path, href: location.href, checksum, size };
      this.byPath.set(location.path, listed);
      for (let cut = location.path.lastIndexOf('/'); cut > 0; cut = location.path.lastIndexOf('/', cut - 1))
        this.folders.add(location.path.slice(0, cut));
      return listed;
    }
    if (other.checksum.hex !== checksum.hex || other.size !== size) {
      throw this.refuse('METADATA_CONTRADICTS', `two packages are at ${quoted(location.path)} with different checksums or sizes`);
    }
    return undefined;
  }

  finish(): readonly ListedPackage[] {
    for (const path of this.byPath.keys()) {
      if (this.folders.has(path)) throw this.refuse('METADATA_CONTRADICTS', `${quoted(path)} is a package and a folder`);
    }
    return [...this.byPath.values()];
  }

  private refuse(code: string, why: string): Error {
    return metadataRefused(code, this.what, why);
  }
}
