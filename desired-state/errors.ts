/** Exit codes shared by every program of the project; `docs/reference/commands.md` explains each. */
export const ExitCode = {
  ok: 0,
  /** A defect of ours, or a fault of the machine that no other code names. */
  internal: 1,
  /** The command line is wrong. */
  usage: 2,
  /** What was given does not pass validation: nothing was changed. */
  invalid: 3,
  /** Another process holds the lock. */
  locked: 4,
  /** An upstream, the network or the server could not be reached or did not answer as it must. */
  unreachable: 5,
  /** Something did not verify: a signature, a digest, a host key, a planned digest. */
  untrusted: 6,
  /** The machine lacks what the command needs: disk, mount, package, permission. */
  environment: 7,
  /** A change was tried and taken back: the previous generation serves. */
  rolledBack: 8,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/**
 * An error that a user can act on. Programs print `message` and `remedy`, never the stack.
 *
 * `code` is stable and upper-case with underscores (`HOST_KEY_MISMATCH`); `message` names the thing and the value;
 * `remedy` says what to do.
 */
export class MirrorError extends Error {
  override readonly name = 'MirrorError';
  readonly code: string;
  readonly remedy: string;
  readonly exitCode: ExitCode;

  constructor(options: { code: string; message: string; remedy: string; exitCode: ExitCode; cause?: unknown }) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.remedy = options.remedy;
    this.exitCode = options.exitCode;
  }

  /** What a person reads: the message, then the remedy on a line of its own. */
  describe(): string {
    return `${this.message}\n  ${this.remedy}`;
  }
}

/** Linux's EDQUOT, which libuv has no name for: Node calls it "Unknown system error -122". */
const EDQUOT = -122;

/**
 * The code of a file system's error. Node hides why a recursive mkdir failed when there is no space: it reports the ENOENT of its own look at
 * the directory that it could not make (v18 to v20, `MKDirp`). A recursive mkdir has no other cause for ENOENT.
 */
export function faultCode(error: {
  readonly code?: string | undefined;
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
}): string | undefined {
  if (error.errno === EDQUOT) return 'EDQUOT';
  return error.code === 'ENOENT' && error.syscall === 'mkdir' ? 'ENOSPC' : error.code;
}
