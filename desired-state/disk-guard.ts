import type { DiskGuard } from './definitions';

/** When a disk is too full: percent of what can be used, and days until it is full at its growth. */
export type DiskLimits = Readonly<Required<{ [Limit in keyof DiskGuard]: number }>>;

/** What is declared, and the default of the rest. */
export function diskLimits({ stopAtPercent = 95, alertAtPercent = 90, forecastDays = 30 }: DiskGuard = {}): DiskLimits {
  return { stopAtPercent, alertAtPercent, forecastDays };
}
