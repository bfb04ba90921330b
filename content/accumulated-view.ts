import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RepositoryDefinition } from '../desired-state/definitions';
import { readTags } from '../rpm-metadata/accumulate/index-file';
import type { Source, SourceFile } from '../rpm-metadata/accumulate/merge';
import { writeAccumulated } from '../rpm-metadata/accumulate/write';
import { selectPackages } from '../rpm-metadata/filter';
import type { ListedPackage } from '../rpm-metadata/primary';
import { recordsToKeep } from '../rpm-metadata/records';
import type { RepomdRecord } from '../rpm-metadata/repomd';
import type { Signer } from '../signatures/sign';
import type { Asked } from './asked';
import { signedIndex, type SnapshotIndex } from './build-snapshot';
import { listed } from './compare-contents';
import { accumulatedContents, type Contents } from './contents';
import type { Layout } from './layout';
import type { Published } from './published';
import type { Problem } from './record';
import { isRefused, readRefused, type Refused } from './refused';
import { localFile, type SideRecords, sideRecords } from './side-records';
import { NEW, type TreeFile } from './snapshot';
import type { Incoming } from './store';
import type { UpstreamIndex } from './upstream-index';
import type { View } from './views';

export interface AccumulatedViewOptions {
  readonly definition: RepositoryDefinition;
  /** What lists ask for passes the filter. */
  readonly asked: Asked;
  readonly layout: Layout;
  readonly incoming: Incoming;
  readonly index: UpstreamIndex;
  readonly published: Published | undefined;
  readonly signer: () => Promise<Signer>;
  readonly at: Date;
}

/** What is published, and whatever upstream has beside it, under an index of the mirror's own. */
export class AccumulatedView implements View {
  private readonly plan;
  /** Beside the snapshots, on the same file system; each run begins by removing what the last one left there. */
  private readonly work: string;
  private readonly refused: Refused;
  private side: SideRecords = { records: [], merged: {}, problems: [] };

  constructor(private readonly options: AccumulatedViewOptions) {
    this.plan = recordsToKeep(options.index.repomd.records);
    this.refused = readRefused(options.layout, options.definition.id);
    this.work = join(options.layout.repository(options.definition.id), `${NEW}metadata`);
  }

  get required(): readonly RepomdRecord[] {
    return this.plan.rewritten;
  }

  get optional(): readonly RepomdRecord[] {
    const { updateinfo, comps, modules, kept } = this.plan;
    return [...updateinfo, ...(comps === undefined ? [] : [comps]), ...modules, ...kept];
  }

  contents(upstream: readonly ListedPackage[], before: readonly ListedPackage[], without: ReadonlySet<object>): Contents {
    const { definition, asked } = this.options;
    const there = without.size === 0 ? upstream : upstream.filter((item) => !without.has(item));
    const stay = without.size === 0 ? before : before.filter((item) => !without.has(item));
    const offered = selectPackages(there, definition.filter, (item) => asked.of(item).length > 0).filter(
      (item) => !isRefused(this.refused, item),
    );
    return accumulatedContents(offered, stay, definition);
  }

  async prepare(without: ReadonlyMap<RepomdRecord, Problem>): Promise<readonly Problem[]> {
    await mkdir(this.work, { recursive: true });
    const { published, index, incoming } = this.options;
    this.side = await sideRecords({ plan: this.plan, published, index, incoming, work: this.work, without });
    return this.side.problems;
  }

  /** Nothing: one bad file does not hold up the others. */
  holds(): undefined {
    return undefined;
  }

  files(): readonly TreeFile[] {
    return [];
  }

  async write(tree: string, { packages, taken }: Contents): Promise<SnapshotIndex> {
    const { definition, published, index, signer, at } = this.options;
    const isThere = listed(packages);
    const catalogue = join(this.work, 'catalogue');
    const written = await writeAccumulated({
      previous: published === undefined ? undefined : { repodata: join(published.tree, 'repodata'), catalogue: published.catalogue },
      sources: [this.source()],
      accept: listed(taken),
      keep: isThere,
      records: this.side.records,
      tags: readTags(index.bytes, index.url),
      directory: join(tree, 'repodata'),
      catalogue,
      revision: Math.floor(at.getTime() / 1000),
    });
    // A package that a verbatim upstream had at two places is listed once.
    const digests = new Set(packages.map(({ checksum }) => checksum.hex));
    if (written.packages.length !== digests.size || ![...written.packages].every(isThere))
      throw new Error(
        `${definition.id}: the merged metadata lists ${written.packages.length} packages, not the ${digests.size} that are there`,
      );
    return {
      ...(await signedIndex(written, await signer())),
      catalogue,
      merged: this.side.merged,
    };
  }

  private source(): Source {
    const of = (type: string): SourceFile | undefined => {
      const record = this.plan.rewritten.find((candidate) => candidate.type === type);
      return record === undefined ? undefined : localFile(record, this.options);
    };
    return { primary: of('primary') as SourceFile, filelists: of('filelists'), other: of('other') };
  }
}
