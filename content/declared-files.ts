/** Files of which each has an address of its own: into the store, each with the digest that is declared, or as it was first seen. */
import { statSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { sha256 } from '../desired-state/canonical';
import { MirrorError } from '../desired-state/errors';
import { archiveKind, isNamedAsArchive, TELLING_BYTES } from '../downloads/archive-kind';
import { DownloadError } from '../downloads/errors';
import { downloadVerified, type Expectation } from '../downloads/file';
import type { HttpClient } from '../downloads/http';
import { forEachParallel } from '../downloads/parallel';
import { type RetryOptions, Sources, withFailover } from '../downloads/sources';
import type { Checksum } from '../rpm-metadata/checksum';
import { missingFiles } from './fetch';
import { problemOf } from './problems';
import type { Problem } from './record';
import type { Incoming, Store } from './store';

/** A file as it is asked for. */
export interface DeclaredFile {
  /** What it is called here, for messages. Two files may have one URL. */
  readonly path: string;
  readonly url: string;
  /** SHA-256 (hex) that it must have. Without it: that of the first time, else any. */
  readonly sha256?: string | undefined;
}

/** What a URL had when it was fetched for the first time. */
export interface SeenFile {
  readonly sha256: string;
  readonly size: number;
}

/** A file that is in the store, or in `incoming`. */
export interface TakenFile extends SeenFile {
  readonly path: string;
  readonly url: string;
}

export interface DeclaredContext {
  /** Reaches private addresses of the declared hosts only (`reaching`). */
  readonly client: HttpClient;
  readonly retry: RetryOptions;
  readonly store: Store;
  readonly incoming: Incoming;
  /** Called once, before anything is fetched, with what is missing. What it throws ends the run: the disk is full. */
  readonly announce: (files: number, bytes: number) => Promise<void>;
  readonly onBytes: (count: number) => void;
  readonly onFile: () => void;
}

export interface Declared {
  /** In the order in which they were asked for. */
  readonly taken: readonly TakenFile[];
  /** What could not be had or was not taken, by path. */
  readonly problems: readonly Problem[];
}

/** The cap of a file of which nothing says how long it is. */
const MAX_UNKNOWN = 1024 * 1024 * 1024;
/** No file is longer. */
const MAX_FILE = 64 * 1024 * 1024 * 1024;
const COMMIT_BYTES = 1024 * 1024 * 1024;
/** So many files of one host in a row that could not be had: the others there are not asked for. */
const MAX_IN_A_ROW = 3;

/** One download; several files may want it. */
interface Job {
  readonly url: string;
  readonly files: readonly DeclaredFile[];
  readonly declared: string | undefined;
  readonly seen: SeenFile | undefined;
  readonly size: number | undefined;
}

/**
 * Fetches what neither the store nor an earlier run has, several at a time. A file that cannot be had, or is another one than its digest says, is a
 * problem and stops no other. What was seen before under a URL is taken from the store without asking, and nothing else is ever taken under that URL
 * unless its digest is declared.
 *
 * @param seen URL → what it had the first time
 */
export async function fetchDeclared(
  context: DeclaredContext,
  files: readonly DeclaredFile[],
  seen: ReadonlyMap<string, SeenFile>,
): Promise<Declared> {
  const { store, incoming, client } = context;
  const jobs = jobsOf(files, seen);
  const known = jobs.flatMap((job) => (expectedOf(job) === undefined ? [] : [{ checksum: checksumOf(expectedOf(job) as string), job }]));
  const missingDigests = new Set((await missingFiles(store, incoming, known)).map(({ checksum }) => checksum.hex));
  const wanted = jobs.filter((job) => missingDigests.has(expectedOf(job) ?? '') || expectedOf(job) === undefined);
  const sized = await sizes(client, wanted, context.retry);
  if (sized.length > 0)
    await context.announce(
      sized.length,
      sized.reduce((sum, { size }) => sum + (size ?? 0), 0),
    );
  const digests = new Map<Job['files'], string>();
  for (const job of jobs) if (!wanted.includes(job)) digests.set(job.files, expectedOf(job) as string);
  const failures = new Map<Job['files'], MirrorError>();
  const dead = new DeadHosts();
  await forEachParallel(sized, client.connections, async (job) => {
    try {
      dead.refuse(job.url);
      digests.set(job.files, await fetchOne(context, job));
      dead.answered(job.url);
      context.onFile();
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      dead.failed(job.url, error);
      failures.set(job.files, told(error, job));
      return;
    }
    await incoming.commitBeyond(COMMIT_BYTES);
  });
  const taken = new Map<string, TakenFile>();
  for (const [wanting, hex] of digests) {
    const { size } = statSync(incoming.locate(checksumOf(hex)));
    for (const { path, url } of wanting) taken.set(path, { path, url, sha256: hex, size });
  }
  return {
    taken: files.flatMap(({ path }) => taken.get(path) ?? []),
    problems: [...failures].flatMap(([wanting, error]) => wanting.map(({ path, url }) => problemOf(path, url, error))),
  };
}

/** One job for all files of one URL that must have the same digest. */
function jobsOf(files: readonly DeclaredFile[], seen: ReadonlyMap<string, SeenFile>): readonly Job[] {
  const groups = new Map<string, DeclaredFile[]>();
  for (const file of files) {
    const key = `${file.url} ${file.sha256 ?? ''}`;
    groups.set(key, [...(groups.get(key) ?? []), file]);
  }
  return [...groups.values()].map((group) => {
    const [{ url, sha256: declared }] = group as [DeclaredFile];
    const before = seen.get(url);
    const same = before !== undefined && (declared === undefined || before.sha256 === declared) ? before : undefined;
    return { url, files: group, declared, seen: same, size: same?.size };
  });
}

function expectedOf({ declared, seen }: Job): string | undefined {
  return declared ?? seen?.sha256;
}

/** Where only the server knows how long a file is: it bounds what may come, and says whether it fits. */
async function sizes(client: HttpClient, jobs: readonly Job[], retry: RetryOptions): Promise<readonly Job[]> {
  const result = new Map<Job, Job>();
  const dead = new DeadHosts();
  await forEachParallel(jobs, client.connections, async (job) => {
    result.set(job, job);
    if (job.size !== undefined) return;
    try {
      dead.refuse(job.url);
      const { total } = await withFailover(new Sources([job.url]), { ...retry, tries: 1 }, () => client.begin(job.url, 1));
      if (total !== undefined && total <= MAX_FILE) result.set(job, { ...job, size: total });
    } catch (error) {
      // The download itself says what is wrong.
      if (!(error instanceof DownloadError)) throw error;
      dead.failed(job.url, error);
    }
  });
  return jobs.map((job) => result.get(job) as Job);
}

/** Brings one file into `incoming`. Returns its SHA-256. */
async function fetchOne({ client, retry, incoming, store, onBytes }: DeclaredContext, job: Job): Promise<string> {
  const { url } = job;
  const hex = expectedOf(job);
  // A beginning that is left there is continued by the next run, whatever the file turns out to be.
  const path = incoming.path(checksumOf(hex ?? sha256(`first sight of ${url}`)));
  const expected: Expectation = {
    algorithm: 'sha256',
    hex,
    size: job.size,
    maxBytes: MAX_UNKNOWN,
    says: hex === undefined ? 'it was announced with' : job.declared === undefined ? 'when it was first fetched it had' : 'recorded is',
  };
  const done = await withFailover(new Sources([url]), retry, () => downloadVerified(client, url, path, expected, onBytes));
  if (hex === undefined) {
    await refuseOther(path, job);
    const checksum = checksumOf(done.sha256);
    if (incoming.has(checksum) || store.has(checksum, done.size)) {
      await rm(path);
      return done.sha256;
    }
    await rename(path, incoming.path(checksum));
  }
  incoming.add(checksumOf(done.sha256), done.sha256, done.size);
  return done.sha256;
}

/** At first sight there is no digest, but a page that says "log in" is no tarball. */
async function refuseOther(path: string, { url, files }: Job): Promise<void> {
  if (!files.some((file) => isNamedAsArchive(file.path))) return;
  const file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(TELLING_BYTES), 0, TELLING_BYTES, 0).finally(() => file.close());
  const beginning = buffer.subarray(0, bytesRead);
  if (archiveKind(beginning) !== undefined) return;
  await rm(path);
  throw new DownloadError({
    kind: 'corrupt',
    code: 'NOT_AN_ARCHIVE',
    message: `${url} is no archive, which its name says it is: it begins with ${JSON.stringify(beginning.toString('latin1', 0, 40)).replace(/[^ -~]/g, '?')}`,
    remedy: 'Look at the address with curl: a portal or an error page answers there. Correct the address, or leave the file out.',
  });
}

/** Hosts that do not answer: each costs its timeouts a few times and not once a file. */
class DeadHosts {
  private readonly inARow = new Map<string, number>();

  refuse(url: string): void {
    const { host } = new URL(url);
    if ((this.inARow.get(host) ?? 0) < MAX_IN_A_ROW) return;
    throw new DownloadError({
      kind: 'transient',
      message: `${url} was not asked for: ${MAX_IN_A_ROW} files in a row of ${host} could not be had`,
    });
  }

  answered(url: string): void {
    this.inARow.delete(new URL(url).host);
  }

  failed(url: string, error: MirrorError): void {
    const { host } = new URL(url);
    if (error instanceof DownloadError && error.kind === 'transient') this.inARow.set(host, (this.inARow.get(host) ?? 0) + 1);
    else this.inARow.delete(host);
  }
}

/** The error with a remedy that fits: there is one address, and the digest is the project's. */
function told(error: MirrorError, { url, declared, seen }: Pick<Job, 'url' | 'declared' | 'seen'>): MirrorError {
  if (!(error instanceof DownloadError) || error.code === 'NOT_AN_ARCHIVE') return error;
  if (error.code === 'BODY_TOO_LONG' && seen !== undefined) {
    const message = `${url} has more than the ${seen.size} bytes that it had when it was first fetched`;
    return told(new DownloadError({ kind: 'corrupt', message, cause: error }), { url, declared, seen });
  }
  const { code, message, exitCode } = error;
  const elsewhere = 'Look at the address with curl; give the file another one in its list, or leave it out of the declaration.';
  const remedies: Record<typeof error.kind, string> = {
    corrupt:
      declared === undefined && seen !== undefined
        ? 'What it had then stays. If the new content is meant, record its digest in the file of digests of the declaration.'
        : 'It is not taken. If the content at the address is meant, record its digest in the file of digests of the declaration; else tell upstream.',
    transient: 'The next run asks again. If it stays so, give the file another address in its list.',
    missing: elsewhere,
    refused: error.status === undefined ? error.remedy.replace('put its address into fetchFrom', 'put it into the list') : elsewhere,
  };
  return new MirrorError({ code, message, remedy: remedies[error.kind], exitCode, cause: error });
}

function checksumOf(hex: string): Checksum {
  return { algorithm: 'sha256', hex };
}
