/** One address of a repository: does it answer, with what, and is the index signed. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import { DownloadError, isAbsent } from '../../downloads/errors';
import { type Answer, getSmall, type Hop, type HttpClient } from '../../downloads/http';
import { metadataRefused } from '../../rpm-metadata/errors';
import { MAX_REPOMD_BYTES, scanRepomd } from '../../rpm-metadata/repomd';
import { verifyDetached } from '../../signatures/detached';
import { issuersOf } from '../../signatures/issuers';
import type { KeyRing } from '../../signatures/pinned-keys';
import { type AddressReport, type Cause, type Problem, problemOf, type SignatureFact } from './types';

const MAX_SIGNATURE_BYTES = 256 * 1024;

export interface AddressContext {
  readonly client: HttpClient;
  readonly signal: AbortSignal;
  readonly ring: KeyRing | undefined;
  /** Of this repository alone. */
  readonly temporary: string;
}

/** An address with its index, where it has one. */
export interface Probed {
  readonly report: AddressReport;
  /** Ends in a slash. */
  readonly base: string;
  readonly index: { readonly bytes: Buffer; readonly signature: SignatureFact; readonly signatureBytes: number } | undefined;
}

/** Asks one address for `repomd.xml` and its signature. */
export async function probe(address: string, context: AddressContext): Promise<Probed> {
  const base = address.endsWith('/') ? address : `${address}/`;
  const url = `${base}repodata/repomd.xml`;
  const redirects: Hop[] = [];
  const started = performance.now();
  const report = (rest: Partial<AddressReport>): AddressReport => ({
    url: address,
    seconds: Math.round(performance.now() - started) / 1000,
    status: undefined,
    redirects,
    ...rest,
  });
  let answer: Answer;
  let bytes: Buffer;
  let seconds: number;
  try {
    const options = { maxBytes: MAX_REPOMD_BYTES, signal: context.signal, onRedirect: (hop: Hop) => void redirects.push(hop) };
    ({ answer, bytes } = await getSmall(context.client, url, options));
    seconds = report({}).seconds;
  } catch (error) {
    const failure: Partial<AddressReport> = { cause: causeOf(error), problem: problemOf(error) };
    return { report: report({ ...failure, status: error instanceof DownloadError ? error.status : undefined }), base, index: undefined };
  }
  const facts: Partial<AddressReport> = {
    seconds,
    status: answer.status,
    repomd: sha256(bytes),
    ...(answer.url === url ? {} : { finalUrl: answer.url }),
    ...(answer.lastModified === undefined ? {} : { lastModified: answer.lastModified }),
  };
  try {
    const { revision } = scanRepomd(bytes, webPageOr(bytes, url));
    const { fact, length } = await signatureOf(context, url, bytes);
    return {
      report: report({ ...facts, ...(revision === undefined ? {} : { revision }), signature: fact }),
      base,
      index: { bytes, signature: fact, signatureBytes: length },
    };
  } catch (error) {
    return { report: report({ ...facts, cause: causeOf(error), problem: problemOf(error) }), base, index: undefined };
  }
}

/** Throws for a web page: a captive portal, a proxy, or a listing that answers everything with 200. */
function webPageOr(bytes: Buffer, url: string): string {
  if (
    !/^\s*<(!doctype html|html|head|body|title)\b/i.test(
      bytes
        .subarray(0, 1000)
        .toString('latin1')
        .replace(/^\xef\xbb\xbf/, ''),
    )
  )
    return url;
  throw metadataRefused(
    'NOT_METADATA',
    url,
    'is a web page, not repomd.xml',
    'A captive portal or a proxy in between answers, or the repository has moved: look at the address with curl.',
  );
}

async function signatureOf(context: AddressContext, url: string, data: Buffer): Promise<{ fact: SignatureFact; length: number }> {
  let signature: Buffer;
  try {
    signature = (await getSmall(context.client, `${url}.asc`, { maxBytes: MAX_SIGNATURE_BYTES, signal: context.signal })).bytes;
  } catch (error) {
    if (isAbsent(error)) return { fact: { state: 'absent' }, length: 0 };
    throw error;
  }
  const by = await issuersOf(signature, context.temporary);
  if (context.ring === undefined) return { fact: { state: 'unchecked', by }, length: signature.length };
  const files = { data: join(context.temporary, 'repomd.xml'), signature: join(context.temporary, 'repomd.xml.asc') };
  await writeFile(files.data, data);
  await writeFile(files.signature, signature);
  const verdict = await verifyDetached(context.ring, files.signature, files.data);
  const fact: SignatureFact =
    verdict.verdict === 'good'
      ? { state: 'good', by, fingerprint: verdict.fingerprint }
      : { state: verdict.verdict, by, reason: verdict.reason };
  return { fact, length: signature.length };
}

/** What kind of failure this is, for programs. */
function causeOf(error: unknown): Cause {
  if (!(error instanceof DownloadError)) return 'content';
  if (error.status !== undefined) return 'status';
  const byCode: Readonly<Record<string, Cause>> = {
    TLS_UNTRUSTED: 'tls',
    REDIRECTS: 'redirect',
    REDIRECT_UNSAFE: 'redirect',
    BODY_TOO_LONG: 'endless',
    UPSTREAM_SLOW: 'slow',
    DEADLINE: 'slow',
  };
  const known = byCode[error.code];
  if (known !== undefined) return known;
  const inner: unknown = error.cause instanceof AggregateError ? error.cause.errors[0] : error.cause;
  const code = (inner as { code?: string } | undefined)?.code ?? '';
  if (/^(ENOTFOUND|EAI_)/.test(code)) return 'dns';
  if (code === 'ECONNREFUSED') return 'refused';
  if (/TIMEOUT|TIMEDOUT/.test(code)) return 'timeout';
  if (/^(EPROTO|ERR_SSL|ERR_TLS)/.test(code)) return 'tls';
  return 'connection';
}

/** Whether this address alone would do for what is declared; undefined when it would. */
export function unusable(report: AddressReport, mode: string): Problem | undefined {
  if (report.problem !== undefined || mode !== 'signedMetadata' || report.signature?.state === 'good') return report.problem;
  const why = report.signature?.state === 'absent' ? 'is missing' : `: ${(report.signature as { reason?: string } | undefined)?.reason}`;
  return {
    code: 'SIGNATURE',
    message: `${report.url.replace(/\/$/, '')}/repodata/repomd.xml.asc${why.startsWith(':') ? '' : ' '}${why}`,
    remedy: 'A sync goes on to the next address. Take this one out of fetchFrom, or see the verdict on trust.',
    exitCode: 6,
  };
}
