import type { CopiedDefinition, RetentionRules, ServerDefinition } from '../desired-state/definitions';

/** Snapshots stay so long where nothing is declared: a build of the last quarter can be repeated. */
export const DEFAULT_SNAPSHOT_DAYS = 90;
const DEFAULT_GRACE_DAYS = 14;
const DEFAULT_QUARANTINE_DAYS = 14;
const DEFAULT_SHARE_PERCENT = 10;

const DAY = 24 * 3600 * 1000;

/** Times in milliseconds. Absent: no such rule. */
export interface Rules {
  readonly newestVersions?: number;
  readonly dropped?: number;
  readonly snapshots: number;
}

/** How a purge goes. Times in milliseconds. */
export interface Policy {
  readonly grace: number;
  readonly quarantine: number;
  /** Above 0, at most 1. */
  readonly share: number;
}

/** The rules of a copied repository or tree: its own, else the server's. */
export function rulesOf(server: ServerDefinition, { retention }: CopiedDefinition): Rules {
  const { newestVersions, droppedDays, snapshotDays = DEFAULT_SNAPSHOT_DAYS }: RetentionRules = retention ?? server.retention ?? {};
  return {
    ...(newestVersions === undefined ? {} : { newestVersions }),
    ...(droppedDays === undefined ? {} : { dropped: droppedDays * DAY }),
    snapshots: snapshotDays * DAY,
  };
}

export function policyOf({ retention = {} }: ServerDefinition): Policy {
  const { graceDays = DEFAULT_GRACE_DAYS, quarantineDays = DEFAULT_QUARANTINE_DAYS, sharePercent = DEFAULT_SHARE_PERCENT } = retention;
  return { grace: graceDays * DAY, quarantine: quarantineDays * DAY, share: sharePercent / 100 };
}

/** `90 days`, `1 day`. */
export function days(milliseconds: number): string {
  const count = Math.round(milliseconds / DAY);
  return count === 1 ? '1 day' : `${count} days`;
}
