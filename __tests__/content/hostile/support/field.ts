import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stringify } from 'yaml';
import type { FetchSource, RepositoryDefinition, TrustDefinition } from '../../../../desired-state/definitions';
import type { Signer } from '../../../../signatures/sign';
import { digest, Edits } from './edits';
import type { Engine } from './engine';
import type { Row } from './row';
import type { HostileServer } from './server';
import type { Workshop } from './workshop';

export const ID = 'victim';

/** How a sync ended. */
export interface Ended {
  readonly exitCode: number | null;
  /** Everything that was printed. */
  readonly text: string;
  readonly milliseconds: number;
  /** The most memory that the program had, in MiB; of whole programs only. */
  readonly mebibytes: number | undefined;
}

/** Limits for the engine in this process: the same guards, sooner. */
const SOON = { connections: 4, pipelining: 4, connectTimeout: 2000, headersTimeout: 1500, idleTimeout: 1500, lowSpeedSeconds: 1 };

/** A mirror with its upstream, both for one row alone. */
export class Field extends Edits {
  readonly mirror: string;
  readonly said: string[] = [];
  definition: RepositoryDefinition;
  private readonly servers: HostileServer[] = [];

  constructor(
    readonly workshop: Workshop,
    readonly server: HostileServer,
    /** Nothing of the sync may be here but below `mirror`. */
    readonly ground: string,
    row: Pick<Row, 'view' | 'trust'>,
  ) {
    super(join(ground, 'upstream'));
    this.mirror = join(ground, 'x/y/z/mirror');
    mkdirSync(join(this.mirror, 'configuration/keys'), { recursive: true });
    mkdirSync(join(this.mirror, 'storage'), { recursive: true });
    writeFileSync(join(this.mirror, 'storage/.mirror-data'), '');
    this.definition = {
      kind: 'repository',
      id: ID,
      publishedAs: 'https://example.org/repo/',
      publicPath: 'mirror/centos/example.org/repo',
      fetchFrom: [server.url],
      trust: this.trust(row.trust ?? 'digests', 'pinned'),
      view: row.view ?? 'verbatim',
    };
  }

  /** What upstream offers from now on: a copy of a healthy repository. */
  offer(repository: string): void {
    rmSync(this.root, { recursive: true, force: true });
    execFileSync('cp', ['-a', repository, this.root]);
    this.server.root = this.root;
  }

  declare(more: Partial<RepositoryDefinition>): void {
    this.definition = { ...this.definition, ...more };
  }

  fetchFrom(...sources: FetchSource[]): void {
    this.declare({ fetchFrom: sources });
  }

  /** Trusts exactly this key, of which the file may hold another one. */
  trust(mode: NonNullable<Row['trust']>, key: string, text?: string): TrustDefinition {
    if (mode === 'digests') return { mode: 'digestsOnly', reason: 'its digests are what is tried' };
    const { publicKey, fingerprint } = this.workshop.key(key);
    writeFileSync(join(this.mirror, 'configuration/keys', key), text ?? publicKey);
    return { mode: mode === 'metadata' ? 'signedMetadata' : 'signedPackages', keys: [{ file: `keys/${key}`, fingerprint }] };
  }

  /** Signs repomd.xml by gpg with these options before. */
  sign(key: string, ...options: string[]): void {
    const { home, name } = this.workshop.key(key);
    const index = join(this.root, 'repodata/repomd.xml');
    const argv = ['--homedir', home, '--batch', '--yes', '--quiet', '--local-user', name, ...options];
    execFileSync('gpg', [...argv, '--armor', '--detach-sign', '--output', `${index}.asc`, index], { stdio: 'ignore' });
  }

  /** One more server, which ends with the row. */
  async another(server: Promise<HostileServer>): Promise<HostileServer> {
    const started = await server;
    this.servers.push(started);
    return started;
  }

  file(path: string): Buffer {
    return readFileSync(join(this.root, path));
  }

  put(path: string, bytes: string | Buffer): void {
    mkdirSync(join(this.root, path, '..'), { recursive: true });
    writeFileSync(join(this.root, path), bytes);
  }

  /** As if nothing that is published were in the store: all of it has to be fetched. */
  emptyStore(): void {
    rmSync(join(this.mirror, 'storage/store'), { recursive: true });
  }

  /** A file of what is published; undefined where there is none. */
  published(path: string): Buffer | undefined {
    const file = join(this.mirror, 'storage/repositories', ID, 'current', path);
    return existsSync(file) ? readFileSync(file) : undefined;
  }

  /** The name of what is published. */
  currentSnapshot(): string {
    return basename(realpathSync(join(this.mirror, 'storage/repositories', ID, 'current')));
  }

  /** Makes a snapshot that has the name which the next one would get at this time. */
  occupy(stamp: string): void {
    const name = `${stamp}-${digest(this.text()).slice(0, 12)}`;
    mkdirSync(join(this.mirror, 'storage/repositories', ID, 'snapshots', name));
  }

  async sync(engine: Engine, row: Pick<Row, 'program' | 'http' | 'retry' | 'now'>): Promise<Ended> {
    const { program } = row;
    const started = Date.now();
    const ended = program === undefined ? await this.engineRuns(engine, row) : await this.programRuns(engine, program);
    return { ...ended, milliseconds: Date.now() - started };
  }

  /** Path, mode and content of everything that clients see, as one digest. */
  served(): string {
    const hash = createHash('sha256');
    const walk = (directory: string): void => {
      for (const name of readdirSync(directory).sort()) {
        const path = join(directory, name);
        const found = lstatSync(path);
        hash.update(`${path}\0${found.mode}\0${found.isFile() ? digest(readFileSync(path)) : ''}\n`);
        if (found.isDirectory()) walk(path);
      }
    };
    walk(realpathSync(join(this.mirror, 'storage/repositories', ID, 'current')));
    return hash.digest('hex');
  }

  /** What must not be there after a sync, whatever it met. */
  leftovers(): readonly string[] {
    const left: string[] = [];
    const only = (directory: string, allowed: readonly string[]): void => {
      for (const name of readdirSync(directory)) if (!allowed.includes(name)) left.push(`${name} was written into ${directory}`);
    };
    only(this.ground, ['x', 'upstream']);
    only(join(this.ground, 'x'), ['y']);
    only(join(this.ground, 'x/y'), ['z']);
    only(join(this.ground, 'x/y/z'), ['mirror']);
    only(this.mirror, ['storage', 'state', 'configuration']);
    const repository = join(this.mirror, 'storage/repositories', ID);
    for (const directory of [repository, join(repository, 'snapshots')])
      for (const name of readdirSync(directory)) if (name.startsWith('.new-')) left.push(`${join(directory, name)} is left`);
    if (existsSync(join(this.mirror, 'state/tmp', ID))) left.push('the temporary directory is left');
    const store = join(this.mirror, 'storage/store');
    for (const algorithm of readdirSync(store).filter((name) => name !== '.incoming'))
      for (const file of readdirSync(join(store, algorithm), { recursive: true, encoding: 'utf8' })) {
        const path = join(store, algorithm, file);
        if (lstatSync(path).isFile() && digest(readFileSync(path), algorithm) !== file.split('/').pop())
          left.push(`${path} has other bytes`);
      }
    return left;
  }

  async end(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
    this.server.handlers.clear();
    this.server.requests.length = 0;
    rmSync(this.ground, { recursive: true, force: true });
  }

  private async engineRuns(engine: Engine, row: Pick<Row, 'http' | 'retry' | 'now'>): Promise<Omit<Ended, 'milliseconds'>> {
    const layout = new engine.Layout(join(this.mirror, 'storage'), join(this.mirror, 'state'), join(this.mirror, 'configuration'));
    const client = new engine.HttpClient({ ...SOON, ...row.http });
    let signer: Promise<Signer> | undefined;
    const secret = { from: 'the test', text: Buffer.from(this.workshop.key('mirror').secretKey) };
    try {
      const outcome = await engine.syncRepository(
        {
          layout,
          server: { kind: 'server', storageRoot: layout.root, ownMount: false },
          definitions: { repositories: [], lists: [] },
          client,
          share: new engine.BandwidthShare(client.bandwidth),
          retry: { backoff: 20, ...row.retry },
          now: row.now ?? (() => new Date()),
          say: (line) => void this.said.push(line),
          graceSeconds: 3600,
          waitSeconds: 0,
          signer: () => (signer ??= engine.openSigner(() => [secret], layout.signingIdentities)),
        },
        this.definition,
      );
      const text = [...this.said, engine.outcomeText(outcome)].join('\n');
      return { exitCode: engine.exitCodeOf([outcome], false), text, mebibytes: undefined };
    } finally {
      await client.close();
      await (await signer)?.close();
    }
  }

  private async programRuns(engine: Engine, program: NonNullable<Row['program']>): Promise<Omit<Ended, 'milliseconds'>> {
    const configuration = join(this.mirror, 'configuration');
    const write = (path: string, content: unknown): void => {
      mkdirSync(join(configuration, path, '..'), { recursive: true });
      writeFileSync(join(configuration, path), stringify(content));
    };
    write('definitions/server.yaml', { kind: 'server', storageRoot: join(this.mirror, 'storage'), ownMount: false });
    write(`definitions/repositories/${ID}.yaml`, this.definition);
    const measured = `${engine.bundle}.${ID}.rss`;
    const probe = `process.on('exit',()=>require('fs').writeFileSync(${JSON.stringify(measured)},String(process.resourceUsage().maxRSS)))`;
    writeFileSync(`${measured}.js`, probe);
    const argv = ['-r', `${measured}.js`, engine.bundle, '--configuration', configuration, '--state', join(this.mirror, 'state')];
    const env = { ...process.env, ...(program === true ? {} : program.env(this)) };
    const child = spawn(process.execPath, [...argv, 'sync', ID], { stdio: ['ignore', 'pipe', 'pipe'], env });
    const timer = setTimeout(() => child.kill('SIGKILL'), 90_000);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
    clearTimeout(timer);
    return { exitCode, text, mebibytes: existsSync(measured) ? Number(readFileSync(measured, 'utf8')) / 1024 : undefined };
  }
}
