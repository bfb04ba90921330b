import { spawn } from 'node:child_process';
import { ExitCode, MirrorError } from '../desired-state/errors';

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Which Debian package brings a program, for the remedy when it is missing. */
const PACKAGES: Readonly<Record<string, string>> = {
  gpg: 'gpg',
  gpgconf: 'gpgconf',
  gpgv: 'gpgv',
  rpmkeys: 'rpm',
  rpmspec: 'rpm',
  flock: 'util-linux',
  sync: 'coreutils',
};

const MAX_OUTPUT = 16 * 1024 * 1024;

/**
 * Runs a program to its end, in the C locale, since its output is parsed. `fds` become descriptors 3, 4, … of the child.
 * Throws only when it cannot be started or `signal` ends it; the exit code is the caller's to judge.
 */
export async function run(
  command: string,
  argv: readonly string[],
  options: { input?: string | Uint8Array; env?: Readonly<Record<string, string>>; fds?: readonly number[]; signal?: AbortSignal } = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, {
      stdio: ['pipe', 'pipe', 'pipe', ...(options.fds ?? [])],
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = child[name] as NodeJS.ReadableStream;
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        if (out[name].length < MAX_OUTPUT) out[name] += text;
      });
    }
    child.on('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? missing(command) : error));
    child.on('close', (code) => resolve({ code: code ?? -1, ...out }));
    const stdin = child.stdin as NodeJS.WritableStream;
    // A program that ends without reading its input says so by its exit code.
    stdin.on('error', () => undefined);
    stdin.end(options.input ?? '');
  });
}

function missing(command: string): MirrorError {
  return new MirrorError({
    code: 'TOOL_MISSING',
    message: `the program ${command} is not installed`,
    remedy: `apt-get install ${PACKAGES[command] ?? command}`,
    exitCode: ExitCode.environment,
  });
}
