import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ReleaseDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Definitions } from './definitions';
import { isAbsent } from './files';
import type { Layout } from './layout';
import { goneSnapshots } from './retention-ledger';
import { currentSnapshot, namesIn, snapshotsOf, timeOf } from './snapshot';

/** `releases/<release>/release.json`: what a frozen release is made of. It never changes. */
const FrozenSchema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  /** As it was declared; absent where snapshots were named. */
  at: z.string().optional(),
  frozenAt: z.string(),
  members: z.array(
    z.strictObject({
      id: z.string(),
      publicPath: z.string(),
      snapshot: z.string(),
      files: z.number(),
      bytes: z.number(),
      /** Files of superseded snapshots that lie in this one for clients of those: served, and no part of the release. */
      carried: z.number(),
    }),
  ),
  /** Released builds: of each its inputs and outputs. */
  builds: z
    .array(
      z.strictObject({
        series: z.string(),
        timestamp: z.string(),
        publicPath: z.string(),
        files: z.number(),
        bytes: z.number(),
      }),
    )
    .min(1)
    .optional(),
  /** SHA-256 of `manifest.txt`. */
  manifest: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Frozen = z.infer<typeof FrozenSchema>;

/** Id of the small repository with what a release pins, as any other repository below `repositories/`. */
export function pinsRepository(release: string): string {
  return `releases/${release}`;
}

/** The file of a frozen release that says what it is made of. */
export const RELEASE_FILE = 'release.json';

/** Everything that changes releases, or moves what they reach, holds this lock. */
export function releasesLock(layout: Layout): string {
  return layout.lockFile('+releases');
}

/** A frozen release; undefined while it is not. Throws where it cannot be read: whoever asks would purge what it is made of. */
export async function readFrozen(layout: Layout, id: string): Promise<Frozen | undefined> {
  const path = join(layout.release(id), RELEASE_FILE);
  try {
    return FrozenSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (isAbsent(error) && !(await existingReleases(layout)).includes(id)) return undefined;
    throw new MirrorError({
      code: 'RELEASE_DAMAGED',
      message: `what the release ${id} is made of cannot be read: ${path}: ${error instanceof Error ? error.message : String(error)}`,
      remedy: `Bring the file back from a backup. To give the release up, move the directory away: mv ${layout.release(id)} ${layout.release(`.${id}`)}. Its symbolic links say which snapshots it is made of.`,
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

/** Ids of the releases that are frozen here, declared or not. Sorted. */
export async function existingReleases(layout: Layout): Promise<readonly string[]> {
  return (await namesIn(layout.releases)).filter((name) => !name.startsWith('.')).sort();
}

/** What one member of a release would be. */
export interface Choice {
  readonly id: string;
  readonly publicPath: string;
  /** Undefined where there is none. */
  readonly snapshot: string | undefined;
  /** The one that it would be, if retention had not taken it. */
  readonly gone: string | undefined;
  /** The oldest and the newest that is here. */
  readonly oldest: string | undefined;
  readonly newest: string | undefined;
}

/** Which snapshots a release is made of, by what is here now. */
export async function choose(layout: Layout, { at, members }: Pick<ReleaseDefinition, 'at' | 'members'>): Promise<readonly Choice[]> {
  const choices: Choice[] = [];
  for (const { id, publicPath, snapshot } of members) {
    const here = await snapshotsHere(layout, id);
    const there = await namesOf(layout, id);
    const gone = [...goneSnapshots(layout, id).keys()].filter((name) => !there.includes(name));
    const past = [...here, ...gone.filter((name) => name <= (here.at(-1) ?? name))].sort();
    const found =
      snapshot === undefined ? snapshotAt(past, Date.parse(at as string)) : [...there, ...gone].find((name) => name === snapshot);
    const isHere = found !== undefined && there.includes(found);
    choices.push({
      id,
      publicPath,
      snapshot: isHere ? found : undefined,
      gone: isHere ? undefined : found,
      oldest: here[0],
      newest: here.at(-1),
    });
  }
  return choices;
}

/**
 * The snapshots of a repository, a tree or a hosted component that were published, oldest first. One that is younger than the published one was
 * withdrawn, or never came to be published: it answers for no time.
 */
export async function snapshotsHere(layout: Layout, id: string): Promise<readonly string[]> {
  // Where nobody knows which one is published, all may have been.
  const current = await currentSnapshot(layout, id).catch((error: unknown) => {
    if (!(error instanceof MirrorError)) throw error;
    return undefined;
  });
  return (await namesOf(layout, id)).filter((name) => current === undefined || name <= current);
}

async function namesOf(layout: Layout, id: string): Promise<readonly string[]> {
  return (await snapshotsOf(layout, id)).filter((name) => timeOf(name) !== undefined);
}

/**
 * The newest of the snapshots that is not younger than a time.
 *
 * @param snapshots oldest first
 * @param time milliseconds
 */
export function snapshotAt(snapshots: readonly string[], time: number): string | undefined {
  return snapshots.filter((name) => Date.parse(timeOf(name) as string) <= time).at(-1);
}

/**
 * Id → snapshot → the releases that it is kept for: what frozen releases are made of, declared or not, and what declared ones would take that are not
 * frozen yet. Throws where that cannot be known. Whoever removes snapshots by it holds `releasesLock` meanwhile.
 */
export async function reachedByReleases(
  layout: Layout,
  definitions: Pick<Definitions, 'releases'>,
): Promise<ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>> {
  const reached = new Map<string, Map<string, string[]>>();
  const reach = (release: string, id: string, snapshot: string | undefined): void => {
    if (snapshot === undefined) return;
    const snapshots = reached.get(id) ?? new Map<string, string[]>();
    reached.set(id, snapshots.set(snapshot, [...(snapshots.get(snapshot) ?? []), release]));
  };
  const frozen = await existingReleases(layout);
  for (const release of frozen)
    for (const { id, snapshot } of (await readFrozen(layout, release))?.members ?? []) reach(release, id, snapshot);
  for (const release of definitions.releases.filter(({ id }) => !frozen.includes(id)))
    for (const { id, snapshot } of await choose(layout, release)) reach(release.id, id, snapshot);
  return reached;
}

/** A build among all: `<series>@<timestamp>`. */
export function buildName({ series, timestamp }: { readonly series: string; readonly timestamp: string }): string {
  return `${series}@${timestamp}`;
}

/**
 * Builds that releases are made of, as `<series>@<timestamp>`: of frozen releases, declared or not, and of declared ones that are not frozen yet. Throws
 * where that cannot be known. Whoever removes builds by it holds `releasesLock` meanwhile.
 */
export async function buildsOfReleases(layout: Layout, definitions: Pick<Definitions, 'releases'>): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const frozen = await existingReleases(layout);
  for (const release of frozen) for (const build of (await readFrozen(layout, release))?.builds ?? []) names.add(buildName(build));
  for (const { id, builds } of definitions.releases)
    if (!frozen.includes(id)) for (const build of builds ?? []) names.add(buildName(build));
  return names;
}
