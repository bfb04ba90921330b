/** The directories of a build that have packages: each becomes a repository with metadata that the mirror signs, and a list of its packages. */
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { MirrorError } from '../desired-state/errors';
import { describePackages } from '../rpm-metadata/accumulate/describe';
import type { Decide, Source } from '../rpm-metadata/accumulate/merge';
import { type Previous, publishedSource, readAccumulated } from '../rpm-metadata/accumulate/published';
import { writeAccumulated } from '../rpm-metadata/accumulate/write';
import type { Signer } from '../signatures/sign';
import { identityIn, startOf } from '../signatures/package-identity';
import { STARLINGX } from '../starlingx/build-layout';
import { signedIndex } from './build-snapshot';
import type { BuildFile, BuildProblem } from './build-tree';
import type { Layout } from './layout';
import type { Say } from './progress';
import { MAX_PACKAGE_BYTES } from './publish-rules';

/** A directory of packages in a build. */
export interface RpmDirectory {
  /** Below the build: `outputs/RPMS/std`. */
  readonly path: string;
  /** Whether it is for source packages. */
  readonly isSource: boolean;
  readonly packages: readonly BuildFile[];
}

/** yum configuration of a build's repositories, at its top. */
export const BUILD_REPO = 'build.repo';
const LISTS = ['rpm.lst', 'srpm.lst'] as const;

/**
 * The repositories of a build, sorted by path: `RPMS/<folder>` with all packages below it, and `RPMS` itself with those that lie directly in it;
 * the same of `SRPMS`, in `inputs` and in `outputs`. Pure.
 */
export function rpmDirectories(files: readonly BuildFile[]): readonly RpmDirectory[] {
  const found = new Map<string, BuildFile[]>();
  for (const file of files) {
    const match = /^((?:inputs|outputs)\/S?RPMS)\/(?:([^/]+)\/)?.*\.rpm$/.exec(file.path);
    if (match === null) continue;
    const [, base, folder] = match as unknown as [string, string, string | undefined];
    const path = folder === undefined ? base : `${base}/${folder}`;
    const packages = found.get(path);
    if (packages === undefined) found.set(path, [file]);
    else packages.push(file);
  }
  return [...found]
    .map(([path, packages]) => ({ path, isSource: path.split('/')[1] === 'SRPMS', packages }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Files that the mirror makes of its own: what a build brings in their place is not published. Pure. */
export function isReplaced(path: string, directories: readonly Pick<RpmDirectory, 'path'>[]): boolean {
  if (path === BUILD_REPO) return true;
  return directories.some(
    (directory) =>
      path.startsWith(`${directory.path}/`) && ['repodata', ...LISTS].some((name) => `${path}/`.startsWith(`${directory.path}/${name}/`)),
  );
}

/** What rpm and createrepo_c write into URLs as it is. */
const PACKAGE_PATH = /^[A-Za-z0-9_][A-Za-z0-9_.+~^-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.+~^-]*)*$/;

/** Paths of packages that cannot be listed. Pure. */
export function pathProblems({ path, packages }: RpmDirectory): readonly BuildProblem[] {
  return packages.flatMap((file) => {
    const inside = file.path.slice(path.length + 1);
    const isUsable = PACKAGE_PATH.test(inside) && !file.path.split('/').includes('repodata');
    if (!isUsable)
      return [
        { path: file.path, why: 'is a package, and its path has other characters than A-Z a-z 0-9 _ . + ~ ^ -, or lies in repodata/' },
      ];
    return file.size > MAX_PACKAGE_BYTES
      ? [{ path: file.path, why: `has ${file.size} bytes; packages of 4 GiB and more are not published` }]
      : [];
  });
}

/** A repository, and what earlier builds of the series have described of it already. */
export interface PlannedRepository {
  readonly directory: RpmDirectory;
  /** The newest build that has some of its packages; its metadata goes on. */
  readonly previous?: Previous;
  /** Older builds that have others of them. */
  readonly older: readonly Previous[];
  /** Packages that are described nowhere. */
  readonly fresh: readonly BuildFile[];
}

/** Where the metadata of a repository of a published build is. */
export function describedIn(layout: Layout, series: string, timestamp: string, path: string): Previous {
  return { repodata: join(layout.build(series, timestamp), path, 'repodata'), catalogue: catalogueOf(layout, series, timestamp, path) };
}

/** What is known of a repository's metadata, so that the next build need not read it; only the newest build has one. */
export function catalogueOf(layout: Layout, series: string, timestamp: string, path: string): string {
  return `${layout.buildRecord(series, timestamp, 'json').slice(0, -'.json'.length)}.${sha256(path).slice(0, 16)}.catalogue`;
}

/** So many builds are looked through for descriptions: one that failed in between may lack most packages. */
const LOOKED_THROUGH = 4;

/** Finds what is described already, by the same path and digest. Metadata of earlier builds that cannot be read is passed over. */
export async function planned(
  layout: Layout,
  series: string,
  directory: RpmDirectory,
  timestamps: readonly string[],
  say: Say,
): Promise<PlannedRepository> {
  const wanted = wantedOf(directory);
  const left = new Map(directory.packages.map((file) => [file.path.slice(directory.path.length + 1), file]));
  const used: Previous[] = [];
  const those = timestamps
    .map((timestamp) => describedIn(layout, series, timestamp, directory.path))
    .filter(({ repodata }) => existsSync(join(repodata, 'repomd.xml')));
  for (const previous of those.slice(0, LOOKED_THROUGH)) {
    if (left.size === 0) break;
    const before = left.size;
    try {
      for (const entry of await readAccumulated(previous)) if (wanted(entry)) left.delete(entry.path);
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      say(`${series}: ${error.message}; its packages are described anew`);
      continue;
    }
    if (left.size < before) used.push(previous);
  }
  const [previous, ...older] = used;
  return { directory, older, fresh: [...left.values()], ...(previous === undefined ? {} : { previous }) };
}

/** Which entries of metadata are packages of this directory. */
function wantedOf({ path, packages }: RpmDirectory): Decide {
  const digests = new Map(packages.map((file) => [file.path.slice(path.length + 1), file.sha256]));
  return (entry) => digests.get(entry.path) === entry.checksum.hex;
}

/** Files that are no packages, and packages of the wrong kind. `locate` says where the bytes of a file are. */
export function headerProblems({ directory, fresh }: PlannedRepository, locate: (file: BuildFile) => string): readonly BuildProblem[] {
  return fresh.flatMap((file) => {
    const why = headerProblem(locate(file), file.size, directory.isSource);
    return why === undefined ? [] : [{ path: file.path, why }];
  });
}

function headerProblem(path: string, size: number, isSource: boolean): string | undefined {
  const start = startOf(path);
  if ('problem' in start) return `is no RPM package: ${start.problem}`;
  const whole = 'need' in start ? start.need : start.size;
  if (whole !== undefined && size < whole) return `is a package that was cut: it has ${size} bytes, and would have at least ${whole}`;
  const identity = 'header' in start ? identityIn(start.header) : undefined;
  if (identity === undefined) return 'is no RPM package: its header has no name, version, release or architecture';
  if ((identity.arch === 'src') === isSource) return undefined;
  return isSource ? 'is no source package, and lies in SRPMS' : 'is a source package, and lies in RPMS';
}

export interface RepositoryContext {
  readonly layout: Layout;
  readonly series: string;
  readonly timestamp: string;
  /** The build as it is being made: packages are there already. */
  readonly tree: string;
  /** A new directory for createrepo_c. */
  readonly work: string;
  readonly locate: (file: BuildFile) => string;
  readonly signer: Signer;
  readonly at: Date;
  readonly say: Say;
}

/** Writes the metadata of a repository and its list into the tree; returns the paths, below the build, of what it wrote. */
export async function writeRepository(context: RepositoryContext, plan: PlannedRepository): Promise<readonly string[]> {
  try {
    return await written(context, plan);
  } catch (error) {
    if (!(error instanceof MirrorError) || plan.previous === undefined) throw error;
    context.say(`${context.series}: ${error.message}; all packages of ${plan.directory.path} are described anew`);
    const { directory } = plan;
    return written(context, { directory, older: [], fresh: directory.packages });
  }
}

async function written(context: RepositoryContext, { directory, previous, older, fresh }: PlannedRepository): Promise<readonly string[]> {
  const { layout, series, timestamp, tree, work, locate, at } = context;
  const { path, packages } = directory;
  const repodata = join(tree, path, 'repodata');
  const catalogue = catalogueOf(layout, series, timestamp, path);
  const list = directory.isSource ? 'srpm.lst' : 'rpm.lst';
  for (const old of [work, repodata, catalogue, join(tree, path, list)]) await rm(old, { recursive: true, force: true });
  await mkdir(repodata, { recursive: true });
  await mkdir(dirname(catalogue), { recursive: true });
  await mkdir(work, { recursive: true });
  const inside = (file: BuildFile): string => file.path.slice(path.length + 1);
  const sources: Source[] = [];
  if (fresh.length > 0)
    sources.push(
      await describePackages(
        fresh.map((file) => ({ file: locate(file), path: inside(file) })),
        work,
      ),
    );
  for (const one of older) sources.push((await publishedSource(one.repodata)).source);
  const wanted = wantedOf(directory);
  const made = await writeAccumulated({
    previous,
    sources,
    accept: wanted,
    keep: wanted,
    directory: repodata,
    catalogue,
    revision: Math.floor(at.getTime() / 1000),
  });
  // A file that lies at two places is listed once.
  const expected = new Set(packages.map((file) => file.sha256)).size;
  if (made.packages.length !== expected)
    throw new Error(`${series}: the metadata of ${path} lists ${made.packages.length} packages, not the ${expected} that are there`);
  const index = await signedIndex(made, context.signer);
  const files: readonly (readonly [string, Uint8Array | string])[] = [
    ['repodata/repomd.xml', index.repomd],
    ['repodata/repomd.xml.asc', index.signature as Uint8Array],
    ['repodata/repomd.xml.key', index.key as Uint8Array],
    [
      list,
      packages
        .map((file) => `${inside(file)}\n`)
        .sort()
        .join(''),
    ],
  ];
  for (const [name, bytes] of files) await writeFile(join(tree, path, name), bytes, { mode: 0o444, flag: 'wx' });
  return [...files.map(([name]) => name), ...index.made].map((name) => `${path}/${name}`);
}

/**
 * yum and dnf configuration of a build's repositories by its timestamp: whoever has fetched it from `latest_build` reads one build from then on. What the
 * build was made from, and source packages, are switched off. Pure.
 */
export function buildRepo(siteUrl: string, series: string, timestamp: string, directories: readonly RpmDirectory[]): string {
  const name = series.replaceAll('/', '-');
  const base = `${siteUrl}/${STARLINGX}/${series}/${timestamp}`;
  return directories
    .map(({ path, isSource }) => {
      const url = `${base}/${path.split('/').map(encodeURIComponent).join('/')}/`;
      const lines = [
        `[${name}-${idOf(path)}]`,
        `name=${path} of ${series} ${timestamp}`,
        `baseurl=${url}`,
        `enabled=${path.startsWith('outputs/') && !isSource ? 1 : 0}`,
        // Packages of a build need not be signed; what lists them with their digests is.
        'gpgcheck=0',
        'repo_gpgcheck=1',
        // The key of this build's time: the mirror may have another one by then.
        `gpgkey=${url}repodata/repomd.xml.key`,
      ];
      return `${lines.join('\n')}\n`;
    })
    .join('\n');
}

/** Ids of repositories have few characters. */
function idOf(path: string): string {
  return path.replaceAll('/', '-').replaceAll(/[^A-Za-z0-9_.-]/g, '_');
}
