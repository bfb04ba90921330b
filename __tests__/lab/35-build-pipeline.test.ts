/** The example of a pipeline, as its page has it: from a change of a package to a release, against a real mirror; builds that fail, and nothing to build. */
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { developer } from './lists-support';
import {
  adding,
  asItIs,
  codeBlocks,
  dnf,
  fetchPath,
  type Finished,
  lab,
  labEnvironment,
  must,
  NAME,
  onMirror,
  ROOT,
  withDeployment,
  withoutBuilds,
} from './support';

jest.setTimeout(600_000);

const PAGE = 'docs/how-to/automate-builds.md';
const home = mkdtempSync(join(tmpdir(), 'mirror-pipeline-'));
const packages = join(home, 'packages');
const work = join(home, 'work');
const releases = join(home, 'releases.json');
const SERIES = '/mirror/starlingx/master/centos/flock';
let variables: string[];

/** main.ts with what the example declares. */
const declared = (main: string): string => {
  const key = readFileSync(join(home, 'build.pub'), 'utf8').trim();
  const lines = `declareBuilds(server, '${releases}', ['${key}']);`;
  return adding(lines)(withoutBuilds(main)).replace("} from './constructs';", "} from './constructs';\nimport { declareBuilds } from '../../examples/build-pipeline/deployment/builds';"); // prettier-ignore
};
/** The block of the page that has this text, as it stands, on the client host. */
function follow(text: string): Finished {
  const found = codeBlocks(PAGE, 'sh').filter((block) => block.includes(text));
  expect([text, found.length]).toEqual([text, 1]);
  const script = found[0] as string;
  return developer(home, script.startsWith('# in a checkout') ? ROOT : home, [
    'env',
    ...variables,
    'bash',
    '-euo',
    'pipefail',
    '-c',
    script,
  ]);
}
const succeeds = (text: string): string => {
  const { status, text: said } = follow(text);
  expect([text, status, status === 0 ? '' : said.slice(-3000)]).toEqual([text, 0, '']);
  return said;
};
const git = (...argv: string[]): string =>
  must('git', ['-C', packages, '-c', 'user.name=build', '-c', 'user.email=build@example.org', ...argv]);
const commit = (message: string): void => {
  git('add', '-A');
  git('commit', '-qm', message);
};
const body = async (path: string): Promise<string> => {
  const { status, body: text } = await fetchPath(path);
  expect([path, status]).toEqual([path, 200]);
  return text;
};
/** Which build a link leads to; undefined where there is none. */
async function linked(link: string): Promise<string | undefined> {
  const { status, body: text } = await fetchPath(`${SERIES}/${link}/build.repo`);
  return status === 200 ? /\/(\d{8}T\d{6}Z)\//.exec(text)?.[1] : undefined;
}
const timestamp = (): string => readFileSync(join(work, 'timestamp'), 'utf8').trim();
/** Digests that a published build says of its packages. */
async function digests(build: string): Promise<Record<string, string>> {
  const lines = (await body(`${SERIES}/${build}/SHA256SUMS`))
    .split('\n')
    .filter((line) => line.endsWith('.noarch.rpm') && line.includes('outputs/'));
  return Object.fromEntries(lines.map((line) => [line.replace(/.*\//, ''), line.slice(0, 64)]));
}

beforeAll(async () => {
  lab('up');
  cpSync(join(ROOT, 'examples/build-pipeline'), join(home, 'pipeline'), { recursive: true });
  cpSync(join(ROOT, 'examples/build-pipeline/packages'), packages, { recursive: true });
  git('init', '-q');
  commit('Both packages');
  writeFileSync(releases, '{}\n');
  must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'build@example.org', '-f', join(home, 'build')]);
  const { MIRROR_ADDRESS: address, MIRROR_SSH_KEY: operator } = labEnvironment() as { MIRROR_ADDRESS: string; MIRROR_SSH_KEY: string };
  const ssh = `ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=${join(home, 'known_hosts')} -o LogLevel=ERROR`;
  mkdirSync(join(home, 'bin'));
  variables = [
    `PATH=${join(home, 'bin')}:${process.env['PATH']}`,
    `OPERATOR=${ssh} -i ${operator} root@${address}`,
    `UPLOAD=stx-build@${address}`,
    `UPLOAD_SSH=${ssh} -i ${join(home, 'build')}`,
  ];
  await withDeployment(declared, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  onMirror('mirrorctl sync --wait 300 --all');
});
afterAll(async () => {
  // Before the deploy, which makes anew what main.ts declares of it.
  onMirror('rm -rf /srv/mirror/builds/* /srv/mirror/build-records/* /srv/mirror/repositories/starlingx');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('rm -rf /srv/mirror/releases/3.0.1 /var/lib/mirror-uploads');
  rmSync(home, { recursive: true });
});

let first: string;

test('the tools and the key', () => {
  expect(succeeds('npm run build')).toContain('mirror-signing-key');
  expect(readdirSync(join(home, 'bin')).sort()).toEqual(['download-mirror', 'needs-build']);
});

test('the first run builds everything, publishes, tests and marks it', async () => {
  const said = succeeds('pipeline/pipeline');
  expect(said).toContain('the last one is none.');
  expect(said).toContain('2 of 2 packages must be rebuilt.');
  first = timestamp();
  for (const link of ['latest_build', 'latest_green_build', 'latest_yellow_build']) expect(await linked(link)).toBe(first);
  expect(await body(`${SERIES}/latest_build/outputs/RPMS/std/rpm.lst`)).toBe(
    'greeting-1.0-1.tis.el7.noarch.rpm\ngreeting-tools-1.0-1.tis.el7.noarch.rpm\n',
  );
  expect(await body(`${SERIES}/latest_build/outputs/SRPMS/srpm.lst`)).toBe(
    'greeting-1.0-1.tis.el7.src.rpm\ngreeting-tools-1.0-1.tis.el7.src.rpm\n',
  );
  expect(await body(`${SERIES}/${first}/CHANGELOG.txt`)).toMatch(/^[0-9a-f]+ build: Both packages\n$/);
  expect(await body(`${SERIES}/${first}/CONTEXT.sh`)).toBe(`(cd ./packages && git checkout -f ${git('rev-parse', 'HEAD').trim()})\n`);
  expect(await body(`${SERIES}/${first}/inputs/SRPMS/srpm.lst`)).toContain('bash-4.2.46-34.el7.src.rpm');
  const installed = dnf([`http://${NAME}${SERIES}/latest_green_build/build.repo`], 'install', 'greeting-tools');
  expect([installed.status, installed.status === 0 ? '' : installed.text]).toEqual([0, '']);
  const modified = dnf(
    [`http://${NAME}/repo-files/stx-master-packages.repo`],
    '--enablerepo',
    '*',
    'repoquery',
    '--qf',
    '%{name}-%{version}\n',
    'greeting*',
  );
  expect(modified.text).toContain('greeting-tools-1.0');
});

test('nothing changed: there is no new build', async () => {
  expect(succeeds('pipeline/pipeline')).toContain('Nothing must be rebuilt: there is no new build.');
  expect(await linked('latest_build')).toBe(first);
  expect((await fetchPath(`${SERIES}/${timestamp()}/SHA256SUMS`)).status).toBe(404);
});

test('an input changed: that package is rebuilt, on a machine that kept nothing, and the other one is that of the last build', async () => {
  appendFileSync(join(packages, 'greeting/centos/greeting.sh'), 'echo Welcome.\n');
  commit('Welcome');
  rmSync(work, { recursive: true });
  const said = succeeds('pipeline/pipeline');
  expect(said).toContain(`the last one is ${first}.`);
  expect(said).toContain('greeting: inputChanged centos/greeting.sh\n1 of 2 packages must be rebuilt.');
  const second = timestamp();
  expect(await linked('latest_green_build')).toBe(second);
  const [before, after] = [await digests(first), await digests(second)];
  expect(after['greeting-tools-1.0-1.tis.el7.noarch.rpm']).toBe(before['greeting-tools-1.0-1.tis.el7.noarch.rpm']);
  expect(after['greeting-1.0-1.tis.el7.noarch.rpm']).not.toBe(before['greeting-1.0-1.tis.el7.noarch.rpm']);
  expect(await body(`${SERIES}/${second}/CHANGELOG.txt`)).toMatch(/^[0-9a-f]+ build: Welcome\n$/);
  first = second;
});

test('a package that fails: the build is public with its logs, no link leads to it, and the next run tries it again', async () => {
  const spec = join(packages, 'greeting-tools/centos/greeting-tools.spec');
  const text = readFileSync(spec, 'utf8');
  writeFileSync(spec, text.replace('%install', '%install\necho no such compiler; exit 1'));
  commit('Broken');
  const failed = follow('pipeline/pipeline');
  expect(failed.text).toContain('pipeline: the build failed: greeting-tools');
  expect(failed.status).toBe(1);
  expect(await body(`${SERIES}/${timestamp()}/logs/greeting-tools.log`)).toContain('no such compiler');
  for (const link of ['latest_build', 'latest_green_build']) expect(await linked(link)).toBe(first);
  writeFileSync(spec, text.replace('Version: 1.0', 'Version: 1.1'));
  commit('Mended');
  expect(succeeds('pipeline/pipeline')).toMatch(/greeting-tools: inputChanged[^]*1 of 2 packages must be rebuilt/);
  first = timestamp();
  expect(await linked('latest_green_build')).toBe(first);
  expect(await body(`${SERIES}/latest_build/outputs/RPMS/std/rpm.lst`)).toContain('greeting-tools-1.1-1.tis.el7.noarch.rpm');
});

test('a step that is run again does no harm', async () => {
  const before = await digests(first);
  const again = (step: string): Finished =>
    developer(home, home, ['env', ...variables, `MIRROR=http://${NAME}`, `MIRROR_KEY=${join(home, 'RPM-GPG-KEY-mirror')}`, `PACKAGES=${packages}`, `WORK=${work}`, join(home, 'pipeline/steps', step)]); // prettier-ignore
  for (const step of ['6-upload', '7-packages', '8-test', '9-mark']) {
    const { status, text } = again(step);
    expect([step, status, status === 0 ? '' : text]).toEqual([step, 0, '']);
  }
  expect(await digests(first)).toEqual(before);
  expect(await linked('latest_green_build')).toBe(first);
});

test('a release of the build', async () => {
  expect(succeeds('pipeline/release')).toContain(`3.0.1 is made of master/centos/flock/${first}`);
  await withDeployment(declared, (deployment) => {
    expect(deployment.plan().text).toContain('release/3.0.1');
    deployment.deploy();
  });
  expect(succeeds('release/3.0.1')).toContain('greeting-1.0-1.tis.el7.noarch.rpm\ngreeting-tools-1.1-1.tis.el7.noarch.rpm\n');
  expect((await fetchPath('/mirror/starlingx/release/3.0.1/centos/flock/logs/')).status).toBe(404);
  writeFileSync(join(work, 'timestamp'), '20261101T023000Z\n');
  expect(follow('pipeline/release')).toMatchObject({ status: 1, stderr: expect.stringContaining('is of another build already') as string });
});

test('every command of the page was run', () => {
  expect(codeBlocks(PAGE, 'sh')).toHaveLength(4);
  expect(existsSync(join(home, 'bin/needs-build'))).toBe(true);
});
