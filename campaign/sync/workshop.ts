/** The directory that holds everything that the campaign makes. What takes it apart, with all processes and mounts, is the sandbox. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CampaignError } from '../errors';
import { must, start } from '../host';

export class Workshop {
  constructor(readonly directory: string) {}

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** Starts a program in a process group of its own, so that all of it can be killed at once. */
  start(program: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}): Running {
    const child = spawn(program, args, {
      cwd: options.cwd ?? this.directory,
      env: options.env ?? process.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const done = new Promise<Ended>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        resolve({ code, signal, stdout, stderr });
      });
    });
    return { pid: child.pid ?? 0, done, kill: (signal = 'SIGKILL') => killGroup(child, signal) };
  }

  /** Mounts at `target`, which is made. */
  async mount(target: string, ...args: string[]): Promise<void> {
    mkdirSync(target, { recursive: true });
    await must('mount', [...args, target]);
  }

  /** Unmounts; waits for those who still have a file open. */
  async unmount(target: string): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const { status, text } = await start('umount', [target]).ended;
      if (status === 0) return;
      if (attempt === 99) throw new CampaignError(`umount ${target}: ${text.trim()}`);
      await sleep(100);
    }
  }
}

/** A program that ended: by an exit code or by a signal. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  readonly done: Promise<Ended>;
  /** Sends a signal to the whole group. */
  kill(signal?: NodeJS.Signals): void;
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}
