/**
 * What lab tests share: the hosts, `terraform` on variants of the real main.ts, and a client that polls the site.
 *
 * All files use one lab instance, one after the other, in the order of their names; each leaves the server as the real main.ts declares it.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildSync } from 'esbuild';
import { canonicalJson, sha256 } from '../../desired-state/canonical';
import type { DesiredState } from '../../desired-state/model';
import { programsDigestBy, SERVER_PROGRAMS } from '../../desired-state/programs';
import { summarize, type PlanSummary, type TerraformPlan } from '../../scripts/plan-summary';

export const ROOT = join(__dirname, '..', '..');
export const NAME = 'mirror.example.org';

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, without colours and cursor movements. */
  readonly text: string;
}

export function run(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; cwd?: string } = {},
): Finished {
  const result = spawnSync(program, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 28, ...options, env: options.env ?? process.env });
  if (result.error) throw result.error;
  const text = `${result.stdout}${result.stderr}`.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '');
  return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr, text };
}

/** As `run`, but a failure fails the test with what was printed. */
export function must(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; cwd?: string } = {},
): string {
  const result = run(program, args, options);
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} exited ${result.status}:\n${result.text.slice(-4000)}`);
  return result.stdout;
}

export const lab = (...args: string[]): string => must(process.execPath, ['dist/lab.cjs', ...args]);

let known: Record<string, string> | undefined;
/** What `lab env` prints; it does not change while an instance is up. */
export const labEnvironment = (): Record<string, string> =>
  (known ??= JSON.parse(must('scripts/lab', ['env', '--json'])) as Record<string, string>);

/** Runs a shell command on the mirror host as root. */
export const onMirror = (command: string): string => lab('ssh', 'mirror', command);
export const tryOnMirror = (command: string): Finished => run(process.execPath, ['dist/lab.cjs', 'ssh', 'mirror', command]);

/** Copies a file to the mirror host, where everybody may read it; returns its path there. */
export function putOnMirror(file: string): string {
  const target = `/var/tmp/${basename(file)}`;
  onMirror(`base64 -d > ${target} <<'X'\n${readFileSync(file).toString('base64')}\nX\nchmod 644 ${target}`);
  return target;
}

/** The blocks of one kind in a page, `docs/how-to/….md`, without the indentation of a list that they are in. */
export function codeBlocks(page: string, kind: string): readonly string[] {
  const found = readFileSync(join(ROOT, page), 'utf8').matchAll(/^( *)```(\w+)\n([^]*?)^ *```/gm);
  return [...found].flatMap(([, indent = '', of, text = '']) =>
    of === kind ? [text.replaceAll(new RegExp(`^${indent}`, 'gm'), '').trim()] : [],
  );
}

/** The environment that deploys to the lab. */
export function deployEnvironment(over: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...labEnvironment(), ...over };
}

/** A synthesized directory of the real main.ts, or of a variant of it, with Terraform initialized. */
export class Deployment {
  readonly directory: string;
  readonly stack: string;
  readonly env: NodeJS.ProcessEnv;

  /**
   * @param edit changes the text of main.ts
   * @param over environment that differs from the lab's
   */
  constructor(edit: (main: string) => string = (main) => main, over: NodeJS.ProcessEnv = {}) {
    this.env = deployEnvironment(over);
    this.directory = mkdtempSync(join(tmpdir(), 'mirror-deployment-'));
    const source = join(ROOT, 'dist', 'variants', `${sha256(this.directory).slice(0, 12)}.ts`);
    const program = source.replace(/\.ts$/, '.js');
    mkdirSync(join(ROOT, 'dist', 'variants'), { recursive: true });
    const main = readFileSync(join(ROOT, 'main.ts'), 'utf8');
    const edited = edit(main);
    writeFileSync(source, edited.replaceAll("'./constructs'", "'../../constructs'"));
    buildSync({ entryPoints: [source], outfile: program, bundle: true, platform: 'node', packages: 'external', logLevel: 'error' });
    must(process.execPath, [program], { env: { ...this.env, CDKTF_OUTDIR: this.directory } });
    rmSync(source);
    rmSync(program);
    this.stack = join(this.directory, 'stacks', 'mirror');
    must(this.terraformBinary, ['init', '-input=false', '-no-color'], { cwd: this.stack, env: this.env });
  }

  private get terraformBinary(): string {
    return this.env['TERRAFORM_BINARY_NAME'] ?? 'terraform';
  }

  terraform(...args: string[]): Finished {
    return run(this.terraformBinary, args, { cwd: this.stack, env: this.env });
  }

  plan(...args: string[]): PlanSummary & { text: string; elements: Record<string, string>; json: TerraformPlan } {
    const planned = this.terraform('plan', '-input=false', '-no-color', '-out=test.tfplan', ...args);
    if (planned.status !== 0) throw new Error(planned.text.slice(-4000));
    const plan = JSON.parse(
      must(this.terraformBinary, ['show', '-json', 'test.tfplan'], { cwd: this.stack, env: this.env }),
    ) as TerraformPlan;
    const elements = (plan.resource_changes ?? [])
      .filter((c) => c.change.actions.join() !== 'no-op' && c.type === 'null_resource')
      .map((c) => [(c.change.after ?? c.change.before)?.triggers?.['element'] ?? c.address, c.change.actions.join()]);
    return { ...summarize(plan), text: planned.text, elements: Object.fromEntries(elements) as Record<string, string>, json: plan };
  }

  apply(): Finished {
    return this.terraform('apply', '-input=false', '-no-color', '-auto-approve');
  }

  /** Applies what `plan` planned. */
  applyPlanned(): Finished {
    return this.terraform('apply', '-input=false', '-no-color', 'test.tfplan');
  }

  /** Applies, and fails the test where that fails. */
  deploy(): string {
    const result = this.apply();
    if (result.status !== 0) throw new Error(`apply exited ${result.status}:\n${result.text.slice(-4000)}`);
    return result.text;
  }

  /** Starts an apply in the background. */
  startApply(): ChildProcess {
    return spawn(this.terraformBinary, ['apply', '-input=false', '-no-color', '-auto-approve', '-lock-timeout=60s'], {
      cwd: this.stack,
      env: this.env,
      stdio: 'pipe',
    });
  }

  /** Changes rendered text below the validation of the constructs; digests are made to match, as a defect of ours would. */
  inject(change: (state: DesiredState) => void): void {
    const file = join(this.stack, 'mirror', 'desired-state.json');
    const before = readFileSync(file, 'utf8');
    const state = JSON.parse(before) as DesiredState;
    change(state);
    const after = canonicalJson(state);
    writeFileSync(file, after);
    const json = join(this.stack, 'cdk.tf.json');
    writeFileSync(json, readFileSync(json, 'utf8').replaceAll(sha256(before), sha256(after)));
  }

  /** Makes the server programs those of another version. */
  upgradePrograms(): void {
    const directory = join(this.stack, 'mirror');
    for (const name of SERVER_PROGRAMS) appendFileSync(join(directory, name), '// upgraded\n');
    const json = join(this.stack, 'cdk.tf.json');
    const text = readFileSync(json, 'utf8');
    const planned = /"programs": "([0-9a-f]{64})"/.exec(text)?.[1];
    if (planned === undefined) throw new Error('the synthesized stack plans no programs');
    const next = programsDigestBy((name) => sha256(readFileSync(join(directory, name))));
    writeFileSync(json, text.replaceAll(planned, next));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Runs with a deployment and removes it. */
export async function withDeployment<T>(
  edit: (main: string) => string,
  work: (deployment: Deployment) => T | Promise<T>,
  over: NodeJS.ProcessEnv = {},
): Promise<T> {
  const deployment = new Deployment(edit, over);
  try {
    return await work(deployment);
  } finally {
    deployment.remove();
  }
}

export const asItIs = (main: string): string => main;
/** main.ts with lines added before its end. */
export const adding =
  (lines: string) =>
  (main: string): string =>
    main.replace('\napp.synth();', `\n${lines}\napp.synth();`);
/** main.ts that imports these constructs, too. */
export const importing =
  (...names: readonly string[]) =>
  (main: string): string => {
    const missing = names.filter((name) => !main.includes(`  ${name},\n`));
    return main.replace('  MirrorServer,\n', `  MirrorServer,\n${missing.map((name) => `  ${name},\n`).join('')}`);
  };
/** main.ts without the builds that it declares: a test declares its own of that branch. */
export const withoutBuilds = (main: string): string => main.replace(/\n\/\/ ---- StarlingX master[^]*?(?=\n\/\/ ---- )/, '\n');

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One request to the site over a new connection, by the name that clients use. */
export function fetchPath(path: string, port = 80): Promise<Answer> {
  const address = labEnvironment()['MIRROR_ADDRESS'] as string;
  return request(address, port, path);
}

export function request(address: string, port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = get(
      { host: address, port, path, agent: false, headers: { host: NAME, connection: 'close' }, timeout: 5000 },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
    outgoing.on('error', reject);
  });
}

/** Runs in a process of its own, since `run` blocks this one. */
const POLLER = `
  const { get } = require('node:http');
  const [address, path, host] = process.argv.slice(1);
  let running = true, requests = 0;
  const bad = [];
  const once = () => new Promise((resolve) => {
    const request = get({ host: address, path, agent: false, headers: { host, connection: 'close' }, timeout: 5000 }, (response) => {
      response.resume();
      response.on('end', () => { if (response.statusCode !== 200) bad.push(String(response.statusCode)); resolve(); });
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', (error) => { bad.push(error.message); resolve(); });
  });
  process.on('SIGTERM', () => { running = false; });
  (async () => {
    while (running) { requests++; await once(); await new Promise((r) => setTimeout(r, 10)); }
    process.stdout.write(JSON.stringify({ requests, bad }));
  })();`;

/** Asks for a path again and again, over new connections, until stopped; `stop` returns every answer that was not 200. */
export function poll(path: string): { stop(): Promise<{ requests: number; bad: string[] }> } {
  const child = spawn(process.execPath, ['-e', POLLER, labEnvironment()['MIRROR_ADDRESS'] as string, path, NAME], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return {
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'close');
      return JSON.parse(said) as { requests: number; bad: string[] };
    },
  };
}

/** Real dnf on the client host, with only these yum configuration files. */
export function dnf(repoFiles: readonly string[], ...args: string[]): Finished {
  return run(process.execPath, ['dist/lab.cjs', 'dnf', ...repoFiles.flatMap((f) => ['--repo-file', f]), '--', ...args]);
}

export function generation(): number {
  return Number(onMirror('basename $(readlink /etc/mirror/current)').trim());
}
