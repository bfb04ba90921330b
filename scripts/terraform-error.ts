/** Refusals of Terraform that have an exit code of their own. Pure: from what it printed. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { planRemedy } from './init-remedy';

/** The error that Terraform's output tells of, if it is one of those that we know. */
export function terraformError(output: string): MirrorError | undefined {
  // Terraform wraps its messages, with a bar at the start of each line.
  const lines = output.split('\n').map((line) => line.replace(/^[│╷╵\s]+/, ''));
  if (lines.some((line) => /^Error: Saved plan (is stale|does not match the given state)/.test(line))) {
    return new MirrorError({
      code: 'STALE_PLAN',
      message: 'The plan is stale: something was deployed since it was made. Nothing was changed.',
      remedy: 'Plan again, review that plan, and apply it.',
      exitCode: ExitCode.untrusted,
    });
  }
  // Without "Lock Info", the lock could not be asked for: that is another failure.
  const [from, to] = [lines.findIndex((line) => line.startsWith('Error message: ')), lines.indexOf('Lock Info:')];
  if (!lines.includes('Error: Error acquiring the state lock') || from < 0 || to < from) return undefined;
  const said = lines.slice(from, to).join(' ').slice('Error message: '.length).trim();
  return new MirrorError({
    code: 'STATE_LOCKED',
    message: `The state is locked by another run (${said}). Nothing was changed.`,
    remedy: planRemedy(output),
    exitCode: ExitCode.locked,
  });
}
