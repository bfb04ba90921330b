import { dailyCalendar, hour, hourlyCalendar, minute, weekday, weeklyCalendar, type Weekday } from '../desired-state/schedule';
import { reason } from '../desired-state/validate';
import type { IConstruct } from 'constructs';
import { check, checkMade, checkProps } from './private/check';

/**
 * When a repository is synced, up to five minutes later; all times are UTC, so that summer time moves nothing. A run that was missed is made
 * up for at boot.
 */
export class SyncSchedule {
  static daily(at: { readonly hour: number; readonly minute?: number }): SyncSchedule {
    checkProps('SyncSchedule.daily', at, { hour: true, minute: true }, 'at');
    check('SyncSchedule.daily', 'hour', at.hour, hour);
    check('SyncSchedule.daily', 'minute', at.minute ?? 0, minute);
    return new SyncSchedule(dailyCalendar(at.hour, at.minute ?? 0));
  }

  static hourly(at: { readonly minute: number }): SyncSchedule {
    checkProps('SyncSchedule.hourly', at, { minute: true }, 'at');
    check('SyncSchedule.hourly', 'minute', at.minute, minute);
    return new SyncSchedule(hourlyCalendar(at.minute));
  }

  static weekly(at: { readonly day: Weekday; readonly hour: number; readonly minute?: number }): SyncSchedule {
    checkProps('SyncSchedule.weekly', at, { day: true, hour: true, minute: true }, 'at');
    check('SyncSchedule.weekly', 'day', at.day, weekday);
    check('SyncSchedule.weekly', 'hour', at.hour, hour);
    check('SyncSchedule.weekly', 'minute', at.minute ?? 0, minute);
    return new SyncSchedule(weeklyCalendar(at.day, at.hour, at.minute ?? 0));
  }

  /**
   * Not at all: upstream is gone for good, or must not change the copy any more. There is no timer, no sync starts, and what is published goes on
   * being served.
   *
   * @param why shown in the plan and in `mirrorctl status`
   */
  static never(why: string): SyncSchedule {
    check('SyncSchedule.never', 'why', why, reason);
    return new SyncSchedule(undefined, why);
  }

  private constructor(
    /** systemd calendar expression; undefined: never. */
    readonly onCalendar: string | undefined,
    /** Why there is no sync. */
    readonly retired?: string,
  ) {}
}

/** Validates a construct's prop `schedule`. */
export function checkSchedule(where: IConstruct, schedule: SyncSchedule | undefined): void {
  checkMade(where, 'schedule', schedule, schedule === undefined || (schedule as unknown) instanceof SyncSchedule, {
    allowed: 'a schedule is made by SyncSchedule',
    fix: 'SyncSchedule.daily({ hour: 3 }), or leave it out for the default.',
  });
}
