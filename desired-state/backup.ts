/** Where backups go, and the names of the secrets that they need. */
import type { BackupRepository } from './definitions';
import { host, port, type Problem, storageRoot, user } from './validate';

/** Secrets of the backup, by name. */
export const BACKUP_SECRETS = {
  password: 'backup-password',
  sshKey: 'backup-ssh-key',
  accessKeyId: 'backup-access-key-id',
  secretAccessKey: 'backup-secret-access-key',
} as const;

/** What a unit's credential is called that holds the generated signing key of a version. */
export const GENERATED_KEY_CREDENTIAL = 'generated-signing-key-';

/** What a backup has when nothing else is declared. */
export const BACKUP_DEFAULTS = { keep: { daily: 7, weekly: 5, monthly: 12 }, checkEveryDays: 30 } as const;

type Parsed =
  | { readonly type: 'directory'; readonly path: string }
  | { readonly type: 'sftp'; readonly user: string; readonly host: string; readonly port: number; readonly path: string }
  | { readonly type: 's3'; readonly url: string };

/** A path on another machine. */
const REMOTE_PATH = /^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/;

/** Reads a repository as restic writes it: a directory, `sftp:user@host:/path`, `sftp://user@host:port//path`, `s3:https://host/bucket/path`. */
export function parseBackupRepository(value: unknown): Parsed | Problem {
  const bad: Problem = {
    allowed:
      'a backup goes to a directory outside those of the system ("/mnt/backup/mirror"), to "sftp:user@host:/path", "sftp://user@host:port//path" or "s3:https://host/bucket"',
    fix: 'For instance "sftp:mirror@backup.example.org:/srv/backup/mirror".',
  };
  if (typeof value !== 'string' || value.length > 500) return bad;
  if (value.startsWith('/')) return storageRoot(value) === undefined ? { type: 'directory', path: value } : bad;
  if (value.startsWith('s3:')) {
    const url = value.slice('s3:'.length);
    const parts = /^https?:\/\/(\[[0-9a-f:.]+\]|[^/:@]+)(?::(\d{1,5}))?(\/.*)$/.exec(url);
    const [, name = '', number, path = ''] = parts ?? [];
    const good = host(name.replace(/^\[|\]$/g, '')) === undefined && (number === undefined || port(Number(number)) === undefined);
    return parts !== null && good && REMOTE_PATH.test(path) ? { type: 's3', url } : bad;
  }
  const parts = /^sftp:(?:\/\/([^@/]+)@(\[[^\]]+\]|[^:/]+)(?::(\d{1,5}))?\/(\/.*)|([^@/]+)@(\[[^\]]+\]|[^:/]+):(\/.*))$/.exec(value);
  if (parts === null) return bad;
  const account = parts[1] ?? parts[5] ?? '';
  const address = (parts[2] ?? parts[6] ?? '').replace(/^\[|\]$/g, '');
  const number = Number(parts[3] ?? '22');
  const path = parts[4] ?? parts[7] ?? '';
  if (user(account) ?? host(address) ?? port(number)) return bad;
  return REMOTE_PATH.test(path) ? { type: 'sftp', user: account, host: address, port: number, path } : bad;
}

/** Validates a repository. */
export function backupRepository(value: unknown): Problem | undefined {
  const parsed = parseBackupRepository(value);
  return 'allowed' in parsed ? parsed : undefined;
}

/** How restic and people call it. */
export function backupLocation(repository: BackupRepository): string {
  if (repository.type === 'directory') return repository.path;
  if (repository.type === 's3') return `s3:${repository.url}`;
  const { user: account, host: address, port: number, path } = repository;
  const name = address.includes(':') ? `[${address}]` : address;
  return number === 22 ? `sftp:${account}@${name}:${path}` : `sftp://${account}@${name}:${number}/${path}`;
}
