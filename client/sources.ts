/** In which places files are looked for, in which order. */
import { basename, dirname, isAbsolute, join } from 'node:path';
import { readdirSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { RetryOptions } from '../downloads/sources';
import { mirrorPath } from '../starlingx/url-mapping';
import { parseYumRepos, type YumRepo } from '../starlingx/yum-repos';
import { Addresses } from './addresses';
import { Keys, type UpstreamKeys } from './keys';
import { readRegular } from './lists';
import { takes } from './package-globs';
import type { PlaceProblem, Round } from './places';
import { Repository } from './repository';
import type { Servers } from './servers';
import type { Settings } from './settings';
import { SignedDirectory } from './sums';
import type { Wanted } from './wanted';
import type { Web } from './web';
import type { Workspace } from './workspace';

/** So many repositories are looked into at a time: of 140 most runs need few. */
const AT_A_TIME = 8;

export interface SourceOptions {
  readonly settings: Settings;
  readonly web: Web;
  readonly servers: Servers;
  readonly workspace: Workspace;
  readonly retry: RetryOptions;
  readonly mirrorKeys: Keys;
  readonly upstreamKeys: UpstreamKeys;
  readonly repositories: readonly YumRepo[];
  readonly warn: (line: string) => void;
  readonly onProblem: (problem: PlaceProblem) => void;
}

/** What the mirror says of all files at once, and where its lists are. */
export interface MirrorPlaces {
  readonly packages: Repository;
  readonly tarballs: SignedDirectory;
  readonly install: SignedDirectory;
  readonly lists: SignedDirectory;
}

/** Below the base of the mirror. */
export function starlingxPath(
  what: 'lists' | 'tarballs',
  { branch, distro, layer }: Pick<Settings, 'branch' | 'distro' | 'layer'>,
): string {
  return ['mirror/starlingx', what, branch, distro, ...(layer === undefined ? [] : [layer])].join('/');
}

/** @param base of the mirror */
export function mirrorPlaces(base: string, { settings, web, servers, workspace, retry, mirrorKeys, warn }: SourceOptions): MirrorPlaces {
  const common = { client: web.to(base, true), workspace, retry, servers, warn };
  const { branch, layer, installUrl, distro } = settings;
  const of = layer === undefined ? branch : `${branch}, ${layer}`;
  const lists = `${base}/${starlingxPath('lists', settings)}/`;
  const tarballs = `${base}/${starlingxPath('tarballs', settings)}/`;
  const directory = (name: string, at: string, file: string, nameOf: (wanted: Wanted) => string | undefined): SignedDirectory =>
    new SignedDirectory({ ...common, name, base: at, file, keys: mirrorKeys, nameOf });
  return {
    packages: new Repository({
      ...common,
      name: `mirror: packages of the lists (${of})`,
      side: 'mirror',
      bases: [lists],
      metadataKeys: mirrorKeys,
      mustBeSigned: true,
      authority: true,
    }),
    tarballs: directory(`mirror: tarballs (${of})`, tarballs, 'SHA256SUMS', ({ kind, name, script }) =>
      kind === 'tarball' ? (script === undefined ? name : `originals/${name}`) : undefined,
    ),
    install: directory('mirror: installer', `${base}/${mirrorPath(installUrl, distro).encoded}/`, '.mirror/SHA256SUMS', ({ kind, name }) =>
      kind === 'install' ? name : undefined,
    ),
    lists: directory(`mirror: lists (${of})`, `${lists}lists/`, 'SHA256SUMS', () => undefined),
  };
}

/**
 * The order of one side: what has everything at once, then the released builds, then repositories by priority, then the addresses that lines give.
 *
 * @param released repositories of the builds of a release
 */
export function roundsOf(
  side: 'mirror' | 'upstream',
  options: SourceOptions,
  mirror: MirrorPlaces | undefined,
  released: readonly Repository[],
): readonly Round[] {
  const { settings, web, upstreamKeys } = options;
  const rounds: Round[] = [];
  const base = settings.base;
  if (side === 'mirror' && mirror !== undefined) rounds.push([mirror.packages, mirror.tarballs, mirror.install]);
  const sorted = options.repositories
    .map((repo, order) => ({ repo, order }))
    .filter(({ repo }) => repo.enabled)
    .sort((a, b) => (a.repo.priority ?? 99) - (b.repo.priority ?? 99) || a.order - b.order);
  const repositories = sorted.flatMap(({ repo }) => usable(side, repo, options));
  const all = [...(side === 'mirror' ? released : []), ...repositories];
  for (let from = 0; from < all.length; from += AT_A_TIME) rounds.push(all.slice(from, from + AT_A_TIME));
  const remedy = upstreamKeys.remedy([]);
  const mapped = ({ url, name, made, list, line }: Wanted): string | undefined =>
    url === undefined || base === undefined
      ? undefined
      : `${base}/${mirrorPath(url, settings.distro, `${list} line ${line}`).encoded}${made === undefined ? '' : `/${encodeURIComponent(name)}`}`;
  rounds.push([
    side === 'mirror'
      ? new Addresses('mirror: addresses of the lists', side, web, mapped, upstreamKeys.all(), remedy)
      : new Addresses('upstream: addresses of the lists', side, web, ({ url }) => url, upstreamKeys.all(), remedy),
  ]);
  return rounds;
}

/** One whose address has no place on the mirror costs itself. */
function usable(side: 'mirror' | 'upstream', repo: YumRepo, options: SourceOptions): readonly Repository[] {
  if (repo.baseurls.length === 0) {
    // It is said once, though each side would have asked it.
    if (side === options.settings.sides[0]) options.onProblem({ place: repo.id, error: withoutBase(repo) });
    return [];
  }
  try {
    return [repository(side, repo, options)];
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    options.onProblem({ place: `${side}: ${repo.id}`, error });
    return [];
  }
}

function repository(side: 'mirror' | 'upstream', repo: YumRepo, options: SourceOptions): Repository {
  const { settings, web, servers, workspace, retry, mirrorKeys, upstreamKeys, warn } = options;
  const bases =
    side === 'upstream'
      ? repo.baseurls
      : // One place of the mirror for each address: which of them it copies, it knows.
        repo.baseurls.map((url) => `${settings.base}/${mirrorPath(url, settings.distro, `[${repo.id}] baseurl`).encoded}/`);
  const named = upstreamKeys.named(repo.gpgkeys);
  const none = new Keys([], '');
  return new Repository({
    name: `${side}: ${repo.id}`,
    side,
    client: web.to(bases[0] as string, side === 'mirror'),
    workspace,
    bases: [...new Set(bases)],
    metadataKeys: side === 'mirror' ? mirrorKeys : repo.repoGpgcheck ? named : none,
    mustBeSigned: side === 'upstream' && repo.repoGpgcheck,
    takes: (identity) => takes(repo, identity),
    ...(repo.gpgcheck === true ? { packageKeys: named, keysRemedy: upstreamKeys.remedy(repo.gpgkeys) } : {}),
    retry,
    servers,
    warn,
  });
}

/** Mirror lists and metalinks name the mirrors of today, which the mirror has no place for. */
function withoutBase({ id, mirrorlist, metalink }: YumRepo): MirrorError {
  const instead = metalink !== undefined ? 'a metalink' : mirrorlist !== undefined ? 'a mirrorlist' : undefined;
  return new MirrorError({
    code: 'BASEURL_MISSING',
    message: `[${id}] has ${instead === undefined ? 'no baseurl' : `${instead} and no baseurl`}: nothing was looked for there`,
    remedy: 'Give it a baseurl: one of the servers that its list names.',
    exitCode: ExitCode.invalid,
  });
}

/**
 * The repositories of a run: those of `-c yum.conf` (its `reposdir`), else of `yum.repos.d` beside the lists.
 *
 * @throws MirrorError where a file cannot be read or understood
 */
export function readRepositories(
  yumConf: string | undefined,
  directories: readonly string[],
  variables: Readonly<Record<string, string>>,
): readonly YumRepo[] {
  const places = yumConf === undefined ? directories.map((directory) => join(directory, 'yum.repos.d')) : [reposDirectory(yumConf)];
  const files = places.flatMap((place) => repoFiles(place, yumConf !== undefined));
  // Where a file leaves it to yum.conf, packages have to be signed unless that says otherwise.
  const gpgcheck = yumConf === undefined || !/^(0|no|false)$/i.test(mainOptions(yumConf).get('gpgcheck') ?? '');
  const repositories = files.flatMap((file) => parseYumRepos(readRegular(file), basename(file), variables));
  // Layers share files.
  const byId = new Map<string, YumRepo>();
  for (const one of repositories) if (!byId.has(one.id)) byId.set(one.id, { gpgcheck, ...one });
  return [...byId.values()];
}

/** What `[main]` says: other sections are repositories, and speak for themselves alone. */
function mainOptions(yumConf: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  let isMain = false;
  for (const line of readRegular(yumConf).toString('utf8').split(/\r?\n/)) {
    const section = /^\[([^\]]*)\]/.exec(line)?.[1];
    if (section !== undefined) isMain = section.trim() === 'main';
    const [, name, value] = /^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (isMain && name !== undefined && value !== undefined && value !== '') options.set(name.toLowerCase(), value);
  }
  return options;
}

function reposDirectory(yumConf: string): string {
  const named = mainOptions(yumConf).get('reposdir')?.split(/\s/)[0];
  if (named === undefined) return join(dirname(yumConf), 'yum.repos.d');
  return isAbsolute(named) ? named : join(dirname(yumConf), named);
}

function repoFiles(directory: string, mustExist: boolean): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.repo'))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (!mustExist && (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new MirrorError({
      code: 'REPOSITORIES_UNREADABLE',
      message: `${directory} cannot be read: ${(error as Error).message}`,
      remedy: 'Name the directory of the .repo files by reposdir= in the file of -c.',
      exitCode: ExitCode.invalid,
    });
  }
}
