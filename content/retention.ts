import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError } from '../desired-state/errors';
import { checksumKey } from '../rpm-metadata/checksum';
import { nevra } from '../rpm-metadata/nevra';
import type { Signer } from '../signatures/sign';
import { announce } from './announcements';
import type { Definitions } from './definitions';
import { fileDigest, machineFault } from './files';
import type { Layout } from './layout';
import { holding, waitingFor } from './lock';
import type { Say } from './progress';
import { finishRemovals, putAway, removeForGood } from './quarantine';
import { rebuild } from './rebuild';
import { readRefused, writeRefused } from './refused';
import { releasesLock } from './releases';
import { Facts, unknownInQuarantine } from './retention-facts';
import { type Entry, type Item, keyOf, type Ledger, noteGone, readLedger, staleGone, writeLedger } from './retention-ledger';
import { policyOf } from './retention-policy';
import { movedBy, type Steps, stepsOf, type Stopped, withinShare } from './retention-steps';
import { repositoriesHere, snapshotsOf } from './snapshot';
import { type Failure, failureOf } from './state';
import { requireStorage } from './storage';
import { Store } from './store';
import { readSeen, removeUnused, type Seen, seenKey, type StoreSurvey, surveyStore, type UnusedFile, writeSeen } from './unused';

export interface RetentionContext {
  readonly layout: Layout;
  readonly definitions: Definitions;
  readonly signer: () => Promise<Signer>;
  readonly now: () => Date;
  readonly say: Say;
  /** How long superseded metadata, and the packages it lists, stay served. */
  readonly graceSeconds: number;
  /** How long to wait for a sync of a repository that is to be touched, and for all of them where unused files go. */
  readonly waitSeconds: number;
}

/** The lock of everything that changes the ledger. */
export function retentionLock(layout: Layout): string {
  return layout.lockFile('+retention');
}

export interface UnusedPlan {
  /** Those whose term is over. */
  readonly remove: readonly UnusedFile[];
  readonly removeBytes: number;
  readonly waiting: number;
  readonly waitingBytes: number;
  /** When the next of them goes (ISO). */
  readonly next: string | undefined;
  /** Together they are more than the declared share of the store: nothing of it is done. */
  readonly stopped: boolean;
  readonly storeBytes: number;
}

export interface Plan extends Omit<Steps, 'ledger'> {
  readonly at: string;
  readonly stopped: readonly Stopped[];
  readonly unused: UnusedPlan;
}

interface Planned {
  readonly plan: Plan;
  readonly ledger: Ledger;
  readonly seen: Seen;
}

/** The id under which a removal of unused files is confirmed. */
export const UNUSED = 'unused';

/**
 * What `apply` would do now, by the same code: nothing is written.
 *
 * @param confirmed repositories of which more than the declared share may go
 */
export async function planRetention(context: RetentionContext, confirmed: readonly string[]): Promise<Plan> {
  await requireStorage(context.layout, context.definitions.server);
  return (await planned(context, new Set(confirmed))).plan;
}

async function planned({ layout, definitions, now }: RetentionContext, confirmed: ReadonlySet<string>): Promise<Planned> {
  const at = now();
  const policy = policyOf(definitions.server);
  const before = await adopted(layout, await readLedger(layout), new Date(at.getTime() + policy.quarantine));
  const facts = await Facts.read(layout, definitions, before, at);
  const { ledger: standing, undone, back } = await standings(facts, before, at);
  const survey = surveyStore(new Store(layout.store));
  const all = await facts.candidates();
  const inOrder = Object.values(standing.entries).sort((a, b) => Date.parse(a.due) - Date.parse(b.due));
  const fresh = all.filter(({ item }) => !Object.hasOwn(standing.entries, keyOf(item)));
  const bytes = await facts.counted(
    [...inOrder, ...fresh].map(({ item }) => item),
    survey,
  );
  const count = <T extends { readonly item: Item }>(one: T): T & { readonly bytes: number } => ({
    ...one,
    bytes: bytes.get(keyOf(one.item)) ?? 0,
  });
  const entries = Object.fromEntries(Object.entries(standing.entries).map(([key, entry]) => [key, count(entry)]));
  const steps = stepsOf(all.map(count), { ...standing, entries }, policy, at);
  const isUndone = (entry: Entry): boolean => undone.has(keyOf(entry.item));
  const due = [...steps.quarantine, ...[...steps.remove, ...steps.waiting].filter(isUndone)];
  const published = new Map<string, number>();
  for (const { item } of due) if (!published.has(item.id)) published.set(item.id, await facts.publishedBytes(item.id));
  // What was begun goes on.
  const { quarantine, stopped } = withinShare(due, (id) => published.get(id) ?? 0, policy.share, new Set([...confirmed, ...idsOf(undone)]));
  const restored = Object.fromEntries(
    Object.entries(steps.ledger.restored).filter(([key]) => !steps.announce.some(({ item }) => keyOf(item) === key)),
  );
  const { unused, seen } = await unusedPlan(layout, survey, before, policy, at, confirmed);
  return {
    plan: {
      at: at.toISOString(),
      announce: steps.announce,
      withdraw: [...steps.withdraw, ...back],
      quarantine,
      remove: steps.remove.filter((entry) => !isUndone(entry)),
      waiting: steps.waiting.filter((entry) => !isUndone(entry)),
      stopped,
      unused,
    },
    ledger: { ...steps.ledger, restored },
    seen,
  };
}

function idsOf(keys: ReadonlyMap<string, Entry>): readonly string[] {
  return [...keys.values()].map(({ item }) => item.id);
}

/** The ledger with what is in quarantine and not in it: it was lost. That stays for a new term. */
export async function adopted(layout: Layout, ledger: Ledger, due: Date): Promise<Ledger> {
  const found = await unknownInQuarantine(layout, ledger);
  if (found.length === 0) return ledger;
  const entries = found.map(({ item, since }): [string, Entry] => [
    keyOf(item),
    {
      item,
      why: 'it was found in quarantine, and nothing says why',
      by: 'rule',
      stage: 'quarantined',
      announcedAt: since,
      due: due.toISOString(),
      bytes: 0,
    },
  ]);
  return { ...ledger, entries: { ...ledger.entries, ...Object.fromEntries(entries) } };
}

/** Steps into quarantine that were written down and not done, and what is in service again; the ledger is without the latter. */
async function standings(
  facts: Facts,
  ledger: Ledger,
  at: Date,
): Promise<{ readonly ledger: Ledger; readonly undone: ReadonlyMap<string, Entry>; readonly back: readonly Entry[] }> {
  const undone = new Map<string, Entry>();
  const back: Entry[] = [];
  const entries: Record<string, Entry> = {};
  const restored = { ...ledger.restored };
  for (const [key, entry] of Object.entries(ledger.entries)) {
    const standing = entry.stage === 'announced' ? 'out' : await facts.standing(entry);
    if (standing === 'back') {
      back.push(entry);
      restored[key] = at.toISOString();
      continue;
    }
    entries[key] = entry;
    if (standing === 'undone') undone.set(key, entry);
  }
  return { ledger: { ...ledger, entries, restored }, undone, back };
}

async function unusedPlan(
  layout: Layout,
  survey: StoreSurvey,
  ledger: Ledger,
  policy: ReturnType<typeof policyOf>,
  at: Date,
  confirmed: ReadonlySet<string>,
): Promise<{ readonly unused: UnusedPlan; readonly seen: Seen }> {
  const before = await readSeen(layout);
  const moved = movedBy(ledger, at);
  const seen = new Map<string, string>();
  const remove: UnusedFile[] = [];
  let waiting = 0;
  let waitingBytes = 0;
  let first = Infinity;
  for (const file of survey.unused) {
    const key = seenKey(file);
    const known = before.get(key);
    const since = Math.min(known === undefined ? at.getTime() : Date.parse(known) + moved, at.getTime());
    seen.set(key, new Date(since).toISOString());
    if (at.getTime() - since >= policy.grace) remove.push(file);
    else {
      waiting++;
      waitingBytes += file.bytes;
      first = Math.min(first, since + policy.grace);
    }
  }
  const removeBytes = remove.reduce((sum, { bytes }) => sum + bytes, 0);
  const unused = {
    remove,
    removeBytes,
    waiting,
    waitingBytes,
    next: waiting === 0 ? undefined : new Date(first).toISOString(),
    stopped: policy.share < 1 && removeBytes > survey.bytes * policy.share && !confirmed.has(UNUSED),
    storeBytes: survey.bytes,
  };
  return { unused, seen };
}

export interface Applied extends Plan {
  /** Steps that could not be taken now, and are still due. */
  readonly failed: readonly { readonly id: string; readonly error: Failure }[];
  readonly removedFiles: number;
  /** What the disk has free for it: measured when the last link of each file went. */
  readonly freedBytes: number;
}

/** Takes every step that is due. May be killed at any time: the next run goes on. */
export async function applyRetention(context: RetentionContext, confirmed: readonly string[]): Promise<Applied> {
  return underLock(context, () => new Run(context).apply(new Set(confirmed)));
}

/** Runs `work` while nothing else changes the ledger. */
export async function underLock<T>(context: RetentionContext, work: () => Promise<T>): Promise<T> {
  const { layout, definitions } = context;
  await requireStorage(layout, definitions.server);
  return holding(retentionLock(layout), 'retention', waitingFor(context), work);
}

/** Runs `work` while nothing else changes a repository, or what releases are made of. */
export function holdingRepository<T>(context: RetentionContext, id: string, work: () => Promise<T>): Promise<T> {
  const { layout } = context;
  return holding(layout.lockFile(id), id, waitingFor(context), () => holding(releasesLock(layout), 'releases', waitingFor(context), work));
}

/** Steps of one run, under the lock of retention. */
export class Run {
  private readonly failed: { id: string; error: Failure }[] = [];
  private readonly freed = new Set<number>();
  private freedBytes = 0;
  private removedFiles = 0;

  constructor(private readonly context: RetentionContext) {}

  async apply(confirmed: ReadonlySet<string>): Promise<Applied> {
    const { layout } = this.context;
    await finishRemovals(layout);
    await this.tidyGone();
    const { plan, ledger, seen } = await planned(this.context, confirmed);
    await writeSeen(layout, seen);
    let current = ledger;
    await writeLedger(layout, current);
    for (const id of new Set(plan.quarantine.map(({ item }) => item.id)))
      current = await this.quarantine(
        id,
        plan.quarantine.filter(({ item }) => item.id === id),
        current,
      );
    for (const entry of plan.remove) current = await this.remove(entry, current);
    await this.sweep(plan.unused);
    await announce(layout, this.context.definitions, current, this.context.now());
    return { ...plan, failed: this.failed, removedFiles: this.removedFiles, freedBytes: this.freedBytes };
  }

  private async tidyGone(): Promise<void> {
    const { layout } = this.context;
    for (const id of await repositoriesHere(layout)) {
      const left = staleGone(layout, id, await snapshotsOf(layout, id));
      if (left !== undefined) await this.withLock(id, () => noteGone(layout, id, left));
    }
  }

  /** Takes what is due of one repository out of service; returns the ledger as it is then. What cannot be done now is noted, and stays due. */
  async quarantine(id: string, due: readonly Entry[], before: Ledger): Promise<Ledger> {
    const { layout, definitions, now } = this.context;
    let ledger = before;
    await this.withLock(id, async () => {
      const at = now();
      const until = new Date(at.getTime() + policyOf(definitions.server).quarantine).toISOString();
      const facts = await Facts.read(layout, definitions, ledger, at);
      const still = await stillDue(facts, id, due);
      const packages = still.filter(({ item }) => item.kind === 'package');
      const heldBy = packages.length === 0 ? undefined : (await facts.published(id))?.snapshot;
      const entries = still.map((entry): Entry => {
        const held = entry.item.kind === 'package' && heldBy !== undefined ? { heldBy } : {};
        return { ...entry, stage: 'quarantined', due: until, ...held };
      });
      ledger = { ...ledger, entries: { ...ledger.entries, ...Object.fromEntries(entries.map((entry) => [keyOf(entry.item), entry])) } };
      await writeLedger(layout, ledger);
      if (packages.length > 0) await this.leaveOut(id, packages, facts);
      // Before all of a repository its snapshots, so that each has its own way back.
      const wholeLast = [...still].sort((one, other) => Number(one.item.kind === 'repository') - Number(other.item.kind === 'repository'));
      for (const { item } of wholeLast) if (item.kind !== 'package') await putAway(layout, item, at);
    });
    return ledger;
  }

  /** Publishes a repository without some of its packages. */
  private async leaveOut(id: string, entries: readonly Entry[], facts: Facts): Promise<void> {
    const { layout, graceSeconds, signer, now } = this.context;
    const published = await facts.published(id);
    if (published === undefined) return;
    const items = entries.map(({ item }) => item as Item & { readonly kind: 'package' });
    const byName = entries.filter(({ by }) => by === 'operator').map(({ item }) => item as Item & { readonly kind: 'package' });
    if (byName.length > 0) {
      const refusals = await Promise.all(byName.map((item) => refusalOf(item, published.tree)));
      await writeRefused(layout, id, new Map([...readRefused(layout, id), ...refusals.flat()]));
    }
    const leaves = new Set(items.map(({ nevra: name, checksum }) => `${name} ${checksum.hex}`));
    const packages = (await published.packages([])).filter((item) => !leaves.has(`${nevra(item)} ${item.checksum.hex}`));
    const withheld = byName.map(({ path }) => path);
    await rebuild({ layout, id, published, packages, withheld, graceSeconds, at: now(), signer });
  }

  private async remove(entry: Entry, before: Ledger): Promise<Ledger> {
    const { layout, definitions } = this.context;
    const { item } = entry;
    const key = keyOf(item);
    let ledger = before;
    const done = async (): Promise<void> => {
      const entries = Object.fromEntries(Object.entries(ledger.entries).filter(([other]) => other !== key));
      ledger = { ...ledger, entries };
      await writeLedger(layout, ledger);
    };
    if (item.kind === 'package') await done();
    else
      await this.withLock(item.id, async () => {
        const isBack =
          item.kind === 'release' && (definitions.releases.some(({ id }) => id === item.id) || existsSync(layout.release(item.id)));
        const { inodes, bytes } = await removeForGood(layout, item, isBack);
        for (const inode of inodes) this.freed.add(inode);
        this.freedBytes += bytes;
        await done();
      });
    return ledger;
  }

  /** Removes what nothing uses: what has been so for its term, and what the last steps of this run left behind. */
  private async sweep(unused: UnusedPlan): Promise<void> {
    if (unused.remove.length === 0 && this.freed.size === 0) return;
    const { layout } = this.context;
    const remove = (): Promise<void> => {
      const store = new Store(layout.store);
      const freed = this.freed.size === 0 ? [] : surveyStore(store).unused.filter(({ inode }) => this.freed.has(inode));
      const due = unused.stopped ? [] : unused.remove;
      const gone = removeUnused(store, [...new Map([...due, ...freed].map((file) => [file.inode, file])).values()]);
      this.removedFiles += gone.length;
      this.freedBytes += gone.reduce((sum, { bytes }) => sum + bytes, 0);
      return Promise.resolve();
    };
    await this.noting(UNUSED, () => holding(layout.storeLock, 'the store', waitingFor(this.context), remove));
  }

  private withLock(id: string, work: () => Promise<void>): Promise<void> {
    return this.noting(id, () => holdingRepository(this.context, id, work));
  }

  /** Where a lock cannot be had, or the work fails, that is noted for `id`, and the run goes on with the others. */
  private async noting(id: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const fault = machineFault(error);
      if (!(fault instanceof MirrorError)) throw error;
      this.failed.push({ id, error: failureOf(fault) });
    }
  }

  get failures(): readonly { readonly id: string; readonly error: Failure }[] {
    return this.failed;
  }
}

/** By its digest, and by its SHA-256 as well: what comes from an address of its own has no other. */
async function refusalOf({ checksum, nevra: name, path }: Item & { readonly kind: 'package' }, tree: string): Promise<[string, string][]> {
  const file = join(tree, path);
  const known = checksum.algorithm === 'sha256' || !existsSync(file);
  const also = known ? [] : [checksumKey({ algorithm: 'sha256', hex: await fileDigest(file, 'sha256') })];
  return [checksumKey(checksum), ...also].map((key) => [key, name]);
}

/** Of what was due: what still is, now that nothing else touches the repository. */
async function stillDue(facts: Facts, id: string, due: readonly Entry[]): Promise<readonly Entry[]> {
  const byRule = new Set(facts.definition(id) === undefined ? [] : (await facts.candidatesOf(id)).map(({ item }) => keyOf(item)));
  const still: Entry[] = [];
  for (const entry of due) {
    const isBegun = entry.stage === 'quarantined';
    const isDue = entry.by === 'operator' ? (await facts.obstacle(entry.item)) === undefined : byRule.has(keyOf(entry.item));
    if (isBegun ? (await facts.standing(entry)) === 'undone' : isDue) still.push(entry);
  }
  return still;
}
