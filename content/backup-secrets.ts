/** What a backup needs that only root may read: passwords and keys of the repository, and the signing keys that the server made. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BACKUP_SECRETS, GENERATED_KEY_CREDENTIAL } from '../desired-state/backup';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { NO_SIGNING_KEY } from '../desired-state/model';

export interface BackupSecrets {
  /** Content of a secret. Throws a MirrorError where it cannot be read. */
  of(name: (typeof BACKUP_SECRETS)[keyof typeof BACKUP_SECRETS]): string;
  /** Signing keys that the server made, by version. */
  readonly signingKeys: ReadonlyMap<string, Buffer>;
}

/**
 * Reads them at once, while a manual run is still root's: those that systemd hands to a unit, else the files.
 *
 * @param configuration directory of the generation, `/etc/mirror/current`
 */
export function backupSecrets(configuration: string, environment: NodeJS.ProcessEnv): BackupSecrets {
  const credentials = environment.CREDENTIALS_DIRECTORY;
  const isUnit = credentials !== undefined && credentials !== '';
  const directory = isUnit ? credentials : join(configuration, 'secrets');
  const found = new Map(Object.values(BACKUP_SECRETS).map((name) => [name as string, attempt(() => readFileSync(join(directory, name)))]));
  const keysIn = isUnit ? credentials : join(configuration, '..', 'signing-keys');
  const pattern = isUnit ? new RegExp(`^${GENERATED_KEY_CREDENTIAL}(.+)$`) : /^([A-Za-z0-9][A-Za-z0-9._-]*)\.asc$/;
  const names = attempt(() => readdirSync(keysIn));
  const signingKeys = new Map<string, Buffer>();
  for (const name of Array.isArray(names) ? names.sort() : []) {
    const version = pattern.exec(name)?.[1];
    const text = version === undefined ? undefined : attempt(() => readFileSync(join(keysIn, name)));
    if (version !== undefined && Buffer.isBuffer(text) && text.toString('latin1') !== NO_SIGNING_KEY) signingKeys.set(version, text);
  }
  return {
    signingKeys,
    of: (name) => {
      const text = found.get(name);
      if (Buffer.isBuffer(text) && text.toString('latin1') !== NO_SIGNING_KEY) return text.toString('utf8').trim();
      throw unreadable(join(directory, name), Buffer.isBuffer(text) ? 'empty' : text?.code);
    },
  };
}

function attempt<T>(read: () => T): T | NodeJS.ErrnoException {
  try {
    return read();
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

function unreadable(path: string, code: string | undefined): MirrorError {
  return new MirrorError({
    code: 'BACKUP_SECRET_UNREADABLE',
    message: `${path}, which the backup needs, cannot be read (${code ?? 'unknown'})`,
    remedy:
      'As root, run the same command (sudo mirrorctl backup …), or start the unit: systemctl start mirror-backup.service. If it is missing, deploy: cdktf deploy.',
    exitCode: ExitCode.environment,
  });
}
