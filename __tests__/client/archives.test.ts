/** Archives that upstreams do not have as files: of a git repository, and of a list of files. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Report } from '../../client/report';
import { mirrorPath } from '../../starlingx/url-mapping';
import { sha256Of, World } from './world';

jest.setTimeout(120_000);

let world: World;
let lists: string;
beforeAll(async () => {
  world = await new World().fill();
  lists = join(world.directory, 'archives');
  mkdirSync(join(lists, 'members'), { recursive: true });
  const work = join(world.directory, 'git');
  mkdirSync(work);
  const git = (...argv: string[]): string =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...argv], {
      cwd: work,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  git('init', '--quiet');
  writeFileSync(join(work, 'README'), 'tss');
  git('add', 'README');
  git('commit', '--quiet', '-m', 'one');
  git('tag', 'v930');
  const bare = world.upstreamPath('http://git.example.org/tss');
  mkdirSync(join(bare, '..'), { recursive: true });
  git('clone', '--quiet', '--bare', '.', bare);
  execFileSync('git', ['update-server-info'], { cwd: bare });
  const members = world.upstreamPath('http://acm.example.org/files');
  mkdirSync(join(members, 'deep'), { recursive: true });
  for (const name of ['one', 'deep/two']) writeFileSync(join(members, name), name);
  writeFileSync(join(lists, 'members/acm.txt'), 'one\ndeep/two\n');
  writeFileSync(
    join(lists, 'tarball-dl.lst'),
    'tss2-930.tar.gz#tss2-930#http://git.example.org/tss#git#v930#\nacm.tar.gz#acm#http://acm.example.org/files/#http_filelist#members/acm.txt#\n',
  );
});
afterAll(() => world.close());
afterEach(() => {
  for (const name of readdirSync(lists)) if (name.endsWith('.sha256')) rmSync(join(lists, name));
});

const tarDigest = (file: string): string =>
  createHash('sha256')
    .update(gunzipSync(readFileSync(file)))
    .digest('hex');

test('they are made, and proven by the recorded digest of their tar', async () => {
  const refused = await world.run(['-u', '--lists', lists]);
  expect(refused.code).toBe(6);
  expect(refused.stdout).toMatch(/nothing says what .*tss/);
  const first = await world.run(['-u', '--lists', lists, '--first-sight']);
  expect(first.code).toBe(0);
  const [git, acm] = ['tss2-930.tar.gz', 'acm.tar.gz'].map((name) => join(first.output, 'downloads', name)) as [string, string];
  expect(execFileSync('tar', ['-tzf', git], { encoding: 'utf8' })).toBe('tss2-930/\ntss2-930/README\n');
  expect(
    execFileSync('tar', ['-tzf', acm], { encoding: 'utf8' })
      .split('\n')
      .filter((name) => !name.endsWith('/')),
  ).toEqual(['acm/deep/two', 'acm/one', '']);
  const recorded = readFileSync(join(first.output, 'first-sight.sha256'), 'utf8');
  expect(recorded).toBe(`${tarDigest(acm)}  acm.tar\n${tarDigest(git)}  tss2-930.tar\n`);
  // Reviewed and put beside the list, they prove what anybody makes.
  writeFileSync(join(lists, 'tarballs.sha256'), recorded);
  const { code, stdout } = await world.run(['-u', '--lists', lists, '--json']);
  expect(code).toBe(0);
  expect(stdout).toContain('"proof": "recorded digest"');
});

test('one that has another content than was recorded is not taken', async () => {
  writeFileSync(join(lists, 'tarballs.sha256'), `${'a'.repeat(64)}  tss2-930.tar\n${'b'.repeat(64)}  acm.tar\n`);
  const { code, stdout, output } = await world.run(['-u', '--lists', lists]);
  expect(code).toBe(6);
  expect(stdout).toMatch(/of the tar of which is recorded a{64}/);
  expect(world.there(output).size).toBe(0);
});

test('the mirror has them as files', async () => {
  const made = await world.run(['-u', '--lists', lists, '--first-sight']);
  const served = world.mirrorPath('mirror/starlingx/tarballs/master/centos');
  const names = ['tss2-930.tar.gz', 'acm.tar.gz'];
  for (const name of names) copyFileSync(join(made.output, 'downloads', name), join(served, name));
  world.sign(served, 'SHA256SUMS', names);
  const { code, output } = await world.run(['-s', '--lists', lists]);
  expect(code).toBe(0);
  for (const name of names) expect(sha256Of(join(output, 'downloads', name))).toBe(sha256Of(join(served, name)));
});

test('a file list that leads out of its archive is refused before anything is asked, also where nothing has to be proven', async () => {
  const own = join(world.directory, 'escape');
  mkdirSync(own);
  writeFileSync(join(own, 'acm.txt'), 'one\n../../../../../../escaped/pwn.txt\n');
  writeFileSync(join(own, 'tarball-dl.lst'), 'acm.tar.gz#acm#http://acm.example.org/files/#http_filelist#acm.txt#\n');
  const asked = world.upstream.asked.length;
  const { code, stderr, output } = await world.run(['-u', '--first-sight', '--lists', own]);
  expect(code).toBe(3);
  expect(stderr).toMatch(/acm\.txt line 2 "\.\.\/.*\n {2}\S/);
  expect(world.upstream.asked.length).toBe(asked);
  expect(world.there(output).size).toBe(0);
});

test('the file of the mirror is proven by the recorded tar as well, with its signature and at first sight', async () => {
  const made = await world.run(['-u', '--lists', lists, '--first-sight']);
  const served = world.mirrorPath('mirror/starlingx/tarballs/master/centos');
  const names = ['tss2-930.tar.gz', 'acm.tar.gz'];
  const [tss, acm] = names.map((name) => join(made.output, 'downloads', name)) as [string, string];
  const mapped = world.mirrorPath(join(mirrorPath('http://acm.example.org/files/', 'centos').decoded, 'acm.tar.gz'));
  mkdirSync(join(mapped, '..'), { recursive: true });
  copyFileSync(acm, mapped);
  rmSync(join(served, 'acm.tar.gz'), { force: true });
  copyFileSync(tss, join(served, 'tss2-930.tar.gz'));
  world.sign(served, 'SHA256SUMS', ['tss2-930.tar.gz']);
  const record = (tssTar: string, acmTar: string): void =>
    writeFileSync(join(lists, 'tarballs.sha256'), `${tssTar}  tss2-930.tar\n${acmTar}  acm.tar\n`);
  record(tarDigest(tss), tarDigest(acm));
  const right = await world.run(['-s', '--lists', lists, '--json']);
  expect(right.code).toBe(0);
  expect((JSON.parse(right.stdout) as Report).results.map(({ proof }) => proof).sort()).toEqual([
    'recorded digest',
    'signed by the mirror',
  ]);
  record('a'.repeat(64), 'b'.repeat(64));
  const wrong = await world.run(['-s', '--first-sight', '--lists', lists]);
  expect(wrong.code).toBe(6);
  expect(wrong.stdout.match(/of the tar of which is recorded (a|b){64}/g)).toHaveLength(2);
  expect([...world.there(wrong.output).keys()]).toEqual([]);
  // With nothing recorded, what is written down at first sight is the tar.
  rmSync(join(lists, 'tarballs.sha256'));
  const seen = await world.run(['-s', '--first-sight', '--lists', lists]);
  expect(readFileSync(join(seen.output, 'first-sight.sha256'), 'utf8')).toBe(`${tarDigest(acm)}  acm.tar\n`);
});

test('the original of a script is recorded under its own name, and not under that of what the script makes', async () => {
  const own = join(world.directory, 'original');
  mkdirSync(own);
  writeFileSync(join(own, 'tarball-dl.lst'), '!kmod-1.tar.gz#kmod#http://source.example.org/archives/kmod-1.tar.gz#http_script##kmod.sh\n');
  const first = await world.run(['-u', '--first-sight', '--lists', own]);
  const recorded = readFileSync(join(first.output, 'first-sight.sha256'), 'utf8');
  expect(recorded).toMatch(/^[0-9a-f]{64} {2}originals\/kmod-1\.tar\.gz\n$/);
  writeFileSync(join(own, 'k.sha256'), recorded);
  expect((await world.run(['-u', '--lists', own])).code).toBe(0);
  writeFileSync(join(own, 'k.sha256'), recorded.replace(/^.{64}/, 'c'.repeat(64)));
  const { code, stdout } = await world.run(['-u', '--first-sight', '--lists', own]);
  expect(code).toBe(6);
  expect(stdout).toMatch(/recorded is c{64}/);
});

test('what is here is not taken for what the list or the recorded tar ask for now', async () => {
  const { output } = await world.run(['-u', '--lists', lists, '--first-sight']);
  const again = (...argv: string[]): ReturnType<World['run']> => world.run(['-u', '--lists', lists, ...argv], { output });
  const right = readFileSync(join(output, 'first-sight.sha256'), 'utf8');
  expect((await again('--verify')).stdout).toMatch(/2 were here/);
  const list = join(lists, 'tarball-dl.lst');
  const text = readFileSync(list, 'utf8');
  try {
    writeFileSync(join(lists, 'tarballs.sha256'), right.replace(/^[0-9a-f]{64} {2}acm/m, `${'b'.repeat(64)}  acm`));
    for (const argv of [[], ['--verify']]) {
      const { code, stdout } = await again(...argv);
      expect(stdout).toMatch(/1 were here/);
      expect(stdout).toMatch(/of the tar of which is recorded b{64}/);
      expect(code).toBe(6);
    }
    rmSync(join(lists, 'tarballs.sha256'));
    rmSync(join(output, 'first-sight.sha256'));
    writeFileSync(list, text.replace('http://acm.example.org/files/', 'http://acm.example.org/files/deep/'));
    const moved = await again();
    expect(moved.stdout).toMatch(/1 were here/);
    expect(moved.stdout).toMatch(/nothing says what .*acm/);
    expect(moved.code).toBe(6);
  } finally {
    writeFileSync(list, text);
  }
});
