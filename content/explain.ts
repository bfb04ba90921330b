import { readFileSync } from 'node:fs';
import { accumulates } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { pinsOf } from '../desired-state/pin';
import { nevra, type Nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { askedName } from '../starlingx/asked';
import { askedClause } from './asked';
import { packagesOf } from './component-record';
import { isAbsent } from './files';
import type { Layout } from './layout';
import { Origins, sinceOf } from './origins';
import { readPackageList } from './package-list';
import { present } from './present';
import { readRefused } from './refused';
import type { RetentionContext } from './retention';
import { Facts } from './retention-facts';
import { type Entry, keyOf, readLedger } from './retention-ledger';
import { days, policyOf, rulesOf } from './retention-policy';
import { type SnapshotFacts, snapshotVerdict } from './retention-rules';
import { currentSnapshot, snapshotsOf, timeOf } from './snapshot';

/** Why one thing is here, and for how long. */
export interface Explanation {
  readonly item: string;
  /** `asked`: a list asks for it, and it is not here. `kept`; `goes`: the next `apply` announces it; `announced`, `quarantined`: since `entry.announcedAt`, until `entry.due`; `gone`: refused since. */
  readonly standing: 'asked' | 'kept' | 'goes' | Entry['stage'] | 'gone';
  readonly why: string;
  readonly entry?: Entry;
  /** What else keeps it, whatever `why` comes to: clauses. */
  readonly also?: readonly string[];
  /** Since when it is here, as far as that is known (ISO). */
  readonly since?: string;
  /** Of a package, where it came from: URLs of upstreams, or ids of what this mirror copies. */
  readonly from?: readonly string[];
  /** When it would go for good at the earliest (ISO); absent where what keeps it has no end. */
  readonly until?: string;
  /** Of a package: snapshots that have it, oldest first, and the releases that are made of these. */
  readonly snapshots?: readonly string[];
  readonly releases?: readonly string[];
}

/**
 * Explains what has this name here: an id with its snapshots, one snapshot (`<id>@<snapshot>`), a package of one repository (`<id>:<package>`) or of
 * all (its name, or name-version-release), or everything without a name. Throws where there is no such thing.
 */
export async function explain(
  { layout, definitions, now }: Pick<RetentionContext, 'layout' | 'definitions' | 'now'>,
  what: string | undefined,
): Promise<readonly Explanation[]> {
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
    found.push(...missing(facts, what, found));
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
    ...(dropped === undefined
      ? []
      : [`${days(dropped)} from the day on which ${definition.kind === 'lists' ? 'the lists drop' : 'upstream drops'} them`]),
  ];
  const isAccumulated = accumulates(definition);
  const packages = !isAccumulated ? [] : terms.length === 0 ? ['packages stay for ever'] : [`packages stay: ${terms.join(', and ')}`];
  return { item: id, standing: 'kept', why: [...packages, `superseded snapshots stay for ${days(snapshots)}`].join('; ') };
}

async function ofSnapshots(facts: Facts, id: string, wanted: (name: string) => boolean): Promise<readonly Explanation[]> {
  const found = (await facts.snapshotFacts(id)) as SnapshotFacts;
  return found.snapshots.filter(wanted).map((snapshot): Explanation => {
    const item = keyOf({ kind: 'snapshot', id, snapshot });
    const entry = facts.ledger.entries[item];
    if (entry !== undefined) return { item, standing: entry.stage, why: entry.why, entry };
    const { goes, why, until } = snapshotVerdict(snapshot, found);
    return { item, standing: goes ? 'goes' : 'kept', why, ...present({ since: timeOf(snapshot), until: earliest(facts, goes, until) }) };
  });
}

/** Packages with a name, or a name and version, in whatever snapshot of a copy, or in the component, they are. */
async function ofPackage(facts: Facts, id: string, name: string): Promise<readonly Explanation[]> {
  if (facts.definition(id) === undefined && facts.isDeclared(id)) return ofHosted(facts, id, name);
  const { layout, ledger } = facts;
  const places = await placesOf(layout, id, name);
  if (places.length === 0) return [];
  const published = (await facts.published(id))?.snapshot;
  const rules = (await facts.packageRules(id))?.rules;
  const snapshotFacts = (await facts.snapshotFacts(id)) as SnapshotFacts;
  const { releases } = snapshotFacts;
  const origins = new Origins(facts, id);
  const explained: Explanation[] = [];
  for (const { item, snapshots } of places) {
    const key = `${id}:${nevra(item)}`;
    const entry = ledger.entries[key];
    const isPublished = snapshots.includes(published as string);
    const verdict = isPublished
      ? (rules?.verdict(item) ?? { goes: false, why: 'upstream has it' })
      : { goes: false, why: 'it is not published any more, but earlier snapshots have it' };
    const asked = askedClause(facts.asked.of(item));
    const frozen = [...new Set(snapshots.flatMap((snapshot) => releases(snapshot)))];
    const standing = entry?.stage ?? (verdict.goes ? 'goes' : 'kept');
    const why = entry?.why ?? verdict.why;
    explained.push({
      ...{ item: key, standing, why },
      ...(entry === undefined ? {} : { entry }),
      also: [
        ...(asked === undefined || asked === why ? [] : [asked]),
        ...frozen.map((release) => `the release ${release} is made of a snapshot that has it`),
      ],
      from: await origins.of(item),
      ...present({
        since: await sinceOf(layout, id, item, snapshots),
        until:
          entry !== undefined
            ? undefined
            : isPublished
              ? earliest(facts, verdict.goes, verdict.until)
              : lastOf(facts, id, snapshots, snapshotFacts),
      }),
      ...{ snapshots, releases: frozen },
    });
  }
  return explained;
}

/** What a component publishes now: nothing of it goes by a rule. */
async function ofHosted({ layout }: Facts, id: string, name: string): Promise<readonly Explanation[]> {
  const snapshot = await currentSnapshot(layout, id);
  if (snapshot === undefined) return [];
  const found = (await packagesOf(layout, id)).filter((item) => isNamed(item, name));
  const owner = id.slice(0, id.indexOf('/'));
  return found.map((item) => ({
    item: `${id}:${nevra(item)}`,
    standing: 'kept',
    why: `${owner} published it here: nothing of it goes by a rule`,
    also: [],
    snapshots: [snapshot],
  }));
}

/** What lists ask for under this name, and nothing here has. */
function missing({ asked }: Facts, what: string, found: readonly Explanation[]): readonly Explanation[] {
  const here = new Set(found.map(({ item }) => item.slice(item.indexOf(':') + 1).replace(/-\d+:(?=[^-]+-[^-]+$)/, '-')));
  return asked
    .named(what)
    .filter((one) => !here.has(askedName(one)))
    .flatMap((one) =>
      asked.of(one).map(({ id, list, line }) => ({
        item: `${id}:${askedName(one)}`,
        standing: 'asked' as const,
        why: `line ${line} of ${list} asks for it, and nothing here has it: mirrorctl status ${id} says what the last sync met`,
        ...(one.url === undefined ? {} : { from: [one.url] }),
      })),
    );
}

function isNamed(item: Nevra, name: string): boolean {
  return item.name === name || pinsOf(new Set([name]), item).length > 0;
}

/** Each package of this name, with the snapshots that have it, oldest first. */
async function placesOf(
  layout: Layout,
  id: string,
  name: string,
): Promise<readonly { readonly item: ListedPackage; readonly snapshots: readonly string[] }[]> {
  const places = new Map<string, { item: ListedPackage; snapshots: string[] }>();
  for (const snapshot of await snapshotsOf(layout, id)) {
    const path = layout.record(id, snapshot, 'packages');
    if (!mayList(path, name)) continue;
    for (const item of readPackageList(path) ?? []) {
      if (!isNamed(item, name)) continue;
      const key = `${nevra(item)} ${item.checksum.hex}`;
      const known = places.get(key);
      if (known === undefined) places.set(key, { item, snapshots: [snapshot] });
      else known.snapshots.push(snapshot);
    }
  }
  return [...places.values()];
}

/** When something would be gone for good at the earliest: after its term come the announcement and the quarantine. */
function earliest({ definitions, now }: Facts, goes: boolean, until: string | undefined): string | undefined {
  if (!goes && until === undefined) return undefined;
  const { grace, quarantine } = policyOf(definitions.server);
  return new Date((goes ? now.getTime() : Date.parse(until as string)) + grace + quarantine).toISOString();
}

/** When the last of some superseded snapshots would be gone, and with it what only these have; undefined where something keeps one without an end. */
function lastOf(facts: Facts, id: string, snapshots: readonly string[], known: SnapshotFacts): string | undefined {
  const { quarantine } = policyOf(facts.definitions.server);
  const ends = snapshots.map((snapshot) => {
    const entry = facts.ledger.entries[keyOf({ kind: 'snapshot', id, snapshot })];
    if (entry !== undefined) return new Date(Date.parse(entry.due) + quarantine).toISOString();
    const { goes, until } = snapshotVerdict(snapshot, known);
    return earliest(facts, goes, until);
  });
  return ends.includes(undefined) ? undefined : ends.sort().at(-1);
}

function ofRefused({ layout }: Facts, id: string, name: string): readonly Explanation[] {
  const refused = [...new Set(readRefused(layout, id).values())].filter(
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
