/** Looks for everything that is asked for: on the mirror, in the upstreams of declared repositories, at the URLs of lines. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { MirrorError } from '../../desired-state/errors';
import { getSmall, HttpClient } from '../../downloads/http';
import { forEachParallel } from '../../downloads/parallel';
import { parseDigests } from '../../starlingx/digests';
import { encodePath } from '../../starlingx/url-mapping';
import type { DeclaredServer } from '../survey/declared';
import { DEADLINE_FACTOR, keyRings } from '../survey/run';
import { sourcesOf } from '../survey/sources';
import { checkHeader } from '../survey/sample';
import { fileAtUrl, type HeaderCheck, packageAtUrl } from './at-url';
import { Offers } from './offers';
import { readListing } from './read';
import { recordedDigest, recordedName } from './record';
import type { DeclaredLists, PackageRequest, Request, Result, Unasked } from './types';

export interface RunOptions {
  /** Base URL of a mirror to ask first. */
  readonly mirror: string | undefined;
  /** Seconds in which an upstream has to answer. */
  readonly timeout: number;
  readonly concurrency: number;
  readonly say: (line: string) => void;
}

const MAX_SUMS = 64 * 1024 * 1024;

/** Finds out about requests of one server. */
export async function lookFor(
  requests: readonly Request[],
  server: DeclaredServer,
  lists: readonly DeclaredLists[],
  options: RunOptions,
): Promise<{ readonly results: readonly Result[]; readonly unasked: readonly Unasked[] }> {
  const temporary = mkdtempSync(join(tmpdir(), 'check-requests-'));
  const clean = (): void => rmSync(temporary, { recursive: true, force: true });
  process.once('exit', clean);
  const client = clientOf(options.timeout);
  try {
    return await new Look(server, lists, options, client, temporary).run(requests);
  } finally {
    await client.close();
    process.off('exit', clean);
    clean();
  }
}

export function clientOf(seconds: number): HttpClient {
  const milliseconds = seconds * 1000;
  return new HttpClient({
    connections: 2,
    connectTimeout: milliseconds,
    headersTimeout: milliseconds,
    idleTimeout: milliseconds,
    lowSpeedSeconds: seconds,
    userAgent: 'mirror-check-requests',
  });
}

type Found = Pick<Result, 'verdict' | 'from'>;

class Look {
  private readonly found = new Map<Request, Found>();
  private readonly unasked: Unasked[] = [];
  private signers = 0;

  constructor(
    private readonly server: DeclaredServer,
    private readonly lists: readonly DeclaredLists[],
    private readonly options: RunOptions,
    private readonly client: HttpClient,
    private readonly temporary: string,
  ) {}

  async run(requests: readonly Request[]): Promise<{ results: readonly Result[]; unasked: readonly Unasked[] }> {
    const packages = requests.filter((request): request is PackageRequest => request.kind === 'package');
    const offers = new Offers(packages.map(({ asked }) => asked));
    const { mirror } = this.options;
    if (mirror !== undefined) {
      await this.sumsOfMirror(mirror, requests);
      await this.listsOfMirror(mirror, packages);
      await this.repositories(packages, offers, mirror);
    }
    const unaskedThere = this.unasked.splice(0);
    await this.repositories(packages, offers, undefined);
    const results: Result[] = [];
    await forEachParallel(requests, this.options.concurrency, async (request) => {
      results[requests.indexOf(request)] = await this.result(request, offers);
    });
    return { results, unasked: [...unaskedThere, ...this.unasked] };
  }

  private async result(request: Request, offers: Offers): Promise<Result> {
    const nothing = { request, versions: [], names: [], ...this.digest(request) };
    const found = this.found.get(request);
    if (found !== undefined) return { ...nothing, ...found };
    if (request.kind === 'file') {
      const at = await fileAtUrl(this.client, request.wanted, join(this.temporary, 'files'));
      return { ...nothing, from: at.verdict === 'can be met' ? [request.wanted.url] : [], ...at };
    }
    const { asked } = request;
    if (asked.url !== undefined) {
      const at = await packageAtUrl(this.client, asked, await this.signer(request));
      return { ...nothing, from: at.verdict === 'can be met' ? [asked.url] : [], ...at };
    }
    const versions = offers.versions(asked);
    const names = offers.near(asked);
    const silent = this.unasked.map(({ repository }) => repository);
    if (silent.length > 0)
      return {
        ...nothing,
        versions,
        names,
        verdict: 'unknown',
        from: [],
        reason: `no repository that could be asked has it; ${silent.join(', ')} could not`,
        remedy: 'Run it again when they answer, or name a URL behind the file: file.rpm#url',
      };
    return {
      ...nothing,
      versions,
      names,
      verdict: 'cannot be met',
      from: [],
      reason: 'no declared repository has it',
      remedy: 'Ask for a version that there is, name a URL behind the file (file.rpm#url), or declare a repository that has it in main.ts.',
    };
  }

  /** Checks the signature of a package's header, where one of the declared keys must have made it: where no digest is recorded. */
  private async signer({ id, asked }: PackageRequest): Promise<HeaderCheck | undefined> {
    const definition = this.lists.find((one) => one.definition.id === id)?.definition;
    if (definition?.kind !== 'lists' || definition.keys === undefined || asked.sha256 !== undefined) return undefined;
    const directory = join(this.temporary, 'signatures', String(this.signers++));
    const verification = await keyRings(
      this.server,
      directory,
    )({ definition: { trust: { mode: 'signedPackages', keys: definition.keys } } });
    if (verification === undefined) return undefined;
    return (signatures, header) => checkHeader(signatures, header, verification.ring, directory);
  }

  /** Whether a digest is recorded, of what has no other that could be compared. */
  private digest(request: Request): Pick<Result, 'digest'> {
    if (recordedName(request) === undefined) return {};
    return { digest: recordedDigest(request) === undefined ? 'missing' : 'recorded' };
  }

  /** What the mirror has of tarballs and installers, by the digests that it signs. */
  private async sumsOfMirror(mirror: string, requests: readonly Request[]): Promise<void> {
    for (const { definition } of this.lists) {
      const own = requests.filter((request) => request.kind === 'file' && request.id === definition.id);
      if (definition.kind !== 'downloads' || own.length === 0) continue;
      const url = `${mirror}/${encodePath(definition.publicPath)}/${definition.sums}`;
      try {
        const { bytes } = await getSmall(this.client, url, { maxBytes: MAX_SUMS });
        const sums = parseDigests(bytes, url);
        for (const request of own)
          if (request.kind === 'file' && sums.has(request.wanted.path))
            this.found.set(request, { verdict: 'on the mirror', from: [definition.id] });
      } catch (error) {
        this.silentMirror(definition.id, error);
      }
    }
  }

  /** What the mirror publishes of what lists ask for. */
  private async listsOfMirror(mirror: string, packages: readonly PackageRequest[]): Promise<void> {
    const ids = new Set(packages.map(({ id }) => id));
    for (const { definition } of this.lists) {
      if (definition.kind !== 'lists' || !ids.has(definition.id)) continue;
      const own = packages.filter(({ id }) => id === definition.id);
      const there = new Offers(own.map(({ asked }) => asked));
      await this.read({ id: definition.id }, [`${mirror}/${encodePath(definition.publicPath)}/`], there);
      for (const request of own)
        if (there.having(request.asked).length > 0) this.found.set(request, { verdict: 'on the mirror', from: [definition.id] });
    }
  }

  /** What repositories have: copies on the mirror, or their upstreams. */
  private async repositories(packages: readonly PackageRequest[], offers: Offers, mirror: string | undefined): Promise<void> {
    const open = packages.filter((request) => request.asked.url === undefined && !this.found.has(request));
    if (open.length === 0) return;
    const rings = keyRings(this.server, join(this.temporary, mirror === undefined ? 'keys' : 'keys-mirror'));
    await forEachParallel(this.server.repositories, this.options.concurrency, async (repository) => {
      const { definition } = repository;
      const addresses =
        mirror === undefined ? sourcesOf(definition.fetchFrom).addresses : [`${mirror}/${encodePath(definition.publicPath)}/`];
      const ring = mirror === undefined && definition.trust.mode === 'signedMetadata' ? (await rings(repository))?.ring : undefined;
      await this.read(definition, addresses, offers, ring);
      this.options.say(`asked ${definition.id}${mirror === undefined ? '' : ' on the mirror'}`);
    });
    for (const request of open) {
      const from = offers.having(request.asked);
      if (from.length > 0) this.found.set(request, { verdict: mirror === undefined ? 'can be met' : 'on the mirror', from });
    }
  }

  private async read(
    repository: Pick<RepositoryDefinition, 'id'> & Partial<RepositoryDefinition>,
    addresses: readonly string[],
    offers: Offers,
    ring?: Parameters<typeof readListing>[3]['ring'],
  ): Promise<void> {
    const context = {
      client: this.client,
      ring,
      temporary: join(this.temporary, 'repositories', repository.id),
      deadline: this.options.timeout * DEADLINE_FACTOR,
    };
    const listing = await readListing(repository, addresses, ring !== undefined, context);
    if ('packages' in listing) offers.add(repository.id, listing.packages);
    else this.unasked.push({ repository: repository.id, problem: listing.problem });
  }

  private silentMirror(repository: string, error: unknown): void {
    if (!(error instanceof MirrorError)) throw error;
    this.unasked.push({ repository, problem: { message: error.message, remedy: error.remedy } });
  }
}
