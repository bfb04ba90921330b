/** A directory of the mirror with a signed `SHA256SUMS`: tarballs, an installer's tree, lists. */
import { DownloadError } from '../downloads/errors';
import type { HttpClient } from '../downloads/http';
import { type RetryOptions, Sources } from '../downloads/sources';
import { hrefOf } from '../rpm-metadata/locations';
import { parseDigests } from '../starlingx/digests';
import { fetchIndexFile } from './index-file';
import type { Keys } from './keys';
import type { Offer, Place } from './places';
import type { Servers } from './servers';
import type { Wanted } from './wanted';
import type { Workspace } from './workspace';

const MAX_SUMS_BYTES = 32 * 1024 * 1024;

export interface SumsOptions {
  readonly name: string;
  readonly client: HttpClient;
  readonly workspace: Workspace;
  /** Ends with a slash. */
  readonly base: string;
  /** Below the base: `SHA256SUMS`, `.mirror/SHA256SUMS`. */
  readonly file: string;
  readonly keys: Keys;
  /** Under which name a wanted file is there; undefined: it is of another kind. */
  readonly nameOf: (wanted: Wanted) => string | undefined;
  readonly retry: RetryOptions;
  readonly servers: Servers;
  readonly warn: (line: string) => void;
}

export class SignedDirectory implements Place {
  readonly side = 'mirror';
  readonly authority = true;
  readonly name: string;
  private readonly sources: Sources;
  private digests: Promise<ReadonlyMap<string, string>> | undefined;

  constructor(private readonly options: SumsOptions) {
    this.name = options.name;
    this.sources = new Sources([options.base]);
  }

  async offers(wanted: readonly Wanted[]): Promise<ReadonlyMap<Wanted, Offer>> {
    const named = wanted.flatMap((one) => {
      const name = this.options.nameOf(one);
      return name === undefined ? [] : [{ one, name }];
    });
    if (named.length === 0) return new Map();
    const digests = await this.read();
    const offers = new Map<Wanted, Offer>();
    for (const { one, name } of named) {
      const hex = digests.get(name);
      if (hex !== undefined)
        offers.set(one, {
          client: this.options.client,
          sources: this.sources,
          href: hrefOf(name),
          checksum: { algorithm: 'sha256', hex },
          size: undefined,
          proof: 'signed by the mirror',
        });
    }
    return offers;
  }

  /** Digests by name. Throws a DownloadError where they cannot be had or proven. */
  async read(): Promise<ReadonlyMap<string, string>> {
    this.digests ??= this.fetch();
    return this.digests;
  }

  private async fetch(): Promise<ReadonlyMap<string, string>> {
    const { client, workspace, file, keys, warn, retry, servers } = this.options;
    return servers.watch(this.sources, retry, async (base) => {
      const url = base + file;
      const index = await fetchIndexFile({ client, workspace, url, maxBytes: MAX_SUMS_BYTES, keys, mustBeSigned: true, warn });
      const digests = parseDigests(index.bytes, url);
      index.accept(undefined);
      return digests;
    });
  }
}

/** Whether a place merely does not have something: that is no problem of the mirror, which need not have every kind. */
export function isMissing(error: unknown): boolean {
  return error instanceof DownloadError && error.kind === 'missing';
}
