import { execFileSync } from 'node:child_process';
import { htpasswdFault } from '../../desired-state/htpasswd';

const hash = (method: string): string => execFileSync('openssl', ['passwd', method, 'a word'], { encoding: 'utf8' }).trim();
const BCRYPT = '$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234';
const SHA512 = hash('-6');

test.each([
  ['SHA-512', `alice:${SHA512}\n`],
  ['SHA-256', `alice:${hash('-5')}`],
  ['apr1', `a.b+c@d_e-1:${hash('-apr1')}\n`],
  ['bcrypt', `alice:${BCRYPT}\n`],
  ['rounds', `alice:${SHA512.replace('$6$', '$6$rounds=20000$')}\n`],
  ['comments, empty lines, lines of Windows', `# who\r\n\r\nalice:${SHA512}\r\nbob:${SHA512}\r\n`],
])('%s', (_, text) => {
  expect(htpasswdFault(text)).toBeUndefined();
});

test.each([
  ['nobody', '# nobody\n\n', 'it names no user'],
  ['a plain password', `a:${SHA512}\nalice:secret\n`, 'line 2 has a password that is not hashed'],
  ['{PLAIN}', 'alice:{PLAIN}secret\n', 'not hashed'],
  ['{SHA}', 'alice:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n', 'too weak'],
  ['DES', 'alice:abJnggxhB/yWI\n', 'too weak'],
  ['MD5', `alice:${hash('-1')}\n`, 'too weak'],
  ['a slow bcrypt', `alice:${BCRYPT.replace('$10$', '$12$')}\n`, 'too slow'],
  ['many rounds', `alice:${SHA512.replace('$6$', '$6$rounds=99999$')}\n`, 'too slow'],
  ['a cut hash', `alice:${SHA512.slice(0, -1)}\n`, 'unknown to nginx'],
  ['no password', 'alice:\n', 'line 1 has no password'],
  ['no colon', 'alice\n', 'line 1 has no password'],
  ['no user', `:${SHA512}\n`, 'no name of a user'],
  ['a strange user', `al ice:${SHA512}\n`, 'no name of a user'],
  ['one twice', `alice:${SHA512}\nalice:${SHA512}\n`, 'line 2 has a user that has a line already'],
  ['a third field', `alice:${SHA512}:x\n`, 'more than a user and a hash'],
])('%s', (_, text, fault) => {
  expect(htpasswdFault(text)).toContain(fault);
  expect(htpasswdFault(text)).not.toContain('secret');
});
