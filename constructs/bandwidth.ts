import { bandwidthBytes } from '../desired-state/validate-sync';
import { check } from './private/check';

/** How fast something may be, at most. */
export class Bandwidth {
  /** As lines are sold: 100 is 12.5 million bytes a second. */
  static megabitsPerSecond(megabits: number): Bandwidth {
    return Bandwidth.checked('Bandwidth.megabitsPerSecond', 'megabits', megabits, 1_000_000 / 8);
  }

  /** As downloads are measured: 10 is 10 million bytes a second. */
  static megabytesPerSecond(megabytes: number): Bandwidth {
    return Bandwidth.checked('Bandwidth.megabytesPerSecond', 'megabytes', megabytes, 1_000_000);
  }

  private static checked(where: string, prop: string, value: number, unit: number): Bandwidth {
    check(where, prop, value, bandwidthBytes(unit));
    return new Bandwidth(Math.round(value * unit));
  }

  private constructor(readonly bytesPerSecond: number) {}
}
