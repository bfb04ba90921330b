import { ExitCode, MirrorError } from '../../desired-state/errors';
import type { HostEvent, HostResult } from '../../desired-state/model';
import type { Connection, ExecResult } from '../../transport/connection';
import { complaint, parseEvent } from './remote';

/** How a mirror-host command ended: its result, or why there is no mirror-host that could run. */
export type HostOutcome = { readonly result: HostResult } | { readonly unavailable: string };

/**
 * Runs a mirror-host command as root. Progress goes to `tell`. Throws the error that mirror-host reported, as a MirrorError with its exit code.
 *
 * @param command the program and its arguments, or a shell script of root that runs it
 */
export async function runHostCommand(
  connection: Connection,
  command: readonly string[] | { readonly rootScript: string },
  input: string | Buffer,
  tell: (text: string) => void,
): Promise<HostOutcome> {
  let result: HostResult | undefined;
  let failure: Extract<HostEvent, { event: 'error' }> | undefined;
  let events = 0;
  const options = {
    stdin: input,
    onStdoutLine: (line: string): void => {
      const event = parseEvent(line);
      if (event === undefined) return;
      events += 1;
      if (event.event === 'progress') tell(event.text);
      else if (event.event === 'warning') tell(`warning: ${event.text}`);
      else if (event.event === 'error') failure = event;
      else result = event.result;
    },
  };
  const ended =
    'rootScript' in command ? await connection.runAsRoot(command.rootScript, options) : await connection.runProgramAsRoot(command, options);
  // A directory of programs that is not whole is as good as none.
  if (failure?.code === 'PROGRAMS_MISSING') return { unavailable: failure.message };
  if (failure !== undefined) throw reported(failure);
  if (ended.exitCode === 0 && result !== undefined) return { result };
  // From 128 on a signal ended it.
  if (events === 0 && ended.exitCode !== null && ended.exitCode !== 0 && ended.exitCode < 128) return { unavailable: complaint(ended) };
  throw died(connection, ended);
}

function reported(event: Extract<HostEvent, { event: 'error' }>): MirrorError {
  const exitCode = Object.values(ExitCode).find((code) => code === event.exitCode) ?? ExitCode.internal;
  return new MirrorError({ code: event.code, message: event.message, remedy: event.remedy, exitCode });
}

function died(connection: Connection, ended: ExecResult): MirrorError {
  const how = ended.signal === null ? `exit code ${ended.exitCode}` : `signal ${ended.signal}`;
  return new MirrorError({
    code: 'HOST_PROGRAM_DIED',
    message: `mirror-host on ${connection.endpoint.address} ended without a result (${how}): ${complaint(ended)}`,
    remedy: 'The server takes back what was not finished by itself. Deploy again. If it repeats, see `journalctl` and `dmesg` there.',
    exitCode: ended.exitCode === ExitCode.usage ? ExitCode.invalid : ExitCode.internal,
  });
}
