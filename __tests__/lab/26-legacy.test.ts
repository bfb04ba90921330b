/** Old URLs and default sets on a real server, with real dnf, and who still uses what. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adding, asItIs, dnf, fetchPath, lab, NAME, onMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const work = mkdtempSync(join(tmpdir(), 'mirror-legacy-'));
const ACME = `const acme = new Customer(server, 'acme', { access: Access.networks(['192.0.2.0/24']) });
const acme70 = new MosCodename(acme, 'mos7.0-centos6', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
new LegacyAlias(server, 'acme-old', { path: 'mos/acme', to: acme70 });`;

beforeAll(async () => {
  lab('up');
  await withDeployment(adding(ACME), (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  rmSync(work, { recursive: true });
});

/** What an old client has. */
function oldRepoFile(name: string, baseurl: string, key: string): string {
  const path = join(work, `${name}.repo`);
  writeFileSync(path, `[${name}]\nname=${name}\nbaseurl=${baseurl}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=${key}\n`);
  return path;
}

const OLD = ['/mos/centos-6/proposed', '/mos/centos-6/security', '/mos/centos-6/updates', '/mos/centos-6/mos6.1/updates'];

test.each(OLD)('dnf reads the old repository %s, with and without an architecture, with its signature checked', (path) => {
  for (const [index, below] of ['', '/x86_64', '/$basearch', '/Source'].entries()) {
    const file = oldRepoFile(`old-${index}`, `http://${NAME}${path}${below}`, `http://${NAME}${path}/RPM-GPG-KEY-mos6.1`);
    const read = dnf([file], 'makecache');
    expect([below, read.status, read.text]).toEqual([below, 0, expect.stringContaining('Metadata cache created')]);
  }
});

test('no old URL is redirected, whatever its form', async () => {
  for (const path of OLD)
    for (const below of [
      '',
      '/',
      '/repodata',
      '/repodata/',
      '/repodata/repomd.xml',
      '/x86_64',
      '/x86_64/repodata/repomd.xml.asc',
      '/Source/SPackages',
    ])
      expect([path + below, (await fetchPath(path + below)).status]).toEqual([path + below, 200]);
  const now = onMirror('date -u +%Y-%m-%dT%H:%M:%SZ').trim();
  for (const below of [`/@${now}/repodata/repomd.xml`, `/@${now}/x86_64/repodata/repomd.xml`, `/@${now}/x86_64`, '/@/'])
    expect([below, (await fetchPath(OLD[2] + below)).status]).toEqual([below, 200]);
  expect((await fetchPath('/mos/centos-6/nothing/repodata/repomd.xml')).status).toBe(404);
});

test("an old URL of a customer is behind the customer's list", async () => {
  for (const path of ['/mos/acme/updates', '/mos/acme/updates/repodata/repomd.xml', '/mos/acme/updates/nothing', '/mos/acme/updates/@/'])
    expect([path, (await fetchPath(path)).status]).toEqual([path, 403]);
});

test('mirrorctl legacy says who used them; the log is rotated, and is read by root alone', async () => {
  const uses = (): { directory: string; requests: number; agent: string }[] =>
    (JSON.parse(onMirror('mirrorctl legacy --json')) as { uses: { directory: string; requests: number; agent: string }[] }).uses;
  const before = uses();
  expect(before.map(({ directory }) => directory)).toEqual(expect.arrayContaining([...OLD, '/mos/acme/updates']));
  expect(before.some(({ agent }) => agent.includes('libdnf'))).toBe(true);
  onMirror('logrotate --force /etc/logrotate.d/nginx; systemctl is-enabled logrotate.timer');
  await fetchPath(`${OLD[0]}/repodata/repomd.xml`);
  expect(onMirror('ls /var/log/nginx/mirror-legacy.log*').trim().split('\n').length).toBeGreaterThan(1);
  const total = (rows: { requests: number }[]): number => rows.reduce((sum, { requests }) => sum + requests, 0);
  expect(total(uses())).toBe(total(before) + 1);
  expect(onMirror('setpriv --reuid mirror --clear-groups mirrorctl legacy; echo $?').trim().split('\n').at(-1)).toBe('7');
});
