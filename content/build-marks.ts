/** What is said of a build after it was published: its colour, and that it is kept. Marks are files at its top; nothing else of a build changes. */
import { lstatSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { BUILD_LINKS, type BuildLink, checkTimestamp } from '../starlingx/build-layout';
import {
  type Build,
  buildsOf,
  type Colour,
  COLOURS,
  KEEP,
  type LinkChange,
  linksOf,
  MARK_IN_WORK,
  MARKS,
  requireSeries,
  seriesLock,
  updateBuildLinks,
} from './builds';
import type { Definitions } from './definitions';
import { flushDirectory } from './files';
import { flat, type Layout } from './layout';
import { someOf } from './lines';
import { holding, waitingFor } from './lock';
import type { Say } from './progress';
import { requireStorage } from './storage';

export interface MarkContext {
  readonly layout: Layout;
  readonly definitions: Definitions;
  readonly say: Say;
  /** How long to wait for who publishes or removes builds of the series. */
  readonly waitSeconds: number;
}

/** What became of a mark. */
export interface Marked {
  readonly build: Build;
  readonly changed: boolean;
  readonly links: readonly LinkChange[];
}

/** The build with a name: a timestamp, or a link that leads to it. */
export function buildNamed(builds: readonly Build[], series: string, name: string): Build {
  const isLink = (BUILD_LINKS as readonly string[]).includes(name);
  const timestamp = isLink ? linksOf(builds).get(name as BuildLink) : checkTimestamp(name);
  const found = builds.find((build) => build.timestamp === timestamp);
  if (found !== undefined) return found;
  const newest = builds.map((build) => build.timestamp);
  throw new MirrorError({
    code: 'NO_SUCH_BUILD',
    message: isLink ? `${name} of ${series} leads to no build` : `${series} has no build ${name}`,
    remedy:
      newest.length === 0
        ? 'It has none at all: mirrorctl build publish puts one there.'
        : `There are ${someOf(newest, 3)}: mirrorctl build list ${series}`,
    exitCode: ExitCode.usage,
  });
}

/** Gives a build a colour, or takes it away, and leads the links as that asks for. */
export function markBuild(context: MarkContext, series: string, timestamp: string, colour: Colour | 'none'): Promise<Marked> {
  return changing(context, series, timestamp, async (build) => {
    const { succeeded, directory } = build;
    if (!succeeded && (colour === 'green' || colour === 'yellow'))
      throw new MirrorError({
        code: 'BUILD_FAILED',
        message: `the build ${timestamp} of ${series} failed: it cannot be ${colour}`,
        remedy: 'Only a build with the marker Success can be marked green or yellow. It can be marked red.',
        exitCode: ExitCode.invalid,
      });
    const others = COLOURS.filter((one) => one !== colour).map((one) => MARKS[one]);
    const present = others.filter((name) => isFile(join(directory, name)));
    if (colour === 'none') {
      const own = COLOURS.map((one) => MARKS[one]).find((name) => isFile(join(directory, 'outputs', name)));
      if (own !== undefined)
        throw cameWithIt(build, own, `Mark it with another colour instead: mirrorctl build mark ${series} ${timestamp} red`);
    }
    const isNew = colour !== 'none' && !isFile(join(directory, MARKS[colour]));
    // Until the other is gone, the more careful of the two counts.
    if (isNew) await put(context.layout, build, MARKS[colour], '');
    for (const name of present) await rm(join(directory, name), { force: true });
    return isNew || present.length > 0;
  });
}

/** Keeps a build for good. */
export function keepBuild(context: MarkContext, series: string, timestamp: string, reason: string): Promise<Marked> {
  return changing(context, series, timestamp, async (build) => {
    const text = reason.trim();
    if (build.kept === text && isFile(join(build.directory, KEEP))) return false;
    await put(context.layout, build, KEEP, text === '' ? '' : `${text}\n`);
    return true;
  });
}

/** Keeps a build no longer than its colour says. */
export function releaseKept(context: MarkContext, series: string, timestamp: string): Promise<Marked> {
  return changing(context, series, timestamp, async (build) => {
    if (isFile(join(build.directory, 'outputs', KEEP)))
      throw cameWithIt(build, KEEP, 'It stays as long as it is there. A build that is not to be kept is published without.');
    const path = join(build.directory, KEEP);
    const isThere = isFile(path);
    await rm(path, { force: true });
    return isThere;
  });
}

function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function cameWithIt({ series, timestamp }: Build, name: string, remedy: string): MirrorError {
  return new MirrorError({
    code: 'MARK_OF_BUILD',
    message: `outputs/${name} came with the build ${timestamp} of ${series}, and what came with a build does not change`,
    remedy,
    exitCode: ExitCode.invalid,
  });
}

async function changing(
  context: MarkContext,
  series: string,
  timestamp: string,
  change: (build: Build) => Promise<boolean>,
): Promise<Marked> {
  const { layout, definitions } = context;
  requireSeries(definitions, series);
  checkTimestamp(timestamp);
  await requireStorage(layout, definitions.server);
  return holding(seriesLock(layout, series), `the series ${series}`, waitingFor(context), async () => {
    const changed = await change(buildNamed(await buildsOf(layout, series), series, timestamp));
    if (changed) await flushDirectory(layout.build(series, timestamp));
    const builds = await buildsOf(layout, series);
    return { changed, links: await updateBuildLinks(layout, series, builds), build: buildNamed(builds, series, timestamp) };
  });
}

/** One rename puts a mark there, whole. What was there may be a link to the store: it is replaced, never written to. */
async function put(layout: Layout, { series, directory }: Build, name: string, text: string): Promise<void> {
  await mkdir(layout.buildWork, { recursive: true });
  const temporary = join(layout.buildWork, flat(series) + MARK_IN_WORK);
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o444);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(directory, name));
}
