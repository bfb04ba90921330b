/** What the commands of retention print for people. */
import { shortened } from './lines';
import { size } from './progress';
import type { Applied, Plan, UnusedPlan } from './retention';
import { UNUSED } from './retention';
import { type Entry, keyOf } from './retention-ledger';
import type { Forgotten, Restored } from './retention-operator';
import type { Stopped } from './retention-steps';

/** So many items of a kind are named; `--json` names all. */
const MAX_NAMED = 20;

export function day(iso: string): string {
  return iso.slice(0, 10);
}

export function count(number: number, one: string, many = `${one}s`): string {
  return number === 1 ? `one ${one}` : `${number} ${many}`;
}

/** A heading with its items; nothing where there are none. */
function section(heading: string, entries: readonly Entry[], tail: (entry: Entry) => string): readonly string[] {
  if (entries.length === 0) return [];
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  return [
    `${heading}: ${count(entries.length, 'item')}, ${size(bytes)}`,
    ...shortened(
      entries.map((entry) => `  ${keyOf(entry.item)} (${size(entry.bytes)}): ${entry.why}${tail(entry)}`),
      MAX_NAMED,
    ),
  ];
}

export const into = ({ due, stage }: Entry): string => `; ${stage === 'announced' ? 'into quarantine' : 'for good'} on ${day(due)}`;

export function planLines(plan: Plan): readonly string[] {
  const lines = [...sections(plan, 'would be'), ...stoppedLines(plan.stopped), ...unusedLines(plan.unused, 'would be')];
  return lines.length === 0 ? ['Nothing goes: rules, releases and pins keep all that is here.'] : lines;
}

function sections(plan: Plan, verb: 'would be' | 'were'): readonly string[] {
  return [
    ...section(`Announced now`, plan.announce, into),
    ...section(`Kept again, and no longer announced`, plan.withdraw, () => ''),
    ...section(`Into quarantine: ${verb} taken out of service`, plan.quarantine, () => ''),
    ...section(`For good: ${verb} removed from quarantine`, plan.remove, () => ''),
    ...section(`Waiting`, plan.waiting, into),
  ];
}

function stoppedLines(stopped: readonly Stopped[]): readonly string[] {
  return stopped.flatMap(({ id, bytes, of, entries }) => [
    `${id}: stopped: ${count(entries.length, 'item')} of ${size(bytes)} would go at once, of ${size(of)} that it publishes: more than the declared share`,
    ...shortened(
      entries.map((entry) => `  ${keyOf(entry.item)} (${size(entry.bytes)}): ${entry.why}`),
      MAX_NAMED,
    ),
    `  If it is meant: mirrorctl retention apply --confirm ${id}. Otherwise correct the rule in main.ts, or keep it: mirrorctl retention restore ${id}.`,
  ]);
}

function unusedLines(unused: UnusedPlan, verb: 'would be' | 'were'): readonly string[] {
  const { remove, removeBytes, waiting, waitingBytes, next, stopped, storeBytes } = unused;
  return [
    ...(remove.length === 0 || stopped ? [] : [`Unused files of the store: ${remove.length} ${verb} removed, ${size(removeBytes)}`]),
    ...(stopped
      ? [
          `unused: stopped: ${count(remove.length, 'file')} of the store, ${size(removeBytes)} of ${size(storeBytes)}, would go at once: more than the declared share`,
          `  Something may have been removed that used them. If it is meant: mirrorctl retention apply --confirm ${UNUSED}.`,
        ]
      : []),
    ...(waiting === 0
      ? []
      : [`Unused files of the store: ${waiting} waiting, ${size(waitingBytes)}; the first of them go on ${day(next as string)}`]),
  ];
}

export function appliedLines(applied: Applied): readonly string[] {
  const lines = [
    ...sections(applied, 'were'),
    ...stoppedLines(applied.stopped),
    ...unusedLines(applied.unused, 'were'),
    ...applied.failed.flatMap(({ id, error }) => [`${id}: not done: ${error.message}`, `  ${error.remedy}`]),
  ];
  return [...lines, `${applied.removedFiles} files removed, ${size(applied.freedBytes)} free for it`];
}

export function forgottenLines({ entries, failed }: Forgotten): readonly string[] {
  return [
    ...entries.map((entry) =>
      entry.stage === 'announced'
        ? `${keyOf(entry.item)}: goes into quarantine on ${day(entry.due)}, by the next run of retention after it`
        : `${keyOf(entry.item)}: out of service; it can be had back until ${day(entry.due)}: mirrorctl retention restore ${keyOf(entry.item)}`,
    ),
    ...failed.flatMap(({ id, error }) => [`${id}: not done: ${error.message}`, `  ${error.remedy}`]),
  ];
}

export function restoredLines({ entries, accepted, relisted }: Restored): readonly string[] {
  return [
    ...entries.map((entry) => `${keyOf(entry.item)}: ${entry.stage === 'announced' ? 'no longer announced' : 'back in service'}`),
    ...accepted
      .filter((name) => !entries.some(({ item }) => keyOf(item) === name) && !relisted.includes(name))
      .map((name) => `${name}: taken from upstream again, with its next change`),
    ...relisted.map((name) => `${name}: published again, as an earlier snapshot had it`),
  ];
}
