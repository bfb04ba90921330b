import type { Problem } from './validate';

const TYPES = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
];
const FIX = 'Pass the line of a .pub file, for instance "ssh-ed25519 AAAA… alice@example.org".';

/**
 * A line of `authorized_keys` without options: type, key, and a comment that says whose it is. The key begins with its own type (RFC 4253,
 * section 6.6), so that a truncated or mistyped one is found here and not at the next login.
 */
export function sshPublicKey(value: unknown): Problem | undefined {
  if (typeof value !== 'string') return { allowed: 'an SSH public key is a line of text', fix: FIX };
  if (/PRIVATE KEY/.test(value)) return { allowed: 'this is a private key', fix: `Never put it into the project. ${FIX}` };
  const parts = /^(\S+) ([A-Za-z0-9+/]+={0,2})(?: ([\x21-\x7e][\x20-\x7e]{0,199}))?$/.exec(value);
  if (parts === null) return { allowed: 'an SSH public key is one line: type, key in base64 and a comment', fix: FIX };
  const [, type = '', base64 = ''] = parts;
  if (!TYPES.includes(type))
    return { allowed: `the type of an SSH public key is one of ${TYPES.join(', ')}; options are not allowed`, fix: FIX };
  const key = Buffer.from(base64, 'base64');
  const named = key.length > 4 && key.readUInt32BE(0) === type.length ? key.subarray(4, 4 + type.length).toString('latin1') : '';
  if (named !== type || key.length < 4 + type.length + 32) return { allowed: `the key is not a whole ${type} key`, fix: FIX };
  return undefined;
}
