import { spawn, type SpawnOptions } from 'node:child_process';

/** How a local command ended. */
export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a local command reads, as whom it runs, who listens. */
export interface RunOptions {
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  readonly onLine?: (line: string) => void;
  /** @default 600 */
  readonly timeoutSeconds?: number;
}

/** What hangs must not hold the host lock for ever: the revert waits for it. */
const TIMEOUT_SECONDS = 600;
/** For what installs packages or builds content. */
export const LONG_SECONDS = 3600;

/** Runs a program without a shell. An unknown program is exit code 127, a signal 128, one that was killed since it did not end 124. Never rejects. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve) => {
    const spawnOptions: SpawnOptions = {
      stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', ...options.env },
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
      cwd: '/',
    };
    const child = spawn(program, args, spawnOptions);
    let stdout = '';
    let stderr = '';
    let rest = '';
    const limit = options.timeoutSeconds ?? TIMEOUT_SECONDS;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stderr += `${program} did not end within ${limit} s`;
      child.kill('SIGKILL');
      // What it started may still hold its output open.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, limit * 1000);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.stdin);
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ exitCode: 127, stdout, stderr: stderr + error.message });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ exitCode: late ? 124 : (code ?? 128), stdout, stderr });
    });
  });
}

/** The last lines of what a program said, for error messages. */
export function lastWords(result: RunResult, lines = 12): string {
  const text = result.stderr.trim() === '' ? result.stdout : result.stderr;
  return text.trim().split('\n').slice(-lines).join('\n');
}
