import { createHash, type Hash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { DownloadError } from './errors';
import type { HttpClient } from './http';

/** What a file must be. */
export interface Expectation {
  /** A name of `node:crypto`: `sha256`, `sha512`, … */
  readonly algorithm: string;
  readonly hex: string;
  /** Bytes, where the metadata says so. */
  readonly size: number | undefined;
  /** The cap where no size is declared. */
  readonly maxBytes: number;
}

export interface Downloaded {
  readonly sha256: string;
  readonly size: number;
}

/**
 * Streams `url` to `path` and verifies it: the file appears under its name only when size and checksum are right. `path.part` is
 * overwritten and removed on failure. The file is read-only.
 * Nothing is flushed: the caller does so for many files at once.
 */
export async function downloadVerified(
  client: HttpClient,
  url: string,
  path: string,
  expected: Expectation,
  onBytes: (count: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Downloaded> {
  const part = `${path}.part`;
  const file = await open(part, 'w', 0o444);
  let received = 0;
  try {
    const hashes = new Hashes(expected.algorithm);
    await client.get(url, { maxBytes: expected.size ?? expected.maxBytes, ...(signal === undefined ? {} : { signal }) }, async (chunk) => {
      hashes.update(chunk);
      received += chunk.length;
      onBytes(chunk.length);
      await writeAll(file, chunk);
    });
    const digests = hashes.digests();
    if (expected.size !== undefined && received !== expected.size) {
      throw wrongSize(url, received, expected.size);
    }
    if (digests.declared !== expected.hex) throw wrongDigest(url, digests.declared, expected);
    await file.close();
    await rename(part, path);
    return { sha256: digests.sha256, size: received };
  } catch (error) {
    onBytes(-received);
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw error;
  }
}

/** A file that has another size than the metadata says. */
export function wrongSize(url: string, found: number, declared: number): DownloadError {
  return new DownloadError({ kind: 'corrupt', message: `${url} has ${found} bytes; the metadata says ${declared}` });
}

/** A file that has another checksum than the metadata says. */
export function wrongDigest(url: string, found: string, declared: Pick<Expectation, 'algorithm' | 'hex'>): DownloadError {
  return new DownloadError({
    kind: 'corrupt',
    message: `${url} has the ${declared.algorithm} ${found}; the metadata says ${declared.hex}`,
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

async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Buffer): Promise<void> {
  for (let offset = 0; offset < chunk.length;) {
    const { bytesWritten } = await file.write(chunk, offset);
    offset += bytesWritten;
  }
}
