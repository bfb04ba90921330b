/** Files of `yum.repos.d`, as yum and dnf read them: which repositories a build takes packages from. */
import { lineError, readListText } from './list-text';

/** One base URL each, mostly; what else a section says is not needed to mirror it. */
export interface YumRepo {
  readonly id: string;
  readonly name: string;
  /** With variables expanded. */
  readonly baseurls: readonly string[];
  readonly mirrorlist?: string;
  readonly metalink?: string;
  /** @default true */
  readonly enabled: boolean;
  /** Absent where the section leaves it to yum.conf. */
  readonly gpgcheck?: boolean;
  readonly gpgkeys: readonly string[];
  readonly repoGpgcheck: boolean;
  /** Lower wins. */
  readonly priority?: number;
  /** Globs of packages that are not taken from it. */
  readonly exclude: readonly string[];
  /** Globs of the only packages that are taken from it. */
  readonly includepkgs: readonly string[];
  /** Of its header, from 1. */
  readonly line: number;
}

/** What `$name` stands for: `{ releasever: '7', basearch: 'x86_64' }`. */
export type YumVariables = Readonly<Record<string, string>>;

/**
 * Parses a file of `yum.repos.d`. A section `[main]` is configuration of yum itself, and passed over.
 *
 * @param name file name, for messages
 * @throws MirrorError `LIST_LINE` (with line, value and remedy) or `LIST_TEXT`
 */
export function parseYumRepos(bytes: Buffer, name: string, vars: YumVariables): readonly YumRepo[] {
  const sections = sectionsOf(readListText(withoutMarks(bytes), name).split('\n'), name);
  const twice = sections.find(({ id }, index) => sections.findIndex((other) => other.id === id) < index);
  if (twice !== undefined)
    throw lineError(name, twice.line, `[${twice.id}]`, 'there is a section of this name before it', 'Give each section a name of its own.');
  return sections.filter(({ id }) => id !== 'main').map((section) => repoOf(section, name, vars));
}

interface Option {
  readonly line: number;
  readonly values: readonly string[];
}

interface Section {
  readonly id: string;
  readonly line: number;
  readonly options: Map<string, Option>;
}

/** Editors' byte-order mark and CR: the parser of yum takes them for white space. */
function withoutMarks(bytes: Buffer): Buffer {
  const text = bytes.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? bytes.subarray(3) : bytes;
  return text.includes('\r\n') ? Buffer.from(text.toString('latin1').replaceAll('\r\n', '\n'), 'latin1') : text;
}

function sectionsOf(lines: readonly string[], name: string): readonly Section[] {
  const sections: Section[] = [];
  let option: { line: number; values: string[] } | undefined;
  lines.forEach((text, index) => {
    const line = index + 1;
    if (/^\s*([#;].*)?$/.test(text)) return;
    const refuse = (reason: string, remedy: string): never => {
      throw lineError(name, line, text, reason, remedy);
    };
    const [, header] = /^\[(.*)\]\s*$/.exec(text) ?? [];
    if (header !== undefined) {
      if (!/^[A-Za-z0-9_.:-]+$/.test(header))
        refuse('it is no name of a repository', 'Use letters, digits and . _ : - between the brackets.');
      sections.push({ id: header, line, options: new Map() });
      option = undefined;
      return;
    }
    if (/^\s/.test(text)) {
      if (option === undefined) return refuse('it continues nothing', 'Remove the white space at its start.');
      option.values.push(text.trim());
      return;
    }
    const [, key, value = ''] = /^([A-Za-z0-9_]+)\s*[=:]\s*(.*?)\s*$/.exec(text) ?? [];
    const section = sections.at(-1);
    if (key === undefined) return refuse('it is neither a section, an option nor a comment', 'Write [name], option=value or # comment.');
    if (section === undefined) return refuse('it is before the first section', 'Put it below a line such as [epel-7].');
    if (section.options.has(key.toLowerCase())) refuse(`[${section.id}] has this option before`, 'Keep one of the two lines.');
    option = { line, values: value === '' ? [] : [value] };
    section.options.set(key.toLowerCase(), option);
  });
  return sections;
}

function repoOf({ id, line, options }: Section, file: string, vars: YumVariables): YumRepo {
  const one = (key: string): { readonly line: number; readonly value: string } | undefined => {
    const option = options.get(key);
    return option && { line: option.line, value: expand(option.values.join(' '), vars, file, option.line) };
  };
  const many = (key: string): readonly string[] => (one(key)?.value ?? '').split(/[\s,]+/).filter((value) => value !== '');
  const flag = (key: string): boolean | undefined => {
    const option = one(key);
    return option && flagOf(option.value, file, option.line, key);
  };
  const baseurls = many('baseurl');
  const mirrorlist = one('mirrorlist')?.value;
  const metalink = one('metalink')?.value;
  for (const url of [...baseurls, mirrorlist, metalink])
    if (url !== undefined && !/^[A-Za-z][A-Za-z0-9+.-]*:\/\/./.test(url))
      throw lineError(file, options.get('baseurl')?.line ?? line, url, 'it is no URL', 'Begin with http:// or https://.');
  if (baseurls.length === 0 && mirrorlist === undefined && metalink === undefined)
    throw lineError(
      file,
      line,
      `[${id}]`,
      'it has neither baseurl, mirrorlist nor metalink',
      'Say where the repository is, or remove the section.',
    );
  const gpgcheck = flag('gpgcheck');
  const priority = priorityOf(one('priority'), file);
  return {
    id,
    name: one('name')?.value ?? id,
    baseurls,
    ...(mirrorlist === undefined ? {} : { mirrorlist }),
    ...(metalink === undefined ? {} : { metalink }),
    enabled: flag('enabled') ?? true,
    ...(gpgcheck === undefined ? {} : { gpgcheck }),
    gpgkeys: many('gpgkey'),
    repoGpgcheck: flag('repo_gpgcheck') ?? false,
    ...(priority === undefined ? {} : { priority }),
    exclude: [...many('exclude'), ...many('excludepkgs')],
    includepkgs: many('includepkgs'),
    line,
  };
}

function expand(text: string, vars: YumVariables, file: string, line: number): string {
  return text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (written, braced: string | undefined, plain: string | undefined) => {
    const name = braced ?? plain ?? '';
    const value = Object.hasOwn(vars, name) ? vars[name] : undefined;
    if (value === undefined)
      throw lineError(
        file,
        line,
        text,
        `it has ${written}, and nobody said what ${name} is`,
        `Say it, for instance --var ${name}=${example(name)}.`,
      );
    return value;
  });
}

function example(name: string): string {
  return { basearch: 'x86_64', arch: 'x86_64', releasever: '7' }[name] ?? 'VALUE';
}

function flagOf(value: string, file: string, line: number, key: string): boolean {
  if (/^(1|yes|true|on)$/i.test(value)) return true;
  if (/^(0|no|false|off)$/i.test(value)) return false;
  throw lineError(file, line, `${key}=${value}`, 'it is neither true nor false', 'Write 1 or 0.');
}

function priorityOf(option: { readonly line: number; readonly value: string } | undefined, file: string): number | undefined {
  if (option === undefined) return undefined;
  if (/^-?\d{1,5}$/.test(option.value)) return Number(option.value);
  throw lineError(file, option.line, `priority=${option.value}`, 'it is no number', 'Write a number; the lower one wins.');
}
