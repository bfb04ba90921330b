/** Sentences about what of an upstream is taken, shown and accepted: sources, view, filter, age, waivers. Pure. */
import type { Filter, RepositoryWaiver } from '../../desired-state/definitions';
import { besides, fieldsOf } from './changes';
import { pinSentences, retentionSentences } from './retention';
import type { Triggers } from './terraform-plan';

type Side = Triggers | undefined;

/** The fields of a definition that this file has words for. */
const WORDS: Readonly<Record<string, (id: string, before: Side, after: Side) => string[]>> = {
  fetchFrom: sourceSentences,
  view: viewSentences,
  filter: filterSentences,
  maxAgeDays: ageSentences,
  waivers: waiverSentences,
  retired: retiredSentences,
  retention: retentionSentences,
  pins: pinSentences,
};

function retiredSentences(id: string, before: Side, after: Side): string[] {
  const [was, now] = [fieldsOf(before)['retired'], fieldsOf(after)['retired']];
  if (typeof now !== 'string') return [`syncs ${id} again`];
  return [
    typeof was === 'string'
      ? `gives another reason to sync ${id} no longer: ${now}`
      : `syncs ${id} no longer, and goes on serving it: ${now}`,
  ];
}

/** Undefined for a field that is not told here. */
export function selectionSentences(field: string, id: string, before: Side, after: Side): string[] | undefined {
  return WORDS[field]?.(id, before, after);
}

/** What a repository that is new here leaves out, and what it accepts. */
export function newSelectionSentences(id: string, after: Side): string[] {
  return [
    ...(fieldsOf(after)['filter'] === undefined ? [] : filterSentences(id, undefined, after)),
    ...waiverSentences(id, undefined, after),
  ];
}

function sourceSentences(id: string, before: Side, after: Side): string[] {
  return [`fetches ${id} from ${places(after)} (was ${places(before)}): nothing changes for clients`];
}

function places(side: Side): string {
  const value = fieldsOf(side)['fetchFrom'];
  return (Array.isArray(value) ? (value as unknown[]) : []).map(place).join(', ') || 'nowhere known';
}

function place(source: unknown): string {
  if (typeof source === 'string') return source;
  const { mirrorlist, metalink } = (source ?? {}) as { mirrorlist?: string; metalink?: string };
  return mirrorlist === undefined ? `the mirrors of ${metalink}` : `the mirrors of ${mirrorlist}`;
}

function viewSentences(id: string, _before: Side, after: Side): string[] {
  const again = 'clients fetch its .repo file again, since its metadata is signed by';
  return fieldsOf(after)['view'] === 'accumulate'
    ? [`accumulates ${id}, and goes on with what is published: from its next sync on nothing vanishes; ${again} the mirror`]
    : [
        `shows ${id} verbatim, and accumulates it no longer: packages that upstream dropped are NOT SERVED any more once the grace period after its next sync is over; ${again} its upstream, if at all`,
      ];
}

function filterSentences(id: string, before: Side, after: Side): string[] {
  const [was, now] = [filterWords(before), filterWords(after)];
  if (now === undefined) return [`takes every package of ${id} from its next sync on (was ${was ?? 'filtered'})`];
  const instead = was === undefined ? '' : ` (was ${was})`;
  return [`takes of ${id} from its next sync on ${now}${instead}: what it has stays`];
}

function filterWords(side: Side): string | undefined {
  const filter = fieldsOf(side)['filter'] as Partial<Filter> | undefined;
  if (filter === undefined || filter === null || typeof filter !== 'object') return undefined;
  const { include, exclude, architectures, newest, sources, debuginfo } = filter;
  const parts = [
    ...(include === undefined ? [] : [`only ${include.join(', ')}`]),
    ...(exclude === undefined ? [] : [`nothing named ${exclude.join(', ')}`]),
    ...(architectures === undefined ? [] : [`only packages for ${architectures.join(', ')}`]),
    ...(newest === undefined ? [] : [newest === 1 ? 'the newest version only' : `the newest ${newest} versions only`]),
    ...(sources === false ? ['no sources'] : []),
    ...(debuginfo === false ? ['no debuginfo'] : []),
  ];
  return parts.length === 0 ? 'every package' : parts.join('; ');
}

function ageSentences(id: string, before: Side, after: Side): string[] {
  const [was, now] = [fieldsOf(before)['maxAgeDays'], fieldsOf(after)['maxAgeDays']];
  const days = (value: unknown): string => (value === 1 ? '1 day' : `${String(value)} days`);
  if (now === undefined) return [`accepts metadata of ${id} of any age (was ${days(was)} at most)`];
  return [`refuses metadata of ${id} that is older than ${days(now)} (was ${was === undefined ? 'any age' : days(was)})`];
}

/** What each waiver lets pass. */
const LETS_PASS: Readonly<Record<RepositoryWaiver, string>> = {
  weakChecksums: 'sha1 in its metadata is accepted',
  olderRevision: 'metadata older than what is published is accepted',
  shrunk: 'far fewer packages or files than before are accepted',
  staleMetadata: 'metadata past its maximum age is accepted',
  changedPackages: 'other content under the name and version of a package is accepted',
  privateAddresses: 'redirects and mirror lists may lead to private addresses',
  incomplete: 'packages that cannot be had, or do not verify, hold up nothing',
};

interface WaiverFields {
  readonly allow: RepositoryWaiver;
  readonly reason: string;
}

/** One sentence for each waiver that comes, goes, or has another reason; one that stands is not told again. */
export function waiverSentences(id: string, before: Side, after: Side): string[] {
  const [was, now] = [waiversOf(before), waiversOf(after)];
  const names = (list: readonly WaiverFields[]): RepositoryWaiver[] => list.map(({ allow }) => allow);
  const came = besides(names(was), names(now));
  return [
    ...now.flatMap(({ allow, reason }): string[] => {
      if (came.includes(allow)) return [`waives ${allow} for ${id} (${reason}): ${LETS_PASS[allow] ?? 'what it names passes'}`];
      const same = was.some((other) => other.allow === allow && other.reason === reason);
      return same ? [] : [`gives another reason to waive ${allow} for ${id}: ${reason}`];
    }),
    ...besides(names(now), names(was)).map((name) => `waives ${name} for ${id} no longer: it is refused from the next sync on`),
  ];
}

function waiversOf(side: Side): readonly WaiverFields[] {
  const value = fieldsOf(side)['waivers'];
  return Array.isArray(value) ? (value as WaiverFields[]) : [];
}
