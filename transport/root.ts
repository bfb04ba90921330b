/** Why a command as root did not start: what sudo, the login shell and forced commands say. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { account, said, type Hop } from './stages';

/** How a command ended that printed no start marker. */
export interface NotStarted {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** What came instead of the marker. */
  readonly stdout: string;
  readonly stderr: string;
}

interface SudoCase {
  readonly code: string;
  readonly pattern: RegExp;
  readonly remedy: (user: string) => string;
}

const RULE = (user: string): string => `"${user} ALL=(root) NOPASSWD: ALL" in /etc/sudoers.d/mirror`;

/** Most special first. The texts are sudo's in the C locale, which we ask for. */
const SUDO: readonly SudoCase[] = [
  {
    code: 'SUDO_NEEDS_TTY',
    pattern: /must have a tty/,
    remedy: (user) => `Add "Defaults:${user} !requiretty" to /etc/sudoers.d/mirror.`,
  },
  {
    code: 'SUDO_NOT_IN_SUDOERS',
    pattern: /is not in the sudoers file|may not run sudo/,
    remedy: (user) => `Deploys need root without a password: put ${RULE(user)}, or deploy as root.`,
  },
  {
    code: 'SUDO_COMMAND_NOT_ALLOWED',
    pattern: /is not allowed to (execute|run)/,
    remedy: (user) => `The rule of this account names other commands only; deploys run "sh": put ${RULE(user)}.`,
  },
  {
    code: 'SUDO_PASSWORD_REQUIRED',
    pattern: /password is required|no password was provided|terminal is required/,
    remedy: (user) => `Deploys cannot type one: put ${RULE(user)} (the last rule that matches counts), or deploy as root.`,
  },
  {
    code: 'SUDO_MISSING',
    pattern: /(^|[ '‘])sudo['’]?: (command not found|not found|No such file)/,
    remedy: () => 'Install sudo on the server (apt-get install sudo), or deploy as root.',
  },
];

/** The error when sudo, or the search for it, refused; undefined when what was printed is not theirs. Pure. */
export function explainSudo(hop: Hop, stderr: string): MirrorError | undefined {
  const user = hop.endpoint.user;
  // That sudo cannot resolve its own host's name is a warning. A program that it does not find is not its refusal.
  const lines = complaintsOf(stderr).filter((line) => !/^sudo: \/\S+: command not found$/.test(line));
  const refused = (code: string, line: string, remedy: string): MirrorError =>
    new MirrorError({
      code,
      message: `${account(hop)} may not become root: ${said(line, 240)}`,
      remedy,
      exitCode: ExitCode.environment,
    });
  for (const { code, pattern, remedy } of SUDO) {
    const line = lines.find((complaint) => pattern.test(complaint));
    if (line !== undefined) return refused(code, line, remedy(user));
  }
  const other = lines.find((line) => /^(sudo|env): /.test(line));
  return other === undefined
    ? undefined
    : refused('SUDO_REFUSED', other, `Deploys need root without a password: put ${RULE(user)}, or deploy as root.`);
}

function complaintsOf(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line.trim() !== '' && !line.includes('unable to resolve host'));
}

/** The error for a command that did not start. Pure. */
export function explainNotStarted(hop: Hop, ended: NotStarted): MirrorError {
  const who = account(hop);
  const user = hop.endpoint.user;
  const refused = user === 'root' ? undefined : explainSudo(hop, ended.stderr);
  if (refused !== undefined) return refused;
  const complaints = complaintsOf(ended.stderr);
  const words = [ended.stdout, ...complaints].join(' ').trim();
  const how = ended.signal === null ? `exit code ${ended.exitCode}` : `signal ${ended.signal}`;
  return new MirrorError({
    code: 'SHELL_REFUSED',
    message: `${who} was let in, but its login shell did not run our command (${how})${words === '' ? '' : `: it says ${said(words, 240)}`}`,
    remedy: `Look there: getent passwd ${user} (the shell), chage -l ${user}, and ForceCommand in sshd_config or command= in authorized_keys.`,
    exitCode: ExitCode.environment,
  });
}
