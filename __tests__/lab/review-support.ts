/**
 * Runs the blocks of the workflow files as the platforms' runners do: each job in a fresh checkout of a bare remote, each block by the same
 * shell with the same options, with the variables that its step declares and no others of ours.
 *
 * `uses:` steps cannot run here; what they do (checkout, Node, Terraform) is done by this file and the machine.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evaluate, executed, gitlabFile, gitlabRule, gitlabScript, workflow, type GitlabJob } from './review-files';
import { ROOT, must, run, type Finished } from './support';

export const GITHUB_TOKEN = 'ghs_0123456789abcdefCANARYGITHUB';
export const GITLAB_TOKEN = 'glpat-0123456789CANARYGITLAB';
/** A platform with its repository: a bare remote, comments, the runner's own environment, and the secrets of its environments. */
export class Platform {
  readonly directory = mkdtempSync(join(tmpdir(), 'mirror-review-'));
  readonly remote = join(this.directory, 'mirror.git');
  /** Where a colleague works. */
  readonly clone = join(this.directory, 'colleague');
  private server: ChildProcess | undefined;
  private port = 0;
  private jobs = 0;
  private modules: string | undefined;

  /**
   * @param environment what the lab needs in each job, and the project's main.ts for production would hold
   * @param secrets GitHub's secrets and variables of an environment, by name
   * @param variables GitLab's
   */
  constructor(
    private readonly environment: NodeJS.ProcessEnv,
    private readonly secrets: Record<string, string>,
    private readonly variables: Record<string, string>,
  ) {}

  /** A bare remote with the files of this checkout as its main branch. */
  async start(): Promise<void> {
    must('git', ['init', '-q', '--bare', '-b', 'main', this.remote]);
    // GitHub and GitLab serve any commit by its id.
    must('git', ['-C', this.remote, 'config', 'uploadpack.allowAnySHA1InWant', 'true']);
    must('git', ['init', '-q', '-b', 'main', this.clone]);
    const files = must('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard']).split('\0');
    for (const file of files.filter((f) => f !== '' && existsSync(join(ROOT, f)))) cpSync(join(ROOT, file), join(this.clone, file));
    this.git('remote', 'add', 'origin', this.remote);
    this.commit('The project');
    this.git('push', '-q', 'origin', 'main');
    this.server = spawn(process.execPath, [join(ROOT, '__tests__', 'support', 'platform-server.mjs'), GITHUB_TOKEN, GITLAB_TOKEN], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.port = await new Promise<number>((resolve) =>
      this.server?.stdout?.once('data', (data: Buffer) => resolve(Number(data.toString()))),
    );
  }

  stop(): void {
    this.server?.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  git(...args: string[]): string {
    const identity = ['-c', 'user.name=A colleague', '-c', 'user.email=colleague@example.org'];
    return must('git', ['-C', this.clone, ...identity, ...args]).trim();
  }

  commit(message: string): string {
    this.git('add', '-A');
    this.git('commit', '-q', '--allow-empty', '-m', message);
    return this.git('rev-parse', 'HEAD');
  }

  edit(file: string, change: (text: string) => string): void {
    const path = join(this.clone, file);
    const before = readFileSync(path, 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`the edit of ${file} changed nothing`);
    writeFileSync(path, after);
  }

  /** A branch from main, with one commit; pushed, and merged with main into what a pull request's job checks out. */
  pullRequest(number: number, branch: string, change: () => void): { head: string; merge: string } {
    this.git('checkout', '-q', '-B', branch, 'main');
    return this.pushToPull(number, branch, change);
  }

  pushToPull(number: number, branch: string, change: () => void): { head: string; merge: string } {
    this.git('checkout', '-q', branch);
    change();
    const head = this.commit(`Change of ${branch}`);
    this.git('push', '-q', '--force', 'origin', branch);
    this.git('checkout', '-q', '--detach', 'main');
    this.git('merge', '-q', '--no-ff', '-m', `Merge ${branch}`, branch);
    const merge = this.git('rev-parse', 'HEAD');
    this.git('push', '-q', '--force', 'origin', `HEAD:refs/pull/${number}/merge`);
    this.git('checkout', '-q', 'main');
    return { head, merge };
  }

  /** What the button does. */
  merge(branch: string): string {
    this.git('checkout', '-q', 'main');
    this.git('merge', '-q', '--no-ff', '-m', `Merge ${branch}`, branch);
    this.git('push', '-q', 'origin', 'main');
    return this.git('rev-parse', 'HEAD');
  }

  refs(...patterns: string[]): string[] {
    return must('git', ['-C', this.remote, 'for-each-ref', '--format=%(refname)', ...patterns])
      .split('\n')
      .filter((l) => l !== '');
  }

  async recorded(): Promise<{ comments: { id: number; pull: number; body: string; login: string; edited: number }[]; requests: string[] }> {
    return (await (await fetch(`http://127.0.0.1:${this.port}/recorded`)).json()) as never;
  }

  async commentAs(login: string, pull: number, body: string): Promise<void> {
    await fetch(`http://127.0.0.1:${this.port}/recorded`, { method: 'POST', body: JSON.stringify({ login, pull, body }) });
  }

  /** A fresh checkout of a commit, as actions/checkout makes it. */
  private checkout(commit: string, depth: number): string {
    const workspace = join(this.directory, `job-${++this.jobs}`);
    mkdirSync(workspace);
    const git = (...args: string[]): string => must('git', ['-C', workspace, ...args]);
    git('init', '-q');
    git('remote', 'add', 'origin', `file://${this.remote}`);
    git('fetch', '-q', '--no-tags', ...(depth === 0 ? [] : [`--depth=${depth}`]), 'origin', commit);
    git('checkout', '-q', '--detach', commit);
    return workspace;
  }

  /** Runs the jobs of a workflow whose conditions hold, in order; stops at the first block that fails. */
  github(
    file: string,
    event: 'pull_request' | 'push' | 'workflow_dispatch',
    commit: string,
    options: { pull?: number; fork?: boolean; until?: string } = {},
  ): JobRun[] {
    const context = {
      event_name: event,
      repository: 'example/mirror',
      token: GITHUB_TOKEN,
      ref: event === 'pull_request' ? `refs/pull/${options.pull}/merge` : 'refs/heads/main',
      event: {
        pull_request: {
          number: options.pull,
          head: { repo: { full_name: options.fork ? 'stranger/mirror' : 'example/mirror' } },
          user: { login: 'a-colleague' },
        },
      },
    };
    const needs: Record<string, { result: string }> = {};
    const done: JobRun[] = [];
    for (const [name, job] of Object.entries(workflow(file).jobs)) {
      if (done.at(-1)?.job === options.until && options.until !== undefined) break;
      const condition = evaluate(job.if ?? 'success()', { github: context, needs });
      needs[name] = { result: 'skipped' };
      if (condition !== true) continue;
      const checkoutStep = job.steps[0] as { with?: { 'fetch-depth'?: number } };
      const workspace = this.checkout(commit, checkoutStep.with?.['fetch-depth'] ?? 1);
      const temp = join(this.directory, `temp-${this.jobs}`);
      mkdirSync(temp);
      const eventFile = join(temp, 'event.json');
      writeFileSync(eventFile, JSON.stringify(event === 'pull_request' ? { pull_request: context.event.pull_request } : {}));
      const environment = String(
        evaluate((job.environment ?? "''").replace(/^\$\{\{(.*)\}\}$/, '$1').replace(/^(?!.*['=])(.*)$/, "'$1'"), {
          github: context,
          needs,
        }),
      );
      const outside = options.fork ? {} : this.environment;
      const base: NodeJS.ProcessEnv = {
        ...machine(),
        ...outside,
        CI: 'true',
        GITHUB_ACTIONS: 'true',
        GITHUB_API_URL: `http://127.0.0.1:${this.port}/github`,
        GITHUB_SERVER_URL: 'http://github.invalid',
        GITHUB_REPOSITORY: 'example/mirror',
        GITHUB_EVENT_PATH: eventFile,
        GITHUB_STEP_SUMMARY: join(temp, 'summary.md'),
        RUNNER_TEMP: temp,
      };
      let text = '';
      let status = 0;
      for (const step of job.steps) {
        if (step.run === undefined || status !== 0) continue;
        const env = { ...base };
        for (const [key, value] of Object.entries(step.env ?? {})) env[key] = this.expression(value, context, environment);
        const finished = this.block(`${file} ${name}`, step.run, workspace, env, ['-e'], options.fork === true);
        text += finished.text;
        status = finished.status;
      }
      needs[name] = { result: status === 0 ? 'success' : 'failure' };
      const summary = existsSync(join(temp, 'summary.md')) ? readFileSync(join(temp, 'summary.md'), 'utf8') : '';
      done.push({ job: name, environment, status, text, workspace, temp, summary, env: base });
    }
    return done;
  }

  /** Runs the jobs of .gitlab-ci.yml whose rules hold, manual ones too. */
  gitlab(commit: string, variables: Record<string, string>, isolated = false): JobRun[] {
    const file = gitlabFile() as unknown as Record<string, GitlabJob>;
    const predefined = { CI_DEFAULT_BRANCH: 'main', CI_PROJECT_ID: '42', CI_MERGE_REQUEST_PROJECT_PATH: 'example/mirror', ...variables };
    const done: JobRun[] = [];
    let failed = false;
    for (const [name, job] of Object.entries(file)) {
      if (name.startsWith('.') || job.script === undefined || failed) continue;
      const rule = job.rules?.find((r) => gitlabRule(r.if, predefined));
      if (rule === undefined) continue;
      const workspace = this.checkout(commit, Number(job.variables?.['GIT_DEPTH'] ?? 20));
      const env: NodeJS.ProcessEnv = {
        ...machine(),
        ...(job.environment === undefined ? {} : this.environment),
        ...(job.environment === undefined ? {} : this.variables),
        ...(file['variables'] as unknown as Record<string, string>),
        ...job.variables,
        ...predefined,
        CI: 'true',
        GITLAB_CI: 'true',
        CI_API_V4_URL: `http://127.0.0.1:${this.port}/gitlab`,
        CI_SERVER_URL: 'http://gitlab.invalid',
        CI_PROJECT_URL: this.remote.replace(/\.git$/, ''),
      };
      let text = '';
      let status = 0;
      for (const line of gitlabScript(job)) {
        if (status !== 0) continue;
        const finished = this.block(`.gitlab-ci.yml ${name}`, line, workspace, env, ['-e', '-o', 'pipefail'], isolated);
        text += finished.text;
        status = finished.status;
      }
      failed = status !== 0;
      done.push({ job: name, environment: job.environment?.name ?? '', status, text, workspace, temp: '', summary: rule.when ?? '', env });
    }
    return done;
  }

  /**
   * One block by bash, from a file. `npm ci`, the same everywhere, really runs once for each file; its result is linked into later checkouts.
   * An isolated block has no network at all, but for npm.
   */
  block(name: string, script: string, cwd: string, env: NodeJS.ProcessEnv, options: readonly string[], isolated = false): Finished {
    const installs = script.trim() === 'npm ci';
    const installed = installs && [...executed].some((key) => key.split(' ')[0] === name.split(' ')[0] && key.endsWith(' npm ci'));
    executed.add(`${name} ${script}`);
    if (installed && this.modules !== undefined) {
      must('cp', ['-al', this.modules, join(cwd, 'node_modules')]);
      return { status: 0, stdout: '', stderr: '', text: '' };
    }
    const file = join(this.directory, 'block.sh');
    writeFileSync(file, script);
    const bash = ['bash', '--noprofile', '--norc', ...options, file];
    const [program, ...args] = isolated && !installs ? ['unshare', '--net', ...bash] : bash;
    const finished = run(program as string, args, { cwd, env });
    if (installs && finished.status === 0) this.modules = join(cwd, 'node_modules');
    return finished;
  }

  private expression(value: string, github: object, environment: string): string {
    return String(value).replace(/\$\{\{\s*([\w.]+)\s*\}\}/g, (_, path: string) => {
      if (path === 'github.token') return GITHUB_TOKEN;
      const secret = /^(?:secrets|vars)\.(\w+)$/.exec(path)?.[1];
      if (secret === undefined) throw new Error(`what is ${path}? ${JSON.stringify(github)}`);
      // Secrets belong to environments; what is not set is empty.
      return environment === '' ? '' : (this.secrets[secret] ?? '');
    });
  }
}

export interface JobRun {
  readonly job: string;
  readonly environment: string;
  readonly status: number;
  readonly text: string;
  readonly workspace: string;
  readonly temp: string;
  readonly summary: string;
  readonly env: NodeJS.ProcessEnv;
}

/** What any runner has. */
function machine(): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'LANG', 'CHECKPOINT_DISABLE', 'TF_CLI_CONFIG_FILE', 'MIRROR_PROVIDERS', 'TERRAFORM_BINARY_NAME'];
  const kept = Object.keys(process.env).filter((name) => names.includes(name) || /^npm_config_/i.test(name));
  return { ...Object.fromEntries(kept.map((name) => [name, process.env[name]])), npm_config_prefer_offline: 'true' };
}
