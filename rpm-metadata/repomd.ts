import { type Checksum, type ChecksumOptions, parseSize, requireChecksum } from './checksum';
import { metadataRefused, quoted } from './errors';
import { baseLocation, metadataLocation } from './locations';
import { GuardedXml } from './xml';

/** No real index comes near this: a longer one is cut off. */
export const MAX_REPOMD_BYTES = 10 * 1024 * 1024;
/** For metadata files whose size the index does not say, and the most that one may have. */
export const MAX_UNDECLARED_METADATA_BYTES = 1024 * 1024 * 1024;
export const MAX_METADATA_BYTES = 4 * 1024 * 1024 * 1024;
const MAX_RECORDS = 200;

/** One metadata file that `repomd.xml` lists. */
export interface RepomdRecord {
  /** `primary`, `filelists`, `group`, `updateinfo`, … */
  readonly type: string;
  /** Below the repository's root, decoded, for instance `repodata/<hex>-primary.xml.gz`. */
  readonly path: string;
  readonly href: string;
  readonly checksum: Checksum;
  readonly size: number | undefined;
  /** Bytes after decompression. */
  readonly openSize: number | undefined;
  /** When it was made, Unix seconds. */
  readonly timestamp?: number;
  /** The URL that `href` is below, with a slash at its end, where it is not the repository's (`xml:base`). */
  readonly base?: string;
}

export interface Repomd {
  readonly revision: string | undefined;
  /** The newest time of a record, Unix seconds; undefined where none says one. */
  readonly newest: number | undefined;
  readonly records: readonly RepomdRecord[];
  readonly primary: RepomdRecord;
}

/** A metadata file as the index says it, before any judgement. */
export interface RecordDraft {
  readonly type: string | undefined;
  readonly href: string | undefined;
  /** `xml:base`: the location is below another place. */
  readonly base: string | undefined;
  readonly checksum: { readonly type: string | undefined; readonly text: string } | undefined;
  readonly size: string | undefined;
  readonly openSize: string | undefined;
  readonly timestamp: string | undefined;
}

/** `repomd.xml` as it was read, before any judgement. */
export interface ScannedRepomd {
  readonly revision: string | undefined;
  readonly drafts: readonly RecordDraft[];
}

/** Reads `repomd.xml`. `what` is its URL, for errors. Throws a MirrorError for everything that must not be used. */
export function parseRepomd(bytes: Uint8Array, what: string, options: ChecksumOptions): Repomd {
  return judgeRepomd(scanRepomd(bytes, what), what, options);
}

/** Judges what was read. Throws a MirrorError for everything that must not be used. */
export function judgeRepomd({ revision, drafts }: ScannedRepomd, what: string, options: ChecksumOptions): Repomd {
  return checked({ revision, records: drafts.map((draft) => recordOf(draft, what, options)) }, what);
}

/** Reads what `repomd.xml` says, usable or not. Throws a MirrorError for what is no `repomd.xml`. */
export function scanRepomd(bytes: Uint8Array, what: string): ScannedRepomd {
  const drafts: RecordDraft[] = [];
  let revision: string | undefined;
  let draft: { -readonly [K in keyof RecordDraft]: RecordDraft[K] } | undefined;
  let checksumType: string | undefined;
  const xml = new GuardedXml(what, {
    open(path, attributes) {
      if (path.length === 1 && path[0] !== 'repomd')
        throw metadataRefused('METADATA_MALFORMED', what, `is no repomd.xml: its root is <${path[0]}>`);
      if (path.length === 2 && path[1] === 'data') {
        draft = {
          type: attributes.type,
          href: undefined,
          base: undefined,
          checksum: undefined,
          size: undefined,
          openSize: undefined,
          timestamp: undefined,
        };
      } else if (draft !== undefined && path.length === 3) {
        if (path[2] === 'location') {
          draft.base = attributes['xml:base'];
          draft.href = attributes.href;
        } else if (path[2] === 'checksum') checksumType = attributes.type;
      }
    },
    close(path, text) {
      if (path.length === 2 && path[1] === 'revision') revision = text.trim();
      else if (path.length === 2 && path[1] === 'data' && draft !== undefined) {
        drafts.push(draft);
        draft = undefined;
        if (drafts.length > MAX_RECORDS) throw metadataRefused('METADATA_MALFORMED', what, `lists more than ${MAX_RECORDS} files`);
      } else if (path.length === 3 && draft !== undefined) {
        if (path[2] === 'checksum') draft.checksum = { type: checksumType, text };
        else if (path[2] === 'size') draft.size = text;
        else if (path[2] === 'open-size') draft.openSize = text;
        else if (path[2] === 'timestamp') draft.timestamp = text;
      }
    },
    wantsText: (path) => path.length <= 3,
  });
  xml.write(bytes);
  xml.end();
  return { revision, drafts };
}

function recordOf(draft: RecordDraft, what: string, options: ChecksumOptions): RepomdRecord {
  const refuse = (code: string, why: string): Error => metadataRefused(code, what, why);
  const type = draft.type ?? '';
  if (!/^[A-Za-z0-9_.-]{1,100}$/.test(type)) throw refuse('METADATA_MALFORMED', `has a file of type ${quoted(type)}`);
  if (draft.href === undefined) throw refuse('METADATA_MALFORMED', `says no location for ${type}`);
  const base = baseLocation(draft.base);
  if ('problem' in base) throw refuse('LOCATION_UNSAFE', `takes ${type} from xml:base ${quoted(draft.base ?? '')}, which ${base.problem}`);
  const location = metadataLocation(base.folder + draft.href);
  if ('problem' in location) throw refuse('LOCATION_UNSAFE', `the location ${quoted(draft.href)} of ${type} ${location.problem}`);
  if (draft.checksum === undefined) throw refuse('CHECKSUM_MISSING', `has no checksum for ${type}`);
  const checksum = requireChecksum(draft.checksum, options, what, () => type);
  const size = sizeOf(draft.size, type, what);
  if (size !== undefined && size > MAX_METADATA_BYTES)
    throw refuse('METADATA_TOO_LARGE', `${type} has ${size} bytes; at most ${MAX_METADATA_BYTES} are taken`);
  const openSize = sizeOf(draft.openSize, type, what);
  // Some write fractions of seconds.
  const timestamp = /^\d{1,15}(\.\d+)?$/.test(draft.timestamp?.trim() ?? '') ? Math.floor(Number(draft.timestamp)) : undefined;
  return {
    type,
    path: location.path,
    href: location.href,
    checksum,
    size,
    openSize,
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(base.url === undefined ? {} : { base: base.url }),
  };
}

function sizeOf(text: string | undefined, type: string, what: string): number | undefined {
  if (text === undefined) return undefined;
  const size = parseSize(text);
  if (size === undefined) throw metadataRefused('METADATA_MALFORMED', what, `${type} has the size ${quoted(text)}`);
  return size;
}

function checked(index: { revision: string | undefined; records: RepomdRecord[] }, what: string): Repomd {
  const primaries = index.records.filter((r) => r.type === 'primary');
  const [primary] = primaries;
  if (primary === undefined)
    throw metadataRefused('METADATA_MALFORMED', what, 'lists no primary metadata, so there is no list of packages');
  if (primaries.length > 1) throw metadataRefused('METADATA_MALFORMED', what, 'lists primary metadata twice');
  const byPath = new Map<string, RepomdRecord>();
  for (const record of index.records) {
    const other = byPath.get(record.path);
    if (other !== undefined && other.base !== record.base)
      throw metadataRefused('METADATA_CONTRADICTS', what, `${quoted(record.path)} is taken from two places`);
    if (other !== undefined && other.checksum.hex !== record.checksum.hex) {
      throw metadataRefused(
        'METADATA_CONTRADICTS',
        what,
        `${other.type} and ${record.type} are one file, ${quoted(record.path)}, with two checksums`,
      );
    }
    byPath.set(record.path, record);
  }
  const times = index.records.map(({ timestamp }) => timestamp).filter((time) => time !== undefined);
  return { revision: index.revision, newest: times.length === 0 ? undefined : Math.max(...times), records: index.records, primary };
}
