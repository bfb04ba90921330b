/**
 * Accounts that upload. Each has a place of root's that it cannot leave, with a directory for each component that it may write to. The accounts
 * of both generations exist while a switch waits for its confirmation; which of them may log in says the generation that serves.
 */
import { chmodSync, chownSync, lstatSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { CONTENT_USER, UPLOADS } from '../desired-state/model';
import type { ContentUser } from './bootstrap';
import type { Reporter } from './events';
import { ensureDirectory, kindOf, namesIn, readIfPresent } from './files';
import type { UploadAccounts } from './manifest';
import { passwdEntry } from './passwd';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** By which sshd starts rsync, and nothing else: what it may start is in its own configuration (sshd.ts). SFTP needs no shell. */
const SHELLS = { sftp: '/usr/sbin/nologin', rsync: '/bin/sh' } as const;
/** No password matches it, and sshd does not take the account for a locked one. */
const NO_PASSWORD = '*';
/** New files get the group of the directory: by that mirrorctl, and nobody else, takes them. */
const INCOMING = 0o2770;

/** A directory of an account's place, as it should be. */
interface Directory {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What an account is beside its name. */
interface Kind {
  readonly shell: string;
  /** Of its group: rsync gives what arrives that group, and modes by which mirrorctl takes it. */
  readonly members: readonly string[];
}

function kindsOf({ uploadsByRsync = [] }: UploadAccounts, account: string): Kind {
  const byRsync = uploadsByRsync.includes(account);
  return { shell: byRsync ? SHELLS.rsync : SHELLS.sftp, members: byRsync ? [CONTENT_USER] : [] };
}

/** Makes sure that the accounts and their directories exist, beside those that exist already: they go with the confirmation. */
export async function ensureUploads(paths: HostPaths, declared: UploadAccounts, content: ContentUser, report: Reporter): Promise<void> {
  for (const [account, directories] of Object.entries(declared.uploads ?? {})) {
    const kind = kindsOf(declared, account);
    // An account that uploaded by rsync may have to do so again, until the generation is confirmed.
    const before = [kind, { shell: SHELLS.rsync, members: [CONTENT_USER] }];
    if (!before.some((one) => accountFaults(paths, account, one).length === 0)) await ensureAccount(paths, account, kind, report);
    for (const { path, mode, uid, gid } of directoriesOf(paths, account, directories, content)) ensureDirectory(path, mode, uid, gid);
  }
}

async function ensureAccount(paths: HostPaths, account: string, kind: Kind, report: Reporter): Promise<void> {
  const place = join(paths.uploads, account);
  const home = passwdEntry(paths, account)?.[5];
  if (home === undefined) {
    const args = [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      place,
      '--shell',
      kind.shell,
      '--password',
      NO_PASSWORD,
      account,
    ];
    const added = await run('useradd', args);
    if (added.exitCode !== 0)
      throw refused(account, `useradd: ${lastWords(added)}`, 'Create no account of that name by hand; deploy again.');
    report.progress(`created the account ${account}, for uploads`);
  } else if (home !== place) {
    throw refused(account, `it exists, and is not one for uploads (its home is ${home})`, 'Declare another name for the UploadAccount.');
  } else {
    const repaired = await run('usermod', ['--shell', kind.shell, '--password', NO_PASSWORD, '--gid', account, '--groups', '', account]);
    if (repaired.exitCode !== 0) throw refused(account, `usermod: ${lastWords(repaired)}`, 'Remove the account (userdel); deploy again.');
    report.progress(`repaired the account ${account}`);
  }
  await setMembers(paths, account, kind.members);
}

async function setMembers(paths: HostPaths, account: string, members: readonly string[]): Promise<void> {
  if (membersOf(paths, account).join() === members.join()) return;
  const set = await run('gpasswd', ['--members', members.join(), account]);
  if (set.exitCode !== 0)
    throw refused(account, `gpasswd: ${lastWords(set)}`, 'Remove the account and its group (userdel, groupdel); deploy again.');
}

/** Ends the accounts that are no longer declared, and closes directories that are not. What they hold stays. */
export async function keepUploads(paths: HostPaths, declared: UploadAccounts, report: Reporter): Promise<void> {
  for (const account of namesIn(paths.uploads)) {
    const place = join(paths.uploads, account);
    const directories = declared.uploads?.[account];
    if (directories !== undefined) {
      closeOthers(place, directories);
      const kind = kindsOf(declared, account);
      if (accountFaults(paths, account, kind).length > 0) await ensureAccount(paths, account, kind, report);
      continue;
    }
    const entry = passwdEntry(paths, account);
    // Whoever gets the number of the account next must find nothing open.
    if (kindOf(place) === 'directory') chmodSync(place, 0o700);
    if (entry?.[5] !== place) continue;
    await endProcesses(Number(entry[2]));
    // userdel leaves a group that has members.
    await setMembers(paths, account, []);
    const removed = await run('userdel', [account]);
    if (removed.exitCode === 0) report.progress(`removed the account ${account}; what it uploaded and was not taken stays in ${place}`);
    else report.warning(`the account ${account} can upload no more, but is still there: ${lastWords(removed)}`);
  }
}

/** What deviates of the accounts and their directories. */
export function uploadDeviations(paths: HostPaths, declared: UploadAccounts, content: ContentUser | undefined): string[] {
  return Object.entries(declared.uploads ?? {}).flatMap(([account, directories]) => {
    const faults = accountFaults(paths, account, kindsOf(declared, account));
    if (content === undefined || faults.some((fault) => fault.endsWith('missing'))) return faults;
    const wrong = directoriesOf(paths, account, directories, content).flatMap(({ path, mode, uid, gid }) => {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return [`${path} missing`];
      return stat.isDirectory() && (stat.mode & 0o7777) === mode && stat.uid === uid && stat.gid === gid ? [] : [`${path} modified`];
    });
    return [...faults, ...wrong];
  });
}

/** What of an account lets it do more than upload, or nothing at all. */
function accountFaults(paths: HostPaths, account: string, { shell: wanted, members }: Kind): string[] {
  const entry = passwdEntry(paths, account);
  if (entry === undefined) return [`the account ${account} missing`];
  const [, , , gid, , home, shell] = entry;
  const ofOthers = fieldsOf(paths.group).filter((group) => group[3]?.split(',').includes(account));
  const own = fieldsOf(paths.group).find((group) => group[0] === account)?.[2];
  const password = fieldsOf(paths.shadow).find((fields) => fields[0] === account)?.[1];
  const right = home === join(paths.uploads, account) && shell === wanted && gid === own && password === NO_PASSWORD;
  const alone = ofOthers.length === 0 && membersOf(paths, account).join() === members.join();
  return right && alone ? [] : [`the account ${account} modified`];
}

/** Of the account's own group. */
function membersOf(paths: HostPaths, account: string): readonly string[] {
  const [, , , members = ''] = fieldsOf(paths.group).find(([name]) => name === account) ?? [];
  return members.split(',').filter((member) => member !== '');
}

function fieldsOf(path: string): string[][] {
  return (readIfPresent(path) ?? '').split('\n').map((line) => line.split(':'));
}

/** From the outermost to the innermost. */
function directoriesOf(paths: HostPaths, account: string, directories: readonly string[], content: ContentUser): Directory[] {
  const place = join(paths.uploads, account);
  const uid = Number(passwdEntry(paths, account)?.[2]);
  const root = { uid: 0, gid: 0 };
  const above = new Set(directories.map((directory) => directory.split('/')[0] as string));
  return [
    // Who else uploads here is nobody's business.
    { path: paths.uploads, mode: 0o711, ...root },
    { path: place, mode: 0o755, ...root },
    { path: join(place, UPLOADS.results), mode: 0o755, ...content },
    { path: join(place, UPLOADS.refused), mode: 0o750, ...content },
    ...[...above].map((name) => ({ path: join(place, name), mode: 0o755, ...root })),
    ...directories.map((directory) => ({ path: join(place, directory), mode: INCOMING, uid, gid: content.gid })),
  ];
}

/** Directories that are no longer declared: empty ones go, others are root's from now on. */
function closeOthers(place: string, declared: readonly string[]): void {
  for (const above of namesIn(place).filter((name) => name !== UPLOADS.results && name !== UPLOADS.refused)) {
    for (const name of namesIn(join(place, above)).filter((one) => !declared.includes(`${above}/${one}`))) {
      const path = join(place, above, name);
      if (kindOf(path) !== 'directory' || isRemoved(path)) continue;
      chownSync(path, 0, 0);
      chmodSync(path, 0o700);
    }
    if (!declared.some((directory) => directory.startsWith(`${above}/`))) isRemoved(join(place, above));
  }
}

/** Removes a directory if it is empty. */
function isRemoved(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Ends what an account runs, so that no session outlives it; userdel refuses while there is any. */
async function endProcesses(uid: number): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const running = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && ownerOf(`/proc/${pid}`) === uid);
    if (running.length === 0) return;
    for (const pid of running) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await sleep(50);
  }
}

function ownerOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.uid;
}

function refused(account: string, reason: string, remedy: string): MirrorError {
  return new MirrorError({
    code: 'ACCOUNT_REFUSED',
    message: `the account ${account}, for uploads, cannot be set up: ${reason}`,
    remedy,
    exitCode: ExitCode.environment,
  });
}
