/** Sentences about the backup. Pure. */
import { backupLocation } from '../../desired-state/backup';
import { BackupDefinitionSchema, type BackupDefinition } from '../../desired-state/definitions';
import { differing, fieldsOf, UNKNOWN_BEFORE, type Change } from './changes';
import { calendar } from './repositories';
import type { Triggers } from './terraform-plan';

export function backupSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'backup').flatMap(sentences);
}

function sentences(one: Change): string[] {
  const [before, after] = [definition(one.before), definition(one.after)];
  if (one.action === 'remove') return ['makes no more backups: those that were made stay where they are'];
  if (after === undefined) return ['changes the backup'];
  const when = calendar(one.after);
  if (one.action === 'add')
    return [`backs up what cannot be fetched again to ${backupLocation(after.repository)}, ${when}: ${kept(after)}`];
  if (before === undefined) return [`changes the backup ${UNKNOWN_BEFORE}`];
  const [from, to] = [backupLocation(before.repository), backupLocation(after.repository)];
  const whole = (of: BackupDefinition): string => of.whole?.join(', ') ?? 'no copy';
  const others = differing(one).filter(
    (name) => !['repository', 'keep', 'whole', 'checkEveryDays', 'everyHours', 'timer', 'service'].includes(name),
  );
  return [
    ...(from === to ? [] : [`backs up to ${to} (was ${from}): what is there stays there, and is used no more`]),
    ...(calendar(one.before) === when ? [] : [`backs up ${when} (was ${calendar(one.before)})`]),
    ...(kept(before) === kept(after) ? [] : [`${kept(after)} (was: ${kept(before)})`]),
    ...(whole(before) === whole(after) ? [] : [`backs up whole: ${whole(after)} (was ${whole(before)})`]),
    ...(before.checkEveryDays === after.checkEveryDays
      ? []
      : [`reads all of the backup repository within ${after.checkEveryDays} days (was ${before.checkEveryDays} days)`]),
    ...(from === to && differing(one).join() === 'service' ? ['changes the service of the backup'] : []),
    ...(others.length === 0 && JSON.stringify(before.repository) === JSON.stringify(after.repository)
      ? []
      : from === to
        ? [`changes how ${to} is reached for backups`]
        : []),
  ];
}

function kept({ keep: { daily, weekly, monthly } }: BackupDefinition): string {
  return `keeps backups of ${daily} days, ${weekly} weeks and ${monthly} months`;
}

function definition(triggers: Triggers | undefined): BackupDefinition | undefined {
  const parsed = BackupDefinitionSchema.safeParse(fieldsOf(triggers));
  return parsed.success ? parsed.data : undefined;
}
