import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { MirrorError } from '../../desired-state/errors';
import { encodePath, mirrorPath } from '../../starlingx/url-mapping';
import { caught } from '../support/caught';

const M = 'mirror/centos';

describe('the mapping of the historical scripts', () => {
  test.each([
    ['http://vault.centos.org/7.2.1511/cloud/x86_64/openstack-newton/', 'centos/vault.centos.org/7.2.1511/cloud/x86_64/openstack-newton'],
    ['http://mirror.centos.org/centos/7.7.1908/os/x86_64/', 'centos/mirror.centos.org/centos/7.7.1908/os/x86_64'],
    ['https://buildlogs.centos.org/c7.1708.u.i386', 'centos/buildlogs.centos.org/c7.1708.u.i386'],
    [
      'http://cbs.centos.org/kojifiles/packages/novnc/0.6.2/1.el7/noarch/novnc-0.6.2-1.el7.noarch.rpm',
      'centos/cbs.centos.org/kojifiles/packages/novnc/0.6.2/1.el7/noarch/novnc-0.6.2-1.el7.noarch.rpm',
    ],
    ['https://dl.fedoraproject.org/pub/epel/7/x86_64/', 'epel/dl.fedoraproject.org/pub/epel/7/x86_64'],
    ['https://kojipkgs.fedoraproject.org/packages/python-pip/x.rpm', 'kojipkgs.fedoraproject.org/packages/python-pip/x.rpm'],
    ['https://www.rpmfind.net/linux/epel/7/x86_64', 'www.rpmfind.net/linux/epel/7/x86_64'],
    ['https://download.docker.com/linux/centos/7/x86_64/stable', 'download.docker.com/linux/centos/7/x86_64/stable'],
    [
      'http://download.opensuse.org/repositories/home:/katacontainers:/releases:/x86_64:/stable-1.10/CentOS_7/',
      'download.opensuse.org/repositories/home%3A/katacontainers%3A/releases%3A/x86_64%3A/stable-1.10/CentOS_7',
    ],
    ['https://s3.amazonaws.com/influxdb/influxdb-0.9.5.1-1.x86_64.rpm', 's3.amazonaws.com/influxdb/influxdb-0.9.5.1-1.x86_64.rpm'],
    [
      'https://sourceforge.net/projects/e1000/files/i40e%20stable/2.10.19.30/i40e-2.10.19.30.tar.gz/download',
      'sourceforge.net/projects/e1000/files/i40e%20stable/2.10.19.30/i40e-2.10.19.30.tar.gz/download',
    ],
    [
      'http://launchpad.net/smart/trunk/1.4.1/+download/smart-1.4.1.tar.bz2',
      'launchpad.net/smart/trunk/1.4.1/%2Bdownload/smart-1.4.1.tar.bz2',
    ],
  ])('%s', (url, encoded) => {
    const path = mirrorPath(url, 'centos');
    expect(path.encoded).toBe(`${M}/${encoded}`);
    expect(path.decoded).toBe(decodeURIComponent(`${M}/${encoded}`));
  });
});

describe('what it says beyond that table', () => {
  test.each([
    ['scheme and port are dropped', 'https://h.example:8443/a/b', 'h.example/a/b'],
    ['a user name is dropped', 'http://anonymous@h.example/a', 'h.example/a'],
    ['// and /./ collapse', 'http://h.example//a/.//b/./', 'h.example/a/b'],
    ['an encoded dot is a dot', 'http://h.example/a/%2e/b%2etar', 'h.example/a/b.tar'],
    ['a host has no case', 'HTTP://Mirror.CentOS.org/CentOS/7', 'centos/mirror.centos.org/CentOS/7'],
    [
      'EPEL wins over CentOS',
      'http://mirror.centos.org/dl.fedoraproject.org/pub/epel/7',
      'epel/mirror.centos.org/dl.fedoraproject.org/pub/epel/7',
    ],
    [
      'the archive of EPEL is no EPEL',
      'https://archives.fedoraproject.org/pub/archive/epel/7',
      'archives.fedoraproject.org/pub/archive/epel/7',
    ],
    ['the family is found in the path too', 'http://ftp.example/centos.org/7', 'centos/ftp.example/centos.org/7'],
    ['plus stays plus', 'http://h.example/a+b%2Bc', 'h.example/a%2Bb%2Bc'],
    ['tilde and the other plain ones stay', 'http://h.example/1.el7~mos1_x-y', 'h.example/1.el7~mos1_x-y'],
    ['a query is part of the name', 'http://h.example/get.php?file=a.rpm&x=1', 'h.example/get.php%3Ffile%3Da.rpm%26x%3D1'],
    ['a query after a directory is a name', 'http://h.example/get/?raw=1', 'h.example/get/%3Fraw%3D1'],
    ['an empty query is none', 'http://h.example/a?', 'h.example/a'],
    ['an encoded number sign is a name', 'http://h.example/a%23b', 'h.example/a%23b'],
    ['a dollar without a name', 'http://h.example/a$1', 'h.example/a%241'],
    ['letters outside ASCII', 'http://h.example/caf%C3%A9', 'h.example/caf%C3%A9'],
    ['a percent sign', 'http://h.example/100%25', 'h.example/100%25'],
    ['three dots are a name', 'http://h.example/...', 'h.example/...'],
  ])('%s', (_what, url, encoded) => {
    expect(mirrorPath(url, 'centos').encoded).toBe(`${M}/${encoded}`);
  });
  test('the distribution is the first directory', () => {
    expect(mirrorPath('http://mirror.centos.org/centos/7/os/x86_64/', 'debian').decoded).toBe(
      'mirror/debian/centos/mirror.centos.org/centos/7/os/x86_64',
    );
  });
});

describe('rejections name the reason', () => {
  test.each([
    ['', /empty/],
    ['mirror.centos.org/centos/7', /no scheme/],
    ['//mirror.centos.org/centos/7', /no scheme/],
    ['/centos/7', /no scheme/],
    ['http:/h.example/a', /no scheme/],
    ['ftp://h.example/a', /scheme is ftp/],
    ['file:///etc/passwd', /scheme is file/],
    ['gopher://h.example/a', /scheme is gopher/],
    ['javascript:alert(1)', /no scheme/],
    ['http://h.example', /no path/],
    ['http://h.example/', /no path/],
    ['http://h.example//.//', /no path/],
    ['http://h.example/?a=b', /no path/],
    ['http:///a', /host "" is not a host name/],
    ['http://h..example/a', /host "h..example"/],
    ['http://-oProxyCommand=x/a', /host name/],
    ['http://h.example./a', /host name/],
    [`http://${'a'.repeat(64)}.example/a`, /host name/],
    ['http://../a', /host name/],
    ['http://%2e%2e/a', /host name/],
    ['http://h.example/a/../b', /contains ".."/],
    ['http://h.example/..', /contains ".."/],
    ['http://h.example/%2e%2e/b', /contains ".."/],
    ['http://h.example/.%2E/b', /contains ".."/],
    ['http://h.example/%252e%252e/b', /encoded twice/],
    ['http://h.example/a%252Fb', /encoded twice/],
    ['http://h.example/a%2Fb', /encoded slash/],
    ['http://h.example/a%2fb', /encoded slash/],
    ['http://h.example/a%5C..%5Cb', /backslash/],
    ['http://h.example/a\\b', /no URL contains/],
    ['http://mirror.centos.org/centos/7/os/$basearch/', /unexpanded variable/],
    ['http://mirror.centos.org/centos/$releasever/os', /unexpanded variable/],
    ['http://mirror.centos.org/centos/7/os/%24basearch/', /unexpanded variable/],
    ['http://h.example/${TfToken[TOKEN.0]}/a', /unexpanded variable/],
    ['http://$infra.example/a', /unexpanded variable/],
    ['http://user:secret@h.example/a', /password/],
    ['http://user:@h.example/a', /password/],
    ['http://[::1]/a', /IPv6/],
    ['http://[fe80::1%25eth0]:80/a', /IPv6/],
    ['http://h.example:0/a', /port "0"/],
    ['http://h.example:65536/a', /port "65536"/],
    ['http://h.example:/a', /port ""/],
    ['http://h.example:8a/a', /port "8a"/],
    ['http://h.example/a#b', /fragment/],
    ['http://h.example/a b', /a space/],
    ['http://h.example/a\nb', /control/],
    ['http://h.example/a\u0000', /control/],
    ['http://h.example/\u202egnp.exe', /outside ASCII/],
    ['http://h.example/a%00', /control/],
    ['http://h.example/a%0d%0aSet-Cookie', /control/],
    ['http://h.example/a%7f', /control/],
    ['http://h.example/a%E2%80%AEb', /invisible/],
    ['http://h.example/a%E2%80%8Db', /invisible/],
    ['http://h.example/a%C2%A0b', /invisible/],
    ['http://h.example/e%CC%81', /normal form/],
    ['http://h.example/a%', /not percent-encoded/],
    ['http://h.example/a%zz', /not percent-encoded/],
    ['http://h.example/a%ff', /not percent-encoded UTF-8/],
    ['http://h.example/a?file=../../etc/passwd', /query contains a slash/],
    ['http://h.example/a?file=..%2Fb', /query contains a slash/],
    [`http://h.example/${'a'.repeat(256)}`, /longer than 255 bytes/],
    [`http://h.example/${'abcdefg/'.repeat(200)}`, /longer than 1024/],
  ])('%j', (url, reason) => {
    expect(() => mirrorPath(url, 'centos')).toThrow(reason);
  });

  test('the error names list, line, value and remedy, on one line of ASCII', () => {
    const error = caught(() => mirrorPath('http://h.example/\u001b[31m\n$x', 'centos', 'rpms_3rdparties.lst line 7'));
    expect(error).toMatchObject({ code: 'URL_NOT_MAPPABLE', exitCode: 3 });
    expect(error.message).toBe(
      'rpms_3rdparties.lst line 7 "http://h.example/\\u001b[31m\\n$x" has no place on the mirror: it contains a space, a control character or a character outside ASCII',
    );
    expect(error.remedy).toMatch(/%20/);
  });
  test('a password is not printed', () => {
    expect(caught(() => mirrorPath('http://user:s3cr3t@h.example/a', 'centos')).describe()).not.toContain('s3cr3t');
    expect(caught(() => mirrorPath('http://user:s3cr3t@h.example/a b', 'centos')).describe()).not.toContain('s3cr3t');
  });
  test.each(['', '..', 'Cent OS', 'centos/7', '$x'])('distribution %j', (distro) => {
    expect(() => mirrorPath('http://h.example/a', distro)).toThrow(/distribution/);
  });
});

describe('for any input', () => {
  const segment = fc.stringMatching(/^[A-Za-z0-9+:~_.=@,;!'()*-]{1,20}$/).filter((s) => s !== '.' && s !== '..');
  const host = fc.stringMatching(/^[a-z]{1,8}(\.[a-z]{2,8}){1,3}$/);

  test('a mapped path is safe, and decoding what is encoded gives what is on disk', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl({ withQueryParameters: true, withFragments: false }),
          fc.string().map((s) => `http://h.example/${s}`),
        ),
        (url) => {
          let path;
          try {
            path = mirrorPath(url, 'centos');
          } catch (error) {
            expect(error).toBeInstanceOf(MirrorError);
            return;
          }
          const names = path.decoded.split('/');
          expect(names.slice(0, 2)).toEqual(['mirror', 'centos']);
          expect(names.length).toBeGreaterThanOrEqual(4);
          expect(names.every((n) => n !== '' && n !== '.' && n !== '..' && !/[\u0000-\u001f\u007f\\]/.test(n))).toBe(true);
          expect(path.encoded).toMatch(/^([/A-Za-z0-9.~_-]|%[0-9A-F]{2})+$/);
          expect(decodeURIComponent(path.encoded)).toBe(path.decoded);
          expect(encodePath(path.decoded)).toBe(path.encoded);
        },
      ),
      { numRuns: 5000 },
    );
  });
  test('scheme, port, doubled slashes, a trailing slash and needless encoding do not change the place', () => {
    fc.assert(
      fc.property(host, fc.array(segment, { minLength: 1, maxLength: 5 }), (server, names) => {
        const expected = mirrorPath(`http://${server}/${names.join('/')}`, 'centos');
        const everyCharacter = names.map((n) => [...n].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join(''));
        expect(mirrorPath(`https://${server}:8443//${names.join('//')}/`, 'centos')).toEqual(expected);
        expect(mirrorPath(`http://${server}/./${everyCharacter.join('/./')}`, 'centos')).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });
  test('different paths on one server have different places', () => {
    fc.assert(
      fc.property(
        host,
        fc.array(segment, { minLength: 1, maxLength: 4 }),
        fc.array(segment, { minLength: 1, maxLength: 4 }),
        (server, a, b) => {
          fc.pre(a.join('/') !== b.join('/'));
          expect(mirrorPath(`http://${server}/${a.join('/')}`, 'centos').decoded).not.toBe(
            mirrorPath(`http://${server}/${b.join('/')}`, 'centos').decoded,
          );
        },
      ),
    );
  });
});

const lists = join(__dirname, '../../../shared/data/starlingx');
(existsSync(lists) ? describe : describe.skip)('the URLs of the real lists (needs ../shared/data)', () => {
  test('every one is mapped, once yum variables are expanded', () => {
    const urls = filesBelow(lists).flatMap((file) => readFileSync(file, 'utf8').match(/https?:\/\/[^#\s,]+/g) ?? []);
    expect(urls.length).toBeGreaterThan(400);
    for (const url of urls) {
      const expanded = url.replace(/\$basearch/g, 'x86_64').replace(/\$releasever/g, '7');
      expect(mirrorPath(expanded, 'centos').decoded).toMatch(/^mirror\/centos\/./);
    }
  });
});

function filesBelow(directory: string): string[] {
  return readdirSync(directory)
    .map((name) => join(directory, name))
    .flatMap((path) => (statSync(path).isDirectory() ? filesBelow(path) : [path]));
}
