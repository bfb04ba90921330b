/** `review plan`: what a change does, stored so that this very plan can be applied after review. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import { sentenceLines, type PlanSummary } from '../plan-summary';
import { PLAN_FILE, planDiff, readPlan, terraformInit, terraformPlan, type Stack } from '../terraform';
import { renderComment } from './comment';
import { head, requireClean } from './git';
import { outputDirectory, reviewedStacks } from './stacks';
import { planRef, storePlan } from './store';
import { LOCK_FILE, STACK_FILES, STORED_PLAN, summaryJson } from './verify';

export interface PlanOptions {
  readonly json?: boolean;
  readonly stack?: string;
  readonly remote: string;
  readonly lockTimeout: string;
}

/** What is known of one stack's plan, as `--json` prints it. */
export interface PlanReport {
  readonly stack: string;
  readonly changes: boolean;
  readonly sentences: readonly string[];
  /** Where the plan is stored; undefined for one that cannot be applied. */
  readonly ref?: string;
  readonly plan?: string;
  readonly replaced?: boolean;
  readonly comment: string;
  /** Lines of the diff that the comment leaves out. */
  readonly leftOut: number;
}

export function planCommand(options: PlanOptions): void {
  requireClean();
  const { commit, tree } = head();
  forgetReviews();
  const reports = [];
  for (const stack of reviewedStacks(options.stack)) {
    terraformInit(stack.directory);
    terraformPlan(stack.directory, `-lock-timeout=${options.lockTimeout}`);
    reports.push(storeStack(stack, commit, tree, options));
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ tree, commit, stacks: reports }, null, 2)}\n`);
}

function storeStack(stack: Stack, commit: string, tree: string, options: PlanOptions): PlanReport {
  const summary = readPlan(stack.directory);
  const diff = planDiff(stack.directory);
  const ref = planRef(tree, stack.name);
  const plan = join(stack.directory, PLAN_FILE);
  const stored = { ref, sha256: sha256(readFileSync(plan)) };
  const comment = renderComment({ stack: stack.name, tree, commit, summary, diff, stored });
  const written = writeReview(stack.name, summary, diff, comment.text);
  const files = new Map([
    ...STACK_FILES.map((name) => [`stack/${name}`, join(stack.directory, name)] as const),
    [STORED_PLAN, plan],
    ['summary.json', written.summary],
    ['diff.txt', written.diff],
    ['comment.md', written.comment],
  ]);
  const lock = join(stack.directory, LOCK_FILE);
  if (existsSync(lock)) files.set(`stack/${LOCK_FILE}`, lock);
  const { commit: planCommit, replaced } = storePlan(options.remote, tree, stack.name, files);
  if (!options.json) {
    tellPlan(stack.name, summary, diff);
    process.stdout.write(
      `Stored as ${ref} (plan ${planCommit.slice(0, 12)})${replaced ? ', in place of an earlier plan of this tree: what was reviewed before does not count' : ''}.\n`,
    );
  }
  return { stack: stack.name, ...summary, ref, plan: planCommit, replaced, comment: written.comment, leftOut: comment.leftOut };
}

/** What an earlier run left, which `review comment` would post. */
export function forgetReviews(): void {
  rmSync(outputDirectory('.'), { recursive: true, force: true });
}

/** Writes what a reader and `review comment` want into the stack's output directory. */
export function writeReview(
  stack: string,
  summary: PlanSummary,
  diff: string,
  comment: string,
): { summary: string; diff: string; comment: string } {
  const directory = outputDirectory(stack);
  mkdirSync(directory, { recursive: true });
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  return {
    summary: write('summary.json', summaryJson(stack, summary)),
    diff: write('diff.txt', diff),
    comment: write('comment.md', comment),
  };
}

/** Prints a plan in full: the job's log has what the comment leaves out. */
export function tellPlan(stack: string, summary: PlanSummary, diff: string): void {
  process.stdout.write(
    summary.changes
      ? `${diff.trimEnd()}\n\nStack ${stack}: applying this plan:\n${sentenceLines(summary)}`
      : `Stack ${stack}: nothing to do.\n`,
  );
}
