import type { FileHandle } from 'node:fs/promises';

/** So much may wait for the disk before the sender has to. */
const WAITING = 1024 * 1024;

/** Writes chunks behind one another, while the next ones come. */
export class Writer {
  private queue: Buffer[] = [];
  private waiting = 0;
  private running: Promise<void> | undefined;
  private error: unknown;

  constructor(
    private readonly file: FileHandle,
    private position: number,
  ) {}

  /** A promise when the sender should wait. Throws what an earlier write failed with. */
  push(chunk: Buffer): Promise<void> | undefined {
    if (this.error !== undefined) throw this.error as Error;
    this.queue.push(chunk);
    this.waiting += chunk.length;
    this.running ??= this.run();
    return this.waiting > WAITING ? this.drain() : undefined;
  }

  /** Resolves when everything is written. */
  async drain(): Promise<void> {
    await this.running;
    if (this.error !== undefined) throw this.error as Error;
  }

  private async run(): Promise<void> {
    try {
      while (this.queue.length > 0) {
        const bytes = this.queue.length === 1 ? (this.queue[0] as Buffer) : Buffer.concat(this.queue);
        this.queue = [];
        for (let rest = bytes; rest.length > 0;) {
          const { bytesWritten } = await this.file.write(rest, 0, rest.length, this.position);
          this.position += bytesWritten;
          rest = rest.subarray(bytesWritten);
        }
        this.waiting -= bytes.length;
      }
    } catch (error) {
      this.error = error;
    }
    this.running = undefined;
  }
}
