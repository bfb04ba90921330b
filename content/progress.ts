import type { Bar } from './progress-bar';

/** Lines for people, on standard error; in a unit they go to the journal. */
export type Say = (line: string) => void;

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

function unitOf(bytes: number): number {
  return bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
}

function inUnit(bytes: number, unit: number): string {
  return unit === 0 ? String(bytes) : (bytes / 1024 ** unit).toFixed(1);
}

/** `9.8 GiB`. */
export function size(bytes: number): string {
  return `${inUnit(bytes, unitOf(bytes))} ${UNITS[unitOf(bytes)]}`;
}

/** `1.2 of 9.8 GiB`: both in the unit of the larger. */
export function sizeOf(done: number, total: number): string {
  const unit = unitOf(total);
  return `${inUnit(done, unit)} of ${inUnit(total, unit)} ${UNITS[unit]}`;
}

/** `45 s`, `12 min`, `3 h 20 min`. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How far downloads are, all of them together. */
export interface Standing {
  readonly files: number;
  readonly totalFiles: number;
  readonly bytes: number;
  readonly totalBytes: number;
  /** Bytes a second of late. */
  readonly rate: number;
}

/** `epel-7, centos-7-os: 310 of 4,100 files, 0.2 of 9.8 GiB, 11.2 MiB/s, 15 min left`. */
export function standingText(ids: readonly string[], { files, totalFiles, bytes, totalBytes, rate }: Standing): string {
  const who = ids.length <= MAX_NAMED ? ids.join(', ') : `${ids.length} repositories`;
  const speed = rate < 1 ? [] : [`${size(rate)}/s`, `${duration((totalBytes - bytes) / rate)} left`];
  return `${who}: ${[`${files} of ${totalFiles} files`, sizeOf(bytes, totalBytes), ...speed].join(', ')}`;
}

const MAX_NAMED = 3;
const EVERY = 5000;
/** The rate is that of so many looks. */
const LOOKS = 6;

/** What is downloaded now in this process: one bar, or one line every few seconds, for all repositories together. */
class Board {
  private readonly running = new Set<Progress>();
  private readonly looks: { readonly at: number; readonly bytes: number }[] = [];
  private timer: NodeJS.Timeout | undefined;
  private bar: Bar | undefined;
  /** Of repositories that are done, since the rate must not fall when one leaves. */
  private left = { files: 0, bytes: 0 };

  begin(progress: Progress): void {
    this.running.add(progress);
    this.timer ??= setInterval(() => this.look(progress.say), progress.everyMilliseconds).unref();
    if (process.stderr.isTTY) void this.draw();
  }

  end(progress: Progress): void {
    if (!this.running.delete(progress)) return;
    this.left = { files: this.left.files + progress.totalFiles, bytes: this.left.bytes + progress.totalBytes };
    if (this.running.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.looks.length = 0;
    this.left = { files: 0, bytes: 0 };
    this.bar?.stop();
    this.bar = undefined;
  }

  /** Writes a line where no bar is in its way. */
  write(stream: NodeJS.WriteStream, text: string): void {
    this.bar?.clear();
    stream.write(text);
    this.bar?.update(this.standing());
  }

  private standing(): Standing {
    const sum = (of: (progress: Progress) => number): number => [...this.running].reduce((total, one) => total + of(one), 0);
    const bytes = this.left.bytes + sum((one) => one.bytes);
    const [first] = this.looks;
    const seconds = first === undefined ? 0 : (Date.now() - first.at) / 1000;
    return {
      files: this.left.files + sum((one) => one.files),
      totalFiles: this.left.files + sum((one) => one.totalFiles),
      bytes,
      totalBytes: this.left.bytes + sum((one) => one.totalBytes),
      rate: first === undefined || seconds <= 0 ? 0 : Math.max(0, bytes - first.bytes) / seconds,
    };
  }

  private look(say: Say): void {
    const standing = this.standing();
    if (this.bar !== undefined) this.bar.update(standing);
    else if (!process.stderr.isTTY) {
      const ids = [...this.running].map(({ id }) => id).sort();
      say(standingText(ids, standing));
    }
    this.looks.push({ at: Date.now(), bytes: standing.bytes });
    if (this.looks.length > LOOKS) this.looks.shift();
  }

  private async draw(): Promise<void> {
    const { Bar } = await import('./progress-bar');
    if (this.running.size > 0) this.bar ??= new Bar(this.standing());
  }
}

const board = new Board();

/** Writes a line for people, above the progress bar if there is one. */
export function writeLine(stream: NodeJS.WriteStream, line: string): void {
  board.write(stream, `${line}\n`);
}

/** How far the download of one repository is. Short ones say nothing. */
export class Progress {
  files = 0;
  bytes = 0;

  constructor(
    readonly id: string,
    readonly totalFiles: number,
    readonly totalBytes: number,
    readonly say: Say,
    readonly everyMilliseconds = process.stderr.isTTY ? 250 : EVERY,
  ) {
    if (totalFiles > 0) board.begin(this);
  }

  fileDone(): void {
    this.files++;
  }

  addBytes(count: number): void {
    this.bytes += count;
  }

  stop(): void {
    board.end(this);
  }
}
