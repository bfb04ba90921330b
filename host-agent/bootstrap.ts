import { closeSync, lstatSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { CONTENT_USER, SENTINEL, type DesiredState } from '../desired-state/model';
import { ensureAccount } from './account';
import type { Reporter } from './events';
import { ensureDirectory, kindOf, linkTarget, namesIn, readIfPresent, replaceSymlink, writeDurably, writePlain } from './files';
import { uploadsOf } from './generation';
import { EMPTY_MANIFEST } from './manifest';
import { asContentUser } from './links';
import { passwdEntry } from './passwd';
import { DOCUMENT_ROOT, type HostPaths } from './paths';
import { linkPrograms } from './programs';
import { ensureRevertUnit } from './revert-unit';
import { lastWords, LONG_SECONDS, run } from './run';
import { judgeStorage, storageFacts } from './storage';
import { systemctl } from './units';
import { ensureUploads } from './uploads';

/** User and group id of the content user. */
export interface ContentUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Makes a bare server ready for generations: packages, user, directories, sentinel, an empty valid generation 0. Idempotent, and cheap
 * when there is nothing to do. Throws MirrorError before it changes anything when the data mount is missing.
 *
 * @param accountBefore the deploy account of the generation that serves: it keeps its rights until the next one is confirmed
 */
export async function bootstrap(
  paths: HostPaths,
  desired: DesiredState,
  programs: string,
  accountBefore: string | undefined,
  report: Reporter,
): Promise<ContentUser> {
  const storage = judgeStorage(desired.storage, storageFacts(paths, desired.storage.root));
  await installPackages(paths, desired.packages, report);
  const user = await ensureContentUser(paths, report);

  ensureDirectory(paths.configuration, 0o755);
  ensureDirectory(paths.generations, 0o755);
  // The content user may add to the state directory but not move root's part of it away (sticky).
  ensureDirectory(paths.state, 0o1775, 0, user.gid);
  ensureRootsOwn(paths.hostState);
  ensureDirectory(paths.hostState, 0o700);
  ensureDirectory(desired.storage.root, 0o755, user.uid, user.gid);
  asContentUser(user, () => mkdirSync(join(desired.storage.root, DOCUMENT_ROOT), { recursive: true, mode: 0o755 }));
  if (storage === 'create') {
    const sentinel = join(desired.storage.root, SENTINEL);
    asContentUser(user, () => closeSync(openSync(sentinel, 'wx', 0o644)));
    report.progress(`storage root ${desired.storage.root} is set up`);
  }
  if (storageFacts(paths, desired.storage.root).recordedRoot !== desired.storage.root) {
    writeDurably(paths.storageRecord, `${JSON.stringify({ root: desired.storage.root, since: new Date().toISOString() })}\n`);
  }

  ensureGenerationZero(paths);
  // Where the generation that it names is gone, there is nothing to test the next one against.
  if (kindOf(join(paths.current, 'manifest.json')) === 'missing') replaceSymlink(paths.current, 'generations/0');
  if (linkTarget(paths.secrets) !== 'current/secrets') replaceSymlink(paths.secrets, 'current/secrets');
  linkPrograms(paths, programs, 'ifMissing');
  await ensureRevertUnit(paths);
  if (desired.deployAccount !== undefined) await ensureAccount(paths, desired.deployAccount, accountBefore, report);
  await ensureUploads(paths, uploadsOf(desired), user, report);
  await ensureNginxSite(paths, report);
  return user;
}

/**
 * Where only root's directory may be, removes anything else. The directory above belongs to a group, whose members could have made it while
 * it was not there, before the first deploy or after a decommissioning.
 */
export function ensureRootsOwn(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true && stat.uid === process.getuid?.()) return;
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
}

/** The content user as /etc/passwd has it. */
export function findContentUser(paths: HostPaths): ContentUser | undefined {
  const fields = passwdEntry(paths, CONTENT_USER);
  return fields === undefined ? undefined : { uid: Number(fields[2]), gid: Number(fields[3]) };
}

/** Which of the packages are not installed, by the output of dpkg-query; of alternatives (`a|b`) the first where there is none of them. Pure. */
export function missingPackages(wanted: readonly string[], dpkgQuery: string): string[] {
  const installed = new Set(
    dpkgQuery
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, status]) => status?.startsWith('ii'))
      .map(([name]) => name),
  );
  return wanted.flatMap((one) => (alternatives(one).some((name) => installed.has(name)) ? [] : (alternatives(one)[0] as string))).sort();
}

function alternatives(wanted: string): string[] {
  return wanted.split('|');
}

/** How apt and dpkg are run: they ask nothing, and may take their time. */
const APT = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutSeconds: LONG_SECONDS };
const WAIT = ['-o', 'DPkg::Lock::Timeout=120'];
const UPDATE = ['-q', ...WAIT, 'update'];
const INSTALL = ['-q', '-y', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-confold', ...WAIT];

async function installPackages(paths: HostPaths, wanted: readonly string[], report: Reporter): Promise<void> {
  if (wanted.length === 0) return;
  // Unknown packages make dpkg-query exit 1; what it prints about the others is what counts.
  const query = await run('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Abbrev}\\n', ...wanted.flatMap(alternatives)]);
  const missing = missingPackages(wanted, query.stdout);
  if (missing.length === 0 && !isInterrupted(paths)) return;
  await finishInterrupted(paths, report);
  if (missing.length === 0) return;
  report.progress(`installing ${missing.join(', ')}`);
  const update = await run('apt-get', UPDATE, APT);
  if (update.exitCode !== 0) throw aptFailed('update', lastWords(update));
  let count = 0;
  const onLine = (line: string): void => {
    const name = /^Setting up ([^\s:]+)/.exec(line)?.[1];
    if (name === undefined) return;
    count += 1;
    if (missing.includes(name)) report.progress(`installed ${name} (package ${count})`);
  };
  const installed = await run('apt-get', [...INSTALL, 'install', ...missing], { ...APT, onLine });
  if (installed.exitCode !== 0) throw aptFailed(`install ${missing.join(' ')}`, lastWords(installed));
}

/** Brings packages to their end that a power failure left half-installed; until then apt refuses others. What it cannot do, the next step tells. */
async function finishInterrupted(paths: HostPaths, report: Reporter): Promise<void> {
  const audit = await run('dpkg', ['--audit']);
  if (audit.stdout.trim() === '' && !isInterrupted(paths)) return;
  report.progress('finishing an installation of Debian packages that was cut off');
  await run('dpkg', ['--force-confold', '--configure', '-a'], APT);
  const repair = [...INSTALL, '--no-remove'];
  const half = halfInstalled((await run('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Abbrev}|\\n'])).stdout);
  if (half.length > 0) {
    await run('apt-get', UPDATE, APT);
    await run('apt-get', [...repair, '--reinstall', 'install', ...half], APT);
  }
  await run('apt-get', [...repair, '--fix-broken', 'install'], APT);
}

/** Packages of which only a part was unpacked: dpkg wants them anew before it configures anything that needs them. Pure. */
export function halfInstalled(dpkgQuery: string): string[] {
  return dpkgQuery.split('\n').flatMap((line) => /^(\S+) (?:.H.|..R)\|$/.exec(line)?.[1] ?? []);
}

/** True where the power failed while dpkg worked, say: apt refuses everything until it was let finish. The same test as apt's. */
export function isInterrupted(paths: Pick<HostPaths, 'dpkgUpdates'>): boolean {
  return namesIn(paths.dpkgUpdates).some((name) => /^\d+$/.test(name));
}

async function ensureContentUser(paths: HostPaths, report: Reporter): Promise<ContentUser> {
  const present = findContentUser(paths);
  if (present !== undefined) return present;
  const args = ['--system', '--user-group', '--no-create-home', '--home-dir', paths.state, '--shell', '/usr/sbin/nologin', CONTENT_USER];
  const added = await run('useradd', args);
  const made = findContentUser(paths);
  if (added.exitCode !== 0 || made === undefined) {
    throw new MirrorError({
      code: 'USER_NOT_CREATED',
      message: `the user ${CONTENT_USER} cannot be created: ${lastWords(added)}`,
      remedy: `Create a system user and group ${CONTENT_USER} by hand, then deploy again.`,
      exitCode: ExitCode.environment,
    });
  }
  report.progress(`created the user ${CONTENT_USER}`);
  return made;
}

function ensureGenerationZero(paths: HostPaths): void {
  const directory = join(paths.generations, '0');
  if (readIfPresent(join(directory, 'manifest.json')) !== undefined) return;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(join(directory, 'nginx', 'locations'), { recursive: true, mode: 0o755 });
  mkdirSync(join(directory, 'secrets'), { mode: 0o700 });
  writePlain(join(directory, 'nginx', 'vhost.conf'), '# Generation 0: nothing is served yet.\n', 0o644);
  writeDurably(join(directory, 'manifest.json'), `${JSON.stringify(EMPTY_MANIFEST, null, 1)}\n`);
}

async function ensureNginxSite(paths: HostPaths, report: Reporter): Promise<void> {
  if (kindOf(join(paths.nginxLink, '..')) !== 'directory') {
    throw new MirrorError({
      code: 'NGINX_MISSING',
      message: `nginx is not installed: ${join(paths.nginxLink, '..')} does not exist`,
      remedy: 'Declare the package nginx-light (or nginx) for the server.',
      exitCode: ExitCode.environment,
    });
  }
  const wanted = join(paths.current, 'nginx', 'vhost.conf');
  if (linkTarget(paths.nginxLink) !== wanted) replaceSymlink(paths.nginxLink, wanted);
  if (kindOf(paths.nginxDefaultLink) === 'symlink') {
    rmSync(paths.nginxDefaultLink);
    report.progress("removed nginx's default site");
  }
  if (kindOf(join(paths.units, 'multi-user.target.wants', 'nginx.service')) === 'missing') {
    await systemctl(['enable', '--quiet', 'nginx.service'], 'enable nginx');
  }
}

function aptFailed(step: string, words: string): MirrorError {
  return new MirrorError({
    code: 'APT_FAILED',
    message: `apt-get ${step} failed: ${words}`,
    remedy: 'Check the server\'s network, DNS and /etc/apt/sources.list (run "apt-get update" there), then deploy again.',
    exitCode: ExitCode.environment,
  });
}
