/**
 * Runs the campaign in namespaces of its own for mounts and processes: however it ends, nothing of it stays mounted or runs on. Its
 * directory goes when it has ended, or, where this process itself was killed, when the next campaign starts.
 */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode } from '../../desired-state/errors';
import { CampaignError } from '../errors';

const PREFIX = 'mirror-sync-campaign-';
const DIRECTORY = 'MIRROR_CAMPAIGN_DIRECTORY';

/** Which of the names are directories of campaigns whose process is gone. Pure. */
export function staleDirectories(names: readonly string[], runs: (pid: string) => boolean): string[] {
  return names.filter((name) => {
    const pid = name.startsWith(PREFIX) ? /^(\d+)-/.exec(name.slice(PREFIX.length))?.[1] : undefined;
    return pid !== undefined && !runs(pid);
  });
}

export const isSandboxed = (): boolean => process.env[DIRECTORY] !== undefined;

/** Within the sandbox: calls `inside` with the directory. Outside: starts this very command again inside, and returns its exit code. */
export async function sandboxed(inside: (directory: string) => Promise<number>): Promise<number> {
  const directory = process.env[DIRECTORY];
  if (directory !== undefined) {
    // The one who started us holds the other end: when it is gone, so are we, and with us every process of the namespace.
    new Socket({ fd: 3 })
      .on('close', () => process.exit(ExitCode.internal))
      .resume()
      .unref();
    return inside(directory);
  }
  if (process.getuid?.() !== 0) throw new CampaignError('it makes mounts and namespaces: run it as root');
  return outside();
}

async function outside(): Promise<number> {
  for (const name of staleDirectories(readdirSync(tmpdir()), (pid) => existsSync(`/proc/${pid}`))) {
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  const directory = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  chmodSync(directory, 0o755); // nginx reads it as another user
  try {
    const namespaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];
    // bash is the first process there, and reaps what is killed. Signing keys are kept in /dev/shm, named by the process that uses them:
    // processes of two namespaces would take each other's for left over.
    const first = 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && "$@"; exit $?';
    const child = spawn('unshare', [...namespaces, 'bash', '-c', first, 'bash', process.execPath, ...process.argv.slice(1)], {
      env: { ...process.env, [DIRECTORY]: directory },
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      detached: true,
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        process.stderr.write(`${signal}: cleaning up\n`);
        child.kill('SIGKILL');
      });
    }
    return await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve(code ?? ExitCode.internal));
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
