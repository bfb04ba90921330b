/** `npm run plan`: synthesizes, plans, and says in sentences what would change on the server. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { initRemedy, planRemedy } from './init-remedy';
import { withLockHolder } from './lock-holder';
import { summarize, type TerraformPlan } from './plan-summary';

const PLAN_FILE = 'mirror.tfplan';

interface Options {
  readonly json?: boolean;
  readonly diff?: boolean;
  readonly stack?: string;
}

function run(options: Options): void {
  const output = command(process.execPath, [join('scripts', 'synth.mjs')], 'synthesis', 'Nothing was planned.');
  if (output.trim() !== '') process.stderr.write(output);
  const manifest = JSON.parse(readFileSync(join('cdktf.out', 'manifest.json'), 'utf8')) as {
    stacks: Record<string, { workingDirectory: string }>;
  };
  const name = options.stack ?? onlyStack(Object.keys(manifest.stacks));
  const stack = manifest.stacks[name];
  if (!stack) {
    throw new MirrorError({
      code: 'NO_SUCH_STACK',
      message: `There is no stack "${name}".`,
      remedy: `Stacks of main.ts: ${Object.keys(manifest.stacks).join(', ')}.`,
      exitCode: ExitCode.usage,
    });
  }
  const directory = join('cdktf.out', stack.workingDirectory);
  const terraform = process.env['TERRAFORM_BINARY_NAME'] ?? 'terraform';
  // -reconfigure: this checkout may have been initialized for another server's state.
  command(terraform, [`-chdir=${directory}`, 'init', '-input=false', '-no-color', '-reconfigure'], 'terraform init', initRemedy);
  command(terraform, [`-chdir=${directory}`, 'plan', '-input=false', '-no-color', `-out=${PLAN_FILE}`], 'terraform plan', planRemedy);
  const plan = JSON.parse(command(terraform, [`-chdir=${directory}`, 'show', '-json', PLAN_FILE], 'terraform show', '')) as TerraformPlan;
  const summary = summarize(plan);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ stack: name, ...summary, plan: join(directory, PLAN_FILE) }, null, 2)}\n`);
    return;
  }
  if (options.diff) process.stdout.write(command(terraform, [`-chdir=${directory}`, 'show', '-no-color', PLAN_FILE], 'terraform show', ''));
  process.stdout.write(
    summary.changes
      ? `Applying this plan:\n${summary.sentences.map((s) => `  - ${s}\n`).join('')}\nThe same as text diffs: npm run plan -- --diff\n`
      : 'Nothing to do: the server matches main.ts.\n',
  );
}

function onlyStack(names: readonly string[]): string {
  if (names.length === 1) return names[0] as string;
  throw new MirrorError({
    code: 'WHICH_STACK',
    message: `main.ts has ${names.length} stacks: ${names.join(', ')}.`,
    remedy: 'Name one: npm run plan -- --stack <name>',
    exitCode: ExitCode.usage,
  });
}

/** Runs a program and returns its standard output; a failure shows what it printed. */
function command(program: string, args: readonly string[], what: string, remedy: string | ((said: string) => string)): string {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 30, env: { CHECKPOINT_DISABLE: '1', ...process.env } });
  if (result.status === 0) return result.stdout;
  const said = result.error ? result.error.message : `${result.stdout}${result.stderr}`.trim();
  throw new MirrorError({
    code: 'COMMAND_FAILED',
    message: `${what} failed:\n${said}`,
    remedy: typeof remedy === 'string' ? remedy : remedy(said),
    exitCode: ExitCode.invalid,
  });
}

const program = new Command('plan')
  .description('Says in sentences what a deploy would change on the server. Changes nothing.')
  .option('--json', 'print the summary as JSON')
  .option('--diff', "print Terraform's text diffs too")
  .option('--stack <name>', 'which stack, where main.ts has several')
  .addHelpText(
    'after',
    '\nExamples:\n  npm run plan\n  npm run plan -- --diff\n  MIRROR_OBSERVE=0 npm run plan      # without access to the server\n',
  );

try {
  program.parse();
  run(program.opts<Options>());
} catch (error) {
  if (!(error instanceof MirrorError)) throw error;
  process.exitCode = error.exitCode;
  void withLockHolder(error, 'cdktf.out', process.env).then((told) => process.stderr.write(`${told.describe()}\n`));
}
