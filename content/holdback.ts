/**
 * `mirrorctl holdback`: an older package of the distribution takes the place of a regressed one, for a time and for a reason.
 *
 * The reason is noted before the package is published, and a removal after it: what is held back is what is published, and a note without its package counts for nothing.
 * So there is never one without the other, wherever a run is killed, and the next one clears up.
 */
import { join } from 'node:path';
import type { CodenameDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { PRODUCT_OWNER } from '../desired-state/mos-scheme';
import type { Checksum } from '../rpm-metadata/checksum';
import { nevra, type Nevra, parseNevra } from '../rpm-metadata/nevra';
import { compareEvr } from '../rpm-metadata/version';
import { changeCodenameState, type HoldbackEntry, readCodenameState } from './codename-state';
import { HOLDBACK } from './component';
import { componentNamed } from './component-name';
import { type ComponentPackage, packagesOf } from './component-record';
import { type Definitions, hostedComponents, type HostedComponent } from './definitions';
import type { Layout } from './layout';
import { someOf } from './lines';
import { holding, waitingFor } from './lock';
import { type Offer, offersIn } from './offered';
import { readPackageList } from './package-list';
import { componentOf, isNamed } from './promote';
import { changeComponent, type ChangeOutcome, type PublishContext } from './publish';
import { present } from './present';
import { Published } from './published';
import { snapshotsHere } from './releases';
import { currentSnapshot, timeOf } from './snapshot';

export interface AddOptions {
  /** Files or directories; with `from` packages: names, or `name-[epoch:]version-release[.arch]`. */
  readonly what: readonly string[];
  /** Id of a copied repository, or a component, that has them. */
  readonly from: string | undefined;
  readonly reason: string;
  readonly allowDowngrade: boolean;
}

/** Publishes older packages in `holdback`, with the reason. Of one call all or nothing. */
export async function holdBack(context: PublishContext, codename: CodenameDefinition, options: AddOptions): Promise<ChangeOutcome> {
  const { layout, now } = context;
  const { what, from, reason, allowDowngrade } = options;
  const component = componentOf(codename, HOLDBACK);
  await clearUp(context, component);
  const offers = from === undefined ? offersIn(what) : await offersFrom(context, codename, from, what);
  const since = now().toISOString();
  const entryOf = (one: { readonly nevra: string; readonly sha256: string }): HoldbackEntry => ({
    ...{ nevra: one.nevra, sha256: one.sha256, reason, since, state: 'adding' },
    ...(from === undefined ? {} : { from }),
  });
  const note = (added: readonly { readonly nevra: string; readonly sha256: string }[]): Promise<unknown> =>
    changeCodenameState(layout, codename.id, (state) => ({ ...state, holdback: [...state.holdback, ...added.map(entryOf)] }));
  const outcome = await changeComponent(context, {
    component,
    add: offers,
    remove: [],
    allowDowngrade,
    holdback: true,
    beforePublish: async (added) => void (await note(added)),
  });
  if (outcome.files.some(({ result }) => result === 'refused')) return outcome;
  // One that was published without a reason, which only an operator's own hands can do, has one now.
  const without = await unrecorded(layout, component);
  const given = outcome.files.flatMap(({ package: name, sha256 }) =>
    without.includes(sha256 ?? '') ? [{ nevra: name ?? '', sha256: sha256 ?? '' }] : [],
  );
  if (given.length > 0) await note(given);
  await clearUp(context, component);
  return outcome;
}

export interface Released {
  /** NEVRAs that are not held back any more because of this call. */
  readonly removed: readonly string[];
  /** Names of what was held back, and is not any more: a run before this one did it. */
  readonly done: readonly { readonly name: string; readonly removedAt: string }[];
  readonly snapshot: string | undefined;
}

/** Takes packages out of `holdback`: the newer ones win again. A run that was killed is finished by the same call. */
export async function letGo(
  context: PublishContext,
  codename: CodenameDefinition,
  names: readonly string[],
  reason: string | undefined,
): Promise<Released> {
  const { layout } = context;
  const component = componentOf(codename, HOLDBACK);
  await clearUp(context, component);
  const published = await packagesOf(layout, component.id);
  const { holdback } = await readCodenameState(layout, codename.id);
  const chosen = new Set<string>();
  const done: Released['done'][number][] = [];
  for (const name of new Set(names)) {
    const found = published.filter((item) => isNamed(item, name));
    for (const item of found) chosen.add(nevra(item));
    if (found.length > 0) continue;
    const before = holdback.filter((entry) => entry.state === 'removed' && isNamed(parseNevra(entry.nevra), name)).at(-1);
    if (before === undefined) throw notHeldBack(codename.id, name, published);
    done.push({ name, removedAt: before.removedAt ?? before.since });
  }
  if (chosen.size === 0) return { removed: [], done, snapshot: undefined };
  const { removed, snapshot } = await changeComponent(context, {
    component,
    add: [],
    remove: [...chosen],
    holdback: true,
    beforePublish: async () =>
      void (await changeCodenameState(layout, codename.id, (state) => ({
        ...state,
        holdback: state.holdback.map((entry) =>
          entry.state === 'held' && chosen.has(entry.nevra) && reason !== undefined ? { ...entry, removedBecause: reason } : entry,
        ),
      }))),
  });
  await clearUp(context, component);
  return { removed, done, snapshot };
}

function notHeldBack(codename: string, name: string, published: readonly Nevra[]): MirrorError {
  return new MirrorError({
    code: 'NOT_HELD_BACK',
    message: `${codename} does not hold back ${JSON.stringify(name)}, and never did`,
    remedy: published.length === 0 ? 'Nothing is held back there.' : `There is ${someOf(published.map(nevra), 5)}.`,
    exitCode: ExitCode.invalid,
  });
}

/** What of the notes holds, by what is published. Pure. */
export function settled(entries: readonly HoldbackEntry[], published: readonly ComponentPackage[], at: string): readonly HoldbackEntry[] {
  const there = new Set(published.map(({ checksum }) => checksum.hex));
  return entries.flatMap((entry): readonly HoldbackEntry[] => {
    if (entry.state === 'removed') return [entry];
    const { nevra: name, sha256, reason, since, from } = entry;
    if (there.has(sha256)) return [{ nevra: name, sha256, reason, since, ...present({ from }), state: 'held' }];
    return entry.state === 'adding' ? [] : [{ ...entry, state: 'removed', removedAt: at }];
  });
}

/** Makes the notes those of what is published, while nobody publishes there. */
async function clearUp(context: PublishContext, { id, codename }: HostedComponent): Promise<void> {
  const { layout } = context;
  await holding(layout.lockFile(id), id, waitingFor(context), async () => {
    const published = await packagesOf(layout, id);
    const at = await publishedAt(layout, id);
    await changeCodenameState(layout, codename.id, (state) => {
      const holdback = [...settled(state.holdback, published, at)];
      return JSON.stringify(holdback) === JSON.stringify(state.holdback) ? undefined : { ...state, holdback };
    });
  });
}

/** When what is published there was made: a removal that nobody noted was then. */
async function publishedAt(layout: Layout, id: string): Promise<string> {
  const snapshot = await currentSnapshot(layout, id);
  return (snapshot === undefined ? undefined : timeOf(snapshot)) ?? new Date(0).toISOString();
}

/** Digests of packages without a note. */
async function unrecorded(layout: Layout, { id, codename }: HostedComponent): Promise<readonly string[]> {
  const { holdback } = await readCodenameState(layout, codename.id);
  const noted = new Set(holdback.filter(({ state }) => state !== 'removed').map(({ sha256 }) => sha256));
  return (await packagesOf(layout, id)).map(({ checksum }) => checksum.hex).filter((hex) => !noted.has(hex));
}

/** A package that is held back. */
export interface HeldBack {
  /** `<owner>/<codename>` */
  readonly codename: string;
  readonly package: string;
  /** Undefined where nobody noted one. */
  readonly reason: string | undefined;
  readonly since: string | undefined;
  /** Where it was taken from; undefined where it came from a file. */
  readonly from: string | undefined;
  /** The newest of its name and architecture that it stands before, in the codename's other components and in copies. */
  readonly insteadOf: readonly { readonly id: string; readonly package: string }[];
}

/** What was held back, and is not any more. */
export type FormerlyHeldBack = Pick<HoldbackEntry, 'reason' | 'since' | 'from' | 'removedAt' | 'removedBecause'> & {
  readonly codename: string;
  readonly package: string;
};

export interface Holdbacks {
  readonly heldBack: readonly HeldBack[];
  /** The oldest first. */
  readonly history: readonly FormerlyHeldBack[];
}

/** What is held back in these codenames, and was. Changes nothing. */
export async function holdbacks(layout: Layout, definitions: Definitions, codenames: readonly CodenameDefinition[]): Promise<Holdbacks> {
  const heldBack: (HeldBack & { readonly item: ComponentPackage })[] = [];
  const history: FormerlyHeldBack[] = [];
  for (const { id, codename, component } of hostedComponents({ codenames })) {
    if (component !== HOLDBACK) continue;
    const published = await packagesOf(layout, id);
    const entries = settled((await readCodenameState(layout, codename.id)).holdback, published, await publishedAt(layout, id));
    for (const item of published) {
      const entry = entries.find(({ state, sha256 }) => state === 'held' && sha256 === item.checksum.hex);
      const base = { codename: codename.id, package: nevra(item), reason: entry?.reason, since: entry?.since, from: entry?.from };
      heldBack.push({ ...base, insteadOf: [], item });
    }
    for (const { nevra: name, state, reason, since, from, removedAt, removedBecause } of entries)
      if (state === 'removed')
        history.push({ codename: codename.id, package: name, reason, since, ...present({ from, removedAt, removedBecause }) });
  }
  const copies =
    heldBack.length === 0
      ? []
      : await newerInCopies(
          layout,
          definitions,
          heldBack.map(({ item }) => item),
        );
  const others = new Map<string, { readonly id: string; readonly packages: readonly Nevra[] }[]>();
  for (const { id, codename, component } of hostedComponents({ codenames })) {
    if (component === HOLDBACK || !heldBack.some((row) => row.codename === codename.id)) continue;
    const own = others.get(codename.id) ?? [];
    own.push({ id, packages: await packagesOf(layout, id) });
    others.set(codename.id, own);
  }
  const rows = heldBack.map(({ item, ...row }): HeldBack => ({
    ...row,
    insteadOf: [...(others.get(row.codename) ?? []), ...copies].flatMap(({ id, packages }) => newestAbove(item, id, packages)),
  }));
  return { heldBack: rows, history };
}

function newestAbove(item: Nevra, id: string, packages: readonly Nevra[]): HeldBack['insteadOf'] {
  const newer = packages.filter((one) => one.name === item.name && one.arch === item.arch && compareEvr(one, item) > 0);
  const newest = [...newer].sort(compareEvr).at(-1);
  return newest === undefined ? [] : [{ id, package: nevra(newest) }];
}

/** Of each copy what has the name of one of the packages. A copy that cannot be looked at hides nothing of the others: the status tells. */
async function newerInCopies(
  layout: Layout,
  { repositories }: Definitions,
  items: readonly Nevra[],
): Promise<readonly { readonly id: string; readonly packages: readonly Nevra[] }[]> {
  const names = new Set(items.map(({ name }) => name));
  const found: { id: string; packages: readonly Nevra[] }[] = [];
  for (const { id } of repositories) {
    const packages = await listedBy(layout, id).catch((error: unknown) => {
      if (error instanceof MirrorError) return [];
      throw error;
    });
    found.push({ id, packages: packages.filter(({ name }) => names.has(name)) });
  }
  return found;
}

async function listedBy(layout: Layout, id: string): Promise<readonly Nevra[]> {
  return (await (await Published.read(layout, id))?.packages([])) ?? [];
}

/** Packages of this mirror as they are to be published: their bytes are in the store. */
async function offersFrom(
  { layout, definitions }: PublishContext,
  codename: CodenameDefinition,
  from: string,
  names: readonly string[],
): Promise<readonly Offer[]> {
  const sources = await sourcesOf(layout, definitions, codename, from);
  const offers: Offer[] = [];
  for (const name of new Set(names)) {
    let found: readonly Offer[] = [];
    for (const { tree, packages } of sources) {
      const matching = (await packages()).filter((item) => isNamed(item, name));
      const versions = new Set(matching.map(({ epoch, version, release }) => `${epoch}:${version}-${release}`));
      if (versions.size > 1) throw severalVersions(from, name, matching);
      found = matching
        // What is known by another digest is read once more.
        .map(({ path, checksum }) => ({ file: join(tree, path), ...(checksum.algorithm === 'sha256' ? { checksum } : {}) }));
      if (found.length > 0) break;
    }
    if (found.length === 0)
      throw new MirrorError({
        code: 'NOT_HERE',
        message: `${from} has no package ${JSON.stringify(name)}`,
        remedy:
          'Name it as rpm -q does, name-version-release.arch. Snapshots that are still here were looked at, too; mirrorctl changes says what went when.',
        exitCode: ExitCode.invalid,
      });
    offers.push(...found);
  }
  return offers;
}

function severalVersions(from: string, name: string, matching: readonly Nevra[]): MirrorError {
  return new MirrorError({
    code: 'SEVERAL_VERSIONS',
    message: `${from} has several versions of ${JSON.stringify(name)}: ${someOf([...matching].sort(compareEvr).reverse().map(nevra), 10)}`,
    remedy: 'Nothing was changed. Name the one to hold back to: name-version-release.',
    exitCode: ExitCode.usage,
  });
}

interface PackageSource {
  readonly tree: string;
  readonly packages: () => Promise<readonly (Nevra & { readonly path: string; readonly checksum: Checksum })[]>;
}

/** What is published there, then, of a copy, the snapshots before it, the newest first. */
async function sourcesOf(
  layout: Layout,
  definitions: Definitions,
  codename: CodenameDefinition,
  from: string,
): Promise<readonly PackageSource[]> {
  if (definitions.repositories.some(({ id }) => id === from)) {
    const published = await Published.read(layout, from);
    if (published === undefined) return [];
    const before = (await snapshotsHere(layout, from)).filter((snapshot) => snapshot !== published.snapshot).reverse();
    return [
      { tree: published.tree, packages: () => published.packages([]) },
      ...before.map((snapshot) => ({
        tree: join(layout.snapshots(from), snapshot),
        packages: () => Promise.resolve(readPackageList(layout.record(from, snapshot, 'packages')) ?? []),
      })),
    ];
  }
  const { id, codename: source } = componentNamed(definitions, codename.components.includes(from) ? `${codename.id}/${from}` : from);
  if (source.owner !== codename.owner && source.owner !== PRODUCT_OWNER)
    throw new MirrorError({
      code: 'OTHER_OWNER',
      message: `${id} belongs to another owner than ${codename.id}`,
      remedy: 'Take it from a copied repository, from the product, or from a file.',
      exitCode: ExitCode.invalid,
    });
  const snapshot = await currentSnapshot(layout, id);
  if (snapshot === undefined) return [];
  return [{ tree: join(layout.snapshots(id), snapshot), packages: () => packagesOf(layout, id) }];
}

/** The list for people. */
export function holdbackLines({ heldBack, history }: Holdbacks, withHistory: boolean): readonly string[] {
  const lines = heldBack.flatMap(({ codename, package: name, reason, since, from, insteadOf }) => [
    `${codename}: ${name}${since === undefined ? '' : `, since ${since.slice(0, 10)}`}${from === undefined ? '' : `, from ${from}`}`,
    `  ${reason ?? 'nobody noted why: "mirrorctl holdback add" of the same package does'}`,
    ...insteadOf.map(({ id, package: newer }) => `  instead of ${newer} of ${id}`),
    ...(insteadOf.length === 0 ? ['  nothing newer is here that it holds back'] : []),
  ]);
  const past = history.map(
    ({ codename, package: name, reason, since, removedAt, removedBecause }) =>
      `${codename}: ${name}, ${since.slice(0, 10)} to ${removedAt?.slice(0, 10)}: ${reason}${removedBecause === undefined ? '' : `; removed: ${removedBecause}`}`,
  );
  return [
    ...(heldBack.length === 0 ? ['Nothing is held back.'] : lines),
    ...(withHistory ? ['', past.length === 0 ? 'Nothing was held back before.' : 'Before:', ...past] : []),
  ];
}
