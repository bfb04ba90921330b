/** FileTree: what each prop makes of the desired state, and which are refused. */
import { parse } from 'yaml';
import { Customer, Access, Distribution, FileTree, SyncSchedule, TreeTrust, Trust, Waiver, type FileTreeProps } from '../../constructs';
import { key, mirror, repository, synth } from './support';

const WHY = 'nothing is signed by this upstream';
const base: FileTreeProps = { publishedAs: 'http://fast.dpdk.org/rel/', trust: TreeTrust.none(WHY), folders: ['.'] };

function definition(props: Partial<FileTreeProps>): unknown {
  const { app, server } = mirror();
  new FileTree(server, 'dpdk', { ...base, ...props });
  return parse(synth(app).element('tree/dpdk').triggers['definition'] as string);
}

test('a tree is a definition, a link, and a timer', () => {
  const { app, server } = mirror();
  new FileTree(server, 'dpdk', { ...base, schedule: SyncSchedule.daily({ hour: 4 }) });
  const made = synth(app);
  const element = made.desiredState.elements.find(({ id }) => id === 'tree/dpdk');
  expect(element?.links).toEqual({ 'mirror/centos/fast.dpdk.org/rel': 'repositories/dpdk/current' });
  expect(Object.keys(element?.files ?? {})).toEqual(['definitions/trees/dpdk.yaml']);
  expect(made.element('timer/dpdk').triggers['timer']).toContain('OnCalendar=*-*-* 04:00:00 UTC');
  expect(parse(made.element('tree/dpdk').triggers['definition'] as string)).toEqual({
    kind: 'tree',
    id: 'dpdk',
    publishedAs: 'http://fast.dpdk.org/rel/',
    publicPath: 'mirror/centos/fast.dpdk.org/rel',
    fetchFrom: ['http://fast.dpdk.org/rel/'],
    trust: { mode: 'none', reason: WHY },
    folders: ['.'],
  });
});

test.each<[string, Partial<FileTreeProps>, object]>([
  ['id', { id: 'other' }, {}],
  [
    'fetchFrom',
    { fetchFrom: ['rsync://mirror.example.org/dpdk/rel/', 'https://b.example.org/'] },
    { fetchFrom: ['rsync://mirror.example.org/dpdk/rel/', 'https://b.example.org/'] },
  ],
  ['files', { files: ['a b/c.iso'], folders: undefined as never }, { files: ['a b/c.iso'] }],
  ['folders', { folders: ['images', 'LiveOS'] }, { folders: ['images', 'LiveOS'] }],
  ['exclude', { exclude: ['*.torrent'] }, { exclude: ['*.torrent'] }],
  [
    'waivers',
    { waivers: [Waiver.shrunk(WHY), Waiver.olderRevision(WHY)] },
    {
      waivers: [
        { allow: 'olderRevision', reason: WHY },
        { allow: 'shrunk', reason: WHY },
      ],
    },
  ],
  ['distribution', { distribution: Distribution.FEDORA }, { publicPath: 'mirror/fedora/fast.dpdk.org/rel' }],
  ['treeinfo', { trust: TreeTrust.treeinfo(WHY) }, { trust: { mode: 'checksums', files: ['.treeinfo'], reason: WHY } }],
  [
    'checksums',
    { trust: TreeTrust.checksums({ files: ['SHA256SUMS'], reason: WHY }) },
    { trust: { mode: 'checksums', files: ['SHA256SUMS'], reason: WHY } },
  ],
])('%s', (_name, props, expected) => {
  if (props.id === undefined)
    expect(definition(Object.fromEntries(Object.entries({ ...props })) as Partial<FileTreeProps>)).toMatchObject(expected);
  else {
    const { app, server } = mirror();
    new FileTree(server, 'dpdk', { ...base, ...props });
    expect(synth(app).element('tree/other')).toBeDefined();
  }
});

test('signed checksums bring their keys', () => {
  const { app, server } = mirror();
  const keys = [key('RPM-GPG-KEY-CentOS-7')];
  new FileTree(server, 'iso', {
    publishedAs: base.publishedAs,
    trust: TreeTrust.signedChecksums({ files: ['isos/sha256sum.txt.asc'], keys }),
  });
  const made = synth(app);
  const element = made.desiredState.elements.find(({ id }) => id === 'tree/iso');
  expect(Object.keys(element?.files ?? {}).sort()).toEqual(['definitions/trees/iso.yaml', 'keys/RPM-GPG-KEY-CentOS-7']);
  expect(parse(made.element('tree/iso').triggers['definition'] as string)).toMatchObject({
    trust: {
      mode: 'signedChecksums',
      files: ['isos/sha256sum.txt.asc'],
      keys: [{ file: 'keys/RPM-GPG-KEY-CentOS-7', fingerprint: keys[0]?.fingerprint }],
    },
  });
});

test('a former id is adopted', () => {
  const { app, server } = mirror();
  new FileTree(server, 'dpdk', { ...base, formerId: 'old' });
  expect(synth(app).desiredState.elements.find(({ id }) => id === 'tree/dpdk')).toMatchObject({ adopts: 'old' });
});

describe('one name space', () => {
  test('of repositories, trees and customers', () => {
    const { server } = mirror();
    repository(server, 'one');
    expect(() => new FileTree(server, 't', { ...base, id: 'one', publishedAs: 'http://x.example.org/y/' })).toThrow(
      'mirror/server/one has this id',
    );
    new FileTree(server, 'two', base);
    expect(() => repository(server, 'r', { id: 'two' })).toThrow('mirror/server/two has this id');
    expect(() => new Customer(server, 'c', { id: 'two', access: Access.public() })).toThrow('mirror/server/two has this id');
    expect(() => new FileTree(server, 'mos', { ...base, publishedAs: 'http://z.example.org/y/' })).toThrow('"mos" is the product itself');
  });
  test('of public paths', () => {
    const { server } = mirror();
    repository(server, 'one', { publishedAs: 'http://fast.dpdk.org/rel/repo/' });
    expect(() => new FileTree(server, 'two', base)).toThrow(
      'it lies above "/mirror/centos/fast.dpdk.org/rel/repo" of mirror/server/one, which was declared before it',
    );
  });
  test('of former ids', () => {
    const { app, server } = mirror();
    new FileTree(server, 'one', { ...base, formerId: 'two' });
    new FileTree(server, 'two', { ...base, publishedAs: 'http://x.example.org/y/' });
    expect(() => app.synth()).toThrow('a tree with this id is still declared');
  });
});

const PATHS = [
  '',
  '/',
  '/abs',
  'a//b',
  '../x',
  'a/../b',
  'a/',
  './a',
  'a\nb',
  'a\u0000b',
  'a\\b',
  'x'.repeat(1025),
  `${'x'.repeat(256)}/a`,
  5,
  null,
];

describe('refused', () => {
  const refuses = (props: object, message: string | RegExp): void => {
    const { server } = mirror();
    expect(() => new FileTree(server, 't', { ...base, ...props })).toThrow(message);
  };
  test.each(PATHS)('file %j', (path) => refuses({ files: [path] }, /mirror\/server\/t: files\[0\] /));
  test.each(PATHS)('folder %j', (path) => refuses({ folders: [path] }, /mirror\/server\/t: folders\[0\] /));
  test.each([...PATHS, 'a{b,c}', '[a]', '!a'])('glob %j', (glob) => refuses({ exclude: [glob] }, /mirror\/server\/t: exclude\[0\] /));
  test.each(PATHS)('checksum file %j', (path) => {
    expect(() => TreeTrust.checksums({ files: [path as string], reason: WHY })).toThrow('TreeTrust.checksums: files[0]');
    expect(() => TreeTrust.signedChecksums({ files: [path as string], keys: [key('RPM-GPG-KEY-CentOS-7')] })).toThrow('files[0]');
  });
  test.each([
    'rsync://host',
    'rsync://host/',
    'rsync://user@host/module/',
    'rsync://host/mod*/',
    'rsync://host/mod%2a/',
    'rsync://host/a/../b/',
    'rsync://host//module/',
    'rsync://-oProxyCommand=x/module/',
    'rsync://host/module/?x',
    'ftp://host/module/',
    'host::module',
    'file:///etc/',
    '-e',
  ])('source %j', (url) => refuses({ fetchFrom: [url] }, /mirror\/server\/t: fetchFrom\[0\] /));
  test.each<[string, object, string]>([
    ['rsync as the name', { publishedAs: 'rsync://host/module/' }, 'publishedAs'],
    ['nothing to copy', { folders: undefined }, 'without checksum files nothing says which files there are'],
    ['an empty list', { files: [] }, 'at least one file'],
    ['a folder twice', { folders: ['a', 'a'] }, 'each folder once'],
    ['a folder below another', { folders: ['a', 'a/b'] }, '"a/b": it lies below another folder'],
    ['a folder below the base', { folders: ['.', 'b'] }, 'it lies below another folder'],
    ["a repository's trust", { trust: Trust.digestsOnly(WHY) }, 'every tree declares its trust'],
    ['no trust', { trust: undefined }, 'every tree declares its trust'],
    ['a waiver of packages', { waivers: [Waiver.changedPackages(WHY)] }, 'of a file tree there are olderRevision, shrunk'],
    ['a waiver of servers', { waivers: [Waiver.takeOver({ from: 'x', reason: WHY })] }, 'it is for a MirrorServer'],
    ['a misspelt prop', { folder: ['a'] }, 'Did you mean folders?'],
    ['a schedule of another make', { schedule: 'daily' }, 'schedule'],
    ['a distribution', { distribution: 'debian' }, 'distribution'],
    ['an id', { id: '../x' }, 'mirror/server/t: id'],
  ])('%s', (_name, props, message) => refuses(props, message));
  test('reasons that say nothing', () => {
    expect(() => TreeTrust.none('x')).toThrow('reason');
    expect(() => TreeTrust.treeinfo('x')).toThrow('reason');
    expect(() => TreeTrust.checksums({ files: ['a'], reason: ' ' })).toThrow('reason');
    expect(() => TreeTrust.signedChecksums({ files: ['a'], keys: [] })).toThrow('keys');
    expect(() => TreeTrust.checksums({ files: [], reason: WHY })).toThrow('files');
  });
});
