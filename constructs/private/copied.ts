import type { Construct } from 'constructs';
import { MirrorError } from '../../desired-state/errors';
import { distribution, id as validId, upstreamUrl } from '../../desired-state/validate';
import { mirrorPath } from '../../starlingx/url-mapping';
import { Distribution } from '../distribution';
import type { MirrorServer } from '../mirror-server';
import { check, invalid } from './check';

/** What the props of everything that is copied from an upstream have. */
interface CopiedProps {
  readonly formerId?: string;
  readonly publishedAs: string;
  readonly distribution?: Distribution;
}

/** Relative to the site. */
interface PublicPath {
  readonly decoded: string;
  readonly encoded: string;
}

/** Validates what names a copy, and claims its public path. Throws where a prop is not usable. */
export function copied(
  where: Construct,
  server: MirrorServer,
  kind: 'repository' | 'tree',
  id: string,
  { formerId, publishedAs, distribution: first = Distribution.CENTOS }: CopiedProps,
): PublicPath {
  check(where, 'id', id, validId);
  if (formerId !== undefined) server.checkFormerId(where, kind, id, formerId);
  check(where, 'publishedAs', publishedAs, upstreamUrl);
  check(where, 'distribution', first, distribution);
  const path = publicPath(where, publishedAs, first);
  server.claimPath(where, path.decoded);
  return path;
}

/** Where something that is known by this URL is public, relative to the site. */
function publicPath(where: Construct, publishedAs: string, distribution: string): PublicPath {
  try {
    return mirrorPath(publishedAs, distribution);
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw invalid(where, 'publishedAs', JSON.stringify(publishedAs), { allowed: error.message, fix: error.remedy });
  }
}
