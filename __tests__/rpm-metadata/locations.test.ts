import fc from 'fast-check';
import { join, normalize } from 'node:path';
import { metadataLocation, packageLocation, safeLocation } from '../../rpm-metadata/locations';

test.each([
  ['a.rpm', 'a.rpm', 'a.rpm'],
  [
    'Packages/libstdc++-4.8.5-44.el7.x86_64.rpm',
    'Packages/libstdc++-4.8.5-44.el7.x86_64.rpm',
    'Packages/libstdc%2B%2B-4.8.5-44.el7.x86_64.rpm',
  ],
  ['Packages/a-1.el7~mos1.rpm', 'Packages/a-1.el7~mos1.rpm', 'Packages/a-1.el7~mos1.rpm'],
  ['a%2Bb.rpm', 'a+b.rpm', 'a%2Bb.rpm'],
  ['home%3A/x.rpm', 'home:/x.rpm', 'home%3A/x.rpm'],
  ['a^b.rpm', 'a^b.rpm', 'a%5Eb.rpm'],
  ['é/ü.rpm', 'é/ü.rpm', '%C3%A9/%C3%BC.rpm'],
  ['a b.rpm', 'a b.rpm', 'a%20b.rpm'],
  ['1:2.rpm', '1:2.rpm', '1%3A2.rpm'],
  ['..a/b...rpm', '..a/b...rpm', '..a/b...rpm'],
])('%s lies at %s and is asked for as %s', (href, path, request) => {
  expect(packageLocation(href)).toEqual({ path, href: request });
});

test.each([
  ['', 'is empty'],
  ['/etc/x.rpm', 'is absolute'],
  ['//evil.example/x.rpm', 'is absolute'],
  ['%2fetc/x.rpm', 'hides a slash'],
  ['a%2F..%2Fx.rpm', 'hides a slash'],
  ['a%5c..%5cx.rpm', 'hides a slash'],
  ['../x.rpm', '".."'],
  ['a/../x.rpm', '".."'],
  ['a/..', '".."'],
  ['%2e%2e/x.rpm', '".."'],
  ['a/%2E%2e/x.rpm', '".."'],
  ['a/.%2e/x.rpm', '".."'],
  ['./x.rpm', '"."'],
  ['a//x.rpm', 'empty segment'],
  ['a/', 'empty segment'],
  ['file:///etc/x.rpm', 'names a protocol'],
  ['http://169.254.169.254/x.rpm', 'names a protocol'],
  ['HTTPS://evil/x.rpm', 'names a protocol'],
  ['a?b.rpm', 'has one of'],
  ['a#b.rpm', 'has one of'],
  ['a\\b.rpm', 'has one of'],
  ['a\nb.rpm', 'control character'],
  ['a\u0000b.rpm', 'control character'],
  ['a%00b.rpm', 'control character'],
  ['a%0ab.rpm', 'control character'],
  ['a\u007fb.rpm', 'control character'],
  ['a\u001b[2Jb.rpm', 'control character'],
  ['a\ud800b.rpm', 'control character'],
  ['%ff.rpm', 'encodes nothing'],
  ['100%.rpm', 'encodes nothing'],
  [`${'a'.repeat(256)}.rpm`, 'segment of more than 255'],
  [`${'a/'.repeat(2500)}x.rpm`, 'longer than 1024'],
  ['repodata/x.rpm', 'lies in repodata/'],
  ['repodata/repomd.xml', 'lies in repodata/'],
  ['repodat%61/x.rpm', 'lies in repodata/'],
  ['index.html', 'does not end in .rpm'],
  ['x.rpm.exe', 'does not end in .rpm'],
])('%j is refused: %s', (href, why) => {
  expect(packageLocation(href)).toEqual({ problem: expect.stringContaining(why) });
});

test.each([
  ['repodata/repomd.xml', 'takes the name of the index'],
  ['repodata/repomd.xml.asc', 'takes the name of the index'],
  ['repodata/.x', 'takes the name of the index'],
  ['repodata/a/primary.xml.gz', 'is not directly'],
  ['primary.xml.gz', 'is not directly'],
  ['other/primary.xml.gz', 'is not directly'],
  ['repodata/../x', '".."'],
])('the metadata location %j is refused: %s', (href, why) => {
  expect(metadataLocation(href)).toEqual({ problem: expect.stringContaining(why) });
});

test('whatever passes stays below its root, and its request decodes to its path', () => {
  const parts = fc.constantFrom(
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '/',
    '%2f',
    '\\',
    'a',
    'repodata',
    '.rpm',
    '%',
    '%00',
    '\n',
    ':',
    '//',
    'é',
    '~',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'grapheme' }),
        fc.array(parts).map((p) => p.join('')),
      ),
      (href) => {
        const location = safeLocation(href);
        if ('problem' in location) return;
        expect(normalize(join('/root', location.path))).toBe(`/root/${location.path}`);
        expect(decodeURIComponent(new URL(`http://h/base/${location.href}`).pathname)).toBe(`/base/${location.path}`);
      },
    ),
    { numRuns: 3000 },
  );
});
