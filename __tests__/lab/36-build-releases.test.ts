/**
 * Released builds on a real server: a layered build, frozen with the lists and tarballs that it was built from; what dnf and download-mirror get of it
 * while upstreams are down, and that nothing which becomes of the builds and of the rest of the mirror changes a byte of it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import { buildRpm } from '../content/support/hosted';
import { developer } from './lists-support';
import { adding, asItIs, codeBlocks, dnf, fetchPath, type Finished, importing, lab, must, NAME, onMirror, putOnMirror, ROOT, tryOnMirror, withDeployment } from './support'; // prettier-ignore

jest.setTimeout(300_000);

const PAGE = 'docs/how-to/release-a-build.md';
const PLACE = '/mirror/starlingx/release/3.0.1/centos';
const COMPILER = 'rc/3.0/centos/compiler';
const FLOCK = 'rc/3.0/centos/flock';
/** A red build, long ago: it would have expired. */
const OLD = '20260101T000000Z';
const LISTS = ['stx-3.0', 'stx-3.0-tarballs', 'stx-3.0-installer'];
const ARCHIVE = "const archive = new BuildArchive(server, 'stx-3.0-builds', { branch: 'r/stx.3.0', layers: ['compiler', 'flock'] });";

const home = mkdtempSync(join(tmpdir(), 'mirror-build-releases-'));
const work = join(home, 'build');
/** When the last build began; what else is released is of that time. */
let began: string;

const declaring = (lines: string) => (main: string) => adding(`${ARCHIVE}\n${lines}`)(importing('BuildArchive', 'Release')(main));
const release = (compiler = OLD, id = '3.0.1'): string => `new Release(server, '${id}', {
  of: [${LISTS.map((id) => `server.node.findChild('${id}') as PackageLists`).join(', ')}],
  builds: [archive.build('${compiler}', 'compiler'), archive.build('${began}', 'flock')],
});`;

/** Makes a build with these packages and texts on the mirror host; returns its directory. */
function made(timestamp: string, rpms: Readonly<Record<string, readonly string[]>>, texts: Readonly<Record<string, string>> = {}): string {
  const directory = `/var/tmp/builds/${timestamp}`;
  const lines = [`rm -rf ${directory}`];
  for (const [folder, files] of Object.entries(rpms))
    for (const file of files) lines.push(`mkdir -p ${directory}/${folder} && cp ${putOnMirror(file)} ${directory}/${folder}/`);
  for (const [path, text] of Object.entries({ Success: '', 'logs/build.log': 'secret\n', ...texts }))
    lines.push(`mkdir -p $(dirname ${directory}/${path}) && printf '%s' '${text}' > ${directory}/${path}`);
  onMirror(lines.join('\n'));
  return directory;
}
const publish = (series: string, directory: string): string => onMirror(`mirrorctl build publish ${series} ${directory}`);
const packages = new Map<string, string>();
/** Made once: rpmbuild writes other bytes each time. */
function rpm(name: string, version: string, more: { readonly arch?: string; readonly head?: string } = {}): string {
  const key = `${name}-${version}.${more.arch ?? 'noarch'}`;
  const path = packages.get(key) ?? buildRpm(join(home, 'rpms'), { name, version, ...more });
  packages.set(key, path);
  return path;
}
const compilerBuild = (timestamp: string, version: string, texts: Readonly<Record<string, string>> = {}): string =>
  made(
    timestamp,
    { 'outputs/RPMS/std': [rpm('stx-compiler', version)], 'outputs/SRPMS': [rpm('stx-compiler', version, { arch: 'src' })] },
    { 'CONTEXT.sh': `(cd ./cgcs-root && git checkout -f ${'a'.repeat(40)})\n`, ...texts },
  );

/** Digest of each file of the release, by its path below `/releases/3.0.1/`, as it is served from the disk. */
function served(): Record<string, string> {
  const script = 'cd /srv/mirror/www/releases/3.0.1 && find -L . -path ./pins -prune -o -type f -print0 | sort -z | xargs -0 sha256sum';
  const found = onMirror(script).trim().split('\n').map((line) => [line.slice(68), line.slice(0, 64)] as const); // prettier-ignore
  return Object.fromEntries(found);
}

/** Runs the block of the page that begins so, as it stands, on the client host. */
function follow(text: string, edit: (script: string) => string = (script) => script): Finished {
  const found = codeBlocks(PAGE, 'sh').filter((block) => block.startsWith(text));
  expect([text, found.length]).toEqual([text, 1]);
  const script = `export DOWNLOAD_MIRROR_URL=http://${NAME} DOWNLOAD_MIRROR_KEY=${join(home, 'RPM-GPG-KEY-mirror')}
download-mirror() { '${process.execPath}' '${join(ROOT, 'dist/download-mirror.cjs')}' "$@"; }
${edit(found[0] as string)}`;
  const done = developer(home, work, ['bash', '-euo', 'pipefail', '-c', script]);
  expect([text, done.status, done.status === 0 ? '' : done.text.slice(-3000)]).toEqual([text, 0, '']);
  return done;
}

/** Everything that the tool brought, by path, with its digest. */
function brought(output: string): Record<string, string> {
  const at = join(work, output);
  const files = (readdirSync(at, { recursive: true }) as string[]).filter((path) => !path.startsWith('.download-mirror') && statSync(join(at, path)).isFile()); // prettier-ignore
  return Object.fromEntries(files.sort().map((path) => [path, sha256(readFileSync(join(at, path)))]));
}

/** As the page says, into a fresh directory. */
function downloaded(output: string): Record<string, string> {
  const into = (script: string): string => script.replaceAll('--output stx-3.0.1', `--output ${output}`);
  follow('download-mirror', into);
  follow('for list in', into);
  return brought(output);
}

beforeAll(async () => {
  mkdirSync(work);
  mkdirSync(join(home, 'rpms'));
  lab('up');
  onMirror('rm -rf /srv/mirror/releases/* /srv/mirror/builds /srv/mirror/build-records');
  await withDeployment(declaring(''), (deployment) => deployment.deploy());
  onMirror('mirrorctl sync --wait 300 --all');
  writeFileSync(join(home, 'RPM-GPG-KEY-mirror'), (await fetchPath('/RPM-GPG-KEY-mirror')).body);
  began = onMirror('date -u +%Y%m%dT%H%M%SZ').trim();
  publish(COMPILER, compilerBuild(OLD, '1.0'));
  publish(COMPILER, compilerBuild('20260102T000000Z', '1.0'));
  const flock = rpm('stx-flock', '1.0', { head: 'Requires: stx-compiler' });
  publish(FLOCK, made(began, { 'outputs/RPMS/std': [flock], 'inputs/RPMS': [flock] }, { 'outputs/iso/bootimage.iso': 'an image', BUILD_INFO: 'BUILD="1"\n' })); // prettier-ignore
});
afterAll(async () => {
  lab('upstream', 'up', 'all');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('rm -rf /srv/mirror/releases/* /srv/mirror/repositories/releases /srv/mirror/builds /srv/mirror/build-records /var/tmp/builds; systemctl reset-failed'); // prettier-ignore
  lab('upstream', 'restore');
  rmSync(home, { recursive: true });
});

test('the deploy freezes builds with what they were built from; each has its place, and no logs', async () => {
  await withDeployment(declaring(release()), (deployment) => {
    const time = `${began.slice(0, 4)}-${began.slice(4, 6)}-${began.slice(6, 11)}:${began.slice(11, 13)}:${began.slice(13)}`;
    expect(deployment.plan().sentences).toEqual([
      `adds release 3.0.1: 3 repositories as of ${time}, and the builds ${COMPILER}/${OLD}, ${FLOCK}/${began}; once frozen it never changes`,
    ]);
    expect(deployment.deploy()).toContain('release 3.0.1: frozen');
    expect(deployment.plan().sentences).toEqual([]);
  });
  for (const prefix of ['', '/releases/3.0.1']) {
    expect((await fetchPath(`${prefix}${PLACE}/flock/outputs/iso/bootimage.iso`)).body).toBe('an image');
    expect((await fetchPath(`${prefix}${PLACE}/compiler/CONTEXT.sh`)).body).toContain('git checkout');
    expect((await fetchPath(`${prefix}${PLACE}/compiler/outputs/RPMS/std/rpm.lst`)).body).toBe('stx-compiler-1.0-1.noarch.rpm\n');
    for (const path of ['compiler/logs/build.log', 'compiler/Success', `compiler/${OLD}/outputs/`, 'distro/outputs/'])
      expect([path, (await fetchPath(`${prefix}${PLACE}/${path}`)).status]).toEqual([path, 404]);
  }
  expect(onMirror('mirrorctl release list')).toMatch(/^3\.0\.1 +frozen +\S+ +\S+ \S+ +3 +2 /m);
});

test('it is the same through later syncs, builds, marks, expiry, purges and scrubs, for dnf and for download-mirror; upstreams are down', () => {
  lab('upstream', 'down', 'all');
  const [verify] = codeBlocks(PAGE, 'sh');
  expect(must('bash', ['-euo', 'pipefail', '-c', verify as string])).toContain('as it was frozen');
  follow('curl');
  const config = join(work, 'repos/stx-3.0.1.repo');
  const installed = dnf([config], 'install', '-y', 'stx-flock');
  expect([installed.status, installed.text]).toEqual([0, expect.stringMatching(/stx-compiler +noarch +1\.0-1 +3\.0\.1-centos-compiler-outputs-RPMS-std/)]); // prettier-ignore
  const before = served();
  const first = downloaded('first');
  expect(Object.keys(first)).toEqual(expect.arrayContaining(['Binary/noarch/stx-compiler-1.0-1.noarch.rpm', 'Source/stx-compiler-1.0-1.src.rpm', 'downloads/lldpd-0.9.0.tar.gz'])); // prettier-ignore
  expect(Object.keys(first).length).toBeGreaterThan(20);

  lab('upstream', 'up', 'all');
  // Another build of each age and colour; with two newer ones the released one would go.
  for (const timestamp of ['20260103T000000Z', '20260104T000000Z', '20260105T000000Z']) publish(COMPILER, compilerBuild(timestamp, '2.0'));
  onMirror(`mirrorctl build mark ${COMPILER} ${OLD} red; mirrorctl build keep ${FLOCK} ${began} --reason 'it is released'`);
  expect(publish(COMPILER, compilerBuild(OLD, '1.0'))).toContain('unchanged');
  const other = tryOnMirror(`mirrorctl build publish ${COMPILER} ${compilerBuild(OLD, '3.0')}`);
  expect([other.status, other.text]).toEqual([3, expect.stringContaining(OLD)]);
  const expired = onMirror('mirrorctl build expire');
  expect(expired).toContain('20260102T000000Z');
  expect(onMirror(`ls /srv/mirror/builds/${COMPILER}`)).not.toContain('20260102T000000Z');
  expect(onMirror(`ls /srv/mirror/builds/${COMPILER}`)).toContain(OLD);
  onMirror('mirrorctl sync --wait 300 --all');
  onMirror('mirrorctl retention apply; mirrorctl scrub --all --wait 60; mirrorctl release freeze');
  lab('upstream', 'down', 'all');
  expect(served()).toEqual(before);
  expect(onMirror('mirrorctl release verify 3.0.1')).toContain('as it was frozen');
  expect(downloaded('second')).toEqual(first);
  expect(dnf([config], 'install', '-y', 'stx-flock').text).toMatch(/stx-compiler +noarch +1\.0-1 /);
  lab('upstream', 'up', 'all');
});

test('another build under the same version is refused, and one that is not there holds up no deploy', async () => {
  const before = served();
  await withDeployment(declaring(release('20260104T000000Z')), (deployment) => {
    const refused = deployment.apply();
    expect(refused.status).not.toBe(0);
    expect(refused.text.replaceAll(/\s+/g, ' ')).toContain('the release 3.0.1 was frozen at');
  });
  await withDeployment(declaring(`${release()}\n${release('20260102T000000Z', '3.0.2')}`), (deployment) => {
    expect(deployment.deploy()).toContain(`warning: the release 3.0.2 cannot be frozen: ${COMPILER} has no build 20260102T000000Z`);
  });
  expect((await fetchPath('/mirror/starlingx/release/3.0.2/centos/flock/outputs/')).status).toBe(404);
  expect(served()).toEqual(before);
});

test('declared no longer it is no longer public; nothing of it expires, and declared again it is the same', async () => {
  const before = served();
  await withDeployment(declaring(''), (deployment) => deployment.deploy());
  for (const path of [`${PLACE}/flock/outputs/iso/bootimage.iso`, '/releases/3.0.1/release.json'])
    expect((await fetchPath(path)).status).toBe(404);
  onMirror('mirrorctl build expire');
  await withDeployment(declaring(release()), (deployment) => deployment.deploy());
  expect(served()).toEqual(before);
  expect((await fetchPath(`${PLACE}/flock/outputs/iso/bootimage.iso`)).body).toBe('an image');
});

test('every command of the page was run', () => {
  expect(codeBlocks(PAGE, 'sh')).toHaveLength(4);
});
