import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MirrorError } from '../desired-state/errors';
import type { Checksum } from '../rpm-metadata/checksum';
import { DELTA_RECORDS, readDeltas } from '../rpm-metadata/deltas';
import { decompressed } from '../rpm-metadata/decompress';
import { readPrimary } from '../rpm-metadata/primary';
import { parseRepomd, type Repomd } from '../rpm-metadata/repomd';
import { type ComponentRecord, readComponentRecord } from './component-record';
import { type DownloadsRecord, placeOf } from './downloads-record';
import { fileDigest, isAbsent } from './files';
import type { Layout } from './layout';
import { readPackageList } from './package-list';
import { readRecord, type SnapshotRecord } from './record';
import { filesOf } from './snapshot';
import { readManifest, type TreeManifest } from './tree-manifest';
import { hrefOf } from './tree-source';

/** A file that a snapshot's tree must have. */
export interface ExpectedFile {
  readonly path: string;
  readonly checksum: Checksum;
  readonly size?: number | undefined;
  /** Where upstream has it, below its base; undefined where the mirror made it. */
  readonly href?: string | undefined;
  readonly base?: string | undefined;
  /** Whether the store has it as well: its bytes are then read there. */
  readonly stored: boolean;
}

const INDEX = 'repodata/repomd.xml';
/** What was published was judged by its sync. */
const AS_PUBLISHED = { weakChecksums: true } as const;

/**
 * What a snapshot must have, with the digests that are known of it. What cannot be known, since the file that says it is damaged itself, is
 * left out: that file is among the expected ones. Files of superseded snapshots that are still served are looked at where they were published.
 */
export async function expectedFiles(layout: Layout, id: string, snapshot: string): Promise<readonly ExpectedFile[]> {
  const tree = join(layout.snapshots(id), snapshot);
  const manifest = await readManifest(layout.record(id, snapshot, 'tree'));
  if (manifest !== undefined) return ofTree(manifest);
  const record = readRecord(layout, id, snapshot);
  if (record === undefined) return ofHosted(tree, readComponentRecord(layout, id, snapshot));
  return ofRepository(tree, record, layout.record(id, snapshot, 'packages'));
}

function ofTree({ own, listed, unlisted, downloads }: TreeManifest): readonly ExpectedFile[] {
  return [
    ...(downloads === undefined ? [] : ofDownloads(downloads)),
    ...Object.entries(own).map(([path, file]) => ({
      path,
      checksum: { algorithm: 'sha256' as const, hex: file.sha256 },
      href: hrefOf(path),
      stored: false,
    })),
    ...[...listed, ...unlisted].map(({ path, checksum, size }) => ({ path, checksum, size, href: hrefOf(path), stored: true })),
  ];
}

/** What the mirror made of an upstream's content, nobody else has. */
function ofDownloads({ files, made }: DownloadsRecord): readonly ExpectedFile[] {
  return [
    ...Object.entries(made).map(([path, hex]) => ({ path, checksum: { algorithm: 'sha256' as const, hex }, stored: false })),
    ...files.map(({ path, url, sha256, size, tar }) => ({
      path,
      checksum: { algorithm: 'sha256' as const, hex: sha256 },
      size,
      ...(tar === undefined ? placeOf(url) : {}),
      stored: true,
    })),
  ];
}

async function ofRepository(tree: string, record: SnapshotRecord, packageList: string): Promise<readonly ExpectedFile[]> {
  const { seen } = record;
  const isUpstreams = record.signedBy === undefined;
  const index = Object.entries(record.index).map(([path, hex]): ExpectedFile => {
    const checksum: Checksum = { algorithm: 'sha256', hex };
    return { path, checksum, href: isUpstreams ? path : undefined, stored: false };
  });
  const repomd = await wholeIndex(tree, record.index[INDEX]);
  const metadata = repomd === undefined ? [] : metadataOf(repomd, isUpstreams);
  const listed = readPackageList(packageList) ?? (repomd === undefined ? [] : await packagesOf(tree, repomd));
  const deltas = repomd === undefined || !isUpstreams ? [] : await deltasOf(tree, repomd);
  const packages = seen === undefined ? listed : listed.map((item) => ({ ...item, ...sourceOf(item.checksum, seen) }));
  return [...index, ...metadata, ...[...packages, ...deltas].map((item) => ({ ...item, stored: true }))];
}

/** Where a package that lists ask for came from: its own URL; what came from a repository, that one's upstream has. */
function sourceOf({ hex }: Checksum, seen: NonNullable<SnapshotRecord['seen']>): Pick<ExpectedFile, 'href' | 'base'> {
  const [url] = Object.entries(seen).find(([, { sha256 }]) => sha256 === hex) ?? [];
  return url === undefined ? { href: undefined, base: undefined } : placeOf(url);
}

/** A hosted component is several repositories, each of whose index says what it has. */
async function ofHosted(tree: string, record: ComponentRecord | undefined): Promise<readonly ExpectedFile[]> {
  const index = Object.entries(record?.index ?? {});
  const expected = index.map(([path, hex]): ExpectedFile => ({ path, checksum: { algorithm: 'sha256', hex }, stored: false }));
  for (const [path, { sha256: hex, size }] of Object.entries(record?.kept ?? {}))
    expected.push({ path, checksum: { algorithm: 'sha256', hex }, size, stored: true });
  for (const path of (await filesOf(tree)).filter((file) => file.endsWith(`/${INDEX}`) || file === INDEX)) {
    const folder = dirname(dirname(path));
    const repomd = await wholeIndex(join(tree, folder), record?.index[path]);
    if (repomd === undefined) continue;
    const packages = (await packagesOf(join(tree, folder), repomd)).map((item) => ({ ...item, stored: true }));
    for (const { path: name, checksum, size, stored } of [...metadataOf(repomd, false), ...packages])
      expected.push({ path: join(folder, name), checksum, size, stored });
  }
  return expected;
}

/** The index; undefined where it is not the one that was published. */
async function wholeIndex(tree: string, digest: string | undefined): Promise<Repomd | undefined> {
  const path = join(tree, INDEX);
  try {
    if (digest !== undefined && (await fileDigest(path, 'sha256')) !== digest) return undefined;
    return parseRepomd(await readFile(path), path, AS_PUBLISHED);
  } catch (error) {
    return unreadable(error);
  }
}

function metadataOf(repomd: Repomd, stored: boolean): readonly ExpectedFile[] {
  return repomd.records.map(({ path, checksum, size, href, base }) => ({
    path,
    checksum,
    size,
    ...(stored ? { href, base } : {}),
    stored,
  }));
}

async function packagesOf(tree: string, { primary }: Repomd): Promise<readonly Omit<ExpectedFile, 'stored'>[]> {
  const path = join(tree, primary.path);
  try {
    return await readPrimary(decompressed(path, path, primary.openSize), path, AS_PUBLISHED);
  } catch (error) {
    return unreadable(error) ?? [];
  }
}

async function deltasOf(tree: string, { records }: Repomd): Promise<readonly Omit<ExpectedFile, 'stored'>[]> {
  const found: Omit<ExpectedFile, 'stored'>[] = [];
  for (const record of records.filter(({ type }) => DELTA_RECORDS.includes(type))) {
    const path = join(tree, record.path);
    try {
      found.push(...(await readDeltas(decompressed(path, path, record.openSize), path, AS_PUBLISHED)));
    } catch (error) {
      unreadable(error);
    }
  }
  return found;
}

/** A damaged or missing file is found by its own digest. */
function unreadable(error: unknown): undefined {
  if (error instanceof MirrorError || isAbsent(error) || (error as NodeJS.ErrnoException).code === 'EIO') return undefined;
  throw error;
}
