/** `npm run check-requests` as developers run it: a checkout in git, whose main.ts declares lists and upstreams on 127.0.0.1. */
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { sha256 } from '../../desired-state/canonical';
import { buildPackage } from '../content/support/keys';
import { makeRepository, Web } from './support/web';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'check-requests-program-'));
const copy = join(work, 'checkout');
const LISTS = 'lists/stx-3.0';
let web: Web;
let rpm: string;

beforeAll(async () => {
  for (const part of ['constructs', 'desired-state', 'starlingx', 'host-agent', 'content', 'transport', 'scripts', 'downloads', 'rpm-metadata', 'signatures', 'package.json', 'tsconfig.json'])
    cpSync(part, join(copy, part), { recursive: true }); // prettier-ignore
  symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'));
  await build({
    absWorkingDir: copy, entryPoints: ['scripts/check-requests.ts'], outfile: join(copy, 'dist/check-requests.cjs'), bundle: true, platform: 'node',
    target: 'node20', logLevel: 'error', external: ['cpu-features', '*.node'],
  }); // prettier-ignore
  web = await new Web(join(work, 'www')).start();
  rpm = buildPackage(join(work, 'packages'), 'nvme-cli', '1');
  makeRepository(join(web.root, 'os'), [rpm, buildPackage(join(work, 'packages'), 'bash', '1')]);
  mkdirSync(join(web.root, 'files'));
  copyFileSync(rpm, join(web.root, 'files', basename(rpm)));
  writeFileSync(join(web.root, 'files/a-1.tar.gz'), 'a tarball');
  writeFileSync(
    join(copy, 'main.ts'),
    `import { App } from 'cdktf';
import { MirrorServer, MirrorStack, NginxVhost, PackageLists, RpmRepository, Secret, TarballDownloads, Trust, View } from './constructs';
const app = new App();
const server = new MirrorServer(new MirrorStack(app, 'mirror'), 'server', { address: 'mirror.invalid', hostKey: 'SHA256:${'A'.repeat(43)}', signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY') });
new NginxVhost(server, 'vhost', { serverName: 'mirror.invalid' });
new RpmRepository(server, 'os', { publishedAs: 'https://example.org/os/', fetchFrom: ['${web.url}os/'], trust: Trust.digestsOnly('upstream signs nothing'), view: View.ACCUMULATE });
new PackageLists(server, 'stx-lists', { release: '3.0', lists: ['${LISTS}/rpms_centos.lst', '${LISTS}/rpms_3rdparties.lst'], digests: '${LISTS}/digests.sha256' });
new TarballDownloads(server, 'stx-tarballs', { release: '3.0', list: '${LISTS}/tarball-dl.lst' });
app.synth();
`,
  );
  mkdirSync(join(copy, LISTS), { recursive: true });
  git('init', '--quiet', '--initial-branch=main', '.');
});
afterAll(async () => {
  await web.stop();
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  // A branch that asks for nothing new.
  writeFileSync(join(copy, LISTS, 'rpms_centos.lst'), 'bash-1-1.noarch.rpm\n');
  writeFileSync(join(copy, LISTS, 'rpms_3rdparties.lst'), '# none yet\n');
  writeFileSync(join(copy, LISTS, 'tarball-dl.lst'), `b-1.tar.gz#b-1#${local()}files/a-1.tar.gz#http##\n`);
  writeFileSync(join(copy, LISTS, 'digests.sha256'), '# reviewed\n');
  git('checkout', '--quiet', '-B', 'main');
  git('add', LISTS, 'main.ts');
  git('commit', '--quiet', '--allow-empty', '--message', 'lists');
  git('checkout', '--quiet', '-B', 'request');
});

const local = (): string => web.url.replace('127.0.0.1', 'localhost');
const ask = (list: string, line: string): void => appendFileSync(join(copy, LISTS, list), `${line}\n`);

function git(...argv: string[]): void {
  const author = ['GIT_AUTHOR_NAME', 'GIT_AUTHOR_EMAIL', 'GIT_COMMITTER_NAME', 'GIT_COMMITTER_EMAIL'].map((name) => [
    name,
    'a@example.org',
  ]);
  execFileSync('git', argv, {
    cwd: copy,
    stdio: 'ignore',
    env: { ...process.env, ...Object.fromEntries(author), GIT_CONFIG_GLOBAL: '/dev/null' },
  });
}

async function run(...argv: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['dist/check-requests.cjs', ...argv], { cwd: copy });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect(stderr).not.toMatch(/\n\s+at /);
  return { status, stdout, stderr };
}

test('only what the branch asks for is looked for', async () => {
  const nothing = await run();
  expect(nothing).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^No line asks for anything that [0-9a-f]{12} does not ask for\.\n$/),
  });
  ask('rpms_centos.lst', 'nvme-cli-1-1.noarch.rpm');
  const { status, stdout } = await run();
  expect(stdout).toMatch(
    /^lists\/stx-3\.0\/rpms_centos\.lst:2: nvme-cli-1-1\.noarch\.rpm: can be met \(os\)\n\n1 request \(compared with [0-9a-f]{12}\): 1 can be met\.\n$/,
  );
  expect(status).toBe(0);
});

test('another version that there is not: the one that there is', async () => {
  writeFileSync(join(copy, LISTS, 'rpms_centos.lst'), 'bash-2-1.noarch.rpm\n');
  const { status, stdout } = await run();
  expect(status).toBe(3);
  expect(stdout).toContain('bash-2-1.noarch.rpm: cannot be met\n  no declared repository has it\n  there is bash-1-1.noarch.rpm (os)\n');
});

test('all lines, as JSON', async () => {
  const { status, stdout } = await run('--all', '--json');
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    exitCode: 0,
    comparedWith: 'nothing: all lines',
    results: [
      { verdict: 'can be met', request: { list: `${LISTS}/tarball-dl.lst`, wanted: { path: 'b-1.tar.gz' } }, digest: 'missing' },
      { verdict: 'can be met', request: { list: `${LISTS}/rpms_centos.lst`, line: 1 } },
    ],
  });
});

test('--record writes the digests that are missing, where a file is declared for them', async () => {
  ask('rpms_3rdparties.lst', `nvme-cli-1-1.noarch.rpm#${local()}files/${basename(rpm)}`);
  ask('tarball-dl.lst', `a-1.tar.gz#a-1#${local()}files/a-1.tar.gz#http##`);
  const before = await run();
  expect(before.stdout.match(/no digest is recorded/g)).toHaveLength(2);
  const { status, stdout } = await run('--record');
  expect(status).toBe(0);
  expect(stdout).toContain('its digest was written');
  expect(stdout).toContain("Declare a file for digests in main.ts: digests: '<path>' of stx-tarballs.");
  expect(readFileSync(join(copy, LISTS, 'digests.sha256'), 'utf8')).toBe(
    `# reviewed\n${sha256(readFileSync(rpm))}  nvme-cli-1-1.noarch.rpm\n`,
  );
  const after = await run('--json');
  expect(JSON.parse(after.stdout)).toMatchObject({ results: [{ digest: 'missing' }, { digest: 'recorded' }] });
});

test('--record: one whose digest cannot be had costs itself', async () => {
  const gone = await new Web(work).start();
  const url = gone.url.replace('127.0.0.1', 'localhost');
  await gone.stop();
  ask('rpms_3rdparties.lst', `a-1-1.noarch.rpm#${url}a-1-1.noarch.rpm`);
  ask('rpms_3rdparties.lst', `nvme-cli-1-1.noarch.rpm#${local()}files/${basename(rpm)}`);
  const { status, stdout } = await run('--record', '--json');
  expect(status).toBe(5);
  const { results } = JSON.parse(stdout) as { results: Record<string, unknown>[] };
  expect(results.map(({ verdict, digest, reason }) => [verdict, digest, String(reason).includes(url)])).toEqual([
    ['unknown', 'failed', true],
    ['can be met', 'written', false],
  ]);
  expect(readFileSync(join(copy, LISTS, 'digests.sha256'), 'utf8')).toContain('  nvme-cli-1-1.noarch.rpm\n');
});

test('a line that is none: synthesis says which', async () => {
  ask('rpms_centos.lst', 'nvme-cli');
  const { status, stderr } = await run();
  expect(status).toBe(3);
  expect(stderr).toContain('rpms_centos.lst line 2 "nvme-cli"');
});

test('the commands of the page', async () => {
  const page = readFileSync(join(__dirname, '../../docs/how-to/request-a-package.md'), 'utf8');
  const commands = [...page.matchAll(/^\$ npm run check-requests(?: -- (.*))?$/gm)].map(([, argv = '']) =>
    argv.split(' ').filter((word) => word !== ''),
  );
  expect(commands).toHaveLength(5);
  ask('rpms_centos.lst', 'nvme-cli-1-1.noarch.rpm');
  git('commit', '--quiet', '--all', '--message', 'a request');
  for (const argv of commands) {
    const { status, stdout } = await run(...argv.map((word) => word.replace('http://mirror.example.org', web.url)));
    expect([argv, status]).toEqual([argv, 0]);
    expect(stdout).toContain('nvme-cli-1-1.noarch.rpm');
  }
});

test.each<[string, string[], number, RegExp]>([
  ['--all and --base', ['--all', '--base', 'HEAD'], 2, /contradict each other/],
  ['a base that is none', ['--base', 'nowhere'], 2, /--base "nowhere" is no commit here/],
  ['a base that is an option', ['--base', '--output=x'], 2, /is no commit here/],
  ['a mirror that is none', ['--mirror', 'mirror.example.org'], 2, /is no URL/],
  ['a strange time', ['--timeout', '0'], 2, /--timeout "0"/],
])('%s', async (_what, argv, status, message) => {
  const ran = await run(...argv);
  expect(ran.status).toBe(status);
  expect(ran.stderr).toMatch(message);
});
