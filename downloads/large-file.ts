import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { DownloadError } from './errors';
import { type Downloaded, type Expectation, Hashes, verified } from './file';
import type { Answer, HttpClient } from './http';
import { Writer } from './writer';

/** From this size on a beginning is kept for the next attempt and the next run: below it another request costs more than it saves. */
export const KEPT = 8 * 1024 * 1024;
/** A connection that was cut is continued at once so often, as long as each brought something. */
const MAX_CUTS = 10;
const PROGRESS = 256 * 1024;

/** Whose beginning it is. In `<path>.part.json`. */
interface Note {
  readonly url: string;
  /** What the server called this version of the file: a strong ETag, else the date of its last change. */
  readonly validator: string | undefined;
}

/**
 * Streams `url` to `path.part`, and moves it to `path` when size and checksum are right. A beginning that an earlier attempt or run left is
 * continued where the server has the same file still; where it answers anything else, or it is a server that knows no ranges, it starts over.
 * The checksum decides in the end.
 */
export async function downloadLarge(
  client: HttpClient,
  url: string,
  path: string,
  expected: Expectation,
  onBytes: (count: number) => void,
  signal: AbortSignal | undefined,
): Promise<Downloaded> {
  const part = await Part.open(path, expected, onBytes);
  try {
    for (let cuts = 0; part.received !== expected.size; cuts++) {
      const before = part.received;
      try {
        await part.receive(client, url, signal);
        break;
      } catch (error) {
        if (!(error instanceof DownloadError)) throw error;
        if (before > 0 && part.received === before && (error.code === 'RANGE_WRONG' || error.status === 416)) {
          await part.startOver();
          continue;
        }
        const goesOn = error.kind === 'transient' && error.status === undefined && part.received - before >= PROGRESS;
        if (!goesOn || cuts >= MAX_CUTS || signal?.aborted === true) throw error;
      }
    }
    const done = verified(url, part.hashes, part.received, expected);
    await part.finish();
    return done;
  } catch (error) {
    await part.leave(error);
    throw error;
  }
}

/** The beginning of a file, with the state of its checksums. */
class Part {
  hashes: Hashes;
  received = 0;
  private writer: Writer;
  private note: Note | undefined;
  private noted = false;

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    private readonly expected: Expectation,
    private readonly onBytes: (count: number) => void,
  ) {
    this.hashes = new Hashes(expected.algorithm);
    this.writer = new Writer(file, 0);
  }

  static async open(path: string, expected: Expectation, onBytes: (count: number) => void): Promise<Part> {
    const part = `${path}.part`;
    const note = await readNote(`${part}.json`);
    const found = note === undefined ? undefined : await stat(part).catch(() => undefined);
    if (found === undefined || found.size === 0 || found.size > (expected.size ?? expected.maxBytes)) {
      await rm(`${part}.json`, { force: true });
      return new Part(path, await open(part, 'w', 0o600), expected, onBytes);
    }
    const self = new Part(path, await open(part, 'r+'), expected, onBytes);
    self.note = note;
    self.noted = true;
    try {
      for await (const chunk of createReadStream(part) as AsyncIterable<Buffer>) self.count(chunk);
    } catch (error) {
      await self.file.close();
      throw error;
    }
    self.writer = new Writer(self.file, self.received);
    return self;
  }

  async receive(client: HttpClient, url: string, signal: AbortSignal | undefined): Promise<void> {
    const offset = this.received;
    const { expected } = this;
    const same = this.note?.url === url ? this.note.validator : undefined;
    // Another source has the same bytes, or the checksum will tell; without a size or a checksum nobody would notice another file.
    if (offset > 0 && same === undefined && (expected.size === undefined || expected.hex === undefined)) await this.startOver();
    let starting: Promise<void> | undefined;
    const options = {
      maxBytes: expected.size ?? expected.maxBytes,
      ...(this.received === 0 ? {} : { from: { offset: this.received, validator: same, total: expected.size } }),
      ...(signal === undefined ? {} : { signal }),
      onStart: (answer: Answer): Promise<void> | undefined => {
        this.note = { url, validator: validatorOf(answer) };
        this.noted &&= answer.status === 206;
        if (answer.status === 206 || this.received === 0) return undefined;
        starting = this.startOver();
        return starting;
      },
    };
    try {
      await client.get(url, options, (chunk) => {
        this.count(chunk);
        const written = this.writer.push(chunk);
        if (this.noted || this.received < KEPT) return written;
        this.noted = true;
        return Promise.all([written, this.writeNote()]);
      });
    } finally {
      await starting;
      await this.writer.drain();
    }
  }

  /** Forgets what there is. */
  async startOver(): Promise<void> {
    await this.writer.drain();
    this.onBytes(-this.received);
    this.received = 0;
    this.hashes = new Hashes(this.expected.algorithm);
    this.noted = false;
    await this.file.truncate(0);
    this.writer = new Writer(this.file, 0);
  }

  async finish(): Promise<void> {
    await this.file.chmod(0o444);
    await this.file.close();
    await rename(`${this.path}.part`, this.path);
    await rm(`${this.path}.part.json`, { force: true });
  }

  /** Keeps what is worth it, unless it is wrong. */
  async leave(error: unknown): Promise<void> {
    this.onBytes(-this.received);
    await this.file.close().catch(() => undefined);
    const wrong = error instanceof DownloadError && (error.kind === 'corrupt' || error.code === 'BODY_TOO_LONG');
    if (this.noted && !wrong) return;
    await rm(`${this.path}.part`, { force: true });
    await rm(`${this.path}.part.json`, { force: true });
  }

  private count(chunk: Buffer): void {
    this.hashes.update(chunk);
    this.received += chunk.length;
    this.onBytes(chunk.length);
  }

  private async writeNote(): Promise<void> {
    await writeFile(`${this.path}.part.json`, `${JSON.stringify(this.note)}\n`);
  }
}

/** A weak ETag says that two files mean the same, not that their bytes are equal. */
function validatorOf({ etag, lastModified }: Answer): string | undefined {
  return etag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(etag) ? etag : lastModified;
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    const { url, validator } = JSON.parse(await readFile(path, 'utf8')) as { url?: unknown; validator?: unknown };
    return typeof url === 'string' ? { url, validator: typeof validator === 'string' ? validator : undefined } : undefined;
  } catch {
    // Absent or damaged: the beginning is not continued.
    return undefined;
  }
}
