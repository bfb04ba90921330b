/** What `repomd.xml` says: read for what it is, and judged as a sync judges it. */
import { metadataLocation } from '../../rpm-metadata/locations';
import { judgeRepomd, type RecordDraft, scanRepomd } from '../../rpm-metadata/repomd';
import { type ChecksumOptions, parseSize } from '../../rpm-metadata/checksum';
import { type MetadataReport, type Problem, problemOf } from './types';

/** A file by its digest, whatever the algorithm: even a broken one tells files apart. */
export interface SizedFile {
  readonly algorithm: string;
  readonly hex: string;
  /** Decoded, below the repository's root. */
  readonly path: string;
  readonly size: number;
}

/** The package list as it can be fetched, even where a sync refuses its checksum. */
export interface PrimaryPlace {
  readonly path: string;
  readonly href: string;
  readonly algorithm: string;
  readonly hex: string;
  readonly size: number | undefined;
  readonly openSize: number | undefined;
}

export interface IndexFacts {
  readonly report: MetadataReport;
  /** Each file once. */
  readonly files: readonly SizedFile[];
  readonly primary: PrimaryPlace | undefined;
  /** Why a sync would refuse this index. */
  readonly problem: Problem | undefined;
}

/** `sha` is what old createrepo calls sha1. */
export function algorithmOf(type: string | undefined): string {
  return type === undefined ? 'none' : type === 'sha' ? 'sha1' : type.slice(0, 20);
}

/** Algorithms that a download can be compared by. */
export const HASHES: ReadonlySet<string> = new Set(['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512']);
const COMPRESSIONS: Readonly<Record<string, string>> = { gz: 'gzip', xz: 'xz', bz2: 'bzip2', zst: 'zstd', zck: 'zchunk' };

/** Reads the index. Throws a MirrorError for what is none. */
export function indexFacts(bytes: Uint8Array, url: string, checksums: ChecksumOptions): IndexFacts {
  const scanned = scanRepomd(bytes, url);
  const { revision, drafts } = scanned;
  let problem: Problem | undefined;
  try {
    judgeRepomd(scanned, url, checksums);
  } catch (error) {
    problem = problemOf(error);
  }
  const files = new Map<string, SizedFile>();
  for (const draft of drafts) {
    const file = fileOf(draft);
    if (file !== undefined) files.set(file.path, file);
  }
  const names = [...files.values()].map((file) => ({ name: file.path.slice('repodata/'.length), hex: file.hex }));
  const sorted = (values: Iterable<string>): readonly string[] => [...new Set(values)].sort();
  return {
    report: {
      revision,
      changed: timeOf(revision),
      made: madeAt(revision, drafts),
      files: files.size,
      bytes: [...files.values()].reduce((sum, file) => sum + file.size, 0),
      digests: sorted(drafts.map((draft) => algorithmOf(draft.checksum?.type))),
      names: names.every(({ name, hex }) => hex !== '' && name.startsWith(hex)) ? 'unique' : 'reused',
      compressions: sorted(names.map(({ name }) => COMPRESSIONS[/\.([a-z0-9]+)$/.exec(name)?.[1] ?? ''] ?? 'none')),
      databases: drafts.some((draft) => draft.type?.endsWith('_db') === true),
    },
    files: [...files.values()],
    primary: primaryOf(drafts),
    problem,
  };
}

function fileOf(draft: RecordDraft): SizedFile | undefined {
  const location = metadataLocation(draft.href ?? '');
  if ('problem' in location || draft.base !== undefined) return undefined;
  const hex = draft.checksum?.text.trim().toLowerCase() ?? '';
  return { path: location.path, algorithm: algorithmOf(draft.checksum?.type), hex, size: parseSize(draft.size ?? '') ?? 0 };
}

function primaryOf(drafts: readonly RecordDraft[]): PrimaryPlace | undefined {
  const draft = drafts.find((d) => d.type === 'primary');
  const file = draft === undefined ? undefined : fileOf(draft);
  const location = metadataLocation(draft?.href ?? '');
  if (draft === undefined || file === undefined || 'problem' in location || !HASHES.has(file.algorithm)) return undefined;
  return {
    path: file.path,
    href: location.href,
    algorithm: file.algorithm,
    hex: file.hex,
    size: parseSize(draft.size ?? ''),
    openSize: parseSize(draft.openSize ?? ''),
  };
}

function madeAt(revision: string | undefined, drafts: readonly RecordDraft[]): string | undefined {
  return [revision, ...drafts.map(({ timestamp }) => timestamp)]
    .map((seconds) => timeOf(seconds?.trim()))
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);
}

/** Seconds since 1970 as most tools write it, from 1990 to 2100. */
export function timeOf(seconds: string | undefined): string | undefined {
  const value = /^\d{9,10}(\.\d+)?$/.test(seconds ?? '') ? Number(seconds) : NaN;
  return value > 631_152_000 && value < 4_102_444_800 ? new Date(value * 1000).toISOString().replace(/\.\d+Z$/, 'Z') : undefined;
}
