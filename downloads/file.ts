import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { DownloadError } from './errors';
import type { HttpClient } from './http';
import { downloadLarge } from './large-file';

/** What a file must be. */
export interface Expectation {
  /** A name of `node:crypto`: `sha256`, `sha512`, … */
  readonly algorithm: string;
  /** Undefined where nothing says it: what comes is taken, whole. */
  readonly hex: string | undefined;
  /** Bytes, where the metadata says so. */
  readonly size: number | undefined;
  /** The cap where no size is declared. */
  readonly maxBytes: number;
  /** How size and checksum are known, before the value, in what is told of others. @default "the metadata says" */
  readonly says?: string;
}

export interface Downloaded {
  readonly sha256: string;
  readonly size: number;
}

/** A file of this size is held in memory until it is verified, and then written at once. */
const IN_MEMORY = 1024 * 1024;
/** Files of this size may wait for one another on a connection. */
const SHARED = 64 * 1024;

/**
 * Brings `url` to `path` and verifies it: nothing is at `path` before size and checksum are right. The file is read-only. What is larger
 * than a megabyte passes through `path.part`, which is kept for the next attempt where it is large. Whoever finds a file at `path` after a crash has to look at it again, since nothing is flushed
 * here: the caller does so for many files at once.
 */
export async function downloadVerified(
  client: HttpClient,
  url: string,
  path: string,
  expected: Expectation,
  onBytes: (count: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Downloaded> {
  const { size } = expected;
  if (size === undefined || size > IN_MEMORY) return downloadLarge(client, url, path, expected, onBytes, signal);
  const done = await inMemory(client, url, path, { ...expected, size }, size <= SHARED, signal);
  onBytes(size);
  return done;
}

async function inMemory(
  client: HttpClient,
  url: string,
  path: string,
  expected: Expectation & { readonly size: number },
  shared: boolean,
  signal: AbortSignal | undefined,
): Promise<Downloaded> {
  const chunks: Buffer[] = [];
  let bytes: Buffer;
  let done: Downloaded;
  try {
    const options = { maxBytes: expected.size, shared, ...(signal === undefined ? {} : { signal }) };
    await client.get(url, options, (chunk) => void chunks.push(chunk));
    bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    const hashes = new Hashes(expected.algorithm);
    hashes.update(bytes);
    done = verified(url, hashes, bytes.length, expected);
  } catch (error) {
    if (!shared || !(error instanceof DownloadError) || error.kind === 'transient') throw error;
    // It may be the answer to another request on the same connection: what it asks for alone counts.
    const again = await inMemory(client, url, path, expected, false, signal);
    client.distrust(url);
    return again;
  }
  writeWhole(path, bytes);
  return done;
}

/** Throws when size or checksum are not as expected. */
export function verified(url: string, hashes: Hashes, size: number, expected: Expectation): Downloaded {
  const { algorithm, hex, says } = expected;
  if (expected.size !== undefined && size !== expected.size) throw wrongSize(url, size, expected.size, says);
  const { sha256, declared } = hashes.digests();
  if (hex !== undefined && declared !== hex) throw wrongDigest(url, declared, { algorithm, hex }, says);
  return { sha256, size };
}

/** In one go and not through the thread pool, which for a small file takes longer than the writing. */
function writeWhole(path: string, bytes: Buffer): void {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o444);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    rmSync(path);
    file = openSync(path, 'wx', 0o444);
  }
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(writeSync(file, rest));
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

const METADATA = 'the metadata says';

/** A file that has another size than the metadata says. */
export function wrongSize(url: string, found: number, declared: number, says = METADATA): DownloadError {
  return new DownloadError({ kind: 'corrupt', message: `${url} has ${found} bytes; ${says} ${declared}` });
}

/** A file that has another checksum than the metadata says. */
export function wrongDigest(
  url: string,
  found: string,
  declared: { readonly algorithm: string; readonly hex: string },
  says = METADATA,
): DownloadError {
  return new DownloadError({
    kind: 'corrupt',
    message: `${url} has the ${declared.algorithm} ${found}; ${says} ${declared.hex}`,
  });
}

/** SHA-256 always (the key of the store), and the declared algorithm where it is another one. */
export class Hashes {
  private readonly sha256 = createHash('sha256');
  private readonly other: Hash | undefined;

  constructor(algorithm: string) {
    this.other = algorithm === 'sha256' ? undefined : createHash(algorithm);
  }

  update(chunk: Uint8Array): void {
    this.sha256.update(chunk);
    this.other?.update(chunk);
  }

  digests(): { sha256: string; declared: string } {
    const sha256 = this.sha256.digest('hex');
    return { sha256, declared: this.other?.digest('hex') ?? sha256 };
  }
}
