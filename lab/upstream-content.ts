/** What the upstreams serve: built once per cache, copied for each instance, changed by commands. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Instance } from './instance';
import { addArchive, listSetContent, type ListSetPlaces, placeIn } from './list-set-content';
import { packagesNamed } from './list-set-packages';
import { withLock } from './lock';
import { addPackages, makeMetadata, packagesIn, revisionOf } from './repository';
import { type BuiltPackage, builtPackages } from './rpm-build';
import { eachOf, run, step, succeeds, usageError } from './shell';
import { type SigningKey, signingKeys } from './signing-keys';
import { FILES, type SourcePackage, UPSTREAM_HOSTS, UPSTREAM_KEYS, type UpstreamRepository, UPSTREAMS } from './upstreams';

/** Raise it when repositories come out differently. */
const RECIPE = 1;

export const contentRoot = (instance: Instance): string => join(instance.state, 'upstream/www');
const historyRoot = (instance: Instance): string => join(instance.state, 'upstream/before');

/** Directory of a repository in a tree with one directory per host. */
export function placeOf(row: UpstreamRepository, root: string): string {
  const url = new URL(row.url);
  return join(root, url.hostname, url.pathname);
}

/** The row named by a command: by name or by URL. */
export function upstreamNamed(text: string): UpstreamRepository {
  const row = UPSTREAMS.find((r) => r.name === text || r.url.replace(/\/$/, '') === text.replace(/\/$/, ''));
  if (!row)
    throw usageError(
      `${JSON.stringify(text)} is no repository of the lab`,
      `One of: ${UPSTREAMS.map((r) => r.name).join(', ')}; or its URL.`,
    );
  return row;
}

/** Copies the content for the instance when it has none. */
export async function contentUp(instance: Instance): Promise<void> {
  const root = contentRoot(instance);
  if (existsSync(root)) return;
  const cached = await cachedRepositories(instance.cache);
  const work = `${root}.new`;
  rmSync(work, { recursive: true, force: true });
  for (const row of UPSTREAMS) copyTree(cached.get(row) as string, placeOf(row, work));
  for (const url of FILES) addArchive(placeIn(work, url), url, url, basename(url, '.tar.xz'));
  layOver((await listSetContent(instance.cache, join(instance.checkout, 'lists/stx-3.0'))).www, work);
  renameSync(work, root);
}

/** What the lists of another release ask for, too, until `contentRestore`; what was there stays. */
export async function listSetUp(instance: Instance, lists: string): Promise<ListSetPlaces> {
  const places = await listSetContent(instance.cache, lists);
  layOver(places.www, contentRoot(instance));
  return places;
}

function layOver(www: string, root: string): void {
  const unknown = readdirSync(www).filter((host) => !UPSTREAM_HOSTS.includes(host));
  if (unknown.length > 0) throw usageError(`the lab does not answer for ${unknown.join(', ')}`, 'Add the hosts to lab/upstreams.ts.');
  run(['cp', '-an', ...(sameFileSystem(www, root) ? ['-l'] : []), `${www}/.`, root]);
}

const sameFileSystem = (a: string, b: string): boolean => statSync(a).dev === statSync(b).dev;

/** Every package as it was at first. What was changed has a new revision: an upstream that takes a change back makes its metadata anew. */
export async function contentRestore(instance: Instance): Promise<void> {
  const root = contentRoot(instance);
  const changed = UPSTREAMS.filter((row) => existsSync(join(historyRoot(instance), row.name)));
  const revisions = new Map(changed.map((row) => [row, revisionOf(placeOf(row, root))]));
  for (const directory of [root, historyRoot(instance)]) rmSync(directory, { recursive: true, force: true });
  await contentUp(instance);
  const keys = await signingKeys(instance.cache, UPSTREAM_KEYS);
  for (const [row, revision] of revisions) {
    makeMetadata(row, placeOf(row, root), keys.get(row.key) as SigningKey, revision);
    // It was changed, once and for all.
    mkdirSync(join(historyRoot(instance), row.name), { recursive: true });
  }
}

/** Hard links where both are on one file system: nothing here is changed in place. */
function copyTree(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  rmSync(to, { recursive: true, force: true });
  if (succeeds(['cp', '-al', from, to])) return;
  rmSync(to, { recursive: true, force: true });
  run(['cp', '-a', from, to]);
}

async function cachedRepositories(cache: string): Promise<Map<UpstreamRepository, string>> {
  const keys = await signingKeys(cache, UPSTREAM_KEYS);
  const places = new Map(
    UPSTREAMS.map((row) => [row, join(cache, 'repositories', `${row.name}-${digestOf(row, keys.get(row.key) as SigningKey)}`)]),
  );
  const missing = UPSTREAMS.filter((row) => !existsSync(places.get(row) as string));
  if (missing.length > 0) {
    await withLock(join(cache, 'repositories.lock'), async () => {
      const still = missing.filter((row) => !existsSync(places.get(row) as string));
      if (still.length > 0)
        await step(`made the content of ${still.length} upstream repositories`, () => buildAll(cache, still, keys, places));
    });
  }
  return places;
}

async function buildAll(
  cache: string,
  rows: readonly UpstreamRepository[],
  keys: ReadonlyMap<string, SigningKey>,
  places: ReadonlyMap<UpstreamRepository, string>,
): Promise<void> {
  mkdirSync(join(cache, 'repositories'), { recursive: true });
  // By key: repositories of binaries and of sources share their packages.
  for (const name of new Set(rows.map((row) => row.key))) {
    const key = keys.get(name) as SigningKey;
    const mine = rows.filter((row) => row.key === name);
    await builtPackages(cache, distinct(mine.flatMap((row) => row.packages)), key);
    await eachOf(mine, 2, async (row) => {
      const work = mkdtempSync(join(cache, 'repositories', '.new-'));
      addPackages(row, work, await builtPackages(cache, row.packages, key));
      makeMetadata(row, work, key);
      renameSync(work, places.get(row) as string);
    });
  }
}

function distinct(sources: readonly SourcePackage[]): SourcePackage[] {
  return [...new Map(sources.map((source) => [JSON.stringify(source), source])).values()];
}

function digestOf(row: UpstreamRepository, key: SigningKey): string {
  return createHash('sha256')
    .update(JSON.stringify([RECIPE, { ...row, evidence: '' }, key.fingerprint]))
    .digest('hex')
    .slice(0, 12);
}

// ---- Changes ------------------------------------------------------------------------------------------------------------------------------

/** Makes another version, or another package, known to an upstream. Returns the files. */
export async function contentAdd(
  instance: Instance,
  row: UpstreamRepository,
  name: string,
  version: string,
  release: string,
): Promise<string[]> {
  const like = row.packages.find((source) => source.name === name || source.binaries?.includes(name));
  const source: SourcePackage = like ? { ...like, version, release } : { name, version, release, arch: 'x86_64' };
  const key = (await signingKeys(instance.cache, UPSTREAM_KEYS)).get(row.key) as SigningKey;
  const packages = await builtPackages(instance.cache, [source], key);
  return change(instance, row, key, (directory) => {
    addPackages(row, directory, packages);
    return packages.filter((p: BuiltPackage) => p.source === (row.kind === 'source')).map((p) => p.file);
  });
}

/** Adds packages by their file names, as many as there are at once. Those that are there already stay as they are. */
export async function contentProvide(instance: Instance, row: UpstreamRepository, files: readonly string[]): Promise<string[]> {
  const key = (await signingKeys(instance.cache, UPSTREAM_KEYS)).get(row.key) as SigningKey;
  const present = new Set(packagesIn(placeOf(row, contentRoot(instance))).map((path) => basename(path)));
  const missing = files.filter((file) => !present.has(file));
  const built = await packagesNamed(instance.cache, missing, key);
  const packages = missing.map((file) => ({ file, path: built.get(file) as string, source: file.endsWith('.src.rpm') }));
  return change(instance, row, key, (directory) => {
    addPackages(row, directory, packages);
    return missing;
  });
}

/** Takes all versions of a package away. Returns the files. */
export async function contentDrop(instance: Instance, row: UpstreamRepository, name: string): Promise<string[]> {
  const key = (await signingKeys(instance.cache, UPSTREAM_KEYS)).get(row.key) as SigningKey;
  return change(instance, row, key, (directory) => {
    const gone = packagesIn(directory).filter((path) => packageName(path) === name);
    if (gone.length === 0)
      throw usageError(
        `${row.name} has no package ${name}`,
        `It has: ${[...new Set(packagesIn(directory).map(packageName))].slice(0, 30).join(', ')}`,
      );
    for (const path of gone) rmSync(join(directory, path));
    return gone.map((path) => basename(path));
  });
}

/** Serves what was served before the last change: an upstream, or somebody in between, that rolls back. */
export function contentRollback(instance: Instance, row: UpstreamRepository): void {
  const kept = join(historyRoot(instance), row.name);
  const last = existsSync(kept)
    ? readdirSync(kept)
        .map(Number)
        .sort((a, b) => b - a)[0]
    : undefined;
  if (last === undefined)
    throw usageError(`${row.name} was not changed since \`upstream restore\``, 'Change it first: scripts/lab upstream update …');
  const directory = placeOf(row, contentRoot(instance));
  rmSync(directory, { recursive: true, force: true });
  renameSync(join(kept, String(last)), directory);
}

/** Flips a byte in the middle of a file: the size stays. Returns the file, relative to the repository. */
export function contentCorrupt(instance: Instance, row: UpstreamRepository, what: string): string {
  const directory = placeOf(row, contentRoot(instance));
  const all = (readdirSync(directory, { recursive: true }) as string[]).filter((path) => statSync(join(directory, path)).isFile());
  const matches = [
    (p: string) => p === what,
    (p: string) => p.endsWith('.rpm') && packageName(p) === what,
    (p: string) => basename(p).includes(what),
  ];
  const file = matches.map((match) => all.filter(match).sort().at(-1)).find((found) => found !== undefined);
  if (file === undefined)
    throw usageError(
      `${row.name} has no file or package ${what}`,
      'Name a path below the repository, a package, or a part of a file name, for instance "primary.xml".',
    );
  const path = join(directory, file);
  const bytes = readFileSync(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] as number) ^ 0xff;
  replaceFile(path, bytes);
  return file;
}

/** A new inode: the cache, and the history, hold the old one. */
function replaceFile(path: string, bytes: Buffer): void {
  const { mtime } = statSync(path);
  writeFileSync(`${path}.new`, bytes);
  run(['touch', '-d', mtime.toISOString(), `${path}.new`]);
  renameSync(`${path}.new`, path);
}

/** Changes a repository in a copy and puts the copy in its place, keeping what was. */
function change<T>(instance: Instance, row: UpstreamRepository, key: SigningKey, work: (directory: string) => T): T {
  const directory = placeOf(row, contentRoot(instance));
  const next = `${directory.replace(/\/$/, '')}.next`;
  copyTree(directory, next);
  try {
    const result = work(next);
    makeMetadata(row, next, key);
    const kept = join(historyRoot(instance), row.name);
    mkdirSync(kept, { recursive: true });
    renameSync(directory, join(kept, String(readdirSync(kept).length + 1)));
    renameSync(next, directory);
    return result;
  } finally {
    rmSync(next, { recursive: true, force: true });
  }
}

/** `name` of `…/name-version-release.arch.rpm`. */
export function packageName(path: string): string {
  return basename(path).replace(/-[^-]+-[^-]+\.[^.]+\.rpm$/, '');
}
