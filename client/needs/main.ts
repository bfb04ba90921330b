/** `needs-build`: says on a build machine which packages must be rebuilt and why, and keeps what a build used. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { isAbsent } from '../../downloads/errors';
import { getSmall } from '../../downloads/http';
import { withFailover, Sources } from '../../downloads/sources';
import { type BuildManifest, writeManifest } from '../../starlingx/build-manifest';
import { shown } from '../../starlingx/shown';
import { parseYumRepos } from '../../starlingx/yum-repos';
import { fail } from '../fail';
import { Keys } from '../keys';
import { usage } from '../settings';
import { Web } from '../web';
import { Workspace } from '../workspace';
import { directoryPackages, repositoryPackages } from './built';
import { digestPackages } from './digest';
import { manifestIn, MAX_MANIFEST_BYTES, readManifest, writeWhole } from './files';
import { builtOf, type BuiltPackage, needsBuild } from './needs-build';
import { recordOf } from './record';
import { needsText } from './text';

/** Something must be rebuilt: no failure, and no code of one. */
export const REBUILD = 10;
const MAX_REPO_FILE_BYTES = 1024 * 1024;
const RETRY = { tries: 3, backoff: 200 };

const HELP = `
Exit codes:
  0   done; of check: nothing must be rebuilt
  1   a defect of needs-build
  2   the command line is wrong
  3   a manifest, a package or its directory cannot be read or understood
  5   a record or a repository could not be had
  6   a repository is not signed by the key of --key, or something else did not verify
  7   this machine lacks something: disk, permission, a program (gpg, gpgv, rpmspec)
  10  check: something must be rebuilt

Environment: DOWNLOAD_MIRROR_KEY, http_proxy, https_proxy, no_proxy.

Examples:
  needs-build digest packages/* --define 'dist .tis.el7' --output inputs.json
  needs-build check --inputs inputs.json --record record.json --built RPMS --built SRPMS
  needs-build check --inputs inputs.json --key RPM-GPG-KEY-mirror --names \\
    --record http://mirror.example.org/mirror/starlingx/master/centos/flock/latest_build/outputs/record.json \\
    --built http://mirror.example.org/mirror/starlingx/master/centos/flock/latest_build/build.repo
  needs-build record --inputs inputs.json --record old.json --packages acl bash --output record.json`;

interface DigestFlags {
  readonly with?: readonly string[];
  readonly define?: readonly string[];
  readonly target?: string;
  readonly output: string;
}
interface CheckFlags {
  readonly inputs: string;
  readonly record?: string;
  readonly built?: readonly string[];
  readonly key?: string;
  readonly timeout: string;
  readonly names?: boolean;
  readonly json?: boolean;
}
interface RecordFlags {
  readonly inputs: string;
  readonly record?: string;
  /** True where no name is given. */
  readonly packages?: readonly string[] | true;
  readonly output: string;
}

const list = (value: string, values: readonly string[] = []): readonly string[] => [...values, value];

export function program(): Command {
  const command = new Command('needs-build')
    .description('Says which packages must be rebuilt and why, by the digests of what they are made of and by what is built already.')
    .addHelpText('after', HELP);
  const add = (name: string, description: string): Command => command.command(name).description(description);
  add('digest', 'makes the manifest of packages: the digests of all files in their directories, and what their specs make')
    .argument('<directories...>', 'of one package each, with its spec; the package is called as its directory')
    .option('--with <package=path>', 'a further file or directory that a package is made of; can be given again', list)
    .option('--define <macro>', "'name value' for rpm, as for rpmbuild; can be given again", list)
    .option('--target <architecture>', "for which packages are built (default: this machine's)")
    .requiredOption('--output <file>', 'the manifest')
    .action((directories: readonly string[], flags: DigestFlags) => digest(directories, flags));
  add('check', 'says which packages must be rebuilt; exit code 10 if any must')
    .requiredOption('--inputs <file>', 'manifest of digest')
    .option('--record <file or URL>', 'what the last build used (default: nothing was built)')
    .option('--built <place>', 'directory of packages, URL of a repository, or .repo file (a build.repo); can be given again', list)
    .option('--key <file>', "the mirror's public key, by which repositories must be signed (DOWNLOAD_MIRROR_KEY)")
    .option('--timeout <seconds>', 'how long a server may be silent', '30')
    .option('--names', 'print the names of the packages alone, one a line')
    .option('--json', 'print every cause, for programs')
    .action((flags: CheckFlags) => check(flags));
  add('record', 'writes what a build used')
    .requiredOption('--inputs <file>', 'manifest of digest, made before the build')
    .option('--record <file>', 'of the build before, for the packages that were not built now')
    .option('--packages [names...]', 'which were built; none without a name (default: all)')
    .requiredOption('--output <file>', 'the new record; may be the old one')
    .action((flags: RecordFlags) => record(flags));
  for (const one of [command, ...command.commands]) one.configureHelp({ helpWidth: 110 }).exitOverride();
  return command;
}

async function digest(directories: readonly string[], { with: extra = [], define = [], target, output }: DigestFlags): Promise<void> {
  const further = new Map<string, string[]>();
  for (const text of extra) {
    const [, name, path] = /^([^=/]+)=(.+)$/.exec(text) ?? [];
    if (name === undefined || path === undefined)
      throw usage(`--with ${shown(text)} is not package=path`, 'Give, for instance, --with acl=downloads/acl-2.2.tar.gz.');
    further.set(name, [...(further.get(name) ?? []), path]);
  }
  const manifest = await digestPackages(directories, { extra: further, defines: define, target });
  writeWhole(output, writeManifest('inputs', manifest));
}

function record({ inputs, record: before, packages, output }: RecordFlags): void {
  const old = before === undefined ? new Map() : readManifest(before, 'record');
  writeWhole(output, writeManifest('record', recordOf(readManifest(inputs, 'inputs'), old, packages === true ? [] : packages)));
}

async function check(flags: CheckFlags): Promise<void> {
  const { inputs, record: recordAt, built = [], key = process.env['DOWNLOAD_MIRROR_KEY'], names = false, json = false } = flags;
  if (names && json) throw usage('--names and --json exclude each other', 'Give one of them.');
  if (!/^\d{1,4}$/.test(flags.timeout) || Number(flags.timeout) < 1)
    throw usage(`--timeout ${shown(flags.timeout)} is no number of seconds`, 'Give, for instance, --timeout 30.');
  if (built.length === 0)
    throw usage('--built is missing', 'Give where built packages are; an empty directory where nothing is built yet.');
  const manifest = readManifest(inputs, 'inputs');
  const scratch = mkdtempSync(join(tmpdir(), 'needs-build-'));
  const web = new Web({ jobs: 4, timeout: Number(flags.timeout) }, process.env, new AbortController().signal);
  try {
    const workspace = Workspace.open(scratch, scratch);
    const keys = new Keys(key === undefined || key === '' ? [] : [key], join(scratch, 'keys'));
    const unverified = new Set<string>();
    const before = await recordAtPlace(recordAt, web, unverified);
    const packages: BuiltPackage[] = [];
    for (const place of built) packages.push(...(await packagesAt(place, { web, workspace, keys, unverified })));
    const needs = needsBuild(manifest, before, builtOf(packages));
    process.stdout.write(
      json
        ? `${JSON.stringify({ ...needs, unverified: [...unverified] }, undefined, 1)}\n`
        : names
          ? needs.rebuild.map((one) => `${one.package}\n`).join('')
          : needsText(needs, [...unverified]),
    );
    if (names) for (const what of unverified) process.stderr.write(`needs-build: not verified: ${what}\n`);
    process.exitCode = needs.rebuild.length > 0 ? REBUILD : ExitCode.ok;
  } finally {
    await web.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function recordAtPlace(place: string | undefined, web: Web, unverified: Set<string>): Promise<BuildManifest> {
  if (place === undefined) return new Map();
  const url = urlOf(place, '--record');
  if (url === undefined) return readManifest(place, 'record');
  const client = web.to(url, true);
  try {
    const { bytes } = await withFailover(new Sources([url]), RETRY, () => getSmall(client, url, { maxBytes: MAX_MANIFEST_BYTES }));
    unverified.add(`${url} (no signature covers records; keep it where only the build can write, or take it over https)`);
    return manifestIn(bytes, url, 'record');
  } catch (error) {
    if (!isAbsent(error)) throw error;
    const { code, message, exitCode } = error as MirrorError;
    throw new MirrorError({
      code,
      message,
      remedy: 'If nothing was built before, leave --record out: everything is built then. Else check the address with curl.',
      exitCode,
      cause: error,
    });
  }
}

interface Reading {
  readonly web: Web;
  readonly workspace: Workspace;
  readonly keys: Keys;
  readonly unverified: Set<string>;
}

async function packagesAt(place: string, reading: Reading): Promise<readonly BuiltPackage[]> {
  const url = urlOf(place, '--built');
  if (place.endsWith('.repo')) return packagesOfRepoFile(place, url, reading);
  if (url !== undefined) return packagesOfRepository(url, reading);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw usage(`--built ${shown(place)} is no directory and no URL`, 'Give a directory that has packages, or the URL above repodata/.');
  return directoryPackages(place);
}

async function packagesOfRepository(text: string, { web, workspace, keys, unverified }: Reading): Promise<readonly BuiltPackage[]> {
  const url = text.endsWith('/') ? text : `${text}/`;
  if (keys.isEmpty) unverified.add(`${url} (no key was given: --key)`);
  const warn = (line: string): void => void unverified.add(line);
  return repositoryPackages(url, { client: web.to(url, true), workspace, keys, retry: RETRY, warn });
}

/**
 * The repositories of a file that was read once: those of one build, whatever a link leads to a moment later. What a build was made of (`inputs/`) it
 * did not build.
 */
async function packagesOfRepoFile(place: string, url: string | undefined, reading: Reading): Promise<readonly BuiltPackage[]> {
  let bytes: Buffer;
  if (url === undefined) bytes = readFileSync(place);
  else {
    const client = reading.web.to(url, true);
    ({ bytes } = await withFailover(new Sources([url]), RETRY, () => getSmall(client, url, { maxBytes: MAX_REPO_FILE_BYTES })));
    reading.unverified.add(`${url} (no signature covers which repositories it names)`);
  }
  const found: BuiltPackage[] = [];
  for (const { id, baseurls } of parseYumRepos(bytes, place, {})) {
    const [base] = baseurls;
    const at = base === undefined ? undefined : urlOf(base, place);
    if (at === undefined) throw usage(`--built ${shown(place)}: [${id}] has no baseurl over http`, 'Give the build.repo of a build.');
    if (!new URL(at).pathname.includes('/inputs/')) found.push(...(await packagesOfRepository(at, reading)));
  }
  return found;
}

/** Undefined for what is a path. */
function urlOf(text: string, option: string): string | undefined {
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text)) return undefined;
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Judged below.
  }
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === '' && url.search === '' && url.hash === '') return text;
  throw usage(
    `${option} ${shown(text)} is no address that can be asked`,
    'Give an http or https URL without a user, a query or a fragment.',
  );
}

if (require.main === module)
  program()
    .parseAsync()
    .catch((error: unknown) => fail('needs-build', error));
