/**
 * The files of a build as somebody else made them: listed without following links, read without trusting that they stay as they are, and copied
 * where the store lacks them. Whoever uploads may change the directory all the time: what was judged is what is published, or nothing is.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { copyFile, open, realpath } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { BUILD_FOLDERS } from '../starlingx/build-layout';
import { shown } from '../starlingx/shown';
import { fileDigest } from './files';
import type { Incoming, Store } from './store';

/** A regular file of a build, by its path in it. */
export interface FoundFile {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** The same with what is in it. */
export interface BuildFile extends FoundFile {
  readonly sha256: string;
}

/** Why a build is not published as it is: a file of it, and a clause that follows its name. */
export interface BuildProblem {
  readonly path: string;
  readonly why: string;
}

/** More than any build has; whoever uploads has no other bound. */
export const MAX_FILES = 200_000;
const MAX_DEPTH = 30;
/** Bytes. URLs and lists of packages have whole paths. */
const MAX_PATH = 1000;
const NAMED = 10;

/** One error that names the first ten of the files with which something is wrong. */
export function refusedBuild(problems: readonly BuildProblem[], code = 'BUILD_REFUSED'): MirrorError {
  const named = problems.slice(0, NAMED).map(({ path, why }) => `${shown(path)} ${why}`);
  const more = problems.length - named.length;
  return new MirrorError({
    code,
    message: `the build is refused: ${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`,
    remedy: 'Nothing was published. Put that right in the directory of the build, and publish it again.',
    exitCode: ExitCode.invalid,
  });
}

/** The directory itself, with symlinks resolved. Throws a MirrorError where there is none that the user mirror may read. */
export async function buildDirectory(given: string): Promise<string> {
  const wrong = (message: string, cause?: unknown): MirrorError =>
    new MirrorError({
      code: 'NO_SUCH_DIRECTORY',
      message,
      remedy: 'Name the directory that a build left: it has inputs, outputs or logs in it.',
      exitCode: ExitCode.usage,
      cause,
    });
  const directory = await realpath(given).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EACCES') throw unreadable(given, error);
    throw wrong(`there is no directory ${shown(given)}`, error);
  });
  if (!lstatSync(directory).isDirectory()) throw wrong(`${shown(given)} is no directory`);
  return directory;
}

/** All files of a build, sorted by path. Throws a MirrorError that names what cannot be part of one. */
export function walkBuild(root: string): readonly FoundFile[] {
  const found: FoundFile[] = [];
  const problems: BuildProblem[] = [];
  const enter = (folder: string, depth: number): void => {
    for (const entry of entriesOf(root, folder)) {
      const path = folder + entry.name;
      const problem = isOdd(path) ? 'has a name with control characters, a backslash, or that is no UTF-8' : judgePlace(path, entry);
      if (problem !== undefined) problems.push({ path, why: problem });
      else if (entry.isDirectory() && depth === MAX_DEPTH) problems.push({ path, why: `lies deeper than ${MAX_DEPTH} directories` });
      else if (entry.isDirectory()) enter(`${path}/`, depth + 1);
      else found.push(lookAt(root, path));
      if (found.length > MAX_FILES) throw refusedBuild([{ path, why: `is one of more than ${MAX_FILES} files` }]);
    }
  };
  enter('', 1);
  if (!found.some(({ path }) => path.includes('/')) && problems.length === 0)
    problems.push({ path: root, why: `has none of ${BUILD_FOLDERS.join(', ')} with a file in it` });
  if (problems.length > 0) throw refusedBuild(problems);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

interface Entry {
  readonly name: string;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

function entriesOf(root: string, folder: string): readonly Entry[] {
  try {
    return readdirSync(join(root, folder), { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') throw unreadable(join(root, folder), error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') throw changed(folder);
    throw error;
  }
}

function isOdd(path: string): boolean {
  return /[\u0000-\u001f\u007f-\u009f\ufffd\\]/.test(path);
}

/** Why an entry can be no part of a build. */
function judgePlace(path: string, entry: Entry): string | undefined {
  if (entry.isSymbolicLink()) return 'is a symbolic link';
  if (!entry.isFile() && !entry.isDirectory()) return 'is neither a file nor a directory';
  if (Buffer.byteLength(path) > MAX_PATH) return `has a path of more than ${MAX_PATH} bytes`;
  if (entry.isDirectory() && !path.includes('/') && !(BUILD_FOLDERS as readonly string[]).includes(path))
    return `is a directory beside ${BUILD_FOLDERS.join(', ')}`;
  return undefined;
}

function lookAt(root: string, path: string): FoundFile {
  const stat = lstatSync(join(root, path), { throwIfNoEntry: false });
  if (stat === undefined) throw changed(path);
  return { path, size: stat.size, mtimeMs: stat.mtimeMs };
}

function changed(path: string): MirrorError {
  return new MirrorError({
    code: 'BUILD_CHANGED',
    message: `${shown(path)} changed while the build was read`,
    remedy: 'Nothing was published. Publish the build again once nobody writes to it.',
    exitCode: ExitCode.invalid,
  });
}

function unreadable(path: string, cause: unknown): MirrorError {
  return new MirrorError({
    code: 'PERMISSION',
    message: `the user mirror may not read ${shown(path)}`,
    remedy:
      'Nothing was published. mirrorctl works as the user mirror: put the build where that user may read it, or let everybody (chmod -R a+rX).',
    exitCode: ExitCode.environment,
    cause,
  });
}

/** Bytes. Smaller files are read at once; larger ones beside them. */
const SMALL = 256 * 1024;
const PIECE = 1024 * 1024;
/** Large files at a time. */
const LARGE_AT_A_TIME = 2;
/** Milliseconds after which what waits for large files has its turn. */
const TURN = 20;

/** Does the same with every file: small ones one after the other, large ones beside them. `onFile` hears of each that is done. */
async function eachFile<T extends FoundFile>(
  files: readonly T[],
  work: (file: T, isSmall: boolean) => Promise<void> | void,
  onFile: () => void,
): Promise<void> {
  const large = files.filter(({ size }) => size > SMALL).values();
  let failed = false;
  const guarded = async (task: () => Promise<void>): Promise<void> => {
    try {
      await task();
    } catch (error) {
      failed = true;
      throw error;
    }
  };
  const smallOnes = async (): Promise<void> => {
    let since = Date.now();
    for (const file of files) {
      if (failed) return;
      if (file.size > SMALL) continue;
      // A promise for each would take longer than the files.
      void work(file, true);
      onFile();
      if (Date.now() - since < TURN) continue;
      await setImmediate();
      since = Date.now();
    }
  };
  const largeOnes = async (): Promise<void> => {
    for (const file of large) {
      if (failed) return;
      await work(file, false);
      onFile();
    }
  };
  await allOf([smallOnes, ...Array.from({ length: LARGE_AT_A_TIME }, () => largeOnes)].map(guarded));
}

/** Waits for all, also where one failed: what they work on is shared. Then the first error counts. */
export async function allOf<T>(tasks: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(tasks);
  return Promise.all(tasks);
}

/** The digests of files, in their order. */
export async function digestFiles(root: string, files: readonly FoundFile[], onFile: () => void): Promise<readonly BuildFile[]> {
  const digests = new Map<FoundFile, string>();
  await eachFile(
    files,
    (file, isSmall) => {
      if (!isSmall) return digestLarge(root, file).then((hex) => void digests.set(file, hex));
      const bytes = readSmall(root, file);
      digests.set(file, createHash('sha256').update(bytes).digest('hex'));
      return undefined;
    },
    onFile,
  );
  return files.map((file) => ({ ...file, sha256: digests.get(file) as string }));
}

/** Copies files into `incoming`, and compares each copy with what was read before: it is what was judged. */
export async function copyFiles(root: string, files: readonly BuildFile[], incoming: Incoming, onFile: () => void): Promise<void> {
  let copies = 0;
  await eachFile(
    files,
    (file, isSmall) => {
      const temporary = incoming.temporary(`build-${copies++}`);
      if (!isSmall) return copyLarge(root, file, temporary).then((hex) => arrived(incoming, file, temporary, hex));
      const bytes = readSmall(root, file);
      writeFileSync(temporary, bytes, { flag: 'wx', mode: 0o444 });
      arrived(incoming, file, temporary, createHash('sha256').update(bytes).digest('hex'));
      return undefined;
    },
    onFile,
  );
}

/** Files that the store lacks, each content once. */
export function missingIn(store: Store, files: readonly BuildFile[]): readonly BuildFile[] {
  const once = new Map<string, BuildFile>();
  for (const file of files)
    if (!once.has(file.sha256) && !store.has({ algorithm: 'sha256', hex: file.sha256 }, file.size)) once.set(file.sha256, file);
  return [...once.values()];
}

function arrived(incoming: Incoming, file: BuildFile, temporary: string, hex: string): void {
  if (hex !== file.sha256) {
    rmSync(temporary, { force: true });
    throw changed(file.path);
  }
  chmodSync(temporary, 0o444);
  // The metadata of packages says when the file was made.
  utimesSync(temporary, file.mtimeMs / 1000, file.mtimeMs / 1000);
  const checksum = { algorithm: 'sha256' as const, hex };
  renameSync(temporary, incoming.path(checksum));
  incoming.add(checksum, hex, file.size);
}

/** Opens a file that is what was found, where it was found: neither another one meanwhile nor one that a link in its path leads to. */
function openFound(root: string, file: FoundFile): { readonly fd: number; readonly stat: Stats } {
  const path = join(root, file.path);
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') throw unreadable(path, error);
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(code ?? '')) throw changed(file.path);
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    // The kernel says where it really is: a directory may have become a link.
    if (!isSame(stat, file) || readlinkSync(`/proc/self/fd/${fd}`) !== path) throw changed(file.path);
    return { fd, stat };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function isSame(stat: Stats, { size, mtimeMs }: FoundFile): boolean {
  return stat.isFile() && stat.size === size && stat.mtimeMs === mtimeMs;
}

/** Throws where a file that is open was written to since. */
function requireUntouched(fd: number, before: Stats, file: FoundFile): void {
  const after = fstatSync(fd);
  if (!isSame(after, file) || after.ctimeMs !== before.ctimeMs) throw changed(file.path);
}

const shared = Buffer.allocUnsafe(SMALL + 1);

/** All of a small file; valid until the next one is read. */
function readSmall(root: string, file: FoundFile): Buffer {
  const { fd, stat } = openFound(root, file);
  try {
    let length = 0;
    for (let got = -1; got !== 0 && length <= file.size; length += got) got = readSync(fd, shared, length, file.size + 1 - length, null);
    if (length !== file.size) throw changed(file.path);
    requireUntouched(fd, stat, file);
    return shared.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/** All of a file that was digested before: the same bytes, or an error. */
export function readAgain(root: string, file: BuildFile): Buffer {
  const { fd } = openFound(root, file);
  try {
    const bytes = readFileSync(fd);
    if (createHash('sha256').update(bytes).digest('hex') !== file.sha256) throw changed(file.path);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

const readAt = promisify(read);

/** Hands over a file in pieces, one byte more than it had at most: one that grows meanwhile does not fill the disk. */
async function eachPiece(fd: number, file: FoundFile, take: (piece: Buffer) => Promise<void> | void): Promise<void> {
  const buffer = Buffer.allocUnsafe(PIECE);
  let size = 0;
  while (size <= file.size) {
    const { bytesRead } = await readAt(fd, buffer, 0, Math.min(PIECE, file.size + 1 - size), size);
    if (bytesRead === 0) break;
    await take(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
  if (size !== file.size) throw changed(file.path);
}

async function digestLarge(root: string, file: FoundFile): Promise<string> {
  const { fd, stat } = openFound(root, file);
  try {
    const hash = createHash('sha256');
    await eachPiece(fd, file, (piece) => void hash.update(piece));
    requireUntouched(fd, stat, file);
    return hash.digest('hex');
  } finally {
    closeSync(fd);
  }
}

/** Copies by sharing blocks where the file system can, and returns the digest of the copy. */
async function copyLarge(root: string, file: FoundFile, target: string): Promise<string> {
  const { fd, stat } = openFound(root, file);
  try {
    if (await reflinked(fd, target)) return await fileDigest(target, 'sha256');
    const hash = createHash('sha256');
    const to = await open(target, 'wx', 0o600);
    try {
      await eachPiece(fd, file, async (piece) => {
        hash.update(piece);
        for (let done = 0; done < piece.length;) done += (await to.write(piece, done, piece.length - done)).bytesWritten;
      });
    } finally {
      await to.close();
    }
    requireUntouched(fd, stat, file);
    return hash.digest('hex');
  } finally {
    closeSync(fd);
  }
}

async function reflinked(fd: number, target: string): Promise<boolean> {
  try {
    // The path may lead to another file by now.
    await copyFile(`/proc/self/fd/${fd}`, target, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if (!['ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    rmSync(target, { force: true });
    return false;
  }
}
