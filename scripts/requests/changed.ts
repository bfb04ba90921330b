/** Pure: which lines of the declared lists ask for something, and which of those are new. */
import { dirname, join } from 'node:path';
import type { DownloadsDefinition, ListsDefinition } from '../../desired-state/definitions';
import { askedPackages } from '../../starlingx/asked';
import { parseInstallList } from '../../starlingx/install-list';
import { needsScript, parseTarballList, tarballsOf } from '../../starlingx/tarball-list';
import type { DeclaredLists, FileRequest, PackageRequest, Request } from './types';

/** Everything that the lists of a construct ask for, in the order of lists and lines. */
export function requestsOf(declared: DeclaredLists): readonly Request[] {
  const { definition, paths } = declared;
  return definition.kind === 'lists' ? packageRequests(definition, paths) : fileRequests(definition, paths);
}

/**
 * Those of which the line, or a line of the file list that it names, is not there as it was.
 *
 * @param before path → text of the list before; a list that was not there is absent
 * @param now path → text
 */
export function changed(
  requests: readonly Request[],
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): readonly Request[] {
  const lines = new Map([...before].map(([path, text]) => [path, new Set(text.split('\n'))]));
  return requests.filter((request) => {
    const { list, line } = request;
    if (lines.get(list)?.has(now.get(list)?.split('\n')[line - 1] ?? '') !== true) return true;
    const named = fileListOf(request);
    return named !== undefined && membersOf(before.get(named)) !== membersOf(now.get(named));
  });
}

/** Every file that says what is asked for: lists, and what their lines name. */
export function filesOf(requests: readonly Request[]): readonly string[] {
  return [...new Set(requests.flatMap((request) => [request.list, fileListOf(request) ?? request.list]))];
}

function fileListOf(request: Request): string | undefined {
  return request.kind === 'file' ? request.fileList : undefined;
}

/** What the lines of a file list ask for, in whichever order. */
function membersOf(text = ''): string {
  const lines = text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#'));
  return [...new Set(lines)].sort().join('\n');
}

function packageRequests(definition: ListsDefinition, paths: DeclaredLists['paths']): readonly PackageRequest[] {
  const { id, lists, digests } = definition;
  return askedPackages(lists, digests).map((asked) => ({
    kind: 'package',
    id,
    list: paths[asked.list] ?? asked.list,
    line: asked.line,
    asked,
  }));
}

function fileRequests({ id, files, lists = {} }: DownloadsDefinition, paths: DeclaredLists['paths']): readonly FileRequest[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return Object.entries(lists).flatMap(([name, text]) =>
    linesOf(name, text).flatMap(({ path, line, names }) => {
      const wanted = byPath.get(path);
      // The declaration may exclude what a list names.
      if (wanted === undefined) return [];
      const list = paths[name] ?? name;
      return [{ kind: 'file' as const, id, list, line, wanted, ...(names === undefined ? {} : { fileList: join(dirname(list), names) }) }];
    }),
  );
}

interface Entry {
  readonly path: string;
  readonly line: number;
  /** The file list beside the list. */
  readonly names?: string;
}

/** Where each entry of a list is served, and its line. The two formats have no line in common. */
function linesOf(name: string, text: string): readonly Entry[] {
  const bytes = Buffer.from(text);
  const first = text.split('\n').find((line) => line.trim() !== '' && !line.startsWith('#')) ?? '';
  if (/^(file|folder):/.test(first))
    return parseInstallList(bytes, name).lines.flatMap((line) => (line.kind === 'file' ? [{ path: line.path, line: line.line }] : []));
  return tarballsOf(parseTarballList(bytes, name)).map((entry) => ({
    path: needsScript(entry) ? `originals/${entry.file}` : entry.file,
    line: entry.line,
    ...(entry.method === 'http_filelist' ? { names: entry.util } : {}),
  }));
}
