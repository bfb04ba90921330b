import { createHash } from 'node:crypto';
import { lstat, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { KeyReference, ReleaseDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { BUILDS_REPO, type ReleasedBuildRepository, releasedBuildsFile } from '../desired-state/render/repo-file';
import { readComponentRecord } from './component-record';
import type { Definitions } from './definitions';
import { expectedFiles } from './expected';
import { fileDigest, flushDirectory, flushFileSystem, removeTree } from './files';
import type { Layout } from './layout';
import { readRecord } from './record';
import { linkBuild, repositoriesIn, unreleasable } from './release-builds';
import { type Choice, choose, type Frozen, pinsRepository, readFrozen, RELEASE_FILE } from './releases';
import { MANIFEST_FILE, type ManifestLine, manifestLine } from './release-manifest';
import { filesOf, NEW, timeOf } from './snapshot';
import { readManifest } from './tree-manifest';

/** What became of a declared release. */
export interface Freeze {
  readonly id: string;
  /** `waiting`: its time has not come. `unsatisfiable`: something of it is not here, and never will be. */
  readonly state: 'frozen' | 'unchanged' | 'waiting' | 'unsatisfiable';
  /** Why it is unsatisfiable; of a frozen one what is missing from it. */
  readonly problems: readonly string[];
}

/** Where a release has it. */
export const PINS = 'pins';
/** Where a release has the keys of its upstreams, one file a member. */
export const KEYS = 'keys';

/** Freezes what is declared and due. The caller holds the lock of all releases. Killed at any point nothing half is there: the next run begins anew. */
export async function freeze(layout: Layout, definitions: Definitions, release: ReleaseDefinition, now: Date): Promise<Freeze> {
  const { id, at } = release;
  const frozen = await readFrozen(layout, id);
  if (frozen !== undefined) {
    requireSame(frozen, release);
    return { id, state: 'unchanged', problems: [] };
  }
  if (at !== undefined && Date.parse(at) > now.getTime()) return { id, state: 'waiting', problems: [] };
  const choices = await choose(layout, release);
  const problems = await problemsOf(layout, release, choices);
  if (problems.length > 0) return { id, state: 'unsatisfiable', problems };
  return { id, state: 'frozen', problems: await build(layout, definitions, release, choices, now) };
}

/** Why a release can never be had; nothing where it can. */
export async function problemsOf(layout: Layout, release: ReleaseDefinition, choices: readonly Choice[]): Promise<readonly string[]> {
  return [...choices.flatMap((choice) => unsatisfied(release, choice)), ...(await unreleasable(layout, release.builds ?? []))];
}

/** Why a member can never be had; nothing where it can. */
function unsatisfied({ at, members }: Pick<ReleaseDefinition, 'at' | 'members'>, choice: Choice): readonly string[] {
  if (choice.snapshot !== undefined) return [];
  const named = members.find(({ id }) => id === choice.id)?.snapshot;
  const what =
    named === undefined ? `${choice.id} has no snapshot that was there at ${at}` : `${choice.id} has no snapshot ${JSON.stringify(named)}`;
  if (choice.gone !== undefined)
    return [
      `${choice.id}@${choice.gone} was taken by retention: mirrorctl retention restore ${choice.id}@${choice.gone} brings it back while it is in quarantine`,
    ];
  if (choice.newest === undefined) return [`${what}: it was never published`];
  return [`${what}: the oldest is of ${timeIn(choice.oldest)}, the newest of ${timeIn(choice.newest)}`];
}

function timeIn(snapshot: string | undefined): string {
  return (timeOf(snapshot as string) as string).replace('.000Z', 'Z');
}

/** Refuses declarations of frozen releases that say something else. One that cannot be read holds up nothing here. */
export async function requireUnchanged(layout: Layout, releases: readonly ReleaseDefinition[]): Promise<void> {
  for (const release of releases) {
    const frozen = await readFrozen(layout, release.id).catch(() => undefined);
    if (frozen !== undefined) requireSame(frozen, release);
  }
}

function requireSame(frozen: Frozen, { id, at, members, builds = [] }: ReleaseDefinition): void {
  const before = new Map(frozen.members.map((member) => [member.id, member]));
  const differences = [
    ...(at !== undefined && at !== frozen.at ? [`its time was ${frozen.at ?? 'not declared, but its snapshots'}, and is ${at}`] : []),
    ...members.flatMap((member) => {
      const was = before.get(member.id);
      if (was === undefined) return [`${member.id} is no part of it`];
      if (member.snapshot !== undefined && member.snapshot !== was.snapshot)
        return [`${member.id} is of ${was.snapshot}, not ${member.snapshot}`];
      return member.publicPath === was.publicPath ? [] : [`${member.id} is at /${was.publicPath}/, not at /${member.publicPath}/`];
    }),
    ...frozen.members.filter((was) => !members.some((member) => member.id === was.id)).map((was) => `${was.id} is a part of it`),
    ...differentBuilds(frozen.builds ?? [], builds),
  ];
  if (differences.length === 0) return;
  throw new MirrorError({
    code: 'RELEASE_FROZEN',
    message: `the release ${id} was frozen at ${frozen.frozenAt} and never changes: ${differences.join('; ')}`,
    remedy: `Declare the release as it was, and another one under another id. One that nobody used is given up by removing it from main.ts, a deploy, and: mirrorctl retention forget releases/${id}.`,
    exitCode: ExitCode.invalid,
  });
}

function differentBuilds(frozen: NonNullable<Frozen['builds']>, declared: NonNullable<ReleaseDefinition['builds']>): readonly string[] {
  const name = (series: string, timestamp: string): string => `the build ${series}/${timestamp}`;
  return [
    ...declared.flatMap(({ series, timestamp, publicPath }) => {
      const was = frozen.find((one) => one.publicPath === publicPath);
      if (was === undefined) return [`${name(series, timestamp)} is no part of it`];
      if (was.series === series && was.timestamp === timestamp) return [];
      return [`/${publicPath}/ is ${name(was.series, was.timestamp)}, not ${name(series, timestamp)}`];
    }),
    ...frozen
      .filter((was) => !declared.some(({ publicPath }) => publicPath === was.publicPath))
      .map(({ series, timestamp }) => `${name(series, timestamp)} is a part of it`),
  ];
}

/** @returns what is missing from it */
async function build(
  layout: Layout,
  definitions: Definitions,
  { id, at, builds, url }: ReleaseDefinition,
  choices: readonly Choice[],
  now: Date,
): Promise<readonly string[]> {
  const temporary = join(layout.releases, NEW + id);
  await removeTree(temporary);
  await mkdir(temporary, { recursive: true });
  const problems: string[] = [];
  const members: Frozen['members'] = [];
  const lines: string[] = [];
  const repositories: ReleasedBuildRepository[] = [];
  for (const { id: member, publicPath, snapshot } of choices as readonly (Choice & { snapshot: string })[]) {
    const { files, missing } = await contentsOf(layout, member, snapshot);
    if (missing.length > 0)
      problems.push(`${missing.length} files of ${member} are missing, ${missing[0]} the first: mirrorctl scrub looks for them`);
    for (const file of files) lines.push(manifestLine({ ...file, path: `${publicPath}/${file.path}` }));
    await linkTo(layout, temporary, publicPath, join(layout.snapshots(member), snapshot));
    const carried = files.filter(({ checksum }) => checksum === undefined).length;
    const bytes = files.reduce((sum, file) => sum + (file.checksum === undefined ? 0 : file.size), 0);
    members.push({ id: member, publicPath, snapshot, files: files.length - carried, bytes, carried });
    const keys = await keysOf(layout, definitions, member);
    if (keys !== undefined) lines.push(manifestLine(await writeKeys(temporary, member, keys)));
  }
  const released: NonNullable<Frozen['builds']> = [];
  for (const one of builds ?? []) {
    const { lines: files, missing } = await linkBuild(layout, temporary, one);
    if (missing.length > 0)
      problems.push(`${missing.length} files of the build ${one.series}/${one.timestamp} are missing, ${missing[0]} the first`);
    lines.push(...files.map(manifestLine));
    released.push({ ...one, files: files.length, bytes: files.reduce((sum, file) => sum + file.size, 0) });
    repositories.push(...(await repositoriesIn(layout, one, files)));
  }
  if (url !== undefined) lines.push(manifestLine(await writeOwn(temporary, BUILDS_REPO, releasedBuildsFile({ id, url }, repositories))));
  await symlink(relative(layout.release(id), layout.current(pinsRepository(id))), join(temporary, PINS));
  const manifest = lines.join('');
  await writeFile(join(temporary, MANIFEST_FILE), manifest, { mode: 0o444 });
  const frozen: Frozen = {
    version: 1,
    id,
    ...(at === undefined ? {} : { at }),
    frozenAt: now.toISOString(),
    members,
    ...(builds === undefined ? {} : { builds: released }),
    manifest: createHash('sha256').update(manifest).digest('hex'),
  };
  await writeFile(join(temporary, RELEASE_FILE), `${JSON.stringify(frozen, undefined, 1)}\n`, { mode: 0o444 });
  await flushFileSystem(layout.root);
  await rename(temporary, layout.release(id));
  await flushDirectory(layout.releases);
  return problems;
}

/**
 * What of a snapshot belongs to a release, with its digests: from what is recorded of it, without reading packages. What is recorded nowhere is read.
 */
async function contentsOf(
  layout: Layout,
  id: string,
  snapshot: string,
): Promise<{ readonly files: readonly ManifestLine[]; readonly missing: readonly string[] }> {
  const tree = join(layout.snapshots(id), snapshot);
  const expected = new Map((await expectedFiles(layout, id, snapshot)).map((file) => [file.path, file]));
  const carried =
    readRecord(layout, id, snapshot)?.carried ??
    readComponentRecord(layout, id, snapshot)?.carried ??
    (await readManifest(layout.record(id, snapshot, 'tree')))?.carried ??
    {};
  const files: ManifestLine[] = [];
  for (const path of await filesOf(tree)) {
    const file = expected.get(path);
    expected.delete(path);
    if (file !== undefined) {
      files.push({ path, checksum: file.checksum, size: file.size ?? (await lstat(join(tree, path))).size });
    } else if (Object.hasOwn(carried, path)) {
      files.push({ path, checksum: undefined, size: 0 });
    } else {
      const full = join(tree, path);
      const checksum = { algorithm: 'sha256' as const, hex: await fileDigest(full, 'sha256') };
      files.push({ path, checksum, size: (await lstat(full)).size });
    }
  }
  for (const { path, checksum, size } of expected.values()) files.push({ path, checksum, size: size ?? 0 });
  return { files, missing: [...expected.keys()] };
}

/** A symbolic link to an immutable tree, relative, so that the file system may be mounted elsewhere. */
async function linkTo(layout: Layout, temporary: string, publicPath: string, target: string): Promise<void> {
  const link = join(temporary, publicPath);
  await mkdir(dirname(link), { recursive: true });
  // Its depth is the same once it is renamed.
  const depth = relative(dirname(link), temporary);
  await symlink(join(depth, relative(join(layout.releases, 'x'), target)), link);
}

/** The keys of a copy's upstream as they are pinned now; undefined where there is none. */
async function keysOf(layout: Layout, definitions: Definitions, id: string): Promise<string | undefined> {
  const trust = definitions.repositories.find((one) => one.id === id)?.trust;
  const keys: readonly KeyReference[] = trust === undefined || trust.mode === 'digestsOnly' ? [] : trust.keys;
  if (keys.length === 0) return undefined;
  const texts: string[] = [];
  for (const { file } of keys) texts.push((await readFile(join(layout.configuration, file), 'utf8')).trimEnd());
  return `${texts.join('\n')}\n`;
}

async function writeKeys(temporary: string, member: string, text: string): Promise<ManifestLine> {
  await mkdir(join(temporary, KEYS), { recursive: true });
  return writeOwn(temporary, `${KEYS}/${member}`, text);
}

/** A file of the release itself. */
async function writeOwn(temporary: string, path: string, text: string): Promise<ManifestLine> {
  await writeFile(join(temporary, path), text, { mode: 0o444 });
  return { path, checksum: { algorithm: 'sha256', hex: createHash('sha256').update(text).digest('hex') }, size: Buffer.byteLength(text) };
}
