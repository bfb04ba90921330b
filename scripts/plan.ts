/** `npm run plan`: synthesizes, plans, and says in sentences what would change on the server. */
import { join } from 'node:path';
import { Command } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { withLockHolder } from './lock-holder';
import { summaryText } from './plan-summary';
import { PLAN_FILE, planDiff, readPlan, stackNamed, synthesize, terraformInit, terraformPlan } from './terraform';

interface Options {
  readonly json?: boolean;
  readonly diff?: boolean;
  readonly stack?: string;
}

function run(options: Options): void {
  const stacks = synthesize();
  const { name, directory } = stackNamed(stacks, options.stack ?? onlyStack(stacks.map((s) => s.name)));
  terraformInit(directory);
  terraformPlan(directory);
  const summary = readPlan(directory);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ stack: name, ...summary, plan: join(directory, PLAN_FILE) }, null, 2)}\n`);
    return;
  }
  if (options.diff) process.stdout.write(planDiff(directory));
  process.stdout.write(summaryText(summary));
  if (summary.changes && !options.diff) process.stdout.write('\nThe same as text diffs: npm run plan -- --diff\n');
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

const program = new Command('plan')
  .description('Says in sentences what a deploy would change on the server. Changes nothing.')
  .option('--json', 'print the sentences, and what they say as data: docs/how-to/read-a-plan.md')
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
