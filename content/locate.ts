/** Packages that lists ask for, in what this mirror has copied. */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { RepositoryDefinition } from '../desired-state/definitions';
import { MirrorError } from '../desired-state/errors';
import { checksumKey } from '../rpm-metadata/checksum';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { askedName, type AskedPackage } from '../starlingx/asked';
import { fileDigest } from './files';
import type { Layout } from './layout';
import { readPackageList } from './package-list';
import type { RefusedBy, RefusedHere } from './refused';
import { readRecord } from './record';
import { currentSnapshot, snapshotsOf } from './snapshot';

/** A package that is asked for, and where it is. */
export interface Located {
  readonly item: ListedPackage;
  /** Id of the repository that has it. */
  readonly repository: string;
  /** Its snapshot's directory. */
  readonly tree: string;
}

/** Whether one of the keys that the lists declare has signed the package at a path. */
export type IsSigned = (item: ListedPackage, path: string) => Promise<boolean>;

export interface Locations {
  /** File name as it is asked for → what was found. */
  readonly found: ReadonlyMap<string, Located>;
  /** File name as it is asked for → who refuses what was found of that name. */
  readonly refused: ReadonlyMap<string, RefusedHere>;
  /** Of names of which the version was not found: the versions that are here. */
  readonly versions: ReadonlyMap<string, readonly string[]>;
  /** What whoever runs it should know: of one name there are several packages, or a repository cannot be looked at. */
  readonly remarks: readonly string[];
}

/**
 * The order in which repositories are asked: those whose upstream signs something before those that have digests only, then by id. The first that
 * has a package counts.
 */
export function inOrder(repositories: readonly RepositoryDefinition[]): readonly RepositoryDefinition[] {
  const isUnsigned = ({ trust }: RepositoryDefinition): number => Number(trust.mode === 'digestsOnly');
  return [...repositories].sort((a, b) => isUnsigned(a) - isUnsigned(b) || (a.id < b.id ? -1 : 1));
}

/**
 * Looks for packages in the copied repositories: in what they publish now, then, for what none of these has, in older snapshots, the newest first.
 *
 * @param refused what may not be published is not found
 * @param isSigned judges what has a URL and no recorded digest, and is in a repository of which nothing is signed
 */
export async function locate(
  layout: Layout,
  repositories: readonly RepositoryDefinition[],
  wanted: readonly AskedPackage[],
  refused: RefusedBy,
  isSigned?: IsSigned,
): Promise<Locations> {
  const search = new Search(layout, wanted, refused, isSigned);
  const ordered = inOrder(repositories);
  for (const definition of ordered) {
    const { id } = definition;
    const current = await currentSnapshot(layout, id).catch((error: unknown) => search.unreadable(id, error));
    if (current !== undefined) await search.look(definition, current);
  }
  for (const definition of ordered) {
    if (search.isDone()) break;
    for (const snapshot of await olderSnapshots(layout, definition)) if (!search.isDone()) await search.look(definition, snapshot);
  }
  return search.outcome();
}

/**
 * Those that may have what the published one has not, the newest first. Lists of packages are long: of an accumulated copy only those are read from
 * which the next one took something away, since all others are contained in a later one.
 */
async function olderSnapshots(layout: Layout, { id, view }: RepositoryDefinition): Promise<readonly string[]> {
  const names = [...(await snapshotsOf(layout, id))].sort();
  const current = await currentSnapshot(layout, id).catch(() => undefined);
  const isContained = (name: string, next: string | undefined): boolean => {
    if (view === 'verbatim' || next === undefined) return false;
    const record = readRecord(layout, id, name);
    // What upstream signed is of when the copy was verbatim.
    return record?.signedBy !== undefined && (readRecord(layout, id, next)?.packages ?? 0) >= record.packages;
  };
  return names.filter((name, i) => name !== current && !isContained(name, names[i + 1])).reverse();
}

/** Whether a package has this SHA-256; its metadata may name it by another checksum. False where it is not there. */
export async function hasDigest({ checksum: { algorithm, hex } }: ListedPackage, path: string, sha256: string): Promise<boolean> {
  if (algorithm === 'sha256') return hex === sha256;
  return existsSync(path) && (await fileDigest(path, 'sha256')) === sha256;
}

class Search {
  private readonly found = new Map<string, Located>();
  private readonly byName = new Map<string, AskedPackage>();
  private readonly names: ReadonlySet<string>;
  private readonly versions = new Map<string, Set<string>>();
  private readonly refused = new Map<string, RefusedHere>();
  private readonly remarks: string[] = [];

  /** Digests of those that none of the keys has signed. */
  private readonly unsigned = new Set<string>();

  constructor(
    private readonly layout: Layout,
    wanted: readonly AskedPackage[],
    private readonly refusals: RefusedBy,
    private readonly isSigned: IsSigned | undefined,
  ) {
    for (const one of wanted) this.byName.set(askedName(one), one);
    this.names = new Set(wanted.map(({ name }) => name));
  }

  isDone(): boolean {
    return this.found.size === this.byName.size;
  }

  unreadable(id: string, error: unknown): undefined {
    if (!(error instanceof MirrorError)) throw error;
    this.remarks.push(`${id} was not looked at: ${error.message}`);
  }

  async look({ id: repository, trust }: RepositoryDefinition, snapshot: string): Promise<void> {
    const tree = join(this.layout.snapshots(repository), snapshot);
    for (const item of readPackageList(this.layout.record(repository, snapshot, 'packages')) ?? []) {
      if (!this.names.has(item.name)) continue;
      this.versions.set(item.name, (this.versions.get(item.name) ?? new Set()).add(`${item.version}-${item.release}.${item.arch}`));
      const asked = this.byName.get(askedName(item));
      if (asked === undefined) continue;
      const refusal = this.refusals.get(checksumKey(item.checksum));
      if (refusal !== undefined) {
        this.refused.set(asked.file, refusal);
        continue;
      }
      const before = this.found.get(asked.file);
      if (before !== undefined) this.compare(asked, before, item, repository);
      else if (!(await this.isMeant(asked, item, repository, tree))) continue;
      else if (trust.mode !== 'digestsOnly' || (await this.isTrusted(asked, item, repository, tree)))
        this.found.set(asked.file, { item, repository, tree });
    }
  }

  /** Whether it is here, and is the one whose digest was recorded. */
  private async isMeant({ file, sha256 }: AskedPackage, item: ListedPackage, repository: string, tree: string): Promise<boolean> {
    const path = join(tree, item.path);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return false;
    if (sha256 === undefined) return true;
    const isRecorded = await hasDigest(item, path, sha256);
    if (!isRecorded) this.remark(`${file} of ${repository} has another digest than is recorded: it is not taken from there`);
    return isRecorded;
  }

  /** The keys of lists are for what has a URL, wherever it is found: where nobody signed for it, a signature in it must. */
  private async isTrusted({ file, url, sha256 }: AskedPackage, item: ListedPackage, repository: string, tree: string): Promise<boolean> {
    if (this.isSigned === undefined || url === undefined || sha256 !== undefined) return true;
    const key = checksumKey(item.checksum);
    if (this.unsigned.has(key)) return false;
    if (await this.isSigned(item, join(tree, item.path))) return true;
    this.unsigned.add(key);
    this.remark(`${file} of ${repository} is signed by none of the keys that these lists declare: it is not taken from there`);
    return false;
  }

  /** The same file name does not say the same content: the epoch is not in it, and versions get built twice. */
  private compare({ file }: AskedPackage, { item, repository }: Located, other: ListedPackage, where: string): void {
    const isSame = item.checksum.algorithm !== other.checksum.algorithm || checksumKey(item.checksum) === checksumKey(other.checksum);
    if (isSame && nevra(item) === nevra(other)) return;
    if (where === repository && item.path === other.path) return;
    this.remark(`${file} is taken from ${repository} (${nevra(item)}); ${where} has other content of that name (${nevra(other)})`);
  }

  private remark(text: string): void {
    if (!this.remarks.includes(text)) this.remarks.push(text);
  }

  outcome(): Locations {
    const open = new Set([...this.byName.values()].filter(({ file }) => !this.found.has(file)).map(({ name }) => name));
    const versions = [...this.versions].filter(([name]) => open.has(name)).map(([name, some]) => [name, [...some].sort()] as const);
    return { found: this.found, refused: this.refused, versions: new Map(versions), remarks: this.remarks };
  }
}
