/** git, without a prompt, and with the token of the platform that runs us. */
import { spawnSync } from 'node:child_process';
import { ExitCode, MirrorError } from '../../desired-state/errors';

interface GitOptions {
  readonly env?: Record<string, string>;
  readonly input?: string;
  readonly cwd?: string;
  /** Exit codes that are no failure. @default 0 */
  readonly ok?: readonly number[];
}

/** Runs git and returns its standard output as bytes. */
export function gitBytes(args: readonly string[], options: GitOptions = {}): Buffer {
  const result = spawnSync('git', args, {
    maxBuffer: 1 << 30,
    input: options.input ?? '',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...gitCredentials(process.env), GIT_TERMINAL_PROMPT: '0', ...options.env },
  });
  if (result.status !== null && (options.ok ?? [0]).includes(result.status)) return result.stdout;
  const said = result.error ? result.error.message : result.stderr.toString().trim();
  throw new MirrorError({
    code: 'GIT_FAILED',
    message: `git ${args
      .filter((a) => !a.startsWith('-'))
      .slice(0, 3)
      .join(' ')} failed:\n${said}`,
    remedy: gitRemedy(said),
    exitCode: /Could not resolve host|unable to access|Connection|does not appear to be a git repository/.test(said)
      ? ExitCode.unreachable
      : ExitCode.environment,
  });
}

export function git(args: readonly string[], options: GitOptions = {}): string {
  return gitBytes(args, options).toString().trim();
}

function gitRemedy(said: string): string {
  if (/not a git repository \(or any/.test(said)) return 'Run this in a checkout of the project.';
  if (/unknown revision|bad revision|ambiguous argument|Not a valid object name|Needed a single revision|not a tree object/.test(said))
    return 'Fetch that commit first: a shallow clone does not have it (fetch-depth, GIT_DEPTH).';
  return 'The remote must be in reach, and the token may read and write it (GitHub: contents: write; GitLab: write_repository).';
}

/**
 * Variables that let git talk to the platform's own host with its token: only this process and git see it, nothing is written into the
 * checkout's configuration. Pure.
 */
export function gitCredentials(environment: NodeJS.ProcessEnv): Record<string, string> {
  const [server, user, token] = environment['GITHUB_TOKEN']
    ? [environment['GITHUB_SERVER_URL'], 'x-access-token', environment['GITHUB_TOKEN']]
    : [environment['CI_SERVER_URL'], 'oauth2', environment['GITLAB_TOKEN']];
  if (!server || !token) return {};
  const basic = Buffer.from(`${user}:${token}`).toString('base64');
  const count = Number(environment['GIT_CONFIG_COUNT'] ?? '0') || 0;
  return {
    GIT_CONFIG_COUNT: String(count + 1),
    [`GIT_CONFIG_KEY_${count}`]: `http.${server.replace(/\/+$/, '')}/.extraHeader`,
    [`GIT_CONFIG_VALUE_${count}`]: `Authorization: Basic ${basic}`,
  };
}

/** What is checked out: the commit, and the tree that plans are stored under. */
export function head(): { commit: string; tree: string } {
  return { commit: git(['rev-parse', 'HEAD']), tree: git(['rev-parse', 'HEAD^{tree}']) };
}

/** Throws when the checkout holds what HEAD does not. */
export function requireClean(): void {
  const changed = git(['status', '--porcelain']);
  if (changed === '') return;
  const lines = changed.split('\n');
  throw new MirrorError({
    code: 'DIRTY_CHECKOUT',
    message: `This checkout is not what was committed: ${lines
      .slice(0, 5)
      .map((line) => line.trim())
      .join(', ')}${lines.length > 5 ? ` and ${lines.length - 5} more` : ''}.`,
    remedy: 'A reviewed plan belongs to a commit: commit these or remove them. `npm run plan` plans a checkout as it is.',
    exitCode: ExitCode.invalid,
  });
}
