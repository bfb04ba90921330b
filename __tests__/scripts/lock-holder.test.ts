/** Who holds the lock of a state on an HTTP server: asked of a real one. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { withLockHolder } from '../../scripts/lock-holder';
import { startStateServer, type StateServer } from '../support/state-server';

let server: StateServer;
let output: string;
beforeAll(async () => {
  server = await startStateServer({ user: 'operator', password: 'p' });
  output = mkdtempSync(join(tmpdir(), 'mirror-out-'));
  mkdirSync(join(output, 'stacks/mirror'), { recursive: true });
  writeFileSync(
    join(output, 'manifest.json'),
    JSON.stringify({ stacks: { mirror: { synthesizedStackPath: 'stacks/mirror/cdk.tf.json' } } }),
  );
});
afterAll(async () => {
  await server.remove();
  rmSync(output, { recursive: true });
});

const backend = (address: string, config: object = { lock_address: address, unlock_address: address }): void => {
  writeFileSync(join(output, 'stacks/mirror/cdk.tf.json'), JSON.stringify({ terraform: { backend: { http: { address, ...config } } } }));
};
const lock = (holder: object): void => writeFileSync(join(server.directory, '_mirror.lock'), JSON.stringify(holder));
const HOLDER = { ID: 'abc-1', Who: 'ada@ops-1', Operation: 'OperationTypeApply', Created: '2026-11-22T05:32:57Z' };
const ENVIRONMENT = { TF_HTTP_USERNAME: 'operator', TF_HTTP_PASSWORD: 'p' };

const told = async (
  environment: NodeJS.ProcessEnv = ENVIRONMENT,
  said = 'HTTP remote state already locked:\n│ ID=abc-1\n',
): Promise<string> => {
  const error = new MirrorError({ code: 'COMMAND_FAILED', message: said, remedy: 'Wait.', exitCode: ExitCode.invalid });
  return (await withLockHolder(error, output, environment)).remedy;
};

test('named, and nothing changes on the server', async () => {
  backend(`${server.url}/mirror`);
  lock(HOLDER);
  expect(await told()).toBe('The holder is ada@ops-1, since 2026-11-22T05:32:57Z (OperationTypeApply). Wait.');
  expect(server.requests()).toEqual(['LOCK /mirror 423']);
  expect(existsSync(join(server.directory, '_mirror.lock'))).toBe(true);
});

test('what a hostile server says reaches the terminal as text', async () => {
  lock({ ...HOLDER, Who: `\u001b[31m${'x'.repeat(500)}` });
  expect(await told()).toMatch(/^The holder is \?\[31mx{95}, since/);
});

test('a lock that became free is given back at once', async () => {
  rmSync(join(server.directory, '_mirror.lock'));
  expect(await told()).toBe('Wait.');
  expect(server.requests().slice(-2)).toEqual(['LOCK /mirror 200', 'UNLOCK /mirror 200']);
  expect(existsSync(join(server.directory, '_mirror.lock'))).toBe(false);
});

test.each<[string, () => Promise<string>]>([
  ['another holder by now', () => (lock({ ...HOLDER, ID: 'other' }), told())],
  ['a wrong password', () => told({})],
  ['another error', () => told(ENVIRONMENT, 'Error: Invalid index')],
  ['an answer that is no JSON', () => (writeFileSync(join(server.directory, '_mirror.lock'), '<html>'), told())],
  ['no lock declared', () => (backend(`${server.url}/mirror`, {}), told())],
  ['no server', () => (backend('http://127.0.0.1:1/mirror'), told())],
])('not said: %s', async (_name, ask) => {
  expect(await ask()).toBe('Wait.');
});
