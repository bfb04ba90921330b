/** Where a repository lies that `mirrorctl lint` looks at: a directory, or a web server. What is there is not trusted. */
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { upstreamUrl } from '../desired-state/validate';
import { DownloadError, isAbsent as isAbsentThere } from '../downloads/errors';
import { getSmall, HttpClient } from '../downloads/http';
import { readListing, unsafeName } from '../downloads/listing';
import { hrefOf } from './tree-source';

export interface Entry {
  readonly name: string;
  /** `other`: a link that leads nowhere, a device, a name that is no file name. */
  readonly kind: 'file' | 'folder' | 'other';
}

/** Paths are decoded and relative, `.` for the place itself. */
export interface LintSource {
  /** As the user named it. */
  readonly where: string;
  /** Names of the folders that it lies in, outermost first, and its own. */
  readonly segments: readonly string[];
  /** What a folder holds, by name; undefined where there is no such folder, or nobody lists it. */
  list(folder: string): Promise<readonly Entry[] | undefined>;
  /** Bytes of a file; undefined where there is none. */
  size(path: string): Promise<number | undefined>;
  /** Calls `work` with a file of this machine that has the content, of at most so many bytes; undefined where there is none. */
  read<T>(path: string, maxBytes: number, work: (file: string) => Promise<T>): Promise<T | undefined>;
  /** How many files may be looked at at a time. */
  readonly parallel: number;
  close(): Promise<void>;
}

/** Opens a directory or a URL. `scratch` is a directory for what is fetched. Throws a MirrorError for what is neither. */
export async function openSource(where: string, scratch: string): Promise<LintSource> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(where)) {
    const problem = upstreamUrl(where.endsWith('/') ? where : `${where}/`);
    if (problem !== undefined)
      throw unusable(`${JSON.stringify(where.slice(0, 300))} cannot be looked at: ${problem.allowed}`, problem.fix);
    return new WebSource(where.endsWith('/') ? where : `${where}/`, scratch);
  }
  const found = await stat(where).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw unusable(
      `there is no directory ${JSON.stringify(where)} that this user can see`,
      'Name a directory, or a URL (http:// or https://).',
    );
  return new DirectorySource(where);
}

class DirectorySource implements LintSource {
  readonly parallel = 4;

  constructor(readonly where: string) {}

  get segments(): readonly string[] {
    return resolve(this.where)
      .split('/')
      .filter((part) => part !== '');
  }

  async list(folder: string): Promise<readonly Entry[] | undefined> {
    const names = await readdir(join(this.where, folder)).catch(absent);
    if (names === undefined) return undefined;
    return Promise.all(
      names.sort().map(async (name): Promise<Entry> => ({ name, kind: await this.kindOf(join(this.where, folder, name), name) })),
    );
  }

  /** Through links: what is public is made of them. */
  private async kindOf(path: string, name: string): Promise<Entry['kind']> {
    if (unsafeName(name) !== undefined) return 'other';
    const found = await stat(path).catch(absent);
    return found?.isFile() === true ? 'file' : found?.isDirectory() === true ? 'folder' : 'other';
  }

  async size(path: string): Promise<number | undefined> {
    const found = await stat(join(this.where, path)).catch(absent);
    return found?.isFile() === true ? found.size : undefined;
  }

  async read<T>(path: string, maxBytes: number, work: (file: string) => Promise<T>): Promise<T | undefined> {
    const size = await this.size(path);
    if (size === undefined) return undefined;
    if (size > maxBytes) throw tooLarge(path, maxBytes);
    return work(join(this.where, path));
  }

  async close(): Promise<void> {
    // Nothing is held.
  }
}

const MAX_LISTING_BYTES = 16 * 1024 * 1024;

class WebSource implements LintSource {
  private readonly client = new HttpClient();
  private count = 0;

  constructor(
    readonly where: string,
    private readonly scratch: string,
  ) {}

  get segments(): readonly string[] {
    return new URL(this.where).pathname
      .split('/')
      .filter((part) => part !== '')
      .map((part) => decodeURIComponent(part));
  }

  get parallel(): number {
    return this.client.connections;
  }

  async list(folder: string): Promise<readonly Entry[] | undefined> {
    const url = folder === '.' ? this.where : `${this.urlOf(folder)}/`;
    const page = await getSmall(this.client, url, { maxBytes: MAX_LISTING_BYTES }).catch(absent);
    const names = page === undefined ? undefined : readListing(page.bytes.toString('utf8'), url);
    if (names === undefined || 'problem' in names) return undefined;
    return [
      ...names.files.map((name): Entry => ({ name, kind: 'file' })),
      ...names.folders.map((name): Entry => ({ name, kind: 'folder' })),
    ].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async size(path: string): Promise<number | undefined> {
    const start = await this.client.begin(this.urlOf(path), 1).catch(absent);
    return start === undefined ? undefined : (start.total ?? start.bytes.length);
  }

  async read<T>(path: string, maxBytes: number, work: (file: string) => Promise<T>): Promise<T | undefined> {
    const file = join(this.scratch, String(this.count++));
    const target = await open(file, 'wx');
    try {
      const answer = await this.client.get(this.urlOf(path), { maxBytes }, (chunk) => target.writeFile(chunk)).catch(absent);
      return answer === undefined ? undefined : await work(file);
    } finally {
      await target.close();
      await rm(file, { force: true });
    }
  }

  private urlOf(path: string): string {
    return this.where + hrefOf(path);
  }

  close(): Promise<void> {
    return this.client.close();
  }
}

/** What is not there is a finding; everything else that goes wrong ends the run. */
function absent(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof DownloadError ? isAbsentThere(error) : ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG'].includes(code ?? ''))
    return;
  throw error;
}

function tooLarge(path: string, maxBytes: number): MirrorError {
  return new MirrorError({
    code: 'FILE_TOO_LARGE',
    message: `${path} has more than ${maxBytes} bytes`,
    remedy: 'No real file of this kind is so large: look at how it came there.',
    exitCode: ExitCode.invalid,
  });
}

function unusable(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'USAGE', message, remedy, exitCode: ExitCode.usage });
}
