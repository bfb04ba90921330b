/** One upstream repository on disk: packages in the upstream's layout, metadata by createrepo_c, signed the way the upstream signs. */
import { existsSync, linkSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { BuiltPackage } from './rpm-build';
import { run } from './shell';
import { signDetached, type SigningKey } from './signing-keys';
import type { UpstreamRepository } from './upstreams';

/** Puts packages where the upstream has them. */
export function addPackages(row: UpstreamRepository, directory: string, packages: readonly BuiltPackage[]): void {
  for (const { file, path, source } of packages) {
    if (source !== (row.kind === 'source')) continue;
    const target = join(directory, row.layout.replace('{initial}', file.charAt(0).toLowerCase()), file);
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { force: true });
    try {
      linkSync(path, target);
    } catch {
      copyFileSync(path, target);
    }
  }
}

/** Of the metadata in a repository; 0 where there is none. */
export function revisionOf(directory: string): number {
  const repomd = join(directory, 'repodata/repomd.xml');
  return existsSync(repomd) ? Number(/<revision>(\d+)</.exec(readFileSync(repomd, 'utf8'))?.[1] ?? 0) : 0;
}

/**
 * Makes `repodata/` for the packages that are there. The revision grows with each change, within a second too.
 *
 * @param last the revision that was served last
 */
export function makeMetadata(row: UpstreamRepository, directory: string, key: SigningKey, last = revisionOf(directory)): void {
  const repomd = join(directory, 'repodata/repomd.xml');
  const revision = Math.max(Math.floor(Date.now() / 1000), last + 1);
  const work = mkdtempSync(join(tmpdir(), 'lab-metadata-'));
  try {
    const paths = packagesIn(directory);
    const comps = join(work, 'comps.xml');
    if (row.comps) writeFileSync(comps, compsFile(row.name, namesOf(directory, paths.slice(0, 20))));
    run([
      'createrepo_c',
      '--quiet',
      '--database',
      '--workers',
      '2',
      '--revision',
      String(revision),
      ...(row.comps ? ['--groupfile', comps] : []),
      directory,
    ]);
    if (row.updateinfo) {
      const updateinfo = join(work, 'updateinfo.xml');
      writeFileSync(updateinfo, updateinfoFile(row, paths));
      run([
        'modifyrepo_c',
        '--compress',
        `--compress-type=${row.updateinfo}`,
        '--mdtype=updateinfo',
        updateinfo,
        join(directory, 'repodata'),
      ]);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  sign(row, repomd, key);
}

function sign(row: UpstreamRepository, repomd: string, key: SigningKey): void {
  if (row.metadata === 'none') return;
  signDetached(repomd, key, row.metadata === 'valid-version-3');
  // Signed, and then made again: what the signature is over differs by its revision.
  if (row.metadata === 'stale')
    writeFileSync(
      repomd,
      readFileSync(repomd, 'utf8').replace(/<revision>(\d+)</, (_, n: string) => `<revision>${Number(n) + 1}<`),
    );
}

/** Relative paths of all packages. */
export function packagesIn(directory: string): string[] {
  return (readdirSync(directory, { recursive: true }) as string[]).filter((path) => path.endsWith('.rpm')).sort();
}

function namesOf(directory: string, paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const names = run(['rpm', '-qp', '--nosignature', '--qf', '%{NAME}\\n', ...paths.map((path) => join(directory, path))]);
  return [...new Set(names.split('\n').filter(Boolean))];
}

function compsFile(name: string, packages: readonly string[]): string {
  const list = packages.map((p) => `      <packagereq type="default">${p}</packagereq>`).join('\n');
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//CentOS//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>${name}-core</id>
    <name>Core of ${name}</name>
    <description>Smallest useful set</description>
    <default>true</default>
    <uservisible>true</uservisible>
    <packagelist>
${list}
    </packagelist>
  </group>
</comps>
`;
}

function updateinfoFile(row: UpstreamRepository, paths: readonly string[]): string {
  const updates = row.packages.slice(0, 3).map((source, index) => {
    const names = new Set(source.binaries ?? [source.name]);
    const files = paths
      .map((path) => basename(path))
      .filter((file) => [...names].some((name) => file === `${name}-${source.version}-${source.release}.${source.arch}.rpm`))
      .slice(0, 4);
    const list = files
      .map(
        (file) =>
          `        <package name="${file.slice(0, file.indexOf(`-${source.version}-`))}" version="${source.version}" release="${source.release}" epoch="${source.epoch ?? 0}" arch="${source.arch}"><filename>${file}</filename></package>`,
      )
      .join('\n');
    return `  <update from="updates@lab.invalid" status="stable" type="security" version="2.0">
    <id>LAB-2024-${String(index + 1).padStart(4, '0')}</id>
    <title>${source.name}-${source.version}-${source.release}</title>
    <severity>Important</severity>
    <issued date="2024-05-01 00:00:00"/>
    <references><reference href="https://example.org/CVE-2024-000${index + 1}" id="CVE-2024-000${index + 1}" type="cve" title="CVE-2024-000${index + 1}"/></references>
    <description>Security fix of ${source.name}.</description>
    <pkglist>
      <collection short="EL-7">
        <name>Extra Packages</name>
${list}
      </collection>
    </pkglist>
  </update>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n${updates.join('\n')}\n</updates>\n`;
}
