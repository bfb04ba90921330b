import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { MirrorError } from '../../desired-state/errors';
import { type PublicKey, readPublicKeys } from '../../desired-state/openpgp-key';
import { caught } from '../support/caught';

const keysFolder = join(__dirname, '../../keys');
const keyFiles = readdirSync(keysFolder).filter((name) => name.startsWith('RPM-GPG-KEY-'));
const text = (name: string): string => readFileSync(join(keysFolder, name), 'utf8');

let home: string;
beforeAll(() => (home = mkdtempSync(join(tmpdir(), 'gpg-'))));
afterAll(() => {
  execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
  rmSync(home, { recursive: true, force: true });
});

function gpg(args: string[], input = ''): string {
  return execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--no-autostart', ...args], {
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

/** What gpg reads in the same text: the first fingerprint after each `pub`, and its user ids. */
function byGpg(armoured: string): PublicKey[] {
  const keys: { fingerprint: string; userIds: string[] }[] = [];
  for (const fields of gpg(['--show-keys', '--with-colons'], armoured)
    .split('\n')
    .map((line) => line.split(':'))) {
    const key = keys.at(-1);
    if (fields[0] === 'pub') keys.push({ fingerprint: '', userIds: [] });
    else if (fields[0] === 'fpr' && key?.fingerprint === '') key.fingerprint = fields[9] ?? '';
    else if (fields[0] === 'uid')
      key?.userIds.push((fields[9] ?? '').replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))));
  }
  return keys;
}

describe('the pinned keys', () => {
  test('there are seven', () => expect(keyFiles).toHaveLength(7));
  test.each(keyFiles)('%s: as gpg reads it, and as the table in keys/README.md says', (name) => {
    const keys = readPublicKeys(text(name), `keys/${name}`);
    expect(keys).toHaveLength(1);
    expect(keys).toEqual(byGpg(text(name)));
    const row = text('README.md')
      .split('\n')
      .find((line) => line.startsWith(`| \`${name}\` |`));
    expect(row?.replace(/ /g, '')).toContain(`\`${keys[0]?.fingerprint}\``);
  });
});

describe('generated keys', () => {
  // --no-autostart would keep gpg from its agent, which makes the keys.
  const generate = (userId: string, algorithm: string): void => {
    const args = ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
    execFileSync('gpg', [...args, '--quick-generate-key', userId, algorithm, 'default', 'never'], { stdio: 'ignore' });
  };
  test.each([
    ['rsa2048', 'Ada <ada@example.org>'],
    ['ed25519', 'Zoë Ω (mirror: signing) <zoe@example.org>'],
  ])('%s, armoured by gpg', (algorithm, userId) => {
    generate(userId, algorithm);
    const armoured = gpg(['--armor', '--export', userId]);
    const keys = readPublicKeys(armoured, 'key');
    expect(keys).toEqual(byGpg(armoured));
    expect(keys[0]?.userIds).toEqual([userId]);
  });
  test('several keys in one block, and several blocks in one file', () => {
    const both = gpg(['--armor', '--export']);
    expect(readPublicKeys(both, 'key')).toHaveLength(2);
    expect(readPublicKeys(both, 'key')).toEqual(byGpg(both));
    const blocks = `A key:\n${text('RPM-GPG-KEY-EPEL-7')}\nand another:\n${text('RPM-GPG-KEY-Docker')}`;
    expect(readPublicKeys(blocks, 'key').map((key) => key.userIds[0])).toEqual([
      'Fedora EPEL (7) <epel@fedoraproject.org>',
      'Docker Release (CE rpm) <docker@docker.com>',
    ]);
  });
  test('secret key material is refused, whatever it calls itself', () => {
    const args = [
      '--homedir',
      home,
      '--batch',
      '--quiet',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      '--armor',
      '--export-secret-keys',
      'ada@example.org',
    ];
    const armoured = execFileSync('gpg', args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] });
    const disguised = armoured.replace(/PRIVATE KEY BLOCK/g, 'PUBLIC KEY BLOCK');
    for (const secret of [armoured, disguised, `${text('RPM-GPG-KEY-Ceph')}${armoured}`, '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n'])
      expect(caught(() => readPublicKeys(secret, 'keys/mine.asc'))).toMatchObject({
        code: 'SECRET_KEY',
        exitCode: 6,
        message: expect.stringContaining('keys/mine.asc') as string,
      });
  });
});

test('a version 6 key: the example of RFC 9580, appendix A.3', () => {
  const [key] = readPublicKeys(
    block(
      `xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==`,
    ),
    'key',
  );
  expect(key).toEqual({ fingerprint: 'CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9', userIds: [] });
});

describe('armour', () => {
  const good = text('RPM-GPG-KEY-Ceph');
  const same = readPublicKeys(good, 'key');
  test.each([
    ['CRLF', good.replace(/\n/g, '\r\n')],
    ['no final newline', good.trimEnd()],
    ['no header lines', good.replace(/^Version.*\n/m, '')],
    ['a comment header', good.replace(/^Version/m, 'Comment: x: y\nVersion')],
    ['spaces in the empty line', good.replace('\n\n', '\n \t\n')],
    ['no checksum', good.replace(/^=.*\n/m, '')],
    ['other line lengths', good.replace(/^([A-Za-z0-9+/]{20})([A-Za-z0-9+/]{44})$/gm, '$1  \n$2')],
    ['text around it', `My key:\n\n${good}\nbye\n`],
    ['a marker packet before it', block(Buffer.concat([packet(10, Buffer.from('PGP')), body(good)]).toString('base64'))],
  ])('%s does not matter', (_what, armoured) => {
    expect(readPublicKeys(armoured, 'key')).toEqual(same);
  });
  test.each([
    ['nothing', '', /no line "-----BEGIN PGP PUBLIC KEY BLOCK-----"/],
    ['binary', '\u0099\u0002\r\u0004U', /no line "-----BEGIN/],
    ['HTML', '<html>not found</html>', /no line "-----BEGIN/],
    ['a signature', good.replace(/PUBLIC KEY BLOCK/g, 'SIGNATURE'), /holds a PGP SIGNATURE/],
    ['cut off', good.slice(0, 800), /no line "-----END/],
    ['no empty line', good.replace('\n\n', '\n'), /no empty line/],
    ['no data', block(''), /not hold valid base64/],
    ['not base64', good.replace(/^mQ/m, 'm!'), /not hold valid base64/],
    ['one character missing', good.replace(/^mQI/m, 'mQ'), /not hold valid base64/],
    ['one bit flipped', good.replace(/^mQINBF/m, 'mQINBE'), /CRC-24/],
    ['another checksum', good.replace('=/Tod', '=/Toe'), /CRC-24/],
    ['too large', ' '.repeat(4 * 1024 * 1024 + 1), /larger than/],
    ['the same key twice', good + good, /08B73419AC32B4E966C1A330E84AC2C0460F3994 twice/],
  ])('refused: %s', (_what, armoured, reason) => {
    expect(() => readPublicKeys(armoured, 'keys/x.asc')).toThrow(reason);
    const error = caught(() => readPublicKeys(armoured, 'keys/x.asc'));
    expect(error.code).toBe('PUBLIC_KEY_INVALID');
    expect(error.message).toContain('key file keys/x.asc ');
  });
});

describe('packets', () => {
  const key = Buffer.from([4, 0, 0, 0, 1, 1, 0, 8, 255, 0, 8, 3]);
  const fingerprint = readPublicKeys(block(packet(6, key).toString('base64')), 'key')[0]?.fingerprint;
  const long = Buffer.concat([key, Buffer.alloc(300)]);
  test.each([
    ['old format, one byte', Buffer.concat([Buffer.from([0x98, key.length]), key])],
    ['old format, two bytes', Buffer.concat([Buffer.from([0x99, 0, key.length]), key])],
    ['old format, four bytes', Buffer.concat([Buffer.from([0x9a, 0, 0, 0, key.length]), key])],
    ['new format, five bytes', Buffer.concat([Buffer.from([0xc6, 255, 0, 0, 0, key.length]), key])],
    ['with padding', Buffer.concat([packet(6, key), packet(21, Buffer.from([1, 2, 3]))])],
  ])('length: %s', (_what, bytes) => {
    expect(readPublicKeys(block(bytes.toString('base64')), 'key')[0]?.fingerprint).toBe(fingerprint);
  });
  test('length: new format, two bytes, is the same key as old format, two bytes', () => {
    const [a, b] = [packet(6, long), Buffer.concat([Buffer.from([0x99, long.length >> 8, long.length & 255]), long])].map((bytes) =>
      readPublicKeys(block(bytes.toString('base64')), 'key'),
    );
    expect(a).toEqual(b);
  });
  test.each([
    ['no header', Buffer.from([0x00, 0x01]), /no packet header at byte 0/],
    ['cut off in the body', packet(6, key).subarray(0, 8), /cut off/],
    ['cut off in the length', Buffer.from([0x99, 0]), /cut off/],
    ['in parts', Buffer.concat([Buffer.from([0xc6, 0xe3]), key]), /in parts/],
    ['without a length', Buffer.concat([Buffer.from([0x9b]), key]), /without a length/],
    ['version 3', packet(6, Buffer.concat([Buffer.from([3]), key.subarray(1)])), /version 3/],
    ['empty key', packet(6, Buffer.alloc(0)), /without key material/],
    ['header only', packet(6, key.subarray(0, 6)), /without key material/],
    ['user id first', packet(13, Buffer.from('x')), /begins with a packet of type 13/],
    ['a message', Buffer.concat([packet(6, key), packet(11, Buffer.from('x'))]), /packet of type 11/],
    ['user id not UTF-8', Buffer.concat([packet(6, key), packet(13, Buffer.from([0xff]))]), /not UTF-8/],
    ['user id with an escape', Buffer.concat([packet(6, key), packet(13, Buffer.from('\u001b[2J'))]), /control characters/],
    ['user id from right to left', Buffer.concat([packet(6, key), packet(13, Buffer.from('\u202egro.elpmaxe'))]), /control characters/],
    ['marker only', packet(10, Buffer.from('PGP')), /no public key/],
  ])('refused: %s', (_what, bytes, reason) => {
    expect(() => readPublicKeys(block(bytes.toString('base64')), 'key')).toThrow(reason);
  });
  test('a secret subkey is refused too', () => {
    expect(() => readPublicKeys(block(Buffer.concat([packet(6, key), packet(7, key)]).toString('base64')), 'key')).toThrow(/SECRET/);
  });
  test('any bytes give keys or a MirrorError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ minLength: 1 }),
          fc.uint8Array().map((more) => Buffer.concat([packet(6, key), more])),
        ),
        (bytes) => {
          try {
            expect(readPublicKeys(block(Buffer.from(bytes).toString('base64')), 'key').length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toBeInstanceOf(MirrorError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

function block(base64: string): string {
  return `-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n${base64}\n-----END PGP PUBLIC KEY BLOCK-----\n`;
}

function body(armoured: string): Buffer {
  return Buffer.from(armoured.replace(/^(-|Version|=).*$/gm, ''), 'base64');
}

/** A packet with a header of the new format. */
function packet(tag: number, content: Buffer): Buffer {
  const length = content.length < 192 ? [content.length] : [((content.length - 192) >> 8) + 192, (content.length - 192) & 255];
  return Buffer.concat([Buffer.from([0xc0 | tag, ...length]), content]);
}
