/**
 * Plans in pull requests: every block of the workflow files, run as the runners run them, against a bare remote, a real server, real Terraform
 * with its state on a server over HTTP, and a stand-in for the two platforms' comment APIs (which cannot run here).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allBlocks, executed } from './review-files';
import { PLAN_KEY, STATE_PASSWORD, addingCustomer, jobs, served, startReview, type Review } from './review-scenario';
import { GITHUB_TOKEN, GITLAB_TOKEN, type JobRun, type Platform } from './review-support';
import { fetchPath, generation, must, onMirror, run, withDeployment } from './support';

jest.setTimeout(600_000);

let review: Review;
let platform: Platform;
beforeAll(async () => {
  review = await startReview();
  platform = review.platform;
});
afterAll(() => review.stop());

const only = (runs: readonly JobRun[]): JobRun => {
  if (runs.length !== 1) throw new Error(`one job was expected, not ${jobs(runs).join(', ')}`);
  return runs[0] as JobRun;
};
const comments = async (pull: number) => (await platform.recorded()).comments.filter((c) => c.pull === pull);
const tree = (commit: string): string => platform.git('rev-parse', `${commit}^{tree}`);

describe('GitHub', () => {
  let planned: { head: string; merge: string };
  let comment: { id: number; body: string };
  let merged: string;
  let applied: JobRun;

  test('a pull request that adds a customer gets a comment that says so; nothing changes', async () => {
    const before = generation();
    planned = platform.pullRequest(7, 'acme', () => platform.edit('main.ts', addingCustomer('acme')));
    await platform.commentAs('a-stranger', 7, '<!-- package-mirror plan mirror -->\nNothing to do.');
    const job = only(platform.github('plan.yml', 'pull_request', planned.merge, { pull: 7 }));
    expect(job.text.slice(-3000)).toContain('comment created on #7');
    expect(job).toMatchObject({ job: 'plan', environment: 'plan', status: 0 });
    const found = (await comments(7)).filter((c) => c.login === 'github-actions[bot]');
    expect(found).toHaveLength(1);
    comment = found[0] as { id: number; body: string };
    expect(comment.body).toContain('- adds customer acme (1 codename, 5 repositories), readable by everybody\n');
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
    const pull = platform.pullRequest(8, 'emca', () => platform.edit('main.ts', addingCustomer('emca')));
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
    const pull = platform.pullRequest(9, 'late', () => platform.edit('main.ts', addingCustomer('late')));
    expect(jobs(platform.github('plan.yml', 'pull_request', pull.merge, { pull: 9 }))).toEqual(['plan: ok']);
    const current = readFileSync(join(platform.clone, 'main.ts'), 'utf8');
    const later = current.replace('SyncSchedule.daily({ hour: 3 })', 'SyncSchedule.daily({ hour: 5 })');
    await withDeployment(
      () => later,
      (deployment) => deployment.deploy(),
      review.sameState,
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

  test('a fork gets a plan without any secret, server or network', async () => {
    const pull = platform.pullRequest(11, 'from-a-fork', () =>
      platform.edit('main.ts', (main) => addingCustomer('stranger')(main).replace('daily({ hour: 3 })', 'daily({ hour: 4 })')),
    );
    const before = await platform.recorded();
    const job = only(platform.github('plan.yml', 'pull_request', pull.merge, { pull: 11, fork: true }));
    expect(job.text.slice(-3000)).toContain('Neither the server nor the state was asked; nothing was stored.');
    expect(job).toMatchObject({ job: 'plan-fork', environment: '', status: 0 });
    expect(Object.keys(job.env).filter((name) => /MIRROR_(?!PROVIDERS)|TOKEN|TF_HTTP|AWS|PG/.test(name))).toEqual([]);
    expect(job.summary).toContain(
      '- adds customer stranger (1 codename, 5 repositories), readable by everybody\n- changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:00 UTC\n',
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
    platform.edit('main.ts', addingCustomer('lab'));
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
    platform.edit('main.ts', addingCustomer('stranger'));
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
  const signing = (review.secrets['MIRROR_SIGNING_KEY'] as string).split('\n').find((line) => line.length === 64) as string;
  const ssh = (review.secrets['MIRROR_SSH_KEY'] as string).split('\n')[1] as string;
  const canaries = [signing, ssh, STATE_PASSWORD, PLAN_KEY, GITHUB_TOKEN, GITLAB_TOKEN];
  const refs = platform.refs('refs/plans', 'refs/plans-applied');
  expect(refs.length).toBeGreaterThan(3);
  const texts = [JSON.stringify((await platform.recorded()).comments), readFileSync(join(review.state.directory, '_mirror'), 'utf8')];
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
