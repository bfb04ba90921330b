import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildSync } from 'esbuild';
import { stringify } from 'yaml';
import type {
  DownloadedFile,
  DownloadsDefinition,
  RepositoryDefinition,
  TreeDefinition,
  TrustDefinition,
} from '../../../desired-state/definitions';
import type { TestKey } from './keys';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A storage root, a configuration and a state in a temporary directory, and the bundled program to run on them. */
export class TestMirror {
  readonly directory: string;
  readonly root: string;
  readonly configuration: string;
  readonly state: string;

  /** `base`: where it makes its directory. */
  constructor(options: { root?: string; ownMount?: boolean; base?: string } = {}) {
    this.directory = mkdtempSync(join(options.base ?? tmpdir(), 'mirrorctl-'));
    this.configuration = join(this.directory, 'configuration');
    this.state = join(this.directory, 'state');
    this.root = options.root ?? join(this.directory, 'storage');
    mkdirSync(this.root, { recursive: true });
    mkdirSync(join(this.configuration, 'keys'), { recursive: true });
    writeFileSync(join(this.root, '.mirror-data'), '');
    this.write('definitions/server.yaml', { kind: 'server', storageRoot: this.root, ownMount: options.ownMount ?? false });
  }

  write(path: string, content: unknown): void {
    const file = join(this.configuration, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, typeof content === 'string' ? content : stringify(content));
  }

  repository(
    id: string,
    fetchFrom: readonly string[],
    trust: TrustDefinition = { mode: 'digestsOnly', reason: 'a test upstream signs nothing' },
    more: Partial<RepositoryDefinition> = {},
  ): void {
    this.write(`definitions/repositories/${id}.yaml`, {
      kind: 'repository',
      id,
      publishedAs: 'https://example.org/repo/',
      publicPath: `mirror/centos/example.org/${id}`,
      fetchFrom,
      trust,
      view: 'verbatim',
      ...more,
    });
  }

  /** Gives the mirror its own signing keys, today's first. */
  signBy(key: TestKey, former?: TestKey): void {
    this.write('secrets/signing-key', key.secretKey);
    rmSync(join(this.configuration, 'secrets/previous-signing-key'), { force: true });
    if (former !== undefined) this.write('secrets/previous-signing-key', former.secretKey);
  }

  /** Declares a file tree. */
  tree(id: string, fetchFrom: readonly string[], rest: Partial<TreeDefinition> = {}): void {
    this.write(`definitions/trees/${id}.yaml`, {
      kind: 'tree',
      id,
      publishedAs: 'https://example.org/tree/',
      publicPath: `mirror/centos/example.org/${id}`,
      fetchFrom,
      trust: { mode: 'none', reason: 'a test upstream has no checksums' },
      ...rest,
    });
  }

  /** Declares downloads. */
  downloads(id: string, files: readonly DownloadedFile[], rest: Partial<DownloadsDefinition> = {}): void {
    const publicPath = `mirror/starlingx/tarballs/${id}/centos`;
    this.write(`definitions/downloads/${id}.yaml`, { kind: 'downloads', id, publicPath, files, sums: 'SHA256SUMS', ...rest });
  }

  /** Puts the public key among the pinned ones and returns the trust that pins it. */
  pin(mode: 'signedMetadata' | 'signedPackages', key: TestKey): TrustDefinition {
    this.write(`keys/${key.name}`, key.publicKey);
    return { mode, keys: [{ file: `keys/${key.name}`, fingerprint: key.fingerprint }] };
  }

  run(...argv: string[]): Promise<Ran> {
    return this.start(...argv).done;
  }

  /** What node gets for a command. */
  argv(...argv: string[]): string[] {
    return [bundle(), '--configuration', this.configuration, '--state', this.state, ...argv];
  }

  start(...argv: string[]): { readonly done: Promise<Ran>; kill(signal?: NodeJS.Signals): void; said(): string } {
    const child = spawn(process.execPath, this.argv(...argv), { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const done = new Promise<Ran>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
    return { done, kill: (signal = 'SIGKILL') => child.kill(signal), said: () => stderr };
  }

  /** A path in what is published. */
  published(id: string, ...path: string[]): string {
    return join(this.root, 'repositories', id, 'current', ...path);
  }

  currentTarget(id: string): string | undefined {
    const link = join(this.root, 'repositories', id, 'current');
    return existsSync(link) ? readlinkSync(link) : undefined;
  }

  snapshots(id: string): readonly string[] {
    const directory = join(this.root, 'repositories', id, 'snapshots');
    return existsSync(directory) ? readdirSync(directory).sort() : [];
  }

  stateOf(id: string): Record<string, unknown> {
    return JSON.parse(readFileSync(join(this.state, 'repositories', `${id}.json`), 'utf8')) as Record<string, unknown>;
  }

  /** The file with what is known of the published snapshot. */
  recordPath(id: string): string {
    return join(this.root, 'repositories', id, 'records', `${basename(this.currentTarget(id) as string)}.json`);
  }

  recordOf(id: string): Record<string, unknown> {
    return JSON.parse(readFileSync(this.recordPath(id), 'utf8')) as Record<string, unknown>;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

let bundled: string | undefined;

/** Bundles the program as `scripts/build.mjs` does, once for each test file. */
export function bundle(): string {
  if (bundled !== undefined) return bundled;
  const outfile = join(mkdtempSync(join(tmpdir(), 'mirrorctl-bundle-')), 'mirrorctl.cjs');
  buildSync({
    entryPoints: [join(__dirname, '../../../content/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'cjs',
    logLevel: 'error',
  });
  bundled = outfile;
  return outfile;
}

afterAll(() => {
  if (bundled !== undefined) rmSync(join(bundled, '..'), { recursive: true, force: true });
});
