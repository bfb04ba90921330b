/** Reads lists, wherever they are, into what is wanted. */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { parseDigests } from '../starlingx/digests';
import { parseFileList } from '../starlingx/file-list';
import { parseInstallList } from '../starlingx/install-list';
import { lineError } from '../starlingx/list-text';
import { packagesOf, parsePackageList } from '../starlingx/package-list';
import { needsScript, parseTarballList, type TarballEntry, tarballsOf } from '../starlingx/tarball-list';
import { installPath, packagePath, tarballPath, type Wanted } from './wanted';

/** A list, read. */
export interface ListFile {
  /** As messages name it: its path as it was given, or its URL. */
  readonly name: string;
  readonly bytes: Buffer;
  /** The text of a file that it names, beside it. */
  readonly beside: (path: string) => Buffer;
}

/** What a set of lists asks for. */
export interface Request {
  readonly wanted: readonly Wanted[];
  /** Directories of an installer's tree, below the output. */
  readonly folders: readonly string[];
  readonly lists: readonly string[];
}

/** Larger ones are refused by the parsers; this keeps a device or a disk image from being read whole. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;

/** How a list is read, by its name. */
export function kindOf(name: string): Wanted['kind'] {
  const file = basename(name);
  if (file.startsWith('tarball')) return 'tarball';
  return file.startsWith('other') ? 'install' : 'package';
}

/**
 * What the lists ask for, each file once.
 *
 * @throws MirrorError `LIST_LINE` and others of the parsers; `LIST_CONFLICT` where two lists want different things under one name
 */
export function requestOf(lists: readonly ListFile[], installUrl: string): Request {
  const byPath = new Map<string, Wanted>();
  const folders = new Set<string>();
  for (const list of lists) {
    const { wanted, directories } = readList(list, installUrl);
    for (const folder of directories) folders.add(folder);
    for (const one of wanted) {
      const other = byPath.get(one.path);
      if (other?.url !== undefined && one.url !== undefined && other.url !== one.url) throw conflict(other, one);
      if (other === undefined || (other.url === undefined && one.url !== undefined)) byPath.set(one.path, one);
    }
  }
  refuseClashes([...byPath.values()]);
  return { wanted: [...byPath.values()], folders: [...folders], lists: lists.map(({ name }) => name) };
}

/** Where scripts' originals go; another list may have some later. */
const ALWAYS_DIRECTORIES = ['downloads/originals', 'downloads/puppet'];

/** What one line wants as a file may be where others go: the disk would refuse one of them in the middle of a run. */
function refuseClashes(wanted: readonly Wanted[]): void {
  const within = new Map(ALWAYS_DIRECTORIES.map((path) => [path, 'other tarballs go there']));
  for (const { path, list, line } of wanted)
    for (let above = dirname(path); above !== '.'; above = dirname(above))
      if (!within.has(above)) within.set(above, `${list} line ${line} wants ${path}`);
  for (const { path, list, line, name } of wanted) {
    const why = within.get(path);
    if (why !== undefined) throw lineError(list, line, name, `${path} is a directory: ${why}`, 'Give the file another name.');
  }
}

function readList({ name, bytes, beside }: ListFile, installUrl: string): { wanted: readonly Wanted[]; directories: readonly string[] } {
  const kind = kindOf(name);
  if (kind === 'package') {
    const wanted = packagesOf(parsePackageList(bytes, name)).map(({ file, line, url, name: n, version, release, arch }): Wanted => ({
      kind,
      path: packagePath(file, arch),
      name: file,
      list: name,
      line,
      identity: { name: n, version, release, arch },
      ...(url === undefined ? {} : { url }),
    }));
    return { wanted, directories: [] };
  }
  if (kind === 'tarball') {
    const wanted = tarballsOf(parseTarballList(bytes, name)).map((entry) => tarball(entry, name, beside));
    return { wanted, directories: ['downloads', 'downloads/puppet'] };
  }
  const { lines, files, folders } = parseInstallList(bytes, name);
  const lineOf = (path: string): number => lines.find((line) => line.kind === 'file' && line.path === path)?.line ?? 0;
  return {
    wanted: files.map((path) => ({
      kind,
      path: installPath(path),
      name: path,
      list: name,
      line: lineOf(path),
      url: installUrl + encoded(path),
    })),
    directories: folders.map(installPath),
  };
}

function tarball(entry: TarballEntry, list: string, beside: ListFile['beside']): Wanted {
  const { file, line, url, method, util, script, directory } = entry;
  return {
    kind: 'tarball',
    path: tarballPath(file, needsScript(entry)),
    name: file,
    list,
    line,
    url,
    ...(method === 'git' || method === 'git_script' ? { made: { method: 'git', ref: util, directory } } : {}),
    ...(method === 'http_filelist'
      ? { made: { method: 'filelist', members: parseFileList(beside(util), join(dirname(list), util)), directory } }
      : {}),
    ...(needsScript(entry) ? { script } : {}),
  };
}

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

function conflict(one: Wanted, other: Wanted): MirrorError {
  return new MirrorError({
    code: 'LIST_CONFLICT',
    message: `${one.list} line ${one.line} and ${other.list} line ${other.line} want ${one.path} from two addresses: ${one.url} and ${other.url}`,
    remedy: 'Keep one of the two lines.',
    exitCode: ExitCode.invalid,
  });
}

/** Where lists are on this machine, and what belongs to them. */
export interface LocalLists {
  readonly lists: readonly ListFile[];
  /** Digests that were recorded beside them: name → SHA-256. */
  readonly recorded: ReadonlyMap<string, string>;
  readonly directories: readonly string[];
}

/**
 * The lists of a directory: those of the layer (`<directory>/<distro>/<layer>`, `<directory>/<layer>`), else its own, else those of all layers.
 */
export function localLists(directory: string, distro: string, layer: string | undefined): LocalLists {
  const places = [join(directory, distro), directory].filter(isDirectory);
  const inLayer = layer === undefined ? [] : places.map((place) => join(place, layer)).filter(hasLists);
  const own = places.filter(hasLists);
  const all = places.flatMap((place) => subdirectories(place).filter(hasLists));
  const found = layer === undefined ? (own.length > 0 ? own.slice(0, 1) : all) : inLayer.slice(0, 1);
  if (found.length === 0)
    throw invalid(
      `${directory} has no lists${layer === undefined ? '' : ` of the layer ${layer}`} (files that end in .lst)`,
      layer === undefined ? 'Give the directory that has them.' : `Put them into ${join(directory, layer)}, or leave --layer out.`,
    );
  return listsIn(found.flatMap((place) => filesOf(place, '.lst')));
}

/** Lists that are given by name. */
export function listsIn(files: readonly string[]): LocalLists {
  const directories = [...new Set(files.map((file) => dirname(file)))];
  const recorded = new Map<string, string>();
  for (const file of directories.flatMap((place) => filesOf(place, '.sha256')))
    for (const [name, digest] of parseDigests(readRegular(file), file)) {
      if ((recorded.get(name) ?? digest) !== digest)
        throw invalid(`${file}: another file of digests says something else of ${name}`, 'Keep the digest that was reviewed.');
      recorded.set(name, digest);
    }
  const lists = files.map((file) => ({
    name: file,
    bytes: readRegular(file),
    beside: (path: string) => readRegular(join(dirname(file), path)),
  }));
  return { lists, recorded, directories };
}

/** A regular file, or what a link leads to. Anything else could block, or have no end. */
export function readRegular(file: string): Buffer {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw invalid(`${file} is no regular file`, 'Give a text file.');
    if (stat.size > MAX_LIST_BYTES) throw invalid(`${file} has ${stat.size} bytes: that is no list`, 'Give a text file.');
    return readFileSync(file);
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    throw invalid(`${file} cannot be read: ${(error as Error).message}`, 'Check the name and its permissions.');
  }
}

function filesOf(directory: string, ending: string): readonly string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(ending) && !name.startsWith('.'))
    .sort()
    .map((name) => join(directory, name));
}

function hasLists(directory: string): boolean {
  return isDirectory(directory) && filesOf(directory, '.lst').length > 0;
}

function subdirectories(directory: string): readonly string[] {
  return readdirSync(directory)
    .sort()
    .map((name) => join(directory, name))
    .filter(isDirectory);
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function invalid(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'LISTS_UNUSABLE', message, remedy, exitCode: ExitCode.invalid });
}
