/** Folder listings as Apache and nginx write them, and whatever else comes in their place. */
import fc from 'fast-check';
import { readListing } from '../../downloads/listing';

const URL_OF_FOLDER = 'https://example.org/pub/os/';

/** mod_autoindex with FancyIndexing, as most mirrors have it. */
const apache = (rows: readonly string[]): string => `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html><head><title>Index of /pub/os</title></head><body><h1>Index of /pub/os</h1>
<pre><img src="/icons/blank.gif" alt="Icon "> <a href="?C=N;O=D">Name</a>  <a href="?C=M;O=A">Last modified</a>  <a href="?C=S;O=A">Size</a>
<hr><img src="/icons/back.gif" alt="[PARENTDIR]"> <a href="/pub/">Parent Directory</a>      -
${rows.map((href) => `<img src="/icons/unknown.gif" alt="[   ]"> <a href="${href}">${href.slice(0, 20)}..&gt;</a> 2020-11-04 11:38  430K`).join('\n')}
<hr></pre><address>Apache/2.4.6 (CentOS) Server at example.org Port 443</address></body></html>`;

/** The same with IndexOptions HTMLTable. */
const table = (rows: readonly string[]): string => `<html><head><title>Index of /pub/os</title></head><body>
<table><tr><th><a href="?C=N;O=D">Name</a></th></tr><tr><td><a href="/pub/">Parent Directory</a></td></tr>
${rows.map((href) => `<tr><td valign="top"><img src="/icons/compressed.gif"></td><td><a href="${href}">x</a></td><td align="right">430K</td></tr>`).join('\n')}
</table></body></html>`;

/** As Apache writes a name into a link. */
const hrefOf = (name: string): string => encodeURIComponent(name).replace(/%26/g, '&amp;');

test.each([
  ['with FancyIndexing', apache],
  ['with a table', table],
])('Apache, %s', (_name, page) => {
  expect(readListing(page(['images/', 'LiveOS/', 'a%20b.iso', 'EULA', 'x&amp;y.txt', '.treeinfo', 'a%23b']), URL_OF_FOLDER)).toEqual({
    files: ['.treeinfo', 'EULA', 'a b.iso', 'a#b', 'x&y.txt'],
    folders: ['LiveOS', 'images'],
  });
  expect(readListing(page([]), URL_OF_FOLDER)).toEqual({ files: [], folders: [] });
});

test.each(['%2e%2e%2fetc', 'a%2Fb', 'a%5Cb', '%00', 'a%0Ab', '%ff', 'a%E2%80%AEb'])('Apache lists %s: refused', (href) => {
  expect(readListing(apache([href]), URL_OF_FOLDER)).toMatchObject({ problem: expect.stringContaining('which ') });
});

test.each([
  '../',
  '..',
  '/etc/passwd',
  'https://elsewhere.example/x',
  '//elsewhere.example/x',
  'deep/er',
  '%2e%2e/',
  './',
  '#x',
  '?x',
  'mailto:a@b',
])('a link to %s is none of the folder', (href) =>
  expect(readListing(apache([href, 'good']), URL_OF_FOLDER)).toEqual({ files: ['good'], folders: [] }),
);

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .filter((text) => !/[/\\\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufffd]/.test(text) && text !== '.' && text !== '..');

test('every name that a web server can list is read as it is called, whatever is in it', () => {
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 20 }), fc.boolean(), (names, tabular) => {
      expect(readListing((tabular ? table : apache)(names.map(hrefOf)), URL_OF_FOLDER)).toEqual({ files: [...names].sort(), folders: [] });
    }),
  );
});

test('whatever a page says, a name is a direct child and safe', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.webUrl(), fc.constantFrom('..', '%2e%2e/', 'a/', '"', '<a href="', '&#47;', '&#x2e;.', '\\'))),
      (parts) => {
        const read = readListing(apache([parts.join('')]) + parts.map((part) => `<a href='${part}'>`).join(''), URL_OF_FOLDER);
        if ('problem' in read) return;
        for (const child of [...read.files, ...read.folders]) {
          expect(child).not.toMatch(/[/\\\u0000-\u001f]/);
          expect(['', '.', '..']).not.toContain(child);
        }
      },
    ),
  );
});
