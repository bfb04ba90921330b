import { MirrorError } from '../../desired-state/errors';

/** The MirrorError that a promise rejects with; anything else, or none, fails the test. Closes what it resolves with. */
export async function failure(promise: Promise<unknown>): Promise<MirrorError> {
  const outcome: unknown = await promise.then(
    (value) => ({ value }),
    (error: unknown) => error,
  );
  if (outcome instanceof MirrorError) return outcome;
  const resolved = outcome as { value?: { close?: () => void } };
  resolved.value?.close?.();
  throw outcome instanceof Error ? outcome : new Error('nothing was refused');
}
