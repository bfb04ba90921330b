/** The lists as they were, from git. */
import { spawnSync } from 'node:child_process';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { usage } from '../survey/units';

/** Bytes of a list and of what git says. */
const MAX_OUTPUT = 64 * 1024 * 1024;

/** The commit that a branch began at: the last that it has in common with `origin/main`, or with `main`. */
export function mergeBase(): string {
  for (const main of ['origin/main', 'main']) {
    const { status, stdout } = git('merge-base', 'HEAD', main);
    if (status === 0) return stdout.trim();
  }
  throw usage(
    'there is neither origin/main nor main to compare with',
    'Name what to compare with, --base REF, or look at all lines: --all.',
  );
}

/** The commit that `ref` means. */
export function commitOf(ref: string): string {
  const { status, stdout } = git('rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`);
  if (status === 0) return stdout.trim();
  throw usage(`--base ${JSON.stringify(ref)} is no commit here`, 'Name a branch, a tag or a commit: git log --oneline');
}

/** Path → text of the files as they were in a commit; those that were not there are absent. */
export function textsAt(commit: string, paths: readonly string[]): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const path of paths) {
    const { status, stdout } = git('show', `${commit}:./${path}`);
    if (status === 0) texts.set(path, stdout);
  }
  return texts;
}

function git(...argv: string[]): { readonly status: number | null; readonly stdout: string } {
  const { status, stdout, stderr, error } = spawnSync('git', argv, { encoding: 'utf8', maxBuffer: MAX_OUTPUT });
  if (error === undefined && !stderr.includes('not a git repository')) return { status, stdout };
  throw new MirrorError({
    code: 'GIT',
    message: error === undefined ? 'this is no git repository' : `git cannot be run: ${error.message}`,
    remedy: 'Look at all lines, without git: --all.',
    exitCode: ExitCode.environment,
  });
}
