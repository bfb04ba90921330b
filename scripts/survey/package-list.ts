/** Streams the package list: counts it, judges it as a sync does, and chooses packages to look at. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Filter } from '../../desired-state/definitions';
import { downloadVerified } from '../../downloads/file';
import type { HttpClient } from '../../downloads/http';
import { type ChecksumOptions, parseSize } from '../../rpm-metadata/checksum';
import { compressionOf, decompressed } from '../../rpm-metadata/decompress';
import { packageLocation } from '../../rpm-metadata/locations';
import { selectPackages } from '../../rpm-metadata/filter';
import type { Nevra } from '../../rpm-metadata/nevra';
import { type PackageDraft, scanPackages } from '../../rpm-metadata/packages';
import { MAX_PACKAGES, PackageList } from '../../rpm-metadata/primary';
import { MAX_METADATA_BYTES, MAX_UNDECLARED_METADATA_BYTES } from '../../rpm-metadata/repomd';
import { metadataRefused } from '../../rpm-metadata/errors';
import { algorithmOf, type PrimaryPlace, type SizedFile, timeOf } from './index-facts';
import { type PackagesReport, type Problem, problemOf } from './types';

export interface ListedFile extends SizedFile, Nevra {
  readonly href: string;
  /** The URL that `href` is below, where it is not the repository's. */
  readonly base?: string;
  /** Seconds since 1970, 0 where it is not said. */
  readonly built: number;
}

export interface PackageFacts {
  readonly report: PackagesReport;
  /** Those that the filter takes. */
  readonly packages: readonly ListedFile[];
  /** The first thing that a sync would refuse, and how many more. */
  readonly problem: Problem | undefined;
}

export interface PackageListContext {
  readonly client: HttpClient;
  readonly signal: AbortSignal;
  readonly temporary: string;
  readonly onBytes: (count: number) => void;
  /** What the repository's waivers allow. */
  readonly checksums: ChecksumOptions;
  readonly filter: Filter | undefined;
}

/** Fetches the list at one address, verified. Returns the file, in `temporary`. */
export async function fetchPackages(base: string, primary: PrimaryPlace, context: PackageListContext): Promise<string> {
  if (primary.size !== undefined && primary.size > MAX_METADATA_BYTES) {
    const why = `has ${primary.size} bytes; at most ${MAX_METADATA_BYTES} are taken`;
    throw metadataRefused('METADATA_TOO_LARGE', `${base}${primary.path}`, why);
  }
  const file = join(context.temporary, 'primary');
  const expected = { algorithm: primary.algorithm, hex: primary.hex, size: primary.size, maxBytes: MAX_UNDECLARED_METADATA_BYTES };
  await downloadVerified(context.client, base + primary.href, file, expected, context.onBytes, context.signal);
  return file;
}

/** Reads the fetched list and removes the file. Throws a MirrorError where it cannot be read. */
export async function readPackages(file: string, base: string, primary: PrimaryPlace, context: PackageListContext): Promise<PackageFacts> {
  const what = `${base}${primary.path}`;
  try {
    const survey = new Survey(what, context.checksums);
    const bytes = interruptible(decompressed(file, what, primary.openSize), context.signal);
    await scanPackages(bytes, 'primary', what, { package: (draft) => survey.add(draft) });
    return survey.finish(await compressionOf(file), context.filter);
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

/** Counts what is listed, even what a sync would refuse: an operator wants to know the size of what is to be repaired. */
class Survey {
  private readonly list: PackageList;
  private readonly packages: ListedFile[] = [];
  /** Paths of packages that a sync would refuse. */
  private readonly unusable = new Set<string>();
  private readonly digests = new Set<string>();
  private first: Problem | undefined;
  private refused = 0;
  private newest = 0;

  constructor(what: string, checksums: ChecksumOptions) {
    this.list = new PackageList(what, checksums);
  }

  add(draft: PackageDraft): void {
    this.digests.add(algorithmOf(draft.checksumType));
    const built = timeOf(draft.built) === undefined ? 0 : Math.floor(Number(draft.built));
    this.newest = Math.max(this.newest, built);
    try {
      const listed = this.list.add(draft);
      if (listed === undefined) return;
      const { checksum, ...rest } = listed;
      this.packages.push({ ...rest, built, ...checksum });
    } catch (error) {
      this.note(problemOf(error));
      // The limit on packages holds here, too.
      if (this.first?.code === 'METADATA_TOO_LARGE' || this.unusable.size >= MAX_PACKAGES) throw error;
      this.addUnusable(draft, built);
    }
  }

  private addUnusable(draft: PackageDraft, built: number): void {
    const location = packageLocation(draft.href ?? '');
    const size = parseSize(draft.size ?? '');
    if ('problem' in location || size === undefined || draft.base !== undefined || this.unusable.has(location.path)) return;
    this.unusable.add(location.path);
    const hex = Buffer.from((draft.checksum ?? '').trim().toLowerCase().slice(0, 128), 'latin1').toString('latin1');
    const { name = '', epoch = '0', version = '', release = '', arch = '' } = draft;
    const identity = { name, epoch, version, release, arch };
    this.packages.push({ ...location, ...identity, size, built, hex, algorithm: algorithmOf(draft.checksumType) });
  }

  finish(compression: string, filter: Filter | undefined): PackageFacts {
    try {
      this.list.finish();
    } catch (error) {
      this.note(problemOf(error));
    }
    const packages = selectPackages(this.packages, filter);
    if (packages.length === 0 && this.packages.length > 0) this.note(takesNothing(this.packages.length));
    const more = this.refused > 1 ? ` (and ${this.refused - 1} more)` : '';
    return {
      packages,
      report: {
        count: packages.length,
        listed: this.packages.length,
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

/** A package to look at, and why this one. */
export interface Chosen {
  readonly item: ListedFile;
  readonly chosenAs: readonly ('newest' | 'smallest' | 'largest')[];
}

/** At most three packages: the newest shows today's signing, the smallest is cheap to check whole, the largest is where a wrong size hurts. */
export function samplesOf(packages: readonly ListedFile[]): readonly Chosen[] {
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

function takesNothing(listed: number): Problem {
  return {
    code: 'FILTER_TAKES_NOTHING',
    message: `the filter takes none of the ${listed} packages that upstream lists`,
    remedy: 'Look at its globs and architectures: names have no version, and noarch is an architecture.',
    exitCode: 6,
  };
}
