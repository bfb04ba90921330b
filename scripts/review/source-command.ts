/** `review plan --without-server`: for changes from forks, which get no secret: what the source alone tells. */
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { summarize } from '../plan-summary';
import { stackNamed, synthesize, type Stack } from '../terraform';
import { renderComment } from './comment';
import { git, gitBytes, head, requireClean } from './git';
import { forgetReviews, tellPlan, writeReview, type PlanReport } from './plan-command';
import { elementsOf, sourcePlan, textFiles, type Texts } from './source-plan';
import { requirePlainName } from './store';

export interface SourceOptions {
  readonly json?: boolean;
  readonly stack?: string;
  readonly base: string;
}

export function planWithoutServer(options: SourceOptions): void {
  requireClean();
  const { commit, tree } = head();
  const base = git(['rev-parse', '--verify', '--end-of-options', `${options.base}^{commit}`]);
  forgetReviews();
  const directory = mkdtempSync(join(tmpdir(), 'mirror-base-'));
  try {
    const before = synthesizeCommit(base, join(directory, 'checkout'));
    const after = synthesize();
    const all = [...new Set([...after, ...before].map((s) => s.name))];
    const names = options.stack === undefined ? all : [stackNamed([...after, ...before], options.stack).name];
    const reports = names.map((stack) => planStack(stack, before, after, { ...options, base, commit, tree, directory }));
    if (options.json) process.stdout.write(`${JSON.stringify({ tree, commit, base, stacks: reports }, null, 2)}\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function planStack(
  stack: string,
  before: readonly Stack[],
  after: readonly Stack[],
  context: { base: string; commit: string; tree: string; directory: string; json?: boolean },
): PlanReport {
  requirePlainName(stack);
  const elements = [before, after].map((stacks) => {
    const found = stacks.find((s) => s.name === stack);
    return elementsOf(found && readFileSync(join(found.directory, 'cdk.tf.json'), 'utf8'));
  }) as [ReturnType<typeof elementsOf>, ReturnType<typeof elementsOf>];
  const summary = summarize(sourcePlan(...elements));
  const diff = textDiff(context.directory, stack, textFiles(elements[0]), textFiles(elements[1]));
  const { base, commit, tree } = context;
  const comment = renderComment({ stack, tree, commit, base, summary, diff, stored: undefined });
  const written = writeReview(stack, summary, diff, comment.text);
  const stepSummary = process.env['GITHUB_STEP_SUMMARY'];
  if (stepSummary) appendFileSync(stepSummary, comment.text);
  if (!context.json) {
    tellPlan(stack, summary, diff);
    process.stdout.write(`Neither the server nor the state was asked; nothing was stored. The comment: ${written.comment}\n`);
  }
  return { stack, ...summary, comment: written.comment, leftOut: comment.leftOut };
}

/** Synthesizes a commit beside this checkout, with the npm packages of this one. */
function synthesizeCommit(commit: string, directory: string): Stack[] {
  mkdirSync(directory);
  const env = { GIT_INDEX_FILE: join(dirname(directory), 'index') };
  git(['read-tree', commit], { env });
  git(['checkout-index', '--all', `--prefix=${directory}/`], { env });
  if (existsSync('node_modules')) symlinkSync(resolve('node_modules'), join(directory, 'node_modules'));
  return synthesize(directory);
}

function textDiff(directory: string, stack: string, before: Texts, after: Texts): string {
  const cwd = join(directory, `texts-${stack}`);
  for (const [side, texts] of [
    ['before', before],
    ['after', after],
  ] as const) {
    mkdirSync(join(cwd, side), { recursive: true });
    for (const [name, text] of texts) {
      mkdirSync(dirname(join(cwd, side, name)), { recursive: true });
      writeFileSync(join(cwd, side, name), text);
    }
  }
  const options = ['--no-color', '--no-ext-diff', '--no-renames', '--src-prefix=', '--dst-prefix='];
  return gitBytes(['diff', '--no-index', ...options, 'before', 'after'], { cwd, ok: [0, 1] }).toString();
}
