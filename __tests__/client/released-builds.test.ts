/** `--release` of a release with builds: packages of lower layers come from them, whatever the site is called by now. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Report } from '../../client/report';
import { releasedBuildsFile } from '../../desired-state/render/repo-file';
import { buildRpm } from '../content/support/hosted';
import { signDetached } from '../content/support/keys';
import { createrepo } from '../content/support/upstream';
import { sha256Of, World } from './world';

jest.setTimeout(120_000);

const RELEASE = '3.0.1';
const COMPILER = `mirror/starlingx/release/${RELEASE}/centos/compiler`;
const FORMER_SITE = `https://former.example.org:8443/releases/${RELEASE}`;
let world: World;
let lower: string;
let source: string;
let list: string;

const released = (...path: string[]): string => join(world.mirrorPath(`releases/${RELEASE}`), ...path);
const std = (): string => released(COMPILER, 'outputs/RPMS/std');

beforeAll(async () => {
  world = await new World().fill();
  const build = join(world.directory, 'lower');
  mkdirSync(build);
  lower = buildRpm(build, { name: 'gcc-tis', arch: 'x86_64' });
  source = buildRpm(build, { name: 'gcc-tis', arch: 'src' });
  mkdirSync(released(), { recursive: true });
  mkdirSync(world.mirrorPath('mirror'), { recursive: true });
  symlinkSync(world.mirrorPath('mirror'), released('mirror'));
  world.publish(world.packages, RELEASE);
  list = join(world.directory, 'lower.lst');
  writeFileSync(list, `${basename(lower)}\n${basename(source)}\n`);
});
afterAll(() => world.close());
beforeEach(() => {
  for (const [path, file] of [
    ['outputs/RPMS/std', lower],
    ['outputs/SRPMS', source],
  ] as const) {
    const at = released(COMPILER, path);
    rmSync(at, { recursive: true, force: true });
    world.put(at, [file]);
    createrepo(at);
    signDetached(world.mirrorKey, join(at, 'repodata/repomd.xml'));
  }
  writeBuilds(FORMER_SITE);
});

function writeBuilds(url: string): void {
  const repositories = ['outputs/RPMS/std', 'outputs/SRPMS'].map((inBuild) => ({
    path: `${COMPILER}/${inBuild}`,
    of: 'centos/compiler',
    inBuild,
  }));
  writeFileSync(released('builds.repo'), releasedBuildsFile({ id: RELEASE, url }, repositories));
}

async function download(...argv: string[]): Promise<{ code: number | null; report: Report; output: string }> {
  const { code, stdout, stderr, output } = await world.run(['-s', '--release', RELEASE, '--json', ...argv]);
  if (stdout === '') throw new Error(stderr);
  return { code, report: JSON.parse(stdout) as Report, output };
}

test('what lists name of a lower layer comes from the released builds, sources too, by metadata that the mirror signed', async () => {
  const { code, report, output } = await download(list);
  expect(code).toBe(0);
  expect(world.there(output)).toEqual(
    new Map([
      [`Binary/x86_64/${basename(lower)}`, sha256Of(lower)],
      [`Source/${basename(source)}`, sha256Of(source)],
    ]),
  );
  expect(report.results.map(({ url, proof }) => [url, proof])).toEqual([
    [`${world.mirror.url}/releases/${RELEASE}/${COMPILER}/outputs/RPMS/std/${basename(lower)}`, 'signed metadata'],
    [`${world.mirror.url}/releases/${RELEASE}/${COMPILER}/outputs/SRPMS/${basename(source)}`, 'signed metadata'],
  ]);
  expect(report.problems).toEqual([]);
  // Without the release nobody has them.
  expect((await world.run(['-s', list])).code).toBe(5);
});

test('with the lists of the release itself', async () => {
  const { code, report } = await download('--branch', RELEASE);
  expect([code, report.lists]).toEqual([0, expect.arrayContaining(['rpms_centos.lst'])]);
});

test('a layer whose metadata the mirror did not sign is not taken from', async () => {
  signDetached(world.upstreamKey, join(std(), 'repodata/repomd.xml'));
  const { code, report } = await download(list);
  expect(code).toBe(6);
  expect(report.results.filter(({ status }) => status === 'failed').map(({ file }) => file)).toEqual([`Binary/x86_64/${basename(lower)}`]);
  rmSync(join(std(), 'repodata/repomd.xml.asc'));
  expect((await download(list)).code).toBe(6);
});

test('another package under the name of one of a layer is not taken', async () => {
  writeFileSync(join(std(), basename(lower)), 'another');
  const { code, output } = await download(list);
  expect(code).toBe(6);
  expect([...world.there(output).keys()]).toEqual([`Source/${basename(source)}`]);
});

test.each<[string, string, number, string]>([
  ['names another place', '[x]\nname=x\nbaseurl=http://evil.example.org/x/\n', 6, 'which is not below the release'],
  ['leaves the release', `[x]\nname=x\nbaseurl=${FORMER_SITE}/../../elsewhere/\n`, 6, 'which is not below the release'],
  ['leaves it by escapes', `[x]\nname=x\nbaseurl=${FORMER_SITE}/%2e%2e/%2e%2e/elsewhere/\n`, 6, 'which is not below the release'],
  ['is no configuration', 'name=x\n', 5, 'builds.repo line 1'],
  ['has no end', `#${'x'.repeat(1024 * 1024)}\n`, 6, 'builds.repo'],
])('a builds.repo that %s is told, and what it may have is missing', async (_what, text, expected, message) => {
  writeFileSync(released('builds.repo'), text);
  const { code, report } = await download(list);
  expect(code).toBe(expected);
  expect(report.problems).toMatchObject([{ place: 'mirror: released builds', message: expect.stringContaining(message) }]);
  // What needs none of it comes all the same.
  expect((await download('--branch', RELEASE)).code).toBe(0);
});
