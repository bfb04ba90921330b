/** Lists on this machine: which are read, and what of them cannot be. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listsIn, localLists, requestOf } from '../../client/lists';
import { readRepositories } from '../../client/sources';
import { MirrorError } from '../../desired-state/errors';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lists-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function put(path: string, text = ''): string {
  mkdirSync(join(directory, path, '..'), { recursive: true });
  writeFileSync(join(directory, path), text);
  return join(directory, path);
}
const names = (layer?: string): string[] =>
  localLists(directory, 'centos', layer).lists.map(({ name }) => name.slice(directory.length + 1));
function refusal(work: () => unknown): MirrorError {
  try {
    work();
  } catch (error) {
    if (error instanceof MirrorError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

test('a directory with lists is read itself; without, the layers in it; with --layer, that one', () => {
  for (const path of ['flock/rpms_centos.lst', 'distro/rpms_centos.lst', 'distro/notes.txt', 'empty/x.txt']) put(path);
  expect(names()).toEqual(['distro/rpms_centos.lst', 'flock/rpms_centos.lst']);
  expect(names('flock')).toEqual(['flock/rpms_centos.lst']);
  put('rpms_centos.lst');
  expect(names()).toEqual(['rpms_centos.lst']);
  put('centos/flock/tarball-dl.lst');
  expect(names('flock')).toEqual(['centos/flock/tarball-dl.lst']);
  expect(refusal(() => names('mock')).message).toMatch(/no lists of the layer mock/);
});

test('two lists may ask for one file; not for two files of one name', () => {
  const one = put('rpms_a.lst', 'a-1-1.noarch.rpm\n');
  const two = put('rpms_b.lst', 'a-1-1.noarch.rpm#http://example.org/a-1-1.noarch.rpm\n');
  const { wanted } = requestOf(listsIn([one, two]).lists, 'http://example.org/');
  expect(wanted).toMatchObject([{ path: 'Binary/noarch/a-1-1.noarch.rpm', url: 'http://example.org/a-1-1.noarch.rpm' }]);
  const three = put('rpms_c.lst', 'a-1-1.noarch.rpm#http://example.org/other.rpm\n');
  const error = refusal(() => requestOf(listsIn([one, two, three]).lists, 'http://example.org/'));
  expect(error).toMatchObject({ code: 'LIST_CONFLICT', exitCode: 3 });
  expect(error.message).toMatch(/rpms_b\.lst line 1 and .*rpms_c\.lst line 1/);
});

test.each<[string, string, string, RegExp]>([
  [
    'originals',
    'tarball-dl.lst',
    'originals#d#http://example.org/o\n!k.tar.gz#k#http://example.org/k#http_script##k.sh\n',
    /line 1 "originals".*downloads\/originals is a directory/,
  ],
  ['originals, before there are any', 'tarball-dl.lst', '#\noriginals#d#http://example.org/o\n', /line 2 "originals"/],
])('a file must not be named as a directory of others: %s', (_what, list, text, message) => {
  const error = refusal(() => requestOf(listsIn([put(list, text)]).lists, 'http://example.org/'));
  expect(error).toMatchObject({ code: 'LIST_LINE', exitCode: 3, remedy: 'Give the file another name.' });
  expect(error.message).toMatch(message);
});

test('tarballs, file lists beside their list, originals of scripts, installer files', () => {
  put('members/acm.txt', '# what is taken\na/one\n\ntwo\n');
  const tarballs = put(
    'tarball-dl.lst',
    [
      'tss2-930.tar.gz#tss2-930#https://git.example.org/tss#git#v930#',
      'acm.tar.gz#acm#http://example.org/acm/#http_filelist#members/acm.txt#',
      '!kmod.tar.gz#kmod#http://example.org/kmod.tar.gz#http_script##make.sh',
      '',
    ].join('\n'),
  );
  const other = put('other_downloads.lst', 'folder:EFI/BOOT\nfile:images/a+b.img\n');
  const { wanted, folders } = requestOf(listsIn([tarballs, other]).lists, 'http://example.org/os/');
  expect(folders).toEqual(['downloads', 'downloads/puppet', 'Binary/EFI/BOOT']);
  expect(wanted.map(({ path, url, made, script }) => ({ path, url, made, script }))).toEqual([
    {
      path: 'downloads/tss2-930.tar.gz',
      url: 'https://git.example.org/tss',
      made: { method: 'git', ref: 'v930', directory: 'tss2-930' },
      script: undefined,
    },
    {
      path: 'downloads/acm.tar.gz',
      url: 'http://example.org/acm/',
      made: { method: 'filelist', members: ['a/one', 'two'], directory: 'acm' },
      script: undefined,
    },
    { path: 'downloads/originals/kmod.tar.gz', url: 'http://example.org/kmod.tar.gz', made: undefined, script: 'make.sh' },
    { path: 'Binary/images/a+b.img', url: 'http://example.org/os/images/a%2Bb.img', made: undefined, script: undefined },
  ]);
});

test.each<[string, (file: string) => void]>([
  ['a directory', (file) => mkdirSync(file)],
  ['a FIFO, which would block', (file) => void execFileSync('mkfifo', [file])],
  ['nothing', () => undefined],
])('a list that is %s is refused with a remedy', (_what, make) => {
  const file = join(directory, 'rpms_centos.lst');
  make(file);
  const error = refusal(() => listsIn([file]));
  expect(error).toMatchObject({ code: 'LISTS_UNUSABLE', exitCode: 3 });
  expect(error.message).toContain(file);
  expect(error.remedy).not.toBe('');
});

test('digests beside the lists are enforced together; two that contradict each other are refused', () => {
  const list = put('rpms_centos.lst');
  put('a.sha256', `${'a'.repeat(64)}  one.rpm\n`);
  expect([...listsIn([list]).recorded]).toEqual([['one.rpm', 'a'.repeat(64)]]);
  put('b.sha256', `${'b'.repeat(64)}  one.rpm\n`);
  expect(refusal(() => listsIn([list])).message).toMatch(/b\.sha256: another file of digests says something else of one\.rpm/);
});

test.each<[string, string, boolean | undefined]>([
  ['', 'gpgcheck=0', false],
  ['', '', true],
  ['[main]\ngpgcheck=0\n', '', false],
  ['[main]\ngpgcheck=0\n', 'gpgcheck=1', true],
  ['[main]\ngpgcheck = No\n', '', false],
  // A section of a repository speaks for itself alone.
  ['[main]\ngpgcheck=1\n[local]\ngpgcheck=0\nreposdir=elsewhere\n', '', true],
  ['[local]\ngpgcheck=0\n[main]\ndebuglevel=2\n', '', true],
])('with the yum.conf %j and a section with %j gpgcheck is %s', (conf, section, expected) => {
  put('yum.repos.d/x.repo', `[x]\nname=x\nbaseurl=http://example.org/$releasever/\n${section}\n`);
  const yumConf = conf === '' ? undefined : put('yum.conf', conf);
  const found = readRepositories(yumConf, [directory], { releasever: '7' });
  expect(found).toMatchObject([{ id: 'x', gpgcheck: expected, baseurls: ['http://example.org/7/'] }]);
});

const data = join(__dirname, '../../../shared/data/starlingx');
const releases = existsSync(data) ? readdirSync(data).filter((name) => existsSync(join(data, name, 'rpms_centos.lst'))) : [];
(existsSync(data) ? describe : describe.skip)('the real lists (needs ../shared/data)', () => {
  test.each(releases.length === 0 ? ['none'] : releases)('of %s, with their repositories', (release) => {
    const { lists, directories } = localLists(join(data, release), 'centos', undefined);
    const { wanted } = requestOf(lists, 'http://mirror.centos.org/7.6.1810/os/x86_64/');
    expect(wanted.length).toBeGreaterThan(2000);
    expect(readRepositories(undefined, directories, { releasever: '7', basearch: 'x86_64' }).length).toBeGreaterThan(50);
  });

  test('of all layers', () => {
    const { lists } = localLists(join(data, 'layered'), 'centos', undefined);
    expect(requestOf(lists, 'http://mirror.centos.org/7.6.1810/os/x86_64/').wanted.length).toBeGreaterThan(1500);
  });
});
