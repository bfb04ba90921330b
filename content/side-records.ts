import { basename, join } from 'node:path';
import { MirrorError } from '../desired-state/errors';
import type { ExtraRecord } from '../rpm-metadata/accumulate/records';
import { type CompsMerge, mergeComps } from '../rpm-metadata/comps';
import type { MetadataSource } from '../rpm-metadata/elements';
import { mergeModules } from '../rpm-metadata/modules';
import type { RecordPlan } from '../rpm-metadata/records';
import type { RepomdRecord } from '../rpm-metadata/repomd';
import { mergeUpdateinfo } from '../rpm-metadata/updateinfo';
import { problemOf } from './problems';
import { metadataOf, type Published } from './published';
import type { Problem } from './record';
import type { Incoming } from './store';
import type { UpstreamIndex } from './upstream-index';

export interface SideRecordsOptions {
  readonly plan: RecordPlan<RepomdRecord>;
  readonly published: Published | undefined;
  readonly index: UpstreamIndex;
  readonly incoming: Incoming;
  /** A directory for what is made, on the file system of the content. */
  readonly work: string;
  /** Files that could not be had. */
  readonly without: ReadonlyMap<RepomdRecord, Problem>;
}

/** What an accumulated repository has beside its lists of packages. */
export interface SideRecords {
  readonly records: readonly ExtraRecord[];
  /** What of upstream's is merged, by type: digests. */
  readonly merged: Readonly<Record<string, string>>;
  /** What of upstream's could not be used; what was published of it stays. */
  readonly problems: readonly Problem[];
}

/**
 * Advisories, groups and modules of upstream merged with what is published; the others as upstream has them. A file that could not be had
 * or is malformed is a problem, and holds up nothing: what was published of its type stays as it is.
 */
export async function sideRecords(options: SideRecordsOptions): Promise<SideRecords> {
  const { plan, published, work, without } = options;
  const before = published === undefined ? new Map<string, MetadataSource>() : await metadataOf(published.tree);
  const records: ExtraRecord[] = [];
  const merged: Record<string, string> = {};
  const problems = [...without.values()];
  for (const record of plan.kept) {
    const from = without.has(record) ? before.get(record.type) : localFile(record, options);
    if (from !== undefined) records.push({ type: record.type, name: basename(without.has(record) ? from.path : record.path), from });
  }
  const kinds = [
    ['updateinfo', 'updateinfo.xml.gz', mergeUpdateinfo, plan.updateinfo],
    ['group_gz', 'comps.xml.gz', mergeComps, plan.comps === undefined ? [] : [plan.comps]],
    ['modules', 'modules.yaml.gz', mergeModules, plan.modules],
  ] as const;
  for (const [type, name, merge, upstream] of kinds) {
    const previous = before.get(type) ?? (type === 'group_gz' ? before.get('group') : undefined);
    if (previous === undefined && upstream.length === 0) continue;
    const usable = upstream.filter((record) => !without.has(record));
    const digest = usable.map(({ checksum }) => checksum.hex).join(' ');
    const task: CompsMerge = {
      previous,
      upstream: usable.map((record) => localFile(record, options)),
      output: join(work, name),
      plain: join(work, 'comps.xml'),
    };
    const plainBefore = before.get('group');
    if (previous !== undefined && published?.record?.merged?.[type] === digest && (type !== 'group_gz' || plainBefore !== undefined)) {
      records.push({ type, name, from: previous });
      if (type === 'group_gz' && plainBefore !== undefined) records.push({ type: 'group', name: 'comps.xml', from: plainBefore });
      merged[type] = digest;
      continue;
    }
    const problem = await tried(upstream[0], task.upstream[0]?.what, () => merge(task));
    if (problem !== undefined) {
      problems.push(problem);
      if (previous === undefined) continue;
      await merge({ ...task, upstream: [] });
    } else merged[type] = digest;
    records.push({ type, name, from: { path: task.output, what: task.output } });
    if (type === 'group_gz') records.push({ type: 'group', name: 'comps.xml', from: { path: task.plain, what: task.plain } });
  }
  return { records, merged, problems };
}

async function tried(
  record: RepomdRecord | undefined,
  url: string | undefined,
  merge: () => Promise<unknown>,
): Promise<Problem | undefined> {
  try {
    await merge();
    return undefined;
  } catch (error) {
    if (!(error instanceof MirrorError) || record === undefined) throw error;
    return problemOf(record.path, url, error);
  }
}

/** A metadata file of upstream that has arrived. */
export function localFile(
  record: RepomdRecord,
  { incoming, index }: { readonly incoming: Incoming; readonly index: UpstreamIndex },
): MetadataSource {
  return { path: incoming.locate(record.checksum), what: (record.base ?? index.base) + record.href, openSize: record.openSize };
}
