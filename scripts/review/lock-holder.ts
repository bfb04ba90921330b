/** Who holds the lock of a state that is kept by an HTTP server: Terraform 1.11 prints who asks instead, though the server says who holds it. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError } from '../../desired-state/errors';
import { stateLocked } from '../terraform-error';

interface HttpBackend {
  readonly lock_address?: string;
  readonly lock_method?: string;
  readonly unlock_address?: string;
  readonly unlock_method?: string;
}

/** Runs an action of Terraform in a stack's directory; when the state is locked, the error names the holder. */
export async function namingHolder<T>(directory: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof MirrorError) || error.code !== 'STATE_LOCKED') throw error;
    const holder = await holderOf(directory).catch(() => undefined);
    throw holder === undefined ? error : stateLocked(holder, error.remedy);
  }
}

/** Asks for the lock, as Terraform did, and reads the refusal; gives it back at once where it was free by now. */
async function holderOf(directory: string): Promise<string | undefined> {
  const json = JSON.parse(readFileSync(join(directory, 'cdk.tf.json'), 'utf8')) as { terraform?: { backend?: { http?: HttpBackend } } };
  const backend = json.terraform?.backend?.http;
  if (!backend?.lock_address || !backend.unlock_address) return undefined;
  const { TF_HTTP_USERNAME: user, TF_HTTP_PASSWORD: password } = process.env;
  const headers = {
    'content-type': 'application/json',
    ...(user ? { authorization: `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}` } : {}),
  };
  const own = {
    ID: randomUUID(),
    Operation: 'asks who holds the lock',
    Who: 'review',
    Version: '',
    Created: new Date().toISOString(),
    Info: '',
    Path: '',
  };
  const ask = (url: string, method: string): Promise<Response> =>
    fetch(url, { method, headers, body: JSON.stringify(own), signal: AbortSignal.timeout(10_000) });
  const answer = await ask(backend.lock_address, backend.lock_method ?? 'LOCK');
  if (answer.ok) {
    await ask(backend.unlock_address, backend.unlock_method ?? 'UNLOCK');
    return undefined;
  }
  return describeHolder(await answer.text());
}

/** What a state server says of the lock's holder, in Terraform's own format. Pure. */
export function describeHolder(body: string): string | undefined {
  let lock: { Who?: unknown; Created?: unknown; Operation?: unknown };
  try {
    lock = JSON.parse(body) as typeof lock;
  } catch {
    return undefined;
  }
  const text = (value: unknown): string => (typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '?').slice(0, 100) : '');
  const [who, created, operation] = [text(lock.Who), text(lock.Created), text(lock.Operation)];
  return who === '' ? undefined : `${who}${created ? ` since ${created}` : ''}${operation ? ` (${operation})` : ''}`;
}
