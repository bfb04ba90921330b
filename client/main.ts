/** `download-mirror`: brings the packages and tarballs that a build needs to a developer's machine, and proves where they are from. */
import { setMaxListeners } from 'node:events';
import { renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import { fail } from './fail';
import { reportText } from './report';
import { type Flags, settingsOf, usage } from './settings';

const HELP = `
Lists are rpms_*.lst, tarball*.lst and other*.lst, from --lists, as arguments, or those that the mirror serves. Beside them: yum.repos.d/ (the upstream
repositories) and *.sha256 (recorded digests). Files go to Binary/<architecture>/, Source/, downloads/ and downloads/puppet/ below the output.

The next place is asked for a file where one cannot be reached, lacks it (404), answers with an error (5xx, 403), is slow, or sends something else than it
must. Nothing else is tried where the disk is full, a permission is missing or the lists cannot be read.

Environment: DOWNLOAD_MIRROR_URL, DOWNLOAD_MIRROR_KEY, DOWNLOAD_MIRROR_KEYS, LAYER, DL_MIRROR_OUTPUT_DIR, http_proxy, https_proxy, no_proxy.

Exit codes:
  0  every file is here and verified
  1  a defect of download-mirror
  2  the command line is wrong
  3  a list, a .repo file or a key file cannot be read or understood
  4  another download-mirror works in this output directory
  5  some file could not be had; the others are here
  6  some file did not verify (this wins over 5); the others are here
  7  this machine lacks something: disk, permission, a program (gpg, gpgv, rpmkeys, git)
  130  interrupted; the next run goes on from there

Examples:
  download-mirror --mirror http://mirror.example.org --key RPM-GPG-KEY-mirror       what the lists of the mirror ask for
  download-mirror -s --lists config/centos --layer flock                             own lists, from the mirror alone
  download-mirror -S --lists config/centos --keys keys --dry-run                     where each file would come from
  download-mirror --release 3.0 --output stx-3.0 --report report.json                a frozen release`;

const list = (value: string, values: readonly string[] = []): readonly string[] => [...values, value];

export function program(): Command {
  return new Command('download-mirror')
    .description('Downloads what StarlingX lists ask for, from the mirror, from upstreams, or from both; each file is verified.')
    .argument('[lists...]', 'list files')
    .option('-s, --mirror-only', 'from the mirror alone')
    .option('-S, --mirror-first', 'from the mirror, and from upstreams what it cannot give (default)')
    .option('-u, --upstream-only', 'from upstreams alone')
    .option('-U, --upstream-first', 'from upstreams, and from the mirror what they cannot give')
    .option('-c, --yum-conf <file>', 'repositories of its reposdir= instead of yum.repos.d beside the lists')
    .option('-d, --distro <name>', 'distribution whose packages are wanted (default: centos)')
    .option('-l, --layer <name>', 'lists of this layer (default: LAYER, or all)')
    .option('-n, --no-sudo', 'refuse to run under sudo; nothing here needs it')
    .option('--mirror <URL>', 'address of the mirror (DOWNLOAD_MIRROR_URL)')
    .option('--key <file>', "the mirror's public key (DOWNLOAD_MIRROR_KEY)")
    .option('--keys <directory>', "upstreams' public keys, named as gpgkey= names them (DOWNLOAD_MIRROR_KEYS)")
    .option('--lists <directory>', 'lists, or directories of layers with lists')
    .option('--release <name>', 'from a frozen release of the mirror')
    .option('--branch <name>', 'whose lists are meant on the mirror (default: the release, or master)')
    .option('--install-url <URL>', "what other_downloads.lst is below (default: CentOS 7.6's os)")
    .option('--variable <name=value>', 'of .repo files; can be given again (default: releasever=7 basearch=x86_64)', list)
    .option('--first-sight', 'take files that nothing proves, and write their digests to first-sight.sha256')
    .option('--verify', 'read again what is here, instead of trusting size and time')
    .option('--output <directory>', 'where files go (default: DL_MIRROR_OUTPUT_DIR, or output/stx/CentOS)')
    .option('--jobs <number>', 'connections to each server (default: 8)')
    .option('--timeout <seconds>', 'how long a server may be silent (default: 30)')
    .option('--dry-run', 'say where each file would come from; write nothing')
    .option('--report <file>', 'write what became of each file, as JSON')
    .option('--json', 'print that report instead of text')
    .addHelpText('after', HELP)
    .configureHelp({ helpWidth: 110 })
    .exitOverride();
}

/** Less memory in the same time, as the sync does; and the heap of what lives shortly stays small: 90 MB instead of 125 for 2,200 packages. */
function sparing(): void {
  setFlagsFromString('--heap-growing-percent=30');
  setFlagsFromString('--no-wasm-tier-up');
  setFlagsFromString('--no-wasm-dynamic-tiering');
  setFlagsFromString('--semi-space-growth-factor=1');
}

async function main(): Promise<void> {
  sparing();
  const command = program().parse();
  const settings = settingsOf(command.opts<Flags>(), command.args, process.env);
  if (settings.report !== undefined) requireDirectoryOf(settings.report);
  const interrupted = new AbortController();
  // Each request under way listens.
  setMaxListeners(0, interrupted.signal);
  let by: NodeJS.Signals | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      by = signal;
      interrupted.abort(new Error(`interrupted by ${signal}`));
    });
  try {
    const { download } = await import('./session');
    const progress = settings.json ? undefined : process.stderr;
    const report = await download({ settings, environment: process.env, signal: interrupted.signal, progress });
    if (by !== undefined) throw new Error(`interrupted by ${by}`);
    const json = `${JSON.stringify(report, undefined, 1)}\n`;
    if (settings.report !== undefined) writeWhole(settings.report, json);
    process.stdout.write(settings.json ? json : reportText(report));
    process.exitCode = report.exitCode;
  } catch (error) {
    if (by === undefined) throw error;
    process.stderr.write(`download-mirror: interrupted by ${by}; what came is here, and the next run goes on from there\n`);
    process.exitCode = by === 'SIGINT' ? 130 : by === 'SIGTERM' ? 143 : 129;
  }
}

/** Before anything is asked: a run of an hour must not end without its report. */
function requireDirectoryOf(file: string): void {
  const directory = dirname(resolve(file));
  const isFile = statSync(file, { throwIfNoEntry: false })?.isDirectory() !== true;
  if (isFile && statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw usage(
    `--report ${file} cannot be written: ${isFile ? `${directory} is no directory` : 'it is a directory'}`,
    'Name a file in a directory that exists.',
  );
}

/** A reader of the report sees the old one or the new one. */
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

if (require.main === module) main().catch((error: unknown) => fail('download-mirror', error));
