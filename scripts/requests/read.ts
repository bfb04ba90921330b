/** Reads the list of packages of one repository, verified as a sync verifies it; nothing is kept on disk. */
import { mkdir, rm } from 'node:fs/promises';
import { isWaived, type RepositoryDefinition } from '../../desired-state/definitions';
import { DownloadError } from '../../downloads/errors';
import type { HttpClient } from '../../downloads/http';
import type { Nevra } from '../../rpm-metadata/nevra';
import type { KeyRing } from '../../signatures/pinned-keys';
import { probe, type Probed, unusable } from '../survey/address';
import { indexFacts } from '../survey/index-facts';
import { fetchPackages, readPackages } from '../survey/package-list';
import { type Problem, problemOf } from '../survey/types';

export interface ReadContext {
  readonly client: HttpClient;
  /** Undefined where no signature is asked for. */
  readonly ring: KeyRing | undefined;
  /** Of this reading alone. */
  readonly temporary: string;
  /** Seconds for all of it. */
  readonly deadline: number;
}

export type Listing = { readonly packages: readonly Nevra[] } | { readonly problem: Pick<Problem, 'message' | 'remedy'> };

/** What lists ask for passes every filter, so that only waivers count. */
export type Readable = Pick<RepositoryDefinition, 'id' | 'waivers'>;

/** The packages at the first address that can be used. */
export async function readListing(
  repository: Readable,
  addresses: readonly string[],
  needsSignature: boolean,
  context: ReadContext,
): Promise<Listing> {
  const abort = new AbortController();
  const timer = setTimeout(() => {
    const message = `${repository.id} was given up after ${context.deadline} s`;
    abort.abort(new DownloadError({ kind: 'transient', code: 'DEADLINE', message, remedy: 'Raise --timeout where the line is slow.' }));
  }, context.deadline * 1000);
  let last: Pick<Problem, 'message' | 'remedy'> = {
    message: 'none of its sources is a web address',
    remedy: 'Mirror lists, metalinks and rsync are not asked: look at the mirror with --mirror.',
  };
  await mkdir(context.temporary, { recursive: true, mode: 0o700 });
  try {
    for (const address of addresses) {
      const found = await oneAddress(repository, address, needsSignature, { ...context, signal: abort.signal });
      if ('packages' in found) return found;
      last = found.problem;
    }
  } finally {
    clearTimeout(timer);
    await rm(context.temporary, { recursive: true, force: true });
  }
  return { problem: last };
}

async function oneAddress(
  repository: Readable,
  address: string,
  needsSignature: boolean,
  context: ReadContext & { readonly signal: AbortSignal },
): Promise<Listing> {
  const { client, signal, ring, temporary } = context;
  try {
    const probed = await probe(address, { client, signal, ring, temporary });
    const problem = probed.report.problem ?? unusable(probed.report, needsSignature ? 'signedMetadata' : 'digestsOnly');
    if (problem !== undefined || probed.index === undefined) return { problem: problem ?? nothingThere(address) };
    return await packagesAt(repository, probed, probed.index.bytes, context);
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

async function packagesAt(
  repository: Readable,
  { base }: Probed,
  index: Buffer,
  context: ReadContext & { readonly signal: AbortSignal },
): Promise<Listing> {
  const checksums = { weakChecksums: isWaived(repository, 'weakChecksums') };
  const facts = indexFacts(index, `${base}repodata/repomd.xml`, checksums);
  if (facts.problem !== undefined || facts.primary === undefined) return { problem: facts.problem ?? nothingThere(base) };
  const reading = { ...context, onBytes: () => undefined, checksums, filter: undefined };
  const file = await fetchPackages(base, facts.primary, reading);
  const { packages } = await readPackages(file, base, facts.primary, reading);
  return { packages };
}

function nothingThere(address: string): Pick<Problem, 'message' | 'remedy'> {
  return { message: `${address} has no list of packages`, remedy: 'npm run preflight says more about it.' };
}
