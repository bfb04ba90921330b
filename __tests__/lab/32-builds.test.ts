/** Builds of StarlingX on a real server: built in layers, published, found by their links and their times, marked, kept and expired. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { builtPackages } from '../../lab/rpm-build';
import { signingKeys } from '../../lab/signing-keys';
import { timestampOf } from '../../starlingx/build-layout';
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
  tryOnMirror,
  withDeployment,
  withoutBuilds,
} from './support';

jest.setTimeout(300_000);

const work = mkdtempSync(join(tmpdir(), 'mirror-builds-'));
const LAYERS = ['compiler', 'distro', 'flock'] as const;
type Layer = (typeof LAYERS)[number];
const seriesOf = (layer: Layer): string => `master/centos/${layer}`;
const pathOf = (layer: Layer, build: string, path = ''): string => `/mirror/starlingx/${seriesOf(layer)}/${build}/${path}`;
const ON_MIRROR = '/var/tmp/builds';
const CONTEXT = `(cd ./cgcs-root && git checkout -f ${'a'.repeat(40)})\n(cd ./stx/integ && git checkout -f ${'b'.repeat(40)})\n`;

const declared = (main: string): string =>
  adding("new BuildArchive(server, 'stx-master', { branch: 'master', layers: ['compiler', 'distro', 'flock'] });")(withoutBuilds(main));

/** So many hours ago, to the second. */
const hoursAgo = (hours: number): string => timestampOf(new Date(Math.floor(Date.now() / 1000) * 1000 - hours * 3_600_000));
const daysAgo = (days: number): string => hoursAgo(24 * days);

/** What each layer builds, in two versions: path of the package, and of its source. */
const packages = new Map<string, { readonly binary: string; readonly source: string }>();
const toolOf = (layer: Layer): string => `lab-stx-${layer}`;

interface Built {
  /** @default 1.0 */
  readonly version?: '1.0' | '2.0';
  readonly files?: Readonly<Record<string, string>>;
  /** A build that failed has no marker. */
  readonly failed?: true;
}

/** What a build leaves, in a directory of this machine. */
function built(layer: Layer, timestamp: string, { version = '1.0', files = {}, failed }: Built = {}): string {
  const directory = join(work, layer, timestamp);
  const { binary, source } = packages.get(`${layer} ${version}`) as { binary: string; source: string };
  const texts = {
    'outputs/image.inc': `${toolOf(layer)}\n`,
    'outputs/image-dev.inc': `${toolOf(layer)}-dev\n`,
    'outputs/build-id': timestamp,
    'CONTEXT.sh': CONTEXT,
    BUILD_INFO: `JOB="STX_build_${layer}"\nBUILD_NUMBER="1"\n`,
    'logs/build.log': `${layer} ${timestamp}\n`,
    ...(failed === true ? {} : { Success: '' }),
    ...files,
  };
  for (const [path, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  for (const [folder, file] of [
    ['outputs/RPMS/std', binary],
    ['outputs/SRPMS/std', source],
  ] as const) {
    // prettier-ignore
    mkdirSync(join(directory, folder), { recursive: true });
    copyFileSync(file, join(directory, folder, basename(file)));
  }
  return directory;
}

/** Brings a build to the server; returns where it is there. */
function sent(layer: Layer, directory: string): string {
  const target = `${ON_MIRROR}/${layer}`;
  const command = `tar -C ${dirname(directory)} -c ${basename(directory)} | node dist/lab.cjs ssh mirror 'mkdir -p ${target} && tar -C ${target} -x --no-same-owner && chmod -R a+rX ${ON_MIRROR}'`;
  must('bash', ['-o', 'pipefail', '-c', command]);
  return `${target}/${basename(directory)}`;
}

const publish = (layer: Layer, directory: string, ...options: string[]): Finished =>
  tryOnMirror(`mirrorctl build publish ${seriesOf(layer)} ${directory} ${options.join(' ')}`);

function published(layer: Layer, timestamp: string, options: Built = {}): void {
  const done = publish(layer, sent(layer, built(layer, timestamp, options)));
  if (done.status !== 0) throw new Error(done.text);
}

/** Where the links of a series lead. */
const linksOf = (layer: Layer): Readonly<Record<string, string>> =>
  Object.fromEntries(
    onMirror(`cd /srv/mirror/builds/${seriesOf(layer)} && find . -maxdepth 1 -type l -printf '%f %l\\n'`)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' ') as [string, string]),
  );
const buildsOf = (layer: Layer): readonly string[] =>
  onMirror(`ls /srv/mirror/builds/${seriesOf(layer)} | grep -v latest`)
    .trim()
    .split('\n');

/** Yum configuration of one directory of packages, by whichever name. */
function repoFile(layer: Layer, build: string): string {
  const path = join(work, `${layer}-${build}.repo`);
  const url = `http://${NAME}${pathOf(layer, build, 'outputs/RPMS/std/')}`;
  writeFileSync(
    path,
    `[${layer}]\nname=${layer}\nbaseurl=${url}\nenabled=1\ngpgcheck=0\nrepo_gpgcheck=1\ngpgkey=${url}repodata/repomd.xml.key\n`,
  );
  return path;
}

function clean(): void {
  onMirror(`rm -rf ${ON_MIRROR} /srv/mirror/builds /srv/mirror/build-work /srv/mirror/build-records`);
}

beforeAll(async () => {
  lab('up');
  clean();
  const { cache } = JSON.parse(lab('status', '--json')) as { cache: string };
  const key = (await signingKeys(cache, ['RPM-GPG-KEY-CentOS-7'])).get('RPM-GPG-KEY-CentOS-7');
  for (const layer of LAYERS) {
    for (const version of ['1.0', '2.0'] as const) {
      const source = { name: toolOf(layer), version, release: '1.tis', arch: 'noarch' } as const;
      const all = await builtPackages(cache, [source], key as NonNullable<typeof key>);
      const one = (isSource: boolean): string => (all.find((file) => file.source === isSource) as { path: string }).path;
      packages.set(`${layer} ${version}`, { binary: one(false), source: one(true) });
    }
  }
  await withDeployment(declared, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  clean();
  rmSync(work, { recursive: true });
});

test('layer by layer: each finds what the one below it built by latest_build, and its packages are installed by that and by its time', async () => {
  const times = { compiler: hoursAgo(3), distro: hoursAgo(2), flock: hoursAgo(1) };
  let below: readonly string[] = [];
  for (const layer of LAYERS) {
    const timestamp = times[layer];
    published(layer, timestamp, { files: { 'inputs/lower-layers.txt': below.join('') } });
    expect(linksOf(layer)).toEqual({ latest_build: timestamp });
    // As required_layer_pkgs.cfg and required_layer_iso_inc.cfg ask for them.
    const list = await fetchPath(pathOf(layer, 'latest_build', 'outputs/RPMS/std/rpm.lst'));
    expect(list).toMatchObject({ status: 200, body: `${toolOf(layer)}-1.0-1.tis.noarch.rpm\n` });
    expect((await fetchPath(pathOf(layer, 'latest_build', 'outputs/SRPMS/std/srpm.lst'))).body).toBe(
      `${toolOf(layer)}-1.0-1.tis.src.rpm\n`,
    );
    expect((await fetchPath(pathOf(layer, 'latest_build', 'outputs/image.inc'))).body).toBe(`${toolOf(layer)}\n`);
    expect((await fetchPath(pathOf(layer, 'latest_build', 'outputs/image-dev.inc'))).body).toBe(`${toolOf(layer)}-dev\n`);
    for (const build of ['latest_build', timestamp]) {
      const installed = dnf([repoFile(layer, build)], 'install', '-y', toolOf(layer));
      expect([installed.status, /lab-stx-\w+ +noarch +(\S+)/.exec(installed.text)?.[1]]).toEqual([0, '1.0-1.tis']);
    }
    below = [...below, list.body];
  }
  const whole: string[] = [];
  for (const layer of LAYERS) {
    whole.push(join(work, `${layer}-build.repo`));
    writeFileSync(whole.at(-1) as string, (await fetchPath(pathOf(layer, 'latest_build', 'build.repo'))).body);
  }
  expect(dnf(whole, 'install', '-y', ...LAYERS.map(toolOf)).status).toBe(0);
  expect((await fetchPath(pathOf('flock', times.flock, 'inputs/lower-layers.txt'))).body).toBe(
    `${toolOf('compiler')}-1.0-1.tis.noarch.rpm\n${toolOf('distro')}-1.0-1.tis.noarch.rpm\n`,
  );
  const shown = onMirror(`mirrorctl build show ${seriesOf('flock')} latest_build`);
  for (const part of [times.flock, `http://${NAME}${pathOf('flock', times.flock, 'outputs/RPMS/std/')}`, `./stx/integ  ${'b'.repeat(40)}`])
    expect(shown).toContain(part);
});

test('a build that is marked green is the latest green one, and the yellow one; what is marked red is neither', async () => {
  const timestamp = linksOf('flock')['latest_build'] as string;
  const mark = (colour: string): string => onMirror(`mirrorctl build mark ${seriesOf('flock')} ${timestamp} ${colour}`);
  expect(mark('green')).toContain(`latest_green_build leads to ${timestamp}`);
  expect(linksOf('flock')).toEqual({ latest_build: timestamp, latest_green_build: timestamp, latest_yellow_build: timestamp });
  expect((await fetchPath(pathOf('flock', 'latest_green_build', 'GREEN'))).status).toBe(200);
  const green = `http://${NAME}${pathOf('flock', 'latest_green_build', 'build.repo')}`;
  expect(dnf([green], 'install', '-y', toolOf('flock')).status).toBe(0);
  mark('red');
  expect(linksOf('flock')).toEqual({ latest_build: timestamp });
  expect((await fetchPath(pathOf('flock', 'latest_green_build', 'build.repo'))).status).toBe(404);
  mark('green');
});

describe('no link moves', () => {
  let before: Readonly<Record<string, string>>;
  beforeEach(() => void (before = linksOf('flock')));

  test('by a build that failed, which is there for its logs, and cannot be green', async () => {
    const timestamp = hoursAgo(0.5);
    published('flock', timestamp, { version: '2.0', failed: true });
    expect(linksOf('flock')).toEqual(before);
    expect((await fetchPath(pathOf('flock', timestamp, 'logs/build.log'))).body).toBe(`flock ${timestamp}\n`);
    const marked = tryOnMirror(`mirrorctl build mark ${seriesOf('flock')} ${timestamp} green`);
    expect([marked.status, marked.text]).toEqual([3, expect.stringContaining('failed: it cannot be green')]);
  });

  test('by a build without anything new', () => {
    published('flock', hoursAgo(0.4), { version: '2.0', files: { No_New_Content: '' } });
    expect(linksOf('flock')).toEqual(before);
  });

  test('by one that is refused', async () => {
    const timestamp = hoursAgo(0.3);
    const directory = sent('flock', built('flock', timestamp, { files: { 'outputs/RPMS/std/broken.rpm': 'no package' } }));
    const refused = publish('flock', directory);
    expect([refused.status, refused.text]).toEqual([3, expect.stringContaining('broken.rpm')]);
    expect(linksOf('flock')).toEqual(before);
    expect((await fetchPath(pathOf('flock', timestamp, 'logs/build.log'))).status).toBe(404);
  });

  test('by one that is killed, whenever that is; the next call ends it', async () => {
    const timestamp = hoursAgo(0.2);
    const directory = sent('flock', built('flock', timestamp, { version: '2.0' }));
    const former = buildsOf('flock');
    const seen: string[] = [];
    for (let tenths = 1; tenths <= 40; tenths += 2) {
      const struck = tryOnMirror(`timeout -s KILL ${tenths / 10} mirrorctl build publish ${seriesOf('flock')} ${directory}`);
      if (struck.status === 0) break;
      seen.push(String(struck.status));
      // All of it, links too, or nothing. Between the rename of the build and that of its link both are true.
      const now = linksOf('flock');
      if (!buildsOf('flock').includes(timestamp)) expect([buildsOf('flock'), now]).toEqual([former, before]);
      else expect([before['latest_build'], timestamp]).toContain(now['latest_build']);
    }
    expect(seen.length).toBeGreaterThan(2);
    expect(publish('flock', directory).status).toBe(0);
    expect(linksOf('flock')).toEqual({ ...before, latest_build: timestamp });
    expect(onMirror('ls -A /srv/mirror/build-work')).toBe('');
    expect((await fetchPath(pathOf('flock', 'latest_build', 'outputs/build-id'))).body).toBe(timestamp);
  });
});

/** Reads the newest build as clients do, again and again, until stopped: one file by the link, all it names by its time. */
const READER = `
  const { get } = require('node:http');
  const { createHash } = require('node:crypto');
  const { gunzipSync } = require('node:zlib');
  const [address, host, first] = process.argv.slice(1);
  let running = true, rounds = 0;
  const bad = [], seen = new Set();
  const fetch = (path) => new Promise((resolve, reject) => {
    const request = get({ host: address, path, agent: false, headers: { host, connection: 'close' }, timeout: 5000 }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => response.statusCode === 200 ? resolve(Buffer.concat(chunks)) : reject(new Error(path + ': ' + response.statusCode)));
    });
    request.on('timeout', () => request.destroy(new Error(path + ': timeout')));
    request.on('error', reject);
  });
  const must = (right, what) => { if (!right) throw new Error(what); };
  const round = async () => {
    const repo = (await fetch(first)).toString();
    const [url] = /http\\S+outputs\\/RPMS\\/std\\//.exec(repo);
    const base = new URL(url).pathname;
    const build = base.split('outputs/')[0];
    const timestamp = build.split('/').at(-2);
    seen.add(timestamp);
    must((await fetch(build + 'outputs/build-id')).toString() === timestamp, build + ' is another build');
    const repomd = (await fetch(base + 'repodata/repomd.xml')).toString();
    await fetch(base + 'repodata/repomd.xml.asc');
    const data = [...repomd.matchAll(/<data type="(\\w+)">[^]*?<checksum type="sha256">(\\w+)<[^]*?href="([^"]+)"/g)];
    must(data.length >= 3, 'no metadata');
    let primary;
    for (const [, type, digest, href] of data) {
      const bytes = await fetch(base + href);
      must(createHash('sha256').update(bytes).digest('hex') === digest, base + href + ' has other bytes');
      if (type === 'primary') primary = gunzipSync(bytes).toString();
    }
    const listed = (await fetch(base + 'rpm.lst')).toString().trim().split('\\n');
    const known = [...primary.matchAll(/<checksum type="sha256" pkgid="YES">(\\w+)<[^]*?<location href="([^"]+)"/g)];
    must(JSON.stringify(known.map(([, , href]) => href).sort()) === JSON.stringify(listed), 'rpm.lst and metadata differ');
    for (const [, digest, href] of known)
      must(createHash('sha256').update(await fetch(base + href)).digest('hex') === digest, href + ' has other bytes');
    rounds++;
  };
  process.on('SIGTERM', () => { running = false; });
  (async () => {
    while (running) await round().catch((error) => bad.push(error.message));
    process.stdout.write(JSON.stringify({ rounds, bad, seen: [...seen] }));
  })();`;

test('who reads the newest build while twenty are published sees whole builds only', async () => {
  const start = Math.floor(Date.now() / 1000) - 600;
  const times = Array.from({ length: 20 }, (_, n) => timestampOf(new Date((start + n) * 1000)));
  const directories = times.map((timestamp, n) => sent('flock', built('flock', timestamp, { version: n % 2 === 0 ? '1.0' : '2.0' })));
  const reader = spawn(
    process.execPath,
    ['-e', READER, labEnvironment()['MIRROR_ADDRESS'] as string, NAME, pathOf('flock', 'latest_build', 'build.repo')],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let said = '';
  reader.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  // In the background there, so that this process hears its reader.
  const all = spawn(process.execPath, ['dist/lab.cjs', 'ssh', 'mirror', `for d in ${directories.join(' ')}; do mirrorctl build publish ${seriesOf('flock')} $d || exit 1; done`], { stdio: 'ignore' }); // prettier-ignore
  const [status] = (await once(all, 'close')) as [number];
  reader.kill('SIGTERM');
  await once(reader, 'close');
  const { rounds, bad, seen } = JSON.parse(said) as { rounds: number; bad: string[]; seen: string[] };
  expect({ status, bad }).toEqual({ status: 0, bad: [] });
  // How many of the twenty it meets depends on what else the machine does.
  expect(rounds).toBeGreaterThan(10);
  expect(seen.length).toBeGreaterThan(3);
  expect(linksOf('flock')['latest_build']).toBe(times.at(-1));
});

test('what the page says', () => {
  const PAGE = 'docs/how-to/look-after-builds.md';
  const blocks = codeBlocks(PAGE, 'sh');
  expect(blocks.length).toBeGreaterThan(3);
  const timestamp = linksOf('flock')['latest_build'] as string;
  for (const block of blocks) must('bash', ['-ec', block.replaceAll('20261101T023000Z', timestamp)]);
  expect(linksOf('flock')['latest_green_build']).toBe(timestamp);
  expect(onMirror(`ls /srv/mirror/builds/${seriesOf('flock')}/${timestamp}`)).not.toContain('KEEP');
});

test('builds expire by a timer: what is over goes; links, KEEP, the newest and other series stay', async () => {
  const layer = 'distro';
  const newest = linksOf(layer)['latest_build'] as string;
  const [plain, green, kept, failed] = [8, 27, 90, 9].map(daysAgo) as [string, string, string, string];
  published(layer, plain);
  published(layer, green, { files: { 'outputs/GREEN': '' } });
  published(layer, kept);
  published(layer, failed, { failed: true });
  onMirror(`mirrorctl build keep ${seriesOf(layer)} ${kept} --reason 'the lab tests it'`);
  const before = LAYERS.map((one) => linksOf(one));
  const all = buildsOf(layer);
  const planned = onMirror(`mirrorctl build expire --dry-run ${seriesOf(layer)}`);
  expect(planned).toContain(`${failed} would go: builds that failed stay 7 days`);
  expect(planned).not.toContain(`${plain} would go`);
  expect(buildsOf(layer)).toEqual(all);
  expect(onMirror('systemctl is-active mirror-builds.timer')).toBe('active\n');
  onMirror('systemctl start mirror-builds.service');
  expect(onMirror('systemctl show mirror-builds.service -p ExecMainStatus')).toBe('ExecMainStatus=0\n');
  expect(buildsOf(layer)).toEqual([kept, green, plain, newest]);
  expect(LAYERS.map((one) => linksOf(one))).toEqual(before);
  expect((await fetchPath(pathOf(layer, failed, 'logs/build.log'))).status).toBe(404);
  expect((await fetchPath(pathOf(layer, kept, 'KEEP'))).body).toBe('the lab tests it\n');
  expect(onMirror('ls -A /srv/mirror/build-work')).toBe('');
  // Nothing keeps it now but its colour; the two newest stay in any case.
  onMirror(`mirrorctl build keep ${seriesOf(layer)} ${kept} --remove`);
  expect(onMirror(`mirrorctl build expire ${seriesOf(layer)}`)).toContain(`${kept} is gone: builds that nobody marked stay 7 days`);
  expect(buildsOf(layer)).toEqual([green, plain, newest]);
  expect(onMirror(`mirrorctl build list ${seriesOf(layer)}`)).toMatch(new RegExp(`${plain} +succeeded .*the newest 2 stay`));
});

test('a damaged file of a build is served no more, and the build says so', async () => {
  const timestamp = linksOf('compiler')['latest_build'] as string;
  const path = `/srv/mirror/builds/${seriesOf('compiler')}/${timestamp}/outputs/image.inc`;
  onMirror(`printf X | dd of=${path} conv=notrunc status=none`);
  expect(tryOnMirror('mirrorctl scrub --all --wait 60').status).toBe(6);
  expect((await fetchPath(pathOf('compiler', 'latest_build', 'outputs/image.inc'))).status).toBe(404);
  expect(onMirror(`mirrorctl build show ${seriesOf('compiler')} latest_build`)).toContain('outputs/image.inc was changed on disk');
  expect((await fetchPath(pathOf('compiler', 'latest_build', 'outputs/RPMS/std/rpm.lst'))).status).toBe(200);
});

test('what is declared no longer is no longer public; its builds stay, and come back with the declaration', async () => {
  const path = pathOf('flock', 'latest_build', 'build.repo');
  const withoutFlock = (main: string): string => declared(main).replace(", 'flock'] });", '] });');
  await withDeployment(withoutFlock, (deployment) => {
    expect(deployment.plan().sentences).toEqual(['builds stx-master: master/centos/flock no longer public; its builds stay on the server']);
    deployment.deploy();
  });
  expect((await fetchPath(path)).status).toBe(404);
  expect(tryOnMirror(`mirrorctl build list ${seriesOf('flock')}`)).toMatchObject({ status: 2 });
  await withDeployment(declared, (deployment) => deployment.deploy());
  expect((await fetchPath(path)).status).toBe(200);
});
