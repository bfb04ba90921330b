import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Source } from '../../../rpm-metadata/accumulate/merge';
import { parseRepomd } from '../../../rpm-metadata/repomd';
import { Publisher, readRepositories } from './support/repository';

/** Packages by rpmbuild, metadata by createrepo_c, and both of them, mergerepo_c and dnf as readers of what we publish. */
const publisher = new Publisher();
afterAll(() => publisher.remove());
const pool = join(publisher.root, 'pool');

/** Builds one spec with a sub-package per entry; changelogs, file lists and dependencies differ. */
function build(name: string, version: string, parts: readonly string[]): void {
  const top = join(publisher.root, 'rpmbuild');
  mkdirSync(top, { recursive: true });
  const path = join(top, `${name}.spec`);
  const common = (part: string): string =>
    `Summary: ${part} <&> "quoted"\nRequires: ${name}-common >= 0:${version}~rc1\nProvides: virtual(${part}) = ${version}\n`;
  const text = `Name: ${name}
Version: ${version}
Release: 1.el7
Epoch: 2
License: GPLv2+
BuildArch: noarch
${common(name)}
%description
The package ${name} of the oracles.
${parts.map((part) => `%package ${part}\n${common(part)}%description ${part}\nPart ${part}.\n`).join('')}
%install
mkdir -p %{buildroot}/usr/share/${name} %{buildroot}/usr/bin
echo ${version} > %{buildroot}/usr/bin/${name}
${parts.map((part) => `echo ${part} ${version} > "%{buildroot}/usr/share/${name}/${part} ${version}.txt"`).join('\n')}
%files
/usr/bin/${name}
${parts.map((part) => `%files ${part}\n"/usr/share/${name}/${part} ${version}.txt"\n%dir /usr/share/${name}\n`).join('')}
%changelog
* Wed Sep 02 2026 Somebody <some@body.example> - 2:${version}-1.el7
- version ${version} fixes CVE-2026-${version.replace('.', '')}00 & more
* Tue Sep 01 2026 Somebody <some@body.example> - 2:0.1-1.el7
- first
`;
  writeFileSync(path, text);
  execFileSync('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${top}`, '--define', `_rpmdir ${pool}`, path], { stdio: 'ignore' });
}

function createrepo(directory: string, ...options: string[]): void {
  execFileSync('createrepo_c', ['--quiet', '--no-database', '--revision', '5', ...options, directory], { stdio: 'ignore' });
}

/** An upstream with the packages of the pool that match, and its metadata by createrepo_c. */
function upstream(wanted: (file: string) => boolean, folder = ''): { readonly path: string; readonly source: Source } {
  const path = publisher.fresh();
  rmSync(join(path, 'repodata'), { recursive: true });
  mkdirSync(join(path, folder), { recursive: true });
  for (const file of readdirSync(join(pool, 'noarch')).filter(wanted)) cpSync(join(pool, 'noarch', file), join(path, folder, file));
  createrepo(path);
  const { records } = parseRepomd(readFileSync(join(path, 'repodata/repomd.xml')), 'u', { weakChecksums: false });
  const file = (type: string): { path: string; what: string } => {
    const record = records.find((r) => r.type === type);
    return { path: join(path, record?.path ?? ''), what: `http://u/${record?.href}` };
  };
  return { path, source: { primary: file('primary'), filelists: file('filelists'), other: file('other') } };
}

/** What dnf says of a repository: per package, one line; its files; its changelogs. */
function dnf(path: string): readonly string[] {
  const base = [
    `--setopt=cachedir=${publisher.fresh()}`,
    `--installroot=${publisher.fresh()}`,
    '--releasever=7',
    `--repofrompath=m,file://${path}`,
    '--repoid=m',
    '--quiet',
    'repoquery',
  ];
  const ask = (...more: string[]): string =>
    execFileSync('dnf', [...base, ...more], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  const format = '%{name}-%{epoch}:%{version}-%{release}.%{arch} %{location} %{size} %{summary} %{license} %{requires} %{provides}';
  return [...ask('--qf', format).trim().split('\n').sort(), ...ask('-l').trim().split('\n').sort(), ask('--changelogs', 'alpha-one')];
}

/** Puts the files where the metadata says that they are. */
function withPackages(path: string, from: readonly string[]): void {
  for (const upstreamPath of from)
    cpSync(upstreamPath, path, { recursive: true, filter: (source) => !source.includes('/repodata'), force: false });
}

test('createrepo_c, mergerepo_c and dnf read the union', async () => {
  build('alpha', '1.0', ['one', 'two', 'three']);
  build('alpha', '1.10', ['one', 'two', 'three']);
  build('beta', '3', ['devel']);
  // First 1.0; then upstream drops it for 1.10, loses beta-devel and moves everything into a folder; then one more package, published alone.
  const old = upstream((f) => f.includes('-1.0-') || f.startsWith('beta-devel'));
  const now = upstream((f) => f.includes('-1.10-') || f.startsWith('beta-devel'), 'Packages/a');
  const one = upstream((f) => f.startsWith('beta-3'));
  const first = await publisher.publish(undefined, [old.source], { memberBytes: 3000 });
  const second = await publisher.publish(first.path, [now.source], { memberBytes: 3000 });
  const third = await publisher.publish(second.path, [one.source], { memberBytes: 3000 });
  expect(third.counts).toEqual({ added: 1, stayed: 0, moved: 0, kept: 9, dropped: 0, replaced: 0, refused: 0 });

  // What createrepo_c says of a directory with all packages, each where it was last.
  const whole = publisher.fresh();
  rmSync(join(whole, 'repodata'), { recursive: true });
  withPackages(whole, [now.path, old.path, one.path]);
  rmSync(join(whole, readdirSync(whole).find((f) => f.startsWith('beta-devel')) as string));
  createrepo(whole);
  const [ours, theirs] = readRepositories([third.path, whole]);
  expect({ ...ours, revision: 5, types: [] }).toEqual({ ...theirs, types: [] });
  expect(dnf(third.path)).toEqual(dnf(whole));
  expect(dnf(third.path).filter((line) => line.startsWith('alpha-one-2:'))).toHaveLength(2);

  // createrepo_c reads ours: with --update and --skip-stat it opens no package whose metadata it has, so empty files do.
  const updated = publisher.fresh();
  withPackages(updated, [whole]);
  cpSync(join(third.path, 'repodata'), join(updated, 'repodata'), { recursive: true });
  for (const { path } of third.packages) writeFileSync(join(updated, path), '');
  createrepo(updated, '--update', '--skip-stat');
  const merged = publisher.fresh();
  execFileSync('mergerepo_c', ['--all', '--no-database', '-o', merged, '-r', `file://${second.path}`, '-r', `file://${one.path}`], {
    stdio: 'ignore',
  });
  // mergerepo_c puts the base of each repository before its locations.
  const bare = (path: string): unknown => {
    const [read] = readRepositories([path]);
    const primary = Object.entries(read?.primary ?? {}).map(([id, entry]) => [id, entry.slice(0, 5)]);
    return { wrong: read?.wrong, primary: primary.sort(), filelists: read?.filelists, other: read?.other };
  };
  expect(bare(updated)).toEqual(bare(third.path));
  expect(bare(merged)).toEqual(bare(third.path));
}, 120_000);
