import { parse } from 'yaml';
import {
  Access,
  BuildArchive,
  type BuildReference,
  Customer,
  Distribution,
  FileTree,
  MosCodename,
  Release,
  TreeTrust,
  Trust,
  View,
  type ReleaseProps,
} from '../../constructs';
import { ReleaseDefinitionSchema } from '../../desired-state/definitions';
import { HOSTILE, mirror, refuses, repository, synth } from './support';

const AT = '2026-11-01T00:00:00Z';
const SNAPSHOT = '20261101T023000Z-0123456789ab';
const BUILD = '20261101T023000Z';
/** As main.ts passes them: synthesis checks no types. */
const any = <T>(value: unknown): T => value as T;

function everything(props: (made: ReturnType<typeof declared>) => ReleaseProps): ReturnType<typeof release> {
  const made = declared();
  return release(made, props(made));
}

function declared() {
  const { app, server } = mirror();
  return {
    app,
    server,
    epel: repository(server, 'epel-7', { view: View.ACCUMULATE }),
    os: repository(server, 'os', { trust: Trust.digestsOnly('nothing is signed there') }),
    tree: new FileTree(server, 'tree', {
      publishedAs: 'https://files.example.org/tree/',
      files: ['a'],
      trust: TreeTrust.none('no checksums'),
    }),
    codename: new MosCodename(server, 'mos7', { release: '7.0', distribution: Distribution.CENTOS, version: '6' }),
  };
}

function release({ app, server }: Pick<ReturnType<typeof declared>, 'app' | 'server'>, props: ReleaseProps, id = 'r1') {
  new Release(server, id, props);
  const result = synth(app);
  const element = result.desiredState.elements.find((one) => one.id === `release/${id}`);
  const text = element?.files[`definitions/releases/${id}.yaml`] ?? '';
  return {
    element,
    definition: ReleaseDefinitionSchema.parse(parse(text)),
    repoFile: element?.files[`repo-files/release-${id}.repo`] ?? '',
    triggers: result.element(`release/${id}`).triggers,
  };
}

test('what it is made of, by a time: repositories, trees and all components of codenames', () => {
  const made = everything(({ epel, os, tree, codename }) => ({ of: [epel, os, tree, codename], at: AT }));
  expect(made.definition).toEqual({
    kind: 'release',
    id: 'r1',
    at: AT,
    members: [
      { id: 'epel-7', publicPath: 'mirror/centos/upstream.example.org/epel-7' },
      { id: 'os', publicPath: 'mirror/centos/upstream.example.org/os' },
      { id: 'tree', publicPath: 'mirror/centos/files.example.org/tree' },
      ...['os', 'updates', 'security', 'holdback', 'cr'].map((component) => ({
        id: `mos/mos7.0-centos6/${component}`,
        publicPath: `mos-repos/centos/mos7.0-centos6/${component}`,
      })),
    ],
  });
  expect(made.element?.links).toEqual({ 'releases/r1': 'releases/r1' });
  expect(made.triggers['definition']).toBe(made.element?.files['definitions/releases/r1.yaml']);
  expect(made.triggers['repo_file']).toBe(made.repoFile);
});

test('yum configuration: everything from the tree of the release, keys too', () => {
  const { repoFile } = everything(({ epel, os, tree, codename }) => ({ of: [epel, os, tree, codename], at: AT, pins: ['bash-4.2-1'] }));
  const url = 'http://mirror.example.org/releases/r1';
  const copy = `${url}/mirror/centos/upstream.example.org`;
  expect(repoFile).toContain(
    `[r1-pins]\nname=pins of r1\nbaseurl=${url}/pins/\nenabled=1\ngpgcheck=0\nrepo_gpgcheck=1\ngpgkey=${url}/pins/repodata/repomd.xml.key\npriority=1\n`,
  );
  expect(repoFile).toContain(
    `[r1-epel-7]\nname=epel-7 of r1\nbaseurl=${copy}/epel-7/\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=${copy}/epel-7/repodata/repomd.xml.key ${url}/keys/epel-7\npriority=99\n`,
  );
  expect(repoFile).toContain(`[r1-os]\nname=os of r1\nbaseurl=${copy}/os/\nenabled=1\ngpgcheck=0\nrepo_gpgcheck=0\npriority=99\n`);
  const component = `${url}/mos-repos/centos/mos7.0-centos6/holdback`;
  expect(repoFile).toContain(
    `[r1-mos-mos7.0-centos6-holdback]\nname=mos7.0-centos6 holdback (mos) of r1\nbaseurl=${component}/$basearch/\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=${component}/RPM-GPG-KEY-mos7.0\npriority=2\n`,
  );
  expect(repoFile).toMatch(/\[r1-mos-mos7\.0-centos6-cr\]\n.*\n.*\nenabled=0\n/);
  expect(repoFile).not.toContain('[r1-tree]');
  expect(everything(({ epel }) => ({ of: [epel], at: AT })).repoFile).not.toContain('pins');
});

test('named snapshots, and pins', () => {
  const snapshots = { 'epel-7': SNAPSHOT, 'mos/mos7.0-centos6/os': SNAPSHOT };
  expect(everything(() => ({ snapshots, pins: ['bind-32:9.11-1.x86_64'] })).definition).toEqual({
    kind: 'release',
    id: 'r1',
    members: [
      { id: 'epel-7', publicPath: 'mirror/centos/upstream.example.org/epel-7', snapshot: SNAPSHOT },
      { id: 'mos/mos7.0-centos6/os', publicPath: 'mos-repos/centos/mos7.0-centos6/os', snapshot: SNAPSHOT },
    ],
    pins: ['bind-32:9.11-1.x86_64'],
  });
});

test('the timer is there where releases are, once', () => {
  const { app, server, epel } = declared();
  new Release(server, 'r0', { of: [epel], at: AT });
  const { element } = release({ app, server }, { of: [epel], at: AT });
  expect(element?.files['systemd/mirror-release.timer']).toContain('OnCalendar=*:0/10\n');
  expect(element?.files['systemd/mirror-release.service']).toContain('mirrorctl release freeze\n');
  const plain = synth(declared().app).desiredState.elements.flatMap(({ files }) => Object.keys(files));
  expect(plain.filter((file) => file.includes('release'))).toEqual([]);
});

test.each<[string, (made: ReturnType<typeof declared>) => unknown, string[]]>([
  ['nothing', () => ({}), ['at undefined', 'named snapshots']],
  ['no time', ({ epel }) => ({ of: [epel] }), ['at undefined']],
  ['no list', () => ({ at: AT }), ['of undefined', 'at least one']],
  ['an empty list', () => ({ at: AT, of: [] }), ['at least one']],
  ['a string', () => ({ at: AT, of: ['epel-7'] }), ['of[0] "epel-7"', 'of the same server']],
  ['one of another server', () => ({ at: AT, of: [declared().epel] }), ['of[0]', 'of the same server']],
  ['one twice', ({ epel }) => ({ at: AT, of: [epel, epel] }), ['"epel-7"', 'each once']],
  ['both', ({ epel }) => ({ at: AT, of: [epel], snapshots: { 'epel-7': SNAPSHOT } }), ['without of and at']],
  ['no snapshots', () => ({ snapshots: {} }), ['at least one id']],
  ['a list of snapshots', () => ({ snapshots: [SNAPSHOT] }), ['an object']],
  ['an unknown id', () => ({ snapshots: { epel: SNAPSHOT } }), ['"epel"', 'epel-7, mos/mos7.0-centos6/cr']],
  ['a name that is none', () => ({ snapshots: { 'epel-7': '../current' } }), ['snapshots["epel-7"]', '12 hex digits']],
  ['a pin that is none', ({ epel }) => ({ at: AT, of: [epel], pins: ['bash'] }), ['pins[0] "bash"', 'name-version-release']],
  ['no pins', ({ epel }) => ({ at: AT, of: [epel], pins: [] }), ['at least one pin']],
  ['an unknown prop', ({ epel }) => ({ at: AT, of: [epel], pin: [] }), ['Did you mean pins?']],
])('refused: %s', (_what, props, parts) => {
  const made = declared();
  refuses(() => new Release(made.server, 'r1', any(props(made))), 'mirror/server/r1', ...parts);
});

test.each([
  '2026-11-01',
  '2026-11-01T00:00:00',
  '2026-11-01T00:00:00.5Z',
  '2026-11-01T00:00:00+01:00',
  '2026-02-30T00:00:00Z',
  'now',
  1,
  null,
])('no time: %p', (at) => {
  const { server, epel } = declared();
  refuses(() => new Release(server, 'r1', { of: [epel], at: any(at) }), 'r1: at', 'in UTC');
});

test('ids', () => {
  for (const id of HOSTILE.filter((one) => one !== '')) {
    const { server, epel } = declared();
    expect(() => new Release(server, id, { of: [epel], at: AT })).toThrow();
  }
  const { server, epel } = declared();
  new Release(server, 'r1', { of: [epel], at: AT });
  for (const prefix of ['releases', 'pins', 'releases/r1'])
    refuses(() => new Customer(server, `c-${prefix.length}`, { prefix, access: Access.public() }), 'belong to the mirror');
});

test('what an access list guards is in no release; what everybody may read is', () => {
  const { server } = declared();
  const codenameOf = (id: string, access: Access): MosCodename =>
    new MosCodename(new Customer(server, id, { access }), 'c', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
  const guarded = codenameOf('acme', Access.networks(['10.0.0.0/8']));
  refuses(() => new Release(server, 'r1', { of: [guarded], at: AT }), '"acme/mos7.0-centos6/os"', 'access list of the customer acme');
  refuses(() => new Release(server, 'r2', { snapshots: { 'acme/mos7.0-centos6/os': SNAPSHOT } }), 'access list of the customer acme');
  expect(new Release(server, 'r3', { of: [codenameOf('open', Access.public())], at: AT })).toBeDefined();
});

/** A branch that is built in layers, and one that is built as a whole. */
function archives() {
  const made = declared();
  const layered = new BuildArchive(made.server, 'stx-3.0', { branch: 'r/stx.3.0', layers: ['compiler', 'flock'] });
  return { ...made, layered, whole: new BuildArchive(made.server, 'stx-2018', { branch: 'r/2018.10.5' }) };
}

test('builds alone: each at its place by the version of the release, and yum configuration that the freeze writes', () => {
  const made = archives();
  const builds = [made.layered.build(BUILD, 'compiler'), made.layered.build('20261101T040000Z', 'flock')];
  const { element, definition, repoFile, triggers } = release(made, { builds }, '3.0.1');
  const place = 'mirror/starlingx/release/3.0.1/centos';
  expect(definition).toEqual({
    kind: 'release',
    id: '3.0.1',
    members: [],
    builds: [
      { series: 'rc/3.0/centos/compiler', timestamp: BUILD, publicPath: `${place}/compiler` },
      { series: 'rc/3.0/centos/flock', timestamp: '20261101T040000Z', publicPath: `${place}/flock` },
    ],
    url: 'http://mirror.example.org/releases/3.0.1',
  });
  expect(element?.links).toEqual({
    'releases/3.0.1': 'releases/3.0.1',
    [`${place}/compiler`]: `releases/3.0.1/${place}/compiler`,
    [`${place}/flock`]: `releases/3.0.1/${place}/flock`,
  });
  expect(repoFile).toBe('# Repositories of the released builds: http://mirror.example.org/releases/3.0.1/builds.repo\n');
  expect(triggers['definition']).toContain('rc/3.0/centos/flock');
});

test('builds with what they were built from: as it was when the last of them began, or at the time that is declared', () => {
  const made = archives();
  const builds = [made.layered.build('20261101T040000Z', 'flock'), made.layered.build(BUILD, 'compiler')];
  const { definition, repoFile } = release(made, { of: [made.epel], builds }, '3.0.1');
  expect(definition).toMatchObject({ at: '2026-11-01T04:00:00Z', members: [{ id: 'epel-7' }] });
  expect(repoFile).toMatch(/^# Repositories of the released builds: .*\n\n?\[3\.0\.1-epel-7\]$/m);
  const other = archives();
  expect(release(other, { of: [other.epel], at: AT, builds: [other.whole.build(BUILD)] }, '2018.10.5').definition).toMatchObject({
    at: AT,
    builds: [{ series: 'release/2018.10/2018.10.5/centos', publicPath: 'mirror/starlingx/release/2018.10.5/centos' }],
  });
  const third = archives();
  const named = release(third, { snapshots: { 'epel-7': SNAPSHOT }, builds: [third.whole.build(BUILD)] }, '2018.10.5').definition;
  expect(named).toMatchObject({ members: [{ id: 'epel-7', snapshot: SNAPSHOT }], builds: [{ timestamp: BUILD }] });
  expect(named).not.toHaveProperty('at');
});

test.each<[string, (made: ReturnType<typeof archives>) => unknown, string[]]>([
  ['none', () => ({ builds: [] }), ['builds []', 'at least one build']],
  ['no list', ({ whole }) => ({ builds: whole.build(BUILD) }), ['at least one build']],
  ['a name', () => ({ builds: [BUILD] }), [`builds[0] "${BUILD}"`, 'of the same server', 'archive.build(']],
  ['nothing', () => ({ builds: [null] }), ['builds[0] null', 'of the same server']],
  ['an archive', ({ whole }) => ({ builds: [whole] }), ['builds[0]', 'of the same server']],
  ['one of another server', () => ({ builds: [archives().whole.build(BUILD)] }), ['builds[0]', 'of the same server']],
  [
    'one without its layer',
    ({ layered }) => ({ builds: [{ archive: layered, timestamp: BUILD }] }),
    ['build undefined', 'layers compiler, flock'],
  ],
  ['one without a name', ({ whole }) => ({ builds: [{ archive: whole, timestamp: '../x' }] }), ['build "../x"', 'to the second']],
  [
    'two of one layer',
    ({ layered }) => ({ builds: [layered.build(BUILD, 'flock'), layered.build('20261102T023000Z', 'flock')] }),
    ['builds[1] "rc/3.0/centos/flock"', 'the second one for /mirror/starlingx/release/3.0.1/centos/flock/'],
  ],
  ['a time without what is of it', ({ whole }) => ({ at: AT, builds: [whole.build(BUILD)] }), ['of undefined', 'at least one']],
  [
    'named snapshots of a time',
    ({ whole }) => ({ at: AT, snapshots: { 'epel-7': SNAPSHOT }, builds: [whole.build(BUILD)] }),
    ['without of and at'],
  ],
])('builds that are refused: %s', (_what, props, parts) => {
  const made = archives();
  refuses(() => new Release(made.server, '3.0.1', any(props(made))), ...parts);
});

test.each(['3.0', 'r1', '3.0.1.1', 'v3.0.1', '3.0.1-rc1', '3.0.x'])('builds are not released as %p', (id) => {
  const { server, whole } = archives();
  refuses(() => new Release(server, id, { builds: [whole.build(BUILD)] }), `id "${id}"`, '<N.M.P>');
});

test('a whole build and a layer of it lie in each other; two releases do not', () => {
  const { server, layered, whole } = archives();
  const build: BuildReference = layered.build(BUILD, 'flock');
  refuses(() => new Release(server, '3.0.1', { builds: [whole.build(BUILD), build] }), 'public path', 'lies under');
  expect(new Release(server, '3.0.2', { builds: [build] })).toBeDefined();
});
