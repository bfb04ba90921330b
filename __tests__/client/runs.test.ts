/** What one run leaves for the next, and what stops a run. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Report } from '../../client/report';
import { waitUntil } from '../support/wait';
import { INSTALL, OS, sha256Of, World } from './world';

jest.setTimeout(300_000);

let world: World;
beforeAll(async () => {
  world = await new World().fill();
});
afterAll(() => world.close());
beforeEach(() => {
  world.mirror.fault = world.upstream.fault = () => false;
});

const BASH = 'Binary/x86_64/bash-1-1.x86_64.rpm';
const statuses = (report: Report, status: string): string[] =>
  report.results.filter((one) => one.status === status).map(({ file }) => file);

test('a second run asks once for each index, and for no file', async () => {
  const { output } = await world.download(['-S']);
  world.mirror.asked.length = world.upstream.asked.length = 0;
  const { code, report } = await world.download(['-S'], { output });
  expect(code).toBe(0);
  expect(statuses(report, 'present')).toHaveLength(world.expected.size);
  expect(world.upstream.asked).toEqual([]);
  expect(world.mirror.asked.map((path) => basename(path)).sort()).toEqual(['SHA256SUMS', 'SHA256SUMS', 'repomd.xml']);
});

test('a second run of packages alone asks once; from upstreams alone it asks nothing', async () => {
  const packages = ['rpms_centos.lst', 'rpms_centos3rdparties.lst'].map((name) => join(world.lists, name));
  const { output } = await world.run(['-s', ...packages]);
  world.mirror.asked.length = world.upstream.asked.length = 0;
  expect((await world.run(['-s', ...packages], { output })).code).toBe(0);
  expect(world.mirror.asked.map((path) => basename(path))).toEqual(['repomd.xml']);
  expect((await world.run(['-u', ...packages], { output })).code).toBe(0);
  expect(world.upstream.asked).toEqual([]);
});

test('with everything here, neither a mirror nor an upstream has to be up', async () => {
  const { output } = await world.download(['-S']);
  await Promise.all([world.mirror.stop(), world.upstream.stop()]);
  try {
    const { code, report } = await world.download(['-S'], { output });
    expect(code).toBe(0);
    expect(report.warnings.join()).toMatch(/what an earlier run verified is used/);
  } finally {
    await Promise.all([world.mirror.start(), world.upstream.start()]);
  }
});

test.each<[string, (file: string) => void]>([
  ['of no bytes', (file) => overwrite(file, Buffer.alloc(0))],
  ['cut short', (file) => (chmodSync(file, 0o644), truncateSync(file, 100))],
  ['of the same size with other bytes', (file) => overwrite(file, Buffer.alloc(statSync(file).size, 'x'))],
])('a file %s is not taken for present', async (_what, damage) => {
  const { output } = await world.download(['-s']);
  damage(join(output, BASH));
  const { code, report } = await world.download(['-s'], { output });
  expect(statuses(report, 'fetched')).toEqual([BASH]);
  expect(world.there(output)).toEqual(world.expected);
  expect(code).toBe(0);
});

test('--verify finds a file that was changed with its size and time kept', async () => {
  const { output } = await world.download(['-s']);
  const file = join(output, BASH);
  const { atime, mtime, size } = statSync(file);
  chmodSync(file, 0o644);
  writeFileSync(file, Buffer.alloc(size, 'x'));
  utimesSync(file, atime, mtime);
  await world.download(['-s', '--verify'], { output });
  expect(world.there(output)).toEqual(world.expected);
});

test('files that somebody else put there are compared, and not fetched again', async () => {
  const { output } = await world.download(['-s']);
  rmSync(join(output, '.download-mirror'), { recursive: true });
  const { report } = await world.download(['-s'], { output });
  expect(statuses(report, 'present')).toHaveLength(world.expected.size);
  rmSync(join(output, '.download-mirror'), { recursive: true });
  const upstream = await world.download(['-u'], { output });
  expect(upstream.code).toBe(0);
  expect(world.there(output)).toEqual(world.expected);
});

test('--dry-run says where each file would come from, and writes nothing', async () => {
  const { code, report, output } = await world.download(['-S', '--dry-run']);
  expect(code).toBe(0);
  expect(existsSync(output)).toBe(false);
  expect(statuses(report, 'found')).toHaveLength(world.expected.size);
  expect(report.results.find(({ file }) => file === BASH)).toMatchObject({
    place: 'mirror: packages of the lists (master)',
    url: `${world.mirror.url}/mirror/starlingx/lists/master/centos/Packages/bash-1-1.x86_64.rpm`,
  });
});

test('--dry-run does not say that what it did not ask for can be had', async () => {
  const own = join(world.directory, 'unasked');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'tarball-dl.lst'), 'gone-1.tar.gz#gone#http://127.0.0.1:9/gone-1.tar.gz#http##\n');
  const { code, stdout } = await world.run(['-u', '--dry-run', '--first-sight', '--lists', own]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^1 files are asked for: 0 are here, 0 can be had, 0 cannot, 1 have an address that was not asked/m);
});

test('a line that was merged but not synced: -s says so, -S takes it from upstream', async () => {
  const own = join(world.directory, 'merged');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'rpms_centos.lst'), 'bash-1-1.x86_64.rpm\nzsh-1-1.noarch.rpm\n');
  const alone = await world.run(['-s', '--lists', own]);
  expect(alone.code).toBe(5);
  expect(alone.stdout).toMatch(/zsh-1-1\.noarch\.rpm .*line 2\):\n {2}no place that was asked has it\n {2}.*not fetched it yet.*-S/);
  const { signedRpm } = await import('../content/support/hosted');
  const { createrepo } = await import('../content/support/upstream');
  signedRpm(world.upstreamPath(OS), world.upstreamKey, { name: 'zsh' });
  rmSync(join(world.upstreamPath(OS), '.build'), { recursive: true });
  createrepo(world.upstreamPath(OS));
  const both = await world.run(['-S', '--lists', own, '-c', join(world.lists, 'yum.conf'), '--keys', world.keys]);
  expect(both.stderr + both.stdout).toMatch(/cannot be read/);
  writeFileSync(join(world.lists, 'yum.conf'), '[main]\nreposdir=yum.repos.d\n');
  const found = await world.run(['-S', '--lists', own, '-c', join(world.lists, 'yum.conf'), '--keys', world.keys, '--json']);
  expect(found.code).toBe(0);
  expect((JSON.parse(found.stdout) as Report).results[1]).toMatchObject({
    status: 'fetched',
    place: 'upstream: os',
    proof: 'package signature',
  });
});

test('one unreachable repository of many costs itself, and is named', async () => {
  const many = Array.from({ length: 20 }, (_, i) => `[dead-${i}]\nname=x\nbaseurl=http://dead.example.org/${i}/\ngpgcheck=0\n`).join('\n');
  const own = join(world.directory, 'many');
  mkdirSync(join(own, 'yum.repos.d'), { recursive: true });
  writeFileSync(join(own, 'rpms_centos.lst'), 'bash-1-1.x86_64.rpm\n');
  writeFileSync(join(own, 'yum.repos.d', 'a.repo'), many);
  writeFileSync(join(own, 'yum.repos.d', 'b.repo'), `[os]\nname=os\nbaseurl=${OS}\ngpgcheck=0\n`);
  world.upstream.fault = (path, request) => path.startsWith('dead.') && (request.socket.destroy(), true);
  const { code, stdout, output } = await world.run(['-u', '--lists', own, '--json']);
  expect(code).toBe(0);
  expect((JSON.parse(stdout) as Report).problems.map(({ place }) => place)).toHaveLength(20);
  expect(existsSync(join(output, BASH))).toBe(true);
});

test('what nothing proves is refused; at first sight it is taken, written down, and from then on the same', async () => {
  const own = join(world.directory, 'first');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'tarball-dl.lst'), 'new-1.tar.gz#new#http://source.example.org/archives/new-1.tar.gz#http##\n');
  const served = join(world.upstreamPath('http://source.example.org/archives/'), 'new-1.tar.gz');
  writeFileSync(served, gzipSync('new'));
  const refused = await world.run(['-u', '--lists', own]);
  expect(refused.code).toBe(6);
  expect(refused.stdout).toMatch(/nothing says what .*--first-sight/s);
  const { output, code } = await world.run(['-u', '--lists', own, '--first-sight']);
  expect(code).toBe(0);
  expect(readFileSync(join(output, 'first-sight.sha256'), 'utf8')).toBe(`${sha256Of(served)}  new-1.tar.gz\n`);
  rmSync(join(output, 'downloads'), { recursive: true });
  writeFileSync(served, gzipSync('another'));
  const again = await world.run(['-u', '--lists', own, '--first-sight'], { output });
  expect(again.code).toBe(6);
  expect(again.stdout).toMatch(/recorded is/);
});

test('what was taken at first sight from another address is asked for again', async () => {
  const own = join(world.directory, 'moved');
  mkdirSync(own, { recursive: true });
  const line = (folder: string): void =>
    writeFileSync(join(own, 'tarball-dl.lst'), `moved-1.tar.gz#moved#http://source.example.org/${folder}/moved-1.tar.gz#http##\n`);
  for (const [folder, text] of [
    ['archives', 'old'],
    ['other', 'new'],
  ] as const) {
    mkdirSync(world.upstreamPath(`http://source.example.org/${folder}`), { recursive: true });
    writeFileSync(join(world.upstreamPath(`http://source.example.org/${folder}`), 'moved-1.tar.gz'), gzipSync(text));
  }
  line('archives');
  const { output } = await world.run(['-u', '--lists', own, '--first-sight']);
  line('other');
  const moved = await world.run(['-u', '--lists', own, '--first-sight'], { output });
  expect(moved.stdout).toMatch(/other\/moved-1\.tar\.gz .*recorded is/);
  expect(moved.code).toBe(6);
  rmSync(join(output, 'first-sight.sha256'));
  expect((await world.run(['-u', '--lists', own, '--first-sight'], { output })).code).toBe(0);
  expect(readFileSync(join(output, 'downloads/moved-1.tar.gz')).equals(gzipSync('new'))).toBe(true);
  // Another tree of an installer has other files of the same names.
  writeFileSync(join(own, 'other_downloads.lst'), 'file:images/pxeboot/vmlinuz\n');
  rmSync(join(own, 'tarball-dl.lst'));
  expect((await world.run(['-u', '--lists', own, '--first-sight'], { output })).code).toBe(0);
  rmSync(join(output, 'first-sight.sha256'));
  const tree = await world.run(['-u', '--lists', own, '--install-url', 'http://mirror.centos.org/7.7/os/x86_64/'], { output });
  expect(tree.code).toBe(6);
  expect(tree.stdout).toMatch(/nothing says what .*7\.7/);
});

test('a digest that was recorded wins over what the mirror signed', async () => {
  const own = join(world.directory, 'recorded');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'rpms_centos.lst'), 'bash-1-1.x86_64.rpm\n');
  writeFileSync(join(own, 'rpms.sha256'), `${'a'.repeat(64)}  bash-1-1.x86_64.rpm\n`);
  world.mirror.asked.length = 0;
  const { code, stdout, output } = await world.run(['-s', '--lists', own]);
  expect(code).toBe(6);
  expect(stdout).toMatch(/by its metadata; recorded is a{64}/);
  expect(world.there(output).size).toBe(0);
  // It is another file by what the mirror says itself: nothing is fetched to find that out.
  expect(world.mirror.asked.filter((path) => path.endsWith('.rpm') && path.includes('/lists/'))).toEqual([]);
});

test('a large file that was interrupted goes on where it was, and Ctrl-C says so', async () => {
  const body = Buffer.alloc(24 * 1024 * 1024, 'installer');
  const at = join(world.upstreamPath(INSTALL), 'big.img');
  writeFileSync(at, body);
  const own = join(world.directory, 'big');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'other_downloads.lst'), 'file:big.img\n');
  writeFileSync(join(own, 'other.sha256'), `${createHash('sha256').update(body).digest('hex')}  big.img\n`);
  let hold = true;
  const ranges: (string | undefined)[] = [];
  world.upstream.fault = (path, request, response) => {
    if (!path.endsWith('big.img')) return false;
    ranges.push(request.headers.range);
    if (!hold) return false;
    response.writeHead(200, { etag: `"${body.length}-${statSync(at).mtimeMs}"`, 'content-length': body.length });
    response.write(body.subarray(0, 16 * 1024 * 1024));
    return true;
  };
  const output = join(world.directory, 'interrupted');
  let pid = 0;
  const running = world.run(['-u', '--lists', own], { output, onStart: (started) => (pid = started) });
  const part = join(output, '.download-mirror/partial/Binary/big.img.part');
  await waitUntil(() => existsSync(`${part}.json`) && statSync(part).size === 16 * 1024 * 1024, 30_000);
  process.kill(pid, 'SIGINT');
  const { code, stderr } = await running;
  expect(code).toBe(130);
  expect(stderr).toMatch(/interrupted by SIGINT; what came is here, and the next run goes on from there/);
  hold = false;
  expect((await world.run(['-u', '--lists', own], { output })).code).toBe(0);
  expect(ranges).toEqual([undefined, `bytes=${16 * 1024 * 1024}-`]);
  expect(readFileSync(join(output, 'Binary/big.img')).equals(body)).toBe(true);
});

test('digests of first sight are written by an interrupted run, too, and again where they are lost', async () => {
  const own = join(world.directory, 'cut');
  mkdirSync(own, { recursive: true });
  const at = world.upstreamPath('http://source.example.org/archives/');
  for (const name of ['here-1', 'held-1']) writeFileSync(join(at, `${name}.tar.gz`), gzipSync(name));
  const line = (name: string): string => `${name}.tar.gz#x#http://source.example.org/archives/${name}.tar.gz#http##\n`;
  writeFileSync(join(own, 'tarball-dl.lst'), line('here-1') + line('held-1'));
  world.upstream.fault = (path) => path.endsWith('held-1.tar.gz');
  const output = join(world.directory, 'cut-output');
  let pid = 0;
  const running = world.run(['-u', '--lists', own, '--first-sight'], { output, onStart: (started) => (pid = started) });
  await waitUntil(() => existsSync(join(output, 'downloads/here-1.tar.gz')), 30_000);
  process.kill(pid, 'SIGINT');
  expect((await running).code).toBe(130);
  const file = join(output, 'first-sight.sha256');
  const digest = `${sha256Of(join(at, 'here-1.tar.gz'))}  here-1.tar.gz\n`;
  expect(readFileSync(file, 'utf8')).toBe(digest);
  rmSync(file);
  world.upstream.fault = () => false;
  writeFileSync(join(own, 'tarball-dl.lst'), line('here-1'));
  expect((await world.run(['-u', '--lists', own], { output })).stdout).toMatch(/1 were here/);
  expect(readFileSync(file, 'utf8')).toBe(digest);
});

test.each([['/nonexistent/r.json'], ['/']])('--report %s, which cannot be written, is refused before anything is asked', async (report) => {
  world.mirror.asked.length = 0;
  const { code, stderr } = await world.run(['-s', '--lists', world.lists, '--report', report]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--report .* cannot be written: .*\n {2}Name a file/);
  expect(world.mirror.asked).toEqual([]);
});

test('one output directory is used by one process at a time; a killed one holds it no longer', async () => {
  const output = join(world.directory, 'locked');
  mkdirSync(join(output, '.download-mirror'), { recursive: true });
  const other = spawn('sleep', ['60']);
  writeFileSync(join(output, '.download-mirror/lock'), `${other.pid}\n`);
  const refused = await world.run(['-s', '--lists', world.lists], { output });
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(`process ${other.pid} downloads into this directory`);
  const gone = new Promise((resolve) => other.on('close', resolve));
  other.kill();
  await gone;
  expect((await world.run(['-s', '--lists', world.lists], { output })).code).toBe(0);
});

test('without a program that has to judge, its package is named; where nothing has to be judged, it is not asked for', async () => {
  const bin = join(world.directory, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const program of ['gpg', 'node'])
    if (!existsSync(join(bin, program))) symlinkSync(program === 'node' ? process.execPath : '/usr/bin/gpg', join(bin, program));
  const ran = await world.run(['-s', '--lists', world.lists], { env: { PATH: bin } });
  expect(ran.code).toBe(7);
  expect(ran.stderr).toMatch(/the program gpgv is not installed\n {2}apt-get install gpgv/);
  const own = join(world.directory, 'unsigned');
  mkdirSync(join(own, 'yum.repos.d'), { recursive: true });
  writeFileSync(join(own, 'rpms_centos.lst'), 'bash-1-1.x86_64.rpm\n');
  writeFileSync(join(own, 'yum.repos.d/a.repo'), `[os]\nname=os\nbaseurl=${OS}\ngpgcheck=0\n`);
  expect((await world.run(['-u', '--lists', own], { env: { PATH: '/nonexistent' } })).code).toBe(0);
});

test('what the machine refuses ends the run, and no other source is tried', async () => {
  const file = join(world.directory, 'a-file');
  writeFileSync(file, '');
  world.upstream.asked.length = 0;
  const { code, stderr } = await world.run(['-S', '--lists', world.lists], { output: join(file, 'output') });
  expect(code).toBe(7);
  expect(stderr).toMatch(/\n {2}Something that is no directory is in the way/);
  expect(world.upstream.asked).toEqual([]);
});

(process.getuid?.() === 0 ? test : test.skip)('a full disk ends the run, names it, and asks no other source (needs root)', async () => {
  const place = join(world.directory, 'full');
  mkdirSync(place);
  world.upstream.asked.length = 0;
  const { code, stderr } = await world.run(['-S', '--lists', world.lists], {
    output: place,
    under: ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=24k tmpfs "$1" && shift && exec "$@"', 'sh', place],
  });
  expect(stderr).toMatch(/ENOSPC.*\n {2}Make room on that disk/);
  expect(code).toBe(7);
  expect(world.upstream.asked).toEqual([]);
});

test('on a terminal there is a bar, which leaves nothing behind; elsewhere there is none', async () => {
  const { code, stdout, stderr } = await world.run(['-s', '--lists', world.lists], {
    under: ['sh', '-c', 'script --quiet --return --command "$(printf "%s " "$@")" /dev/null', 'sh'],
  });
  expect(code).toBe(0);
  expect(stdout).toMatch(/-{24} 0% {2}0 of 10 files, 0 B/);
  // The cursor is shown again.
  expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'));
  expect(stderr).toBe('');
  expect((await world.run(['-s', '--lists', world.lists])).stderr).toBe('');
});

test('without lists, those that the mirror serves are taken, proven by its signature', async () => {
  const { code, stdout, output } = await world.run(['-s', '--json']);
  const report = JSON.parse(stdout) as Report;
  expect(code).toBe(0);
  expect(report.lists).toEqual(expect.arrayContaining(['rpms_centos.lst', 'tarball-dl.lst']));
  expect(existsSync(join(output, BASH))).toBe(true);
  world.mirror.fault = (path, _request, response) =>
    path.endsWith('lists/rpms_centos.lst') && (response.writeHead(200).end('evil-1-1.noarch.rpm\n'), true);
  const refused = await world.run(['-s']);
  expect(refused.code).toBe(6);
  expect(refused.stderr).toMatch(/rpms_centos\.lst has the sha256/);
});

test('a branch that the mirror does not have is an error, though the installer of the distribution is there; a kind that it lacks is said', async () => {
  const misspelt = await world.run(['-s', '--branch', 'mastre']);
  expect(misspelt.code).toBe(3);
  expect(misspelt.stderr).toMatch(/the mirror serves no lists at \S+lists\/mastre\/centos\/lists\/, \S+tarballs\/mastre\/centos\//);
  expect(misspelt.stderr).toContain('Check --release, --branch and --layer');
  world.mirror.fault = (path, _request, response) => path.includes('/tarballs/') && (response.writeHead(404).end(), true);
  const { code, stdout } = await world.run(['-s', '--json']);
  const report = JSON.parse(stdout) as Report;
  expect([code, report.lists]).toEqual([0, expect.not.arrayContaining(['tarball-dl.lst'])]);
  expect(report.warnings.join()).toMatch(/the mirror serves no list of tarballs at \S+tarballs\/master\/centos\//);
});

test('--release asks for a frozen release', async () => {
  world.mirror.asked.length = 0;
  const { code } = await world.run(['-s', '--release', '3.0', '--lists', world.lists]);
  expect(code).toBe(5);
  expect(world.mirror.asked.every((path) => path.startsWith('releases/3.0/'))).toBe(true);
  expect(world.mirror.asked).toContain('releases/3.0/mirror/starlingx/lists/3.0/centos/repodata/repomd.xml');
});

test('--report writes what became of each file, and replaces what was there', async () => {
  const file = join(world.directory, 'report.json');
  writeFileSync(file, 'old');
  const { stdout } = await world.run(['-s', '--lists', world.lists, '--report', file]);
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  expect(report.results).toHaveLength(world.expected.size);
  expect(stdout).toMatch(new RegExp(`^${world.expected.size} files are asked for: 0 were here, ${world.expected.size} came`, 'm'));
});

function overwrite(file: string, bytes: Buffer): void {
  rmSync(file);
  writeFileSync(file, bytes);
}

/** Nobody's session: gpg then wants the sockets of its agent in its home. */
const NO_RUN_USER = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'];

test('an output with a path that is longer than that of a socket may be', async () => {
  const output = join(world.directory, 'x'.repeat(100), 'output');
  const { code, stderr } = await world.run(['-S', '--lists', world.lists, '--keys', world.keys], { output, under: NO_RUN_USER });
  expect(stderr).not.toContain('gpg');
  expect(code).toBe(0);
  expect(world.there(output)).toEqual(world.expected);
});
