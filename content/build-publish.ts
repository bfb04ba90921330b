/** Publishes a build: all of its files under its timestamp, its packages as signed repositories, and then the links of its series. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BuildsDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { checkTimestamp, isTimestamp, timeOfBuild } from '../starlingx/build-layout';
import { type BuildMarkers, formProblems, markersOf, MAX_SUMS, SUMS, sumsProblems } from './build-forms';
import type { BuildRecord } from './build-record';
import {
  BUILD_REPO,
  buildRepo,
  catalogueOf,
  headerProblems,
  isReplaced,
  pathProblems,
  planned,
  type PlannedRepository,
  rpmDirectories,
  writeRepository,
} from './build-repositories';
import { requireSameBuild } from './build-same';
import {
  allOf,
  buildDirectory,
  type BuildFile,
  type BuildProblem,
  copyFiles,
  digestFiles,
  type FoundFile,
  missingIn,
  readAgain,
  refusedBuild,
  walkBuild,
} from './build-tree';
import { buildsOf, type Linkable, type LinkChange, linksOf, requireSeries, seriesLock, timestampsOf, updateBuildLinks } from './builds';
import { flushDirectory, flushFileSystem, machineFault, removeTree } from './files';
import { flat } from './layout';
import { holding, usingStore, waitingFor } from './lock';
import type { PublishContext } from './publish';
import { manifestLine, type ManifestLine } from './release-manifest';
import { namesIn, TreeBuilder } from './snapshot';
import { requireRoom, requireStorage } from './storage';
import { Store } from './store';

export interface BuildWanted {
  readonly series: string;
  readonly timestamp: string;
  readonly directory: string;
  /** Whether it must have SHA256SUMS. @default optional */
  readonly sums?: 'required' | 'optional';
  /** Judges everything, and changes nothing. */
  readonly dryRun?: true;
}

/** What became of a build. */
export interface BuildPublished {
  readonly series: string;
  readonly timestamp: string;
  /** `unchanged`: it is published already with the same content. `judged`: it would be published. */
  readonly result: 'published' | 'unchanged' | 'judged';
  readonly succeeded: boolean;
  readonly noNewContent: boolean;
  readonly files: number;
  readonly bytes: number;
  /** Bytes that this server did not have; of a build that is unchanged none. */
  readonly newBytes: number;
  readonly repositories: BuildRecord['repositories'];
  /** Links that moved, or would. */
  readonly links: readonly LinkChange[];
  /** Where all links lead afterwards. */
  readonly leadTo: Readonly<Record<string, string>>;
  /** Whether it has `build.repo`: yum configuration, which needs to know the URL of the site. */
  readonly repoFile: boolean;
  readonly seconds: number;
}

/** A clock that is wrong would make a build the newest for ever. */
const AHEAD_MILLISECONDS = 24 * 3600 * 1000;
/** How often a long step says how far it is. In milliseconds. */
const SAY_EVERY = 5000;

/**
 * Publishes a build under its timestamp: as a whole by one rename, or not at all. The same build with the same content again changes nothing. Throws a
 * MirrorError for a build that cannot be published; nothing has changed then. Two at a time wait for each other.
 */
export async function publishBuild(context: PublishContext, wanted: BuildWanted): Promise<BuildPublished> {
  const { layout, definitions } = context;
  const { series } = wanted;
  requireSeries(definitions, series);
  requireTimestamp(wanted.timestamp, context.now());
  await requireStorage(layout, definitions.server);
  const directory = await buildDirectory(wanted.directory);
  return holding(seriesLock(layout, series), `the series ${series}`, waitingFor(context), async () => {
    // A deploy may have ended while the lock was waited for.
    const declared = await context.declared();
    const archive = requireSeries(declared, series);
    const publication = new Publication({ ...context, definitions: declared }, { ...wanted, directory }, archive);
    return usingStore(layout, () => publication.run());
  });
}

function requireTimestamp(timestamp: string, now: Date): void {
  const time = timeOfBuild(checkTimestamp(timestamp)) as Date;
  if (time.getTime() <= now.getTime() + AHEAD_MILLISECONDS) return;
  throw new MirrorError({
    code: 'BUILD_TIMESTAMP',
    message: `the build ${timestamp} would start more than a day from now, ${now.toISOString()}`,
    remedy: 'Nothing was published: it would be the newest until then. Look at the clocks of the build host and of this server.',
    exitCode: ExitCode.invalid,
  });
}

/** What was found in the directory. */
interface Taken {
  /** All that is published of it; what the mirror makes of its own is not among them. */
  readonly files: readonly BuildFile[];
  readonly missing: readonly BuildFile[];
  readonly repositories: readonly PlannedRepository[];
}

class Publication {
  private readonly started = Date.now();
  private said = this.started;
  private readonly store: Store;
  private readonly id: string;
  private readonly work: string;
  private readonly describing: string;

  constructor(
    private readonly context: PublishContext,
    private readonly wanted: BuildWanted,
    private readonly archive: BuildsDefinition,
  ) {
    const { layout } = context;
    const { series, timestamp } = wanted;
    this.store = new Store(layout.store);
    this.id = `builds/${series}`;
    this.work = join(layout.buildWork, `${flat(series)}${MADE}${timestamp}`);
    this.describing = layout.temporary(this.id);
  }

  async run(): Promise<BuildPublished> {
    const { layout } = this.context;
    const { series, timestamp, dryRun } = this.wanted;
    const known = await timestampsOf(layout, series);
    if (dryRun !== true) await this.clear(known);
    try {
      const all = await this.digests(walkBuild(this.wanted.directory));
      this.requireSums(all);
      const directories = rpmDirectories(all);
      const files = all.filter(({ path }) => !isReplaced(path, directories));
      const problems = directories.flatMap(pathProblems);
      if (problems.length > 0) throw refusedBuild(problems);
      if (known.includes(timestamp)) return await this.again(files);
      const repositories = await Promise.all(directories.map((one) => planned(layout, series, one, known, this.context.say)));
      const taken: Taken = { files, repositories, missing: missingIn(this.store, files) };
      return await (dryRun === true ? this.judgeOnly(taken) : this.publish(taken));
    } catch (error) {
      throw unchanged(machineFault(error));
    } finally {
      if (dryRun !== true) await this.clear(await timestampsOf(layout, series));
    }
  }

  /** Removes what a run that was killed left: copies, a tree that was being made, and records without their build. Only for the holder of the lock. */
  private async clear(known: readonly string[]): Promise<void> {
    const { layout } = this.context;
    const { series } = this.wanted;
    await removeTree(this.describing);
    await (await this.store.incoming(this.id)).close();
    for (const name of await namesIn(layout.buildWork))
      if (name.startsWith(flat(series) + MADE)) await removeTree(join(layout.buildWork, name));
    const records = dirname(layout.buildRecord(series, 'x', 'json'));
    for (const name of await namesIn(records)) {
      const [timestamp = ''] = name.split('.');
      if (isTimestamp(timestamp) && !known.includes(timestamp)) await rm(join(records, name), { force: true });
    }
  }

  private digests(found: readonly FoundFile[]): Promise<readonly BuildFile[]> {
    return digestFiles(this.wanted.directory, found, this.counting(found.length, 'files are read'));
  }

  private counting(total: number, what: string): () => void {
    let done = 0;
    return () => {
      done++;
      if (Date.now() - this.said < SAY_EVERY) return;
      this.said = Date.now();
      this.context.say(`${this.wanted.series} ${this.wanted.timestamp}: ${done} of ${total} ${what}`);
    };
  }

  private requireSums(files: readonly BuildFile[]): void {
    const sums = files.find(({ path }) => path === SUMS);
    const problems = ((): readonly BuildProblem[] => {
      if (sums === undefined) return this.wanted.sums === 'required' ? [{ path: SUMS, why: 'is missing' }] : [];
      if (sums.size > MAX_SUMS) return [{ path: SUMS, why: `has more than ${MAX_SUMS} bytes` }];
      return sumsProblems(readAgain(this.wanted.directory, sums), files);
    })();
    if (problems.length > 0) throw refusedBuild(problems, 'BUILD_SUMS');
  }

  /** The build is there already: with the same content nothing changes, and links that a killed run left behind are put right. */
  private async again(files: readonly BuildFile[]): Promise<BuildPublished> {
    const { layout } = this.context;
    const { series, timestamp, dryRun } = this.wanted;
    const record = await requireSameBuild(layout, series, timestamp, files);
    const { succeeded, noNewContent, files: count, bytes, repositories } = record;
    const links = dryRun === true ? [] : await updateBuildLinks(layout, series);
    const leadTo = linksOf(await buildsOf(layout, series));
    return this.outcome('unchanged', { succeeded, noNewContent, files: count, bytes, newBytes: 0, repositories }, links, leadTo);
  }

  /** Says what would become of it. */
  private async judgeOnly(taken: Taken): Promise<BuildPublished> {
    const { layout } = this.context;
    const { series } = this.wanted;
    await this.requireRoom(taken);
    this.judge(taken, (file) => join(this.wanted.directory, file.path));
    const markers = markersOf(taken.files);
    const builds = await buildsOf(layout, series);
    const before = linksOf(builds);
    const leadTo = linksOf([...builds, this.linkable(taken.files, markers)]);
    const links = [...leadTo].flatMap(([link, to]): LinkChange[] => {
      const from = before.get(link);
      return from === to ? [] : [{ link, to, ...(from === undefined ? {} : { from }) }];
    });
    const newBytes = taken.missing.reduce((sum, { size }) => sum + size, 0);
    return this.outcome(
      'judged',
      { ...markers, ...countsOf(taken.files), newBytes, repositories: packagesOf(taken.repositories) },
      links,
      leadTo,
    );
  }

  private linkable(files: readonly BuildFile[], markers: BuildMarkers): Linkable {
    const has = (name: string): boolean => files.some(({ path }) => path === name || path === `outputs/${name}`);
    const colour = has('RED') ? 'red' : has('YELLOW') ? 'yellow' : has('GREEN') ? 'green' : undefined;
    return { timestamp: this.wanted.timestamp, ...markers, ...(colour === undefined ? {} : { colour }) };
  }

  private requireRoom({ missing }: Taken): Promise<void> {
    const { layout, definitions } = this.context;
    const bytes = missing.reduce((sum, { size }) => sum + size, 0);
    return requireRoom(layout, definitions.server, this.wanted.series, { bytes, files: missing.length });
  }

  private judge({ files, repositories }: Taken, locate: (file: BuildFile) => string): void {
    const problems = [
      ...formProblems(files, (file) => readFileSync(locate(file))),
      ...repositories.flatMap((repository) => headerProblems(repository, locate)),
    ];
    if (problems.length > 0) throw refusedBuild(problems);
  }

  private async publish(taken: Taken): Promise<BuildPublished> {
    const { layout } = this.context;
    const { series, timestamp } = this.wanted;
    await this.requireRoom(taken);
    const incoming = await this.store.incoming(this.id);
    try {
      const { missing } = taken;
      await copyFiles(this.wanted.directory, missing, incoming, this.counting(missing.length, 'new files are copied'));
      const locate = (file: BuildFile): string => incoming.locate({ algorithm: 'sha256', hex: file.sha256 });
      this.judge(taken, locate);
      const record = await this.build(taken, locate);
      await mkdir(layout.series(series), { recursive: true });
      await incoming.around(() => flushFileSystem(layout.root));
      await rename(this.work, layout.build(series, timestamp));
      // Journals keep the order of renames, POSIX does not promise it.
      await flushDirectory(layout.series(series));
      return await this.lead(record, taken).catch((error: unknown) => {
        throw afterwards(machineFault(error), timestamp);
      });
    } finally {
      await incoming.close();
    }
  }

  /** What follows once it is published. */
  private async lead(record: BuildRecord, { repositories }: Taken): Promise<BuildPublished> {
    const { layout } = this.context;
    const { series } = this.wanted;
    const links = await updateBuildLinks(layout, series);
    await this.forgetCatalogues(repositories);
    return this.outcome('published', record, links, linksOf(await buildsOf(layout, series)));
  }

  /** Makes the whole tree, and writes what is known of it beside it. Nothing is flushed. */
  private async build(taken: Taken, locate: (file: BuildFile) => string): Promise<BuildRecord> {
    const { layout, say } = this.context;
    const { series, timestamp } = this.wanted;
    const { files, missing, repositories } = taken;
    const builder = await TreeBuilder.at(this.store, this.work);
    for (const file of files) builder.add({ path: file.path, checksum: { algorithm: 'sha256', hex: file.sha256 } }, locate(file));
    const at = this.context.now();
    const own: string[] = [];
    if (repositories.length > 0) {
      const signer = await this.context.signer();
      const context = { layout, series, timestamp, tree: this.work, locate, signer, at, say };
      const written = repositories.map((one, index) => writeRepository({ ...context, work: join(this.describing, String(index)) }, one));
      own.push(...(await allOf(written)).flat());
    }
    const { siteUrl } = this.archive;
    if (siteUrl !== undefined && repositories.length > 0) {
      const text = buildRepo(
        siteUrl,
        series,
        timestamp,
        repositories.map(({ directory }) => directory),
      );
      builder.add({ path: BUILD_REPO, bytes: Buffer.from(text) });
      own.push(BUILD_REPO);
    }
    const lines: ManifestLine[] = files.map(({ path, sha256, size }) => ({ path, size, checksum: { algorithm: 'sha256', hex: sha256 } }));
    let newBytes = missing.reduce((sum, { size }) => sum + size, 0);
    for (const path of own) {
      const bytes = await readFile(join(this.work, path));
      lines.push({ path, size: bytes.length, checksum: { algorithm: 'sha256', hex: createHash('sha256').update(bytes).digest('hex') } });
      newBytes += bytes.length;
    }
    const manifest = lines
      .sort((a, b) => (a.path < b.path ? -1 : 1))
      .map(manifestLine)
      .join('');
    const record: BuildRecord = {
      version: 1,
      series,
      timestamp,
      publishedAt: at.toISOString(),
      ...markersOf(files),
      ...countsOf(lines),
      newBytes,
      repositories: packagesOf(repositories),
      manifest: createHash('sha256').update(manifest).digest('hex'),
    };
    mkdirSync(dirname(layout.buildRecord(series, timestamp, 'json')), { recursive: true });
    writeFileSync(layout.buildRecord(series, timestamp, 'manifest'), manifest);
    writeFileSync(layout.buildRecord(series, timestamp, 'json'), `${JSON.stringify(record, undefined, 1)}\n`);
    return record;
  }

  /** Of superseded metadata nobody asks for them. */
  private async forgetCatalogues(repositories: readonly PlannedRepository[]): Promise<void> {
    const { layout } = this.context;
    const { series, timestamp } = this.wanted;
    for (const { directory } of repositories) {
      const own = catalogueOf(layout, series, timestamp, directory.path);
      const suffix = own.slice(own.indexOf('.', own.lastIndexOf('/')));
      const others = (await namesIn(dirname(own))).filter((name) => name.endsWith(suffix) && join(dirname(own), name) !== own);
      for (const name of others) await rm(join(dirname(own), name), { force: true });
    }
  }

  private outcome(
    result: BuildPublished['result'],
    of: Pick<BuildPublished, 'succeeded' | 'noNewContent' | 'files' | 'bytes' | 'newBytes' | 'repositories'>,
    links: readonly LinkChange[],
    leadTo: ReadonlyMap<string, string>,
  ): BuildPublished {
    const { series, timestamp } = this.wanted;
    const { succeeded, noNewContent, files, bytes, newBytes, repositories } = of;
    return {
      series,
      timestamp,
      result,
      ...{ succeeded, noNewContent, files, bytes, newBytes, repositories, links },
      leadTo: Object.fromEntries(leadTo),
      repoFile: this.archive.siteUrl !== undefined && repositories.length > 0,
      seconds: (Date.now() - this.started) / 1000,
    };
  }
}

/** What the names of builds that are being made have after their series. */
const MADE = '@new-';

function countsOf(files: readonly { readonly size: number }[]): { readonly files: number; readonly bytes: number } {
  return { files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}

function packagesOf(repositories: readonly PlannedRepository[]): BuildRecord['repositories'] {
  return repositories.map(({ directory }) => ({ path: directory.path, packages: directory.packages.length }));
}

/** The build is published, and what comes then failed. */
function afterwards(error: unknown, timestamp: string): unknown {
  if (!(error instanceof MirrorError)) return error;
  return new MirrorError({
    code: 'LINKS_BEHIND',
    message: `the build ${timestamp} is published, and the links to it could not be brought up to date: ${error.message}`,
    remedy: `Publish the same build again once that is put right: it changes nothing but the links. ${error.remedy}`,
    exitCode: error.exitCode,
    cause: error,
  });
}

/** The same with a remedy for a publish, which leaves nothing for the next run. */
function unchanged(error: unknown): unknown {
  if (!(error instanceof MirrorError) || error.code !== 'DISK_FULL') return error;
  return new MirrorError({
    code: error.code,
    message: error.message,
    remedy:
      'Nothing was published. Free space or enlarge the file system (mirrorctl build expire --dry-run says what goes), then publish again.',
    exitCode: error.exitCode,
    cause: error,
  });
}
