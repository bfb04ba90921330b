import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Access,
  Customer,
  Distribution,
  COMPONENTS,
  MosCodename,
  NginxVhost,
  Secret,
  SigningKey,
  SyncSchedule,
  Trust,
  Variant,
  Waiver,
  type MirrorServerProps,
} from '../../constructs';
import { sha256 } from '../../desired-state/canonical';
import { DesiredStateSchema } from '../../desired-state/model';
import { TargetSchema } from '../../desired-state/target';
import { HOST_KEY, bareServer, key, mirror, repository, synth } from './support';

test('one repository: its definition, its timer, and the activation that depends on both', () => {
  const { app, server } = mirror();
  repository(server, 'epel-7', {
    publishedAs: 'https://dl.fedoraproject.org/pub/epel/7/x86_64/',
    fetchFrom: ['https://archives.example.org/epel/'],
    schedule: SyncSchedule.daily({ hour: 3 }),
  });
  const result = synth(app);
  expect(
    Object.values(result.json.resource.null_resource)
      .map((r) => r.triggers['element'])
      .sort(),
  ).toEqual(['activation', 'repository/epel-7', 'server/services', 'timer/epel-7', 'vhost/mirror.example.org']);
  expect(result.element('repository/epel-7').triggers['definition']).toBe(`kind: repository
id: epel-7
publishedAs: https://dl.fedoraproject.org/pub/epel/7/x86_64/
publicPath: mirror/centos/epel/dl.fedoraproject.org/pub/epel/7/x86_64
fetchFrom:
  - https://archives.example.org/epel/
trust:
  mode: signedPackages
  keys:
    - file: keys/RPM-GPG-KEY-EPEL-7
      fingerprint: 91E97D7C4A5E96F17F3E888F6A2FAEA2352C64E5
view: verbatim
`);
  expect(result.element('timer/epel-7').triggers['timer']).toContain('OnCalendar=*-*-* 03:00:00 UTC');
  const activation = result.element('activation');
  expect(activation.depends_on).toHaveLength(4);
  expect(activation.triggers['desired_state']).toBe(sha256(result.file('desired-state.json')));
  expect(DesiredStateSchema.parse(result.desiredState).elements.map((e) => e.id)).toEqual([
    'repository/epel-7',
    'server/services',
    'timer/epel-7',
    'vhost/mirror.example.org',
  ]);
  const element = result.desiredState.elements[0];
  expect(element?.links).toEqual({ 'mirror/centos/epel/dl.fedoraproject.org/pub/epel/7/x86_64': 'repositories/epel-7/current' });
  expect(element?.files['definitions/repositories/epel-7.yaml']).toBe(result.element('repository/epel-7').triggers['definition']);
});

test.each([
  [
    'signedMetadata',
    Trust.signedMetadata([key('RPM-GPG-KEY-CentOS-7')]),
    { gpgcheck: '1', repo_gpgcheck: '1', gpgkey: 'http://mirror.example.org/keys/RPM-GPG-KEY-CentOS-7' },
  ],
  [
    'signedPackages',
    Trust.signedPackages([key('RPM-GPG-KEY-Ceph')]),
    { gpgcheck: '1', repo_gpgcheck: '0', gpgkey: 'http://mirror.example.org/keys/RPM-GPG-KEY-Ceph' },
  ],
  ['digestsOnly', Trust.digestsOnly('upstream signs nothing at all'), { gpgcheck: '0', repo_gpgcheck: '0', gpgkey: undefined }],
])('trust %s decides what clients check', (mode, trust, expected) => {
  const { app, server } = mirror();
  repository(server, 'r', { trust });
  const triggers = synth(app).element('repository/r').triggers;
  expect(triggers['definition']).toContain(`mode: ${mode}`);
  const settings = new Map((triggers['repo_file'] ?? '').split('\n').map((line) => line.split('=', 2) as [string, string]));
  for (const [name, value] of Object.entries(expected)) expect(settings.get(name)).toBe(value);
});

test('a deploy account, waivers, a secret of a file and its version, the time for a confirmation: in the desired state, and in the plan', () => {
  const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHKm8lzZdKDUvd9Z/CqzEwdz1fvIMemFct8hrnuyfpg alice@example.org';
  const { app } = mirror({
    user: 'mirror-deploy',
    authorizedKeys: [line],
    bootstrapUser: 'admin',
    signingKey: Secret.fromFile('~/key.asc', { version: '2026-11' }),
    confirmWithinSeconds: 90,
    waivers: [
      Waiver.unpublish({ elements: ['repository/b', 'repository/a'], reason: 'the ${product} ended' }),
      Waiver.takeOver({ from: 'old/server', reason: 'its state is lost' }),
    ],
  });
  const result = synth(app);
  const { target, desiredState } = { target: JSON.parse(result.file('target.json')) as unknown, desiredState: result.desiredState };
  expect(target).toMatchObject({ user: 'mirror-deploy', bootstrapUser: 'admin', secrets: { 'signing-key': { file: '~/key.asc' } } });
  expect(desiredState).toMatchObject({
    secrets: { 'signing-key': '2026-11' },
    deployAccount: 'mirror-deploy',
    confirmSeconds: 90,
    waivers: { takeOver: 'old/server', unpublish: ['repository/a', 'repository/b'] },
  });
  expect(desiredState.packages).toContain('sudo');
  expect(result.element('account/mirror-deploy').triggers['authorized_keys']).toContain(line);
  expect(result.element('activation').triggers).toMatchObject({
    secrets: 'signing-key version 2026-11',
    confirm: 'within 90 s',
    waivers: 'unpublishes repository/b, repository/a: the ${product} ended\ntakes over from old/server: its state is lost',
  });
});

test.each<[string, Partial<MirrorServerProps>, object, object]>([
  [
    'supplied, and the former one too',
    {
      signingKey: Secret.fromEnvironment('NEW', { version: '2' }),
      previousSigningKey: Secret.fromFile('~/old.asc'),
    },
    { secrets: { 'signing-key': '2', 'previous-signing-key': '1' } },
    { 'signing-key': { environmentVariable: 'NEW' }, 'previous-signing-key': { file: '~/old.asc' } },
  ],
  [
    'generated, the former one supplied',
    { signingKey: SigningKey.generated(), previousSigningKey: Secret.fromFile('~/old.asc') },
    { secrets: { 'previous-signing-key': '1' }, generatedKeys: { 'signing-key': '1' } },
    { 'previous-signing-key': { file: '~/old.asc' } },
  ],
  [
    'generated, the former one too',
    { signingKey: SigningKey.generated({ version: '2' }), previousSigningKey: SigningKey.generated() },
    { secrets: {}, generatedKeys: { 'signing-key': '2', 'previous-signing-key': '1' } },
    {},
  ],
])('signing keys: %s', (_name, props, state, target) => {
  const result = synth(mirror(props).app);
  expect(result.desiredState).toMatchObject(state);
  expect((JSON.parse(result.file('target.json')) as { secrets: object }).secrets).toEqual(target);
  const lines = (result.element('activation').triggers['secrets'] ?? '').split('\n');
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['signing-key', 'previous-signing-key']);
  expect(lines.map((line) => line.endsWith(', generated on the server'))).toEqual(
    (['signingKey', 'previousSigningKey'] as const).map((name) => props[name] instanceof SigningKey),
  );
});

test("clients fetch the mirror's public key from a place that nothing else can take", () => {
  const { app, server } = mirror();
  expect(synth(app).element('vhost/mirror.example.org').triggers['nginx']).toMatch(
    /location = \/RPM-GPG-KEY-mirror \{\s+alias \/srv\/mirror\/keys\/RPM-GPG-KEY-mirror;[^}]*no-cache/,
  );
  expect(() => server.claimPath(server, 'RPM-GPG-KEY-mirror')).toThrow(/RPM-GPG-KEY-mirror/);
});

test('a former id: in the definition that mirrorctl reads, and the element says that it adopts', () => {
  const { app, server } = mirror();
  repository(server, 'newer', { formerId: 'old' });
  const customer = new Customer(server, 'acme', { formerId: 'acne', prefix: 'acne', access: Access.public() });
  new MosCodename(customer, 'c', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
  const result = synth(app);
  const element = (id: string) => result.desiredState.elements.find((e) => e.id === id);
  expect(element('repository/newer')).toMatchObject({ adopts: 'old' });
  expect(element('repository/newer')?.files['definitions/repositories/newer.yaml']).toContain('formerId: old\n');
  expect(element('codename/acme/mos7.0-centos6')).toMatchObject({ adopts: 'acne/mos7.0-centos6' });
  expect(result.element('codename/acme/mos7.0-centos6').triggers['definition']).toContain('formerId: acne/mos7.0-centos6\n');
  expect(element('server/services')).not.toHaveProperty('adopts');
});

test('without them the server keeps no account, waives nothing, and waits a minute', () => {
  const result = synth(mirror().app);
  expect(result.desiredState).toMatchObject({ secrets: { 'signing-key': '1' }, confirmSeconds: 60, waivers: { unpublish: [] } });
  expect(result.desiredState).not.toHaveProperty('deployAccount');
  expect(result.desiredState.packages).not.toContain('sudo');
  expect(result.element('activation').triggers).not.toHaveProperty('waivers');
});

test('each prop of the server is where it acts', () => {
  const jumpHost = { address: '2001:db8::1', port: 2200, user: 'ops', hostKey: HOST_KEY };
  const { app, server } = mirror(
    {
      address: '198.51.100.7',
      port: 2222,
      user: 'deploy',
      jumpHost,
      storageRoot: '/data/mirror',
      storageOnOwnMount: false,
      signingKey: Secret.fromEnvironment('ELSEWHERE'),
    },
    { port: 8080, ipv6: false },
  );
  repository(server, 'r');
  const result = synth(app);
  expect(TargetSchema.parse(JSON.parse(result.file('target.json')))).toEqual({
    address: '198.51.100.7',
    port: 2222,
    user: 'deploy',
    hostKeys: [HOST_KEY],
    jumpHost: { address: '2001:db8::1', port: 2200, user: 'ops', hostKeys: [HOST_KEY] },
    secrets: { 'signing-key': { environmentVariable: 'ELSEWHERE' } },
  });
  expect(result.desiredState.storage).toEqual({ root: '/data/mirror', ownMount: false });
  expect(result.desiredState.probe).toEqual({ serverName: 'mirror.example.org', port: 8080 });
  const vhost = result.element('vhost/mirror.example.org').triggers['nginx'] ?? '';
  expect(vhost).toContain('root /data/mirror/www;');
  expect(vhost).toContain('listen 8080;');
  expect(vhost).not.toContain('[::]');
  expect(result.element('server/services').triggers['sync_service']).toContain('RequiresMountsFor=/data/mirror');
  expect(result.element('repository/r').triggers['repo_file']).toContain('baseurl=http://mirror.example.org:8080/');
  expect(result.element('activation').triggers['server']).toBe(`deploy@198.51.100.7:2222 ${HOST_KEY}`);
});

test('a customer: five components per codename, one access list, its keys apart from the public ones', () => {
  const { app, server } = mirror();
  const acme = new Customer(server, 'acme', {
    prefix: 'teams/acme',
    access: Access.networks(['203.0.113.0/24', '2001:db8::/32']),
    keys: [key('RPM-GPG-KEY-Docker')],
  });
  new MosCodename(acme, 'one', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
  new MosCodename(acme, 'two', {
    release: '9.0',
    distribution: Distribution.CENTOS,
    version: '7',
    variant: Variant.FUEL,
    architectures: ['x86_64', 'aarch64'],
  });
  const result = synth(app);
  expect(result.element('customer/acme').triggers['nginx']).toMatch(
    /location \^~ \/teams\/acme\/ \{\n {4}autoindex on;\n {4}allow 203\.0\.113\.0\/24;\n {4}allow 2001:db8::\/32;\n {4}deny all;/,
  );
  const two = result.desiredState.elements.find((e) => e.id === 'codename/acme/mos9.0-centos7-fuel');
  expect(Object.keys(two?.links ?? {})).toEqual(
    ['cr', 'holdback', 'os', 'security', 'snapshots', 'updates'].map((c) => `teams/acme/centos/mos9.0-centos7-fuel/${c}`),
  );
  expect(two?.files['definitions/codenames/acme/mos9.0-centos7-fuel.yaml']).toContain('architectures:\n  - x86_64\n  - aarch64\n');
  expect(two?.files['definitions/codenames/acme/mos9.0-centos7-fuel.yaml']).toContain('file: owners/acme/RPM-GPG-KEY-Docker');
  expect(two?.files['owners/acme/mos9.0-centos7-fuel.repo']).toContain(
    'gpgkey=http://mirror.example.org/teams/acme/centos/mos9.0-centos7-fuel/os/RPM-GPG-KEY-mos9.0',
  );
  for (const element of result.desiredState.elements)
    expect(Object.keys(element.files).filter((f) => /^(keys|repo-files)\//.test(f))).toEqual([]);
});

test('the product: priorities let holdback win, proposed packages are opt-in', () => {
  const { app, server } = mirror();
  new MosCodename(server, 'c', { release: '7.0', distribution: Distribution.CENTOS, version: '6', variant: Variant.FUEL });
  const repoFile = synth(app).element('codename/mos/mos7.0-centos6-fuel').triggers['repo_file'] ?? '';
  const sections = repoFile
    .split(/\n(?=\[)/)
    .map((s) => [/^\[(.*)\]/.exec(s)?.[1], /^enabled=(.)/m.exec(s)?.[1], Number(/^priority=(.*)/m.exec(s)?.[1])]);
  expect(sections).toEqual([
    ['mos-mos7.0-centos6-fuel-os', '1', 10],
    ['mos-mos7.0-centos6-fuel-updates', '1', 5],
    ['mos-mos7.0-centos6-fuel-security', '1', 2],
    ['mos-mos7.0-centos6-fuel-holdback', '1', 1],
    ['mos-mos7.0-centos6-fuel-cr', '0', 5],
  ]);
});

test('components by name, and keys of a codename beside those of its customer', () => {
  const { app, server } = mirror();
  const acme = new Customer(server, 'acme', { access: Access.public(), keys: [key('RPM-GPG-KEY-Docker')] });
  new MosCodename(acme, 'c', {
    release: '9.2',
    distribution: Distribution.CENTOS,
    version: '7',
    components: [...COMPONENTS, 'hotfix', '9.2-updates'],
    keys: [key('RPM-GPG-KEY-Ceph'), key('RPM-GPG-KEY-Docker')],
  });
  const element = synth(app).desiredState.elements.find(({ id }) => id === 'codename/acme/mos9.2-centos7');
  expect(Object.keys(element?.links ?? {})).toEqual(
    ['9.2-updates', 'cr', 'holdback', 'hotfix', 'os', 'security', 'snapshots', 'updates'].map((c) => `acme/centos/mos9.2-centos7/${c}`),
  );
  const definition = element?.files['definitions/codenames/acme/mos9.2-centos7.yaml'] ?? '';
  expect([...definition.matchAll(/file: (.*)/g)].map(([, file]) => file)).toEqual([
    'owners/acme/RPM-GPG-KEY-Docker',
    'owners/acme/RPM-GPG-KEY-Ceph',
  ]);
  expect(Object.keys(element?.files ?? {})).toContain('owners/acme/RPM-GPG-KEY-Ceph');
  expect(element?.files['owners/acme/mos9.2-centos7.repo']).toMatch(/\[acme-mos9.2-centos7-hotfix\]\n(.+\n)*priority=5\n/);
});

test('what may be held back is signed by keys of its own, and each codename has its snapshots by time', () => {
  const { app, server } = mirror();
  const acme = new Customer(server, 'acme', { access: Access.public(), keys: [key('RPM-GPG-KEY-Docker')] });
  new MosCodename(acme, 'c', { release: '9.0', distribution: Distribution.CENTOS, version: '7', holdbackKeys: [key('RPM-GPG-KEY-Ceph')] });
  const element = synth(app).desiredState.elements.find(({ id }) => id === 'codename/acme/mos9.0-centos7');
  const definition = element?.files['definitions/codenames/acme/mos9.0-centos7.yaml'] ?? '';
  expect(/holdbackKeys:\n {2}- file: (.*)/.exec(definition)?.[1]).toBe('owners/acme/RPM-GPG-KEY-Ceph');
  expect([...definition.matchAll(/file: (.*)/g)]).toHaveLength(2);
  expect(element?.files['owners/acme/RPM-GPG-KEY-Ceph']).toContain('BEGIN PGP PUBLIC KEY');
  expect(element?.links['acme/centos/mos9.0-centos7/snapshots']).toBe('public-snapshots/acme/mos9.0-centos7');
});

test.each([
  ['7', 0],
  ['8', 5],
  ['10', 5],
])('a base of version %s: sections that must say that they are meant beside its modules: %i', (version, sections) => {
  const { app, server } = mirror();
  new MosCodename(server, 'c', { release: '9.0', distribution: Distribution.CENTOS, version });
  const repoFile = synth(app).element(`codename/mos/mos9.0-centos${version}`).triggers['repo_file'] ?? '';
  expect([...repoFile.matchAll(/^module_hotfixes=1$/gm)]).toHaveLength(sections);
});

test('schedules: declared, and spread over the early morning by default', () => {
  const { app, server } = mirror();
  repository(server, 'hourly', { schedule: SyncSchedule.hourly({ minute: 5 }) });
  repository(server, 'weekly', { schedule: SyncSchedule.weekly({ day: 'Sat', hour: 23, minute: 59 }) });
  for (let i = 0; i < 40; i++) repository(server, `r${i}`);
  const result = synth(app);
  const calendar = (id: string): string => /OnCalendar=(.*)/.exec(result.element(`timer/${id}`).triggers['timer'] ?? '')?.[1] ?? '';
  expect(calendar('hourly')).toBe('*-*-* *:05:00 UTC');
  expect(calendar('weekly')).toBe('Sat *-*-* 23:59:00 UTC');
  const spread = Array.from({ length: 40 }, (_, i) => calendar(`r${i}`));
  expect(new Set(spread).size).toBeGreaterThan(30);
  for (const c of spread) expect(c).toMatch(/^\*-\*-\* 0[2-5]:\d\d:00 UTC$/);
});

test('synthesis is deterministic, and holds no path of this machine', () => {
  const declare = (): ReturnType<typeof synth> => {
    const { app, server } = mirror();
    repository(server, 'a');
    new Customer(server, 'acme', { access: Access.public() });
    return synth(app);
  };
  const [one, two] = [declare(), declare()];
  expect(one.text).toBe(two.text);
  expect(one.file('desired-state.json')).toBe(two.file('desired-state.json'));
  expect(one.text).not.toContain(process.cwd());
});

test('Terraform templates in texts are escaped: nginx variables stay as they are', () => {
  const { app, server } = mirror();
  new Customer(server, 'acme', { access: Access.public() });
  const { text, desiredState } = synth(app);
  expect(text).not.toMatch(/(?<!\$)\$\{(?!self\.triggers\.|data\.local_command|null_resource\.)/);
  expect(desiredState.elements.find((e) => e.id === 'customer/acme')?.files['nginx/locations/acme.conf']).toContain('$repo_file');
});

test('planning without access to the server ignores the observation', () => {
  process.env['MIRROR_OBSERVE'] = '0';
  try {
    const { app } = mirror();
    const result = synth(app);
    expect(result.json.data?.local_command).toBeUndefined();
    expect(result.element('activation').triggers['last_drift']).toBe('not observed');
    expect(result.element('activation').lifecycle).toEqual({ ignore_changes: ['triggers["last_drift"]'] });
  } finally {
    delete process.env['MIRROR_OBSERVE'];
  }
  const { app } = mirror();
  expect(Object.values(synth(app).json.data?.local_command ?? {})).toMatchObject([{ command: 'node', arguments: ['mirror/observe.cjs'] }]);
});

test('providers are pinned exactly; only the lab widens them', () => {
  const versions = (widen: string | undefined): string[] => {
    if (widen === undefined) delete process.env['MIRROR_PROVIDERS'];
    else process.env['MIRROR_PROVIDERS'] = widen;
    const { app, server } = bareServer();
    new NginxVhost(server, 'vhost', { serverName: 'mirror.example.org' });
    return Object.values(synth(app).json.terraform.required_providers)
      .map((p) => p.version)
      .sort();
  };
  expect(versions(undefined)).toEqual(['2.6.1', '3.2.4']);
  expect(versions('any')).toEqual(['>= 2.1.2', '>= 2.6']);
  delete process.env['MIRROR_PROVIDERS'];
});

test('the real main.ts declares what the seeds name, and adding a customer takes at most six lines', () => {
  const main = readFileSync('main.ts', 'utf8');
  const outdir = mkdtempSync(join(tmpdir(), 'mirror-synth-'));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MIRROR_')));
  execFileSync(process.execPath, ['dist/main.js'], { env: { ...env, CDKTF_OUTDIR: outdir } });
  const state = DesiredStateSchema.parse(JSON.parse(readFileSync(join(outdir, 'stacks/mirror/mirror/desired-state.json'), 'utf8')));
  rmSync(outdir, { recursive: true });
  const ids = state.elements.map((e) => e.id);
  for (const id of [
    'centos-7-os',
    'centos-7-os-source',
    'centos-7-updates',
    'centos-7-extras',
    'centos-7-sclo-rh',
    'centos-7-openstack-stein',
    'centos-7-ceph-nautilus',
    'epel-7',
    'ceph-nautilus',
    'docker-ce-7',
  ]) {
    expect(ids).toContain(`repository/${id}`);
    expect(ids).toContain(`timer/${id}`);
  }
  const paths = state.elements.flatMap((e) => Object.keys(e.links));
  for (const codename of ['mos-repos/centos/mos7.0-centos6', 'mos-repos/centos/mos7.0-centos6-fuel', 'customer/centos/mos7.0-centos6']) {
    for (const component of ['os', 'updates', 'security', 'holdback', 'cr']) expect(paths).toContain(`${codename}/${component}`);
  }
  const customer = /\nconst customer = [^]*?\n(?=\napp\.synth)/.exec(main)?.[0] ?? '';
  expect(customer.trim().split('\n').length).toBeLessThanOrEqual(6);
});

test('every construct is one file, and exported', () => {
  const files = readdirSync('constructs').filter((f) => f.endsWith('.ts') && f !== 'index.ts');
  const index = readFileSync('constructs/index.ts', 'utf8');
  for (const file of files) expect(index).toContain(`'./${file.replace(/\.ts$/, '')}'`);
});
