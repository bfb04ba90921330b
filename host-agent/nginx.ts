import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { request, type RequestOptions } from 'node:http';
import { request as secureRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { DesiredState } from '../desired-state/model';
import { lastWords, run } from './run';

const ERROR_LOG = '/var/log/nginx/error.log';
/** How long the generation before may still answer: nothing is lost meanwhile. */
const PROBE_SECONDS = 10;
/** How long anything else may answer, or nothing at all: clients see it too. */
const WRONG_ANSWER_SECONDS = 1.5;

/**
 * `nginx -t` of the server's whole configuration as it would be with `candidate` in place of `current`, in a mount namespace of its own:
 * nothing that serves sees it. `site` is the path by which nginx includes our vhost. Throws MirrorError (invalid) with nginx's words.
 */
export async function testConfiguration(candidate: string, current: string, site: string): Promise<void> {
  // Directories are arguments, not part of the script.
  const script = 'mount --bind "$1" "$2" && exec nginx -t -q';
  const result = await run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', candidate, current]);
  if (result.exitCode === 0) return;
  const words = namesCurrent(lastWords(result), candidate, current);
  const ours = words.includes('/etc/mirror/') || words.includes(site);
  throw new MirrorError({
    code: 'NGINX_INVALID',
    message: `nginx does not accept the new configuration: ${words}`,
    remedy: ours
      ? 'Correct what the vhost or repository renders. Nothing was changed: the previous generation serves.'
      : 'The fault is in a file of the server that is not ours: correct it there (nginx -t). Nothing was changed.',
    exitCode: ExitCode.invalid,
  });
}

/** nginx names files by the path they had in the namespace: say where they are. Pure. */
export function namesCurrent(words: string, candidate: string, current: string): string {
  return distinctLines(words.split(`${current}/`).join(`${candidate}/`)).join('\n');
}

/** nginx's lines without its clock and process id, each once: it says the same for every address and attempt. Pure. */
export function distinctLines(log: string): string[] {
  const lines = log.split('\n').map((line) => line.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+: (\*\d+ )?/, '$1 ').trim());
  return [...new Set(lines)].filter((line) => line !== '');
}

/** Lets nginx take over the configuration on disk, starting it when it does not run. */
export async function reloadNginx(): Promise<void> {
  const before = logSize();
  const result = await run('systemctl', ['reload-or-restart', 'nginx.service']);
  if (result.exitCode === 0) return;
  throw new MirrorError({
    code: 'NGINX_FAILED',
    message: `nginx does not start: ${logSince(before) || (await journalOfNginx())}`,
    remedy: 'If the port is taken, see who holds it (ss -ltnp) and stop that program, or declare another port.',
    exitCode: ExitCode.environment,
  });
}

/** Waits until this generation answers over new connections, and `/` without a server error. Throws MirrorError when it does not. */
export async function probe(target: DesiredState['probe'], generation: number, tlsPort?: number): Promise<void> {
  const before = logSize();
  const started = Date.now();
  let wrongSince: number | undefined;
  for (;;) {
    const answer = await get(target, '/.mirror/generation');
    const verdict = judgeAnswer(answer, generation);
    if (verdict === 'right') break;
    if (verdict === 'other generation') wrongSince = undefined;
    else wrongSince ??= Date.now();
    const waited = (Date.now() - started) / 1000;
    if (waited > PROBE_SECONDS || (wrongSince !== undefined && (Date.now() - wrongSince) / 1000 > WRONG_ANSWER_SECONDS)) {
      const said = answer.status === 0 ? answer.body : `status ${answer.status}, ${JSON.stringify(answer.body.slice(0, 60))}`;
      const log = logSince(before);
      throw new MirrorError({
        code: 'PROBE_FAILED',
        message:
          `generation ${generation} does not answer at http://127.0.0.1:${target.port}/.mirror/generation (Host: ${target.serverName}) ` +
          `after ${waited.toFixed(1)} s; the last answer was ${said}${log === '' ? '' : `; nginx says: ${log}`}`,
        remedy:
          'Check that the vhost listens on this port for this name, includes nginx/generation.conf, and that nothing else holds the port.',
        exitCode: ExitCode.environment,
      });
    }
    await sleep(20);
  }
  const secure = tlsPort === undefined ? undefined : await getByTls(target, tlsPort);
  if (secure !== undefined && judgeAnswer(secure, generation) === 'wrong') {
    throw new MirrorError({
      code: 'PROBE_FAILED',
      message: `generation ${generation} does not answer at https://127.0.0.1:${tlsPort} (Host: ${target.serverName}): ${secure.status === 0 ? secure.body : `status ${secure.status}`}`,
      remedy: `See ${ERROR_LOG} on the server, and that nothing else holds the port.`,
      exitCode: ExitCode.environment,
    });
  }
  const root = await get(target, '/');
  if (root.status === 0 || root.status >= 500) {
    throw new MirrorError({
      code: 'PROBE_FAILED',
      message: `generation ${generation} answers / with ${root.status === 0 ? root.body : `status ${root.status}`}`,
      remedy: `See ${ERROR_LOG} on the server.`,
      exitCode: ExitCode.environment,
    });
  }
}

/** Whether a new connection by TLS is answered. Who trusts the certificate is not asked: one made by the server itself nobody does. */
function getByTls(target: DesiredState['probe'], port: number): Promise<Answer> {
  return answerTo(secureRequest, { port, path: '/.mirror/generation', servername: target.serverName, rejectUnauthorized: false }, target);
}

/** An HTTP answer; status 0 means none, and the body says why. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** What an answer to the probe means: workers of the generation before may still be there for a moment. Pure. */
export function judgeAnswer(answer: Answer, generation: number): 'right' | 'other generation' | 'wrong' {
  if (answer.status !== 200 || !/^\d+\n?$/.test(answer.body)) return 'wrong';
  return Number(answer.body) === generation ? 'right' : 'other generation';
}

function get(target: DesiredState['probe'], path: string): Promise<Answer> {
  return answerTo(request, { port: target.port, path }, target);
}

function answerTo(
  send: typeof request,
  to: RequestOptions & { servername?: string; rejectUnauthorized?: boolean },
  target: DesiredState['probe'],
): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', headers: { host: target.serverName }, agent: false as const, timeout: 3000, ...to };
    const sent = send(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        if (body.length < 4096) body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', (error) => resolve({ status: 0, body: error.message }));
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer within 3 s')));
    sent.on('error', (error) => resolve({ status: 0, body: error.message }));
    sent.end();
  });
}

function logSize(): number {
  try {
    return statSync(ERROR_LOG).size;
  } catch {
    return 0;
  }
}

/** What nginx logged as an error after `offset`, at most a few lines. */
function logSince(offset: number): string {
  try {
    const length = Math.min(statSync(ERROR_LOG).size - offset, 64 * 1024);
    if (length <= 0) return '';
    const fd = openSync(ERROR_LOG, 'r');
    const buffer = Buffer.alloc(length);
    readSync(fd, buffer, 0, length, offset);
    closeSync(fd);
    const errors = distinctLines(buffer.toString('utf8')).filter((line) => /^\[(emerg|alert|crit|error)\]/.test(line));
    return errors.slice(0, 3).join('; ');
  } catch {
    return '';
  }
}

async function journalOfNginx(): Promise<string> {
  return lastWords(await run('journalctl', ['-u', 'nginx.service', '-n', '6', '--no-pager', '-o', 'cat']));
}
