/** The workflow files as the platforms read them: jobs, conditions and blocks. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from './support';

interface Step {
  readonly name?: string;
  readonly run?: string;
  readonly uses?: string;
  readonly env?: Record<string, string>;
}
interface Job {
  readonly if?: string;
  readonly environment?: string;
  readonly steps: readonly Step[];
}
type Rule = { readonly if: string; readonly when?: string };
export interface GitlabJob {
  readonly extends?: string;
  readonly rules?: readonly Rule[];
  readonly before_script?: readonly string[];
  readonly script: readonly string[];
  readonly variables?: Record<string, string>;
  readonly environment?: { readonly name: string };
}

export const WORKFLOWS = ['plan.yml', 'deploy.yml'] as const;

export const workflow = (file: string): { jobs: Record<string, Job> } =>
  parse(readFileSync(join(ROOT, '.github', 'workflows', file), 'utf8')) as { jobs: Record<string, Job> };
export const gitlabFile = (): Record<string, GitlabJob> & { default: { before_script: string[] }; variables: Record<string, string> } =>
  parse(readFileSync(join(ROOT, '.gitlab-ci.yml'), 'utf8')) as never;

/** Blocks that ran, as `file job block`. */
export const executed = new Set<string>();

/** Every block of every file, as `executed` names them. */
export function allBlocks(): string[] {
  const github = WORKFLOWS.flatMap((file) =>
    Object.entries(workflow(file).jobs).flatMap(([job, { steps }]) =>
      steps.flatMap((s) => (s.run === undefined ? [] : [`${file} ${job} ${s.run}`])),
    ),
  );
  const gitlab = Object.entries(gitlabFile() as unknown as Record<string, GitlabJob>).flatMap(([name, job]) =>
    name.startsWith('.') || !Array.isArray(job.script) ? [] : gitlabScript(job).map((line) => `.gitlab-ci.yml ${name} ${line}`),
  );
  return [...github, ...gitlab];
}

/** What a job runs, in order: with the template that it extends, and the default. */
export function gitlabScript(job: GitlabJob): string[] {
  const file = gitlabFile();
  const before = job.before_script ?? (job.extends ? file[job.extends]?.before_script : undefined) ?? file.default.before_script;
  return [...before, ...job.script];
}

/** GitHub's expressions are near enough to JavaScript for the ones that we use. */
export function evaluate(expression: string, context: { github: object; needs: Record<string, { result: string }> }): unknown {
  const text = expression.replace(/([^=!])==([^=])/g, '$1===$2').replaceAll('!=', '!==');
  const success = Object.values(context.needs).every((n) => n.result !== 'failure');
  // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call
  return new Function('github', 'needs', 'cancelled', 'success', `return ${text}`)(
    context.github,
    context.needs,
    () => false,
    () => success,
  );
}

/** Rules of GitLab: comparisons of variables with texts or variables, joined by `&&`. */
export function gitlabRule(rule: string, variables: Record<string, string>): boolean {
  return rule.split('&&').every((part) => {
    const [left, operator, right] = /^\s*(\S+)\s*(==|!=)\s*(\S+)\s*$/.exec(part)?.slice(1) as [string, string, string];
    const value = (term: string): string | undefined => (term.startsWith('$') ? variables[term.slice(1)] : term.slice(1, -1));
    return (value(left) === value(right)) === (operator === '==');
  });
}
