/** Builds with real repositories in their places, as a publish leaves them. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Layout } from '../../../content/layout';
import { manifestLine } from '../../../content/release-manifest';
import { makeBuild, type MadeBuild } from './builds';
import { signDetached, type TestKey } from './keys';

export interface BuildWithPackages extends MadeBuild {
  /** RPM directory below the build → packages. */
  readonly repositories: Readonly<Record<string, readonly string[]>>;
}

/** Returns its directory. Each RPM directory is a repository that the key signed; its manifest is recorded. */
export function makeBuildWithPackages(layout: Layout, key: TestKey, { repositories, ...made }: BuildWithPackages): string {
  const directory = makeBuild(layout, made);
  for (const [path, packages] of Object.entries(repositories)) {
    const folder = join(directory, path);
    mkdirSync(folder, { recursive: true });
    for (const file of packages) copyFileSync(file, join(folder, basename(file)));
    execFileSync('createrepo_c', ['--quiet', folder], { stdio: 'ignore' });
    signDetached(key, join(folder, 'repodata/repomd.xml'));
    writeFileSync(join(folder, 'repodata/repomd.xml.key'), key.publicKey);
    const list = path.includes('SRPMS') ? 'srpm.lst' : 'rpm.lst';
    writeFileSync(join(folder, list), packages.map((file) => `${basename(file)}\n`).join(''));
  }
  const lines = filesBelow(directory).map((path) => {
    const hex = createHash('sha256')
      .update(readFileSync(join(directory, path)))
      .digest('hex');
    return manifestLine({ path, checksum: { algorithm: 'sha256', hex }, size: statSync(join(directory, path)).size });
  });
  const series = made.series ?? 'master/centos/flock';
  const manifest = layout.buildRecord(series, made.timestamp, 'manifest');
  mkdirSync(dirname(manifest), { recursive: true });
  writeFileSync(manifest, lines.join(''));
  const record = layout.buildRecord(series, made.timestamp, 'json');
  const known = JSON.parse(readFileSync(record, 'utf8')) as Record<string, unknown>;
  const described = Object.entries(repositories).map(([path, packages]) => ({ path, packages: packages.length }));
  writeFileSync(
    record,
    JSON.stringify({ ...known, repositories: described, manifest: createHash('sha256').update(lines.join('')).digest('hex') }),
  );
  return directory;
}

function filesBelow(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(directory, path)).isFile())
    .sort();
}
