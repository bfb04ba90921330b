import { existsSync, linkSync, mkdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { describePackages } from '../rpm-metadata/accumulate/describe';
import type { Source } from '../rpm-metadata/accumulate/merge';
import type { ExtraRecord } from '../rpm-metadata/accumulate/records';
import type { PackageTable } from '../rpm-metadata/accumulate/table';
import { type Accumulated, writeAccumulated } from '../rpm-metadata/accumulate/write';
import { mergeComps } from '../rpm-metadata/comps';
import type { MetadataSource } from '../rpm-metadata/elements';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Signer } from '../signatures/sign';
import { carrySuperseded, publishBuilt } from './build-snapshot';
import { describeChanges, recordChanges } from './change-records';
import { packagesFolder, SOURCE } from '../desired-state/mos-scheme';
import {
  type ComponentRecord,
  countsOf,
  type KeptPackages,
  readComponentRecord,
  type Tree,
  writeComponentRecord,
} from './component-record';
import { readDamage, writeDamage } from './damage';
import type { Layout } from './layout';
import type { Arrived } from './offered';
import { metadataOf } from './published';
import { type Candidate, type Listed, pathOf } from './publish-rules';
import { freeName, GRACE_SECONDS, NEW, TreeBuilder } from './snapshot';
import { type Incoming, Store } from './store';

/** A package that gives way to another one of its name and version. */
export interface Replaced {
  readonly tree: string;
  readonly item: Listed;
}

/** A package that is going to be in some trees, and what it replaces there. */
export type Accepted = Arrived & Candidate & { readonly replaced: readonly Replaced[] };

/** What the next snapshot of a component is made of. */
export interface Plan {
  readonly layout: Layout;
  readonly id: string;
  readonly keyFile: string;
  readonly signer: () => Promise<Signer>;
  readonly incoming: Incoming;
  /** The published one. */
  readonly snapshot: string;
  readonly trees: readonly Tree[];
  readonly accepted: readonly Accepted[];
  /** What leaves the metadata. */
  readonly gone: readonly Listed[];
  /** What stays beside the metadata: it was replaced, be it now. */
  readonly kept: KeptPackages;
  /** See `Change`. */
  readonly comps: string | null | undefined;
  readonly at: Date;
}

/** What says which file of the store is meant. */
type Stored = Pick<ListedPackage, 'checksum' | 'size'>;

const LISTS = ['primary', 'filelists', 'other'];
const GROUPS = ['group', 'group_gz'];

/** Builds the next snapshot beside the published one, brings it to disk by one flush, and publishes it by one rename. */
export class NextSnapshot {
  private readonly id: string;
  private readonly store: Store;
  private readonly former: string;
  /** On the file system of the content; the next run removes what is left there. */
  private readonly work: string;
  private readonly lost: ReadonlySet<string>;
  private readonly own = new Set<string>();
  private readonly index: Record<string, string> = {};

  constructor(private readonly plan: Plan) {
    const { layout } = plan;
    this.id = plan.id;
    this.store = new Store(layout.store);
    this.former = join(layout.snapshots(this.id), plan.snapshot);
    this.work = join(layout.repository(this.id), `${NEW}metadata`);
    this.lost = new Set(readDamage(layout, this.id, plan.snapshot).map(({ path }) => path));
  }

  async publish(): Promise<{ readonly snapshot: string; readonly record: ComponentRecord }> {
    const { layout } = this.plan;
    const { id, plan } = this;
    await mkdir(this.work, { recursive: true });
    const source = await this.describe();
    const groups = await this.groups();
    const builder = await TreeBuilder.start(this.store, layout, id, plan.at);
    const tables: Tree[] = [];
    const digests: string[] = [];
    for (const tree of plan.trees) {
      const table = await this.tree(builder, tree, source, groups);
      tables.push({ name: tree.name, table });
      digests.push(`${tree.name} ${this.index[`${tree.name}/repodata/repomd.xml`]}`);
    }
    const { keyFile } = this.plan;
    this.carry(builder, keyFile);
    digests.push(`${keyFile} ${this.index[keyFile]}`);
    for (const [place, { sha256: hex, size }] of Object.entries(plan.kept)) {
      const item = { checksum: { algorithm: 'sha256' as const, hex }, size };
      if (!this.link(builder, place, item)) await this.regain(builder, place, item);
    }
    const before = readComponentRecord(layout, id, plan.snapshot);
    const superseded = { tree: this.former, carried: before?.carried };
    const carried = await carrySuperseded(builder, superseded, this.own, { at: plan.at, graceSeconds: GRACE_SECONDS });
    const kept = Object.keys(plan.kept).length === 0 ? {} : { kept: plan.kept };
    const counts = countsOf(tables);
    const record = { version: 1 as const, publishedAt: plan.at.toISOString(), ...counts, index: this.index, carried, ...kept };
    const snapshot = await freeName(layout, id, sha256(digests.join('\n')), plan.at);
    await this.writeRecords(snapshot, record);
    await this.noteChanges(snapshot, source);
    await publishBuilt(layout, this.plan.incoming, { id, snapshot, built: builder.directory });
    // Of superseded snapshots nobody asks for them, and they are large.
    for (const { name } of plan.trees) await rm(layout.treeCatalogue(id, plan.snapshot, name), { force: true });
    return { snapshot, record };
  }

  /** The metadata of what is new, as createrepo_c writes it. */
  private async describe(): Promise<Source | undefined> {
    const { accepted } = this.plan;
    if (accepted.length === 0) return undefined;
    const directory = join(this.plan.layout.temporary(this.id), 'describe');
    await mkdir(directory, { recursive: true });
    return describePackages(
      accepted.map(({ path, fileName, trees, folder }) => ({ file: path, path: pathOf(trees[0] as string, fileName, folder) })),
      directory,
    );
  }

  /** The groups that are to be published instead of the present ones, as metadata; undefined where those stay. */
  private async groups(): Promise<readonly ExtraRecord[] | undefined> {
    const { comps } = this.plan;
    if (comps === undefined) return undefined;
    if (comps === null) return [];
    const output = join(this.work, 'comps.xml.gz');
    const plain = join(this.work, 'comps.xml');
    await mergeComps({ previous: undefined, upstream: [{ path: comps, what: comps, openSize: undefined }], output, plain });
    return [
      { type: 'group', name: 'comps.xml', from: { path: plain, what: comps } },
      { type: 'group_gz', name: 'comps.xml.gz', from: { path: output, what: comps } },
    ];
  }

  /** Builds one tree; what it has then is returned. */
  private async tree(
    builder: TreeBuilder,
    { name, table }: Tree,
    source: Source | undefined,
    groups: readonly ExtraRecord[] | undefined,
  ): Promise<PackageTable> {
    const { accepted, gone } = this.plan;
    builder.folder(`${name}/${packagesFolder(name)}`);
    builder.folder(`${name}/repodata`);
    const leaving = new Set(gone.map(({ checksum }) => checksum.hex));
    let left = 0;
    for (const item of table) {
      const place = `${name}/${item.path}`;
      if (leaving.has(item.checksum.hex)) left++;
      // There are many: one turn of the loop each would take longer than the links.
      else if (!this.link(builder, place, item)) await this.regain(builder, place, item);
    }
    const added = accepted.filter(({ trees }) => trees.includes(name));
    for (const { fileName, folder, sha256: hex } of added)
      this.add(builder, `${name}/${pathOf(name, fileName, folder)}`, this.plan.incoming.locate({ algorithm: 'sha256', hex }), hex);
    if (added.length === 0 && left === 0 && (groups === undefined || name === SOURCE)) return this.unchanged(builder, { name, table });
    const paths = new Set(added.map(({ fileName, folder }) => pathOf(name, fileName, folder)));
    const { layout } = this.plan;
    const written = await writeAccumulated({
      previous: { repodata: join(this.former, name, 'repodata'), catalogue: layout.treeCatalogue(this.id, this.plan.snapshot, name) },
      sources: source === undefined || added.length === 0 ? [] : [source],
      accept: ({ path }) => paths.has(path),
      keep: left === 0 ? undefined : ({ checksum }) => !leaving.has(checksum.hex),
      records: [...(await this.otherRecords(name, groups))],
      directory: join(builder.directory, name, 'repodata'),
      catalogue: join(this.work, `${name}.catalogue`),
      revision: Math.floor(this.plan.at.getTime() / 1000),
    });
    const expected = table.length - left + added.length;
    if (written.packages.length !== expected)
      throw new Error(`${this.id}: the metadata of ${name} lists ${written.packages.length} packages, not the ${expected} that are there`);
    await this.writeIndex(builder, name, written);
    return written.packages;
  }

  /** Links a package that stays: false where somebody deleted it in the store. */
  private link(builder: TreeBuilder, place: string, { checksum }: Stored): boolean {
    this.own.add(place);
    if (this.lost.has(place)) return true;
    try {
      builder.add({ path: place, checksum });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return false;
    }
  }

  /** The same from the published tree, where it may be whole. */
  private async regain(builder: TreeBuilder, place: string, { checksum, size }: Stored): Promise<void> {
    await this.store.regain(checksum, size, join(this.former, place));
    builder.add({ path: place, checksum });
  }

  private add(builder: TreeBuilder, path: string, found: string, hex: string): void {
    builder.add({ path, checksum: { algorithm: 'sha256', hex } }, found);
    this.own.add(path);
  }

  /** A tree of which nothing changed keeps its metadata. */
  private async unchanged(builder: TreeBuilder, { name, table }: Tree): Promise<PackageTable> {
    const { layout } = this.plan;
    for (const file of ['repomd.xml', 'repomd.xml.asc']) this.carry(builder, `${name}/repodata/${file}`);
    for (const { path } of (await metadataOf(join(this.former, name))).values()) {
      const file = `${name}/repodata/${path.slice(path.lastIndexOf('/') + 1)}`;
      builder.carry(this.former, file);
      this.own.add(file);
    }
    const catalogue = layout.treeCatalogue(this.id, this.plan.snapshot, name);
    if (existsSync(catalogue)) linkSync(catalogue, join(this.work, `${name}.catalogue`));
    return table;
  }

  /** Takes over a file that every snapshot has of its own. */
  private carry(builder: TreeBuilder, path: string): void {
    builder.carry(this.former, path);
    this.own.add(path);
    this.index[path] = sha256(readFileSync(join(this.former, path)));
  }

  private async otherRecords(tree: string, groups: readonly ExtraRecord[] | undefined): Promise<readonly ExtraRecord[]> {
    const replaced = groups === undefined || tree === SOURCE ? [] : GROUPS;
    const kept = [...(await metadataOf(join(this.former, tree)))].filter(([type]) => ![...LISTS, ...replaced].includes(type));
    const records = kept.map(([type, from]) => ({ type, name: from.path.slice(from.path.lastIndexOf('/') + 1), from }));
    return replaced.length === 0 ? records : [...records, ...(groups as readonly ExtraRecord[])];
  }

  private async writeIndex(builder: TreeBuilder, tree: string, { repomd, records }: Accumulated): Promise<void> {
    const signer = await this.plan.signer();
    const files = [
      ['repomd.xml', repomd],
      ['repomd.xml.asc', Buffer.from(await signer.sign(repomd))],
    ] as const;
    for (const [file, bytes] of files) {
      const path = `${tree}/repodata/${file}`;
      builder.add({ path, bytes });
      this.own.add(path);
      this.index[path] = sha256(bytes);
    }
    for (const { name } of records) this.own.add(`${tree}/repodata/${name}`);
  }

  private async writeRecords(snapshot: string, record: ComponentRecord): Promise<void> {
    const { layout } = this.plan;
    mkdirSync(dirname(layout.record(this.id, snapshot, 'component')), { recursive: true });
    writeComponentRecord(layout, this.id, snapshot, record);
    const lost = readDamage(layout, this.id, this.plan.snapshot).filter(({ path }) => this.own.has(path));
    await writeDamage(layout, this.id, snapshot, lost);
    for (const { name } of this.plan.trees) {
      const catalogue = join(this.work, `${name}.catalogue`);
      if (existsSync(catalogue)) await rename(catalogue, layout.treeCatalogue(this.id, snapshot, name));
    }
  }

  /** Of packages with other names nothing changed. */
  private async noteChanges(snapshot: string, source: Source | undefined): Promise<void> {
    const { id, plan } = this;
    const names = new Set([...plan.accepted, ...plan.gone].map(({ name }) => name));
    const leaving = new Set(plan.gone.map(nevra));
    const before = new Map<string, ListedPackage>();
    const others = new Map<string, MetadataSource>();
    for (const { name: tree, table } of plan.trees) {
      for (const item of table) if (names.has(item.name)) before.set(nevra(item), item);
      const other = (await metadataOf(join(this.former, tree))).get('other');
      if (other !== undefined) others.set(tree, other);
    }
    const added = plan.accepted.map((one) => ({ ...one, checksum: { algorithm: 'sha256' as const, hex: one.sha256 } }));
    const after = [...[...before.values()].filter((item) => !leaving.has(nevra(item))), ...added];
    const change = await describeChanges(
      { id, at: plan.at, from: plan.snapshot, to: snapshot },
      { packages: [...before.values()], updateinfo: [], other: [...others.values()] },
      { packages: after, updateinfo: [], other: source?.other === undefined ? [] : [source.other] },
    );
    await recordChanges(this.plan.layout, id, change);
  }
}
