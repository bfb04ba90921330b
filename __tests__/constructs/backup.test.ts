/** What a Backup makes of its props, and what it refuses. */
import { parse } from 'yaml';
import { Backup, type BackupProps, Secret, SigningKey, SyncSchedule } from '../../constructs';
import { type BackupDefinition, BackupDefinitionSchema } from '../../desired-state/definitions';
import { summarize } from '../../scripts/plan-summary';
import { activation, change, plan } from '../scripts/plan-summary/plans';
import { mirror, refuses, repository, synth, type Synthesized } from './support';

const any = <T>(value: unknown): T => value as T;
const password = Secret.fromEnvironment('MIRROR_BACKUP_PASSWORD');
const key = Secret.fromFile('~/.ssh/backup', { version: '3' });
const HOST_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const SFTP = { repository: 'sftp:mirror@backup.example.org:/srv/backup/mirror', password, sshKey: key, hostKey: `${HOST_KEY} backup` };
const S3 = { repository: 's3:https://s3.example.org/bucket/mirror', password, accessKeyId: key, secretAccessKey: key };

function declared(props: BackupProps, server: Parameters<typeof mirror>[0] = {}): Synthesized {
  const { app, server: made } = mirror(server);
  if (props.whole?.includes('epel-7') === true) repository(made, 'epel-7');
  new Backup(made, 'backup', props);
  return synth(app);
}
const element = (from: Synthesized) => from.element('backup/mirror.example.org');
const definition = (props: BackupProps): BackupDefinition =>
  BackupDefinitionSchema.parse(parse(element(declared(props)).triggers['definition'] ?? ''));

test('a directory, with every default', () => {
  expect(definition({ repository: '/mnt/backup/mirror', password })).toEqual({
    kind: 'backup',
    name: 'mirror.example.org',
    repository: { type: 'directory', path: '/mnt/backup/mirror' },
    keep: { daily: 7, weekly: 5, monthly: 12 },
    checkEveryDays: 30,
    everyHours: 24,
  });
});

test('SFTP and S3, and everything that can be declared', () => {
  expect(definition(SFTP).repository).toEqual({
    type: 'sftp',
    user: 'mirror',
    host: 'backup.example.org',
    port: 22,
    path: '/srv/backup/mirror',
    hostKey: HOST_KEY,
  });
  expect(definition({ ...SFTP, repository: 'sftp://mirror@[2001:db8::7]:2222//srv/backup' }).repository).toMatchObject({
    host: '2001:db8::7',
    port: 2222,
    path: '/srv/backup',
  });
  expect(definition(S3).repository).toEqual({ type: 's3', url: 'https://s3.example.org/bucket/mirror' });
  expect(
    definition({
      ...S3,
      keep: { daily: 14, monthly: 0 },
      checkEveryDays: 7,
      schedule: SyncSchedule.hourly({ minute: 5 }),
      whole: ['epel-7'],
    }),
  ).toMatchObject({ keep: { daily: 14, weekly: 5, monthly: 0 }, checkEveryDays: 7, everyHours: 1, whole: ['epel-7'] });
  expect(definition({ ...S3, schedule: SyncSchedule.weekly({ day: 'Sun', hour: 1 }) }).everyHours).toBe(168);
});

test('secrets travel by name, are credentials of the unit alone, and restic is installed only here', () => {
  const made = declared(SFTP, { signingKey: SigningKey.generated({ version: '4' }) });
  const { desiredState } = made;
  expect(desiredState.secrets).toEqual({ 'backup-password': '1', 'backup-ssh-key': '3' });
  expect(desiredState.packages).toEqual(expect.arrayContaining(['restic', 'openssh-client']));
  const unit = element(made).triggers['service'] ?? '';
  for (const line of [
    'LoadCredential=backup-password:/etc/mirror/secrets/backup-password',
    'LoadCredential=backup-ssh-key:/etc/mirror/secrets/backup-ssh-key',
    'LoadCredential=generated-signing-key-4:/etc/mirror/signing-keys/4.asc',
    'ExecStart=/usr/local/bin/mirrorctl backup run',
    'ProtectSystem=strict',
  ])
    expect(unit.split('\n')).toContain(line);
  expect(synth(mirror().app).desiredState.packages).not.toContain('restic');
  expect(element(declared({ repository: '/mnt/backup', password })).triggers['service']).toMatch(
    /RequiresMountsFor=\/srv\/mirror \/mnt\/backup\n[^]*ReadWritePaths=\/srv\/mirror \/var\/lib\/mirror -\/mnt\/backup\n/,
  );
});

test.each<[string, BackupProps, string, string]>([
  ['a relative path', { repository: 'backup', password }, 'repository "backup"', 'a backup goes to a directory'],
  ['a home', { repository: '/home/me/backup', password }, 'repository', 'outside those of the system'],
  ['the storage root', { repository: '/srv/mirror/backup', password }, 'repository', 'not below the storage root (/srv/mirror)'],
  ['SFTP without a path', { ...SFTP, repository: 'sftp:mirror@host' }, 'repository', 'sftp:user@host:/path'],
  ['SFTP with a strange path', { ...SFTP, repository: 'sftp:mirror@host:/a b' }, 'repository', 'sftp:user@host:/path'],
  ['a password in the URL', { ...SFTP, repository: 'sftp:mirror:pw@host:/a' }, 'repository', 'sftp:user@host:/path'],
  ['S3 without a bucket', { ...S3, repository: 's3:https://host/' }, 'repository', 's3:https://host/bucket'],
  ['another kind', { repository: 'rest:http://host/', password }, 'repository', 's3:https://host/bucket'],
  [
    'a password as text',
    { repository: '/mnt/backup', password: any<Secret>('hunter2') },
    'password (a value of type string)',
    'a secret is passed by name',
  ],
  ['no SSH key', { ...SFTP, sshKey: any<Secret>(undefined) }, 'sshKey', 'a secret is passed by name'],
  ['no host key', { ...SFTP, hostKey: any<string>(undefined) }, 'hostKey', 'an SSH public key is a line'],
  ['a fingerprint as host key', { ...SFTP, hostKey: 'SHA256:abc' }, 'hostKey', 'an SSH public key is one line'],
  ['no access key', { ...S3, accessKeyId: any<Secret>(undefined) }, 'accessKeyId', 'a secret is passed by name'],
  ['an SSH key for a directory', { repository: '/mnt/backup', password, sshKey: key }, 'sshKey', 'only a repository by sftp has it'],
  ['access keys for SFTP', { ...SFTP, secretAccessKey: key }, 'secretAccessKey', 'only a repository by s3 has it'],
  ['never', { ...S3, schedule: SyncSchedule.never('we like to live dangerously') }, 'schedule', 'a backup has a time'],
  ['no days', { ...S3, keep: { daily: 0 } }, 'keep.daily', 'a whole number from 1 to 1000'],
  ['half a week', { ...S3, keep: { weekly: 0.5 } }, 'keep.weekly', 'a whole number from 0 to 1000'],
  ['a misspelt keep', { ...S3, keep: any({ dayly: 3 }) }, 'keep, prop "dayly"', 'Did you mean daily?'],
  ['no checks', { ...S3, checkEveryDays: 0 }, 'checkEveryDays', 'a whole number from 1 to 365'],
  ['nothing whole', { ...S3, whole: [] }, 'whole', 'at least one id'],
])('%s is refused', (_what, props, what, allowed) => {
  refuses(() => declared(props), what, allowed);
});

test('what is whole is declared; one backup a server', () => {
  expect(() => declared({ ...S3, whole: ['nothing'] })).toThrow(
    'whole "nothing": no RpmRepository, FileTree, downloads or lists have this id',
  );
  const { server } = mirror();
  new Backup(server, 'backup', S3);
  refuses(() => new Backup(server, 'second', S3), 'id', 'this id was declared');
});

describe('a plan says it in words', () => {
  const triggers = (props: BackupProps): Record<string, string> => element(declared(props)).triggers;
  const said = (before: BackupProps | undefined, after: BackupProps | undefined): readonly string[] =>
    summarize(
      plan(
        change(before === undefined ? null : triggers(before), after === undefined ? null : triggers(after)),
        change(activation(), activation({ desired_state: 'b' })),
      ),
    ).sentences.filter((sentence) => /back/.test(sentence));

  test('it comes and goes', () => {
    expect(said(undefined, SFTP)).toEqual([
      'backs up what cannot be fetched again to sftp:mirror@backup.example.org:/srv/backup/mirror, daily at 06:30 UTC: keeps backups of 7 days, 5 weeks and 12 months',
    ]);
    expect(said(SFTP, undefined)).toEqual(['makes no more backups: those that were made stay where they are']);
  });
  test('it goes elsewhere', () => {
    expect(said(SFTP, S3)).toEqual([
      'backs up to s3:https://s3.example.org/bucket/mirror (was sftp:mirror@backup.example.org:/srv/backup/mirror): what is there stays there, and is used no more',
    ]);
  });
  test('it is made, kept, read otherwise', () => {
    expect(
      said(S3, { ...S3, keep: { daily: 3 }, checkEveryDays: 10, schedule: SyncSchedule.daily({ hour: 1 }), whole: ['epel-7'] }),
    ).toEqual([
      'backs up daily at 01:00 UTC (was daily at 06:30 UTC)',
      'keeps backups of 3 days, 5 weeks and 12 months (was: keeps backups of 7 days, 5 weeks and 12 months)',
      'backs up whole: epel-7 (was no copy)',
      'reads all of the backup repository within 10 days (was 30 days)',
    ]);
  });
  test('another host key', () => {
    const other = HOST_KEY.replace(/A$/, 'E');
    expect(said(SFTP, { ...SFTP, hostKey: other })).toEqual([
      'changes how sftp:mirror@backup.example.org:/srv/backup/mirror is reached for backups',
    ]);
  });
  test('a secret that comes with it', () => {
    const { sentences } = summarize(
      plan(change(activation(), activation({ desired_state: 'b', secrets: 'signing-key version 1\nbackup-password version 1' }))),
    );
    expect(sentences).toContain('brings the secret backup-password (version 1)');
  });
});
