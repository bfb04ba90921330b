/**
 * The builds of a series, as they are on the disk, and the links that lead to them. Links follow from the builds alone: whoever adds, removes or
 * marks one brings them up to date.
 */
import { type Dirent, lstatSync } from 'node:fs';
import { open, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildsDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { byDistance } from '../desired-state/nearest';
import { BUILD_LINKS, type BuildLink, isTimestamp } from '../starlingx/build-layout';
import { type BuildRecord, readBuildRecord } from './build-record';
import { readLost } from './damage';
import type { Definitions } from './definitions';
import { flushDirectory, isAbsent, removeTree } from './files';
import type { Layout } from './layout';
import { someOf } from './lines';
import { namesIn, NEW, replaceLink } from './snapshot';

/** By the sanity tests of a build; the most careful first. */
export const COLOURS = ['red', 'yellow', 'green'] as const;
export type Colour = (typeof COLOURS)[number];

/** Files in a build that say what is to be thought of it. */
export const MARKS: Readonly<Record<Colour, string>> = { red: 'RED', yellow: 'YELLOW', green: 'GREEN' };
export const KEEP = 'KEEP';
/** What a mark that is being written is called in `Layout.buildWork`, after its series. */
export const MARK_IN_WORK = '@mark';
const SUCCESS = 'Success';
const NO_NEW_CONTENT = 'No_New_Content';

export interface Build {
  readonly series: string;
  readonly timestamp: string;
  readonly directory: string;
  /** One that failed is there for its logs; no link leads to it. */
  readonly succeeded: boolean;
  /** It succeeded, and has nothing that the build before it does not have. */
  readonly noNewContent: boolean;
  readonly colour?: Colour;
  /** Why it is kept for good. */
  readonly kept?: string;
  readonly dockerImages: boolean;
  /** Undefined where it is lost. */
  readonly record?: BuildRecord;
  /** So many of its files a scrub found to be damaged, and nothing has them whole: they are not served. */
  readonly lostFiles: number;
}

/** The builds of a series, the newest first. Reads a record and two directories of each, never the files. */
export async function buildsOf(layout: Layout, series: string): Promise<readonly Build[]> {
  const names = await timestampsOf(layout, series);
  const builds = await Promise.all(names.map((timestamp) => readBuild(layout, series, timestamp)));
  // One that expired while this looked is none.
  return builds.filter((build) => build !== undefined);
}

/** Names of the builds of a series, the newest first. */
export async function timestampsOf(layout: Layout, series: string): Promise<readonly string[]> {
  return (await entriesOf(layout.series(series)))
    .filter((entry) => entry.isDirectory() && isTimestamp(entry.name))
    .map(({ name }) => name)
    .sort()
    .reverse();
}

async function readBuild(layout: Layout, series: string, timestamp: string): Promise<Build | undefined> {
  const directory = layout.build(series, timestamp);
  const record = await readBuildRecord(layout, series, timestamp);
  // What was marked here counts before what came with the build, which never changes.
  const top = filesAmong(await entriesOf(directory));
  const outputs = filesAmong(await entriesOf(join(directory, 'outputs')));
  if (record === undefined && lstatSync(directory, { throwIfNoEntry: false }) === undefined) return undefined;
  const has = (name: string): boolean => top.has(name) || outputs.has(name);
  const colour = colourAmong(top) ?? colourAmong(outputs);
  const kept = await keptFor(directory, top, outputs);
  return {
    series,
    timestamp,
    directory,
    succeeded: record?.succeeded ?? has(SUCCESS),
    noNewContent: record?.noNewContent ?? has(NO_NEW_CONTENT),
    lostFiles: readLost(layout.buildRecord(series, timestamp, 'damage')).length,
    dockerImages: record?.dockerImages ?? (await entriesOf(join(directory, 'outputs', 'docker-images'))).length > 0,
    ...(colour === undefined ? {} : { colour }),
    ...(kept === undefined ? {} : { kept }),
    ...(record === undefined ? {} : { record }),
  };
}

function filesAmong(entries: readonly Dirent[]): ReadonlySet<string> {
  return new Set(entries.filter((entry) => entry.isFile()).map(({ name }) => name));
}

/** Of several colours, which a run that was killed may leave, the most careful one. */
function colourAmong(names: ReadonlySet<string>): Colour | undefined {
  return COLOURS.find((colour) => names.has(MARKS[colour]));
}

/** What is shown of a reason. */
const REASON_BYTES = 1000;

async function keptFor(directory: string, top: ReadonlySet<string>, outputs: ReadonlySet<string>): Promise<string | undefined> {
  if (!top.has(KEEP) && !outputs.has(KEEP)) return undefined;
  const file = await open(join(directory, ...(top.has(KEEP) ? [] : ['outputs']), KEEP), 'r').catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
    return undefined;
  });
  if (file === undefined) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(REASON_BYTES), 0, REASON_BYTES, 0);
    const text = buffer.subarray(0, bytesRead).toString('utf8');
    // What came with a build is anybody's text.
    return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufffd]+/g, ' ').trim();
  } finally {
    await file.close();
  }
}

async function entriesOf(directory: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}

/** Whether a path below a build is that of a mark, which is put and removed after the build was published. */
export function isMark(path: string): boolean {
  return path === KEEP || Object.values(MARKS).includes(path);
}

/** How deep series are: `release/2018.10/2018.10.5/centos/flock`. */
const MAX_DEPTH = 6;

/** Every series that has builds here, declared or not. Sorted. */
export async function seriesHere(layout: Layout): Promise<readonly string[]> {
  const found: string[] = [];
  const walk = async (path: string, depth: number): Promise<void> => {
    const folders = (await entriesOf(layout.series(path))).filter((entry) => entry.isDirectory()).map(({ name }) => name);
    if (folders.some(isTimestamp)) found.push(path);
    if (depth === MAX_DEPTH) return;
    const below = folders.filter((name) => !isTimestamp(name) && !name.startsWith('.'));
    for (const name of below) await walk(path === '' ? name : `${path}/${name}`, depth + 1);
  };
  await walk('', 0);
  return found.sort();
}

/** What of a build decides which links lead to it. */
export type Linkable = Pick<Build, 'timestamp' | 'succeeded' | 'noNewContent' | 'colour' | 'dockerImages'>;

const WANTED: Readonly<Record<BuildLink, (build: Linkable) => boolean>> = {
  latest_build: () => true,
  latest_green_build: ({ colour }) => colour === 'green',
  latest_yellow_build: ({ colour }) => colour === 'green' || colour === 'yellow',
  latest_docker_image_build: ({ dockerImages }) => dockerImages,
};

/**
 * Which links there are, and to which build each leads: the newest of those that it is for. None leads to a build that failed or has nothing new; a link
 * without a build is absent. Pure; the order of the builds does not matter.
 */
export function linksOf(builds: readonly Linkable[]): ReadonlyMap<BuildLink, string> {
  const candidates = builds.filter(({ succeeded, noNewContent }) => succeeded && !noNewContent);
  const links = new Map<BuildLink, string>();
  for (const link of BUILD_LINKS) {
    const newest = candidates
      .filter(WANTED[link])
      .map(({ timestamp }) => timestamp)
      .sort()
      .at(-1);
    if (newest !== undefined) links.set(link, newest);
  }
  return links;
}

export interface LinkChange {
  readonly link: BuildLink;
  /** Where it led; undefined where it was absent. */
  readonly from?: string;
  /** Undefined: it is gone. */
  readonly to?: string;
}

/**
 * Makes the links of a series those that its builds are to have, each by one rename; what somebody put there by hand, or a run that was killed left, is put
 * right. Does nothing where all is well. Only for the holder of the lock of the series.
 *
 * @param builds those that count; all that are there unless it is said
 */
export async function updateBuildLinks(layout: Layout, series: string, builds?: readonly Linkable[]): Promise<readonly LinkChange[]> {
  const directory = layout.series(series);
  const wanted = linksOf(builds ?? (await buildsOf(layout, series)));
  const changes: LinkChange[] = [];
  const leftovers = (await namesIn(directory)).filter((name) => BUILD_LINKS.some((link) => name === NEW + link));
  for (const name of leftovers) await removeTree(join(directory, name));
  for (const link of BUILD_LINKS) {
    const path = join(directory, link);
    const to = wanted.get(link);
    const from = await targetOf(path);
    if (from === to) continue;
    if (to === undefined) await rm(path, { force: true });
    else await replaceLink(path, to);
    changes.push({ link, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
  }
  if (changes.length > 0) await flushDirectory(directory);
  return changes;
}

/** Where a link leads, whatever that is; undefined where it is absent. A file in its place leads to nothing, and is replaced; a directory may be worth something. */
async function targetOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    if (!lstatSync(path).isDirectory()) return '';
    throw new MirrorError({
      code: 'PATH_TAKEN',
      message: `${path}: a directory is where a link belongs`,
      remedy: 'Something else put it there: look at it, and move it away. Then run the command again.',
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

/** The lock of a series: who publishes, marks, keeps or removes a build holds it. */
export function seriesLock(layout: Layout, series: string): string {
  return layout.lockFile(`builds/${series}`);
}

/** Series that are declared, in the order of their archives. */
export function seriesDeclared({ builds }: Pick<Definitions, 'builds'>): readonly string[] {
  return builds.flatMap(({ series }) => series);
}

/** The declaration of a series. Throws where it is not declared, with the names that come nearest. */
export function requireSeries(definitions: Pick<Definitions, 'builds'>, series: string): BuildsDefinition {
  const found = definitions.builds.find((archive) => archive.series.includes(series));
  if (found !== undefined) return found;
  const near = byDistance(series.slice(0, 200), seriesDeclared(definitions)).map(({ name }) => name);
  throw new MirrorError({
    code: 'NO_SUCH_SERIES',
    message: `${JSON.stringify(series.slice(0, 200))} is no series of builds that is declared on this server`,
    remedy:
      near.length === 0
        ? "None is declared: add new BuildArchive(server, 'stx-master', { branch: 'master' }) to main.ts, and deploy."
        : `Declared are ${someOf(near, 5)}. A new one is declared in main.ts as a BuildArchive and deployed.`,
    exitCode: ExitCode.usage,
  });
}
