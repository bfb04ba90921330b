/**
 * What addresses had at first sight, where the record of the published snapshot, which says it, is cut or lost: from the newest older record, and from what is
 * published under the mirror's signature. Whatever comes now would else be taken as if it were the first.
 */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DownloadsDefinition, ListsDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { decompressed } from '../rpm-metadata/decompress';
import type { ListedPackage } from '../rpm-metadata/primary';
import { verifyDetached } from '../signatures/detached';
import { buildKeyRing } from '../signatures/pinned-keys';
import type { Signer } from '../signatures/sign';
import { askedName } from '../starlingx/asked';
import { parseDigests } from '../starlingx/digests';
import type { SeenFile } from './declared-files';
import { type Seen, type ServedFile, sourceKey } from './downloads-record';
import { fileDigest, isAbsent } from './files';
import type { Layout } from './layout';
import type { AskedByUrl } from './listed-by-url';
import type { Published } from './published';
import { type Problem, readRecord, type SnapshotRecord } from './record';
import { snapshotsOf } from './snapshot';
import { readManifest } from './tree-manifest';

/** What is known of downloads without their record. */
export interface Remembered {
  /** As a record has them. */
  readonly seen: Readonly<Record<string, Seen>>;
  readonly files: readonly ServedFile[];
  /** Path → SHA-256 of files that are published, and are not whole here. */
  readonly digests: ReadonlyMap<string, string>;
  /** Paths of files that are published, and of which nothing says what they had. */
  readonly unknown: readonly string[];
}

/** @param work a new directory */
export async function remembered(
  layout: Layout,
  definition: DownloadsDefinition,
  { snapshot, tree }: { readonly snapshot: string; readonly tree: string },
  signer: Signer,
  work: string,
): Promise<Remembered> {
  const { id, sums } = definition;
  const seen: Record<string, Seen> = { ...(await olderDownloads(layout, id, snapshot)) };
  const files: ServedFile[] = [];
  const digests = new Map<string, string>();
  const signed = await signedDigests(join(tree, sums), signer, work);
  for (const file of definition.files) {
    const digest = signed.get(file.path);
    if (digest === undefined) continue;
    const found = await asPublished(join(tree, file.path), digest, 'method' in file);
    if (found !== undefined) {
      seen[sourceKey(file)] = found;
      files.push({ path: file.path, url: file.url, ...found });
    } else if (!('method' in file)) digests.set(file.path, digest);
  }
  const isKnown = (file: DownloadsDefinition['files'][number]): boolean =>
    file.sha256 !== undefined || seen[sourceKey(file)] !== undefined || digests.has(file.path);
  const unknown = definition.files.filter((file) => !isKnown(file) && (signed.has(file.path) || existsSync(join(tree, file.path))));
  return { seen, files, digests, unknown: unknown.map(({ path }) => path) };
}

/** What is known of packages that lists name with a URL, and that are not here: `seen` as a record has it. */
export interface ListsMemory {
  readonly seen: Readonly<Record<string, SeenFile>>;
  /** What is to be told of each of which nothing says what it had. */
  readonly lost: readonly Problem[];
}

/**
 * @param before what is published
 * @param wanted what is asked for by its URL and is not here; lost bytes of what is published are of one version with it
 */
export async function listsMemory(
  layout: Layout,
  { id, keys }: Pick<ListsDefinition, 'id' | 'keys'>,
  published: Pick<Published, 'snapshot' | 'record'> | undefined,
  before: readonly ListedPackage[],
  wanted: readonly AskedByUrl[],
): Promise<ListsMemory> {
  if (published === undefined) return { seen: {}, lost: [] };
  const known = published.record === undefined ? await olderLists(layout, id, published.snapshot) : (published.record.seen ?? {});
  const listed = new Map(before.map((item) => [askedName(item), item]));
  const again = wanted.flatMap((one): readonly (readonly [string, SeenFile])[] => {
    const { checksum, size } = listed.get(askedName(one)) ?? {};
    return checksum?.algorithm === 'sha256' && size !== undefined ? [[one.url, { sha256: checksum.hex, size }]] : [];
  });
  const seen = { ...known, ...Object.fromEntries(again) };
  // Where keys are declared, a signature says that a package is its makers'.
  const open =
    known !== undefined || keys !== undefined ? [] : wanted.filter(({ url, sha256 }) => sha256 === undefined && seen[url] === undefined);
  const record = layout.record(id, published.snapshot, 'json');
  return { seen, lost: open.map(({ file, url, list, line }) => firstSightLost(file, url, record, `${list} line ${line}: ${file}`)) };
}

/** @param what begins the message: what is served */
export function firstSightLost(path: string, url: string | undefined, record: string, what: string): Problem {
  return {
    path,
    ...(url === undefined ? {} : { url }),
    code: 'FIRST_SIGHT_LOST',
    message: `${what} was taken as its address has it now: what it had at first sight is not known any more, since ${record} cannot be read, and no older record and no signed digest says it`,
    remedy:
      'Compare it with what its makers publish, or with a backup, and record its digest in the file of digests of the declaration. The next run takes it as it is.',
    exitCode: ExitCode.untrusted,
  };
}

async function olderDownloads(layout: Layout, id: string, snapshot: string): Promise<Readonly<Record<string, Seen>>> {
  for (const older of await olderThan(layout, id, snapshot)) {
    const manifest = await readManifest(layout.record(id, older, 'tree'));
    if (manifest?.downloads !== undefined) return manifest.downloads.seen;
  }
  return {};
}

/** Undefined where none can be read. */
async function olderLists(layout: Layout, id: string, snapshot: string): Promise<SnapshotRecord['seen']> {
  for (const older of await olderThan(layout, id, snapshot)) {
    const record = readRecord(layout, id, older);
    if (record !== undefined) return record.seen ?? {};
  }
  return undefined;
}

async function olderThan(layout: Layout, id: string, snapshot: string): Promise<readonly string[]> {
  return (await snapshotsOf(layout, id)).filter((name) => name < snapshot).reverse();
}

/** Path → SHA-256 as `sums` has them; nothing where one of the mirror's keys of today did not sign it. */
async function signedDigests(sums: string, { identity }: Signer, work: string): Promise<ReadonlyMap<string, string>> {
  if (!existsSync(sums) || !existsSync(`${sums}.asc`)) return new Map();
  await mkdir(work, { recursive: true });
  const path = join(work, 'own.asc');
  await writeFile(path, identity.publicKeys);
  const ring = await buildKeyRing(
    identity.fingerprints.map((fingerprint) => ({ path, fingerprint })),
    join(work, 'ring'),
  );
  const { verdict } = await verifyDetached(ring, `${sums}.asc`, sums);
  return verdict === 'good' ? parseDigests(await readFile(sums), sums) : new Map();
}

/** The file at `path`, where it is whole; of an archive that the mirror made, with what is compressed in it. */
async function asPublished(path: string, digest: string, isMade: boolean): Promise<Seen | undefined> {
  try {
    if ((await fileDigest(path, 'sha256')) !== digest) return undefined;
    const { size } = statSync(path);
    return { sha256: digest, size, ...(isMade ? { tar: await tarDigest(path) } : {}) };
  } catch (error) {
    if (isAbsent(error) || error instanceof MirrorError) return undefined;
    throw error;
  }
}

async function tarDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of decompressed(path, path, undefined)) hash.update(chunk);
  return hash.digest('hex');
}
