/** `npm run review`: plans that are reviewed in pull requests, and the apply of the very plan that was. */
import { Command, Option } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { withLockHolder } from './lock-holder';
import { applyCommand, type ApplyOptions } from './review/apply-command';
import { commentCommand, type CommentOptions } from './review/comment-command';
import { planCommand, type PlanOptions } from './review/plan-command';
import { planWithoutServer, type SourceOptions } from './review/source-command';

const program = new Command('review')
  .description(
    'Plans for review in pull requests, and the apply of the very plan that was reviewed. Run by the CI; docs/how-to/review-plans.md.',
  )
  .showHelpAfterError('(review --help lists the commands)')
  .addHelpText(
    'after',
    `
Exit codes:
  0  done
  2  the command line is wrong
  3  refused, nothing was changed: no reviewed plan, a checkout with changes; or Terraform failed, and said what it did
  4  the state is locked by another run
  5  the git remote, the platform or the server cannot be reached
  6  the plan is stale, or is not the plan of this commit: nothing was changed
  7  the machine lacks something: a variable, git, permission

Examples:
  npm run review -- plan                              plans, and stores the plan for this tree
  npm run review -- comment                           posts it to the pull request
  npm run review -- apply                             applies the stored plan of this tree
  npm run review -- plan --without-server --base HEAD^1   without any secret`,
  );

const remote = (): Option => new Option('--remote <name>', 'git remote, or its URL, that plans are stored in').default('origin');
const lockTimeout = (): Option => new Option('--lock-timeout <time>', 'how long to wait for the lock of the state').default('60s');
const stack = (): Option => new Option('--stack <name>', 'only this stack; else all');
const json = (): Option => new Option('--json', 'print the result as JSON');

program
  .command('plan')
  .description('synthesizes and plans; stores the plan in the git remote under the tree that is checked out. Changes nothing on the server')
  .addOption(stack())
  .addOption(remote())
  .addOption(lockTimeout())
  .option('--without-server', 'no secret, no state, no server: compares the source with that of --base; stores nothing')
  .option('--base <commit>', 'with --without-server: what to compare with')
  .addOption(json())
  .action((options: PlanOptions & { withoutServer?: boolean; base?: string }, command: Command) => {
    if (options.withoutServer && options.base === undefined)
      command.error('error: --without-server needs --base <commit>', { exitCode: ExitCode.usage });
    if (!options.withoutServer && options.base !== undefined)
      command.error('error: --base is for --without-server only', { exitCode: ExitCode.usage });
    if (options.withoutServer) planWithoutServer(options as SourceOptions);
    else planCommand(options);
  });
program
  .command('comment')
  .description('posts the plan to the pull request that this CI job is for, or updates the comment there; GitHub and GitLab')
  .addOption(stack())
  .addOption(json())
  .action((options: CommentOptions) => commentCommand(options));
program
  .command('apply')
  .description('applies the stored plan of the tree that is checked out, if it is the plan of this source and not stale')
  .addOption(stack())
  .addOption(remote())
  .addOption(lockTimeout())
  .addOption(json())
  .action((options: ApplyOptions) => applyCommand(options));

for (const command of [program, ...program.commands])
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : ExitCode.usage));

program.parseAsync().catch(async (error: unknown) => {
  if (!(error instanceof MirrorError)) throw error;
  process.exitCode = error.exitCode;
  process.stderr.write(`${error.code}: ${(await withLockHolder(error, 'cdktf.out', process.env)).describe()}\n`);
});
