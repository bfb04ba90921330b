import { join } from 'node:path';
import { MACHINE_FACTS } from '../desired-state/machine';
import { ServerPaths, UPLOADS } from '../desired-state/model';

/** Every place that mirror-host reads or writes. `prefix` is empty on a server; tests put a directory there. */
export function hostPaths(prefix = '') {
  const at = (path: string): string => (prefix === '' ? path : join(prefix, path));
  return {
    configuration: at(ServerPaths.configuration),
    generations: at(`${ServerPaths.configuration}/generations`),
    current: at(`${ServerPaths.configuration}/current`),
    /** -> current/secrets */
    secrets: at(`${ServerPaths.configuration}/secrets`),
    /** Signing keys that this server made, one file a version. */
    generatedKeys: at(ServerPaths.generatedKeys),
    /** The site's certificates that the server made or got. */
    certificates: at(ServerPaths.certificates),
    /** certbot's. */
    acme: at(ServerPaths.acme),
    /** Key of the HMACs by which secrets are compared; never leaves the server. */
    hostKey: at(`${ServerPaths.configuration}/host-key`),
    /** Remembers that the storage root once had its sentinel. */
    storageRecord: at(`${ServerPaths.configuration}/storage.json`),
    state: at(ServerPaths.state),
    /** Root's part of the state directory. */
    hostState: at(`${ServerPaths.state}/host`),
    journal: at(`${ServerPaths.state}/host/journal.json`),
    /** Says that the newest generation was taken back or rolled back from, until the next one is confirmed. */
    leftRecord: at(`${ServerPaths.state}/host/left`),
    /** The highest number of a generation that was taken back: no other one gets it, so that a late confirmation means none but its own. */
    retiredRecord: at(`${ServerPaths.state}/host/retired`),
    /** Digest of what the hosted content on disk was made from. */
    hostedRecord: at(`${ServerPaths.state}/host/hosted`),
    lastDrift: at(`${ServerPaths.state}/host/last-drift`),
    programs: at(ServerPaths.programs),
    hostProgramLink: at('/usr/local/sbin/mirror-host'),
    contentProgramLink: at('/usr/local/bin/mirrorctl'),
    units: at('/etc/systemd/system'),
    timerWants: at('/etc/systemd/system/timers.target.wants'),
    socketWants: at('/etc/systemd/system/sockets.target.wants'),
    pathWants: at('/etc/systemd/system/paths.target.wants'),
    nginxLink: at('/etc/nginx/sites-enabled/mirror.conf'),
    nginxDefaultLink: at('/etc/nginx/sites-enabled/default'),
    /** In /run itself, where only root makes files: anybody may put a link into /run/lock. */
    lock: at('/run/mirror-host.lock'),
    /** What must not come to a disk. */
    memory: '/dev/shm',
    mountInfo: '/proc/self/mountinfo',
    /** What dpkg has not written into its database yet. */
    dpkgUpdates: at('/var/lib/dpkg/updates'),
    passwd: at('/etc/passwd'),
    sudoers: at('/etc/sudoers.d/mirror-deploy'),
    /** Homes of deploy accounts, root's. */
    accountHomes: at('/var/lib/mirror-deploy'),
    /** Places of accounts that upload: root's, and all of the server that those accounts see. */
    uploads: at(UPLOADS.root),
    /** Read before what others put there: where two say something, the first one counts. */
    sshdUploads: at('/etc/ssh/sshd_config.d/00-mirror-uploads.conf'),
    group: at('/etc/group'),
    shadow: at('/etc/shadow'),
    bootId: '/proc/sys/kernel/random/boot_id',
    uptime: '/proc/uptime',
    machine: { blockDevices: '/sys/block', devices: '/dev', facts: MACHINE_FACTS },
  } as const;
}
export type HostPaths = ReturnType<typeof hostPaths>;

/** Directory of the document root below the storage root. */
export const DOCUMENT_ROOT = 'www';
