import { type Command, Option } from 'commander';
import { ExitCode } from '../desired-state/errors';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, sayWhenInterrupted, warn, wholeSeconds, withSigner } from './cli';
import type { RetentionContext } from './retention';

const EXAMPLES = `
What no rule of main.ts keeps is announced, stays for a time of grace, then goes into quarantine, out of service, and at last for good. Until
then restore brings it back. Releases, pins, what is published, hosted content and that of constructs which are gone never go by a rule.
mirrorctl explain says what keeps something. Names: epel-7 (what was copied or hosted by a construct that is gone), epel-7@<snapshot>, epel-7:<package>, releases/<id>.

Examples:
  mirrorctl retention plan                 what goes when, and why
  mirrorctl retention restore epel-7       take back all that is announced or in quarantine of it`;

const PLAN_EXAMPLES = `
What apply would do now, by the same code; nothing is changed. Exit code 3: a repository is stopped, since more of it than the declared share
would go at once.

Examples:
  mirrorctl retention plan
  mirrorctl retention plan --json    every item, for programs`;

const APPLY_EXAMPLES = `
A timer runs it daily. Exit code 3: a repository is stopped, since more of it than the declared share would go at once; the others are done.

Examples:
  mirrorctl retention apply                     every step that is due
  mirrorctl retention apply --confirm epel-7    also where more of epel-7 goes than the declared share`;

const FORGET_EXAMPLES = `
A package that is forgotten by name is taken from upstream no more, until it is restored; earlier snapshots and releases still have it.

Examples:
  mirrorctl retention forget acme                                   all that a customer had, whose construct is gone
  mirrorctl retention forget epel-7:bad-1.0-1.el7.x86_64 --now --reason 'CVE-2026-1: a trojan'
  mirrorctl retention forget epel-7@20261122T023000Z-0123456789ab   a superseded snapshot
  mirrorctl retention forget releases/stx-3.0-rc1                   a release that is no longer declared`;

const RESTORE_EXAMPLES = `
Examples:
  mirrorctl retention restore epel-7:bash-4.2.46-34.el7.x86_64
  mirrorctl retention restore acme`;

/** @param keys those that the program opened while it was still root */
export function addRetentionCommands(root: Command, keys: () => KeySource): void {
  const retention = root
    .command('retention')
    .description('what is kept, and how the rest goes: announced, in steps, with a way back')
    .addHelpText('after', EXAMPLES);
  const json = (): Option => new Option('--json', 'print one JSON document on standard output').default(false);
  const wait = (): Option =>
    new Option('--wait <seconds>', 'wait so long for syncs of what is to be touched').default(0).argParser(wholeSeconds);
  const confirm = (): Option =>
    new Option('--confirm <ids...>', 'repositories of which more than the declared share may go; unused: files of the store').default([]);

  const withContext = async <T>(waitSeconds: number, work: (context: RetentionContext) => Promise<T>): Promise<T> => {
    const { GRACE_SECONDS } = await import('./snapshot');
    const { definitions, layout } = await opened(root);
    return withSigner(keys(), layout, (signer) =>
      work({ layout, definitions, signer, now: () => new Date(), say: warn, graceSeconds: GRACE_SECONDS, waitSeconds }),
    );
  };

  retention
    .command('plan')
    .description('say what goes when, and why; change nothing')
    .addOption(confirm())
    .addOption(json())
    .addHelpText('after', PLAN_EXAMPLES)
    .action(async (options: { confirm: string[]; json: boolean }) => {
      const { planRetention } = await import('./retention');
      const plan = await withContext(0, (context) => planRetention(context, options.confirm));
      if (options.json) printJson(plan);
      else for (const line of (await import('./retention-text')).planLines(plan)) print(line);
      process.exitCode = plan.stopped.length > 0 || plan.unused.stopped ? ExitCode.invalid : ExitCode.ok;
    });
  retention
    .command('apply')
    .description('take every step that is due')
    .addOption(confirm())
    .addOption(wait())
    .addOption(json())
    .addHelpText('after', APPLY_EXAMPLES)
    .action(async (options: { confirm: string[]; wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { applyRetention } = await import('./retention');
      const applied = await withContext(options.wait, (context) => applyRetention(context, options.confirm));
      if (options.json) printJson(applied);
      else for (const line of (await import('./retention-text')).appliedLines(applied)) print(line);
      const stopped = applied.stopped.length > 0 || applied.unused.stopped;
      process.exitCode = applied.failed[0]?.error.exitCode ?? (stopped ? ExitCode.invalid : ExitCode.ok);
    });
  retention
    .command('forget')
    .description('let content go that no rule takes: hosted, of a construct that is gone, or a bad package')
    .argument('<what>', 'id, <id>@<snapshot>, <id>:<package> or releases/<id>')
    .option('--now', 'into quarantine at once, without the time of grace', false)
    .option('--reason <text>', 'told by plan and explain')
    .addOption(wait())
    .addOption(json())
    .addHelpText('after', FORGET_EXAMPLES)
    .action(async (what: string, options: { now: boolean; reason?: string; wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { forget } = await import('./retention-operator');
      const { now, reason } = options;
      const forgotten = await withContext(options.wait, (context) => forget(context, what, { now, reason }));
      if (options.json) printJson(forgotten);
      else for (const line of (await import('./retention-text')).forgottenLines(forgotten)) print(line);
      process.exitCode = forgotten.failed[0]?.error.exitCode ?? ExitCode.ok;
    });
  retention
    .command('restore')
    .description('take back what is announced, or bring back what is in quarantine')
    .argument('<what>', 'an item, or an id: all that is announced or in quarantine of it')
    .addOption(wait())
    .addOption(json())
    .addHelpText('after', RESTORE_EXAMPLES)
    .action(async (what: string, options: { wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { restore } = await import('./retention-operator');
      const restored = await withContext(options.wait, (context) => restore(context, what));
      if (options.json) printJson(restored);
      else for (const line of (await import('./retention-text')).restoredLines(restored)) print(line);
    });
}
