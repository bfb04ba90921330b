import { readIfPresent } from './files';
import type { HostPaths } from './paths';

/** The fields of an account in /etc/passwd (passwd(5)), or undefined when there is none of this name. */
export function passwdEntry(paths: Pick<HostPaths, 'passwd'>, name: string): string[] | undefined {
  const line = (readIfPresent(paths.passwd) ?? '').split('\n').find((entry) => entry.startsWith(`${name}:`));
  return line?.split(':');
}
