/** `other_downloads.lst`: `folder:<path>` and `file:<path>` below one URL, the tree that an installer is booted from. */
import { pathProblem } from './entry';
import { type LineList, lineError, type OtherLine, parseLines, writeLines } from './list-text';

export interface InstallLine {
  readonly kind: 'folder' | 'file';
  /** From 1. */
  readonly line: number;
  /** Decoded, relative to the tree. */
  readonly path: string;
}
export type InstallListLine = InstallLine | OtherLine;

export interface InstallList extends LineList<InstallListLine> {
  /** Folders that the tree has, whether or not files are in them; each once. */
  readonly folders: readonly string[];
  /** Files to fetch; each once. */
  readonly files: readonly string[];
}

/**
 * Parses the list of an installer's tree.
 *
 * @param name file name, for messages
 * @throws MirrorError `LIST_LINE` (with line, value and remedy) or `LIST_TEXT`
 */
export function parseInstallList(bytes: Buffer, name: string): InstallList {
  const list = parseLines(bytes, name, (text, line) => installLine(text, line, name));
  const lines = list.lines.filter(isInstallLine);
  const paths = (kind: InstallLine['kind']): string[] => [...new Set(lines.filter((line) => line.kind === kind).map(({ path }) => path))];
  const folders = paths('folder');
  const files = paths('file');
  checkKinds(name, lines, new Set(folders), new Set(files));
  return { ...list, folders, files };
}

export function writeInstallList(list: LineList<InstallListLine>): string {
  return writeLines(list, (line) => (isInstallLine(line) ? `${line.kind}:${line.path}` : line.text));
}

function isInstallLine(line: InstallListLine): line is InstallLine {
  return 'path' in line;
}

function installLine(text: string, line: number, list: string): InstallLine {
  const refuse = (reason: string, remedy: string): never => {
    throw lineError(list, line, text, reason, remedy);
  };
  const [, kind, path = ''] = /^(folder|file):(.*)$/.exec(text) ?? [];
  if (kind === undefined) return refuse('it begins with neither "folder:" nor "file:"', 'For instance "file:images/pxeboot/vmlinuz".');
  if (path === '') refuse('the path is missing', 'Name it behind the colon.');
  const problem = pathProblem(path);
  if (problem !== undefined) refuse(`its path ${problem}`, "Write the path below the tree's URL, for instance isolinux/vmlinuz.");
  return { kind: kind as InstallLine['kind'], line, path };
}

/** One path cannot be a file and a folder. */
function checkKinds(name: string, lines: readonly InstallLine[], folders: ReadonlySet<string>, files: ReadonlySet<string>): void {
  for (const { line, path, kind } of lines) {
    if (kind === 'folder' && files.has(path))
      throw lineError(name, line, path, 'it is a file by another line', 'Keep one of the two lines.');
    const parents = path.split('/').map((_, index, names) => names.slice(0, index).join('/'));
    const file = parents.find((parent) => files.has(parent) && !folders.has(parent));
    if (file !== undefined)
      throw lineError(
        name,
        line,
        path,
        `"${file}" is a file by another line, and nothing can be below it`,
        'Correct one of the two lines.',
      );
  }
}
