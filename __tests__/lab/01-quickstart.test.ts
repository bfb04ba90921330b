/** The first command of the README on an empty host: from main.ts to a package that dnf installed. */
import { Deployment, NAME, asItIs, dnf, fetchPath, generation, lab, must, onMirror, run, tryOnMirror, withDeployment } from './support';

jest.setTimeout(600_000);

const CODENAMES = ['mos-repos/centos/mos7.0-centos6', 'mos-repos/centos/mos7.0-centos6-fuel', 'customer/centos/mos7.0-centos6'];
const COMPONENTS = ['os', 'updates', 'security', 'holdback', 'cr'];

test('the server starts with nothing of ours', () => {
  lab('up');
  const found = onMirror(
    'command -v node nginx gpg rpm mirrorctl mirror-host; ls /etc/mirror /srv/mirror/www 2>/dev/null; id mirror 2>/dev/null; true',
  );
  expect(found.trim()).toBe('');
  expect(onMirror('systemctl is-system-running').trim()).toBe('running');
});

test('scripts/quickstart stands up the mirror, and says what it does', () => {
  const result = run('scripts/quickstart', []);
  expect(result.text).toMatch(/\[6\/6\] Summary/);
  expect(result.status).toBe(0);
  expect(result.text).toContain('Apply complete!');
  expect(result.text).toMatch(/20 of 20 repositories synced|(\d+) of \1 repositories synced/);
  expect(result.text).toMatch(/Complete!/);
});

test('a second run is quick and changes nothing', () => {
  const before = generation();
  const start = Date.now();
  const result = run('scripts/quickstart', []);
  expect(result.status).toBe(0);
  expect(result.text).toContain('Apply complete! Resources: 0 added, 0 changed, 0 destroyed.');
  expect(generation()).toBe(before);
  expect(Date.now() - start).toBeLessThan(90_000);
});

test('a failing step says which, why, and what to do', () => {
  const result = run('scripts/quickstart', [], { env: { ...process.env, PATH: process.env['PATH'], MIRROR_LAB: 'no/such instance' } });
  expect(result.status).not.toBe(0);
  expect(result.text).toMatch(/Quickstart stopped at step \d of 6/);
});

test('the plan after a deploy is empty, also from a fresh state', async () => {
  await withDeployment(asItIs, (deployment) => {
    const plan = deployment.plan();
    expect(plan.sentences).toEqual([]);
    expect(plan.changes).toBe(false);
  });
  const before = generation();
  await withDeployment(
    asItIs,
    (deployment) => {
      expect(deployment.deploy()).toContain('unchanged');
      expect(deployment.plan().changes).toBe(false);
    },
    { MIRROR_STATE: `/tmp/mirror-fresh-${process.pid}.tfstate` },
  );
  must('rm', ['-f', `/tmp/mirror-fresh-${process.pid}.tfstate`]);
  expect(generation()).toBe(before);
});

describe('the 15 URLs of the MOS seed', () => {
  test.each(CODENAMES.flatMap((codename) => COMPONENTS.map((component) => `/${codename}/${component}`)))('%s', async (path) => {
    const repomd = await fetchPath(`${path}/x86_64/repodata/repomd.xml`);
    expect(repomd.status).toBe(200);
    for (const href of repomd.body.match(/href="[^"]+"/g) ?? [])
      expect((await fetchPath(`${path}/x86_64/${href.slice(6, -1)}`)).status).toBe(200);
    expect(repomd.body).toContain('type="primary"');
    expect((await fetchPath(`${path}/x86_64/repodata/repomd.xml.asc`)).body).toContain('BEGIN PGP SIGNATURE');
    expect((await fetchPath(`${path}/Source/repodata/repomd.xml`)).status).toBe(200);
    expect((await fetchPath(`${path}/RPM-GPG-KEY-mos7.0`)).body).toContain('BEGIN PGP PUBLIC KEY');
  });

  test.each(['mos7.0-centos6.repo', 'mos7.0-centos6-fuel.repo'])('dnf accepts them with repo_gpgcheck=1: %s', (file) => {
    const result = dnf([`http://${NAME}/repo-files/${file}`], 'repolist', '-v', '--enablerepo=*');
    expect(result.text).toMatch(/Repo-id/);
    expect(result.status).toBe(0);
    expect(dnf([`http://${NAME}/repo-files/${file}`], 'makecache', '--enablerepo=*').status).toBe(0);
  });
  test('a yum configuration that is not there is told, with where they are', () => {
    const missing = dnf([`http://${NAME}/repo-files/absent.repo`], 'repolist');
    expect(missing.status).toBe(2);
    expect(missing.text).toMatch(/the repo file http:.*absent\.repo cannot be had: .*404[^]*docs\/reference\/urls\.md/);
    expect(missing.text).not.toContain('    at ');
  });
  test('and those of the customer, from the yum configuration below its prefix', () => {
    expect(dnf([`http://${NAME}/customer/mos7.0-centos6.repo`], 'makecache', '--enablerepo=*').text).toMatch(/Metadata cache created/);
  });
});

describe('copied repositories', () => {
  test('each answers at the path of its original URL', async () => {
    for (const path of [
      'mirror/centos/centos/mirror.centos.org/centos/7/os/x86_64',
      'mirror/centos/epel/dl.fedoraproject.org/pub/epel/7/x86_64',
      'mirror/centos/download.docker.com/linux/centos/7/x86_64/stable',
    ]) {
      expect((await fetchPath(`/${path}/repodata/repomd.xml`)).status).toBe(200);
    }
  });

  test("a signed package installs: its signature is upstream's, that of the metadata the mirror's, whether upstream signs some or not", async () => {
    for (const id of ['centos-7-os', 'epel-7'])
      expect((await fetchPath(`/repo-files/${id}.repo`)).body).toMatch(
        /gpgcheck=1\nrepo_gpgcheck=1\ngpgkey=http:\/\/[^ ]+\/RPM-GPG-KEY-mirror http:\/\/[^ ]+\/keys\/[^ ]+\n/,
      );
    const installed = dnf([`http://${NAME}/repo-files/centos-7-os.repo`], 'install', '-y', 'bash');
    expect(installed.text).toContain('Complete!');
    expect(installed.status).toBe(0);
  });

  test('status as a table and as JSON', () => {
    expect(onMirror('mirrorctl status')).toMatch(/epel-7/);
    const status = JSON.parse(onMirror('mirrorctl status --json')) as {
      repositories: { id: string; snapshot?: string; packages?: number }[];
    };
    const epel = status.repositories.find((r) => r.id === 'epel-7');
    expect(epel?.snapshot).toMatch(/^\d{8}T\d{6}Z-[0-9a-f]{12}$/);
    expect(epel?.packages).toBeGreaterThan(100);
    expect(status.repositories.some((r) => r.id === 'mos/mos7.0-centos6/os')).toBe(true);
  });

  test('after upstream adds a version, the unit that the timer starts brings it, and the old one stays for those with old metadata', async () => {
    const timers = onMirror('systemctl list-timers --all --no-legend mirror-sync@*');
    expect(timers.trim().split('\n')).toHaveLength(24);
    const before = (await fetchPath('/mirror/centos/centos/mirror.centos.org/centos/7/updates/x86_64/repodata/repomd.xml')).body;
    lab('upstream', 'update', 'https://vault.centos.org/7.9.2009/updates/x86_64/', 'openssl-libs', '1.0.2z');
    onMirror('systemctl start mirror-sync@centos-7-updates.service');
    const installed = dnf([`http://${NAME}/repo-files/centos-7-updates.repo`], 'install', '-y', 'openssl-libs');
    expect(installed.text).toContain('1.0.2z');
    expect(installed.status).toBe(0);
    for (const href of before.match(/href="repodata\/[^"]+"/g) ?? []) {
      expect((await fetchPath(`/mirror/centos/centos/mirror.centos.org/centos/7/updates/x86_64/${href.slice(6, -1)}`)).status).toBe(200);
    }
  });

  test('an unchanged upstream publishes nothing new', () => {
    const current = (): string => onMirror('readlink /srv/mirror/repositories/epel-7/current');
    const before = current();
    onMirror('systemctl start mirror-sync@epel-7.service');
    // By hand, as root: with the rights of the content user all the same.
    expect(onMirror('mirrorctl sync epel-7')).toContain('epel-7: unchanged');
    expect(current()).toBe(before);
    expect(
      onMirror(
        'find /srv/mirror /var/lib/mirror -path /var/lib/mirror/host -prune -o -mindepth 1 ! -user mirror ! -name lost+found ! -name .mirror-data -print | head -n 5',
      ).trim(),
    ).toBe('');
  });

  test('upstream is damaged, or down: the sync says so and fails, clients get what is whole', async () => {
    const repomd = '/mirror/centos/centos/mirror.centos.org/centos/7/extras/x86_64/repodata/repomd.xml';
    lab('upstream', 'update', 'https://vault.centos.org/7.9.2009/extras/x86_64/', 'centos-release-scl', '99');
    lab('upstream', 'corrupt', 'https://vault.centos.org/7.9.2009/extras/x86_64/', 'centos-release-scl');
    const damaged = tryOnMirror('mirrorctl sync centos-7-extras');
    expect(damaged.status).not.toBe(0);
    expect(damaged.text).toMatch(/centos-7-extras.*centos-release-scl/s);
    expect(damaged.text).not.toMatch(/\n\s+at .*:\d+:\d+/);
    expect(onMirror('mirrorctl status centos-7-extras')).toMatch(/degraded/);
    expect(dnf([`http://${NAME}/repo-files/centos-7-extras.repo`], 'install', '-y', 'epel-release').status).toBe(0);
    const before = (await fetchPath(repomd)).body;
    lab('upstream', 'down', 'vault.centos.org');
    expect(tryOnMirror('mirrorctl sync centos-7-extras').status).not.toBe(0);
    expect((await fetchPath(repomd)).body).toBe(before);
    expect(onMirror('mirrorctl status centos-7-extras')).toMatch(/failed/);
    lab('upstream', 'up', 'vault.centos.org');
    lab('upstream', 'restore');
    onMirror('systemctl start mirror-sync@centos-7-extras.service mirror-sync@centos-7-updates.service');
    expect(onMirror('mirrorctl status centos-7-extras')).not.toMatch(/failed|degraded/);
  });
});

test('a link out of the tree is not followed, even by a name that is served', async () => {
  onMirror('ln -s /etc/passwd /srv/mirror/www/mirror/leak && chown -h root:root /srv/mirror/www/mirror/leak');
  onMirror('ln -s /etc /srv/mirror/repositories/epel-7/leak; runuser -u mirror -- ln -s /etc/hostname /srv/mirror/www/mirror/leak2');
  for (const path of [
    '/mirror/leak2',
    '/../etc/passwd',
    '/mirror/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/keys../generations/',
    '/repo-files../manifest.json',
  ]) {
    expect((await fetchPath(path)).status).not.toBe(200);
  }
  onMirror('rm /srv/mirror/www/mirror/leak /srv/mirror/www/mirror/leak2 /srv/mirror/repositories/epel-7/leak');
});

test('a deployment is complete in its directory: no path of the checkout is needed to apply it', async () => {
  await withDeployment(asItIs, (deployment: Deployment) => {
    expect(run('grep', ['-rl', process.cwd(), deployment.stack, '--include=*.json']).stdout).toBe('');
  });
});
