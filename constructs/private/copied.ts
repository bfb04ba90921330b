import type { Construct } from 'constructs';
import { MirrorError } from '../../desired-state/errors';
import { INNER, innerLocations, innerRoots } from '../../desired-state/render/inner';
import { distribution, id as validId, upstreamUrl } from '../../desired-state/validate';
import { mirrorPath, type MirrorPath } from '../../starlingx/url-mapping';
import { Distribution } from '../distribution';
import type { MirrorServer } from '../mirror-server';
import { check, invalid } from './check';

/** What the props of everything that is copied from an upstream have. */
interface CopiedProps {
  readonly formerId?: string;
  readonly publishedAs: string;
  readonly distribution?: Distribution;
}

/** Where a copy is public. */
interface CopyPath {
  /** Its URL's, relative to the site. */
  readonly decoded: string;
  readonly encoded: string;
  /** Parts of its element that make it public, and what the plan shows of them. */
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  readonly texts: Readonly<Record<string, string>>;
}

/**
 * Validates what names a copy, and claims its public path, which may lie in another copy's. Throws where a prop is not usable.
 *
 * @param names all files that it has: then its path may be another copy's own, of which it answers for these
 */
export function copied(
  where: Construct,
  server: MirrorServer,
  kind: 'repository' | 'tree' | 'downloads',
  id: string,
  { formerId, publishedAs, distribution: first = Distribution.CENTOS }: CopiedProps,
  names?: readonly string[],
): CopyPath {
  check(where, 'id', id, validId);
  if (formerId !== undefined) server.checkFormerId(where, kind, id, formerId);
  check(where, 'publishedAs', publishedAs, upstreamUrl);
  check(where, 'distribution', first, distribution);
  const path = publicPath(where, publishedAs, first);
  const inner = server.claimCopy(where, path.decoded, names);
  const target = `repositories/${id}/current`;
  if (inner === undefined) return { ...path, files: {}, links: { [path.decoded]: target }, texts: {} };
  // In another copy's tree, which is a link as a whole, there is no room for a link: nginx looks elsewhere for what begins so.
  const location = innerLocations({ id, inner, storageRoot: server.storageRoot });
  return {
    ...path,
    files: { [`nginx/locations/copy+${id}.conf`]: location, 'nginx/locations/inner.conf': innerRoots() },
    links: { [`${INNER}/${id}/${path.decoded}`]: target },
    texts: { location },
  };
}

/** Where something that is known by this URL is public, relative to the site. */
function publicPath(where: Construct, publishedAs: string, distribution: string): MirrorPath {
  try {
    return mirrorPath(publishedAs, distribution);
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw invalid(where, 'publishedAs', JSON.stringify(publishedAs), { allowed: error.message, fix: error.remedy });
  }
}
