/** What the command groups of mirrorctl share. */
import { InvalidArgumentError } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { writeLine } from './progress';

export interface GlobalOptions {
  readonly configuration: string;
  readonly state: string;
}

/** Then the signal does what it does. */
export function sayWhenInterrupted(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      warn(`mirrorctl: interrupted by ${signal}; what is served is whole, and the next run goes on from there`);
      process.kill(process.pid, signal);
    });
  }
}

export function wholeSeconds(text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a whole number of seconds, at most 9999999.');
}

export function usage(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'USAGE', message, remedy, exitCode: ExitCode.usage });
}

export function print(text: string): void {
  writeLine(process.stdout, text);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 1)}\n`);
}

export function warn(text: string): void {
  writeLine(process.stderr, text);
}
