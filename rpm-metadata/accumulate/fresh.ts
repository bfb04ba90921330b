import { type FileHandle, open } from 'node:fs/promises';
import { GrowingU32 } from './growing';
import { gzipMember } from './gzip';
import { type FileColumns, FULL_MEMBER, type Member } from './members';

/** Members under way at a time. */
const AHEAD = 2;
const LINE_FEED = 0x0a;

/** Gathers fragments into new members, compressed and written to a temporary file while the next ones arrive. */
export class FreshMembers {
  private readonly rows = new GrowingU32();
  private readonly lengths = new GrowingU32();
  private readonly prints = new GrowingU32();
  private readonly members: Member[] = [];
  private buffer: Buffer = Buffer.allocUnsafeSlow(0);
  /** Used again: a new one for each member would be garbage until much of it has gathered. */
  private readonly spare: Buffer[] = [];
  private filled = 0;
  private count = 0;
  private readonly compressing: Promise<{ readonly bytes: Buffer; readonly count: number; readonly open: number }>[] = [];

  private constructor(
    readonly file: FileHandle,
    readonly path: string,
    private readonly full: number,
  ) {}

  static async create(path: string, full = FULL_MEMBER): Promise<FreshMembers> {
    return new FreshMembers(await open(path, 'wx+', 0o600), path, full);
  }

  /** Takes a fragment (it is copied); `print` is the fingerprint of what upstream wrote. */
  add(row: number, fragment: Uint8Array, print: number): void {
    const length = fragment.length + 1;
    if (this.filled + length > this.buffer.length) {
      if (this.filled > 0) this.seal();
      this.buffer = (length <= this.full ? this.spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(Math.max(this.full, length));
    }
    this.buffer.set(fragment, this.filled);
    this.buffer[this.filled + fragment.length] = LINE_FEED;
    this.filled += length;
    this.count++;
    this.rows.push(row);
    this.lengths.push(length);
    this.prints.push(print);
  }

  /** To be awaited between pieces of input, or memory would grow. */
  async drain(ahead = AHEAD): Promise<void> {
    while (this.compressing.length > ahead) {
      const { bytes, count, open: length } = await (this.compressing.shift() as (typeof this.compressing)[number]);
      await writeAll(this.file, bytes);
      this.members.push({ count, size: bytes.length, open: length });
    }
  }

  async finish(): Promise<FileColumns> {
    if (this.filled > 0) this.seal();
    this.buffer = Buffer.allocUnsafeSlow(0);
    await this.drain(0);
    this.spare.length = 0;
    return { rows: this.rows.view(), lengths: this.lengths.view(), prints: this.prints.view(), members: this.members };
  }

  private seal(): void {
    const { buffer, count, filled } = this;
    const work = gzipMember(buffer.subarray(0, filled)).then((bytes) => {
      if (buffer.length === this.full) this.spare.push(buffer);
      return { bytes, count, open: filled };
    });
    work.catch(() => undefined);
    this.compressing.push(work);
    this.count = 0;
    this.filled = 0;
    this.buffer = Buffer.allocUnsafeSlow(0);
  }
}

/** `FileHandle.write` may write less than it was given. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
}
