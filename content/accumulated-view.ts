import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RepositoryDefinition } from '../desired-state/definitions';
import type { ExtraRecord } from '../rpm-metadata/accumulate/records';
import { readTags } from '../rpm-metadata/accumulate/index-file';
import type { Source, SourceFile } from '../rpm-metadata/accumulate/merge';
import { writeAccumulated } from '../rpm-metadata/accumulate/write';
import { type CompsMerge, mergeComps } from '../rpm-metadata/comps';
import type { MetadataSource } from '../rpm-metadata/elements';
import { selectPackages } from '../rpm-metadata/filter';
import { mergeModules } from '../rpm-metadata/modules';
import type { ListedPackage } from '../rpm-metadata/primary';
import { recordsToKeep } from '../rpm-metadata/records';
import type { RepomdRecord } from '../rpm-metadata/repomd';
import { mergeUpdateinfo } from '../rpm-metadata/updateinfo';
import type { Signer } from '../signatures/sign';
import type { SnapshotIndex } from './build-snapshot';
import { accumulatedContents, type Contents } from './contents';
import type { Layout } from './layout';
import { metadataOf, type Published } from './published';
import { NEW, type TreeFile } from './snapshot';
import type { Incoming } from './store';
import type { UpstreamIndex } from './upstream-index';
import type { View } from './views';

export interface AccumulatedViewOptions {
  readonly definition: RepositoryDefinition;
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

  constructor(private readonly options: AccumulatedViewOptions) {
    this.plan = recordsToKeep(options.index.repomd.records);
  }

  get records(): readonly RepomdRecord[] {
    const { rewritten, updateinfo, comps, modules, kept } = this.plan;
    return [...rewritten, ...updateinfo, ...(comps === undefined ? [] : [comps]), ...modules, ...kept];
  }

  contents(upstream: readonly ListedPackage[], before: readonly ListedPackage[], without: ReadonlySet<object>): Contents {
    const { definition } = this.options;
    const there = without.size === 0 ? upstream : upstream.filter((item) => !without.has(item));
    return accumulatedContents(selectPackages(there, definition.filter), before, definition);
  }

  /** Nothing: one bad file does not hold up the others. */
  holds(): undefined {
    return undefined;
  }

  files(): readonly TreeFile[] {
    return [];
  }

  async write(tree: string, { packages, taken }: Contents): Promise<SnapshotIndex> {
    const { definition, layout, published, index, signer, at } = this.options;
    // Beside the snapshots, on the same file system; the next run removes what this one leaves.
    const work = join(layout.repository(definition.id), `${NEW}metadata`);
    await mkdir(work);
    const places = new Set([...taken].map(placeOf));
    const all = new Set(packages.map(placeOf));
    const catalogue = join(work, 'catalogue');
    const written = await writeAccumulated({
      previous: published === undefined ? undefined : { repodata: join(published.tree, 'repodata'), catalogue: published.catalogue },
      sources: [this.source()],
      accept: (entry) => places.has(placeOf(entry)),
      keep: (entry) => all.has(placeOf(entry)),
      records: await this.merged(work),
      tags: readTags(index.bytes, index.url),
      directory: join(tree, 'repodata'),
      catalogue,
      revision: Math.floor(at.getTime() / 1000),
    });
    // A package that a verbatim upstream had at two places is listed once.
    const digests = new Set(packages.map(({ checksum }) => checksum.hex));
    if (written.packages.length !== digests.size || ![...written.packages].every((entry) => all.has(placeOf(entry))))
      throw new Error(
        `${definition.id}: the merged metadata lists ${written.packages.length} packages, not the ${digests.size} that are there`,
      );
    const keys = await signer();
    return {
      repomd: written.repomd,
      signature: Buffer.from(await keys.sign(written.repomd)),
      key: Buffer.from(keys.identity.publicKeys),
      signedBy: keys.identity.digest,
      made: written.records.map(({ name }) => `repodata/${name}`),
      catalogue,
      work,
    };
  }

  private source(): Source {
    const of = (type: string): SourceFile | undefined => {
      const record = this.plan.rewritten.find((candidate) => candidate.type === type);
      return record === undefined ? undefined : this.local(record);
    };
    return { primary: of('primary') as SourceFile, filelists: of('filelists'), other: of('other') };
  }

  /** Advisories, groups and modules of upstream and of what is published; the others as upstream has them. */
  private async merged(work: string): Promise<readonly ExtraRecord[]> {
    const { plan } = this;
    const { published } = this.options;
    const before = published === undefined ? new Map<string, MetadataSource>() : await metadataOf(published.tree);
    const records: ExtraRecord[] = plan.kept.map((record) => ({
      type: record.type,
      name: record.path.slice('repodata/'.length),
      from: this.local(record),
    }));
    const kinds = [
      ['updateinfo', 'updateinfo.xml.gz', mergeUpdateinfo, ['updateinfo'], plan.updateinfo],
      ['group_gz', 'comps.xml.gz', mergeComps, ['group_gz', 'group'], plan.comps === undefined ? [] : [plan.comps]],
      ['modules', 'modules.yaml.gz', mergeModules, ['modules'], plan.modules],
    ] as const;
    for (const [type, name, merge, types, upstream] of kinds) {
      const previous = types.map((wanted) => before.get(wanted)).find((source) => source !== undefined);
      if (previous === undefined && upstream.length === 0) continue;
      const output = join(work, name);
      const plain = join(work, 'comps.xml');
      const task: CompsMerge = { previous, upstream: upstream.map((record) => this.local(record)), output, plain };
      await merge(task);
      records.push({ type, name, from: { path: output, what: output } });
      if (type === 'group_gz') records.push({ type: 'group', name: 'comps.xml', from: { path: plain, what: plain } });
    }
    return records;
  }

  private local(record: RepomdRecord): MetadataSource {
    const { incoming, index } = this.options;
    return { path: incoming.locate(record.checksum), what: (record.base ?? index.base) + record.href, openSize: record.openSize };
  }
}

function placeOf({ path, checksum }: Pick<ListedPackage, 'path' | 'checksum'>): string {
  return `${path}\t${checksum.hex}`;
}
