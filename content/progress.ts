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

/** Says every few seconds how far a download is; nothing for short ones. */
export class Progress {
  private files = 0;
  private bytes = 0;
  private readonly timer: NodeJS.Timeout;

  constructor(id: string, totalFiles: number, totalBytes: number, say: Say, everyMilliseconds = 5000) {
    this.timer = setInterval(
      () => say(`${id}: ${this.files} of ${totalFiles} packages, ${sizeOf(this.bytes, totalBytes)}`),
      everyMilliseconds,
    );
    this.timer.unref();
  }

  fileDone(): void {
    this.files++;
  }

  addBytes(count: number): void {
    this.bytes += count;
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
