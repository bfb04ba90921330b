import { ExitCode } from '../desired-state/errors';
import { DownloadError } from './errors';

/** The absolute target of a redirect. Throws for other protocols than http and https, and from https to http. */
export function redirectTarget(from: string, location: string): string {
  let target: URL;
  try {
    target = new URL(location, from);
  } catch {
    throw new DownloadError({
      kind: 'refused',
      code: 'REDIRECT_UNSAFE',
      message: `${from} redirects to ${JSON.stringify(location)}, which is no URL`,
    });
  }
  const refuse = (why: string): DownloadError =>
    new DownloadError({
      kind: 'refused',
      code: 'REDIRECT_UNSAFE',
      message: `${from} redirects to ${target.href}: ${why}`,
      remedy: 'If that place is right, put its address into fetchFrom.',
      exitCode: ExitCode.untrusted,
    });
  if (target.protocol !== 'http:' && target.protocol !== 'https:') throw refuse('only http and https are followed');
  if (new URL(from).protocol === 'https:' && target.protocol === 'http:') throw refuse('https is not left for http');
  if (target.username !== '' || target.password !== '') throw refuse('addresses with a user are not followed');
  return target.href;
}
