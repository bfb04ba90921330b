/**
 * Reviewed plans in the git remote: one commit a plan, without parents, under `refs/plans/<tree>/<stack>`.
 *
 * Made of git's own objects, beside the checkout: no branch, index or file of it changes.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { git, gitBytes } from './git';

/** Where the plan of a tree is, until it is applied and after. */
export const planRef = (tree: string, stack: string): string => `refs/plans/${tree}/${stack}`;
const appliedRef = (tree: string, stack: string): string => `refs/plans-applied/${tree}/${stack}`;

/** Throws where a stack's name cannot be part of a ref, a path and a comment. */
export function requirePlainName(stack: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(stack)) return;
  throw new MirrorError({
    code: 'STACK_NAME',
    message: `The stack's name ${JSON.stringify(stack)} cannot be part of a git ref.`,
    remedy: 'Name stacks in main.ts with letters, digits, "-" and "_" only.',
    exitCode: ExitCode.invalid,
  });
}

export interface StoredPlan {
  /** The commit that holds it: its id names these very bytes. */
  readonly commit: string;
  readonly files: ReadonlyMap<string, Buffer>;
}

/**
 * Stores files as the plan of a tree.
 *
 * @param files path in the plan → path on disk
 * @returns the plan's commit, and whether the tree had another plan before
 */
export function storePlan(
  remote: string,
  tree: string,
  stack: string,
  files: ReadonlyMap<string, string>,
): { commit: string; replaced: boolean } {
  const directory = mkdtempSync(join(tmpdir(), 'mirror-index-'));
  try {
    const index = { GIT_INDEX_FILE: join(directory, 'index') };
    // --no-filters: a plan holds digests of these bytes, whatever .gitattributes says.
    const entries = [...files].map(([path, file]) => `100644 ${git(['hash-object', '-w', '--no-filters', '--', file])}\t${path}\n`);
    git(['update-index', '--add', '--index-info'], { env: index, input: entries.join('') });
    const content = git(['write-tree'], { env: index });
    const key = process.env['MIRROR_PLAN_KEY'];
    const seal = key ? `\nSeal: ${sealOf(key, tree, stack, content)}\n` : '';
    const identity = { NAME: 'package-mirror review', EMAIL: 'review@package-mirror.invalid' };
    const env = Object.fromEntries(
      Object.entries(identity).flatMap(([what, value]) => [`GIT_AUTHOR_${what}`, `GIT_COMMITTER_${what}`].map((name) => [name, value])),
    ) as Record<string, string>;
    const commit = git(['commit-tree', content], { env, input: `Plan of ${stack} for tree ${tree}\n${seal}` });
    const ref = planRef(tree, stack);
    const earlier = remoteRefs(remote, [ref]).get(ref);
    git(['push', '--quiet', remote, `+${commit}:${ref}`]);
    return { commit, replaced: earlier !== undefined && earlier !== commit };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Fetches the plan of a tree; throws where there is none, or where MIRROR_PLAN_KEY did not seal it. */
export function fetchPlan(remote: string, tree: string, stack: string, branch: string): StoredPlan {
  const [ref, applied] = [planRef(tree, stack), appliedRef(tree, stack)];
  const found = remoteRefs(remote, [ref, applied]);
  if (!found.has(ref)) {
    const before = found.get(applied);
    if (before !== undefined) throw appliedAlready(stack, tree, before);
    throw new MirrorError({
      code: 'NO_REVIEWED_PLAN',
      message: `${branch} is at tree ${tree.slice(0, 12)}, and nobody planned that for stack "${stack}": ${ref} does not exist.`,
      remedy:
        'The target branch moved on after the plan, or the commit came without a pull request. Plan this commit and have that plan reviewed: ' +
        'GitHub: run the workflow "Deploy" by hand; GitLab: run a pipeline on the default branch.',
      exitCode: ExitCode.invalid,
    });
  }
  git(['fetch', '--quiet', '--no-tags', remote, ref]);
  const commit = git(['rev-parse', 'FETCH_HEAD']);
  const listing = gitBytes(['ls-tree', '-r', '-z', '--full-tree', commit]).toString();
  const files = new Map<string, Buffer>();
  for (const line of listing.split('\0').filter((l) => l !== '')) {
    const [, mode, kind, id, path] = /^(\d+) (\w+) ([0-9a-f]+)\t([^]*)$/.exec(line) as unknown as string[];
    if (mode !== '100644' || kind !== 'blob') throw notOurs(stack, tree, `${path} is not a plain file`);
    files.set(path as string, gitBytes(['cat-file', 'blob', id as string]));
  }
  requireSeal(commit, tree, stack);
  return { commit, files };
}

/** Marks a plan as applied: it cannot be applied again. */
export function markApplied(remote: string, tree: string, stack: string, commit: string): void {
  git(['push', '--quiet', '--atomic', remote, `+${commit}:${appliedRef(tree, stack)}`, `:${planRef(tree, stack)}`]);
}

/** Throws: a stored plan does not hold what it should. */
export function notOurs(stack: string, tree: string, why: string): MirrorError {
  return new MirrorError({
    code: 'PLAN_NOT_OF_SOURCE',
    message: `The stored plan of stack "${stack}" for tree ${tree.slice(0, 12)} is refused: ${why}. Nothing was changed.`,
    remedy: 'Plan again from this commit, and review that plan. Find out who wrote the stored one: whoever may push to the repository can.',
    exitCode: ExitCode.untrusted,
  });
}

function appliedAlready(stack: string, tree: string, commit: string): MirrorError {
  return new MirrorError({
    code: 'APPLIED_ALREADY',
    message: `The plan ${commit.slice(0, 12)} of stack "${stack}" for tree ${tree.slice(0, 12)} was applied already. Nothing was changed.`,
    remedy: 'Nothing to do, unless something else was deployed since: then plan this commit again, and review that plan.',
    exitCode: ExitCode.invalid,
  });
}

function requireSeal(commit: string, tree: string, stack: string): void {
  const key = process.env['MIRROR_PLAN_KEY'];
  if (!key) return;
  const found = /^Seal: ([0-9a-f]{64})$/m.exec(git(['log', '-1', '--format=%B', commit]))?.[1] ?? '';
  const expected = sealOf(key, tree, stack, git(['rev-parse', `${commit}^{tree}`]));
  if (found.length === expected.length && timingSafeEqual(Buffer.from(found), Buffer.from(expected))) return;
  throw notOurs(stack, tree, found === '' ? 'it has no seal, and MIRROR_PLAN_KEY is set' : 'its seal was not made with MIRROR_PLAN_KEY');
}

function sealOf(key: string, tree: string, stack: string, content: string): string {
  return createHmac('sha256', key).update(`${tree}\n${stack}\n${content}\n`).digest('hex');
}

function remoteRefs(remote: string, refs: readonly string[]): Map<string, string> {
  const lines = git(['ls-remote', remote, ...refs]).split('\n');
  const pairs = lines.filter((l) => l !== '').map((line) => line.split('\t').reverse() as [string, string]);
  return new Map(pairs.filter(([name]) => refs.includes(name)));
}
