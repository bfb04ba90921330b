/** Old URLs and default sets on a real server, with real dnf, and who still uses what. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from '../content/support/keys';
import { adding, asItIs, dnf, fetchPath, lab, NAME, onMirror, tryOnMirror, withDeployment, putOnMirror } from './support';

jest.setTimeout(300_000);

const work = mkdtempSync(join(tmpdir(), 'mirror-legacy-'));
let key: TestKey;
const NINE = "release: '9.5', distribution: Distribution.CENTOS, version: '7'";
/** A product's and a customer's set over the lab's base, and a closed customer with old URLs. */
const declared = (): string => `const built = PublicKey.fromFile('${join(work, 'built.asc')}');
const nine = new MosCodename(server, 'mos9.5', { ${NINE}, keys: [built] });
const nodes = new DefaultSet(server, 'nodes', { codename: nine, base: [server.node.findChild('centos-7-os') as RpmRepository] });
const sets = new Customer(server, 'sets', { access: Access.public(), keys: [built] });
const own = new MosCodename(sets, 'mos9.5', { ${NINE} });
new DefaultSet(sets, 'nodes', { codename: own, on: nodes });
const acme = new Customer(server, 'acme', { access: Access.networks(['192.0.2.0/24']) });
const acme70 = new MosCodename(acme, 'mos7.0-centos6', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
new LegacyAlias(server, 'acme-old', { path: 'mos/acme', to: acme70 });`;

/** A signed package on the server. */
function onServer(name: string, version: string): string {
  const package_ = buildPackage(work, name, version);
  signPackage(key, package_);
  return putOnMirror(package_);
}

beforeAll(async () => {
  key = makeKey(join(work, 'key'), 'built');
  writeFileSync(join(work, 'built.asc'), key.publicKey);
  lab('up');
  await withDeployment(adding(declared()), (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  onMirror('mirrorctl sync --wait 300 centos-7-os');
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('cd /srv/mirror; rm -rf {repositories,public-snapshots}/{mos/mos9.5-centos7,sets,acme} /var/tmp/*.rpm');
  dropKey(key);
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

test("of a customer's set the customer's packages win, of the product's the product's, over a newer base", () => {
  const version = (file: string, name: string): string | undefined => {
    const installed = dnf([`http://${NAME}/${file}`], 'install', '-y', name);
    expect([file, name, installed.status, installed.text]).toEqual([file, name, 0, expect.stringContaining('Complete!')]);
    return new RegExp(`^ ${name} +\\S+ +(\\S+) `, 'm').exec(installed.text)?.[1];
  };
  const [product, customer] = ['repo-files/9.5-centos7-openstack.repo', 'sets/9.5-centos7-openstack.repo'] as const;
  // The base's, whichever it has by now.
  expect(version(product, 'bash')).not.toBe('1.0-1');
  onMirror(`mirrorctl publish mos9.5-centos7/updates ${onServer('set-a', '2.0')} ${onServer('bash', '1.0')}`);
  onMirror(`mirrorctl publish sets/mos9.5-centos7/updates ${onServer('set-a', '1.0')}`);
  expect([product, customer].map((file) => version(file, 'set-a'))).toEqual(['2.0-1', '1.0-1']);
  expect([product, customer].map((file) => version(file, 'bash'))).toEqual(['1.0-1', '1.0-1']);
  onMirror(`mirrorctl publish sets/mos9.5-centos7/os ${onServer('set-b', '1.0')}`);
  onMirror(`mirrorctl publish mos9.5-centos7/security ${onServer('set-b', '3.0')}`);
  expect([product, customer].map((file) => version(file, 'set-b'))).toEqual(['3.0-1', '1.0-1']);
});

test('lint accepts what is deployed and published, by its directory and as clients get it, and finds what somebody broke', () => {
  onMirror('cp /etc/hosts /var/tmp/hosts');
  for (const place of ['/srv/mirror/www/mos-repos', `http://${NAME}/sets/centos/mos9.5-centos7`]) {
    const looked = `echo 127.0.0.1 ${NAME} >> /etc/hosts; mirrorctl lint --deep ${place}; s=$?; cat /var/tmp/hosts > /etc/hosts; exit $s`;
    const { status, text } = tryOnMirror(looked);
    expect([place, status, text]).toEqual([place, 0, expect.stringMatching(/every byte; 0 errors, 0 warnings\n$/)]);
  }
  onMirror(
    'rm -rf /var/tmp/broken; cp -aL /srv/mirror/www/mos-repos/centos/mos9.5-centos7/updates /var/tmp/broken; chmod -R u+w /var/tmp/broken; echo >> /var/tmp/broken/x86_64/repodata/repomd.xml',
  );
  const broken = tryOnMirror('mirrorctl lint /var/tmp/broken; s=$?; rm -rf /var/tmp/broken; exit $s');
  expect([broken.status, broken.text]).toEqual([3, expect.stringContaining('error SIGNATURE_UNTRUSTED')]);
});
