import type { ActivationResult } from '../../desired-state/model';

const NAMED_AT_MOST = 8;

/** The last line of an apply. Pure. */
export function describeActivation(result: ActivationResult): string {
  if (result.outcome === 'unchanged') return `unchanged: generation ${result.generation} serves`;
  const parts = [...list('+', result.added), ...list('~', result.changed), ...list('-', result.removed)];
  const what = parts.length === 0 ? 'no element changed, everything was written anew' : parts.join(', ');
  return `generation ${result.generation} activated in ${result.seconds.toFixed(1)} s: ${what}`;
}

function list(sign: string, ids: readonly string[]): string[] {
  const named = ids.slice(0, NAMED_AT_MOST).map((id) => `${sign} ${id}`);
  return ids.length > NAMED_AT_MOST ? [...named, `${sign} ${ids.length - NAMED_AT_MOST} more`] : named;
}
