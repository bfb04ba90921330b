import { ExitCode, MirrorError } from '../../desired-state/errors';

/** Runs a program: a MirrorError is printed on standard error with its remedy and becomes the exit code; anything else is a defect. */
export function runProgram(action: () => Promise<void>): void {
  action().then(
    () => (process.exitCode = ExitCode.ok),
    (thrown: unknown) => {
      const known = thrown instanceof MirrorError;
      const text = known ? thrown.describe() : `defect: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`;
      process.stderr.write(`error: ${text}\n`);
      process.exitCode = known ? thrown.exitCode : ExitCode.internal;
    },
  );
}
