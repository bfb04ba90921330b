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
 * What is different, sorted by name. Of a name and architecture that was there and still is, the newest before and the newest after are an
 * update, unless the newest after was there before (then it is a removal of what was newer); older versions that come or go are added and
 * removed. The same content in another algorithm's digest is no change.
 */
export function changesBetween<P extends PackageVersion>(before: Iterable<P>, after: Iterable<P>): Changes<P> {
  const affected = affectedNames(before, after);
  const added: P[] = [];
  const updated: Update<P>[] = [];
  const removed: P[] = [];
  for (const [, { old, now }] of [...affected].sort(([a], [b]) => (a < b ? -1 : 1))) {
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

interface Versions<P> {
  readonly old: Map<string, P>;
  readonly now: Map<string, P>;
}

/** All versions of each name and architecture of which any came or went. Most of a repository did not change: it is passed over by digest. */
function affectedNames<P extends PackageVersion>(before: Iterable<P>, after: Iterable<P>): ReadonlyMap<string, Versions<P>> {
  const digests = (items: Iterable<P>): Set<string> => {
    const set = new Set<string>();
    for (const { checksum } of items) set.add(checksum.hex);
    return set;
  };
  const affected = new Map<string, Versions<P>>();
  const note = (items: Iterable<P>, known: ReadonlySet<string>): void => {
    for (const item of items) {
      const name = nameOf(item);
      if (!known.has(item.checksum.hex) && !affected.has(name)) affected.set(name, { old: new Map(), now: new Map() });
    }
  };
  note(after, digests(before));
  note(before, digests(after));
  for (const item of before) affected.get(nameOf(item))?.old.set(nevra(item), item);
  for (const item of after) affected.get(nameOf(item))?.now.set(nevra(item), item);
  return affected;
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
