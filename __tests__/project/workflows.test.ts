/** What the workflow files may and may not do. That their blocks work is shown by lab/07-review; actionlint and shellcheck run in scripts/test. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const Step = z
  .object({
    name: z.string().optional(),
    uses: z.string().optional(),
    with: z.record(z.union([z.string(), z.number(), z.boolean()])).optional(),
    run: z.string().optional(),
    env: z.record(z.string()).optional(),
  })
  .strict();
const Workflow = z.object({
  name: z.string(),
  on: z.record(z.unknown()),
  permissions: z.object({}).strict(),
  concurrency: z.object({ group: z.string(), 'cancel-in-progress': z.literal(false) }),
  jobs: z.record(
    z
      .object({
        name: z.string(),
        needs: z.string().optional(),
        if: z.string().optional(),
        'runs-on': z.literal('ubuntu-24.04'),
        'timeout-minutes': z.number(),
        environment: z.string().optional(),
        permissions: z.record(z.enum(['read', 'write'])),
        steps: z.array(Step),
      })
      .strict(),
  ),
});

const FILES = readdirSync('.github/workflows');
const texts = FILES.map((file) => [file, readFileSync(`.github/workflows/${file}`, 'utf8')] as const);
const jobs = texts.flatMap(([file, text]) =>
  Object.entries(Workflow.parse(parse(text)).jobs).map(([job, content]) => ({ file, job, ...content })),
);
const steps = jobs.flatMap((job) => job.steps.map((step) => ({ ...job, step })));

test('there are two files, with the permissions and the concurrency that the schema wants', () => {
  expect(FILES.sort()).toEqual(['deploy.yml', 'plan.yml']);
});

test('pull requests run as `pull_request`: a fork gets no secret', () => {
  expect(texts.flatMap(([, text]) => Object.keys(Workflow.parse(parse(text)).on)).sort()).toEqual([
    'pull_request',
    'push',
    'workflow_dispatch',
  ]);
});

test.each(texts)('%s: every action is pinned by its commit, and says which version that is', (_file, text) => {
  const uses = text.match(/uses: .*/g) ?? [];
  expect(uses.length).toBeGreaterThan(0);
  for (const line of uses) expect(line).toMatch(/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

test('one action has one version', () => {
  const versions = new Set(texts.flatMap(([, text]) => text.match(/uses: .*/g) ?? []));
  expect(new Set([...versions].map((v) => v.split('@')[0])).size).toBe(versions.size);
});

test('no expression is inside of a script: what a pull request says cannot become shell', () => {
  for (const { step } of steps) expect(step.run ?? '').not.toContain('${{');
});

test('secrets are variables of single steps: the signing key where the plan is applied, none for forks', () => {
  const secrets = steps.flatMap(({ job, step }) =>
    Object.values(step.env ?? {}).flatMap((value) => [...value.matchAll(/secrets\.(\w+)/g)].map((m) => `${job}: ${step.name}: ${m[1]}`)),
  );
  expect(new Set(secrets.map((s) => s.split(': ').slice(0, 2).join(': ')))).toEqual(new Set(['plan: Plan', 'apply: Apply']));
  expect(secrets.filter((s) => s.endsWith('MIRROR_SIGNING_KEY'))).toEqual(['apply: Apply: MIRROR_SIGNING_KEY']);
  for (const [, text] of texts)
    expect(text.match(/secrets\./g)?.length ?? 0).toBe([...text.matchAll(/^ {10}\w+: \$\{\{ secrets\.\w+ \}\}$/gm)].length);
});

test('the token is in no checkout', () => {
  for (const { step } of steps.filter(({ step }) => step.uses?.startsWith('actions/checkout')))
    expect(step.with?.['persist-credentials']).toBe(false);
});

test('each job may do what it has to, and no more', () => {
  expect(jobs.map(({ file, job, permissions }) => [file, job, permissions])).toEqual([
    ['deploy.yml', 'plan', { contents: 'write' }],
    ['deploy.yml', 'apply', { contents: 'write' }],
    ['plan.yml', 'plan', { contents: 'write', 'pull-requests': 'write' }],
    ['plan.yml', 'plan-fork', { contents: 'read' }],
  ]);
});

const strings = z.array(z.string());
const GitlabJob = z
  .object({
    extends: z.string().optional(),
    stage: z.string().optional(),
    rules: z
      .array(z.object({ if: z.string(), when: z.enum(['manual']).optional(), allow_failure: z.boolean().optional() }).strict())
      .optional(),
    before_script: strings.optional(),
    script: strings.optional(),
    variables: z.record(z.string()).optional(),
    environment: z
      .object({ name: z.enum(['plan', 'production']), action: z.enum(['access']).optional() })
      .strict()
      .optional(),
    resource_group: z.string().optional(),
    artifacts: z
      .object({ when: z.enum(['always']).optional(), paths: strings, expire_in: z.string() })
      .strict()
      .optional(),
  })
  .strict();
const Gitlab = z
  .object({
    stages: strings,
    workflow: z.object({ rules: z.array(z.object({ if: z.string() }).strict()) }).strict(),
    default: z.object({ image: z.string(), interruptible: z.literal(false), before_script: strings }).strict(),
    variables: z.record(z.string()),
  })
  .catchall(GitlabJob);

describe('.gitlab-ci.yml', () => {
  const file = Gitlab.parse(parse(readFileSync('.gitlab-ci.yml', 'utf8')));
  const { stages, workflow, default: defaults, variables, ...rest } = file;
  const gitlabJobs = Object.entries(rest as Record<string, z.output<typeof GitlabJob>>);

  test('stages and templates exist', () => {
    expect(variables).toHaveProperty('TERRAFORM_SHA256', expect.stringMatching(/^[0-9a-f]{64}$/));
    for (const [name, job] of gitlabJobs.filter(([name]) => !name.startsWith('.'))) {
      expect([name, stages.includes(job.stage ?? '')]).toEqual([name, true]);
      if (job.extends !== undefined) expect(rest).toHaveProperty([job.extends]);
      expect(job.script?.length).toBeGreaterThan(0);
    }
  });

  test('conditions are comparisons joined by &&', () => {
    const rules = [...workflow.rules, ...gitlabJobs.flatMap(([, job]) => job.rules ?? [])].map((r) => r.if);
    expect(rules.length).toBeGreaterThan(6);
    for (const rule of rules) expect(rule).toMatch(/^(\$[A-Z_]+ (==|!=) ("[a-z_]+"|\$[A-Z_]+)( && )?)+$/);
  });

  test('a fork gets no environment; what deploys runs one at a time', () => {
    const job = (name: string) => gitlabJobs.find(([n]) => n === name)?.[1];
    expect(job('plan-fork')?.environment).toBeUndefined();
    expect(job('apply')).toMatchObject({ environment: { name: 'production' }, resource_group: 'production' });
  });

  test.each([...defaults.before_script, ...gitlabJobs.flatMap(([, job]) => [...(job.before_script ?? []), ...(job.script ?? [])])])(
    'is shell: %j',
    (script) => {
      expect(spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    },
  );
});
