import { GENERATED_KEY_CREDENTIAL } from '../backup';
import { dailyCalendar, hourlyCalendar } from '../schedule';
import { TIME_SOCKET } from './nginx';
import { sha256 } from '../canonical';
import { ACME_AUTHORITY_FILE, CONTENT_USER, NO_SIGNING_KEY, ServerPaths, SIGNING_KEYS, UPLOADS } from '../model';

interface Storage {
  readonly root: string;
}

/**
 * `mirror-sync@.service`: one run of one repository. The instance is the repository's id. It waits for a run by hand, which would make it
 * fail otherwise.
 */
export function syncService(storage: Storage): string {
  return service(storage, {
    description: 'Sync of %i',
    command: 'sync --wait 3600 %i',
    timeout: '12h',
    keys: SIGNING_KEYS,
    priority: BEHIND,
  });
}

/**
 * `mirror-sync-new.service`: the first run of repositories that a deploy added, two at a time in the background. Without a time limit, since
 * together they may fetch terabytes; each connection has its own limits.
 */
export function syncNewService(storage: Storage): string {
  const description = 'First sync of new repositories';
  return service(storage, { description, command: 'sync --new', timeout: 'infinity', keys: SIGNING_KEYS, priority: BEHIND });
}

/**
 * `mirror-scrub.service`: reads a part of the content again. It has what nobody else wants of the disk and the processors, and ends before the
 * next day's run; that goes on.
 */
export function scrubService(storage: Storage): string {
  return service(storage, { description: 'Scrub of all content', command: 'scrub --wait 3600', timeout: '23h', keys: [], priority: IDLE });
}

/** `mirror-scrub.timer`: daily, before the syncs of the night. */
export function scrubTimer(): string {
  return timer('all content to be read again', dailyCalendar(0, 30));
}

/** `mirror-time.socket`: nginx alone may connect. */
export function timeSocket(): string {
  return `[Unit]
Description=Which snapshot a URL with a time means

[Socket]
ListenStream=${TIME_SOCKET}
SocketUser=${CONTENT_USER}
SocketGroup=www-data
SocketMode=0660

[Install]
WantedBy=sockets.target
`;
}

/** `mirror-time.service`: started by its socket, ends when nobody asks. It can read and write nothing but to its socket. */
export function timeService(storage: Storage): string {
  return `[Unit]
Description=Which snapshot a URL with a time means
RequiresMountsFor=${storage.root}

[Service]
User=${CONTENT_USER}
ExecStart=/usr/local/bin/mirrorctl serve-times
UMask=0077
PrivateNetwork=true
${HARDENED}RestrictAddressFamilies=AF_UNIX
MemoryMax=512M
TasksMax=64
`;
}

/** `mirror-release.service`: freezes the releases whose time has come, and publishes what is pinned. */
export function releaseService(storage: Storage): string {
  return service(storage, {
    description: 'Freezing of releases',
    command: 'release freeze',
    timeout: '1h',
    keys: SIGNING_KEYS,
    priority: BEHIND,
  });
}

/** `mirror-release.timer`: what is due is frozen by a deploy, so that this is for what waits. */
export function releaseTimer(): string {
  return timer('releases that wait for their time', '*:0/10');
}

/**
 * `mirror-retention.service`: the steps of retention that are due. It publishes what it changes, and so signs; it waits for syncs of what it
 * touches.
 */
export function retentionService(storage: Storage): string {
  return service(storage, {
    description: 'Retention: what no rule keeps, step by step',
    command: 'retention apply --wait 3600',
    timeout: '12h',
    keys: SIGNING_KEYS,
    priority: BEHIND,
  });
}

/** `mirror-retention.timer`: daily, after the syncs of the night. */
export function retentionTimer(): string {
  return timer('retention', dailyCalendar(7, 15));
}

/** `mirror-builds.service`: removes the builds whose time is over. Who publishes one is waited for. */
export function buildsService(storage: Storage): string {
  return service(storage, {
    description: 'Expiry of builds',
    command: 'build expire --wait 3600',
    timeout: '12h',
    keys: [],
    priority: BEHIND,
  });
}

/** `mirror-builds.timer`: daily, before retention, whose last step takes from the store what nothing uses any more. */
export function buildsTimer(): string {
  return timer('the expiry of builds', dailyCalendar(6, 40));
}

/** What a backup may do besides: write to its directory, and read keys that only this server has. */
export interface BackupAccess {
  /** Of a repository that is a directory. */
  readonly directory: string | undefined;
  /** Names of its secrets. */
  readonly secrets: readonly string[];
  /** Versions of signing keys that the server makes. */
  readonly generatedKeys: readonly string[];
}

/** `mirror-backup.service`: one backup, and a part of the repository read again. */
export function backupService(storage: Storage, { directory, secrets, generatedKeys }: BackupAccess): string {
  return service(storage, {
    description: 'Backup of what cannot be fetched again',
    command: 'backup run',
    timeout: '23h',
    keys: secrets,
    credentials: generatedKeys.map(generatedKey),
    ...(directory === undefined ? {} : { writes: directory }),
    priority: BEHIND,
  });
}

/** As `credential`, of a key that the server made. */
function generatedKey(version: string): string {
  const name = `${GENERATED_KEY_CREDENTIAL}${version}`;
  return `LoadCredential=${name}:${ServerPaths.generatedKeys}/${version}.asc\nSetCredential=${name}:${NO_SIGNING_KEY}\n`;
}

/** `mirror-backup.timer`. */
export function backupTimer(onCalendar: string): string {
  return timer('the backup', onCalendar);
}

/** `mirror-uploads@.service`: publishes what an account uploaded. The instance is the account. Uploads come one after the other, at any rate. */
export function uploadService(storage: Storage): string {
  return service(storage, {
    description: 'Uploads of %i',
    command: 'uploads take --wait 3600 %i',
    timeout: '12h',
    keys: SIGNING_KEYS,
    writes: UPLOADS.root,
    priority: BEHIND,
    startsOften: true,
  });
}

/** `mirror-uploads@<account>.path`: starts the service when something changes in one of the directories. */
export function uploadPath(account: string, directories: readonly string[]): string {
  return `[Unit]
Description=Watch over what ${account} uploads

[Path]
${directories.map((directory) => `PathChanged=${UPLOADS.root}/${account}/${directory}\n`).join('')}
[Install]
WantedBy=paths.target
`;
}

/** `mirror-uploads@<account>.timer`: what is noticed late, or was left by a run that was cut off. */
export function uploadTimer(account: string): string {
  return timer(`a look at what ${account} uploaded`, '*:0/10');
}

/** How much later than its time a sync may start. */
const SPREAD = '5min';

/**
 * `mirror-sync@<id>.timer`. Runs that were missed are made up for at boot, all at once after a long downtime: each timer waits for a part of
 * `SPREAD` that is its own and stays the same, so that they ask their upstreams one after the other.
 *
 * @param onCalendar systemd calendar expression, in UTC
 */
export function syncTimer(id: string, onCalendar: string): string {
  return timer(id, onCalendar);
}

/** Of the kernel and of what it keeps apart no unit of ours changes anything, root's neither. */
const NO_KERNEL = `ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
LockPersonality=true
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
`;

/**
 * `mirror-machine.service`: asks disks, arrays, the clock and systemd how they are, as root, which disks answer alone. It can reach disks and
 * systemd, no network, no content, and writes below /run only.
 */
export function machineService(): string {
  return `[Unit]
Description=Look at disks, arrays and the clock

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/mirror-host machine
TimeoutStartSec=15min
RuntimeDirectory=mirror-machine
RuntimeDirectoryPreserve=yes
UMask=0022
NoNewPrivileges=true
CapabilityBoundingSet=CAP_SYS_RAWIO CAP_SYS_ADMIN
DevicePolicy=closed
DeviceAllow=block-* rw
DeviceAllow=char-nvme rw
ProtectSystem=strict
ProtectHome=true
InaccessiblePaths=-${ServerPaths.configuration}
PrivateTmp=true
PrivateNetwork=true
${NO_KERNEL}RestrictAddressFamilies=AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
MemoryMax=1G
`;
}

/** `mirror-health.service`: says what is wrong, and has failed while something is. It runs also where the storage root is not mounted. */
export function healthService(storage: Storage): string {
  return service(storage, {
    description: 'Health of the mirror',
    command: 'health',
    timeout: '10min',
    keys: [],
    priority: BEHIND,
    dependencies: 'Wants=mirror-machine.service\nAfter=mirror-machine.service',
  });
}

/** `mirror-health.timer`: hourly. */
export function healthTimer(): string {
  return timer('a look at disks, clock, timers and room', hourlyCalendar(10));
}

/** What a certificate is asked for with. */
export interface AcmeOrder {
  /** Of the site. */
  readonly name: string;
  readonly email: string;
  readonly directory: string;
  /** Whether the ACME server is known by `ACME_AUTHORITY_FILE`. */
  readonly hasAuthority: boolean;
}

/**
 * `mirror-certificate.service`: certbot, when a certificate is missing or due; then mirror-host lets the site serve what is new. certbot is root without
 * any capability, who can write to its own directory alone: the key is root's. Each ACME server has a directory of its own, so that another one is asked anew. RSA: CentOS 6 knows no other keys.
 */
export function certificateService({ name, email, directory, hasAuthority }: AcmeOrder): string {
  const state = `${ServerPaths.acme}/${sha256(directory).slice(0, 12)}`;
  const options = [
    '--non-interactive --agree-tos --keep-until-expiring --key-type rsa --no-random-sleep-on-renew',
    `--server ${directory.replaceAll('%', '%%')} --email ${email}`,
    `--webroot --webroot-path ${ServerPaths.acme}/webroot --domain ${name} --cert-name ${name}`,
    `--config-dir ${state} --work-dir ${state}/work --logs-dir ${state}/log`,
  ];
  return `[Unit]
Description=Certificate of ${name} by ACME
Wants=network-online.target
After=network-online.target nginx.service

[Service]
Type=oneshot
${hasAuthority ? `Environment=REQUESTS_CA_BUNDLE=${ServerPaths.configuration}/current/${ACME_AUTHORITY_FILE}\n` : ''}ExecStart=/usr/bin/certbot certonly ${options.join(' ')}
ExecStartPost=+/usr/local/sbin/mirror-host certificate ${state}/live/${name}
TimeoutStartSec=10min
${BEHIND}StateDirectory=mirror-acme mirror-acme/webroot
StateDirectoryMode=0711
UMask=0077
NoNewPrivileges=true
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
${NO_KERNEL}RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
MemoryMax=1G
`;
}

/** `mirror-certificate.timer`: twice a day, as ACME servers ask for. What failed is tried again by the next. */
export function certificateTimer(): string {
  return timer('the certificate', '*-*-* 05,17:20:00 UTC');
}

function timer(what: string, onCalendar: string): string {
  return `[Unit]
Description=Schedule of ${what}

[Timer]
OnCalendar=${onCalendar}
Persistent=true
RandomizedDelaySec=${SPREAD}
FixedRandomDelay=true

[Install]
WantedBy=timers.target
`;
}

/** systemd reads the file as root and shows it to this service alone. Where there is none the unit starts all the same: a copy that signs nothing needs none. */
function credential(name: string): string {
  return `LoadCredential=${name}:${ServerPaths.configuration}/secrets/${name}\nSetCredential=${name}:${NO_SIGNING_KEY}\n`;
}

/** What no service of the mirror can do. */
const HARDENED = `NoNewPrivileges=true
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
TemporaryFileSystem=/dev/shm:mode=1777
${NO_KERNEL}SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
`;

/** Behind what serves. */
const BEHIND = 'Nice=10\nIOSchedulingPriority=7\n';
/** Behind everything. */
const IDLE = 'Nice=19\nCPUSchedulingPolicy=idle\nIOSchedulingClass=idle\n';

interface Service {
  readonly description: string;
  /** Of mirrorctl. */
  readonly command: string;
  readonly timeout: string;
  /** Secrets that it gets. */
  readonly keys: readonly string[];
  /** Lines for credentials that are no secrets of the generation. */
  readonly credentials?: readonly string[];
  /** A directory on another disk, which may be missing. */
  readonly writes?: string;
  readonly priority: typeof BEHIND | typeof IDLE;
  /** Whether it is started however often it ran just now: a limit would end the watch that starts it. */
  readonly startsOften?: true;
  /** @default the network and the storage root */
  readonly dependencies?: string;
}

/** Runs as the content user, which can write to the storage root and its own state, and nowhere else. */
function service(
  storage: Storage,
  { description, command, timeout, keys, credentials = [], writes, priority, dependencies, startsOften }: Service,
): string {
  return `[Unit]
Description=${description}
${dependencies ?? `Wants=network-online.target\nAfter=network-online.target\nRequiresMountsFor=${storage.root}${writes === undefined ? '' : ` ${writes}`}`}
${startsOften === undefined ? '' : 'StartLimitIntervalSec=0\n'}
[Service]
Type=oneshot
User=${CONTENT_USER}
${keys.map(credential).join('')}${credentials.join('')}ExecStart=/usr/local/bin/mirrorctl ${command}
TimeoutStartSec=${timeout}
${priority}UMask=0022
${HARDENED}ReadWritePaths=${dependencies === undefined ? '' : '-'}${storage.root} ${ServerPaths.state}${writes === undefined ? '' : ` -${writes}`}
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
MemoryMax=2G
`;
}
