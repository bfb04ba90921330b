import { readFileSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';

/** How we prove who we are: a private key or a running agent. */
export type Credentials = { readonly privateKey: Buffer } | { readonly agent: string };

/** From `MIRROR_SSH_KEY` (path of a private key), else from the agent at `SSH_AUTH_SOCK`. Throws MirrorError when there is neither. */
export function credentialsFrom(environment: NodeJS.ProcessEnv): Credentials {
  const path = environment.MIRROR_SSH_KEY;
  if (path !== undefined && path !== '') {
    try {
      return { privateKey: readFileSync(path) };
    } catch (error) {
      throw new MirrorError({
        code: 'SSH_KEY_UNREADABLE',
        message: `MIRROR_SSH_KEY names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code})`,
        remedy: 'Name a readable private key file, or unset MIRROR_SSH_KEY to use the agent.',
        exitCode: ExitCode.environment,
        cause: error,
      });
    }
  }
  const agent = environment.SSH_AUTH_SOCK;
  if (agent !== undefined && agent !== '') return { agent };
  throw new MirrorError({
    code: 'NO_CREDENTIALS',
    message: 'there is no SSH key to log in with',
    remedy: 'Set MIRROR_SSH_KEY to the path of a private key, or start an agent (ssh-agent, ssh-add) so that SSH_AUTH_SOCK is set.',
    exitCode: ExitCode.environment,
  });
}
