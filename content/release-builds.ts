/** Builds in releases: links to their inputs and outputs, which never change, and what is recorded of them. */
import { createHash } from 'node:crypto';
import { lstat, mkdir, readFile, symlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { ReleaseDefinition } from '../desired-state/definitions';
import type { ReleasedBuildRepository } from '../desired-state/render/repo-file';
import { readBuildRecord } from './build-record';
import { type Build, buildsOf } from './builds';
import { fileDigest, isAbsent } from './files';
import type { Layout } from './layout';
import { type ManifestLine, parseReleaseManifest } from './release-manifest';
import { filesOf } from './snapshot';

export type DeclaredBuild = NonNullable<ReleaseDefinition['builds']>[number];

/** What a release has of a build. Its logs speak of the build machine, and `build.repo` names the build's own address. */
const FOLDERS = ['inputs', 'outputs'] as const;
/** Of what lies at the top of a build, what says from what it was built. */
const FILES = ['BUILD_INFO', 'CHANGELOG.txt', 'CONTEXT.sh'] as const;

/** The index of a repository of a build, by its path in the build. */
const REPOSITORY = /^((?:inputs|outputs)\/S?RPMS(?:\/[^/]+)?)\/repodata\/repomd\.xml$/;

/** Why builds can never be released; nothing where all can. */
export async function unreleasable(layout: Layout, builds: readonly DeclaredBuild[]): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const declared of builds) {
    const here = await buildsOf(layout, declared.series);
    const build = here.find(({ timestamp }) => timestamp === declared.timestamp);
    const why = build === undefined ? absence(declared, here) : await unfit(build);
    if (why !== undefined) problems.push(why);
  }
  return problems;
}

function absence({ series, timestamp }: DeclaredBuild, here: readonly Build[]): string {
  const good = here.filter(({ succeeded }) => succeeded).map((build) => build.timestamp);
  const others =
    good.length === 0
      ? `no build of ${series} that succeeded is here`
      : `builds that succeeded are ${good.slice(0, 3).join(', ')}${good.length > 3 ? ` and ${good.length - 3} older ones` : ''}`;
  return `${series} has no build ${timestamp}: it was never published, or has expired; ${others}`;
}

async function unfit({ series, timestamp, directory, succeeded }: Build): Promise<string | undefined> {
  if (!succeeded) return `the build ${series}/${timestamp} failed (it has no file Success)`;
  for (const folder of FOLDERS) if (await isReleasable(directory, folder)) return undefined;
  return `the build ${series}/${timestamp} has neither inputs nor outputs`;
}

/** Puts the links of one build below a release that is being made, and says what it has by them. */
export async function linkBuild(
  layout: Layout,
  temporary: string,
  { series, timestamp, publicPath }: DeclaredBuild,
): Promise<{ readonly lines: readonly ManifestLine[]; readonly missing: readonly string[] }> {
  const directory = layout.build(series, timestamp);
  const place = join(temporary, publicPath);
  await mkdir(place, { recursive: true });
  for (const name of [...FOLDERS, ...FILES]) {
    if (!(await isReleasable(directory, name))) continue;
    // Relative, so that the file system may be mounted elsewhere; its depth is the same once the release is renamed.
    await symlink(join(relative(place, temporary), relative(join(layout.releases, 'x'), join(directory, name))), join(place, name));
  }
  const recorded = await recordedFiles(layout, { series, timestamp });
  const lines: ManifestLine[] = [];
  const here = await releasedFiles(directory);
  for (const path of here) {
    const file = recorded.get(path) ?? (await readFileOf(directory, path));
    lines.push({ ...file, path: `${publicPath}/${path}` });
  }
  const missing = [...recorded.values()].filter(({ path }) => isReleased(path) && !here.includes(path));
  for (const file of missing) lines.push({ ...file, path: `${publicPath}/${file.path}` });
  return { lines, missing: missing.map(({ path }) => path) };
}

/** Where each link of a released build has to lead, as it ends, by its path in the release. */
export function buildLinks({ series, timestamp, publicPath }: DeclaredBuild): ReadonlyMap<string, string> {
  return new Map([...FOLDERS, ...FILES].map((name) => [`${publicPath}/${name}`, `/builds/${series}/${timestamp}/${name}`]));
}

/** What of a build belongs to a release of it: paths below the build, sorted. */
export async function releasedFiles(directory: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const folder of FOLDERS) {
    if (!(await isReleasable(directory, folder))) continue;
    found.push(...(await filesOf(join(directory, folder))).map((path) => `${folder}/${path}`));
  }
  for (const file of FILES) if (await isReleasable(directory, file)) found.push(file);
  return found.sort();
}

/** The repositories of a released build: as recorded; where that is lost, those of its files that are indexes say where. */
export async function repositoriesIn(
  layout: Layout,
  { series, timestamp, publicPath }: DeclaredBuild,
  lines: readonly ManifestLine[],
): Promise<readonly ReleasedBuildRepository[]> {
  const record = await readBuildRecord(layout, series, timestamp);
  const indexes = lines.flatMap(({ path }) => REPOSITORY.exec(path.slice(publicPath.length + 1))?.[1] ?? []);
  const recorded = record?.repositories.map(({ path }) => path);
  // mirror/starlingx/release/<release>/<of>
  const of = publicPath.split('/').slice(4).join('/');
  return indexes
    .filter((path) => recorded === undefined || recorded.includes(path))
    .sort()
    .map((inBuild) => ({ path: `${publicPath}/${inBuild}`, of, inBuild }));
}

function isReleased(path: string): boolean {
  return FOLDERS.some((folder) => path.startsWith(`${folder}/`)) || FILES.some((file) => file === path);
}

/** Digests as the publish recorded them; what is not recorded, or not as it was recorded, is read. */
async function recordedFiles(
  layout: Layout,
  { series, timestamp }: Pick<DeclaredBuild, 'series' | 'timestamp'>,
): Promise<ReadonlyMap<string, ManifestLine>> {
  const record = await readBuildRecord(layout, series, timestamp);
  const path = layout.buildRecord(series, timestamp, 'manifest');
  const bytes = await readFile(path).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  if (bytes === undefined || record?.manifest !== createHash('sha256').update(bytes).digest('hex')) return new Map();
  return new Map(parseReleaseManifest(bytes.toString('utf8'), path).map((line) => [line.path, line]));
}

async function readFileOf(directory: string, path: string): Promise<ManifestLine> {
  const full = join(directory, path);
  return { path, checksum: { algorithm: 'sha256', hex: await fileDigest(full, 'sha256') }, size: (await lstat(full)).size };
}

/** Links are nothing that a publish leaves in a build: none is followed. */
async function isReleasable(directory: string, name: (typeof FOLDERS)[number] | (typeof FILES)[number]): Promise<boolean> {
  try {
    const found = await lstat(join(directory, name));
    return FILES.some((file) => file === name) ? found.isFile() : found.isDirectory();
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
