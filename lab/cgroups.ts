/**
 * The processes of a lab, by control group: membership is inherited, cannot be left by a daemon that forks, and is never mistaken for
 * another process with a reused id. systemd in the mirror host needs a group of its own anyway.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { labError, removeIfEmpty, sleep } from './shell';

const PARENT = 'package-mirror-lab';

/** The hierarchies that systemd tracks processes in: one with cgroup v2, two where v1 is still mounted. */
function hierarchies(): string[] {
  const root = '/sys/fs/cgroup';
  if (existsSync(join(root, 'cgroup.procs'))) return [root];
  const found = ['systemd', 'unified'].map((name) => join(root, name)).filter((path) => existsSync(join(path, 'cgroup.procs')));
  if (found.length === 0)
    throw labError(
      'CGROUP',
      `${root}: no control groups are mounted`,
      'The lab needs a machine, or a privileged container, with control groups.',
    );
  return found;
}

/** Starts a program that outlives this one, in the group `<key>/<name>`; its output goes to `log`. */
export async function startIn(
  key: string,
  name: string,
  command: readonly string[],
  log: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const groups = hierarchies().map((root) => join(root, PARENT, key, name));
  for (const group of groups) mkdirSync(group, { recursive: true });
  mkdirSync(dirname(log), { recursive: true });
  const output = openSync(log, 'a', 0o600);
  const join_ = groups.map((group) => `echo $$ >'${group}/cgroup.procs'`).join(' && ');
  const child = spawn('bash', ['-c', `${join_} && exec "$@"`, 'lab', ...command], {
    detached: true,
    stdio: ['ignore', output, output],
    cwd: '/',
    env,
  });
  child.unref();
  closeSync(output);
  // It is a member before anything else happens to it: whoever looks next sees it, or sees that it ended.
  let ended = false;
  child.on('exit', () => (ended = true));
  while (!ended && processesIn(key, name).length === 0) await sleep(5);
}

/** Process ids in the group `<key>[/<name>]` and below. */
export function processesIn(key: string, name = ''): number[] {
  const pids = new Set<number>();
  for (const root of hierarchies()) {
    for (const group of tree(join(root, PARENT, key, name))) {
      for (const line of readLines(join(group, 'cgroup.procs'))) if (line !== '0') pids.add(Number(line));
    }
  }
  return [...pids];
}

/** Ends every process of the group, and removes it. */
export async function removeGroup(key: string, name = ''): Promise<void> {
  const deadline = Date.now() + 15_000;
  for (let pids = processesIn(key, name); pids.length > 0; pids = processesIn(key, name)) {
    if (Date.now() > deadline)
      throw labError(
        'PROCESSES',
        `processes ${pids.join(', ')} do not end`,
        'They hang in the kernel: see dmesg; a restart of the machine ends them.',
      );
    for (const pid of pids) kill(pid);
    await sleep(20);
  }
  for (const root of hierarchies()) {
    for (const group of tree(join(root, PARENT, key, name)).reverse()) await removeDirectory(group);
    removeIfEmpty(join(root, PARENT));
  }
}

export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The group and all below it, parents first. */
function tree(group: string): string[] {
  if (!existsSync(group)) return [];
  try {
    const below = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [group, ...below.flatMap((entry) => tree(join(group, entry.name)))];
  } catch {
    return []; // Went away while we looked.
  }
}

/** A group is busy for a moment after its last process ended. */
async function removeDirectory(path: string): Promise<void> {
  for (let attempt = 0; existsSync(path); attempt++) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (attempt > 100) throw labError('CGROUP', `${path} cannot be removed: ${String(error)}`, 'Run scripts/lab down again.', error);
      await sleep(20);
    }
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
