import { Construct } from 'constructs';
import { BACKUP_DEFAULTS, BACKUP_SECRETS, backupRepository, parseBackupRepository } from '../desired-state/backup';
import type { BackupDefinition, BackupRepository } from '../desired-state/definitions';
import { BACKUP_PACKAGES } from '../desired-state/model';
import { backupService, backupTimer } from '../desired-state/render/systemd';
import { definitionYaml } from '../desired-state/render/yaml';
import { dailyCalendar, periodHours } from '../desired-state/schedule';
import { sshPublicKey } from '../desired-state/ssh-public-key';
import { id as validId } from '../desired-state/validate';
import { wholeNumber } from '../desired-state/validate-sync';
import { MirrorServer } from './mirror-server';
import { check, checkList, checkMade, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { Secret } from './secret';
import { checkSchedule, type SyncSchedule } from './sync-schedule';

/** How many days, weeks and months keep a backup: the last of each. */
export interface BackupKeep {
  /** @default 7 */
  readonly daily?: number;
  /** @default 5 */
  readonly weekly?: number;
  /** @default 12 */
  readonly monthly?: number;
}

export interface BackupProps {
  /**
   * Where backups go, as restic writes it: a directory on another disk of the server (`/mnt/backup/mirror`), `sftp:user@host:/path` (with a port
   * `sftp://user@host:port//path`), or `s3:https://host/bucket/path`. The first run makes the repository.
   */
  readonly repository: string;
  /** Encrypts the backups. Who has lost it has lost them: keep it where you keep the root passwords. */
  readonly password: Secret;
  /** Of SFTP: the private key, without a passphrase. */
  readonly sshKey?: Secret;
  /** Of SFTP: the public key of the host, as a line of its `/etc/ssh/ssh_host_ed25519_key.pub`. No other is accepted. */
  readonly hostKey?: string;
  /** Of S3. */
  readonly accessKeyId?: Secret;
  /** Of S3. */
  readonly secretAccessKey?: Secret;
  /** @default daily at 06:30 UTC, after the syncs of the night */
  readonly schedule?: SyncSchedule;
  readonly keep?: BackupKeep;
  /** Everything in the repository is read again, and compared with its digests, within so many days. @default 30 */
  readonly checkEveryDays?: number;
  /** Ids of copies that are backed up whole, also what upstream still has. @default none */
  readonly whole?: readonly string[];
}

const ONLY = {
  sftp: ['sshKey', 'hostKey'],
  s3: ['accessKeyId', 'secretAccessKey'],
} as const;

/**
 * A second place for what cannot be fetched again: hosted packages, releases, what upstream dropped, what is known of snapshots, and signing keys that the server
 * made. `mirrorctl backup restore` brings it back to an empty server.
 */
export class Backup extends Construct {
  constructor(server: MirrorServer, id: string, props: BackupProps) {
    super(server, id);
    checkProps(this, props, {
      repository: true,
      password: true,
      sshKey: true,
      hostKey: true,
      accessKeyId: true,
      secretAccessKey: true,
      schedule: true,
      keep: true,
      checkEveryDays: true,
      whole: true,
    });
    checkSchedule(this, props.schedule);
    if (props.schedule?.retired !== undefined) {
      throw invalid(this, 'schedule', 'SyncSchedule.never', {
        allowed: 'a backup has a time',
        fix: 'Leave it out for daily, or remove the Backup.',
      });
    }
    const repository = this.repository(server, props);
    const secrets = this.secrets(repository.type, props);
    const keep = this.keep(props.keep);
    if (props.checkEveryDays !== undefined) check(this, 'checkEveryDays', props.checkEveryDays, wholeNumber(1, 365));
    this.checkWhole(server, props.whole);
    const calendar = props.schedule?.onCalendar ?? dailyCalendar(6, 30);
    const definition: BackupDefinition = {
      kind: 'backup',
      name: server.siteName,
      repository,
      keep,
      checkEveryDays: props.checkEveryDays ?? BACKUP_DEFAULTS.checkEveryDays,
      everyHours: periodHours(calendar) as number,
      ...(props.whole === undefined ? {} : { whole: [...props.whole] }),
    };
    const yaml = definitionYaml(definition);
    const service = backupService(
      { root: server.storageRoot },
      {
        directory: repository.type === 'directory' ? repository.path : undefined,
        secrets: Object.keys(secrets),
        generatedKeys: server.generatedKeyVersions,
      },
    );
    const timer = backupTimer(calendar);
    declare(
      this,
      {
        id: `backup/${server.siteName}`,
        files: { 'definitions/backup.yaml': yaml, 'systemd/mirror-backup.service': service, 'systemd/mirror-backup.timer': timer },
        links: {},
      },
      { definition: yaml, packages: BACKUP_PACKAGES.join('\n'), service, timer },
    );
    server.needs(BACKUP_PACKAGES, secrets);
  }

  private repository(server: MirrorServer, { repository, hostKey }: BackupProps): BackupRepository {
    check(this, 'repository', repository, backupRepository);
    const parsed = parseBackupRepository(repository);
    if ('allowed' in parsed) throw invalid(this, 'repository', show(repository), parsed);
    if (parsed.type === 'directory' && (parsed.path === server.storageRoot || parsed.path.startsWith(`${server.storageRoot}/`))) {
      throw invalid(this, 'repository', show(repository), {
        allowed: `it is not below the storage root (${server.storageRoot}): what is lost with that would be lost here too`,
        fix: 'Name a directory on another disk, or sftp:… or s3:….',
      });
    }
    if (parsed.type !== 'sftp') return parsed;
    check(this, 'hostKey', hostKey, sshPublicKey);
    const [type = '', key = ''] = (hostKey as string).split(' ');
    return { ...parsed, hostKey: `${type} ${key}` };
  }

  /** By name of the secret. */
  private secrets(type: BackupRepository['type'], props: BackupProps): Readonly<Record<string, Secret>> {
    const { password, sshKey, accessKeyId, secretAccessKey } = props;
    for (const [only, names] of Object.entries(ONLY)) {
      const strange = type === only ? undefined : names.find((name) => props[name] !== undefined);
      if (strange !== undefined)
        throw invalid(this, strange, '(given)', { allowed: `only a repository by ${only} has it`, fix: 'Remove it.' });
    }
    const wanted = type === 'sftp' ? { password, sshKey } : type === 's3' ? { password, accessKeyId, secretAccessKey } : { password };
    for (const [name, value] of Object.entries(wanted) as [keyof typeof BACKUP_SECRETS, unknown][]) {
      const fix = `Secret.fromEnvironment("MIRROR_${BACKUP_SECRETS[name].toUpperCase().replaceAll('-', '_')}"), or Secret.fromFile(…).`;
      checkMade(
        this,
        name,
        value,
        value instanceof Secret,
        { allowed: 'a secret is passed by name', fix },
        `(a value of type ${typeof value})`,
      );
    }
    return Object.fromEntries(
      (Object.entries(wanted) as [keyof typeof BACKUP_SECRETS, Secret][]).map(([name, secret]) => [BACKUP_SECRETS[name], secret]),
    );
  }

  private keep(keep: BackupKeep = {}): BackupDefinition['keep'] {
    checkProps(this, keep, { daily: true, weekly: true, monthly: true }, 'keep');
    const { daily, weekly, monthly } = { ...BACKUP_DEFAULTS.keep, ...keep };
    check(this, 'keep.daily', daily, wholeNumber(1, 1000));
    check(this, 'keep.weekly', weekly, wholeNumber(0, 1000));
    check(this, 'keep.monthly', monthly, wholeNumber(0, 1000));
    return { daily, weekly, monthly };
  }

  private checkWhole(server: MirrorServer, whole: readonly string[] | undefined): void {
    if (whole === undefined) return;
    checkList(
      this,
      'whole',
      whole,
      'id of a repository, file tree, downloads or lists',
      validId,
      'Leave whole out: what upstream has is then not backed up.',
    );
    this.node.addValidation({
      validate: () =>
        whole
          .filter((one) => !['repository', 'tree', 'downloads', 'lists'].some((kind) => server.declares(`${kind}/${one}`)))
          .map(
            (one) =>
              `${this.node.path}: whole ${JSON.stringify(one)}: no RpmRepository, FileTree, downloads or lists have this id. Remove it.`,
          ),
    });
  }
}
