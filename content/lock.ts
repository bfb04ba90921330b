import { mkdir, open, readFile, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { run } from '../signatures/run';

export interface WaitOptions {
  /** @default 0 */
  readonly waitSeconds?: number;
  /**
   * So long it may take those who look for the holder (`lockHolder`) to be out of the way. In seconds.
   * @default 0
   */
  readonly lookSeconds?: number;
  /** Beside others that share it; who takes it alone waits for all of them. */
  readonly shared?: true;
  /** Ends the wait, with its reason. */
  readonly signal?: AbortSignal;
  /** Called with who holds the lock, when there is somebody to wait for. */
  readonly onWait?: (why: string) => void;
}

/** Waits so long, and says for whom. */
export function waitingFor({ waitSeconds, say }: { readonly waitSeconds: number; readonly say: (text: string) => void }): WaitOptions {
  return { waitSeconds, onWait: (why) => say(`${why}; waiting for it to end`) };
}

/**
 * A lock of the kernel on a file. `flock` takes it as a child that shares our open file description, so it stays with our descriptor until
 * we close it or die: there are no stale locks, whatever the file says.
 */
export class Lock {
  private constructor(private readonly file: FileHandle) {}

  /**
   * Takes the lock, or throws a MirrorError that says who holds it: at once, or after `waitSeconds`. `what` names the thing, for instance
   * `epel-7`.
   */
  static async take(path: string, what: string, options: WaitOptions = {}): Promise<Lock> {
    const { waitSeconds = 0, lookSeconds = 0, shared, signal } = options;
    const how = shared === undefined ? {} : { shared };
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'a+', 0o644);
    try {
      if (!(await tryLock(file, { ...how, seconds: lookSeconds }))) {
        const error = await held(path, what);
        if (waitSeconds <= 0) throw error;
        options.onWait?.(error.message);
        if (!(await tryLock(file, { ...how, seconds: waitSeconds, signal }))) throw await held(path, what);
      }
      // One of those who share it is named.
      await file.truncate(0);
      await file.appendFile(
        `${JSON.stringify({ what, pid: process.pid, command: process.argv.slice(2).join(' '), since: new Date().toISOString() })}\n`,
      );
      return new Lock(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** A child that inherits it has a share of the lock, also when this process dies. */
  get descriptor(): number {
    return this.file.fd;
  }

  async release(): Promise<void> {
    // A file with a holder that nobody locks is one of a process that died.
    await this.file.truncate(0).catch(() => undefined);
    await this.file.close();
  }
}

/** Runs `work` while it holds a lock: see `Lock.take`. */
export async function holding<T>(path: string, what: string, options: WaitOptions, work: () => Promise<T>): Promise<T> {
  const lock = await Lock.take(path, what, options);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Runs `work` beside others that put into the store or link from it, and not while unused files are taken away, which takes seconds. */
export function usingStore<T>({ storeLock }: { readonly storeLock: string }, work: () => Promise<T>): Promise<T> {
  return holding(storeLock, 'the store', { shared: true, waitSeconds: 3600 }, work);
}

/** Who holds a lock: nobody, a process, or one that died with it. */
export async function lockHolder(path: string): Promise<'none' | 'alive' | 'dead'> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return 'none';
  try {
    if ((await file.stat()).size === 0) return 'none';
    return (await tryLock(file, { shared: true })) ? 'dead' : 'alive';
  } finally {
    await file.close();
  }
}

interface TryOptions {
  readonly seconds?: number;
  /** Beside others that share it. */
  readonly shared?: true;
  readonly signal?: AbortSignal | undefined;
}

/** The kernel wakes those who wait one after the other. */
async function tryLock(file: FileHandle, { seconds = 0, shared, signal }: TryOptions): Promise<boolean> {
  signal?.throwIfAborted();
  const how = [...(shared === true ? ['-s'] : []), ...(seconds > 0 ? ['-w', String(seconds)] : ['-n'])];
  const options = { fds: [file.fd], ...(signal === undefined ? {} : { signal }) };
  const { code, stderr } = await run('flock', [...how, '3'], options).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
  if (code > 1) throw new Error(`flock ended with ${code}: ${stderr.trim()}`);
  return code === 0;
}

async function held(path: string, what: string): Promise<MirrorError> {
  let holder = 'another process';
  try {
    const info = JSON.parse(await readFile(path, 'utf8')) as { pid: number; command: string; since: string };
    holder = `process ${info.pid} (mirrorctl ${info.command}) since ${info.since}`;
  } catch {
    // The holder has not written it yet: the lock counts, the text is for people.
  }
  return new MirrorError({
    code: 'LOCKED',
    message: `${what} is locked by ${holder}`,
    remedy: 'Wait for it to end. The lock goes with the process; there is no file to delete.',
    exitCode: ExitCode.locked,
  });
}
