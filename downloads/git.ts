/** One commit of a git repository, brought by the real program into a bare directory that nothing else uses. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { refProblem } from '../desired-state/archives';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { bounded } from './bounded';
import { DownloadError } from './errors';
import type { HttpClient } from './http';
import { isProxied, type Proxy } from './proxy';

export interface GitOptions {
  readonly proxy?: Proxy | undefined;
  /** No file of the repository may be longer: what comes is one pack. @default 4 GiB */
  readonly maxBytes?: number;
  /** Until a command must have ended. @default 3600 */
  readonly seconds?: number;
  /** Ends git; what it says is thrown. */
  readonly signal?: AbortSignal;
}

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const MAX_OUTPUT = 64 * 1024;
/** What a git server answers first; a dumb one has a file of that name. */
const REFS = '/info/refs?service=git-upload-pack';
const WANTED = 'refs/mirror/wanted';
const COMMIT = /^([0-9a-f]{40}|[0-9a-f]{64})$/;
const SHORT_COMMIT = /^[0-9a-f]{7,64}$/;

/**
 * Fetches what `ref` means in the repository at `url` (http or https): a tag goes before a branch, and that before a commit. As little else as the server
 * lets out.
 *
 * @param directory an empty one; whoever made it removes it
 * @returns the commit
 * @throws DownloadError that names the URL
 */
export async function fetchCommit(
  client: HttpClient,
  url: string,
  ref: string,
  directory: string,
  options: GitOptions = {},
): Promise<string> {
  const problem = refProblem(ref);
  if (problem !== undefined) throw noSuchRef(url, ref, problem);
  const from = await placeOf(client, url);
  const git = (...argv: string[]): Promise<Ran> => runGit(directory, argv, options, from);
  await succeed(url, git('init', '--quiet', '--bare', '--template=', '.'));
  const listed = await succeed(url, git('ls-remote', '--', from, `refs/tags/${ref}`, `refs/heads/${ref}`));
  const names = new Set(listed.stdout.split('\n').map((line) => line.split('\t')[1]));
  const name = [`refs/tags/${ref}`, `refs/heads/${ref}`].find((one) => names.has(one));
  if (name === undefined && !SHORT_COMMIT.test(ref)) throw noSuchRef(url, ref, 'is no tag, branch or commit there');
  // Not every server lets out a commit by its name, nor the last one alone.
  const wanted = name ?? (COMMIT.test(ref) ? ref : undefined);
  const alone = wanted === undefined ? undefined : await fetchOne(git, from, wanted);
  if (alone === undefined || alone.code !== 0) {
    if (name !== undefined) throw failed(url, alone as Ran);
    const all = ['+refs/heads/*:refs/mirror/heads/*', '+refs/tags/*:refs/mirror/tags/*'];
    await succeed(url, git('fetch', '--quiet', '--no-tags', '--', from, ...all));
  }
  const found = await git('rev-parse', '--verify', '--quiet', '--end-of-options', `${alone?.code === 0 ? WANTED : ref}^{commit}`);
  const commit = found.stdout.trim();
  if (found.code !== 0 || !COMMIT.test(commit)) throw noSuchRef(url, ref, 'is no tag, branch or commit there');
  // An archive may name what leads to its commit, and where the history was cut: that differs from one fetch to the next.
  for (const name of ['refs/mirror', 'packed-refs', 'shallow']) await rm(join(directory, name), { recursive: true, force: true });
  return commit;
}

/** Starts writing the tar of a commit to standard output, everything below `prefix/`. The same commit gives the same bytes. */
export function startArchive(directory: string, commit: string, prefix: string): ChildProcess {
  return startGit(directory, ['archive', '--format=tar', `--prefix=${prefix}/`, commit], {});
}

async function fetchOne(git: (...argv: string[]) => Promise<Ran>, from: string, what: string): Promise<Ran> {
  const argv = ['--quiet', '--no-tags', '--', from, `+${what}:${WANTED}`];
  const shallow = await git('fetch', '--depth=1', ...argv);
  return shallow.code !== 0 && /shallow/.test(shallow.stderr) ? git('fetch', ...argv) : shallow;
}

/** Where redirects lead: git itself follows none, since it would go to any address. */
async function placeOf(client: HttpClient, url: string): Promise<string> {
  const { url: last } = await client.begin(url.replace(/\/+$/, '') + REFS, 1);
  if (last.endsWith(REFS)) return last.slice(0, -REFS.length);
  throw new DownloadError({
    kind: 'refused',
    code: 'REDIRECTS',
    message: `${url} redirects a git client to ${last}, which is no repository`,
  });
}

function runGit(directory: string, argv: readonly string[], options: GitOptions, url: string): Promise<Ran> {
  const { seconds = 3600, signal } = options;
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = startGit(directory, argv, options, url);
    let stdout = '';
    let stderr = '';
    let why: string | undefined;
    const stop = (reason: string): void => {
      why ??= reason;
      endGroup(child);
    };
    const timer = setTimeout(() => stop(`it was stopped after ${seconds} s`), seconds * 1000);
    const onAbort = (): void => stop('it was interrupted');
    signal?.addEventListener('abort', onAbort);
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    child.stdout
      ?.setEncoding('utf8')
      .on('data', (text: string) => (stdout.length < MAX_OUTPUT ? (stdout += text) : stop('it says more than any repository does')));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-MAX_OUTPUT)));
    child.on('error', (error: NodeJS.ErrnoException) => {
      finish();
      reject(error.code === 'ENOENT' ? gitMissing() : error);
    });
    child.on('close', (code) => {
      finish();
      if (signal?.aborted === true) return reject(signal.reason as Error);
      resolve({ code: why === undefined ? code : null, stdout, stderr: why ?? (code === null ? `${stderr}\nit was stopped` : stderr) });
    });
  });
}

/** What runs now, to be ended with us. */
const running = new Set<ChildProcess>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const endAll = (): void => running.forEach(endGroup);
process.on('exit', endAll);

/** Comes before all other listeners, which may end the process: git goes first. Where there are none, the signal does what it does. */
function onSignal(signal: NodeJS.Signals): void {
  endAll();
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

function started(child: ChildProcess): ChildProcess {
  if (running.size === 0) for (const signal of SIGNALS) process.prependOnceListener(signal, onSignal);
  running.add(child);
  const ended = (): void => {
    running.delete(child);
    if (running.size === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  return child.once('close', ended).once('error', ended);
}

/** Ends git with the helpers that it started: these hold its output open, and would outlive it. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/**
 * Starts git without a shell, without anybody's configuration, hooks, templates or passwords. It ends with us, speaks http and https only, and
 * goes where it is told and nowhere else.
 */
function startGit(directory: string, argv: readonly string[], { proxy, maxBytes = 4 * 1024 ** 3 }: GitOptions, url?: string): ChildProcess {
  const proxied = proxy !== undefined && url !== undefined && isProxied(proxy, new URL(url).hostname) ? proxy.url : '';
  const settings = [
    'core.hooksPath=/dev/null',
    // Abbreviated commits in an archive must not depend on how many others there are.
    'core.abbrev=12',
    'tar.umask=0022',
    'gc.auto=0',
    'http.followRedirects=false',
    'http.lowSpeedLimit=1000',
    'http.lowSpeedTime=60',
  ];
  const before = bounded([`--fsize=${maxBytes}`]);
  const [command, ...rest] = [...before, 'git', ...settings.flatMap((one) => ['-c', one]), ...argv] as [string, ...string[]];
  const child = spawn(command, rest, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, to be ended as a whole.
    detached: true,
    env: {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      LC_ALL: 'C',
      HOME: directory,
      GIT_DIR: directory,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_ASKPASS: 'false',
      GIT_ALLOW_PROTOCOL: 'http:https',
      // Whom to trust is for whoever starts this to say: an authority of a company, for instance.
      ...(process.env['GIT_SSL_CAINFO'] === undefined ? {} : { GIT_SSL_CAINFO: process.env['GIT_SSL_CAINFO'] }),
      ...(proxied === '' ? {} : { http_proxy: proxied, https_proxy: proxied }),
    },
  });
  return started(child);
}

async function succeed(url: string, running: Promise<Ran>): Promise<Ran> {
  const ran = await running;
  if (ran.code === 0) return ran;
  throw failed(url, ran);
}

/** What a failure of git means for the next attempt, by what it says. */
function failed(url: string, { code, stderr }: Ran): Error {
  if (code === 127 && /failed to execute git/.test(stderr)) return gitMissing();
  const reason = stderr.trim().split('\n').slice(-3).join('; ').slice(0, 300);
  const options = { message: `${url}: git: ${reason}` };
  if (/signal 25|File size limit|file too large/i.test(stderr))
    return new DownloadError({ kind: 'refused', code: 'BODY_TOO_LONG', ...options });
  if (/not found/i.test(stderr)) return new DownloadError({ kind: 'missing', ...options });
  if (/could not read (Username|Password)|Authentication failed|returned error: 4/i.test(stderr))
    return new DownloadError({ kind: 'refused', ...options });
  return new DownloadError({ kind: 'transient', ...options });
}

function noSuchRef(url: string, ref: string, problem: string): DownloadError {
  return new DownloadError({
    kind: 'missing',
    code: 'GIT_REF_MISSING',
    message: `${url}: ${JSON.stringify(ref)} ${problem}`,
    remedy: `Name a tag, a branch or a commit that the repository has: git ls-remote ${url}`,
  });
}

function gitMissing(): MirrorError {
  return new MirrorError({
    code: 'TOOL_MISSING',
    message: 'the program git is not installed',
    remedy: 'Install it: apt-get install git.',
    exitCode: ExitCode.environment,
  });
}
