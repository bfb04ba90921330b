/** Reading again what a backup repository holds, portion by portion. */
import type { BackupDefinition } from '../desired-state/definitions';
import { MirrorError } from '../desired-state/errors';
import { type BackupState, readBackupState, writeBackupState } from './backup-state';
import type { Layout } from './layout';
import type { Say } from './progress';
import type { Restic } from './restic';
import { failureOf } from './state';

/** A repository is read in so many portions; restic tells them apart by the first byte of a pack's name. */
export const PORTIONS = 64;

/**
 * The portions that are due: as many as the time since the last reading is of the period, those that were not read for longest first; at least one. Pure.
 *
 * @param checked portion → when it was read (ISO)
 */
export function portionsDue(checked: Readonly<Record<string, string>>, everyDays: number, now: Date): readonly number[] {
  const all = Array.from({ length: PORTIONS }, (_, i) => i + 1);
  const at = (portion: number): number => Date.parse(checked[`${portion}/${PORTIONS}`] ?? '') || 0;
  const last = Math.max(...all.map(at));
  const days = last === 0 ? 1 : Math.max(0, (now.getTime() - last) / 86_400_000);
  // What is older than the period is due whatever the last run did, but not all of it at once on the first day.
  const share = Math.min(PORTIONS, Math.max(1, Math.ceil((days / everyDays) * PORTIONS)));
  return [...all].sort((a, b) => at(a) - at(b) || a - b).slice(0, share);
}

/** Reads what is due, and notes each portion as it is done. Throws where something is damaged; that is in the status until a reading finds it whole. */
export async function checkDue(
  layout: Layout,
  restic: Restic,
  { checkEveryDays }: BackupDefinition,
  now: () => Date,
  say: Say,
): Promise<number> {
  const due = portionsDue((await readBackupState(layout)).checked ?? {}, checkEveryDays, now());
  say(`reading ${due.length} of ${PORTIONS} parts of the backup repository`);
  for (const portion of due) {
    await noted(layout, () => restic.check({ portion, of: PORTIONS }));
    const state = await readBackupState(layout);
    await writeBackupState(layout, { ...state, checked: { ...state.checked, [`${portion}/${PORTIONS}`]: now().toISOString() } });
  }
  return due.length;
}

/** Reads all of it. */
export async function checkEverything(layout: Layout, restic: Restic, now: () => Date): Promise<void> {
  await noted(layout, () => restic.check('everything'));
  const at = now().toISOString();
  const { damage, ...state } = await readBackupState(layout);
  void damage;
  const checked = Object.fromEntries(Array.from({ length: PORTIONS }, (_, i) => [`${i + 1}/${PORTIONS}`, at]));
  await writeBackupState(layout, { ...state, checked });
}

async function noted(layout: Layout, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'BACKUP_DAMAGED')
      await writeBackupState(layout, { ...(await readBackupState(layout)), damage: failureOf(error) });
    throw error;
  }
}

/** Since when all of it was read; undefined until it was for the first time. Pure. */
export function checkedSince({ checked = {} }: BackupState): string | undefined {
  const times = Array.from({ length: PORTIONS }, (_, i) => checked[`${i + 1}/${PORTIONS}`]);
  return times.every((time) => time !== undefined) ? [...times].sort()[0] : undefined;
}
