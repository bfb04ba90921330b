import { createHash } from 'node:crypto';
import { copyFileSync, createReadStream, linkSync, renameSync, rmSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ExitCode, faultCode, MirrorError } from '../desired-state/errors';
import { run } from '../signatures/run';

/** Replaces a file as a whole: temporary file, flush, rename, flush of the directory. No reader sees half of it, nor does a crash leave half. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await flushDirectory(dirname(path));
}

export async function flushDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Flushes the whole file system that holds `path`, once for many files. */
export async function flushFileSystem(path: string): Promise<void> {
  const result = await run('sync', ['-f', '--', path]);
  if (result.code !== 0) {
    throw new MirrorError({
      code: 'FLUSH_FAILED',
      message: `the file system of ${path} cannot be flushed: ${result.stderr.trim()}`,
      remedy: 'Nothing was published. Look at the kernel log (dmesg): the disk may be failing.',
      exitCode: ExitCode.environment,
    });
  }
}

/**
 * A hard link, or a second copy where a file has as many links as its file system allows (65,000 on ext4): the copy takes the place of
 * `source`, so that what comes next is linked to it.
 */
export function linkOrCopy(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMLINK') throw error;
    const copy = `${source}.copy`;
    rmSync(copy, { force: true });
    copyFileSync(source, copy);
    renameSync(copy, source);
    linkSync(source, target);
  }
}

export function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** The digest of a file, in hex; `onBytes` hears of what is read. */
export async function fileDigest(path: string, algorithm: string, onBytes: (count: number) => void = () => undefined): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path, { highWaterMark: 1 << 18 }), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      hash.update(chunk);
      onBytes(chunk.length);
    }
  });
  return hash.digest('hex');
}

export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

const MACHINE_FAULTS: Readonly<Record<string, { code: string; what: string; remedy: string }>> = {
  ENOSPC: {
    code: 'DISK_FULL',
    what: 'no space (or no inodes) left',
    remedy: 'Free space or enlarge the file system; what was fetched is kept and used by the next run.',
  },
  EDQUOT: {
    code: 'DISK_FULL',
    what: 'the quota is exhausted',
    remedy: 'Raise the quota; what was fetched is kept and used by the next run.',
  },
  EFBIG: {
    code: 'FILE_TOO_LARGE',
    what: 'the file is larger than the limit',
    remedy: 'Raise LimitFSIZE= of the unit if the file is right.',
  },
  EROFS: { code: 'READ_ONLY', what: 'the file system is read-only', remedy: 'Look at the kernel log (dmesg), and mount it writable.' },
  EIO: { code: 'DISK_ERROR', what: 'input/output error', remedy: 'Look at the kernel log (dmesg): the disk may be failing.' },
  EACCES: {
    code: 'PERMISSION',
    what: 'permission denied',
    remedy: 'Run it as root, or as the user mirror, to whom all content belongs: mirrorctl becomes that user by itself.',
  },
  EPERM: {
    code: 'PERMISSION',
    what: 'operation not permitted',
    remedy: 'Run it as root, or as the user mirror, to whom all content belongs: mirrorctl becomes that user by itself.',
  },
  ENOTDIR: {
    code: 'PATH_TAKEN',
    what: 'a file is where a directory belongs',
    remedy: 'Something else put it there: look at it, and move it away.',
  },
  EISDIR: {
    code: 'PATH_TAKEN',
    what: 'a directory is where a file belongs',
    remedy: 'Something else put it there: look at it, and move it away.',
  },
  EMFILE: { code: 'LIMIT', what: 'too many open files', remedy: 'Raise LimitNOFILE= of the unit.' },
  EXDEV: {
    code: 'SEVERAL_FILE_SYSTEMS',
    what: 'the storage root spans several file systems',
    remedy: 'Everything below the storage root must be on one file system, since trees share files by hard links.',
  },
};

/** An error of the file system as one that a user can act on; every other value comes back as it is. */
export function machineFault(error: unknown): unknown {
  const { path, syscall } = error as NodeJS.ErrnoException;
  const code = faultCode(error as NodeJS.ErrnoException);
  if (error instanceof MirrorError || code === undefined || !Object.hasOwn(MACHINE_FAULTS, code)) return error;
  const fault = MACHINE_FAULTS[code] as (typeof MACHINE_FAULTS)[string];
  const where = path ?? (syscall === undefined ? 'the file system' : syscall);
  return new MirrorError({
    code: fault.code,
    message: `${where}: ${fault.what}`,
    remedy: fault.remedy,
    exitCode: ExitCode.environment,
    cause: error,
  });
}
