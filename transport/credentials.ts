import { readFileSync, statSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';

/** How we prove who we are: a private key (and the file that it is from) or a running agent. */
export type Credentials = { readonly privateKey: Buffer; readonly path?: string } | { readonly agent: string };

/** Bytes. An RSA key of 16384 bits has 13,000. */
const MAX_KEY_FILE = 64 * 1024;

/** From `MIRROR_SSH_KEY` (path of a private key), else from the agent at `SSH_AUTH_SOCK`. Throws MirrorError when there is neither. */
export function credentialsFrom(environment: NodeJS.ProcessEnv): Credentials {
  const path = environment.MIRROR_SSH_KEY;
  if (path !== undefined && path !== '') return { privateKey: readKey(path), path };
  const agent = environment.SSH_AUTH_SOCK;
  if (agent !== undefined && agent !== '') return { agent };
  throw new MirrorError({
    code: 'NO_CREDENTIALS',
    message: 'there is no SSH key to log in with',
    remedy: 'Set MIRROR_SSH_KEY to the path of a private key, or start an agent (ssh-agent, ssh-add) so that SSH_AUTH_SOCK is set.',
    exitCode: ExitCode.environment,
  });
}

function readKey(path: string): Buffer {
  try {
    // Nothing but a regular file: reading a FIFO waits for ever.
    const stats = statSync(path);
    if (!stats.isFile()) throw unreadable(path, 'is not a regular file');
    if (stats.size > MAX_KEY_FILE) throw unreadable(path, `has ${stats.size} bytes: that is no key`);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    // A tilde that no shell expanded, as in a .env file.
    const tilde = path.startsWith('~') ? '; ~ is not expanded here' : '';
    throw unreadable(path, `cannot be read (${(error as NodeJS.ErrnoException).code})${tilde}`, error);
  }
}

function unreadable(path: string, fault: string, cause?: unknown): MirrorError {
  return new MirrorError({
    code: 'SSH_KEY_UNREADABLE',
    message: `MIRROR_SSH_KEY names ${path}, which ${fault}`,
    remedy: 'Name a readable private key file by its full path, or unset MIRROR_SSH_KEY to use the agent.',
    exitCode: ExitCode.environment,
    cause,
  });
}
