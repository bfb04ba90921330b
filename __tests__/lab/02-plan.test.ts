/** What operators see before a change, and that the change does just that. */
import { NAME, adding, asItIs, dnf, fetchPath, generation, lab, labEnvironment, onMirror, run, withDeployment } from './support';

jest.setTimeout(300_000);

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

const ACME = `const acme = new Customer(server, 'acme', { access: Access.networks(['127.0.0.1']), keys: [key('RPM-GPG-KEY-Docker')] });
new MosCodename(acme, 'mos9.0-centos7', { release: '9.0', distribution: Distribution.CENTOS, version: '7', architectures: ['x86_64', 'aarch64'] });
`;

test('adding a customer shows that customer and the activation, nothing else; then it is there, for those who may read', async () => {
  await withDeployment(adding(ACME), async (deployment) => {
    const plan = deployment.plan();
    expect(plan.elements).toEqual({ 'customer/acme': 'create', 'codename/acme/mos9.0-centos7': 'create', activation: 'delete,create' });
    expect(plan.sentences).toEqual(['adds customer acme (1 codename, 5 repositories), readable from 127.0.0.1 only']);
    expect(plan.text).toContain('+ "nginx"');
    expect(plan.text).toContain('allow 127.0.0.1;');
    const repomd = '/acme/centos/mos9.0-centos7/os/aarch64/repodata/repomd.xml';
    expect((await fetchPath(repomd)).status).toBe(404);
    const applied = deployment.deploy();
    expect(applied).toMatch(/generation \d+ activated.*\+ codename\/acme\/mos9\.0-centos7.*\+ customer\/acme/s);
    expect((await fetchPath(repomd)).status).toBe(403);
    expect((await fetchPath('/acme/')).status).toBe(403);
    expect((await fetchPath('/acme')).status).toBe(404);
    expect((await fetchPath('/')).body).not.toContain('acme');
    expect((await fetchPath('/acme/mos9.0-centos7.repo')).status).toBe(403);
    const local = (path: string): string =>
      onMirror(`curl -s -o /dev/null -w '%{http_code}' -H 'Host: ${NAME}' http://127.0.0.1${path} || true`);
    onMirror('command -v curl >/dev/null || apt-get install -qq -y curl >/dev/null');
    expect(local(repomd)).toBe('200');
    const keyFile = onMirror(`curl -s -H 'Host: ${NAME}' http://127.0.0.1/acme/centos/mos9.0-centos7/os/RPM-GPG-KEY-mos9.0`);
    expect(keyFile.match(/BEGIN PGP PUBLIC KEY/g)).toHaveLength(2);
    expect(deployment.plan().sentences).toEqual([]);
  });
});

test('an access list that opens shows as text, and opens', async () => {
  await withDeployment(adding(ACME.replace("Access.networks(['127.0.0.1'])", 'Access.public()')), async (deployment) => {
    const plan = deployment.plan();
    expect(plan.elements).toEqual({ 'customer/acme': 'delete,create', activation: 'delete,create' });
    expect(plan.sentences).toEqual(['opens customer acme to everybody (was from 127.0.0.1 only)']);
    deployment.deploy();
    expect((await fetchPath('/acme/mos9.0-centos7.repo')).status).toBe(200);
    expect(dnf([`http://${NAME}/acme/mos9.0-centos7.repo`], 'makecache').text).toContain('Metadata cache created');
  });
});

test('a customer that leaves is unpublished at once; its content stays', async () => {
  await withDeployment(asItIs, async (deployment) => {
    expect(deployment.plan().sentences).toEqual([
      'removes customer acme (1 codename, 5 repositories): unpublished at once, its content stays on the server',
    ]);
    deployment.deploy();
    expect((await fetchPath('/acme/mos9.0-centos7.repo')).status).toBe(404);
    expect(onMirror('ls /srv/mirror/repositories/acme/mos9.0-centos7')).toContain('holdback');
    expect(onMirror('ls -A /srv/mirror/www')).not.toContain('acme');
  });
});

test('one schedule', async () => {
  const later = (main: string): string => main.replace('SyncSchedule.daily({ hour: 3 })', 'SyncSchedule.daily({ hour: 4, minute: 30 })');
  await withDeployment(later, (deployment) => {
    const plan = deployment.plan();
    expect(plan.elements).toEqual({ 'timer/epel-7': 'delete,create', activation: 'delete,create' });
    expect(plan.sentences).toEqual(['changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:30 UTC']);
    deployment.deploy();
    expect(onMirror('systemctl show -p TimersCalendar mirror-sync@epel-7.timer')).toContain('04:30:00');
    expect(onMirror('systemctl is-active mirror-sync@epel-7.timer').trim()).toBe('active');
  });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('a repository on a schedule that systemd accepts, with every form of it', async () => {
  const schedules = adding(`
const other = { trust: Trust.digestsOnly('a copy for the test of schedules'), view: View.VERBATIM } as const;
new RpmRepository(server, 'hourly', { ...other, publishedAs: 'https://download.ceph.com/a/', fetchFrom: ['https://download.ceph.com/rpm-nautilus/el7/noarch/'], schedule: SyncSchedule.hourly({ minute: 7 }) });
new RpmRepository(server, 'weekly', { ...other, publishedAs: 'https://download.ceph.com/b/', fetchFrom: ['https://nowhere.invalid/', 'https://download.ceph.com/rpm-nautilus/el7/noarch/'], schedule: SyncSchedule.weekly({ day: 'Sat', hour: 23, minute: 59 }), distribution: Distribution.FEDORA });
`);
  await withDeployment(schedules, async (deployment) => {
    deployment.deploy();
    expect(onMirror('systemctl show -p TimersCalendar mirror-sync@hourly.timer mirror-sync@weekly.timer')).toMatch(
      /\*-\*-\* \*:07:00 UTC[^]*Sat \*-\*-\* 23:59:00 UTC/,
    );
    // Started by the deploy in the background; what has no signature is served without a check, as declared.
    onMirror(
      'for i in $(seq 60); do systemctl is-active -q mirror-sync-new.service || [ "$(systemctl is-active mirror-sync-new.service)" = activating ] || break; sleep 1; done',
    );
    expect((await fetchPath('/mirror/centos/download.ceph.com/a/repodata/repomd.xml')).status).toBe(200);
    expect((await fetchPath('/mirror/fedora/download.ceph.com/b/repodata/repomd.xml')).status).toBe(200);
    expect((await fetchPath('/repo-files/hourly.repo')).body).toContain('gpgcheck=0\nrepo_gpgcheck=0\n');
  });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  expect(run('scripts/lab', ['ssh', 'mirror', 'systemctl is-enabled mirror-sync@hourly.timer']).status).not.toBe(0);
});

test('drift shows, and a deploy repairs it; the same drift shows again', async () => {
  // Two ways that people edit: in place, and by an editor that replaces the link with a file.
  const edits = ['sed -i --follow-symlinks', 'sed -i'];
  await withDeployment(asItIs, (deployment) => {
    for (const edit of edits) {
      onMirror(
        `systemctl disable --now mirror-sync@epel-7.timer && ${edit} 's/server_tokens off/server_tokens on/' /etc/nginx/sites-enabled/mirror.conf`,
      );
      const plan = deployment.plan();
      expect(plan.elements).toEqual({ activation: 'delete,create' });
      expect(plan.sentences).toHaveLength(1);
      expect(plan.sentences[0]).toMatch(/^repairs drift: /);
      expect(plan.sentences[0]).toMatch(/mirror-sync@epel-7\.timer/);
      expect(plan.sentences[0]).toMatch(/(nginx\/vhost|sites-enabled\/mirror)\.conf modified/);
      deployment.deploy();
      expect(onMirror('systemctl is-enabled mirror-sync@epel-7.timer').trim()).toBe('enabled');
      expect(onMirror('grep -c "server_tokens off" /etc/nginx/sites-enabled/mirror.conf').trim()).toBe('1');
      expect(deployment.plan().sentences).toEqual([]);
    }
  });
});

test.each([
  ['a unit is gone', 'rm /etc/systemd/system/mirror-sync@.service', /mirror-sync@\.service/],
  ['nginx is stopped', 'systemctl stop nginx', /nginx/],
  ['a public link is gone', 'rm /srv/mirror/www/mos-repos/centos/mos7.0-centos6/os', /mos-repos\/centos\/mos7\.0-centos6\/os/],
  ['the site link is gone', 'rm /etc/nginx/sites-enabled/mirror.conf', /sites-enabled\/mirror\.conf/],
  ['a definition is edited', 'echo >> /etc/mirror/current/definitions/repositories/epel-7.yaml', /definitions\/repositories\/epel-7\.yaml/],
  [
    'a hosted component is gone',
    'rm -rf /srv/mirror/repositories/mos/mos7.0-centos6/os',
    /repositories\/mos\/mos7\.0-centos6\/os\/current missing/,
  ],
  ['the signing key is gone', 'rm /etc/mirror/secrets/signing-key', /signing-key/],
  ['its public half is gone', 'rm /srv/mirror/keys/RPM-GPG-KEY-mirror', /\/srv\/mirror\/keys\/RPM-GPG-KEY-mirror missing/],
])('drift: %s', async (_name, command, shown) => {
  await withDeployment(asItIs, async (deployment) => {
    onMirror(command);
    const plan = deployment.plan();
    expect(plan.sentences.join()).toMatch(shown);
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
    expect((await fetchPath('/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml')).status).toBe(200);
  });
});

test('copies that were lost with their disk are fetched again in the background, whatever the next deploy is for', async () => {
  await withDeployment(asItIs, (deployment) => {
    onMirror('rm -rf /srv/mirror/repositories/docker-ce-7; rm -rf /srv/mirror/store/sha256');
    expect(deployment.deploy()).toContain('Resources: 0 added');
    onMirror('systemctl stop nginx');
    expect(deployment.deploy()).toMatch(/first sync of 1 new repositories/);
  });
  onMirror('for i in $(seq 60); do [ -e /srv/mirror/repositories/docker-ce-7/current ] && break; sleep 1; done');
  expect((await fetchPath('/mirror/centos/download.docker.com/linux/centos/7/x86_64/stable/repodata/repomd.xml')).status).toBe(200);
});

test('a new version of our own programs shows and arrives, without another change', async () => {
  await withDeployment(asItIs, (deployment) => {
    const before = onMirror('readlink -f /usr/local/bin/mirrorctl').trim();
    deployment.upgradePrograms();
    const plan = deployment.plan();
    expect(plan.elements).toEqual({ activation: 'delete,create' });
    expect(plan.sentences).toEqual(['upgrades the server programs']);
    deployment.deploy();
    expect(onMirror('readlink -f /usr/local/bin/mirrorctl').trim()).not.toBe(before);
    expect(onMirror('tail -n 1 $(readlink -f /usr/local/bin/mirrorctl)').trim()).toBe('// upgraded');
  });
  await withDeployment(asItIs, (deployment) => {
    expect(deployment.plan().sentences).toEqual(['upgrades the server programs']);
    deployment.deploy();
  });
});

test('npm run plan says it in words', () => {
  const env = labEnvironment();
  const nothing = run('npm', ['run', '--silent', 'plan'], { env: { ...process.env, ...env } });
  expect(nothing.text).toContain('Nothing to do: the server matches main.ts.');
  expect(nothing.status).toBe(0);
  const json = run('npm', ['run', '--silent', 'plan', '--', '--json'], { env: { ...process.env, ...env } });
  expect(JSON.parse(json.stdout)).toMatchObject({ stack: 'mirror', changes: false, sentences: [] });
  expect(run('npm', ['run', '--silent', 'plan', '--', '--stack', 'nope'], { env: { ...process.env, ...env } }).text).toContain(
    'Stacks of main.ts: mirror.',
  );
});

test('planning without the server: no connection, no change, no noise', async () => {
  await withDeployment(
    asItIs,
    (deployment) => {
      expect(deployment.plan().sentences).toEqual([]);
    },
    { MIRROR_OBSERVE: '0', MIRROR_SSH_KEY: '/nonexistent' },
  );
});

test('a wiped server shows, and is rebuilt', async () => {
  lab('reset', 'mirror');
  await withDeployment(asItIs, async (deployment) => {
    const plan = deployment.plan();
    expect(plan.elements).toEqual({ activation: 'delete,create' });
    expect(plan.sentences.join()).toMatch(/^sets up root@.* again, since it has no generation: /);
    deployment.deploy();
    expect(generation()).toBe(1);
    expect((await fetchPath('/customer/centos/mos7.0-centos6/cr/x86_64/repodata/repomd.xml')).status).toBe(200);
    expect(deployment.plan().sentences).toEqual([]);
  });
});
