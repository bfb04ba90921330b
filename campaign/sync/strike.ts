/** Runs mirrorctl under strace: to record its calls, or to strike one of them. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mirror } from './mirror';
import { aimsOf, identityOf, MUTATING, mutatingCalls, type Aim, type Call } from './trace';
import type { Ended, Running, Workshop } from './workshop';

export const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';
const STRACE = ['strace', '-f', '-y', '-q', '-s', '16'] as const;
/** strace's set of calls; one that this machine's strace does not know is left out by `?`. */
const setOf = (names: readonly string[]): string => names.map((name) => `?${name}`).join(',');

/** The clock of mirrorctl stands still, so that names with the time in them can be foretold; timers go on. */
export function clockAt(time: Date): NodeJS.ProcessEnv {
  const text = time.toISOString().slice(0, 19).replace('T', ' ');
  return { LD_PRELOAD: FAKETIME, FAKETIME: text, TZ: 'UTC', FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' };
}

/** The clock of mirrorctl is `seconds` ahead, and goes on. */
export function clockAhead(seconds: number): NodeJS.ProcessEnv {
  return { LD_PRELOAD: FAKETIME, FAKETIME: `+${Math.round(seconds)}`, FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' };
}

/** What is done to the process at a call: SIGKILL, SIGSTOP, or an error of the call. */
export type Blow = `signal=${'SIGKILL' | 'SIGSTOP'}` | `error=${'ENOSPC' | 'EIO' | 'EDQUOT' | 'EROFS'}`;

export interface Struck {
  readonly ended: Ended;
  /** The call that was hit, by its identity; undefined: none was. */
  readonly hit: string | undefined;
}

export class Striker {
  private readonly directory: string;
  readonly traceFile: string;

  constructor(
    workshop: Workshop,
    private readonly mirror: Mirror,
    /** What is above the storage root and the state. */
    private readonly scope: string,
    private readonly clock: Date,
    /** What is struck; a sync where it is absent. */
    private readonly command?: readonly string[],
  ) {
    this.directory = workshop.path('strike');
    this.traceFile = join(this.directory, 'trace');
    mkdirSync(this.directory, { recursive: true });
  }

  private get run(): { command?: readonly string[] } {
    return this.command === undefined ? {} : { command: this.command };
  }

  private environment(): NodeJS.ProcessEnv {
    return { UV_THREADPOOL_SIZE: '1', ...clockAt(this.clock) };
  }

  /** What an undisturbed run changes, call by call. */
  async record(): Promise<{ readonly ended: Ended; readonly calls: readonly Call[] }> {
    rmSync(this.traceFile, { force: true });
    const under = [...STRACE, '-o', this.traceFile, '-e', `trace=${setOf([...MUTATING, 'execve'])}`];
    const ended = await this.mirror.start({ ...this.run, under, env: this.environment() }).done;
    return { ended, calls: mutatingCalls(readFileSync(this.traceFile, 'utf8'), this.scope) };
  }

  /** The aims for a call. */
  aims(call: Call, all: readonly Call[]): Aim[] {
    return aimsOf(call, isOfChild(call) ? all.filter(({ by }) => by === call.by) : all.filter((other) => !isOfChild(other)));
  }

  /** Runs the command, struck at a call. `group`: a blow at a program that mirrorctl started kills mirrorctl with it. */
  start(call: Call, aim: Aim, blow: Blow, group: boolean): Running & { readonly struck: () => string | undefined } {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory, { recursive: true });
    const only = aim.path === undefined ? [] : ['-P', aim.path];
    const inject = [
      ...only,
      '-o',
      this.traceFile,
      '-e',
      `trace=${setOf([...MUTATING, 'execve'])}`,
      '-e',
      `inject=${call.name}:${blow}:when=${aim.when}`,
    ];
    const running = isOfChild(call)
      ? this.mirror.start({ ...this.run, env: { ...this.environment(), PATH: this.layTrap(call.by, inject, group) } })
      : this.mirror.start({ ...this.run, under: [...STRACE, '-b', 'execve', ...inject], env: this.environment() });
    return { ...running, struck: () => this.struckCall(call, aim) };
  }

  async strike(call: Call, aim: Aim, blow: Blow, group = true): Promise<Struck> {
    const running = this.start(call, aim, blow, group);
    const ended = await running.done;
    return { ended, hit: running.struck() };
  }

  /** A program of that name, earlier in the path: its n-th start is under strace. Returns the path. */
  private layTrap(by: string, inject: readonly string[], group: boolean): string {
    const [program = '', start = ''] = by.split(' ');
    const counter = join(this.directory, 'starts');
    const traced = [...STRACE, ...inject].map((word) => `'${word}'`).join(' ');
    const then = group ? 'kill -KILL 0' : 'kill -KILL $$';
    const script = `#!/bin/sh
n=0; [ -e ${counter} ] && read -r n < ${counter}
n=$((n + 1)); echo $n > ${counter}
real=$(PATH=\${PATH#*:} command -v ${program})
[ $n = ${start} ] || exec "$real" "$@"
${traced} "$real" "$@"
status=$?
[ $status = 137 ] || exit $status
${then}
`;
    mkdirSync(join(this.directory, 'bin'));
    writeFileSync(join(this.directory, 'bin', program), script, { mode: 0o755 });
    return `${join(this.directory, 'bin')}:${this.mirror.environment()['PATH'] ?? ''}`;
  }

  /** Which call the trace says was struck. With a path to look for, the trace has the calls on that path alone: then it was that one. */
  private struckCall(call: Call, aim: Aim): string | undefined {
    if (!existsSync(this.traceFile)) return undefined;
    const trace = readFileSync(this.traceFile, 'utf8');
    if (!/\(INJECTED\)|killed by SIG|stopped by SIG/.test(trace)) return undefined;
    if (isOfChild(call) || aim.path !== undefined || !trace.includes('killed by SIG')) return identityOf(call);
    const hit = mutatingCalls(trace, this.scope).find((one) => one.struck && one.name === call.name && one.index === aim.when);
    return hit === undefined ? undefined : identityOf(hit);
  }
}

/** A program that mirrorctl started made it. */
export const isOfChild = ({ by }: Pick<Call, 'by'>): boolean => by !== 'mirrorctl' && by !== 'thread';
