/**
 * Who holds the lock of a state that an HTTP server keeps. Terraform 1.11 prints only the lock's id, and itself as "Who"; the server tells the
 * holder to whoever asks for the lock. Best effort: what cannot be found out is not said.
 */
import { existsSync, readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { MirrorError } from '../desired-state/errors';

interface Backend {
  readonly lock_address?: string;
  readonly lock_method?: string;
  readonly unlock_address?: string;
  readonly unlock_method?: string;
}
interface Holder {
  readonly ID: string;
  readonly Who: string;
  readonly Operation: string;
  readonly Created: string;
}

/** The error, with the holder's name in its remedy where it is about the lock of a state on an HTTP server. */
export async function withLockHolder(error: MirrorError, output: string, environment: NodeJS.ProcessEnv): Promise<MirrorError> {
  const id = /HTTP remote state already locked:\s*(?:[│|]\s*)?ID=([\w-]+)/.exec(error.message)?.[1];
  if (id === undefined) return error;
  for (const backend of backendsIn(output)) {
    const holder = await ask(backend, environment).catch(() => undefined);
    if (holder?.ID !== id) continue;
    const { code, message, exitCode } = error;
    const remedy = `The holder is ${clean(holder.Who)}, since ${clean(holder.Created)} (${clean(holder.Operation)}). ${error.remedy}`;
    return new MirrorError({ code, message, remedy, exitCode, cause: error });
  }
  return error;
}

/** What a server says goes to a terminal. */
const clean = (text: unknown): string =>
  String(text)
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 100);

function backendsIn(output: string): Backend[] {
  const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
  const { stacks } = read(join(output, 'manifest.json')) as { stacks: Record<string, { synthesizedStackPath: string }> };
  return Object.values(stacks).flatMap(({ synthesizedStackPath }) => {
    const { terraform } = read(join(output, synthesizedStackPath)) as { terraform?: { backend?: { http?: Backend } } };
    return terraform?.backend?.http ?? [];
  });
}

/** Asks for the lock; gives it back at once where it has become free meanwhile. */
async function ask(backend: Backend, environment: NodeJS.ProcessEnv): Promise<Holder | undefined> {
  if (backend.lock_address === undefined || backend.unlock_address === undefined) return undefined;
  const mine = JSON.stringify({
    ID: `npm-run-plan-${process.pid}-${Date.now()}`,
    Operation: 'OperationTypeInvalid',
    Info: 'asks who holds the lock',
    Who: environment['USER'] ?? '',
    Created: new Date().toISOString(),
  });
  const { status, body } = await send(backend.lock_method ?? 'LOCK', backend.lock_address, mine, environment);
  if (status === 200) await send(backend.unlock_method ?? 'UNLOCK', backend.unlock_address, mine, environment);
  return status === 423 || status === 409 ? (JSON.parse(body) as Holder) : undefined;
}

function send(method: string, address: string, body: string, environment: NodeJS.ProcessEnv): Promise<{ status: number; body: string }> {
  const url = new URL(address);
  const user = environment['TF_HTTP_USERNAME'];
  // The same authorities as Terraform trusts.
  const files = [environment['SSL_CERT_FILE'], '/etc/ssl/certs/ca-certificates.crt'].filter(
    (file) => file !== undefined && existsSync(file),
  );
  const options = {
    method,
    timeout: 5000,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    ...(user === undefined ? {} : { auth: `${user}:${environment['TF_HTTP_PASSWORD'] ?? ''}` }),
  };
  return new Promise((resolve, reject) => {
    const outgoing =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...options, ca: [...rootCertificates, ...files.map((file) => readFileSync(file as string, 'utf8'))] })
        : httpRequest(url, options);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
