/** rsync modules: what is there, and files by name, fetched by the real program into a directory that holds nothing else. */
import { spawn } from 'node:child_process';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { bounded } from './bounded';
import { DownloadError } from './errors';
import { rsyncFailure } from './rsync-errors';

export interface RsyncOptions {
  /** Bytes a second. @default unlimited */
  readonly bandwidth?: number | undefined;
  /** Seconds until a connection must stand. @default 15 */
  readonly connectSeconds?: number;
  /** Seconds that the server may be silent. @default 60 */
  readonly idleSeconds?: number;
  /** Seconds until the first file must arrive, or a listing be complete: a server may greet for ever. @default 600 */
  readonly startSeconds?: number;
  /** Fewer than this many bytes a second over `lowSpeedSeconds` are given up. @default 1000 */
  readonly lowSpeedBytes?: number;
  /** @default 30 */
  readonly lowSpeedSeconds?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What a run ended with. */
export interface RsyncResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A name beside the files in which rsync keeps what was cut off, for the next run. No upstream file has it. */
export const PARTIAL = '.rsync-partial';

/**
 * `-s` keeps the server from splitting or expanding what is asked for. No links, devices or owners: what is no regular file never arrives,
 * and what arrives is ours to read, whatever its mode was.
 */
const ALWAYS = [
  '--protect-args',
  '--no-motd',
  '--no-human-readable',
  '--from0',
  '--files-from=-',
  '--no-links',
  '--safe-links',
  '--no-devices',
  '--no-specials',
  '--no-owner',
  '--no-group',
  '--no-times',
] as const;
const MAX_ERRORS = 256 * 1024;
/** One line names one file; more text than this is no listing. */
const MAX_LISTING = 64 * 1024 * 1024;

/** The lines of `rsync --list-only` for these paths (`.`: the base) and, when `deep`, everything below. Throws a DownloadError. */
export async function rsyncList(base: string, paths: readonly string[], options: RsyncOptions, deep: boolean): Promise<string> {
  const argv = [...ALWAYS, ...limitsOf(options), '--list-only', ...(deep ? ['--recursive'] : []), moduleOf(base).module, './'];
  const result = await runRsync(base, argv, paths, MAX_LISTING, { ...options, lowSpeedSeconds: Infinity }, () => undefined);
  // 24: something went away meanwhile, and is not listed. A folder that is not there, or cannot be read, is 23.
  if (result.code !== 0 && result.code !== 24 && (deep || result.code !== 23)) throw rsyncFailure(base, result);
  return result.stdout;
}

export interface RsyncFetch {
  /** Paths below the base; each was judged before. */
  readonly paths: readonly string[];
  /** Where they arrive, by their paths in the module. */
  readonly directory: string;
  /** No file may be longer; a longer one is left out, and one that grows meanwhile is cut off. */
  readonly maxBytes: number;
  readonly onBytes: (count: number) => void;
}

/**
 * Fetches files. What could not be had is not there afterwards, and the output says why: the caller looks at each. Throws a DownloadError
 * when nothing can be had at all.
 */
export async function rsyncFetch(base: string, fetch: RsyncFetch, options: RsyncOptions): Promise<RsyncResult> {
  const argv = [
    ...ALWAYS,
    ...limitsOf(options),
    '--no-implied-dirs',
    '--perms',
    '--chmod=D0700,F0600',
    `--max-size=${fetch.maxBytes}`,
    `--partial-dir=${PARTIAL}`,
    '--info=progress2',
    '--outbuf=L',
    moduleOf(base).module,
    `${fetch.directory}/`,
  ];
  let told = 0;
  const onProgress = (bytes: number): void => {
    if (bytes > told) fetch.onBytes(bytes - told);
    told = Math.max(told, bytes);
  };
  // rsync writes what the server sends; the limit of the process holds where the server announced less.
  const limit = [`--fsize=${fetch.maxBytes + 1024}`];
  const result = await runRsync(base, argv, fetch.paths, MAX_ERRORS, options, onProgress, limit);
  if (![0, 23, 24, 25].includes(result.code)) throw rsyncFailure(base, result);
  return result;
}

/**
 * The module of a base URL, as rsync takes it (nothing in it is encoded), and the folder in it, with a slash at its end. Names are sent
 * relative to the module: rsync daemons of 2026 do not find names that are relative to a folder when they run without chroot.
 */
export function moduleOf(base: string): { readonly module: string; readonly folder: string } {
  const [, authority, path] = /^rsync:\/\/([^/]+)(\/.*)$/.exec(base) as unknown as [string, string, string];
  const [name, ...rest] = decodeURIComponent(path)
    .split('/')
    .filter((segment) => segment !== '');
  return { module: `rsync://${authority}/${name}/`, folder: rest.map((segment) => `${segment}/`).join('') };
}

function limitsOf(options: RsyncOptions): string[] {
  return [
    `--timeout=${options.idleSeconds ?? 60}`,
    `--contimeout=${options.connectSeconds ?? 15}`,
    '--max-alloc=256m',
    ...(options.bandwidth === undefined ? [] : [`--bwlimit=${Math.max(1, Math.floor(options.bandwidth / 1024))}`]),
  ];
}

/**
 * Runs rsync without a shell, with the names on its standard input. It ends with us (a mirrorctl that was killed leaves no rsync that goes
 * on writing), asks nobody for a password, and takes nothing from the environment.
 */
function runRsync(
  base: string,
  argv: readonly string[],
  names: readonly string[],
  maxOutput: number,
  options: RsyncOptions,
  onProgress: (bytes: number) => void,
  limits: readonly string[] = [],
): Promise<RsyncResult> {
  return new Promise((resolve, reject) => {
    const [command, ...rest] = [...bounded(limits), 'rsync', ...argv] as [string, ...string[]];
    const child = spawn(command, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // A session of its own: no terminal to ask for a password on, and one group to end.
      detached: true,
      env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', RSYNC_PASSWORD: '' },
    });
    const output: Buffer[] = [];
    let size = 0;
    let stderr = '';
    let why: DownloadError | undefined;
    const stop = (error: DownloadError): void => {
      if (why !== undefined) return;
      why = error;
      end('SIGTERM');
      setTimeout(() => end('SIGKILL'), 3000).unref();
    };
    const end = (signal: NodeJS.Signals): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // It ended by itself.
      }
    };
    const watch = new SpeedWatch(options);
    const ticker = setInterval(() => {
      const slow = watch.verdict(Date.now());
      if (slow !== undefined) stop(new DownloadError({ kind: 'transient', code: 'UPSTREAM_SLOW', message: `${base} ${slow}` }));
    }, 200);
    const abort = (): void => stop(new DownloadError({ kind: 'transient', message: `${base}: given up`, cause: options.signal?.reason }));
    options.signal?.addEventListener('abort', abort, { once: true });

    child.stdout.on('data', (chunk: Buffer) => {
      const bytes = progressOf(chunk);
      if (bytes !== undefined) {
        watch.progress(bytes, Date.now());
        onProgress(bytes);
      }
      size += chunk.length;
      if (size <= maxOutput) output.push(chunk);
      // The progress of a long transfer is longer than anything worth keeping; a listing must be kept whole.
      else if (argv.includes('--list-only')) {
        stop(
          new DownloadError({
            kind: 'refused',
            code: 'LISTING_UNUSABLE',
            message: `${base}: its listing does not end`,
            exitCode: ExitCode.untrusted,
          }),
        );
      }
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < MAX_ERRORS) stderr += text;
    });
    const finish = (): void => {
      clearInterval(ticker);
      options.signal?.removeEventListener('abort', abort);
    };
    child.on('error', (error) => {
      finish();
      reject((error as NodeJS.ErrnoException).code === 'ENOENT' ? toolMissing('rsync', 'rsync') : error);
    });
    child.on('close', (code, signal) => {
      finish();
      if (why !== undefined) return reject(why);
      if (code === 127) return reject(toolMissing(/prlimit/.test(stderr) ? 'rsync' : 'prlimit', 'rsync util-linux'));
      resolve({ code: code ?? (signal === null ? -1 : 128), stdout: Buffer.concat(output).toString('latin1'), stderr });
    });
    child.stdin.on('error', () => undefined);
    const { folder } = moduleOf(base);
    const inModule = (name: string): string => (name === '.' ? folder.replace(/\/$/, '') || '.' : folder + name);
    child.stdin.end(names.map((name) => `${inModule(name)}\0`).join(''));
  });
}

/** Bytes so far, by the last line of `--info=progress2` in a piece of output. */
function progressOf(chunk: Buffer): number | undefined {
  const found = [...chunk.toString('latin1').matchAll(/(?:^|[\r\n])\s*(\d{1,15})\s+\d{1,3}%/g)];
  const last = found[found.length - 1]?.[1];
  return last === undefined ? undefined : Number(last);
}

/** Decides whether a transfer is still worth waiting for. */
export class SpeedWatch {
  private readonly started: number;
  private bytes: number | undefined;
  private windowStart = 0;
  private windowBytes = 0;

  constructor(
    private readonly options: Pick<RsyncOptions, 'startSeconds' | 'lowSpeedBytes' | 'lowSpeedSeconds'>,
    now = Date.now(),
  ) {
    this.started = now;
  }

  /** So many bytes in all. */
  progress(bytes: number, now: number): void {
    if (this.bytes === undefined) [this.windowStart, this.windowBytes] = [now, 0];
    this.bytes = bytes;
  }

  /** Why it should be given up, as a phrase; undefined while it should not. */
  verdict(now: number): string | undefined {
    const start = this.options.startSeconds ?? 600;
    if (this.bytes === undefined) return now - this.started > start * 1000 ? `sent nothing of use within ${start} s` : undefined;
    const { lowSpeedSeconds = 30, lowSpeedBytes = 1000 } = this.options;
    const elapsed = (now - this.windowStart) / 1000;
    if (elapsed < lowSpeedSeconds) return undefined;
    if (this.bytes - this.windowBytes < lowSpeedBytes * elapsed) return `brings less than ${lowSpeedBytes} bytes a second`;
    [this.windowStart, this.windowBytes] = [now, this.bytes];
    return undefined;
  }
}

function toolMissing(tool: string, packages: string): MirrorError {
  return new MirrorError({
    code: 'TOOL_MISSING',
    message: `the program ${tool} is not installed`,
    remedy: `apt-get install ${packages}`,
    exitCode: ExitCode.environment,
  });
}
