/** ModifiedPackages: what a branch's builds make of the desired state, and which props are refused. */
import { parse } from 'yaml';
import {
  BuildArchive,
  type BuildArchiveProps,
  Customer,
  Access,
  Distribution,
  ModifiedPackages,
  type ModifiedPackagesProps,
  MosCodename,
  Rebuilt,
  Release,
  Trust,
  UploadAccount,
} from '../../constructs';
import {
  type PackagesDefinition,
  PackagesDefinitionSchema,
  type ReleaseDefinition,
  type UploadDefinition,
} from '../../desired-state/definitions';
import type { Element } from '../../desired-state/model';
import { HOSTILE, key, mirror, refuses, repository, synth } from './support';

const WHY = 'a test says so';
const signed = Trust.signedPackages([key('RPM-GPG-KEY-CentOS-7')]);
const SSH_KEY = `ssh-ed25519 ${Buffer.concat([Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0 ', 'latin1'), Buffer.alloc(32, 1)]).toString('base64')} build@example.org`;
const LAYERED: BuildArchiveProps = { branch: 'master', layers: ['compiler', 'distro', 'flock'] };

/** What is declared of the packages of an archive. */
function declared(
  props: Partial<ModifiedPackagesProps> = {},
  archive: BuildArchiveProps = LAYERED,
): { readonly element: Element; readonly definition: PackagesDefinition } {
  const { app, server } = mirror();
  const builds = new BuildArchive(server, 'stx-master', archive);
  new ModifiedPackages(server, 'stx-packages', { builds, trust: signed, ...props });
  const element = synth(app).desiredState.elements.find(({ id }) => id.startsWith('packages/')) as Element;
  const definition = parse(element.files['definitions/packages/stx-packages.yaml'] as string) as PackagesDefinition;
  expect(PackagesDefinitionSchema.parse(definition)).toEqual(definition);
  return { element, definition };
}

test('the layers of a branch are hosted repositories, with links, their keys, and a .repo file', () => {
  const { element, definition } = declared();
  expect(element.id).toBe('packages/starlingx/stx-packages');
  expect(definition).toEqual({
    kind: 'packages',
    id: 'starlingx/stx-packages',
    owner: 'starlingx',
    branch: 'master',
    distribution: 'centos',
    publicPath: 'mirror/starlingx/packages/master/centos',
    components: ['compiler', 'distro', 'flock'],
    architectures: ['x86_64'],
    keyFile: 'RPM-GPG-KEY-starlingx',
    trust: { mode: 'signedPackages', keys: [{ file: 'keys/RPM-GPG-KEY-CentOS-7', fingerprint: expect.any(String) }] },
  });
  expect(element.links).toEqual({
    'mirror/starlingx/packages/master/centos/compiler': 'repositories/starlingx/stx-packages/compiler/current',
    'mirror/starlingx/packages/master/centos/distro': 'repositories/starlingx/stx-packages/distro/current',
    'mirror/starlingx/packages/master/centos/flock': 'repositories/starlingx/stx-packages/flock/current',
    'mirror/starlingx/packages/master/centos/snapshots': 'public-snapshots/starlingx/stx-packages',
  });
  expect(Object.keys(element.files)).toContain('keys/RPM-GPG-KEY-CentOS-7');
  const sections = (element.files['repo-files/stx-packages.repo'] as string).split('\n\n');
  expect(sections).toHaveLength(3);
  expect(sections[2]?.trim().split('\n')).toEqual([
    '[starlingx-stx-packages-flock]',
    'name=starlingx/stx-packages flock',
    'baseurl=http://mirror.example.org/mirror/starlingx/packages/master/centos/flock/$basearch/',
    'enabled=1',
    'gpgcheck=1',
    'repo_gpgcheck=1',
    'gpgkey=http://mirror.example.org/mirror/starlingx/packages/master/centos/flock/RPM-GPG-KEY-starlingx',
    'priority=20',
  ]);
});

test.each<[string, Partial<ModifiedPackagesProps>, object]>([
  ['digests alone', { trust: Trust.digestsOnly(WHY) }, { trust: { mode: 'digestsOnly', reason: WHY } }],
  ['architectures', { architectures: ['x86_64', 'aarch64'] }, { architectures: ['x86_64', 'aarch64'] }],
  [
    'rebuilt',
    { rebuilt: { flock: Rebuilt.REPLACES, distro: Rebuilt.REFUSED, compiler: Rebuilt.REPLACES } },
    { replaces: ['compiler', 'flock'] },
  ],
])('%s', (_what, props, expected) => {
  expect(declared(props).definition).toMatchObject(expected);
});

test('unsigned packages: clients check the metadata alone', () => {
  const text = declared({ trust: Trust.digestsOnly(WHY) }).element.files['repo-files/stx-packages.repo'] as string;
  expect(text.match(/gpgcheck=./g)).toEqual(Array.from({ length: 3 }, () => ['gpgcheck=0', 'gpgcheck=1']).flat());
});

test.each<[BuildArchiveProps, string, string[]]>([
  [{ branch: 'r/stx.3.0' }, 'mirror/starlingx/packages/rc/3.0/centos', ['packages']],
  [{ branch: 'f/x', distribution: Distribution.FEDORA, layers: ['one'] }, 'mirror/starlingx/packages/feature/x/fedora', ['one']],
  [{ branch: 'r/2018.10.5' }, 'mirror/starlingx/packages/release/2018.10/2018.10.5/centos', ['packages']],
])('of %j', (archive, publicPath, components) => {
  expect(declared({}, archive).definition).toMatchObject({ publicPath, components, branch: archive.branch });
});

test('a release has them as members, an account uploads to them, and they are named as mirrorctl calls them', () => {
  const { app, server } = mirror();
  const builds = new BuildArchive(server, 'stx-master', LAYERED);
  const modified = new ModifiedPackages(server, 'stx-packages', { builds, trust: signed });
  const codename = new MosCodename(server, 'm', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });
  new Release(server, '3.0', { of: [modified], at: '2026-11-01T00:00:00Z' });
  new UploadAccount(server, 'build', { authorizedKeys: [SSH_KEY], codenames: [modified, codename], components: ['flock', 'cr'] });
  expect(modified.components).toEqual(['compiler', 'distro', 'flock'].map((layer) => `starlingx/stx-packages/${layer}`));
  const { elements } = synth(app).desiredState;
  const file = (id: string, path: string): string => elements.find((one) => one.id === id)?.files[path] as string;
  expect(parse(file('upload/build', 'definitions/uploads/build.yaml')) as UploadDefinition).toMatchObject({
    owner: 'mos',
    components: ['starlingx/stx-packages/flock', 'mos/mos9.0-centos7/cr'],
  });
  expect((parse(file('release/3.0', 'definitions/releases/3.0.yaml')) as ReleaseDefinition).members[2]).toEqual({
    id: 'starlingx/stx-packages/flock',
    publicPath: 'mirror/starlingx/packages/master/centos/flock',
  });
  expect(file('release/3.0', 'repo-files/release-3.0.repo')).toContain(
    '[3.0-starlingx-stx-packages-flock]\nname=starlingx/stx-packages flock of 3.0\nbaseurl=http://mirror.example.org/releases/3.0/mirror/starlingx/packages/master/centos/flock/$basearch/\n',
  );
});

describe('is refused:', () => {
  const made =
    (props: object, id = 'stx-packages', archive: BuildArchiveProps = LAYERED): (() => unknown) =>
    () => {
      const { server } = mirror();
      const builds = new BuildArchive(server, 'stx-master', archive);
      return new ModifiedPackages(server, id, { builds, trust: signed, ...props });
    };

  test.each(HOSTILE.filter((text) => text !== ''))('the id %j', (id) => refuses(made({}, id)));
  test('the name of a codename', () => refuses(made({}, 'mos9.0-centos7'), 'name of a codename of MOS', 'stx-master-packages'));
  test('unknown props', () => refuses(made({ rebuild: {} }), '"rebuild"', 'Did you mean rebuilt'));
  test.each([undefined, null, 'master', {}])('builds %j', (builds) => refuses(made({ builds }), 'builds', 'BuildArchive'));
  test('builds of another server', () => {
    const builds = new BuildArchive(mirror().server, 'other', LAYERED);
    refuses(made({ builds }), 'builds', 'on the same server');
  });
  test.each([undefined, 'digestsOnly', Trust.signedMetadata([key('RPM-GPG-KEY-CentOS-7')])])('trust %#', (trust) =>
    refuses(made({ trust }), 'trust', 'Trust.signedPackages'),
  );
  test.each([null, 'flock', ['flock']])('rebuilt %j', (rebuilt) => refuses(made({ rebuilt }), 'rebuilt', 'Rebuilt.REPLACES'));
  test('a rule for a layer that there is not', () =>
    refuses(made({ rebuilt: { floc: Rebuilt.REPLACES } }), '"floc"', 'there are compiler, distro, flock'));
  test('a rule that there is not', () =>
    refuses(made({ rebuilt: { flock: 'replace' } }), 'rebuilt["flock"]', '"replace"', 'Rebuilt.REFUSED'));
  test.each([[[]], [['x86']], [['x86_64', 'x86_64']]])('architectures %j', (architectures) =>
    refuses(made({ architectures }), 'architectures'),
  );
  test('the packages of one branch twice', () => {
    const { server } = mirror();
    const builds = new BuildArchive(server, 'stx-master', LAYERED);
    new ModifiedPackages(server, 'one', { builds, trust: signed });
    refuses(() => new ModifiedPackages(server, 'two', { builds, trust: signed }), 'mirror/starlingx/packages/master/centos');
  });
  test('a customer, or a copy, of this name', () => {
    refuses(
      () => new Customer(mirror().server, 'starlingx', { access: Access.public(), prefix: 'stx' }),
      '"starlingx" is StarlingX itself',
    );
    refuses(() => repository(mirror().server, 'starlingx'), '"starlingx" is StarlingX itself, whose modified packages have this directory');
  });
  test('an account of a customer for them', () => {
    const { server } = mirror();
    const builds = new BuildArchive(server, 'stx-master', LAYERED);
    const modified = new ModifiedPackages(server, 'stx-packages', { builds, trust: signed });
    const acme = new Customer(server, 'acme', { access: Access.public() });
    refuses(() => new UploadAccount(acme, 'build', { authorizedKeys: [SSH_KEY], codenames: [modified] }), 'belongs to another owner');
  });
});
