/** `.treeinfo` of an install tree, as productmd and its forerunners write it (an INI file). Pure. */
import { type Checksum, parseChecksum } from '../rpm-metadata/checksum';
import { treeLocation } from './tree-paths';

export const TREEINFO = '.treeinfo';

export interface TreeInfo {
  /** Path → digest, from `[checksums]`. */
  readonly checksums: ReadonlyMap<string, Checksum>;
  /** Every file that it names: in `[checksums]`, `[images-*]` and `[stage2]`. Repositories of packages (`[variant-*]`) are not among them. */
  readonly files: ReadonlySet<string>;
  /** When it was made, in Unix seconds; undefined where it does not say. */
  readonly made: number | undefined;
}

/** Reads `.treeinfo`; a phrase says what is wrong with it. */
export function readTreeInfo(text: string): TreeInfo | { readonly problem: string } {
  const checksums = new Map<string, Checksum>();
  const files = new Set<string>();
  let made: number | undefined;
  let section = '';
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const wrong = (what: string): { problem: string } => ({ problem: `line ${index + 1}: ${what}` });
    if (line.trim() === '' || /^[#;]/.test(line)) continue;
    const header = /^\[([^\]]+)\]\s*$/.exec(line);
    if (header !== null) {
      section = header[1] as string;
      continue;
    }
    const pair = /^([^=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? /^([^:\s][^:]*?)\s*:\s*(.*?)\s*$/.exec(line);
    if (pair === null || section === '') return wrong('is neither a section nor "name = value"');
    const [, name, value] = pair as unknown as [string, string, string];
    if (section === 'checksums') {
      const location = treeLocation(name);
      if ('problem' in location) return wrong(`the path ${JSON.stringify(name)} ${location.problem}`);
      const split = /^([a-z0-9]+):(.*)$/.exec(value);
      const checksum = parseChecksum(split?.[1], split?.[2] ?? value);
      if ('problem' in checksum) return wrong(`${location.path}: ${checksum.problem}`);
      const before = checksums.get(location.path);
      if (before !== undefined && before.hex !== checksum.hex) return wrong(`${location.path} has two checksums`);
      checksums.set(location.path, checksum);
      files.add(location.path);
    } else if (section.startsWith('images-') || section === 'stage2') {
      if (value === '') continue;
      const location = treeLocation(value);
      if ('problem' in location) return wrong(`the path ${JSON.stringify(value)} ${location.problem}`);
      files.add(location.path);
    } else if ((section === 'general' && name === 'timestamp') || (section === 'tree' && name === 'build_timestamp')) {
      const seconds = /^\d{1,12}(\.\d+)?$/.test(value) ? Math.floor(Number(value)) : undefined;
      if (seconds !== undefined) made = Math.max(made ?? 0, seconds);
    }
  }
  if (files.size === 0) return { problem: 'names no file: it is no .treeinfo, or one of a tree without images' };
  // Packages and their metadata are a repository: copied as one, or by a folder that is declared.
  for (const path of files) if (/(^|\/)repodata\//.test(path)) files.delete(path);
  return { checksums, files, made };
}
