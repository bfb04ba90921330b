/** Tarballs and installers on a real server: what upstreams of the lab have arrives, proven, at both of its places, and stays whatever they do then. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { instanceOf } from '../../lab/instance';
import { contentRoot } from '../../lab/upstream-content';
import {
  asItIs,
  adding,
  codeBlocks,
  fetchPath,
  importing,
  lab,
  labEnvironment,
  must,
  NAME,
  onMirror,
  ROOT,
  tryOnMirror,
  withDeployment,
} from './support';

jest.setTimeout(300_000);

const CACHE = process.env['MIRROR_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'package-mirror-as-code');
const PAGE = 'docs/how-to/add-tarballs.md';
const ID = 'lab-28-tarballs';
const TREE = 'lab-28-installer';
const RSYNC = 'lab-28-rsync';
const PUBLIC = '/mirror/starlingx/tarballs/lab-28/centos';
const work = mkdtempSync(join(tmpdir(), 'mirror-tarballs-'));
/** What this test puts on the upstreams, to be taken away again. */
const placed: string[] = [];
const dpdk = (version: string): Buffer => gzipSync(`dpdk ${version}`);

/** The list of the page's example, in a project of the test. */
const LIST = `# of the lab
dpdk-18.11.tar.xz#dpdk-18.11#http://fast.dpdk.org/lab-28/dpdk-18.11.tar.xz#http##
go.src.tar.gz#go#https://dl.google.com/lab-28/go.src.tar.gz##https##
!drbd.tar.gz#drbd#http://www.linbit.com/lab-28/drbd.tar.gz#http_script##scripts/drbd.sh
!tss2-930.tar.gz#tss2-930#https://github.com/lab-28/tss#git#v930#
parts.tgz#parts#https://www.kernel.org/lab-28/parts#http_filelist#parts.txt#
`;

/** main.ts with these declarations, and with what they are made of. */
const declaring =
  (...lines: string[]) =>
  (main: string): string =>
    adding(lines.join('\n'))(importing('FileTree', 'InstallTree', 'Release', 'TarballDownloads', 'TreeTrust')(main));

const [first, recorded, installer] = codeBlocks(PAGE, 'ts').map((text) => asDeclared(text)) as [string, string, string];
const [serverCommands, developerCommands] = codeBlocks(PAGE, 'shell').map((text) => asRun(text)) as [string, string];

/** Under names that main.ts does not have. */
function asDeclared(text: string): string {
  return text
    .replaceAll('lists/stx-3.0', join(work, 'lists'))
    .replaceAll('stx-3.0-tarballs', ID)
    .replaceAll('stx-3.0-installer', TREE)
    .replaceAll("release: '3.0'", "release: 'lab-28'")
    .replaceAll('/7.6.1810/os/', '/lab-28/os/');
}

function asRun(text: string): string {
  return text.replaceAll('stx-3.0-tarballs', ID).replaceAll('tarballs/3.0/', 'tarballs/lab-28/');
}

/** Puts a file where an upstream serves it. */
function upstream(path: string, content: string | Buffer): void {
  const file = join(contentRoot(instanceOf(process.env['MIRROR_LAB'] ?? 'default', ROOT, CACHE)), path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  placed.push(file.replace(/(\/lab-28)\/.*/, '$1'));
}

/** A repository of one commit, as a server of files has it. */
function gitUpstream(path: string): void {
  const source = mkdtempSync(join(work, 'git-'));
  const git = (...argv: string[]): void =>
    void execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...argv], { cwd: source, stdio: 'ignore' });
  writeFileSync(join(source, 'tss.c'), 'int main;\n');
  git('init', '--initial-branch=main', '.');
  git('add', '.');
  git('commit', '-m', 'one');
  git('tag', 'v930');
  git('gc');
  git('update-server-info');
  const bare = join(contentRoot(instanceOf(process.env['MIRROR_LAB'] ?? 'default', ROOT, CACHE)), path);
  mkdirSync(dirname(bare), { recursive: true });
  execFileSync('cp', ['-r', join(source, '.git'), bare]);
  placed.push(dirname(bare));
}

/** One sync by its unit, in its sandbox, as the timer starts it. */
const sync = (id = ID): { status: number; text: string } => {
  const { status } = tryOnMirror(`systemctl start mirror-sync@${id}.service`);
  return { status: status ?? -1, text: onMirror(`journalctl -q -u mirror-sync@${id}.service -o cat -n 60`) };
};
const succeeds = (ran: { status: number; text: string }): string => {
  expect(`${ran.status} ${ran.status === 0 ? '' : ran.text}`).toBe('0 ');
  return ran.text;
};
/** Downloads by curl, as developers do. */
function curl(path: string): Buffer {
  const address = labEnvironment()['MIRROR_ADDRESS'] as string;
  return execFileSync('curl', ['-fsS', '--resolve', `${NAME}:80:${address}`, `http://${NAME}${path}`], { maxBuffer: 1e9 });
}

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  mkdirSync(join(work, 'lists'));
  writeFileSync(join(work, 'lists/tarball-dl.lst'), LIST);
  writeFileSync(join(work, 'lists/parts.txt'), 'one\nsub/two\n');
  writeFileSync(join(work, 'lists/other_downloads.lst'), 'folder:isolinux\nfile:isolinux/vmlinuz\nfile:EULA\n');
  upstream('fast.dpdk.org/lab-28/dpdk-18.11.tar.xz', dpdk('18.11'));
  upstream('dl.google.com/lab-28/go.src.tar.gz', gzipSync('go'));
  upstream('www.linbit.com/lab-28/drbd.tar.gz', gzipSync('drbd'));
  upstream('www.kernel.org/lab-28/parts/one', '1');
  upstream('www.kernel.org/lab-28/parts/sub/two', '2');
  upstream('vault.centos.org/lab-28/os/x86_64/isolinux/vmlinuz', 'a kernel');
  upstream('vault.centos.org/lab-28/os/x86_64/EULA', 'a licence');
  gitUpstream('github.com/lab-28/tss');
});
afterAll(async () => {
  lab('upstream', 'up', 'all');
  for (const place of placed) rmSync(place, { recursive: true, force: true });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  for (const id of [ID, TREE, RSYNC]) tryOnMirror(`mirrorctl retention forget ${id}`);
  onMirror(`rm -rf /srv/mirror/releases/lab-28 /srv/mirror/repositories/{${ID},${TREE},${RSYNC}}; systemctl reset-failed`);
  rmSync(work, { recursive: true });
});

test('a list arrives by its own sync, at both places of each file, and a developer proves it with gpg and sha256sum', async () => {
  await withDeployment(declaring(first, installer), (deployment) => {
    expect(deployment.plan().sentences).toEqual([
      expect.stringMatching(new RegExp(`^adds downloads ${TREE} \\(2 files, 2 without a recorded digest\\), synced daily`)),
      expect.stringMatching(new RegExp(`^adds downloads ${ID} \\(5 files, 5 without a recorded digest\\), synced daily`)),
    ]);
    deployment.deploy();
  });
  onMirror('command -v git');
  succeeds(sync());
  succeeds(sync(TREE));
  expect(curl(`${PUBLIC}/dpdk-18.11.tar.xz`)).toEqual(dpdk('18.11'));
  for (const [place, file] of [
    ['fast.dpdk.org/lab-28/dpdk-18.11.tar.xz', 'dpdk-18.11.tar.xz'],
    ['dl.google.com/lab-28/go.src.tar.gz', 'go.src.tar.gz'],
    ['www.linbit.com/lab-28/drbd.tar.gz', 'originals/drbd.tar.gz'],
    ['github.com/lab-28/tss/tss2-930.tar.gz', 'tss2-930.tar.gz'],
    ['www.kernel.org/lab-28/parts/parts.tgz', 'parts.tgz'],
  ])
    expect(curl(`/mirror/centos/${place}`)).toEqual(curl(`${PUBLIC}/${file}`));
  expect(execFileSync('tar', ['-xzOf', '-', 'tss2-930/tss.c'], { input: curl(`${PUBLIC}/tss2-930.tar.gz`), encoding: 'utf8' })).toBe(
    'int main;\n',
  );
  expect(execFileSync('tar', ['-xzOf', '-', 'parts/sub/two'], { input: curl(`${PUBLIC}/parts.tgz`), encoding: 'utf8' })).toBe('2');
  expect(curl(`${PUBLIC}/lists/tarball-dl.lst`).toString()).toBe(LIST);
  expect(curl('/mirror/centos/centos/mirror.centos.org/lab-28/os/x86_64/isolinux/vmlinuz').toString()).toBe('a kernel');
  expect(curl('/mirror/centos/centos/mirror.centos.org/lab-28/os/x86_64/.mirror/SHA256SUMS').toString()).toMatch(
    /^[0-9a-f]{64} {2}\.mirror\/lists\/other_downloads\.lst\n/,
  );

  const home = mkdtempSync(join(work, 'developer-'));
  writeFileSync(join(home, '.curlrc'), `resolve = "${NAME}:80:${labEnvironment()['MIRROR_ADDRESS'] as string}"\n`);
  const checked = must('bash', ['-euo', 'pipefail', '-c', developerCommands], {
    cwd: home,
    env: { ...process.env, HOME: home, GNUPGHOME: '' },
  });
  expect(checked).toContain('dpdk-18.11.tar.xz: OK');
  must('gpgconf', ['--kill', 'all'], { env: { ...process.env, HOME: home, GNUPGHOME: '' } });
  writeFileSync(join(home, 'dpdk-18.11.tar.xz'), 'something else');
  expect(() => must('sha256sum', ['--check', '--ignore-missing', 'SHA256SUMS'], { cwd: home })).toThrow();
});

test('what upstream has there later is not taken, nor missed when it is down; digests from the server are recorded', async () => {
  upstream('fast.dpdk.org/lab-28/dpdk-18.11.tar.xz', dpdk('trojan'));
  const printed = onMirror(serverCommands);
  const digests = printed
    .split('\n')
    .filter((line) => /^[0-9a-f]{64} /.test(line))
    .join('\n');
  expect(digests.split('\n').map((line) => line.slice(66))).toEqual([
    'dpdk-18.11.tar.xz',
    'go.src.tar.gz',
    'originals/drbd.tar.gz',
    'parts.tar',
    'tss2-930.tar',
  ]);
  writeFileSync(join(work, 'lists/tarball-dl.sha256'), `${digests}\n`);
  for (const host of ['fast.dpdk.org', 'dl.google.com', 'www.linbit.com', 'www.kernel.org', 'github.com']) lab('upstream', 'down', host);
  await withDeployment(declaring(recorded, installer), (deployment) => {
    const { sentences } = deployment.plan();
    expect(sentences).toHaveLength(5);
    for (const sentence of sentences)
      expect(sentence).toMatch(/^downloads lab-28-tarballs: records the digest of \S+: what is served and differs is replaced$/);
    deployment.deploy();
  });
  succeeds(sync());
  expect(curl(`${PUBLIC}/dpdk-18.11.tar.xz`)).toEqual(dpdk('18.11'));
  lab('upstream', 'up', 'all');
});

test('a digest that upstream does not have is refused by name while the rest is served; the old file stays', async () => {
  const file = join(work, 'lists/tarball-dl.sha256');
  const before = readFileSync(file, 'utf8');
  const others = before.replace(/^[0-9a-f]{64}( {2}(dpdk-18.11.tar.xz|tss2-930.tar))$/gm, `${'0'.repeat(64)}$1`);
  writeFileSync(file, others);
  writeFileSync(join(work, 'lists/tarball-dl.lst'), `${LIST}new.tar.gz#new#https://dl.google.com/lab-28/new.tar.gz#https##\n`);
  upstream('dl.google.com/lab-28/new.tar.gz', gzipSync('new'));
  await withDeployment(declaring(recorded, installer), (deployment) => {
    expect(deployment.plan().sentences).toEqual([
      `downloads ${ID}: adds new.tar.gz, which has no recorded digest: the first that comes is taken`,
      `downloads ${ID}: changes the recorded digest of dpdk-18.11.tar.xz: what is served is replaced by what has it`,
      `downloads ${ID}: changes the recorded digest of tss2-930.tar.gz: what is served is replaced by what has it`,
    ]);
    deployment.deploy();
  });
  const { status, text } = sync();
  expect(status).not.toBe(0);
  expect(text).toMatch(/dpdk-18\.11\.tar\.xz has the sha256 [0-9a-f]{64}; recorded is 0{64}/);
  expect(text).toMatch(/gives a tar with the sha256 [0-9a-f]{64}; recorded is 0{64}/);
  expect(curl(`${PUBLIC}/dpdk-18.11.tar.xz`)).toEqual(dpdk('18.11'));
  expect(curl(`${PUBLIC}/new.tar.gz`)).toEqual(gzipSync('new'));
  expect(onMirror(`mirrorctl status ${ID}`)).toMatch(/degraded/);
  writeFileSync(file, before);
  await withDeployment(declaring(recorded, installer), (deployment) => deployment.deploy());
  succeeds(sync());
  expect(onMirror(`mirrorctl status ${ID}`)).not.toMatch(/degraded/);
});

test('a release freezes them; what is served later is another matter', async () => {
  const at = onMirror('date -u +%Y-%m-%dT%H:%M:%SZ').trim();
  const release = `new Release(server, 'lab-28', { of: [server.node.findChild('${ID}') as TarballDownloads, server.node.findChild('${TREE}') as InstallTree], at: '${at}' });`;
  await withDeployment(declaring(recorded, installer, release), (deployment) => deployment.deploy());
  onMirror('systemctl start mirror-release.service');
  const frozen = `/releases/lab-28${PUBLIC}`;
  expect(curl(`${frozen}/dpdk-18.11.tar.xz`)).toEqual(dpdk('18.11'));
  expect(curl(`${PUBLIC}/@${at}/dpdk-18.11.tar.xz`)).toEqual(dpdk('18.11'));
  const sums = curl(`${frozen}/SHA256SUMS`);
  writeFileSync(join(work, 'lists/tarball-dl.sha256'), '');
  writeFileSync(join(work, 'lists/tarball-dl.lst'), LIST.replace(/^dpdk.*\n/m, ''));
  await withDeployment(declaring(recorded, installer, release), (deployment) => deployment.deploy());
  succeeds(sync());
  expect(curl(`${PUBLIC}/SHA256SUMS`).toString()).not.toContain('dpdk');
  expect(curl(`${frozen}/SHA256SUMS`)).toEqual(sums);
  expect(curl(`${frozen}/dpdk-18.11.tar.xz`)).toEqual(dpdk('18.11'));
  expect(onMirror('mirrorctl release verify lab-28')).toContain('lab-28');
  // For whoever has the list of before, it is there until its grace ends; its place by URL went with the deploy.
  expect((await fetchPath(`${PUBLIC}/dpdk-18.11.tar.xz`)).status).toBe(200);
  expect((await fetchPath('/mirror/centos/fast.dpdk.org/lab-28/dpdk-18.11.tar.xz')).status).toBe(404);
  expect(basename(onMirror(`readlink /srv/mirror/repositories/${ID}/current`).trim())).toMatch(/^20\d{6}T/);
});

test('what programs fetch for a sync (git above, rsync here) they fetch in the sandbox of its unit', async () => {
  const [configuration, pidFile, module] = ['rsyncd.conf', 'rsyncd.pid', 'module'].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(module);
  writeFileSync(join(module, 'a'), 'by rsync');
  writeFileSync(configuration, `pid file = ${pidFile}\nuse chroot = no\nuid = 0\ngid = 0\n[files]\npath = ${module}\n`);
  // On a socket as its standard input it would think that inetd started it.
  lab('ssh', 'upstream', 'sh', '-c', `rsync --daemon --config=${configuration} </dev/null`);
  try {
    const tree = `new FileTree(server, '${RSYNC}', {
  publishedAs: 'http://fast.dpdk.org/lab-28-rsync/',
  fetchFrom: ['rsync://fast.dpdk.org/files/'],
  trust: TreeTrust.none('a module of the lab'),
  folders: ['.'],
});`;
    await withDeployment(declaring(tree), (deployment) => deployment.deploy());
    succeeds(sync(RSYNC));
    expect(curl('/mirror/centos/fast.dpdk.org/lab-28-rsync/a').toString()).toBe('by rsync');
  } finally {
    process.kill(Number(readFileSync(pidFile, 'utf8')));
  }
});
