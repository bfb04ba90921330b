/**
 * Builds in the directories of accounts that upload: trees that arrive over hours, in any order, and are complete when every file is there that
 * their `SHA256SUMS` names. Whoever has the account changes them while they are read: what upload-arrivals.ts says of that holds here, too.
 */
import { type BigIntStats, constants, lstatSync } from 'node:fs';
import { open, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { UPLOADS } from '../desired-state/model';
import { run } from '../signatures/run';
import { isTimestamp } from '../starlingx/build-layout';
import { isAbsent } from './files';
import { ARRIVING, AT_ONCE, inside, isDenied, lookAt, namesIn, readable, withDirectory } from './upload-arrivals';

/** What lies in the directory of a series. */
export interface BuildArrival {
  /** As people read it; of a build its time. */
  readonly name: string;
  readonly path: Buffer;
  readonly files: number;
  readonly bytes: number;
  /** When something of it changed last, by the clock of this host: no client sets that. In ms. */
  readonly changed: number;
  /** What is missing before it is complete; undefined of what is complete. */
  readonly lacks?: string;
  /** Why it is none that can be published, whatever else arrives. */
  readonly fault?: string;
  /** What interrupted transfers left, and its SHA256SUMS does not name: paths in it. */
  readonly leftovers: readonly string[];
}

export const BUILD_SUMS = 'SHA256SUMS';
/** A build of more files and directories is refused: it would occupy the server for hours. */
export const MAX_BUILD_FILES = 200_000;
/** A build of more bytes is refused. Files with holes have as many as they say: reading them takes as long. */
export const MAX_BUILD_BYTES = 256 * 1024 ** 3;
const MAX_DEPTH = 32;
const MAX_PATH = 1024;
/** A longer list of digests is none. */
const MAX_SUMS = 64 * 1024 ** 2;
/** So many names are told of what is missing. */
const NAMED = 5;
/** Where rsync keeps parts of files, and what files are called while it receives them. */
const PARTIAL = /(^|\/)(\.part|\.~tmp~|\.rsync-partial)\/|(^|\/)\.[^/]+\.[A-Za-z0-9]{6}$/;

/**
 * The oldest first; nothing where there is no such directory. Of many builds so many that they have twice as many files as one may have: the
 * next ones have their turn when those are gone.
 */
export async function buildsIn(directory: string, most = MAX_BUILD_FILES): Promise<readonly BuildArrival[]> {
  const found: BuildArrival[] = [];
  let looked = 0;
  for (const entry of (await namesIn(directory, AT_ONCE)) ?? []) {
    if (readable(entry).startsWith(UPLOADS.taken)) continue;
    const arrival = await buildArrival(directory, entry, most);
    if (arrival !== undefined) found.push(arrival);
    looked += arrival?.files ?? 0;
    if (looked > 2 * most) break;
  }
  return found.sort((a, b) => a.changed - b.changed || (a.name < b.name ? -1 : 1));
}

/** As it is now; undefined where it is gone. */
async function buildArrival(directory: string, entry: Buffer, most = MAX_BUILD_FILES): Promise<BuildArrival | undefined> {
  const path = inside(directory, entry);
  const stat = await lookAt(path);
  if (stat === undefined) return undefined;
  const name = readable(entry);
  const common = { name, path, files: 1, bytes: Number(stat.size), changed: Number(stat.ctimeMs), leftovers: [] };
  const unfinished = ARRIVING.test(name) ? { lacks: 'its name: it is called as what is not finished' } : {};
  if (!stat.isDirectory()) return { ...common, fault: 'it is no directory: a build is one, called by its time', ...unfinished };
  const walked = await withDirectory(path, (stable) => walk(stable, most));
  if (walked === undefined) return { ...common, fault: UNREADABLE, ...unfinished };
  const { files, bytes, faults, named } = walked;
  const changed = Math.max(common.changed, walked.changed);
  const all = { name, path, files: files.size, bytes, changed };
  if ('lacks' in unfinished) return { ...all, leftovers: [], ...unfinished };
  if (!isTimestamp(name)) faults.unshift('a build is called by the UTC time of its start, for instance 20261101T023000Z');
  if (faults.length > 0) return { ...all, leftovers: [], fault: faults[0] as string };
  const lacks = named === undefined ? BUILD_SUMS : missing([...named].filter((one) => !files.has(one)));
  const leftovers = [...files].filter((one) => named?.has(one) === false && PARTIAL.test(one));
  return { ...all, leftovers, ...(lacks === undefined ? {} : { lacks }) };
}

interface Walked {
  /** So many entries at most. */
  readonly most: number;
  /** Paths of files. */
  readonly files: Set<string>;
  readonly faults: string[];
  bytes: number;
  changed: number;
  entries: number;
  /** By its SHA256SUMS; undefined where that is not there. */
  named?: ReadonlySet<string>;
}

const UNREADABLE = 'it cannot be read: leave files and directories modes by which their group may read them (750, 640)';

async function walk(build: string, most: number): Promise<Walked> {
  const walked: Walked = { most, files: new Set(), faults: [], bytes: 0, changed: 0, entries: 0 };
  await walkInto(build, '', 1, walked);
  if (walked.bytes > MAX_BUILD_BYTES) walked.faults.push(`it has more than ${MAX_BUILD_BYTES / 1024 ** 3} GiB`);
  const named = walked.files.has(BUILD_SUMS) ? await namesOfSums(`${build}/${BUILD_SUMS}`) : undefined;
  return { ...walked, ...(named === undefined ? {} : { named }) };
}

async function walkInto(stable: string, above: string, depth: number, walked: Walked): Promise<void> {
  for (const entry of (await namesIn(stable, walked.most + 1)) ?? []) {
    // What is wrong with a part of it is wrong with all: no need to look at the rest.
    if (walked.faults.length > 0) return;
    if (++walked.entries > walked.most) {
      walked.faults.push(`it has more than ${walked.most} files and directories`);
      return;
    }
    const stat = lookQuickly(inside(stable, entry));
    if (stat === undefined) continue;
    walked.changed = Math.max(walked.changed, Number(stat.ctimeMs));
    const path = `${above}${entry.toString('utf8')}`;
    const fault = faultOf(entry, stat, path, depth);
    if (fault !== undefined) walked.faults.push(`${readable(Buffer.from(path))}: ${fault}`);
    else if (!stat.isDirectory()) {
      walked.files.add(path);
      walked.bytes += Number(stat.size);
    } else {
      const entered = await withDirectory(inside(stable, entry), async (below) => {
        await walkInto(below, `${path}/`, depth + 1, walked);
        return true;
      });
      // rsync makes its own so, and removes them when it has ended.
      if (entered === undefined && PARTIAL.test(`${path}/`)) walked.files.add(`${path}/`);
      else if (entered === undefined) walked.faults.push(`${readable(Buffer.from(path))}: ${UNREADABLE}`);
    }
  }
}

/** As `lookAt`, for many files: a promise for each takes ten times as long. */
function lookQuickly(path: Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (isAbsent(error) || isDenied(error)) return undefined;
    throw error;
  }
}

function faultOf(entry: Buffer, stat: BigIntStats, path: string, depth: number): string | undefined {
  const name = entry.toString('utf8');
  if (!Buffer.from(name).equals(entry) || /[\u0000-\u001f\u007f]/.test(name)) return 'its name is no text';
  if (stat.isSymbolicLink()) return 'it is a symbolic link: upload the file itself';
  if (!stat.isFile() && !stat.isDirectory()) return 'it is no regular file';
  if (stat.isFile() && stat.nlink > 1n) return 'the file has a second name (a hard link): upload a file of its own';
  if (path.length > MAX_PATH || depth > MAX_DEPTH) return `a path has at most ${MAX_PATH} characters and ${MAX_DEPTH} directories`;
  return undefined;
}

/** What a list of digests names; undefined where it is none that can be read. Whether it is right is judged by who publishes. */
async function namesOfSums(path: string): Promise<ReadonlySet<string> | undefined> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size > MAX_SUMS) return undefined;
    // No more than it had: it may grow while it is read.
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(stat.size), 0, stat.size, 0);
    return namedBySums(buffer.subarray(0, bytesRead).toString('utf8'));
  } finally {
    await handle.close();
  }
}

/** Paths, as sha256sum writes them. Pure. */
export function namedBySums(text: string): ReadonlySet<string> {
  const paths = text.split('\n').flatMap((line) => /^[0-9a-f]{64} [ *](?:\.\/)?(.+)$/.exec(line)?.[1] ?? []);
  return new Set(paths);
}

function missing(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const told = names.slice(0, NAMED).map((name) => readable(Buffer.from(name)).slice(0, 200));
  const more = names.length > NAMED ? `, and ${names.length - NAMED} more` : '';
  return `${names.length === 1 ? 'one file' : `${names.length} files`} that its ${BUILD_SUMS} names: ${told.join(', ')}${more}`;
}

/** Removes what interrupted transfers left. False where something of it does not let itself be removed. */
export async function removeLeftovers({ path, leftovers }: BuildArrival): Promise<boolean> {
  const removed = await withDirectory(path, async (stable) => {
    let all = true;
    for (const one of leftovers) all = (await removeFile(stable, one.split('/'))) && all;
    return all;
  });
  return removed === true;
}

/** Each directory of the path is entered as one: none is followed. */
async function removeFile(stable: string, [name = '', ...below]: readonly string[]): Promise<boolean> {
  const path = inside(stable, Buffer.from(name));
  if (below.length === 0) return unlink(path).then(always, never);
  const removed = await withDirectory(path, (inner) => removeFile(inner, below));
  // With something else in it, it stays.
  if (PARTIAL.test(`${name}/`)) await rmdir(path).catch(never);
  return removed === true;
}

const always = (): boolean => true;
const never = (): boolean => false;

/**
 * Takes a build out of the way, and removes it: for that it needs not be readable, nor its directories be the group's. What cannot be removed
 * the unit removes as the account (`UPLOADS.taken`). False where something of it changed since it was looked at: it then stays.
 */
export async function removeBuild(directory: string, arrival: BuildArrival): Promise<boolean> {
  const now = await buildArrival(directory, Buffer.from(arrival.name));
  if (now !== undefined && (now.changed !== arrival.changed || now.files !== arrival.files || now.bytes !== arrival.bytes)) return false;
  await setAside(directory, arrival);
  return true;
}

/** Takes something out of the way that is neither kept nor published, and removes it. False where it cannot be moved. */
export async function setAside(directory: string, { path, name }: Pick<BuildArrival, 'path' | 'name'>): Promise<boolean> {
  const aside = join(directory, `${UPLOADS.taken}${Date.now()}-${name.replaceAll(/[^A-Za-z0-9]/g, '_').slice(0, 40)}`);
  const moved = await rename(path, aside).then(always, never);
  // rm enters directories by descriptors: an account that puts links into their places while it works gets nothing else removed.
  if (moved) await run('rm', ['-rf', '--', aside]);
  return moved;
}
