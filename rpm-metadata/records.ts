/** A record of repomd.xml, as far as it matters here. */
export interface TypedRecord {
  readonly type: string;
}

/** What an accumulated repository does with upstream's records. */
export interface RecordPlan<R extends TypedRecord> {
  /** Its own are written from its own list of packages: primary, filelists, other. */
  readonly rewritten: readonly R[];
  /** Merged with what was published before. Several when upstream splits one, or has it in several compressions (see `comps`). */
  readonly updateinfo: readonly R[];
  /** One is enough: `group`, `group_gz`, … are the same file in several compressions. */
  readonly comps: R | undefined;
  readonly modules: readonly R[];
  /** Taken as they are now: productid, and whatever is not known. */
  readonly kept: readonly R[];
  /** Left out: they describe upstream's list of packages, not the merged one, and no client needs them. */
  readonly dropped: readonly R[];
}

const REWRITTEN = ['primary', 'filelists', 'other'];

/** Databases made from primary, filelists and other, zchunk editions of any record, deltas, and the filelists of createrepo_c 1.0. */
const DROPPED = /(_db|_zck)$|^(prestodelta|deltainfo|filelists-ext)$/;

/**
 * Which of upstream's records are merged, kept and dropped in the view `accumulate`. Of two records of one type that can only be had once
 * (`productid`) the first counts, as for clients.
 */
export function recordsToKeep<R extends TypedRecord>(records: readonly R[]): RecordPlan<R> {
  const of = (type: string): readonly R[] => records.filter((record) => record.type === type);
  const groups = records.filter(({ type }) => type === 'group' || (/^group_[a-z0-9]+$/.test(type) && !DROPPED.test(type)));
  const merged = new Set<R>([...records.filter(({ type }) => REWRITTEN.includes(type)), ...of('updateinfo'), ...groups, ...of('modules')]);
  const others = records.filter((record) => !merged.has(record));
  const dropped = others.filter(({ type }) => DROPPED.test(type));
  const kept = others.filter(({ type }) => !DROPPED.test(type));
  return {
    rewritten: records.filter(({ type }) => REWRITTEN.includes(type)),
    updateinfo: of('updateinfo'),
    comps: groups.find(({ type }) => type !== 'group') ?? groups[0],
    modules: of('modules'),
    kept: kept.filter((record, index) => kept.findIndex(({ type }) => type === record.type) === index),
    dropped,
  };
}
