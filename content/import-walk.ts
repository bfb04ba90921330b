import { type Dirent, lstatSync } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { quoted } from '../rpm-metadata/errors';
import type { Wants } from './import-wants';
import type { Layout } from './layout';
import type { Problem } from './record';

/** A regular file of the tree, by its path in it. */
export interface Found {
  readonly path: string;
  readonly kind: 'package' | 'file';
  readonly size: number;
}

/** Why a file is passed over without a look into it. */
export const PASSED_OVER = [
  'symbolic links',
  'special files',
  'hidden files',
  'empty files',
  'metadata',
  'files of no declared tree',
] as const;
export type PassedOver = (typeof PASSED_OVER)[number];

export interface Walked {
  /** Sorted by path. */
  readonly found: readonly Found[];
  readonly passedOver: Readonly<Partial<Record<PassedOver, number>>>;
  readonly problems: readonly Problem[];
}

/** The directory to import from, with symlinks resolved. Throws a MirrorError where there is none, or the mirror itself is there. */
export async function directoryOf(given: string, layout: Layout): Promise<string> {
  const wrong = (message: string, remedy: string): MirrorError =>
    new MirrorError({ code: 'USAGE', message, remedy, exitCode: ExitCode.usage });
  const directory = await realpath(given).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw inaccessible(given, error);
    throw wrong(`there is no directory ${quoted(given)}`, 'Name the directory that the old mirror tree lies in.');
  });
  if (!lstatSync(directory).isDirectory())
    throw wrong(`${quoted(given)} is no directory`, 'Name the directory that the old mirror tree lies in.');
  if ((await ownDirectories(layout)).some((own) => isWithin(directory, own)))
    throw wrong(
      `${quoted(given)} is the mirror's own`,
      'Name the directory that the old mirror tree lies in: what is here needs no import.',
    );
  return directory;
}

/**
 * Looks through a tree: names and sizes only. Symlinks are not followed: what they lead to within the tree is found by itself. The mirror's
 * own directories, where they lie in it, are not entered.
 */
export async function walk(directory: string, layout: Layout, wants: Wants): Promise<Walked> {
  const own = new Set(await ownDirectories(layout));
  const found: Found[] = [];
  const problems: Problem[] = [];
  const passedOver: Partial<Record<PassedOver, number>> = {};
  const pass = (why: PassedOver): void => void (passedOver[why] = (passedOver[why] ?? 0) + 1);

  const enter = async (path: string): Promise<void> => {
    let entries: Dirent[];
    try {
      entries = await readdir(join(directory, path), { withFileTypes: true });
    } catch (error) {
      if (path === '') throw inaccessible(directory, error);
      problems.push(unreadable(path, error));
      return;
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const inside = join(path, entry.name);
      if (entry.isSymbolicLink()) pass('symbolic links');
      else if (!entry.isFile() && !entry.isDirectory()) pass('special files');
      else if (entry.name.startsWith('.')) pass('hidden files');
      else if (entry.isDirectory() && entry.name === 'repodata') pass('metadata');
      else if (entry.isDirectory()) {
        if (!own.has(join(directory, inside))) await enter(inside);
      } else look(inside, entry.name);
    }
  };
  const look = (path: string, name: string): void => {
    const kind = name.endsWith('.rpm') ? 'package' : 'file';
    const wanted = kind === 'package' || wants.files || (wants.deltas && name.endsWith('.drpm'));
    if (!wanted) return pass('files of no declared tree');
    const size = lstatSync(join(directory, path), { throwIfNoEntry: false })?.size;
    if (isOdd(path)) problems.push(oddName(path));
    else if (size === undefined) problems.push(unreadable(path, { code: 'ENOENT' }));
    else if (size === 0 && kind === 'file') pass('empty files');
    else found.push({ path, kind, size });
  };
  await enter('');
  return { found: found.sort((a, b) => (a.path < b.path ? -1 : 1)), passedOver, problems };
}

/** Control characters would lie to whoever reads the output of rpmkeys, this program included. A name that is no UTF-8 cannot be opened. */
function isOdd(path: string): boolean {
  return /[\u0000-\u001f\u007f\ufffd]/.test(path);
}

function oddName(path: string): Problem {
  return {
    path,
    code: 'NAME_UNUSABLE',
    message: `${quoted(path)}: its name has control characters, or is no UTF-8`,
    remedy: 'Rename it and import again, or leave it to the next sync, which fetches what it needs.',
    exitCode: ExitCode.untrusted,
  };
}

/** A file or directory that cannot be read: the rest is imported without it. Throws what is no error of a file system. */
export function unreadable(path: string, error: unknown): Problem {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  const denied = code === 'EACCES' || code === 'EPERM';
  const gone = code === 'ENOENT' || code === 'ELOOP';
  return {
    path,
    code: 'FILE_UNREADABLE',
    message: `${path} ${gone ? 'went away, or became another file, meanwhile' : `cannot be read: ${denied ? 'permission denied' : code}`}`,
    remedy: denied ? READABLE : 'Import again; if it stays so, look at the kernel log (dmesg): the disk may be failing.',
    exitCode: ExitCode.environment,
  };
}

const READABLE = 'The tree is read with the rights of the user to whom the content belongs: let everybody read it (chmod -R a+rX).';

/** The tree itself. */
function inaccessible(path: string, error: unknown): MirrorError {
  const { code, message, remedy } = unreadable(path, error);
  return new MirrorError({ code, message, remedy, exitCode: ExitCode.environment, cause: error });
}

/** What is written by this program itself; a tree may lie beside it in the storage root. */
async function ownDirectories(layout: Layout): Promise<readonly string[]> {
  return Promise.all([layout.store, layout.repository('.')].map((path) => realpath(path).catch(() => path)));
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory + sep);
}
