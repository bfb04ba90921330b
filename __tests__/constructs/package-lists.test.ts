/** PackageLists: what lists make of the desired state, and which props and lists are refused. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { Distribution, PackageLists, type PackageListsProps, PublicKey, Release, SyncSchedule, Waiver } from '../../constructs';
import { type ListsDefinition, ListsDefinitionSchema } from '../../desired-state/definitions';
import type { Element } from '../../desired-state/model';
import { askedPackages } from '../../starlingx/asked';
import { HOSTILE, mirror, refuses, repository, synth } from './support';

const WHY = 'a test says so';
const DIGEST = 'ab'.repeat(32);
const BASH = 'bash-4.2.46-31.el7.x86_64.rpm';
const GCC = 'libstdc++-4.8.5-36.el7.i686.rpm';
const NET = 'net-snmp-5.7.2-37.el7.src.rpm';
const VENDOR = 'influxdb-0.9.5.1-1.x86_64.rpm';
const URL = `https://s3.amazonaws.com/influxdb/${VENDOR}`;
const work = mkdtempSync(join(tmpdir(), 'package-lists-'));
let count = 0;
afterAll(() => rmSync(work, { recursive: true }));

/** A file of the project. */
function file(name: string, ...lines: string[]): string {
  const path = join(work, String(count++), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
  return path;
}

const centos = (...lines: string[]): string => file('rpms_centos.lst', ...lines);
const thirdParties = (...lines: string[]): string => file('rpms_3rdparties.lst', ...lines);

function declared(props: Partial<PackageListsProps>): { readonly element: Element; readonly definition: ListsDefinition } {
  const { app, server } = mirror();
  new PackageLists(server, 'stx-3.0', { lists: [centos(BASH)], release: '3.0', ...props });
  const element = synth(app).desiredState.elements.find(({ id }) => id.startsWith('lists/')) as Element;
  const path = Object.keys(element.files).find((name) => name.startsWith('definitions/')) as string;
  return { element, definition: parse(element.files[path] as string) as ListsDefinition };
}

test('lists are a definition with their texts, a link, a .repo file and a timer after those of the repositories', () => {
  const { app, server } = mirror();
  const lists = [centos('# the base', BASH, GCC), thirdParties(`${VENDOR}#${URL}`)];
  const digests = file('packages.sha256', `${DIGEST}  ${VENDOR}`);
  new PackageLists(server, 'stx-3.0', { lists, release: '3.0', digests });
  const made = synth(app);
  const element = made.desiredState.elements.find(({ id }) => id === 'lists/stx-3.0') as Element;

  const definition = parse(element.files['definitions/lists/stx-3.0.yaml'] as string) as ListsDefinition;
  expect(ListsDefinitionSchema.parse(definition)).toEqual({
    kind: 'lists',
    id: 'stx-3.0',
    publicPath: 'mirror/starlingx/lists/3.0/centos',
    lists: { 'rpms_centos.lst': `# the base\n${BASH}\n${GCC}\n`, 'rpms_3rdparties.lst': `${VENDOR}#${URL}\n` },
    digests: { [VENDOR]: DIGEST },
  });
  expect(element.links).toEqual({ 'mirror/starlingx/lists/3.0/centos': 'repositories/stx-3.0/current' });
  expect(element.files['repo-files/stx-3.0.repo']).toContain('repo_gpgcheck=1\n');
  expect(made.element('timer/stx-3.0').triggers['timer']).toMatch(/OnCalendar=\*-\*-\* 06:\d\d:00 UTC/);
});

test('one line more is one line more in the plan, and no other element changes', () => {
  const elements = (lines: string[]): readonly Element[] => {
    const { app, server } = mirror();
    repository(server, 'os');
    new PackageLists(server, 'stx-3.0', { lists: [centos(...lines)], release: '3.0' });
    return synth(app).desiredState.elements;
  };
  const [before, after] = [elements([BASH]), elements([BASH, GCC])];
  const different = after.filter((one, index) => JSON.stringify(one) !== JSON.stringify(before[index]));
  expect(different.map(({ id }) => id)).toEqual(['lists/stx-3.0']);
  const textOf = (list: readonly Element[]): string[] =>
    (list.find(({ id }) => id === 'lists/stx-3.0')?.files['definitions/lists/stx-3.0.yaml'] as string).split('\n');
  expect(textOf(after).filter((line) => !textOf(before).includes(line))).toEqual([`    ${GCC}`]);
  expect(textOf(after)).toHaveLength(textOf(before).length + 1);
});

test.each<[string, Partial<PackageListsProps>, object]>([
  ['release and layer', { release: 'master', layer: 'flock' }, { publicPath: 'mirror/starlingx/lists/master/centos/flock' }],
  ['distribution', { distribution: Distribution.FEDORA }, { publicPath: 'mirror/starlingx/lists/3.0/fedora' }],
  ['id', { id: 'other' }, { id: 'other' }],
  ['formerId', { formerId: 'old' }, { formerId: 'old' }],
  ['waivers', { waivers: [Waiver.incomplete(WHY)] }, { waivers: [{ allow: 'incomplete', reason: WHY }] }],
  ['retention', { retention: { droppedDays: 30 } }, { retention: { droppedDays: 30 } }],
  ['never', { schedule: SyncSchedule.never(WHY) }, { retired: WHY }],
  ['keys', { keys: [PublicKey.fromFile('keys/RPM-GPG-KEY-EPEL-7')] }, { keys: [{ file: 'keys/RPM-GPG-KEY-EPEL-7' }] }],
])('%s', (_name, props, expected) => {
  const { element, definition } = declared(props);
  expect(definition).toMatchObject(expected);
  expect(element.adopts).toBe(props.formerId);
  expect(element.id).toBe(`lists/${props.id ?? 'stx-3.0'}`);
});

test('a schedule of its own, and a release that freezes the lists with the rest', () => {
  const { app, server } = mirror();
  const lists = new PackageLists(server, 'a', { lists: [centos(BASH)], release: 'a', schedule: SyncSchedule.hourly({ minute: 5 }) });
  new Release(server, '3.0', { of: [lists], at: '2026-11-01T00:00:00Z' });
  const made = synth(app);
  const { desiredState } = made;
  expect(made.element('timer/a').triggers['timer']).toContain('OnCalendar=*-*-* *:05:00 UTC');
  const release = desiredState.elements.find(({ id }) => id === 'release/3.0') as Element;
  expect(parse(release.files['definitions/releases/3.0.yaml'] as string)).toMatchObject({
    members: [{ id: 'a', publicPath: 'mirror/starlingx/lists/a/centos' }],
  });
  expect(Object.values(release.files).join('')).toContain('[3.0-a]');
});

test('the same request twice is one; a URL counts wherever it is', () => {
  const asked = askedPackages({ a: `${BASH}\n${BASH}\n${VENDOR}\n`, b: `${VENDOR}#${URL}\n${NET}\n` }, { [VENDOR]: DIGEST });
  expect(asked.map(({ file: name, url, sha256, list, line }) => [name, url, sha256, list, line])).toEqual([
    [BASH, undefined, undefined, 'a', 1],
    [VENDOR, URL, DIGEST, 'b', 1],
    [NET, undefined, undefined, 'b', 2],
  ]);
});

describe('is refused:', () => {
  const made =
    (props: Partial<PackageListsProps>): (() => unknown) =>
    () =>
      declared(props);

  test.each<[string, () => Partial<PackageListsProps>, string]>([
    ['no list', () => ({ lists: [] }), 'at least one list'],
    ['a list that is not there', () => ({ lists: [join(work, 'none.lst')] }), 'regular file'],
    ['a folder', () => ({ lists: [work] }), 'regular file'],
    ['a line that is none', () => ({ lists: [centos(BASH, 'bash')] }), 'rpms_centos.lst line 2'],
    ['two lists of one name', () => ({ lists: [centos(BASH), centos(GCC)] }), 'another of the lists is called rpms_centos.lst'],
    [
      'two URLs for one file, in two lists',
      () => ({ lists: [thirdParties(`${VENDOR}#${URL}`), file('more.lst', '', `${VENDOR}#http://example.org/${VENDOR}`)] }),
      `more.lst:2: ${VENDOR} is at http://example.org/${VENDOR}, and at ${URL} by rpms_3rdparties.lst:1`,
    ],
    ['a digest of nothing', () => ({ digests: file('sums', `${DIGEST}  ${VENDOR}`) }), `a digest is recorded for "${VENDOR}"`],
    ['a digest without a URL', () => ({ digests: file('sums', `${DIGEST}  ${BASH}`) }), 'it comes from a repository'],
    ['a digest that is none', () => ({ digests: file('sums', 'ab  x.rpm') }), 'sums line 1'],
    ['no key', () => ({ keys: [] }), 'at least one key'],
    ['a waiver of something else', () => ({ waivers: [Waiver.shrunk(WHY)] }), 'package lists'],
    ['a retention rule that is none', () => ({ retention: { droppedDays: 0 } }), 'droppedDays'],
    ...HOSTILE.map((value): [string, () => Partial<PackageListsProps>, string] => [
      `the release ${JSON.stringify(value)}`,
      () => ({ release: value }),
      'release',
    ]),
  ])('%s', (_what, props, message) => {
    refuses(made(props()), message);
  });

  test.each(['SHA256SUMS', 'SHA256SUMS.asc', 'rpms+.lst', '.lst'])('a list called %s, which cannot be served', (name) => {
    refuses(() => declared({ lists: [file(name, BASH)] }), `lists "${name}"`);
    expect(ListsDefinitionSchema.safeParse({ kind: 'lists', id: 'a', publicPath: 'a', lists: { [name]: '' } }).success).toBe(false);
  });

  test('an id that something else has, and a path that other lists have', () => {
    const { server } = mirror();
    new PackageLists(server, 'a', { lists: [centos(BASH)], release: '3.0' });
    refuses(() => new PackageLists(server, 'b', { lists: [centos(BASH)], release: '3.0' }), 'is the same as');
    repository(server, 'os', { id: 'os' });
    refuses(() => new PackageLists(server, 'c', { id: 'os', lists: [centos(BASH)], release: '4.0' }), 'share one directory');
  });
});

const data = join(__dirname, '../../../shared/data/starlingx');
(existsSync(data) ? describe : describe.skip)('the real lists (needs ../shared/data)', () => {
  const folders = existsSync(data)
    ? ['r-2018.10', 'r-stx.3.0', ...readdirSync(join(data, 'layered')).map((name) => `layered/${name}`)]
    : [];
  test.each(folders)('%s synthesizes, and its texts stay byte for byte', (folder) => {
    const lists = readdirSync(join(data, folder))
      .filter((name) => /^rpms_.*\.lst$/.test(name))
      .map((name) => join(data, folder, name));
    const { definition } = declared({ lists });
    for (const path of lists) expect(definition.lists[path.replace(/^.*\//, '')]).toBe(readFileSync(path, 'utf8'));
    expect(askedPackages(definition.lists).length).toBeGreaterThan(10);
  });
});
