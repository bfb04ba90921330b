/** `mirrorctl backup`. */
import { type Command, Option } from 'commander';
import { ExitCode } from '../desired-state/errors';
import type { KeySource } from '../signatures/sign';
import type { RestoreOutcome } from './backup-restore';
import type { BackupContext, RunOutcome } from './backup-run';
import type { BackupSecrets } from './backup-secrets';
import { opened, print, printJson, sayWhenInterrupted, warn, wholeSeconds } from './cli';

const EXAMPLES = `
It is declared in main.ts: new Backup(server, 'backup', { repository: …, password: … }).

Examples:
  mirrorctl backup list        the backups of this server that there are
  mirrorctl backup restore     put back what this server has not`;

const RUN_EXAMPLES = `
A timer does this. What cannot be fetched again is backed up: hosted packages, releases, what upstream dropped, what is known of snapshots, signing
keys that only this server has. The first run makes the repository. Exit code 6: something that should be in the backup is lost here.

Examples:
  mirrorctl backup run --dry-run   what would be in the backup
  mirrorctl backup run             make one now
  mirrorctl backup run --anew      in a repository with backups of other content; with far less in it than the last one`;

const RESTORE_EXAMPLES = `
Puts back what is not here; nothing that is here is overwritten. What upstream still has is noted as lost: mirrorctl sync and mirrorctl scrub
fetch it. A run that was interrupted is continued by the next one. Exit code 6: files of the backup are not whole.

Examples:
  mirrorctl backup restore --dry-run            what would be put back
  mirrorctl backup restore                      the newest backup; then: mirrorctl sync --all
  mirrorctl backup restore --snapshot 4bba301e  another one of mirrorctl backup list
  mirrorctl backup restore --into /srv/look     everything into a directory of its own, to look at it`;

const VERIFY_EXAMPLES = `
A run by the timer reads a part of it, so that everything is read within the declared time.

Examples:
  mirrorctl backup verify         what is due
  mirrorctl backup verify --all   everything, now`;

/**
 * Adds the group.
 *
 * @param keys signing keys, @param secrets those of the backup: what the program opened while it was still root
 */
export function addBackupCommands(root: Command, keys: () => KeySource, secrets: () => BackupSecrets): void {
  const group = root
    .command('backup')
    .description('copies of what cannot be fetched again, in a repository of restic elsewhere')
    .addHelpText('after', EXAMPLES);
  const context = async (): Promise<BackupContext> => {
    sayWhenInterrupted();
    return { ...(await opened(root)), secrets: secrets(), now: () => new Date(), say: warn };
  };
  group
    .command('run')
    .description('make a backup, forget old ones, and read a part of the repository again')
    .option('--dry-run', 'say what would be in it, and make none', false)
    .option('--anew', "take the repository for this server's own, whatever it holds, and the content as it is", false)
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', RUN_EXAMPLES)
    .action(async (options: { dryRun: boolean; anew: boolean; json: boolean }) => {
      const { dryRun, runBackup } = await import('./backup-run');
      const outcome = options.dryRun ? await dryRun(await context()) : await runBackup(await context(), options.anew);
      if (options.json) printJson(outcome);
      else for (const line of await runLines(outcome)) print(line);
      if (outcome.lost.length > 0) process.exitCode = ExitCode.untrusted;
    });
  group
    .command('list')
    .description('the backups of this server that there are')
    .option('--json', 'print one JSON document on standard output', false)
    .action(async (options: { json: boolean }) => {
      const { listBackups } = await import('./backup-list');
      const { location, backups } = await listBackups(await context());
      if (options.json) printJson({ location, backups });
      else if (backups.length === 0) print(`${location}: no backup of this server`);
      else for (const { shortId, time } of backups) print(`${shortId}  ${time.slice(0, 19).replace('T', ' ')} UTC`);
    });
  group
    .command('restore')
    .description('put back what a backup has and this server has not')
    .option('--snapshot <id>', 'another backup than the newest')
    .option('--into <directory>', 'everything into this directory, instead of what is served')
    .option('--dry-run', 'say what would be put back, and change nothing', false)
    .addOption(new Option('--wait <seconds>', 'wait so long for a sync that runs').default(600).argParser(wholeSeconds))
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', RESTORE_EXAMPLES)
    .action(async (options: { snapshot?: string; into?: string; dryRun: boolean; wait: number; json: boolean }) => {
      const { restoreBackup } = await import('./backup-restore');
      const { snapshot, into, dryRun, wait: waitSeconds } = options;
      const { prepare } = await import('./prepare');
      const given = await context();
      const outcome = await restoreBackup(given, { snapshot, into, dryRun, waitSeconds });
      // Their keys and architectures may be others by now than those of the backup.
      if (into === undefined && !dryRun) await prepare({ layout: given.layout, signingKeys: keys(), now: given.now }, given.definitions);
      if (options.json) printJson(outcome);
      else for (const line of await restoreLines(outcome)) print(line);
      if (outcome.damaged.length > 0) process.exitCode = ExitCode.untrusted;
    });
  group
    .command('verify')
    .description('read again what is due of the repository, and compare it with its digests')
    .option('--all', 'everything', false)
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', VERIFY_EXAMPLES)
    .action(async (options: { all: boolean; json: boolean }) => {
      const { verifyBackup } = await import('./backup-list');
      const outcome = await verifyBackup(await context(), options.all);
      const { parts, of, everythingSince } = outcome;
      if (options.json) printJson(outcome);
      else
        print(
          `${parts} of ${of} parts read, all whole; ${everythingSince === undefined ? 'not everything was read yet' : `everything was read since ${everythingSince.slice(0, 10)}`}`,
        );
    });
}

const MAX_NAMED = 50;

async function runLines({
  snapshot,
  snapshots,
  releases,
  files,
  bytes,
  added,
  lost,
  signingKeys,
  seconds,
}: RunOutcome): Promise<readonly string[]> {
  const { size } = await import('./progress');
  const { shortened } = await import('./lines');
  const what = [
    `${snapshots} snapshots`,
    ...(releases === 0 ? [] : [`${releases} releases`]),
    `${files} files, ${size(bytes)}`,
    ...signingKeys.map((version) => `the signing key ${version}`),
  ].join(', ');
  return [
    ...shortened(
      lost.map((place) => `lost here, and not in this backup: ${place}`),
      MAX_NAMED,
      '',
    ),
    snapshot === undefined ? `would be in the backup: ${what}` : `backup ${snapshot}: ${what}; ${size(added)} new, in ${seconds} s`,
  ];
}

async function restoreLines({
  snapshot,
  time,
  repositories,
  releases,
  files,
  bytes,
  damaged,
  dryRun,
  seconds,
}: RestoreOutcome): Promise<readonly string[]> {
  const { size } = await import('./progress');
  const back = dryRun ? 'would be put back' : 'put back';
  const lines = repositories.flatMap(({ id, snapshots, published, fromUpstream, kept }) => {
    if (snapshots.length === 0 && published === undefined && kept === undefined) return [];
    const parts = [
      ...(snapshots.length === 0 ? [] : [`${snapshots.length === 1 ? 'one snapshot' : `${snapshots.length} snapshots`} ${back}`]),
      ...(published === undefined ? [] : [`${dryRun ? 'would publish' : 'publishes'} ${published}`]),
      ...(kept === undefined ? [] : [`publishes what it did: ${kept}`]),
      ...(fromUpstream === 0 ? [] : [`${fromUpstream} files are to come from upstream`]),
    ];
    return [`${id}: ${parts.join('; ')}`];
  });
  const missing = repositories.some(({ fromUpstream }) => fromUpstream > 0);
  return [
    ...lines,
    ...releases.map((id) => `release ${id}: ${back}`),
    ...damaged.slice(0, MAX_NAMED).map((digest) => `${digest}: the backup does not have it whole`),
    `backup ${snapshot.slice(0, 8)} of ${time.slice(0, 16).replace('T', ' ')} UTC: ${dryRun ? 'nothing was changed' : `${files} files, ${size(bytes)} restored in ${seconds} s`}`,
    ...(missing && !dryRun ? ['Now: mirrorctl sync --all && mirrorctl scrub fetches from upstream what that still has.'] : []),
  ];
}
