import { checkDue, checkedSince, checkEverything, PORTIONS } from './backup-check';
import { type BackupContext, declaredBackup, lockBackup } from './backup-run';
import { readBackupState } from './backup-state';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { Restic, type Saved } from './restic';

export interface ListOutcome {
  readonly location: string;
  /** Oldest first. */
  readonly backups: readonly Saved[];
}

/** The backups of this server; none where there is no repository yet. */
export async function listBackups({ layout, definitions, secrets }: BackupContext): Promise<ListOutcome> {
  const restic = await Restic.open(declaredBackup(definitions), secrets, layout.backupCache);
  try {
    const there = (await restic.id()) !== undefined;
    return { location: restic.location, backups: there ? await restic.list() : [] };
  } finally {
    await restic.close();
  }
}

export interface VerifyOutcome {
  /** How many parts were read, of so many. */
  readonly parts: number;
  readonly of: number;
  readonly everythingSince: string | undefined;
}

/** Reads what is due of the repository, or all of it. Throws BACKUP_DAMAGED. */
export async function verifyBackup({ layout, definitions, secrets, now, say }: BackupContext, all: boolean): Promise<VerifyOutcome> {
  const definition = declaredBackup(definitions);
  const lock = await lockBackup(layout);
  try {
    const restic = await Restic.open(definition, secrets, layout.backupCache, lock);
    try {
      if ((await restic.id()) === undefined) {
        throw new MirrorError({
          code: 'BACKUP_MISSING',
          message: `${restic.location}: there is no backup repository`,
          remedy: 'The first run makes it: mirrorctl backup run. Where there was one: is its disk mounted?',
          exitCode: ExitCode.environment,
        });
      }
      await restic.unlock();
      if (all) await checkEverything(layout, restic, now);
      const parts = all ? PORTIONS : await checkDue(layout, restic, definition, now, say);
      return { parts, of: PORTIONS, everythingSince: checkedSince(await readBackupState(layout)) };
    } finally {
      await restic.close();
    }
  } finally {
    await lock.release();
  }
}
