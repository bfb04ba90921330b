/** The lab host that the campaign strikes: by its namespaces, not by SSH, since SSH is one of the things that are struck. */
import { spawn, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CampaignError } from './errors';

/** The checkout: this program is bundled to dist/campaign.cjs. */
export const ROOT = join(__dirname, '..');

export interface Finished {
  /** 128 and more: ended by a signal. */
  readonly status: number;
  readonly stdout: string;
  /** Both streams, without colours. */
  readonly text: string;
}

/** Runs a program beside the sampler and everything else. Never rejects for an exit code. */
export function start(program: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; group?: boolean } = {}) {
  const child = spawn(program, args, { cwd: options.cwd ?? ROOT, env: options.env ?? process.env, detached: options.group ?? false });
  let text = '';
  let stdout = '';
  child.stdin.end();
  child.stdout.setEncoding('utf8').on('data', (data: string) => (stdout += data));
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (data: string) => (text += data));
  const ended = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ status: code ?? 128, stdout, text: text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '') }));
  });
  return { child, ended };
}

/** Runs a program to its end; throws with what it said unless it ends well. */
export async function must(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env, cwd = ROOT): Promise<string> {
  const { status, stdout, text } = await start(program, args, { env, cwd }).ended;
  if (status !== 0) throw new CampaignError(`${program} ${args.join(' ')} ended with ${status}: ${text.slice(-2000)}`);
  return stdout;
}

/** The lab's command line: `up`, `power off`, … */
export const lab = (...args: string[]): Promise<string> => must(process.execPath, ['dist/lab.cjs', ...args]);

export class Host {
  /** Process id of the container's init, seen from this machine. Another one after each boot. */
  private init = 0;

  /** Finds the host's first process. */
  async find(): Promise<void> {
    const status = JSON.parse(await lab('status', '--json')) as { processes: { mirror: number[] } };
    const found = status.processes.mirror.find((pid) => /^NSpid:\s+\d+\s+1$/m.test(readIf(`/proc/${pid}/status`) ?? ''));
    if (found === undefined) throw new CampaignError('the mirror host does not run');
    this.init = found;
  }

  /** A path of the host, as this machine sees it. */
  path(path: string): string {
    return join(`/proc/${this.init}/root`, path);
  }

  exists(path: string): boolean {
    // Not existsSync: an absolute link of the host would be followed on this machine.
    return lstatSync(this.path(path), { throwIfNoEntry: false }) !== undefined;
  }

  read(path: string): string | undefined {
    return readIf(this.path(path));
  }

  write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), text, { mode });
  }

  remove(path: string): void {
    rmSync(this.path(path), { recursive: true, force: true });
  }

  /** Runs a shell command as root, whether sshd lets anybody in or not. */
  run(command: string): Promise<Finished> {
    return start('nsenter', ['-t', String(this.init), '-m', '-u', '-i', '-n', '-p', 'bash', '-c', command]).ended;
  }

  /** As `run`; throws unless the command ends well. */
  async do(command: string): Promise<string> {
    const { status, stdout, text } = await this.run(command);
    if (status !== 0) throw new CampaignError(`on the host, ${command} ended with ${status}: ${text.slice(-2000)}`);
    return stdout;
  }

  /** Pulls the plug at this very moment: with its init, every process of the host ends. */
  pullPlug(): void {
    spawnSync('kill', ['-KILL', String(this.init)]);
  }

  /** Plugs it in again and waits until it has booted. */
  async boot(): Promise<void> {
    await lab('power', 'cycle');
    await this.find();
  }

  /** The number of the generation that `current` names. */
  generation(): number {
    try {
      return Number(readlinkSync(this.path('/etc/mirror/current')).replace('generations/', ''));
    } catch {
      return 0;
    }
  }

  /** The number that the next deploy gives to its generation: none is given twice. */
  nextGeneration(): number {
    const numbers = readdirSync(this.path('/etc/mirror/generations')).filter((name) => /^\d+$/.test(name));
    const retired = Number(this.read('/var/lib/mirror/host/retired') ?? '0') || 0;
    return Math.max(retired, ...numbers.map(Number)) + 1;
  }

  /** The phase of the journal, or undefined when there is none. */
  phase(): string | undefined {
    const text = this.read('/var/lib/mirror/host/journal.json');
    return text === undefined ? undefined : /"phase":"(\w+)"/.exec(text)?.[1];
  }

  /** Waits for something, looking every few milliseconds. False: it did not come. */
  async waitFor(seconds: number, come: () => boolean, pause = 5): Promise<boolean> {
    const until = Date.now() + seconds * 1000;
    while (!come()) {
      if (Date.now() > until) return false;
      await sleep(pause);
    }
    return true;
  }

  /** Waits for a phase of the journal. */
  async reaches(phase: 'switching' | 'unconfirmed', seconds = 15): Promise<void> {
    if (!(await this.waitFor(seconds, () => this.phase() === phase, 2))) throw new CampaignError(`the deploy did not reach ${phase}`);
  }

  /** Waits until no journal is left: the server is at one generation. False: one still is. */
  rests(seconds: number): Promise<boolean> {
    return this.waitFor(seconds, () => this.phase() === undefined, 50);
  }

  /** Waits until the first syncs of new repositories have ended, however they did. */
  async firstSyncsEnd(): Promise<void> {
    await this.run('while systemctl is-active -q mirror-sync-new.service; do sleep 0.1; done; systemctl reset-failed');
  }

  /** In what the server deviates from its generation. */
  async drift(): Promise<readonly string[]> {
    const text = await this.do('/usr/bin/node /usr/local/sbin/mirror-host status --json');
    return (JSON.parse(text) as { drift: string[] }).drift;
  }
}

function readIf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
