/**
 * Accounts that are let in by a real sshd and then do not become root: real login shells, forced commands, account expiry and sudo rules. Needs
 * root, and none of the lab's hosts: sshd runs in a mount namespace with accounts of its own.
 */
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Connection } from '../../transport/connection';
import { TIMEOUTS } from '../../transport/stages';
import { failure } from '../support/failure';
import { keyFile, startSshd, type Account, type Sshd, type SshdOptions } from '../transport/sshd';

jest.setTimeout(30_000);

const directory = mkdtempSync(join(tmpdir(), 'mirror-login-'));
const key = keyFile(directory, 'ed25519');
chmodSync(directory, 0o755);
// A PATH without sudo.
for (const program of ['env', 'sh']) symlinkSync(`/usr/bin/${program}`, join(directory, program));
const running: Sshd[] = [];
const open: Connection[] = [];
afterEach(async () => {
  open.splice(0).forEach((connection) => connection.close());
  await Promise.all(running.splice(0).map((sshd) => sshd.stop()));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A connection as the account `deploy` of a server. */
async function logIn(options: SshdOptions & { account?: Partial<Account> }, timeouts: Partial<typeof TIMEOUTS> = {}): Promise<Connection> {
  const server = await startSshd({ ...options, accounts: [{ name: 'deploy', authorizedKeys: [key.publicKey], ...options.account }] });
  running.push(server);
  const hostKeys = [server.hostKeys[0]?.fingerprint as string];
  const target = { address: '127.0.0.1', port: server.port, user: 'deploy', hostKeys, secrets: {} };
  const connection = await connect(target, key, { ...TIMEOUTS, ...timeouts });
  open.push(connection);
  return connection;
}

/** The two ways to become root. */
const attempts = (connection: Connection) => [
  (): Promise<unknown> => connection.runAsRoot('true'),
  (): Promise<unknown> => connection.runProgramAsRoot(['/usr/bin/env']),
];

const EVERYTHING = 'root ALL=(ALL:ALL) ALL\ndeploy ALL=(root) NOPASSWD: ALL\n';

describe('sudo', () => {
  test('that allows everything makes root, without what a login prints', async () => {
    const connection = await logIn({ sudoers: EVERYTHING });
    expect(await connection.runAsRoot('id -u; cat', { stdin: 'input' })).toMatchObject({ exitCode: 0, stdout: '0\ninput' });
    expect(await connection.runProgramAsRoot(['/usr/bin/id', '-u'])).toMatchObject({ exitCode: 0, stdout: '0\n' });
    expect(await connection.runAsRoot('exit 3')).toMatchObject({ exitCode: 3 });
  });

  test('that allows one program runs that one, and says that another is not allowed', async () => {
    const connection = await logIn({ sudoers: 'deploy ALL=(root) NOPASSWD: /usr/bin/id\n' });
    expect(await connection.runProgramAsRoot(['/usr/bin/id', '-u'])).toMatchObject({ stdout: '0\n' });
    for (const attempt of attempts(connection)) {
      expect((await failure(attempt())).code).toMatch(/^SUDO_(COMMAND_NOT_ALLOWED|PASSWORD_REQUIRED)$/);
    }
  });

  test('a program that is not there is an outcome, no refusal', async () => {
    const connection = await logIn({ sudoers: EVERYTHING });
    const result = await connection.runProgramAsRoot(['/nonexistent/mirror-host', 'observe']);
    expect(result.exitCode).not.toBe(0);
    expect(result.stderr).toContain('/nonexistent/mirror-host: not found');
  });

  test.each<[string, SshdOptions, string]>([
    ['that wants a password', { sudoers: 'deploy ALL=(root) ALL\n' }, 'SUDO_PASSWORD_REQUIRED'],
    ['that does not know the account', { sudoers: 'root ALL=(ALL:ALL) ALL\n' }, 'SUDO_(NOT_IN_SUDOERS|PASSWORD_REQUIRED)'],
    ['that allows other commands only', { sudoers: 'Defaults !authenticate\ndeploy ALL=(root) /usr/bin/id\n' }, 'SUDO_COMMAND_NOT_ALLOWED'],
    ['without authentication, and no rule', { sudoers: 'Defaults !authenticate\nroot ALL=(ALL:ALL) ALL\n' }, 'SUDO_NOT_IN_SUDOERS'],
    ['that wants a terminal', { sudoers: `Defaults requiretty\n${EVERYTHING}` }, 'SUDO_NEEDS_TTY'],
    ['whose rules are broken', { sudoers: 'deploy ALL=(root NOPASSWD\n' }, 'SUDO_(REFUSED|PASSWORD_REQUIRED)'],
    ['that is not installed', { config: [`SetEnv PATH=${directory}`] }, 'SUDO_MISSING'],
  ])('%s', async (_, options, code) => {
    const connection = await logIn(options);
    for (const attempt of attempts(connection)) {
      const error = await failure(attempt());
      expect(error.code).toMatch(new RegExp(`^${code}$`));
      expect(error.exitCode).toBe(7);
      expect(error.message).toContain('deploy@127.0.0.1');
      expect(error.remedy).not.toBe('');
    }
  });
});

describe('login shells', () => {
  test.each<[string, Partial<Account>, string]>([
    ['nologin', { shell: '/usr/sbin/nologin' }, 'This account is currently not available'],
    ['false', { shell: '/bin/false' }, 'exit code 1'],
    ['a forced command', { authorizedKeys: [`command="echo only backups here" ${key.publicKey}`] }, 'only backups here'],
    ['a forced command that prints without end', { authorizedKeys: [`command="yes no" ${key.publicKey}`] }, 'prints without end'],
    ['a forced command that waits', { authorizedKeys: [`command="sleep 60" ${key.publicKey}`] }, 'it still runs'],
  ])('%s', async (_, account, text) => {
    const connection = await logIn({ account, sudoers: EVERYTHING }, { start: 1000 });
    for (const attempt of attempts(connection)) {
      const error = await failure(attempt());
      expect(error).toMatchObject({ code: 'SHELL_REFUSED', exitCode: 7 });
      expect(error.message).toContain(text);
    }
  });

  test.each([
    ['with line ends', 'echo "Welcome {"; echo "{\\"event\\": \\"result\\"}"'],
    ['without a line end', 'printf "Welcome "'],
    ['to standard error', 'echo "Welcome" >&2'],
    ['of 100 kB', 'head -c 100000 /dev/zero | tr "\\0" x'],
  ])('noise of start-up files %s is no part of what a command prints', async (_, noise) => {
    // bash reads ~/.bashrc when sshd starts it.
    const connection = await logIn({ account: { shell: '/bin/bash', home: { '.bashrc': `${noise}\n` } }, sudoers: EVERYTHING });
    const lines: string[] = [];
    const onStdoutLine = (line: string): void => void lines.push(line);
    expect((await connection.runAsRoot('echo own', { onStdoutLine })).stdout).toBe('own\n');
    expect((await connection.runProgramAsRoot(['/bin/echo', 'own'], { onStdoutLine })).stdout).toBe('own\n');
    expect(lines).toEqual(['own', 'own']);
  });

  test('an account that has expired', async () => {
    const attempt = logIn({ account: { expires: 1000 }, config: ['UsePAM yes'] });
    const error = await failure(attempt);
    expect(error.code).toMatch(/^(LOGIN_REFUSED|AUTHENTICATION_FAILED)$/);
    expect(error.message).toContain('deploy@127.0.0.1');
    expect(error.message).toMatch(/expired/);
  });
});
