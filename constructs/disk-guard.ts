import type { IConstruct } from 'constructs';
import type { DiskGuard as DiskGuardDefinition } from '../desired-state/definitions';
import { diskLimits } from '../desired-state/disk-guard';
import { wholeNumber } from '../desired-state/validate-sync';
import { check, checkProps, invalid } from './private/check';

/** When the disk of the storage root is too full. Bytes and inodes alike. */
export interface DiskGuard {
  /** No sync and no import starts, or goes on to fetch, where the file system would be fuller. Percent. @default 95 */
  readonly stopAtPercent?: number;
  /** `mirrorctl health` reports it from here on. Percent. @default 90 */
  readonly alertAtPercent?: number;
  /** `mirrorctl health` reports a disk that at its growth is full in fewer days. @default 30 */
  readonly forecastDays?: number;
}

/** Validates the prop `diskGuard` of a server. Returns it as `mirrorctl` reads it; undefined where nothing is declared. */
export function diskGuardOf(where: IConstruct, guard: DiskGuard | undefined): DiskGuardDefinition | undefined {
  if (guard === undefined) return undefined;
  checkProps(where, guard, { stopAtPercent: true, alertAtPercent: true, forecastDays: true }, 'diskGuard');
  const { stopAtPercent, alertAtPercent, forecastDays } = guard;
  if (stopAtPercent !== undefined) check(where, 'diskGuard.stopAtPercent', stopAtPercent, wholeNumber(10, 99));
  if (alertAtPercent !== undefined) check(where, 'diskGuard.alertAtPercent', alertAtPercent, wholeNumber(5, 99));
  if (forecastDays !== undefined) check(where, 'diskGuard.forecastDays', forecastDays, wholeNumber(1, 365));
  const { stopAtPercent: stop, alertAtPercent: alert } = diskLimits(guard);
  if (alert > stop)
    throw invalid(where, 'diskGuard.alertAtPercent', String(alert), {
      allowed: `no more than stopAtPercent, which is ${stop}`,
      fix: 'An operator should hear of it before syncs stop: declare both.',
    });
  const definition = {
    ...(stopAtPercent === undefined ? {} : { stopAtPercent }),
    ...(alertAtPercent === undefined ? {} : { alertAtPercent }),
    ...(forecastDays === undefined ? {} : { forecastDays }),
  };
  return Object.keys(definition).length === 0 ? undefined : definition;
}
