import { SingleBar } from 'cli-progress';
import { duration, size, sizeOf, type Standing } from './progress';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** One line at the bottom of a terminal: what is downloaded, of all repositories together. */
export class Bar {
  private readonly bar: SingleBar;
  /** A signal ends the program as ever, but not with a hidden cursor and lines that do not wrap. */
  private readonly onSignal = (signal: NodeJS.Signals): void => {
    this.stop();
    process.kill(process.pid, signal);
  };

  constructor(standing: Standing) {
    this.bar = new SingleBar({
      stream: process.stderr,
      format: '{bar} {percentage}%  {files} files, {amount}  {speed}',
      barsize: 24,
      barCompleteChar: '#',
      barIncompleteChar: '-',
      hideCursor: true,
      clearOnComplete: true,
      fps: 10,
      // A line was written over it.
      forceRedraw: true,
    });
    for (const signal of SIGNALS) process.once(signal, this.onSignal);
    this.bar.start(Math.max(1, standing.totalBytes), standing.bytes, payload(standing));
  }

  update(standing: Standing): void {
    this.bar.setTotal(Math.max(1, standing.totalBytes));
    this.bar.update(standing.bytes, payload(standing));
  }

  /** Leaves an empty line for what is to be written; the next update draws anew below it. */
  clear(): void {
    process.stderr.write('\r\x1b[K');
  }

  stop(): void {
    for (const signal of SIGNALS) process.off(signal, this.onSignal);
    this.bar.stop();
  }
}

function payload({ files, totalFiles, bytes, totalBytes, rate }: Standing): Record<string, string> {
  const speed = rate < 1 ? '' : `${size(rate)}/s, ${duration((totalBytes - bytes) / rate)} left`;
  return { files: `${files} of ${totalFiles}`, amount: sizeOf(bytes, totalBytes), speed };
}
