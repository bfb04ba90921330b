/** State on a server: TLS, a password, a lock that names its holder, and every way it can fail. The mirror serves throughout. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startStateServer, type StateServer } from '../support/state-server';
import {
  Deployment,
  ROOT,
  asItIs,
  deployEnvironment,
  fetchPath,
  generation,
  lab,
  must,
  run,
  withDeployment,
  type Finished,
} from './support';

jest.setTimeout(300_000);

const PASSWORD = 'correct-horse-battery-staple';
let directory: string;
let server: StateServer;
let options: Parameters<typeof startStateServer>[0];

/** What an operator sets. */
const remote = (over: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  MIRROR_STATE: `${server.url}/mirror`,
  TF_HTTP_USERNAME: 'operator',
  TF_HTTP_PASSWORD: PASSWORD,
  SSL_CERT_FILE: options?.certificate,
  ...over,
});
/** Another person's checkout. */
const checkout = (edit: (main: string) => string = asItIs): Deployment => new Deployment(edit, remote());
const schedule =
  (hour: number) =>
  (main: string): string =>
    main.replace('SyncSchedule.daily({ hour: 3 })', `SyncSchedule.daily({ hour: ${hour} })`);

/** `npm run plan` in this checkout. */
const npmRunPlan = (over: NodeJS.ProcessEnv = {}): Finished =>
  run(process.execPath, ['dist/plan.cjs'], { env: deployEnvironment(remote(over)) });
const lockFile = (): string => join(server.directory, '_mirror.lock');
const forgetBackend = (): void => rmSync(join(ROOT, 'cdktf.out/stacks/mirror/.terraform/terraform.tfstate'), { force: true });

const stopped = new Set<ChildProcess>();
afterEach(() => {
  for (const child of stopped) child.kill('SIGKILL');
  stopped.clear();
});

/** Starts an apply, and stops it (SIGSTOP) as soon as it holds the lock. */
async function holdTheLock(deployment: Deployment): Promise<{
  /** Requests of this apply. */
  requests(): string[];
  finish(): Promise<{ status: number | null; text: string }>;
}> {
  const earlier = server.requests().length;
  const child = deployment.startApply();
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const closed = once(child, 'close');
  while (!existsSync(lockFile())) {
    if (child.exitCode !== null) throw new Error(`the apply ended without a lock:\n${text}`);
    await sleep(5);
  }
  child.kill('SIGSTOP');
  stopped.add(child);
  return {
    requests: () => server.requests().slice(earlier),
    finish: async () => {
      child.kill('SIGCONT');
      await closed;
      stopped.delete(child);
      return { status: child.exitCode, text };
    },
  };
}

beforeAll(async () => {
  lab('up');
  directory = mkdtempSync(join(tmpdir(), 'mirror-state-tls-'));
  const [certificate, key] = [join(directory, 'ca.crt'), join(directory, 'ca.key')];
  const subject = ['-subj', '/CN=state', '-addext', 'subjectAltName=IP:127.0.0.1'];
  must('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate, ...subject]);
  options = { user: 'operator', password: PASSWORD, certificate, key };
  server = await startStateServer(options);
  options = { ...options, port: server.port };
  forgetBackend();
});
afterAll(async () => {
  forgetBackend();
  await server.remove();
  rmSync(directory, { recursive: true, force: true });
  // The lab's own state knows what was deployed last.
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('a deploy keeps its state on the server; another checkout plans nothing', () => {
  const first = checkout();
  first.deploy();
  const state = JSON.parse(readFileSync(join(server.directory, '_mirror'), 'utf8')) as { resources: { type: string }[] };
  expect(state.resources.some((r) => r.type === 'null_resource')).toBe(true);
  expect(readFileSync(join(first.stack, 'cdk.tf.json'), 'utf8')).not.toContain(PASSWORD);
  expect(run('grep', ['-rlF', PASSWORD, first.directory, server.directory]).stdout).toBe('');
  first.remove();

  const second = checkout();
  expect(second.plan().sentences).toEqual([]);
  second.remove();
  expect(npmRunPlan()).toMatchObject({ status: 0, stdout: 'Nothing to do: the server matches main.ts.\n' });
  const requests = server.requests();
  expect(requests).toContain('POST /mirror 200');
  expect(requests.filter((r) => r === 'LOCK /mirror 200')).toHaveLength(requests.filter((r) => r === 'UNLOCK /mirror 200').length);
  expect(existsSync(lockFile())).toBe(false);
});

test('while one deploys, a second is told who holds the lock; the first ends well', async () => {
  const [first, second] = [checkout(schedule(4)), checkout(schedule(5))];
  const before = generation();
  const deploy = await holdTheLock(first);
  const holder = JSON.parse(readFileSync(lockFile(), 'utf8')) as { ID: string; Who: string; Created: string };

  const refused = second.apply();
  expect(refused.status).not.toBe(0);
  expect(refused.text).toMatch(/Error acquiring the state lock/);
  expect(refused.text).toContain(holder.ID);
  const planned = npmRunPlan();
  expect(planned.status).toBe(4);
  expect(planned.text).toContain(`The holder is ${holder.Who}, since ${holder.Created} (OperationTypeApply). Somebody else holds`);
  expect(planned.text).toContain(`force-unlock ${holder.ID}`);
  expect(generation()).toBe(before);

  expect(await deploy.finish()).toMatchObject({ status: 0 });
  expect(generation()).toBe(before + 1);
  expect(second.plan().sentences).toEqual(['changes the schedule of epel-7 from daily at 04:00 UTC to daily at 05:00 UTC']);
  first.remove();
  second.remove();
});

test('a plan that somebody else overtook is refused as stale', () => {
  const [reviewed, other] = [checkout(), checkout(schedule(6))];
  expect(reviewed.plan().sentences).toHaveLength(1);
  other.deploy();
  const after = generation();
  const applied = reviewed.terraform('apply', '-input=false', '-no-color', 'test.tfplan');
  expect(applied.status).not.toBe(0);
  expect(applied.text).toContain('Saved plan is stale');
  expect(generation()).toBe(after);
  reviewed.deploy();
  reviewed.remove();
  other.remove();
});

test.each([
  ['a wrong password', { TF_HTTP_PASSWORD: 'wrong' }, /invalid auth[^]*set TF_HTTP_USERNAME and TF_HTTP_PASSWORD/],
  [
    'no password',
    { TF_HTTP_USERNAME: undefined, TF_HTTP_PASSWORD: undefined },
    /requires auth[^]*set TF_HTTP_USERNAME and TF_HTTP_PASSWORD/,
  ],
  ['an unknown certificate', { SSL_CERT_FILE: undefined }, /certificate[^]*SSL_CERT_FILE/],
])('%s', async (_name, over, said) => {
  const before = generation();
  forgetBackend();
  const planned = npmRunPlan(over);
  expect(planned.status).toBe(3);
  expect(planned.text).toMatch(said);
  expect(planned.text).not.toContain(PASSWORD);
  expect(planned.text).not.toMatch(/\n\s+at /);
  expect(generation()).toBe(before);
  expect((await fetchPath('/')).status).toBe(200);
});

test('no state server: nothing is deployed, the mirror serves', async () => {
  const deployment = checkout(schedule(7));
  const before = generation();
  await server.stop();
  const applied = deployment.apply();
  expect(applied.status).not.toBe(0);
  expect(applied.text).toMatch(/connection refused/);
  for (const prepare of [() => undefined, forgetBackend]) {
    prepare();
    const planned = npmRunPlan();
    expect(planned.status).toBe(3);
    expect(planned.text).toContain('Where the state is kept does not answer. Nothing was read and nothing was changed');
  }
  expect(generation()).toBe(before);
  expect((await fetchPath('/')).status).toBe(200);
  server = await startStateServer(options, server.directory);
  deployment.remove();
});

test('the state server dies while a deploy runs: the mirror is at the new generation, and the next deploy converges', async () => {
  const deployment = checkout(schedule(8));
  const before = generation();
  const deploy = await holdTheLock(deployment);
  const { ID: id } = JSON.parse(readFileSync(lockFile(), 'utf8')) as { ID: string };
  const result = deploy.finish();
  // Terraform reads the state once, after it has the lock; then it knows what to do, and the server dies.
  for (let i = 0; i < 4000 && !deploy.requests().includes('GET /mirror 200'); i++) await sleep(5);
  await server.stop();
  const { status, text } = await result;
  server = await startStateServer(options, server.directory);
  expect(status).not.toBe(0);
  expect(text).toContain('errored.tfstate');
  must(deployment.env['TERRAFORM_BINARY_NAME'] ?? 'terraform', ['force-unlock', '-force', id], {
    cwd: deployment.stack,
    env: deployment.env,
  });
  expect(generation()).toBe(before + 1);
  expect((await fetchPath('/')).status).toBe(200);
  const next = checkout(schedule(8));
  next.deploy();
  expect(generation()).toBe(before + 1);
  expect(next.plan().sentences).toEqual([]);
  next.remove();
  deployment.remove();
  await withDeployment(asItIs, (last) => last.deploy(), remote());
});
