/** restic, as the backup runs it: its repository, its secrets, and what its errors mean. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { BACKUP_SECRETS, backupLocation } from '../desired-state/backup';
import type { BackupDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { closeGpgHome, openGpgHome } from '../signatures/gpg-home';
import type { BackupSecrets } from './backup-secrets';
import type { Lock } from './lock';

/** One backup of this server. */
export interface Saved {
  readonly id: string;
  readonly shortId: string;
  readonly time: string;
}

export interface Summary {
  readonly snapshot: string;
  /** Bytes that the repository did not have. */
  readonly added: number;
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Options {
  readonly cwd?: string;
  readonly input?: Uint8Array;
  /** Each line of standard output, instead of keeping it. */
  readonly onLine?: (line: string) => void;
}

/** What marks the backups of content in the repository; signing keys have `signing-key-<version>`. */
const TAG = 'mirror';

export const signingKeyTag = (version: string): string => `signing-key-${version}`;

/**
 * The repository of a definition. Password and SSH key are in a directory in memory while it is open; none of them is in an argument.
 */
export class Restic {
  readonly location: string;

  private constructor(
    private readonly definition: BackupDefinition,
    private readonly memory: string,
    private readonly environment: Readonly<Record<string, string>>,
    private readonly options: readonly string[],
    private readonly lock: Lock | undefined,
  ) {
    this.location = backupLocation(definition.repository);
  }

  /** @param lock held by whatever restic does, also where this process dies meanwhile: nobody else then uses its directories */
  static async open(definition: BackupDefinition, secrets: BackupSecrets, cache: string, lock?: Lock): Promise<Restic> {
    const password = secrets.of(BACKUP_SECRETS.password);
    const { repository } = definition;
    const access =
      repository.type === 's3'
        ? {
            AWS_ACCESS_KEY_ID: secrets.of(BACKUP_SECRETS.accessKeyId),
            AWS_SECRET_ACCESS_KEY: secrets.of(BACKUP_SECRETS.secretAccessKey),
          }
        : {};
    const identity = repository.type === 'sftp' ? secrets.of(BACKUP_SECRETS.sshKey) : undefined;
    // Nobody else can enter it, and what a run leaves that is killed is removed by the next one.
    const memory = await openGpgHome();
    const secret = (name: string, text: string): string => {
      writeFileSync(join(memory, name), `${text}\n`, { mode: 0o600 });
      return join(memory, name);
    };
    const options: string[] = [];
    if (repository.type === 'sftp') {
      const hosts = secret('known_hosts', `backup ${repository.hostKey}`);
      const config = secret('ssh_config', sshConfig(repository, secret('identity', identity as string), hosts));
      options.push('-o', `sftp.command=ssh -F ${config} backup -s sftp`);
    }
    const environment = {
      ...access,
      RESTIC_REPOSITORY: repository.type === 'sftp' ? `sftp:backup:${repository.path}` : backupLocation(repository),
      RESTIC_PASSWORD_FILE: secret('password', password),
      RESTIC_CACHE_DIR: cache,
      RESTIC_PROGRESS_FPS: '1',
    };
    return new Restic(definition, memory, environment, options, lock);
  }

  async close(): Promise<void> {
    await closeGpgHome(this.memory);
  }

  /** The id of the repository, also while another run holds it; undefined where there is none. */
  async id(): Promise<string | undefined> {
    const ended = await this.end(['cat', 'config', '--no-lock']);
    if (ended.code !== 0 && /Is there a repository at the following location/.test(ended.stderr)) {
      const known = this.known(ended);
      if (known !== undefined) throw known;
      return undefined;
    }
    if (ended.code !== 0) throw this.failed('open the repository', ended);
    return (JSON.parse(ended.stdout) as { id: string }).id;
  }

  async init(): Promise<void> {
    await this.must('make the repository', ['init']);
  }

  /** Removes locks of runs that died; another machine's that is alive stays. */
  async unlock(): Promise<void> {
    await this.must('remove old locks', ['unlock']);
  }

  /** Backs up everything below a directory. Bytes are read only where name, size or time of a file differ from the backup before: files of the store never change. */
  async backup(directory: string, onProgress: (files: number, bytes: number) => void): Promise<Summary> {
    let summary: { snapshot_id: string; data_added: number } | undefined;
    const ended = await this.end(['backup', '--json', '--ignore-ctime', '--host', this.definition.name, '--tag', TAG, '.'], {
      cwd: directory,
      onLine: (line) => {
        const message = JSON.parse(line) as { message_type: string; files_done?: number; bytes_done?: number };
        if (message.message_type === 'status') onProgress(message.files_done ?? 0, message.bytes_done ?? 0);
        if (message.message_type === 'summary') summary = message as unknown as { snapshot_id: string; data_added: number };
      },
    });
    if (ended.code === 0 && summary !== undefined) return { snapshot: summary.snapshot_id, added: summary.data_added };
    // It keeps what it could read as a backup like any other: nobody must take it for one.
    if (summary !== undefined) await this.end(['forget', summary.snapshot_id]);
    throw this.failed('make a backup', ended);
  }

  /** Keeps one file, as a backup of its own. */
  async keep(name: string, tag: string, content: Uint8Array): Promise<void> {
    const what = ['--stdin', '--stdin-filename', name, '--host', this.definition.name, '--tag', tag];
    await this.must(`keep ${name}`, ['backup', '--json', ...what], { input: content });
  }

  /** Backups of this server, oldest first: also while another run holds the repository. */
  async list(): Promise<readonly Saved[]> {
    const { stdout } = await this.must('list the backups', [
      'snapshots',
      '--no-lock',
      '--json',
      '--host',
      this.definition.name,
      '--tag',
      TAG,
    ]);
    const found = JSON.parse(stdout) as readonly { id: string; short_id: string; time: string }[] | null;
    return (found ?? [])
      .map(({ id, short_id: shortId, time }) => ({ id, shortId, time: new Date(time).toISOString() }))
      .sort((a, b) => (a.time < b.time ? -1 : 1));
  }

  /** Forgets backups that the declaration does not keep, and frees what only they had. */
  async forget(): Promise<void> {
    const { daily, weekly, monthly } = this.definition.keep;
    const keep = ['--keep-daily', daily, '--keep-weekly', weekly, '--keep-monthly', monthly].map(String);
    await this.must('forget old backups', ['forget', '--host', this.definition.name, '--group-by', 'host,tags', ...keep, '--prune']);
  }

  /** Puts what the patterns name of a backup below a directory. */
  async restore(id: string, target: string, patterns: readonly string[]): Promise<void> {
    await this.must(`read the backup ${id.slice(0, 8)}`, ['restore', id, '--target', target, ...patterns]);
  }

  /** Reads a part of all that the repository holds, or everything. */
  async check(part: { readonly portion: number; readonly of: number } | 'everything'): Promise<void> {
    const subset = part === 'everything' ? '--read-data' : `--read-data-subset=${part.portion}/${part.of}`;
    const ended = await this.end(['check', subset]);
    if (ended.code === 0) return;
    const known = this.known(ended);
    throw (
      known ??
      new MirrorError({
        code: 'BACKUP_DAMAGED',
        message: `the backup repository ${this.location} is damaged: ${lastWords(ended)}`,
        remedy:
          'Look at the disk that holds it. What is here is whole: begin a new repository (another path in main.ts, deploy, mirrorctl backup run), and keep the damaged one: restic can save parts of it (restic rebuild-index). If it was put right: mirrorctl backup verify --all.',
        exitCode: ExitCode.untrusted,
      })
    );
  }

  private async must(what: string, argv: readonly string[], options: Options = {}): Promise<Ended> {
    const ended = await this.end(argv, options);
    if (ended.code !== 0) throw this.failed(what, ended);
    return ended;
  }

  private end(argv: readonly string[], { cwd, input, onLine }: Options = {}): Promise<Ended> {
    return new Promise((resolve, reject) => {
      const child = spawn('restic', [...this.options, ...argv], {
        cwd: cwd ?? this.memory,
        stdio: ['pipe', 'pipe', 'pipe', ...(this.lock === undefined ? [] : [this.lock.descriptor])],
        env: {
          PATH: process.env.PATH ?? '',
          HOME: process.env.HOME ?? this.memory,
          TMPDIR: process.env.TMPDIR ?? '/tmp',
          LC_ALL: 'C',
          ...this.environment,
        },
      }) as ChildProcessByStdio<Writable, Readable, Readable>;
      let stdout = '';
      let stderr = '';
      if (onLine === undefined) child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      else createInterface({ input: child.stdout }).on('line', (line) => line.startsWith('{') && onLine(line));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-100_000)));
      child.on('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? missing() : error));
      child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
      child.stdin.on('error', () => undefined);
      child.stdin.end(input ?? '');
    });
  }

  private failed(what: string, ended: Ended): MirrorError {
    return (
      this.known(ended) ??
      new MirrorError({
        code: 'BACKUP_FAILED',
        message: `restic could not ${what} (${this.location}): ${lastWords(ended)}`,
        remedy: 'Correct what it names, then: mirrorctl backup run.',
        exitCode: ExitCode.environment,
      })
    );
  }

  /** A failure that has a cause which restic's words tell. */
  private known(ended: Ended): MirrorError | undefined {
    const words = ended.stderr + ended.stdout;
    const found = FAILURES.find(({ says }) => says.test(words));
    if (found === undefined) return undefined;
    const { code, what, remedy, exitCode } = found;
    return new MirrorError({ code, message: `${this.location}: ${what} (${lastWords(ended)})`, remedy: remedy(this.location), exitCode });
  }
}

interface KnownFailure {
  readonly says: RegExp;
  readonly code: string;
  readonly what: string;
  readonly remedy: (location: string) => string;
  readonly exitCode: ExitCode;
}

const FAILURES: readonly KnownFailure[] = [
  {
    says: /wrong password or no key found/,
    code: 'BACKUP_PASSWORD',
    what: 'its password is another one',
    remedy: () =>
      'Declare the password that the repository was made with. To change it: restic key add with the old one, then declare the new one and deploy.',
    exitCode: ExitCode.invalid,
  },
  {
    says: /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed/,
    code: 'BACKUP_HOST_KEY',
    what: 'the host has another SSH key than the pinned one',
    remedy: () => 'Compare it with the console of that host (cat /etc/ssh/ssh_host_*_key.pub), then declare the right hostKey and deploy.',
    exitCode: ExitCode.untrusted,
  },
  {
    says: /Permission denied \(publickey|Load key .*: |Access Denied|SignatureDoesNotMatch|InvalidAccessKeyId|The AWS Access Key Id/,
    code: 'BACKUP_ACCESS',
    what: 'access is refused',
    remedy: () =>
      'Give the host the public half of sshKey (authorized_keys of that user), or declare the access keys that the bucket accepts; then deploy.',
    exitCode: ExitCode.unreachable,
  },
  {
    says: /repository is already locked/,
    code: 'LOCKED',
    what: 'another run holds the repository',
    remedy: () =>
      'Wait for it to end. Locks of runs that died are removed by the next run on their own machine, and elsewhere half an hour after their end.',
    exitCode: ExitCode.locked,
  },
  {
    says: /no space left on device|disk quota exceeded|ENOSPC|Storage backend has reached its minimum free/i,
    code: 'DISK_FULL',
    what: 'no space left',
    remedy: (location) =>
      `Free space where ${location} is, or keep fewer backups (keep of the Backup in main.ts). What the mirror serves is as it was.`,
    exitCode: ExitCode.environment,
  },
  {
    says: /permission denied|read-only file system/i,
    code: 'BACKUP_DIRECTORY',
    what: 'the user mirror cannot write there',
    remedy: (location) =>
      location.startsWith('/')
        ? `install -d -o mirror -g mirror -m 0700 ${location}; where it has backups of another server: chown -R mirror:mirror ${location}. Then start the unit: systemctl start mirror-backup.service.`
        : 'Give the account of the backup the right to write there.',
    exitCode: ExitCode.environment,
  },
  {
    says: /Could not resolve hostname|Connection refused|Connection timed out|No route to host|Network is unreachable|no such host|connection refused|i\/o timeout|Connection closed|Connection reset|unable to start the sftp session/i,
    code: 'BACKUP_UNREACHABLE',
    what: 'it cannot be reached',
    remedy: () =>
      'Look at the network and the host. The next run of the timer tries again; at once: systemctl start mirror-backup.service.',
    exitCode: ExitCode.unreachable,
  },
];

function sshConfig(
  repository: { readonly user: string; readonly host: string; readonly port: number },
  identity: string,
  hosts: string,
): string {
  return [
    'Host backup',
    `  HostName ${repository.host}`,
    `  Port ${repository.port}`,
    `  User ${repository.user}`,
    `  IdentityFile ${identity}`,
    '  IdentitiesOnly yes',
    '  IdentityAgent none',
    '  HostKeyAlias backup',
    `  UserKnownHostsFile ${hosts}`,
    '  GlobalKnownHostsFile /dev/null',
    '  StrictHostKeyChecking yes',
    '  CheckHostIP no',
    '  BatchMode yes',
    '  ConnectTimeout 30',
    '  ServerAliveInterval 30',
    '  ServerAliveCountMax 4',
  ].join('\n');
}

function missing(): MirrorError {
  return new MirrorError({
    code: 'TOOL_MISSING',
    message: 'the program restic is not installed',
    remedy: 'Deploy: a Backup in main.ts brings it. By hand: apt-get install restic.',
    exitCode: ExitCode.environment,
  });
}

/** The last lines that are no progress, shortened. */
function lastWords({ code, stdout, stderr }: Ended): string {
  const lines = `${stderr.trim() === '' ? stdout : stderr}`
    .split('\n')
    .map((line) => line.replace(/^Fatal: /, '').trim())
    .filter((line) => line !== '' && !line.startsWith('{') && !line.startsWith('[0:'));
  return lines.slice(-4).join('; ').slice(-600) || `exit code ${code}`;
}
