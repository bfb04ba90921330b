/** Preflight over the real main.ts, against the lab's upstreams, from a host that knows them by name; and that it writes nothing. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerReport } from '../../scripts/survey/run';
import { type Finished, ROOT, asItIs, lab, labEnvironment, onMirror, run, withDeployment } from './support';

jest.setTimeout(300_000);

interface Status {
  readonly certificateAuthority: string;
  readonly client: { readonly namespace: string };
  readonly upstream: { readonly accessLog: string };
}
let status: Status;

beforeAll(async () => {
  lab('up');
  lab('upstream', 'restore');
  status = JSON.parse(lab('status', '--json')) as Status;
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('systemctl start mirror-sync-new.service; systemctl stop "mirror-sync@*.timer"');
});
afterAll(() => {
  lab('upstream', 'up', 'all');
  lab('upstream', 'restore');
  onMirror('for t in $(systemctl list-unit-files --no-legend "mirror-sync@?*.timer" | cut -d" " -f1); do systemctl start "$t"; done');
});

/** On the client host, whose /etc/hosts knows the upstreams. */
function preflight(...argv: string[]): Finished {
  const env = { ...process.env, ...labEnvironment(), NODE_EXTRA_CA_CERTS: status.certificateAuthority };
  return run('ip', ['netns', 'exec', status.client.namespace, 'scripts/preflight', ...argv], { env });
}

function report(ended: Finished): ServerReport {
  return (JSON.parse(ended.stdout) as { servers: [ServerReport] }).servers[0];
}

/** Everything of ours on the server: names, sizes, times, inodes. */
const onServer = (): string => onMirror("find /etc /srv/mirror /usr/local /var/lib/mirror -printf '%p %y %s %T@ %i\\n' | sort");
const inCheckout = (): string =>
  (readdirSync(ROOT, { recursive: true }) as string[])
    .filter((path) => !/^(node_modules|dist|cdktf\.out|\.git)(\/|$)/.test(path))
    .map((path) => `${path} ${statSync(join(ROOT, path)).mtimeMs}`)
    .sort()
    .join('\n');

test('every upstream of main.ts: what it is, as the sync found it, and nothing is written anywhere', () => {
  preflight('--help'); // Builds what is to be built.
  const before = { server: onServer(), checkout: inCheckout(), log: readFileSync(status.upstream.accessLog, 'utf8').length };
  const ended = preflight('--json', '--free', '500G');
  expect(ended.stderr).toMatch(/^(looked at \d+ of 20; .*\n)*$/);
  expect(ended.status).toBe(0);
  expect(onServer()).toBe(before.server);
  expect(inCheckout()).toBe(before.checkout);

  const { repositories, space, notCounted } = report(ended);
  expect(repositories).toHaveLength(20);
  expect(repositories.filter((r) => r.result !== 'fits')).toEqual([]);
  expect({ notCounted, missing: space?.missing }).toEqual({ notCounted: [], missing: 0 });
  const by = Object.fromEntries(repositories.map((r) => [r.id, r]));
  // CentOS signs metadata with version 3 signatures; Ceph's does not verify; EPEL has none; Docker's would do.
  expect(by['centos-7-os']?.trust).toMatchObject({ declared: 'signedMetadata', verdict: 'fits' });
  expect(by['centos-7-os']?.addresses[0]?.signature).toMatchObject({
    state: 'good',
    by: [{ keyId: expect.stringMatching(/^[0-9A-F]{16}$/) as string, digest: 'sha256' }],
  });
  expect(by['ceph-nautilus']?.addresses[0]?.signature).toMatchObject({ state: 'bad' });
  expect(by['epel-7']?.addresses[0]?.signature).toEqual({ state: 'absent' });
  const line = readFileSync(join(ROOT, 'main.ts'), 'utf8')
    .split('\n')
    .findIndex((text) => text.includes("key('RPM-GPG-KEY-Docker')"));
  expect(by['docker-ce-7']?.trust).toMatchObject({
    verdict: 'could be stronger',
    change: { at: `main.ts:${line + 1}`, then: "trust: Trust.signedMetadata([key('RPM-GPG-KEY-Docker')]),", alsoFor: [] },
  });

  // What the server has synced from the same upstreams.
  const { repositories: synced } = JSON.parse(onMirror('mirrorctl status --json')) as {
    repositories: { id: string; kind: string; packages: number; bytes: number }[];
  };
  for (const { id, packages, bytes } of synced.filter((r) => r.kind === 'repository'))
    expect([id, by[id]?.packages?.count, by[id]?.packages?.bytes]).toEqual([id, packages, bytes]);

  const requests = readFileSync(status.upstream.accessLog, 'utf8')
    .slice(before.log)
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as { method: string; uri: string; agent: string; range: string });
  expect(new Set(requests.map((r) => `${r.method} ${r.agent}`))).toEqual(new Set(['GET mirror-preflight']));
  expect(requests.filter((r) => r.uri.endsWith('.rpm') && r.range === '')).toEqual([]);
  expect(requests.filter((r) => r.uri.endsWith('repomd.xml'))).toHaveLength(20);
});

test('an upstream that is down, and one whose package list is damaged', () => {
  lab('upstream', 'down', 'download.ceph.com');
  const down = preflight('--json');
  expect(down.status).toBe(5);
  const ids = report(down)
    .repositories.filter((r) => r.result === 'unreachable')
    .map((r) => r.id);
  expect(ids).toEqual(['ceph-nautilus', 'ceph-nautilus-noarch', 'ceph-nautilus-source']);
  expect(report(down).notCounted).toEqual(ids);
  lab('upstream', 'corrupt', 'epel', 'primary.xml');
  const damaged = preflight('--only', 'epel-7', '--only', 'ceph-nautilus');
  expect(damaged.status).toBe(6);
  expect(damaged.stdout).toMatch(
    /epel-7: does not fit[^]*DOES NOT FIT https:\/\/archives\.fedoraproject\.org\/.*primary\.xml\.gz has the sha256 /,
  );
  expect(damaged.stdout).toContain('0 of 2 repositories fit; 1 does not fit; 1 unreachable, or in part. Exit code 6.');
});

test('without the authority of the certificates, nothing is trusted', () => {
  const ended = run('ip', ['netns', 'exec', status.client.namespace, 'scripts/preflight', '--only', 'docker-ce-7', '--json'], {
    env: { ...process.env, ...labEnvironment(), NODE_EXTRA_CA_CERTS: '' },
  });
  expect(ended.status).toBe(6);
  expect(report(ended).repositories[0]?.addresses[0]).toMatchObject({ cause: 'tls', problem: { code: 'TLS_UNTRUSTED' } });
});
