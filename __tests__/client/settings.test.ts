import { resolve } from 'node:path';
import { MirrorError } from '../../desired-state/errors';
import { kindOf } from '../../client/lists';
import { remedyOf } from '../../client/remedies';
import { type Flags, settingsOf } from '../../client/settings';
import { packagePath, tarballPath } from '../../client/wanted';
import { proxyFor } from '../../client/web';
import { DownloadError } from '../../downloads/errors';

const MIRROR = { DOWNLOAD_MIRROR_URL: 'http://mirror.example.org', DOWNLOAD_MIRROR_KEY: 'key.asc' };
const of = (
  flags: Flags,
  environment: Record<string, string> = MIRROR,
  files: readonly string[] = ['a.lst'],
): ReturnType<typeof settingsOf> => settingsOf(flags, files, environment);

test('without options: mirror first, the historical output, all layers', () => {
  expect(of({})).toEqual({
    sides: ['mirror', 'upstream'],
    base: 'http://mirror.example.org',
    release: undefined,
    key: 'key.asc',
    keys: undefined,
    distro: 'centos',
    layer: undefined,
    branch: 'master',
    yumConf: undefined,
    listDirectory: undefined,
    listFiles: ['a.lst'],
    installUrl: 'http://mirror.centos.org/7.6.1810/os/x86_64/',
    variables: { releasever: '7', basearch: 'x86_64', arch: 'x86_64' },
    firstSight: false,
    verify: false,
    output: resolve('output/stx/CentOS'),
    jobs: 8,
    timeout: 30,
    dryRun: false,
    report: undefined,
    json: false,
  });
});

test.each<[string, Flags, Record<string, string>, object]>([
  ['-s', { mirrorOnly: true }, MIRROR, { sides: ['mirror'] }],
  ['-S', { mirrorFirst: true }, MIRROR, { sides: ['mirror', 'upstream'] }],
  ['-u, which needs no mirror and no key', { upstreamOnly: true }, {}, { sides: ['upstream'], base: undefined, key: undefined }],
  ['-U', { upstreamFirst: true }, MIRROR, { sides: ['upstream', 'mirror'] }],
  [
    'an option before the environment',
    { mirror: 'https://other.example.org/x/', key: 'k' },
    MIRROR,
    { base: 'https://other.example.org/x', key: 'k' },
  ],
  ['a release', { release: '3.0' }, MIRROR, { base: 'http://mirror.example.org/releases/3.0', release: '3.0', branch: '3.0' }],
  ['a release of lists of another name', { release: '3.0', branch: 'rc/3.0' }, MIRROR, { branch: 'rc/3.0' }],
  ['a layer of the environment', {}, { ...MIRROR, LAYER: 'flock' }, { layer: 'flock' }],
  ['all layers', { layer: 'all' }, { ...MIRROR, LAYER: 'flock' }, { layer: undefined }],
  ['another distribution', { distro: 'debian' }, MIRROR, { distro: 'debian', output: resolve('output/stx/debian') }],
  ['the historical variable of the output', {}, { ...MIRROR, DL_MIRROR_OUTPUT_DIR: '/d' }, { output: '/d' }],
  ['variables', { variable: ['releasever=8'] }, MIRROR, { variables: { releasever: '8', basearch: 'x86_64', arch: 'x86_64' } }],
  ['-n without sudo', { sudo: false }, MIRROR, {}],
  ['sudo without -n', {}, { ...MIRROR, SUDO_UID: '1000' }, {}],
])('%s', (_what, flags, environment, expected) => {
  expect(of(flags, environment)).toMatchObject(expected);
});

test.each<[string, Flags, Record<string, string>, readonly string[], RegExp]>([
  ['two sources', { mirrorOnly: true, upstreamFirst: true }, MIRROR, ['a.lst'], /-s and -U exclude each other/],
  ['three sources', { mirrorOnly: true, mirrorFirst: true, upstreamOnly: true }, MIRROR, ['a.lst'], /-s and -S and -u/],
  ['no mirror', {}, {}, ['a.lst'], /no mirror is named/],
  ['no key', {}, { DOWNLOAD_MIRROR_URL: 'http://m' }, ['a.lst'], /public key of the mirror is not given/],
  ['a mirror that is no URL', { mirror: 'mirror' }, MIRROR, ['a.lst'], /--mirror "mirror"/],
  ['a mirror by ftp', { mirror: 'ftp://mirror' }, MIRROR, ['a.lst'], /--mirror/],
  ['a mirror with a password', { mirror: 'http://a:b@mirror' }, MIRROR, ['a.lst'], /--mirror/],
  ['a release that leaves its directory', { release: '../x' }, MIRROR, ['a.lst'], /--release "..\/x" is no name/],
  ['a release of no mirror', { upstreamOnly: true, release: '3.0' }, MIRROR, ['a.lst'], /--release is a release of the mirror/],
  ['a branch that leaves its directory', { branch: 'a/../b' }, MIRROR, ['a.lst'], /--branch ".." is no name/],
  ['a layer that is a path', { layer: 'a/b' }, MIRROR, ['a.lst'], /--layer "a\/b"/],
  ['no lists and no mirror', { upstreamOnly: true }, {}, [], /-u needs lists/],
  ['lists twice', { lists: 'd' }, MIRROR, ['a.lst'], /both --lists and list files/],
  ['no jobs', { jobs: '0' }, MIRROR, ['a.lst'], /--jobs "0" is not a whole number from 1 to 64/],
  ['half a second', { timeout: '0.5' }, MIRROR, ['a.lst'], /--timeout "0.5"/],
  ['a variable without a value', { variable: ['releasever'] }, MIRROR, ['a.lst'], /--variable "releasever" is not name=value/],
  ['-n under sudo', { sudo: false }, { ...MIRROR, SUDO_UID: '1000' }, ['a.lst'], /sudo is not to be used/],
])('a usage error: %s', (_what, flags, environment, files, message) => {
  let error: unknown;
  try {
    of(flags, environment, files);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(MirrorError);
  expect(error).toMatchObject({ code: 'USAGE', exitCode: 2 });
  expect((error as MirrorError).message).toMatch(message);
  expect((error as MirrorError).remedy).not.toBe('');
});

test.each<['http' | 'https', Record<string, string>, object | undefined]>([
  ['http', {}, undefined],
  ['http', { http_proxy: '' }, undefined],
  ['http', { http_proxy: 'http://proxy:3128/' }, { url: 'http://proxy:3128', except: [] }],
  ['http', { http_proxy: 'proxy:3128' }, { url: 'http://proxy:3128', except: [] }],
  ['http', { HTTP_PROXY: 'http://proxy:3128' }, undefined],
  ['https', { http_proxy: 'http://proxy:3128' }, undefined],
  ['https', { HTTPS_PROXY: 'http://proxy:3128' }, { url: 'http://proxy:3128', except: [] }],
  ['https', { all_proxy: 'http://proxy:3128' }, { url: 'http://proxy:3128', except: [] }],
  [
    'http',
    { http_proxy: 'http://proxy:3128', no_proxy: 'a.org, .b.org,c.org:80' },
    { url: 'http://proxy:3128', except: ['a.org', '.b.org', 'c.org'] },
  ],
  ['http', { http_proxy: 'http://proxy:3128', NO_PROXY: '*' }, undefined],
])('the proxy for %s in %j', (scheme, environment, expected) => {
  expect(proxyFor(scheme, environment)).toEqual(expected);
});

test.each(['socks5://proxy:1080', 'http://user:secret@proxy', 'http://'])('a proxy that cannot be used: %s', (proxy) => {
  let message = '';
  try {
    proxyFor('http', { http_proxy: proxy });
  } catch (error) {
    ({ message } = error as MirrorError);
  }
  expect(message).toMatch(/http_proxy/);
  // Passwords do not go into logs.
  expect(message).not.toMatch(/secret/);
});

test('the layout of the output is the historical one', () => {
  expect(packagePath('bash-4.2.46-34.el7.x86_64.rpm', 'x86_64')).toBe('Binary/x86_64/bash-4.2.46-34.el7.x86_64.rpm');
  expect(packagePath('a-1-1.noarch.rpm', 'noarch')).toBe('Binary/noarch/a-1-1.noarch.rpm');
  expect(packagePath('a-1-1.src.rpm', 'src')).toBe('Source/a-1-1.src.rpm');
  expect(packagePath('a-1-1.nosrc.rpm', 'nosrc')).toBe('Source/a-1-1.nosrc.rpm');
  expect(tarballPath('dpdk-18.11.tar.xz', false)).toBe('downloads/dpdk-18.11.tar.xz');
  expect(tarballPath('puppet-boolean-1.tar.gz', false)).toBe('downloads/puppet/puppet-boolean-1.tar.gz');
  expect(tarballPath('mariadb-10.1.28.tar.gz', true)).toBe('downloads/originals/mariadb-10.1.28.tar.gz');
  expect(['rpms_centos.lst', 'x/tarball-dl.lst', 'other_downloads.lst', 'mine.lst'].map(kindOf)).toEqual([
    'package',
    'tarball',
    'install',
    'package',
  ]);
});

test.each(['transient', 'corrupt', 'missing', 'refused'] as const)('what is said of a %s download is said to a developer', (kind) => {
  const said = remedyOf(new DownloadError({ kind, message: 'x' }));
  expect(said).not.toMatch(/fetchFrom|Nothing was changed|server's operator/);
  expect(said).toMatch(/\.$/);
});
