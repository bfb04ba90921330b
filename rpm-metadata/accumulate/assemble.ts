import { createHash } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PackageListKind } from '../packages';
import type { CataloguedFile } from './catalogue';
import { writeAll } from './fresh';
import { GrowingU32 } from './growing';
import { gunzipMember, gzipMember, inOrder } from './gzip';
import { type FileColumns, type Group, isCopied, type Member, type Part, planMembers } from './members';

/** Members of one file under way at a time: with three files, work for all of libuv's threads. */
const AHEAD = 2;

/** A file that members come from. */
export interface MemberSource {
  readonly columns: FileColumns;
  readonly file: FileHandle;
  /** Where the first member begins. */
  readonly start: number;
  /** For errors. */
  readonly what: string;
}

export interface Assembly {
  readonly kind: PackageListKind;
  readonly directory: string;
  readonly packages: number;
  readonly timestamp: number;
  readonly fresh: MemberSource;
  readonly old: (MemberSource & { readonly published: CataloguedFile; readonly path: string }) | undefined;
  /** The row in the new table of the package at a position of the old file; -1 when its fragment does not go on. */
  readonly newRow: (position: number) => number;
  readonly signal: AbortSignal;
  readonly memberBytes: number | undefined;
  /** An old member that cannot be read any more. */
  readonly damaged: (what: string, why: string) => Error;
}

const ROOTS: Readonly<Record<PackageListKind, readonly [string, string]>> = {
  primary: ['metadata', 'xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'],
  filelists: ['filelists', 'xmlns="http://linux.duke.edu/metadata/filelists"'],
  other: ['otherdata', 'xmlns="http://linux.duke.edu/metadata/other"'],
};

/** Makes one of the three files, named by its checksum. Members of which nothing changed are copied as they are. */
export async function assemble(work: Assembly): Promise<CataloguedFile> {
  const none: FileColumns = { rows: new Uint32Array(), lengths: new Uint32Array(), prints: new Uint32Array(), members: [] };
  const oldColumns = work.old?.columns ?? none;
  const groups = planMembers(oldColumns, (position) => work.newRow(position) >= 0, work.fresh.columns, work.memberBytes);
  const rows = new GrowingU32();
  const lengths = new GrowingU32();
  const prints = new GrowingU32();
  for (const part of groups.flat()) {
    const from = part.origin === 'old' ? oldColumns : work.fresh.columns;
    for (let position = part.first; position < part.first + part.count; position++) {
      const row = part.origin === 'old' ? work.newRow(position) : (from.rows[position] as number);
      if (row < 0) continue;
      rows.push(row);
      lengths.push(from.lengths[position] as number);
      prints.push(from.prints[position] as number);
    }
  }
  const columns = { rows: rows.view(), lengths: lengths.view(), prints: prints.view() };
  const same = await unchanged(work, groups);
  if (same !== undefined) return { ...same, ...columns };

  const temporary = join(work.directory, `.new-${work.kind}.xml.gz`);
  const file = await open(temporary, 'wx', 0o444);
  try {
    const written = await writeMembers(work, groups, file);
    const name = `${written.checksum}-${work.kind}.xml.gz`;
    await rename(temporary, join(work.directory, name));
    return { ...written, ...columns, name, timestamp: work.timestamp };
  } finally {
    await file.close();
    await rm(temporary, { force: true });
  }
}

/** When not one member changed, the file is the one that is published already: it is linked. */
async function unchanged({ old, directory, packages }: Assembly, groups: readonly Group[]): Promise<CataloguedFile | undefined> {
  if (old === undefined || groups.length !== old.columns.members.length || packages !== old.columns.rows.length) return undefined;
  if (!groups.every((group) => isCopied(group) && group[0]?.origin === 'old')) return undefined;
  const target = join(directory, old.published.name);
  // Another file system, or a link too many: it is written anew, with the same bytes.
  return link(old.path, target).then(
    () => old.published,
    () => undefined,
  );
}

type Written = Pick<CataloguedFile, 'checksum' | 'openChecksum' | 'size' | 'openSize' | 'headSize' | 'members'>;

async function writeMembers(work: Assembly, groups: readonly Group[], file: FileHandle): Promise<Written> {
  const closed = createHash('sha256');
  const opened = createHash('sha256');
  let size = 0;
  let openSize = 0;
  const members: Member[] = [];
  const write = async (bytes: Uint8Array, content: Uint8Array): Promise<void> => {
    work.signal.throwIfAborted();
    closed.update(bytes);
    opened.update(content);
    size += bytes.length;
    openSize += content.length;
    await writeAll(file, bytes);
  };
  const plain = async (text: string): Promise<void> => write(await gzipMember(Buffer.from(text)), Buffer.from(text));
  const [root, namespaces] = ROOTS[work.kind];
  await plain(`<?xml version="1.0" encoding="UTF-8"?>\n<${root} ${namespaces} packages="${work.packages}">\n`);
  const headSize = size;
  await inOrder(
    groups,
    AHEAD,
    (group) => memberOf(work, group),
    async ({ bytes, content }, group) => {
      members.push({ count: group.reduce((sum, part) => sum + part.kept, 0), size: bytes.length, open: content.length });
      await write(bytes, content);
    },
  );
  await plain(`</${root}>\n`);
  return { checksum: closed.digest('hex'), openChecksum: opened.digest('hex'), size, openSize, headSize, members };
}

async function memberOf(work: Assembly, group: Group): Promise<{ bytes: Buffer; content: Buffer }> {
  const read = await Promise.all(group.map((part) => readPart(work, part)));
  if (isCopied(group)) return read[0] as { bytes: Buffer; content: Buffer };
  const content = Buffer.concat(group.flatMap((part, i) => surviving(work, part, (read[i] as { content: Buffer }).content)));
  return { bytes: await gzipMember(content), content };
}

/** A member as it lies and its content, which the checksum of the open file needs and which proves that it is intact. */
async function readPart(work: Assembly, part: Part): Promise<{ bytes: Buffer; content: Buffer }> {
  const source = part.origin === 'old' ? (work.old as MemberSource) : work.fresh;
  const bytes = Buffer.allocUnsafeSlow(part.size);
  const { bytesRead } = await source.file.read(bytes, 0, part.size, source.start + part.offset);
  try {
    if (bytesRead !== part.size) throw new Error(`it ends ${part.size - bytesRead} bytes early`);
    return { bytes, content: await gunzipMember(bytes, part.open) };
  } catch (error) {
    throw work.damaged(source.what, error instanceof Error ? error.message : String(error));
  }
}

function surviving(work: Assembly, part: Part, content: Buffer): readonly Buffer[] {
  if (part.kept === part.count) return [content];
  const { lengths } = (work.old as MemberSource).columns;
  const pieces: Buffer[] = [];
  let at = 0;
  for (let position = part.first; position < part.first + part.count; position++) {
    const length = lengths[position] as number;
    if (work.newRow(position) >= 0) pieces.push(content.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
