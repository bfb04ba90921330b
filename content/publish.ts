import { existsSync, lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { KeyReference } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Signer } from '../signatures/sign';
import { requireOpen } from './codename-state';
import { isDigestsOnly, keysOf, replaces } from './component';
import { componentNamed } from './component-name';
import { type ComponentRecord, countsOf, type KeptPackages, readComponentRecord, readTrees, type Tree } from './component-record';
import { readDamage } from './damage';
import type { Definitions, HostedComponent } from './definitions';
import { fileDigest, machineFault } from './files';
import { Layout } from './layout';
import { holding, usingStore, waitingFor } from './lock';
import { Mender } from './mend';
import { type Accepted, NextSnapshot, type Replaced } from './next-snapshot';
import { unsignedOffers } from './offer-signatures';
import { Arrivals, type Arrived, type Offer } from './offered';
import { present } from './present';
import type { Say } from './progress';
import { updatePublicSnapshots } from './public-snapshots';
import { type Candidate, contradictions, invalid, ownFolder, pathOf, Present, type Refusal, superseded, treesFor } from './publish-rules';
import { currentSnapshot } from './snapshot';
import { requireRoom, requireStorage } from './storage';
import { type Incoming, Store } from './store';
import { inWorkspace } from './workspace';

export interface PublishContext {
  readonly layout: Layout;
  readonly definitions: Definitions;
  /** What is declared by now. */
  readonly declared: () => Promise<Definitions>;
  readonly signer: () => Promise<Signer>;
  readonly now: () => Date;
  readonly say: Say;
  /** How long to wait for another publisher of the same, and for a deploy. */
  readonly waitSeconds: number;
}

/** What is to change in a component: all of it or nothing does. */
export interface Change {
  readonly component: HostedComponent;
  readonly add: readonly Offer[];
  /** NEVRAs of packages that it publishes. */
  readonly remove: readonly string[];
  /** What is to leave may have left: another call was faster. */
  readonly mayBeGone?: true;
  /** A file with groups (comps), in the place of those that it has; null: no groups any more. Undefined: as they are. */
  readonly comps?: string | null | undefined;
  readonly allowDowngrade?: boolean;
  /** Only `mirrorctl holdback` changes the packages that are held back: it notes why. */
  readonly holdback?: true;
  /** Judges everything, and changes nothing. */
  readonly dryRun?: true;
  /** Called under the lock once everything was judged, before what is served changes, with what is going to come and to leave. */
  readonly beforePublish?: (added: readonly PackageChange[], removed: readonly PackageChange[]) => Promise<void>;
}

/** A package that comes or leaves. */
export interface PackageChange {
  readonly nevra: string;
  readonly sha256: string;
}

/** A content of a package, and where clients find it. */
export interface PlacedContent {
  readonly sha256: string;
  readonly path: string;
}

/** What became of one file. */
export interface FileOutcome {
  readonly file: string;
  /** NEVRA, where the header could be read. */
  readonly package?: string;
  /** `withheld`: nothing is wrong with it, and another file of the call was refused. */
  readonly result: 'published' | 'skipped' | 'refused' | 'withheld';
  readonly trees?: readonly string[];
  readonly sha256?: string;
  /** It took the place of a package with the same name and version; that one stays where it was. Places are below the component. */
  readonly replaced?: { readonly served: PlacedContent; readonly kept: PlacedContent };
  readonly code?: string;
  /** It is published already, and its content was lost here: it is served again. */
  readonly repaired?: true;
  /** Why it was not published: a clause that follows the name of the file. */
  readonly message?: string;
  readonly remedy?: string;
  readonly exitCode?: ExitCode;
}

export interface ChangeOutcome {
  readonly id: string;
  readonly publicPath: string;
  /** The snapshot that is published now because of it; undefined where nothing was changed. */
  readonly snapshot: string | undefined;
  readonly files: readonly FileOutcome[];
  /** NEVRAs that left. */
  readonly removed: readonly string[];
  /** What the component publishes now. */
  readonly packages: number;
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Changes what a hosted component publishes: by one new snapshot and one rename, or not at all. Files are judged where nobody else can change
 * them; one that is refused holds up all others, and the outcome says of each what became of it. Throws a MirrorError for what concerns the
 * call as a whole. Two at a time wait for each other.
 */
export async function changeComponent(context: PublishContext, change: Change): Promise<ChangeOutcome> {
  const { layout, definitions } = context;
  const { id } = change.component;
  await requireStorage(layout, definitions.server);
  const wait = waitingFor(context);
  const work = async (): Promise<ChangeOutcome> => {
    // A deploy may have ended while the locks were waited for: a key that it took away is trusted no more.
    const now = await context.declared();
    const current = { ...context, definitions: now, layout: new Layout(layout.root, layout.state, now.directory) };
    const component = componentNamed(now, id);
    return usingStore(layout, () => inWorkspace(layout, id, () => new Publication(current, { ...change, component }).run()));
  };
  return holding(layout.lockFile(id), id, wait, () =>
    holding(layout.lockFile('prepare'), 'the preparation of hosted components', { ...wait, shared: true }, work),
  );
}

/** How often a long step says how far it is. In milliseconds. */
const SAY_EVERY = 5000;

class Publication {
  private readonly started = Date.now();
  private readonly at: Date;
  private readonly id: string;
  private readonly store: Store;
  private readonly outcomes = new Map<Offer, FileOutcome>();
  private readonly keys: readonly KeyReference[];
  private readonly replacing: boolean;
  /** Packages that were replaced, before this call. */
  private kept: KeptPackages = {};
  /** What is published already, and a scrub found to be lost. */
  private readonly lost: Accepted[] = [];

  constructor(
    private readonly context: PublishContext,
    private readonly change: Change,
  ) {
    this.at = context.now();
    this.id = change.component.id;
    this.store = new Store(context.layout.store);
    const { codename, component } = change.component;
    this.keys = keysOf(codename, component);
    this.replacing = replaces(codename, component);
  }

  async run(): Promise<ChangeOutcome> {
    const { layout } = this.context;
    const snapshot = await currentSnapshot(layout, this.id);
    if (snapshot === undefined) throw this.notPrepared();
    const trees = await readTrees(layout, this.id, snapshot);
    this.kept = readComponentRecord(layout, this.id, snapshot)?.kept ?? {};
    // A run that was killed right after its publish left them as they were.
    await this.links();
    if (this.change.add.length + this.change.remove.length > 0)
      await requireOpen(layout, this.change.component, this.change.holdback === true);
    const gone = this.removals(trees);
    const sizes = await this.requireRoom();
    const incoming = await this.store.incoming(this.id);
    try {
      const arrived = await this.takeIn(incoming, sizes);
      // It is opened while signatures are checked: both wait for other programs.
      if (arrived.length > 0 && this.change.dryRun !== true) this.context.signer().catch(() => undefined);
      let accepted = await this.judge(arrived, trees, snapshot);
      const refused = [...this.outcomes.values()].some(({ result }) => result === 'refused');
      const comps = this.change.comps !== undefined;
      if (refused) for (const one of accepted) this.note(one, 'withheld');
      if (!refused && this.lost.length > 0 && this.change.dryRun !== true) {
        await this.bringBack(incoming);
        accepted = accepted.map((one) => ({ ...one, path: incoming.locate({ algorithm: 'sha256', hex: one.sha256 }) }));
      }
      if (refused || (accepted.length === 0 && gone.length === 0 && !comps)) {
        await incoming.close();
        return this.outcome(undefined, [], countsOf(trees));
      }
      if (this.change.dryRun === true) {
        await incoming.close();
        for (const one of accepted) this.note(one, 'published');
        return this.outcome(undefined, gone.map(nevra), countsOf(trees));
      }
      await this.change.beforePublish?.(
        accepted.map((one) => ({ nevra: nevra(one), sha256: one.sha256 })),
        gone.map((item) => ({ nevra: nevra(item), sha256: item.checksum.hex })),
      );
      const replaced = accepted.flatMap((one) => one.replaced);
      const published = await new NextSnapshot({
        layout,
        id: this.id,
        keyFile: this.change.component.codename.keyFile,
        signer: this.context.signer,
        incoming,
        snapshot,
        trees,
        accepted,
        gone: [...gone, ...replaced.map(({ item }) => item)],
        kept: this.keptAfter(accepted),
        comps: this.change.comps,
        at: this.at,
      }).publish();
      for (const one of accepted) this.note(one, 'published');
      await this.links();
      return this.outcome(published.snapshot, gone.map(nevra), published.record);
    } catch (error) {
      await incoming.close();
      throw this.unchanged(machineFault(error));
    }
  }

  /** What is published is published without them, and what is to leave a full disk can leave it. */
  private async links(): Promise<void> {
    await updatePublicSnapshots(this.context.layout, this.id).catch((thrown: unknown) => {
      const { message } = machineFault(thrown) as Error;
      this.context.say(`${this.id}: its public snapshots are not up to date: ${message}. The next publish puts them right`);
    });
  }

  /** What is wanted to leave, once. */
  private removals(trees: readonly Tree[]): readonly ListedPackage[] {
    const { remove } = this.change;
    if (remove.length === 0) return [];
    const found = new Map<string, ListedPackage>();
    const wanted = new Set(remove);
    for (const { table } of trees) for (const item of table) if (wanted.has(nevra(item))) found.set(nevra(item), item);
    const missing = remove.find((name) => !found.has(name));
    if (missing === undefined || this.change.mayBeGone === true) return [...found.values()];
    throw new MirrorError({
      code: 'NOT_PUBLISHED',
      message: `${this.id} does not publish ${JSON.stringify(missing.slice(0, 200))}`,
      remedy:
        'Nothing was changed. Packages are named as dnf prints them: name-version-release.architecture, with epoch: before the version where there is one.',
      exitCode: ExitCode.usage,
    });
  }

  /** Returns how large the files are for which there is room. */
  private async requireRoom(): Promise<ReadonlyMap<Offer, number>> {
    const { layout, definitions } = this.context;
    const sizes = new Map<Offer, number>();
    for (const offer of this.change.add) {
      const stat = lstatSync(offer.file, { throwIfNoEntry: false });
      if (stat?.isFile() === true) sizes.set(offer, stat.size);
    }
    // What the store has is not copied.
    const copied = [...sizes].filter(([{ checksum }]) => checksum === undefined).map(([, size]) => size);
    const bytes = copied.reduce((sum, size) => sum + size, 0);
    if (copied.length > 0) await requireRoom(layout, definitions.server, this.id, { bytes, files: copied.length });
    return sizes;
  }

  /** Copies all files. What cannot be a package is refused at once. */
  private async takeIn(incoming: Incoming, sizes: ReadonlyMap<Offer, number>): Promise<readonly Arrived[]> {
    const { add, component } = this.change;
    if (add.length > 0 && this.keys.length === 0 && !isDigestsOnly(component.codename)) throw this.noKeys();
    const arrivals = new Arrivals(this.store, incoming, sizes);
    const arrived: Arrived[] = [];
    let said = this.started;
    for (const [done, offer] of add.entries()) {
      const found = await arrivals.take(offer);
      if ('path' in found) arrived.push(found);
      else this.refuse(offer, found);
      if (Date.now() - said < SAY_EVERY) continue;
      said = Date.now();
      this.context.say(`${this.id}: ${done + 1} of ${add.length} files are copied`);
    }
    return arrived;
  }

  /** Which of the packages are to be published; what is known of the others is noted. */
  private async judge(arrived: readonly Arrived[], trees: readonly Tree[], snapshot: string): Promise<readonly Accepted[]> {
    const { layout } = this.context;
    const names = trees.map(({ name }) => name);
    const keys = isDigestsOnly(this.change.component.codename) ? undefined : this.keys;
    const unsigned = await unsignedOffers(layout, this.id, keys, arrived);
    const candidates: (Arrived & Candidate)[] = [];
    for (const one of arrived) {
      const found = unsigned.get(one) ?? treesFor(one.identity, names);
      if ('code' in found) this.refuse(one.offer, found, one);
      else candidates.push({ ...one, ...one.identity, file: one.offer.file, trees: found });
    }
    const twice = contradictions(candidates);
    const wanted = new Set(candidates.map(({ name }) => name));
    const present = new Map(trees.map(({ name, table }) => [name, new Present(name, table, wanted)]));
    const accepted: Accepted[] = [];
    const lost = new Set(readDamage(layout, this.id, snapshot).map(({ path }) => path));
    for (const one of candidates) {
      const other = twice.get(one);
      if (other === 'same') this.skip(one, 'it was given twice');
      else if (other !== undefined) this.refuse(one.offer, other, one);
      else {
        const judged = await this.verdicts(one, present, snapshot);
        if ('code' in judged) {
          this.refuse(one.offer, judged, one);
          continue;
        }
        const isLost = one.trees.some((tree) => {
          const place = judged.trees.includes(tree) ? undefined : present.get(tree)?.placeOf(one);
          return place !== undefined && lost.has(join(tree, place));
        });
        if (isLost) this.lost.push(judged);
        if (judged.trees.length === 0) this.skip(one, 'it is published already');
        else accepted.push(judged);
      }
    }
    return accepted;
  }

  /** Puts what came again into the store, and from there where it is missing. */
  private async bringBack(incoming: Incoming): Promise<void> {
    await incoming.commit();
    await new Mender(this.context.layout, this.store, dirname(incoming.temporary('link')), this.context.now).bringBack();
    for (const { offer } of this.lost) {
      const outcome = this.outcomes.get(offer);
      if (outcome?.result === 'skipped')
        this.outcomes.set(offer, { ...outcome, repaired: true, message: 'it is published already; its content was lost, and is back' });
    }
  }

  /** The package with the trees in which it is new, and its place there; or why it cannot be published. */
  private async verdicts(one: Arrived & Candidate, present: ReadonlyMap<string, Present>, snapshot: string): Promise<Accepted | Refusal> {
    const trees: string[] = [];
    const replaced: Replaced[] = [];
    const allowed = { downgrade: this.change.allowDowngrade === true, replacing: this.replacing };
    for (const tree of one.trees) {
      const verdict = (present.get(tree) as Present).judge(one, allowed);
      if (verdict === 'same') continue;
      if (verdict !== undefined && 'code' in verdict) return verdict;
      trees.push(tree);
      if (verdict === undefined) continue;
      const before = allowed.downgrade ? undefined : this.keptAs(one, tree);
      if (before !== undefined) return superseded(one, before.since, verdict.replaces.checksum.hex);
      replaced.push({ tree, item: verdict.replaces });
    }
    const places = trees.map((tree) => this.placeTaken(one, tree, replaced, snapshot));
    const folder = this.replacing && (await Promise.all(places)).includes(true) ? { folder: ownFolder(one) } : {};
    const accepted = { ...one, trees, replaced, ...folder };
    for (const tree of trees) {
      const refusal = await this.againstCarried(accepted, tree, snapshot);
      if (refusal !== undefined) return refusal;
    }
    return accepted;
  }

  /** The same content, where it was replaced before. */
  private keptAs({ sha256, identity }: Arrived, tree: string): KeptPackages[string] | undefined {
    const found = Object.entries(this.kept).find(
      ([path, kept]) => path.startsWith(`${tree}/`) && kept.sha256 === sha256 && kept.package === nevra(identity),
    );
    return found?.[1];
  }

  /** Whether another content has, or had, the place that a package gets unless it is told otherwise: also where that was lost. */
  private async placeTaken(
    one: Accepted | (Arrived & Candidate),
    tree: string,
    replaced: readonly Replaced[],
    snapshot: string,
  ): Promise<boolean> {
    const place = pathOf(tree, one.fileName);
    const kept = this.kept[join(tree, place)];
    if (kept !== undefined) return kept.sha256 !== one.sha256;
    if (replaced.some((other) => other.tree === tree && other.item.path === place)) return true;
    const file = join(this.context.layout.snapshots(this.id), snapshot, tree, place);
    return existsSync(file) && (await fileDigest(file, 'sha256')) !== one.sha256;
  }

  /** What stays without being listed once these are published: what they replace, and what was replaced before, unless it is served again. */
  private keptAfter(accepted: readonly Accepted[]): KeptPackages {
    const kept = new Map(Object.entries(this.kept));
    for (const { replaced } of accepted)
      for (const { tree, item } of replaced)
        kept.set(join(tree, item.path), {
          package: nevra(item),
          sha256: item.checksum.hex,
          size: item.size,
          since: this.at.toISOString(),
        });
    for (const { trees, fileName, folder } of accepted) for (const tree of trees) kept.delete(join(tree, pathOf(tree, fileName, folder)));
    return Object.fromEntries(kept);
  }

  /** Clients with superseded metadata still ask for a package that left: its place is free once its grace ends. */
  private async againstCarried(one: Accepted, tree: string, snapshot: string): Promise<Refusal | undefined> {
    const { layout } = this.context;
    const place = join(tree, pathOf(tree, one.fileName, one.folder));
    const file = join(layout.snapshots(this.id), snapshot, place);
    if (!existsSync(file) || (await fileDigest(file, 'sha256')) === one.sha256) return undefined;
    const until = readComponentRecord(layout, this.id, snapshot)?.carried[place];
    if (until !== undefined && Date.parse(until) <= this.at.getTime()) return undefined;
    return invalid(
      'PACKAGE_CHANGED',
      `${nevra(one)} was published with other content, which clients may ask for until ${until ?? 'its grace ends'}`,
      'A version is published once: build it anew with another release.',
    );
  }

  private refuse(offer: Offer, refusal: Refusal, arrived?: Arrived): void {
    this.outcomes.set(offer, { file: offer.file, ...(arrived === undefined ? {} : described(arrived)), result: 'refused', ...refusal });
  }

  private skip(one: Arrived & Candidate, message: string): void {
    this.outcomes.set(one.offer, { file: one.file, ...described(one), result: 'skipped', message });
  }

  private note(one: Accepted, result: 'published' | 'withheld'): void {
    const why = result === 'withheld' ? { message: 'another file was refused' } : {};
    const replaced = replacedBy(one);
    this.outcomes.set(one.offer, { file: one.file, ...described(one), result, trees: one.trees, ...present({ replaced }), ...why });
  }

  private outcome(
    snapshot: string | undefined,
    removed: readonly string[],
    { packages, bytes }: Pick<ComponentRecord, 'packages' | 'bytes'>,
  ): ChangeOutcome {
    const { codename, component } = this.change.component;
    return {
      id: this.id,
      publicPath: `${codename.publicPath}/${component}`,
      snapshot,
      files: this.change.add.map((offer) => this.outcomes.get(offer) as FileOutcome),
      removed,
      packages,
      bytes,
      seconds: (Date.now() - this.started) / 1000,
    };
  }

  private notPrepared(): MirrorError {
    return new MirrorError({
      code: 'NOT_PREPARED',
      message: `${this.id} is declared, and not there yet`,
      remedy: 'Deploy, or run mirrorctl prepare.',
      exitCode: ExitCode.environment,
    });
  }

  private noKeys(): MirrorError {
    return new MirrorError({
      code: 'NO_KEYS',
      message: `no key is declared that signs the packages of ${this.change.component.codename.id}`,
      remedy: 'Nothing was changed. Declare the public key of those who build them (keys of the codename or of its owner), and deploy.',
      exitCode: ExitCode.untrusted,
    });
  }

  /** The same with a remedy for a publish, which leaves nothing for the next run. */
  private unchanged(error: unknown): unknown {
    if (!(error instanceof MirrorError) || error.code !== 'DISK_FULL') return error;
    return new MirrorError({
      code: error.code,
      message: error.message,
      remedy:
        'Nothing was changed. Free space or enlarge the file system (mirrorctl retention plan says what goes when), then publish again.',
      exitCode: error.exitCode,
      cause: error,
    });
  }
}

/** What is served now, and what is kept, of a package that others of its name and version gave way to: where the first tree has it. */
function replacedBy({ replaced, fileName, folder, sha256: hex }: Accepted): FileOutcome['replaced'] {
  const [first] = replaced;
  if (first === undefined) return undefined;
  const { tree, item } = first;
  return {
    served: { sha256: hex, path: join(tree, pathOf(tree, fileName, folder)) },
    kept: { sha256: item.checksum.hex, path: join(tree, item.path) },
  };
}

function described({ identity, sha256: hex }: Arrived): Pick<FileOutcome, 'package' | 'sha256'> {
  return { package: nevra(identity), sha256: hex };
}
