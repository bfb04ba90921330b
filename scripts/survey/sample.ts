/** Looks at one package: who signed it, does that verify, has it the size that the metadata says. */
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { downloadVerified, wrongDigest, wrongSize } from '../../downloads/file';
import type { HttpClient } from '../../downloads/http';
import { verifyDetached } from '../../signatures/detached';
import { isForeign } from '../../signatures/foreign-key';
import { type Issuer, issuersOf } from '../../signatures/issuers';
import { type PackageSignature, type PackageStart, readPackageStart } from '../../signatures/package-start';
import type { PackageVerifier } from '../../signatures/packages';
import type { KeyRing } from '../../signatures/pinned-keys';
import { HASHES } from './index-facts';
import type { ListedFile } from './package-list';
import { type Problem, problemOf, type SampleReport } from './types';

/** Most packages' headers end before. */
const FIRST_BYTES = 100 * 1024;
/** The header of a kernel's sources has a few. */
const MAX_HEADER = 32 * 1024 * 1024;
/** A package without a signature of its header is checked whole, up to this size. */
const MAX_WHOLE = 64 * 1024 * 1024;

export interface SampleContext {
  readonly client: HttpClient;
  readonly signal: AbortSignal;
  readonly ring: KeyRing | undefined;
  /** Undefined where nothing is pinned. */
  readonly verifier: PackageVerifier | undefined;
  readonly temporary: string;
}

type Outcome = Pick<SampleReport, 'verdict' | 'checked' | 'by'> & { readonly reason?: string; readonly problem?: Problem };

/** `repository` is its URL, with a slash at its end. */
export async function lookAtPackage(
  repository: string,
  item: ListedFile,
  chosenAs: SampleReport['chosenAs'],
  context: SampleContext,
): Promise<SampleReport> {
  const base = item.base ?? repository;
  const facts = { path: item.path, chosenAs, declaredBytes: item.size };
  const nothing = { by: [], verdict: 'unchecked', checked: 'nothing' } as const;
  let bytes: number | undefined;
  try {
    const { start, first, total } = await beginningOf(base + item.href, context);
    bytes = total;
    const sizeProblem = total === undefined || total === item.size ? undefined : problemOf(wrongSize(base + item.path, total, item.size));
    const outcome = await judged(base, item, context, start, total === first.length ? first : undefined);
    return { ...facts, bytes, ...outcome, ...(sizeProblem === undefined ? {} : { problem: sizeProblem }) };
  } catch (error) {
    return { ...facts, bytes, ...nothing, problem: problemOf(error) };
  }
}

async function beginningOf(
  url: string,
  { client, signal }: SampleContext,
): Promise<{ start: PackageStart; first: Buffer; total: number | undefined }> {
  let { bytes: first, total } = await client.begin(url, FIRST_BYTES, { signal });
  let start = readPackageStart(first);
  // A large header comes in one more request.
  for (let asked = FIRST_BYTES; 'need' in start && first.length === asked && start.need <= MAX_HEADER; start = readPackageStart(first)) {
    asked = start.need;
    ({ bytes: first, total } = await client.begin(url, asked, { signal }));
  }
  return { start, first, total };
}

async function judged(
  base: string,
  item: ListedFile,
  context: SampleContext,
  start: PackageStart,
  whole: Buffer | undefined,
): Promise<Outcome> {
  if ('problem' in start) return { by: [], verdict: 'bad', checked: 'nothing', reason: start.problem };
  if ('need' in start) return { by: [], verdict: 'bad', checked: 'nothing', reason: 'it ends within its header' };
  const by = await issuers(start.signatures, context.temporary);
  if (start.signatures.length === 0) return { by, verdict: 'unsigned', checked: 'header', reason: 'it is not signed' };
  if (whole !== undefined) {
    const problem = digestProblem(base + item.path, item, whole);
    if (problem !== undefined) return { by, verdict: 'unchecked', checked: 'nothing', problem };
  }
  const { ring, verifier } = context;
  if (ring === undefined || verifier === undefined) return { by, verdict: 'unchecked', checked: 'nothing' };
  const overHeader = start.signatures.filter((s) => s.covers === 'header');
  if (whole !== undefined || overHeader.length === 0) return { by, ...(await checkWhole(base, item, context, verifier, whole)) };
  return { by, checked: 'header', ...(await checkHeader(overHeader, start.header, ring, context.temporary)) };
}

/** As a sync checks packages. */
async function checkWhole(
  base: string,
  item: ListedFile,
  context: SampleContext,
  verifier: PackageVerifier,
  whole: Buffer | undefined,
): Promise<Pick<Outcome, 'verdict' | 'checked' | 'reason'>> {
  const path = join(context.temporary, basename(item.path));
  if (whole === undefined && (item.size > MAX_WHOLE || !HASHES.has(item.algorithm)))
    return {
      verdict: 'unchecked',
      checked: 'nothing',
      reason: 'only the package as a whole is signed, and it is too large to fetch for a look',
    };
  try {
    if (whole !== undefined) await writeFile(path, whole);
    else {
      const expected = { algorithm: item.algorithm, hex: item.hex, size: item.size, maxBytes: MAX_WHOLE };
      await downloadVerified(context.client, base + item.href, path, expected, () => undefined, context.signal);
    }
    const reason = (await verifier.failures([path])).get(path);
    if (reason === undefined) return { verdict: 'good', checked: 'whole' };
    return { verdict: isForeign(reason) ? 'foreign' : 'bad', checked: 'whole', reason };
  } finally {
    await rm(path, { force: true });
  }
}

/** Whether one of the pinned keys signed a package's header, which names the digest of the rest. */
export async function checkHeader(
  signatures: readonly PackageSignature[],
  header: Buffer,
  ring: KeyRing,
  temporary: string,
): Promise<{ readonly verdict: SampleReport['verdict']; readonly reason?: string }> {
  const files = { data: join(temporary, 'header'), signature: join(temporary, 'header.sig') };
  await writeFile(files.data, header);
  await writeFile(files.signature, Buffer.concat(signatures.map((s) => s.bytes)));
  const result = await verifyDetached(ring, files.signature, files.data);
  if (result.verdict === 'good') return { verdict: 'good' };
  return { verdict: isForeign(result.reason) ? 'foreign' : 'bad', reason: result.reason };
}

async function issuers(signatures: readonly PackageSignature[], temporary: string): Promise<readonly Issuer[]> {
  const home = join(temporary, 'home');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const found = (await Promise.all(signatures.map((s) => issuersOf(s.bytes, home)))).flat();
  return [...new Map(found.map((issuer) => [`${issuer.keyId} ${issuer.digest}`, issuer])).values()];
}

function digestProblem(url: string, item: ListedFile, whole: Buffer): Problem | undefined {
  if (whole.length !== item.size || !HASHES.has(item.algorithm)) return undefined; // The size is the problem, or the metadata is.
  const found = createHash(item.algorithm).update(whole).digest('hex');
  return found === item.hex ? undefined : problemOf(wrongDigest(url, found, item));
}
