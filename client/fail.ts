/** How a program of developers ends that could not do what it was asked for. */
import { CommanderError } from 'commander';
import { ExitCode, faultCode, MirrorError } from '../desired-state/errors';
import { remedyOf } from './remedies';

/** Says what was wrong and what to do, and sets the exit code. */
export function fail(program: string, error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return;
  }
  const said = described(error);
  if (said instanceof MirrorError) {
    process.stderr.write(`${program}: ${said.message}\n  ${remedyOf(said)}\n`);
    process.exitCode = said.exitCode;
    return;
  }
  const stack = process.env['MIRROR_DEBUG'] === undefined ? String(said) : ((said as Error).stack ?? String(said));
  process.stderr.write(`${program}: this is a defect: ${stack}\n`);
  process.exitCode = ExitCode.internal;
}

/** What the machine refuses, in words. */
function described(error: unknown): unknown {
  const fault = error as NodeJS.ErrnoException;
  const code = faultCode(fault);
  const remedies: Readonly<Record<string, string>> = {
    ENOSPC: 'Make room on that disk, and run it again: what came stays.',
    EDQUOT: 'Make room within your quota, and run it again: what came stays.',
    EROFS: 'Give another directory by --output.',
    EACCES: 'Give a directory that you may write to by --output.',
    EPERM: 'Give a directory that you may write to by --output.',
    ENOTDIR: 'Something that is no directory is in the way: remove it, or give another directory by --output.',
    EISDIR: 'A directory is where a file has to go: remove it, or give another directory by --output.',
    ENOTEMPTY: 'A directory is where a file has to go: remove it, or give another directory by --output.',
  };
  const remedy = remedies[code ?? ''];
  if (error instanceof MirrorError || remedy === undefined) return error;
  return new MirrorError({ code: 'MACHINE', message: fault.message, remedy, exitCode: ExitCode.environment, cause: error });
}
