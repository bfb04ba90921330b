/** Sentences about what all syncs of a server together may take. Pure. */
import type { SyncLimits } from '../../desired-state/definitions';
import { fieldsOf } from './changes';
import type { Triggers } from './terraform-plan';

export function limitSentences(before: Triggers | undefined, after: Triggers | undefined): string[] {
  const [was, now] = [limits(before), limits(after)];
  return TOLD.flatMap(({ words, how }) => (words(was) === words(now) ? [] : [how(words(now), words(was))]));
}

function limits(triggers: Triggers | undefined): SyncLimits {
  const value = fieldsOf(triggers)['sync'];
  return value !== null && typeof value === 'object' ? value : {};
}

const number = (value: number | undefined): string => (value === undefined ? 'as many as is the default' : `at most ${value}`);

/** How each limit is called, and what is said of a new one. */
const TOLD: readonly { readonly words: (limits: SyncLimits) => string; readonly how: (now: string, was: string) => string }[] = [
  { words: ({ slots }) => number(slots), how: (now, was) => `syncs ${now} repositories at a time (was ${was})` },
  {
    words: ({ slotsPerUpstream }) => number(slotsPerUpstream),
    how: (now, was) => `syncs ${now} repositories of one upstream at a time (was ${was})`,
  },
  { words: ({ connections }) => number(connections), how: (now, was) => `opens ${now} connections for a sync (was ${was})` },
  { words: ({ bandwidth }) => rate(bandwidth), how: (now, was) => `lets all syncs together take ${now} (was ${was})` },
  { words: ({ proxy }) => way(proxy), how: (now, was) => `fetches ${now} (was ${was})` },
];

/** Bytes a second as lines are sold. */
function rate(bandwidth: number | undefined): string {
  return bandwidth === undefined ? 'what the line gives' : `at most ${Number(((bandwidth * 8) / 1_000_000).toFixed(3))} Mbit/s`;
}

function way(proxy: SyncLimits['proxy']): string {
  if (proxy === undefined) return 'directly';
  return `through the proxy ${proxy.url}${proxy.except.length === 0 ? '' : `, except from ${proxy.except.join(', ')}`}`;
}
