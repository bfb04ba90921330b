/**
 * Promotion, general availability, holdback and snapshots by time on a real server, with what real dnf installs of it. The commands are those of the pages
 * docs/how-to/promote-packages.md and hold-back-a-package.md, in their order.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from '../content/support/keys';
import {
  adding,
  asItIs,
  dnf,
  fetchPath,
  type Finished,
  lab,
  NAME,
  onMirror,
  run,
  tryOnMirror,
  withDeployment,
  codeBlocks,
  putOnMirror,
} from './support';

jest.setTimeout(300_000);

const CODENAME = 'acme/mos9.0-centos7';
const PATH = '/acme/centos/mos9.0-centos7';
const OURS = `http://${NAME}/acme/mos9.0-centos7.repo`;
const BASE = ['centos-7-os', 'centos-7-updates'].map((id) => `http://${NAME}/repo-files/${id}.repo`);

const work = mkdtempSync(join(tmpdir(), 'mirror-promotion-'));
let key: TestKey;

const PROMOTE = codeBlocks('docs/how-to/promote-packages.md', 'sh');
const HOLD_BACK = codeBlocks('docs/how-to/hold-back-a-package.md', 'sh');

/** What a page says, on the server. */
function follow(script: string | undefined): string {
  const result = tryOnMirror(`set -eu\n${script as string}`);
  if (result.status !== 0) throw new Error(`${script}\nexited ${result.status}:\n${result.text}`);
  return result.stdout;
}

/** main.ts with a customer whose packages this test's key signs, as the page declares its codename, and another one that lets nobody in from here. */
function declaring(main: string): string {
  const [codename] = codeBlocks('docs/how-to/hold-back-a-package.md', 'ts');
  return adding(`const acme = new Customer(server, 'acme', { access: Access.public(), keys: [PublicKey.fromFile('${join(work, 'acme.asc')}')] });
${codename}
const closed = new Customer(server, 'closed', { access: Access.networks(['192.0.2.0/24']) });
new MosCodename(closed, 'codename', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });`)(main);
}

/** A signed package on the server. */
function onServer(name: string, version: string): string {
  const built = buildPackage(work, name, version);
  signPackage(key, built);
  return putOnMirror(built);
}

/** dnf on a client that keeps what it has. */
class Client {
  private readonly root = mkdtempSync(join(work, 'client-'));

  run(...args: string[]): Finished {
    const files = [...BASE, OURS].flatMap((file) => ['--repo-file', file]);
    return run(process.execPath, ['dist/lab.cjs', 'dnf', '--installroot', this.root, ...files, '--', ...args]);
  }

  /** Runs, and says what is installed then. */
  has(name: string, ...args: string[]): string {
    const ran = this.run('-y', ...args);
    if (ran.status !== 0) throw new Error(ran.text);
    return run('rpm', ['--root', this.root, '-q', '--qf', '%{version}-%{release}', name]).stdout;
  }
}

beforeAll(async () => {
  key = makeKey(join(work, 'key'), 'acme');
  writeFileSync(join(work, 'acme.asc'), key.publicKey);
  lab('up');
  onMirror('rm -rf /var/lib/mirror/codenames');
  await withDeployment(declaring, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  onMirror('mirrorctl sync --wait 300 centos-7-os centos-7-updates');
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(
    `for id in acme closed; do mirrorctl retention forget $id --now --reason 'a test'; done; rm -rf /var/lib/mirror/codenames/acme /var/tmp/*.rpm`,
  );
  dropKey(key);
  rmSync(work, { recursive: true });
});

test('what is in cr is for those who ask for it; promoted, everybody gets it', () => {
  onMirror(`mirrorctl publish ${CODENAME}/cr ${onServer('nova', '1')}`);
  expect(dnf([OURS], 'install', '-y', 'nova').text).toContain('No match for argument: nova');
  expect(dnf([OURS], '--enablerepo=*', 'install', '-y', 'nova').text).toMatch(/Installed:\s+nova-1-1\.noarch/);
  const said = follow(PROMOTE[0]);
  expect(said).toContain(`nova-1-1.noarch: would be published in ${CODENAME}/updates`);
  expect(said).toContain(`1 package moved from ${CODENAME}/cr to ${CODENAME}/updates`);
  const installed = dnf([OURS], 'install', '-y', 'nova');
  expect(installed.text).toMatch(/nova +noarch +1-1 +acme-mos9\.0-centos7-updates/);
  expect(installed.status).toBe(0);
  onMirror(`mirrorctl publish ${CODENAME}/cr ${onServer('nova', '2')}`);
  expect(dnf([OURS], 'install', '-y', 'nova').text).toMatch(/Installed:\s+nova-1-1\.noarch/);
  // Whoever tries what is proposed gets it, also where there is an older one in updates.
  expect(dnf([OURS], '--enablerepo=*-cr', 'install', '-y', 'nova').text).toMatch(/Installed:\s+nova-2-1\.noarch/);
});

test('snapshots by time: with the same access, a listing, and good for dnf as they are', async () => {
  const target = await fetchPath(`${PATH}/snapshots/updates-latest.target.txt`);
  expect(target.status).toBe(200);
  const name = target.body.split('\n')[0] as string;
  expect(name).toMatch(/^updates-\d{4}-\d\d-\d\d-\d{6}$/);
  expect((await fetchPath(`${PATH}/snapshots/`)).body).toContain(`<a href="${name}/">`);
  expect((await fetchPath(`${PATH}/snapshots/updates-latest/x86_64/repodata/repomd.xml`)).body).toBe(
    (await fetchPath(`${PATH}/updates/x86_64/repodata/repomd.xml`)).body,
  );
  const before = /<a href="(updates-\d[^/]+)\/">/.exec((await fetchPath(`${PATH}/snapshots/`)).body)?.[1] as string;
  expect(before).not.toBe(name);
  const repo = (snapshot: string): string => {
    const file = join(work, `${snapshot}.repo`);
    const url = `http://${NAME}${PATH}/snapshots/${snapshot}`;
    writeFileSync(file, `[s]\nname=s\nbaseurl=${url}/x86_64/\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=${url}/RPM-GPG-KEY-mos9.0\n`);
    return file;
  };
  expect(dnf([repo(name)], 'install', '-y', 'nova').text).toMatch(/Installed:\s+nova-1-1\.noarch/);
  expect(dnf([repo('updates-latest')], 'install', '-y', 'nova').text).toMatch(/Installed:\s+nova-1-1\.noarch/);
  expect(dnf([repo(before)], 'install', '-y', 'nova').text).toContain('No match for argument: nova');

  const closed = '/closed/centos/mos9.0-centos7';
  for (const path of [
    `${closed}/snapshots/`,
    `${closed}/snapshots/os-latest/x86_64/repodata/repomd.xml`,
    `${closed}/snapshots/os-latest.target.txt`,
  ])
    expect([path, (await fetchPath(path)).status]).toEqual([path, 403]);
  expect(tryOnMirror('test -e /srv/mirror/www/closed/centos/mos9.0-centos7/snapshots/os-latest/x86_64/repodata/repomd.xml').status).toBe(0);
});

test('a snapshot that is forgotten has no link, and is back with it', () => {
  const old = onMirror(`ls /srv/mirror/repositories/${CODENAME}/updates/snapshots | head -n 1`).trim();
  const link = `/srv/mirror/public-snapshots/${CODENAME}/updates-${old.slice(0, 4)}-${old.slice(4, 6)}-${old.slice(6, 8)}-${old.slice(9, 15)}`;
  onMirror(`test -L ${link}`);
  onMirror(`mirrorctl retention forget ${CODENAME}/updates@${old} --now --reason 'a test'`);
  expect(tryOnMirror(`test -L ${link}`).status).not.toBe(0);
  onMirror(`mirrorctl retention restore ${CODENAME}/updates@${old}`);
  onMirror(`test -d ${link}/x86_64/repodata`);
  expect(onMirror(`find /srv/mirror/public-snapshots -xtype l`)).toBe('');
});

test('links that are lost are drift, which the next deploy puts right', async () => {
  onMirror('rm -r /srv/mirror/public-snapshots/mos/mos7.0-centos6');
  expect((await fetchPath('/mos-repos/centos/mos7.0-centos6/snapshots/os-latest.target.txt')).status).toBe(404);
  await withDeployment(declaring, (deployment) => {
    expect(deployment.plan().text).toContain('/srv/mirror/public-snapshots/mos/mos7.0-centos6 missing');
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  expect((await fetchPath('/mos-repos/centos/mos7.0-centos6/snapshots/os-latest.target.txt')).status).toBe(200);
});

test('general availability: os takes nothing more, through deploys, without its construct, until it is undone', async () => {
  expect(follow(PROMOTE[1])).toMatch(/^acme\/mos9\.0-centos7\/os is frozen: \d+ packages/);
  const refused = tryOnMirror(`mirrorctl publish ${CODENAME}/os /var/tmp/nova-2-1.noarch.rpm`);
  expect(refused.status).toBe(3);
  expect(refused.text).toContain(`Publish to cr, and promote to updates: mirrorctl promote ${CODENAME}.`);
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  expect((await fetchPath(`${PATH}/os/x86_64/repodata/repomd.xml`)).status).toBe(404);
  await withDeployment(declaring, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  expect(onMirror('mirrorctl status')).toMatch(/Frozen at general availability: acme\/mos9\.0-centos7\/os since /);
  expect(tryOnMirror(`mirrorctl publish ${CODENAME}/os /var/tmp/nova-2-1.noarch.rpm`).status).toBe(3);
  follow(PROMOTE[2]);
  onMirror(`mirrorctl publish ${CODENAME}/os /var/tmp/nova-2-1.noarch.rpm`);
});

test('an older package in holdback is what dnf installs and stays with; removed, the newer one wins again', () => {
  const [client, late] = [new Client(), new Client()];
  expect(client.has('openssl-libs', 'install', 'openssl-libs')).toBe('1.0.2k-26.el7_9');
  const said = follow(HOLD_BACK[0]);
  expect(said).toContain(`openssl-libs-1:1.0.2k-19.el7.x86_64: is held back in ${CODENAME}`);
  expect(said).toContain('  instead of openssl-libs-1:1.0.2k-26.el7_9.x86_64 of centos-7-updates\n');
  expect(late.has('openssl-libs', 'install', 'openssl-libs')).toBe('1.0.2k-19.el7');
  expect(client.has('openssl-libs', 'distro-sync')).toBe('1.0.2k-19.el7');
  expect(client.has('openssl-libs', 'update')).toBe('1.0.2k-19.el7');
  expect(follow(HOLD_BACK[1])).toContain('openssl-libs-1:1.0.2k-19.el7.x86_64, ');
  for (const one of [client, late]) expect(one.has('openssl-libs', 'update')).toBe('1.0.2k-26.el7_9');
});

test('there is no block of commands that nothing runs', () => {
  expect([PROMOTE.length, HOLD_BACK.length]).toEqual([3, 2]);
});
