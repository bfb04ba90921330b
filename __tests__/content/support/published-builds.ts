import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { BuildPublished } from '../../../content/build-publish';
import { archive } from './builds';
import { buildRpm, type RpmOptions } from './hosted';
import type { TestKey } from './keys';
import { type Ran, TestMirror } from './mirror';

/** A mirror with the series `master/centos/flock`, and a directory in which builds are made. */
export class BuildMirror extends TestMirror {
  constructor(key: TestKey, options: ConstructorParameters<typeof TestMirror>[0] = {}) {
    super(options);
    this.signBy(key);
    this.write('definitions/builds/stx-master.yaml', { ...archive(), siteUrl: 'http://mirror.example.org' });
  }

  /** Path below the build → text, or the package file that is to lie there. Returns the directory. */
  make(timestamp: string, files: Readonly<Record<string, string | { readonly rpm: string }>>): string {
    const directory = join(this.directory, 'made', timestamp);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      if (typeof content === 'string') writeFileSync(join(directory, path), content);
      else copyFileSync(content.rpm, join(directory, path));
    }
    return directory;
  }

  publishBuild(...argv: string[]): Promise<Ran> {
    return this.run('build', 'publish', ...argv);
  }

  /** The same where createrepo_c, if it is started, fails. */
  publishWithoutCreaterepo(...argv: string[]): Ran {
    const bin = join(this.directory, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'createrepo_c'), '#!/bin/sh\necho broken >&2\nexit 9\n', { mode: 0o755 });
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync(process.execPath, this.argv('build', 'publish', ...argv), { env, encoding: 'utf8' });
    return { code: status, stdout, stderr };
  }

  /** Publishes, and returns what the program said of it. */
  async buildPublished(...argv: string[]): Promise<BuildPublished> {
    const ran = await this.publishBuild(...argv, '--json');
    if (ran.code !== 0) throw new Error(ran.stderr);
    return JSON.parse(ran.stdout) as BuildPublished;
  }
}

/** Packages that are built once for a test file. */
export class Packages {
  private readonly built = new Map<string, string>();

  constructor(private readonly directory: string) {}

  get(options: RpmOptions): string {
    const key = JSON.stringify(options);
    const path = this.built.get(key) ?? buildRpm(join(this.directory, `rpm-${this.built.size}`), options);
    this.built.set(key, path);
    return path;
  }

  /** Path in a build → package, for each of `<folder>: [packages]`. */
  in(folders: Readonly<Record<string, readonly RpmOptions[]>>): Readonly<Record<string, { readonly rpm: string }>> {
    return Object.fromEntries(
      Object.entries(folders).flatMap(([folder, all]) =>
        all.map((options) => [`${folder}/${basename(this.get(options))}`, { rpm: this.get(options) }] as const),
      ),
    );
  }
}
