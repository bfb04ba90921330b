/** `review` where nothing is as it should be: each is refused with a named cause, and no stack. A real git, and no Terraform. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { gitCredentials } from '../../../scripts/review/git';
import { requirePlainName } from '../../../scripts/review/store';
import { terraformError } from '../../../scripts/terraform-error';

const directory = mkdtempSync(join(tmpdir(), 'mirror-refusals-'));
const program = join(directory, 'review.cjs');
const checkout = join(directory, 'checkout');
const bare = { PATH: process.env['PATH'], HOME: directory };

beforeAll(() => {
  buildSync({ entryPoints: ['scripts/review.ts'], outfile: program, bundle: true, platform: 'node', logLevel: 'error' });
  mkdirSync(join(checkout, 'scripts'), { recursive: true });
  writeFileSync(
    join(checkout, 'scripts', 'synth.mjs'),
    `import { mkdirSync, writeFileSync } from 'node:fs';
     const name = process.env.STACK ?? 'mirror';
     mkdirSync('cdktf.out/stacks/x', { recursive: true });
     writeFileSync('cdktf.out/manifest.json', JSON.stringify({ stacks: { [name]: { workingDirectory: 'stacks/x' } } }));
     writeFileSync('cdktf.out/stacks/x/cdk.tf.json', JSON.stringify({ terraform: { backend: { local: { path: process.env.STATE_PATH ?? '../../../x.tfstate' } } } }));`,
  );
  writeFileSync(join(checkout, '.gitignore'), 'cdktf.out/\n');
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '-qm', 'x');
});
afterAll(() => rmSync(directory, { recursive: true }));

function git(...args: string[]): void {
  const result = spawnSync('git', ['-C', checkout, ...args], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(result.stderr);
}
function review(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd = checkout,
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [program, ...args], { cwd, env: { ...bare, ...env }, encoding: 'utf8' });
}

const elsewhere = { STATE_PATH: '/var/empty/x.tfstate' };
const event = (content: unknown): string => {
  const file = join(directory, 'event.json');
  writeFileSync(file, JSON.stringify(content));
  return file;
};
const github = { GITHUB_ACTIONS: 'true', GITHUB_API_URL: 'http://127.0.0.1:9/api', GITHUB_REPOSITORY: 'a/b' };

test.each<[string, string[], () => NodeJS.ProcessEnv, number, RegExp]>([
  ['no command', [], () => ({}), 2, /Usage: review/],
  ['an unknown command', ['deploy'], () => ({}), 2, /unknown command 'deploy'/],
  ['--base without --without-server', ['plan', '--base', 'HEAD'], () => ({}), 2, /--base is for --without-server only/],
  ['--without-server without --base', ['plan', '--without-server'], () => ({}), 2, /--without-server needs --base/],
  [
    'a stack that does not exist',
    ['plan', '--stack', 'x'],
    () => elsewhere,
    2,
    /NO_SUCH_STACK: There is no stack "x"\.\n {2}Stacks of main\.ts: mirror/,
  ],
  ['a state in the checkout', ['plan'], () => ({}), 3, /LOCAL_STATE: Stack "mirror" keeps its state in a file of this checkout/],
  ['the same, to apply', ['apply'], () => ({}), 3, /LOCAL_STATE/],
  ['a name that cannot be a ref', ['plan'], () => ({ ...elsewhere, STACK: 'a b' }), 3, /STACK_NAME: The stack's name "a b"/],
  [
    'a base that is not there',
    ['plan', '--without-server', '--base', 'HEAD^1'],
    () => ({}),
    7,
    /GIT_FAILED: .*\n.*\n? *Fetch that commit first: a shallow clone/,
  ],
  ['a base that is an option', ['plan', '--without-server', '--base=--all'], () => ({}), 7, /GIT_FAILED/],
  [
    'a remote that is not there',
    ['apply', '--remote', '/nonexistent'],
    () => elsewhere,
    5,
    /GIT_FAILED: git ls-remote .*\n.*does not appear to be a git repository/,
  ],
  ['a comment outside of a platform', ['comment'], () => ({}), 2, /NO_PLATFORM/],
  [
    'a comment before a plan',
    ['comment'],
    () => ({ ...github, GITHUB_EVENT_PATH: event({}) }),
    2,
    /NOTHING_PLANNED: There is no plan to post/,
  ],
  [
    'no token',
    ['comment'],
    () => ({ ...github, GITHUB_EVENT_PATH: event({ pull_request: { number: 1 } }) }),
    7,
    /VARIABLE_MISSING: GITHUB_TOKEN is not set/,
  ],
  [
    'no token of GitLab',
    ['comment'],
    () => ({ GITLAB_CI: 'true', CI_MERGE_REQUEST_IID: '1', CI_API_V4_URL: 'http://127.0.0.1:9', CI_PROJECT_ID: '1' }),
    7,
    /VARIABLE_MISSING: GITLAB_TOKEN is not set/,
  ],
])('%s', (_what, args, env, status, message) => {
  const ended = review(args, env());
  expect(ended.stderr).toMatch(message);
  expect(ended.stderr).not.toMatch(/\n\s+at /);
  expect(ended).toMatchObject({ status, stdout: '' });
});

test('a checkout with changes: both commands and both kinds of plans', () => {
  writeFileSync(join(checkout, 'forgotten.ts'), '');
  for (const args of [['plan'], ['plan', '--without-server', '--base', 'HEAD'], ['apply']]) {
    const ended = review(args, elsewhere);
    expect(ended.stderr).toMatch(/DIRTY_CHECKOUT: This checkout is not what was committed: \?\? forgotten\.ts\./);
    expect(ended.status).toBe(3);
  }
  rmSync(join(checkout, 'forgotten.ts'));
});

test('no checkout at all', () => {
  const ended = review(['plan'], {}, directory);
  expect(ended.stderr).toMatch(/GIT_FAILED[^]*Run this in a checkout of the project/);
});

test('a platform that does not answer, or refuses: the plan stays where it is', () => {
  mkdirSync(join(checkout, 'cdktf.out', 'review', 'mirror'), { recursive: true });
  writeFileSync(join(checkout, 'cdktf.out', 'review', 'mirror', 'comment.md'), '<!-- package-mirror plan mirror -->\nx');
  const ended = review(['comment'], { ...github, GITHUB_TOKEN: 'CANARY', GITHUB_EVENT_PATH: event({ pull_request: { number: 1 } }) });
  expect(ended.stderr).toMatch(
    /PLATFORM_UNREACHABLE: GitHub did not answer at http:\/\/127\.0\.0\.1:9\/api\/user: .*ECONNREFUSED|bad port/,
  );
  expect(ended.stderr).not.toContain('CANARY');
  expect(ended.status).toBe(5);
  rmSync(join(checkout, 'cdktf.out', 'review'), { recursive: true });
});

test.each([
  ['mirror', true],
  ['eu-1_b', true],
  ['../heads/main', false],
  ['-x', false],
  ['a-->', false],
  ['', false],
])('stack name %j', (name, good) => {
  const check = (): void => requirePlainName(name);
  if (good) expect(check).not.toThrow();
  else expect(check).toThrow('cannot be part of a git ref');
});

describe('git and the token', () => {
  test('goes to the host of the platform only, and not into the configuration', async () => {
    const seen: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const ask = (host: string, credentials: Record<string, string>): Promise<unknown> =>
      new Promise((resolve) => {
        spawn('git', ['ls-remote', `http://${host}:${port}/a/b`], {
          env: { ...bare, ...credentials, GIT_TERMINAL_PROMPT: '0' },
          stdio: 'ignore',
        }).on('close', resolve);
      });
    const github = gitCredentials({ GITHUB_SERVER_URL: `http://127.0.0.1:${port}`, GITHUB_TOKEN: 'ghs_x' });
    await ask('127.0.0.1', github);
    await ask('localhost', github);
    await ask('127.0.0.1', gitCredentials({ CI_SERVER_URL: `http://127.0.0.1:${port}/`, GITLAB_TOKEN: 'glpat-x' }));
    server.close();
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
    expect(seen.filter((v, i) => i === 0 || v !== seen[i - 1])).toEqual([
      basic('x-access-token:ghs_x'),
      undefined,
      basic('oauth2:glpat-x'),
    ]);
  });

  test('keeps what git was told by the environment already, and is silent without a token', () => {
    const own = { GIT_CONFIG_COUNT: '2', GITHUB_SERVER_URL: 'https://github.com', GITHUB_TOKEN: 'x' };
    expect(gitCredentials(own)).toMatchObject({ GIT_CONFIG_COUNT: '3', GIT_CONFIG_KEY_2: 'http.https://github.com/.extraHeader' });
    expect(gitCredentials({ GITHUB_SERVER_URL: 'https://github.com' })).toEqual({});
    expect(gitCredentials({ GITHUB_TOKEN: 'x' })).toEqual({});
  });
});

/** Printed by Terraform 1.11.4. */
const LOCKED = `╷
│ Error: Error acquiring the state lock
│ 
│ Error message: HTTP remote state already locked:
│ ID=26d960a0
│ Lock Info:
│   ID:        26d960a0
│   Path:      
│   Operation: OperationTypeApply
│   Who:       ada@ops-1
│   Version:   1.11.4
│   Created:   2026-11-22 05:32:57 +0000 UTC
│   Info:      
│ 
╵`;
test.each<[string, string, string | undefined]>([
  ['stale', '╷\n│ Error: Saved plan is stale\n│ \n│ The given plan file can no longer be applied\n╵', 'STALE_PLAN'],
  ['locked', LOCKED, 'STATE_LOCKED'],
  [
    'a lock that could not be asked for',
    '│ Error: Error acquiring the state lock\n│ \n│ Error message: dial tcp: connection refused',
    undefined,
  ],
  ['what a server says', 'null_resource.x (local-exec): the log has: Saved plan is stale', undefined],
  ['another failure', 'Error: local-exec provisioner error', undefined],
])('Terraform: %s', (_what, said, code) => {
  const error = terraformError(said);
  expect(error?.code).toBe(code);
  if (code === 'STATE_LOCKED') {
    expect(error?.describe()).toContain(
      'The state is locked by another run (HTTP remote state already locked: ID=26d960a0). Nothing was changed.',
    );
    expect(error?.remedy).toContain('force-unlock 26d960a0');
    expect(error?.exitCode).toBe(4);
  }
});
