// Who syncs: this project, dnf reposync, and the floor, a bare download. Each keeps what it has in a directory of its own.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root, run } from '../measure.mjs';

/**
 * Moves away what an earlier run made. It is removed at the end of the benchmark: ext4 does not use an inode again within minutes of its
 * removal, and finding others takes longer than everything else that either side does.
 */
function aside(directory, names) {
  const old = join(directory, 'old', String(process.hrtime.bigint()));
  mkdirSync(old, { recursive: true });
  for (const name of names) if (existsSync(join(directory, name))) renameSync(join(directory, name), join(old, name));
}

/** Keeps compiled code beside the programs in `dist`, as a deploy does on the server: once, since a deploy is not what is measured. */
export async function installPrograms(directory) {
  const program = join(directory, 'install.cjs');
  const entryPoints = ['bench/apps/install.ts'];
  await build({
    absWorkingDir: root,
    entryPoints,
    outfile: program,
    bundle: true,
    platform: 'node',
    target: 'node18',
    logLevel: 'warning',
  });
  await run('node', [program, join(root, 'dist', 'programs')]);
}

/** `mirrorctl sync`, as the server's unit runs it: everything verified, flushed and published when it ends. */
export class Mirrorctl {
  constructor(directory) {
    this.directory = directory;
    this.ids = [];
    const definitions = join(directory, 'configuration', 'definitions');
    mkdirSync(join(definitions, 'repositories'), { recursive: true });
    // YAML contains JSON.
    writeFileSync(
      join(definitions, 'server.yaml'),
      JSON.stringify({ kind: 'server', storageRoot: join(directory, 'storage'), ownMount: false }),
    );
    this.reset();
  }

  repository(id, url, more = {}) {
    const definition = {
      kind: 'repository',
      id,
      publishedAs: `https://example.org/${id}/`,
      publicPath: `mirror/example.org/${id}`,
      fetchFrom: [url],
      trust: { mode: 'digestsOnly', reason: 'dnf reposync checks no signature either' },
      view: 'verbatim',
      ...more,
    };
    writeFileSync(join(this.directory, 'configuration', 'definitions', 'repositories', `${id}.yaml`), JSON.stringify(definition));
    this.ids.push(id);
  }

  /** What the view accumulate signs with. */
  async signingKey() {
    const home = join(this.directory, 'gnupg');
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const gpg = (...args) => run('gpg', ['--homedir', home, '--batch', '--pinentry-mode', 'loopback', '--passphrase', '', ...args]);
    await gpg('--quick-gen-key', 'bench <bench@example.org>', 'rsa2048', 'sign', 'never');
    const secrets = join(this.directory, 'configuration', 'secrets');
    mkdirSync(secrets, { recursive: true });
    writeFileSync(join(secrets, 'signing-key'), await gpg('--armor', '--export-secret-keys', 'bench'));
    await run('gpgconf', ['--homedir', home, '--kill', 'all']);
  }

  get command() {
    const options = ['--configuration', join(this.directory, 'configuration'), '--state', join(this.directory, 'state')];
    return [join(root, 'dist/programs/mirrorctl.cjs'), [...options, 'sync', '--all']];
  }

  reset() {
    aside(this.directory, ['storage', 'state']);
    mkdirSync(join(this.directory, 'storage'), { recursive: true });
    writeFileSync(join(this.directory, 'storage', '.mirror-data'), '');
  }

  async sync() {
    await run(...this.command);
  }

  packages() {
    const tree = join(this.directory, 'storage', 'repositories', this.ids[0], 'current');
    return readdirSync(tree, { recursive: true }).filter((name) => name.endsWith('.rpm')).length;
  }
}

/** `dnf reposync --download-metadata`. */
export class Reposync {
  /** @param settings of dnf.conf */
  constructor(directory, settings) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    const main = {
      reposdir: '/nonexistent',
      cachedir: `${directory}/cache`,
      persistdir: `${directory}/persist`,
      logdir: `${directory}/log`,
      gpgcheck: 0,
    };
    this.main = ['[main]', ...Object.entries({ ...main, ...settings }).map(([key, value]) => `${key}=${value}`)];
    this.repositories = [];
  }

  repository(id, url) {
    this.repositories.push(`[${id}]\nname=${id}\nbaseurl=${url}\nenabled=1`);
    writeFileSync(join(this.directory, 'dnf.conf'), [...this.main, ...this.repositories, ''].join('\n'));
  }

  get command() {
    const options = [
      '--quiet',
      '--config',
      join(this.directory, 'dnf.conf'),
      '--disableplugin=*',
      '--enableplugin=reposync',
      '--releasever=1',
    ];
    // --refresh: as ours, each run asks whether the index is another one.
    return ['dnf', [...options, '--refresh', 'reposync', '--download-path', join(this.directory, 'tree'), '--download-metadata']];
  }

  reset() {
    aside(this.directory, ['cache', 'persist', 'tree']);
  }

  async sync() {
    await run(...this.command);
  }

  packages() {
    return readdirSync(join(this.directory, 'tree'), { recursive: true }).filter((name) => name.endsWith('.rpm')).length;
  }
}

/** The best settings that were found (20 is the most that dnf takes in parallel, and without the second it is 3 from one mirror), and dnf's defaults. */
export const BEST = { max_parallel_downloads: 20, max_downloads_per_mirror: 20, deltarpm: 0, zchunk: 0, fastestmirror: 0 };
export const DEFAULT = {};

/** Downloads all files of a repository and drops them: what the line allows. */
export class Floor {
  constructor(url, directory, files) {
    this.list = join(directory, 'floor.txt');
    this.url = url;
    writeFileSync(this.list, files.join('\n'));
  }

  async sync() {
    await run(process.execPath, [join(root, 'bench/sync/floor.mjs'), this.url, this.list]);
  }
}

/**
 * Runs a command and returns the peak of its resident memory in MB (10^6 bytes): the sum of the peaks (VmHWM) of all processes that it started
 * and of its own, looked at every 5 ms. The sum is an upper bound, since they need not be at the same time.
 */
export async function peakMemory([command, args]) {
  const child = spawn(command, args, { cwd: root, stdio: 'ignore' });
  const peaks = new Map();
  const look = (pid) => {
    try {
      const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
      if (found !== null) peaks.set(pid, Number(found[1]) * 1024);
      for (const task of readdirSync(`/proc/${pid}/task`))
        for (const other of readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ')) if (other !== '') look(other);
    } catch {
      // It has ended meanwhile.
    }
  };
  const timer = setInterval(() => look(child.pid), 5);
  const code = await new Promise((resolve) => child.on('close', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return [...peaks.values()].reduce((sum, value) => sum + value, 0) / 1e6;
}
