import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import { MirrorError } from '../desired-state/errors';
import type { Endpoint } from '../desired-state/target';
import { connectionLost, explainForwardError, explainSessionError, timedOut } from './errors';
import { LineCollector, StartMarker } from './output';
import { explainNotStarted, explainSudo } from './root';
import type { Hop, Timeouts } from './stages';

/** How a remote command ended. `exitCode` is null when a signal ended it. */
export interface ExecResult {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a command reads and who listens to what it prints. */
export interface ExecOptions {
  readonly stdin?: string | Buffer;
  /** Called with each line of standard output, as it arrives, without the line end. */
  readonly onStdoutLine?: (line: string) => void;
  readonly onStderr?: (text: string) => void;
}

/** One authenticated SSH connection; each command is a channel of it. */
export class Connection {
  private lost: Error | undefined;
  /** What to tell of a loss to whom. */
  private readonly waiting = new Set<(error: MirrorError) => void>();
  private sessions = 0;
  private opening = 0;
  private hadSession = false;
  private readonly sessionEnded = new Set<() => void>();
  /** Printed before a command as root, and after everything that a login prints by itself. */
  private readonly marker = `mirror-${randomBytes(8).toString('hex')}`;

  constructor(
    private readonly client: Client,
    readonly hop: Hop,
    private readonly timeouts: Timeouts,
    private readonly via: Connection | undefined,
  ) {
    client.on('error', (error) => this.onLost(error));
    client.on('close', () => this.onLost());
  }

  get endpoint(): Endpoint {
    return this.hop.endpoint;
  }

  /** Runs a command as the login user. Rejects with MirrorError when the connection is lost before it ended. */
  exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    return this.run(command, options, undefined);
  }

  /**
   * Runs a shell script as root, with `sudo -n` for other users. `script` holds constants and validated digests only: anything
   * variable travels on standard input (`__tests__/project/shell-scripts.test.ts` looks at every caller). What the login prints before the
   * script is not part of the result. Rejects with MirrorError when the script did not start: sudo, the login shell or a forced command.
   */
  async runAsRoot(script: string, options: ExecOptions = {}): Promise<ExecResult> {
    if (script.includes("'")) throw new Error('a root script must not contain single quotes');
    const shell = `sh -c 'echo ${this.marker}; ${script}'`;
    return this.run(this.endpoint.user === 'root' ? shell : `env LC_ALL=C sudo -n ${shell}`, options, this.marker);
  }

  /**
   * Runs a program as root, with `sudo -n` for other users. Words are paths, options and numbers: anything that a shell would read
   * otherwise throws. A program that is not there is no refusal: its result says so.
   */
  async runProgramAsRoot(words: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const odd = words.find((word) => !/^[A-Za-z0-9/._=-]+$/.test(word));
    if (odd !== undefined) throw new Error(`${JSON.stringify(odd)} must not go through a shell`);
    const bySudo = this.endpoint.user !== 'root';
    // sudo wants a password for a program that is not there, where its rule names files: looked for first.
    const sudo = `test -x ${words[0]} || { echo "${words[0]}: not found" >&2; exit 127; }; env LC_ALL=C sudo -n `;
    const command = `echo ${this.marker}; ${bySudo ? sudo : ''}${words.join(' ')}`;
    const result = await this.run(command, options, this.marker);
    const refused = bySudo && result.exitCode !== 0 ? explainSudo(this.hop, result.stderr) : undefined;
    if (refused !== undefined) throw refused;
    return result;
  }

  /** A byte stream from the far end to the next hop. */
  forward(next: Hop): Promise<Duplex> {
    const { address, port } = next.endpoint;
    return this.guarded<Duplex>(
      this.timeouts.connect,
      () => timedOut(next, 'connect', this.timeouts),
      (settle) => {
        this.client.forwardOut('127.0.0.1', 0, address, port, (error, channel) => {
          if (error !== undefined) return settle(explainForwardError(error, next));
          if (!settle(undefined, channel)) channel.destroy();
        });
      },
    );
  }

  /** Ends the connection, and the one to the jump host. */
  close(): void {
    this.client.end();
    this.via?.close();
  }

  /** A server may allow few sessions at once (MaxSessions): a command that gets none waits for one of ours to end. */
  private async run(command: string, options: ExecOptions, marker: string | undefined): Promise<ExecResult> {
    let deadline = Date.now() + this.timeouts.session;
    while (true) {
      try {
        this.opening++;
        const { result } = await this.open(command, options, marker).finally(() => this.opening--);
        return await result;
      } catch (error) {
        if (!(error instanceof MirrorError) || error.code !== 'SESSION_REFUSED') throw error;
        if (this.sessions > 0) {
          await new Promise<void>((resolve) => this.sessionEnded.add(resolve));
          deadline = Date.now() + this.timeouts.session;
        } else {
          // Another of ours may be about to open; and sshd may need a moment after the end of a command until it counts one session less.
          if ((!this.hadSession && this.opening === 0) || Date.now() > deadline) throw error;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
    }
  }

  private open(command: string, options: ExecOptions, marker: string | undefined): Promise<{ readonly result: Promise<ExecResult> }> {
    let late = false;
    const onLimit = (): MirrorError => {
      late = true;
      return timedOut(this.hop, 'session', this.timeouts);
    };
    return this.guarded<{ readonly result: Promise<ExecResult> }>(this.timeouts.session, onLimit, (settle) => {
      this.client.exec(command, (error, channel) => {
        if (error !== undefined) return settle(explainSessionError(error, this.hop));
        if (late) return channel.destroy();
        // At once: how a quick command ended may be the next thing in the very packet that was just read.
        this.sessions++;
        this.hadSession = true;
        const result = this.talk(channel, options, marker).finally(() => {
          this.sessions--;
          for (const tell of [...this.sessionEnded]) tell();
          this.sessionEnded.clear();
        });
        settle(undefined, { result });
      });
    });
  }

  private talk(channel: ClientChannel, options: ExecOptions, marker: string | undefined): Promise<ExecResult> {
    let late: NodeJS.Timeout | undefined;
    const ending = this.guarded<ExecResult>(undefined, undefined, (settle) => {
      const stdout = new LineCollector(options.onStdoutLine);
      let stderr = '';
      let ended: { exitCode: number | null; signal: string | null } | undefined;
      const notStarted = (why: string): void => {
        channel.destroy();
        settle(explainNotStarted(this.hop, { exitCode: null, signal: why, stdout: start?.noise ?? '', stderr }));
      };
      if (marker !== undefined) late = setTimeout(() => notStarted('none: it still runs'), this.timeouts.start);
      const start = marker === undefined ? undefined : new StartMarker(marker, () => clearTimeout(late));

      channel.on('data', (chunk: Buffer) => {
        const own = start === undefined ? chunk : start.pass(chunk);
        if (start?.flooded === true) return notStarted('none: it prints without end');
        if (own.length > 0) stdout.push(own);
      });
      channel.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        options.onStderr?.(text);
      });
      channel.on('exit', (exitCode: number | null, signal?: string) => (ended = { exitCode, signal: signal ?? null }));
      // A command that does not read its input ends the channel under our write; how it ended is in `exit`.
      channel.on('error', () => undefined);
      channel.on('close', () => {
        if (ended === undefined)
          return settle(connectionLost(this.hop, this.timeouts, this.lost ?? new Error('it ended without an exit status')));
        if (start?.started === false) return settle(explainNotStarted(this.hop, { ...ended, stdout: start.noise, stderr }));
        settle(undefined, { ...ended, stdout: stdout.end(), stderr });
      });
      channel.end(options.stdin ?? '');
    });
    return ending.finally(() => clearTimeout(late));
  }

  /** A promise that also ends with the connection, and after `limit`. `settle` returns whether somebody still waited. */
  private guarded<T>(
    limit: number | undefined,
    onLimit: (() => MirrorError) | undefined,
    act: (settle: (error: MirrorError | undefined, value?: T) => boolean) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.lost !== undefined) return reject(connectionLost(this.hop, this.timeouts, this.lost));
      let open = true;
      const settle = (error: MirrorError | undefined, value?: T): boolean => {
        if (!open) return false;
        open = false;
        clearTimeout(timer);
        this.waiting.delete(settle);
        if (error === undefined) resolve(value as T);
        else reject(error);
        return true;
      };
      const timer = limit === undefined ? undefined : setTimeout(() => settle(onLimit?.()), limit);
      this.waiting.add(settle);
      try {
        act(settle);
      } catch (error) {
        // ssh2 throws at once when its socket has ended and nobody told us yet.
        settle(connectionLost(this.hop, this.timeouts, error as Error));
      }
    });
  }

  private onLost(error?: Error): void {
    this.lost ??= error ?? new Error('closed');
    for (const settle of [...this.waiting]) settle(connectionLost(this.hop, this.timeouts, this.lost));
  }
}
