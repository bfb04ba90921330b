/** `npm run campaign -- NAME`: faults over deploy and activation on the lab host, and over syncs, retention and publishing on this machine. */
import { isMainThread, workerData } from 'node:worker_threads';
import { Command, InvalidArgumentError, Option } from 'commander';
import { ExitCode } from '../desired-state/errors';
import { CampaignError } from './errors';
import { KINDS, type Fault, type Field, type Kind } from './fault';
import { fullDisks } from './faults/disk';
import { errors, kills, killsOfReceive, killsOfRevert, revertAfterDeadRevert, type Recordings } from './faults/kill-host';
import { clocks, firstDeploys, locks, reboots } from './faults/machine';
import { cuts, killsOfOperator, lockouts, pauses } from './faults/operator';
import { drifts, nginxFaults, syncsMeanwhile, systemdFaults } from './faults/services';
import { coverage, coverageTable, line, rows, table, totals, type Result } from './report';
import { bringAbout, type Outcome } from './runner';
import { sampling } from './sampler';
import { prepare } from './setup';
import { writePage, writeResult } from './page';
import { PUBLISH_CASES } from './publish/cases';
import { publish, type PublishOptions } from './publish/command';
import { CASES } from './retention/cases';
import { retention, type RetentionOptions } from './retention/command';
import { writeKillsPage } from './retention/report';
import { sync, type SyncOptions } from './sync/command';
import { PARTS } from './sync/judge';
import { writeSyncPage } from './sync/page';
import { isSandboxed } from './sync/sandbox';

interface Options {
  readonly short?: true;
  readonly only?: readonly Kind[];
  readonly seed: number;
  readonly json?: true;
  readonly write?: true;
}

const everything = (recordings: Recordings): Fault[] => [
  ...kills(recordings),
  ...killsOfReceive(recordings),
  revertAfterDeadRevert(recordings),
  ...killsOfRevert(recordings),
  ...killsOfOperator(),
  ...cuts(),
  ...lockouts(),
  ...pauses(),
  ...errors(recordings),
  ...fullDisks(),
  ...nginxFaults(),
  ...systemdFaults(),
  ...drifts(),
  ...syncsMeanwhile(),
  ...clocks(),
  ...locks(),
  ...reboots(recordings),
  ...firstDeploys(),
];

/** Which faults are brought about. Throws CampaignError when none is left. Pure. */
export function chosen(faults: readonly Fault[], options: Pick<Options, 'short' | 'only'>): Fault[] {
  const { only } = options;
  const found = faults.filter(
    (fault) => (only === undefined || only.includes(fault.kind)) && (options.short !== true || fault.short === true),
  );
  if (found.length > 0) return found;
  throw new CampaignError('the short form has no fault of that kind');
}

/** What is under way when the campaign is interrupted fails as its field is taken away: that is no news. */
let interrupted = false;

async function deploy(options: Options): Promise<void> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const print = (text: string): void => void (options.json === true || process.stdout.write(`${text}\n`));
  const started = Date.now();
  const { field, recordings, close } = await prepare(options.seed, options.short === true, say);
  const outcomes: Outcome[] = [];
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      say(`${signal}: cleaning up`);
      interrupted = true;
      void close().finally(() => process.exit(ExitCode.internal));
    });
  }
  try {
    const faults = chosen(everything(recordings), options);
    for (const [index, fault] of faults.entries()) {
      const outcome = await bringAbout(field, fault);
      outcomes.push(outcome);
      print(line(outcome, index + 1, faults.length));
      if (options.json === true) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    }
    const left = await leftovers(field);
    const summary = rows(outcomes);
    const struck = coverage(recordings, outcomes);
    const minutes = (Date.now() - started) / 60_000;
    const { faults: faultsMade, failed } = totals(summary, left);
    print(`\n${table(summary)}\n\n${coverageTable(struck)}\n`);
    for (const text of left) print(`FAIL ${text}`);
    print(
      `${faultsMade} faults in ${minutes.toFixed(1)} minutes, seed ${options.seed}; ${failed === 0 ? 'every one survived' : `${failed} failed`}`,
    );
    const date = new Date().toISOString().slice(0, 10);
    const result: Result = { date, seed: options.seed, minutes: Number(minutes.toFixed(1)), faults: faultsMade, failed, summary, struck };
    if (options.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
    if (options.write === true) writeResult({ ...result, left, outcomes });
    if (failed > 0) process.exitCode = ExitCode.internal;
  } finally {
    await close();
  }
}

/** What no fault may leave behind; and a plan that is empty after it all. */
async function leftovers(field: Field): Promise<string[]> {
  const found: string[] = [];
  const files = await field.host.do(
    "find /etc/mirror /etc/systemd/system /var/lib/mirror/host /usr/local/lib/mirror /usr/local/sbin /srv/mirror/www \\( -name '*.mirror-new' -o -name '.new-*' \\) ",
  );
  if (files.trim() !== '') found.push(`left behind: ${files.trim().split('\n').join(', ')}`);
  const apply = await field.here.startTerraform('apply', '-input=false', '-no-color', '-auto-approve').ended;
  if (apply.status !== 0) found.push(`terraform apply ended with ${apply.status}: ${apply.text.slice(-900)}`);
  const plan = await field.here.startTerraform('plan', '-input=false', '-no-color', '-detailed-exitcode').ended;
  if (plan.status !== 0) found.push(`the plan is not empty at the end: ${plan.text.slice(-900)}`);
  return found;
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Must be a whole number.');
  return Number(text);
}

function commandLine(): Command {
  const program = new Command('npm run campaign --')
    .description('Faults, one after the other, while clients look. MIRROR_LAB names the lab of `deploy` (default: "campaign").')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? ExitCode.ok : ExitCode.usage));
  /** A command that brings faults about, with the options that all such have. */
  const strikes = (name: string, description: string, words: { short: string; only: Option; unit: string; write: string }): Command =>
    program
      .command(name)
      .description(description)
      .option('--short', words.short)
      .addOption(words.only)
      .option('--seed <number>', 'of what is left to chance', whole, 1)
      .option('--json', `one JSON document ${words.unit}, and one of the whole`)
      .option('--write', words.write);
  strikes('deploy', 'faults over deploy and activation: each must leave the site answering, and the next deploy converging', {
    short: 'a dozen of them, one of most kinds',
    only: new Option('--only <kind...>', 'these kinds').choices(KINDS),
    unit: 'a fault',
    write: 'write campaign/results/deploy.json and the tables of docs/campaigns.md; kinds that were not run stay as they are there',
  }).action((options: Options) => deploy(options));
  strikes('sync', 'crashes, power losses and full disks over sync and publish: what is published is old or new, whole, and never lost', {
    short: 'some of each part',
    only: new Option('--only <part...>', 'these parts').choices(PARTS),
    unit: 'a fault',
    write: 'write campaign/results/sync.json and the tables of docs/reliability.md; parts that were not run stay as they are there',
  }).action(async (options: SyncOptions) => {
    process.exit(await sync(options));
  });
  strikes(
    'retention',
    'kills while content leaves, comes back, is frozen or is repaired: what has to be kept is there, and the next run ends it',
    {
      short: 'some of each command',
      only: new Option('--only <case...>', 'these commands').choices(CASES),
      unit: 'a kill',
      write: 'write campaign/results/retention.json and the table of docs/reliability.md; cases that were not run stay as they are there',
    },
  ).action(async (options: RetentionOptions) => {
    process.exit(await retention(options));
  });
  strikes('publish', 'kills while packages are published: what is served is old or new, and the same command again ends it', {
    short: 'some of each command',
    only: new Option('--only <case...>', 'these commands').choices(PUBLISH_CASES),
    unit: 'a kill',
    write: 'write campaign/results/publish.json and the table of docs/reliability.md; cases that were not run stay as they are there',
  }).action(async (options: PublishOptions) => {
    process.exit(await publish(options));
  });
  program
    .command('table')
    .description('write the tables of docs/campaigns.md and docs/reliability.md from campaign/results/')
    .action(() => {
      writePage();
      writeSyncPage();
      writeKillsPage('retention');
      writeKillsPage('publish');
    });
  return program;
}

if (!isMainThread && (workerData as { sampler?: true } | null)?.sampler === true) sampling();
else {
  process.env['MIRROR_LAB'] ??= 'campaign';
  commandLine()
    .parseAsync()
    .catch((error: unknown) => {
      if (interrupted) return;
      const known = error instanceof CampaignError;
      process.stderr.write(
        `campaign: ${known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
      process.exitCode = known ? ExitCode.environment : ExitCode.internal;
      // Its nginx would keep it alive.
      if (isSandboxed()) process.exit();
    });
}
