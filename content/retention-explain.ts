import { readFileSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { pinsOf } from '../desired-state/pin';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { isAbsent } from './files';
import { readPackageList } from './package-list';
import { readRefused } from './refused';
import type { RetentionContext } from './retention';
import { Facts } from './retention-facts';
import { type Entry, keyOf, readLedger } from './retention-ledger';
import { days, rulesOf } from './retention-policy';
import { type SnapshotFacts, snapshotVerdict } from './retention-rules';
import { snapshotsOf } from './snapshot';

/** Why one thing is here, and for how long. */
export interface Explanation {
  readonly item: string;
  /** `kept`; `goes`: the next `apply` announces it; `announced`, `quarantined`: since `entry.announcedAt`, until `entry.due`; `gone`: refused since. */
  readonly standing: 'kept' | 'goes' | Entry['stage'] | 'gone';
  readonly why: string;
  readonly entry?: Entry;
  /** Of a package: snapshots that have it, oldest first, and the releases that are made of these. */
  readonly snapshots?: readonly string[];
  readonly releases?: readonly string[];
}

/**
 * Explains what has this name here: an id with its snapshots, one snapshot (`<id>@<snapshot>`), a package of one repository (`<id>:<package>`) or of
 * all (its name, or name-version-release), or everything without a name. Throws where there is no such thing.
 */
export async function explain({ layout, definitions, now }: RetentionContext, what: string | undefined): Promise<readonly Explanation[]> {
  const ledger = await readLedger(layout);
  const facts = await Facts.read(layout, definitions, ledger, now());
  // What releases pin goes with them.
  const ids = (await facts.here()).filter((one) => !one.startsWith('releases/'));
  const [, id = '', mark, rest = ''] = /^([^@:]*)(?:([@:])(.+))?$/s.exec(what ?? '') ?? [];
  if (what === undefined) return [...ids.map((one) => ofRepository(facts, one)), ...inLedger(facts, () => true)];
  const known = inLedger(facts, (key) => key === what || key.startsWith(`${what}@`) || key.startsWith(`${what}:`));
  if (mark === '@') {
    const [found] = known.length > 0 ? known : await ofSnapshots(facts, id, (name) => name === rest);
    if (found !== undefined) return [found];
  } else if (mark === ':') {
    const found = [...(await ofPackage(facts, id, rest)), ...ofRefused(facts, id, rest)];
    if (found.length + known.length > 0) return found.length > 0 ? found : known;
  } else if (ids.includes(id)) return [ofRepository(facts, id), ...(await ofSnapshots(facts, id, () => true)), ...known];
  else if (known.length > 0) return known;
  else {
    const found: Explanation[] = [];
    for (const one of ids) found.push(...(await ofPackage(facts, one, what)), ...ofRefused(facts, one, what));
    if (found.length > 0) return found;
  }
  throw new MirrorError({
    code: 'NOT_HERE',
    message: `nothing here is called ${JSON.stringify(what)}`,
    remedy: 'Without a name everything that is here is listed. A package is named as rpm -q does: name, or name-version-release.arch.',
    exitCode: ExitCode.usage,
  });
}

function inLedger({ ledger }: Facts, wanted: (key: string) => boolean): readonly Explanation[] {
  return Object.entries(ledger.entries)
    .filter(([key]) => wanted(key))
    .map(([item, entry]) => ({ item, standing: entry.stage, why: entry.why, entry }));
}

/** What rules a repository has, or why it has none. */
function ofRepository(facts: Facts, id: string): Explanation {
  const definition = facts.definition(id);
  const entry = facts.ledger.entries[id];
  if (entry !== undefined) return { item: id, standing: entry.stage, why: entry.why, entry };
  if (definition === undefined) {
    const why = facts.isDeclared(id)
      ? 'it is hosted here: nothing of it goes by a rule'
      : `it is no longer declared: it stays until mirrorctl retention forget ${id}`;
    return { item: id, standing: 'kept', why };
  }
  const { newestVersions, dropped, snapshots } = rulesOf(facts.definitions.server, definition);
  const terms = [
    ...(newestVersions === undefined ? [] : [`the newest ${newestVersions} versions`]),
    ...(dropped === undefined ? [] : [`${days(dropped)} from the day on which upstream drops them`]),
  ];
  const isAccumulated = definition.kind === 'repository' && definition.view === 'accumulate';
  const packages = !isAccumulated ? [] : terms.length === 0 ? ['packages stay for ever'] : [`packages stay: ${terms.join(', and ')}`];
  return { item: id, standing: 'kept', why: [...packages, `superseded snapshots stay for ${days(snapshots)}`].join('; ') };
}

async function ofSnapshots(facts: Facts, id: string, wanted: (name: string) => boolean): Promise<readonly Explanation[]> {
  const found = (await facts.snapshotFacts(id)) as SnapshotFacts;
  return found.snapshots.filter(wanted).map((snapshot): Explanation => {
    const item = keyOf({ kind: 'snapshot', id, snapshot });
    const entry = facts.ledger.entries[item];
    if (entry !== undefined) return { item, standing: entry.stage, why: entry.why, entry };
    const { goes, why } = snapshotVerdict(snapshot, found);
    return { item, standing: goes ? 'goes' : 'kept', why };
  });
}

/** Packages with a name, or a name and version, in whatever snapshot of a copy they are. */
async function ofPackage(facts: Facts, id: string, name: string): Promise<readonly Explanation[]> {
  const { layout, ledger } = facts;
  const places = new Map<string, { item: ListedPackage; snapshots: string[] }>();
  for (const snapshot of await snapshotsOf(layout, id)) {
    const path = layout.record(id, snapshot, 'packages');
    if (!mayList(path, name)) continue;
    for (const item of readPackageList(path) ?? []) {
      if (item.name !== name && pinsOf(new Set([name]), item).length === 0) continue;
      const key = `${nevra(item)} ${item.checksum.hex}`;
      const known = places.get(key) ?? { item, snapshots: [] };
      places.set(key, { item, snapshots: [...known.snapshots, snapshot] });
    }
  }
  if (places.size === 0) return [];
  const published = (await facts.published(id))?.snapshot;
  const rules = (await facts.packageRules(id))?.rules;
  const { releases } = (await facts.snapshotFacts(id)) as SnapshotFacts;
  return [...places.values()].map(({ item, snapshots }): Explanation => {
    const key = `${id}:${nevra(item)}`;
    const where = { snapshots, releases: [...new Set(snapshots.flatMap((snapshot) => releases(snapshot)))] };
    const entry = ledger.entries[key];
    if (entry !== undefined) return { item: key, standing: entry.stage, why: entry.why, entry, ...where };
    if (!snapshots.includes(published as string))
      return { item: key, standing: 'kept', why: 'it is not published any more, but earlier snapshots have it', ...where };
    const { goes, why } = rules?.verdict(item) ?? { goes: false, why: 'upstream has it' };
    return { item: key, standing: goes ? 'goes' : 'kept', why, ...where };
  });
}

function ofRefused({ layout }: Facts, id: string, name: string): readonly Explanation[] {
  const refused = [...readRefused(layout, id).values()].filter(
    (one) => one === name || one.startsWith(`${name}-`) || one.startsWith(`${name}.`),
  );
  return refused.map((one) => ({
    item: `${id}:${one}`,
    standing: 'gone',
    why: `it was forgotten by name, and is taken from upstream no more (mirrorctl retention restore ${id}:${one})`,
  }));
}

/** Whether a list of packages may have a name in it: lists are long, and there are many. */
function mayList(path: string, name: string): boolean {
  const [, word = name] = /^([A-Za-z0-9_+.]+)/.exec(name) ?? [];
  try {
    return readFileSync(path, 'latin1').includes(`\t${word}`);
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
