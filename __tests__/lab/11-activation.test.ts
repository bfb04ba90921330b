/** A deploy that its operator cannot confirm is taken back: by a timer, at boot, by the next deploy. And what operators do by hand. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  adding,
  asItIs,
  Deployment,
  deployEnvironment,
  fetchPath,
  generation,
  lab,
  labEnvironment,
  must,
  onMirror,
  poll,
  run,
  tryOnMirror,
  withDeployment,
  type Finished,
} from './support';

jest.setTimeout(300_000);

const SITE = '/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml';
const ACME = adding(`const acme = new Customer(server, 'acme', { access: Access.public() });
new MosCodename(acme, 'c', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });`);
const ACME_PATH = '/acme/centos/mos9.0-centos7/os/x86_64/repodata/repomd.xml';
const noTrace = /\n\s+at .*:\d+:\d+/;

/** Lines among the server's props. */
const server =
  (lines: string) =>
  (main: string): string =>
    main.replace('signingKey: Secret', `${lines}\n  signingKey: Secret`);
const both =
  (...edits: ((main: string) => string)[]) =>
  (main: string): string =>
    edits.reduce((text, edit) => edit(text), main);
const soon = server('confirmWithinSeconds: 5,');

/** Waits, at most this long, until a command on the server prints something. */
async function until(command: string, expected: RegExp, seconds = 20): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const said = tryOnMirror(command).stdout;
    if (expected.test(said)) return;
    if (Date.now() > deadline) throw new Error(`${command} still printed ${said} after ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
const settled = (): Promise<void> => until('test -e /var/lib/mirror/host/journal.json || echo settled', /settled/);

/** Runs the apply program as Terraform would, and kills it when it has said this. */
async function applyAndDie(deployment: Deployment, said: string): Promise<void> {
  const { triggers } = (
    JSON.parse(readFileSync(join(deployment.stack, 'cdk.tf.json'), 'utf8')) as {
      resource: { null_resource: Record<string, { triggers: Record<string, string> }> };
    }
  ).resource.null_resource['server_Activation_0701FE9D'] as { triggers: Record<string, string> };
  const env = {
    ...deployment.env,
    MIRROR_DESIRED_STATE_SHA256: triggers['desired_state'],
    MIRROR_PROGRAMS_SHA256: triggers['programs'],
    MIRROR_LAST_DRIFT: '',
  };
  const apply = spawn(process.execPath, ['mirror/apply.cjs'], { cwd: deployment.stack, env });
  const ended = once(apply, 'close');
  let output = '';
  apply.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.includes(said)) apply.kill('SIGKILL');
  });
  await ended;
  expect(output).toContain(said);
}

const converges = (): Promise<void> =>
  withDeployment(asItIs, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });

beforeAll(async () => {
  lab('up');
  await converges();
});
afterEach(async () => {
  expect((await fetchPath(SITE)).status).toBe(200);
});

describe('a deploy whose operator is gone after the switch', () => {
  test('is taken back in time, by itself, and the site never stops', async () => {
    const before = generation();
    const site = poll(SITE);
    await withDeployment(both(ACME, soon), async (deployment) => {
      await applyAndDie(deployment, 'switching to generation');
      await until('cat /var/lib/mirror/host/journal.json', /unconfirmed/);
      expect(generation()).toBe(before + 1);
      expect(tryOnMirror('mirror-host generations').stdout).toMatch(/waits for its confirmation/);
      await settled();
      expect(generation()).toBe(before);
      expect((await fetchPath(ACME_PATH)).status).toBe(404);
      expect(onMirror('journalctl -u mirror-revert -o cat --no-pager')).toMatch(
        /generation \d+: nobody confirmed it: restoring generation \d+/,
      );
    });
    const { requests, bad } = await site.stop();
    expect({ bad, enough: requests > 100 }).toEqual({ bad: [], enough: true });
    await withDeployment(asItIs, (deployment) => {
      expect(deployment.plan().text).toMatch(/was taken back: nobody confirmed it/);
    });
    await converges();
    // The one who was taken back may still try: the next generation has another number, and is none of his.
    expect(generation()).toBe(before + 2);
    expect(tryOnMirror(`mirror-host confirm --generation ${before + 1}`).status).toBe(8);
  });

  test('may still be confirmed by hand', async () => {
    await withDeployment(ACME, async (deployment) => {
      await applyAndDie(deployment, 'switching to generation');
      await until('cat /var/lib/mirror/host/journal.json', /unconfirmed/);
      const number = generation();
      const wrong = tryOnMirror(`mirror-host confirm --generation ${number + 7}`);
      expect([wrong.status, wrong.stdout]).toEqual([8, expect.stringContaining('does not wait for a confirmation')]);
      expect(onMirror(`mirror-host confirm --generation ${number} --json`)).toContain('"outcome":"confirmed"');
      expect(onMirror(`mirror-host confirm --generation ${number} --json`)).toContain('"outcome":"confirmed"');
      expect(generation()).toBe(number);
      expect((await fetchPath(ACME_PATH)).status).toBe(200);
    });
    await converges();
  });

  test('is waited for by the next deploy, which says whose it is', async () => {
    const before = generation();
    await withDeployment(both(ACME, server('confirmWithinSeconds: 8,')), (deployment) =>
      applyAndDie(deployment, 'switching to generation'),
    );
    await until('cat /var/lib/mirror/host/journal.json', /unconfirmed/);
    await withDeployment(asItIs, (deployment) => {
      const said = deployment.deploy();
      expect(said).toMatch(/waiting at most \d s for the confirmation of generation \d+, deployed by mirror\/server by root/);
      expect(deployment.plan().sentences).toEqual([]);
    });
    expect(generation()).toBeGreaterThan(before);
    expect((await fetchPath(ACME_PATH)).status).toBe(404);
  });

  test('is taken back at boot', async () => {
    const before = generation();
    await withDeployment(ACME, (deployment) => applyAndDie(deployment, 'switching to generation'));
    await until('cat /var/lib/mirror/host/journal.json', /unconfirmed/);
    lab('power', 'cycle');
    await settled();
    expect(generation()).toBe(before);
    expect((await fetchPath(ACME_PATH)).status).toBe(404);
    await converges();
  });

  test('after an interrupted switch too', async () => {
    const before = generation();
    await withDeployment(both(ACME, soon), async (deployment) => {
      // Dies when the switch has begun and cannot clean up: only the timer is left.
      onMirror(
        `systemd-run -q --unit=killer --collect sh -c 'until grep -q switching /var/lib/mirror/host/journal.json; do sleep 0.005; done; pkill -KILL -f "mirror-host.cjs activate"'`,
      );
      const applied = deployment.apply();
      expect(applied.text).toMatch(/ended without a result|was lost/);
      expect(applied.text).not.toMatch(noTrace);
      await settled();
      expect(generation()).toBe(before);
    });
    await converges();
  });
});

describe('the deploy account', () => {
  let keys: string;
  let other: string;
  const account = (line: string): ((main: string) => string) =>
    server(`authorizedKeys: [${JSON.stringify(line)}],\n  confirmWithinSeconds: 6,`);
  const as = { MIRROR_USER: 'mirror-deploy' };
  beforeAll(() => {
    keys = mkdtempSync(join(tmpdir(), 'mirror-keys-'));
    must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'bob@example.org', '-f', join(keys, 'bob')]);
    other = readFileSync(join(keys, 'bob.pub'), 'utf8').trim();
  });
  afterAll(async () => {
    rmSync(keys, { recursive: true });
    await converges();
    expect(tryOnMirror('id mirror-deploy').status).not.toBe(0);
    expect(onMirror('ls /etc/sudoers.d /var/lib/mirror-deploy')).not.toContain('mirror-deploy\n');
  });
  const own = (): string =>
    `${must('ssh-keygen', ['-y', '-f', labEnvironment()['MIRROR_SSH_KEY'] as string])
      .trim()
      .split(' ')
      .slice(0, 2)
      .join(' ')} alice@example.org`;

  test('is made by the bootstrap user, once; from then on deploys are its own, root is not needed', async () => {
    await withDeployment(
      account(own()),
      (deployment) => {
        expect(deployment.deploy()).toMatch(/created the account mirror-deploy/);
        expect(deployment.plan().sentences).toEqual([]);
      },
      as,
    );
    expect(onMirror('runuser -u mirror-deploy -- sudo -n -l')).toMatch(/NOPASSWD: .*mirror-host/);
    expect(tryOnMirror('runuser -u mirror-deploy -- sudo -n id').status).not.toBe(0);
    expect(tryOnMirror('runuser -u mirror-deploy -- sh -c "echo x >> ~/.ssh/authorized_keys"').status).not.toBe(0);
    // Whoever set it up is not there any more; programs of another version arrive all the same.
    await withDeployment(
      both(account(own()), server("bootstrapUser: 'gone',"), ACME),
      async (deployment) => {
        deployment.upgradePrograms();
        expect(deployment.deploy()).toMatch(/the server programs [0-9a-f]{12} are installed/);
        expect((await fetchPath(ACME_PATH)).status).toBe(200);
        expect(deployment.plan().sentences).toEqual([]);
      },
      as,
    );
  });

  test('keys that lock the operator out are taken back with their generation', async () => {
    await withDeployment(account(own()), (deployment) => deployment.deploy(), as);
    const before = generation();
    let refused: Finished | undefined;
    await withDeployment(
      account(other),
      (deployment) => {
        refused = deployment.apply();
      },
      as,
    );
    expect(refused?.status).not.toBe(0);
    expect(refused?.text).toMatch(/could not be confirmed over a new connection: mirror-deploy@\S+ port 22/);
    expect(refused?.text).toMatch(/does not accept our key|takes it back by itself/);
    await settled();
    expect(generation()).toBe(before);
    await withDeployment(
      account(own()),
      (deployment) => {
        expect(deployment.plan().text).toMatch(/was taken back/);
        deployment.deploy();
        expect(deployment.plan().sentences).toEqual([]);
      },
      as,
    );
  });

  test('a changed sudoers file or link of keys is drift', async () => {
    onMirror('echo "# tampered" >> /etc/sudoers.d/mirror-deploy');
    await withDeployment(
      account(own()),
      (deployment) => {
        expect(deployment.plan().text).toContain('/etc/sudoers.d/mirror-deploy modified');
        deployment.deploy();
        expect(deployment.plan().sentences).toEqual([]);
      },
      as,
    );
  });

  test('comes back with a generation that had it, by a rollback; one that somebody removed is drift', async () => {
    await withDeployment(account(own()), (deployment) => deployment.deploy(), as);
    await converges();
    expect(tryOnMirror('id mirror-deploy').status).not.toBe(0);
    expect(onMirror('mirror-host rollback')).toMatch(/deploys log in as then: the account mirror-deploy, with the keys of generation/);
    const alone = both(account(own()), server("bootstrapUser: 'gone',"));
    await withDeployment(alone, (deployment) => void deployment.deploy(), as);
    onMirror('userdel mirror-deploy');
    await withDeployment(
      account(own()),
      (deployment) => {
        expect(deployment.plan().text).toContain('the account mirror-deploy missing');
        deployment.deploy();
      },
      as,
    );
    await withDeployment(alone, (deployment) => expect(deployment.plan().text).not.toContain('missing'), as);
  });

  test("an account that is somebody else's is left alone", async () => {
    onMirror(
      'useradd --create-home --shell /bin/sh carol && install -d -o carol -m 700 /home/carol/.ssh && install -o carol -m 600 /root/.ssh/authorized_keys /home/carol/.ssh/authorized_keys',
    );
    try {
      await withDeployment(
        account(own()),
        (deployment) => {
          const result = deployment.apply();
          expect(result.status).not.toBe(0);
          expect(result.text).toMatch(/sudo|carol/);
        },
        { MIRROR_USER: 'carol' },
      );
    } finally {
      onMirror('userdel --remove carol 2>/dev/null; true');
    }
  });
});

describe('by hand', () => {
  test('rollback: the generation before serves, shows as drift, and the next deploy ends it', async () => {
    await withDeployment(ACME, (deployment) => deployment.deploy());
    const newest = generation();
    const site = poll(SITE);
    expect(onMirror('mirror-host rollback')).toContain('"outcome":"rolled back"');
    expect((await site.stop()).bad).toEqual([]);
    expect(generation()).toBe(newest - 1);
    expect((await fetchPath(ACME_PATH)).status).toBe(404);
    await withDeployment(ACME, (deployment) => {
      const plan = deployment.plan();
      expect(Object.keys(plan.elements)).toEqual(['activation']);
      expect(plan.text).toContain(`rolled back from generation ${newest}`);
    });
    expect(onMirror(`mirror-host rollback --to ${newest}`)).toContain(`"generation":${newest}`);
    expect((await fetchPath(ACME_PATH)).status).toBe(200);
    const refused = tryOnMirror('mirror-host rollback --to 4711');
    expect([refused.status, refused.stdout]).toEqual([3, expect.stringContaining('generation 4711 is not on this server')]);
    expect(tryOnMirror('mirror-host rollback --to x').status).toBe(2);
    const listed = JSON.parse(onMirror('mirror-host generations --json')) as { generation: number; state: string; added: string[] }[];
    expect(listed[0]).toMatchObject({ generation: newest, state: 'serves' });
    expect(listed.map((entry) => entry.generation)).toEqual([...listed.map((entry) => entry.generation)].sort((a, b) => b - a));
    await converges();
  });

  test("a damaged generation stands in nobody else's way, and one that is gone is made anew", async () => {
    await withDeployment(ACME, (deployment) => deployment.deploy());
    await converges();
    const newest = generation();
    onMirror(`echo '{' > /etc/mirror/generations/${newest - 1}/manifest.json`);
    expect(onMirror('mirror-host generations')).toContain(`${newest}  `);
    expect(onMirror('mirror-host rollback')).toContain(`"generation":${newest - 2}`);
    await converges();
    expect(generation()).toBe(newest + 1);
    onMirror('mirror-host rollback && rm -r "$(readlink -f /etc/mirror/current)"');
    expect((await fetchPath(SITE)).status).toBe(200);
    await converges();
    expect(generation()).toBe(newest + 2);
  });

  test("a sync that runs is never killed: not by a changed schedule, not by its repository's end, not by decommissioning", async () => {
    lab('upstream', 'update', 'epel', 'jq', '1.8');
    const pid = onMirror(
      `systemctl start --no-block mirror-sync@epel-7; for i in $(seq 400); do p=$(systemctl show -p MainPID --value mirror-sync@epel-7); if [ "$p" != 0 ]; then kill -STOP $p; echo $p; break; fi; sleep 0.01; done`,
    ).trim();
    expect(Number(pid)).toBeGreaterThan(1);
    const running = (): string => onMirror('systemctl show -p MainPID --value mirror-sync@epel-7').trim();
    try {
      await withDeployment(
        (main) => main.replace('SyncSchedule.daily({ hour: 3 })', 'SyncSchedule.daily({ hour: 4, minute: 30 })'),
        (deployment) => deployment.deploy(),
      );
      expect(running()).toBe(pid);
      await withDeployment(
        (main) => main.replace(/new RpmRepository\(server, 'epel-7', \{[^]*?\n\}\);/, ''),
        (deployment) => deployment.deploy(),
      );
      expect(running()).toBe(pid);
      const refused = tryOnMirror('mirror-host decommission --yes');
      expect([refused.status, refused.stdout]).toEqual([4, expect.stringContaining('mirror-sync@epel-7.service')]);
      await converges();
      expect(running()).toBe(pid);
    } finally {
      onMirror(`kill -CONT ${pid}`);
    }
    await until(
      'systemctl show -p ActiveState -p Result mirror-sync@epel-7',
      /Result=success[^]*ActiveState=inactive|ActiveState=inactive[^]*Result=success/,
      60,
    );
    lab('upstream', 'restore');
    onMirror('systemctl start mirror-sync@epel-7');
  });

  test('decommission says what it would do, then does it; the content stays, and the next deploy serves it again', async () => {
    const content = onMirror('find /srv/mirror/repositories -name repomd.xml | sort');
    const said = onMirror('mirror-host decommission');
    expect(said).toMatch(/Nothing was done/);
    expect((await fetchPath(SITE)).status).toBe(200);
    expect(onMirror('mirror-host decommission --yes')).toContain('"outcome":"decommissioned"');
    await expect(fetchPath(SITE)).rejects.toThrow();
    expect(
      onMirror(
        'ls -d /etc/mirror /usr/local/lib/mirror /usr/local/sbin/mirror-host /usr/local/bin/mirrorctl /etc/nginx/sites-enabled/mirror.conf /etc/systemd/system/mirror-* /var/lib/mirror/host 2>/dev/null; find /srv/mirror/www -type l; systemctl list-units --plain --no-legend "mirror-*"; nginx -t 2>&1 | grep -v "is ok\\|is successful" || true',
      ).trim(),
    ).toBe('');
    expect(onMirror('find /srv/mirror/repositories -name repomd.xml | sort')).toBe(content);
    // A first deploy that came no further than its packages leaves programs, which know what to say; the next goes on with them.
    await withDeployment(asItIs, (deployment) => {
      deployment.inject((state) => state.packages.push('no-such-package'));
      expect(deployment.apply().text).toMatch(/Unable to locate package\s+no-such-package/);
    });
    expect(onMirror('mirror-host generations; mirror-host status; mirror-host revert')).toMatch(
      /nothing was deployed[^]*nothing to take back/,
    );
    expect(tryOnMirror('mirror-host rollback').stdout).toContain('"code":"NO_SUCH_GENERATION"');
    expect(tryOnMirror('mirror-host confirm').stdout).toContain('no generation waits for a confirmation');
    expect(onMirror('mirror-host decommission --yes')).toContain('"outcome":"decommissioned"');
    await withDeployment(asItIs, (deployment) => {
      expect(deployment.plan().text).toMatch(/no generation/);
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
    });
    expect(onMirror('find /srv/mirror/repositories -name repomd.xml | sort')).toBe(content);
    expect((await fetchPath('/mirror/centos/epel/dl.fedoraproject.org/pub/epel/7/x86_64/repodata/repomd.xml')).status).toBe(200);
  });
});

describe('a secret', () => {
  test("of a new version shows in the plan by its version; one that was changed in silence shows by the server's comparison", async () => {
    const home = mkdtempSync(join(tmpdir(), 'mirror-rotated-'));
    const gpg = (...args: string[]): string => must('gpg', ['--homedir', home, '--batch', ...args]);
    gpg('--passphrase', '', '--quick-generate-key', 'rotated <rotated@example.org>', 'ed25519', 'sign', '0');
    const file = join(home, 'key.asc');
    const secret = gpg('--armor', '--export-secret-keys');
    writeFileSync(file, secret);
    try {
      await withDeployment(
        (main) => main.replace("Secret.fromEnvironment('MIRROR_SIGNING_KEY')", `Secret.fromFile('${file}', { version: '2' })`),
        (deployment) => {
          const plan = deployment.plan();
          expect(plan.text).toMatch(/"secrets" += "signing-key version 1" -> "signing-key version 2"/);
          expect(plan.text).toContain('the secret signing-key is another than the deployed one');
          const processes = watchProcesses();
          deployment.deploy();
          canary(deployment, secret, processes());
          expect(deployment.plan().sentences).toEqual([]);
        },
      );
    } finally {
      run('gpgconf', ['--homedir', home, '--kill', 'all']);
      rmSync(home, { recursive: true });
    }
    await withDeployment(
      (main) =>
        main.replace("Secret.fromEnvironment('MIRROR_SIGNING_KEY')", "Secret.fromEnvironment('MIRROR_SIGNING_KEY', { version: '2' })"),
      (deployment) => {
        const plan = deployment.plan();
        expect(Object.keys(plan.elements)).toEqual(['activation']);
        expect(plan.text).toContain('the secret signing-key is another than the deployed one');
        deployment.deploy();
        expect(deployment.plan().sentences).toEqual([]);
      },
    );
    await converges();
  });
});

/** Looks at the command line and environment of every process on the server, and at every command line here, until the returned function is called. */
function watchProcesses(): () => string {
  const look = (files: string): string => `while :; do cat ${files} 2>/dev/null | tr '\\0' '\\n' >> "$0"; echo >> "$0"; sleep 0.01; done`;
  const here = join(mkdtempSync(join(tmpdir(), 'mirror-processes-')), 'seen');
  onMirror(
    `systemd-run -q --unit=watcher sh -c '${look('/proc/[0-9]*/cmdline /proc/[0-9]*/environ').replaceAll("'", '"')}' /run/processes-seen`,
  );
  const local = spawn('sh', ['-c', look('/proc/[0-9]*/cmdline'), here], { stdio: 'ignore' });
  return () => {
    local.kill('SIGKILL');
    const seen = readFileSync(here, 'utf8') + onMirror('systemctl stop watcher; cat /run/processes-seen; rm /run/processes-seen');
    rmSync(dirname(here), { recursive: true });
    // What was looked for was there to be seen.
    expect(seen).toContain('mirror/apply.cjs');
    expect(seen).toContain('mirror-host.cjs');
    expect(seen).toContain('--signing-key');
    return seen;
  };
}

/** No line of a secret anywhere but in its one place. */
function canary(deployment: Deployment, secret: string, processes: string): void {
  const line = secret.split('\n').find((text) => text.length > 50) ?? '';
  expect(line.length).toBeGreaterThan(50);
  const output = join(deployment.directory, 'said.txt');
  const planned = deployment.terraform('show', '-json', 'test.tfplan');
  writeFileSync(output, planned.stdout);
  expect(run('grep', ['-rlF', line, deployment.directory, deployEnvironment()['MIRROR_STATE'] as string]).stdout).toBe('');
  expect(processes.includes(line)).toBe(false);
  const found = onMirror(
    `grep -rlaF '${line}' /etc /srv/mirror/www /srv/mirror/repositories /var/lib /var/log /run/log /run/systemd /tmp 2>/dev/null | grep -v '^/etc/mirror/generations/[0-9]*/secrets/signing-key$'; ` +
      `journalctl --no-pager -o cat | grep -cF '${line}'; true`,
  );
  expect(found.trim()).toBe('0');
}
