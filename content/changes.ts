/** What a publish changed: pure functions on lists of packages, and the record that is kept of it. */
import { z } from 'zod';
import type { Checksum } from '../rpm-metadata/checksum';
import { nevra, type Nevra } from '../rpm-metadata/nevra';
import { compareEvr } from '../rpm-metadata/version';
import type { CveFix } from './cves';

export interface PackageVersion extends Nevra {
  readonly checksum: Checksum;
}

export interface Update<P> {
  readonly before: P;
  readonly after: P;
}

export interface Changes<P> {
  readonly added: readonly P[];
  /** The newest version of a name and architecture is another one, or the same with other content. */
  readonly updated: readonly Update<P>[];
  readonly removed: readonly P[];
}

/**
 * What is different, sorted by name and architecture. Of a name and architecture that was there and still is, the newest before and the newest
 * after are an update, unless the newest after was there before (then it is a removal of what was newer); older versions that come or go are
 * added and removed. The same content in another algorithm's digest is no change.
 */
export function changesBetween<P extends PackageVersion>(before: readonly P[], after: readonly P[]): Changes<P> {
  const added: P[] = [];
  const updated: Update<P>[] = [];
  const removed: P[] = [];
  for (const { old, now } of affected(before, after)) {
    const newestOld = newest(old);
    const newestNow = newest(now);
    const update =
      newestOld !== undefined && newestNow !== undefined && !old.has(nevra(newestNow))
        ? { before: newestOld, after: newestNow }
        : undefined;
    if (update !== undefined) updated.push(update);
    for (const [key, item] of now) {
      const same = old.get(key);
      if (same === undefined && item !== update?.after) added.push(item);
      else if (same !== undefined && differs(same, item)) updated.push({ before: same, after: item });
    }
    for (const [key, item] of old) if (!now.has(key) && item !== update?.before) removed.push(item);
  }
  return { added, updated, removed };
}

/** All versions of one name and architecture, by NEVRA. */
interface Versions<P> {
  readonly old: Map<string, P>;
  readonly now: Map<string, P>;
}

/**
 * The versions of each name and architecture, in order and one after the other: the lists are long. Most of a repository did not change: names
 * of which nothing came or went are passed over by digest.
 */
function* affected<P extends PackageVersion>(before: readonly P[], after: readonly P[]): Generator<Versions<P>> {
  const names = new Set<string>();
  noteNames(names, after, before);
  noteNames(names, before, after);
  const sorted = (items: readonly P[]): P[] => items.filter(({ name }) => names.has(name)).sort(byNameAndArch);
  const olds = sorted(before);
  const nows = sorted(after);
  for (let i = 0, k = 0; i < olds.length || k < nows.length;) {
    const [a, b] = [olds[i], nows[k]];
    const first = a === undefined || (b !== undefined && byNameAndArch(b, a) < 0) ? (b as P) : a;
    const old = versionsOf(first, olds, i);
    const now = versionsOf(first, nows, k);
    i += old.length;
    k += now.length;
    yield { old: byNevra(old), now: byNevra(now) };
  }
}

/** Adds the names of packages whose content is not among the others. */
function noteNames(names: Set<string>, packages: readonly PackageVersion[], others: readonly PackageVersion[]): void {
  const known = new Set<string>();
  for (const { checksum } of others) known.add(checksum.hex);
  for (const { name, checksum } of packages) if (!known.has(checksum.hex)) names.add(name);
}

function byNameAndArch(a: Nevra, b: Nevra): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.arch === b.arch ? 0 : a.arch < b.arch ? -1 : 1;
}

/** What a sorted list has of the name and architecture of `first`, from there on. */
function versionsOf<P extends Nevra>(first: P, sorted: readonly P[], from: number): readonly P[] {
  let end = from;
  while (end < sorted.length && byNameAndArch(sorted[end] as P, first) === 0) end++;
  return sorted.slice(from, end);
}

function byNevra<P extends Nevra>(packages: readonly P[]): Map<string, P> {
  return new Map(packages.map((item) => [nevra(item), item]));
}

function newest<P extends PackageVersion>(versions: ReadonlyMap<string, P>): P | undefined {
  let best: P | undefined;
  for (const item of versions.values()) if (best === undefined || compareEvr(item, best) > 0) best = item;
  return best;
}

function differs(a: PackageVersion, b: PackageVersion): boolean {
  return a.checksum.algorithm === b.checksum.algorithm && a.checksum.hex !== b.checksum.hex;
}

function nameOf({ name, arch }: Nevra): string {
  return `${name}.${arch}`;
}

/** `epoch:version-release`, without an epoch of 0. */
export function evr({ epoch, version, release }: Nevra): string {
  return `${epoch === '0' ? '' : `${epoch}:`}${version}-${release}`;
}

const CveSchema = z.object({
  /** `CVE-2024-1234`. */
  name: z.string(),
  /** `bind 9.11.4-26.P2.el7_9.16`: what is published now and fixes it. */
  packages: z.array(z.string()),
  /** Id of the advisory that says so; absent where a changelog does. */
  advisory: z.string().optional(),
});

/** What one publish changed, as it is kept and printed. */
export const ChangeRecordSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  /** When it was published (ISO). */
  at: z.string(),
  /** The snapshot that it superseded; absent for the first. */
  from: z.string().optional(),
  to: z.string(),
  /** NEVRA as dnf prints them. */
  added: z.array(z.string()),
  updated: z.array(z.object({ package: z.string(), from: z.string(), to: z.string() })),
  removed: z.array(z.string()),
  cves: z.array(CveSchema),
  /** Why CVE names are not known: metadata that cannot be read. */
  cvesUnknown: z.string().optional(),
  /** Of everything, also of what is not listed. */
  counts: z.object({ added: z.number(), updated: z.number(), removed: z.number(), cves: z.number() }),
  /** Lists are cut. */
  truncated: z.literal(true).optional(),
});
export type ChangeRecord = z.infer<typeof ChangeRecordSchema>;

/** Longer lists are cut: a first copy adds ten thousands of packages, which the list of packages tells better. */
export const MAX_LISTED = 500;
export const MAX_PACKAGES_LISTED = 50;

/** The record of a publish, of bounded size; its counts are of everything. */
export function changeRecord(
  publish: { readonly id: string; readonly at: Date; readonly from?: string | undefined; readonly to: string },
  changes: Changes<PackageVersion>,
  cves: readonly CveFix[],
): ChangeRecord {
  const counts = {
    added: changes.added.length,
    updated: changes.updated.length,
    removed: changes.removed.length,
    cves: new Set(cves.map(({ name }) => name)).size,
  };
  const cut =
    [changes.added, changes.updated, changes.removed, cves].some((list) => list.length > MAX_LISTED) ||
    cves.some(({ packages }) => packages.length > MAX_PACKAGES_LISTED);
  return {
    version: 1,
    id: publish.id,
    at: publish.at.toISOString(),
    ...(publish.from === undefined ? {} : { from: publish.from }),
    to: publish.to,
    added: changes.added.slice(0, MAX_LISTED).map(nevra),
    updated: changes.updated
      .slice(0, MAX_LISTED)
      .map(({ before, after }) => ({ package: nameOf(after), from: evr(before), to: evr(after) })),
    removed: changes.removed.slice(0, MAX_LISTED).map(nevra),
    cves: cves.slice(0, MAX_LISTED).map((fix) => ({ ...fix, packages: fix.packages.slice(0, MAX_PACKAGES_LISTED) })),
    counts,
    ...(cut ? { truncated: true as const } : {}),
  };
}
