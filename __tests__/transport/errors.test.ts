import { credentialsFrom } from '../../transport/credentials';
import { explainConnectError, explainSudo } from '../../transport/errors';

const endpoint = { address: '192.0.2.7', port: 2222, user: 'deploy', hostKeys: [] };
const error = (properties: object, message = 'it broke'): Error => Object.assign(new Error(message), properties);

test.each([
  ['unknown name', error({ code: 'ENOTFOUND' }), 'NAME_NOT_RESOLVED', 5],
  ['DNS is down', error({ code: 'EAI_AGAIN' }), 'NAME_NOT_RESOLVED', 5],
  ['closed port', error({ code: 'ECONNREFUSED' }), 'CONNECTION_REFUSED', 5],
  ['no route to the host', error({ code: 'EHOSTUNREACH' }), 'NO_ROUTE', 5],
  ['no route to the network', error({ code: 'ENETUNREACH' }), 'NO_ROUTE', 5],
  ['packets vanish', error({ code: 'ETIMEDOUT' }), 'CONNECT_TIMEOUT', 5],
  ['silence after connecting', error({ level: 'client-timeout' }), 'CONNECT_TIMEOUT', 5],
  ['our key is not accepted', error({ level: 'client-authentication' }), 'AUTHENTICATION_FAILED', 6],
  ['no agent behind the socket', error({ level: 'agent' }), 'AGENT_FAILED', 7],
  ['reset while shaking hands', error({ code: 'ECONNRESET' }), 'CONNECTION_LOST', 5],
  ['closed while shaking hands', error({}, 'Connection lost before handshake'), 'CONNECTION_LOST', 5],
  ['anything else', error({}, 'no matching cipher'), 'SSH_FAILED', 5],
])('%s', (_, low, code, exitCode) => {
  const explained = explainConnectError(low, endpoint);
  expect(explained).toMatchObject({ code, exitCode });
  expect(explained.describe()).toMatch(/192\.0\.2\.7|SSH_AUTH_SOCK/);
  expect(explained.remedy).not.toBe('');
});

test.each([
  ['a password is asked for', 1, 'sudo: a password is required\n', true],
  ['sudo is not installed', 127, 'sh: 1: sudo: not found\n', true],
  ['the user is not allowed', 1, 'deploy is not in the sudoers file.\n', true],
  ['the command failed by itself', 3, 'no such repository\n', false],
  ['a warning comes first', 1, 'sudo: unable to resolve host mirror\nsudo: a password is required\n', true],
  ['the command failed, sudo only warned', 3, 'sudo: unable to resolve host mirror\n', false],
  ['sudo only warned', 0, 'sudo: unable to resolve host mirror\n', false],
])('sudo: %s', (_, exitCode, stderr, refused) => {
  expect(explainSudo(endpoint, exitCode, stderr)?.code).toBe(refused ? 'SUDO_REFUSED' : undefined);
});

test('credentials: nothing set, a missing file, an agent', () => {
  expect(() => credentialsFrom({})).toThrow('there is no SSH key to log in with');
  expect(() => credentialsFrom({ MIRROR_SSH_KEY: '/nonexistent/key' })).toThrow('/nonexistent/key, which cannot be read (ENOENT)');
  expect(credentialsFrom({ MIRROR_SSH_KEY: '', SSH_AUTH_SOCK: '/run/agent' })).toEqual({ agent: '/run/agent' });
});
