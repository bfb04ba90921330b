/** Brings one file from one place, verified, to where it waits for its proof. */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { DownloadError } from '../downloads/errors';
import { downloadVerified, wrongDigest } from '../downloads/file';
import { makeArchive } from '../downloads/made-archive';
import type { RetryOptions } from '../downloads/sources';
import { decompressed } from '../rpm-metadata/decompress';
import { requireArchive, requireIdentity } from './judge';
import type { Offer } from './places';
import type { Requirement } from './requirement';
import type { Servers } from './servers';
import type { Wanted } from './wanted';
import { proxyFor } from './web';
import type { Workspace } from './workspace';

/** No file of a list comes near this. */
const MAX_FILE_BYTES = 16 * 1024 ** 3;

export interface FetchOptions {
  readonly workspace: Workspace;
  readonly servers: Servers;
  readonly retry: RetryOptions;
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
  /** The digest of the uncompressed tar of an archive that is made, where it is recorded. */
  readonly recordedTar: string | undefined;
}

export interface Fetched {
  readonly url: string;
  readonly sha256: string;
  readonly size: number;
  /** Digest of the uncompressed tar of an archive that was made. */
  readonly tar?: string;
}

/** @throws DownloadError that names the URL and says why */
export async function fetchOffer(wanted: Wanted, offer: Offer, requirement: Requirement, options: FetchOptions): Promise<Fetched> {
  const { workspace, servers, retry, onBytes, signal, recordedTar } = options;
  const path = workspace.partial(wanted.path);
  if (offer.make !== undefined) return make(wanted, offer, requirement, path, options);
  const { checksum, size, says } = requirement;
  let last = '';
  const done = await servers.watch(offer.sources, retry, async (source, comes) => {
    const onData = (count: number): void => {
      comes();
      onBytes(count);
    };
    last = source + offer.href;
    const expected = { algorithm: checksum?.algorithm ?? 'sha256', hex: checksum?.hex, size, maxBytes: MAX_FILE_BYTES, says };
    const got = await downloadVerified(offer.client, last, path, expected, onData, signal);
    if (checksum === undefined) await requireArchive(wanted, path, last);
    requireIdentity(wanted, path, last);
    if (wanted.made === undefined || (recordedTar === undefined && checksum !== undefined)) return got;
    return { ...got, tar: await requireTar(path, last, recordedTar) };
  });
  return { ...done, url: last };
}

/** SHA-256 of the tar in a file that somebody else made. Throws where another one is recorded. */
async function requireTar(path: string, url: string, recorded: string | undefined): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of decompressed(path, url, undefined)) hash.update(chunk);
  const tar = hash.digest('hex');
  if (recorded === undefined || tar === recorded) return tar;
  rmSync(path, { force: true });
  throw wrongTar(url, tar, recorded);
}

function wrongTar(url: string, tar: string, recorded: string): DownloadError {
  return wrongDigest(url, tar, { algorithm: 'sha256', hex: recorded }, 'of the tar of which is recorded');
}

/** Archives that upstream does not have: by git, or of a list of files. */
async function make(
  wanted: Wanted,
  { make: source, client }: Offer,
  requirement: Requirement,
  path: string,
  options: FetchOptions,
): Promise<Fetched> {
  if (source === undefined) throw new Error(`${wanted.name} is made of nothing`);
  const { workspace, retry, signal, recordedTar } = options;
  const work = workspace.private('making', wanted.name);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const proxy = proxyFor(source.url.startsWith('https:') ? 'https' : 'http', process.env);
    const made = await makeArchive(client, source, wanted.name, path, { work, retry, proxy, signal });
    if (recordedTar !== undefined && made.tar !== recordedTar) throw wrongTar(source.url, made.tar, recordedTar);
    // What compresses differs from machine to machine: the mirror's file is another one with the same content, which only its tar could prove.
    if (recordedTar === undefined && requirement.checksum !== undefined && requirement.checksum.hex !== made.sha256)
      throw new DownloadError({
        kind: 'corrupt',
        message: `${wanted.name}, made of ${source.url}, has the sha256 ${made.sha256}; ${requirement.says} ${requirement.checksum.hex}`,
        remedy: 'It may be compressed differently: record the digest of its tar beside the list, or take it from the mirror.',
      });
    return { url: source.url, ...made };
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
