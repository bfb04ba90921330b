import { mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BackupDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { checkDue } from './backup-check';
import type { BackupSecrets } from './backup-secrets';
import { stage, type Staged } from './backup-stage';
import { type BackupState, readBackupState, writeBackupState } from './backup-state';
import type { Definitions } from './definitions';
import { machineFault, removeTree } from './files';
import type { Layout } from './layout';
import { secondsBetween } from './lines';
import { Lock } from './lock';
import { Progress, type Say } from './progress';
import { Restic, signingKeyTag } from './restic';
import { failureOf } from './state';
import { requireStorage } from './storage';

export interface BackupContext {
  readonly layout: Layout;
  readonly definitions: Definitions;
  readonly secrets: BackupSecrets;
  readonly now: () => Date;
  readonly say: Say;
}

export interface RunOutcome extends Staged {
  /** Undefined in a dry run. */
  readonly snapshot: string | undefined;
  /** Bytes that the repository did not have. */
  readonly added: number;
  /** Versions of signing keys that only this server has. */
  readonly signingKeys: readonly string[];
  readonly seconds: number;
}

/** The declared backup; throws a MirrorError where there is none. */
export function declaredBackup({ backup }: Definitions): BackupDefinition {
  if (backup !== undefined) return backup;
  throw new MirrorError({
    code: 'NOT_DECLARED',
    message: 'no backup is declared on this server',
    remedy: 'Declare one in main.ts, new Backup(server, "backup", { repository: …, password: … }), and deploy.',
    exitCode: ExitCode.invalid,
  });
}

/** Takes the lock that every command has which uses the repository. */
export function lockBackup(layout: Layout): Promise<Lock> {
  return Lock.take(layout.backupLock, 'the backup');
}

/** Says what a run would back up. */
export async function dryRun({ layout, definitions, secrets, now }: BackupContext): Promise<RunOutcome> {
  declaredBackup(definitions);
  await requireStorage(layout, definitions.server);
  const started = now();
  const staged = await stage(layout, definitions, started, undefined);
  return {
    ...staged,
    snapshot: undefined,
    added: 0,
    signingKeys: [...secrets.signingKeys.keys()],
    seconds: secondsBetween(started, now()),
  };
}

/**
 * Makes a backup, forgets those that the declaration does not keep, and reads what is due of the repository. A run that is killed leaves the backups before
 * it, and a directory that the next one removes.
 *
 * @param anew takes a repository for its own that has backups of other content
 */
export async function runBackup(context: BackupContext, anew: boolean): Promise<RunOutcome> {
  const { layout, definitions, now } = context;
  declaredBackup(definitions);
  await requireStorage(layout, definitions.server);
  const lock = await lockBackup(layout);
  try {
    const started = now();
    const before = await readBackupState(layout);
    const note = async (result: 'done' | 'incomplete' | 'failed', error: unknown, more: Partial<BackupState>): Promise<void> => {
      const finishedAt = now().toISOString();
      const lastRun = {
        startedAt: started.toISOString(),
        finishedAt,
        result,
        ...(error === undefined ? {} : { error: failureOf(machineFault(error)) }),
      };
      await writeBackupState(layout, { ...(await readBackupState(layout)), ...more, lastRun });
    };
    try {
      const { repository, outcome } = await backUp(context, lock, before, anew, started);
      const { snapshot, files, bytes, lost } = outcome;
      const incomplete = lost.length === 0 ? undefined : incompleteError(lost);
      const success = incomplete === undefined ? { lastSuccess: now().toISOString() } : {};
      await note(incomplete === undefined ? 'done' : 'incomplete', incomplete, { repository, snapshot, files, bytes, ...success });
      return outcome;
    } catch (error) {
      await note('failed', error, {});
      throw error;
    }
  } finally {
    await lock.release();
  }
}

async function backUp(
  { layout, definitions, secrets, now, say }: BackupContext,
  lock: Lock,
  before: BackupState,
  anew: boolean,
  started: Date,
): Promise<{ readonly repository: string; readonly outcome: RunOutcome }> {
  const definition = declaredBackup(definitions);
  requireOtherDisk(layout, definition);
  const restic = await Restic.open(definition, secrets, layout.backupCache, lock);
  const staging = join(layout.backup, 'staging');
  try {
    const repository = await ownRepository(restic, before, anew, say);
    await restic.unlock();
    for (const [version, key] of secrets.signingKeys) await restic.keep(`${version}.asc`, signingKeyTag(version), key);
    await removeTree(staging);
    mkdirSync(staging, { recursive: true, mode: 0o700 });
    const staged = await stage(layout, definitions, started, staging);
    if (!anew) requireMost(restic.location, staged, before);
    const progress = new Progress('backup', staged.files, staged.bytes, say);
    const { snapshot, added } = await restic
      .backup(staging, (files, bytes) => {
        progress.files = Math.min(files, staged.files);
        progress.bytes = Math.min(bytes, staged.bytes);
      })
      .finally(() => progress.stop());
    // One that lacks something drives none out that may have it.
    if (staged.lost.length === 0) await restic.forget();
    const signingKeys = [...secrets.signingKeys.keys()];
    // What is on the other side is known by now, whatever the reading finds.
    await writeBackupState(layout, { ...before, repository });
    await checkDue(layout, restic, definition, now, say);
    return { repository, outcome: { ...staged, snapshot, added, signingKeys, seconds: secondsBetween(started, now()) } };
  } finally {
    await removeTree(layout.backup);
    await restic.close();
  }
}

/**
 * The id of the repository, which is made where there is none yet. One that was there and is gone is not made anew: its disk is not mounted. One
 * with backups of other content is not written to: days of backups of an empty disk would drive out those of the lost one.
 */
async function ownRepository(restic: Restic, { repository }: BackupState, anew: boolean, say: Say): Promise<string> {
  const { location } = restic;
  const found = await restic.id();
  if (found !== undefined && found === repository) return found;
  if (found !== undefined && (anew || (await restic.list()).length === 0)) return found;
  if (found !== undefined) {
    const known =
      repository === undefined ? 'backups that are not of the content which is here' : 'another repository than that of the backups before';
    throw new MirrorError({
      code: 'BACKUP_FOREIGN',
      message: `${location} has ${known}`,
      remedy:
        'Where a disk or a server was lost: mirrorctl backup restore. Where the content is as it should be: mirrorctl backup run --anew; the backups that are there are kept as declared.',
      exitCode: ExitCode.invalid,
    });
  }
  if (repository !== undefined && !anew) {
    throw new MirrorError({
      code: 'BACKUP_GONE',
      message: `${location} holds no backups any more`,
      remedy: 'Mount its disk, or bring it back. To begin with an empty one: mirrorctl backup run --anew.',
      exitCode: ExitCode.environment,
    });
  }
  await restic.init();
  say(`${location}: the repository is made`);
  return (await restic.id()) as string;
}

/** A backup on the disk of the content is lost with it. */
function requireOtherDisk(layout: Layout, { repository }: BackupDefinition): void {
  if (repository.type !== 'directory') return;
  if (deviceOf(repository.path) !== deviceOf(layout.root)) return;
  throw new MirrorError({
    code: 'BACKUP_SAME_DISK',
    message: `${repository.path} is on the file system of the content (${layout.root}): what is lost with that is lost here too`,
    remedy: 'Mount another disk there (and enter it in /etc/fstab), or declare another place: sftp:… or s3:….',
    exitCode: ExitCode.environment,
  });
}

/** Of the path, or of what is above it as far as there is something. */
function deviceOf(path: string): number {
  for (let at = path; ; at = dirname(at)) {
    const found = statSync(at, { throwIfNoEntry: false });
    if (found !== undefined) return found.dev;
  }
}

/** What was lost here must not drive out, day by day, the backups that have it. */
function requireMost(location: string, { files }: Staged, before: BackupState): void {
  if (before.files === undefined || files >= before.files / 2) return;
  throw new MirrorError({
    code: 'BACKUP_SHRUNK',
    message: `${location}: this backup would have ${files} files, and the last one has ${before.files}: no backup was made`,
    remedy: 'If content was lost: mirrorctl backup restore. If it was given up on purpose: mirrorctl backup run --anew.',
    exitCode: ExitCode.invalid,
  });
}

function incompleteError(lost: readonly string[]): MirrorError {
  return new MirrorError({
    code: 'BACKUP_INCOMPLETE',
    message: `a backup was made without ${lost.length === 1 ? 'one file' : `${lost.length} files`} that ${lost.length === 1 ? 'is' : 'are'} lost here; the first: ${lost[0]}`,
    remedy:
      'mirrorctl scrub --all asks for them everywhere; an older backup may have them: mirrorctl backup restore. Until they are back no backup is forgotten.',
    exitCode: ExitCode.untrusted,
  });
}
