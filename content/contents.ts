import { isWaived, type RepositoryDefinition, waiverFor } from '../desired-state/definitions';
import { ExitCode } from '../desired-state/errors';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { ByNevra } from './by-nevra';
import type { Problem } from './record';

/** What the next snapshot holds, if all of it can be had. */
export interface Contents {
  /** Once per path. */
  readonly packages: readonly ListedPackage[];
  /** Of these, upstream's; the others stay from what is published. */
  readonly taken: ReadonlySet<ListedPackage>;
  /** Upstream's that are not taken: another package has their name or place. */
  readonly problems: readonly Problem[];
  /** Same name and version under another kind of checksum: whether they are the same shows when both are here. */
  readonly undecided: readonly { readonly taken: ListedPackage; readonly published: ListedPackage }[];
}

type Rules = Pick<RepositoryDefinition, 'waivers'>;

/** Exactly what upstream lists. */
export function verbatimContents(
  upstream: readonly ListedPackage[],
  published: readonly ListedPackage[] | undefined,
  rules: Rules,
): Contents {
  const problems: Problem[] = [];
  const undecided: { taken: ListedPackage; published: ListedPackage }[] = [];
  if (!isWaived(rules, 'changedPackages')) {
    const before = new ByNevra(published);
    const seen = new ByNevra<ListedPackage>();
    for (const item of upstream) {
      const twin = seen.get(item);
      const old = before.get(item);
      if (twin !== undefined && differs(twin, item) === true) problems.push(changed(item, twin.path));
      else if (old !== undefined && differs(old, item) === true) problems.push(changed(item, undefined));
      else if (old !== undefined && differs(old, item) === undefined) undecided.push({ taken: item, published: old });
      seen.set(item);
    }
  }
  return { packages: upstream, taken: new Set(upstream), problems, undecided };
}

/** What is published, and what upstream offers beside it. Nothing that is published goes, unless a waiver lets upstream replace it. */
export function accumulatedContents(offered: readonly ListedPackage[], published: readonly ListedPackage[], rules: Rules): Contents {
  const replace = isWaived(rules, 'changedPackages');
  const problems: Problem[] = [];
  const undecided: { taken: ListedPackage; published: ListedPackage }[] = [];
  const union = new Union(published);
  const taken = new Set<ListedPackage>();
  for (const item of offered) {
    const old = union.named(item);
    if (old !== undefined && taken.has(old)) {
      // With the waiver the first counts.
      if (!replace && differs(old, item) !== false) problems.push(changed(item, old.path));
      continue;
    }
    const verdict = old === undefined ? false : differs(old, item);
    if (old !== undefined && verdict === true && !replace) {
      problems.push(changed(item, undefined));
      continue;
    }
    const inTheWay = union.inTheWayOf(item, old);
    if (inTheWay.some((other) => taken.has(other)) || (inTheWay.length > 0 && !replace)) {
      problems.push(placeTaken(item, inTheWay[0] as ListedPackage));
      continue;
    }
    for (const other of inTheWay) union.remove(other);
    if (old !== undefined) union.remove(old);
    if (old !== undefined && verdict === undefined) undecided.push({ taken: item, published: old });
    union.add(item);
    taken.add(item);
  }
  return { packages: union.all(), taken, problems, undecided };
}

/** Packages by name and by place. */
class Union {
  private readonly byNevra = new ByNevra<ListedPackage>();
  private readonly byPath = new Map<string, ListedPackage>();
  /** Folder → how many packages lie below it. */
  private readonly folders = new Map<string, number>();

  /** Of a package that is published at several places (verbatim upstreams have such) the first stays. */
  constructor(published: readonly ListedPackage[]) {
    for (const item of published) {
      const twin = this.named(item);
      if (twin === undefined || differs(twin, item) !== false) this.add(item);
    }
  }

  /** The one that has the same NEVRA. */
  named(item: ListedPackage): ListedPackage | undefined {
    return this.byNevra.get(item);
  }

  all(): readonly ListedPackage[] {
    return [...this.byPath.values()];
  }

  add(item: ListedPackage): void {
    this.byNevra.set(item);
    this.byPath.set(item.path, item);
    for (const folder of foldersOf(item.path)) this.folders.set(folder, (this.folders.get(folder) ?? 0) + 1);
  }

  remove(item: ListedPackage): void {
    if (this.byNevra.get(item) === item) this.byNevra.delete(item);
    this.byPath.delete(item.path);
    for (const folder of foldersOf(item.path)) {
      const left = (this.folders.get(folder) as number) - 1;
      if (left === 0) this.folders.delete(folder);
      else this.folders.set(folder, left);
    }
  }

  /** Packages, other than the one that it replaces, at its path, at a folder of its path, or below its path. */
  inTheWayOf(item: ListedPackage, replaced: ListedPackage | undefined): readonly ListedPackage[] {
    const found = [item.path, ...foldersOf(item.path)].map((path) => this.byPath.get(path));
    if (this.folders.has(item.path)) found.push(this.all().find(({ path }) => path.startsWith(`${item.path}/`)));
    return found.filter((other): other is ListedPackage => other !== undefined && other !== replaced);
  }
}

function foldersOf(path: string): readonly string[] {
  const folders: string[] = [];
  for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) folders.push(path.slice(0, cut));
  return folders;
}

/** Undefined where the checksums are of two kinds. */
function differs(a: ListedPackage, b: ListedPackage): boolean | undefined {
  if (a.checksum.algorithm !== b.checksum.algorithm) return undefined;
  return a.checksum.hex !== b.checksum.hex;
}

/** A package with the name of another and other content. `twin` is where upstream lists that one, undefined where it is published. */
export function changed(item: ListedPackage, twin: string | undefined): Problem {
  const other = twin === undefined ? 'was published with other content' : `is listed a second time with other content, at ${twin}`;
  return {
    path: item.path,
    code: 'PACKAGE_CHANGED',
    message: `${item.path}: ${nevra(item)} ${other}`,
    remedy: `A version is built once: compare both packages. ${waiverFor('changedPackages')}`,
    exitCode: ExitCode.untrusted,
  };
}

function placeTaken(item: ListedPackage, other: ListedPackage): Problem {
  return {
    path: item.path,
    code: 'PLACE_TAKEN',
    message: `${item.path}: ${nevra(item)} cannot be put where ${nevra(other)} is (${other.path})`,
    remedy: `Two packages cannot share one place. ${waiverFor('changedPackages')}`,
    exitCode: ExitCode.untrusted,
  };
}
