/** The client host: real dnf with nothing but the `.repo` files that it is given. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Instance } from './instance';
import { run, usageError } from './shell';

export interface DnfOptions {
  readonly repoFile: readonly string[];
  readonly installroot?: string;
}

/** Runs dnf as an EL 7 x86_64 client; its output is ours, and so is its exit code. */
export function dnf(instance: Instance, certificate: string, options: DnfOptions, args: readonly string[]): number {
  if (options.repoFile.length === 0)
    throw usageError(
      'dnf: no repository',
      'Name one: scripts/lab dnf --repo-file http://mirror.example.org/repo-files/….repo -- install bash',
    );
  const scratch = join(instance.state, 'client');
  mkdirSync(scratch, { recursive: true });
  const work = mkdtempSync(join(scratch, 'dnf-'));
  const inside = ['ip', 'netns', 'exec', instance.namespaces.client];
  try {
    for (const name of ['repos', 'cache', 'log', 'vars', 'root']) mkdirSync(join(work, name));
    for (const from of options.repoFile) {
      const target = join(work, 'repos', basename(from).replace(/(\.repo)?$/, '.repo'));
      try {
        if (/^https?:\/\//.test(from)) run([...inside, 'curl', '-fsS', '--cacert', certificate, '-o', target, from]);
        else copyFileSync(resolve(from), target);
      } catch (error) {
        throw usageError(
          `dnf: the repo file ${from} cannot be had: ${error instanceof Error ? error.message : String(error)}`,
          'Those of the mirror are http://mirror.example.org/repo-files/<id>.repo (docs/reference/urls.md).',
        );
      }
    }
    const settings: Record<string, string> = {
      reposdir: join(work, 'repos'), cachedir: join(work, 'cache'), persistdir: join(work, 'cache/state'), logdir: join(work, 'log'), varsdir: join(work, 'vars'),
      sslcacert: certificate, keepcache: '0', timeout: '10', retries: '1', install_weak_deps: '0', metadata_expire: '0', plugins: '0',
    }; // prettier-ignore
    const config = join(work, 'dnf.conf');
    writeFileSync(
      config,
      `[main]\n${Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join('')}`,
    );
    const command = [
      ...inside, 'dnf', '-y', '--config', config, ...Object.entries(settings).map(([name, value]) => `--setopt=${name}=${value}`),
      '--releasever', '7', '--forcearch', 'x86_64', '--installroot', options.installroot ? resolve(options.installroot) : join(work, 'root'), ...args,
    ]; // prettier-ignore
    return spawnSync(command[0] as string, command.slice(1), { stdio: 'inherit' }).status ?? 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
