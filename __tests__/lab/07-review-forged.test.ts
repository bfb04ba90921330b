/** Stored plans that are not the plan of the merged source, and a state that somebody else holds: refused, and nothing changes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addingCustomer, jobs, served, startReview, type Review } from './review-scenario';
import type { JobRun, Platform } from './review-support';
import { generation, labEnvironment, must, run, type Finished } from './support';

jest.setTimeout(600_000);

let review: Review;
let platform: Platform;
let commit: string;
let ref: string;
let stored: string;
let job: JobRun;
beforeAll(async () => {
  review = await startReview();
  platform = review.platform;
  platform.git('checkout', '-q', 'main');
  platform.edit('main.ts', addingCustomer('last'));
  commit = platform.commit('Another customer');
  platform.git('push', '-q', 'origin', 'main');
  const byHand = platform.github('deploy.yml', 'workflow_dispatch', commit, { until: 'plan' });
  expect(jobs(byHand)).toEqual(['plan: ok']);
  ref = `refs/plans/${platform.git('rev-parse', `${commit}^{tree}`)}/mirror`;
  stored = must('git', ['-C', platform.remote, 'rev-parse', ref]).trim();
  job = byHand[0] as JobRun;
});

afterAll(() => review.stop());

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
/** The program in a checkout that has its packages, with the variables of the job `apply`. */
function withSecrets(over: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...job.env, ...review.secrets, MIRROR_SSH_KEY: labEnvironment()['MIRROR_SSH_KEY'], ...over };
}
const inCheckout = (...args: string[]): Finished => run('node', ['dist/review.cjs', ...args], { cwd: job.workspace, env: withSecrets({}) });
const apply = (over: NodeJS.ProcessEnv = {}): Finished =>
  run('node', ['dist/review.cjs', 'apply', '--lock-timeout', '1s'], { cwd: job.workspace, env: withSecrets(over) });

test.each<[string, () => void, NodeJS.ProcessEnv, RegExp]>([
  [
    'another desired state',
    () => forge({ 'stack/mirror/desired-state.json': content('stack/mirror/desired-state.json').replace('mirror.example.org', 'mallory') }),
    { MIRROR_PLAN_KEY: '' },
    /its mirror\/desired-state\.json \(sha256 \w+\) is not what this commit synthesizes/,
  ],
  [
    'another server',
    () => forge({ 'stack/mirror/target.json': content('stack/mirror/target.json').replace(/"address": ".*"/, '"address": "192.0.2.1"') }),
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
    'a stack that reads the same to us, not to Terraform',
    () =>
      forge({
        'stack/cdk.tf.json': content('stack/cdk.tf.json').replace('"resource": {', '"resource": {"null_resource": {}}, "resource": {'),
      }),
    { MIRROR_PLAN_KEY: '' },
    /its cdk\.tf\.json/,
  ],
  ['a file less', () => forge({ 'stack/mirror/target.json': undefined }), { MIRROR_PLAN_KEY: '' }, /mirror\/target\.json is missing in it/],
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
  const env = { ...job.env, ...review.secrets, ...review.sameState, MIRROR_SSH_KEY: labEnvironment()['MIRROR_SSH_KEY'] };
  must('terraform', ['plan', '-input=false', '-out=other.tfplan'], { cwd: directory, env });
  return readFileSync(join(directory, 'other.tfplan'));
}

test('a lock on the state names its holder; then a plan made anew is applied, and both say so as JSON', async () => {
  must('git', ['-C', platform.remote, 'update-ref', ref, stored]);
  const lock = join(review.state.directory, '_mirror.lock');
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
  expect(locked.text).toContain('STATE_LOCKED: The state is locked by another run');
  expect(locked.text).toContain('The holder is ada@ops-1, since 2026-11-22T05:32:57Z (OperationTypeApply).');
  expect(locked.status).toBe(4);
  expect(await served('last')).toBe(404);
  const again = inCheckout('plan', '--json', '--stack', 'mirror', '--remote', `file://${platform.remote}`);
  expect(JSON.parse(again.stdout)).toMatchObject({ commit, stacks: [{ stack: 'mirror', changes: true, ref, replaced: true, leftOut: 0 }] });
  const done = inCheckout('apply', '--json', '--stack', 'mirror', '--remote', `file://${platform.remote}`);
  expect(`${done.status} ${done.status === 0 ? '' : done.text.slice(-2000)}`).toBe('0 ');
  expect(JSON.parse(done.stdout)).toMatchObject({ commit, stacks: [{ stack: 'mirror', applied: true }] });
  expect(await served('last')).toBe(200);
});
