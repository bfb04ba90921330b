/**
 * `tarball-dl.lst`: `[!]file#directory#url#method#util#script`. Lists of 2018 have three columns. What real lists have is understood:
 * an empty method before the one that is meant, a script in the column of `util`, a directory that ends with "/", a URL without its scheme.
 */
import { refProblem } from '../desired-state/archives';
import { checkConflicts, checkUrl, eachOnce, pathProblem } from './entry';
import { type LineList, lineError, type OtherLine, parseLines, writeLines } from './list-text';

export const TARBALL_METHODS = ['http', 'https', 'http_filelist', 'http_script', 'git', 'git_script'] as const;
export type TarballMethod = (typeof TARBALL_METHODS)[number];

export interface TarballEntry {
  readonly kind: 'tarball';
  /** From 1. */
  readonly line: number;
  /** Name of the archive. */
  readonly file: string;
  /** In the archive, without "/" at the end. */
  readonly directory: string;
  /** With its scheme. */
  readonly url: string;
  readonly method: TarballMethod;
  /** Git: a commit, tag or branch. File list: path of the file that lists the members. Else empty. */
  readonly util: string;
  /** Path of the script that makes the archive of what the URL gives; empty where there is none. */
  readonly script: string;
  /** Marked by "!": the archive is not what the URL gives. */
  readonly special: boolean;
  /** As they are written, without the "!". */
  readonly columns: readonly string[];
}
export type TarballListLine = TarballEntry | OtherLine;
export type TarballList = LineList<TarballListLine>;

/**
 * Parses a list of tarballs.
 *
 * @param name file name, for messages
 * @throws MirrorError `LIST_LINE` (with line, value and remedy) or `LIST_TEXT`
 */
export function parseTarballList(bytes: Buffer, name: string): TarballList {
  const list = parseLines(bytes, name, (text, line) => tarballEntry(text, line, name));
  checkConflicts(name, entriesOf(list), wanted);
  return list;
}

export function writeTarballList(list: TarballList): string {
  return writeLines(list, (line) => (line.kind === 'tarball' ? `${line.special ? '!' : ''}${line.columns.join('#')}` : line.text));
}

/** What the list asks for, each archive once. */
export function tarballsOf(list: TarballList): readonly TarballEntry[] {
  return eachOnce(entriesOf(list), wanted);
}

/** Whether somebody's script makes the archive of what the URL gives, so that the mirror can have the original only. */
export function needsScript({ method }: Pick<TarballEntry, 'method'>): boolean {
  return method === 'http_script' || method === 'git_script';
}

/** The scheme that a method implies does not make another file of it: lists mix `http` and `https` freely. */
function wanted({ url, method, util, script }: TarballEntry): string {
  return [url, method === 'https' ? 'http' : method, util, script].join('#');
}

function entriesOf({ lines }: TarballList): readonly TarballEntry[] {
  return lines.filter((line): line is TarballEntry => line.kind === 'tarball');
}

const FORM = 'A line is [!]file#directory#url#method#util#script; the last two may be empty, and all after the URL be absent.';

function tarballEntry(text: string, line: number, list: string): TarballEntry {
  const refuse = (reason: string, remedy: string): never => {
    throw lineError(list, line, text, reason, remedy);
  };
  if (/\s/.test(text)) refuse('it has a space', 'Remove it; write %20 where a URL has one.');
  const special = text.startsWith('!');
  const columns = (special ? text.slice(1) : text).split('#');
  const [file = '', rawDirectory = '', rawUrl = '', ...rest] = columns;
  if (file === '') refuse('the name of the file is missing', FORM);
  if (file.includes('/')) refuse('the name of the file has a path', 'Write the name of the file alone.');
  const inFile = pathProblem(file);
  if (inFile !== undefined || file === '.') refuse(`the name of the file ${inFile ?? 'is "."'}`, FORM);
  if (columns.length < 3) refuse(`it has ${columns.length} of at least 3 columns`, FORM);
  const directory = rawDirectory.replace(/\/$/, '');
  if (directory === '') refuse('the directory is missing', FORM);
  const inDirectory = pathProblem(directory);
  if (inDirectory !== undefined) refuse(`the directory ${inDirectory}`, 'Name the directory in the archive by a relative path.');
  if (rawUrl === '') refuse('the URL is missing', FORM);
  const { method, util, script } = handling(rest, rawUrl, refuse);
  const url = withScheme(rawUrl, method);
  checkUrl(url, list, line);
  return { kind: 'tarball', line, file, directory, url, method, util, script, special, columns };
}

type Refuse = (reason: string, remedy: string) => never;

/** What the columns after the URL say. */
function handling(rest: readonly string[], url: string, refuse: Refuse): Pick<TarballEntry, 'method' | 'util' | 'script'> {
  if (rest.length === 0) return { method: /^https:/i.test(url) ? 'https' : 'http', util: '', script: '' };
  // `##https##`: one "#" too many before the method moves everything by a column.
  const shifted = rest[0] === '' && isMethod(rest[1] ?? '');
  const [method = '', util = '', script = '', ...more] = shifted ? rest.slice(1) : rest;
  if (more.length > 0) refuse(`it has ${rest.length + 3} columns`, `${FORM} Write %23 where a URL has a "#".`);
  if (method === '') refuse('the method is missing', `Write one of ${TARBALL_METHODS.join(', ')}.`);
  if (!isMethod(method)) return refuse(`${method} is no method`, `There are ${TARBALL_METHODS.join(', ')}.`);
  // A script in the column before its own.
  const moved = method === 'http_script' && util !== '' && script === '';
  const result = moved ? { method, util: '', script: util } : { method, util, script };
  checkHandling(result, refuse);
  return result;
}

function checkHandling({ method, util, script }: Pick<TarballEntry, 'method' | 'util' | 'script'>, refuse: Refuse): void {
  const isGit = method === 'git' || method === 'git_script';
  const ref = isGit && util !== '' ? refProblem(util) : undefined;
  if (isGit && (util === '' || ref !== undefined))
    refuse(`the git reference ${ref ?? 'is missing'}`, 'Write a commit, tag or branch behind the method, for instance "#git#v930#".');
  if (method === 'http_filelist') {
    if (util === '') refuse('the file list is missing', 'Write the path of the file that lists the members behind the method.');
    const problem = pathProblem(util);
    if (problem !== undefined) refuse(`the path of the file list ${problem}`, 'Name it by a relative path.');
  }
  if (!isGit && method !== 'http_filelist' && util !== '')
    refuse(`${method} takes nothing in the column after the method`, 'Leave it empty: "#http##".');
  const problem = script === '' ? undefined : pathProblem(script);
  if (problem !== undefined) refuse(`the path of the script ${problem}`, 'Name it by a relative path.');
  if (script !== '' && !method.endsWith('_script'))
    refuse(`${method} runs no script`, 'Write http_script or git_script, or remove the script.');
  if (script === '' && method.endsWith('_script'))
    refuse('the script is missing', `Name it in the last column, or write ${method.slice(0, -7)}.`);
}

function isMethod(text: string): text is TarballMethod {
  return (TARBALL_METHODS as readonly string[]).includes(text);
}

/** Some lines have a URL from its host on; their method says how to get it. */
function withScheme(url: string, method: TarballMethod): string {
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(url) || !/^[a-z0-9-]+(\.[a-z0-9-]+)+\//i.test(url)) return url;
  return `${method === 'https' ? 'https' : 'http'}://${url}`;
}
