/** What a run of retention does with what it finds: pure functions on the ledger. */
import type { Policy } from './retention-policy';
import { type Entry, type Item, keyOf, type Ledger } from './retention-ledger';

/** An item that no rule keeps now, or that was forgotten by name. */
export interface Candidate {
  readonly item: Item;
  readonly why: string;
  readonly by: Entry['by'];
  readonly bytes: number;
}

export interface Steps {
  /** New in the ledger. */
  readonly announce: readonly Entry[];
  /** Announced, and kept again: why is what keeps it. */
  readonly withdraw: readonly Entry[];
  /** Announced, and its grace is over. */
  readonly quarantine: readonly Entry[];
  /** Its term in quarantine is over: the last step. */
  readonly remove: readonly Entry[];
  /** Those whose time has not come. */
  readonly waiting: readonly Entry[];
  /** The ledger as it is before any of the steps is done, with dates as they hold now. */
  readonly ledger: Ledger;
}

/** Daily runs that fail for some days are no gap. */
const MAX_GAP = 7 * 24 * 3600 * 1000;
const USUAL = 24 * 3600 * 1000;

/** By how much dates move since nothing ran for too long. Milliseconds. */
export function movedBy({ lastRun }: Pick<Ledger, 'lastRun'>, now: Date): number {
  const gap = lastRun === undefined ? 0 : now.getTime() - Date.parse(lastRun);
  return gap > MAX_GAP ? gap - USUAL : 0;
}

/**
 * The steps of a run at `now`. Each item takes one step in a run. Time in which nobody could see an announcement, since this server was off or its
 * clock was not right, does not count: a gap of more than a week moves all dates, and no date lies further away than its term.
 */
export function stepsOf(candidates: readonly Candidate[], ledger: Ledger, policy: Policy, now: Date): Steps {
  const byKey = new Map(candidates.map((candidate) => [keyOf(candidate.item), candidate]));
  const steps = {
    announce: [] as Entry[],
    withdraw: [] as Entry[],
    quarantine: [] as Entry[],
    remove: [] as Entry[],
    waiting: [] as Entry[],
  };
  const entries: Record<string, Entry> = {};
  const moved = movedBy(ledger, now);
  for (const [key, old] of Object.entries(ledger.entries)) {
    const term = old.stage === 'announced' ? policy.grace : policy.quarantine;
    const due = Math.min(Date.parse(old.due) + moved, now.getTime() + term);
    const entry = { ...old, due: new Date(due).toISOString() };
    if (old.stage === 'quarantined') {
      entries[key] = entry;
      (due <= now.getTime() ? steps.remove : steps.waiting).push(entry);
      continue;
    }
    const candidate = byKey.get(key);
    if (candidate === undefined || !isSameContent(candidate.item, old.item)) {
      steps.withdraw.push(entry);
      continue;
    }
    byKey.delete(key);
    entries[key] = entry;
    (due <= now.getTime() ? steps.quarantine : steps.waiting).push(entry);
  }
  const due = new Date(now.getTime() + policy.grace).toISOString();
  for (const [key, { item, why, by, bytes }] of byKey) {
    // What is in quarantine is no candidate.
    if (Object.hasOwn(entries, key)) continue;
    const entry: Entry = { item, why, by, stage: 'announced', announcedAt: now.toISOString(), due, bytes };
    entries[key] = entry;
    steps.announce.push(entry);
  }
  return { ...steps, ledger: { ...ledger, lastRun: now.toISOString(), entries } };
}

/** A package of the same name and version with other content is another one. */
function isSameContent(a: Item, b: Item): boolean {
  return a.kind !== 'package' || b.kind !== 'package' || (a.checksum.hex === b.checksum.hex && a.path === b.path);
}

/** Steps of one repository that are not taken, since together they are more than the declared share of it. */
export interface Stopped {
  readonly id: string;
  /** What would be taken, and what there is. */
  readonly bytes: number;
  readonly of: number;
  readonly entries: readonly Entry[];
}

/**
 * Holds back what goes into quarantine by rule where it is more than the declared share of what its repository publishes. What an operator has named
 * needs no second question.
 *
 * @param publishedBytes what a repository publishes
 */
export function withinShare(
  quarantine: readonly Entry[],
  publishedBytes: (id: string) => number,
  share: number,
  confirmed: ReadonlySet<string>,
): { readonly quarantine: readonly Entry[]; readonly stopped: readonly Stopped[] } {
  const byId = new Map<string, Entry[]>();
  for (const entry of quarantine) if (entry.by === 'rule') byId.set(entry.item.id, [...(byId.get(entry.item.id) ?? []), entry]);
  const stopped: Stopped[] = [];
  for (const [id, entries] of byId) {
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    const of = publishedBytes(id);
    if (share < 1 && bytes > of * share && !confirmed.has(id)) stopped.push({ id, bytes, of, entries });
  }
  const held = new Set(stopped.flatMap(({ entries }) => entries));
  return { quarantine: quarantine.filter((entry) => !held.has(entry)), stopped };
}
