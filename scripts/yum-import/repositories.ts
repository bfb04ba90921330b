/** Pure: which constructs declare what files of yum.repos.d name. */
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { id as validId, upstreamUrl } from '../../desired-state/validate';
import { upstreamListUrl } from '../../desired-state/validate-sync';
import { mirrorPath } from '../../starlingx/url-mapping';
import type { YumRepo } from '../../starlingx/yum-repos';
import { movedTo } from './moved';

export interface RepoFile {
  /** `StarlingX-EPEL-7.repo` */
  readonly name: string;
  readonly repos: readonly YumRepo[];
}

export type ImportedTrust =
  | { readonly mode: 'signedMetadata' | 'signedPackages'; readonly keys: readonly string[] }
  | { readonly mode: 'digestsOnly'; readonly reason: string };

/** One `RpmRepository`. */
export interface ImportedRepository {
  readonly id: string;
  readonly publishedAs: string;
  /** Present where the bytes come from elsewhere, or from several places: URLs, and calls of Upstream. */
  readonly fetchFrom?: readonly (string | { readonly mirrorlist: string } | { readonly metalink: string })[];
  readonly trust: ImportedTrust;
  readonly file: string;
  readonly section: string;
  /** What a reader of the declaration should know. */
  readonly notes: readonly string[];
}

/** A section of which no construct can be made, and why. */
export interface LeftOut {
  readonly file: string;
  readonly section: string;
  readonly url: string;
  readonly reason: string;
}

export interface ImportOptions {
  /** Sections that are disabled, too. */
  readonly disabled: boolean;
  /** Fetch from where upstreams are known to have moved. */
  readonly moved: boolean;
  /** Names of the key files at hand. */
  readonly keys: readonly string[];
}

export interface Imported {
  readonly repositories: readonly ImportedRepository[];
  readonly leftOut: readonly LeftOut[];
}

interface Candidate {
  readonly file: string;
  readonly repo: YumRepo;
  /** Decoded public path. */
  readonly path: string;
  readonly others: string[];
}

/** Throws where a key is missing that a section names: what is declared would be trusted for less than it is. */
export function importRepositories(files: readonly RepoFile[], options: ImportOptions): Imported {
  const leftOut: LeftOut[] = [];
  const byPath = new Map<string, Candidate>();
  for (const { name: file, repos } of files)
    for (const repo of repos) {
      const leave = (reason: string): void => {
        leftOut.push({ file, section: repo.id, url: repo.baseurls[0] ?? repo.metalink ?? repo.mirrorlist ?? '', reason });
      };
      if (!repo.enabled && !options.disabled) leave('it is disabled (--disabled takes it, too)');
      else {
        const place = placeOf(file, repo);
        const same = 'path' in place ? byPath.get(place.path) : undefined;
        if ('reason' in place) leave(place.reason);
        else if (same !== undefined) same.others.push(`[${repo.id}] of ${file}`);
        else byPath.set(place.path, { file, repo, path: place.path, others: [] });
      }
    }
  // What lies in another one's path is declared after it.
  const above = ({ path }: Candidate): number => [...byPath.keys()].filter((other) => path.startsWith(`${other}/`)).length;
  const candidates = [...byPath.values()].sort((a, b) => above(a) - above(b));
  requireKeys(candidates, options.keys);
  const ids = new Set<string>();
  return { repositories: candidates.map((candidate) => repositoryOf(candidate, options, ids)), leftOut };
}

function placeOf(file: string, { id, baseurls, line }: YumRepo): { readonly path: string } | { readonly reason: string } {
  const [first] = baseurls;
  if (first === undefined) return { reason: 'it has no baseurl, by which lists and clients would know it' };
  const problem = upstreamUrl(first);
  if (problem !== undefined) return { reason: `it cannot be mirrored: ${problem.allowed}` };
  try {
    return { path: mirrorPath(first, 'centos', `${file} line ${line} [${id}]`).decoded };
  } catch (error) {
    if (error instanceof MirrorError) return { reason: error.message };
    throw error;
  }
}

function repositoryOf({ file, repo, others }: Candidate, options: ImportOptions, ids: Set<string>): ImportedRepository {
  const [publishedAs = '', ...more] = repo.baseurls;
  const places = [publishedAs, ...more].map((url) => (options.moved ? movedTo(url) : url)).filter((url) => upstreamUrl(url) === undefined);
  const lists = [
    ...(repo.metalink === undefined ? [] : [{ metalink: repo.metalink }]),
    ...(repo.mirrorlist === undefined ? [] : [{ mirrorlist: repo.mirrorlist }]),
  ].filter((list) => upstreamListUrl(Object.values(list)[0]) === undefined);
  const fetchFrom = [...new Set(places), ...lists];
  const notes = [
    ...others.map((other) => `${other} has the same URL.`),
    ...(repo.enabled ? [] : ['Disabled there.']),
    ...(repo.exclude.length === 0 ? [] : [`Clients leave out ${repo.exclude.join(', ')} there; the mirror has all.`]),
    ...(repo.includepkgs.length === 0 ? [] : [`Clients take only ${repo.includepkgs.join(', ')} there; the mirror has all.`]),
    ...(repo.priority === undefined ? [] : [`Its priority there is ${repo.priority}.`]),
  ];
  return {
    id: idOf(repo.id, ids),
    publishedAs,
    ...(fetchFrom.length === 1 && fetchFrom[0] === publishedAs ? {} : { fetchFrom }),
    trust: trustOf(file, repo, options.keys),
    file,
    section: repo.id,
    notes,
  };
}

/** A section's name as an id of ours: lower case, single separators, at most 63 characters; a number behind one that is taken. */
export function idOf(section: string, taken: Set<string>): string {
  const plain = section
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/[.-]{2,}/g, '-')
    .slice(0, 58)
    .replace(/^[.-]+|[.-]+$/g, '');
  const base = validId(plain) === undefined ? plain : `repository-${plain}`.replace(/-$/, '');
  let found = base;
  for (let number = 2; taken.has(found); number++) found = `${base}-${number}`;
  taken.add(found);
  return found;
}

function trustOf(file: string, repo: YumRepo, keys: readonly string[]): ImportedTrust {
  const names = keyNames(repo);
  if (names.length === 0) {
    const why = repo.gpgcheck === undefined ? 'no gpgcheck' : repo.gpgcheck ? 'no gpgkey' : 'gpgcheck=0';
    return { mode: 'digestsOnly', reason: `${why} in ${file}` };
  }
  const found = names.map((name) => keyAtHand(name, keys) as string);
  return { mode: repo.repoGpgcheck ? 'signedMetadata' : 'signedPackages', keys: [...new Set(found)] };
}

/** Base names of the keys that packages or metadata of it are checked with; none where nothing is checked. */
function keyNames({ gpgcheck, repoGpgcheck, gpgkeys }: YumRepo): readonly string[] {
  if (gpgcheck !== true && !repoGpgcheck) return [];
  return gpgkeys.map((url) => decoded(url.replace(/[/?#]+$/, '').replace(/^.*\//, '')));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Names of key files differ in case between those who hand them out. */
function keyAtHand(name: string, keys: readonly string[]): string | undefined {
  return keys.find((key) => key === name) ?? keys.find((key) => key.toLowerCase() === name.toLowerCase());
}

function requireKeys(candidates: readonly Candidate[], keys: readonly string[]): void {
  const missing = new Map<string, string[]>();
  for (const { file, repo } of candidates)
    for (const name of keyNames(repo))
      if (keyAtHand(name, keys) === undefined) missing.set(name, [...(missing.get(name) ?? []), `[${repo.id}] of ${file}`]);
  if (missing.size === 0) return;
  const lines = [...missing].map(
    ([name, users]) => `${name}, for ${users.slice(0, 3).join(', ')}${users.length > 3 ? ` and ${users.length - 3} more` : ''}`,
  );
  throw new MirrorError({
    code: 'KEYS_MISSING',
    message: `these keys are named, and not at hand:\n  ${lines.join('\n  ')}`,
    remedy:
      'Put each into keys/ under that name, from where its owner publishes it, and compare its fingerprint. A repository whose packages nobody signs: gpgcheck=0.',
    exitCode: ExitCode.invalid,
  });
}
