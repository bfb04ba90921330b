/** Where a package of a copy came from, and since when it is here. */
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { readChanges } from './change-records';
import { evr } from './changes';
import type { Layout } from './layout';
import { readPackageList } from './package-list';
import type { Facts } from './retention-facts';
import { currentSnapshot, snapshotsOf, timeOf } from './snapshot';

/** Asked for several packages of one copy: what is known of its upstream is read once. */
export class Origins {
  /** Digest → ids of the repositories that have it; made when it is asked for. */
  private byDigest: Promise<ReadonlyMap<string, readonly string[]>> | undefined;

  constructor(
    private readonly facts: Facts,
    private readonly id: string,
  ) {}

  /** A URL below the upstream that was asked last, or the one that a list says; else the repositories of this mirror that have the same. */
  async of(item: ListedPackage): Promise<readonly string[]> {
    const record = (await this.facts.published(this.id))?.record;
    if (record?.seen === undefined) return record === undefined || record.url === '' ? [] : [new URL(`../${item.href}`, record.url).href];
    const urls = Object.entries(record.seen).filter(([, { sha256 }]) => sha256 === item.checksum.hex);
    if (urls.length > 0) return urls.map(([url]) => url);
    return (await (this.byDigest ??= this.copies(item.name))).get(item.checksum.hex) ?? [];
  }

  /** Packages of a name in all copied repositories, now or before. */
  private async copies(name: string): Promise<ReadonlyMap<string, readonly string[]>> {
    const { layout, definitions } = this.facts;
    const found = new Map<string, string[]>();
    for (const { id } of definitions.repositories) {
      for (const snapshot of await snapshotsOf(layout, id)) {
        for (const item of readPackageList(layout.record(id, snapshot, 'packages')) ?? []) {
          if (item.name !== name) continue;
          const ids = found.get(item.checksum.hex) ?? [];
          found.set(item.checksum.hex, ids.includes(id) ? ids : [...ids, id]);
        }
      }
    }
    return found;
  }
}

/** The publish that brought it, as far back as publishes are remembered; else the oldest snapshot that has it (ISO). */
export async function sinceOf(layout: Layout, id: string, item: ListedPackage, snapshots: readonly string[]): Promise<string | undefined> {
  const name = nevra(item);
  const current = await currentSnapshot(layout, id).catch(() => undefined);
  const oldest = snapshots[0] === undefined ? undefined : timeOf(snapshots[0]);
  if (current === undefined) return oldest;
  const first = (await readChanges(layout, id)).find(
    ({ added, updated }) =>
      added.includes(name) || updated.some((one) => one.package === `${item.name}.${item.arch}` && one.to === evr(item)),
  )?.at;
  return first !== undefined && (oldest === undefined || first < oldest) ? first : oldest;
}
