import type { MetadataSource } from '../rpm-metadata/elements';
import type { ListedPackage } from '../rpm-metadata/primary';
import { describeChanges, recordChanges } from './change-records';
import type { Published as Content } from './cves';
import type { Layout } from './layout';
import { metadataOf, type Published } from './published';

/** Records what a snapshot that is about to be published changes. `tree` is where it lies until then. */
export async function noteChanges(
  layout: Layout,
  id: string,
  next: { readonly at: Date; readonly snapshot: string; readonly tree: string; readonly packages: readonly ListedPackage[] },
  before: { readonly published: Published; readonly packages: readonly ListedPackage[] } | undefined,
): Promise<void> {
  const change = await describeChanges(
    { id, at: next.at, from: before?.published.snapshot, to: next.snapshot },
    before === undefined
      ? undefined
      : // A damaged predecessor must not hold up its repair.
        contentOf(before.packages, await metadataOf(before.published.tree).catch(() => new Map<string, MetadataSource>())),
    contentOf(next.packages, await metadataOf(next.tree)),
  );
  await recordChanges(layout, id, change);
}

function contentOf(packages: readonly ListedPackage[], metadata: ReadonlyMap<string, MetadataSource>): Content {
  const updateinfo = metadata.get('updateinfo');
  const other = metadata.get('other');
  return { packages, updateinfo: updateinfo === undefined ? [] : [updateinfo], other: other === undefined ? [] : [other] };
}
