/** Splits a byte stream into lines without cutting characters in half. */
export class LineCollector {
  private readonly chunks: Buffer[] = [];
  private rest = Buffer.alloc(0);

  constructor(private readonly onLine: ((line: string) => void) | undefined) {}

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    if (this.onLine === undefined) return;
    let buffer = Buffer.concat([this.rest, chunk]);
    for (let end = buffer.indexOf(10); end >= 0; end = buffer.indexOf(10)) {
      this.onLine(buffer.subarray(0, end).toString('utf8').replace(/\r$/, ''));
      buffer = buffer.subarray(end + 1);
    }
    this.rest = buffer;
  }

  end(): string {
    if (this.rest.length > 0) this.onLine?.(this.rest.toString('utf8'));
    return Buffer.concat(this.chunks).toString('utf8');
  }
}

/** Bytes that a login may print before our command: banners, a shell's start-up files. */
const MOST_NOISE = 256 * 1024;

/**
 * Takes away what is printed before a marker line, so that noise, with or without a line end, never mixes with a command's own output.
 */
export class StartMarker {
  private before = Buffer.alloc(0);
  started = false;

  constructor(
    private readonly marker: string,
    private readonly onStart: () => void,
  ) {}

  /** The part of a chunk that is the command's own. */
  pass(chunk: Buffer): Buffer {
    if (this.started) return chunk;
    this.before = Buffer.concat([this.before, chunk]);
    const line = Buffer.from(`${this.marker}\n`);
    const at = this.before.indexOf(line);
    if (at < 0) return Buffer.alloc(0);
    this.started = true;
    this.onStart();
    const own = this.before.subarray(at + line.length);
    this.before = this.before.subarray(0, at);
    return own;
  }

  /** More came than any login prints: something else than our command runs. */
  get flooded(): boolean {
    return !this.started && this.before.length > MOST_NOISE;
  }

  /** What came before the marker, or instead of it. */
  get noise(): string {
    return this.before.subarray(0, 4096).toString('utf8');
  }
}
