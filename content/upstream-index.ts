import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { isWaived, type RepositoryDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { DownloadError, isAbsent } from '../downloads/errors';
import { tooLong } from '../downloads/exchange';
import { getSmall, type HttpClient } from '../downloads/http';
import type { IndexDigest } from '../downloads/metalink';
import type { ResolvedSources } from '../downloads/mirror-lists';
import { type RetryOptions, type Sources, withFailover } from '../downloads/sources';
import { MAX_REPOMD_BYTES, parseRepomd, type Repomd } from '../rpm-metadata/repomd';
import { verifyDetached } from '../signatures/detached';
import { frozen, type IndexTime, refusedIndex, replayed } from './judge-index';
import type { PinnedRing } from './pinned-ring';
import type { Modules } from './rsync-modules';
import { isModule } from './rsync-source';

const MAX_SIGNATURE_BYTES = 256 * 1024;

/** `repomd.xml` with what belongs to it, from one source at one moment. */
export interface UpstreamIndex {
  /** Where `repomd.xml` was asked for. */
  readonly url: string;
  /** What it is below. */
  readonly base: string;
  readonly bytes: Buffer;
  readonly digest: string;
  /** `repomd.xml.asc` and `repomd.xml.key`, where upstream has them and the view or the trust has a use for them. */
  readonly signature: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly repomd: Repomd;
}

/** SHA-256 of each of its files. */
export interface KnownIndex {
  readonly repomd: string;
  readonly signature?: string | undefined;
  readonly key?: string | undefined;
}

export interface IndexRequest {
  readonly client: HttpClient;
  readonly sources: Sources;
  readonly modules: Modules;
  /** Of a source that a metalink names: the digests of which its index must have one. */
  readonly digests: ResolvedSources['digests'];
  readonly retry: RetryOptions;
  readonly definition: RepositoryDefinition;
  /** The pinned keys; undefined when metadata is not signed. */
  readonly ring: PinnedRing | undefined;
  /** What is published: nothing older is taken. */
  readonly published: IndexTime | undefined;
  readonly now: Date;
  /** What is published, where the same again ends the run. */
  readonly known: KnownIndex | undefined;
  /** For the files that gpgv reads. */
  readonly temporary: string;
}

/**
 * Fetches the index from the first source that has a good one; `unchanged` when that source has the known one, with the same signature. Its
 * bytes tell, not validators: by those, two versions of the same second and size are one. A signature that does not match is asked for
 * again, since upstream may have been between its two files.
 */
export async function fetchIndex(request: IndexRequest): Promise<UpstreamIndex | 'unchanged'> {
  return withFailover(request.sources, request.retry, async (source) => {
    const url = `${source}repodata/repomd.xml`;
    const files = await (isModule(source) ? fromModule(request, source) : fromWeb(request, url, request.digests.get(source)));
    const found = { ...files, signature: served(request, files.signature), key: served(request, files.key) };
    if (request.known !== undefined && isSameIndex(found, request.known)) return 'unchanged';
    const { bytes, signature, key } = found;
    await verify(request, url, bytes, signature);
    const repomd = parsed(bytes, url, isWaived(request.definition, 'weakChecksums'));
    judge(request, url, repomd);
    return { url, base: source, bytes, digest: sha256(bytes), signature, key, repomd };
  });
}

type Found = Pick<UpstreamIndex, 'bytes' | 'signature' | 'key'>;

/** Whether an index is one that was published before, and so is its signature: upstream may sign, or sign anew, what it published earlier. */
export function isSameIndex({ bytes, signature, key }: Found, known: KnownIndex): boolean {
  return known.repomd === sha256(bytes) && known.signature === digestOfOptional(signature) && known.key === digestOfOptional(key);
}

export function digestOfOptional(bytes: Buffer | undefined): string | undefined {
  return bytes === undefined ? undefined : sha256(bytes);
}

/** Whether anything becomes of upstream's signature: it is served with its index, or verified. */
function usesSignature({ view, trust }: RepositoryDefinition): boolean {
  return view === 'verbatim' || trust.mode === 'signedMetadata';
}

async function fromWeb({ client, definition }: IndexRequest, url: string, digests: readonly IndexDigest[] | undefined): Promise<Found> {
  // All at once: each after the other would take another round trip.
  const index = getSmall(client, url, { maxBytes: MAX_REPOMD_BYTES });
  const beside = Promise.all(usesSignature(definition) ? [optional(client, `${url}.asc`), optional(client, `${url}.key`)] : []);
  // Without the index nobody asks what became of them.
  beside.catch(() => undefined);
  const { bytes } = await index;
  requireListed(url, bytes, digests);
  const [signature, key] = await beside;
  return { bytes, signature, key };
}

/** A page that says "not found" with the status of success is no signature and no key. Where one is required, the verification says what it is. */
function served({ definition: { trust } }: IndexRequest, bytes: Buffer | undefined): Buffer | undefined {
  return bytes === undefined || trust.mode === 'signedMetadata' || isOpenPgp(bytes) ? bytes : undefined;
}

/** Armoured, or a packet (RFC 9580, 4.2: its first bit is set). */
function isOpenPgp(bytes: Buffer): boolean {
  return bytes.includes('-----BEGIN PGP ') || ((bytes[0] ?? 0) & 0x80) !== 0;
}

/** The three files come in one run. */
async function fromModule({ modules, definition }: IndexRequest, source: string): Promise<Found> {
  const path = 'repodata/repomd.xml';
  const wanted = usesSignature(definition) ? [path, `${path}.asc`, `${path}.key`] : [path];
  const files = await modules(source).small(wanted, MAX_REPOMD_BYTES);
  const url = source + path;
  const bytes = files.get(path);
  if (bytes === undefined)
    throw new DownloadError({ kind: 'missing', message: `${url} is not there, or has more than ${MAX_REPOMD_BYTES} bytes` });
  const [signature, key] = [files.get(`${path}.asc`), files.get(`${path}.key`)];
  if (Math.max(signature?.length ?? 0, key?.length ?? 0) > MAX_SIGNATURE_BYTES)
    throw tooLong(`${url}${(signature?.length ?? 0) > MAX_SIGNATURE_BYTES ? '.asc' : '.key'}`, MAX_SIGNATURE_BYTES, 'is longer');
  return { bytes, signature, key };
}

/** A mirror that a metalink names must have one of the versions that it lists: another one is behind, damaged or not to be trusted. */
function requireListed(url: string, bytes: Buffer, digests: readonly IndexDigest[] | undefined): void {
  if (digests === undefined) return;
  if (digests.some(({ algorithm, hex }) => createHash(algorithm).update(bytes).digest('hex') === hex)) return;
  throw new DownloadError({
    kind: 'corrupt',
    code: 'NOT_IN_METALINK',
    message: `${url} is none of the ${digests.length} versions that the metalink lists`,
    remedy: 'Nothing was changed. Other mirrors of the list are tried first; if all fail, the list and the mirrors are of different times.',
  });
}

/** A source whose index is too old is like one that refuses: another one may be up to date. */
function judge({ definition, published, now }: IndexRequest, url: string, repomd: Repomd): void {
  const refusal =
    (isWaived(definition, 'olderRevision') ? undefined : replayed(repomd, published, now)) ??
    (isWaived(definition, 'staleMetadata') ? undefined : frozen(repomd, definition.maxAgeDays, now));
  if (refusal !== undefined) throw refusedIndex(url, refusal);
}

async function verify(request: IndexRequest, url: string, bytes: Buffer, signature: Buffer | undefined): Promise<void> {
  if (request.definition.trust.mode !== 'signedMetadata' || request.ring === undefined) return;
  const refused = (code: string, message: string, kind: 'refused' | 'corrupt', remedy: string): DownloadError =>
    new DownloadError({ kind, code, message, remedy, exitCode: ExitCode.untrusted });
  if (signature === undefined) {
    throw refused(
      'SIGNATURE_MISSING',
      `${url}.asc is missing, and ${request.definition.id} is declared with signedMetadata`,
      'refused',
      'If upstream stopped signing metadata, declare signedPackages or digestsOnly.',
    );
  }
  const files = { data: join(request.temporary, 'repomd.xml'), signature: join(request.temporary, 'repomd.xml.asc') };
  await writeFile(files.data, bytes);
  await writeFile(files.signature, signature);
  const result = await verifyDetached(await request.ring(), files.signature, files.data);
  if (result.verdict === 'bad') {
    throw refused(
      'SIGNATURE_BAD',
      `${url}.asc: ${result.reason}`,
      'corrupt',
      'Nothing was changed. If it stays so, the upstream or a proxy in between changed one of the two files.',
    );
  }
  if (result.verdict === 'untrusted') {
    throw refused(
      'SIGNATURE_UNTRUSTED',
      `${url}.asc: ${result.reason}`,
      'refused',
      'Nothing was changed. If upstream has a new key, compare its fingerprint with what upstream publishes and pin it.',
    );
  }
}

/** A source with an unusable index is like one that refuses: another one may have a good one. */
function parsed(bytes: Buffer, url: string, weakChecksums: boolean): Repomd {
  try {
    return parseRepomd(bytes, url, { weakChecksums });
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw new DownloadError({
      kind: 'refused',
      code: error.code,
      message: error.message,
      remedy: error.remedy,
      exitCode: error.exitCode,
      cause: error,
    });
  }
}

async function optional(client: HttpClient, url: string): Promise<Buffer | undefined> {
  try {
    return (await getSmall(client, url, { maxBytes: MAX_SIGNATURE_BYTES })).bytes;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
