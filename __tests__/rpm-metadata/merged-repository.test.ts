/** What dnf lists in a repository with merged advisories, groups and modules: everything that upstream ever had. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { mergeComps } from '../../rpm-metadata/comps';
import { mergeModules } from '../../rpm-metadata/modules';
import { type Merge, mergeUpdateinfo } from '../../rpm-metadata/updateinfo';
import { buildPackage } from '../content/support/keys';
import { createrepo } from '../content/support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'merged-'));
afterAll(() => rmSync(work, { recursive: true }));

const advisory = (id: string, version: string, cve: string): string =>
  `<updates><update from="x@example.org" status="final" type="security" version="1"><id>${id}</id><title>hello</title><issued date="2026-01-0${version.slice(0, 1)} 00:00:00"/><severity>Important</severity><summary>s</summary><description>d</description><references><reference href="https://x/" id="${cve}" title="${cve}" type="cve"/></references><pkglist><collection short="X"><name>X</name><package name="hello" version="${version}" release="1" epoch="0" arch="noarch"><filename>hello-${version}-1.noarch.rpm</filename></package></collection></pkglist></update></updates>`;
const group = (id: string): string =>
  `<!DOCTYPE comps PUBLIC "-//CentOS//DTD Comps info//EN" "comps.dtd"><comps><group><id>${id}</id><name>Group ${id}</name><description/><default>true</default><uservisible>true</uservisible><packagelist><packagereq type="mandatory">hello</packagereq></packagelist></group></comps>`;
const moduleOf = (stream: string): string =>
  `---\ndocument: modulemd\nversion: 2\ndata:\n  name: greeting\n  stream: "${stream}"\n  version: 1\n  context: aabbccdd\n  arch: x86_64\n  summary: s\n  description: d\n  license: {module: [MIT]}\n  profiles: {common: {rpms: [hello]}}\n...\n`;

/** What upstream has at a time: a package, an advisory for it, a group, a module stream. */
function upstream(version: string): { package: string; files: Record<string, string> } {
  const directory = mkdtempSync(join(work, 'upstream-'));
  const files = {
    updateinfo: advisory(`X-${version}`, version, `CVE-2026-000${version.slice(0, 1)}`),
    group: group(`g${version}`),
    modules: moduleOf(version),
  };
  const paths = Object.entries(files).map(([type, text]): [string, string] => {
    const path = join(directory, type);
    writeFileSync(path, text);
    return [type, path];
  });
  return { package: buildPackage(work, 'hello', version), files: Object.fromEntries(paths) };
}

function dnf(repository: string, ...command: string[]): string {
  const root = join(work, 'root');
  return execFileSync(
    'dnf',
    [
      '-q',
      `--installroot=${root}`,
      `--setopt=reposdir=${work}/none`,
      `--setopt=cachedir=${work}/cache`,
      `--setopt=logdir=${work}/log`,
      '--setopt=module_platform_id=platform:el8',
      '--releasever=8',
      '--forcearch=x86_64',
      `--repofrompath=merged,file://${repository}`,
      '--repo=merged',
      ...command,
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );
}

test('after three upstreams dnf lists the advisories, groups and modules of all of them', async () => {
  const repository = join(work, 'repository');
  for (const directory of [repository, join(work, 'log')]) mkdirSync(directory);
  const merged: Record<string, string> = {};
  for (const version of ['1.0', '2.0', '3.0']) {
    const now = upstream(version);
    copyFileSync(now.package, join(repository, basename(now.package)));
    for (const [type, merge] of Object.entries({
      updateinfo: mergeUpdateinfo,
      group: (merge: Merge) => mergeComps({ ...merge, plain: `${merge.output}.xml` }),
      modules: mergeModules,
    })) {
      const output = join(work, `${type}-${version}.gz`);
      const previous = merged[type] === undefined ? undefined : { path: merged[type], what: type };
      await merge({ previous, upstream: [{ path: now.files[type] as string, what: type }], output });
      merged[type] = output;
    }
  }
  createrepo(repository);
  for (const [type, path] of Object.entries(merged)) {
    const plain = join(work, type === 'modules' ? 'modules.yaml' : `${type}.xml`);
    writeFileSync(plain, gunzipSync(readFileSync(path)));
    execFileSync('modifyrepo_c', [`--mdtype=${type}`, plain, join(repository, 'repodata')], { stdio: 'ignore' });
  }

  dnf(repository, '-y', '--nogpgcheck', '--setopt=install_weak_deps=0', 'install', 'hello-1.0');
  const all = dnf(repository, 'updateinfo', 'list', '--all');
  const cves = dnf(repository, 'updateinfo', 'list', '--all', '--with-cve');
  const groups = dnf(repository, 'group', 'list', '--ids');
  const modules = dnf(repository, 'module', 'list');
  for (const digit of ['1', '2', '3']) {
    expect(all).toMatch(new RegExp(`X-${digit}\\.0 +\\S+ +hello-${digit}\\.0-1\\.noarch`));
    expect(cves).toContain(`CVE-2026-000${digit} `);
    expect(groups).toContain(`Group g${digit}.0 (g${digit}.0)`);
    expect(modules).toMatch(new RegExp(`greeting +${digit}\\.0 `));
  }
  expect(dnf(repository, 'updateinfo', 'list', '--updates')).not.toContain('X-1.0');
});
