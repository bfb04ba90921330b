/** Real dnf on a base with modules: what the client files of a codename must say for a package of its own to win. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { codenameRepoFile } from '../../desired-state/render/repo-file';
import { buildPackage } from '../content/support/keys';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'modules-'));
afterAll(() => rmSync(work, { recursive: true }));

const MODULES = `---
document: modulemd
version: 2
data:
  name: tool
  stream: "1"
  version: 1
  context: aaaaaaaa
  arch: x86_64
  summary: test
  description: test
  license:
    module: [MIT]
  artifacts:
    rpms:
    - tool-0:2-1.noarch
...
---
document: modulemd-defaults
version: 1
data:
  module: tool
  stream: "1"
  profiles:
    "1": []
...
`;

function repository(path: string, version: string): string {
  const directory = join(work, path);
  mkdirSync(directory, { recursive: true });
  const built = buildPackage(work, 'tool', version);
  copyFileSync(built, join(directory, basename(built)));
  execFileSync('createrepo_c', ['--quiet', directory]);
  return directory;
}

/** The version of `tool` that dnf would install. */
function chosen(distributionVersion: string): string | undefined {
  const repos = join(work, `repos-${distributionVersion}`);
  mkdirSync(repos);
  const publicPath = 'mos-repos/centos/mos9.0';
  const file = { owner: 'mos', codename: 'mos9.0', siteUrl: `file://${work}`, publicPath, components: ['holdback'], keyFile: 'key' };
  writeFileSync(join(repos, 'mos.repo'), codenameRepoFile({ ...file, distributionVersion }));
  writeFileSync(join(repos, 'base.repo'), `[base]\nname=base\nbaseurl=file://${work}/base\npriority=99\n`);
  const root = join(work, `root-${distributionVersion}`);
  const ran = spawnSync(
    'dnf',
    [
      ...['--installroot', root, '--releasever', distributionVersion, '--forcearch', 'x86_64', '--setopt', `reposdir=${repos}`],
      ...[
        '--setopt',
        'module_platform_id=platform:el8',
        '--setopt',
        '*.repo_gpgcheck=0',
        '--setopt',
        'plugins=0',
        '--nogpgcheck',
        '-y',
        'install',
        'tool',
      ],
    ],
    { encoding: 'utf8' },
  );
  expect(`${ran.status} ${ran.status === 0 ? '' : ran.stdout + ran.stderr}`.trim()).toBe('0');
  return /Installed:\s+tool-(\S+)-1\.noarch/.exec(ran.stdout)?.[1];
}

test('an older package in holdback wins over one of an enabled module only where its repository says that it is meant beside modules', () => {
  const base = repository('base', '2');
  const modules = join(work, 'modules.yaml');
  writeFileSync(modules, MODULES);
  execFileSync('modifyrepo_c', ['--mdtype=modules', modules, join(base, 'repodata')], { stdio: 'ignore' });
  repository('mos-repos/centos/mos9.0/holdback/x86_64', '1');
  // As version 7 is written, which has no modules of its own: dnf would hide the package.
  expect(chosen('7')).toBe('2');
  expect(chosen('8')).toBe('1');
});
