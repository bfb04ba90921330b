import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type MergedComps, mergeComps } from '../../rpm-metadata/comps';
import { Files } from './support/files';

jest.setTimeout(60_000);

const files = new Files();
afterAll(() => files.remove());

const DOCTYPE = '<!DOCTYPE comps PUBLIC "-//CentOS//DTD Comps info//EN" "comps.dtd">\n';
const group = (id: string, ...names: string[]): string =>
  `<group>\n    <id>${id}</id><name>${id}!</name><name xml:lang="de">Ü ${id}</name><default>false</default><uservisible>true</uservisible><packagelist>${names.map((name) => `<packagereq type="mandatory">${name}</packagereq>`).join('')}</packagelist></group>`;
const category = (id: string, ...groups: string[]): string =>
  `<category><id>${id}</id><name>${id}</name><grouplist>${groups.map((name) => `<groupid>${name}</groupid>`).join('')}</grouplist></category>`;
const environment = (id: string, ...groups: string[]): string =>
  `<environment><id>${id}</id><name>${id}</name><grouplist>${groups.map((name) => `<groupid>${name}</groupid>`).join('')}</grouplist></environment>`;
const langpacks = (...lines: [string, string][]): string =>
  `<langpacks>${lines.map(([name, install]) => `<match name="${name}" install="${install}"/>`).join('')}</langpacks>`;
const comps = (...parts: string[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${DOCTYPE}<comps>\n  ${parts.join('\n  ')}\n</comps>\n`;

async function merged(previous: string | undefined, ...upstream: readonly string[]): Promise<{ text: string; result: MergedComps }> {
  const output = files.output();
  const plain = files.output();
  const result = await mergeComps({
    previous: previous === undefined ? undefined : files.write(previous, 'the previous one'),
    upstream: upstream.map((text) => files.write(gzipSync(text), 'http://u/comps.xml')),
    output,
    plain,
  });
  expect(readFileSync(plain, 'utf8')).toBe(files.text(output));
  return { text: files.text(output), result };
}
const inside = (text: string): string => text.replace(/^<\?xml[^>]*>\n<comps[^>]*>\n/, '').replace(/<\/comps>\n$/, '');

test('vanished definitions stay as they were, those of upstream are taken, in the order that readers expect', async () => {
  const before = comps(group('old', 'a'), group('both', 'a'), category('apps', 'old'), environment('desktop', 'old'), '<blacklist/>');
  const now = comps(
    category('servers', 'new'),
    group('both', 'b'),
    group('new'),
    '<whiteout><ignoredep package="x" requires="y"/></whiteout>',
  );
  const { text, result } = await merged(before, now);
  expect(inside(text)).toBe(
    `${[
      group('old', 'a'),
      group('both', 'b'),
      group('new'),
      category('apps', 'old'),
      category('servers', 'new'),
      environment('desktop', 'old'),
      '<whiteout><ignoredep package="x" requires="y"/></whiteout>',
    ].join('\n')}\n`,
  );
  expect(result).toMatchObject({ definitions: 6, survived: 3 });
  expect((await merged(text, now)).text).toBe(text);
});

test.each<[string, string[], string[], string]>([
  ['only before', [langpacks(['a', 'a-%s'])], [], `<langpacks>\n<match name="a" install="a-%s"/>\n</langpacks>`],
  ['only now', [], [langpacks(['a', 'a-%s'])], langpacks(['a', 'a-%s'])],
  [
    'in both',
    [langpacks(['a', 'a-%s'], ['b', 'b-%s'])],
    [langpacks(['b', 'b-i18n-%s'], ['c', 'c-%s'])],
    langpacks(['b', 'b-i18n-%s'], ['c', 'c-%s']).replace('</langpacks>', '<match name="a" install="a-%s"/>\n</langpacks>'),
  ],
  ['empty now', [langpacks(['a', 'a-%s'])], ['<langpacks/>'], `<langpacks/>\n<langpacks>\n<match name="a" install="a-%s"/>\n</langpacks>`],
])('language packs %s', async (_name, before, now, expected) => {
  const { text } = await merged(comps(...before), comps(...now));
  expect(inside(text)).toBe(`${expected}\n`);
  expect((await merged(text, comps(...now))).text).toBe(text);
});

test('a category and a group may have one id; upstream without comps; the first merge', async () => {
  const { text } = await merged(comps(group('x')), comps(category('x')));
  expect(inside(text)).toBe(`${group('x')}\n${category('x')}\n`);
  expect(inside((await merged(comps(group('x')))).text)).toBe(`${group('x')}\n`);
  expect((await merged(undefined)).text).toBe('<?xml version="1.0" encoding="UTF-8"?>\n<comps>\n</comps>\n');
});

test.each<[string, string, string]>([
  ['empty', '', 'METADATA_MALFORMED'],
  ['another root', '<updates/>', 'METADATA_MALFORMED'],
  ['a group without id', comps('<group><name>x</name></group>'), 'METADATA_MALFORMED'],
  ['a group with two ids', comps('<group><id>a</id><id>b</id></group>'), 'METADATA_MALFORMED'],
  ['an id with a control character', comps('<group><id>a&#9;b</id></group>'), 'METADATA_MALFORMED'],
  ['language packs of nothing', comps('<langpacks><match install="x"/></langpacks>'), 'METADATA_MALFORMED'],
  ['entities of its own', '<!DOCTYPE comps [<!ENTITY a "ha">]><comps>&a;</comps>', 'METADATA_DOCTYPE'],
  ['an unknown entity', comps('<group><id>&x;</id></group>'), 'METADATA_MALFORMED'],
  ['deep nesting', `<comps>${'<a>'.repeat(100)}`, 'METADATA_TOO_DEEP'],
  ['endless groups', comps(...Array.from({ length: 80 }, (_, i) => group(`g${i}`, 'x'.repeat(1_000_000)))), 'METADATA_'],
])('%s is refused', async (_name, text, code) => {
  await expect(merged(undefined, text)).rejects.toMatchObject({
    code: expect.stringContaining(code),
    exitCode: 6,
    message: expect.stringContaining('http://u/comps.xml: '),
  });
});

/** What libcomps reads: ids by kind, and the packages of each group. */
function read(text: string): unknown {
  const script = `
import json, sys, libcomps
comps = libcomps.Comps()
if comps.fromxml_str(sys.stdin.read()) < 0: sys.exit(str(comps.get_last_errors()))
print(json.dumps({
  'groups': {g.id: sorted(p.name for p in g.packages) for g in comps.groups},
  'categories': sorted(c.id for c in comps.categories),
  'environments': sorted(e.id for e in comps.environments),
  'langpacks': dict((k, comps.langpacks[k]) for k in comps.langpacks)}))`;
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', script], { input: text, encoding: 'utf8' }));
}

test('libcomps, which dnf uses, reads the union of any sequence', async () => {
  const upstream = fc.record({
    groups: fc.dictionary(fc.constantFrom('g1', 'g2', 'g3'), fc.uniqueArray(fc.constantFrom('a', 'b', 'c')), { noNullPrototype: true }),
    categories: fc.uniqueArray(fc.constantFrom('c1', 'c2')),
    environments: fc.uniqueArray(fc.constantFrom('e1', 'e2')),
    langpacks: fc.dictionary(fc.constantFrom('l1', 'l2', 'l3'), fc.constantFrom('x-%s', 'y-%s'), { noNullPrototype: true }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(upstream, { minLength: 1, maxLength: 4 }), async (sequence) => {
      const union = {
        groups: {} as Record<string, string[]>,
        categories: new Set<string>(),
        environments: new Set<string>(),
        langpacks: {},
      };
      let published: string | undefined;
      for (const now of sequence) {
        for (const [id, names] of Object.entries(now.groups)) union.groups[id] = [...names].sort();
        now.categories.forEach((id) => union.categories.add(id));
        now.environments.forEach((id) => union.environments.add(id));
        Object.assign(union.langpacks, now.langpacks);
        const parts = [
          langpacks(...Object.entries(now.langpacks)),
          ...now.environments.map((id) => environment(id)),
          ...now.categories.map((id) => category(id)),
          ...Object.entries(now.groups).map(([id, names]) => group(id, ...names)),
        ];
        published = (await merged(published, comps(...parts))).text;
      }
      expect(read(published as string)).toEqual({
        ...union,
        categories: [...union.categories].sort(),
        environments: [...union.environments].sort(),
      });
    }),
    { numRuns: 15 },
  );
});
