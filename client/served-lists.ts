/** The lists that the mirror serves: as they were declared, and proven by its signature. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { wrongDigest } from '../downloads/file';
import { getSmall, type HttpClient } from '../downloads/http';
import { type RetryOptions, Sources, withFailover } from '../downloads/sources';
import { hrefOf } from '../rpm-metadata/locations';
import type { ListFile } from './lists';
import { isMissing, type SignedDirectory } from './sums';

const MAX_LIST_BYTES = 64 * 1024 * 1024;

export interface ServedOptions {
  readonly client: HttpClient;
  readonly retry: RetryOptions;
  readonly places: readonly ServedPlace[];
  readonly warn: (line: string) => void;
}

export interface ServedPlace {
  /** What its lists are of, in messages. */
  readonly what: string;
  readonly directory: SignedDirectory;
  readonly base: string;
  readonly isList: (name: string) => boolean;
  /** Whether they are those of one release or branch. An installer is the distribution's: it is there whichever is meant. */
  readonly ofBranch: boolean;
}

/**
 * All lists of a release. A kind that the mirror does not have is said: a name that is misspelt would else ask for less, and succeed.
 *
 * @throws MirrorError where the mirror has none of that release, or one of them cannot be proven
 */
export async function servedLists({ client, retry, places, warn }: ServedOptions): Promise<readonly ListFile[]> {
  const lists: ListFile[] = [];
  let ofBranch = 0;
  for (const { what, directory, base, isList, ofBranch: isOfBranch } of places) {
    const digests = await directory.read().catch((error: unknown) => {
      if (isMissing(error)) return new Map<string, string>();
      throw error;
    });
    const texts = new Map<string, Buffer>();
    for (const [name, hex] of digests) if (isList(name)) texts.set(basename(name), await fetchList(client, retry, base, name, hex));
    const beside = (path: string): Buffer => texts.get(basename(path)) ?? missing(`${base}${path}`);
    const found = [...texts].filter(([name]) => name.endsWith('.lst')).map(([name, bytes]) => ({ name, bytes, beside }));
    if (found.length === 0) warn(`the mirror serves no list of ${what} at ${base}`);
    if (isOfBranch) ofBranch += found.length;
    lists.push(...found);
  }
  if (ofBranch === 0)
    throw new MirrorError({
      code: 'NO_LISTS',
      message: `the mirror serves no lists at ${places.flatMap((place) => (place.ofBranch ? [place.base] : [])).join(', ')}`,
      remedy: 'Check --release, --branch and --layer; or give the lists by --lists.',
      exitCode: ExitCode.invalid,
    });
  return lists;
}

async function fetchList(client: HttpClient, retry: RetryOptions, base: string, name: string, hex: string): Promise<Buffer> {
  return withFailover(new Sources([base]), retry, async () => {
    const url = base + hrefOf(name);
    const { bytes } = await getSmall(client, url, { maxBytes: MAX_LIST_BYTES });
    const found = createHash('sha256').update(bytes).digest('hex');
    if (found !== hex) throw wrongDigest(url, found, { algorithm: 'sha256', hex }, 'the mirror says');
    return bytes;
  });
}

function missing(url: string): never {
  throw new MirrorError({
    code: 'LISTS_UNUSABLE',
    message: `a list names ${url}, which the mirror does not serve`,
    remedy: 'Give the lists by --lists.',
    exitCode: ExitCode.invalid,
  });
}
