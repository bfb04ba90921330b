import { spawn } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { decompressed } from '../decompress';
import { type ListedPackage, readPrimary } from '../primary';
import type { Source } from './merge';

/** A package file, and where it is to lie below the repository's root. */
export interface PackageFile {
  readonly file: string;
  readonly path: string;
}

/** The metadata of packages, what it lists, and those that are not in it: createrepo_c cannot read them. */
export interface Described {
  readonly source: Source;
  readonly packages: readonly ListedPackage[];
  readonly unreadable: readonly PackageFile[];
}

/**
 * Makes the metadata of some packages alone, by createrepo_c, in the new directory `work`: a source to publish them from. Throws a MirrorError
 * that names a file which is no package.
 */
export async function describePackages(packages: readonly PackageFile[], work: string): Promise<Source> {
  const { source, unreadable } = await describeReadable(packages, work);
  const [missing] = unreadable;
  if (missing !== undefined)
    throw new MirrorError({
      code: 'PACKAGE_UNREADABLE',
      message: `${missing.file} is no package that createrepo_c can read`,
      remedy: 'Nothing was changed. Look at it with rpm -qip, and upload it again if it was cut off.',
      exitCode: ExitCode.invalid,
    });
  return source;
}

/** The same without those that are no packages: they are named, and hold up no other. */
export async function describeReadable(packages: readonly PackageFile[], work: string): Promise<Described> {
  for (const { file, path } of packages) {
    await mkdir(dirname(join(work, path)), { recursive: true });
    await symlink(resolve(file), join(work, path));
  }
  await createrepo(['--quiet', '--no-database', '--simple-md-filenames', work]);
  const file = (kind: string): { path: string; what: string } => {
    const path = join(work, 'repodata', `${kind}.xml.gz`);
    return { path, what: path };
  };
  const source = { primary: file('primary'), filelists: file('filelists'), other: file('other') };
  const { path, what } = source.primary;
  const listed = await readPrimary(decompressed(path, what, undefined), what, { weakChecksums: false });
  // createrepo_c leaves out what it cannot read, with a warning.
  const described = new Set(listed.map((item) => item.path));
  return { source, packages: listed, unreadable: packages.filter((item) => !described.has(item.path)) };
}

function createrepo(argv: readonly string[]): Promise<void> {
  return new Promise((done, failed) => {
    const child = spawn('createrepo_c', argv, { env: process.env, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, 2000)));
    const fault = (code: string, message: string, remedy: string): Error =>
      new MirrorError({ code, message, remedy, exitCode: ExitCode.environment });
    child.on('error', () => failed(fault('TOOL_MISSING', 'the program createrepo_c is not installed', 'apt-get install createrepo-c')));
    child.on('close', (code) => {
      if (code === 0) done();
      else
        failed(
          fault(
            'TOOL_FAILED',
            `createrepo_c ended with ${code}: ${stderr.trim()}`,
            'Nothing was changed. See to what it says, then try again.',
          ),
        );
    });
  });
}
