/**
 * What lies in the directories of accounts that upload. Whoever has the account changes these while they are read: nothing is followed, nothing
 * is believed that was not looked at, and a directory is worked in by its descriptor, whatever becomes of its name.
 */
import { type BigIntStats, constants } from 'node:fs';
import { lstat, open, opendir, rename, rmdir, unlink } from 'node:fs/promises';
import { isAbsent } from './files';
import { size } from './progress';

/** A file, or a directory of files that are published together or not at all. */
export interface Arrival {
  /** As people read it. */
  readonly name: string;
  readonly path: Buffer;
  readonly kind: 'file' | 'batch';
  /** Of a file itself; of a batch in it. */
  readonly files: readonly ArrivedFile[];
  readonly bytes: number;
  /** When something of it changed last, by the clock of this host: no client sets that. In ms. */
  readonly changed: number;
  /** Not complete by its name: a client renames it when it is. Or a batch with nothing in it. */
  readonly arriving: boolean;
  /** Why it is none that can be published, whatever is in it. */
  readonly fault?: string;
}

export interface ArrivedFile {
  readonly name: string;
  /** By which it is recognized: inode, size and time of the last change. */
  readonly mark: string;
}

/** What has not changed for so long is complete. In ms. */
export const SETTLED = 10_000;
/** While something arrives, and so long after its last change, the run waits for its end, so that it is taken at once. */
export const LINGERS = 60_000;
/** What is cut may still be on its way for so long after its last change. */
export const CUT_FOR = 15 * 60_000;
/** So many entries of a directory are looked at in one go; the next ones have their turn when those are gone. */
export const AT_ONCE = 1000;
/** A batch of more is refused: nobody could read its result. */
export const MAX_BATCH = 5000;
/** A call of publish has no more bytes than these: deploys wait for it. */
export const MAX_BYTES = 16 * 1024 ** 3;
/** The same of the files in all batches together: an account that has many takes no memory from what looks after all. */
const FILES_AT_ONCE = 4 * MAX_BATCH;
/** Names that clients give what they have not finished: ours, WinSCP's, and hidden ones (lftp). */
export const ARRIVING = /^\.|\.(part|filepart)$/;
/** What the name of a package file can be. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+~^-]*\.rpm$/;
/** What the name of a batch can be: it becomes the name of its result. */
const BATCH = /^[A-Za-z0-9][A-Za-z0-9._+~^-]{0,99}$/;

/** What lies in the directory of a component, the oldest first; nothing where there is no such directory. */
export async function arrivalsIn(directory: string): Promise<readonly Arrival[]> {
  const found: Arrival[] = [];
  let files = 0;
  for (const entry of (await namesIn(directory, AT_ONCE)) ?? []) {
    const arrival = await arrivalOf(directory, entry);
    if (arrival !== undefined) found.push(arrival);
    files += arrival?.files.length ?? 0;
    if (files > FILES_AT_ONCE) break;
  }
  return found.sort((a, b) => a.changed - b.changed || (a.name < b.name ? -1 : 1));
}

/** Names as the file system has them: they need not be text. Undefined where there is no such directory, or it cannot be read. */
export async function namesIn(directory: string | Buffer, most: number): Promise<readonly Buffer[] | undefined> {
  const names: Buffer[] = [];
  try {
    // The type of Node's encoding is that of strings.
    const entries = await opendir(directory, { encoding: 'buffer' as BufferEncoding, bufferSize: 1024 });
    for await (const entry of entries) {
      names.push(entry.name as unknown as Buffer);
      if (names.length >= most) break;
    }
  } catch (error) {
    if (isAbsent(error) || isDenied(error)) return undefined;
    throw error;
  }
  return names;
}

async function arrivalOf(directory: string, entry: Buffer): Promise<Arrival | undefined> {
  const path = inside(directory, entry);
  const stat = await lookAt(path);
  if (stat === undefined) return undefined;
  const name = readable(entry);
  const common = { name, path, arriving: ARRIVING.test(name), bytes: Number(stat.size), changed: Number(stat.ctimeMs) };
  if (!stat.isDirectory()) {
    const fault = faultOf(name, entry, stat);
    return { ...common, kind: 'file', files: [{ name, mark: markOf(stat) }], ...(fault === undefined ? {} : { fault }) };
  }
  const batch = { ...common, kind: 'batch', files: [] as ArrivedFile[], bytes: 0 } as const;
  if (!isText(entry) || (!BATCH.test(name) && !common.arriving))
    return { ...batch, fault: 'its name has characters that no name of a batch has, or is longer than 100' };
  const inIt = await withDirectory(path, (stable) => filesOf(stable));
  if (inIt === undefined) return { ...batch, fault: 'it cannot be read: leave directories the mode that they get (770)' };
  // Somebody made it, and has put nothing into it yet.
  const arriving = common.arriving || (inIt.files.length === 0 && inIt.fault === undefined);
  return { ...batch, ...inIt, arriving, changed: Math.max(common.changed, inIt.changed) };
}

async function filesOf(directory: string): Promise<Pick<Arrival, 'files' | 'bytes' | 'changed'> & { fault?: string }> {
  const files: ArrivedFile[] = [];
  const faults: string[] = [];
  let [bytes, changed] = [0, 0];
  const names = (await namesIn(directory, MAX_BATCH + 1)) ?? [];
  if (names.length > MAX_BATCH) return { files, bytes, changed, fault: `it has more than ${MAX_BATCH} files: upload it in parts` };
  for (const entry of [...names].sort((a, b) => Buffer.compare(a, b))) {
    const stat = await lookAt(inside(directory, entry));
    if (stat === undefined) continue;
    const name = readable(entry);
    const fault = faultOf(name, entry, stat);
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
    files.push({ name, mark: markOf(stat) });
    bytes += Number(stat.size);
    changed = Math.max(changed, Number(stat.ctimeMs));
  }
  if (bytes > MAX_BYTES) faults.push(`it has ${size(bytes)}, and a batch has at most ${size(MAX_BYTES)}: upload it in parts`);
  const [fault] = faults;
  return { files, bytes, changed, ...(fault === undefined ? {} : { fault }) };
}

function faultOf(name: string, entry: Buffer, stat: BigIntStats): string | undefined {
  if (stat.isSymbolicLink()) return 'it is a symbolic link: upload the file itself';
  if (stat.isDirectory()) return 'it is a directory in a directory: put the files of a batch beside each other';
  if (!stat.isFile()) return 'it is no regular file';
  if (stat.nlink > 1n) return 'the file has a second name (a hard link): upload a file of its own';
  if (!isText(entry) || !NAME.test(name)) return 'its name is not that of a package: NAME-VERSION-RELEASE.ARCH.rpm';
  return undefined;
}

/** Undefined where there is nothing, or it may not be looked at. */
export async function lookAt(path: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isAbsent(error) || isDenied(error)) return undefined;
    throw error;
  }
}

function markOf(stat: BigIntStats): string {
  return `${stat.ino} ${stat.size} ${stat.ctimeNs}`;
}

/** Works in a directory that was opened as one; undefined where it is none (any more), or may not be entered. */
export async function withDirectory<T>(path: Buffer, work: (stable: string) => Promise<T>): Promise<T | undefined> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    return await work(`/proc/self/fd/${handle.fd}`);
  } finally {
    await handle.close();
  }
}

/** Removes what was taken. What changed since it was looked at is something else, and stays. */
export async function removeTaken(arrival: Arrival): Promise<void> {
  if (arrival.kind === 'file') {
    await removeUnchanged(arrival.path, arrival.files[0] as ArrivedFile);
    return;
  }
  await withDirectory(arrival.path, async (stable) => {
    for (const file of arrival.files) await removeUnchanged(inside(stable, Buffer.from(file.name)), file);
  });
  // With something else in it, it is the next batch of that name.
  await rmdir(arrival.path).catch(() => undefined);
}

async function removeUnchanged(path: Buffer, { mark }: ArrivedFile): Promise<void> {
  const stat = await lookAt(path);
  if (stat !== undefined && markOf(stat) === mark) await unlink(path);
}

/** Moves what is refused to where the account cannot enter. False where it does not let itself be moved: it then stays. */
export async function moveAway(arrival: Pick<Arrival, 'path'>, target: string): Promise<boolean> {
  try {
    await rename(arrival.path, target);
    return true;
  } catch (error) {
    if (isAbsent(error) || isDenied(error)) return false;
    throw error;
  }
}

/** The name with what no text has, or would disturb one, replaced. */
export function readable(entry: Buffer): string {
  return entry.toString('utf8').replace(/[^\x20-\x7e]/g, '?');
}

function isText(entry: Buffer): boolean {
  return Buffer.from(readable(entry)).equals(entry);
}

export function inside(directory: string, entry: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), entry]);
}

export function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}
