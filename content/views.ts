import { isWaived, type RepositoryDefinition } from '../desired-state/definitions';
import type { MirrorError } from '../desired-state/errors';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { RepomdRecord } from '../rpm-metadata/repomd';
import type { SnapshotIndex } from './build-snapshot';
import { type Contents, verbatimContents } from './contents';
import { inOneSentence } from './problems';
import type { Problem } from './record';
import type { TreeFile } from './snapshot';
import type { UpstreamIndex } from './upstream-index';

/** How upstream's content becomes what clients see. */
export interface View {
  /** The metadata files that it cannot do without. */
  readonly required: readonly RepomdRecord[];
  /** Those without which it goes on. */
  readonly optional: readonly RepomdRecord[];
  /** What the next snapshot holds, `without` some of upstream's packages. */
  contents(upstream: readonly ListedPackage[], before: readonly ListedPackage[], without: ReadonlySet<object>): Contents;
  /** Makes what takes no list of packages, `without` files that could not be had. Returns what could not be used. */
  prepare(without: ReadonlyMap<RepomdRecord, Problem>): Promise<readonly Problem[]>;
  /** Why nothing is published while there are such problems; undefined where the rest is. */
  holds(problems: readonly Problem[], listed: number): MirrorError | undefined;
  /** Files of the snapshot beside its packages, its index and what `write` makes. */
  files(): readonly TreeFile[];
  /** Makes the index below `tree`. */
  write(tree: string, contents: Contents): Promise<SnapshotIndex>;
}

/** Upstream's metadata byte for byte, and all that it lists, or nothing. */
export class VerbatimView implements View {
  constructor(
    private readonly definition: RepositoryDefinition,
    private readonly index: UpstreamIndex,
  ) {}

  readonly optional = [];

  get required(): readonly RepomdRecord[] {
    return this.index.repomd.records;
  }

  contents(upstream: readonly ListedPackage[], before: readonly ListedPackage[], without: ReadonlySet<object>): Contents {
    const contents = verbatimContents(upstream, before, this.definition);
    return without.size === 0 ? contents : { ...contents, packages: contents.packages.filter((item) => !without.has(item)) };
  }

  prepare(): Promise<readonly Problem[]> {
    return Promise.resolve([]);
  }

  holds(problems: readonly Problem[], listed: number): MirrorError | undefined {
    // A package with other content cannot be left out of an index that lists it: clients that have the former one would keep failing.
    const changed = problems.filter(({ code }) => code === 'PACKAGE_CHANGED');
    const holding = isWaived(this.definition, 'incomplete') ? changed : problems;
    if (holding.length === 0) return undefined;
    return inOneSentence(this.definition.id, holding, listed, 'a verbatim view has all or nothing: the previous snapshot stays');
  }

  files(): readonly TreeFile[] {
    return [...new Map(this.required.map(({ path, checksum }) => [path, { path, checksum }])).values()];
  }

  write(): Promise<SnapshotIndex> {
    const { bytes, signature, key } = this.index;
    return Promise.resolve({ repomd: bytes, signature, key, made: [] });
  }
}
