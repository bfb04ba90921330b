/** `review comment`: the plan, on the pull request. */
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { postComment, pullRequest } from './platform';
import { outputDirectory } from './stacks';

export interface CommentOptions {
  readonly json?: boolean;
  readonly stack?: string;
}

export async function commentCommand(options: CommentOptions): Promise<void> {
  const pull = pullRequest(process.env);
  const reports = [];
  for (const stack of plannedStacks(options.stack)) {
    const text = readFileSync(join(outputDirectory(stack), 'comment.md'), 'utf8');
    const summary = process.env['GITHUB_STEP_SUMMARY'];
    if (summary) appendFileSync(summary, text);
    const action = pull === undefined ? 'none' : await postComment(pull, text);
    reports.push({ stack, action, ...(pull ? { number: pull.number } : {}) });
    if (!options.json) {
      process.stdout.write(
        pull === undefined
          ? `Stack ${stack}: this job is for no pull request${summary ? '; the plan is in the summary of this job' : ''}.\n`
          : `Stack ${stack}: comment ${action} on ${pull.platform === 'GitHub' ? '#' : '!'}${pull.number}.\n`,
      );
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ stacks: reports }, null, 2)}\n`);
}

/** The stacks that `review plan` left a comment for. */
function plannedStacks(only: string | undefined): string[] {
  const parent = outputDirectory('.');
  const found = existsSync(parent)
    ? readdirSync(parent)
        .filter((s) => existsSync(join(parent, s, 'comment.md')))
        .sort()
    : [];
  const chosen = only === undefined ? found : found.filter((s) => s === only);
  if (chosen.length > 0) return chosen;
  throw new MirrorError({
    code: 'NOTHING_PLANNED',
    message: only === undefined ? 'There is no plan to post.' : `There is no plan of stack "${only}" to post.`,
    remedy: 'First, in this checkout: npm run review -- plan',
    exitCode: ExitCode.usage,
  });
}
