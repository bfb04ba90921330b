import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { judgeStatus, verifyDetached } from '../../signatures/detached';
import { failureReason, PackageVerifier, provenPaths } from '../../signatures/packages';
import { buildKeyRing, type KeyRing, primaryFingerprints } from '../../signatures/pinned-keys';
import { run } from '../../signatures/run';
import { buildPackage, dropKey, makeKey, signDetached, signPackage, type TestKey } from '../content/support/keys';

jest.setTimeout(60_000);

const PINNED = 'A'.repeat(40);
const valid = (primary: string): string => `[GNUPG:] VALIDSIG ${'B'.repeat(40)} 2026-11-22 1795315132 0 4 0 1 10 00 ${primary}`;
const lines = (...text: string[]): string =>
  ['[GNUPG:] NEWSIG', ...text.map((t) => (t.startsWith('[') ? t : `[GNUPG:] ${t}`)), ''].join('\n');

test.each<[string, string, object]>([
  ['a good one, by a subkey of the pinned key', lines('GOODSIG 01 A', valid(PINNED)), { verdict: 'good', fingerprint: PINNED }],
  ['a good one by another key', lines('GOODSIG 01 A', valid('C'.repeat(40))), { verdict: 'untrusted' }],
  ['a bad one', lines('BADSIG 01 A'), { verdict: 'bad', reason: expect.stringContaining('key 01') }],
  ['a good and a bad one', lines('GOODSIG 01 A', valid(PINNED)) + lines('BADSIG 02 B'), { verdict: 'bad' }],
  [
    'a stranger beside a good one',
    lines('ERRSIG 02 1 10 00 1 9 -', 'NO_PUBKEY 02') + lines('GOODSIG 01 A', valid(PINNED)),
    { verdict: 'good' },
  ],
  [
    'a stranger',
    lines('ERRSIG 02 1 10 00 1 9 -', 'NO_PUBKEY 02'),
    { verdict: 'untrusted', reason: expect.stringContaining('key 02, which is not pinned') },
  ],
  [
    'an expired one',
    lines('EXPSIG 01 A', valid(PINNED)),
    { verdict: 'untrusted', reason: expect.stringContaining('signature has expired') },
  ],
  [
    'one by an expired key',
    lines('EXPKEYSIG 01 A', valid(PINNED)),
    { verdict: 'untrusted', reason: expect.stringContaining('key has expired') },
  ],
  ['one by a revoked key', lines('REVKEYSIG 01 A', valid(PINNED)), { verdict: 'untrusted', reason: expect.stringContaining('revoked') }],
  [
    'a good one without proof before a valid expired one',
    lines('GOODSIG 01 A') + lines('EXPSIG 02 A', valid(PINNED)),
    { verdict: 'untrusted' },
  ],
  ['nothing', 'gpgv: no valid OpenPGP data found.\n', { verdict: 'untrusted', reason: expect.stringContaining('no OpenPGP signature') }],
  ['status lines in a comment', `GOODSIG 01 A\n${valid(PINNED).replace('[GNUPG:] ', '')}`, { verdict: 'untrusted' }],
])('the status of %s', (_name, status, expected) => {
  expect(judgeStatus(status, new Set([PINNED]))).toMatchObject(expected);
});

test('fingerprints of primary keys only', () => {
  const colons = [
    'pub:u:2048',
    `fpr:::::::::${'1'.repeat(40)}:`,
    'uid:u',
    'sub:u',
    `fpr:::::::::${'2'.repeat(40)}:`,
    'pub:u',
    `fpr:::::::::${'3'.repeat(40)}:`,
  ].join('\n');
  expect(primaryFingerprints(colons)).toEqual(['1'.repeat(40), '3'.repeat(40)]);
  expect(primaryFingerprints('')).toEqual([]);
});

test('only an exact line proves a package', () => {
  const out = [
    '/s/a: digests signatures OK',
    '/s/b: digests OK',
    '/s/c: digests SIGNATURES NOT OK',
    '/s/d:/s/e: digests signatures OK',
    '',
  ].join('\n');
  expect([...provenPaths(out, ': digests signatures OK')]).toEqual(['/s/a', '/s/d:/s/e']);
});

test.each([
  [
    '    Header V4 RSA/SHA512 Signature, key ID 3c16992f: NOKEY\n    RSA signature: NOTFOUND',
    'signed by key 3c16992f, which is not pinned',
  ],
  ['    Header RSA signature: NOTFOUND\n    Header SHA256 digest: OK', 'it is not signed'],
  ['    Payload SHA256 digest: BAD (Expected a != b)', 'it is damaged (Payload SHA256 digest: BAD)'],
  ['    Header V4 RSA/SHA1 Signature, key ID 1: NOTTRUSTED', 'its signature is not accepted'],
  ['error: /s/x: signature hdr blob(4388): BAD, read returned 0', 'no intact package (signature hdr blob(4388): BAD, read returned 0)'],
  ['', 'rpmkeys does not accept it'],
])('the reason in %j', (output, expected) => {
  expect(failureReason(output)).toContain(expected);
});

describe('with real keys', () => {
  const work = mkdtempSync(join(tmpdir(), 'signatures-'));
  let pinned: TestKey;
  let stranger: TestKey;
  let ring: KeyRing;
  const file = (name: string, text: string): string => {
    writeFileSync(join(work, name), text);
    return join(work, name);
  };

  beforeAll(async () => {
    pinned = makeKey(join(work, 'a'), 'pinned');
    stranger = makeKey(join(work, 'b'), 'stranger');
    ring = await buildKeyRing([{ path: file('pinned.asc', pinned.publicKey), fingerprint: pinned.fingerprint }], join(work, 'ring'));
  });
  afterAll(() => {
    dropKey(pinned);
    dropKey(stranger);
    rmSync(work, { recursive: true });
  });

  test('a key file holds the pinned keys and no other', async () => {
    const both = file('both.asc', pinned.publicKey + stranger.publicKey);
    const build = (path: string, ...fingerprints: string[]): Promise<KeyRing> =>
      buildKeyRing(
        fingerprints.map((fingerprint) => ({ path, fingerprint })),
        join(work, 'ring2'),
      );
    expect((await build(both, pinned.fingerprint, stranger.fingerprint)).fingerprints.size).toBe(2);
    const mismatch = { code: 'KEY_MISMATCH', exitCode: 6 };
    await expect(build(both, pinned.fingerprint)).rejects.toMatchObject({
      ...mismatch,
      message: expect.stringContaining(stranger.fingerprint),
    });
    await expect(build(join(work, 'pinned.asc'), stranger.fingerprint)).rejects.toMatchObject({
      ...mismatch,
      message: expect.stringContaining(`pinned is ${stranger.fingerprint}`),
    });
    await expect(build(file('none.asc', 'hello'), pinned.fingerprint)).rejects.toMatchObject({
      ...mismatch,
      message: expect.stringContaining('no OpenPGP public key'),
    });
    await expect(build(join(work, 'absent.asc'), pinned.fingerprint)).rejects.toMatchObject({
      ...mismatch,
      message: expect.stringContaining('cannot be read'),
    });
  });

  test('detached signatures', async () => {
    const data = file('repomd.xml', '<repomd/>');
    signDetached(pinned, data);
    expect(await verifyDetached(ring, `${data}.asc`, data)).toEqual({ verdict: 'good', fingerprint: pinned.fingerprint });
    const other = file('other.xml', '<repomd />');
    expect(await verifyDetached(ring, `${data}.asc`, other)).toMatchObject({ verdict: 'bad' });
    signDetached(stranger, other);
    expect(await verifyDetached(ring, `${other}.asc`, other)).toMatchObject({
      verdict: 'untrusted',
      reason: expect.stringContaining('not pinned'),
    });
    expect(await verifyDetached(ring, file('x.asc', '<html>'), data)).toMatchObject({ verdict: 'untrusted' });
  });

  test('packages: signed, unsigned, by a stranger, damaged, cut, none at all', async () => {
    const unsigned = buildPackage(work, 'hello', '1');
    const variant = (name: string): string => {
      copyFileSync(unsigned, join(work, name));
      return join(work, name);
    };
    const good = variant('good.rpm');
    signPackage(pinned, good);
    const foreign = variant('foreign.rpm');
    signPackage(stranger, foreign);
    const cut = join(work, 'cut.rpm');
    copyFileSync(good, cut);
    truncateSync(cut, 900);
    const flipped = join(work, 'flipped.rpm');
    const bytes = readFileSync(good);
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
    writeFileSync(flipped, bytes);
    const verifier = await PackageVerifier.create(ring, join(work, 'rpm'));
    const failures = await verifier.failures([cut, good, unsigned, foreign, flipped]);
    expect([...failures]).toEqual([
      [cut, expect.stringContaining('no intact package')],
      [unsigned, 'it is not signed'],
      [foreign, expect.stringContaining('which is not pinned')],
      [flipped, expect.stringContaining('damaged')],
    ]);
    expect((await verifier.failures([good])).size).toBe(0);
  });
});

test('a program that is not installed is named with its package', async () => {
  const path = process.env.PATH;
  process.env.PATH = '/nonexistent';
  try {
    await expect(run('gpgv', [])).rejects.toMatchObject({ code: 'TOOL_MISSING', exitCode: 7, remedy: 'apt-get install gpgv' });
  } finally {
    process.env.PATH = path;
  }
});
