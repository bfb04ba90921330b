/** What is at the URL of a line: of a package only the header is fetched. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DownloadedFile } from '../../desired-state/definitions';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { DownloadError, isAbsent } from '../../downloads/errors';
import { fetchCommit } from '../../downloads/git';
import type { HttpClient } from '../../downloads/http';
import { identityIn } from '../../signatures/package-identity';
import { type PackageSignature, type PackageStart, readPackageStart } from '../../signatures/package-start';
import type { AskedPackage } from '../../starlingx/asked';
import type { Result } from './types';

/** Most packages' headers end before. */
const FIRST_BYTES = 100 * 1024;
/** The header of a kernel's sources has a few. */
const MAX_HEADER = 32 * 1024 * 1024;

export type AtUrl = Pick<Result, 'verdict' | 'reason' | 'remedy'>;

const MET: AtUrl = { verdict: 'can be met' };

/** Judges the signatures of a package's header. */
export type HeaderCheck = (
  signatures: readonly PackageSignature[],
  header: Buffer,
) => Promise<{ readonly verdict: string; readonly reason?: string }>;

/** Whether the package at its URL says of itself what the line says, and is signed where `check` is given. */
export async function packageAtUrl(client: HttpClient, asked: AskedPackage, check?: HeaderCheck): Promise<AtUrl> {
  const url = asked.url as string;
  return decided(url, async () => {
    const start = await beginning(client, url);
    const identity = 'header' in start ? identityIn(start.header) : undefined;
    if (identity === undefined) return another(`${url} is no RPM package`, 'Look at it with curl: a web page may answer there.');
    const { name, version, release } = identity;
    const arch = identity.arch;
    const same = name === asked.name && version === asked.version && release === asked.release;
    if (same && arch === (asked.arch === 'nosrc' ? 'src' : asked.arch))
      return 'header' in start && check !== undefined ? await signed(url, start, check) : MET;
    const is = `${name}-${version}-${release}.${arch}.rpm`;
    return another(`${url} is ${is}`, `Name that one in the line, or correct the URL.`);
  });
}

async function signed(url: string, start: Extract<PackageStart, { header: Buffer }>, check: HeaderCheck): Promise<AtUrl> {
  const signatures = start.signatures.filter(({ covers }) => covers === 'header');
  const remedy = 'Record its digest (--record), or add the key that signs it to the keys of the lists.';
  if (signatures.length === 0) return another(`${url} is not signed, and no digest is recorded`, remedy);
  const { verdict, reason = 'by none of the declared keys' } = await check(signatures, start.header);
  return verdict === 'good' ? MET : another(`${url} is signed by nobody who is declared: ${reason}`, remedy);
}

/** Whether a tarball, or what it is made of, can be had. */
export async function fileAtUrl(client: HttpClient, wanted: DownloadedFile, temporary: string): Promise<AtUrl> {
  const { url } = wanted;
  return decided(url, async () => {
    if (!('method' in wanted)) await client.begin(url, 1);
    else if (wanted.method === 'filelist') {
      const base = url.endsWith('/') ? url : `${url}/`;
      for (const member of wanted.members) await client.begin(base + member.split('/').map(encodeURIComponent).join('/'), 1);
    } else {
      await mkdir(temporary, { recursive: true, mode: 0o700 });
      const directory = await mkdtemp(join(temporary, 'git-'));
      try {
        await fetchCommit(client, url, wanted.ref, directory);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    }
    return MET;
  });
}

async function beginning(client: HttpClient, url: string): Promise<PackageStart> {
  let { bytes } = await client.begin(url, FIRST_BYTES);
  let start = readPackageStart(bytes);
  for (let asked = FIRST_BYTES; 'need' in start && bytes.length === asked && start.need <= MAX_HEADER; start = readPackageStart(bytes)) {
    asked = start.need;
    ({ bytes } = await client.begin(url, asked));
  }
  return start;
}

/** What an upstream's failure says of the request: it lacks the file, or nobody knows. Faults of this machine are thrown on. */
async function decided(url: string, look: () => Promise<AtUrl>): Promise<AtUrl> {
  try {
    return await look();
  } catch (error) {
    // Of a git repository it is the reference that is missing.
    if (error instanceof DownloadError && error.code === 'GIT_REF_MISSING')
      return { verdict: 'cannot be met', reason: error.message, remedy: error.remedy };
    if (isAbsent(error))
      return { verdict: 'cannot be met', reason: `${url} is not there`, remedy: 'Correct the URL, or ask whoever publishes there.' };
    if (!(error instanceof MirrorError) || (error.exitCode !== ExitCode.unreachable && error.exitCode !== ExitCode.untrusted)) throw error;
    return { verdict: 'unknown', reason: error.message, remedy: error.remedy };
  }
}

function another(reason: string, remedy: string): AtUrl {
  return { verdict: 'is another', reason, remedy };
}
