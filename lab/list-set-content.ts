/** A list set as its upstreams serve it: a directory per host, with repositories, files of their own address, tarballs, a git repository and an installer. Made once per cache. */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { LIST_SET_KEYS, type ListedTarball, type ListSet, readListSet } from './list-set';
import { packagesNamed } from './list-set-packages';
import { withLock } from './lock';
import { eachOf, run, runBeside, step } from './shell';
import { type SigningKey, signingKeys } from './signing-keys';

/** Raise it when trees come out differently. */
const RECIPE = 2;

export interface ListSetPlaces {
  /** One directory per host name, below it the paths of URLs. */
  readonly www: string;
  /** Public keys, by the names that `gpgkey=` of the sections has. */
  readonly keys: string;
  readonly packages: number;
  readonly repositories: number;
}

/**
 * What the lists of a directory ask of upstreams, as plain directories; nothing of the lab has to be up.
 * A minute for 2,200 packages, a moment when the cache has them.
 */
export async function listSetContent(cache: string, lists: string): Promise<ListSetPlaces> {
  const set = readListSet(lists);
  const keys = await signingKeys(cache, LIST_SET_KEYS);
  const text = JSON.stringify([RECIPE, { ...set, repositories: [...set.repositories] }, [...keys.values()].map((key) => key.fingerprint)]);
  const directory = join(cache, 'list-sets', createHash('sha256').update(text).digest('hex').slice(0, 12));
  if (!existsSync(directory)) {
    await withLock(join(cache, 'list-sets.lock'), async () => {
      if (!existsSync(directory)) await step(`made ${set.packages.length} packages of ${lists}`, () => make(cache, set, keys, directory));
    });
  }
  return { www: join(directory, 'www'), keys: join(directory, 'keys'), packages: set.packages.length, repositories: set.repositories.size };
}

/** Path of a URL in a tree with one directory per host. */
export const placeIn = (www: string, url: string): string => {
  const { hostname, pathname } = new URL(url);
  return join(www, hostname, decodeURIComponent(pathname));
};

async function make(cache: string, set: ListSet, keys: ReadonlyMap<string, SigningKey>, directory: string): Promise<void> {
  mkdirSync(dirname(directory), { recursive: true });
  const work = mkdtempSync(join(dirname(directory), '.new-'));
  try {
    const www = join(work, 'www');
    for (const [name, key] of keys) {
      const wanted = set.packages.filter((p) => p.key === name);
      const built = await packagesNamed(cache, wanted.map((p) => p.file), key); // prettier-ignore
      for (const { file, at } of wanted) {
        for (const home of at) {
          const place = placeIn(www, home);
          const target = !set.repositories.has(home) ? place : join(place, home.includes('/Source') ? 'SPackages' : 'Packages', file);
          mkdirSync(dirname(target), { recursive: true });
          linkSync(built.get(file) as string, target);
        }
      }
    }
    await makeMetadata(set, www, join(work, 'empty'));
    for (const tarball of set.tarballs) await addTarball(www, tarball, join(work, 'git'));
    // The same bytes at both addresses.
    for (const url of set.installer) addFile(placeIn(www, url), new URL(url).pathname);
    mkdirSync(join(work, 'keys'));
    for (const [name, key] of keys) copyFileSync(key.publicFile, join(work, 'keys', name));
    for (const extra of ['empty', 'git']) rmSync(join(work, extra), { recursive: true, force: true });
    renameSync(work, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Metadata of every repository; most of the real ones have no package that the lists name, and share one empty index. */
async function makeMetadata(set: ListSet, www: string, empty: string): Promise<void> {
  const createrepo = ['createrepo_c', '--quiet', '--no-database', '--revision', '1574000000', '--set-timestamp-to-revision'];
  mkdirSync(empty);
  run([...createrepo, empty]);
  const places = [...set.repositories.keys()].map((url) => placeIn(www, url));
  const filled = places.filter((place) => existsSync(place));
  await eachOf(filled, 2, async (place) => void (await runBeside([...createrepo, place])));
  for (const place of places) {
    if (existsSync(join(place, 'repodata'))) continue;
    mkdirSync(place, { recursive: true });
    run(['cp', '-a', join(empty, 'repodata'), place]);
  }
}

/** Bytes that depend on the address alone: 1 to 64 kB that do not compress. */
function addFile(path: string, url: string): void {
  if (existsSync(path)) return; // Two lines of the real list have one URL.
  const seed = createHash('sha256').update(url).digest();
  const blocks = 32 + (seed.readUInt16BE(0) % 2016);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    Buffer.concat(Array.from({ length: blocks }, (_, n) => createHash('sha256').update(seed).update(String(n)).digest())),
  );
}

/** A real archive with one such file, compressed as its address says, or else its name. */
export function addArchive(path: string, url: string, file: string, directory: string): void {
  if (existsSync(path)) return;
  const work = mkdtempSync(join(tmpdir(), 'lab-archive-'));
  try {
    addFile(join(work, directory, 'README'), url);
    mkdirSync(dirname(path), { recursive: true });
    const ending = /\.(t?gz|t?bz2|t?xz)$/.exec(url)?.[1] ?? /[^.]+$/.exec(file)?.[0] ?? '';
    const how = ending.endsWith('bz2') ? 'bzip2' : ending.endsWith('xz') ? 'xz -0' : 'gzip -n';
    const fixed = ['--sort=name', '--mtime=@1574000000', '--owner=0', '--group=0', '--numeric-owner'];
    run(['tar', '-C', work, '-I', how, ...fixed, '-cf', path, directory.split('/')[0] as string]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function addTarball(www: string, tarball: ListedTarball, work: string): Promise<void> {
  if (tarball.ref === undefined) return addArchive(placeIn(www, tarball.url), tarball.url, tarball.file, tarball.directory);
  const bare = placeIn(www, tarball.url);
  mkdirSync(join(work, 'tree'), { recursive: true });
  mkdirSync(dirname(bare), { recursive: true });
  addFile(join(work, 'tree/README'), tarball.url);
  const env = {
    ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Lab', GIT_AUTHOR_EMAIL: 'lab@lab.invalid', GIT_AUTHOR_DATE: '2019-11-17T00:00:00Z',
    GIT_COMMITTER_NAME: 'Lab', GIT_COMMITTER_EMAIL: 'lab@lab.invalid', GIT_COMMITTER_DATE: '2019-11-17T00:00:00Z',
  }; // prettier-ignore
  const git = (...args: string[]): Promise<string> => runBeside(['git', ...args], { cwd: join(work, 'tree'), env });
  await git('init', '--quiet', '--initial-branch=master');
  await git('add', '.');
  await git('commit', '--quiet', '-m', 'As the lab imitates it');
  await git('tag', tarball.ref);
  await git('clone', '--quiet', '--bare', join(work, 'tree'), bare);
  // A directory of files is all that an HTTP server of files needs to serve it.
  await runBeside(['git', 'update-server-info'], { cwd: bare, env });
}
