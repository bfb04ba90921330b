import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function run(command: string, ...argv: string[]): string {
  return execFileSync(command, argv, { encoding: 'utf8', maxBuffer: 1e8, stdio: ['ignore', 'pipe', 'pipe'] });
}

const SPECS: readonly (readonly [name: string, epoch: number, version: string, release: string])[] = [
  ['libstdc++', 0, '1.0~rc1', '1'],
  ['foo_bar.x', 7, '2^git1', '2.el7'],
  ['a', 0, '1.0', '1'],
  ['a', 3, '1.0', '1'],
  ['0ad', 0, '0', '0'],
];

/**
 * Builds packages with unusual names, versions, texts and files, and their source packages, directly in `directory`. Returns their paths.
 */
export function oddPackages(directory: string): readonly string[] {
  const top = join(directory, '.build');
  for (const [index, [name, epoch, version, release]] of SPECS.entries()) {
    mkdirSync(join(top, String(index)), { recursive: true });
    const spec = join(top, String(index), 'x.spec');
    writeFileSync(
      spec,
      `Name: ${name}
Epoch: ${epoch}
Version: ${version}
Release: ${release}
Summary: Größe & <b> "q" 'a' – 日本語
License: MIT
BuildArch: noarch
Provides: foo(bar) = 1:2-3
Requires: x >= 1.0~rc1
%description
été ]]> &amp; text\twith a tab
second line
%install
mkdir -p "%{buildroot}/etc/a b"
echo a > "%{buildroot}/etc/a b/a&b<c>'\\"😀.conf"
%files
"/etc/a b"
%changelog
* Mon Jan 01 2024 A B <a@b.c> - 1-1
- fix CVE-2024-0001 & <x> "é"
`,
    );
    run('rpmbuild', '-ba', '--quiet', '--define', `_topdir ${join(top, String(index))}`, spec);
    for (const found of readdirSync(join(top, String(index)), { recursive: true, encoding: 'utf8' })) {
      const target = `${epoch}-${found.split('/').at(-1)}`;
      if (found.endsWith('.rpm')) copyFileSync(join(top, String(index), found), join(directory, target));
    }
  }
  execFileSync('rm', ['-rf', top]);
  return readdirSync(directory)
    .filter((name) => name.endsWith('.rpm'))
    .map((name) => join(directory, name));
}
