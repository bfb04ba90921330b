/** Releases and time travel on a real server: what was frozen stays byte for byte, and every path answers for what it was. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { adding, asItIs, dnf, fetchPath, importing, lab, must, NAME, onMirror, run, tryOnMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const UPDATES = 'centos-7-updates';
const PATH = '/mirror/centos/centos/mirror.centos.org/centos/7/updates/x86_64';
const UPSTREAM = 'https://vault.centos.org/7.9.2009/updates/x86_64/';
const RELEASE = `http://${NAME}/repo-files/release-november.repo`;
const LIVE = `http://${NAME}/repo-files/${UPDATES}.repo`;
const ACME = `const acme = new Customer(server, 'acme', { access: Access.networks(['192.0.2.0/24']) });
new MosCodename(acme, 'codename', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });`;

const work = mkdtempSync(join(tmpdir(), 'mirror-releases-'));
/** main.ts with these lines, and what they use. */
const declaring = (lines: string) => (main: string) => adding(lines)(importing('Release')(main));
const release = (at: string, rest = '', id = 'november'): string =>
  `new Release(server, '${id}', {
  of: [server.node.findChild('${UPDATES}') as RpmRepository, server.node.findChild('mos7.0-centos6') as MosCodename],
  at: '${at}',${rest}
});`;
const now = (): string => onMirror('date -u +%Y-%m-%dT%H:%M:%SZ').trim();
const sync = (): string => onMirror(`mirrorctl sync --wait 300 ${UPDATES}`);
/** Versions that no run before this one has left in the accumulated repository. */
const LATER = `1.1.${Math.floor(Date.now() / 1000)}`;
const LATEST = `1.2.${Math.floor(Date.now() / 1000)}`;
/** The one that is published when the release is frozen. */
let frozen: string;
let frozenAt: string;
let next: string;

beforeAll(async () => {
  lab('up');
  onMirror('rm -rf /srv/mirror/releases/* /srv/mirror/repositories/releases');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  sync();
  const home = mkdtempSync(join(work, 'gpg-'));
  const gpg = (...args: string[]): string => must('gpg', ['--homedir', home, '--batch', '--quiet', ...args]);
  gpg('--passphrase', '', '--quick-generate-key', 'next <next@example.org>', 'rsa2048', 'sign', '0');
  next = join(work, 'next.asc');
  writeFileSync(next, gpg('--armor', '--export-secret-keys'));
  run('gpgconf', ['--homedir', home, '--kill', 'all']);
  frozen = /openssl-libs +x86_64 +1:(\S+)-/.exec(dnf([LIVE], 'install', '-y', 'openssl-libs').text)?.[1] as string;
  frozenAt = now();
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('rm -rf /srv/mirror/releases/* /srv/mirror/repositories/releases; systemctl reset-failed');
  lab('upstream', 'restore');
  rmSync(work, { recursive: true });
});

/** Digest of every file of the release, as clients get it, by its manifest. */
async function served(): Promise<Record<string, string>> {
  const manifest = (await fetchPath('/releases/november/manifest.txt')).body;
  const paths = [...manifest.matchAll(/^sha256:[0-9a-f]+\t\d+\t(.+)$/gm)].map(([, path]) => path as string);
  expect(paths.length).toBeGreaterThan(20);
  const script = `cd /srv/mirror/www/releases/november && sha256sum manifest.txt release.json ${paths.map((path) => `'${path}'`).join(' ')}`;
  const found = Object.fromEntries(
    onMirror(script)
      .trim()
      .split('\n')
      .map((line) => [line.slice(66), line.slice(0, 64)]),
  );
  for (const path of paths.filter((one) => !one.endsWith('.rpm'))) {
    const { status, body } = await fetchPath(`/releases/november/${encodeURI(path)}`);
    expect([path, status]).toEqual([path, 200]);
    if (/\.(xml|asc|key)$/.test(path)) expect([path, createHash('sha256').update(body).digest('hex')]).toEqual([path, found[path]]);
  }
  return found;
}

/** Yum configuration of the mirror with another base URL, or another key. */
function repoFile(name: string, baseurl: string): string {
  const path = join(work, `${name}.repo`);
  writeFileSync(
    path,
    `[${name}]\nname=${name}\nbaseurl=${baseurl}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=${baseurl}repodata/repomd.xml.key http://${NAME}/keys/RPM-GPG-KEY-CentOS-7\n`,
  );
  return path;
}

test('a release is frozen by the deploy, and stays what it was through syncs, another key and retention; pins change beside it', async () => {
  await withDeployment(declaring(release(frozenAt)), (deployment) => {
    expect(deployment.plan().sentences).toEqual([`adds release november: 6 repositories as of ${frozenAt}; once frozen it never changes`]);
    expect(deployment.deploy()).toContain('release november: frozen');
    expect(deployment.plan().sentences).toEqual([]);
  });
  const before = await served();
  expect(dnf([RELEASE], 'makecache', '--enablerepo=*').text).toContain('Metadata cache created');
  const installed = dnf([RELEASE], 'install', '-y', 'openssl-libs');
  expect(installed.text).toContain(`1:${frozen}-`);
  expect(installed.status).toBe(0);

  lab('upstream', 'update', UPSTREAM, 'openssl-libs', LATER);
  lab('upstream', 'drop', UPSTREAM, 'bind');
  sync();
  const rotated = (main: string): string =>
    declaring(release(frozenAt))(main).replace(
      "signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY')",
      `signingKey: Secret.fromFile('${next}', { version: 'releases' })`,
    );
  await withDeployment(rotated, (deployment) => deployment.deploy());
  lab('upstream', 'update', UPSTREAM, 'openssl-libs', LATEST);
  sync();
  onMirror('mirrorctl retention apply; mirrorctl scrub --all --wait 60');
  expect(await served()).toEqual(before);
  expect(onMirror('mirrorctl release verify november')).toContain('as it was frozen');
  const again = dnf([RELEASE], 'install', '-y', 'openssl-libs', 'bind');
  expect(again.text).toContain(`1:${frozen}-`);
  expect(again.text).not.toContain(LATEST);
  expect(again.status).toBe(0);
  expect(dnf([LIVE], 'install', '-y', 'openssl-libs').text).toContain(LATEST);

  await withDeployment(declaring(release(frozenAt, `\n  pins: ['openssl-libs-1:${LATER}-1.el7', 'nothing-1-1'],`)), (deployment) => {
    expect(deployment.plan().sentences).toContain('pins nothing-1-1 for clients of release november');
    expect(deployment.deploy()).toContain('warning: the release november pins nothing-1-1, which no copied repository here has');
  });
  const pinned = dnf([RELEASE], 'install', '-y', 'openssl-libs');
  expect(pinned.text).toContain(LATER);
  expect(pinned.status).toBe(0);
  expect(await served()).toEqual(before);
  expect(tryOnMirror('mirrorctl release list').status).toBe(3);
});

test('another declaration of what was frozen is refused by the server, and nothing changes', async () => {
  await withDeployment(declaring(release('2026-01-01T00:00:00Z')), (deployment) => {
    const refused = deployment.apply();
    expect(refused.status).not.toBe(0);
    expect(refused.text.replaceAll(/\s+/g, ' ')).toContain('the release november was frozen at');
  });
  expect((await fetchPath('/releases/november/release.json')).status).toBe(200);
});

test('a release of a time to come is frozen by the timer; declared no longer it is no longer public, and its content stays', async () => {
  const soon = onMirror('date -u -d "+45 seconds" +%Y-%m-%dT%H:%M:%SZ').trim();
  await withDeployment(declaring(`${release(frozenAt)}\n${release(soon, '', 'soon')}`), async (deployment) => {
    expect(deployment.deploy()).toContain('release soon: waits for its time');
    expect(onMirror('systemctl is-active mirror-release.timer')).toBe('active\n');
    expect((await fetchPath('/releases/soon/release.json')).status).toBe(404);
    for (let i = 0; i < 60 && now() < soon; i++) await sleep(1000);
    onMirror('systemctl start mirror-release.service');
    expect((await fetchPath('/releases/soon/release.json')).status).toBe(200);
    expect(onMirror('systemctl show mirror-release.service -p ExecMainStatus')).toBe('ExecMainStatus=0\n');
  });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  for (const id of ['soon', 'november']) expect((await fetchPath(`/releases/${id}/release.json`)).status).toBe(404);
  expect(onMirror('mirrorctl release list')).toMatch(/^november +undeclared/m);
  expect(tryOnMirror('systemctl cat mirror-release.timer').status).not.toBe(0);
});

test('dnf installs what a path had at a time, though upstream moved on; its signature verifies', async () => {
  const then = repoFile('then', `http://${NAME}${PATH}/@${frozenAt}/`);
  const installed = dnf([then], 'install', '-y', 'openssl-libs');
  expect(installed.text).toContain(`1:${frozen}-`);
  expect(installed.text).not.toContain(LATEST);
  expect(installed.status).toBe(0);
  expect((await fetchPath(`${PATH}/@/`)).body).toContain('<a href="../@20');
  expect((await fetchPath(`${PATH}/@2000-01-01/`)).status).toBe(404);
  expect((await fetchPath(`${PATH}/@then/`)).status).toBe(400);
  expect((await fetchPath(`/mos-repos/centos/mos7.0-centos6/os/@${frozenAt}/x86_64/repodata/repomd.xml`)).status).toBe(200);
});

test("a customer's access list holds at every time", async () => {
  await withDeployment(declaring(ACME), async (deployment) => {
    deployment.deploy();
    const at = onMirror('date -u +%Y%m%dT%H%M%SZ').trim();
    const file = 'x86_64/repodata/repomd.xml';
    const component = '/acme/centos/mos7.0-centos6/os';
    expect((await fetchPath(`${component}/${file}`)).status).toBe(403);
    for (const path of [
      `${component}/@${at}/${file}`,
      `${component}/@/`,
      `${component}/%40${at}/${file}`,
      `/mirror/..${component}/@${at}/${file}`,
    ])
      expect([path, (await fetchPath(path)).status]).toEqual([path, 403]);
    const sly = `${PATH}/@${at}/..%2f..%2f..%2f..%2facme/mos7.0-centos6/os/current/${file}`;
    expect((await fetchPath(sly)).body).not.toContain('<repomd');
    expect((await fetchPath('/.mirror/repositories/acme/mos7.0-centos6/os/current/x86_64/repodata/repomd.xml')).status).toBe(404);
  });
});

test('the socket is a part of the generation: enabled, missed when it is stopped, for nginx alone; its service is confined', async () => {
  expect(onMirror('systemctl is-enabled mirror-time.socket; systemctl is-active mirror-time.socket')).toBe('enabled\nactive\n');
  expect(onMirror("stat -c '%U %G %a' /run/mirror-time.sock")).toBe('mirror www-data 660\n');
  expect(
    Number(/: ([\d.]+) /.exec(onMirror('systemd-analyze security --no-pager mirror-time.service | tail -1'))?.[1]),
  ).toBeLessThanOrEqual(1.5);
  onMirror('systemctl disable --now mirror-time.socket');
  await withDeployment(asItIs, (deployment) => {
    expect(deployment.plan().sentences).toContain('repairs drift: mirror-time.socket disabled; mirror-time.socket stopped');
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  expect((await fetchPath(`${PATH}/@/`)).status).toBe(200);
  const before = onMirror('systemctl show mirror-time.service -p MainPID').trim();
  // Another version of the programs takes over, while somebody asks.
  await withDeployment(asItIs, (deployment) => {
    deployment.upgradePrograms();
    deployment.deploy();
  });
  expect((await fetchPath(`${PATH}/@/`)).status).toBe(200);
  expect(onMirror('systemctl show mirror-time.service -p MainPID').trim()).not.toBe(before);
});
