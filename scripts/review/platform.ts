/** The pull request that a job runs for, on GitHub or GitLab, and our comment there. */
import { readFileSync } from 'node:fs';
import { ExitCode, MirrorError } from '../../desired-state/errors';

/** Where comments of one pull request are read and written. Found from the environment that the platform gives to its jobs. */
export interface PullRequest {
  readonly platform: 'GitHub' | 'GitLab';
  readonly number: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Of all comments: GET to list, POST to add. */
  readonly comments: string;
  /** Of one comment, and the method that replaces its text. */
  readonly comment: (id: number) => string;
  readonly update: 'PATCH' | 'PUT';
  /** Who the token is. */
  readonly self: string;
}

interface Comment {
  readonly id: number;
  readonly body?: string;
  readonly user?: { readonly login?: string };
  readonly author?: { readonly username?: string };
}

/** The pull request that this job is for; undefined where it is for none. */
export function pullRequest(environment: NodeJS.ProcessEnv): PullRequest | undefined {
  if (environment['GITHUB_ACTIONS'] === 'true') return github(environment);
  if (environment['GITLAB_CI'] === 'true') return gitlab(environment);
  throw new MirrorError({
    code: 'NO_PLATFORM',
    message: 'This is neither a job of GitHub Actions nor of GitLab CI (GITHUB_ACTIONS and GITLAB_CI are not "true").',
    remedy: 'The comment as it would be posted: cdktf.out/review/<stack>/comment.md',
    exitCode: ExitCode.usage,
  });
}

function github(environment: NodeJS.ProcessEnv): PullRequest | undefined {
  const event = JSON.parse(readFileSync(required(environment, 'GITHUB_EVENT_PATH'), 'utf8')) as { pull_request?: { number?: number } };
  const number = event.pull_request?.number;
  if (number === undefined) return undefined;
  const api = required(environment, 'GITHUB_API_URL');
  const repository = `${api}/repos/${required(environment, 'GITHUB_REPOSITORY')}`;
  return {
    platform: 'GitHub',
    number,
    headers: {
      authorization: `Bearer ${required(environment, 'GITHUB_TOKEN')}`,
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
    },
    comments: `${repository}/issues/${number}/comments`,
    comment: (id) => `${repository}/issues/comments/${id}`,
    update: 'PATCH',
    self: `${api}/user`,
  };
}

function gitlab(environment: NodeJS.ProcessEnv): PullRequest | undefined {
  const number = environment['CI_MERGE_REQUEST_IID'];
  if (!number) return undefined;
  const api = required(environment, 'CI_API_V4_URL');
  const notes = `${api}/projects/${encodeURIComponent(required(environment, 'CI_PROJECT_ID'))}/merge_requests/${number}/notes`;
  return {
    platform: 'GitLab',
    number: Number(number),
    headers: { 'private-token': required(environment, 'GITLAB_TOKEN') },
    comments: notes,
    comment: (id) => `${notes}/${id}`,
    update: 'PUT',
    self: `${api}/user`,
  };
}

function required(environment: NodeJS.ProcessEnv, name: string): string {
  const value = environment[name];
  if (value) return value;
  throw new MirrorError({
    code: 'VARIABLE_MISSING',
    message: `${name} is not set.`,
    remedy: /TOKEN/.test(name)
      ? `Give this step a token that may comment: docs/how-to/review-plans.md says which.`
      : 'The platform sets it in its jobs.',
    exitCode: ExitCode.environment,
  });
}

/** Posts a comment, or replaces the text of the one that this token's user posted earlier with the same first line. */
export async function postComment(pull: PullRequest, text: string): Promise<'created' | 'updated'> {
  const own = await ownComment(pull, text.split('\n')[0] as string);
  if (own === undefined) await ask(pull, 'POST', pull.comments, { body: text });
  else await ask(pull, pull.update, pull.comment(own), { body: text });
  return own === undefined ? 'created' : 'updated';
}

/** Only a comment of our own: somebody else's with our first line would let its author change what it says later. */
async function ownComment(pull: PullRequest, firstLine: string): Promise<number | undefined> {
  const self = await whoAmI(pull);
  for (let page = 1; ; page++) {
    const comments = (await (await ask(pull, 'GET', `${pull.comments}?per_page=100&page=${page}`)).json()) as Comment[];
    const found = comments.find((c) => c.body?.split(/\r?\n/)[0] === firstLine && (c.user?.login ?? c.author?.username) === self);
    if (found) return found.id;
    if (comments.length < 100) return undefined;
  }
}

async function whoAmI(pull: PullRequest): Promise<string> {
  const answer = await request(pull, 'GET', pull.self);
  // The token of a workflow run is an app's installation, which has no user: its comments are the bot's.
  if (pull.platform === 'GitHub' && (answer.status === 401 || answer.status === 403)) return 'github-actions[bot]';
  if (!answer.ok) throw await refusal(pull, 'GET', pull.self, answer);
  const user = (await answer.json()) as { login?: string; username?: string };
  return user.login ?? user.username ?? '';
}

async function ask(pull: PullRequest, method: string, url: string, body?: unknown): Promise<Response> {
  const answer = await request(pull, method, url, body);
  if (!answer.ok) throw await refusal(pull, method, url, answer);
  return answer;
}

async function request(pull: PullRequest, method: string, url: string, body?: unknown): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: { ...pull.headers, 'content-type': 'application/json', 'user-agent': 'package-mirror-review' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
  } catch (error) {
    const cause = (error as Error).cause;
    throw new MirrorError({
      code: 'PLATFORM_UNREACHABLE',
      message: `${pull.platform} did not answer at ${url}: ${cause instanceof Error ? cause.message : (error as Error).message}`,
      remedy: 'The plan is stored already: run this job again to post the comment.',
      exitCode: ExitCode.unreachable,
      cause: error,
    });
  }
}

async function refusal(pull: PullRequest, method: string, url: string, answer: Response): Promise<MirrorError> {
  const said = (await answer.text()).slice(0, 300);
  return new MirrorError({
    code: 'PLATFORM_REFUSED',
    message: `${pull.platform} answered ${answer.status} to ${method} ${url}: ${said}`,
    remedy:
      answer.status === 401 || answer.status === 403 || answer.status === 404
        ? 'The token must be allowed to comment: GitHub: pull-requests: write; GitLab: scope api, role Reporter or higher.'
        : 'The plan is stored already: run this job again to post the comment.',
    exitCode: ExitCode.unreachable,
  });
}
