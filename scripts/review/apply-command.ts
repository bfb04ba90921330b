/** `review apply`: the very plan that was reviewed, or nothing. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { sentenceLines } from '../plan-summary';
import { PLAN_FILE, readPlan, terraformApply, terraformInit, type Stack } from '../terraform';
import { head, requireClean } from './git';
import { reviewedStacks } from './stacks';
import { fetchPlan, markApplied, notOurs, type StoredPlan } from './store';
import { differs, LOCK_FILE, STACK_FILES, STORED_PLAN, summaryJson } from './verify';

export interface ApplyOptions {
  readonly json?: boolean;
  readonly stack?: string;
  readonly remote: string;
  readonly lockTimeout: string;
}

export async function applyCommand(options: ApplyOptions): Promise<void> {
  requireClean();
  const { commit, tree } = head();
  const stacks = reviewedStacks(options.stack);
  // All of them are looked at before the first is applied.
  const plans = stacks.map((stack) => [stack, verifiedPlan(options.remote, tree, commit, stack)] as const);
  const reports = [];
  for (const [stack, plan] of plans) {
    const sentences = await applyStack(stack, plan, tree, options);
    reports.push({ stack: stack.name, plan: plan.commit, applied: true, sentences });
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ tree, commit, stacks: reports }, null, 2)}\n`);
}

function verifiedPlan(remote: string, tree: string, commit: string, stack: Stack): StoredPlan {
  const plan = fetchPlan(remote, tree, stack.name, commit.slice(0, 12));
  const synthesized = new Map(
    STACK_FILES.filter((name) => existsSync(join(stack.directory, name))).map((name) => [name, readFileSync(join(stack.directory, name))]),
  );
  const why = differs(plan.files, synthesized);
  if (why !== undefined) throw notOurs(stack.name, tree, why);
  return plan;
}

async function applyStack(stack: Stack, plan: StoredPlan, tree: string, options: ApplyOptions): Promise<readonly string[]> {
  // A directory of its own, with nothing but what was verified.
  const directory = mkdtempSync(join(tmpdir(), 'mirror-reviewed-'));
  const tell = (text: string): void => void (options.json ? process.stderr : process.stdout).write(text);
  try {
    const write = (name: string, from: string): void => {
      const content = plan.files.get(from);
      if (content === undefined) return;
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), content);
    };
    for (const name of [...STACK_FILES, LOCK_FILE]) write(name, `stack/${name}`);
    write(PLAN_FILE, STORED_PLAN);
    terraformInit(directory);
    const summary = readPlan(directory);
    const reviewed = plan.files.get('summary.json')?.toString() ?? '';
    if (reviewed !== summaryJson(stack.name, summary)) {
      throw notOurs(stack.name, tree, 'its sentences are not those of its plan file');
    }
    tell(`Stack ${stack.name}: plan file sha256 ${sha256(plan.files.get(STORED_PLAN) as Buffer)}, as in the comment.\n`);
    tell(summary.changes ? `Applying the reviewed plan:\n${sentenceLines(summary)}` : 'Nothing to do.\n');
    await terraformApply(directory, [`-lock-timeout=${options.lockTimeout}`], tell);
    recordApplied(options.remote, tree, stack.name, plan.commit);
    return summary.sentences;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function recordApplied(remote: string, tree: string, stack: string, plan: string): void {
  try {
    markApplied(remote, tree, stack, plan);
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw new MirrorError({
      code: 'NOT_RECORDED',
      message: `The plan of stack "${stack}" was applied, but that could not be recorded in the repository: ${error.message}`,
      remedy: `Nothing is wrong on the server, and Terraform refuses to apply this plan again. ${error.remedy}`,
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}
