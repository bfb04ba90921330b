/** Builds by rsync and by SFTP: from a client host through sshd to what the public reads, interrupted, resumed, refused. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { adding, asItIs, codeBlocks, fetchPath, type Finished, importing, lab, labEnvironment, must, onMirror, run, tryOnMirror, withDeployment } from './support'; // prettier-ignore

jest.setTimeout(540_000);

const work = mkdtempSync(join(tmpdir(), 'mirror-build-uploads-'));
const SSH = join(work, 'config');
const PLACE = '/var/lib/mirror-uploads/lab-build';
const PATH = '/mirror/starlingx/feature/uploads/centos/flock';
const BY_SFTP = '/mirror/starlingx/feature/by-sftp/centos';
const [FIRST, SECOND, FAILED] = ['20261101T023000Z', '20261102T023000Z', '20261103T023000Z'];
const LARGE = 40 * 1024 * 1024;

const keyPair = (name: string): string => {
  const path = join(work, name);
  must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', `${name}@example.org`, '-f', path]);
  return path;
};
let identity: string;
const publicHalf = (): string => readFileSync(`${identity}.pub`, 'utf8').trim();

const declared = (main: string): string =>
  adding(`const uploaded = new BuildArchive(server, 'lab-uploads', { branch: 'f/uploads', layers: ['flock'] });
const bySftp = new BuildArchive(server, 'lab-old', { branch: 'f/by-sftp' });
new UploadAccount(server, 'lab-build', { authorizedKeys: ['${publicHalf()}'], builds: [uploaded], protocol: UploadProtocol.RSYNC });
new UploadAccount(server, 'lab-sftp', { authorizedKeys: ['${publicHalf()}'], builds: [bySftp] });`)(
    importing('BuildArchive', 'UploadAccount', 'UploadProtocol')(main),
  );

const onClient = (...command: string[]): Finished => run(process.execPath, ['dist/lab.cjs', 'ssh', 'client', ...command]);
const inWork = (script: string): Finished => onClient('bash', '-euo', 'pipefail', '-c', `cd ${work}\n${script}`);
const address = (): string => labEnvironment()['MIRROR_ADDRESS'] as string;
const rsh = (): string => `ssh -F ${SSH} -i ${identity}`;
const rsync = (...args: string[]): Finished => onClient('timeout', '120', 'rsync', '-e', rsh(), ...args);
const INTO = (timestamp: string): string => `lab-build@${address()}::uploads/lab-uploads/flock/${timestamp}/`;

/** Makes a build with its list of digests. */
function made(name: string, files: Readonly<Record<string, string>>): string {
  const directory = join(work, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}
const withSums = (directory: string): string => {
  must('bash', [
    '-c',
    `cd '${directory}' && find . -type f ! -path ./SHA256SUMS -printf '%P\\0' | sort -z | xargs -0 sha256sum > SHA256SUMS`,
  ]);
  return directory;
};

/** Waits until what became of a build can be read. */
async function resultOf(timestamp: string): Promise<{ result: string; files: { code?: string; message?: string }[] }> {
  const path = join(work, 'result.json');
  for (const deadline = Date.now() + 180_000; ;) {
    rmSync(path, { force: true });
    if (rsync(`lab-build@${address()}::results/lab-uploads/flock/${timestamp}.json`, path).status === 0)
      return JSON.parse(readFileSync(path, 'utf8')) as Awaited<ReturnType<typeof resultOf>>;
    if (Date.now() > deadline)
      throw new Error(`no result of ${timestamp}:\n${tryOnMirror('mirrorctl uploads; journalctl -o cat --no-pager -n 30 -u "mirror-uploads@*"').text}`); // prettier-ignore
    await sleep(1000);
  }
}
const latest = (): string => onMirror('readlink /srv/mirror/builds/feature/uploads/centos/flock/latest_build || true').trim();

beforeAll(async () => {
  lab('up');
  onMirror('rm -rf /srv/mirror/builds/feature /srv/mirror/build-records/feature');
  writeFileSync(SSH, `Host *\n  BatchMode yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile ${join(work, 'known_hosts')}\n  LogLevel ERROR\n  ConnectTimeout 20\n`); // prettier-ignore
  identity = keyPair('build');
  await withDeployment(declared, (deployment) => {
    expect(deployment.plan().sentences).toContainEqual(expect.stringMatching(/^makes the upload account lab-build by rsync: .* builds of feature\/uploads\/centos\/flock$/)); // prettier-ignore
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(
    'rm -rf /srv/mirror/builds/feature /srv/mirror/build-records/feature /var/lib/mirror-uploads/lab-build /var/lib/mirror-uploads/lab-sftp',
  );
  rmSync(work, { recursive: true });
});

test('the commands of the documentation: a build by rsync and one by SFTP are published', async () => {
  made('BUILD', { Success: '', 'outputs/image.inc': 'image', 'logs/build.log': 'all went well\n', 'inputs/downloads/a.tar': 'a' });
  const blocks = codeBlocks('docs/how-to/upload-builds.md', 'console').map((text) => text.replaceAll(/^\$ /gm, ''));
  expect(blocks).toHaveLength(4);
  for (const block of blocks) {
    const script = block
      .replaceAll('ssh -i build-key', rsh())
      .replaceAll('sftp -b - -i build-key', `sftp -F ${SSH} -b - -i ${identity}`)
      .replaceAll('stx-sftp@', 'lab-sftp@')
      .replaceAll('stx-3/', 'lab-old/')
      .replaceAll('stx-master/', 'lab-uploads/')
      .replaceAll('stx-build@', 'lab-build@');
    const finished = inWork(script);
    expect(`${finished.status} ${finished.status === 0 ? '' : `${script}\n${finished.text}`}`.trim()).toBe('0');
  }
  expect((await fetchPath(`${PATH}/latest_build/logs/build.log`)).body).toBe('all went well\n');
  expect(latest()).toBe(FIRST);
  for (let tries = 0; (await fetchPath(`${BY_SFTP}/latest_build/outputs/image.inc`)).body !== 'image'; tries++) {
    expect(tries).toBeLessThan(120);
    await sleep(1000);
  }
  // SFTP made directories that the mirror may not empty: the account itself has removed them.
  for (let tries = 0; onMirror('find /var/lib/mirror-uploads/*/lab-* -mindepth 2') !== ''; tries++) {
    expect(tries).toBeLessThan(60);
    await sleep(1000);
  }
});

describe('an account by rsync', () => {
  const ssh = (...args: string[]): Finished =>
    onClient('timeout', '20', 'ssh', '-F', SSH, '-i', identity, ...args.slice(0, -1), `lab-build@${address()}`, ...args.slice(-1));

  test('runs nothing but rsync by the configuration of the server', () => {
    for (const args of [
      ['id'],
      ['-t', 'id'],
      ['-t', '/bin/sh'],
      ['rsync --server --sender -r . /etc'],
      ['rsync --server --daemon --config=/dev/null .'],
      ['-o', 'SetEnv=BASH_ENV=/tmp/x', 'id'],
    ]) {
      // prettier-ignore
      const tried = ssh(...args);
      expect(tried.text).not.toMatch(/uid=|\$ |root:/);
      expect(tried.status).not.toBe(0);
    }
    expect(onClient('timeout', '20', 'sftp', '-F', SSH, '-i', identity, '-b', '/dev/null', `lab-build@${address()}`).status).not.toBe(0);
    expect(onClient('timeout', '20', 'scp', '-O', '-F', SSH, '-i', identity, SSH, `lab-build@${address()}:/tmp/x`).status).not.toBe(0);
    // Without the daemon's own path it is a command of the client, which is not run.
    expect(rsync('-r', `lab-build@${address()}:/etc/passwd`, join(work, 'passwd')).status).not.toBe(0);
    const forwarded = onClient(
      'timeout',
      '20',
      'ssh',
      '-F',
      SSH,
      '-o',
      'LogLevel=INFO',
      '-i',
      identity,
      '-W',
      '127.0.0.1:22',
      `lab-build@${address()}`,
    );
    expect(forwarded.text).toMatch(/administratively prohibited|open failed/);
    expect(tryOnMirror('ls /tmp/x').status).not.toBe(0);
  });

  test.each([
    ['links', ['-rtl']],
    ['owners and groups', ['-a']],
    ['a log file', ['-rt', '--remote-option=--log-file=/var/tmp/log']],
    ['writing in place', ['-rt', '--inplace']],
    ['other directories', ['-rt', '--link-dest=/etc']],
  ])('is refused %s', (_what, options) => {
    const tried = rsync(...options, `${join(work, 'BUILD')}/`, INTO(SECOND));
    expect([tried.status, tried.text]).toEqual([4, expect.stringContaining('configured to refuse')]);
    expect(onMirror(`ls ${PLACE}/lab-uploads/flock; ls /var/tmp | grep -c '^log$' || true`).trim()).toBe('0');
  });

  test('puts nothing beside its series, and reads nothing but results', () => {
    const file = join(work, 'BUILD/SHA256SUMS');
    for (const path of [
      'uploads/',
      'uploads/lab-uploads/',
      'uploads/lab-uploads/other/',
      'uploads/../lab-sftp/lab-old/builds/',
      'uploads/../../../tmp/x',
      'results/',
      'other/',
    ])
      // prettier-ignore
      expect([path, rsync('-rt', file, `lab-build@${address()}::${path}`).status]).not.toEqual([path, 0]);
    for (const path of ['uploads/', 'results/../refused/', 'results/../../../../../etc/passwd', 'etc/'])
      expect([path, rsync('-r', `lab-build@${address()}::${path}`, join(work, 'got/')).status]).not.toEqual([path, 0]);
    expect(rsync(`lab-build@${address()}::`).stdout).toBe('');
    expect(onMirror(`find ${PLACE} -name SHA256SUMS; ls /tmp/x 2>/dev/null || true`)).toBe('');
  });

  test('is locked up as far as sshd says, and deviations show', async () => {
    const effective = onMirror('sshd -T -C user=lab-build,host=x,addr=127.0.0.1,laddr=127.0.0.1,lport=22');
    for (const line of ['permittty no', 'disableforwarding yes', 'passwordauthentication no', 'authenticationmethods publickey'])
      expect(effective.split('\n')).toContain(line);
    expect(onMirror('id -Gn lab-build; id -Gn mirror; getent passwd lab-build | cut -d: -f7').trim()).toBe(
      'lab-build\nmirror lab-build\n/bin/sh',
    );
    onMirror('usermod -s /bin/bash lab-build; gpasswd -d mirror lab-build');
    await withDeployment(declared, (deployment) => {
      expect(deployment.plan().text).toContain('the account lab-build modified');
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
    });
    expect(onMirror('id -Gn mirror; getent passwd lab-build | cut -d: -f7').trim()).toBe('mirror lab-build\n/bin/sh');
  });
});

test('a transfer that is killed moves nothing, goes on where it was, and is published then', async () => {
  const directory = made('second', { Success: '', 'logs/build.log': 'second\n' });
  must('bash', ['-c', `mkdir -p '${directory}/outputs' && head -c ${LARGE} /dev/urandom > '${directory}/outputs/image.iso'`]);
  withSums(directory);
  const stop = join(work, 'stop');
  const script = `rsync -rt --bwlimit=4000 --partial-dir=.part -e '${rsh()}' '${directory}/' '${INTO(SECOND)}' & p=$!; until [ -e ${stop} ]; do sleep 0.2; done; kill -9 $p`; // prettier-ignore
  const client = spawn(process.execPath, ['dist/lab.cjs', 'ssh', 'client', 'bash', '-c', script], { stdio: 'ignore' });
  const ended = once(client, 'close');
  const arrived = (): number => Number(onMirror(`find ${PLACE}/lab-uploads/flock/${SECOND} -name '*image.iso*' -printf '%s\\n' | sort -n | tail -n 1`)); // prettier-ignore
  for (let tries = 0; tryOnMirror(`test -e ${PLACE}/lab-uploads/flock/${SECOND}/outputs`).status !== 0 || arrived() < LARGE / 4; tries++) {
    expect(tries).toBeLessThan(120);
    await sleep(500);
  }
  writeFileSync(stop, '');
  await ended;
  for (let tries = 0; tryOnMirror(`test -e ${PLACE}/lab-uploads/flock/${SECOND}/outputs/.part/image.iso`).status !== 0; tries++) {
    expect(tries).toBeLessThan(60);
    await sleep(500);
  }
  const there = arrived();
  expect(onMirror('mirrorctl uploads')).toMatch(
    new RegExp(`arriving  feature/uploads/centos/flock  ${SECOND} .*lacks .*outputs/image.iso`),
  );
  await sleep(15_000);
  expect(latest()).toBe(FIRST);
  expect((await fetchPath(`${PATH}/${SECOND}/logs/build.log`)).status).toBe(404);

  const again = rsync('-rt', '--stats', '--partial-dir=.part', `${directory}/`, INTO(SECOND));
  expect(again.status).toBe(0);
  const sent = (what: string): number => Number(new RegExp(`${what}: ([\\d,]+)`).exec(again.stdout)?.[1]?.replaceAll(',', ''));
  expect(sent('Matched data')).toBeGreaterThan(there - 1024 * 1024);
  expect(sent('Total bytes sent')).toBeLessThan(LARGE - there + 2 * 1024 * 1024);
  expect(await resultOf(SECOND)).toMatchObject({ result: 'published', files: [{ message: expect.stringContaining(`latest_build leads to ${SECOND}`) as string }] }); // prettier-ignore
  expect(latest()).toBe(SECOND);
  expect((await fetchPath(`${PATH}/latest_build/logs/build.log`)).body).toBe('second\n');
});

test('a build that failed is there for its logs, and no link leads to it; another one of a time that is published is refused', async () => {
  const failed = withSums(made('failed', { 'logs/build.log': 'failed\n' }));
  expect(rsync('-rt', `${failed}/`, INTO(FAILED)).status).toBe(0);
  expect(await resultOf(FAILED)).toMatchObject({ result: 'published' });
  expect((await fetchPath(`${PATH}/${FAILED}/logs/build.log`)).body).toBe('failed\n');
  expect(latest()).toBe(SECOND);
  onMirror(`rm ${PLACE}/results/lab-uploads/flock/${FIRST}.json`);
  expect(rsync('-rt', `${failed}/`, INTO(FIRST)).status).toBe(0);
  expect(await resultOf(FIRST)).toMatchObject({ result: 'refused', files: [{ code: 'BUILD_EXISTS' }] });
  expect((await fetchPath(`${PATH}/${FIRST}/logs/build.log`)).body).toBe('all went well\n');
});

test('accounts that are no longer declared are gone, with their group', async () => {
  await withDeployment(asItIs, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  expect(rsync('-rt', `${join(work, 'BUILD')}/`, INTO(FAILED)).text).toContain('Permission denied');
  expect(
    tryOnMirror('getent passwd lab-build lab-sftp; getent group lab-build lab-sftp; ls /etc/ssh/sshd_config.d/00-mirror-uploads.conf')
      .stdout,
  ).toBe('');
  expect(onMirror(`stat -c %U:%a ${PLACE}; id -Gn mirror`)).toBe('root:700\nmirror\n');
});
