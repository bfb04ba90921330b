/** Digests of what is at the URLs of lines: fetched whole, and written into the file that is reviewed. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { tarName } from '../../desired-state/archives';
import type { HttpClient } from '../../downloads/http';
import { makeArchive } from '../../downloads/made-archive';
import type { Request } from './types';

/** No package and no tarball is longer. Bytes. */
const MAX_BYTES = 64 * 1024 ** 3;

/** The name under which the digest of a request is recorded; undefined where none is: packages of repositories have theirs in metadata. */
export function recordedName(request: Request): string | undefined {
  if (request.kind === 'package') return request.asked.url === undefined ? undefined : request.asked.file;
  return 'method' in request.wanted ? tarName(request.wanted.path) : request.wanted.path;
}

/** The digest that is declared for it. */
export function recordedDigest(request: Request): string | undefined {
  return request.kind === 'package' ? request.asked.sha256 : request.wanted.sha256;
}

/** SHA-256 (hex) of what is there now; of an archive that the mirror makes, of its uncompressed tar. */
export async function digestNow(client: HttpClient, request: Request, temporary: string): Promise<string> {
  if (request.kind === 'package' || !('method' in request.wanted)) {
    const url = request.kind === 'package' ? (request.asked.url as string) : request.wanted.url;
    const hash = createHash('sha256');
    await client.get(url, { maxBytes: MAX_BYTES }, (chunk) => void hash.update(chunk));
    return hash.digest('hex');
  }
  const { wanted } = request;
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(join(temporary, 'archive-'));
  try {
    const work = join(directory, 'work');
    await mkdir(work);
    const { tar } = await makeArchive(client, wanted, basename(wanted.path), join(directory, basename(wanted.path)), { work, retry: {} });
    return tar;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * A file of digests with some more, each in the place where a sorted file has it; all other lines stay as they are. Pure.
 *
 * @param digests name → SHA-256
 */
export function withDigests(text: string, digests: ReadonlyMap<string, string>): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  for (const [name, digest] of digests) {
    const after = lines.findIndex((line) => /^[0-9a-f]{64} [ *]/.test(line) && line.slice(66) > name);
    lines.splice(after < 0 ? lines.length : after, 0, `${digest}  ${name}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}
