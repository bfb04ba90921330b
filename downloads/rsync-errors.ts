/** What rsync's exit codes and messages mean for the next attempt. Pure. */
import { ExitCode } from '../desired-state/errors';
import { DownloadError, type FailureKind } from './errors';

interface Ended {
  readonly code: number;
  readonly stderr: string;
}

/** A run that brought nothing: rsync(1), EXIT VALUES. */
export function rsyncFailure(base: string, { code, stderr }: Ended): DownloadError {
  const said = saidBy(stderr);
  const failure = (kind: FailureKind, what: string, remedy?: string, exitCode?: ExitCode): DownloadError =>
    new DownloadError({
      kind,
      message: `${base}: ${what}`,
      ...(remedy === undefined ? {} : { remedy }),
      ...(exitCode === undefined ? {} : { exitCode }),
    });
  const look = 'Look at it with rsync(1), or put another source into fetchFrom.';
  if (/max connections/i.test(stderr)) return failure('transient', 'the server has as many connections as it allows');
  if (/Unknown module/i.test(stderr)) return failure('missing', 'the server has no such module', look);
  if (/auth failed|password/i.test(stderr))
    return failure('refused', 'the module wants a password, and modules with one are not supported', look, ExitCode.unreachable);
  if (/access denied/i.test(stderr)) return failure('refused', `the server refuses: ${said}`, look);
  if (/did not see server greeting|@ERROR: protocol startup error|server greeting|protocol version mismatch/i.test(stderr) || code === 2)
    return failure('refused', 'what answers there is no rsync server', look);
  if (/change_dir|link_stat|chdir failed/i.test(stderr) && /No such file or directory/.test(stderr))
    return failure('missing', `there is no such folder: ${said}`, look);
  if (/exceeded --max-alloc|out of memory/i.test(stderr) || code === 22)
    return failure('refused', 'its listing does not fit into the memory that a sync may have', look, ExitCode.untrusted);
  if (/No space left|Disk quota/i.test(stderr) || code === 11)
    return new DownloadError({
      kind: 'refused',
      code: 'DISK_FULL',
      message: `${base}: rsync cannot write: ${said}`,
      remedy: 'Free space or enlarge the file system; what was fetched is kept and used by the next run.',
      exitCode: ExitCode.environment,
    });
  if (code === 23) return failure('refused', `some of it cannot be read: ${said}`, look);
  if (/@ERROR/.test(stderr)) return failure('refused', `the server refuses: ${said}`, look);
  const words: Readonly<Record<number, string>> = {
    10: 'cannot be reached',
    12: 'the transfer broke off',
    30: 'sent nothing for too long',
    35: 'does not answer',
  };
  return failure('transient', `${words[code] ?? `rsync ended with ${code}`}: ${said}`);
}

/** Why one file is not there after a run, by what rsync said of it. */
export function rsyncFileFailure(base: string, path: string, { stderr, stdout }: Ended & { readonly stdout: string }): DownloadError {
  const url = base + path;
  const escaped = escapeName(path);
  const names = (line: string): boolean => line.includes(`/${escaped}"`) || line.includes(`"${escaped}"`);
  const line = [...stderr.split('\n'), ...stdout.split(/[\r\n]+/)].find(names) ?? '';
  const untrusted = { exitCode: ExitCode.untrusted, remedy: 'Nothing was changed. Exclude it, or put another source into fetchFrom.' };
  if (/non-regular/.test(line))
    return new DownloadError({ kind: 'refused', message: `${url} is no regular file (a link, a device, a folder)`, ...untrusted });
  if (/max-size|over/.test(line)) return new DownloadError({ kind: 'refused', message: `${url} is longer than it may be`, ...untrusted });
  if (/Permission denied/.test(line)) return new DownloadError({ kind: 'refused', message: `${url} cannot be read by the server` });
  if (/vanished/.test(line)) return new DownloadError({ kind: 'missing', message: `${url} went away during the transfer` });
  if (/No such file/.test(line) || line === '')
    return new DownloadError({ kind: 'missing', message: `${url} is not there, or is no regular file of the size it should have` });
  return new DownloadError({ kind: 'transient', message: `${url}: ${line.trim()}` });
}

/** As rsync prints a name in the C locale: bytes that are no printable ASCII as `\#ooo`. */
export function escapeName(name: string): string {
  return [...Buffer.from(name)]
    .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\#${byte.toString(8).padStart(3, '0')}`))
    .join('');
}

/** The line that says most: the server's own error, else rsync's first. */
function saidBy(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const line = lines.find((l) => l.includes('@ERROR')) ?? lines[0] ?? 'rsync said nothing';
  return line
    .replace(/^rsync: /, '')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 300);
}
