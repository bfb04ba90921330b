/** `scripts/import-yum-repos` as people run it, and what it writes: TypeScript that compiles, is formatted, and synthesizes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { parse } from 'yaml';

jest.setTimeout(240_000);

const work = mkdtempSync(join(tmpdir(), 'import-yum-repos-'));
const copy = join(work, 'checkout');
const real = join(__dirname, '../../../../shared/data/starlingx');

beforeAll(async () => {
  for (const part of ['constructs', 'desired-state', 'starlingx', 'host-agent', 'content', 'transport', 'scripts', 'downloads', 'rpm-metadata', 'signatures', 'keys', 'package.json', 'tsconfig.json', '.prettierrc.json'])
    cpSync(part, join(copy, part), { recursive: true }); // prettier-ignore
  symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'));
  await build({
    absWorkingDir: copy, entryPoints: ['scripts/import-yum-repos.ts'], outfile: join(copy, 'dist/import-yum-repos.cjs'), bundle: true, platform: 'node',
    target: 'node20', logLevel: 'error', external: ['prettier'],
  }); // prettier-ignore
});
afterAll(() => rmSync(work, { recursive: true }));

function run(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/import-yum-repos.cjs', ...argv], { cwd: copy, encoding: 'utf8' });
  expect(stderr).not.toMatch(/\n\s+at /);
  return { status, stdout, stderr };
}

function repos(name: string, files: Record<string, string>): string {
  mkdirSync(join(copy, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(copy, name, file), text);
  return name;
}

/** Synthesizes a stack for each written file, and returns what each declares. */
function synthesized(files: Record<string, string>): Record<string, Record<string, Record<string, unknown>[]>> {
  const stacks = Object.keys(files);
  writeFileSync(
    join(copy, 'main.ts'),
    `import { App } from 'cdktf';
import { MirrorServer, MirrorStack, NginxVhost, Secret } from './constructs';
${stacks.map((stack) => `import { declareImported as ${stack} } from './${files[stack]}';`).join('\n')}
const app = new App();
for (const [name, declare] of Object.entries({ ${stacks.join(', ')} })) {
  const server = new MirrorServer(new MirrorStack(app, name), 'server', { address: 'mirror.invalid', hostKey: 'SHA256:${'A'.repeat(43)}', signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY') });
  new NginxVhost(server, 'vhost', { serverName: 'mirror.invalid' });
  declare(server);
}
app.synth();
`,
  );
  execFileSync(process.execPath, ['scripts/synth.mjs'], { cwd: copy, stdio: 'pipe' });
  return Object.fromEntries(stacks.map((stack) => [stack, definitions(join(copy, 'cdktf.out/stacks', stack))]));
}

function definitions(directory: string): Record<string, Record<string, unknown>[]> {
  const state = JSON.parse(readFileSync(join(directory, 'mirror', 'desired-state.json'), 'utf8')) as {
    elements: { files: Record<string, string> }[];
  };
  const found: Record<string, Record<string, unknown>[]> = {};
  for (const [path, text] of state.elements.flatMap(({ files }) => Object.entries(files))) {
    const kind = /^definitions\/([a-z]+)\/[^/]+\.yaml$/.exec(path)?.[1];
    if (kind !== undefined) (found[kind] ??= []).push(parse(text) as Record<string, unknown>);
  }
  return found;
}

(existsSync(real) ? test : test.skip)('the real releases become constructs without typing (needs ../shared/data)', () => {
  cpSync(join(real, 'r-2018.10'), join(copy, 'old'), { recursive: true });
  cpSync(join(real, 'r-stx.3.0'), join(copy, 'stx'), { recursive: true });
  const page = readFileSync(join(__dirname, '../../../docs/how-to/import-yum-repos.md'), 'utf8');
  const commands = [...page.matchAll(/^\$ scripts\/import-yum-repos (.*)$/gm)].map(([, argv]) => (argv as string).split(' '));
  expect(commands).toHaveLength(2);
  const [first, second] = commands.map((argv) => run(...argv));
  // 140 base URLs are enabled, and 21 sections are disabled.
  expect(first).toMatchObject({
    status: 0,
    stdout: '',
    stderr: expect.stringMatching(/declared: 140 repositories, 0 constructs for lists; left out: 21\n$/),
  });
  expect(page).toContain(first?.stderr.split('\n').at(-2) as string);
  expect(second).toMatchObject({ status: 0, stderr: expect.stringMatching(/declared: 140 repositories, 3 constructs for lists/) });
  expect(run('old/yum.repos.d', '--output', 'old.ts').status).toBe(0);
  expect(run('stx/yum.repos.d', '--disabled', '--output', 'all.ts').status).toBe(0);

  execFileSync('node_modules/.bin/prettier', ['--check', 'stx.ts', 'stx-lists.ts', 'old.ts', 'all.ts'], { cwd: copy, stdio: 'pipe' });
  const stacks = synthesized({ before: 'old', moved: 'stx', lists: 'stx-lists', everything: 'all' });
  const count = (stack: string, kind: string): number => stacks[stack]?.[kind]?.length ?? 0;
  expect([count('before', 'repositories'), count('moved', 'repositories')]).toEqual([68, 140]);
  // 161 sections, three of them with one URL.
  expect(count('everything', 'repositories')).toBe(159);
  expect(stacks['everything']?.['repositories']?.filter(({ trust }) => (trust as { mode: string }).mode === 'signedPackages')).toHaveLength(
    143,
  );
  const stein = stacks['moved']?.['repositories']?.find(({ id }) => id === 'centos-openstack-stein');
  expect(stein).toMatchObject({
    publishedAs: 'http://mirror.centos.org/centos/7/cloud/x86_64/openstack-stein/',
    publicPath: 'mirror/centos/centos/mirror.centos.org/centos/7/cloud/x86_64/openstack-stein',
    fetchFrom: ['https://vault.centos.org/7.9.2009/cloud/x86_64/openstack-stein/'],
    trust: { mode: 'signedPackages', keys: [{ file: 'keys/RPM-GPG-KEY-CentOS-SIG-Cloud' }] },
    view: 'accumulate',
  });
  expect(stacks['lists']?.['lists']).toMatchObject([{ id: 'stx-3.0-lists', publicPath: 'mirror/starlingx/lists/3.0/centos' }]);
  expect(Object.keys(stacks['lists']?.['lists']?.[0]?.['lists'] as object)).toHaveLength(3);
  const downloads = stacks['lists']?.['downloads'] ?? [];
  expect(downloads.map(({ id, files }) => [id, (files as unknown[]).length])).toEqual([
    ['stx-3.0-installer', 17],
    ['stx-3.0-tarballs', 78],
  ]);
  execFileSync('node_modules/.bin/tsc', ['--noEmit', '-p', '.'], { cwd: copy, stdio: 'pipe' });
});

test('what cannot be declared is said, in the file and on standard error; the rest is written', () => {
  const directory = repos('odd', {
    'a.repo': "[good]\nbaseurl=http://h.example/it's/$releasever/\n[local]\nbaseurl=file:///srv/x\n",
    'b.repo': '[lists]\nbaseurl=http://h.example/b/\nmetalink=https://h.example/m\n',
    README: 'no repositories',
  });
  const { status, stdout, stderr } = run(directory, '--var', 'releasever=8');
  expect(status).toBe(0);
  expect(stderr).toContain('left out: [local] of a.repo: it cannot be mirrored');
  expect(stderr).toContain('left out: [good] of a.repo: it cannot be mirrored');
  expect(stderr).toMatch(/declared: 1 repositories, 0 constructs for lists; left out: 2\n$/);
  expect(stdout).toContain("fetchFrom: ['http://h.example/b/', Upstream.metalink('https://h.example/m')],");
  expect(stdout).toContain("trust: Trust.digestsOnly('no gpgcheck in b.repo'),");
  expect(stdout).not.toContain('PublicKey');
});

test('an existing file is not overwritten', () => {
  const directory = repos('plain', { 'a.repo': '[a]\nbaseurl=http://h.example/a/\n' });
  writeFileSync(join(copy, 'mine.ts'), '// by hand\n');
  expect(run(directory, '--output', 'mine.ts')).toMatchObject({ status: 2, stderr: expect.stringContaining('mine.ts exists') });
  expect(readFileSync(join(copy, 'mine.ts'), 'utf8')).toBe('// by hand\n');
});

test.each<[string, string[], number, RegExp]>([
  ['no directory', [], 2, /missing required argument/],
  ['a directory that is not there', ['nowhere'], 2, /"nowhere" cannot be read: ENOENT/],
  ['a directory without repositories', ['keys'], 2, /keys has no files \*\.repo/],
  ['a variable without a value', ['plain', '--var', 'x'], 2, /--var "x" is not name=value/],
  ['a release without lists', ['plain', '--release', '3.0'], 2, /--release is about lists/],
  ['lists without a release', ['plain', '--lists', 'plain'], 2, /--lists needs --release/],
  [
    'an installer of unknown URL',
    ['plain', '--lists', 'other', '--release', '3.0'],
    2,
    /other_downloads\.lst does not say below which URL/,
  ],
  ['lists outside the project', ['plain', '--lists', tmpdir(), '--release', '3.0'], 2, /has no lists|not in the project/],
  ['keys outside the project', ['plain', '--keys', tmpdir()], 2, /not in the project/],
  [
    'an unexpanded variable',
    ['variable'],
    3,
    /v\.repo line 2 .*\$nope, and nobody said what nope is\n {2}Say it, for instance --var nope=/,
  ],
  ['a missing key', ['unkeyed'], 3, /RPM-GPG-KEY-Nobody, for \[a\] of k\.repo/],
  ['a link to elsewhere', ['linked'], 3, /l\.repo is no regular file/],
])('%s', (_what, argv, status, message) => {
  repos('plain', { 'a.repo': '[a]\nbaseurl=http://h.example/a/\n' });
  repos('variable', { 'v.repo': '[a]\nbaseurl=http://h.example/$nope/\n' });
  repos('other', { 'other_downloads.lst': 'file:a\n' });
  repos('unkeyed', { 'k.repo': '[a]\nbaseurl=http://h.example/a/\ngpgcheck=1\ngpgkey=file:///x/RPM-GPG-KEY-Nobody\n' });
  repos('linked', {});
  if (!readdirSync(join(copy, 'linked')).includes('l.repo')) symlinkSync('/etc/passwd', join(copy, 'linked/l.repo'));
  const ran = run(...argv);
  expect(ran.status).toBe(status);
  expect(ran.stderr).toMatch(message);
  expect(ran.stdout).toBe('');
});
