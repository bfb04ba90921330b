/**
 * Plans in pull requests: every block of the workflow files, run as the runners run them, against a bare remote, a real server, real Terraform
 * with its state on a server over HTTP, and a stand-in for the two platforms' comment APIs (which cannot run here).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startStateServer, type StateServer } from '../support/state-server';
import { GITHUB_TOKEN, GITLAB_TOKEN, Platform, allBlocks, executed, type JobRun } from './review-support';
import { asItIs, adding, fetchPath, generation, lab, labEnvironment, must, onMirror, run, withDeployment } from './support';

jest.setTimeout(600_000);

const STATE_USER = 'ci';
const STATE_PASSWORD = 'CANARY-state-password';
const PLAN_KEY = 'CANARY-plan-key';
const customer = (name: string): string => `const ${name} = new Customer(server, '${name}', { access: Access.public() });
new MosCodename(${name}, 'mos9.0-centos7', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });
`;

let platform: Platform;
let state: StateServer;
let secrets: Record<string, string>;
let lastState: NodeJS.ProcessEnv;

beforeAll(async () => {
  lab('up');
  const env = labEnvironment();
  state = await startStateServer({ user: STATE_USER, password: STATE_PASSWORD });
  const keys = {
    ssh: readFileSync(env['MIRROR_SSH_KEY'] as string, 'utf8'),
    signing: readFileSync(env['MIRROR_SIGNING_KEY_FILE'] as string, 'utf8'),
  };
  secrets = {
    MIRROR_SSH_KEY: keys.ssh.trimEnd(),
    MIRROR_SIGNING_KEY: keys.signing,
    MIRROR_PLAN_KEY: PLAN_KEY,
    MIRROR_STATE: `${state.url}/mirror`,
    TF_HTTP_USERNAME: STATE_USER,
    TF_HTTP_PASSWORD: STATE_PASSWORD,
  };
  const { MIRROR_ADDRESS, MIRROR_PORT, MIRROR_USER, MIRROR_HOST_KEY, MIRROR_KEYS } = env;
  // What main.ts of a real project would say itself.
  platform = new Platform({ MIRROR_ADDRESS, MIRROR_PORT, MIRROR_USER, MIRROR_HOST_KEY, MIRROR_KEYS }, secrets, {
    ...secrets,
    // A variable of type "File": the platform writes it and passes its path.
    MIRROR_SSH_KEY: env['MIRROR_SSH_KEY'] as string,
    GITLAB_TOKEN,
  });
  lastState = { MIRROR_STATE: secrets['MIRROR_STATE'], TF_HTTP_USERNAME: STATE_USER, TF_HTTP_PASSWORD: STATE_PASSWORD };
  await platform.start();
  // What was deployed before plans were reviewed.
  await withDeployment(asItIs, (deployment) => deployment.deploy(), lastState);
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  platform.stop();
  await state.remove();
});

const jobs = (runs: readonly JobRun[]): string[] => runs.map((r) => `${r.job}: ${r.status === 0 ? 'ok' : `exit ${r.status}`}`);
const only = (runs: readonly JobRun[]): JobRun => {
  if (runs.length !== 1) throw new Error(`one job was expected, not ${jobs(runs).join(', ')}`);
  return runs[0] as JobRun;
};
const comments = async (pull: number) => (await platform.recorded()).comments.filter((c) => c.pull === pull);
const tree = (commit: string): string => platform.git('rev-parse', `${commit}^{tree}`);
const served = async (name: string): Promise<number> => (await fetchPath(`/${name}/mos9.0-centos7.repo`)).status;

describe('GitHub', () => {
  let planned: { head: string; merge: string };
  let comment: { id: number; body: string };
  let merged: string;
  let applied: JobRun;

  test('a pull request that adds a customer gets a comment that says so; nothing changes', async () => {
    const before = generation();
    planned = platform.pullRequest(7, 'acme', () => platform.edit('main.ts', adding(customer('acme'))));
    await platform.commentAs('a-stranger', 7, '<!-- package-mirror plan mirror -->\nNothing to do.');
    const job = only(platform.github('plan.yml', 'pull_request', planned.merge, { pull: 7 }));
    expect(job.text.slice(-3000)).toContain('comment created on #7');
    expect(job).toMatchObject({ job: 'plan', environment: 'plan', status: 0 });
    const found = (await comments(7)).filter((c) => c.login === 'github-actions[bot]');
    expect(found).toHaveLength(1);
    comment = found[0] as { id: number; body: string };
    expect(comment.body).toContain('- adds customer acme (1 codename, 5 repositories)\n');
    expect(comment.body).toContain('<details><summary>The same as text diffs</summary>');
    expect(comment.body).toMatch(/^\+ .*"nginx"/m);
    expect(comment.body).toContain(tree(planned.merge));
    expect(job.summary).toContain('adds customer acme');
    expect(platform.refs('refs/plans')).toEqual([`refs/plans/${tree(planned.merge)}/mirror`]);
    expect(await served('acme')).toBe(404);
    expect(generation()).toBe(before);
    // Nothing is left behind in the checkout or beside it.
    expect(must('git', ['-C', job.workspace, 'status', '--porcelain', '--branch']).trim()).toBe('## HEAD (no branch)');
    expect(must('git', ['-C', job.workspace, 'config', '--get-regexp', '.*']).toString()).not.toMatch(/extraheader|CANARY/i);
    expect(existsSync(join(job.temp, 'mirror-ssh-key'))).toBe(false);
  });

  test('the second push updates that comment, and leaves the one of a stranger alone', async () => {
    const second = platform.pushToPull(7, 'acme', () =>
      platform.edit('main.ts', (main) => main.replace("'acme', { access", "'acme', { prefix: 'acme-corp', access")),
    );
    const job = only(platform.github('plan.yml', 'pull_request', second.merge, { pull: 7 }));
    expect(job.text.slice(-3000)).toContain('comment updated on #7');
    planned = second;
    const all = await comments(7);
    expect(all.map((c) => [c.login, c.edited])).toEqual([
      ['a-stranger', 0],
      ['github-actions[bot]', 1],
    ]);
    comment = all[1] as { id: number; body: string };
    expect(comment.body).toContain('acme-corp');
    expect(comment.body).toContain(tree(second.merge));
  });

  test('after the merge, that very plan is applied', async () => {
    const before = generation();
    merged = platform.merge('acme');
    expect(tree(merged)).toBe(tree(planned.merge));
    applied = only(platform.github('deploy.yml', 'push', merged));
    expect(applied.text.slice(-4000)).toContain('Apply complete!');
    expect(applied).toMatchObject({ job: 'apply', environment: 'production', status: 0 });
    const digest = /sha256 `([0-9a-f]{64})`/.exec(comment.body)?.[1] as string;
    expect(applied.text).toContain(`plan file sha256 ${digest}`);
    expect((await fetchPath('/acme-corp/mos9.0-centos7.repo')).status).toBe(200);
    expect(generation()).toBe(before + 1);
    expect(platform.refs('refs/plans-applied')).toEqual([`refs/plans-applied/${tree(merged)}/mirror`]);
  });

  test('a plan is applied once', () => {
    const before = generation();
    const again = only(platform.github('deploy.yml', 'push', merged));
    expect(again.text).toMatch(/APPLIED_ALREADY: The plan [0-9a-f]{12} of stack "mirror"/);
    expect(again.status).toBe(3);
    expect(generation()).toBe(before);
  });

  test('when main moved on after the plan, nobody planned the merge: refused, until it is planned by hand and approved', async () => {
    const before = generation();
    const pull = platform.pullRequest(8, 'emca', () => platform.edit('main.ts', adding(customer('emca'))));
    expect(jobs(platform.github('plan.yml', 'pull_request', pull.merge, { pull: 8 }))).toEqual(['plan: ok']);
    platform.git('checkout', '-q', 'main');
    platform.edit('README.md', (text) => `${text}\nAnother line.\n`);
    platform.commit('Documentation');
    const main = platform.merge('emca');
    const refused = only(platform.github('deploy.yml', 'push', main));
    expect(refused.text).toMatch(/NO_REVIEWED_PLAN: .*nobody planned that for stack "mirror"/);
    expect(refused.text).toContain('run the workflow "Deploy" by hand');
    expect(refused.status).toBe(3);
    expect(generation()).toBe(before);
    expect(await served('emca')).toBe(404);

    const byHand = platform.github('deploy.yml', 'workflow_dispatch', main);
    expect(jobs(byHand)).toEqual(['plan: ok', 'apply: ok']);
    expect(byHand.map((r) => r.environment)).toEqual(['plan', 'production-approval']);
    expect(byHand[0]?.summary).toContain('adds customer emca');
    expect(await served('emca')).toBe(200);
  });

  test('when something else was deployed since the plan, it is stale: refused, nothing changes', async () => {
    const pull = platform.pullRequest(9, 'late', () => platform.edit('main.ts', adding(customer('late'))));
    expect(jobs(platform.github('plan.yml', 'pull_request', pull.merge, { pull: 9 }))).toEqual(['plan: ok']);
    const current = readFileSync(join(platform.clone, 'main.ts'), 'utf8');
    const later = current.replace('SyncSchedule.daily({ hour: 3 })', 'SyncSchedule.daily({ hour: 5 })');
    await withDeployment(
      () => later,
      (deployment) => deployment.deploy(),
      lastState,
    );
    const before = generation();
    const refused = only(platform.github('deploy.yml', 'push', platform.merge('late')));
    expect(refused.text).toContain('STALE_PLAN: The plan is stale: something was deployed since it was made. Nothing was changed.');
    expect(refused.status).toBe(6);
    expect(generation()).toBe(before);
    expect(await served('late')).toBe(404);
    expect(onMirror('systemctl show -p TimersCalendar mirror-sync@epel-7.timer')).toContain('05:00:00');
    // Planned again, the deploy by hand shows too.
    const byHand = platform.github('deploy.yml', 'workflow_dispatch', platform.git('rev-parse', 'main'));
    expect(byHand[0]?.summary).toContain('changes the schedule of epel-7 from daily at 05:00 UTC to daily at 03:00 UTC');
    expect(jobs(byHand)).toEqual(['plan: ok', 'apply: ok']);
    expect(await served('late')).toBe(200);
  });

  describe('a stored plan that is not the plan of this source', () => {
    let commit: string;
    let ref: string;
    let stored: string;
    let job: JobRun;
    beforeAll(() => {
      platform.git('checkout', '-q', 'main');
      platform.edit('main.ts', adding(customer('last')));
      commit = platform.commit('Another customer');
      platform.git('push', '-q', 'origin', 'main');
      const byHand = platform.github('deploy.yml', 'workflow_dispatch', commit, { until: 'plan' });
      expect(jobs(byHand)).toEqual(['plan: ok']);
      ref = `refs/plans/${tree(commit)}/mirror`;
      stored = must('git', ['-C', platform.remote, 'rev-parse', ref]).trim();
      job = byHand[0] as JobRun;
    });

    /** Writes another plan under the ref, as anybody who may push could; the seal is copied, or made anew. */
    function forge(files: Record<string, string | Buffer | undefined>, message?: string): void {
      const git = (args: string[], input?: string): string =>
        must('git', ['-C', platform.remote, ...args], {
          ...(input === undefined ? {} : { input }),
          env: { ...process.env, GIT_INDEX_FILE: join(platform.directory, 'forged-index'), ...AUTHOR },
        }).trim();
      git(['read-tree', stored]);
      for (const [name, content] of Object.entries(files)) {
        const file = join(platform.directory, 'forged');
        if (content === undefined) git(['rm', '-q', '--cached', name]);
        else {
          writeFileSync(file, content);
          git(['update-index', '--add', '--cacheinfo', `100644,${git(['hash-object', '-w', file])},${name}`]);
        }
      }
      const text = message ?? git(['log', '-1', '--format=%B', stored]);
      git(['update-ref', ref, git(['commit-tree', git(['write-tree'])], text)]);
    }
    const AUTHOR = Object.fromEntries(
      ['AUTHOR', 'COMMITTER'].flatMap((who) => [
        [`GIT_${who}_NAME`, 'mallory'],
        [`GIT_${who}_EMAIL`, 'mallory@example.org'],
      ]),
    );
    const content = (name: string): string => must('git', ['-C', platform.remote, 'show', `${stored}:${name}`]);
    /** The block of the job `apply`, in a checkout that has its packages. */
    const apply = (over: NodeJS.ProcessEnv = {}) =>
      run('node', ['dist/review.cjs', 'apply', '--lock-timeout', '1s'], {
        cwd: job.workspace,
        env: { ...job.env, ...secrets, ...lastState, MIRROR_SSH_KEY: labEnvironment()['MIRROR_SSH_KEY'], ...over },
      });

    test.each<[string, () => void, NodeJS.ProcessEnv, RegExp]>([
      [
        'another desired state',
        () => forge({ 'stack/mirror/desired-state.json': content('stack/mirror/desired-state.json').replace('acme-corp', 'mallory') }),
        { MIRROR_PLAN_KEY: '' },
        /its mirror\/desired-state\.json \(sha256 \w+\) is not what this commit synthesizes/,
      ],
      [
        'another server',
        () =>
          forge({ 'stack/mirror/target.json': content('stack/mirror/target.json').replace(/"address": ".*"/, '"address": "192.0.2.1"') }),
        { MIRROR_PLAN_KEY: '' },
        /its mirror\/target\.json/,
      ],
      [
        'another program',
        () => forge({ 'stack/mirror/apply.cjs': 'console.log("mallory")' }),
        { MIRROR_PLAN_KEY: '' },
        /its mirror\/apply\.cjs/,
      ],
      [
        'another stack',
        () => forge({ 'stack/cdk.tf.json': content('stack/cdk.tf.json').replace('node mirror/apply.cjs', 'id') }),
        { MIRROR_PLAN_KEY: '' },
        /its cdk\.tf\.json/,
      ],
      [
        'a file less',
        () => forge({ 'stack/mirror/target.json': undefined }),
        { MIRROR_PLAN_KEY: '' },
        /mirror\/target\.json is missing in it/,
      ],
      [
        'a plan file of another configuration',
        () => forge({ 'plan.tfplan': otherPlan() }),
        { MIRROR_PLAN_KEY: '' },
        /its plan file was made from another configuration/,
      ],
      [
        'no plan file',
        () => forge({ 'plan.tfplan': 'nothing' }),
        { MIRROR_PLAN_KEY: '' },
        /its plan file cannot be read: it is no zip archive/,
      ],
      [
        'other sentences than the plan file has',
        () => forge({ 'summary.json': content('summary.json').replace('adds', 'blesses') }),
        { MIRROR_PLAN_KEY: '' },
        /its sentences are not those of its plan file/,
      ],
      ['no seal, where the key is set', () => forge({}, 'No seal'), {}, /it has no seal, and MIRROR_PLAN_KEY is set/],
      ['a seal of another plan', () => forge({ 'comment.md': 'Nothing to do.' }), {}, /its seal was not made with MIRROR_PLAN_KEY/],
    ])('%s: refused, nothing changes', (_what, tamper, over, why) => {
      const before = generation();
      tamper();
      const refused = apply(over);
      expect(refused.text).toMatch(why);
      expect(refused.text).toContain('PLAN_NOT_OF_SOURCE: ');
      expect(refused.text).not.toMatch(/\n\s+at /);
      expect(refused.status).toBe(6);
      expect(generation()).toBe(before);
    });

    /** A real plan of this state, for something else. */
    function otherPlan(): Buffer {
      const directory = join(platform.directory, 'other');
      must('cp', ['-r', join(job.workspace, 'cdktf.out', 'stacks', 'mirror'), directory]);
      const json = join(directory, 'cdk.tf.json');
      writeFileSync(json, readFileSync(json, 'utf8').replace('node mirror/apply.cjs', 'id'));
      const env = { ...job.env, ...secrets, ...lastState, MIRROR_SSH_KEY: labEnvironment()['MIRROR_SSH_KEY'] };
      must('terraform', ['plan', '-input=false', '-out=other.tfplan'], { cwd: directory, env });
      return readFileSync(join(directory, 'other.tfplan'));
    }

    test('a lock on the state names its holder; then the untouched plan is applied', async () => {
      must('git', ['-C', platform.remote, 'update-ref', ref, stored]);
      const lock = join(state.directory, '_mirror.lock');
      writeFileSync(
        lock,
        JSON.stringify({
          ID: 'b3206d85-cd31-dc1b-f6f6-9b3157e9ae44',
          Operation: 'OperationTypeApply',
          Who: 'ada@ops-1',
          Version: '1.11.4',
          Created: '2026-11-22T05:32:57Z',
          Info: '',
          Path: '',
        }),
      );
      const locked = apply();
      must('rm', [lock]);
      expect(locked.text).toContain(
        'STATE_LOCKED: The state is locked by ada@ops-1 since 2026-11-22T05:32:57Z (OperationTypeApply). Nothing was changed.',
      );
      expect(locked.status).toBe(4);
      expect(await served('last')).toBe(404);
      const done = apply();
      expect(`${done.status} ${done.status === 0 ? '' : done.text.slice(-2000)}`).toBe('0 ');
      expect(await served('last')).toBe(200);
    });
  });

  test('a fork gets a plan without any secret, server or network', async () => {
    const pull = platform.pullRequest(11, 'from-a-fork', () =>
      platform.edit('main.ts', (main) => adding(customer('stranger'))(main).replace('daily({ hour: 3 })', 'daily({ hour: 4 })')),
    );
    const before = await platform.recorded();
    const job = only(platform.github('plan.yml', 'pull_request', pull.merge, { pull: 11, fork: true }));
    expect(job.text.slice(-3000)).toContain('Neither the server nor the state was asked; nothing was stored.');
    expect(job).toMatchObject({ job: 'plan-fork', environment: '', status: 0 });
    expect(Object.keys(job.env).filter((name) => /MIRROR_(?!PROVIDERS)|TOKEN|TF_HTTP|AWS|PG/.test(name))).toEqual([]);
    expect(job.summary).toContain(
      '- adds customer stranger (1 codename, 5 repositories)\n- changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:00 UTC\n',
    );
    expect(job.summary).toContain("neither the server nor Terraform's state was asked");
    expect(job.summary).toContain('+location ^~ /stranger/');
    expect(platform.refs(`refs/plans/${tree(pull.merge)}`)).toEqual([]);
    expect((await platform.recorded()).requests).toEqual(before.requests);
  });
});

describe('GitLab', () => {
  const mergeRequest = {
    CI_PIPELINE_SOURCE: 'merge_request_event',
    CI_PROJECT_PATH: 'example/mirror',
    CI_MERGE_REQUEST_SOURCE_PROJECT_PATH: 'example/mirror',
  };
  const main = { CI_COMMIT_BRANCH: 'main', CI_PROJECT_PATH: 'example/mirror' };

  test('a merge request gets a comment, and that very plan is applied after the merge', async () => {
    platform.git('checkout', '-q', '-B', 'gitlab', 'main');
    platform.edit('main.ts', adding(customer('lab')));
    const head = platform.commit('A customer');
    platform.git('push', '-q', 'origin', 'gitlab');
    const plan = only(platform.gitlab(head, { ...mergeRequest, CI_MERGE_REQUEST_IID: '3' }));
    expect(plan.text.slice(-3000)).toContain('comment created on !3');
    expect(plan).toMatchObject({ job: 'plan', environment: 'plan', status: 0 });
    const again = only(platform.gitlab(head, { ...mergeRequest, CI_MERGE_REQUEST_IID: '3' }));
    expect(again.text).toContain('comment updated on !3');
    expect(again.text).toContain('in place of an earlier plan of this tree: what was reviewed before does not count');
    expect((await comments(3)).map((c) => [c.login, c.edited])).toEqual([['project_42_bot', 1]]);

    platform.git('checkout', '-q', 'main');
    platform.git('merge', '-q', '--ff-only', 'gitlab');
    platform.git('push', '-q', 'origin', 'main');
    const apply = only(platform.gitlab(head, { ...main, CI_PIPELINE_SOURCE: 'push' }));
    expect(apply.text.slice(-4000)).toContain('Apply complete!');
    expect(apply).toMatchObject({ job: 'apply', environment: 'production', status: 0, summary: '' });
    expect(await served('lab')).toBe(200);
  });

  test('a pipeline by hand plans main, and applies when a person starts the last job', () => {
    const runs = platform.gitlab(platform.git('rev-parse', 'main'), { ...main, CI_PIPELINE_SOURCE: 'web' });
    expect(jobs(runs)).toEqual(['plan: ok', 'apply: ok']);
    expect(runs[0]?.text).toContain('this job is for no pull request');
    expect(runs[0]?.text).toContain('Stack mirror: nothing to do.');
    expect(runs[1]?.summary).toBe('manual');
  });

  test.each([
    ['in the fork', 'stranger/mirror'],
    ['here, started by a member', 'example/mirror'],
  ])('a fork gets a plan without any secret: its pipeline runs %s', (_where, project) => {
    platform.git('checkout', '-q', '-B', 'fork', 'main');
    platform.edit('main.ts', adding(customer('stranger')));
    const head = platform.commit('A customer');
    platform.git('push', '-q', '--force', 'origin', 'fork');
    const variables = {
      ...mergeRequest,
      CI_PROJECT_PATH: project,
      CI_MERGE_REQUEST_SOURCE_PROJECT_PATH: 'stranger/mirror',
      CI_MERGE_REQUEST_IID: '4',
    };
    const job = only(platform.gitlab(head, { ...variables, CI_MERGE_REQUEST_DIFF_BASE_SHA: platform.git('rev-parse', 'main') }, true));
    expect(job.text.slice(-3000)).toContain('adds customer stranger (1 codename, 5 repositories)');
    expect(job).toMatchObject({ job: 'plan-fork', status: 0 });
    expect(Object.keys(job.env).filter((name) => /MIRROR_(?!PROVIDERS)|TOKEN|TF_HTTP|AWS|PG/.test(name))).toEqual([]);
    platform.git('checkout', '-q', 'main');
  });
});

test('every block of the workflow files was run', () => {
  const blocks = allBlocks();
  expect(blocks.length).toBeGreaterThan(15);
  expect(blocks.filter((b) => !executed.has(b))).toEqual([]);
});

test('no secret is in a stored plan, a comment or the state', async () => {
  const signing = (secrets['MIRROR_SIGNING_KEY'] as string).split('\n').find((line) => line.length === 64) as string;
  const ssh = (secrets['MIRROR_SSH_KEY'] as string).split('\n')[1] as string;
  const canaries = [signing, ssh, STATE_PASSWORD, PLAN_KEY, GITHUB_TOKEN, GITLAB_TOKEN];
  const refs = platform.refs('refs/plans', 'refs/plans-applied');
  expect(refs.length).toBeGreaterThan(3);
  const texts = [JSON.stringify((await platform.recorded()).comments), readFileSync(join(state.directory, '_mirror'), 'utf8')];
  for (const ref of refs) {
    texts.push(must('git', ['-C', platform.remote, 'log', '-1', '--format=%B', ref]));
    for (const name of must('git', ['-C', platform.remote, 'ls-tree', '-r', '--name-only', ref]).trim().split('\n'))
      if (name !== 'plan.tfplan') texts.push(must('git', ['-C', platform.remote, 'show', `${ref}:${name}`]));
    writeFileSync(
      join(platform.directory, 'plan.zip'),
      run('bash', ['-c', `git -C ${platform.remote} show ${ref}:plan.tfplan | base64 -w0`]).stdout,
      'base64',
    );
    texts.push(
      must('python3', [
        '-c',
        'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); [print(z.read(n).decode("latin-1")) for n in z.namelist()]',
        join(platform.directory, 'plan.zip'),
      ]),
    );
  }
  expect(canaries.filter((canary) => texts.some((text) => text.includes(canary)))).toEqual([]);
});
