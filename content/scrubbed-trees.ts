/** What a scrub looks after: the snapshots of repositories, and the builds of series. Both have an id, names below it, and a record of what is lost. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readBuildRecord } from './build-record';
import { isMark, seriesHere, timestampsOf } from './builds';
import { type ExpectedFile, expectedFiles } from './expected';
import { isAbsent } from './files';
import type { Layout } from './layout';
import { parseReleaseManifest } from './release-manifest';
import { repositoriesHere, snapshotsOf } from './snapshot';

/** Of a series: `+` is in no id of a repository. */
const BUILDS_ID = '+builds/';

/** Ids of everything that has trees here. */
export async function scrubbedHere(layout: Layout): Promise<readonly string[]> {
  return [...(await repositoriesHere(layout)), ...(await seriesHere(layout)).map((series) => BUILDS_ID + series)];
}

/** The series of an id; undefined for a repository's. */
function seriesIn(id: string): string | undefined {
  return id.startsWith(BUILDS_ID) ? id.slice(BUILDS_ID.length) : undefined;
}

/** An id as people read it: `epel-7`, `builds/master/centos/flock`. */
export function shownTree(id: string): string {
  return id.replace(/^\+/, '');
}

/** Names of the trees of an id, the oldest first. */
export async function treesOf(layout: Layout, id: string): Promise<readonly string[]> {
  const series = seriesIn(id);
  return series === undefined ? snapshotsOf(layout, id) : [...(await timestampsOf(layout, series))].reverse();
}

/** What the trees of an id are in. */
export function treesDirectory(layout: Layout, id: string): string {
  const series = seriesIn(id);
  return series === undefined ? layout.snapshots(id) : layout.series(series);
}

export function treeDirectory(layout: Layout, id: string, name: string): string {
  return join(treesDirectory(layout, id), name);
}

/** The record of what a tree lacks. */
export function damageRecord(layout: Layout, id: string, name: string): string {
  const series = seriesIn(id);
  return series === undefined ? layout.record(id, name, 'damage') : layout.buildRecord(series, name, 'damage');
}

/** What a tree must have. */
export function expectedOf(layout: Layout, id: string, name: string): Promise<readonly ExpectedFile[]> {
  const series = seriesIn(id);
  return series === undefined ? expectedFiles(layout, id, name) : expectedOfBuild(layout, series, name);
}

/** Of a build whose manifest or record is lost nobody can say it. What was marked after it was published is no part of it. */
async function expectedOfBuild(layout: Layout, series: string, timestamp: string): Promise<readonly ExpectedFile[]> {
  const record = await readBuildRecord(layout, series, timestamp);
  const path = layout.buildRecord(series, timestamp, 'manifest');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
    return undefined;
  });
  if (record === undefined || text === undefined || createHash('sha256').update(text).digest('hex') !== record.manifest) return [];
  const isMade = madeHere(record.repositories.map((repository) => repository.path));
  return parseReleaseManifest(text, path).flatMap(({ path: file, checksum, size }) =>
    checksum === undefined || isMark(file) ? [] : [{ path: file, checksum, size, stored: !isMade(file) }],
  );
}

/** What a publish made of a build is in it alone, and not in the store. */
function madeHere(repositories: readonly string[]): (path: string) => boolean {
  const prefixes = repositories.flatMap((path) => [`${path}/repodata/`]);
  const files = new Set(['build.repo', ...repositories.flatMap((path) => [`${path}/rpm.lst`, `${path}/srpm.lst`])]);
  return (path) => files.has(path) || prefixes.some((prefix) => path.startsWith(prefix));
}
