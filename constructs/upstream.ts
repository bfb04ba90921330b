import type { IConstruct } from 'constructs';
import type { FetchSource } from '../desired-state/definitions';
import { sourceUrl } from '../desired-state/validate';
import { upstreamListUrl } from '../desired-state/validate-sync';
import { check, checkList, invalid, show } from './private/check';

/**
 * A place that names mirrors of an upstream, for `fetchFrom`. The list is asked for in each sync, and the mirrors are tried in its order,
 * file by file; what they send is verified as declared, whoever they are.
 */
export class Upstream {
  /** A text with one base URL a line, as yum's `mirrorlist=` reads it. */
  static mirrorlist(url: string): Upstream {
    check('Upstream.mirrorlist', 'url', url, upstreamListUrl);
    return new Upstream({ mirrorlist: url });
  }

  /** A metalink file (RFC 5854, or version 3): mirrors, with the checksum that their `repomd.xml` must have. */
  static metalink(url: string): Upstream {
    check('Upstream.metalink', 'url', url, upstreamListUrl);
    return new Upstream({ metalink: url });
  }

  private constructor(
    /** As `mirrorctl` reads it. */
    readonly source: Exclude<FetchSource, string>,
  ) {}
}

/** Validates the prop `fetchFrom`. */
export function sourcesOf(where: IConstruct, fetchFrom: readonly (string | Upstream)[]): FetchSource[] {
  checkList(where, 'fetchFrom', fetchFrom, 'URL', place, 'Leave fetchFrom out to fetch from publishedAs.');
  const sources = fetchFrom.map((one) => (one instanceof Upstream ? one.source : one));
  const names = sources.map((source) => JSON.stringify(source));
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index);
  if (twice >= 0)
    throw invalid(where, `fetchFrom[${twice}]`, show(sources[twice]), { allowed: 'each place once', fix: 'Remove the second one.' });
  return sources;
}

/** A list was checked when it was made. */
const place = (value: unknown): ReturnType<typeof sourceUrl> => (value instanceof Upstream ? undefined : sourceUrl(value));
