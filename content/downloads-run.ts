import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../desired-state/canonical';
import { type DownloadedFile, type DownloadsDefinition, isWaived, type MadeFile, type WebFile } from '../desired-state/definitions';
import { MirrorError } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import type { HttpClient } from '../downloads/http';
import { makeArchive } from '../downloads/made-archive';
import { forEachParallel } from '../downloads/parallel';
import { readDamage } from './damage';
import { fetchDeclared } from './declared-files';
import { type Seen, type ServedFile, sourceKey } from './downloads-record';
import { contentDigest, type DownloadsContent, publishDownloads, type PublishedDownloads, readDownloads } from './downloads-snapshot';
import { firstSightLost, type Remembered, remembered } from './first-sight';
import { inOneSentence, problemOf } from './problems';
import { Fetching } from './fetching';
import type { Problem } from './record';
import { clientFor, declaredSources } from './source-lists';
import { requireRoom } from './storage';
import { type Incoming, Store } from './store';
import { type Done, type SyncContext, SyncFailed } from './sync';
import { withSlots } from './with-slots';
import { inWorkspace } from './workspace';

/** So many archives are made at a time: each is a clone. */
const MADE_AT_A_TIME = 2;

/** What of a definition decides what a snapshot has. */
export function downloadsDigest(definition: DownloadsDefinition): string {
  return digestOf({ ...definition, retention: undefined, waivers: undefined });
}

/** One sync of downloads, under their lock. */
export class DownloadsRun {
  private readonly store: Store;
  private readonly client: HttpClient;
  private readonly definitionDigest: string;
  private readonly fetched = { files: 0, bytes: 0 };

  constructor(
    private readonly context: SyncContext,
    private readonly definition: DownloadsDefinition,
  ) {
    this.store = new Store(context.layout.store);
    this.client = clientFor(context.client, definition);
    this.definitionDigest = downloadsDigest(definition);
  }

  async run(): Promise<Done> {
    const { layout } = this.context;
    const { id } = this.definition;
    return inWorkspace(layout, id, async () => {
      const published = await readDownloads(layout, id);
      if (published?.manifest !== undefined && (await this.isComplete(published)) && published.manifest.downloads.problems.length === 0)
        return this.unchanged(published, []);
      return withSlots(this.context, id, busiest(declaredSources(this.definition)), () => this.take(published));
    });
  }

  /** Whether the same files, under today's definition and keys, would be published anew for nothing. */
  private async isComplete({ snapshot, manifest }: PublishedDownloads): Promise<boolean> {
    const { layout, now, signer } = this.context;
    if (manifest === undefined || manifest.definition !== this.definitionDigest) return false;
    return (
      readDamage(layout, this.definition.id, snapshot).length === 0 &&
      Object.values(manifest.carried).every((until) => Date.parse(until) > now().getTime()) &&
      manifest.downloads.signedBy === (await signer()).identity.digest
    );
  }

  private async take(published: PublishedDownloads | undefined): Promise<Done> {
    const { layout, signer, now, graceSeconds } = this.context;
    const { definition } = this;
    const incoming = await this.store.incoming(definition.id);
    const content = await this.content(incoming, published);
    const { files, problems } = content;
    if (files.length === 0) throw new SyncFailed(this.inOneSentence(problems, 'nothing is published'), problems);
    const same = published?.manifest?.digest === contentDigest(definition, files);
    const asBefore = problems.length === 0 ? published?.manifest?.downloads.problems.length === 0 : true;
    if (published !== undefined && same && asBefore && (await this.isComplete(published))) {
      // The beginning of a large file that was cut stays for the next run.
      if (problems.length === 0) await incoming.close();
      return this.unchanged(published, problems);
    }
    const done = await publishDownloads({
      ...{ layout, store: this.store, incoming, signer: await signer(), at: now(), graceSeconds, definition, published },
      ...content,
      definitionDigest: this.definitionDigest,
    });
    return this.done('published', { ...done, files: files.length }, problems);
  }

  /** What can be published: of what cannot be had now, what was published before in its place. */
  private async content(incoming: Incoming, published: PublishedDownloads | undefined): Promise<DownloadsContent> {
    const { files: before, seen: first, digests, unknown } = await this.known(published);
    const seen: Record<string, Seen> = { ...first };
    const web = this.definition.files.filter((file): file is WebFile => !('method' in file));
    const made = this.definition.files.filter((file): file is MadeFile => 'method' in file);
    const taken = new Map<string, ServedFile>();
    const problems: Problem[] = [];
    const add = (file: DownloadedFile, found: Seen): void => {
      seen[sourceKey(file)] = found;
      taken.set(file.path, { path: file.path, url: file.url, ...found });
    };
    const fetching = new Fetching(this.context, this.definition.id, this.fetched);
    try {
      const declared = await fetchDeclared(
        {
          ...{ client: this.client, retry: this.context.retry, store: this.store, incoming },
          announce: (files, bytes) =>
            fetching.announce(files, bytes, `${this.definition.files.length} files, of which ${files} are to be fetched`),
          onBytes: fetching.onBytes,
          onFile: fetching.onFile,
        },
        web.map((file) => ({ ...file, sha256: file.sha256 ?? digests.get(file.path) })),
        new Map(Object.entries(seen)),
      );
      const byPath = new Map(web.map((file) => [file.path, file]));
      for (const { path, sha256, size } of declared.taken) add(byPath.get(path) as WebFile, { sha256, size });
      problems.push(...declared.problems);
    } finally {
      fetching.stop();
    }
    await forEachParallel(made, MADE_AT_A_TIME, async (file) => {
      try {
        add(file, await this.archive(incoming, file, seen[sourceKey(file)]));
      } catch (error) {
        if (!(error instanceof MirrorError)) throw error;
        problems.push(problemOf(file.path, file.url, error));
      }
    });
    for (const { path } of problems) {
      const served = before.find((file) => file.path === path);
      if (served !== undefined && (await this.isHere(served, published))) taken.set(path, served);
    }
    const record = this.context.layout.record(this.definition.id, published?.snapshot ?? '', 'tree');
    for (const path of unknown) {
      const now = taken.get(path);
      if (now !== undefined) problems.push(firstSightLost(path, now.url, record, path));
    }
    const inOrder = this.definition.files.flatMap(({ path }) => taken.get(path) ?? []);
    return { files: inOrder, seen, problems: problems.sort((a, b) => (a.path < b.path ? -1 : 1)) };
  }

  /** What was published before, and what its sources had the first time: from its record, or, where that is lost, from what else says it. */
  private async known(published: PublishedDownloads | undefined): Promise<Remembered> {
    const none = { digests: new Map<string, string>(), unknown: [] };
    if (published === undefined) return { files: [], seen: {}, ...none };
    if (published.manifest !== undefined) return { ...published.manifest.downloads, ...none };
    const { layout, signer, say } = this.context;
    const { id } = this.definition;
    say(`${id}: ${layout.record(id, published.snapshot, 'tree')} cannot be read; what files had at first sight is looked for elsewhere`);
    return remembered(layout, this.definition, published, await signer(), join(layout.temporary(id), 'remembered'));
  }

  /** The archive that was made the first time, or a new one, which must be the same where its digest is known. */
  private async archive(incoming: Incoming, file: MadeFile, before: Seen | undefined): Promise<Seen> {
    const expected = file.sha256 ?? before?.tar;
    if (before !== undefined && before.tar === expected) {
      const checksum = { algorithm: 'sha256', hex: before.sha256 } as const;
      if (this.store.has(checksum, before.size) || (await incoming.adopt(checksum, before.size))) return before;
    }
    const { layout, say, retry, server } = this.context;
    const { id } = this.definition;
    const name = digestOf(file).slice(0, 12);
    const work = join(layout.quarantine(id), name);
    const output = incoming.temporary(name);
    say(`${id}: making ${file.path} from ${file.url}`);
    await rm(work, { recursive: true, force: true });
    await mkdir(work, { recursive: true });
    try {
      const { tar, sha256, size } = await makeArchive(this.client, file, file.path, output, {
        ...{ work, retry, proxy: server.sync?.proxy },
        room: (need) => requireRoom(layout, server, id, need),
      });
      if (expected !== undefined && tar !== expected) throw otherArchive(file, tar, expected);
      const checksum = { algorithm: 'sha256', hex: sha256 } as const;
      await rename(output, incoming.path(checksum));
      incoming.add(checksum, sha256, size);
      this.fetched.files++;
      this.fetched.bytes += size;
      return { sha256, size, tar };
    } finally {
      await rm(output, { force: true });
      await rm(work, { recursive: true, force: true });
    }
  }

  /** Whether what was published can be published again. */
  private async isHere({ path, sha256, size }: ServedFile, published: PublishedDownloads | undefined): Promise<boolean> {
    const checksum = { algorithm: 'sha256', hex: sha256 } as const;
    if (this.store.has(checksum, size)) return true;
    return this.store.regain(checksum, size, join(published?.tree ?? '', path)).then(
      () => true,
      () => false,
    );
  }

  private unchanged({ snapshot, manifest }: PublishedDownloads, problems: readonly Problem[]): Done {
    return this.done('unchanged', { snapshot, files: manifest?.files ?? 0, bytes: manifest?.bytes ?? 0 }, problems);
  }

  private done(
    result: 'published' | 'unchanged',
    content: { readonly snapshot: string; readonly files: number; readonly bytes: number },
    problems: readonly Problem[],
  ): Done {
    const done = { result, ...content, downloadedFiles: this.fetched.files, downloadedBytes: this.fetched.bytes, problems };
    if (problems.length === 0 || isWaived(this.definition, 'incomplete')) return done;
    const { code, message, remedy, exitCode } = this.inOneSentence(problems, 'everything else is published');
    return { ...done, result: 'degraded', error: { code, message, remedy, exitCode } };
  }

  private inOneSentence(problems: readonly Problem[], consequence: string): MirrorError {
    return inOneSentence(this.definition.id, problems, this.definition.files.length, consequence);
  }
}

function otherArchive({ url, path, sha256: declared }: MadeFile, found: string, expected: string): DownloadError {
  const says = declared === undefined ? 'when it was first made it had' : 'recorded is';
  return new DownloadError({
    kind: 'corrupt',
    message: `what ${path} is made of at ${url} gives a tar with the sha256 ${found}; ${says} ${expected}`,
    remedy:
      'It is not taken; what was published stays. If the new content is meant, record its digest in the file of digests of the declaration; else tell upstream.',
  });
}

/** The URL whose host most files come from: the slot of that upstream is taken. */
function busiest(urls: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const url of urls) counts.set(new URL(url).host, (counts.get(new URL(url).host) ?? 0) + 1);
  return [...urls].sort((a, b) => (counts.get(new URL(b).host) ?? 0) - (counts.get(new URL(a).host) ?? 0))[0] as string;
}
