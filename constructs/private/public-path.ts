import type { IConstruct } from 'constructs';
import { MirrorError } from '../../desired-state/errors';
import { mirrorPath } from '../../starlingx/url-mapping';
import { invalid } from './check';

/** Where something that is known by this URL is public, relative to the site. */
export function publicPath(
  where: IConstruct,
  publishedAs: string,
  distribution: string,
): { readonly decoded: string; readonly encoded: string } {
  try {
    return mirrorPath(publishedAs, distribution);
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw invalid(where, 'publishedAs', JSON.stringify(publishedAs), { allowed: error.message, fix: error.remedy });
  }
}
