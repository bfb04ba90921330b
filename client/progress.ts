/** What is under way: a bar on a terminal, a line now and then elsewhere. */
import { SingleBar } from 'cli-progress';
import { sizeOf } from './report';

/** Milliseconds between lines where there is no terminal. */
const EVERY = 10_000;

export class Progress {
  private files = 0;
  private bytes = 0;
  private total = 0;
  private last = Date.now();
  private bar: SingleBar | undefined;

  /** @param stream where it goes; undefined: nowhere */
  constructor(private readonly stream: NodeJS.WriteStream | undefined) {}

  readonly start = (files: number): void => {
    this.total = files;
    if (files === 0 || this.stream?.isTTY !== true) return;
    this.bar = new SingleBar({
      stream: this.stream,
      format: '{bar} {percentage}%  {value} of {total} files, {amount}',
      barsize: 24,
      barCompleteChar: '#',
      barIncompleteChar: '-',
      hideCursor: true,
      clearOnComplete: true,
      fps: 10,
    });
    this.bar.start(files, 0, { amount: sizeOf(0) });
  };

  readonly onBytes = (count: number): void => {
    this.bytes += count;
    this.show();
  };

  readonly onFile = (): void => {
    this.files++;
    this.show();
  };

  /** Leaves the terminal as it was. */
  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private show(): void {
    this.bar?.update(this.files, { amount: sizeOf(this.bytes) });
    if (this.bar !== undefined || this.stream === undefined || this.stream.isTTY || Date.now() - this.last < EVERY) return;
    this.last = Date.now();
    this.stream.write(`${this.files} of ${this.total} files, ${sizeOf(this.bytes)}\n`);
  }
}
