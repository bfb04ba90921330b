/** Streams the package list: counts it, judges it as a sync does, and chooses packages to look at. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { downloadVerified } from '../../downloads/file';
import type { HttpClient } from '../../downloads/http';
import { parseSize } from '../../rpm-metadata/checksum';
import { compressionOf, decompressed } from '../../rpm-metadata/decompress';
import { packageLocation } from '../../rpm-metadata/locations';
import { type PackageDraft, PackageList, scanPrimary } from '../../rpm-metadata/primary';
import { MAX_METADATA_BYTES, MAX_UNDECLARED_METADATA_BYTES } from '../../rpm-metadata/repomd';
import { metadataRefused } from '../../rpm-metadata/errors';
import { algorithmOf, type PrimaryPlace, type SizedFile, timeOf } from './index-facts';
import { type PackagesReport, type Problem, problemOf } from './types';

export interface ListedFile extends SizedFile {
  readonly href: string;
  /** Seconds since 1970, 0 where it is not said. */
  readonly built: number;
}

export interface PackageFacts {
  readonly report: PackagesReport;
  readonly packages: readonly ListedFile[];
  /** The first thing that a sync would refuse, and how many more. */
  readonly problem: Problem | undefined;
}

export interface PackageListContext {
  readonly client: HttpClient;
  readonly signal: AbortSignal;
  readonly temporary: string;
  readonly onBytes: (count: number) => void;
}

/** Fetches and reads the list at one address. Throws a MirrorError where it cannot be had or read. */
export async function readPackages(base: string, primary: PrimaryPlace, context: PackageListContext): Promise<PackageFacts> {
  const what = `${base}${primary.path}`;
  if (primary.size !== undefined && primary.size > MAX_METADATA_BYTES)
    throw metadataRefused('METADATA_TOO_LARGE', what, `has ${primary.size} bytes; at most ${MAX_METADATA_BYTES} are taken`);
  const file = join(context.temporary, 'primary');
  const expected = { algorithm: primary.algorithm, hex: primary.hex, size: primary.size, maxBytes: MAX_UNDECLARED_METADATA_BYTES };
  await downloadVerified(context.client, base + primary.href, file, expected, context.onBytes, context.signal);
  try {
    const survey = new Survey(what);
    const bytes = interruptible(decompressed(file, what, primary.openSize), context.signal);
    await scanPrimary(bytes, what, (draft) => survey.add(draft));
    return survey.finish(compressionOf(await headOf(file)));
  } finally {
    await rm(file, { force: true });
  }
}

async function* interruptible(stream: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    signal.throwIfAborted();
    yield chunk;
  }
}

async function headOf(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Counts what is listed, even what a sync would refuse: an operator wants to know the size of what is to be repaired. */
export class Survey {
  private readonly list: PackageList;
  private readonly packages = new Map<string, ListedFile>();
  private readonly digests = new Set<string>();
  private first: Problem | undefined;
  private refused = 0;
  private newest = 0;

  constructor(what: string) {
    this.list = new PackageList(what);
  }

  add(draft: PackageDraft): void {
    try {
      this.list.add(draft);
    } catch (error) {
      this.note(problemOf(error));
      // The limit on packages holds here, too.
      if (this.first?.code === 'METADATA_TOO_LARGE') throw error;
    }
    const location = packageLocation(draft.href ?? '');
    const size = parseSize(draft.size ?? '');
    this.digests.add(algorithmOf(draft.checksumType));
    if ('problem' in location || size === undefined || draft.base !== undefined) return;
    const built = timeOf(draft.built) === undefined ? 0 : Number(draft.built);
    this.newest = Math.max(this.newest, built);
    const hex = (draft.checksum ?? '').trim().toLowerCase().slice(0, 128);
    const { path, href } = location;
    if (this.packages.has(path)) return;
    this.packages.set(path, { path, href, size, built, hex, algorithm: algorithmOf(draft.checksumType) });
  }

  finish(compression: string): PackageFacts {
    try {
      this.list.finish();
    } catch (error) {
      this.note(problemOf(error));
    }
    const packages = [...this.packages.values()];
    const more = this.refused > 1 ? ` (and ${this.refused - 1} more)` : '';
    return {
      packages,
      report: {
        count: packages.length,
        bytes: packages.reduce((sum, item) => sum + item.size, 0),
        digests: [...this.digests].sort(),
        newestBuilt: this.newest === 0 ? undefined : timeOf(String(this.newest)),
        compression,
      },
      problem: this.first === undefined ? undefined : { ...this.first, message: this.first.message + more },
    };
  }

  private note(problem: Problem): void {
    this.first ??= problem;
    this.refused++;
  }
}

/** At most three packages: the newest shows today's signing, the smallest is cheap to check whole, the largest is where a wrong size hurts. */
export function samplesOf(
  packages: readonly ListedFile[],
): readonly { readonly item: ListedFile; readonly chosenAs: readonly ('newest' | 'smallest' | 'largest')[] }[] {
  const best = (better: (a: ListedFile, b: ListedFile) => number): ListedFile | undefined =>
    packages.reduce<ListedFile | undefined>((found, item) => (found === undefined || better(item, found) < 0 ? item : found), undefined);
  const byName = (a: ListedFile, b: ListedFile): number => (a.path < b.path ? -1 : 1);
  const chosen = [
    ['newest', best((a, b) => b.built - a.built || byName(a, b))],
    ['smallest', best((a, b) => a.size - b.size || byName(a, b))],
    ['largest', best((a, b) => b.size - a.size || byName(a, b))],
  ] as const;
  const samples = new Map<ListedFile, ('newest' | 'smallest' | 'largest')[]>();
  for (const [name, item] of chosen) if (item !== undefined) samples.set(item, [...(samples.get(item) ?? []), name]);
  return [...samples].map(([item, chosenAs]) => ({ item, chosenAs }));
}
