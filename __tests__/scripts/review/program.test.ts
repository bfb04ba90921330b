/** `review comment` and `review plan --without-server` as programs: a real git, a stand-in for the platforms' APIs, a synthesis of two stacks. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

const directory = mkdtempSync(join(tmpdir(), 'mirror-review-program-'));
const program = join(directory, 'review.cjs');
const checkout = join(directory, 'checkout');
let server: ChildProcess;
let port: number;

/** Two stacks; the first has the schedule that the file `hour` says. */
const SYNTH = `import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
const hour = readFileSync('hour', 'utf8').trim();
const stacks = {};
for (const [name, time] of [['east', hour], ['west', '03']]) {
  mkdirSync('cdktf.out/stacks/' + name, { recursive: true });
  stacks[name] = { workingDirectory: 'stacks/' + name };
  const timer = { element: 'timer/epel-7', timer: '[Timer]\\nOnCalendar=*-*-* ' + time + ':00:00 UTC\\n' };
  writeFileSync('cdktf.out/stacks/' + name + '/cdk.tf.json', JSON.stringify({ resource: { null_resource: { t: { triggers: timer } } } }));
}
writeFileSync('cdktf.out/manifest.json', JSON.stringify({ stacks }));
`;

beforeAll(async () => {
  buildSync({ entryPoints: ['scripts/review.ts'], outfile: program, bundle: true, platform: 'node', logLevel: 'error' });
  mkdirSync(join(checkout, 'scripts'), { recursive: true });
  writeFileSync(join(checkout, 'scripts', 'synth.mjs'), SYNTH);
  writeFileSync(join(checkout, '.gitignore'), 'cdktf.out/\n');
  git('init', '-q', '-b', 'main');
  for (const hour of ['03', '04']) {
    writeFileSync(join(checkout, 'hour'), hour);
    git('add', '-A');
    git('-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '-qm', hour);
  }
  server = spawn(process.execPath, ['__tests__/support/platform-server.mjs', 'ghs_token', 'glpat_token'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  port = await new Promise<number>((resolve) => server.stdout?.once('data', (data: Buffer) => resolve(Number(data.toString()))));
});
afterAll(() => {
  server.kill();
  rmSync(directory, { recursive: true });
});

function git(...args: string[]): string {
  const result = spawnSync('git', ['-C', checkout, ...args], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(result.stderr);
  return result.stdout.trim();
}
function review(args: readonly string[], env: NodeJS.ProcessEnv = {}): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [program, ...args], {
    cwd: checkout,
    env: { PATH: process.env['PATH'], HOME: directory, ...env },
    encoding: 'utf8',
  });
}
function github(pull: number): NodeJS.ProcessEnv {
  const event = join(directory, 'event.json');
  writeFileSync(event, JSON.stringify({ pull_request: { number: pull } }));
  return {
    GITHUB_ACTIONS: 'true',
    GITHUB_API_URL: `http://127.0.0.1:${port}/github`,
    GITHUB_REPOSITORY: 'example/mirror',
    GITHUB_TOKEN: 'ghs_token',
    GITHUB_EVENT_PATH: event,
  };
}
const source = (...args: string[]) => review(['plan', '--without-server', '--base', 'HEAD^1', ...args]);
const commentsOf = async (pull: number) => {
  const { comments } = (await (await fetch(`http://127.0.0.1:${port}/recorded`)).json()) as {
    comments: { pull: number; login: string; body: string; edited: number }[];
  };
  return comments.filter((c) => c.pull === pull);
};

test('plan --without-server --json: every stack, or one', () => {
  const all = source('--json');
  expect(all).toMatchObject({ status: 0, stderr: '' });
  expect(JSON.parse(all.stdout)).toEqual({
    tree: git('rev-parse', 'HEAD^{tree}'),
    commit: git('rev-parse', 'HEAD'),
    base: git('rev-parse', 'HEAD^1'),
    stacks: [
      {
        stack: 'east',
        changes: true,
        sentences: ['changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:00 UTC'],
        onServer: [{ element: 'timer/epel-7', action: 'change' }],
        server: { activates: true, newGeneration: true, programs: false },
        comment: 'cdktf.out/review/east/comment.md',
        leftOut: 0,
      },
      {
        stack: 'west',
        changes: false,
        sentences: [],
        onServer: [],
        server: { activates: false, newGeneration: false, programs: false },
        comment: 'cdktf.out/review/west/comment.md',
        leftOut: 0,
      },
    ],
  });
  const text = readFileSync(join(checkout, 'cdktf.out/review/east/comment.md'), 'utf8');
  expect(text).toContain('-OnCalendar=*-*-* 03:00:00 UTC\n+OnCalendar=*-*-* 04:00:00 UTC\n');
  const one = source('--json', '--stack', 'west');
  expect((JSON.parse(one.stdout) as { stacks: { stack: string }[] }).stacks.map((s) => s.stack)).toEqual(['west']);
  // What an earlier run left is not posted.
  expect(existsSync(join(checkout, 'cdktf.out/review/east'))).toBe(false);
});

test('the working tree, the branch and the index stay as they are', () => {
  const before = [git('status', '--porcelain', '--branch'), git('for-each-ref'), git('worktree', 'list')];
  source();
  expect([git('status', '--porcelain', '--branch'), git('for-each-ref'), git('worktree', 'list')]).toEqual(before);
});

test('comment: one for each stack, and its own is found behind a hundred of others', async () => {
  source();
  for (let n = 0; n < 130; n++) {
    const body = n % 2 ? 'Looks good' : '<!-- package-mirror plan east -->\nNothing to do.';
    await fetch(`http://127.0.0.1:${port}/recorded`, { method: 'POST', body: JSON.stringify({ login: 'a-stranger', pull: 5, body }) });
  }
  const first = review(['comment', '--json'], github(5));
  expect(JSON.parse(first.stdout)).toEqual({
    stacks: [
      { stack: 'east', action: 'created', number: 5 },
      { stack: 'west', action: 'created', number: 5 },
    ],
  });
  const second = review(['comment', '--stack', 'west'], github(5));
  expect(second).toMatchObject({ status: 0, stdout: 'Stack west: comment updated on #5.\n' });
  const comments = await commentsOf(5);
  expect(comments.filter((c) => c.login === 'a-stranger' && c.edited > 0)).toEqual([]);
  expect(comments.slice(130).map((c) => [c.login, c.edited])).toEqual([
    ['github-actions[bot]', 0],
    ['github-actions[bot]', 1],
  ]);
});

test('comment: a stack that was not planned, a token that may not, a project that is not there', () => {
  source();
  expect(review(['comment', '--stack', 'north'], github(5)).stderr).toContain(
    'NOTHING_PLANNED: There is no plan of stack "north" to post.',
  );
  const refused = review(['comment'], { ...github(5), GITHUB_TOKEN: 'ghs_expired' });
  expect(refused.stderr).toMatch(/PLATFORM_REFUSED: GitHub answered 401 to GET .*Bad credentials[^]*pull-requests: write/);
  expect(refused.stderr).not.toContain('ghs_expired');
  expect(refused.status).toBe(5);
  const missing = review(['comment'], { ...github(5), GITHUB_REPOSITORY: 'example/other' });
  expect(missing.stderr).toContain('GitHub answered 404');
});

test('comment: also into the summary of the job, and only there when the job is for no pull request', async () => {
  source('--stack', 'east');
  const summary = join(directory, 'summary.md');
  const event = { ...github(6), GITHUB_STEP_SUMMARY: summary };
  writeFileSync(join(directory, 'event.json'), '{}');
  expect(review(['comment'], event)).toMatchObject({
    status: 0,
    stdout: 'Stack east: this job is for no pull request; the plan is in the summary of this job.\n',
  });
  expect(readFileSync(summary, 'utf8')).toBe(readFileSync(join(checkout, 'cdktf.out/review/east/comment.md'), 'utf8'));
  expect(await commentsOf(6)).toEqual([]);
});
