import { CommanderError } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';

/** Runs a program to its end: what a user did wrong is told without a stack, and the exit code says what it was. Commander has told its own errors by then. */
export function runProgram(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    else if (error instanceof MirrorError) {
      process.stderr.write(`${error.describe()}\n`);
      process.exitCode = error.exitCode;
    } else throw error;
  });
}

/** A signal ends the program by `exit`, where what it made is removed. */
export function exitOnSignals(): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => process.exit(code));
}
