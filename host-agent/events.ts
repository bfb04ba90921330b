import { MirrorError, ExitCode, faultCode } from '../desired-state/errors';
import type { HostEvent, HostResult } from '../desired-state/model';

/** Where a command reports to. */
export interface Reporter {
  progress(text: string): void;
  /** Reports progress and tells whether it could be delivered: false when the other end of the connection is gone. */
  stillHeard(text: string): Promise<boolean>;
  warning(text: string): void;
  error(error: MirrorError): void;
  result(result: HostResult): void;
}

/** JSON lines for programs, sentences for people. `write` gets one line without its end and tells whether it could be delivered. */
export function reporter(json: boolean, write: (line: string) => Promise<boolean>): Reporter {
  const send = (event: HostEvent): Promise<boolean> => write(json ? JSON.stringify(event) : sentence(event));
  const emit = (event: HostEvent): void => void send(event);
  return {
    stillHeard: (text) => send({ event: 'progress', text }),
    progress: (text) => emit({ event: 'progress', text }),
    warning: (text) => emit({ event: 'warning', text }),
    error: (e) => emit({ event: 'error', code: e.code, message: e.message, remedy: e.remedy, exitCode: e.exitCode }),
    result: (result) => emit({ event: 'result', result }),
  };
}

/** A HostEvent as a person reads it. */
export function sentence(event: HostEvent): string {
  switch (event.event) {
    case 'progress':
      return event.text;
    case 'warning':
      return `warning: ${event.text}`;
    case 'error':
      return `error: ${event.message}\n  ${event.remedy}`;
    case 'result':
      return resultSentence(event.result);
  }
}

function resultSentence(result: HostResult): string {
  switch (result.kind) {
    case 'observation':
      return result.text;
    case 'programs':
      return `the programs ${result.digest.slice(0, 12)} are installed`;
    case 'activation':
      if (result.outcome === 'unchanged') return `unchanged: generation ${result.generation} serves`;
      return (
        `generation ${result.generation} activated in ${result.seconds.toFixed(1)} s; taken back in ${result.confirmSeconds} s ` +
        `unless you confirm it: mirror-host confirm --generation ${result.generation}`
      );
    case 'settled':
      if (result.outcome === 'nothing to revert') return `nothing to take back: generation ${result.generation} serves`;
      if (result.outcome === 'confirmed') return `generation ${result.generation} is confirmed`;
      if (result.outcome === 'decommissioned') return 'decommissioned: nothing of the mirror is served here any more';
      return `${result.outcome}: generation ${result.generation} serves, after ${result.from}`;
  }
}

const machineFaults: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space or inodes there (df -h, df -i), then deploy again.',
  EDQUOT: 'Raise the quota, then deploy again.',
  EROFS: 'The file system is read-only: see `dmesg` for the reason, repair and remount it, then deploy again.',
  EIO: 'The disk reports errors: see `dmesg`.',
  ENOMEM: 'The server is out of memory: see `free -m` and `dmesg`, end what takes it, then deploy again.',
  EAGAIN: 'The server can start no more processes: see `ps aux | wc -l` and `ulimit -u`, end what starts them, then deploy again.',
  EMFILE: 'Too many files are open: raise the limit (`ulimit -n`), then deploy again.',
  ENFILE: 'Too many files are open on the whole server: see /proc/sys/fs/file-nr, end what opens them, then deploy again.',
  EACCES: 'Run mirror-host as root (sudo).',
  EPERM: 'Run mirror-host as root (sudo).',
};

/** Any thrown value as a MirrorError: faults of the machine keep their name, the rest is a defect of ours. */
export function asMirrorError(thrown: unknown): MirrorError {
  if (thrown instanceof MirrorError) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const { path } = error as NodeJS.ErrnoException;
  const code = faultCode(error as NodeJS.ErrnoException);
  const remedy = code === undefined ? undefined : machineFaults[code];
  if (code !== undefined && remedy !== undefined) {
    return new MirrorError({
      code: `MACHINE_${code}`,
      message: code === 'ENOSPC' ? `no space left on the device${path === undefined ? '' : ` for ${path}`}` : error.message,
      remedy,
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
  return new MirrorError({
    code: 'INTERNAL',
    message: `unexpected: ${error.message}`,
    remedy: 'This is a defect: please report it with the output of `mirror-host status --json`.',
    exitCode: ExitCode.internal,
    cause: error,
  });
}
