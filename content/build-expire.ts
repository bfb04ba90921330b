/**
 * Which builds stay and which go, and the going: by one rename out of what is served, then for good. What is gone leaves its files in the store, where the
 * last step of `mirrorctl retention apply` takes those that nothing links to.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BuildRetention } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { run } from '../signatures/run';
import { type BuildLink, isTimestamp, timeOfBuild } from '../starlingx/build-layout';
import {
  type Build,
  buildsOf,
  type LinkChange,
  linksOf,
  MARK_IN_WORK,
  requireSeries,
  seriesLock,
  timestampsOf,
  updateBuildLinks,
} from './builds';
import type { Definitions } from './definitions';
import { flushDirectory, machineFault } from './files';
import { flat, type Layout } from './layout';
import { holding, waitingFor } from './lock';
import type { Say } from './progress';
import { buildsOfReleases, releasesLock } from './releases';
import { namesIn } from './snapshot';
import { type Failure, failureOf } from './state';
import { requireStorage } from './storage';

/** Days, and a number of builds. */
export type BuildRules = Readonly<Record<keyof BuildRetention, number>>;
/** As StarlingX operates it. */
export const BUILD_RETENTION: BuildRules = { greenDays: 28, yellowDays: 10, otherDays: 7, atLeast: 2 };

const DAY = 24 * 3600 * 1000;

/** Whether a build stays, and why. */
export interface Standing {
  readonly build: Build;
  readonly goes: boolean;
  /** What keeps it whatever its age, as a sentence. */
  readonly protection?: string;
  /** How long builds like it stay, as a sentence. */
  readonly rule: string;
  /** When its time is over (ISO): it goes then, unless something else keeps it. */
  readonly until: string;
  readonly links: readonly BuildLink[];
}

/**
 * Whether each build stays at a time. Pure.
 *
 * @param builds all of one series
 * @param released names of those that releases are made of
 */
export function standingsOf(
  builds: readonly Build[],
  retention: BuildRetention | undefined,
  released: ReadonlySet<string>,
  now: Date,
): readonly Standing[] {
  const rules = rulesOf(retention);
  const links = [...linksOf(builds)];
  const newestFirst = [...builds].sort((a, b) => (a.timestamp < b.timestamp ? 1 : -1));
  return newestFirst.map((build, index) => {
    const { days, rule } = termOf(build, rules);
    const until = new Date((timeOfBuild(build.timestamp) as Date).getTime() + days * DAY);
    const leading = links.flatMap(([link, timestamp]) => (timestamp === build.timestamp ? [link] : []));
    const protection = protectionOf(build, leading, released, index, rules.atLeast);
    const goes = protection === undefined && until <= now;
    return { build, links: leading, until: until.toISOString(), goes, rule, ...(protection === undefined ? {} : { protection }) };
  });
}

function rulesOf(retention: BuildRetention = {}): BuildRules {
  const { greenDays, yellowDays, otherDays, atLeast } = BUILD_RETENTION;
  return {
    greenDays: retention.greenDays ?? greenDays,
    yellowDays: retention.yellowDays ?? yellowDays,
    otherDays: retention.otherDays ?? otherDays,
    atLeast: retention.atLeast ?? atLeast,
  };
}

function termOf(
  { colour, succeeded }: Build,
  { greenDays, yellowDays, otherDays }: BuildRules,
): { readonly days: number; readonly rule: string } {
  if (!succeeded) return { days: otherDays, rule: `builds that failed stay ${otherDays} days` };
  if (colour === 'green') return { days: greenDays, rule: `green builds stay ${greenDays} days` };
  if (colour === 'yellow') return { days: yellowDays, rule: `yellow builds stay ${yellowDays} days` };
  return { days: otherDays, rule: `${colour === 'red' ? 'red builds' : 'builds that nobody marked'} stay ${otherDays} days` };
}

function protectionOf(
  { kept, timestamp }: Build,
  links: readonly BuildLink[],
  released: ReadonlySet<string>,
  index: number,
  atLeast: number,
): string | undefined {
  if (released.has(timestamp)) return 'a release is made of it';
  if (kept !== undefined) return kept === '' ? 'it is kept (KEEP)' : `it is kept: ${kept}`;
  if (links.length > 0) return `${links.join(', ')} ${links.length === 1 ? 'leads' : 'lead'} to it`;
  return index < atLeast ? `the newest ${atLeast === 1 ? 'one stays' : `${atLeast} stay`}` : undefined;
}

/** Names of the builds of a series that releases are made of, or are going to be. Whoever removes builds by it holds `releasesLock`. */
export async function releasedBuilds(
  layout: Layout,
  definitions: Pick<Definitions, 'releases'>,
  series: string,
): Promise<ReadonlySet<string>> {
  const prefix = `${series}@`;
  const names = [...(await buildsOfReleases(layout, definitions))];
  return new Set(names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)));
}

export interface ExpireContext {
  readonly layout: Layout;
  readonly definitions: Definitions;
  readonly now: () => Date;
  readonly say: Say;
  /** How long to wait for a build of the series that is being published, and for releases. */
  readonly waitSeconds: number;
}

/** What became of the builds of one series. */
export interface Expired {
  readonly series: string;
  readonly gone: readonly Standing[];
  readonly stay: readonly Standing[];
  /** Links that were put right before. */
  readonly links: readonly LinkChange[];
  readonly error?: Failure;
}

/** What would go now, by the same rules: nothing is changed. */
export async function plannedExpiry(
  context: Omit<ExpireContext, 'say' | 'waitSeconds'>,
  series: readonly string[],
): Promise<readonly Expired[]> {
  await requireStorage(context.layout, context.definitions.server);
  return eachSeries(series, (one) => judged(context, one));
}

/** Removes the builds whose time is over. A series that fails does not hold up the others. Killed at any point, the next run goes on. */
export async function expireBuilds(context: ExpireContext, series: readonly string[]): Promise<readonly Expired[]> {
  await requireStorage(context.layout, context.definitions.server);
  return eachSeries(series, (one) => expireSeries(context, one));
}

async function eachSeries(series: readonly string[], work: (one: string) => Promise<Expired>): Promise<readonly Expired[]> {
  const done: Expired[] = [];
  for (const one of series) {
    try {
      done.push(await work(one));
    } catch (error) {
      const fault = machineFault(error);
      if (!(fault instanceof MirrorError)) throw error;
      done.push({ series: one, gone: [], stay: [], links: [], error: failureOf(fault) });
    }
  }
  return done;
}

async function judged(
  context: Pick<ExpireContext, 'layout' | 'definitions' | 'now'>,
  series: string,
  links: readonly LinkChange[] = [],
): Promise<Expired> {
  const all = await standings(context, series);
  requireClock(all, context.now());
  return { series, gone: all.filter(({ goes }) => goes).reverse(), stay: all.filter(({ goes }) => !goes), links };
}

/** Of each build of a series whether it stays; the newest first. */
export async function standings(
  { layout, definitions, now }: Pick<ExpireContext, 'layout' | 'definitions' | 'now'>,
  series: string,
): Promise<readonly Standing[]> {
  const { retention } = requireSeries(definitions, series);
  return standingsOf(await buildsOf(layout, series), retention, await releasedBuilds(layout, definitions, series), now());
}

/** By a clock that stands before what it showed already no time can be told. */
function requireClock(all: readonly Standing[], now: Date): void {
  const newest = all
    .flatMap(({ build }) => build.record?.publishedAt ?? [])
    .sort()
    .at(-1);
  if (newest === undefined || !(Date.parse(newest) > now.getTime())) return;
  throw new MirrorError({
    code: 'CLOCK_BACK',
    message: `the clock shows ${now.toISOString()}, and a build was published at ${newest}`,
    remedy: 'Nothing was removed. Set the clock right (timedatectl), and run this again.',
    exitCode: ExitCode.environment,
  });
}

async function expireSeries(context: ExpireContext, series: string): Promise<Expired> {
  const { layout } = context;
  const wait = waitingFor(context);
  const done = await holding(seriesLock(layout, series), `the series ${series}`, wait, async () => {
    const links = await updateBuildLinks(layout, series);
    return holding(releasesLock(layout), 'the freezing of releases', wait, async () => {
      const result = await judged(context, series, links);
      await takeAway(layout, series, result.gone);
      return result;
    });
  });
  // Nobody sees them any more, and nobody needs to wait while they go.
  await removeForGood((await goingOf(layout, series)).map((name) => join(layout.buildWork, name)));
  return done;
}

/** Takes builds out of what is served, each by one rename, the oldest first. A record without its build, which a run that was killed left, goes as well. */
async function takeAway(layout: Layout, series: string, gone: readonly Standing[]): Promise<void> {
  if (gone.length > 0) await mkdir(layout.buildWork, { recursive: true });
  for (const { build } of gone) await rename(build.directory, goingTo(layout, series, build.timestamp));
  if (gone.length > 0) {
    await flushDirectory(layout.buildWork);
    await flushDirectory(layout.series(series));
  }
  const here = new Set(await timestampsOf(layout, series));
  const records = dirname(layout.buildRecord(series, 'x', 'json'));
  const left = (await namesIn(records)).filter((name) => isRecordName(name) && !here.has(name.split('.')[0] as string));
  for (const name of left) await rm(join(records, name), { force: true });
  if (left.length > 0) await flushDirectory(records);
}

/** Whatever is known of a build begins with its name. */
function isRecordName(name: string): boolean {
  return name.includes('.') && isTimestamp(name.split('.')[0] as string);
}

const GOING = '@going-';

/** One of the same name may be going still. */
function goingTo(layout: Layout, series: string, timestamp: string): string {
  return join(layout.buildWork, `${flat(series)}${GOING}${timestamp}-${randomBytes(4).toString('hex')}`);
}

/** Builds of a series that are being removed, also those that a run left which was killed. */
async function goingOf(layout: Layout, series: string): Promise<readonly string[]> {
  return (await namesIn(layout.buildWork)).filter((name) => name.startsWith(flat(series) + GOING)).sort();
}

/** Directories of builds that are being made, elsewhere than where they are served; those that are being removed do not count any more. */
export async function buildsInWork({ buildWork }: Layout): Promise<readonly string[]> {
  return (await namesIn(buildWork))
    .filter((name) => !name.includes(GOING) && !name.endsWith(MARK_IN_WORK))
    .map((name) => join(buildWork, name));
}

/** By rm, which takes a third of the time that Node's own needs. Another run may be at it. */
async function removeForGood(paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  const { code, stderr } = await run('rm', ['-rf', '--', ...paths]);
  if (code === 0) return;
  throw new MirrorError({
    code: 'NOT_REMOVED',
    message: `builds that expired cannot be removed: ${stderr.trim().split('\n')[0]}`,
    remedy: 'They are served no more, and the next run tries again. Look at the owner of what is named, and at the kernel log (dmesg).',
    exitCode: ExitCode.environment,
  });
}
