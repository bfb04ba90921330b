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
  for (const { outputs, merge, upstream } of mergesOf(plan)) {
    const [{ type, name }] = outputs;
    const previous = outputs.map((output) => before.get(output.type)).find((source) => source !== undefined);
    if (previous === undefined && upstream.length === 0) continue;
    const usable = upstream.filter((record) => !without.has(record));
    const digest = usable.map(({ checksum }) => checksum.hex).join(' ');
    const same = published?.record?.merged?.[type] === digest ? outputs.map((output) => before.get(output.type)) : [undefined];
    if (same.every((source) => source !== undefined)) {
      outputs.forEach((output, i) => records.push({ ...output, from: same[i] as MetadataSource }));
      merged[type] = digest;
      continue;
    }
    const task: CompsMerge = {
      previous,
      upstream: usable.map((record) => localFile(record, options)),
      output: join(work, name),
      plain: join(work, PLAIN_COMPS),
    };
    const problem = await tried(upstream[0], task.upstream[0]?.what, () => merge(task));
    if (problem !== undefined) {
      problems.push(problem);
      if (previous === undefined) continue;
      await merge({ ...task, upstream: [] });
    } else merged[type] = digest;
    for (const output of outputs) records.push({ ...output, from: { path: join(work, output.name), what: join(work, output.name) } });
  }
  return { records, merged, problems };
}

const PLAIN_COMPS = 'comps.xml';

interface MergeOf {
  /** What it writes, as records of the index; the first one names it. */
  readonly outputs: readonly [Output, ...Output[]];
  readonly merge: (task: CompsMerge) => Promise<unknown>;
  readonly upstream: readonly RepomdRecord[];
}

type Output = Pick<ExtraRecord, 'type' | 'name'>;

function mergesOf(plan: RecordPlan<RepomdRecord>): readonly MergeOf[] {
  return [
    { outputs: [{ type: 'updateinfo', name: 'updateinfo.xml.gz' }], merge: mergeUpdateinfo, upstream: plan.updateinfo },
    {
      outputs: [
        { type: 'group_gz', name: 'comps.xml.gz' },
        { type: 'group', name: PLAIN_COMPS },
      ],
      merge: mergeComps,
      upstream: plan.comps === undefined ? [] : [plan.comps],
    },
    { outputs: [{ type: 'modules', name: 'modules.yaml.gz' }], merge: mergeModules, upstream: plan.modules },
  ];
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
