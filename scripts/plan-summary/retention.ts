/** Sentences about what copies keep, and how the rest goes. Pure. */
import type { RetentionRules, ServerDefinition } from '../../desired-state/definitions';
import { besides, fieldsOf } from './changes';
import type { Triggers } from './terraform-plan';

type Side = Triggers | undefined;
type ServerRules = NonNullable<ServerDefinition['retention']>;

const STEPS = 'nothing goes before it is announced and its grace is over';

function rulesOf(side: Side): ServerRules | undefined {
  const value = fieldsOf(side)['retention'];
  return value !== null && typeof value === 'object' ? value : undefined;
}

function days(count: number): string {
  return count === 1 ? '1 day' : `${count} days`;
}

function words({ newestVersions, droppedDays, snapshotDays }: RetentionRules): string {
  const packages = [
    ...(newestVersions === undefined ? [] : [`while it is among the newest ${newestVersions} versions`]),
    ...(droppedDays === undefined ? [] : [`for ${days(droppedDays)}`]),
  ];
  const kept = packages.length === 0 ? 'what upstream drops for ever' : `what upstream drops ${packages.join(' and ')}`;
  return `${kept}, superseded snapshots for ${snapshotDays === undefined ? 'the default time' : days(snapshotDays)}`;
}

function wordsOr(rules: RetentionRules | undefined, none: string): string {
  return rules === undefined ? none : words(rules);
}

/** Of one copy. */
export function retentionSentences(id: string, before: Side, after: Side): string[] {
  const [was, now] = [rulesOf(before), rulesOf(after)].map((rules) => wordsOr(rules, 'what the rules of the server keep'));
  return [`keeps of ${id} ${now} (was ${was}): ${STEPS}`];
}

export function pinSentences(id: string, before: Side, after: Side): string[] {
  const list = (side: Side): string[] => {
    const value = fieldsOf(side)['pins'];
    return Array.isArray(value) ? (value as string[]) : [];
  };
  const [came, went] = [besides(list(before), list(after)), besides(list(after), list(before))];
  return [
    ...(came.length === 0 ? [] : [`pins ${came.join(', ')} in ${id}: it stays whatever the rules say`]),
    ...(went.length === 0 ? [] : [`pins ${went.join(', ')} in ${id} no longer: the rules hold for it, and ${STEPS}`]),
  ];
}

/** How a purge goes, with the words for each part of it. */
const PURGE: readonly (readonly [keyof ServerRules, (count: string) => string])[] = [
  ['graceDays', (count) => `gives what is announced a grace of ${count}`],
  ['quarantineDays', (count) => `keeps what goes in quarantine for ${count}`],
  ['sharePercent', (count) => `asks before more than ${count} of a repository goes at once`],
];

export function serverRetentionSentences(before: Side, after: Side): string[] {
  const [was, now] = [rulesOf(before) ?? {}, rulesOf(after) ?? {}];
  const [formerly, from] = [words(was), words(now)];
  const count = (name: keyof ServerRules, value: number | undefined): string =>
    value === undefined ? 'the default' : name === 'sharePercent' ? `${value} %` : days(value);
  return [
    ...(formerly === from ? [] : [`keeps of copies ${from} (was ${formerly}): ${STEPS}`]),
    ...PURGE.flatMap(([name, how]) => (was[name] === now[name] ? [] : [`${how(count(name, now[name]))} (was ${count(name, was[name])})`])),
  ];
}
