import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { relocated } from '../../../rpm-metadata/accumulate/fragments';
import { readTags } from '../../../rpm-metadata/accumulate/index-file';
import type { Source } from '../../../rpm-metadata/accumulate/merge';
import { readCatalogue } from '../../../rpm-metadata/accumulate/catalogue';
import { type Item, pkgid, previousOf, Publisher, type Read, readRepositories } from './support/repository';

let publisher: Publisher;
beforeEach(() => (publisher = new Publisher()));
afterEach(() => publisher.remove());

const item = (name: string, version = '1', more: Partial<Item> = {}): Item => ({
  name,
  version,
  content: 1,
  href: `${name}-${version}.rpm`,
  summary: 's',
  ...more,
});
const read = (path: string): Read => readRepositories([path])[0] as Read;
const locations = ({ primary }: Read): readonly unknown[] => Object.values(primary).map((entry) => entry[6]);
const published = (path: string, kind: string): string => readdirSync(join(path, 'repodata')).find((n) => n.includes(kind)) as string;
const rewrite = (source: Source, kind: 'primary' | 'filelists' | 'other', change: (xml: string) => string): void => {
  const { path } = source[kind] as { path: string };
  writeFileSync(path, gzipSync(change(gunzipSync(readFileSync(path)).toString())));
};

test.each(['filelists', 'other'] as const)('a package that %s lacks is a refusal that names it, unless it is not taken', async (kind) => {
  const lacking = item('lacking');
  const source = publisher.upstream([item('a'), lacking], { [kind]: (items: readonly Item[]) => items.filter((i) => i !== lacking) });
  await expect(publisher.publish(undefined, [source])).rejects.toMatchObject({
    code: 'METADATA_INCOMPLETE',
    message: `http://u/${kind}.xml.gz: lacks the package lacking-1-1.noarch with pkgid ${pkgid(lacking)}, which primary lists`,
  });
  const { path } = await publisher.publish(undefined, [source], { accept: ({ name }) => name !== 'lacking' });
  expect(read(path)[kind]).toEqual({ [pkgid(item('a'))]: expect.anything() as unknown });
});

test('a refused publish leaves what was published as it was, and no temporary file but its own', async () => {
  const first = await publisher.publish(undefined, [publisher.upstream([item('a')])]);
  const before = readdirSync(join(first.path, 'repodata')).map((n) => [n, readFileSync(join(first.path, 'repodata', n), 'hex')]);
  const source = publisher.upstream([item('b')], { other: () => [] });
  await expect(publisher.publish(first.path, [source])).rejects.toMatchObject({ code: 'METADATA_INCOMPLETE' });
  expect(readdirSync(join(first.path, 'repodata')).map((n) => [n, readFileSync(join(first.path, 'repodata', n), 'hex')])).toEqual(before);
  const descriptors = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [statSync(join('/proc/self/fd', fd)).ino];
    } catch {
      return [];
    }
  });
  expect(descriptors).not.toContain(statSync(join(first.path, 'repodata', published(first.path, 'primary'))).ino);
});

test('without filelists and other, packages are listed there by name, until upstream has them', async () => {
  const all = publisher.upstream([item('a'), item('b', '2', { content: 2 })]);
  const bare = await publisher.publish(undefined, [{ primary: all.primary }]);
  expect(read(bare.path)).toMatchObject({ wrong: [], filelists: { [pkgid(item('a'))]: ['a', '0', '1', '1', 'noarch', []] } });
  const full = await publisher.publish(bare.path, [all]);
  expect(read(full.path).filelists[pkgid(item('a'))]?.[5]).toHaveLength(3);
  expect(full.counts).toMatchObject({ added: 0, stayed: 2, moved: 0 });
  const again = await publisher.publish(full.path, [{ primary: all.primary }]);
  expect(read(again.path).filelists[pkgid(item('a'))]?.[5]).toHaveLength(3);
});

test('a location below another base is written as the place where the mirror has the package', async () => {
  const far = item('far', '1', { base: 'http://elsewhere/pool/', href: 'f/far+1.rpm' });
  const below = item('below', '1', { base: 'Server', href: 'below.rpm' });
  const odd = item('odd', '1', { href: 'a%2Bb/o+d.rpm' });
  const { path } = await publisher.publish(undefined, [publisher.upstream([far, below, odd])]);
  expect(locations(read(path))).toEqual([{ href: 'f/far%2B1.rpm' }, { href: 'Server/below.rpm' }, { href: 'a%2Bb/o+d.rpm' }]);
});

test.each([
  ['<package><location href="a"/></package>', '<package><location href="N&amp;"/></package>'],
  ['<package><location\n xml:base="h" href="a" /><x/></package>', '<package><location href="N&amp;"/><x/></package>'],
  [`<package><location href='a>b'></location></package>`, '<package><location href="N&amp;"/></package>'],
  ['<package><locations/><location href="a/>"  /></package>', '<package><locations/><location href="N&amp;"/></package>'],
])('%s elsewhere', (fragment, expected) => {
  expect(relocated(Buffer.from(`xx${fragment}`).subarray(2), 'N&').toString()).toBe(expected);
});

test('two packages at one place are refused; one that is listed twice is listed once', async () => {
  const [a, b] = [item('a', '1', { href: 'x.rpm' }), item('b', '1', { href: 'x.rpm' })];
  await expect(publisher.publish(undefined, [publisher.upstream([a, b])])).rejects.toMatchObject({ code: 'METADATA_CONTRADICTS' });
  await expect(publisher.publish(undefined, [publisher.upstream([a]), publisher.upstream([b])])).rejects.toMatchObject({
    code: 'METADATA_CONTRADICTS',
  });
  const folder = item('c', '1', { href: 'x.rpm/c.rpm' });
  for (const list of [
    [a, folder],
    [folder, a],
  ])
    await expect(publisher.publish(undefined, [publisher.upstream(list)])).rejects.toMatchObject({ code: 'METADATA_CONTRADICTS' });
  const twice = await publisher.publish(undefined, [publisher.upstream([a, { ...a, href: 'y.rpm' }])]);
  expect(locations(read(twice.path))).toEqual([{ href: 'x.rpm' }]);
});

test('a kept package gives way to a folder, too', async () => {
  const first = await publisher.publish(undefined, [publisher.upstream([item('a', '1', { href: 'x.rpm' })])]);
  const second = await publisher.publish(first.path, [publisher.upstream([item('b', '1', { href: 'x.rpm/b.rpm' })])]);
  const moved = `superseded/${pkgid(item('a'))}/x.rpm`;
  expect(locations(read(second.path))).toEqual([{ href: moved }, { href: 'x.rpm/b.rpm' }].reverse());
  const third = await publisher.publish(second.path, [publisher.upstream([item('a', '1', { href: 'x.rpm' })])]);
  expect(locations(read(third.path))).toContainEqual({ href: 'x.rpm' });
  expect(third.counts).toMatchObject({ stayed: 1, kept: 1, moved: 2 });
});

test('what does not change is not written: the files are the same, only the revision moves on', async () => {
  const source = publisher.upstream([item('a'), item('b')]);
  const first = await publisher.publish(undefined, [source]);
  const second = await publisher.publish(first.path, [source], { revision: 5 });
  for (const kind of ['primary', 'filelists', 'other'])
    expect(statSync(join(second.path, 'repodata', published(second.path, kind))).ino).toBe(
      statSync(join(first.path, 'repodata', published(first.path, kind))).ino,
    );
  expect(second.revision).toBe(first.revision + 1);
  expect(read(second.path)).toEqual({ ...read(first.path), revision: first.revision + 1 });
  const later = await publisher.publish(second.path, [source], { revision: first.revision + 100 });
  expect(later.revision).toBe(first.revision + 100);
});

test('published files that are damaged are not copied', async () => {
  const first = await publisher.publish(undefined, [publisher.upstream([item('a', '1', { content: 3 }), item('b')])]);
  const name = published(first.path, 'filelists');
  const path = join(first.path, 'repodata', name);
  const bytes = readFileSync(path);
  const last = (await readCatalogue(previousOf(first.path).catalogue))?.files.filelists;
  bytes[(last?.headSize ?? 0) + 40] = (bytes[(last?.headSize ?? 0) + 40] as number) ^ 1;
  rmSync(path);
  writeFileSync(path, bytes);
  await expect(publisher.publish(first.path, [publisher.upstream([item('c')])])).rejects.toMatchObject({
    code: 'PUBLISHED_DAMAGED',
    message: expect.stringMatching(/^\/.*filelists\.xml\.gz: is damaged: /) as unknown,
  });
});

test('a catalogue of other files than the published ones is not used', async () => {
  const first = await publisher.publish(undefined, [publisher.upstream([item('a')])]);
  const other = await publisher.publish(undefined, [publisher.upstream([item('a'), item('b')])]);
  copyFileSync(previousOf(other.path).catalogue, previousOf(first.path).catalogue);
  const next = await publisher.publish(first.path, [publisher.upstream([item('c')])]);
  expect(next.rebuilt).toBe(true);
  expect(Object.keys(read(next.path).primary).sort()).toEqual([pkgid(item('a')), pkgid(item('c'))].sort());
});

test('what was published may be a copy of an upstream, with all its habits', async () => {
  const before = publisher.fresh();
  const twice = item('twice', '1', { href: 'a/t.rpm' });
  const list = [item('far', '1', { base: 'http://elsewhere/', href: 'f/far+1.rpm' }), twice, { ...twice, href: 'b/t.rpm' }, item('same')];
  const { primary } = publisher.upstream(list) as { primary: { path: string } };
  const bytes = execFileSync('xz', ['-c'], { input: gunzipSync(readFileSync(primary.path)) });
  writeFileSync(join(before, 'repodata', 'p.xml.xz'), bytes);
  const checksum = createHash('sha1').update(bytes).digest('hex');
  const record = `<data type="primary"><checksum type="sha">${checksum}</checksum><location href="repodata/p.xml.xz"/></data>`;
  writeFileSync(join(before, 'repodata', 'repomd.xml'), `<repomd><revision>1800000000</revision>${record}</repomd>`);
  const next = await publisher.publish(before, [publisher.upstream([item('same'), item('new')])]);
  expect(next).toMatchObject({ rebuilt: true, revision: 1_800_000_001, counts: { added: 1, stayed: 1, kept: 2 } });
  const result = read(next.path);
  expect(result).toMatchObject({ wrong: [], filelists: { [pkgid(twice)]: ['twice', '0', '1', '1', 'noarch', []] } });
  expect(locations(result)).toEqual(
    expect.arrayContaining(['a/t.rpm', 'f/far%2B1.rpm', 'same-1.rpm', 'new-1.rpm'].map((href) => ({ href }))),
  );
  expect(Object.keys(result.primary)).toHaveLength(4);
});

test('a package with other content replaces its namesake, unless that is to be kept', async () => {
  const [old, fresh] = [item('a'), item('a', '1', { content: 2, href: 'other.rpm' })];
  const first = await publisher.publish(undefined, [publisher.upstream([old])]);
  const sources = [publisher.upstream([fresh])];
  const replaced = await publisher.publish(first.path, sources);
  expect(replaced.counts).toMatchObject({ added: 1, replaced: 1, kept: 0 });
  expect(Object.keys(read(replaced.path).primary)).toEqual([pkgid(fresh)]);
  for (const catalogue of [true, false]) {
    if (!catalogue) rmSync(previousOf(first.path).catalogue);
    const both = await publisher.publish(first.path, sources, { keep: (_entry, isReplaced) => isReplaced });
    expect(both).toMatchObject({ rebuilt: !catalogue, counts: { added: 1, replaced: 0, kept: 1 } });
    expect(new Set(Object.keys(read(both.path).primary))).toEqual(new Set([pkgid(old), pkgid(fresh)]));
  }
});

test('it stops when told to', async () => {
  const stop = new AbortController();
  const work = publisher.publish(undefined, [publisher.upstream([item('a')])], {
    signal: stop.signal,
    accept: () => (stop.abort(new Error('told to')), true),
  });
  await expect(work).rejects.toThrow('told to');
});

test('other records and tags go along', async () => {
  const directory = publisher.fresh();
  const local = join(directory, 'm');
  writeFileSync(local, gzipSync('modules'));
  const result = await publisher.publish(undefined, [publisher.upstream([item('a')])], {
    records: [
      { type: 'updateinfo', name: 'updateinfo.xml.gz', from: { bytes: Buffer.from('<updates/>') } },
      { type: 'modules', name: `${'ab'.repeat(32)}-modules.yaml.gz`, from: { path: local, what: 'http://u/m' } },
      { type: 'productid', name: 'productid', from: { bytes: Buffer.from('x') } },
      { type: 'group', name: 'c7-x86_64-comps.xml', from: { bytes: Buffer.from('<comps/>') } },
    ],
    tags: [
      { kind: 'content', text: 'binary-x86_64' },
      { kind: 'distro', text: 'CentOS 7 & more', cpeid: 'cpe:/o:centos:centos:7' },
    ],
  });
  expect(read(result.path)).toMatchObject({
    wrong: [],
    types: ['primary', 'filelists', 'other', 'updateinfo', 'modules', 'productid', 'group'],
  });
  const names = result.records.map(({ name }) => name.replace(/^[0-9a-f]{64}-/, ''));
  expect(names.slice(3)).toEqual(['updateinfo.xml.gz', 'modules.yaml.gz', 'productid', 'c7-x86_64-comps.xml']);
  expect(readTags(result.repomd, 'r')).toEqual([
    { kind: 'content', text: 'binary-x86_64' },
    { kind: 'distro', text: 'CentOS 7 & more', cpeid: 'cpe:/o:centos:centos:7' },
  ]);
  expect(readdirSync(join(result.path, 'repodata'))).toHaveLength(8);
  expect(statSync(join(result.path, 'repodata', published(result.path, 'primary'))).mode & 0o777).toBe(0o444);
});

test('after 150 publishes there are few members, and each package is where it belongs', async () => {
  const memberBytes = 2000;
  let last: string | undefined;
  const expected = new Set<string>();
  let most = 0;
  for (let i = 0; i < 150; i++) {
    const one = item(`p${i}`, '1', { content: 1 + (i % 3) });
    const gone = i % 3 === 2 ? `p${i - 2}` : '';
    const next = await publisher.publish(last, [publisher.upstream([one])], { memberBytes, keep: ({ name }) => name !== gone });
    expected.add(pkgid(one));
    if (gone !== '') expected.delete(pkgid(item(gone, '1', { content: 1 + ((i - 2) % 3) })));
    if (last !== undefined) rmSync(last, { recursive: true });
    last = next.path;
    const files = (await readCatalogue(previousOf(last).catalogue))?.files;
    for (const kind of ['primary', 'filelists', 'other'] as const) {
      const { members = [], openSize = 0 } = files?.[kind] ?? {};
      expect(members.length).toBeLessThanOrEqual((4 * openSize) / memberBytes + 1);
      most = Math.max(most, members.length);
    }
  }
  expect(most).toBeGreaterThan(10);
  const result = read(last as string);
  expect(result.wrong).toEqual([]);
  for (const kind of ['primary', 'filelists', 'other'] as const) expect(new Set(Object.keys(result[kind]))).toEqual(expected);
}, 60_000);

test('a file that is no list is refused as what it is', async () => {
  const source = publisher.upstream([item('a')]);
  rewrite(source, 'filelists', (xml) => xml.replaceAll('filelists', 'otherdata'));
  await expect(publisher.publish(undefined, [source])).rejects.toMatchObject({
    code: 'METADATA_MALFORMED',
    message: expect.stringContaining('http://u/filelists.xml.gz') as unknown,
  });
});
