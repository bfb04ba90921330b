/** Running programs. Every failure names the command and shows what it said. */
import { spawn, spawnSync } from 'node:child_process';
import { rmdirSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Runs a program to its end and returns its standard output. */
export function run(command: readonly string[], options: RunOptions = {}): string {
  const [file, ...args] = command as [string, ...string[]];
  const result = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024, ...options });
  if (result.error) throw failure(command, result.error.message, result.error);
  if (result.status !== 0) throw failure(command, tail(result.stderr || result.stdout) || `ended by ${result.signal ?? result.status}`);
  return result.stdout;
}

/** True when the program ends well; for questions and for removals of what may be gone. */
export function succeeds(command: readonly string[]): boolean {
  const [file, ...args] = command as [string, ...string[]];
  return spawnSync(file, args, { stdio: 'ignore' }).status === 0;
}

/** Like `run`, beside others. */
export function runBeside(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const [file, ...args] = command as [string, ...string[]];
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: options.cwd, env: options.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.on('error', (error) => reject(failure(command, error.message, error)));
    child.on('close', (status, signal) =>
      status === 0 ? resolve(stdout) : reject(failure(command, tail(stderr || stdout) || `ended by ${signal ?? status}`)),
    );
  });
}

/** Runs `work` on each item, `width` at a time. */
export async function eachOf<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}

export const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Removes a directory that labs share, when this one was the last; another may be using it at this moment. */
export function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Says what is done and how long it took, on standard error. */
export async function step<T>(text: string, work: () => T | Promise<T>): Promise<T> {
  const start = Date.now();
  const result = await work();
  process.stderr.write(`${text} (${((Date.now() - start) / 1000).toFixed(1)} s)\n`);
  return result;
}

export function labError(code: string, message: string, remedy: string, cause?: unknown): MirrorError {
  return new MirrorError({ code: `LAB_${code}`, message, remedy, exitCode: ExitCode.environment, cause });
}

export function usageError(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'LAB_USAGE', message, remedy, exitCode: ExitCode.usage });
}

function failure(command: readonly string[], said: string, cause?: unknown): MirrorError {
  const shown = command.join(' ');
  return labError(
    'COMMAND',
    `${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}: ${said}`,
    'scripts/lab down, then scripts/lab up, starts over.',
    cause,
  );
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-8).join('\n');
}
