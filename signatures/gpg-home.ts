import { constants, rmSync } from 'node:fs';
import { access, lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { run } from './run';

/** In memory: a secret key is never written to a disk. */
export const MEMORY = '/dev/shm';

/** Start of the names of gpg's temporary homes; then `<pid>-<start of that process>-<random>`. */
const PREFIX = '.mirror-gnupg-';

/**
 * A directory for gpg, in memory, that only this user can enter, and gpg's agent with it. First removes what killed runs left: nobody else
 * would, and the agent of such a home still knows the key.
 */
export async function openGpgHome(memory = MEMORY): Promise<string> {
  await access(memory, constants.W_OK | constants.X_OK).catch((error: NodeJS.ErrnoException) => {
    throw new MirrorError({
      code: 'NO_MEMORY_DIRECTORY',
      message: `${memory}, where a signing key is kept in memory while it is used, cannot be written (${error.code ?? error.message})`,
      remedy: `Mount it: mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs ${memory}`,
      exitCode: ExitCode.environment,
    });
  });
  await removeLeftovers(memory);
  const home = await mkdtemp(join(memory, `${PREFIX}${process.pid}-${await startOf(process.pid)}-`));
  if (open.size === 0) for (const signal of SIGNALS) process.once(signal, onSignal);
  open.add(home);
  return home;
}

const open = new Set<string>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal ends the program as ever, but no secret key stays: the agent ends by itself when its directory is gone. */
function onSignal(signal: NodeJS.Signals): void {
  for (const home of open) rmSync(home, { recursive: true, force: true });
  for (const one of SIGNALS) process.off(one, onSignal);
  process.kill(process.pid, signal);
}

/** Ends the agent and removes its directory: nothing keeps the key. */
export async function closeGpgHome(home: string): Promise<void> {
  await run('gpgconf', ['--homedir', home, '--kill', 'gpg-agent']);
  // Where the user has a session, the agent's sockets are there.
  const sockets = await lstat(`/run/user/${process.getuid?.() ?? ''}/gnupg`).catch(() => undefined);
  if (sockets !== undefined) await run('gpgconf', ['--homedir', home, '--remove-socketdir']);
  await rm(home, { recursive: true, force: true });
  open.delete(home);
  if (open.size === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
}

/** Options of every gpg that works in a home. */
export function gpgOptions(home: string): string[] {
  // A loopback without a passphrase makes a protected key an error at once, instead of a question that nobody sees.
  return ['--homedir', home, '--batch', '--no-tty', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
}

/** Removes the homes of this user's processes that are no more. */
async function removeLeftovers(memory: string): Promise<void> {
  for (const name of await readdir(memory)) {
    const made = /^(\d+)-(\d+)-\w+$/.exec(name.startsWith(PREFIX) ? name.slice(PREFIX.length) : '');
    if (made === null || (await startOf(Number(made[1]))) === made[2]) continue;
    const home = join(memory, name);
    const stat = await lstat(home).catch(() => undefined);
    // Anybody may put a directory there, with a configuration for gpg in it.
    if (stat?.isDirectory() === true && stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0) await closeGpgHome(home);
  }
}

/** When a process began, in clock ticks since the boot: no other one has this and its number. `0` when there is none. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field is a name in parentheses that may hold anything; the start is the 22nd.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
}
