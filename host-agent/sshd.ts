/**
 * What sshd is told about accounts that upload: nothing but SFTP in a place that they cannot leave, or nothing but rsync by a configuration of the
 * generation; by the keys of the generation. One file of its own; sshd judges it before it counts, and what it says of others must be what it said without it.
 */
import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { ServerPaths, UPLOADS } from '../desired-state/model';
import { rsyncConfiguration } from '../desired-state/render/rsync';
import { readIfPresent, syncDirectory, writeSynced } from './files';
import type { UploadAccounts } from './manifest';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';
import { systemctl } from './units';

type Setting = readonly [keyword: string, value: string];

/** New files are its group's too, by which mirrorctl takes them away. */
const BY_SFTP: readonly Setting[] = [
  ['ChrootDirectory', `${UPLOADS.root}/%u`],
  ['ForceCommand', 'internal-sftp -u 0007 -P symlink,hardlink'],
];

/** rsync's daemon on the connection itself: whatever a client asks for, this is what runs. Of its environment nothing gets there. */
function byRsync(account: string): readonly Setting[] {
  const command = `exec /usr/bin/env -i /usr/bin/rsync --server --daemon --config=${rsyncConfiguration(account)} .`;
  return [
    ['ChrootDirectory', 'none'],
    ['ForceCommand', command],
  ];
}

/** What holds for each account, as sshd_config(5) has it. */
const SETTINGS: readonly Setting[] = [
  ['AuthorizedKeysFile', `${ServerPaths.configuration}/current/ssh/uploads/%u`],
  ['AuthorizedKeysCommand', 'none'],
  ['TrustedUserCAKeys', 'none'],
  ['AuthenticationMethods', 'publickey'],
  ['PubkeyAuthentication', 'yes'],
  ['PasswordAuthentication', 'no'],
  ['KbdInteractiveAuthentication', 'no'],
  ['HostbasedAuthentication', 'no'],
  ['DisableForwarding', 'yes'],
  ['AllowTcpForwarding', 'no'],
  ['AllowStreamLocalForwarding', 'no'],
  ['AllowAgentForwarding', 'no'],
  ['X11Forwarding', 'no'],
  ['GatewayPorts', 'no'],
  ['PermitTunnel', 'no'],
  ['PermitTTY', 'no'],
  ['PermitUserRC', 'no'],
];

/** The file; undefined where there is no account. Pure. */
export function sshdText({ uploads = {}, uploadsByRsync = [] }: UploadAccounts): string | undefined {
  const bySftp = Object.keys(uploads)
    .filter((account) => !uploadsByRsync.includes(account))
    .sort();
  const blocks = [
    ...(bySftp.length === 0 ? [] : [match(bySftp, BY_SFTP)]),
    ...[...uploadsByRsync].sort().map((account) => match([account], byRsync(account))),
  ];
  return blocks.length === 0 ? undefined : `# Written by mirror-host: changes are overwritten.\n${blocks.join('')}`;
}

function match(accounts: readonly string[], own: readonly Setting[]): string {
  return `Match User ${accounts.join(',')}\n${[...own, ...SETTINGS].map(([keyword, value]) => `    ${keyword} ${value}\n`).join('')}`;
}

/** In which of the settings what sshd says it does (`sshd -T`) is another thing. It leaves out what it was built without. Pure. */
export function unlikeDeclared(effective: string, { uploadsByRsync = [] }: UploadAccounts, account: string): string[] {
  const lines = effective.split('\n');
  return [...(uploadsByRsync.includes(account) ? byRsync(account) : BY_SFTP), ...SETTINGS]
    .filter(([keyword, value]) => {
      const said = lines.filter((line) => line.startsWith(`${keyword.toLowerCase()} `)).map((line) => line.slice(keyword.length + 1));
      return said.length > 0 ? said.join('\n') !== value : ['ChrootDirectory', 'ForceCommand'].includes(keyword);
    })
    .map(([keyword]) => keyword);
}

/**
 * Makes sshd know these accounts and no others. Throws MirrorError, with the file as it was, where sshd objects, would treat one of them
 * otherwise, or would treat those who deploy otherwise than before.
 *
 * @param deployers accounts whose login must stay as it is
 * @param always whether sshd is to read its files also where this one is as it should be
 */
export async function tellSshd(paths: HostPaths, declared: UploadAccounts, deployers: readonly string[], always: boolean): Promise<void> {
  const text = sshdText(declared);
  const before = readIfPresent(paths.sshdUploads);
  if (text === before && !always) return;
  if (text !== before) {
    const logins = await Promise.all(deployers.map(effectiveFor));
    replace(paths.sshdUploads, text);
    try {
      await judge(declared);
      const now = await Promise.all(deployers.map(effectiveFor));
      const other = deployers.filter((_, index) => logins[index] !== now[index]);
      if (other.length > 0)
        throw refused(
          `it would change how ${other.join(', ')} logs in`,
          'Put "Include /etc/ssh/sshd_config.d/*.conf" first in /etc/ssh/sshd_config.',
        );
    } catch (error) {
      replace(paths.sshdUploads, before);
      throw error;
    }
  }
  // Where nothing listens, the next sshd reads its files by itself. Sessions go on.
  if (text !== undefined || before !== undefined)
    await systemctl(['try-reload-or-restart', 'ssh.service'], 'let sshd read its configuration');
}

/** What deviates of the file, and of what sshd makes of it. */
export async function sshdDeviations(paths: HostPaths, declared: UploadAccounts): Promise<string[]> {
  const text = readIfPresent(paths.sshdUploads);
  const wanted = sshdText(declared);
  if (text !== wanted) return [`${paths.sshdUploads} ${text === undefined ? 'missing' : wanted === undefined ? 'unexpected' : 'modified'}`];
  const found = await Promise.all(
    Object.keys(declared.uploads ?? {}).map(async (account) => {
      const other = unlikeDeclared(await effectiveFor(account), declared, account);
      return other.length === 0 ? [] : [`sshd has another ${other.join(', ')} for ${account} than declared`];
    }),
  );
  return found.flat();
}

async function judge(declared: UploadAccounts): Promise<void> {
  const tested = await run('sshd', ['-t']);
  if (tested.exitCode !== 0) throw refused(`sshd objects: ${lastWords(tested)}`, 'Correct what it names: sshd -t.');
  for (const account of Object.keys(declared.uploads ?? {})) {
    const other = unlikeDeclared(await effectiveFor(account), declared, account);
    if (other.length > 0)
      throw refused(
        `sshd would have another ${other.join(', ')} for ${account}`,
        'Put "Include /etc/ssh/sshd_config.d/*.conf" first in /etc/ssh/sshd_config, and see which Match of another file is for this account.',
      );
  }
}

/** What sshd would do for an account that logs in from here. */
async function effectiveFor(account: string): Promise<string> {
  const from = `user=${account},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22`;
  return (await run('sshd', ['-T', '-C', from])).stdout;
}

/** By one rename, since sshd may read at any time; it reads `*.conf` only. */
function replace(path: string, text: string | undefined): void {
  if (text === undefined) rmSync(path, { force: true });
  else {
    const candidate = join(dirname(path), '.mirror-uploads.new');
    writeSynced(candidate, text, 0o644);
    renameSync(candidate, path);
  }
  syncDirectory(dirname(path));
}

function refused(reason: string, remedy: string): MirrorError {
  return new MirrorError({
    code: 'SSHD_REFUSED',
    message: `sshd cannot be told about accounts that upload: ${reason}`,
    remedy: `${remedy} Then deploy again.`,
    exitCode: ExitCode.environment,
  });
}
