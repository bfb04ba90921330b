import { ServerPaths, UPLOADS } from '../model';

/**
 * Options of a client that rsync obeys. Everything else is refused by name: links, devices, owners and groups, other directories to compare
 * with, log files, writing in place (what is there by its name is whole).
 */
const OBEYED: readonly string[] = [
  ...['recursive', 'dirs', 'mkpath', 'times', 'omit-dir-times', 'modify-window', 'perms', 'executability', 'chmod'],
  ...['checksum', 'checksum-choice', 'size-only', 'ignore-times', 'whole-file', 'compress', 'compress-choice', 'compress-level'],
  ...['partial', 'partial-dir', 'delay-updates', 'delete', 'delete-before', 'delete-during', 'delete-after', 'delete-delay'],
  ...['bwlimit', 'timeout', 'max-size', 'verbose', 'quiet', 'info', 'debug', 'stats', 'progress', 'itemize-changes', 'human-readable'],
];

/** Path of the configuration by which rsync serves an account. */
export function rsyncConfiguration(account: string): string {
  return `${ServerPaths.configuration}/current/ssh/rsync/${account}.conf`;
}

/**
 * `ssh/rsync/<account>.conf`: rsync's daemon on the connection of an account that uploads by it. Modes are the server's, so that the user mirror
 * can read and remove what arrives, whatever modes it had.
 */
export function rsyncText(account: string): string {
  const place = `${UPLOADS.root}/${account}`;
  return `# Written by mirror-host: changes are overwritten.
use chroot = no
munge symlinks = yes
list = no
numeric ids = yes
reverse lookup = no
forward lookup = no
max verbosity = 1
timeout = 600
refuse options = * ${OBEYED.map((option) => `!${option}`).join(' ')}

[uploads]
path = ${place}
read only = no
write only = yes
incoming chmod = D2770,F0660

[${UPLOADS.results}]
path = ${place}/${UPLOADS.results}
read only = yes
`;
}
