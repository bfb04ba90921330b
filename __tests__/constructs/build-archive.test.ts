import { parse } from 'yaml';
import { BuildArchive, type BuildArchiveProps, Distribution } from '../../constructs';
import { BuildsDefinitionSchema } from '../../desired-state/definitions';
import { HOSTILE, mirror, refuses, synth } from './support';

/** As main.ts passes them: synthesis checks no types. */
const any = <T>(value: unknown): T => value as T;

function declared(props: BuildArchiveProps, id = 'stx') {
  const { app, server } = mirror();
  const archive = new BuildArchive(server, id, props);
  const result = synth(app);
  const element = result.desiredState.elements.find((one) => one.id === `builds/${id}`);
  const text = element?.files[`definitions/builds/${id}.yaml`] ?? '';
  return { archive, element, definition: BuildsDefinitionSchema.parse(parse(text)), triggers: result.element(`builds/${id}`).triggers };
}

test('a branch that is built in layers: a series for each, at its public path', () => {
  const { archive, element, definition, triggers } = declared({ branch: 'master', layers: ['compiler', 'distro', 'flock'] });
  const series = ['master/centos/compiler', 'master/centos/distro', 'master/centos/flock'];
  expect(definition).toEqual({
    kind: 'builds',
    id: 'stx',
    branch: 'master',
    distribution: 'centos',
    series,
    siteUrl: 'http://mirror.example.org',
  });
  expect(element?.links).toEqual(Object.fromEntries(series.map((one) => [`mirror/starlingx/${one}`, `builds/${one}`])));
  expect(archive.series).toEqual(series);
  expect(triggers['definition']).toBe(element?.files['definitions/builds/stx.yaml']);
});

test.each([
  ['master', 'master'],
  ['f/centos8', 'feature/centos8'],
  ['r/stx.3.0', 'rc/3.0'],
  ['m/2018.10.b3', 'milestone/2018.10/2018.10.b3'],
  ['r/2018.10.5', 'release/2018.10/2018.10.5'],
])('the branch %s', (branch, path) => {
  const { archive, definition } = declared({ branch });
  expect(archive.branchPath).toBe(path);
  expect(definition).toMatchObject({ branch, series: [`${path}/centos`] });
});

test('another distribution, and rules of its own; what is not said has no line', () => {
  const distribution = Distribution.FEDORA;
  const { archive, definition } = declared({ branch: 'master', distribution, retention: { greenDays: 60, atLeast: 5 } });
  expect(archive.series).toEqual(['master/fedora']);
  expect(definition.retention).toEqual({ greenDays: 60, atLeast: 5 });
  const all = { greenDays: 1, yellowDays: 2, otherDays: 3, atLeast: 4 };
  expect(declared({ branch: 'master', retention: all }).definition.retention).toEqual(all);
});

test('the timer is there where builds are, once', () => {
  const { app, server } = mirror();
  new BuildArchive(server, 'a', { branch: 'master' });
  new BuildArchive(server, 'b', { branch: 'r/stx.3.0' });
  const files = synth(app).desiredState.elements.flatMap((one) => Object.entries(one.files));
  expect(new Set(files.filter(([name]) => name.startsWith('systemd/mirror-builds.')).map(([name]) => name)).size).toBe(2);
  expect(files.find(([name]) => name === 'systemd/mirror-builds.timer')?.[1]).toContain('OnCalendar=*-*-* 06:40:00 UTC\n');
  expect(files.find(([name]) => name === 'systemd/mirror-builds.service')?.[1]).toContain('mirrorctl build expire --wait 3600\n');
  const plain = synth(mirror().app).desiredState.elements.flatMap((one) => Object.keys(one.files));
  expect(plain.filter((file) => file.includes('builds'))).toEqual([]);
});

test('a build by its name', () => {
  const { archive } = declared({ branch: 'master', layers: ['distro', 'flock'] });
  expect(archive.build('20261101T023000Z', 'flock')).toEqual({
    archive,
    layer: 'flock',
    series: 'master/centos/flock',
    timestamp: '20261101T023000Z',
  });
  expect(declared({ branch: 'r/stx.3.0' }).archive.build('20261101T023000Z')).toMatchObject({ layer: undefined, series: 'rc/3.0/centos' });
});

test.each<[string, unknown, unknown, string[]]>([
  ['no time', 'latest_build', 'flock', ['build "latest_build"', 'the UTC time of its start']],
  ['a day that there is not', '20260230T000000Z', 'flock', ['20260230T000000Z']],
  ['no text', 20261101, 'flock', ['build 20261101']],
  ['no layer', '20261101T023000Z', undefined, ['build undefined', 'the layers distro, flock']],
  ['an unknown layer', '20261101T023000Z', 'mock', ['build "mock"', 'the layers distro, flock']],
])('refused as a build: %s', (_, timestamp, layer, parts) => {
  const { archive } = declared({ branch: 'master', layers: ['distro', 'flock'] });
  refuses(() => archive.build(any(timestamp), any(layer)), 'mirror/server/stx', ...parts);
});

test('refused as a build: a layer of a branch that has none', () => {
  const { archive } = declared({ branch: 'master' });
  refuses(() => archive.build('20261101T023000Z', 'flock'), 'this branch is built as a whole', 'Leave the layer out.');
});

test.each<[string, object, string[]]>([
  ['no branch', {}, ['branch undefined', 'branches are master']],
  ['a branch that is none', { branch: 'main' }, ['branch "main"', 'as its repositories call it']],
  ['a path', { branch: 'rc/3.0' }, ['branch "rc/3.0"']],
  ['one that leads out', { branch: 'f/../../x' }, ['branch "f/../../x"']],
  ['a list of branches', { branch: ['master'] }, ['branch ["master"]']],
  ['no layers', { branch: 'master', layers: [] }, ['layers', 'Leave layers out']],
  ['a layer twice', { branch: 'master', layers: ['flock', 'flock'] }, ['"flock"']],
  ['a layer that leads out', { branch: 'master', layers: ['..'] }, ['layers[0] ".."']],
  ['layers that are text', { branch: 'master', layers: 'flock' }, ['layers "flock"']],
  ['a distribution that is none', { branch: 'master', distribution: '../x' }, ['distribution "../x"']],
  ['zero days', { branch: 'master', retention: { greenDays: 0 } }, ['retention.greenDays 0']],
  ['a fraction', { branch: 'master', retention: { yellowDays: 1.5 } }, ['retention.yellowDays 1.5']],
  ['a text', { branch: 'master', retention: { otherDays: '7' } }, ['retention.otherDays "7"']],
  ['none at all', { branch: 'master', retention: { atLeast: 0 } }, ['retention.atLeast 0']],
  ['an unknown rule', { branch: 'master', retention: { redDays: 7 } }, ['redDays']],
  ['an unknown prop', { branch: 'master', layer: ['flock'] }, ['Did you mean layers?']],
])('refused: %s', (_, props, parts) => {
  const { server } = mirror();
  refuses(() => new BuildArchive(server, 'stx', any(props)), 'mirror/server/stx', ...parts);
});

test('ids, and places that are taken', () => {
  for (const id of HOSTILE.filter((one) => one !== '')) {
    const { server } = mirror();
    expect(() => new BuildArchive(server, id, { branch: 'master' })).toThrow();
  }
  const { server } = mirror();
  new BuildArchive(server, 'stx', { branch: 'master', layers: ['flock'] });
  refuses(() => new BuildArchive(server, 'again', { branch: 'master', layers: ['flock'] }), 'mirror/starlingx/master/centos/flock');
  expect(new BuildArchive(server, 'other', { branch: 'master', layers: ['distro'] }).series).toEqual(['master/centos/distro']);
});
