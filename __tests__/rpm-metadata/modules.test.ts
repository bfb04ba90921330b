import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { documentKey, type MergedModules, mergeModules, splitDocuments } from '../../rpm-metadata/modules';
import { Files } from './support/files';

jest.setTimeout(60_000);

const files = new Files();
afterAll(() => files.remove());

interface Stream {
  name?: string;
  stream?: string;
  version?: number;
  context?: string;
  arch?: string;
  summary?: string;
}
const stream = ({
  name = 'perl',
  stream: of = '5.26',
  version = 1,
  context = 'aabbccdd',
  arch = 'x86_64',
  summary = 's',
}: Stream = {}): string => `---
document: modulemd
version: 2
data:
  name: ${name}
  stream: "${of}"
  version: ${version}
  context: ${context}
  arch: ${arch}
  summary: ${summary}
  description: >-
    Text, and a line
     --- that begins nothing
  license:
    module:
    - MIT
  artifacts:
    rpms:
    - ${name}-0:${of}-${version}.${arch}
...
`;
const defaults = (module: string, of: string): string =>
  `---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: ${module}\n  stream: "${of}"\n  profiles:\n    "${of}": [common]\n...\n`;
const obsoletes = (module: string, of: string, modified: string): string =>
  `---\ndocument: modulemd-obsoletes\nversion: 1\ndata:\n  modified: ${modified}\n  module: ${module}\n  stream: "${of}"\n  message: gone\n...\n`;
const translations = (module: string, of: string, modified: number): string =>
  `---\ndocument: modulemd-translations\nversion: 1\ndata:\n  module: ${module}\n  stream: "${of}"\n  modified: ${modified}\n  translations:\n    de:\n      summary: Ü\n...\n`;

async function merged(
  previous: string | undefined,
  ...upstream: readonly (string | Buffer)[]
): Promise<{ text: string; result: MergedModules }> {
  const output = files.output();
  const result = await mergeModules({
    previous: previous === undefined ? undefined : files.write(previous, 'the previous one'),
    upstream: upstream.map((text) => files.write(gzipSync(text), 'http://u/modules.yaml')),
    output,
  });
  return { text: files.text(output), result };
}

test.each<[string, string, string]>([
  ['another name', stream({ name: 'a' }), stream({ name: 'b' })],
  ['another stream', stream({ stream: '1.10' }), stream({ stream: '1.1' })],
  ['another version', stream({ version: 1 }), stream({ version: 2 })],
  ['another context', stream({ context: 'aaaaaaaa' }), stream({ context: 'bbbbbbbb' })],
  ['another architecture', stream({ arch: 'x86_64' }), stream({ arch: 'aarch64' })],
  ['defaults of another module', defaults('a', '1'), defaults('b', '1')],
  ['obsoletes of another time', obsoletes('a', '1', '2020-01-01T00:00Z'), obsoletes('a', '1', '2021-01-01T00:00Z')],
  ['translations of another stream', translations('a', '1', 1), translations('a', '2', 1)],
])('%s does not replace what was there', async (_name, before, now) => {
  const { text, result } = await merged(before, now);
  expect(text).toBe(before + now);
  expect(result).toMatchObject({ documents: 2, survived: 1 });
  expect((await merged(text, now)).text).toBe(text);
});

test.each<[string, string, string]>([
  ['the same stream', stream({ summary: 'old' }), stream({ summary: 'new' })],
  ['other defaults', defaults('a', '1'), defaults('a', '2')],
  ['newer translations', translations('a', '1', 1), translations('a', '1', 2)],
])('%s: upstream has the last word', async (_name, before, now) => {
  expect((await merged(before, now)).text).toBe(now);
});

test('kinds that are not known are as upstream has them now', async () => {
  const unknown = (value: string): string => `---\ndocument: something-new\nvalue: ${value}\n...\n`;
  expect((await merged(unknown('1') + stream(), unknown('2'))).text).toBe(stream() + unknown('2'));
});

test.each<[string, string, readonly string[]]>([
  ['nothing', '', []],
  ['comments and empty documents', '# c\n---\n# only this\n...\n---\n\n...\n', []],
  ['no end', '---\na: 1\n---\nb: 2', ['---\na: 1\n', '---\nb: 2\n']],
  ['no beginning', 'a: 1\n...\nb: 2\n', ['---\na: 1\n', '---\nb: 2\n']],
  ['a version', '%YAML 1.2\n---\na: 1\n', ['---\na: 1\n']],
  ['CRLF', '---\r\na: 1\r\n...\r\n', ['---\r\na: 1\r\n']],
  ['content beside the mark', '--- {a: 1}\n--- # c\nb: 2\n', ['--- {a: 1}\n', '--- # c\nb: 2\n']],
  ['what only looks like a mark', '---\na: |\n  ---\n ...\n  x\n----: 1\n', ['---\na: |\n  ---\n ...\n  x\n----: 1\n']],
])('a file with %s', (_name, text, expected) => {
  expect(splitDocuments(text, 'f')).toEqual(expected);
});

test('numbers are what is written', () => {
  expect(documentKey('document: modulemd\ndata: {name: a, stream: 1.10, version: 0x10, context: 1e3, arch: no}', 'f')).toBe(
    '["modulemd","a","1.10","0x10","1e3","no"]',
  );
});

const bomb = `document: modulemd\na: &a [x, x]\n${Array.from('bcdefghij')
  .map((c, i) => `${c}: &${c} [*${'abcdefghi'[i]}, *${'abcdefghi'[i]}]`)
  .join('\n')}\ndata: {name: *j}\n`;
test.each<[string, string | Buffer, string]>([
  ['a list', '- a\n', 'METADATA_MALFORMED'],
  ['HTML', '<html><body>Sign in</body></html>', 'METADATA_MALFORMED'],
  ['no YAML', 'a: [\n', 'METADATA_MALFORMED'],
  ['no kind', 'data: {name: x}', 'METADATA_MALFORMED'],
  ['a kind twice', 'document: modulemd\ndocument: modulemd-defaults\ndata: {name: x}', 'METADATA_MALFORMED'],
  ['a kind that is a list', 'document: [modulemd]', 'METADATA_MALFORMED'],
  ['no data', 'document: modulemd', 'METADATA_MALFORMED'],
  ['no name', 'document: modulemd\ndata: {stream: x}', 'METADATA_MALFORMED'],
  ['a name twice', 'document: modulemd\ndata: {name: x, name: y}', 'METADATA_MALFORMED'],
  ['a name of two lines', 'document: modulemd\ndata: {name: "a\\nb"}', 'METADATA_MALFORMED'],
  ['a long name', `document: modulemd\ndata: {name: ${'x'.repeat(300)}}`, 'METADATA_MALFORMED'],
  ['an alias', 'document: &a modulemd\ndata: {name: *a}', 'METADATA_MALFORMED'],
  ['a bomb of aliases', bomb, 'METADATA_MALFORMED'],
  ['a directive', '%TAG ! tag:example.org,2000:\n---\ndocument: modulemd\ndata: {name: x}', 'METADATA_MALFORMED'],
  ['a control character', `document: modulemd\ndata: {name: x}\n# \u0007\n`, 'METADATA_MALFORMED'],
  ['a lone carriage return', `document: modulemd\r---\rdata: {name: x}`, 'METADATA_MALFORMED'],
  ['Latin-1', Buffer.from('document: modulemd\ndata: {name: ü}', 'latin1'), 'METADATA_ENCODING'],
  ['deep nesting', `document: modulemd\nx: ${'['.repeat(200_000)}`, 'METADATA_MALFORMED'],
  ['deep nesting by dashes', `document: modulemd\nx:\n ${'- '.repeat(200_000)}a`, 'METADATA_MALFORMED'],
  ['an endless document', `document: modulemd\nx: ${'y'.repeat(5_000_000)}`, 'METADATA_TOO_LARGE'],
  ['an endless file', `${'#'.repeat(1000)}\n---\n`.repeat(140_000), 'METADATA_TOO_LARGE'],
  ['endless documents', '---\na: 1\n'.repeat(60_000), 'METADATA_TOO_LARGE'],
])('%s is refused', async (_name, text, code) => {
  await expect(merged(undefined, text)).rejects.toMatchObject({
    code: expect.stringContaining(code),
    exitCode: 6,
    message: expect.stringContaining('http://u/modules.yaml: '),
  });
});

test('a hundred thousand keys take no quadratic time', async () => {
  const keys = Array.from({ length: 100_000 }, (_, i) => `  k${i}: v`).join('\n');
  const { user } = process.cpuUsage();
  await merged(undefined, `document: modulemd\nx:\n${keys}\ndata: {name: x}\n`);
  expect(process.cpuUsage().user - user).toBeLessThan(10_000_000);
});

/** What libmodulemd reads of the file: streams, and the default stream by module. */
function read(text: string): { streams: string[]; defaults: Record<string, string> } {
  const script = `
import json, sys, gi
gi.require_version('Modulemd', '2.0')
from gi.repository import Modulemd
index = Modulemd.ModuleIndex.new()
ok, failures = index.update_from_string(sys.stdin.read(), True)
if not ok: sys.exit(str([f.get_gerror().message for f in failures]))
streams = [':'.join([s.get_module_name(), s.get_stream_name(), str(s.get_version()), s.get_context(), s.get_arch(), s.get_summary('C')])
           for name in index.get_module_names() for s in index.get_module(name).get_all_streams()]
defaults = {name: index.get_module(name).get_defaults().get_default_stream()
            for name in index.get_module_names() if index.get_module(name).get_defaults()}
print(json.dumps({'streams': sorted(streams), 'defaults': defaults}))`;
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', script], { input: text, encoding: 'utf8' })) as ReturnType<typeof read>;
}

test('libmodulemd, which dnf uses, reads the union of any sequence', async () => {
  const upstream = fc.record({
    streams: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('perl', 'ruby'),
        stream: fc.constantFrom('1.1', '1.10'),
        version: fc.constantFrom(1, 20_190_101_000_000),
        context: fc.constantFrom('aaaaaaaa', '12345678'),
        summary: fc.constantFrom('one', 'two'),
      }),
      { selector: ({ name, stream: of, version, context }) => [name, of, version, context].join() },
    ),
    defaults: fc.dictionary(fc.constantFrom('perl', 'ruby'), fc.constantFrom('1.1', '1.10'), { noNullPrototype: true }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(upstream, { minLength: 1, maxLength: 4 }), async (sequence) => {
      const union = new Map<string, string>();
      const chosen: Record<string, string> = {};
      let published: string | undefined;
      for (const now of sequence) {
        for (const { summary, ...of } of now.streams) union.set(`${of.name}:${of.stream}:${of.version}:${of.context}:x86_64`, summary);
        Object.assign(chosen, now.defaults);
        const text = [...now.streams.map(stream), ...Object.entries(now.defaults).map(([name, of]) => defaults(name, of))].join('');
        published = (await merged(published, text)).text;
        expect((await merged(published, text)).text).toBe(published);
      }
      if (published === '') return;
      expect(read(published as string)).toEqual({
        streams: [...union].map(([key, summary]) => `${key}:${summary}`).sort(),
        defaults: chosen,
      });
    }),
    { numRuns: 12 },
  );
});

test('modulemd-validator accepts a merged file', async () => {
  const { text } = await merged(
    stream({ version: 1 }) + obsoletes('perl', '5.26', '2020-01-01T00:00Z'),
    stream({ version: 2 }) + defaults('perl', '5.26') + translations('perl', '5.26', 1),
  );
  const { path } = files.write(text);
  expect(execFileSync('modulemd-validator', [path], { encoding: 'utf8' })).toMatch(/[Vv]alid/);
});
