/** One at a time, across processes. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { labError } from './shell';

/**
 * Holds the lock of `path` while `work` runs. flock locks the open file, which this process shares with the `flock` program, so the lock
 * stays when that program ends and goes when we do, however we end.
 */
export async function withLock<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fd = openSync(path, 'a', 0o600);
  try {
    const { status } = spawnSync('flock', ['-x', '3'], { stdio: ['ignore', 'inherit', 'inherit', fd] });
    if (status !== 0) throw labError('LOCK', `${path} cannot be locked`, 'Is the file system full or read-only?');
    return await work();
  } finally {
    closeSync(fd);
  }
}
