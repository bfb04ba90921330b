import { ExitCode, MirrorError } from '../desired-state/errors';
import { accumulates } from '../desired-state/definitions';
import { pinsOf } from '../desired-state/pin';
import { checksumKey } from '../rpm-metadata/checksum';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Layout } from './layout';
import { readPackageList } from './package-list';
import { copied } from './definitions';
import { Published } from './published';
import { putBack } from './quarantine';
import { rebuild } from './rebuild';
import { takeRepaired } from './repaired';
import { readRefused, writeRefused } from './refused';
import { adopted, holdingRepository, type RetentionContext, Run, underLock } from './retention';
import { FORGOTTEN } from './announcements';
import { Facts, packageItem } from './retention-facts';
import { type Entry, type Item, keyOf, type Ledger, readLedger, writeLedger } from './retention-ledger';
import { policyOf } from './retention-policy';
import { readDropped } from './dropped';
import { snapshotsOf } from './snapshot';
import { Store } from './store';

export interface Forgotten {
  /** Announced, or in quarantine already. */
  readonly entries: readonly Entry[];
  /** Steps that could not be taken now. */
  readonly failed: Run['failures'];
}

export interface ForgetOptions {
  /** Into quarantine at once, without grace. */
  readonly now: boolean;
  readonly reason: string | undefined;
}

/**
 * Announces that content goes by an operator's word: what was hosted or copied by a construct that is gone (an id, or what ids begin with), a release that
 * is no longer declared (`releases/<id>`), a superseded snapshot (`<id>@<snapshot>`), or one package of an accumulated repository
 * or of lists (`<id>:<package>`), which is then taken no more; whatever lists publish the same content lose it, too.
 */
export async function forget(context: RetentionContext, what: string, options: ForgetOptions): Promise<Forgotten> {
  return underLock(context, async () => {
    const { layout, definitions, now } = context;
    let ledger = await readLedger(layout);
    // Under a clock that is behind the last run an announcement would be old when it is made.
    const at = new Date(Math.max(now().getTime(), Date.parse(ledger.lastRun ?? now().toISOString())));
    const facts = await Facts.read(layout, definitions, ledger, at);
    const items = await itemsOf(facts, what);
    for (const item of items) {
      const obstacle = await facts.obstacle(item);
      if (obstacle !== undefined) throw cannotGo(item, obstacle);
    }
    const due = new Date(options.now ? at.getTime() : at.getTime() + policyOf(definitions.server).grace).toISOString();
    const why = options.reason === undefined ? FORGOTTEN : `${FORGOTTEN}: ${options.reason}`;
    const entries = items.map((item): Entry => {
      const bytes = item.kind === 'package' ? item.size : 0;
      return { item, why, by: 'operator', stage: 'announced', announcedAt: at.toISOString(), due, bytes };
    });
    ledger = { ...ledger, entries: { ...ledger.entries, ...Object.fromEntries(entries.map((entry) => [keyOf(entry.item), entry])) } };
    await writeLedger(layout, ledger);
    const run = new Run(context);
    if (options.now)
      for (const id of new Set(items.map((item) => item.id)))
        ledger = await run.quarantine(
          id,
          entries.filter(({ item }) => item.id === id),
          ledger,
        );
    return { entries: entries.map(({ item }) => ledger.entries[keyOf(item)] as Entry), failed: run.failures };
  });
}

/** What an operator names. Throws where there is no such thing here. */
async function itemsOf(facts: Facts, what: string): Promise<readonly Item[]> {
  if (what.startsWith('releases/')) return [{ kind: 'release', id: what.slice('releases/'.length) }];
  const [, id, mark, rest] = /^([^@:]+)(?:([@:])(.+))?$/s.exec(what) ?? [];
  if (id === undefined) throw unknown(what);
  if (mark === '@') return [{ kind: 'snapshot', id, snapshot: rest as string }];
  if (mark === ':') return packageEverywhere(facts, id, await packageNamed(facts, id, rest as string));
  const ids = (await facts.here()).filter((one) => !one.startsWith('releases/') && (one === id || one.startsWith(`${id}/`)));
  if (ids.length === 0) throw unknown(what);
  return ids.map((one) => ({ kind: 'repository', id: one }));
}

/** A package of a repository, and the same content in the repositories of lists: they have it from there, or from where that has it. */
async function packageEverywhere(facts: Facts, id: string, item: ListedPackage): Promise<readonly Item[]> {
  const items: Item[] = [packageItem(id, item)];
  for (const lists of facts.definitions.lists) {
    if (lists.id === id) continue;
    const same = (await facts.packageRules(lists.id))?.packages.filter((one) => checksumKey(one.checksum) === checksumKey(item.checksum));
    for (const one of same ?? []) items.push(packageItem(lists.id, one));
  }
  return items;
}

async function packageNamed(facts: Facts, id: string, name: string): Promise<ListedPackage> {
  const definition = facts.definition(id);
  if (definition === undefined || !accumulates(definition))
    throw new MirrorError({
      code: 'NOT_ACCUMULATED',
      message: `${id} is no accumulated copy: single packages cannot be taken out of it`,
      remedy:
        definition?.kind === 'repository'
          ? `A verbatim copy shows upstream's own metadata. Declare View.ACCUMULATE, or go back to an earlier snapshot: mirrorctl explain ${id}.`
          : 'Name declared package lists, or a repository with View.ACCUMULATE: mirrorctl status lists them.',
      exitCode: ExitCode.usage,
    });
  const packages = (await facts.packageRules(id))?.packages ?? [];
  const found = packages.filter((item) => pinsOf(new Set([name]), item).length > 0);
  if (found.length === 1) return found[0] as ListedPackage;
  const like = packages.filter((item) => item.name === name || name.startsWith(`${item.name}-`)).map(nevra);
  throw new MirrorError({
    code: found.length === 0 ? 'NOT_HERE' : 'AMBIGUOUS',
    message:
      found.length === 0 ? `${id} publishes no ${name}` : `${name} names ${found.length} packages of ${id}: ${found.map(nevra).join(', ')}`,
    remedy:
      found.length === 0
        ? `A package is named as rpm -q does, name-version-release.arch${like.length === 0 ? '' : `; there is ${like.slice(0, 5).join(', ')}`}.`
        : 'Name the architecture, too.',
    exitCode: ExitCode.usage,
  });
}

function unknown(what: string): MirrorError {
  return new MirrorError({
    code: 'NOT_HERE',
    message: `nothing here is called ${JSON.stringify(what)}`,
    remedy: 'An id of a repository or hosted component (mirrorctl explain lists all), <id>@<snapshot>, <id>:<package>, or releases/<id>.',
    exitCode: ExitCode.usage,
  });
}

function cannotGo(item: Item, obstacle: string): MirrorError {
  const remedies: Record<Item['kind'], string> = {
    repository: 'Remove its construct from main.ts and deploy first. What is declared stays; single snapshots go as <id>@<snapshot>.',
    release: 'Remove its construct from main.ts and deploy first.',
    snapshot: 'mirrorctl explain lists the snapshots, and what keeps each.',
    package: 'mirrorctl explain shows what is published.',
  };
  return new MirrorError({
    code: 'KEPT',
    message: `${keyOf(item)} stays: ${obstacle}`,
    remedy: remedies[item.kind],
    exitCode: ExitCode.invalid,
  });
}

export interface Restored {
  readonly entries: readonly Entry[];
  /** Packages that are taken from upstream again. */
  readonly accepted: readonly string[];
  /** Packages that took their last step, or of which nothing is known any more, and that an earlier snapshot still has: they are published again. */
  readonly relisted: readonly string[];
}

/**
 * Takes back whatever was announced or put into quarantine under a name: one item, or all of an id. Its rule counts from now on. Throws where its last
 * step was taken.
 */
export async function restore(context: RetentionContext, what: string): Promise<Restored> {
  return underLock(context, async () => {
    const { layout, definitions, now } = context;
    let ledger = await adopted(layout, await readLedger(layout), new Date(now().getTime() + policyOf(definitions.server).quarantine));
    const without = (gone: readonly Entry[]): Ledger => {
      const keys = new Set(gone.map(({ item }) => keyOf(item)));
      const at = now().toISOString();
      return {
        ...ledger,
        entries: Object.fromEntries(Object.entries(ledger.entries).filter(([key]) => !keys.has(key))),
        restored: { ...ledger.restored, ...Object.fromEntries([...keys].map((key) => [key, at])) },
      };
    };
    const chosen = Object.entries(ledger.entries).filter(
      ([key]) => key === what || [':', '@', '/'].some((mark) => key.startsWith(what + mark)),
    );
    const accepted = await acceptAgain(context, what);
    const relisted = chosen.length > 0 ? [] : await relistFound(context, what);
    if (chosen.length === 0 && accepted.length === 0 && relisted.length === 0) throw notAnnounced(what);
    for (const id of new Set(chosen.map(([, { item }]) => item.id))) {
      const entries = chosen.filter(([, { item }]) => item.id === id).map(([, entry]) => entry);
      const away = entries.filter(({ stage }) => stage === 'quarantined');
      const moves = away.filter(({ item }) => item.kind !== 'package');
      if (away.length > 0)
        await holdingRepository(context, id, async () => {
          // One that is killed after this leaves it in quarantine, for a new term, or in service; an entry would have the next run put it away again.
          if (moves.length > 0) await writeLedger(layout, without(moves));
          await bringBack(context, id, away).catch(async (error: unknown) => {
            await writeLedger(layout, ledger);
            throw error;
          });
        });
      ledger = without(entries);
      await writeLedger(layout, ledger);
    }
    return { entries: chosen.map(([, entry]) => entry), accepted, relisted };
  });
}

/** A package that was forgotten by name may come from upstream again, also where it is gone here. */
async function acceptAgain(context: RetentionContext, what: string): Promise<readonly string[]> {
  const { layout } = context;
  const [, id, name] = /^([^@:]+)(?::(.+))?$/s.exec(what) ?? [];
  if (id === undefined) return [];
  const refused = readRefused(layout, id);
  const isNamed = ([, one]: readonly [string, string]): boolean => name === undefined || one === name;
  const again = [...refused].filter(isNamed);
  if (again.length === 0) return [];
  await holdingRepository(context, id, () => writeRefused(layout, id, new Map([...refused].filter((pair) => !isNamed(pair)))));
  return [...new Set(again.map(([, one]) => `${id}:${one}`))];
}

async function bringBack(context: RetentionContext, id: string, entries: readonly Entry[]): Promise<void> {
  const { layout } = context;
  const store = new Store(layout.store);
  // Snapshots that went before the whole of it did come back into it.
  const wholeFirst = [...entries].sort((a, b) => Number(b.item.kind === 'repository') - Number(a.item.kind === 'repository'));
  for (const { item } of wholeFirst) {
    if (item.kind === 'package') continue;
    await putBack(layout, item);
    const snapshots = item.kind === 'snapshot' ? [item.snapshot] : item.kind === 'repository' ? await snapshotsOf(layout, id) : [];
    for (const snapshot of snapshots) await takeRepaired(layout, store, id, snapshot);
  }
  const holders = new Set(entries.flatMap(({ heldBy }) => heldBy ?? []));
  for (const holder of holders) {
    const wanted = entries.filter(({ heldBy }) => heldBy === holder).map(({ item }) => item as Item & { readonly kind: 'package' });
    await relist(context, id, holder, wanted);
  }
}

/** Publishes a package again that the ledger does not know, from the newest snapshot that has it. Returns its name; none where there is no such. */
async function relistFound(context: RetentionContext, what: string): Promise<readonly string[]> {
  const { layout, definitions } = context;
  const [, id = '', name = ''] = /^([^@:]+):(.+)$/s.exec(what) ?? [];
  const definition = copied(definitions).find((one) => one.id === id);
  if (definition === undefined || !accumulates(definition)) return [];
  const isNamed = (item: ListedPackage): boolean => pinsOf(new Set([name]), item).length > 0;
  const current = (await Published.read(layout, id))?.snapshot;
  for (const holder of [...(await snapshotsOf(layout, id))].reverse()) {
    const found = readPackageList(layout.record(id, holder, 'packages'))?.filter(isNamed) ?? [];
    if (found.length === 0) continue;
    if (holder === current) return [];
    await holdingRepository(context, id, () =>
      relist(
        context,
        id,
        holder,
        found.map((item) => packageItem(id, item)),
      ),
    );
    return found.map((item) => `${id}:${nevra(item)}`);
  }
  return [];
}

/** Publishes packages again that an earlier snapshot still has. */
async function relist(
  { layout, graceSeconds, now, signer }: RetentionContext,
  id: string,
  holder: string,
  wanted: readonly (Item & { readonly kind: 'package' })[],
): Promise<void> {
  const published = await Published.read(layout, id);
  const listed = readPackageList(layout.record(id, holder, 'packages'));
  if (published === undefined || listed === undefined) throw lostHolder(layout, id, holder);
  const current = await published.packages([]);
  const here = new Set(current.map(nevra));
  const digests = new Set(wanted.map(({ checksum }) => checksumKey(checksum)));
  const back = listed.filter((item) => digests.has(checksumKey(item.checksum)) && !here.has(nevra(item)));
  if (back.length === 0) return;
  const dropped = readDropped(layout, id, holder) ?? new Map<string, string>();
  await rebuild({
    layout,
    id,
    published,
    packages: [...current, ...back],
    back: { tree: `${layout.snapshots(id)}/${holder}`, packages: back, dropped },
    withheld: [],
    graceSeconds,
    at: now(),
    signer,
  });
}

function lostHolder(layout: Layout, id: string, holder: string): MirrorError {
  return new MirrorError({
    code: 'SNAPSHOT_DAMAGED',
    message: `${layout.record(id, holder, 'packages')} cannot be read: ${id}@${holder} is the last to have these packages`,
    remedy: 'Bring it back from a backup: mirrorctl backup list.',
    exitCode: ExitCode.environment,
  });
}

function notAnnounced(what: string): MirrorError {
  return new MirrorError({
    code: 'NOT_ANNOUNCED',
    message: `${JSON.stringify(what)} is neither announced nor in quarantine`,
    remedy: 'mirrorctl retention plan lists what is. What took its last step comes back from a backup only.',
    exitCode: ExitCode.usage,
  });
}
