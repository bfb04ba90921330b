/** The cases of the design's table, on a real server: what a deploy may do from wherever it starts. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adding, asItIs, fetchPath, generation, lab, onMirror, poll, withDeployment } from './support';

jest.setTimeout(300_000);

const EPEL = '/mirror/centos/epel/dl.fedoraproject.org/pub/epel/7/x86_64/repodata/repomd.xml';
const CUSTOMER = '/customer/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml';
const ACTIVATION = 'null_resource.server_Activation_0701FE9D';

/** Lines among the server's props. */
const server =
  (lines: string) =>
  (main: string): string =>
    main.replace('signingKey: Secret', `${lines}\n  signingKey: Secret`);
const waiving =
  (waiver: string) =>
  (main: string): string =>
    server(`waivers: [${waiver}],`)(main).replace('  View,\n}', '  View,\n  Waiver,\n}');
/** Every repository that is copied from an upstream goes. */
const withoutCopies = (main: string): string => main.replace(/\/\/ ---- CentOS 7, from the vault[^]*?(?=\/\/ ---- MOS)/, '');
const withoutAnything = (main: string): string => withoutCopies(main).replace(/\/\/ ---- MOS[^]*?(?=app\.synth)/, '');
const both =
  (...edits: ((main: string) => string)[]) =>
  (main: string): string =>
    edits.reduce((text, edit) => edit(text), main);

/** Everything that a deploy may change on the server. */
const fingerprint = (): string =>
  onMirror(
    'readlink /etc/mirror/current; find /etc/mirror /etc/systemd/system /etc/nginx /srv/mirror/www /usr/local/sbin /usr/local/bin /usr/local/lib/mirror \\( -type f -o -type l \\) -printf "%p %T@ %l\\n" | sort | sha256sum; systemctl show -p ExecMainStartTimestampMonotonic nginx; pgrep -f "nginx: worke[r]" | sort',
  );

const freshState = (): string => join(tmpdir(), `mirror-case-${process.pid}-${Math.random().toString(16).slice(2)}.tfstate`);

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('systemctl start mirror-sync@epel-7');
});
afterEach(async () => {
  await withDeployment(asItIs, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
  expect((await fetchPath(EPEL)).status).toBe(200);
});

test('a fresh state on an intact server: a no-op, no file touched, nginx not reloaded', async () => {
  const state = freshState();
  const before = fingerprint();
  await withDeployment(
    asItIs,
    (deployment) => {
      expect(deployment.deploy()).toMatch(/unchanged: generation \d+ serves/);
      expect(deployment.plan().sentences).toEqual([]);
    },
    { MIRROR_STATE: state },
  );
  rmSync(state);
  expect(fingerprint()).toBe(before);
});

test('a first deploy that was planned without the server: the next plan, with it, is empty', async () => {
  const state = freshState();
  const before = fingerprint();
  await withDeployment(asItIs, (deployment) => expect(deployment.deploy()).toContain('unchanged'), {
    MIRROR_STATE: state,
    MIRROR_OBSERVE: '0',
  });
  await withDeployment(asItIs, (deployment) => expect(deployment.plan().sentences).toEqual([]), { MIRROR_STATE: state });
  // Before, the server recorded an empty answer, which Terraform takes for none.
  onMirror(': > /var/lib/mirror/host/last-drift');
  await withDeployment(asItIs, (deployment) => expect(deployment.deploy()).toContain('unchanged'), { MIRROR_STATE: state });
  rmSync(state);
  expect(fingerprint()).toBe(before);
});

test('tainted, replaced, targeted: validated again, and nothing moves', async () => {
  await withDeployment(asItIs, (deployment) => {
    const before = fingerprint();
    for (const args of [
      ['apply', '-input=false', '-no-color', '-auto-approve', `-replace=${ACTIVATION}`],
      ['apply', '-input=false', '-no-color', '-auto-approve', `-target=${ACTIVATION}`],
    ]) {
      const applied = deployment.terraform(...args);
      expect([applied.status, applied.text]).toEqual([0, expect.stringContaining('Apply complete')]);
    }
    expect(deployment.terraform('taint', ACTIVATION).status).toBe(0);
    expect(deployment.deploy()).toMatch(/unchanged: generation \d+ serves/);
    expect(fingerprint()).toBe(before);
  });
});

test('a targeted change takes everything that is declared along, since the digest comes from the configuration', async () => {
  await withDeployment(adding(`new Customer(server, 'acme', { access: Access.public() });`), (deployment) => {
    const applied = deployment.terraform('apply', '-input=false', '-no-color', '-auto-approve', `-target=${ACTIVATION}`);
    expect(applied.text).toMatch(/generation \d+ activated in .*\+ customer\/acme/);
    expect(deployment.plan().sentences).toEqual([]);
  });
});

test('another owner is refused, by name; the waiver shows in the plan and takes over; the first owner is then refused in turn', async () => {
  const state = freshState();
  const before = fingerprint();
  const elsewhere = (main: string): string => main.replace("new MirrorServer(stack, 'server', {", "new MirrorServer(stack, 'second', {");
  try {
    await withDeployment(
      elsewhere,
      (deployment) => {
        const refused = deployment.apply();
        expect(refused.status).not.toBe(0);
        expect(refused.text).toContain('this server belongs to mirror/server');
        expect(refused.text).toContain("Waiver.takeOver({ from: 'mirror/server'");
        expect(fingerprint()).toBe(before);
      },
      { MIRROR_STATE: state },
    );
    await withDeployment(
      both(elsewhere, waiving(`Waiver.takeOver({ from: 'mirror/server', reason: 'the first deployment is given up' })`)),
      (deployment) => {
        expect(deployment.plan().text).toContain('takes over from mirror/server: the first deployment is given up');
        deployment.deploy();
        expect(onMirror('mirror-host status')).toContain('of mirror/second');
      },
      { MIRROR_STATE: state },
    );
    await withDeployment(asItIs, (deployment) => {
      expect(deployment.plan().text).toContain('deployed by mirror/second, not by mirror/server');
      expect(deployment.apply().text).toContain('this server belongs to mirror/second');
    });
    await withDeployment(waiving(`Waiver.takeOver({ from: 'mirror/second', reason: 'back to the first deployment' })`), (deployment) =>
      deployment.deploy(),
    );
  } finally {
    rmSync(state, { force: true });
  }
});

test('unpublishing more than half is refused with the waiver to write; with it, it is done, and the content stays', async () => {
  const before = fingerprint();
  let waiver = '';
  await withDeployment(withoutCopies, (deployment) => {
    const refused = deployment.apply();
    expect(refused.status).not.toBe(0);
    expect(refused.text).toMatch(/would unpublish 26 of [23][0-9]/);
    waiver = /Waiver\.unpublish\(\{ elements: \[[^\]]*\], reason: '…' \}\)/.exec(refused.text.replaceAll(/\n\s*/g, ' '))?.[0] ?? '';
    expect(fingerprint()).toBe(before);
  });
  expect(waiver).toContain("'repository/epel-7'");
  await withDeployment(both(withoutCopies, waiving(waiver.replace('…', 'the upstreams are all gone'))), async (deployment) => {
    expect(deployment.plan().text).toContain('the upstreams are all gone');
    deployment.deploy();
    expect((await fetchPath(EPEL)).status).toBe(404);
    expect((await fetchPath(CUSTOMER)).status).toBe(200);
    expect(onMirror('ls /srv/mirror/repositories/epel-7/current/repodata/repomd.xml')).toContain('repomd.xml');
  });
});

test('zero repositories are valid', async () => {
  const all = onMirror(
    `node -e 'const m = JSON.parse(require("fs").readFileSync("/etc/mirror/current/manifest.json")); console.log(JSON.stringify(Object.keys(m.published)))'`,
  ).trim();
  const waiver = `Waiver.unpublish({ elements: ${all}, reason: 'this server is emptied' })`;
  await withDeployment(both(withoutAnything, waiving(waiver)), async (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
    expect((await fetchPath('/')).status).toBe(200);
    expect((await fetchPath(CUSTOMER)).status).toBe(404);
  });
});

test('terraform destroy forgets: the server goes on serving, and a new state finds it as it is', async () => {
  const state = freshState();
  await withDeployment(
    asItIs,
    async (deployment) => {
      deployment.deploy();
      const before = fingerprint();
      const destroyed = deployment.terraform('destroy', '-input=false', '-no-color', '-auto-approve');
      expect([destroyed.status, destroyed.text]).toEqual([0, expect.stringContaining('Destroy complete')]);
      expect((await fetchPath(EPEL)).status).toBe(200);
      expect(deployment.deploy()).toMatch(/unchanged: generation \d+ serves/);
      expect(fingerprint()).toBe(before);
    },
    { MIRROR_STATE: state },
  );
  rmSync(state);
});

test('a construct that is renamed keeps its id: addresses move in the state, nothing moves on the server', async () => {
  const before = generation();
  await withDeployment(
    (main) => main.replace("new RpmRepository(server, 'epel-7', {", "new RpmRepository(server, 'epel-seven', {\n  id: 'epel-7',"),
    (deployment) => {
      const plan = deployment.plan();
      expect(Object.keys(plan.elements).sort()).toEqual(['repository/epel-7', 'timer/epel-7']);
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
      expect(generation()).toBe(before);
    },
  );
});

test('a changed id without formerId is refused; with it the content stays public in every sample, and is synced on under its new id', async () => {
  const renamed = (former: string) => (main: string) =>
    main.replace("new RpmRepository(server, 'epel-7', {", `new RpmRepository(server, 'epel-seven', {${former}`);
  const before = fingerprint();
  await withDeployment(renamed(''), (deployment) => {
    const refused = deployment.apply();
    expect(refused.status).not.toBe(0);
    expect(refused.text).toMatch(/is served by repository\/epel-7 and would become repository\/epel-seven's, which has no content/);
    expect(refused.text).toContain("formerId: 'epel-7'");
    expect(fingerprint()).toBe(before);
  });
  await withDeployment(renamed("\n  formerId: 'epel7',"), (deployment) => {
    expect(deployment.apply().text).toMatch(
      /which has no content: nothing was changed\s.*Its formerId, epel7, has no content on this server/,
    );
    expect(fingerprint()).toBe(before);
  });
  const content = (await fetchPath(EPEL)).body;
  const site = poll(EPEL);
  await withDeployment(renamed("\n  formerId: 'epel-7',"), async (deployment) => {
    expect(deployment.deploy()).toContain('epel-seven: goes on with the content of epel-7');
    expect(deployment.plan().sentences).toEqual([]);
    expect((await fetchPath(EPEL)).body).toBe(content);
    const inode = (id: string): string => onMirror(`find -L /srv/mirror/repositories/${id}/current/ -name '*.rpm' -printf '%i\\n' | sort`);
    expect(inode('epel-seven')).toBe(inode('epel-7'));
    lab('upstream', 'update', 'epel', 'jq', '1.9');
    onMirror('systemctl start mirror-sync@epel-seven');
    expect((await fetchPath(EPEL)).body).not.toBe(content);
    onMirror('mirror-host rollback');
    expect((await fetchPath(EPEL)).body).toBe(content);
  });
  const { bad, requests } = await site.stop();
  expect({ bad, enough: requests > 50 }).toEqual({ bad: [], enough: true });
  lab('upstream', 'restore');
});
