/** Each prop of the server and the vhost, on a real server. Runs last: the storage moves. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { NAME, ROOT, adding, asItIs, fetchPath, lab, labEnvironment, must, onMirror, run, withDeployment } from './support';

jest.setTimeout(300_000);

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

const environment = labEnvironment;
const hostKey = (): string => environment()['MIRROR_HOST_KEY'] as string;

test('a user with sudo, on another SSH port, through a jump host', async () => {
  const address = environment()['MIRROR_ADDRESS'] as string;
  onMirror(`apt-get install -qq -y sudo >/dev/null; id deploy 2>/dev/null || useradd -m deploy; install -d -o deploy -m 700 /home/deploy/.ssh; install -o deploy -m 600 /root/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy; printf 'Port 22\\nPort 2222\\n' > /etc/ssh/sshd_config.d/ports.conf; systemctl restart ssh`);
  const jump = (main: string): string =>
    main.replace('signingKey: Secret', `jumpHost: { address: '${address}', user: 'root', hostKey: '${hostKey()}' },\n  signingKey: Secret`);
  await withDeployment(
    (main) =>
      adding(`new MosCodename(server, 'viasudo', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });`)(jump(main)),
    async (deployment) => {
      expect(deployment.deploy()).toMatch(/generation \d+ activated/);
      expect((await fetchPath('/mos-repos/centos/mos9.0-centos7/os/x86_64/repodata/repomd.xml')).status).toBe(200);
      expect(deployment.plan().sentences).toEqual([]);
    },
    { MIRROR_USER: 'deploy', MIRROR_PORT: '2222', MIRROR_ADDRESS: '127.0.0.1' },
  );
  onMirror('rm /etc/sudoers.d/deploy');
  await withDeployment(
    jump,
    (deployment) => {
      const result = deployment.terraform('plan', '-input=false', '-no-color');
      expect(result.status).not.toBe(0);
      expect(result.text).toMatch(/sudo/);
    },
    { MIRROR_USER: 'deploy', MIRROR_PORT: '2222', MIRROR_ADDRESS: '127.0.0.1' },
  );
  await withDeployment(
    (main) => jump(main).replace(hostKey(), `SHA256:${'C'.repeat(43)}`),
    (deployment) => {
      const result = deployment.terraform('plan', '-input=false', '-no-color');
      expect(result.status).not.toBe(0);
      expect(result.text).toContain(`SHA256:${'C'.repeat(43)}`);
    },
    { MIRROR_PORT: '2222', MIRROR_ADDRESS: '127.0.0.1' },
  );
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('host keys from a known_hosts file, our key from an agent; a changed line shows in the plan and is refused', async () => {
  const address = environment()['MIRROR_ADDRESS'] as string;
  const file = `dist/known_hosts-${process.pid}`;
  const scanned = must('ssh-keyscan', ['-t', 'ed25519', address])
    .split('\n')
    .filter((line) => line.startsWith(address));
  const byFile = (main: string): string => main.replace(/^\s*hostKey: env\(.*$/m, `  knownHosts: '${file}',`);
  const socket = join(mkdtempSync(join(tmpdir(), 'mirror-agent-')), 'agent');
  const agent = must('ssh-agent', ['-s', '-a', socket]);
  const over = { MIRROR_SSH_KEY: '', SSH_AUTH_SOCK: socket };
  try {
    must('ssh-add', ['-q', environment()['MIRROR_SSH_KEY'] as string], { env: { ...process.env, ...over } });
    writeFileSync(join(ROOT, file), `# of the lab\n${scanned.join('\n')}\n`);
    await withDeployment(byFile, (deployment) => expect(deployment.plan().sentences).toEqual([]), over);
    writeFileSync(join(ROOT, file), scanned.join('\n').replace(/AAAAC3NzaC1lZDI1NTE5AAAAI...../, 'AAAAC3NzaC1lZDI1NTE5AAAAIAAAAA'));
    await withDeployment(
      byFile,
      (deployment) => {
        const result = deployment.terraform('plan', '-input=false', '-no-color');
        expect(result.status).not.toBe(0);
        expect(result.text.replaceAll(/\s+/g, ' ')).toContain('not the pinned one');
        expect(result.text).toContain(hostKey());
      },
      over,
    );
  } finally {
    run('kill', [/SSH_AGENT_PID=(\d+)/.exec(agent)?.[1] ?? '']);
    rmSync(dirname(socket), { recursive: true });
    rmSync(join(ROOT, file), { force: true });
  }
});

test('another port, without IPv6', async () => {
  await withDeployment(
    (main) => main.replace(`{ serverName: '${NAME}' }`, `{ serverName: '${NAME}', port: 8080, ipv6: false }`),
    async (deployment) => {
      expect(onMirror('ss -Hltn sport = :80')).toMatch(/\[::\]:80/);
      deployment.deploy();
      expect((await fetchPath('/repo-files/epel-7.repo', 8080)).body).toContain(`baseurl=http://${NAME}:8080/`);
      expect(onMirror('ss -Hltn sport = :8080')).not.toMatch(/\[::\]/);
      expect(onMirror('ss -Hltn sport = :80').trim()).toBe('');
    },
  );
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('storage elsewhere: refused for a server that has content', async () => {
  await withDeployment(
    (main) => main.replace('signingKey: Secret', "storageRoot: '/srv/third',\n  storageOnOwnMount: false,\n  signingKey: Secret"),
    (deployment) => {
      const result = deployment.apply();
      expect(result.status).not.toBe(0);
      expect(result.text).toMatch(/the storage root is declared as \/srv\/third, but the mirror's content was set up at \/srv\/mirror/);
    },
  );
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('storage elsewhere on a new server: a mount of its own is required unless it is declared otherwise', async () => {
  lab('reset', 'mirror');
  await withDeployment(
    (main) => main.replace('signingKey: Secret', "storageRoot: '/srv/elsewhere',\n  signingKey: Secret"),
    (deployment) => {
      const result = deployment.apply();
      expect(result.status).not.toBe(0);
      expect(result.text).toMatch(/\/srv\/elsewhere.*mount/s);
      expect(onMirror('ls -A /srv/elsewhere 2>/dev/null || true').trim()).toBe('');
    },
  );
  await withDeployment(
    (main) => main.replace('signingKey: Secret', "storageRoot: '/srv/elsewhere',\n  storageOnOwnMount: false,\n  signingKey: Secret"),
    async (deployment) => {
      deployment.deploy();
      expect((await fetchPath('/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml')).status).toBe(200);
      expect(onMirror('readlink -f /srv/elsewhere/www/mos-repos/centos/mos7.0-centos6/os')).toMatch(
        /^\/srv\/elsewhere\/repositories\/mos\/mos7\.0-centos6\/os\/snapshots\//,
      );
      onMirror('systemctl start mirror-sync@ceph-nautilus-noarch.service');
      expect(onMirror('systemctl show -p RequiresMountsFor mirror-sync@x.service')).toContain('/srv/elsewhere');
      expect(deployment.plan().sentences).toEqual([]);
    },
  );
  lab('reset', 'mirror');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('scripts/lab: status, url, an unknown host, help', () => {
  expect(lab('status')).toMatch(/mirror/);
  expect(JSON.parse(lab('status', '--json'))).toBeTruthy();
  const url = lab('url', '/repo-files/').trim();
  expect(must('curl', ['-fsS', '-H', `Host: ${NAME}`, url])).toContain('epel-7.repo');
  expect(run('scripts/lab', ['ssh', 'nowhere']).status).not.toBe(0);
  expect(run('scripts/lab', ['ssh', 'nowhere']).text).toMatch(/mirror.*upstream.*client/);
  expect(lab('--help')).toContain('upstream');
});

test('another instance on this machine does not collide', () => {
  const other = { ...process.env, MIRROR_LAB: `${process.env['MIRROR_LAB'] ?? 'default'}-second` };
  expect(run('scripts/lab', ['up'], { env: other }).status).toBe(0);
  try {
    const mine = environment()['MIRROR_ADDRESS'];
    const theirs = (JSON.parse(must('scripts/lab', ['env', '--json'], { env: other })) as Record<string, string>)['MIRROR_ADDRESS'];
    expect(theirs).not.toBe(mine);
    expect(must('scripts/lab', ['ssh', 'mirror', 'command -v nginx || echo bare'], { env: other }).trim()).toBe('bare');
  } finally {
    expect(run('scripts/lab', ['down'], { env: other }).status).toBe(0);
  }
  expect(onMirror('systemctl is-active nginx').trim()).toBe('active');
});
