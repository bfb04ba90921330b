/** Parses file lists: what a line of the method `http_filelist` names, one path below its URL a line. */
import { treePath } from '../desired-state/validate';
import { lineError } from './list-text';

/**
 * The paths, each once. `#` begins a comment. Programs write them below a directory of their own, so none may lead out of it.
 *
 * @throws MirrorError `LIST_LINE`
 */
export function parseFileList(bytes: Buffer, name: string): readonly string[] {
  const paths = new Set<string>();
  const lines = bytes.toString('utf8').split(/\r?\n/);
  lines.forEach((text, index) => {
    if (text.trim() === '' || text.startsWith('#')) return;
    const problem = treePath(text);
    if (problem !== undefined) throw lineError(name, index + 1, text, `allowed is ${problem.allowed}`, problem.fix);
    paths.add(text);
  });
  if (paths.size === 0) throw lineError(name, 1, lines[0] ?? '', 'a file list names at least one file', 'Name each, one a line.');
  return [...paths];
}
