import { waiverFor } from '../desired-state/definitions';
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';

/** When upstream says that its metadata was made. */
export interface IndexTime {
  readonly revision: string | undefined;
  /** The newest time among the records, Unix seconds. */
  readonly newest: number | undefined;
}

/** Why metadata must not be used: `code`, and `why` as a phrase that follows the URL. */
export interface Refusal {
  readonly code: string;
  readonly why: string;
  readonly remedy: string;
}

/** A refusal of the metadata at `what`, its URL. A source that has such is like one that does not answer: another one is asked. */
export function refusedIndex(what: string, { code, why, remedy }: Refusal): DownloadError {
  return new DownloadError({ kind: 'refused', code, message: `${what} ${why}`, remedy, exitCode: ExitCode.untrusted });
}

const DAY = 24 * 3600;
/** Clocks differ; two days do not. */
const AHEAD = 2 * DAY;
/** Revisions from here on are Unix times (createrepo, Pulp, Koji), smaller ones are counters. */
const FIRST_UNIX_TIME = 1_000_000_000;
/** Below this many packages a repository may lose any of them, as long as one stays. */
const SMALL = 20;

/** Refuses metadata that is older than what is published (a replay), or from the future (nothing could follow it). Pure. */
export function replayed(index: IndexTime, published: IndexTime | undefined, now: Date): Refusal | undefined {
  const latest = Math.max(unixTime(index.revision) ?? 0, index.newest ?? 0);
  if (latest > now.getTime() / 1000 + AHEAD) {
    return {
      code: 'METADATA_FROM_THE_FUTURE',
      why: `was made at ${dateOf(latest)}, and it is ${dateOf(now.getTime() / 1000)}`,
      remedy: `Check this server's clock (timedatectl). ${waiverFor('olderRevision')}`,
    };
  }
  if (published === undefined) return undefined;
  const older = (why: string): Refusal => ({
    code: 'METADATA_OLDER',
    why: `${why}: an older state of the upstream, or one that somebody replays`,
    remedy: `Put a source that is up to date first into fetchFrom. ${waiverFor('olderRevision')}`,
  });
  const order = compareRevisions(index.revision, published.revision);
  if (order !== undefined && order < 0) return older(`has the revision ${index.revision}, and ${published.revision} is published`);
  if (index.newest !== undefined && published.newest !== undefined && index.newest < published.newest && order !== 1) {
    return older(`was made at ${dateOf(index.newest)}, and what was made at ${dateOf(published.newest)} is published`);
  }
  return undefined;
}

/** Refuses metadata that is older than the declaration allows: upstream stands still, or somebody holds back updates. Pure. */
export function frozen(index: IndexTime, maxAgeDays: number | undefined, now: Date): Refusal | undefined {
  if (maxAgeDays === undefined) return undefined;
  const remedy = `Look whether upstream moved; raise maxAgeDays if it ended. ${waiverFor('staleMetadata')}`;
  const times = [unixTime(index.revision), index.newest].filter((time) => time !== undefined);
  if (times.length === 0) return { code: 'METADATA_STALE', why: `does not say when it was made, and maxAgeDays is ${maxAgeDays}`, remedy };
  const made = Math.max(...times);
  const days = Math.floor((now.getTime() / 1000 - made) / DAY);
  if (days < maxAgeDays) return undefined;
  return { code: 'METADATA_STALE', why: `is ${days} days old (${dateOf(made)}), and maxAgeDays is ${maxAgeDays}`, remedy };
}

/** Refuses a list that lost so much that an accident is likelier than a decision. Pure. */
export function shrunk(listed: number, before: number | undefined): Refusal | undefined {
  if (before === undefined || before === 0) return undefined;
  const suspicious = listed === 0 || (before >= SMALL && listed < before / 2);
  if (!suspicious) return undefined;
  return {
    code: 'UPSTREAM_SHRUNK',
    why: `lists ${listed} packages, and listed ${before} before`,
    remedy: `Look at the upstream: it may be half copied. ${waiverFor('shrunk')}`,
  };
}

function unixTime(revision: string | undefined): number | undefined {
  if (revision === undefined || !/^\d{10,11}(\.\d+)?$/.test(revision)) return undefined;
  const time = Math.floor(Number(revision));
  return time >= FIRST_UNIX_TIME ? time : undefined;
}

/** -1, 0, 1; undefined where one is no number, or one is a time and the other a counter: upstream changed its tool. */
function compareRevisions(a: string | undefined, b: string | undefined): -1 | 0 | 1 | undefined {
  if (a === undefined || b === undefined || !/^\d{1,18}(\.\d+)?$/.test(a) || !/^\d{1,18}(\.\d+)?$/.test(b)) return undefined;
  if ((unixTime(a) === undefined) !== (unixTime(b) === undefined)) return undefined;
  const difference = Number(a) - Number(b);
  return difference < 0 ? -1 : difference > 0 ? 1 : 0;
}

function dateOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `second ${seconds}` : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
