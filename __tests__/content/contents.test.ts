import fc from 'fast-check';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accumulatedContents, type Contents, verbatimContents } from '../../content/contents';
import { isSameContent } from '../../content/compare-contents';
import { readPackageList, writePackageList } from '../../content/package-list';
import { nevra } from '../../rpm-metadata/nevra';
import type { ListedPackage } from '../../rpm-metadata/primary';

const hex = (content: string): string => Buffer.from(content).toString('hex').padEnd(64, '0').slice(0, 64);
const pkg = (name: string, content: string, more: Partial<ListedPackage> = {}): ListedPackage => {
  const path = more.path ?? `Packages/${name}-1-1.noarch.rpm`;
  return {
    path,
    href: path.split('/').map(encodeURIComponent).join('/'),
    checksum: { algorithm: 'sha256', hex: hex(content) },
    size: content.length,
    name,
    epoch: '0',
    version: '1',
    release: '1',
    arch: 'noarch',
    ...more,
  };
};
const sha512 = (content: string): ListedPackage['checksum'] => ({ algorithm: 'sha512', hex: hex(content).repeat(2) });
const waived = { waivers: [{ allow: 'changedPackages' as const, reason: 'upstream signs anew' }] };
const names = (contents: Contents): string[] => contents.packages.map((p) => `${p.path} ${p.checksum.hex.slice(0, 2)}`).sort();
const a = pkg('a', 'A');
const b = pkg('b', 'B');
const changedA = pkg('a', 'Z');

describe('verbatim', () => {
  test.each<[string, ListedPackage[], ListedPackage[] | undefined, string[]]>([
    ['a first list', [a, b], undefined, []],
    ['one that lost a package', [b], [a, b], []],
    ['the same version with other content', [changedA, b], [a, b], ['PACKAGE_CHANGED']],
    ['the same version, moved', [pkg('a', 'A', { path: 'a.rpm' })], [a], []],
    ['one version listed twice with different content', [a, pkg('a', 'Z', { path: 'other/a.rpm' })], [], ['PACKAGE_CHANGED']],
    ['one version listed twice with the same content', [a, pkg('a', 'A', { path: 'other/a.rpm' })], [], []],
  ])('%s', (_name, upstream, published, codes) => {
    const contents = verbatimContents(upstream, published, {});
    expect(contents.problems.map(({ code }) => code)).toEqual(codes);
    expect(contents.packages).toEqual(upstream);
    for (const { remedy } of contents.problems) expect(remedy).toContain('Waiver.changedPackages(reason)');
    expect(verbatimContents(upstream, published, waived).problems).toEqual([]);
  });

  test('another kind of checksum is decided by content', () => {
    const other = pkg('a', 'A', { checksum: sha512('A') });
    expect(verbatimContents([other], [a], {})).toMatchObject({ problems: [], undecided: [{ taken: other, published: a }] });
  });
});

describe('accumulate', () => {
  test.each<[string, ListedPackage[], ListedPackage[], string[], string[], string[]]>([
    ['nothing vanishes', [b], [a], [a.path, b.path], [], []],
    ['the same again', [a], [a], [a.path], [], []],
    ['moved: the new place', [pkg('a', 'A', { path: 'x/a.rpm' })], [a], ['x/a.rpm'], [], []],
    ['changed content is held', [changedA], [a], [a.path], ['PACKAGE_CHANGED'], [a.path]],
    ['another package at its place', [pkg('c', 'C', { path: a.path })], [a], [a.path], ['PLACE_TAKEN'], [a.path]],
    ['a file where a folder is', [pkg('c', 'C', { path: 'Packages' })], [a], [a.path], ['PLACE_TAKEN'], ['Packages']],
    ['a folder where a file is', [pkg('c', 'C', { path: `${a.path}/c.rpm` })], [a], [a.path], ['PLACE_TAKEN'], [`${a.path}/c.rpm`]],
    [
      'listed twice with different content: the first',
      [a, pkg('a', 'Z', { path: 'z/a.rpm' })],
      [],
      [a.path],
      ['PACKAGE_CHANGED'],
      [a.path],
    ],
    ['listed twice with the same content: once', [a, pkg('a', 'A', { path: 'z/a.rpm' })], [], [a.path], [], [a.path]],
  ])('%s', (_name, upstream, published, paths, codes, whenWaived) => {
    const contents = accumulatedContents(upstream, published, {});
    expect(contents.packages.map(({ path }) => path).sort()).toEqual([...paths].sort());
    expect(contents.problems.map(({ code }) => code)).toEqual(codes);
    if (codes.length > 0 && whenWaived.length > 0)
      expect(accumulatedContents(upstream, published, waived).packages.map(({ path }) => path)).toEqual(whenWaived);
  });

  test('what is waived replaces what was published', () => {
    expect(names(accumulatedContents([changedA], [a, b], waived))).toEqual(names({ ...verbatimContents([changedA, b], [], {}) }));
  });

  const versions = fc.constantFrom('1', '2', '3');
  const item = fc
    .record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      version: versions,
      content: fc.constantFrom('x', 'y'),
      folder: fc.constantFrom('P', 'Q'),
    })
    .map(({ name, version, content, folder }) =>
      pkg(name, name + version + content, { version, path: `${folder}/${name}-${version}-1.noarch.rpm` }),
    );
  const lists = fc.array(fc.uniqueArray(item, { selector: ({ path }) => path, maxLength: 12 }), { minLength: 1, maxLength: 8 });

  test('after any sequence of updates: the first content of each version that was ever listed, once', () => {
    fc.assert(
      fc.property(lists, (updates) => {
        let published: readonly ListedPackage[] = [];
        const model = new Map<string, string>();
        for (const upstream of updates) {
          const contents = accumulatedContents(upstream, published, {});
          for (const one of upstream) if (!model.has(nevra(one))) model.set(nevra(one), one.checksum.hex);
          published = contents.packages;
          expect(new Map(published.map((one) => [nevra(one), one.checksum.hex]))).toEqual(model);
          expect(new Set(published.map(({ path }) => path)).size).toBe(published.length);
          expect(contents.problems.length).toBe(upstream.filter((one) => model.get(nevra(one)) !== one.checksum.hex).length);
        }
      }),
    );
  });
});

test.each<[string, ListedPackage[], boolean]>([
  ['the same in another order', [b, a], true],
  ['one that is gone', [a], false],
  ['one more', [a, b, pkg('c', 'C')], false],
  ['other content', [changedA, b], false],
  ['another place', [pkg('a', 'A', { path: 'x/a.rpm' }), b], false],
])('contents beside what is published: %s', (_name, upstream, expected) => {
  expect(isSameContent(verbatimContents(upstream, [], {}), [a, b])).toBe(expected);
});

describe('the list beside a snapshot', () => {
  const directory = mkdtempSync(join(tmpdir(), 'list-'));
  const file = join(directory, 'x.packages');
  afterAll(() => rmSync(directory, { recursive: true }));
  const odd = pkg('größe++', 'C', { path: 'Packages/g/größe++ 1~rc1^a.rpm', epoch: '3', version: '1~rc1^a' });

  test('is read as it was written', () => {
    writePackageList(file, [a, odd, b]);
    expect(readPackageList(file)).toEqual([a, odd, b]);
    writePackageList(file, []);
    expect(readPackageList(file)).toEqual([]);
    // Strings are shared with what is the same, and only with that.
    const upstream = [a, pkg('b', 'Z'), { ...odd, base: 'https://example.org/' }];
    writePackageList(file, [a, odd, b]);
    const read = readPackageList(file, upstream);
    expect(read).toEqual([a, odd, b]);
    expect(read?.[0]?.checksum).toBe(a.checksum);
    expect(read?.[0]).not.toBe(a);
    const many = Array.from({ length: 2_001 }, (_, i) => pkg(`p${i}`, 'D'));
    writePackageList(file, many);
    expect(readPackageList(file)).toEqual(many);
  });

  test.each([0, 5, 40, 200])('cut after %i bytes it is none', (length) => {
    writePackageList(file, [a, odd, b]);
    truncateSync(file, length);
    expect(readPackageList(file)).toBeUndefined();
  });

  test('nor is one that is not there, or of another kind', () => {
    expect(readPackageList(join(directory, 'absent'))).toBeUndefined();
    writeFileSync(file, 'packages 2\nend 0\n');
    expect(readPackageList(file)).toBeUndefined();
  });
});
