/** One at a time, across processes. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { labError } from './shell';

/**
 * Holds the lock of `path` while `work` runs, which may remove the file. flock locks the open file, which this process shares with the
 * `flock` program: the lock stays when that program ends, and goes when we do, however we end.
 */
export async function withLock<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  const fd = lock(path);
  try {
    return await work();
  } finally {
    closeSync(fd);
  }
}

function lock(path: string): number {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const fd = open(path);
    if (fd === undefined) continue;
    const { status } = spawnSync('flock', ['-x', '3'], { stdio: ['ignore', 'inherit', 'inherit', fd] });
    // Who held it before us may have removed it: then the next one locks another file.
    if (status === 0 && existsSync(path) && statSync(path).ino === fstatSync(fd).ino) return fd;
    closeSync(fd);
    if (status !== 0) break;
  }
  throw labError('LOCK', `${path} cannot be locked`, 'Is the file system full or read-only?');
}

/** Undefined when the directory was removed between making it and using it. */
function open(path: string): number | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
