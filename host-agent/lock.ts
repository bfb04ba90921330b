import { spawn } from 'node:child_process';
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';

/** Who holds the lock: shown to whoever waits. */
export interface Holder {
  readonly who: string;
  readonly pid: number;
  readonly since: string;
}

/** How a waiting deploy talks to whoever started it: false when nobody listens any more. */
export type Tell = (text: string) => Promise<boolean>;

/** A lock that is held. The kernel drops it when the process ends, however it ends. */
export interface Lock {
  release(): void;
}

/**
 * Takes the host lock: `flock` locks the open file description that it shares with us, so that the lock lives exactly as long as our
 * descriptor. Waits up to `waitSeconds`, telling for whom; then throws MirrorError LOCKED (exit code 4). A deploy whose caller went
 * away while it waited throws CALLER_GONE: an operator who gave up must not be surprised later.
 */
export async function takeLock(path: string, who: string, waitSeconds: number, tell: Tell): Promise<Lock> {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    if (!(await flock(fd, ['-n']))) {
      const holder = describeHolder(readFileSync(path, 'utf8'));
      if (waitSeconds > 0) await tell(`waiting up to ${waitSeconds} s for ${holder}`);
      if (waitSeconds <= 0 || !(await flock(fd, ['-w', String(waitSeconds)]))) {
        throw new MirrorError({
          code: 'LOCKED',
          message: `another deploy is running: ${describeHolder(readFileSync(path, 'utf8'))}${waitSeconds > 0 ? `; waited ${waitSeconds} s` : ''}`,
          remedy: 'Let it finish, then deploy again. If it hangs, end that process: the lock goes with it.',
          exitCode: ExitCode.locked,
        });
      }
      if (!(await tell('that deploy has ended: going on'))) throw callerGone();
    }
    const holder: Holder = { who, pid: process.pid, since: new Date().toISOString() };
    ftruncateSync(fd);
    writeSync(fd, JSON.stringify(holder), 0);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    release() {
      ftruncateSync(fd);
      closeSync(fd);
    },
  };
}

/** The error of a deploy that stops because nobody listens any more. */
export function callerGone(): MirrorError {
  return new MirrorError({
    code: 'CALLER_GONE',
    message: 'the connection of this deploy was lost before the switch: nothing was changed',
    remedy: 'Deploy again.',
    exitCode: ExitCode.unreachable,
  });
}

/** What the lock file says about its holder, in words. Pure. */
export function describeHolder(text: string): string {
  try {
    const holder = JSON.parse(text) as Partial<Holder>;
    if (typeof holder.who === 'string' && typeof holder.pid === 'number' && typeof holder.since === 'string') {
      return `the deploy of ${holder.who} (process ${holder.pid}, since ${holder.since})`;
    }
  } catch {
    // The holder has not written its name yet.
  }
  return 'a deploy that has just begun';
}

/** Who runs this process, as far as SSH and sudo tell. Pure. */
export function describeCaller(environment: NodeJS.ProcessEnv, owner: string): string {
  const user = environment.SUDO_USER ?? environment.USER ?? 'root';
  const from = environment.SSH_CONNECTION?.split(' ')[0];
  return `${owner} by ${user}${from === undefined ? '' : ` from ${from}`}`;
}

function flock(fd: number, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', [...args, '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0));
  });
}
