import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** True for errors that say "nothing is there". */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** The text of a file, or undefined when nothing is there. */
export function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The names in a directory; none where it cannot be read. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The target of a symlink, or undefined when there is none (nothing there, or not a symlink). */
export function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'EINVAL') return undefined;
    throw error;
  }
}

/** What is at a path, without following a symlink. */
export function kindOf(path: string): 'missing' | 'symlink' | 'directory' | 'file' {
  try {
    const stat = lstatSync(path);
    return stat.isSymbolicLink() ? 'symlink' : stat.isDirectory() ? 'directory' : 'file';
  } catch (error) {
    if (isMissing(error)) return 'missing';
    throw error;
  }
}

/** Creates a directory if needed and gives it an owner and a mode (the umask does not matter). */
export function ensureDirectory(path: string, mode: number, uid = 0, gid = 0): void {
  mkdirSync(path, { recursive: true });
  const stat = lstatSync(path);
  if (stat.uid !== uid || stat.gid !== gid) chownSync(path, uid, gid);
  if ((stat.mode & 0o7777) !== mode) chmodSync(path, mode);
}

/** Writes a file so that a reader, and a crash, see the old or the new text whole: temporary file, fsync, rename, fsync of the directory. */
export function writeDurably(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.mirror-new`;
  writeSynced(temporary, text, mode);
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

/** Writes and fsyncs a text. The caller renames it. */
export function writeSynced(path: string, text: string, mode: number): void {
  writeBytesSynced(path, Buffer.from(text, 'utf8'), mode);
}

/** Writes and fsyncs a file, of exactly this mode. */
export function writeBytesSynced(path: string, bytes: Buffer, mode: number): void {
  rmSync(path, { force: true });
  const fd = openSync(path, 'wx', mode);
  try {
    writeAll(fd, bytes, path);
    fchmodSync(fd, mode);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes a new file without fsync: for many files, followed by one `sync -f`. */
export function writePlain(path: string, text: string, mode: number): void {
  const fd = openSync(path, 'wx', mode);
  try {
    writeAll(fd, Buffer.from(text, 'utf8'), path);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Buffer, path: string): void {
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
  } catch (error) {
    // A descriptor has no name: the error gets it, so that the operator knows which disk is full.
    throw Object.assign(error as NodeJS.ErrnoException, { path });
  }
}

/** Makes a rename or an unlink in this directory survive a crash. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Points a symlink at a target by one rename: a reader sees the old or the new one. Refuses to replace a directory (EISDIR, ENOTEMPTY…). */
export function replaceSymlink(path: string, target: string): void {
  const temporary = `${path}.mirror-new`;
  rmSync(temporary, { force: true });
  symlinkSync(target, temporary);
  renameSync(temporary, path);
}
