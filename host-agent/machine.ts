/**
 * `mirror-host machine`: what only root may ask disks, and what systemd says, for `mirrorctl health`. It starts smartctl and systemctl, reads
 * /sys, writes one file, and judges nothing.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MachineFacts } from '../desired-state/machine';
import { kindOf, namesIn, readIfPresent, writeDurably } from './files';
import { run } from './run';

/** Where the kernel shows devices; tests have another one. */
export interface MachinePaths {
  readonly blockDevices: string;
  readonly devices: string;
  readonly facts: string;
}

/** No disks, or behind a driver without SMART: loop, RAM and compressed RAM, optical, floppy, paravirtual, network, md and dm. */
const NO_DISK = /^(loop|ram|zram|sr|fd|vd|xvd|nbd|rbd|md|dm-)/;
const SMARTCTL = ['--json=c', '--info', '--health', '--attributes'];

export async function gatherFacts(paths: MachinePaths, now: Date): Promise<MachineFacts> {
  const names = namesIn(paths.blockDevices).sort();
  const disks = [];
  for (const name of names) {
    const has = kindOf(join(paths.devices, name)) !== 'missing' && kindOf(join(paths.blockDevices, name, 'device')) !== 'missing';
    if (has && !NO_DISK.test(name)) disks.push({ name, smart: parsed((await smartctl(join(paths.devices, name))).stdout) });
  }
  const timers = await systemctl('list-units', '--type=timer', '--state=active', 'mirror-*');
  return {
    version: 1,
    at: now.toISOString(),
    disks,
    arrays: names.filter((name) => kindOf(join(paths.blockDevices, name, 'md')) !== 'missing').map((name) => array(paths, name)),
    clock: { synchronized: await synchronized() },
    failed: (await systemctl('list-units', '--state=failed', 'mirror-*')) ?? [],
    ...(timers === undefined ? {} : { timers }),
  };
}

/** For whoever reads: a whole document or the one before. */
export function writeFacts(paths: MachinePaths, facts: MachineFacts): void {
  mkdirSync(dirname(paths.facts), { recursive: true, mode: 0o755 });
  writeDurably(paths.facts, `${JSON.stringify(facts)}\n`);
}

/** The exit code has a bit for each thing that may be wrong; the document says the same. */
function smartctl(device: string): ReturnType<typeof run> {
  return run('smartctl', [...SMARTCTL, device], { timeoutSeconds: 60 });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function array({ blockDevices }: MachinePaths, name: string): MachineFacts['arrays'][number] {
  const read = (file: string): string => (readIfPresent(join(blockDevices, name, 'md', file)) ?? '').trim();
  return {
    name,
    level: read('level'),
    state: read('array_state'),
    degraded: read('degraded'),
    action: read('sync_action'),
    mismatches: read('mismatch_cnt'),
  };
}

async function synchronized(): Promise<MachineFacts['clock']['synchronized']> {
  if ((await run('systemd-detect-virt', ['--container', '--quiet'])).exitCode === 0) return 'container';
  const shown = await run('timedatectl', ['show', '--property=NTPSynchronized', '--value'], { timeoutSeconds: 60 });
  const value = shown.stdout.trim();
  return value === 'yes' || value === 'no' ? value : 'unknown';
}

/** Names of units; undefined where systemd does not answer. */
async function systemctl(...args: string[]): Promise<string[] | undefined> {
  const { exitCode, stdout } = await run('systemctl', [...args, '--all', '--plain', '--no-legend'], { timeoutSeconds: 60 });
  if (exitCode !== 0) return undefined;
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .filter((name) => name !== '')
    .sort();
}
