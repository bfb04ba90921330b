import {
  connectionLost,
  explainDialError,
  explainForwardError,
  explainLoginError,
  explainSessionError,
  timedOut,
  type Evidence,
} from '../../transport/errors';
import { StartMarker } from '../../transport/output';
import { keyProblem } from '../../transport/private-key';
import { explainNotStarted, explainSudo } from '../../transport/root';
import { said, TIMEOUTS, type Hop, type Stage } from '../../transport/stages';

const endpoint = { address: '192.0.2.7', port: 2222, user: 'deploy', hostKeys: [] };
const hop: Hop = { endpoint };
const jump: Hop = { endpoint, isJumpHost: true };
const behind: Hop = { endpoint, through: { ...endpoint, address: 'bastion' } };
const error = (properties: object, message = 'it broke'): Error => Object.assign(new Error(message), properties);

test.each([
  ['ENOTFOUND', 'NAME_NOT_RESOLVED'],
  ['EAI_AGAIN', 'NAME_NOT_RESOLVED'],
  ['ECONNREFUSED', 'CONNECTION_REFUSED'],
  ['EHOSTUNREACH', 'NO_ROUTE'],
  ['ENETUNREACH', 'NO_ROUTE'],
  ['EPERM', 'NO_ROUTE'],
  ['ECONNRESET', 'CONNECTION_CLOSED'],
  ['EMFILE', 'SSH_FAILED'],
])('dialling: %s', (code, expected) => {
  const explained = explainDialError(error({ code }), hop, ['192.0.2.7']);
  expect(explained).toMatchObject({ code: expected, exitCode: 5 });
  expect(explained.message).toContain('192.0.2.7');
});

test('a name is shown with the addresses that were tried', () => {
  const named = { endpoint: { ...endpoint, address: 'mirror' } };
  expect(explainDialError(error({ code: 'ECONNREFUSED' }), named, ['2001:db8::7', '192.0.2.7']).message).toBe(
    'mirror port 2222 (2001:db8::7, 192.0.2.7) refuses connections',
  );
});

test.each<[Stage, string]>([
  ['name', 'NAME_TIMEOUT'],
  ['connect', 'CONNECT_TIMEOUT'],
  ['handshake', 'HANDSHAKE_TIMEOUT'],
  ['authentication', 'AUTHENTICATION_TIMEOUT'],
  ['session', 'SESSION_TIMEOUT'],
])('timeout of stage %s', (stage, code) => {
  const explained = timedOut(hop, stage, TIMEOUTS);
  expect(explained).toMatchObject({ code, exitCode: 5 });
  expect(explained.message).toContain(`within ${TIMEOUTS[stage] / 1000} s`);
  expect(explained.message).toContain('192.0.2.7');
});

const evidence = (changes: Partial<Evidence> = {}): Evidence => ({
  received: 'SSH-2.0-OpenSSH_9.2p1\r\n',
  notices: [],
  keys: ['ssh-ed25519 SHA256:x'],
  from: 'file',
  ...changes,
});
test.each<[string, Error, 'handshake' | 'authentication', Partial<Evidence>, string, number]>([
  ['closed before a word', error({}), 'handshake', { received: '' }, 'CONNECTION_CLOSED', 5],
  ['HTTP', error({}), 'handshake', { received: 'HTTP/1.1 400 Bad Request\r\n' }, 'NOT_SSH', 5],
  ['SSH 1', error({}), 'handshake', { received: 'SSH-1.5-old\n' }, 'NOT_SSH', 5],
  ['SSH 1.99 is SSH 2', error({}), 'handshake', { received: 'SSH-1.99-both\n' }, 'SSH_FAILED', 5],
  ['MaxStartups', error({}), 'handshake', { received: 'Exceeded MaxStartups\r\n' }, 'TOO_MANY_CONNECTIONS', 5],
  ['a penalty', error({}), 'handshake', { received: 'Not allowed at this time\r\n' }, 'TOO_MANY_CONNECTIONS', 5],
  ['no cipher', error({ level: 'handshake' }, 'Handshake failed: no matching C->S cipher'), 'handshake', {}, 'ALGORITHMS_MISMATCH', 5],
  ['damaged data', error({ level: 'protocol' }, 'Bad packet length'), 'handshake', {}, 'SSH_FAILED', 5],
  ['our key', error({ level: 'client-authentication' }), 'authentication', {}, 'AUTHENTICATION_FAILED', 6],
  ['too many keys', error({ code: 2 }, 'Too many authentication failures'), 'authentication', { from: 'agent' }, 'TOO_MANY_KEYS', 6],
  ['expired', error({ level: 'client-authentication' }), 'authentication', { notices: ['Your account has expired'] }, 'LOGIN_REFUSED', 6],
  ['nologin', error({}), 'authentication', { notices: ['Unprivileged users are not permitted to log in yet.'] }, 'LOGIN_REFUSED', 6],
  ['agent', error({ level: 'client-authentication' }), 'authentication', { agentError: new Error('no') }, 'AGENT_REFUSED', 7],
  ['closed while logging in', error({}), 'authentication', {}, 'CONNECTION_CLOSED', 6],
])('login: %s', (_, low, stage, changes, code, exitCode) => {
  const explained = explainLoginError(low, hop, stage, evidence(changes));
  expect(explained).toMatchObject({ code, exitCode });
  expect(explained.message).toContain('192.0.2.7');
});

test.each([
  ['Connection refused', 2, 'CONNECTION_REFUSED'],
  ['No route to host', 2, 'NO_ROUTE'],
  ['Network is unreachable', 2, 'NO_ROUTE'],
  ['Connection timed out', 2, 'CONNECT_TIMEOUT'],
  ['unknown host (Name or service not known)', 2, 'NAME_NOT_RESOLVED'],
  ['open failed', 1, 'JUMP_FORWARDING_REFUSED'],
  ['open failed', 2, 'JUMP_FAILED'],
])('a jump host that says %j (%i)', (text, reason, code) => {
  const explained = explainForwardError(error({ reason }, `(SSH) Channel open failure: ${text}`), behind);
  expect(explained).toMatchObject({ code, exitCode: 5 });
  expect(explained.message).toContain('bastion');
  expect(explained.message).toContain('192.0.2.7');
});

test('which hop it was', () => {
  const refused = error({ code: 'ECONNREFUSED' });
  expect(explainDialError(refused, jump).message).toBe('the jump host 192.0.2.7 port 2222 refuses connections');
  expect(timedOut(behind, 'handshake', TIMEOUTS).message).toMatch(/^192\.0\.2\.7 port 2222 \(through the jump host bastion\) accepted/);
  expect(explainLoginError(error({ level: 'client-authentication' }), jump, 'authentication', evidence()).message).toMatch(
    /^the jump host deploy@192\.0\.2\.7 port 2222 does not accept/,
  );
  expect(explainSessionError(error({}), behind).message).toMatch(
    /^deploy@192\.0\.2\.7 port 2222 \(through the jump host bastion\) let us in/,
  );
});

test('what was lost, and why', () => {
  expect(connectionLost(hop, TIMEOUTS, error({}, 'Keepalive timeout')).message).toContain('(no answer for 30 s)');
  expect(connectionLost(hop, TIMEOUTS, error({}, 'read ECONNRESET')).message).toContain('(read ECONNRESET)');
});

const ended = { exitCode: 1, signal: null, stdout: '', stderr: '' };
test.each([
  ['sudo: a password is required\n', 'SUDO_PASSWORD_REQUIRED'],
  ['sudo: unable to resolve host mirror\nsudo: a password is required\n', 'SUDO_PASSWORD_REQUIRED'],
  ['sh: 1: sudo: not found\n', 'SUDO_MISSING'],
  ["env: 'sudo': No such file or directory\n", 'SUDO_MISSING'],
  ['deploy is not in the sudoers file.\n', 'SUDO_NOT_IN_SUDOERS'],
  ['Sorry, user deploy may not run sudo on mirror.\n', 'SUDO_NOT_IN_SUDOERS'],
  ["Sorry, user deploy is not allowed to execute '/usr/bin/sh -c x' as root on mirror.\n", 'SUDO_COMMAND_NOT_ALLOWED'],
  ['sudo: sorry, you must have a tty to run sudo\n', 'SUDO_NEEDS_TTY'],
  ['sudo: /etc/sudoers is owned by uid 1000, should be 0\n', 'SUDO_REFUSED'],
  ['bash: fork: retry: Resource temporarily unavailable\n', 'SHELL_REFUSED'],
])('not started: %j', (stderr, code) => {
  const explained = explainNotStarted(hop, { ...ended, stderr });
  expect(explained).toMatchObject({ code, exitCode: 7 });
  expect(explained.message).toContain('deploy@192.0.2.7');
});

test('a program that sudo does not find is no refusal, nor is what a program says of itself', () => {
  expect(explainSudo(hop, 'sudo: /usr/local/sbin/mirror-host: command not found\n')).toBeUndefined();
  expect(explainSudo(hop, 'sudo: unable to resolve host mirror\nno such repository\n')).toBeUndefined();
});

test('for root there is no sudo to blame', () => {
  const root: Hop = { endpoint: { ...endpoint, user: 'root' } };
  const explained = explainNotStarted(root, { ...ended, stdout: 'This account is currently not available.\n' });
  expect(explained.code).toBe('SHELL_REFUSED');
  expect(explained.message).toContain('"This account is currently not available."');
});

test('what a server says cannot move the cursor, hide text or fill the screen', () => {
  expect(said('a\u001b[2Jb\r\nc\u202ed\0e')).toBe('"ab c d e"');
  expect(said('x'.repeat(500)).length).toBeLessThan(130);
});

test.each([[['noise', 'm-1\nown']], [['m-1\n', 'own']], [['noi', 'sem', '-', '1', '\now', 'n']], [['m-2\nm-1\nown']]])(
  'the start marker is found in %j',
  (chunks) => {
    let starts = 0;
    const marker = new StartMarker('m-1', () => starts++);
    expect(chunks.map((chunk) => marker.pass(Buffer.from(chunk)).toString()).join('')).toBe('own');
    expect(starts).toBe(1);
  },
);

test('endless noise is noticed', () => {
  const marker = new StartMarker('m-1', () => undefined);
  for (let i = 0; i < 300; i++) marker.pass(Buffer.alloc(1024, 'y'));
  expect(marker.flooded).toBe(true);
});

test.each([
  ['', 'SSH_KEY_UNUSABLE'],
  ['PuTTY-User-Key-File-3: ssh-ed25519\n', 'SSH_KEY_PUTTY'],
  ['ssh-ed25519 AAAAC3Nz me\n', 'SSH_KEY_PUBLIC'],
  ['---- BEGIN SSH2 PUBLIC KEY ----\n', 'SSH_KEY_PUBLIC'],
  ['-----BEGIN ENCRYPTED PRIVATE KEY-----\n', 'SSH_KEY_ENCRYPTED'],
  ['hello', 'SSH_KEY_UNUSABLE'],
])('key file %j', (text, code) => {
  const explained = keyProblem(text, new Error('Unsupported key format'), '/keys/mine.pub');
  expect(explained).toMatchObject({ code, exitCode: 7 });
  expect(explained?.message).toContain('/keys/mine.pub');
});
