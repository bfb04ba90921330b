/** Users and passwords of customers, which nginx's workers read at each request: in a file of the generation that their group may read. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { HTPASSWD_REMEDY, htpasswdFault } from '../desired-state/htpasswd';
import { passwordsSecret } from '../desired-state/model';
import { readIfPresent } from './files';
import type { HostPaths } from './paths';

/** Debian's group of nginx's workers. */
const GROUP = 'www-data';

/** Judges every secret that holds passwords. Throws MirrorError (invalid): nginx would refuse every user of a bad line, or take a plain one. */
export function checkPasswords(secrets: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(secrets)) {
    if (!isPasswords(name)) continue;
    const fault = htpasswdFault(text);
    if (fault === undefined) continue;
    throw new MirrorError({
      code: 'PASSWORDS_REFUSED',
      message: `the secret ${name}: ${fault}. Nothing was changed`,
      remedy: HTPASSWD_REMEDY,
      exitCode: ExitCode.invalid,
    });
  }
}

/** The group that reads them, where there are any. Throws MirrorError where the server has no such group. */
export function servingGroup(paths: Pick<HostPaths, 'group'>, secrets: Readonly<Record<string, string>>): number | undefined {
  if (!Object.keys(secrets).some(isPasswords)) return undefined;
  const line = (readIfPresent(paths.group) ?? '').split('\n').find((one) => one.startsWith(`${GROUP}:`));
  if (line !== undefined) return Number(line.split(':')[2]);
  throw new MirrorError({
    code: 'GROUP_MISSING',
    message: `the server has no group ${GROUP}, as which nginx would read passwords`,
    remedy: 'Install nginx-light from Debian.',
    exitCode: ExitCode.environment,
  });
}

function isPasswords(secret: string): boolean {
  return secret.startsWith(passwordsSecret(''));
}
