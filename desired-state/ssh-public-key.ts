import type { Problem } from './validate';

/** Type → the lengths that the fields after it may have (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4, PROTOCOL.u2f). */
const FIELDS: Readonly<Record<string, readonly (readonly [least: number, most: number])[]>> = {
  'ssh-ed25519': [[32, 32]],
  'ecdsa-sha2-nistp256': [
    [8, 8],
    [65, 65],
  ],
  'ecdsa-sha2-nistp384': [
    [8, 8],
    [97, 97],
  ],
  'ecdsa-sha2-nistp521': [
    [8, 8],
    [133, 133],
  ],
  // An exponent; and a modulus from 2048 to 16384 bits, before which a zero keeps it positive. Shorter ones are too weak.
  'ssh-rsa': [
    [1, 8],
    [257, 2049],
  ],
  'sk-ssh-ed25519@openssh.com': [
    [32, 32],
    [1, 255],
  ],
  'sk-ecdsa-sha2-nistp256@openssh.com': [
    [8, 8],
    [65, 65],
    [1, 255],
  ],
};
const FIX = 'Pass the line of a .pub file, for instance "ssh-ed25519 AAAA… alice@example.org".';

/** The length-prefixed fields of a key; undefined where they do not end with it. */
function fieldsOf(key: Buffer): readonly Buffer[] | undefined {
  const fields: Buffer[] = [];
  for (let at = 0; at < key.length;) {
    const end = at + 4 + (at + 4 <= key.length ? key.readUInt32BE(at) : Infinity);
    if (end > key.length) return undefined;
    fields.push(key.subarray(at + 4, end));
    at = end;
  }
  return fields;
}

/**
 * A line of `authorized_keys` without options: type, key, and a comment that says whose it is. The key begins with its own type and
 * its fields fill it exactly, so that a truncated or mistyped one is found here and not at the next login.
 */
export function sshPublicKey(value: unknown): Problem | undefined {
  if (typeof value !== 'string') return { allowed: 'an SSH public key is a line of text', fix: FIX };
  if (/PRIVATE KEY/.test(value)) return { allowed: 'this is a private key', fix: `Never put it into the project. ${FIX}` };
  const parts = /^(\S+) ([A-Za-z0-9+/]+={0,2})(?: ([\x21-\x7e][\x20-\x7e]{0,199}))?$/.exec(value);
  if (parts === null) return { allowed: 'an SSH public key is one line: type, key in base64 and a comment', fix: FIX };
  const [, type = '', base64 = ''] = parts;
  const lengths = FIELDS[type];
  if (lengths === undefined)
    return { allowed: `the type of an SSH public key is one of ${Object.keys(FIELDS).join(', ')}; options are not allowed`, fix: FIX };
  const key = Buffer.from(base64, 'base64');
  const [named, ...fields] = fieldsOf(key) ?? [];
  const whole =
    key.toString('base64') === base64 &&
    named?.toString('latin1') === type &&
    fields.length === lengths.length &&
    lengths.every(([least, most], index) => least <= (fields[index]?.length ?? 0) && (fields[index]?.length ?? 0) <= most);
  return whole
    ? undefined
    : { allowed: `the key is not a whole ${type} key${type === 'ssh-rsa' ? ' of 2048 bits or more' : ''}`, fix: FIX };
}
