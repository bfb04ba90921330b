/**
 * Archives that upstream does not have as such: of a commit of a git repository, or of a list of files below a URL. What is recorded of them is the digest
 * of the uncompressed tar, which is the same wherever it is made; what compresses it differs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Duplex, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { compressionOf } from '../desired-state/archives';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { DownloadError } from './errors';
import { downloadVerified } from './file';
import { fetchCommit, type GitOptions, startArchive } from './git';
import type { HttpClient } from './http';
import { forEachParallel } from './parallel';
import { type RetryOptions, Sources, withFailover } from './sources';

/** Everything in the archive is below `directory`. */
export type ArchiveSource =
  | { readonly method: 'git'; readonly url: string; readonly ref: string; readonly directory: string }
  | { readonly method: 'filelist'; readonly url: string; readonly members: readonly string[]; readonly directory: string };

export interface ArchiveOptions extends GitOptions {
  /** An empty directory with room for what is fetched; whoever made it removes it. */
  readonly work: string;
  readonly retry: RetryOptions;
  /** No archive is longer before it is compressed, nor what it is made of. @default 16 GiB */
  readonly maxArchiveBytes?: number;
  /**
   * Throws where there is no room: asked with what is announced before that is fetched, and, without an argument, whether anything may be added at all, before
   * each GiB that is written. @default nobody is asked
   */
  readonly room?: (announced?: { readonly bytes: number; readonly files: number }) => Promise<void>;
}

export interface MadeArchive {
  /** SHA-256 (hex) of the uncompressed tar. */
  readonly tar: string;
  /** SHA-256 (hex) of the file, and its size in bytes. */
  readonly sha256: string;
  readonly size: number;
}

/** Node knows gzip; these programs the others. */
const PROGRAMS = { bzip2: ['bzip2', '--stdout'], xz: ['xz', '--stdout', '--threads=1'] } as const;
const GIB = 1024 ** 3;
const MAX_ARCHIVE = 16 * GIB;
/** Of a member of which nothing says how long it is. */
const MAX_UNKNOWN = GIB;

/**
 * Makes the archive at `output`, read-only. Nothing is there before it is whole. Nothing is flushed to disk.
 *
 * @throws DownloadError that names the URL where something of it cannot be had
 */
export async function makeArchive(
  client: HttpClient,
  source: ArchiveSource,
  name: string,
  output: string,
  options: ArchiveOptions,
): Promise<MadeArchive> {
  await options.room?.();
  const tar = await (source.method === 'git' ? ofCommit(client, source, options) : ofMembers(client, source, options));
  const part = `${output}.new`;
  try {
    const made = await written(tar, name, part, source.url, options);
    await rename(part, output);
    return made;
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function ofCommit(
  client: HttpClient,
  { url, ref, directory }: ArchiveSource & { method: 'git' },
  options: ArchiveOptions,
): Promise<ChildProcess> {
  const repository = join(options.work, 'git');
  await mkdir(repository);
  const commit = await withFailover(new Sources([url]), options.retry, async () => {
    await rm(repository, { recursive: true });
    await mkdir(repository);
    return fetchCommit(client, url, ref, repository, options);
  });
  return startArchive(repository, commit, directory);
}

/** The same members give the same bytes: in the order of their names, without times, owners or modes of their own. */
async function ofMembers(
  client: HttpClient,
  { url, members, directory }: ArchiveSource & { method: 'filelist' },
  { work, retry, room, maxArchiveBytes = MAX_ARCHIVE }: ArchiveOptions,
): Promise<ChildProcess> {
  const root = join(work, 'members');
  for (const member of members) requireInside(root, directory, member);
  const base = url.endsWith('/') ? url : `${url}/`;
  const from = (member: string): string => base + member.split('/').map(encodeURIComponent).join('/');
  const sizes = new Map<string, number | undefined>();
  await forEachParallel(members, client.connections, async (member) => {
    const { total } = await withFailover(new Sources([from(member)]), retry, () => client.begin(from(member), 1));
    sizes.set(member, total);
  });
  const announced = [...sizes.values()].reduce<number>((sum, size) => sum + (size ?? 0), 0);
  if (announced > maxArchiveBytes) throw tooLong(url, maxArchiveBytes);
  // Once as they come, and once in the archive.
  await room?.({ bytes: 2 * announced, files: members.length + 1 });
  let bytes = 0;
  await forEachParallel(members, client.connections, async (member) => {
    const path = join(root, directory, member);
    await mkdir(dirname(path), { recursive: true });
    const size = sizes.get(member);
    const maxBytes = size === undefined ? Math.min(MAX_UNKNOWN, maxArchiveBytes) : maxArchiveBytes;
    const expected = { algorithm: 'sha256', hex: undefined, size, maxBytes, says: 'it was announced with' };
    await withFailover(new Sources([from(member)]), retry, () => downloadVerified(client, from(member), path, expected));
    if (size === undefined) await room?.();
    bytes += (await stat(path)).size;
    if (bytes > maxArchiveBytes) throw tooLong(url, maxArchiveBytes);
  });
  const [first] = directory.split('/') as [string];
  const argv = ['--create', '--format=gnu', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX'];
  return spawn('tar', [...argv, `--directory=${root}`, '--file=-', '--', first], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
  });
}

/** Whoever reads lists refuses such names; what is written to disk here must not depend on that. */
function requireInside(root: string, directory: string, member: string): void {
  const top = resolve(root, directory);
  if (top.startsWith(`${resolve(root)}${sep}`) && resolve(top, member).startsWith(`${top}${sep}`)) return;
  throw new MirrorError({
    code: 'MEMBER_UNSAFE',
    message: `the member ${JSON.stringify(member)} of the archive would be written outside of ${JSON.stringify(directory)}`,
    remedy: 'Correct the file list: its paths are below the URL, without "..".',
    exitCode: ExitCode.invalid,
  });
}

function tooLong(url: string, limit: number): DownloadError {
  return new DownloadError({
    kind: 'refused',
    code: 'BODY_TOO_LONG',
    message: `what the archive is to be made of at ${url} has more than ${limit} bytes before it is compressed`,
    remedy: 'The mirror makes no longer archive. Give the list the address of one that upstream made, or leave it out.',
  });
}

/** Compresses what a program writes to its standard output. Throws where that program, or the one that compresses, fails. */
async function written(
  tar: ChildProcess,
  name: string,
  output: string,
  url: string,
  { room, maxArchiveBytes = MAX_ARCHIVE }: ArchiveOptions,
): Promise<MadeArchive> {
  let refused: unknown;
  const refuse = (error: unknown): never => {
    refused = error;
    throw error;
  };
  const plain = new Meter((bytes) => (bytes > maxArchiveBytes ? refuse(tooLong(url, maxArchiveBytes)) : undefined));
  let asked = 0;
  const whole = new Meter((bytes) => {
    if (bytes < asked + GIB) return undefined;
    asked = bytes;
    return room?.().catch(refuse);
  });
  const { stream, ended } = compressor(name);
  const running = [finished(tar, 'the archive'), ended];
  const [tared, ...others] = await Promise.allSettled([
    ...running,
    pipeline([tar.stdout as NodeJS.ReadableStream, plain, ...stream, whole, createWriteStream(output, { mode: 0o444 })]),
  ]);
  if (refused !== undefined) throw refused as Error;
  // A program that failed says why; the broken pipe that follows says nothing.
  for (const result of [tared, ...others]) if (result?.status === 'rejected') throw result.reason as Error;
  return { tar: plain.digest, sha256: whole.digest, size: whole.bytes };
}

/** Passes on what comes, with its SHA-256 and its length. */
class Meter extends Transform {
  bytes = 0;
  private readonly hash = createHash('sha256');

  /** @param check is given the length so far, and throws to end it */
  constructor(private readonly check: (bytes: number) => Promise<void> | undefined) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.hash.update(chunk);
    this.bytes += chunk.length;
    void (async () => this.check(this.bytes))().then(() => done(undefined, chunk), done);
  }

  get digest(): string {
    return this.hash.digest('hex');
  }
}

function compressor(name: string): { readonly stream: readonly (Transform | Duplex)[]; readonly ended: Promise<void> } {
  const compression = compressionOf(name);
  const nothing = Promise.resolve();
  if (compression === undefined) throw new Error(`${name} does not say how it is compressed, and nobody refused it`);
  if (compression === 'none') return { stream: [], ended: nothing };
  if (compression === 'gzip') return { stream: [createGzip({ level: 9 })], ended: nothing };
  const [command, ...argv] = PROGRAMS[compression];
  const child = spawn(command, argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  return { stream: [Duplex.from({ writable: child.stdin, readable: child.stdout })], ended: finished(child, command) };
}

function finished(child: ChildProcess, what: string): Promise<void> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4096)));
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void =>
      reject(
        new MirrorError({
          code: 'ARCHIVE_FAILED',
          message: `${what} cannot be made: ${reason}`,
          remedy: 'Look whether git, tar, bzip2 and xz are installed, and whether the disk is full.',
          exitCode: ExitCode.environment,
        }),
      );
    child.on('error', (error) => fail(error.message));
    child.on('close', (code) => (code === 0 ? resolve() : fail(stderr.trim() || `it ended with ${code ?? 'a signal'}`)));
  });
}
