import * as fc from 'fast-check';
import type { MirrorError } from '../../desired-state/errors';
import { type BuildManifest, parseManifest, writeManifest } from '../../starlingx/build-manifest';
import { duplicateKey } from '../../starlingx/duplicate-key';
import { caught } from '../support/caught';

const SHA = `sha256:${'a'.repeat(64)}`;
const acl = { name: 'acl', source: 'acl-1-1.src.rpm', binaries: ['acl-1-1.noarch.rpm'], inputs: { 'centos/acl.spec': SHA } };
const manifest = (...packages: unknown[]): string => JSON.stringify({ kind: 'inputs', version: 1, packages });
const refusal = (text: string, kind: 'inputs' | 'record' = 'inputs'): MirrorError => caught(() => parseManifest(text, 'm.json', kind));

describe('a manifest is refused, by file, field, value and remedy', () => {
  test.each<[string, string, RegExp, RegExp]>([
    ['no JSON', '{"kind":', /^m\.json: it is not JSON: /, /needs-build digest/],
    ['something else', '[]', /^m\.json: it is no manifest of a build$/, /needs-build digest/],
    ['null', 'null', /it is no manifest/, /digest/],
    ['another version', manifest(acl).replace(':1,', ':2,'), /version is 2, and this needs-build knows 1/, /needs-build that wrote it/],
    ['no version', '{"kind":"inputs","packages":[]}', /version is missing/, /wrote it/],
    ['a record', manifest(acl).replace('"inputs"', '"record"'), /kind is "record", what a build used; here "inputs" is needed/, /--inputs/],
    ['another kind', manifest(acl).replace('"inputs"', '"list"'), /kind is "list"/, /needs-build digest/],
    ['no packages', '{"kind":"inputs","version":1}', /packages is missing/, /list of packages/],
    [
      'a key of the manifest',
      manifest(acl).replace('"packages"', '"package"'),
      /packages is missing|"package", which is not known/,
      /packages/,
    ],
    ['a key of a package', manifest({ ...acl, inputz: {} }), /packages\[0\] has "inputz", which is not known/, /Did you mean "inputs"\?/],
    ['a package twice', manifest(acl, acl), /packages\[1\] \("acl"\): this package is there a second time/, /Remove one/],
    ['a name', manifest({ ...acl, name: '../acl' }), /packages\[0\]\.name is "\.\.\/acl"/, /for instance "acl"/],
    ['no name', manifest({ ...acl, name: undefined }), /packages\[0\]\.name is missing/, /for instance "acl"/],
    [
      'a source that is binary',
      manifest({ ...acl, source: 'acl-1-1.noarch.rpm' }),
      /\("acl"\)\.source is "acl-1-1\.noarch\.rpm"/,
      /src\.rpm/,
    ],
    ['a source with a path', manifest({ ...acl, source: '../acl-1-1.src.rpm' }), /\.source is "\.\.\/acl-1-1\.src\.rpm"/, /src\.rpm/],
    [
      'a binary that is a source',
      manifest({ ...acl, binaries: ['acl-1-1.src.rpm'] }),
      /\.binaries\[0\] is "acl-1-1\.src\.rpm"/,
      /x86_64\.rpm/,
    ],
    ['a binary that is none', manifest({ ...acl, binaries: ['acl'] }), /\.binaries\[0\] is "acl"/, /x86_64\.rpm/],
    ['no binaries', manifest({ ...acl, binaries: [] }), /packages\[0\]\.binaries is \[\]/, /packages that it makes/],
    ['a number for a binary', manifest({ ...acl, binaries: [7] }), /packages\[0\]\.binaries\[0\] is 7/, /packages that it makes/],
    ['inputs as a list', manifest({ ...acl, inputs: [] }), /packages\[0\]\.inputs is \[\]/, /object of paths/],
    ['no inputs', manifest({ ...acl, inputs: {} }), /\("acl"\)\.inputs is empty/, /its spec/],
    [
      'a path with ..',
      manifest({ ...acl, inputs: { 'a/../../etc/passwd': SHA } }),
      /has the path "a\/\.\.\/\.\.\/etc\/passwd"/,
      /without "\.\."/,
    ],
    ['an absolute path', manifest({ ...acl, inputs: { '/etc/passwd': SHA } }), /has the path "\/etc\/passwd"/, /relative/],
    ['an empty part', manifest({ ...acl, inputs: { 'a//b': SHA } }), /has the path "a\/\/b"/, /empty parts/],
    ['a path that is a folder', manifest({ ...acl, inputs: { 'a/': SHA } }), /has the path "a\/"/, /empty parts/],
    ['a path with an escape', manifest({ ...acl, inputs: { 'a\u001b[2J': SHA } }), /has the path "a\\u001b\[2J"/, /control characters/],
    ['an empty path', manifest({ ...acl, inputs: { '': SHA } }), /has the path ""/, /relative/],
    ['a long path', manifest({ ...acl, inputs: { ['a'.repeat(5000)]: SHA } }), /\(5000 characters\)/, /relative/],
    ['a short digest', manifest({ ...acl, inputs: { a: 'sha256:ab' } }), /inputs\["a"\] is "sha256:ab", which is no digest/, /64/],
    ['another algorithm', manifest({ ...acl, inputs: { a: `sha1:${'a'.repeat(40)}` } }), /is "sha1:a+", which is no digest/, /"md5:"/],
    ['a digest in upper case', manifest({ ...acl, inputs: { a: SHA.toUpperCase() } }), /which is no digest/, /lower case/],
    ['a digest that is an object', manifest({ ...acl, inputs: { a: { sha256: 'x' } } }), /is \{"sha256":"x"\}, which is no digest/, /64/],
    [
      'an input twice',
      manifest(acl).replace('"inputs":{', `"inputs":{"centos/acl.spec":"${SHA}",`),
      /line 1 has the key "centos\/acl\.spec" a second time/,
      /only one/,
    ],
    [
      'an input twice, written differently',
      manifest(acl).replace('"inputs":{', `"inputs":{"centos\\u002facl.spec":"${SHA}",`),
      /a second time/,
      /only one/,
    ],
    ['one maker of two', manifest(acl, { ...acl, name: 'b' }), /"acl" and "b" both make "acl-1-1\.src\.rpm"/, /one source package/],
    [
      'a binary twice',
      manifest({ ...acl, binaries: [acl.binaries[0], acl.binaries[0]] }),
      /"acl" names "acl-1-1\.noarch\.rpm" twice/,
      /Remove/,
    ],
  ])('%s', (_what, text, message, remedy) => {
    const said = refusal(text);
    expect(said).toMatchObject({ code: 'MANIFEST', exitCode: 3 });
    expect(said.message).toMatch(/^m\.json: /);
    expect(said.message).toMatch(message);
    expect(said.remedy).toMatch(remedy);
    expect(said.message.length).toBeLessThan(600);
  });

  test('inputs in the place of a record', () => {
    const { message, remedy } = refusal(manifest(acl), 'record');
    expect(message).toBe('m.json: kind is "inputs", what packages are made of; here "record" is needed, what a build used');
    expect(remedy).toMatch(/--record what "needs-build record" wrote/);
  });
});

test('a record may have a package file twice: it moved from one package to another one that was built later', () => {
  const text = manifest(acl, { ...acl, name: 'b' }).replace('"inputs"', '"record"');
  expect([...parseManifest(text, 'r.json', 'record').keys()]).toEqual(['acl', 'b']);
});

test('the order of keys counts for nothing, and "__proto__" is a path like others', () => {
  const text = `{"packages":[{"inputs":{"__proto__":"${SHA}","7":"md5:${'0'.repeat(32)}"},"binaries":["a-1-1.noarch.rpm"],"name":"constructor","source":"a-1-1.nosrc.rpm"}],"version":1,"kind":"inputs"}`;
  const parsed = parseManifest(text, 'm.json', 'inputs');
  expect(parsed.get('constructor')?.inputs).toEqual(
    new Map([
      ['__proto__', SHA],
      ['7', `md5:${'0'.repeat(32)}`],
    ]),
  );
  expect(parseManifest(writeManifest('inputs', parsed), 'm.json', 'inputs')).toEqual(parsed);
});

test('what is written is read as it was, and the same content gives the same bytes', () => {
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
  const path = fc.stringMatching(/^[A-Za-z0-9_]{1,8}(?:\/[a-z ."\\é]{0,3}[a-z]){0,2}$/);
  const one = fc.record({
    inputs: fc.uniqueArray(fc.tuple(path, digest), { minLength: 1, selector: ([name]) => name }),
    count: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9]{1,6}$/), one), { selector: ([name]) => name }), (packages) => {
      const build = (order: typeof packages): BuildManifest =>
        new Map(
          order.map(([name, { inputs, count }]) => [
            name,
            {
              name,
              source: `${name}-1-1.src.rpm`,
              binaries: Array.from({ length: count }, (_, n) => `${name}_${n}-1-1.noarch.rpm`),
              inputs: new Map(inputs),
            },
          ]),
        );
      const written = writeManifest('inputs', build(packages));
      expect(parseManifest(written, 'm.json', 'inputs')).toEqual(build(packages));
      expect(
        writeManifest(
          'inputs',
          build([...packages].reverse().map(([name, { inputs, count }]) => [name, { inputs: [...inputs].reverse(), count }])),
        ),
      ).toBe(written);
      expect(duplicateKey(written)).toBeUndefined();
    }),
  );
});

test.each([
  ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', undefined],
  ['{"a":"b","b":"a\\"","c":",{"}', undefined],
  ['{"a":1,\n"b":[],\n"a":2}', { key: 'a', line: 3 }],
  ['[{"x":{"y":1,"y":2}}]', { key: 'y', line: 1 }],
  ['{"a":["a","a"],"b":"b"}', undefined],
  ['[]', undefined],
])('keys of %s', (text, expected) => {
  expect(duplicateKey(text)).toEqual(expected);
});
