/** A storage root, a configuration and a state, and the bundled program to run on them. */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { stringify } from 'yaml';
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { SIGNING_KEYS } from '../../desired-state/model';
import { must, ROOT } from '../host';
import type { Key } from './packages';
import type { Ended, Running, Workshop } from './workshop';

/** The program as it is installed on servers. */
export const MIRRORCTL = join(ROOT, 'dist/programs/mirrorctl.cjs');
export const ID = 'pool';
const PUBLIC = `mirror/centos/example.org/${ID}`;

export type View = RepositoryDefinition['view'];
export const VIEWS: readonly View[] = ['verbatim', 'accumulate'];

export interface MirrorOptions {
  readonly view: View;
  /** Signs upstream's metadata and packages. */
  readonly upstreamKey: Key;
  readonly mirrorKey: Key;
  readonly fetchFrom: string;
  /** Where the storage root and the state are; both are made. */
  readonly root: string;
  readonly state: string;
}

/** What `mirrorctl status --json` says of the repository. */
export interface Status {
  readonly result: string;
  readonly snapshot?: string;
  readonly packages?: number;
  readonly error?: { readonly message: string; readonly remedy: string };
}

export class Mirror {
  readonly configuration: string;
  readonly root: string;
  readonly state: string;

  constructor(
    private readonly workshop: Workshop,
    readonly options: MirrorOptions,
  ) {
    this.root = options.root;
    this.state = options.state;
    this.configuration = workshop.path('configuration', options.view);
    mkdirSync(join(this.configuration, 'definitions/repositories'), { recursive: true });
    mkdirSync(join(this.configuration, 'keys'), { recursive: true });
    writeFileSync(join(this.configuration, 'keys/upstream'), options.upstreamKey.publicKey);
    mkdirSync(join(this.configuration, 'secrets'), { recursive: true, mode: 0o700 });
    writeFileSync(join(this.configuration, 'secrets', SIGNING_KEYS[0]), options.mirrorKey.secretKey, { mode: 0o600 });
    const write = (path: string, content: unknown): void =>
      writeFileSync(join(this.configuration, 'definitions', path), stringify(content));
    write('server.yaml', { kind: 'server', storageRoot: this.root, ownMount: false });
    write(`repositories/${ID}.yaml`, {
      kind: 'repository',
      id: ID,
      publishedAs: 'https://example.org/pool/',
      publicPath: PUBLIC,
      fetchFrom: [options.fetchFrom],
      trust: { mode: 'signedMetadata', keys: [{ file: 'keys/upstream', fingerprint: options.upstreamKey.fingerprint }] },
      view: options.view,
    } satisfies RepositoryDefinition);
  }

  /** The key that signs what is published. */
  get signer(): Key {
    return this.options.view === 'verbatim' ? this.options.upstreamKey : this.options.mirrorKey;
  }

  /** The public tree of the repository, a symlink below the document root as a deploy makes it. */
  get tree(): string {
    return join(this.root, 'www', PUBLIC);
  }

  /** Its address below a base URL. */
  url(base: string): string {
    return `${base}${PUBLIC}/`;
  }

  /** An empty storage root, as a deploy leaves it. */
  prepare(): void {
    mkdirSync(this.root, { recursive: true });
    mkdirSync(this.state, { recursive: true });
    writeFileSync(join(this.root, '.mirror-data'), '');
    mkdirSync(dirname(this.tree), { recursive: true });
    symlinkSync(relative(dirname(this.tree), join(this.root, 'repositories', ID, 'current')), this.tree);
  }

  /** Removes everything of a storage root and a state; the directories themselves stay, which may be mounts. */
  async clear(): Promise<void> {
    for (const directory of [this.root, this.state]) {
      if (existsSync(directory)) await must('find', [directory, '-mindepth', '1', '-delete']);
    }
  }

  /** Keeps a copy of all content, with its links. */
  async save(name: string): Promise<void> {
    const target = this.workshop.path('saved', name);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(join(target, 'root'), { recursive: true });
    mkdirSync(join(target, 'state'), { recursive: true });
    await must('cp', ['-a', `${this.root}/.`, join(target, 'root')]);
    await must('cp', ['-a', `${this.state}/.`, join(target, 'state')]);
  }

  async restore(name: string): Promise<void> {
    await this.clear();
    for (const [from, to] of [
      ['root', this.root],
      ['state', this.state],
    ] as const) {
      mkdirSync(to, { recursive: true });
      await must('cp', ['-a', `${this.workshop.path('saved', name, from)}/.`, to]);
    }
  }

  /** What runs in `start`, for a program that starts it itself. */
  argv(...command: string[]): string[] {
    return [process.execPath, MIRRORCTL, '--configuration', this.configuration, '--state', this.state, ...command];
  }

  environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const temporary = this.workshop.path('tmp');
    mkdirSync(temporary, { recursive: true });
    return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: temporary, TMPDIR: temporary, LANG: 'C.UTF-8', ...more };
  }

  /** Starts a command, a sync unless another one is given, in a process group of its own. `under` is a program that runs it: strace with its options. */
  start(
    options: { readonly command?: readonly string[]; readonly under?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
  ): Running {
    const [program = '', ...args] = [...(options.under ?? []), ...this.argv(...(options.command ?? ['sync', ID, '--json']))];
    return this.workshop.start(program, args, { env: this.environment(options.env) });
  }

  /** An undisturbed sync. */
  sync(env: NodeJS.ProcessEnv = {}): Promise<Ended> {
    return this.start({ env }).done;
  }

  /** What the status says; throws where it can't be read. */
  async status(): Promise<Status> {
    const [program = '', ...args] = this.argv('status', ID, '--json');
    const { code, stdout, stderr } = await this.workshop.start(program, args, { env: this.environment() }).done;
    if (code !== 0) throw new Error(`status ended with ${code}: ${stderr.trim()}`);
    const [row] = (JSON.parse(stdout) as { repositories: Status[] }).repositories;
    if (row === undefined) throw new Error('the status lists nothing');
    return row;
  }
}
