import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { MirrorError } from '../../desired-state/errors';
import { fingerprintOf } from '../../desired-state/host-key';
import { knownHostKeys } from '../../desired-state/known-hosts';
import { caught } from '../support/caught';

/** A key in wire format, of which the rest is any bytes. */
function keyLine(type: string, fill: number): { line: string; fingerprint: string } {
  const part = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const wire = Buffer.concat([part(Buffer.from(type)), part(Buffer.alloc(32, fill))]);
  return { line: `${type} ${wire.toString('base64')}`, fingerprint: fingerprintOf(wire) };
}
const a = keyLine('ssh-ed25519', 1);
const b = keyLine('ssh-rsa', 2);
const c = keyLine('ecdsa-sha2-nistp256', 3);
const hashed = (name: string): string => {
  const salt = Buffer.alloc(20, 7);
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
};
const read = (text: string, address = 'mirror.example.org', port = 22): string[] =>
  knownHostKeys(text, { file: 'known_hosts', address, port });
const both = [a.fingerprint, b.fingerprint].sort();

test.each<[string, string, string, number, string[]]>([
  ['one line', `mirror.example.org ${a.line}\n`, 'mirror.example.org', 22, [a.fingerprint]],
  ['no final newline', `mirror.example.org ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a comment after the key', `mirror.example.org ${a.line} root@mirror # x\n`, 'mirror.example.org', 22, [a.fingerprint]],
  ['comments and empty lines', `# hosts\n\n  \t\nmirror.example.org ${a.line}\n#end`, 'mirror.example.org', 22, [a.fingerprint]],
  ['CRLF', `# hosts\r\nmirror.example.org ${a.line}\r\n`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a byte order mark', `\ufeffmirror.example.org ${a.line}\n`, 'mirror.example.org', 22, [a.fingerprint]],
  ['tabs and indentation', `  mirror.example.org\t${a.line.replace(' ', '\t')}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['several keys', `mirror.example.org ${a.line}\nmirror.example.org ${b.line}\nother ${c.line}`, 'mirror.example.org', 22, both],
  ['the same key twice', `mirror.example.org ${a.line}\nmirror* ${a.line}\n`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a list of names', `mirror,mirror.example.org,192.0.2.7 ${a.line}`, '192.0.2.7', 22, [a.fingerprint]],
  ['another case', `Mirror.Example.ORG ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a port', `[mirror.example.org]:2222 ${a.line}\nmirror.example.org ${b.line}`, 'mirror.example.org', 2222, [a.fingerprint]],
  ['the standard port beside another', `[mirror.example.org]:2222 ${a.line}\nmirror.example.org ${b.line}`, 'mirror.example.org', 22, [b.fingerprint]],
  ['IPv6', `2001:db8::7 ${a.line}`, '2001:db8::7', 22, [a.fingerprint]],
  ['IPv6, spelt otherwise', `2001:db8::7 ${a.line}`, '2001:DB8:0::7', 22, [a.fingerprint]],
  ['IPv6 with a port', `[2001:db8::7]:2222 ${a.line}`, '2001:db8::7', 2222, [a.fingerprint]],
  ['IPv6 loopback', `::1 ${a.line}`, '::1', 22, [a.fingerprint]],
  ['a star', `*.example.org ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a question mark', `mirror?.example.org ${a.line}`, 'mirror7.example.org', 22, [a.fingerprint]],
  ['a star with a port', `[*.example.org]:2222 ${a.line}`, 'mirror.example.org', 2222, [a.fingerprint]],
  ['a negation that is for another', `*.example.org,!old.example.org ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a hashed name', `${hashed('mirror.example.org')} ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a hashed name with a port', `${hashed('[mirror.example.org]:2222')} ${a.line}`, 'mirror.example.org', 2222, [a.fingerprint]],
  ['a revoked key beside a good one', `mirror.example.org ${a.line}\nmirror.example.org ${b.line}\n@revoked * ${b.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a key that is revoked for another host', `mirror.example.org ${a.line}\n@revoked other ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['an authority for another host', `@cert-authority *.example.com ${b.line}\nmirror.example.org ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
  ['a type that is not supported beside one that is', `mirror.example.org ${keyLine('ssh-dss', 9).line}\nmirror.example.org ${a.line}`, 'mirror.example.org', 22, [a.fingerprint]],
])('%s', (_, text, address, port, expected) => expect(read(text, address, port)).toEqual(expected)); // prettier-ignore

const INVALID = 'KNOWN_HOSTS_INVALID';
test.each<[string, string, string, string]>([
  ['an empty file', '', 'KNOWN_HOSTS_NO_ENTRY', 'ssh-keyscan mirror.example.org'],
  ['another host', `other ${a.line}`, 'KNOWN_HOSTS_NO_ENTRY', 'no key for mirror.example.org'],
  ['a name that ends so', `example.org ${a.line}`, 'KNOWN_HOSTS_NO_ENTRY', 'mirror.example.org'],
  ['a negation', `*.example.org,!mirror.example.org ${a.line}`, 'KNOWN_HOSTS_NO_ENTRY', 'mirror.example.org'],
  ['a negation alone', `!other ${a.line}`, 'KNOWN_HOSTS_NO_ENTRY', 'mirror.example.org'],
  ['a commented line', `#mirror.example.org ${a.line}`, 'KNOWN_HOSTS_NO_ENTRY', 'mirror.example.org'],
  ['an unsupported type', `mirror.example.org ${keyLine('ssh-dss', 9).line}`, 'KNOWN_HOSTS_NO_ENTRY', 'ssh-dss'],
  ['a revoked key', `mirror.example.org ${a.line}\n@revoked mirror.example.org ${a.line}`, 'KNOWN_HOSTS_REVOKED', a.fingerprint],
  ['an authority', `mirror.example.org ${a.line}\n@cert-authority *.example.org ${b.line}`, 'KNOWN_HOSTS_CERT_AUTHORITY', 'line 2'],
  ['an unknown marker', `\n@trusted * ${a.line}`, INVALID, 'line 2 starts with the unknown marker "@trusted"'],
  ['two words', 'mirror.example.org ssh-ed25519', INVALID, 'line 1'],
  ['garbage', 'hello\u0007', INVALID, '\\u0007'],
  ['HTML', '<html><body>Sign in</body></html>', INVALID, 'line 1'],
  ['not base64', `mirror.example.org ssh-ed25519 AAAA!!!!`, INVALID, 'AAAA!!!!'],
  ['a key cut off', `mirror.example.org ${a.line.slice(0, 30)}`, INVALID, 'line 1'],
  ['a key of another type', `mirror.example.org ${a.line.replace('ssh-ed25519', 'ssh-rsa')}`, INVALID, '"ssh-ed25519"'],
  ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n', INVALID, 'line 1'],
  ['a key of SSH version 1', 'mirror.example.org 1024 35 1234567', INVALID, 'SSH version 1'],
  ['a public key without a name', a.line, INVALID, 'line 1'],
  ['a bracket that is not closed', `[mirror.example.org:2222 ${a.line}`, INVALID, '[mirror.example.org:2222'],
  ['an empty name in a list', `mirror.example.org,,x ${a.line}`, INVALID, 'line 1'],
  ['a hash that is none', `|1|abc|def ${a.line}`, INVALID, '|1|abc|def'],
  ['an unknown hash', `|2|${'A'.repeat(27)}=|${'A'.repeat(27)}= ${a.line}`, INVALID, '|2|'],
  ['NUL', `# fine\nmirror\0 ${a.line}`, INVALID, 'line 2 holds a NUL byte'],
  ['UTF-16', Buffer.from(`\ufeffmirror ${a.line}`, 'utf16le').toString('utf8'), INVALID, 'UTF-16'],
  ['UTF-16 without a mark', Buffer.from(`mirror ${a.line}`, 'utf16le').toString('utf8'), INVALID, 'UTF-16'],
  ['old Mac line ends', `# a\rmirror ${a.line}\rb x y\nz`, INVALID, 'line 2'],
  ['a line of 200 kB', 'x'.repeat(200_000), INVALID, 'xxx…'],
])('%s is refused', (_, text, code, part) => {
  const error = caught(() => read(text));
  expect(error).toMatchObject({ code, exitCode: 3 });
  expect(error.describe()).toContain(part);
  expect(error.message).toContain('known_hosts');
  expect(error.describe().length).toBeLessThan(600);
});

test('an entry for another port is pointed out', () => {
  const error = caught(() => read(`\nmirror.example.org ${a.line}`, 'mirror.example.org', 2222));
  expect(error.message).toBe('known_hosts has no key for [mirror.example.org]:2222 (line 2 is for port 22 of that host)');
  expect(error.remedy).toContain('ssh-keyscan -p 2222 mirror.example.org');
});

test('many stars take no time', () => {
  const started = Date.now();
  expect(() => read(`${'*a'.repeat(5000)} ${a.line}`, `${'a'.repeat(250)}b`)).toThrow('no key');
  expect(Date.now() - started).toBeLessThan(500);
});

test('nothing but a MirrorError comes out of any text', () => {
  const word = fc.constantFrom('mirror.example.org', '[mirror.example.org]:22', '*', '!', '|1|', ',', '@revoked', '@cert-authority', '#', 'ssh-ed25519', a.line, b.line, ' ', '\t', '\n', '\r', '\0', '\ufeff', '='); // prettier-ignore
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.oneof(word, fc.string()), { maxLength: 30 }).map((words) => words.join('')),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(22, 2222), (content, port) => {
      try {
        const found = read(content, 'mirror.example.org', port);
        expect(found.length).toBeGreaterThan(0);
        for (const fingerprint of found) expect([a.fingerprint, b.fingerprint]).toContain(fingerprint);
      } catch (error) {
        if (!(error instanceof MirrorError)) throw error;
        expect(error.code).toMatch(/^KNOWN_HOSTS_/);
        expect(error.describe()).not.toMatch(/[\0\u0007\r]/);
      }
    }),
    { numRuns: 3000 },
  );
});

test('the key of a host is found wherever its line is among lines for others', () => {
  const other = fc.stringMatching(/^[a-z]{1,20}$/).map((name) => `${name}.example.com ${b.line}`);
  fc.assert(
    fc.property(fc.array(other), fc.array(other), (before, after) => {
      expect(read([...before, `mirror.example.org ${a.line}`, ...after].join('\n'))).toEqual([a.fingerprint]);
    }),
  );
});
