import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, link, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compressionOf, decompressed } from '../decompress';
import { gzipMember } from './gzip';
import type { PublishedRecord } from './index-file';

/** A metadata file beside the lists of packages: `updateinfo`, `group`, `modules`, `productid`, or one of a type that nobody knows. */
export interface ExtraRecord {
  readonly type: string;
  /** File name in `repodata/`; a checksum before it is replaced. Bytes for a name that ends in `.gz` are compressed. */
  readonly name: string;
  readonly from: { readonly path: string; readonly what: string } | { readonly bytes: Uint8Array };
}

/** Puts a record into the directory, named by its checksum: a local file is linked, or copied where that cannot be. */
export async function addRecord(directory: string, { type, name, from }: ExtraRecord, timestamp: number): Promise<PublishedRecord> {
  const plain = name.replace(/^[0-9a-f]{32,128}-/, '');
  if ('bytes' in from) {
    const compressed = plain.endsWith('.gz');
    const bytes = compressed ? await gzipMember(from.bytes) : from.bytes;
    const checksum = await digest([bytes]);
    const open = compressed ? { checksum: (await digest([from.bytes])).hex, size: from.bytes.length } : undefined;
    const record = { type, name: `${checksum.hex}-${plain}`, checksum: checksum.hex, size: bytes.length, open, timestamp };
    await writeFile(join(directory, record.name), bytes, { flag: 'wx', mode: 0o444 });
    return record;
  }
  const { hex, size } = await digest(createReadStream(from.path) as AsyncIterable<Uint8Array>);
  const open = (await compressionOf(from.path)) === 'none' ? undefined : await digest(decompressed(from.path, from.what, undefined));
  const target = join(directory, `${hex}-${plain}`);
  await link(from.path, target).catch(() => copyFile(from.path, target));
  if ((await stat(target)).size !== size) throw new Error(`${from.path} changed while it was read`);
  return {
    type,
    name: `${hex}-${plain}`,
    checksum: hex,
    size,
    open: open === undefined ? undefined : { checksum: open.hex, size: open.size },
    timestamp,
  };
}

async function digest(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<{ readonly hex: string; readonly size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of pieces) {
    hash.update(piece);
    size += piece.length;
  }
  return { hex: hash.digest('hex'), size };
}
