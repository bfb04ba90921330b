import { parse } from 'yaml';
import { Access, Customer, Distribution, LegacyAlias, MosCodename, Variant, type LegacyAliasProps } from '../../constructs';
import { AliasDefinitionSchema } from '../../desired-state/definitions';
import { HOSTILE, mirror, refuses, repository, synth } from './support';

/** As main.ts passes them: synthesis checks no types. */
const any = <T>(value: unknown): T => value as T;
const RELEASE = { release: '7.0', distribution: Distribution.CENTOS, version: '6' } as const;

function declared() {
  const { app, server } = mirror();
  return { app, server, codename: new MosCodename(server, 'mos7.0-centos6', { ...RELEASE, architectures: ['x86_64', 'i386'] }) };
}

test('the old names of components, of which the log is one for all aliases', () => {
  const { app, server, codename } = declared();
  new LegacyAlias(server, 'mos-centos-6', { path: 'mos/centos-6', to: codename });
  new LegacyAlias(server, 'mos6.1', {
    path: 'mos/centos-6/mos6.1',
    to: codename,
    components: { updates: 'updates' },
    architecture: 'i386',
  });
  const result = synth(app);
  const of = (id: string) => result.desiredState.elements.find((one) => one.id === `alias/${id}`);
  const first = of('mos-centos-6');
  expect(AliasDefinitionSchema.parse(parse(first?.files['definitions/aliases/mos-centos-6.yaml'] as string))).toEqual({
    kind: 'alias',
    id: 'mos-centos-6',
    path: 'mos/centos-6',
    codename: 'mos/mos7.0-centos6',
    components: { proposed: 'cr', security: 'security', updates: 'updates' },
    architecture: 'x86_64',
  });
  const nginx = first?.files['nginx/locations/alias+mos-centos-6.conf'] as string;
  expect(nginx.match(/^location .*$/gm)).toEqual(
    ['proposed', 'security', 'updates'].flatMap((name) => [`location = /mos/centos-6/${name} {`, `location ^~ /mos/centos-6/${name}/ {`]),
  );
  expect(nginx).toContain('rewrite ^ /mos-repos/centos/mos7.0-centos6/cr/ last;');
  expect(nginx).toContain('/(repodata|Packages)$ /mos-repos/centos/mos7.0-centos6/cr$1/x86_64/$2/ last;');
  expect(of('mos6.1')?.files['nginx/locations/alias+mos6.1.conf']).toContain('/mos7.0-centos6/updates$1/i386/$2/ last;');
  for (const id of ['mos-centos-6', 'mos6.1'])
    expect(of(id)?.files['nginx/locations/legacy-log.conf']).toContain(
      'access_log /var/log/nginx/mirror-legacy.log combined if=$mirror_legacy;',
    );
  expect(result.element('alias/mos6.1').triggers['nginx']).toBe(
    of('mos6.1')?.files['nginx/locations/alias+mos6.1.conf']?.replaceAll('${', '$${'),
  );
  expect(result.desiredState.packages).toContain('logrotate');
});

test('without an alias nothing rotates logs; an alias changes no other element', () => {
  const without = declared();
  const before = synth(without.app);
  expect(before.desiredState.packages).not.toContain('logrotate');
  const { app, server, codename } = declared();
  new LegacyAlias(server, 'old', { path: 'mos/centos-6', to: codename });
  const after = synth(app).desiredState.elements.filter(({ id }) => id !== 'alias/old');
  expect(after).toEqual(before.desiredState.elements);
});

test("a customer's codename: the target is below the customer's prefix", () => {
  const { app, server } = mirror();
  const acme = new Customer(server, 'acme', { access: Access.networks(['192.0.2.0/24']) });
  new LegacyAlias(server, 'old', { path: 'acme-old', to: new MosCodename(acme, 'c', { ...RELEASE, variant: Variant.FUEL }) });
  expect(synth(app).element('alias/old').triggers['nginx']).toContain('rewrite ^ /acme/centos/mos7.0-centos6-fuel/updates/ last;');
});

test.each<[string, Partial<LegacyAliasProps>, string[]]>([
  ['no codename', { to: any(undefined) }, ['to undefined', 'a MosCodename of the same server']],
  ['another thing', { to: any('mos7.0-centos6') }, ['to "mos7.0-centos6"', 'a MosCodename of the same server']],
  ['a component that is not there', { components: { updates: 'hotfix' } }, ['components.updates "hotfix"', 'os, updates, security']],
  ['no component', { components: {} }, ['components {}', 'at least one old name']],
  ['a list of components', { components: any(['updates']) }, ['components ["updates"]', 'at least one old name']],
  ['no list of components', { components: any(null) }, ['components null', 'at least one old name']],
  ['an architecture that is not there', { architecture: 'aarch64' }, ['architecture "aarch64"', 'has x86_64, i386']],
  ['an unknown prop', any({ redirect: true }), ['prop "redirect"', 'there is no such prop']],
  ['what belongs to the mirror', { path: 'mos-repos/centos/mos6.1' }, ['path "mos-repos/centos/mos6.1"', 'belongs to the mirror']],
  ['a path of a customer', { path: 'acme/old' }, ['public path "/acme/old/proposed"', 'lies under "/acme"']],
  ['a path of another alias', { path: 'mos/taken' }, ['public path "/mos/taken/updates"', 'is the same as "/mos/taken/updates"']],
])('%s is refused', (_what, props, parts) => {
  const { server, codename } = declared();
  new Customer(server, 'acme', { access: Access.public() });
  new LegacyAlias(server, 'other', { path: 'mos/taken', to: codename, components: { updates: 'updates' } });
  refuses(() => new LegacyAlias(server, 'old', { path: 'mos/centos-6', to: codename, components: { proposed: 'cr', updates: 'updates' }, ...props }), ...parts); // prettier-ignore
});

test('neither a path nor an old name can be anything but path segments', () => {
  // An old name may have what ids of today may not.
  const harmless = ['UPPER', 'a_b', 'trailing.'];
  for (const value of [...HOSTILE.filter((one) => !harmless.includes(one)), '/mos', 'mos/', 'a/b/c/d/e/f/g']) {
    const { server, codename } = declared();
    refuses(() => new LegacyAlias(server, 'old', { path: value, to: codename }), 'path');
    if (value !== '__proto__')
      refuses(() => new LegacyAlias(server, 'a', { path: 'mos', to: codename, components: { [value]: 'os' } }), 'old name');
    if (value !== '' && typeof value === 'string') refuses(() => new LegacyAlias(server, value, { path: 'mos/centos-6', to: codename }));
  }
});

test('a codename of another server, and a repository at an old path, are refused', () => {
  const { server, codename } = declared();
  const other = declared();
  refuses(() => new LegacyAlias(server, 'old', { path: 'mos/centos-6', to: other.codename }), 'a MosCodename of the same server');
  repository(server, 'epel-7');
  refuses(() => new LegacyAlias(server, 'copies', { path: 'mirror/centos', to: codename }), 'belongs to the mirror');
});
