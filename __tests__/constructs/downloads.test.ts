/** TarballDownloads and InstallTree: what lists make of the desired state, and which props and lists are refused. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import {
  Distribution,
  FileTree,
  InstallTree,
  type InstallTreeProps,
  Release,
  SyncSchedule,
  SyncTimer,
  TarballDownloads,
  type TarballDownloadsProps,
  TreeTrust,
  Waiver,
} from '../../constructs';
import { type DownloadsDefinition, DownloadsDefinitionSchema } from '../../desired-state/definitions';
import type { Element } from '../../desired-state/model';
import { HOSTILE, mirror, refuses, repository, synth } from './support';

const WHY = 'a test says so';
const DIGEST = 'ab'.repeat(32);
const work = mkdtempSync(join(tmpdir(), 'lists-'));
let count = 0;
afterAll(() => rmSync(work, { recursive: true }));

/** A project with these files; returns the path of the first. */
function project(files: Readonly<Record<string, string | Buffer>>): string {
  const root = join(work, String(count++));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return join(root, Object.keys(files)[0] as string);
}

const list = (...lines: string[]): string => project({ 'tarball-dl.lst': lines.map((line) => `${line}\n`).join('') });
const DPDK = 'dpdk-18.11.tar.xz#dpdk-18.11#http://fast.dpdk.org/rel/dpdk-18.11.tar.xz#http##';
const TSS = '!tss2-930.tar.gz#tss2-930#https://git.code.sf.net/p/ibmtpm20tss/tss#git#v930#';

function tarballs(
  path: string,
  props: Partial<TarballDownloadsProps> = {},
): { readonly element: Element; readonly definition: DownloadsDefinition; readonly packages: readonly string[] } {
  const { app, server } = mirror();
  new TarballDownloads(server, 'stx-3.0', { list: path, release: '3.0', ...props });
  return found(app);
}

function installer(props: Partial<InstallTreeProps>): { readonly element: Element; readonly definition: DownloadsDefinition } {
  const { app, server } = mirror();
  new InstallTree(server, 'installer', { publishedAs: 'http://mirror.centos.org/7.6.1810/os/x86_64/', ...props });
  return found(app);
}

function found(app: ReturnType<typeof mirror>['app']): ReturnType<typeof tarballs> {
  const { desiredState } = synth(app);
  const element = desiredState.elements.find(({ id }) => id.startsWith('downloads/')) as Element;
  const [file] = Object.keys(element.files) as [string];
  return { element, definition: parse(element.files[file] as string) as DownloadsDefinition, packages: desiredState.packages };
}

test('a list is a definition, links at both places of each file, and a timer', () => {
  const text = [
    '# what the installer needs',
    DPDK,
    TSS,
    '!mariadb-10.1.28.tar.gz#mariadb-10.1.28#https://github.com/MariaDB/server/archive/mariadb-10.1.28.tar.gz#http_script##post-dl-script/mariadb.sh',
    'logrus-55eb11d.tar.gz#logrus#github.com/Sirupsen/logrus/archive/55eb11d.tar.gz#http##',
    'parts.tgz#parts/#https://example.org/parts/#http_filelist#lists/parts.txt#',
    '',
  ].join('\n');
  const path = project({ 'tarball-dl.lst': text, 'lists/parts.txt': '# of 3.0\none\nsub/two\n' });
  const { element, definition, packages } = tarballs(path);
  expect(definition).toEqual({
    kind: 'downloads',
    id: 'stx-3.0',
    publicPath: 'mirror/starlingx/tarballs/3.0/centos',
    files: [
      { path: 'dpdk-18.11.tar.xz', url: 'http://fast.dpdk.org/rel/dpdk-18.11.tar.xz' },
      { path: 'tss2-930.tar.gz', url: 'https://git.code.sf.net/p/ibmtpm20tss/tss', method: 'git', ref: 'v930', directory: 'tss2-930' },
      { path: 'originals/mariadb-10.1.28.tar.gz', url: 'https://github.com/MariaDB/server/archive/mariadb-10.1.28.tar.gz' },
      { path: 'logrus-55eb11d.tar.gz', url: 'http://github.com/Sirupsen/logrus/archive/55eb11d.tar.gz' },
      { path: 'parts.tgz', url: 'https://example.org/parts/', method: 'filelist', members: ['one', 'sub/two'], directory: 'parts' },
    ],
    sums: 'SHA256SUMS',
    lists: { 'tarball-dl.lst': text },
  });
  const current = 'repositories/stx-3.0/current';
  expect(element.links).toEqual({
    'mirror/starlingx/tarballs/3.0/centos': current,
    'mirror/centos/fast.dpdk.org/rel/dpdk-18.11.tar.xz': `${current}/dpdk-18.11.tar.xz`,
    'mirror/centos/git.code.sf.net/p/ibmtpm20tss/tss/tss2-930.tar.gz': `${current}/tss2-930.tar.gz`,
    'mirror/centos/github.com/MariaDB/server/archive/mariadb-10.1.28.tar.gz': `${current}/originals/mariadb-10.1.28.tar.gz`,
    'mirror/centos/github.com/Sirupsen/logrus/archive/55eb11d.tar.gz': `${current}/logrus-55eb11d.tar.gz`,
    'mirror/centos/example.org/parts/parts.tgz': `${current}/parts.tgz`,
  });
  expect(packages).toContain('git');
  expect(tarballs(list(DPDK)).packages).not.toContain('git');
});

test.each<[string, Partial<TarballDownloadsProps>, object]>([
  ['release and layer', { release: 'master', layer: 'flock' }, { publicPath: 'mirror/starlingx/tarballs/master/centos/flock' }],
  ['distribution', { distribution: Distribution.FEDORA }, { publicPath: 'mirror/starlingx/tarballs/3.0/fedora' }],
  ['id', { id: 'other' }, { id: 'other' }],
  ['formerId', { formerId: 'old' }, { formerId: 'old' }],
  ['exclude', { exclude: ['tss2-930.tar.gz'] }, { files: [{ path: 'dpdk-18.11.tar.xz', url: expect.anything() }] }],
  ['waivers', { waivers: [Waiver.incomplete(WHY)] }, { waivers: [{ allow: 'incomplete', reason: WHY }] }],
  ['retention', { retention: { snapshotDays: 9 } }, { retention: { snapshotDays: 9 } }],
  ['never', { schedule: SyncSchedule.never(WHY) }, { retired: WHY }],
])('%s', (_name, props, expected) => {
  const { element, definition } = tarballs(list(DPDK, TSS), props);
  expect(definition).toMatchObject(expected);
  expect(element.adopts).toBe(props.formerId);
  expect(element.id).toBe(`downloads/${props.id ?? 'stx-3.0'}`);
});

test('a timer, unless it is never synced', () => {
  const { app, server } = mirror();
  new TarballDownloads(server, 'a', { list: list(DPDK), release: 'a', schedule: SyncSchedule.daily({ hour: 4 }) });
  new TarballDownloads(server, 'b', { list: list(DPDK), release: 'b', schedule: SyncSchedule.never(WHY) });
  const made = synth(app);
  expect(made.element('timer/a').triggers['timer']).toContain('OnCalendar=*-*-* 04:00:00 UTC');
  expect(made.desiredState.elements.map(({ id }) => id)).not.toContain('timer/b');
  refuses(() => new SyncTimer(server, 'x', { repositoryId: 'nothing' }), 'TarballDownloads');
});

test('recorded digests go to the files that have them, of archives that are made by their tar', () => {
  const path = project({
    'tarball-dl.lst': `${DPDK}\n${TSS}\n!m.tar.gz#m#https://example.org/m.tar.gz#http_script##x.sh\n`,
    SHA256SUMS: `${DIGEST}  dpdk-18.11.tar.xz\n${'cd'.repeat(32)}  tss2-930.tar\n${'ef'.repeat(32)}  originals/m.tar.gz\n`,
  });
  const { definition } = tarballs(path, { digests: join(dirname(path), 'SHA256SUMS') });
  expect(definition.files.map(({ path: name, sha256 }) => [name, sha256])).toEqual([
    ['dpdk-18.11.tar.xz', DIGEST],
    ['tss2-930.tar.gz', 'cd'.repeat(32)],
    ['originals/m.tar.gz', 'ef'.repeat(32)],
  ]);
});

test('what two entries share, or something else serves, has one place', () => {
  const { app, server } = mirror();
  const shared = (name: string): string =>
    `!${name}.tar.gz#${name}#http://git.infradead.org/users/jjs/tpmdd.git/snapshot/e6.tar.gz#http_script##x.sh`;
  const first = new TarballDownloads(server, 'a', { list: list(shared('integrity'), shared('tpm'), DPDK), release: 'a' });
  new TarballDownloads(server, 'b', { list: list(shared('tpm'), TSS), release: 'b' });
  // Declared later, it serves its whole path all the same.
  new FileTree(server, 'dpdk', { publishedAs: 'http://fast.dpdk.org/rel/', trust: TreeTrust.none(WHY), folders: ['.'] });
  new Release(server, '3.0', { of: [first], at: '2026-11-01T00:00:00Z' });
  const { desiredState } = synth(app);
  const links = (id: string): Readonly<Record<string, string>> => desiredState.elements.find((one) => one.id === id)?.links ?? {};
  expect(links('downloads/a')).toEqual({
    'mirror/starlingx/tarballs/a/centos': 'repositories/a/current',
    'mirror/centos/git.infradead.org/users/jjs/tpmdd.git/snapshot/e6.tar.gz': 'repositories/a/current/originals/integrity.tar.gz',
  });
  expect(Object.keys(links('downloads/b'))).toEqual([
    'mirror/centos/git.code.sf.net/p/ibmtpm20tss/tss/tss2-930.tar.gz',
    'mirror/starlingx/tarballs/b/centos',
  ]);
  expect(links('tree/dpdk')).toEqual({ 'mirror/centos/fast.dpdk.org/rel': 'repositories/dpdk/current' });
  const release = desiredState.elements.find(({ id }) => id === 'release/3.0');
  expect(parse(release?.files['definitions/releases/3.0.yaml'] as string)).toMatchObject({
    members: [{ id: 'a', publicPath: 'mirror/starlingx/tarballs/a/centos' }],
  });
});

test('an installer is served at the path of its URL; what the mirror adds is below one name', () => {
  const path = project({
    'other_downloads.lst': 'folder:images\nfile:images/pxeboot/vmlinuz\nfile:EULA\n',
    sums: `${DIGEST}  images/pxeboot/vmlinuz\n`,
  });
  const { element, definition } = installer({
    list: path,
    digests: join(dirname(path), 'sums'),
    fetchFrom: 'https://vault.centos.org/7.6.1810/os/x86_64',
  });
  expect(definition).toEqual({
    kind: 'downloads',
    id: 'installer',
    publicPath: 'mirror/centos/centos/mirror.centos.org/7.6.1810/os/x86_64',
    files: [
      { path: 'images/pxeboot/vmlinuz', url: 'https://vault.centos.org/7.6.1810/os/x86_64/images/pxeboot/vmlinuz', sha256: DIGEST },
      { path: 'EULA', url: 'https://vault.centos.org/7.6.1810/os/x86_64/EULA' },
    ],
    sums: '.mirror/SHA256SUMS',
    lists: { 'other_downloads.lst': readFileSync(path, 'utf8') },
  });
  expect(element.links).toEqual({ 'mirror/centos/centos/mirror.centos.org/7.6.1810/os/x86_64': 'repositories/installer/current' });
  expect(installer({ files: ['a b+c'] }).definition).toMatchObject({
    files: [{ path: 'a b+c', url: 'http://mirror.centos.org/7.6.1810/os/x86_64/a%20b%2Bc' }],
  });
  expect(installer({ files: ['a'] }).definition.lists).toBeUndefined();
});

const lists = join(__dirname, '../../../shared/data/starlingx');
(existsSync(lists) ? describe : describe.skip)('the real lists (needs ../shared/data)', () => {
  const below = (folder: string): readonly string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? below(join(folder, entry.name)) : [join(folder, entry.name)],
    );
  const files = existsSync(lists) ? below(lists) : [];

  test('all of them at once become downloads, each file at its own place', () => {
    const { app, server } = mirror();
    const tarballLists = files.filter((path) => path.endsWith('tarball-dl.lst'));
    const installLists = files.filter((path) => path.endsWith('other_downloads.lst'));
    expect(tarballLists.length).toBeGreaterThanOrEqual(2);
    expect(installLists.length).toBeGreaterThanOrEqual(2);
    tarballLists.forEach((path, index) => new TarballDownloads(server, `tarballs-${index}`, { list: path, release: `r${index}` }));
    installLists.forEach(
      (path, index) =>
        new InstallTree(server, `installer-${index}`, { list: path, publishedAs: `http://mirror.centos.org/${index}/os/x86_64/` }),
    );
    const { desiredState } = synth(app);
    const elements = desiredState.elements.filter(({ id }) => id.startsWith('downloads/'));
    const places = elements.flatMap(({ links }) => Object.keys(links));
    expect(new Set(places).size).toBe(places.length);
    const definitions = elements.map(({ files: texts }) => parse(Object.values(texts)[0] as string) as DownloadsDefinition);
    for (const definition of definitions) expect(DownloadsDefinitionSchema.parse(definition)).toEqual(definition);
    const wanted = (name: string): number => definitions.find(({ id }) => id === name)?.files.length ?? 0;
    const asked = (path: string): number =>
      new Set(
        readFileSync(path, 'utf8')
          .split('\n')
          .filter((line) => line !== '' && !/^(#|folder:)/.test(line)),
      ).size;
    tarballLists.forEach((path, index) => expect(wanted(`tarballs-${index}`)).toBe(asked(path)));
    installLists.forEach((path, index) => expect(wanted(`installer-${index}`)).toBe(asked(path)));
    // Two entries of one URL, both for a script, are two files.
    const shared = definitions.flatMap(({ files: all }) => all).filter(({ url }) => /linux-tpmdd\.git\/snapshot\/e6aef069/.test(url));
    for (const name of ['integrity-kmod-e6aef069.tar.gz', 'tpm-kmod-e6aef069.tar.gz'])
      expect(shared.map(({ path }) => path)).toContain(`originals/${name}`);
  });
});

describe('bad input', () => {
  const withList =
    (text: string | Buffer, name = 'tarball-dl.lst'): (() => unknown) =>
    () =>
      tarballs(project({ [name]: text }));
  const props =
    (change: object): (() => unknown) =>
    () =>
      tarballs(list(DPDK, TSS), change);
  const digests =
    (text: string): (() => unknown) =>
    () => {
      const path = project({ 'tarball-dl.lst': `${DPDK}\n`, sums: text });
      return tarballs(path, { digests: join(dirname(path), 'sums') });
    };
  test.each<[string, () => unknown, string[]]>([
    ['no list', props({ list: undefined }), ['list undefined', 'the path of a list']],
    ['a list that is not there', props({ list: 'starlingx/none.lst' }), ['list "starlingx/none.lst"', 'a regular file']],
    ['a folder', () => tarballs(dirname(list(DPDK))), ['a regular file']],
    ['an empty list', withList(''), ['at least one tarball']],
    ['a list of comments', withList('# nothing\n'), ['at least one tarball']],
    ['CRLF', withList(`${DPDK}\r\n`), ['tarball-dl.lst', 'line 1']],
    ['UTF-16', withList(Buffer.from(`\ufeff${DPDK}\n`, 'utf16le')), ['tarball-dl.lst']],
    ['a line that is none', withList(`${DPDK}\nwhat\n`), ['tarball-dl.lst', 'line 2', 'what']],
    ['a name with a path', withList(`../x.tar.gz#x#https://example.org/x.tar.gz#http##\n`), ['line 1', '../x.tar.gz']],
    ['a password', withList(`x.tar.gz#x#https://u:secret@example.org/x.tar.gz#http##\n`), ['line 1', 'password']],
    ['a file with two URLs', withList(`${DPDK}\n${DPDK.replace('fast.', 'slow.')}\n`), ['line 2', 'line 1']],
    ['a ref that git would read as an option', withList(TSS.replace('v930', '--upload-pack=x')), ['line 1', 'upload-pack']],
    ['a name of the mirror', withList(`SHA256SUMS#x#https://example.org/x.tar.gz#http##\n`), ['line 1', 'SHA256SUMS', 'another name']],
    ['another name of the mirror', withList(`lists#x#https://example.org/x.tar.gz#http##\n`), ['line 1', 'lists']],
    ['a made archive of an unknown kind', withList(`tss.zip#tss#https://example.org/tss#git#v1#\n`), ['line 1', 'tss.zip', '*.tar.gz']],
    ['a file list that is not there', withList(`p.tgz#p#https://example.org/p#http_filelist#none.txt#\n`), ['none.txt']],
    [
      'a file list that leaves its folder',
      () => tarballs(project({ 'tarball-dl.lst': 'p.tgz#p#https://example.org/p#http_filelist#p.txt#\n', 'p.txt': 'a\n../b\n' })),
      ['p.txt line 2', '../b'],
    ],
    [
      'a file list of nothing',
      () => tarballs(project({ 'tarball-dl.lst': 'p.tgz#p#https://example.org/p#http_filelist#p.txt#\n', 'p.txt': '# none\n' })),
      ['at least one file'],
    ],
    ['an exclusion of what is not there', props({ exclude: ['dpdk-18.12.tar.xz'] }), ['exclude[0]', 'Did you mean dpdk-18.11.tar.xz?']],
    ['an exclusion of everything', props({ exclude: ['dpdk-18.11.tar.xz', 'tss2-930.tar.gz'] }), ['at least one file stays']],
    ['no exclusion', props({ exclude: [] }), ['exclude', 'at least one file']],
    [
      'a digest of what is not in the list',
      digests(`${DIGEST}  dpdk-18.12.tar.xz\n`),
      ['dpdk-18.12.tar.xz', 'Did you mean dpdk-18.11.tar.xz?'],
    ],
    ['a digest of the wrong kind', digests(`${'ab'.repeat(20)}  dpdk-18.11.tar.xz\n`), ['sums', 'line 1']],
    ['two digests of a file', digests(`${DIGEST}  dpdk-18.11.tar.xz\n${'cd'.repeat(32)}  dpdk-18.11.tar.xz\n`), ['line 2']],
    ['digests that are not there', props({ digests: 'none' }), ['digests "none"', 'a regular file']],
    [
      'a waiver of packages',
      props({ waivers: [Waiver.shrunk(WHY)] }),
      ['Waiver.shrunk', 'of downloads there are incomplete, privateAddresses'],
    ],
    ['a rule for packages', props({ retention: { newestVersions: 3 } }), ['retention']],
    ['a prop that there is not', props({ lists: ['x'] }), ['Did you mean list?']],
    ['its own id as the former one', props({ formerId: 'stx-3.0' }), ['formerId', 'it is the id']],
    ['an installer without files', () => installer({}), ['either a list or files']],
    ['an installer with both', () => installer({ list: 'x', files: ['a'] }), ['either a list or files']],
    ['an installer of no files', () => installer({ files: [] }), ['files', 'at least one file']],
    [
      'an installer of folders alone',
      () => installer({ list: project({ 'other_downloads.lst': 'folder:images\n' }) }),
      ['at least one file'],
    ],
    ['a file that leaves it', () => installer({ files: ['../x'] }), ['files[0]', '../x']],
    ['a file of the mirror’s own', () => installer({ files: ['.mirror/SHA256SUMS'] }), ["the mirror's own"]],
    [
      'a list of the mirror’s name',
      withList(`${DPDK}\n`, 'SHA256SUMS.asc'),
      ['list "SHA256SUMS.asc"', 'the mirror has beside it', 'Rename'],
    ],
    ['a list that the server refuses', withList(`${DPDK}\n`, 'tarballs+.lst'), ['list "tarballs+.lst"', 'Rename']],
    ['a file that is a folder of another', () => installer({ files: ['q', 'q-1', 'q/r'] }), ['files "q/r"', 'q is a file', 'exclude']],
    ['a file in the place of a folder of the mirror', () => installer({ files: ['.mirror'] }), ["the mirror's own"]],
    [
      'a file list with a file that is a folder of another',
      () => tarballs(project({ 'tarball-dl.lst': 'p.tgz#p#https://example.org/p#http_filelist#p.txt#\n', 'p.txt': 'a/b/c\na/b\n' })),
      ['file list of p.tgz', 'a/b is a file', 'Remove one'],
    ],
    ['rsync', () => installer({ files: ['a'], fetchFrom: 'rsync://example.org/x/' }), ['http or https']],
    ['no URL', () => installer({ files: ['a'], publishedAs: 'x' }), ['publishedAs']],
  ])('%s', (_what, act, parts) => refuses(act, ...parts));

  test('hostile ids, releases and layers', () => {
    const path = list(DPDK);
    for (const value of HOSTILE) {
      refuses(() => tarballs(path, { id: value }), 'id');
      refuses(() => tarballs(path, { release: value }), 'release');
      refuses(() => tarballs(path, { layer: value }), 'layer');
    }
  });

  test('pipes and links are no lists', () => {
    const pipe = join(work, 'pipe.lst');
    execFileSync('mkfifo', [pipe]);
    refuses(() => tarballs(pipe), 'a regular file');
    const link = join(work, 'link.lst');
    symlinkSync(list(DPDK), link);
    refuses(() => tarballs(link), 'a regular file');
  });

  test('one name, one of what is synced; one path, one list', () => {
    const { server } = mirror();
    repository(server, 'epel-7');
    refuses(() => new TarballDownloads(server, 'other', { id: 'epel-7', list: list(DPDK), release: '3.0' }), 'epel-7', 'has this id');
    new TarballDownloads(server, 'a', { list: list(DPDK), release: '4.0' });
    refuses(
      () => new TarballDownloads(server, 'b', { list: list(DPDK), release: '4.0' }),
      'is the same as "/mirror/starlingx/tarballs/4.0/centos"',
    );
    refuses(() => new TarballDownloads(server, 'c', { list: list(DPDK), release: '4.0', layer: 'flock' }), 'lies under');
  });
});
