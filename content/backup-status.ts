import { statSync } from 'node:fs';
import { join } from 'node:path';
import { backupLocation } from '../desired-state/backup';
import { ExitCode } from '../desired-state/errors';
import { checkedSince } from './backup-check';
import { readBackupState } from './backup-state';
import type { Definitions } from './definitions';
import type { Layout } from './layout';
import { lockHolder } from './lock';
import type { Failure } from './state';

/** How the backup is. */
export interface BackupStatus {
  readonly location: string;
  /** `never`: not made yet, and not due yet. `overdue`: none succeeded for longer than two turns. `damaged`: a reading of the repository found it so. */
  readonly result: 'never' | 'running' | 'done' | 'incomplete' | 'failed' | 'overdue' | 'damaged';
  /** ISO. */
  readonly lastSuccess: string | undefined;
  readonly files: number | undefined;
  readonly bytes: number | undefined;
  /** Since when the whole repository was read. */
  readonly checkedSince: string | undefined;
  readonly error: Failure | undefined;
}

/** So many turns may go by without a backup. */
const TURNS = 2;

/** Undefined where none is declared. */
export async function backupStatus(layout: Layout, { backup, directory }: Definitions, now: Date): Promise<BackupStatus | undefined> {
  if (backup === undefined) return undefined;
  const state = await readBackupState(layout);
  const { lastRun, lastSuccess, files, bytes, damage } = state;
  // Before the first one, since it was declared.
  const since = lastSuccess === undefined ? statSync(join(directory, 'definitions/backup.yaml')).mtimeMs : Date.parse(lastSuccess);
  const overdue = now.getTime() - since > TURNS * backup.everyHours * 3_600_000;
  const status = {
    location: backupLocation(backup.repository),
    lastSuccess,
    files,
    bytes,
    checkedSince: checkedSince(state),
  };
  if ((await lockHolder(layout.backupLock)) === 'alive') return { ...status, result: 'running', error: damage ?? lastRun?.error };
  if (damage !== undefined) return { ...status, result: 'damaged', error: damage };
  if (overdue && lastRun?.error === undefined) return { ...status, result: 'overdue', error: overdueError(status.location, lastSuccess) };
  return { ...status, result: lastRun?.result ?? 'never', error: lastRun?.error };
}

function overdueError(location: string, lastSuccess: string | undefined): Failure {
  return {
    code: 'BACKUP_OVERDUE',
    message: `${lastSuccess === undefined ? 'no backup was ever made' : `the last backup was made on ${lastSuccess.slice(0, 10)}`} (${location})`,
    remedy: 'systemctl status mirror-backup.timer mirror-backup.service says why. At once: systemctl start mirror-backup.service.',
    exitCode: ExitCode.environment,
  };
}

/** For people, below the table; nothing where none is declared. */
export function backupLines(status: BackupStatus | undefined): string {
  if (status === undefined) return '';
  const { location, result, lastSuccess, error } = status;
  const last = lastSuccess === undefined ? 'none yet' : `the last on ${lastSuccess.slice(0, 16).replace('T', ' ')} UTC`;
  return [
    '',
    `backup to ${location}: ${result}, ${last}`,
    ...(error === undefined ? [] : [`  ${error.message}`, `  ${error.remedy}`]),
    '',
  ].join('\n');
}
