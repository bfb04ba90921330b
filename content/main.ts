/** `mirrorctl`: content of the mirror. Runs on the server as the user `mirror`. */
import { setFlagsFromString } from 'node:v8';
import { Command, CommanderError, Option } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { CONTENT_USER, ServerPaths } from '../desired-state/model';
import { addBackupCommands } from './backup-cli';
import { addBuildAdminCommands } from './build-admin-cli';
import { addBuildCommands } from './build-cli';
import type { BackupSecrets } from './backup-secrets';
import { addAvailabilityCommands } from './ga-cli';
import { addExplainCommand } from './explain-cli';
import { addPublishCommand } from './publish-cli';
import { addHoldbackCommands } from './holdback-cli';
import { addPromoteCommand } from './promote-cli';
import { addReleaseCommands } from './release-cli';
import { addRetentionCommands } from './retention-cli';
import { addTimesCommand } from './times-cli';
import { type GlobalOptions, opened, print, printJson, sayWhenInterrupted, usage, warn, wholeSeconds } from './cli';
import { addHealthCommand } from './health-cli';
import type { LegacyLogs } from './legacy';
import { addDigestsCommand } from './digests-cli';
import { addLegacyCommand } from './legacy-cli';
import { addLintCommand } from './lint-cli';
import { addUploadCommands } from './uploads-cli';
import type { KeySource } from '../signatures/sign';

const EXIT_CODES = `
Exit codes:
  0  done
  1  a defect of mirrorctl
  2  the command line is wrong
  3  the configuration or a key given is not valid; nothing was changed
  4  another process holds the lock
  5  an upstream cannot be reached or does not have a file
  6  something did not verify: a signature, a checksum, unsafe metadata
  7  the machine lacks something: disk, mount, program, permission
Whatever fails, the published snapshot stays as it was.

Examples:
  mirrorctl status                 what is here, and how it is
  mirrorctl sync epel-7            bring one repository up to date
  mirrorctl sync --all --json      all of them, with a result for programs`;

const SYNC_EXAMPLES = `
Examples:
  mirrorctl sync centos-7-os epel-7    these two
  mirrorctl sync --all                 every declared repository, file tree and set of downloads
  mirrorctl sync --new                 those that were never published; a deploy starts this
A run that was interrupted is continued by the next one.`;

const STATUS_EXAMPLES = `
Examples:
  mirrorctl status                 everything that is declared
  mirrorctl status epel-7 --json   one repository, for programs`;

const SCRUB_EXAMPLES = `
A damaged file is put right from another copy or from upstream; one that cannot be is served no more, is kept in quarantine/ of the storage
root, and is in mirrorctl status until it is back. Exit code 6: something is lost. A run that was interrupted is continued by the next one.

Examples:
  mirrorctl scrub               what is due today; a timer runs it daily
  mirrorctl scrub --all         everything, now
  mirrorctl scrub --all --json  with each file that was repaired or lost, for programs`;

const CHANGES_EXAMPLES = `
CVE names are those of upstream's advisories; where upstream has none, those that appeared in the changelogs of updated packages.
Times are UTC. The newest 400 publishes of each repository are remembered.

Examples:
  mirrorctl changes                             every publish that is remembered
  mirrorctl changes centos-7-updates            of one repository
  mirrorctl changes --since 2026-11-01 --cves   which CVEs were fixed this month, and by which packages
  mirrorctl changes --json                      with the packages that came, changed and went, for programs`;

const IMPORT_EXAMPLES = `
Whatever is intact and could be published by something that is declared enters the store; the next sync finds it and does not fetch it.
Packages are checked by their own digests, and by their signatures where everything that is declared wants signed packages.
Files are hard-linked where they belong to the user mirror, are read-only (0444) and lie on the file system of the store; else they are
reflinked where it can, else copied. The directory itself is only read.

Examples:
  mirrorctl import /srv/old/output/stx-r1/CentOS/pike --dry-run   what would be taken, and what is not to be trusted
  mirrorctl import /srv/old/output/stx-r1/CentOS/pike             take it; then: mirrorctl sync --all
  mirrorctl import /mnt/usb/reposync --copy --json                share nothing with the disk, with a result for programs
A run that was interrupted is continued by the next one.`;

const PREPARE_EXAMPLES = `
Examples:
  mirrorctl prepare        by hand, as root; a deploy does it by itself`;

/** Commands that may sign something. */
const SIGN = ['sync', 'publish', 'promote', 'add', 'remove', 'prepare', 'freeze', 'apply', 'forget', 'restore', 'take'];

export function program(): Command {
  const root = new Command('mirrorctl')
    .description('Content of the package mirror: copies upstream repositories, keeps hosted ones.')
    .addOption(new Option('--configuration <directory>', 'the generation to read').default(`${ServerPaths.configuration}/current`))
    .addOption(new Option('--state <directory>', 'state and locks').default(ServerPaths.state))
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(mirrorctl --help shows what there is)')
    .exitOverride();
  let keys: KeySource | undefined;
  let backup: BackupSecrets | undefined;
  let legacyLogs: LegacyLogs = [];
  root.hook('preAction', async (_root, command) => {
    // While this may still be root, to whom the keys belong.
    const { configuration } = root.opts<GlobalOptions>();
    if (SIGN.includes(command.name())) keys = (await import('./signing-keys')).signingKeys(configuration, process.env);
    if (command.parent?.name() === 'backup') backup = (await import('./backup-secrets')).backupSecrets(configuration, process.env);
    if (command.name() === 'legacy') legacyLogs = (await import('./legacy')).openLegacyLogs(command.opts<{ log: string }>().log);
    becomeContentUser();
  });
  root
    .command('sync')
    .description('copy what is new from the upstream, verify all of it, and publish it')
    .argument('[ids...]', 'of repositories, file trees, downloads and package lists')
    .option('--all', 'everything that is declared; package lists last, since they find packages in the repositories', false)
    .option('--new', 'those that were never published, and such as are declared meanwhile', false)
    .addOption(new Option('--wait <seconds>', 'wait so long for another run of the same repository').default(0).argParser(wholeSeconds))
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', SYNC_EXAMPLES)
    .action(async (ids: string[], options: { all: boolean; new: boolean; wait: number; json: boolean }) => {
      if ([ids.length > 0, options.all, options.new].filter(Boolean).length !== 1) {
        throw usage('mirrorctl sync wants ids, or --all, or --new', 'mirrorctl sync --help has examples.');
      }
      sayWhenInterrupted();
      const { definitionsReader } = await import('./definitions');
      const { exitCodeOf, outcomeText, syncSelected } = await import('./sync-command');
      const { configuration, state } = root.opts<GlobalOptions>();
      const outcomes = await syncSelected(
        { ids, all: options.all, fresh: options.new, waitSeconds: options.wait },
        state,
        definitionsReader(configuration),
        warn,
        (outcome) => {
          if (outcome.error !== undefined || options.json) warn(outcomeText(outcome));
          else print(outcomeText(outcome));
        },
        keys as KeySource,
      );
      if (options.json) printJson({ repositories: outcomes });
      else if (outcomes.length === 0) print('nothing to sync');
      process.exitCode = exitCodeOf(outcomes, options.new);
    });
  root
    .command('status')
    .description('what is published here, since when, and what failed')
    .argument('[ids...]', 'repositories, file trees and hosted components')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', STATUS_EXAMPLES)
    .action(async (ids: string[], options: { json: boolean }) => {
      const { statusOf, statusTable } = await import('./status');
      const { layout, definitions } = await opened(root);
      const rows = await statusOf(layout, definitions, ids);
      const releases = ids.length > 0 ? [] : await (await import('./release-command')).releaseRows(layout, definitions, new Date());
      const { alertLines, lastAlerts } = await import('./health-record');
      const alerts = ids.length > 0 ? [] : await lastAlerts(layout);
      const { backupLines, backupStatus } = await import('./backup-status');
      const backedUp = ids.length > 0 ? undefined : await backupStatus(layout, definitions, new Date());
      if (options.json) printJson({ repositories: rows, releases, alerts, ...(backedUp === undefined ? {} : { backup: backedUp }) });
      else process.stdout.write(`${statusTable(rows, releases)}${backupLines(backedUp)}${alertLines(alerts)}`);
    });
  root
    .command('scrub')
    .description('read content again, and repair what is not as its digest says')
    .option('--all', 'everything, and not only what is due', false)
    .addOption(new Option('--wait <seconds>', 'wait so long for a sync that uses damaged files').default(0).argParser(wholeSeconds))
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', SCRUB_EXAMPLES)
    .action(async (options: { all: boolean; wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { readDefinitions } = await import('./definitions');
      const { runScrub, scrubExitCode, scrubLines } = await import('./scrub-command');
      const { configuration, state } = root.opts<GlobalOptions>();
      const definitions = await readDefinitions(configuration);
      const outcome = await runScrub(definitions, state, { all: options.all, waitSeconds: options.wait }, warn);
      if (options.json) printJson(outcome);
      else for (const line of scrubLines(outcome)) print(line);
      process.exitCode = scrubExitCode(outcome);
    });
  root
    .command('changes')
    .description('what each publish added, updated and removed, and which CVEs it fixed')
    .argument('[ids...]', 'repositories and hosted components')
    .option('--since <date>', 'publishes of this day or time and later')
    .option('--cves', 'only CVEs: a line for each', false)
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', CHANGES_EXAMPLES)
    .action(async (ids: string[], options: { since?: string; cves: boolean; json: boolean }) => {
      const { changeLine, changesOf, cveLines, parseSince } = await import('./changes-command');
      const since = options.since === undefined ? undefined : parseSince(options.since);
      const { layout, definitions } = await opened(root);
      const records = await changesOf(layout, definitions, { ids, since, cves: options.cves }, warn);
      if (options.json) printJson({ publishes: records });
      else if (records.length === 0) print(options.cves ? 'no publish that fixes a CVE is recorded' : 'nothing is recorded');
      else for (const record of records) for (const line of options.cves ? cveLines(record) : [changeLine(record)]) print(line);
    });
  root
    .command('import')
    .description('take over the files of a mirror tree that is there already, so that syncs do not fetch them')
    .argument('<directory>', 'what a download script, reposync or rsync left')
    .option('--copy', 'copy every file: no hard links, no reflinks', false)
    .option('--dry-run', 'say what would be taken, and take nothing', false)
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', IMPORT_EXAMPLES)
    .action(async (directory: string, options: { copy: boolean; dryRun: boolean; json: boolean }) => {
      sayWhenInterrupted();
      const { importTree } = await import('./import');
      const { importExitCode, importText, problemText } = await import('./import-command');
      const { layout, definitions } = await opened(root);
      const { copy: copyOnly, dryRun } = options;
      const outcome = await importTree({ layout, definitions, directory, copyOnly, dryRun, say: warn });
      if (options.json) printJson(outcome);
      else print(importText(outcome));
      if (outcome.problems.length > 0) warn(problemText(outcome.problems));
      process.exitCode = importExitCode(outcome);
    });
  root
    .command('prepare')
    .description('make every declared hosted component exist, empty and signed; packages are never touched')
    .addOption(
      new Option(
        '--signing-key <files...>',
        "the mirror's secret OpenPGP keys, today's first; - is standard input, where a zero byte separates them",
      ).default(undefined, 'those of the server, which root may read'),
    )
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', PREPARE_EXAMPLES)
    .action(async (options: { signingKey?: string[]; json: boolean }) => {
      const { namedKeys } = await import('./signing-keys');
      const { prepare } = await import('./prepare');
      const { layout, definitions } = await opened(root);
      const named = options.signingKey === undefined ? undefined : namedKeys(options.signingKey);
      const outcome = await prepare({ layout, signingKeys: named ?? (keys as KeySource), now: () => new Date() }, definitions);
      if (options.json) printJson(outcome);
      else {
        for (const { id, formerId } of outcome.adopted) print(`${id}: goes on with the content of ${formerId}`);
        for (const id of outcome.created) print(`${id}: created`);
        for (const { id, why } of outcome.changed) print(`${id}: published anew (${why})`);
        const { someOf } = await import('./lines');
        for (const { id, tree, packages } of outcome.incomplete)
          print(`warning: ${id}: ${tree} lacks ${someOf(packages, 5)}, which the other architectures have: publish the same files again`);
        const { freezeErrors, freezeLines } = await import('./release-command');
        for (const line of freezeLines(outcome.releases)) print(line);
        // What cannot be frozen holds up no deploy.
        for (const { message } of freezeErrors(outcome.releases)) print(`warning: ${message}`);
        print(
          `${outcome.created.length} created, ${outcome.changed.length} changed, ${outcome.unchanged} unchanged in ${outcome.seconds.toFixed(1)} s`,
        );
      }
    });
  addPublishCommand(root, () => keys as KeySource);
  addExplainCommand(root);
  addTimesCommand(root);
  addPromoteCommand(root, () => keys as KeySource);
  addAvailabilityCommands(root);
  addHoldbackCommands(root, () => keys as KeySource);
  addReleaseCommands(root, () => keys as KeySource);
  addRetentionCommands(root, () => keys as KeySource);
  addBuildAdminCommands(
    root,
    addBuildCommands(root, () => keys as KeySource),
  );
  addUploadCommands(root, () => keys as KeySource);
  addHealthCommand(root);
  addLegacyCommand(root, () => legacyLogs);
  addDigestsCommand(root);
  addLintCommand(root);
  addBackupCommands(
    root,
    () => keys as KeySource,
    () => backup as BackupSecrets,
  );
  return root;
}

/**
 * Told to V8 here and not on the command line, so that it holds however the program is started. The heap may grow by a third before what is no
 * longer used is looked for, not to twice its size: 30 MB less at 5,000 packages, in the same time. The HTTP parser is WebAssembly. Compiling it a second time, for speed, takes 30 MB and 60 ms, for which the end of the program waits: more
 * than it saves at 5,000 packages.
 */
function sparing(): void {
  setFlagsFromString('--heap-growing-percent=30');
  setFlagsFromString('--no-wasm-tier-up');
  setFlagsFromString('--no-wasm-dynamic-tiering');
}

async function main(): Promise<void> {
  sparing();
  // What is published must be readable for the web server, whatever the caller's mask is.
  process.umask(0o022);
  try {
    await program().parseAsync();
  } catch (error) {
    process.exitCode = await exitCodeFor(error);
  }
}

/** What Node has on POSIX, and its types lack. */
interface InitGroups {
  initgroups(user: string, group: number): void;
}

/** Root's `mirrorctl sync x` does what it says, with the rights of the content user: what upstreams send is never handled by root. */
function becomeContentUser(): void {
  if (process.getuid?.() !== 0) return;
  try {
    process.setgid?.(CONTENT_USER);
    // With the groups of accounts that upload by rsync.
    (process as Partial<InitGroups>).initgroups?.(CONTENT_USER, process.getgid?.() ?? 0);
    process.setuid?.(CONTENT_USER);
    process.env.HOME = ServerPaths.state;
  } catch (error) {
    // Without that user this is no deployed server: what belongs to another user is refused later.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_CREDENTIAL') throw error;
  }
}

async function exitCodeFor(error: unknown): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  const { machineFault } = await import('./files');
  const fault = machineFault(error);
  if (fault instanceof MirrorError) {
    warn(`mirrorctl: ${fault.describe()}`);
    return fault.exitCode;
  }
  warn(
    `mirrorctl: this is a defect: ${process.env.MIRROR_DEBUG === undefined ? String(error) : ((error as Error).stack ?? String(error))}`,
  );
  return ExitCode.internal;
}

if (require.main === module) void main();
