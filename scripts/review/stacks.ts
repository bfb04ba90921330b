/** The stacks that a command of `review` is about. */
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { stackNamed, synthesize, type Stack } from '../terraform';
import { requirePlainName } from './store';

/** Where a command leaves what it found out about a stack. */
export const outputDirectory = (stack: string): string => join('cdktf.out', 'review', stack);

/** Synthesizes the checkout: the stack that was asked for, or all. */
export function reviewedStacks(only: string | undefined): Stack[] {
  const stacks = synthesize();
  const chosen = only === undefined ? stacks : [stackNamed(stacks, only)];
  for (const stack of chosen) {
    requirePlainName(stack.name);
    requireSharedState(stack);
  }
  return chosen;
}

/** A state in a file of this checkout is gone with the runner: every plan would create everything. */
function requireSharedState(stack: Stack): void {
  const json = JSON.parse(readFileSync(join(stack.directory, 'cdk.tf.json'), 'utf8')) as {
    terraform?: { backend?: { local?: { path?: string } } };
  };
  const local = json.terraform?.backend?.local;
  if (local === undefined || isAbsolute(local.path ?? '')) return;
  throw new MirrorError({
    code: 'LOCAL_STATE',
    message: `Stack "${stack.name}" keeps its state in a file of this checkout (${local.path ?? 'terraform.tfstate'}).`,
    remedy: 'A plan that is applied elsewhere needs a state that both reach: declare a backend in main.ts, or set MIRROR_STATE.',
    exitCode: ExitCode.invalid,
  });
}
