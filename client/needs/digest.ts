/** Makes the manifest of packages from their directories: what is in each, and what its spec makes. */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, statSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { basename, dirname, join, posix, resolve } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { forEachParallel } from '../../downloads/parallel';
import { run } from '../../signatures/run';
import type { BuildManifest, PackageInputs } from '../../starlingx/build-manifest';
import { splitRpmFileName } from '../../starlingx/package-list';
import { shown } from '../../starlingx/shown';

export interface DigestOptions {
  /** Package → further files and directories that it is made of. */
  readonly extra: ReadonlyMap<string, readonly string[]>;
  /** `name value` of rpm macros. */
  readonly defines: readonly string[];
  /** For which architecture packages are built; undefined: this machine's. */
  readonly target: string | undefined;
}

/** Below what a further file or directory is in the manifest. */
const EXTRA = 'extra';
/** Directories of version control, which nothing is built of. */
const PASSED_OVER: ReadonlySet<string> = new Set(['.git', '.svn', '.hg']);
const CHUNK = 1024 * 1024;

/** @throws MirrorError for what is no package, or has inputs that cannot be told by a digest */
export async function digestPackages(directories: readonly string[], options: DigestOptions): Promise<BuildManifest> {
  const named = new Map<string, string>();
  for (const directory of directories) {
    const name = basename(resolve(directory));
    const other = named.get(name);
    if (other !== undefined)
      throw refused(
        `${shown(directory)} and ${shown(other)} are both called ${shown(name)}`,
        'A package is called as its directory: rename one.',
      );
    named.set(name, directory);
  }
  for (const name of options.extra.keys())
    if (!named.has(name))
      throw refused(`--with names ${shown(name)}, which is none of the packages`, 'Give it as package=path.', ExitCode.usage);
  const found = new Map<string, PackageInputs>();
  const parallel = typeof availableParallelism === 'function' ? availableParallelism() : cpus().length;
  await forEachParallel(named, parallel, async ([name, directory]) => {
    found.set(name, await onePackage(name, directory, options));
  });
  return found;
}

async function onePackage(name: string, directory: string, options: DigestOptions): Promise<PackageInputs> {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw refused(`${shown(directory)} is no directory`, 'Give the directories of packages, each with its spec.');
  const inputs = new Map<string, string>();
  addTree(directory, '', inputs, directory);
  const specs = [...inputs.keys()].filter((path) => path.endsWith('.spec'));
  const [spec] = specs;
  if (spec === undefined) throw refused(`${shown(directory)} has no .spec file`, 'Give the directory of one package, with its spec.');
  if (specs.length > 1)
    throw refused(
      `${shown(directory)} has ${specs.length} .spec files: ${specs.sort().slice(0, 5).map(shown).join(', ')}`,
      'Give a directory for each package.',
    );
  for (const path of options.extra.get(name) ?? []) addExtra(name, path, inputs);
  return { name, inputs, ...(await madeBy(join(directory, spec), options)) };
}

function addExtra(name: string, path: string, inputs: Map<string, string>): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const key = `${EXTRA}/${basename(resolve(path))}`;
  if (stat === undefined) throw refused(`--with ${shown(`${name}=${path}`)}: ${shown(path)} does not exist`, 'Give a file or a directory.');
  if ([...inputs.keys()].some((other) => other === key || other.startsWith(`${key}/`)))
    throw refused(`--with ${shown(`${name}=${path}`)}: the package has an input ${shown(key)} already`, 'Give it another name.');
  if (stat.isDirectory()) addTree(path, `${key}/`, inputs, path);
  else addFile(path, key, inputs, dirname(path));
}

/** Every file below; `root` is what links must not lead out of. */
function addTree(directory: string, prefix: string, inputs: Map<string, string>, root: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      if (!PASSED_OVER.has(entry.name)) addTree(path, `${prefix}${entry.name}/`, inputs, root);
    } else addFile(path, prefix + entry.name, inputs, root);
  }
}

function addFile(path: string, key: string, inputs: Map<string, string>, root: string): void {
  // A name that is no UTF-8 was read with U+FFFD in it.
  if (/[\u0000-\u001f\u007f-\u009f\ufffd]/.test(key))
    throw refused(`${shown(path)} has a name that cannot be written down`, 'Rename it: names are UTF-8 without control characters.');
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) inputs.set(key, digestOfLink(path, root));
  else if (stat.isFile()) inputs.set(key, digestOfFile(path));
  else throw refused(`${shown(path)} is neither a file nor a directory`, 'Remove it: it has no content that could be compared.');
}

/** A link is where it leads to. What it leads to is an input by itself, and must therefore be one. */
function digestOfLink(path: string, root: string): string {
  const target = readlinkSync(path);
  const leadsTo = resolve(dirname(path), target);
  if (posix.isAbsolute(target) || !`${leadsTo}/`.startsWith(`${resolve(root)}/`))
    throw refused(
      `${shown(path)} is a link to ${shown(target)}, outside of the package`,
      'A change there would not be noticed: copy the file, or remove the link and give what it leads to by --with package=path.',
    );
  return `sha256:${createHash('sha256').update(`link to ${target}`).digest('hex')}`;
}

function digestOfFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const before = fstatSync(file);
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, before.size + 1));
    for (;;) {
      const got = readSync(file, buffer);
      if (got === 0) break;
      hash.update(buffer.subarray(0, got));
    }
    const after = fstatSync(file);
    if (after.size !== before.size || after.mtimeMs !== before.mtimeMs)
      throw refused(`${shown(path)} changed while it was read`, 'Run it again when nobody changes the sources.');
    return `sha256:${hash.digest('hex')}`;
  } finally {
    closeSync(file);
  }
}

/** The files that rpmbuild makes of a spec, as rpm itself reads it. */
async function madeBy(spec: string, { defines, target }: DigestOptions): Promise<Pick<PackageInputs, 'source' | 'binaries'>> {
  const folder = dirname(spec);
  // Of the layout of rpmbuild, and of that of StarlingX, where all is beside the spec.
  const sources = basename(folder) === 'SPECS' ? join(dirname(folder), 'SOURCES') : folder;
  const common = [
    '-q',
    ...(target === undefined ? [] : ['--target', target]),
    ...[`_sourcedir ${resolve(sources)}`, ...defines].flatMap((define) => ['--define', define]),
  ];
  const ask = async (which: string, format: string): Promise<string[]> => {
    const { code, stdout, stderr } = await run('rpmspec', [...common, which, '--qf', `${format}\\n`, resolve(spec)]);
    const names = stdout.split('\n').filter((line) => line !== '');
    if (code !== 0 || names.length === 0)
      throw refused(
        `rpmspec cannot read ${shown(spec)}: ${stderr.trim().split('\n').slice(-3).join('; ').slice(0, 500)}`,
        "Give the macros that it needs, for instance --define 'dist .el7'.",
      );
    const odd = names.find((name) => splitRpmFileName(name) === undefined);
    if (odd !== undefined)
      throw refused(`${shown(spec)} makes ${shown(odd)}, which is no name of a package`, "A macro is missing: --define 'name value'.");
    return names;
  };
  const [source] = await ask('--srpm', '%{name}-%{version}-%{release}.src.rpm');
  const binaries = await ask('--builtrpms', '%{name}-%{version}-%{release}.%{arch}.rpm');
  return { source: source as string, binaries: [...new Set(binaries)] };
}

function refused(message: string, remedy: string, exitCode: ExitCode = ExitCode.invalid): MirrorError {
  return new MirrorError({ code: 'INPUT', message, remedy, exitCode });
}
