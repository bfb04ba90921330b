/**
 * Bad inputs for SSH: each is refused with a code of its own, a message that holds the value and a remedy, without a stack trace, before anything
 * is sent to a server. (What servers do wrong is in handshake.test.ts, sshd.test.ts and lab/00-login.test.ts; known_hosts files are in
 * desired-state/known-hosts.test.ts; other props are in constructs/bad-input.test.ts.)
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { TargetSchema } from '../../desired-state/target';
import { connect } from '../../transport/connection';
import { credentialsFrom } from '../../transport/credentials';
import { TIMEOUTS } from '../../transport/stages';
import { bareServer, HOST_KEY, mirror, synth } from '../constructs/support';
import { failure } from '../support/failure';
import { keyFile } from './sshd';

const directory = mkdtempSync(join(tmpdir(), 'mirror-bad-ssh-'));
// known_hosts files are named relative to the project.
const project = relative(process.cwd(), mkdtempSync(join(process.cwd(), 'dist', 'bad-ssh-')));
const file = (name: string, content: string | Buffer): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const good = keyFile(directory, 'ed25519', 'good');
afterAll(() => {
  rmSync(directory, { recursive: true });
  rmSync(project, { recursive: true });
});

/** What logging in fails with; a server is never asked. */
const login = (environment: NodeJS.ProcessEnv) =>
  failure(
    (async () => {
      const target = { address: 'never.invalid', port: 22, user: 'root', hostKeys: [], secrets: {} };
      return connect(target, credentialsFrom(environment), { ...TIMEOUTS, name: 500 });
    })(),
  );

describe('credentials', () => {
  const encrypted = (format: string): string => {
    const path = join(directory, `encrypted-${format}`);
    execFileSync('ssh-keygen', ['-q', '-t', 'ecdsa', ...(format === '' ? [] : ['-m', format]), '-N', 'secret phrase', '-f', path]);
    return path;
  };
  const fifo = (): string => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    return path;
  };
  const link = (): string => {
    const path = join(directory, 'dangling');
    symlinkSync('/nonexistent/target', path);
    return path;
  };
  test.each<[string, () => string, string]>([
    ['that is not there', () => '/nonexistent/key', 'SSH_KEY_UNREADABLE'],
    ['below a file', () => `${good.path}/key`, 'SSH_KEY_UNREADABLE'],
    ['that is a directory', () => directory, 'SSH_KEY_UNREADABLE'],
    ['that is a FIFO', fifo, 'SSH_KEY_UNREADABLE'],
    ['that is a device', () => '/dev/zero', 'SSH_KEY_UNREADABLE'],
    ['that is a dangling link', link, 'SSH_KEY_UNREADABLE'],
    ['with a tilde', () => '~/.ssh/id_ed25519', 'SSH_KEY_UNREADABLE'],
    ['with a name too long', () => `/${'x'.repeat(300)}`, 'SSH_KEY_UNREADABLE'],
    ['that is huge', () => file('huge', Buffer.alloc(70_000, 'x')), 'SSH_KEY_UNREADABLE'],
    ['that is empty', () => file('empty', ''), 'SSH_KEY_UNUSABLE'],
    ['of blanks', () => file('blank', ' \n\n'), 'SSH_KEY_UNUSABLE'],
    ['of text', () => file('text', 'hello\n'), 'SSH_KEY_UNUSABLE'],
    ['of NUL', () => file('nul', Buffer.alloc(100)), 'SSH_KEY_UNUSABLE'],
    ['of HTML', () => file('html', '<html>Sign in</html>'), 'SSH_KEY_UNUSABLE'],
    ['cut off', () => file('cut', readFileSync(good.path).subarray(0, 150)), 'SSH_KEY_UNUSABLE'],
    ['in UTF-16', () => file('utf16', Buffer.from(`\ufeff${readFileSync(good.path, 'utf8')}`, 'utf16le')), 'SSH_KEY_UNUSABLE'],
    ['of OpenPGP', () => file('pgp', '-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nabc\n-----END PGP PRIVATE KEY BLOCK-----\n'), 'SSH_KEY_UNUSABLE'],
    ['of a TLS certificate', () => file('pem', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'), 'SSH_KEY_UNUSABLE'],
    ['that is public', () => `${good.path}.pub`, 'SSH_KEY_PUBLIC'],
    ['that is public, without a comment', () => file('public', good.publicKey), 'SSH_KEY_PUBLIC'],
    ['that is public, of RFC 4716', () => file('rfc4716', execFileSync('ssh-keygen', ['-e', '-f', `${good.path}.pub`])), 'SSH_KEY_PUBLIC'],
    ['that is public, in PEM', () => file('spki', execFileSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', `${encrypted('RFC4716')}.pub`])), 'SSH_KEY_PUBLIC'],
    ['of PuTTY 2', () => file('ppk2', 'PuTTY-User-Key-File-2: ssh-ed25519\nEncryption: none\n'), 'SSH_KEY_PUTTY'],
    ['of PuTTY 3', () => file('ppk3', 'PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n'), 'SSH_KEY_PUTTY'],
    ['with a passphrase, of OpenSSH', () => encrypted(''), 'SSH_KEY_ENCRYPTED'],
    ['with a passphrase, of PEM', () => encrypted('PEM'), 'SSH_KEY_ENCRYPTED'],
    ['with a passphrase, of PKCS8', () => encrypted('PKCS8'), 'SSH_KEY_ENCRYPTED'],
  ])('a key file %s', async (_, make, code) => {
    const path = make();
    const error = await login({ MIRROR_SSH_KEY: path, SSH_AUTH_SOCK: '/nonexistent/agent' });
    expect(error).toMatchObject({ code, exitCode: 7 });
    expect(error.message).toContain(path);
    expect(error.describe()).not.toMatch(/^\s+at |secret phrase/m);
    expect(error.describe()).not.toContain(readFileSync(good.path, 'utf8').slice(60, 120));
  }); // prettier-ignore

  test.each<[string, () => string, string]>([
    ['that is not there', () => '/nonexistent/agent', 'does not exist'],
    ['that is a directory', () => directory, 'is not a socket'],
    ['that is a file', () => good.path, 'is not a socket'],
    ['with a name too long', () => `/${'x'.repeat(300)}`, 'x'.repeat(300)],
  ])('an agent %s', async (_, make, text) => {
    const error = await login({ SSH_AUTH_SOCK: make() });
    expect(error).toMatchObject({ code: 'AGENT_UNREACHABLE', exitCode: 7 });
    expect(error.message).toContain(make());
    expect(error.message).toContain(text);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['says nothing', () => undefined],
    ['hangs up', (socket) => socket.end()],
    ['speaks HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['announces 4 GB', (socket) => socket.write(Buffer.from('ffffffff0c', 'hex'))],
  ])('an agent that %s', async (_, behave) => {
    const path = join(directory, 'agent.sock');
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      behave(socket.on('error', () => undefined));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const error = await login({ SSH_AUTH_SOCK: path });
    sockets.forEach((socket) => socket.destroy());
    await new Promise((resolve) => server.close(resolve));
    expect(error).toMatchObject({ code: 'AGENT_UNREACHABLE', exitCode: 7 });
    expect(error.message).toContain(path);
  });

  test.each([{}, { MIRROR_SSH_KEY: '' }, { SSH_AUTH_SOCK: '' }])('none at all: %j', async (environment) => {
    expect(await login(environment)).toMatchObject({ code: 'NO_CREDENTIALS', exitCode: 7 });
  });
});

/** What a construct throws, as main.ts shows it: one line, no stack. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect((error as Error).name).toMatch(/^(InvalidPropError|MirrorError)$/);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}
const any = <T>(value: unknown): T => value as T;

describe('knownHosts', () => {
  const entry = `mirror.example.org ${good.publicKey}\n[jump.example.org]:2200 ${good.publicKey}\n`;
  const path = join(project, 'known_hosts');
  writeFileSync(path, entry);
  const byFile = any<string>(undefined);

  test('its fingerprints are in the target and in what the plan shows; a change of the file is a change there', () => {
    const jumpHost = { address: 'jump.example.org', port: 2200, user: 'ops', knownHosts: path };
    const result = synth(mirror({ hostKey: byFile, knownHosts: path, jumpHost }).app);
    const target = TargetSchema.parse(JSON.parse(result.file('target.json')));
    expect(target.hostKeys).toEqual([good.fingerprint]);
    expect(target.jumpHost).toEqual({ address: 'jump.example.org', port: 2200, user: 'ops', hostKeys: [good.fingerprint] });
    expect(result.element('activation').triggers['server']).toContain(`:22 ${good.fingerprint}`);
    const other = keyFile(directory, 'ecdsa', 'second');
    const rotated = join(project, 'rotated');
    writeFileSync(rotated, `${entry}mirror.example.org ${other.publicKey}\n`);
    const both = [good.fingerprint, other.fingerprint].sort().join(' ');
    expect(synth(mirror({ hostKey: byFile, knownHosts: rotated }).app).element('activation').triggers['server']).toContain(`:22 ${both}`);
  });

  test.each<[unknown]>([
    [''], [' '], ['.'], ['..'], ['../known_hosts'], ['/etc/ssh/ssh_known_hosts'], ['a//b'], ['-oProxyCommand=x'], ['%d/known_hosts'], ['$(id)'], ['`id`'], ['a;id'], ['a|b'],
    ['~/.ssh/known_hosts'], ['a\nb'], ['nul\0'], ['\u202egpj'], ['x'.repeat(4096)], [7], [null], [['known_hosts']], [{}], [true],
  ])('%j is no path of the project', (value) => {
    const message = refusal(() => bareServer({ hostKey: byFile, knownHosts: any(value) }));
    expect(message).toContain('mirror/server: knownHosts');
    expect(message).toContain('relative path');
    expect(message.length).toBeLessThan(500);
  }); // prettier-ignore

  test.each<[string, () => string]>([
    ['missing', () => join(project, 'missing')],
    ['a directory', () => project],
    [
      'a FIFO',
      () => {
        execFileSync('mkfifo', [join(project, 'fifo')]);
        return join(project, 'fifo');
      },
    ],
    [
      'too large',
      () => {
        writeFileSync(join(project, 'large'), '#'.repeat(300_000));
        return join(project, 'large');
      },
    ],
    [
      'a dangling link',
      () => {
        symlinkSync('/nonexistent', join(project, 'link'));
        return join(project, 'link');
      },
    ],
    [
      'a link to itself',
      () => {
        symlinkSync('loop', join(project, 'loop'));
        return join(project, 'loop');
      },
    ],
    [
      'a device',
      () => {
        symlinkSync('/dev/zero', join(project, 'device'));
        return join(project, 'device');
      },
    ],
  ])('a file that is %s', (_, make) => {
    const name = make();
    const message = refusal(() => bareServer({ hostKey: byFile, knownHosts: name }));
    expect(message).toContain(`mirror/server: knownHosts "${name}"`);
    expect(message).toContain('ssh-keyscan');
  });

  test('a link to a file is followed, like that of a public key', () => {
    mkdirSync(join(project, 'sub'));
    copyFileSync(path, join(project, 'sub', 'original'));
    symlinkSync('sub/original', join(project, 'linked'));
    expect(() => bareServer({ hostKey: byFile, knownHosts: join(project, 'linked') })).not.toThrow();
  });

  test('a file without the host, of the server or of the jump host', () => {
    expect(refusal(() => bareServer({ hostKey: byFile, knownHosts: path, port: 2222 }))).toContain('[mirror.example.org]:2222');
    const jumpHost = { address: 'other.example.org', user: 'ops', knownHosts: path };
    expect(refusal(() => bareServer({ jumpHost }))).toContain('other.example.org');
  });

  test('neither, or both', () => {
    expect(refusal(() => bareServer({ hostKey: byFile }))).toContain('knownHosts');
    expect(refusal(() => bareServer({ knownHosts: path }))).toContain('not by both');
    expect(refusal(() => bareServer({ jumpHost: { address: 'j', user: 'ops' } }))).toContain('jumpHost.hostKey');
    expect(refusal(() => bareServer({ jumpHost: { address: 'j', user: 'ops', hostKey: HOST_KEY, knownHosts: path } }))).toContain(
      'not by both',
    );
  });
});

test.each(['::1', 'fd00::7', '2001:db8::7', '2001:DB8:0:0::7', '::ffff:192.0.2.7'])('the address %s is good', (address) => {
  expect(() => bareServer({ address })).not.toThrow();
});
test.each(['[::1]', '[fd00::7]:22', 'fe80::1%eth0', 'fe80::1%25eth0', '::1/128', ':::', '1:2:3:4:5:6:7:8:9', '::g'])('the address %s is not', (address) => {
  const message = refusal(() => bareServer({ address }));
  expect(message).toContain(`mirror/server: address ${JSON.stringify(address)}`);
  expect(message).toContain('IPv6');
}); // prettier-ignore
