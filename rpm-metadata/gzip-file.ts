import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** What repomd.xml says of a file: sizes in bytes, SHA-256 in hex, of the file and of what it holds. */
export interface WrittenMetadata {
  readonly size: number;
  readonly sha256: string;
  readonly openSize: number;
  readonly openSha256: string;
}

/** Writes text to a gzip file in a stream. The same text gives the same bytes. */
export async function writeGzip(path: string, text: AsyncIterable<string>): Promise<WrittenMetadata> {
  const open = new Measure();
  const packed = new Measure();
  await pipeline(Readable.from(inPieces(text)), open, createGzip({ level: 6 }), packed, createWriteStream(path));
  return { size: packed.bytes, sha256: packed.digest, openSize: open.bytes, openSha256: open.digest };
}

/** Few large buffers instead of many small strings. */
async function* inPieces(text: AsyncIterable<string>): AsyncGenerator<Buffer> {
  let parts: string[] = [];
  let length = 0;
  for await (const part of text) {
    parts.push(part);
    length += part.length;
    if (length < 64 * 1024) continue;
    yield Buffer.from(parts.join(''));
    parts = [];
    length = 0;
  }
  if (length > 0) yield Buffer.from(parts.join(''));
}

class Measure extends Transform {
  bytes = 0;
  private readonly hash = createHash('sha256');

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.bytes += chunk.length;
    this.hash.update(chunk);
    done(null, chunk);
  }

  get digest(): string {
    return this.hash.digest('hex');
  }
}
