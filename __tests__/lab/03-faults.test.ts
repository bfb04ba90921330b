/** What goes wrong on the way to a server, and that the previous generation keeps serving. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adding,
  asItIs,
  dnf,
  fetchPath,
  generation,
  lab,
  labEnvironment,
  must,
  NAME,
  onMirror,
  poll,
  run,
  tryOnMirror,
  withDeployment,
} from './support';

jest.setTimeout(300_000);

const SITE = '/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml';
const NEW_CUSTOMER = `const faulty = new Customer(server, 'faulty', { access: Access.public() });
new MosCodename(faulty, 'c', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });`;
const NEW_PATH = '/faulty/centos/mos9.0-centos7/os/x86_64/repodata/repomd.xml';
/** The next deploy waits for the confirmation of one whose operator was killed. */
const soon = (main: string): string => main.replace('signingKey: Secret', 'confirmWithinSeconds: 5,\n  signingKey: Secret');
const noTrace = /\n\s+at .*:\d+:\d+/;

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

afterEach(async () => {
  expect((await fetchPath(SITE)).status).toBe(200);
});

test('a vhost that nginx refuses: nothing is switched, the deploy fails and says why, the site never stops', async () => {
  const before = generation();
  await withDeployment(asItIs, async (deployment) => {
    deployment.inject((state) => {
      const vhost = state.elements.find((e) => e.id.startsWith('vhost/'));
      if (vhost) vhost.files['nginx/vhost.conf'] = `${vhost.files['nginx/vhost.conf']}\nserver { listen 81; no_such_directive on; }\n`;
    });
    const site = poll(SITE);
    const result = deployment.apply();
    const { requests, bad } = await site.stop();
    expect(result.status).not.toBe(0);
    expect(result.text).toMatch(/no_such_directive/);
    expect(result.text).not.toMatch(noTrace);
    expect({ bad, enough: requests > 20 }).toEqual({ bad: [], enough: true });
    expect(generation()).toBe(before);
  });
});

test('a vhost that nginx accepts but that does not answer: rolled back, and the plan still says what is pending', async () => {
  const before = generation();
  await withDeployment(adding(NEW_CUSTOMER), async (deployment) => {
    deployment.inject((state) => {
      const vhost = state.elements.find((e) => e.id.startsWith('vhost/'));
      if (vhost)
        vhost.files['nginx/vhost.conf'] =
          vhost.files['nginx/vhost.conf']?.replace('include /etc/mirror/current/nginx/generation.conf;', '') ?? '';
    });
    const site = poll(SITE);
    const result = deployment.apply();
    const { bad } = await site.stop();
    expect(result.status).not.toBe(0);
    expect(result.text).toMatch(/probe|generation/i);
    expect(bad).toEqual([]);
    expect(generation()).toBe(before);
    expect((await fetchPath(NEW_PATH)).status).toBe(404);
  });
  await withDeployment(adding(NEW_CUSTOMER), (deployment) => {
    const plan = deployment.plan();
    expect(Object.keys(plan.elements)).toEqual(['activation']);
    expect(plan.text).toMatch(/pending: .*\+ customer\/faulty/);
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('a signing key that came with a refused deploy is gone with it', async () => {
  const published = async (): Promise<string> => (await fetchPath('/mos-repos/centos/mos7.0-centos6/os/RPM-GPG-KEY-mos7.0')).body;
  // Metadata is signed by the key that is handed out, or dnf refuses it.
  const accepted = (): number => dnf([`http://${NAME}/repo-files/mos7.0-centos6.repo`], 'makecache', '--enablerepo=*').status;
  const before = await published();
  const other = mkdtempSync(join(tmpdir(), 'mirror-other-key-'));
  try {
    must('gpg', [
      '--homedir',
      other,
      '--batch',
      '--passphrase',
      '',
      '--quick-generate-key',
      'other <other@example.org>',
      'rsa2048',
      'sign',
      '0',
    ]);
    writeFileSync(join(other, 'key'), must('gpg', ['--homedir', other, '--batch', '--armor', '--export-secret-keys']));
    await withDeployment(
      // sshd has that port.
      (main) => main.replace("{ serverName: 'mirror.example.org' }", "{ serverName: 'mirror.example.org', port: 22 }"),
      (deployment) => {
        expect(deployment.apply().status).not.toBe(0);
      },
      { MIRROR_SIGNING_KEY_FILE: join(other, 'key') },
    );
  } finally {
    run('gpgconf', ['--homedir', other, '--kill', 'all']);
    rmSync(other, { recursive: true });
  }
  expect([await published(), accepted()]).toEqual([before, 0]);
  await withDeployment(asItIs, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  expect([await published(), accepted()]).toEqual([before, 0]);
});

test('a link where the lock is made does not lead root elsewhere', async () => {
  onMirror(
    'echo precious > /etc/precious; rm -f /run/mirror-host.lock; ln -s /etc/precious /run/mirror-host.lock; runuser -u nobody -- ln -s /etc/precious /run/lock/mirror-host.lock',
  );
  await withDeployment(asItIs, (deployment) => {
    expect(
      deployment.terraform('apply', '-input=false', '-no-color', '-auto-approve', '-replace=null_resource.server_Activation_0701FE9D')
        .status,
    ).not.toBe(0);
  });
  expect(onMirror('cat /etc/precious; rm -f /run/mirror-host.lock /run/lock/mirror-host.lock')).toBe('precious\n');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('a unit that systemd refuses', async () => {
  const before = generation();
  await withDeployment(asItIs, (deployment) => {
    deployment.inject((state) => {
      const timer = state.elements.find((e) => e.id === 'timer/epel-7');
      if (timer) timer.files['systemd/mirror-sync@epel-7.timer'] = '[Timer]\nOnCalendar=every full moon\n';
    });
    const result = deployment.apply();
    expect(result.status).not.toBe(0);
    expect(result.text).toMatch(/mirror-sync@epel-7\.timer/);
    expect(generation()).toBe(before);
  });
});

test('a stale plan: the desired state is another one than was planned', async () => {
  await withDeployment(adding(NEW_CUSTOMER), (deployment) => {
    deployment.plan();
    must('sed', ['-i', 's/faulty/forged/g', `${deployment.stack}/mirror/desired-state.json`]);
    const result = deployment.terraform('apply', '-input=false', '-no-color', 'test.tfplan');
    expect(result.status).not.toBe(0);
    expect(result.text).toMatch(/plan.*again/i);
    expect(result.text).not.toMatch(noTrace);
  });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('the data mount is missing: refused, and nothing is created below it', async () => {
  const before = generation();
  onMirror('systemctl stop nginx; umount -l /srv/mirror');
  try {
    await withDeployment(asItIs, (deployment) => {
      const result = deployment.apply();
      expect(result.status).not.toBe(0);
      expect(result.text).toMatch(/\/srv\/mirror/);
      expect(result.text).toMatch(/mount/);
    });
    expect(onMirror('ls -A /srv/mirror').trim()).toBe('');
    const sync = tryOnMirror('mirrorctl sync epel-7');
    expect(sync.status).toBe(7);
    expect(sync.text).toMatch(/mount/);
    expect(generation()).toBe(before);
  } finally {
    lab('power', 'cycle');
  }
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('a full disk under the configuration: refused, the previous generation serves, and the next deploy converges', async () => {
  const before = generation();
  // A small file system where the next generation would be written, with the generations of now in it.
  onMirror(
    'mkdir -p /run/small && mount -t tmpfs -o size=2m tmpfs /run/small && cp -a /etc/mirror/. /run/small/ && mount --bind /run/small /etc/mirror && systemctl reload nginx && (head -c 4m /dev/zero > /etc/mirror/filler || true)',
  );
  try {
    await withDeployment(adding(NEW_CUSTOMER), (deployment) => {
      const result = deployment.apply();
      expect(result.status).not.toBe(0);
      expect(result.text).toMatch(/space|ENOSPC|full/i);
      expect(result.text).not.toMatch(noTrace);
      expect(generation()).toBe(before);
    });
    expect((await fetchPath(SITE)).status).toBe(200);
  } finally {
    onMirror('umount /etc/mirror && umount /run/small && systemctl reload nginx');
  }
  await withDeployment(asItIs, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});

test('a full disk under the content: the sync fails and says so, what is published stays', () => {
  const state = (): string => onMirror('readlink /srv/mirror/repositories/centos-7-extras/current 2>/dev/null || true').trim();
  onMirror('mirrorctl sync centos-7-extras');
  const before = state();
  lab('upstream', 'update', 'https://vault.centos.org/7.9.2009/extras/x86_64/', 'centos-release-scl', '77');
  onMirror(
    'fallocate -l $(df --output=avail -B1 /srv/mirror | tail -n 1) /srv/mirror/filler; dd if=/dev/zero of=/srv/mirror/filler2 bs=64k 2>/dev/null; true',
  );
  try {
    const result = tryOnMirror('mirrorctl sync centos-7-extras');
    expect(result.status).not.toBe(0);
    expect(result.text).toMatch(/space|ENOSPC|full/i);
    expect(result.text).not.toMatch(noTrace);
    expect(state()).toBe(before);
  } finally {
    onMirror('rm -f /srv/mirror/filler /srv/mirror/filler2');
    lab('upstream', 'restore');
  }
  onMirror('mirrorctl sync centos-7-extras');
});

test('two deploys at once: one waits and says for whom', async () => {
  const holder = 'flock /run/mirror-host.lock';
  onMirror(`systemd-run --unit=holder --collect ${holder} sleep 4`);
  await withDeployment(adding(NEW_CUSTOMER), (deployment) => {
    const applied = deployment.deploy();
    expect(applied).toMatch(/wait/i);
  });
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('the operator is killed half way, at ten moments: the site answers, and the next deploy converges', async () => {
  for (let moment = 0; moment < 10; moment++) {
    await withDeployment(
      (main) => soon(moment % 2 === 0 ? adding(NEW_CUSTOMER)(main) : main),
      async (deployment) => {
        const site = poll(SITE);
        const apply = deployment.startApply();
        const ended = once(apply, 'exit'); // it may end before the kill
        await new Promise((r) => setTimeout(r, 300 + moment * 150));
        run('pkill', ['-KILL', '-P', String(apply.pid)]);
        apply.kill('SIGKILL');
        await ended;
        run('pkill', ['-KILL', '-f', `${deployment.stack}`]);
        const { bad } = await site.stop();
        expect(bad).toEqual([]);
      },
    );
    must('rm', [
      '-f',
      ...must('sh', ['-c', 'ls -d "$(dirname "$0")"/.*.lock.info 2>/dev/null || true', lab('env', '--json')])
        .split('\n')
        .filter(Boolean),
    ]);
  }
  await withDeployment(asItIs, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});

test('mirror-host is killed half way, at every tenth of a second: the site answers, and the next deploy converges', async () => {
  for (const delay of [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7]) {
    await withDeployment(
      (main) => soon(adding(NEW_CUSTOMER)(main)),
      async (deployment) => {
        const site = poll(SITE);
        onMirror(
          `systemd-run -q --unit=killer --collect sh -c 'while ! pkill -0 -f "mirror-host.cjs activate"; do sleep 0.01; done; sleep ${delay}; pkill -KILL -f "mirror-host.cjs activate"'`,
        );
        deployment.apply();
        tryOnMirror('systemctl stop killer');
        const { bad } = await site.stop();
        expect(bad).toEqual([]);
        deployment.deploy();
        expect((await fetchPath(NEW_PATH)).status).toBe(200);
      },
    );
    await withDeployment(asItIs, (deployment) => {
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
    });
  }
});

describe('SSH', () => {
  test('a changed host key: both fingerprints, nothing sent', async () => {
    await withDeployment(
      asItIs,
      (deployment) => {
        const result = deployment.apply();
        expect(result.status).not.toBe(0);
        expect(result.text).toContain(`SHA256:${'B'.repeat(43)}`);
        expect(result.text.replace(/\s*\n\s*│?\s*/g, '')).toContain(labEnvironment()['MIRROR_HOST_KEY']);
        expect(result.text).not.toMatch(noTrace);
      },
      { MIRROR_HOST_KEY: `SHA256:${'B'.repeat(43)}` },
    );
  });
  test.each([
    ['nobody listens', { MIRROR_PORT: '2' }, /refuses connections/],
    ['no such name', { MIRROR_ADDRESS: 'no-such-host.invalid' }, /resolve|no-such-host\.invalid/],
    ['a key file that is not there', { MIRROR_SSH_KEY: '/nonexistent' }, /\/nonexistent/],
    ['no key at all', { MIRROR_SSH_KEY: '', SSH_AUTH_SOCK: '' }, /MIRROR_SSH_KEY/],
    ['a user who may not', { MIRROR_USER: 'nobody' }, /does not accept our key/],
  ])('%s', async (_name, over, said) => {
    await withDeployment(
      asItIs,
      (deployment) => {
        const result = deployment.terraform('plan', '-input=false', '-no-color');
        expect(result.status).not.toBe(0);
        expect(result.text).toMatch(said);
        expect(result.text).not.toMatch(noTrace);
      },
      over,
    );
  });
  test('a missing secret is said before anything is sent', async () => {
    await withDeployment(
      adding(NEW_CUSTOMER),
      (deployment) => {
        const result = deployment.apply();
        expect(result.status).not.toBe(0);
        expect(result.text).toMatch(/MIRROR_SIGNING_KEY/);
      },
      { MIRROR_SIGNING_KEY_FILE: '', MIRROR_SIGNING_KEY: '' },
    );
    await withDeployment(asItIs, (deployment) => deployment.deploy());
  });
});

test('no secret in the synthesized files, the plan, the state, or what anybody can read on the server', async () => {
  const env = labEnvironment();
  // A line from the middle of the file: its beginning is the public half.
  const secret = (must('cat', [env['MIRROR_SIGNING_KEY_FILE'] as string]).split('\n')[16] ?? '').trim();
  expect(secret.length).toBeGreaterThan(40);
  await withDeployment(asItIs, (deployment) => {
    deployment.plan();
    expect(run('grep', ['-rlF', secret, deployment.directory, env['MIRROR_STATE'] as string]).stdout).toBe('');
    expect(run('grep', ['-cF', 'PRIVATE KEY', env['MIRROR_STATE'] as string]).stdout.trim()).toBe('0');
  });
  // Only in the place for secrets, which only the content user reads.
  expect(
    onMirror(
      `grep -rlF '${secret}' /etc/mirror /srv/mirror/www /srv/mirror/repositories /var/lib/mirror /var/log /run/log 2>/dev/null | grep -v '^/etc/mirror/generations/[0-9]*/secrets/\\(previous-\\)\\?signing-key$' || true`,
    ).trim(),
  ).toBe('');
  for (const user of ['www-data', 'mirror'])
    expect(tryOnMirror(`runuser -u ${user} -- cat /etc/mirror/current/secrets/signing-key`).status).not.toBe(0);
  expect(onMirror('find /var/lib/mirror -name "private-keys*"').trim()).toBe('');
  expect(onMirror('stat -L -c "%U %a" /etc/mirror/secrets/signing-key').trim()).toBe('root 400');
});
