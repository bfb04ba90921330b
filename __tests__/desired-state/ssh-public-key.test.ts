/** Lines of authorized_keys: those that ssh-keygen makes are taken, and no part of one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sshPublicKey } from '../../desired-state/ssh-public-key';

const directory = mkdtempSync(join(tmpdir(), 'mirror-keys-'));
afterAll(() => rmSync(directory, { recursive: true }));

const made: readonly (readonly [string, string])[] = [
  ['ed25519', '256'],
  ['ecdsa', '256'],
  ['ecdsa', '384'],
  ['ecdsa', '521'],
  ['rsa', '2048'],
  ['rsa', '3072'],
];
const lineOf = (type: string, bits: string): string => {
  const file = join(directory, `${type}-${bits}`);
  execFileSync('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-C', 'alice@example.org', '-f', file]);
  return readFileSync(`${file}.pub`, 'utf8').trim();
};

test.each(made)('a whole key of ssh-keygen -t %s -b %s, and no shortened, lengthened or mislabelled one', (type, bits) => {
  const line = lineOf(type, bits);
  expect(sshPublicKey(line)).toBeUndefined();
  const [name = '', base64 = '', comment = ''] = line.split(' ');
  const bytes = Buffer.from(base64, 'base64');
  const as = (key: Buffer | string): string => `${name} ${typeof key === 'string' ? key : key.toString('base64')} ${comment}`;
  const damaged = [
    ...[1, 2, 3, 4, 20].map((cut) => as(bytes.subarray(0, -cut))),
    as(Buffer.concat([bytes, Buffer.from('x')])),
    as(base64.slice(0, -1)),
    as(base64.slice(4)),
    as(Buffer.alloc(0)),
    `${name === 'ssh-rsa' ? 'ssh-ed25519' : 'ssh-rsa'} ${base64}`,
  ];
  for (const text of damaged) expect([text, sshPublicKey(text) === undefined]).toEqual([text, false]);
});

test('an RSA key that is too weak', () => {
  expect(sshPublicKey(lineOf('rsa', '1024'))?.allowed).toBe('the key is not a whole ssh-rsa key of 2048 bits or more');
});
