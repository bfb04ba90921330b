import { type Checksum, type ChecksumOptions, parseSize, requireChecksum } from './checksum';
import { metadataRefused, quoted } from './errors';
import { deltaLocation } from './locations';
import { GuardedXml } from './xml';

/** Types of records in `repomd.xml` that list delta rpms: createrepo's and SUSE's name for the same. */
export const DELTA_RECORDS: readonly string[] = ['prestodelta', 'deltainfo'];

const MAX_DELTAS = 400_000;

/** A delta rpm: what a client needs besides the older package to make the newer one. */
export interface ListedDelta {
  /** Below the repository's root, decoded. */
  readonly path: string;
  /** The same as it is requested, encoded. */
  readonly href: string;
  readonly checksum: Checksum;
  readonly size: number;
}

interface Draft {
  href?: string;
  size?: string;
  type?: string | undefined;
  checksum?: string;
}

/**
 * Streams `prestodelta.xml` and returns the files that it names, once per location. `what` names the file for errors. Throws a MirrorError
 * for an unsafe location, a checksum or size that is missing or broken, and two files at one place.
 */
export async function readDeltas(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  options: ChecksumOptions,
): Promise<readonly ListedDelta[]> {
  const byPath = new Map<string, ListedDelta>();
  let draft: Draft = {};
  const xml = new GuardedXml(what, {
    open(path, attributes) {
      if (path.length === 1 && !DELTA_RECORDS.includes(path[0] as string))
        throw metadataRefused('METADATA_MALFORMED', what, `is no list of delta rpms: its root is <${path[0]}>`);
      if (path.length === 3) draft = {};
      if (path.length === 4 && path[3] === 'checksum') draft.type = attributes.type;
    },
    close(path, text) {
      if (path.length === 3 && path[1] === 'newpackage' && path[2] === 'delta') add(byPath, listed(draft, what, options), what);
      if (path.length !== 4) return;
      if (path[3] === 'filename') draft.href = text.trim();
      else if (path[3] === 'size') draft.size = text;
      else if (path[3] === 'checksum') draft.checksum = text;
    },
    wantsText: (path) => path.length === 4,
  });
  for await (const chunk of stream) xml.write(chunk);
  xml.end();
  return [...byPath.values()];
}

function listed(draft: Draft, what: string, options: ChecksumOptions): ListedDelta {
  if (draft.href === undefined) throw metadataRefused('METADATA_MALFORMED', what, 'has a delta without a file name');
  const location = deltaLocation(draft.href);
  if ('problem' in location) throw metadataRefused('LOCATION_UNSAFE', what, `the location ${quoted(draft.href)} ${location.problem}`);
  const checksum = requireChecksum({ type: draft.type, text: draft.checksum ?? '' }, options, what, () => quoted(location.path));
  const size = parseSize(draft.size ?? '');
  if (size === undefined)
    throw metadataRefused('METADATA_MALFORMED', what, `${quoted(location.path)} has the size ${quoted(draft.size ?? '')}`);
  return { ...location, checksum, size };
}

function add(byPath: Map<string, ListedDelta>, delta: ListedDelta, what: string): void {
  const other = byPath.get(delta.path);
  if (other !== undefined && (other.checksum.hex !== delta.checksum.hex || other.size !== delta.size))
    throw metadataRefused('METADATA_CONTRADICTS', what, `two deltas are at ${quoted(delta.path)} with different checksums or sizes`);
  if (byPath.size >= MAX_DELTAS) throw metadataRefused('METADATA_TOO_LARGE', what, `lists more than ${MAX_DELTAS} deltas`);
  if (other === undefined) byPath.set(delta.path, delta);
}
