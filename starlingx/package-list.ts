/**
 * `rpms_centos.lst`, `rpms_centos3rdparties.lst` and `rpms_3rdparties.lst`: one package a line, by the exact name of its file, which is the pin;
 * after a `#` the URL where it is, for packages of no declared repository.
 */
import { nearest } from '../desired-state/nearest';
import { checkConflicts, checkUrl, eachOnce } from './entry';
import { type LineList, lineError, type OtherLine, parseLines, writeLines } from './list-text';

export interface PackageLine {
  readonly kind: 'package';
  /** From 1. */
  readonly line: number;
  /** Exact name of the RPM file. */
  readonly file: string;
  readonly name: string;
  readonly version: string;
  readonly release: string;
  /** `src` and `nosrc` for source packages. */
  readonly arch: string;
  readonly url?: string;
}
export type PackageListLine = PackageLine | OtherLine;
export type PackageList = LineList<PackageListLine>;

/** The name of an RPM file, taken apart as rpm writes it. */
export type RpmFileName = Pick<PackageLine, 'name' | 'version' | 'release' | 'arch'>;

/** Architectures of RPM packages that distributions have published. */
const ARCHITECTURES = [
  ...['noarch', 'src', 'nosrc', 'x86_64', 'i386', 'i486', 'i586', 'i686', 'athlon', 'aarch64', 'armhfp', 'armv7hl', 'armv7l', 'ia64'],
  ...['loongarch64', 'mips64el', 'ppc', 'ppc64', 'ppc64le', 'riscv64', 's390', 's390x', 'x86_64_v2', 'x86_64_v3'],
];

/**
 * Parses a list of packages.
 *
 * @param name file name, for messages
 * @throws MirrorError `LIST_LINE` (with line, value and remedy) or `LIST_TEXT`
 */
export function parsePackageList(bytes: Buffer, name: string): PackageList {
  const list = parseLines(bytes, name, (text, line) => packageLine(text, line, name));
  checkConflicts(name, packageLines(list), ({ url }) => url);
  return list;
}

export function writePackageList(list: PackageList): string {
  return writeLines(list, (line) => (line.kind === 'package' ? packageLineText(line) : line.text));
}

/** A line as it is written. */
export function packageLineText({ file, url }: Pick<PackageLine, 'file' | 'url'>): string {
  return url === undefined ? file : `${file}#${url}`;
}

/** What the list asks for, each package once. */
export function packagesOf(list: PackageList): readonly PackageLine[] {
  return eachOnce(packageLines(list), ({ url }) => url);
}

/** Takes a name apart as rpm does, by its last two hyphens; undefined where it is none. */
export function splitRpmFileName(file: string): RpmFileName | undefined {
  const [, name, version, release, arch] =
    /^([A-Za-z0-9_][A-Za-z0-9._+-]*)-([A-Za-z0-9._+~^]+)-([A-Za-z0-9._+~^]+)\.([A-Za-z0-9_]+)\.rpm$/.exec(file) ?? [];
  if (name === undefined || version === undefined || release === undefined || arch === undefined || file.length > 255) return undefined;
  return { name, version, release, arch };
}

function packageLines({ lines }: PackageList): readonly PackageLine[] {
  return lines.filter((line): line is PackageLine => line.kind === 'package');
}

function packageLine(text: string, line: number, list: string): PackageLine {
  const refuse = (reason: string, remedy: string): never => {
    throw lineError(list, line, text, reason, remedy);
  };
  if (/\s/.test(text)) refuse('it has a space', 'Write the file name alone; a comment begins with "#" at the start of a line of its own.');
  const [file = '', url, ...more] = text.split('#');
  if (more.length > 0) refuse('it has more than one "#"', 'A line is "file.rpm" or "file.rpm#url"; write %23 where a URL has a "#".');
  const parts = splitRpmFileName(file);
  if (parts === undefined) {
    const [reason, remedy] = fileProblem(file);
    return refuse(reason, remedy);
  }
  if (!ARCHITECTURES.includes(parts.arch)) {
    const meant = nearest(parts.arch, ARCHITECTURES);
    refuse(
      `${parts.arch} is no architecture of RPM packages`,
      meant === undefined ? `There are ${ARCHITECTURES.join(', ')}.` : `Did you mean ${meant}?`,
    );
  }
  if (url === undefined) return { kind: 'package', line, file, ...parts };
  if (url === '')
    refuse('nothing follows the "#"', "Write the package's URL behind it, or remove it for a package of a declared repository.");
  checkUrl(url, list, line);
  return { kind: 'package', line, file, ...parts, url };
}

const FORM = 'A line is name-version-release.arch.rpm, for instance "bash-4.2.46-34.el7.x86_64.rpm".';

function fileProblem(file: string): [reason: string, remedy: string] {
  if (file.includes('/')) return ['it has a path', 'Write the name of the file alone: where it is, the mirror finds out.'];
  if (file.startsWith('-')) return ['it begins with "-", which programs take for an option', FORM];
  if (/[*?[\]]/.test(file)) return ['it has a pattern', 'Name each package exactly: the name of the file is the pin.'];
  if (file.includes(':')) return ['it has an epoch', 'Names of RPM files have none: remove it and the colon.'];
  if (file.length > 255) return [`its name has ${file.length} characters, and file systems end at 255`, FORM];
  if (!file.endsWith('.rpm')) return ['it does not end with ".rpm"', FORM];
  if (!/^[A-Za-z0-9._+~^-]+$/.test(file)) return ['it has a character that no name of an RPM file has', FORM];
  return ['a part is missing', FORM];
}
