import { MirrorError } from '../../../desired-state/errors';
import { movedTo } from '../../../scripts/yum-import/moved';
import { idOf, importRepositories, type ImportOptions } from '../../../scripts/yum-import/repositories';
import { parseYumRepos } from '../../../starlingx/yum-repos';
import { caught } from '../../support/caught';

const KEYS = ['RPM-GPG-KEY-CentOS-7', 'RPM-GPG-KEY-Docker'];
const imported = (text: string, options: Partial<ImportOptions> = {}) =>
  importRepositories([{ name: 'x.repo', repos: parseYumRepos(Buffer.from(text), 'x.repo', {}) }], {
    disabled: false,
    moved: false,
    keys: KEYS,
    ...options,
  });
const one = (options: string, more: Partial<ImportOptions> = {}) => imported(`[r]\n${options}\n`, more).repositories[0];

describe('trust follows from what yum checks', () => {
  test.each<[string, string, object]>([
    [
      'signed packages',
      'gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7',
      { mode: 'signedPackages', keys: ['RPM-GPG-KEY-CentOS-7'] },
    ],
    [
      'a key of the web',
      'gpgcheck=1\ngpgkey=https://h.example/RPM-GPG-KEY-CentOS-7',
      { mode: 'signedPackages', keys: ['RPM-GPG-KEY-CentOS-7'] },
    ],
    ['a key in other letters', 'gpgcheck=1\ngpgkey=file:///x/RPM-GPG-KEY-DOCKER', { mode: 'signedPackages', keys: ['RPM-GPG-KEY-Docker'] }],
    ['signed metadata', 'repo_gpgcheck=1\ngpgkey=file:///x/RPM-GPG-KEY-Docker', { mode: 'signedMetadata', keys: ['RPM-GPG-KEY-Docker'] }],
    ['no check', 'gpgcheck=0\ngpgkey=file:///x/unknown', { mode: 'digestsOnly', reason: 'gpgcheck=0 in x.repo' }],
    ['nothing said', 'enabled=1', { mode: 'digestsOnly', reason: 'no gpgcheck in x.repo' }],
    ['a check without a key', 'gpgcheck=1', { mode: 'digestsOnly', reason: 'no gpgkey in x.repo' }],
  ])('%s', (_what, options, trust) => {
    expect(one(`baseurl=http://h.example/a/\n${options}`)?.trust).toEqual(trust);
  });
  test('keys that are not at hand are named, with who needs them', () => {
    const error = caught(() =>
      imported(
        ['a', 'b', 'c', 'd']
          .map((id) => `[${id}]\nbaseurl=http://h.example/${id}\ngpgcheck=1\ngpgkey=file:///x/RPM-GPG-KEY-Other\n`)
          .join(''),
      ),
    );
    expect(error).toMatchObject({ code: 'KEYS_MISSING', exitCode: 3 });
    expect(error.message).toContain('RPM-GPG-KEY-Other, for [a] of x.repo, [b] of x.repo, [c] of x.repo and 1 more');
    expect(error.remedy).toContain('keys/');
  });
});

describe('where the bytes come from', () => {
  test('the URL itself, mostly', () => {
    expect(one('baseurl=http://h.example/a/')).toMatchObject({ publishedAs: 'http://h.example/a/' });
    expect(one('baseurl=http://h.example/a/')).not.toHaveProperty('fetchFrom');
  });
  test('all base URLs, and lists of mirrors', () => {
    expect(one('baseurl=http://h.example/a/ http://i.example/a/\nmetalink=https://h.example/m?repo=a')).toMatchObject({
      publishedAs: 'http://h.example/a/',
      fetchFrom: ['http://h.example/a/', 'http://i.example/a/', { metalink: 'https://h.example/m?repo=a' }],
    });
    expect(one('baseurl=http://h.example/a/\nmirrorlist=http://h.example/l')?.fetchFrom).toEqual([
      'http://h.example/a/',
      { mirrorlist: 'http://h.example/l' },
    ]);
  });
  test('where upstream has moved, if asked to', () => {
    const text = 'baseurl=http://mirror.centos.org/centos/7.7.1908/os/x86_64/';
    expect(one(text)).not.toHaveProperty('fetchFrom');
    expect(one(text, { moved: true })).toMatchObject({
      publishedAs: 'http://mirror.centos.org/centos/7.7.1908/os/x86_64/',
      fetchFrom: ['https://vault.centos.org/7.7.1908/os/x86_64/'],
    });
  });
  test.each([
    ['http://mirror.centos.org/centos/7/cloud/x86_64/openstack-stein/', 'https://vault.centos.org/7.9.2009/cloud/x86_64/openstack-stein/'],
    ['http://mirror.centos.org/centos/7.8.2003/os/x86_64', 'https://vault.centos.org/7.8.2003/os/x86_64'],
    ['https://dl.fedoraproject.org/pub/epel/7/SRPMS/', 'https://archives.fedoraproject.org/pub/archive/epel/7/SRPMS/'],
    ['http://vault.centos.org/7.2.1511/os/x86_64/', 'http://vault.centos.org/7.2.1511/os/x86_64/'],
    ['http://mirror.centos.org/centos/8/os/', 'http://mirror.centos.org/centos/8/os/'],
    ['http://mirror.centos.org.example/centos/7/os/', 'http://mirror.centos.org.example/centos/7/os/'],
  ])('%s is at %s', (url, now) => {
    expect(movedTo(url)).toBe(now);
  });
});

describe('what becomes no construct of its own', () => {
  test('two sections with one URL are one, whatever their scheme', () => {
    const { repositories, leftOut } = imported('[a]\nbaseurl=http://h.example/x/\n[b]\nbaseurl=https://h.example/x\n');
    expect(repositories).toMatchObject([{ id: 'a', notes: ['[b] of x.repo has the same URL.'] }]);
    expect(leftOut).toEqual([]);
  });
  test.each<[string, string, RegExp]>([
    ['disabled', 'baseurl=http://h.example/a/\nenabled=0', /disabled/],
    ['only a mirror list', 'mirrorlist=http://h.example/l', /no baseurl/],
    ['a local directory', 'baseurl=file:///srv/a', /cannot be mirrored: an upstream URL is http/],
    ['FTP', 'baseurl=ftp://h.example/a', /cannot be mirrored/],
    ['a server without a path', 'baseurl=http://h.example/', /no path/],
    ['a password', 'baseurl=http://me:pw@h.example/a', /cannot be mirrored/],
  ])('%s', (_what, options, reason) => {
    const { repositories, leftOut } = imported(`[r]\n${options}\n`);
    expect(repositories).toEqual([]);
    expect(leftOut).toMatchObject([{ file: 'x.repo', section: 'r', reason: expect.stringMatching(reason) }]);
  });
  test('a URL below another is declared after it', () => {
    const { repositories, leftOut } = imported(
      '[debug]\nbaseurl=http://h.example/x/debug\n[whole]\nbaseurl=http://h.example/x/\n[other]\nbaseurl=http://h.example/xy\n',
    );
    expect(repositories.map(({ id }) => id)).toEqual(['whole', 'other', 'debug']);
    expect(leftOut).toEqual([]);
  });
  test('--disabled takes those, too', () => {
    expect(one('baseurl=http://h.example/a/\nenabled=0', { disabled: true })).toMatchObject({ id: 'r', notes: ['Disabled there.'] });
  });
});

test('what is a matter of clients is a note', () => {
  expect(one('baseurl=http://h.example/a/\nexclude=sip,PyQt4\nincludepkgs=a\npriority=3')?.notes).toEqual([
    'Clients leave out sip, PyQt4 there; the mirror has all.',
    'Clients take only a there; the mirror has all.',
    'Its priority there is 3.',
  ]);
});

test.each([
  [['Starlingx-C7.2.1511-cloud-newton'], ['starlingx-c7.2.1511-cloud-newton']],
  [['Starlingx-linuxsoft.cern.ch_cern_centos_7.5_rt_Sources'], ['starlingx-linuxsoft.cern.ch-cern-centos-7.5-rt-sources']],
  [
    ['a', 'A', 'a_', 'a'],
    ['a', 'a-2', 'a-3', 'a-4'],
  ],
  [
    ['current', 'all'],
    ['repository-current', 'repository-all'],
  ],
  [['_'], ['repository']],
  [
    [`${'x'.repeat(80)}`, `${'x'.repeat(90)}`],
    ['x'.repeat(58), `${'x'.repeat(58)}-2`],
  ],
])('ids of %j', (sections, ids) => {
  const taken = new Set<string>();
  expect(sections.map((section) => idOf(section, taken))).toEqual(ids);
});

test('an error of a file is that of the parser', () => {
  expect(() => imported('[r]\nbaseurl=$x')).toThrow(MirrorError);
});
