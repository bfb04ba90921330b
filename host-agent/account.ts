/**
 * The account that deploys log in as. Its keys are a file of the generation, linked from its home, so that a switch that loses the operator
 * takes them back too. By sudo it may run mirror-host and nothing else; whoever installs units and programs can become root all the same.
 */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { ServerPaths } from '../desired-state/model';
import type { Reporter } from './events';
import { ensureDirectory, linkTarget, namesIn, readIfPresent, replaceSymlink, writeSynced } from './files';
import { passwdEntry } from './passwd';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** What sudo allows the accounts. In a path of sudoers `*` matches no slash, and the directories are root's. Pure. */
export function sudoersText(accounts: readonly string[]): string {
  const lines = accounts.map(
    (name) =>
      `Defaults:${name} !requiretty\n${name} ALL=(root) NOPASSWD: ${ServerPaths.programs}/*/mirror-host.cjs, /usr/local/sbin/mirror-host\n`,
  );
  return `# Written by mirror-host: changes are overwritten.\n${lines.join('')}`;
}

/** Makes sure that the account exists, beside those that exist already: they go with the confirmation. */
export async function ensureAccount(paths: HostPaths, name: string, before: string | undefined, report: Reporter): Promise<void> {
  const home = join(paths.accountHomes, name);
  const present = homeOf(paths, name);
  if (present === undefined) {
    ensureDirectory(paths.accountHomes, 0o755);
    // Not "!": sshd without PAM refuses locked accounts. No password matches "*".
    const args = ['--system', '--user-group', '--no-create-home', '--home-dir', home, '--shell', '/bin/sh', '--password', '*', name];
    const added = await run('useradd', args);
    if (added.exitCode !== 0) throw refused(name, `useradd: ${lastWords(added)}`, 'Create no account of that name by hand; deploy again.');
    report.progress(`created the account ${name}`);
  } else if (present !== home) {
    throw refused(name, `it exists, and is not the mirror's (its home is ${present})`, 'Declare another name as user.');
  }
  for (const directory of [home, join(home, '.ssh')]) ensureDirectory(directory, 0o755);
  const keys = join(paths.current, 'ssh', 'authorized_keys');
  const link = join(home, '.ssh', 'authorized_keys');
  if (linkTarget(link) !== keys) replaceSymlink(link, keys);
  await writeSudoers(paths, [...new Set([...(before === undefined ? [] : [before]), name])].sort());
}

/** Removes every account of ours but these. */
export async function keepAccounts(paths: HostPaths, kept: readonly string[], report: Reporter): Promise<void> {
  if (readIfPresent(paths.sudoers) === undefined) return;
  for (const name of namesIn(paths.accountHomes).filter((account) => !kept.includes(account))) {
    rmSync(join(paths.accountHomes, name), { recursive: true, force: true });
    const removed = await run('userdel', [name]);
    if (removed.exitCode === 0) report.progress(`removed the account ${name}`);
    else report.warning(`the account ${name} can log in no more, but is still there: ${lastWords(removed)}`);
  }
  if (kept.length === 0) rmSync(paths.sudoers, { force: true });
  else await writeSudoers(paths, kept);
}

/** What deviates of the account. */
export function accountDeviations(paths: HostPaths, name: string | undefined): string[] {
  if (name === undefined) return [];
  const found: string[] = [];
  if (homeOf(paths, name) === undefined) found.push(`the account ${name} missing`);
  const sudoers = readIfPresent(paths.sudoers);
  if (sudoers !== sudoersText([name])) found.push(`${paths.sudoers} ${sudoers === undefined ? 'missing' : 'modified'}`);
  const link = join(paths.accountHomes, name, '.ssh', 'authorized_keys');
  if (linkTarget(link) !== join(paths.current, 'ssh', 'authorized_keys')) found.push(`${link} modified`);
  return found;
}

function homeOf(paths: HostPaths, name: string): string | undefined {
  return passwdEntry(paths, name)?.[5];
}

/** sudo refuses to work at all when one of its files is wrong: this one is checked before it has its name. */
async function writeSudoers(paths: HostPaths, accounts: readonly string[]): Promise<void> {
  const text = sudoersText(accounts);
  if (readIfPresent(paths.sudoers) === text) return;
  mkdirSync(join(paths.sudoers, '..'), { recursive: true });
  // sudo ignores names with a dot.
  const candidate = `${paths.sudoers}.new`;
  writeSynced(candidate, text, 0o440);
  const checked = await run('visudo', ['-c', '-f', candidate]);
  if (checked.exitCode !== 0) {
    rmSync(candidate, { force: true });
    throw refused(accounts.join(', '), `visudo: ${lastWords(checked)}`, 'Install sudo 1.9 or later.');
  }
  renameSync(candidate, paths.sudoers);
}

function refused(name: string, reason: string, remedy: string): MirrorError {
  return new MirrorError({
    code: 'ACCOUNT_REFUSED',
    message: `the deploy account ${name} cannot be set up: ${reason}`,
    remedy,
    exitCode: ExitCode.environment,
  });
}
