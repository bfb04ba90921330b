/** Pure: which of a repository's declared sources preflight can look at, what it says of the others, and of what the declaration allows. */
import { isWaived, type FetchSource, type RepositoryDefinition } from '../../desired-state/definitions';
import type { IndexFacts } from './index-facts';
import type { Problem } from './types';

export interface Sources {
  /** Base URLs (http, https). */
  readonly addresses: readonly string[];
  /** One note for each source that is not looked at. */
  readonly notes: readonly string[];
}

export function sourcesOf(fetchFrom: readonly FetchSource[]): Sources {
  const addresses = fetchFrom.filter((source): source is string => typeof source === 'string' && /^https?:/i.test(source));
  return { addresses, notes: fetchFrom.filter((source) => !addresses.includes(source as string)).map(notLookedAt) };
}

function notLookedAt(source: FetchSource): string {
  if (typeof source === 'string') return `not looked at: ${source} (rsync)`;
  if ('metalink' in source) return `not looked at: the mirrors of ${source.metalink} (a metalink)`;
  return `not looked at: the mirrors of ${source.mirrorlist} (a mirror list)`;
}

/** What a repository declares about its upstream that its index shows to be otherwise. */
export function judgeSelection(
  definition: RepositoryDefinition,
  { report }: Pick<IndexFacts, 'report'>,
  url: string,
  now: Date,
): { readonly problem?: Problem; readonly notes: readonly string[] } {
  const notes: string[] = [];
  const { maxAgeDays } = definition;
  const days = report.made === undefined ? undefined : Math.floor((now.getTime() - Date.parse(report.made)) / 86_400_000);
  const stale = maxAgeDays !== undefined && (days === undefined || days >= maxAgeDays);
  if (isWaived(definition, 'staleMetadata') && !stale)
    notes.push('Waiver.staleMetadata is not needed now: the metadata is younger than maxAgeDays');
  if (isWaived(definition, 'weakChecksums') && !report.digests.includes('sha1'))
    notes.push('Waiver.weakChecksums is not needed by the index: it has no sha1');
  if (!stale || isWaived(definition, 'staleMetadata')) return { notes };
  return {
    notes,
    problem: {
      code: 'METADATA_STALE',
      message: `${url} ${days === undefined ? 'does not say when it was made' : `was made ${days} days ago`}, and maxAgeDays is ${maxAgeDays}`,
      remedy: 'If upstream has ended, or publishes less often, leave maxAgeDays out or raise it; else look for another source.',
      exitCode: 6,
    },
  };
}
