/** From settings to a report: everything that a run needs, opened and closed. */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDigests, writeDigests } from '../starlingx/digests';
import { mirrorPath } from '../starlingx/url-mapping';
import { Keys, UpstreamKeys } from './keys';
import { listsIn, type LocalLists, localLists, requestOf } from './lists';
import type { PlaceProblem } from './places';
import { Progress } from './progress';
import { releasedBuilds } from './released-builds';
import { type Report, reportOf } from './report';
import { type Outcome, Run } from './run';
import { servedLists } from './served-lists';
import { Servers } from './servers';
import type { Settings } from './settings';
import { type MirrorPlaces, mirrorPlaces, readRepositories, roundsOf, type SourceOptions, starlingxPath } from './sources';
import { recordedName } from './wanted';
import { Web } from './web';
import { Workspace } from './workspace';

const RETRY = { tries: 3, backoff: 200 };
/** Where digests of what was taken at first sight are written, in the output. */
export const FIRST_SIGHT = 'first-sight.sha256';

export interface SessionOptions {
  readonly settings: Settings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly progress: NodeJS.WriteStream | undefined;
}

/** @throws MirrorError where nothing can be done at all; what single files lack is in the report */
export async function download({ settings, environment, signal, progress }: SessionOptions): Promise<Report> {
  const startedAt = new Date();
  const scratch = settings.dryRun ? mkdtempSync(join(tmpdir(), 'download-mirror-')) : undefined;
  const workspace = Workspace.open(settings.output, scratch);
  const web = new Web(settings, environment, signal);
  const shown = new Progress(progress);
  const warnings: string[] = [];
  const problems: PlaceProblem[] = [];
  const retry = { ...RETRY, signal };
  let keepDigests = (): void => undefined;
  try {
    const mirrorKeys = new Keys(settings.key === undefined ? [] : [settings.key], workspace.private('keys', 'mirror'));
    const upstreamKeys = new UpstreamKeys(settings.keys, workspace.private('keys'));
    const warn = (line: string): void => void (warnings.includes(line) || warnings.push(line));
    const onProblem = (problem: PlaceProblem): void => void problems.push(problem);
    const common = { settings, web, servers: new Servers(), workspace, retry, mirrorKeys, upstreamKeys, warn, onProblem };
    const mirror = settings.base === undefined ? undefined : mirrorPlaces(settings.base, { ...common, repositories: [] });
    const local = localOf(settings);
    const lists = local?.lists ?? (await served(settings, mirror as MirrorPlaces, common));
    const request = requestOf(lists, settings.installUrl);
    const options = { ...common, repositories: readRepositories(settings.yumConf, local?.directories ?? [], settings.variables) };
    const released = await releasedOf(settings, common);
    const seen = firstSights(settings.output);
    const run = new Run({
      workspace,
      servers: common.servers,
      retry,
      parallel: web.to('http:').parallel,
      authorities: mirror === undefined ? [] : [mirror.packages, mirror.tarballs, mirror.install],
      rounds: settings.sides.flatMap((side) => roundsOf(side, options, mirror, released)),
      recorded: new Map([...seen, ...(local?.recorded ?? [])]),
      firstSight: settings.firstSight,
      verify: settings.verify,
      dryRun: settings.dryRun,
      signal,
      progress: shown,
    });
    if (!settings.dryRun) keepDigests = () => recordFirstSights(settings.output, seen, run.outcomes);
    if (!settings.dryRun) for (const folder of request.folders) workspace.makeDirectory(folder);
    const outcomes = await run.all(request.wanted);
    problems.push(...run.problems);
    return reportOf({ settings, lists: request.lists, outcomes, problems, warnings, startedAt, endedAt: new Date() });
  } finally {
    shown.stop();
    await web.close();
    // Also of a run that was interrupted: what came counts as here ever after.
    try {
      keepDigests();
    } finally {
      workspace.close();
    }
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }
}

/** The repositories of the builds of a release; none where no release is asked for. */
async function releasedOf({ base, release }: Settings, options: Omit<SourceOptions, 'repositories'>): ReturnType<typeof releasedBuilds> {
  return base === undefined || release === undefined ? [] : releasedBuilds(base, release, options);
}

function localOf({ listDirectory, listFiles, distro, layer }: Settings): LocalLists | undefined {
  if (listDirectory !== undefined) return localLists(listDirectory, distro, layer);
  return listFiles.length === 0 ? undefined : listsIn(listFiles);
}

async function served(
  settings: Settings,
  mirror: MirrorPlaces,
  { web, retry, warn }: Omit<SourceOptions, 'repositories'>,
): ReturnType<typeof servedLists> {
  const base = settings.base as string;
  const inLists = (name: string): boolean => /^(\.mirror\/)?lists\/[^/]+$/.test(name);
  return servedLists({
    client: web.to(base, true),
    retry,
    warn,
    places: [
      {
        what: 'packages',
        directory: mirror.lists,
        base: `${base}/${starlingxPath('lists', settings)}/lists/`,
        isList: (name) => !name.includes('/'),
        ofBranch: true,
      },
      {
        what: 'tarballs',
        directory: mirror.tarballs,
        base: `${base}/${starlingxPath('tarballs', settings)}/`,
        isList: inLists,
        ofBranch: true,
      },
      {
        what: "an installer's files",
        directory: mirror.install,
        base: `${base}/${mirrorPath(settings.installUrl, settings.distro).encoded}/`,
        isList: inLists,
        ofBranch: false,
      },
    ],
  });
}

/** What earlier runs took at first sight stays what it is. */
function firstSights(output: string): ReadonlyMap<string, string> {
  const file = join(output, FIRST_SIGHT);
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return new Map();
    throw error;
  }
  return parseDigests(bytes, file);
}

function recordFirstSights(output: string, seen: ReadonlyMap<string, string>, outcomes: readonly Outcome[]): void {
  const all = new Map(seen);
  for (const { wanted, status, proof, sha256, tar } of outcomes)
    if ((status === 'fetched' || status === 'present') && proof === 'first sight') {
      if (tar !== undefined) all.set(tar.name, tar.sha256);
      else if (sha256 !== undefined) all.set(recordedName(wanted), sha256);
    }
  if (all.size === seen.size) return;
  const file = join(output, FIRST_SIGHT);
  writeFileSync(`${file}.new`, writeDigests(all));
  renameSync(`${file}.new`, file);
}
