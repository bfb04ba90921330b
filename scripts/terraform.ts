/** Synthesis and Terraform, as the programs for people run them: quiet while all is well, and in our words when not. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { applyRemedy, initRemedy, planRemedy } from './init-remedy';
import { summarize, type PlanSummary, type TerraformPlan } from './plan-summary';
import { terraformError } from './terraform-error';

/** The plan's file in a stack's directory. */
export const PLAN_FILE = 'mirror.tfplan';

/** A synthesized stack. */
export interface Stack {
  readonly name: string;
  /** Directory of its `cdk.tf.json`. */
  readonly directory: string;
}

type Remedy = string | ((said: string) => string);

/** What Terraform and `main.ts` have no use for: tokens of the platform that runs us. */
const TOKENS = ['GITHUB_TOKEN', 'GITLAB_TOKEN', 'CI_JOB_TOKEN', 'MIRROR_PLAN_KEY'];

function childEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { CHECKPOINT_DISABLE: '1', ...process.env };
  for (const name of TOKENS) delete environment[name];
  return environment;
}

/** Synthesizes the checkout in `root` and returns its stacks; what the app says goes to standard error. */
export function synthesize(root = '.'): Stack[] {
  const script = join('scripts', 'synth.mjs');
  const env = childEnvironment();
  delete env['CDKTF_OUTDIR'];
  const output = command(process.execPath, [script], 'synthesis', 'Nothing was planned.', { cwd: root, env });
  if (output.trim() !== '') process.stderr.write(output);
  const manifest = JSON.parse(readFileSync(join(root, 'cdktf.out', 'manifest.json'), 'utf8')) as {
    stacks: Record<string, { workingDirectory: string }>;
  };
  return Object.entries(manifest.stacks).map(([name, stack]) => ({ name, directory: join(root, 'cdktf.out', stack.workingDirectory) }));
}

/** Throws where `name` is not one of the stacks. */
export function stackNamed(stacks: readonly Stack[], name: string): Stack {
  const stack = stacks.find((s) => s.name === name);
  if (stack) return stack;
  throw new MirrorError({
    code: 'NO_SUCH_STACK',
    message: `There is no stack "${name}".`,
    remedy: `Stacks of main.ts: ${stacks.map((s) => s.name).join(', ')}.`,
    exitCode: ExitCode.usage,
  });
}

export function terraformInit(directory: string): void {
  // -reconfigure: this checkout may have been initialized for another server's state.
  terraform(directory, ['init', '-input=false', '-no-color', '-reconfigure'], initRemedy);
}

/** Plans an initialized stack into `mirror.tfplan` beside it. */
export function terraformPlan(directory: string, ...options: string[]): void {
  terraform(directory, ['plan', '-input=false', '-no-color', `-out=${PLAN_FILE}`, ...options], planRemedy);
}

/** What the plan file in a stack's directory says. */
export function readPlan(directory: string): PlanSummary {
  return summarize(JSON.parse(terraform(directory, ['show', '-json', PLAN_FILE], '')) as TerraformPlan);
}

export function planDiff(directory: string): string {
  return terraform(directory, ['show', '-no-color', PLAN_FILE], '');
}

/** Applies the plan file in a stack's directory; what Terraform prints is passed on as it comes. */
export function terraformApply(directory: string, options: readonly string[], tell: (text: string) => void): Promise<void> {
  const args = [`-chdir=${directory}`, 'apply', '-input=false', '-no-color', ...options, PLAN_FILE];
  const child = spawn(terraformBinary(), args, { stdio: ['ignore', 'pipe', 'pipe'], env: childEnvironment() });
  let said = '';
  const heard = (chunk: Buffer): void => {
    said += chunk.toString();
    tell(chunk.toString());
  };
  child.stdout.on('data', heard);
  child.stderr.on('data', heard);
  // A cancelled job signals us alone: Terraform must hear it, to release the lock of the state.
  const forward = (): void => void child.kill('SIGINT');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, forward);
  const applied = new Promise<void>((resolve, reject) => {
    child.on('error', (error) => reject(failure('terraform apply', error.message, 'Is Terraform on PATH?')));
    child.on('close', (code) => {
      if (code === 0) resolve();
      // What it said was shown already.
      else reject(terraformError(said) ?? failure('terraform apply', 'See the lines above.', applyRemedy(said)));
    });
  });
  return applied.finally(() => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, forward);
  });
}

function terraform(directory: string, args: readonly string[], remedy: Remedy): string {
  return command(terraformBinary(), [`-chdir=${directory}`, ...args], `terraform ${args[0]}`, remedy);
}

const terraformBinary = (): string => process.env['TERRAFORM_BINARY_NAME'] ?? 'terraform';

/** Runs a program and returns its standard output; a failure shows what it printed. */
function command(
  program: string,
  args: readonly string[],
  what: string,
  remedy: Remedy,
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 30, env: childEnvironment(), ...options });
  if (result.status === 0) return result.stdout;
  const said = result.error ? result.error.message : `${result.stdout}${result.stderr}`.trim();
  throw terraformError(said) ?? failure(what, said, typeof remedy === 'string' ? remedy : remedy(said), result.error);
}

function failure(what: string, said: string, remedy: string, cause?: unknown): MirrorError {
  return new MirrorError({ code: 'COMMAND_FAILED', message: `${what} failed:\n${said}`, remedy, exitCode: ExitCode.invalid, cause });
}
