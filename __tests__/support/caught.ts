import { MirrorError } from '../../desired-state/errors';

/** The MirrorError that `run` throws; anything else, or nothing, fails the test. */
export function caught(run: () => unknown): MirrorError {
  try {
    run();
  } catch (error) {
    if (error instanceof MirrorError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** The same for a promise. */
export async function rejected(run: () => Promise<unknown>): Promise<MirrorError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof MirrorError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
