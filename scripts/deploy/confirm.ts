import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import type { Connection } from '../../transport/connection';
import { runHostCommand } from './host-command';

const PAUSE_MS = 2000;

/**
 * Confirms a generation over a connection made after the switch, trying again until its time is up: only who can still log in may keep it.
 * Throws MirrorError NOT_CONFIRMED (rolled back) that says what stood in the way, or what mirror-host reported.
 *
 * @param seconds how long the server waits, from now
 */
export async function confirmGeneration(
  generation: number,
  seconds: number,
  program: string,
  connectAnew: () => Promise<Connection>,
  tell: (text: string) => void,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  let told = false;
  for (;;) {
    const hindrance = await attempt(generation, program, connectAnew, tell);
    if (hindrance === undefined) return;
    if (Date.now() + PAUSE_MS >= deadline) {
      throw new MirrorError({
        code: 'NOT_CONFIRMED',
        message: `generation ${generation} was activated, but could not be confirmed over a new connection: ${hindrance.message}. The server takes it back by itself`,
        remedy: `${hindrance.remedy} Then plan and deploy again.`,
        exitCode: ExitCode.rolledBack,
        cause: hindrance,
      });
    }
    if (!told) tell(`generation ${generation} cannot be confirmed yet (${hindrance.message}): trying again for ${seconds} s`);
    told = true;
    await sleep(PAUSE_MS);
  }
}

/** What stood in the way, or undefined when the generation is confirmed. That it was taken back already is final. */
async function attempt(
  generation: number,
  program: string,
  connectAnew: () => Promise<Connection>,
  tell: (text: string) => void,
): Promise<MirrorError | undefined> {
  try {
    const connection = await connectAnew();
    const outcome = await runHostCommand(connection, [program, 'confirm', '--generation', String(generation), '--json'], '', tell);
    if ('result' in outcome) return undefined;
    return new MirrorError({
      code: 'CONFIRM_FAILED',
      message: `mirror-host cannot run there: ${outcome.unavailable}`,
      remedy: 'Log in and look.',
      exitCode: ExitCode.environment,
    });
  } catch (error) {
    if (error instanceof MirrorError && error.code !== 'NOTHING_TO_CONFIRM') return error;
    throw error;
  }
}
