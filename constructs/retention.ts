import type { IConstruct } from 'constructs';
import type { RetentionRules, ServerDefinition } from '../desired-state/definitions';
import { packageVersion } from '../desired-state/pin';
import { wholeNumber } from '../desired-state/validate-sync';
import { check, checkList, checkProps, invalid } from './private/check';

/**
 * What of a copy is kept beside what its upstream has now. A package goes only where every rule that is declared lets it go, and stays for ever where
 * none is; what a release, a pin or a published snapshot needs never goes. Hosted content, and that of constructs which were removed, goes by
 * `mirrorctl retention forget` alone.
 */
export interface Retention {
  /** Of View.ACCUMULATE: of what upstream dropped, a version that is among the newest so many of its name and architecture stays. @default no such rule */
  readonly newestVersions?: number;
  /** Of View.ACCUMULATE: what upstream dropped stays for so many days. @default no such rule */
  readonly droppedDays?: number;
  /** Superseded snapshots answer to time travel for so many days. @default 90 */
  readonly snapshotDays?: number;
}

/** The rules for all copies of a server that declare none of their own, and how what they do not keep goes. */
export interface ServerRetention extends Retention {
  /** Days between the announcement and the first step. @default 14 */
  readonly graceDays?: number;
  /** Days in quarantine, out of service, from which `mirrorctl retention restore` brings it back. @default 14 */
  readonly quarantineDays?: number;
  /** A run that would take more than this of what a repository publishes, or of the store, stops and asks. Percent; 100 never asks. @default 10 */
  readonly sharePercent?: number;
}

const DAYS = wholeNumber(1, 36_500);
const VERSIONS = wholeNumber(1, 1000);
const RULES = { newestVersions: VERSIONS, droppedDays: DAYS, snapshotDays: DAYS };
const PURGE = { graceDays: wholeNumber(1, 365), quarantineDays: wholeNumber(1, 365), sharePercent: wholeNumber(1, 100) };

/** Validates the prop `retention` of a copy. Returns it as mirrorctl reads it; undefined where the server's rules hold. */
export function retentionOf(where: IConstruct, retention: Retention | undefined): RetentionRules | undefined {
  return checked(where, retention, RULES);
}

/** The same for a server. */
export function serverRetentionOf(where: IConstruct, retention: ServerRetention | undefined): ServerDefinition['retention'] {
  return checked(where, retention, { ...RULES, ...PURGE });
}

/** Of a file tree, or a verbatim copy: it has no packages of its own choosing. */
export function snapshotRetentionOf(
  where: IConstruct,
  retention: Pick<Retention, 'snapshotDays'> | undefined,
  what: string,
): RetentionRules | undefined {
  const [rule] = Object.keys(retention ?? {}).filter((name) => name === 'newestVersions' || name === 'droppedDays');
  if (rule !== undefined)
    throw invalid(where, `retention.${rule}`, String((retention as Retention)[rule as keyof Retention]), {
      allowed: `${what} shows what its upstream has: what that drops is in superseded snapshots only`,
      fix: 'Declare snapshotDays, or View.ACCUMULATE.',
    });
  return checked(where, retention, { snapshotDays: DAYS });
}

/** Validates pins. Undefined where there are none. */
export function pinsOf(where: IConstruct, pins: readonly string[] | undefined): string[] | undefined {
  if (pins === undefined) return undefined;
  checkList(where, 'pins', pins, 'package version', packageVersion, 'Leave pins out where nothing is pinned.');
  return [...pins].sort();
}

function checked<T extends object>(
  where: IConstruct,
  retention: T | undefined,
  validators: Readonly<Record<keyof T, (value: unknown) => ReturnType<typeof DAYS>>>,
): T | undefined {
  if (retention === undefined) return undefined;
  checkProps(
    where,
    retention,
    Object.fromEntries(Object.keys(validators).map((name) => [name, true])) as Record<keyof T, true>,
    'retention',
  );
  const given = Object.entries(retention).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) check(where, `retention.${name}`, value, validators[name as keyof T]);
  return Object.fromEntries(given) as T;
}
