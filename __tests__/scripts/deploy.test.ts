import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programsDigest } from '../../desired-state/programs';
import { runHostCommand } from '../../scripts/deploy/host-command';
import { requirePlanned, type Programs } from '../../scripts/deploy/inputs';
import { complaint, firstReceiveScript, hostProgram, NODE_SCRIPT, parseEvent } from '../../scripts/deploy/remote';
import { describeActivation } from '../../scripts/deploy/report';
import { readPresentSecrets, readSecrets } from '../../scripts/deploy/secrets';
import { connect, type Connection } from '../../transport/connection';
import { makeKey, startServer, type TestServer } from '../transport/ssh-server';

const program = (digest: string) => ({ content: Buffer.from(digest), sha256: digest });
const programs: Programs = {
  'mirror-host.cjs': program('a'.repeat(64)),
  'mirrorctl.cjs': program('b'.repeat(64)),
  'mirrorctl-body.cjs': program('d'.repeat(64)),
  digest: 'c'.repeat(64),
};

test('the digest of the programs depends on each of them', () => {
  const digest = programsDigest({ 'mirror-host.cjs': 'a', 'mirrorctl.cjs': 'b', 'mirrorctl-body.cjs': 'c' });
  expect(digest).toMatch(/^[0-9a-f]{64}$/);
  expect(programsDigest({ 'mirrorctl-body.cjs': 'c', 'mirrorctl.cjs': 'b', 'mirror-host.cjs': 'a' })).toBe(digest);
  expect(programsDigest({ 'mirror-host.cjs': 'b', 'mirrorctl.cjs': 'a', 'mirrorctl-body.cjs': 'c' })).not.toBe(digest);
  expect(programsDigest({ 'mirror-host.cjs': 'a', 'mirrorctl.cjs': 'b', 'mirrorctl-body.cjs': 'd' })).not.toBe(digest);
});

test.each([
  ['the planned digest', 'x', 'x', undefined],
  ['another digest', 'x', 'y', 'stale plan: the desired state changed since it was planned (planned x, found y)'],
  ['no plan', undefined, 'y', 'PLANNED is not set: nobody planned this'],
  ['an empty plan', '', 'y', 'PLANNED is not set: nobody planned this'],
])('what is applied must be planned: %s', (_, planned, actual, message) => {
  const check = (): void => requirePlanned('the desired state', 'PLANNED', planned, actual);
  if (message === undefined) check();
  else expect(check).toThrow(message);
});

describe('secrets', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mirror-secrets-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'key');
  writeFileSync(file, 'from a file\n');
  const variables = { 'signing-key': { environmentVariable: 'KEY' }, tls: { environmentVariable: 'TLS' }, token: { file } };

  test('those that this machine has are read without complaint', () => {
    expect(readPresentSecrets(['signing-key', 'tls', 'token'], variables, { TLS_FILE: '/nonexistent' })).toEqual({
      token: 'from a file\n',
    });
  });
  test('a file below the home directory', () => {
    expect(readSecrets(['x'], { x: { file: '~/key' } }, { HOME: directory })).toEqual({ x: 'from a file\n' });
  });

  test('come from a variable or a file', () => {
    expect(readSecrets(['signing-key', 'tls'], variables, { KEY: 'direct', TLS_FILE: file })).toEqual({
      'signing-key': 'direct\n',
      tls: 'from a file\n',
    });
  });
  test('are the same whether or not a shell took the newline at their end', () => {
    const read = (KEY: string): unknown => readSecrets(['signing-key'], variables, { KEY })['signing-key'];
    expect(['key', 'key\n', 'key\r\n', 'key\n\n'].map(read)).toEqual(Array(4).fill('key\n'));
  });
  test.each<[string, string, string]>([
    ['a pipe, which a plan would empty, and which may never end', join(directory, 'pipe'), 'not a regular file'],
    ['a device without an end', '/dev/zero', 'not a regular file'],
    ['a directory', directory, 'a directory'],
    ['something huge', join(directory, 'huge'), 'larger than 1048576 bytes'],
  ])('%s: refused at once', (_, path, why) => {
    if (path.endsWith('pipe')) execFileSync('mkfifo', [path]);
    if (path.endsWith('huge')) writeFileSync(path, Buffer.alloc(1024 * 1024 + 1, 'x'));
    expect(() => readSecrets(['tls'], variables, { TLS_FILE: path })).toThrow(
      `TLS_FILE names ${path} for the secret tls, which cannot be read (${why})`,
    );
  });
  test.each<[string, string[], NodeJS.ProcessEnv, string]>([
    [
      'every missing one is named',
      ['signing-key', 'tls'],
      { TLS: ' \n' },
      'secrets are missing: signing-key (KEY or KEY_FILE), tls (TLS or TLS_FILE)',
    ],
    [
      'a missing file is named',
      ['tls'],
      { TLS_FILE: '/nonexistent' },
      'TLS_FILE names /nonexistent for the secret tls, which cannot be read (ENOENT)',
    ],
    ['a secret without a source', ['other'], {}, 'says nothing of the secret other'],
  ])('%s', (_, names, environment, message) => {
    expect(() => readSecrets(names, variables, environment)).toThrow(message);
  });
});

describe('command lines', () => {
  test('hold digests and constants only, and no single quote', () => {
    expect(hostProgram(programs)).toBe(`/usr/local/lib/mirror/${programs.digest}/mirror-host.cjs`);
    expect(() => hostProgram({ digest: '$(id)' })).toThrow('not a digest');
    expect(firstReceiveScript(programs)).not.toContain("'");
    expect(firstReceiveScript(programs)).toContain(`head -c ${programs['mirror-host.cjs'].content.length} `);
  });
});

test.each([
  ['{"event":"progress","text":"x"}', 'progress'],
  ['{"event":"surprise"}', undefined],
  ['{"other":1}', undefined],
  ['{not json', undefined],
  ['Welcome to mirror.example', undefined],
])('the line %s is the event %s', (line, event) => expect(parseEvent(line)?.event).toBe(event));

test.each([
  ["apt's own errors first", 'Reading…\nE: Unable to locate package nodejs\nmore\n', 'E: Unable to locate package nodejs'],
  ['else the last lines', 'a\nb\nc\nd\ne\n', 'b; c; d; e'],
  ['else the exit code', '', 'exit code 100'],
])('a complaint is %s', (_, stderr, said) => expect(complaint({ stderr, stdout: '', exitCode: 100 })).toBe(said));

describe('the last line of an apply', () => {
  const result = { kind: 'activation', outcome: 'activated', generation: 12, added: [], changed: [], removed: [], seconds: 1.84 } as const;
  const ids = Array.from({ length: 11 }, (_, i) => `repository/r${i}`);
  test.each([
    ['unchanged', { outcome: 'unchanged' } as const, 'unchanged: generation 12 serves'],
    [
      'what changed',
      { added: ['customer/acme'], changed: ['vhost/m'], removed: ['repository/x'] },
      'generation 12 activated in 1.8 s: + customer/acme, ~ vhost/m, - repository/x',
    ],
    ['a repair', {}, 'generation 12 activated in 1.8 s: no element changed, everything was written anew'],
    [
      'many',
      { added: ids },
      `generation 12 activated in 1.8 s: ${ids
        .slice(0, 8)
        .map((id) => `+ ${id}`)
        .join(', ')}, + 3 more`,
    ],
  ])('%s', (_, changes, text) => expect(describeActivation({ ...result, ...changes })).toBe(text));
});

describe('over SSH', () => {
  const hostKey = makeKey('ed25519');
  const userKey = makeKey('ed25519');
  let server: TestServer;
  let connection: Connection;
  beforeAll(async () => {
    server = await startServer({ hostKeys: [hostKey], userKey });
    const target = { address: '127.0.0.1', port: server.port, user: 'root', hostKeys: [hostKey.fingerprint], secrets: {} };
    connection = await connect(target, { privateKey: Buffer.from(userKey.privateKey) });
  });
  afterAll(async () => {
    connection.close();
    await server.close();
  });
  const run = (rootScript: string, told: string[] = []) =>
    runHostCommand(connection, { rootScript }, JSON.stringify({ a: 1 }), (text) => told.push(text));
  const say = (event: object): string => `printf "%s\\n" ${JSON.stringify(JSON.stringify(event))}`;

  test('progress and warnings are told, noise is not, the result comes back', async () => {
    const told: string[] = [];
    const result = { kind: 'observation', text: 'generation 3: x', intact: false };
    const script = [
      'echo Welcome',
      say({ event: 'progress', text: 'p' }),
      say({ event: 'warning', text: 'w' }),
      say({ event: 'result', result }),
    ];
    expect(await run(script.join('; '), told)).toEqual({ result });
    expect(told).toEqual(['p', 'warning: w']);
  });

  test('the request arrives on standard input', async () => {
    const told: string[] = [];
    const result = { kind: 'observation', text: '', intact: true };
    const arrived = `${say({ event: 'progress', text: 'arrived' })}; ${say({ event: 'result', result })}`;
    expect(await run(`read -r line || true; test "$line" = "{\\"a\\":1}" && { ${arrived}; }`, told)).toEqual({ result });
    expect(told).toEqual(['arrived']);
  });

  test('an error event keeps its code, remedy and exit code', async () => {
    const error = { event: 'error', code: 'ROLLED_BACK', message: 'm', remedy: 'r', exitCode: 8 };
    await expect(run(`${say(error)}; exit 8`)).rejects.toMatchObject({ code: 'ROLLED_BACK', message: 'm', remedy: 'r', exitCode: 8 });
  });

  test.each([
    ['is not there', ['/nonexistent/mirror-host', 'activate'], /not found/],
    ['is damaged', ['/bin/false'], /exit code 1/],
  ])('a program that %s is unavailable, which is no error yet', async (_, command, reason) => {
    const outcome = await runHostCommand(connection, command, '', () => undefined);
    expect('unavailable' in outcome && outcome.unavailable).toMatch(reason);
  });

  test('programs that are not whole are as good as none', async () => {
    const error = { event: 'error', code: 'PROGRAMS_MISSING', message: 'not whole', remedy: 'r', exitCode: 7 };
    expect(await run(`${say(error)}; exit 7`)).toEqual({ unavailable: 'not whole' });
  });

  test.each(['$(id)', 'a b', "a'b", 'a;b', '*', '~', '', 'a\nb'])('the word %j goes into no command line', async (word) => {
    await expect(connection.runProgramAsRoot(['/bin/echo', word])).rejects.toThrow('must not go through a shell');
  });

  test.each([
    ['a crash', 'echo "Killed by the kernel" >&2; exit 137', 'ended without a result (exit code 137): Killed by the kernel'],
    ['a signal', 'kill -9 $$', 'ended without a result (exit code 137)'],
    ['silence', 'true', 'ended without a result (exit code 0)'],
  ])('%s of mirror-host is an error that says so', async (_, script, message) => {
    await expect(run(script)).rejects.toThrow(message);
  });

  test('Node is not installed where it is there already', async () => {
    const result = await connection.runAsRoot('sh -s', { stdin: NODE_SCRIPT });
    expect(result).toMatchObject({ exitCode: 0, stdout: '' });
  });
});
