/** Stored plans beside what is synthesized. With plan files that Terraform writes: in lab/07-review-forged. */
import { crc32, deflateRawSync } from 'node:zlib';
import { plannedConfiguration } from '../../../scripts/review/plan-file';
import { differs, STACK_FILES, STORED_PLAN } from '../../../scripts/review/verify';

const CONFIGURATION = '{"resource": {"null_resource": {}}}';

interface Entry {
  readonly name: string;
  readonly text: string;
  readonly stored?: boolean;
}

/** A zip archive as Go's writer makes it. */
function zip(entries: readonly Entry[], change: { before?: Buffer; comment?: Buffer; between?: Buffer } = {}): Buffer {
  const bodies: Buffer[] = [change.before ?? Buffer.alloc(0)];
  const directory: Buffer[] = [];
  const length = (buffers: readonly Buffer[]): number => buffers.reduce((sum, b) => sum + b.length, 0);
  for (const { name, text, stored } of entries) {
    const content = stored ? Buffer.from(text) : deflateRawSync(text);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(stored ? 0 : 8, 4);
    common.writeUInt32LE(typeof crc32 === 'function' ? crc32(text) : 0, 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(Buffer.byteLength(text), 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(length(bodies), 10);
    directory.push(Buffer.from([0x50, 0x4b, 1, 2, 20, 0]), common, tail, Buffer.from(name));
    bodies.push(Buffer.from([0x50, 0x4b, 3, 4]), common, Buffer.from(name), content);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(length(directory), 12);
  end.writeUInt32LE(length(bodies), 16);
  end.writeUInt16LE(change.comment?.length ?? 0, 20);
  return Buffer.concat([...bodies, ...directory, change.between ?? Buffer.alloc(0), end, change.comment ?? Buffer.alloc(0)]);
}

/** Changes a number in the archive's last record. */
function saying(archive: Buffer, field: number, value: number): Buffer {
  archive.writeUInt32LE(value, archive.length - 22 + field);
  return archive;
}

const good: Entry[] = [
  { name: 'tfplan', text: 'anything' },
  { name: 'tfconfig/m-/cdk.tf.json', text: CONFIGURATION },
  { name: 'tfconfig/modules.json', text: '[]', stored: true },
];
const bad: Entry[] = good.map((e) => ({ ...e, text: e.text.replace('null_resource', 'evil') }));

test('the configuration inside of a plan file', () => {
  expect([...plannedConfiguration(zip(good))].map(([name, content]) => [name, content.toString()])).toEqual([
    ['m-/cdk.tf.json', CONFIGURATION],
    ['modules.json', '[]'],
  ]);
});

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['a text', Buffer.from('x'.repeat(100))],
  ['another archive in the comment', zip(bad, { comment: zip(good) })],
  ['an end that claims a comment', Buffer.concat([zip(bad), zip(good, { comment: Buffer.alloc(9) }).subarray(0, -9)])],
  ['a directory elsewhere', saying(zip(good, { before: zip(bad) }), 16, 0)],
  ['a directory of another size', saying(zip(good), 12, 46)],
  ['another archive in front', Buffer.concat([zip(bad), zip(good)])],
  ['bytes after the directory', zip(good, { between: Buffer.alloc(3) })],
  ['an entry twice', zip([...bad, ...good])],
  ['a truncated one', zip(good).subarray(0, -1)],
])('is refused: %s', (_what, archive) => {
  expect(() => plannedConfiguration(archive)).toThrow(/^it|^its/);
});

const synthesized = new Map<string, Buffer>(STACK_FILES.map((name) => [name, Buffer.from(name === 'cdk.tf.json' ? CONFIGURATION : name)]));
const stored = (change: Record<string, Buffer | undefined> = {}): Map<string, Buffer> => {
  const files = new Map<string, Buffer>([...synthesized].map(([name, content]) => [`stack/${name}`, content]));
  files.set(STORED_PLAN, zip(good));
  for (const [name, content] of Object.entries(change)) {
    if (content) files.set(name, content);
    else files.delete(name);
  }
  return files;
};

test('the plan of this source', () => {
  expect(differs(stored(), synthesized)).toBeUndefined();
});

test.each<[string, Map<string, Buffer>, RegExp]>([
  ...STACK_FILES.map((name): [string, Map<string, Buffer>, RegExp] => [
    `another ${name}`,
    stored({ [`stack/${name}`]: Buffer.from('{}') }),
    new RegExp(`its ${name} \\(sha256`),
  ]),
  ['no file', stored({ 'stack/mirror/apply.cjs': undefined }), /mirror\/apply\.cjs is missing in it/],
  ['no plan', stored({ [STORED_PLAN]: undefined }), /plan\.tfplan is missing in it/],
  ['another configuration inside', stored({ [STORED_PLAN]: zip(bad) }), /made from another configuration/],
  [
    'a file more inside',
    stored({ [STORED_PLAN]: zip([...good, { name: 'tfconfig/m-/evil.tf', text: '' }]) }),
    /made from other files: m-\/evil\.tf/,
  ],
  ['no configuration inside', stored({ [STORED_PLAN]: zip(good.slice(0, 1)) }), /made from other files: none/],
  [
    'a text that parses the same',
    stored({ 'stack/cdk.tf.json': Buffer.from(CONFIGURATION.replace('{', '{"resource": {"evil": {}}, ')) }),
    /its cdk\.tf\.json/,
  ],
])('refused: %s', (_what, files, why) => {
  expect(differs(files, synthesized)).toMatch(why);
});

test('a source that does not synthesize a file', () => {
  expect(differs(stored(), new Map())).toBe('this commit does not synthesize cdk.tf.json');
});
