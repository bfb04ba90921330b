import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { accumulates, type CopiedDefinition } from '../desired-state/definitions';
import { selectPackages } from '../rpm-metadata/filter';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { Asked, askedClause } from './asked';
import { copied, type Definitions, hostedComponents } from './definitions';
import type { Layout } from './layout';
import { Published } from './published';
import { homeOf, linksBelow, pinsOfRelease, placeOf } from './quarantine';
import { isRefused, readRefused } from './refused';
import { existingReleases, reachedByReleases, RELEASE_FILE } from './releases';
import { type Entry, goneSnapshots, type Item, keyOf, type Ledger } from './retention-ledger';
import { policyOf, type Rules, rulesOf } from './retention-policy';
import { PackageRules, type SnapshotFacts, snapshotVerdict, whatHolds } from './retention-rules';
import type { Candidate } from './retention-steps';
import { namesIn, repositoriesHere, snapshotsOf } from './snapshot';
import { readManifest } from './tree-manifest';
import type { StoreSurvey } from './unused';

interface Packages {
  readonly rules: PackageRules;
  readonly packages: readonly ListedPackage[];
  /** The one with this name and version. */
  readonly named: (name: string) => ListedPackage | undefined;
}

/** What retention knows of this server at one time: what is published is read once. It is asked again, under the lock of a repository, before something of that is touched. */
export class Facts {
  /** What lists ask for. */
  readonly asked: Asked;
  private readonly known = new Map<string, Promise<Packages | undefined>>();

  private constructor(
    readonly layout: Layout,
    readonly definitions: Definitions,
    readonly ledger: Ledger,
    readonly now: Date,
    private readonly reached: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>,
  ) {
    this.asked = Asked.by(definitions.lists);
  }

  static async read(layout: Layout, definitions: Definitions, ledger: Ledger, now: Date): Promise<Facts> {
    const reached = new Map([...(await reachedByReleases(layout, definitions))].map(([id, snapshots]) => [id, new Map(snapshots)]));
    for (const { release, id, snapshot } of await membersInQuarantine(layout, ledger)) {
      const snapshots = reached.get(id) ?? new Map<string, readonly string[]>();
      reached.set(id, snapshots.set(snapshot, [...(snapshots.get(snapshot) ?? []), release]));
    }
    return new Facts(layout, definitions, ledger, now, reached);
  }

  /** Everything that has snapshots here, declared or not. */
  here(): Promise<readonly string[]> {
    return repositoriesHere(this.layout);
  }

  definition(id: string): CopiedDefinition | undefined {
    return copied(this.definitions).find((one) => one.id === id);
  }

  isDeclared(id: string): boolean {
    return this.definition(id) !== undefined || hostedComponents(this.definitions).some((one) => one.id === id);
  }

  async published(id: string): Promise<Published | undefined> {
    return Published.read(this.layout, id);
  }

  /** What a repository or tree publishes, in bytes. */
  async publishedBytes(id: string): Promise<number> {
    const published = await this.published(id);
    if (published === undefined) return 0;
    const manifest = await readManifest(this.layout.record(id, published.snapshot, 'tree'));
    return published.record?.bytes ?? manifest?.bytes ?? 0;
  }

  async snapshotFacts(id: string): Promise<SnapshotFacts | undefined> {
    const definition = this.definition(id);
    const { layout, ledger, now, definitions } = this;
    const policy = policyOf(definitions.server);
    return {
      current: (await this.published(id))?.snapshot,
      snapshots: await snapshotsOf(layout, id),
      gone: [...goneSnapshots(layout, id).keys()],
      // Nothing of what is hosted, or no longer declared, goes by a rule.
      rules: definition === undefined ? { snapshots: Infinity } : rulesOf(definitions.server, definition),
      policy,
      releases: (snapshot) => this.reached.get(id)?.get(snapshot) ?? [],
      holds: (snapshot) => heldIn(ledger, id, snapshot),
      restored: (snapshot) => ledger.restored[keyOf({ kind: 'snapshot', id, snapshot })],
      now,
    };
  }

  /** The rules for the packages that an accumulated repository publishes; undefined where it has no such rules. */
  packageRules(id: string): Promise<Packages | undefined> {
    const known = this.known.get(id) ?? this.readPackages(id);
    this.known.set(id, known);
    return known;
  }

  private async readPackages(id: string): Promise<Packages | undefined> {
    const definition = this.definition(id);
    if (definition === undefined || !accumulates(definition)) return undefined;
    const published = await this.published(id);
    if (published === undefined) return undefined;
    const packages = await published.packages([]);
    const { ledger, now, definitions } = this;
    const filter = definition.kind === 'repository' ? definition.filter : undefined;
    const rules = new PackageRules({
      packages,
      dropped: published.dropped,
      pins: new Set(definition.kind === 'repository' ? definition.pins : undefined),
      asked: (item) => askedClause(this.asked.of(item)),
      leftOut: (item) => filter !== undefined && selectPackages([item], { ...filter, newest: Infinity }).length === 0,
      source: definition.kind === 'lists' ? 'the lists' : 'upstream',
      rules: rulesOf(definitions.server, definition),
      policy: policyOf(definitions.server),
      restored: (item) => ledger.restored[`${id}:${nevra(item)}`],
      now,
    });
    let byName: ReadonlyMap<string, ListedPackage> | undefined;
    const named = (name: string): ListedPackage | undefined => (byName ??= new Map(packages.map((item) => [nevra(item), item]))).get(name);
    return { rules, packages, named };
  }

  /** What no rule keeps. Bytes of snapshots are not counted yet. */
  async candidates(): Promise<readonly Candidate[]> {
    const found: Candidate[] = [];
    for (const id of await this.here()) if (this.definition(id) !== undefined) found.push(...(await this.candidatesOf(id)));
    for (const entry of Object.values(this.ledger.entries))
      if (entry.by === 'operator' && entry.stage === 'announced' && (await this.obstacle(entry.item)) === undefined) found.push(entry);
    return found;
  }

  async candidatesOf(id: string): Promise<readonly Candidate[]> {
    const found: Candidate[] = [];
    const definition = this.definition(id);
    const { newestVersions, dropped }: Partial<Rules> = definition === undefined ? {} : rulesOf(this.definitions.server, definition);
    // Without a rule for packages their list, which is long, is not looked at.
    const packages = newestVersions === undefined && dropped === undefined ? undefined : await this.packageRules(id);
    for (const { item, why } of packages?.rules.candidates() ?? [])
      found.push({ item: packageItem(id, item), why, by: 'rule', bytes: item.size });
    const facts = await this.snapshotFacts(id);
    for (const snapshot of facts?.snapshots ?? []) {
      const { goes, why } = snapshotVerdict(snapshot, facts as SnapshotFacts);
      if (goes) found.push({ item: { kind: 'snapshot', id, snapshot }, why, by: 'rule', bytes: 0 });
    }
    return found;
  }

  /** Why an item cannot go, whoever wants it gone: a clause. Undefined where it can. */
  async obstacle(item: Item): Promise<string | undefined> {
    const { id } = item;
    // The two could not be told from each other.
    if (item.kind !== 'package' && (await placeOf(this.layout, item)) !== undefined)
      return 'a former one of that name is in quarantine still';
    switch (item.kind) {
      case 'package': {
        const found = (await this.packageRules(id))?.named(item.nevra);
        return found !== undefined && found.checksum.hex === item.checksum.hex ? undefined : 'it is not published';
      }
      case 'snapshot': {
        const facts = await this.snapshotFacts(id);
        return facts?.snapshots.includes(item.snapshot) === true ? whatHolds(item.snapshot, facts) : 'it is not here';
      }
      case 'repository': {
        if (this.isDeclared(id)) return 'it is declared';
        const releases = [...(this.reached.get(id)?.values() ?? [])].flat();
        if (releases.length > 0) return `the release ${releases[0]} is made of it`;
        return existsSync(homeOf(this.layout, item)) ? undefined : 'it is not here';
      }
      case 'release': {
        if (this.definitions.releases.some((one) => one.id === id)) return 'it is declared';
        // One that never could be frozen may have published pins.
        const isHere = (await existingReleases(this.layout)).includes(id) || pinsOfRelease(this.layout, item) !== undefined;
        return isHere ? undefined : 'it is not here';
      }
    }
  }

  /** Whether an item in quarantine is out of service. `undone`: the step was interrupted. `back`: it is in service again, or has to stay there. */
  async standing({ item, heldBy, by }: Entry): Promise<'out' | 'undone' | 'back'> {
    if (item.kind !== 'package') {
      if (!existsSync(homeOf(this.layout, item)) || (await placeOf(this.layout, item)) !== undefined) return 'out';
      return (await this.obstacle(item)) === undefined ? 'undone' : 'back';
    }
    if ((await this.obstacle(item)) !== undefined) return 'out';
    // Upstream has it again, or it was had back: then another snapshot followed the one that was to be the last to have it.
    if (by === 'operator') return isRefused(readRefused(this.layout, item.id), item) ? 'undone' : 'back';
    return (await this.published(item.id))?.snapshot === heldBy ? 'undone' : 'back';
  }

  /** Counts what each would free on the disk, given that those before it are gone: key → bytes. Packages alone free nothing, and count as they are. */
  async counted(items: readonly Item[], survey: StoreSurvey): Promise<ReadonlyMap<string, number>> {
    const links = new Map<number, number>();
    const counted = new Map<string, number>();
    for (const item of items) {
      if (item.kind === 'package') {
        counted.set(keyOf(item), item.size);
        continue;
      }
      const at = (await placeOf(this.layout, item)) ?? homeOf(this.layout, item);
      let bytes = 0;
      for (const [inode, { here, nlink, bytes: size }] of existsSync(at) ? linksBelow(at) : []) {
        const seen = (links.get(inode) ?? 0) + here;
        links.set(inode, seen);
        if (seen + survey.names(inode) === nlink) bytes += size;
      }
      counted.set(keyOf(item), bytes);
    }
    return counted;
  }
}

export function packageItem(id: string, item: ListedPackage): Item & { readonly kind: 'package' } {
  const { path, checksum, size } = item;
  return { kind: 'package', id, nevra: nevra(item), path, checksum, size };
}

function heldIn({ entries }: Ledger, id: string, snapshot: string): readonly string[] {
  return Object.values(entries)
    .filter((entry) => entry.stage === 'quarantined' && entry.heldBy === snapshot && entry.item.id === id)
    .map(({ item }) => (item.kind === 'package' ? item.nevra : keyOf(item)));
}

/** What releases in quarantine are made of: they can be had back until their last step. */
async function membersInQuarantine(
  layout: Layout,
  { entries }: Ledger,
): Promise<readonly { readonly release: string; readonly id: string; readonly snapshot: string }[]> {
  const found: { release: string; id: string; snapshot: string }[] = [];
  for (const { item, stage } of Object.values(entries)) {
    if (item.kind !== 'release' || stage !== 'quarantined') continue;
    const place = await placeOf(layout, item);
    if (place === undefined) continue;
    const { members } = JSON.parse(await readFile(join(place, 'all', RELEASE_FILE), 'utf8')) as {
      members: { id: string; snapshot: string }[];
    };
    for (const { id, snapshot } of members) found.push({ release: item.id, id, snapshot });
  }
  return found;
}

/** Items in quarantine that the ledger does not know: it was lost. Each with the day on which it came there. */
export async function unknownInQuarantine(
  layout: Layout,
  { entries }: Ledger,
): Promise<readonly { readonly item: Item; readonly since: string }[]> {
  const found: { item: Item; since: string }[] = [];
  for (const date of (await namesIn(layout.damaged)).filter((name) => /^\d{4}-\d\d-\d\d$/.test(name))) {
    for (const name of await namesIn(join(layout.damaged, date))) {
      const item = itemNamed(name.replaceAll('+', '/'));
      if (item === undefined || Object.hasOwn(entries, keyOf(item))) continue;
      if ((await placeOf(layout, item)) !== undefined) found.push({ item, since: `${date}T00:00:00.000Z` });
    }
  }
  return found;
}

/** The item with a key, other than a package. */
function itemNamed(key: string): Exclude<Item, { readonly kind: 'package' }> | undefined {
  if (key.startsWith('.') || /^sha\d+-[0-9a-f]+\.\d+$/.test(key)) return undefined;
  const [id = '', snapshot] = key.split('@');
  if (snapshot !== undefined) return { kind: 'snapshot', id, snapshot };
  return id.startsWith('releases/') ? { kind: 'release', id: id.slice('releases/'.length) } : { kind: 'repository', id };
}
