import { ExitCode, MirrorError } from '../../desired-state/errors';
import type { HostEvent } from '../../desired-state/model';
import type { Connection, ExecResult } from '../../transport/connection';
import { complaint, parseEvent } from './remote';

type Result = Extract<HostEvent, { event: 'result' }>['result'];

/** How a mirror-host command ended: its result, or the exit code of the script around it. */
export type HostOutcome = { readonly result: Result } | { readonly scriptExit: number };

/**
 * Runs a mirror-host command as root with `request` on standard input. Progress goes to `tell`. Throws the error that mirror-host
 * reported, as a MirrorError with its exit code. `scriptExits` are exit codes that the caller handles.
 */
export async function runHostCommand(
  connection: Connection,
  script: string,
  request: unknown,
  scriptExits: readonly number[],
  tell: (text: string) => void,
): Promise<HostOutcome> {
  let result: Result | undefined;
  let failure: Extract<HostEvent, { event: 'error' }> | undefined;
  const ended = await connection.runAsRoot(script, {
    stdin: JSON.stringify(request),
    onStdoutLine: (line) => {
      const event = parseEvent(line);
      if (event?.event === 'progress') tell(event.text);
      else if (event?.event === 'warning') tell(`warning: ${event.text}`);
      else if (event?.event === 'error') failure = event;
      else if (event?.event === 'result') result = event.result;
    },
  });
  if (failure !== undefined) throw reported(failure);
  if (ended.exitCode !== null && scriptExits.includes(ended.exitCode)) return { scriptExit: ended.exitCode };
  if (ended.exitCode !== 0 || result === undefined) throw died(connection, ended);
  return { result };
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
    remedy: 'Deploy again: it restores the previous generation first if it has to. If it repeats, see `journalctl` and `dmesg` there.',
    exitCode: ended.exitCode === ExitCode.usage ? ExitCode.invalid : ExitCode.internal,
  });
}
