/** What preflight decides, by tables. */
import { changeOf } from '../../scripts/survey/change';
import { algorithmOf, timeOf } from '../../scripts/survey/index-facts';
import { judge } from '../../scripts/survey/judge';
import { NeedsOfServer } from '../../scripts/survey/needs';
import { type ListedFile, samplesOf } from '../../scripts/survey/package-list';
import { Progress } from '../../scripts/survey/progress';
import { problemOf, type SampleReport, type SignatureFact } from '../../scripts/survey/types';
import { parseSpace, parseWhole, size } from '../../scripts/survey/units';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { issuersIn } from '../../signatures/issuers';
import { readPackageStart } from '../../signatures/package-start';

const by = [{ keyId: '0123456789ABCDEF', fingerprint: undefined, digest: 'sha256' }];
const sample = (verdict: SampleReport['verdict'], more: Partial<SampleReport> = {}): SampleReport => ({
  path: 'a.rpm',
  chosenAs: ['newest'],
  declaredBytes: 1,
  bytes: 1,
  by: verdict === 'unsigned' ? [] : by,
  verdict,
  checked: 'whole',
  ...more,
});
const index = (state: SignatureFact['state'], reason = 'why'): SignatureFact => (state === 'absent' ? { state } : { state, by, reason });
const keys = [{ file: 'keys/a', fingerprint: 'A'.repeat(40) }];

describe('trust', () => {
  type Row = [string, 'signedMetadata' | 'signedPackages', SignatureFact, readonly SampleReport[], string, string | undefined, RegExp];
  test.each<Row>([
    ['all is signed', 'signedMetadata', index('good'), [sample('good')], 'fits', undefined, /: fits$/],
    ['empty', 'signedMetadata', index('good'), [], 'fits', undefined, /: fits$/],
    [
      'packages are not',
      'signedMetadata',
      index('good'),
      [sample('good'), sample('unsigned')],
      'does not fit',
      undefined,
      /clients that check/,
    ],
    [
      'no index signature',
      'signedMetadata',
      index('absent'),
      [sample('good')],
      'does not fit',
      'signedPackages',
      /but there is no repomd\.xml\.asc$/,
    ],
    ['nothing', 'signedMetadata', index('absent'), [sample('unsigned')], 'does not fit', 'digestsOnly', /no repomd\.xml\.asc/],
    ['nothing, foreign packages', 'signedMetadata', index('absent'), [sample('foreign')], 'does not fit', undefined, /no repomd\.xml\.asc/],
    ['a stale signature', 'signedMetadata', index('bad'), [sample('good')], 'does not fit', 'signedPackages', /does not verify: why/],
    [
      'another key',
      'signedMetadata',
      index('untrusted', 'key X, which is not pinned'),
      [sample('good')],
      'does not fit',
      undefined,
      /key X/,
    ],
    [
      'an expired key',
      'signedMetadata',
      index('untrusted', 'its key has expired'),
      [sample('good')],
      'does not fit',
      'signedPackages',
      /expired/,
    ],
    ['only packages', 'signedPackages', index('absent'), [sample('good')], 'fits', undefined, /there is no repomd\.xml\.asc/],
    ['both', 'signedPackages', index('good'), [sample('good')], 'could be stronger', 'signedMetadata', /signedMetadata would be stronger/],
    ['a stale index', 'signedPackages', index('bad'), [sample('good')], 'fits', undefined, /of no use: why/],
    ['metadata instead', 'signedPackages', index('good'), [sample('unsigned')], 'does not fit', 'signedMetadata', /a\.rpm: unsigned/],
    ['nothing at all', 'signedPackages', index('absent'), [sample('unsigned')], 'does not fit', 'digestsOnly', /a\.rpm/],
    ['one is damaged', 'signedPackages', index('absent'), [sample('good'), sample('bad')], 'does not fit', undefined, /a\.rpm: bad/],
    [
      'one could not be had',
      'signedPackages',
      index('absent'),
      [sample('good'), sample('unchecked', { problem: {} as never })],
      'fits',
      undefined,
      /fits/,
    ],
    [
      'none could be had',
      'signedPackages',
      index('absent'),
      [sample('unchecked', { problem: {} as never })],
      'unknown',
      undefined,
      /no package could/,
    ],
  ])('%s', (_name, mode, signature, samples, verdict, instead, text) => {
    const judged = judge({ mode, keys }, signature, samples, samples.length === 0);
    expect([judged.verdict, judged.instead]).toEqual([verdict, instead]);
    expect(judged.text).toMatch(text);
    // Whatever does not fit has a problem of its own, and nothing else has.
    expect(judged.problem?.exitCode).toBe(verdict === 'does not fit' ? 6 : undefined);
  });

  test.each<[string, SignatureFact, readonly SampleReport[], string, string | undefined]>([
    ['nothing is signed', index('absent'), [sample('unsigned')], 'fits', undefined],
    ['packages are', index('absent'), [sample('unchecked')], 'could be stronger', 'signedPackages'],
    ['metadata is', index('unchecked'), [sample('unsigned')], 'could be stronger', 'signedMetadata'],
    ['both are', index('unchecked'), [sample('unchecked')], 'could be stronger', 'signedPackages'],
    ['empty', index('absent'), [], 'fits', undefined],
    ['a file that is no signature', { state: 'unchecked', by: [] }, [sample('unsigned')], 'fits', undefined],
  ])('digestsOnly: %s', (_name, signature, samples, verdict, instead) => {
    const judged = judge({ mode: 'digestsOnly', reason: 'x' }, signature, samples, samples.length === 0);
    expect([judged.verdict, judged.instead]).toEqual([verdict, instead]);
  });
});

describe('the line of main.ts', () => {
  test.each<[string, string, string, 'signedMetadata' | 'signedPackages' | 'digestsOnly', string]>([
    ['a variable', '    trust: Trust.signedMetadata(centos),', 'main.ts:1:18', 'signedPackages', 'trust: Trust.signedPackages(centos),'],
    [
      'a call',
      "trust: Trust.signedPackages([key('a)b')]), // x",
      'main.ts:1:14',
      'signedMetadata',
      "trust: Trust.signedMetadata([key('a)b')]), // x",
    ],
    [
      'a constant',
      'const t = Trust.signedPackages(k);',
      'main.ts:1:17',
      'digestsOnly',
      "const t = Trust.digestsOnly('<why nothing else can be verified>');",
    ],
    [
      'from digests',
      "x(Trust.digestsOnly('no (key)'));",
      'main.ts:1:9',
      'signedPackages',
      "x(Trust.signedPackages([key('<the public key, in keys/>')]));",
    ],
    [
      'the second of two',
      'f(Trust.signedMetadata(a), Trust.signedMetadata(b))',
      'main.ts:1:34',
      'signedPackages',
      'f(Trust.signedMetadata(a), Trust.signedPackages(b))',
    ],
    [
      'several lines',
      'trust: Trust.signedMetadata([',
      'main.ts:1:14',
      'signedPackages',
      "Trust.signedPackages([key('<the public key, in keys/>')])",
    ],
    ['no position', 'x', 'elsewhere', 'signedPackages', "Trust.signedPackages([key('<the public key, in keys/>')])"],
    ['a line that is gone', 'x', 'main.ts:99:1', 'signedPackages', "Trust.signedPackages([key('<the public key, in keys/>')])"],
  ])('%s', (_name, text, position, instead, then) => {
    expect(changeOf(text, position, instead, []).then).toBe(then);
  });
});

describe('sizes and numbers', () => {
  test.each([
    ['500G', 500 * 1024 ** 3],
    ['1.5T', 1.5 * 1024 ** 4],
    ['2048', 2048],
    ['7k', 7168],
    ['1GiB', 1024 ** 3],
  ])('--free %s', (text, bytes) => {
    expect(parseSpace('--free', text)).toBe(bytes);
  });
  test.each(['', 'x', '-1', '1GB', '1e9', '5 G', '99999999P', '1,5G'])('--free %j is refused', (text) => {
    expect(() => parseSpace('--free', text)).toThrow(/--free .* is no size/);
  });
  test.each(['', '0', '65', '-1', '1.5', 'x', '9999999999'])('--concurrency %j is refused', (text) => {
    expect(() => parseWhole('--concurrency', text, 1, 64)).toThrow('is no whole number from 1 to 64');
  });
  test.each([
    [0, '0 bytes'],
    [1023, '1023 bytes'],
    [1536, '1.5 KiB'],
    [20 * 1024 ** 3, '20 GiB'],
    [2 ** 53, '8.0 PiB'],
  ])('%d is %s', (bytes, text) => {
    expect(size(bytes)).toBe(text);
  });
  test.each([
    ['1763780000', '2025-11-22T02:53:20Z'],
    ['1588000000.5', '2020-04-27T15:06:40Z'],
    ['7', undefined],
    ['9999999999', undefined],
    ['x', undefined],
    [undefined, undefined],
  ])('the revision %s is %s', (text, time) => {
    expect(timeOf(text)).toBe(time);
  });
  test('sha is sha1', () => {
    expect(['sha', 'sha1', 'sha256', undefined].map(algorithmOf)).toEqual(['sha1', 'sha1', 'sha256', 'none']);
  });
});

test('packages to look at: the newest, the smallest, the largest, each once', () => {
  const item = (path: string, bytes: number, built: number): ListedFile => ({
    path,
    href: path,
    name: path,
    epoch: '0',
    version: '1',
    release: '1',
    arch: 'noarch',
    size: bytes,
    built,
    hex: '',
    algorithm: 'sha256',
  });
  const [a, b, c] = [item('a', 10, 5), item('b', 5, 1), item('c', 7, 9)];
  expect(samplesOf([a, b, c]).map((s) => [s.item.path, s.chosenAs])).toEqual([
    ['c', ['newest']],
    ['b', ['smallest']],
    ['a', ['largest']],
  ]);
  expect(samplesOf([a])).toEqual([{ item: a, chosenAs: ['newest', 'smallest', 'largest'] }]);
  expect(samplesOf([])).toEqual([]);
});

test('a directory with many entries takes more than a block', () => {
  const packages = Array.from({ length: 1000 }, (_, i) => ({
    path: `Packages/a/package-${i}-1.0-1.x86_64.rpm`, hex: String(i).padStart(64, '0'), algorithm: 'sha256', size: 1, built: 0,
  })); // prettier-ignore
  const needs = new NeedsOfServer();
  needs.add({ id: 'a', publicPath: 'mirror/a', packages, metadata: [], indexFiles: [100] }, 1e9);
  const few = new NeedsOfServer();
  few.add({ id: 'a', publicPath: 'mirror/a', packages: packages.slice(0, 1), metadata: [], indexFiles: [100] }, 1e9);
  // The same directories, so the same inodes; but all names are in one.
  expect(needs.total().tree.inodes).toBe(few.total().tree.inodes);
  expect(needs.total().tree.bytes - few.total().tree.bytes).toBe(32_768 + 167_936); // 1,000 times 36 bytes, and 168 in the list beside the tree
});

describe('the beginning of a package', () => {
  const valid = Buffer.alloc(96 + 16 + 16 + 16 + 16);
  valid.writeUInt32BE(0xedabeedb, 0);
  const header = (at: number, entries: number, data: number): Buffer => {
    const bytes = Buffer.from(valid);
    for (const start of [96, 96 + 16 + 16 * (at > 96 ? 0 : entries)]) if (start <= at) bytes.writeUInt32BE(0x8eade801, start);
    bytes.writeUInt32BE(entries, at + 8);
    bytes.writeUInt32BE(data, at + 12);
    return bytes;
  };
  test.each<[string, Buffer, object]>([
    ['nothing', Buffer.alloc(0), { need: 112 }],
    ['a web page', Buffer.from('<html>'), { problem: expect.stringContaining('does not begin') }],
    ['a lead alone', valid.subarray(0, 96), { need: 112 }],
    ['no header', valid, { problem: 'it has no header at byte 96' }],
    ['too many entries', header(96, 70_000, 0), { problem: expect.stringContaining('impossible size') }],
    ['too much data', header(96, 1, 2 ** 31), { problem: expect.stringContaining('impossible size') }],
    ['data beyond its end', header(96, 1, 5000), { need: 96 + 16 + 16 + 5000 }],
  ])('%s', (_name, bytes, expected) => {
    expect(readPackageStart(bytes)).toEqual(expected);
  });

  test('an entry that points outside', () => {
    const bytes = header(96, 1, 0);
    bytes.writeUInt32BE(0x8eade801, 128);
    for (const [at, value] of [[112, 268], [116, 7], [120, 9999], [124, 10]] as const) bytes.writeUInt32BE(value, at); // prettier-ignore
    expect(readPackageStart(bytes)).toEqual({ problem: 'its signature header points outside of itself' });
  });
});

test('issuers of signatures, old and new', () => {
  const text = [
    '# off=0 ctb=89',
    ':signature packet: algo 1, keyid 24c6a8a7f4a80eb5\n\tversion 3, created 1, md5len 5, sigclass 0x00\n\tdigest algo 8, begin of digest fc 82',
    ':signature packet: algo 1, keyid 29E54F3BE0D018BD\n\tversion 4\n\tdigest algo 2, begin\n\thashed subpkt 33 len 21 (issuer fpr v4 046E4EC7812E308D4677365529E54F3BE0D018BD)',
    ':literal data packet:\n\tkeyid 0000000000000000',
    '',
  ].join('\n');
  expect(issuersIn(text)).toEqual([
    { keyId: '24C6A8A7F4A80EB5', fingerprint: undefined, digest: 'sha256' },
    { keyId: '29E54F3BE0D018BD', fingerprint: '046E4EC7812E308D4677365529E54F3BE0D018BD', digest: 'sha1' },
  ]);
  expect(issuersIn('gpg: no valid OpenPGP data found.')).toEqual([]);
});

test('faults of this machine are no problem of an upstream', () => {
  const fault = new MirrorError({ code: 'TOOL_MISSING', message: 'xz', remedy: 'apt', exitCode: ExitCode.environment });
  expect(() => problemOf(fault)).toThrow(fault);
  expect(() => problemOf(new TypeError('a defect'))).toThrow('a defect');
});

test('progress names what is under way, now and then', () => {
  jest.useFakeTimers();
  const said: string[] = [];
  const progress = new Progress(['a', 'b', 'c'], (line) => said.push(line));
  progress.begin('a');
  progress.begin('b');
  progress.bytes('b', 3 * 1024 * 1024);
  progress.end('a');
  jest.advanceTimersByTime(2900);
  expect(said).toEqual([]);
  jest.advanceTimersByTime(200);
  expect(said).toEqual(['looked at 1 of 3; now at b (3.0 MiB of its package list)']);
  progress.stop();
  jest.advanceTimersByTime(10_000);
  expect(said).toHaveLength(1);
  jest.useRealTimers();
});
