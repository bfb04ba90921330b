/** Packages that a list names with a URL, and that no copied repository has. */
import { mkdir } from 'node:fs/promises';
import { isWaived, type ListsDefinition } from '../desired-state/definitions';
import { ExitCode } from '../desired-state/errors';
import { declaredHosts } from '../downloads/mirror-lists';
import { type Described, describeReadable } from '../rpm-metadata/accumulate/describe';
import type { Source } from '../rpm-metadata/accumulate/merge';
import { checksumKey } from '../rpm-metadata/checksum';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { askedName, type AskedPackage } from '../starlingx/asked';
import { fetchDeclared, type SeenFile, type TakenFile } from './declared-files';
import { forgotten } from './lists-problems';
import { judgePackageFile } from './offered';
import type { PinnedRing } from './pinned-ring';
import { Fetching } from './fetching';
import type { Problem } from './record';
import type { RefusedBy, RefusedHere } from './refused';
import type { Incoming, Store } from './store';
import type { SyncContext } from './sync';
import { unsignedPackages } from './package-signatures';

/** A package that has a URL. */
export type AskedByUrl = AskedPackage & { readonly url: string };

export interface ByUrl {
  readonly packages: readonly ListedPackage[];
  /** Their metadata; undefined where there are none. */
  readonly source: Source | undefined;
  readonly problems: readonly Problem[];
  /** URL → what it had the first time. */
  readonly seen: Readonly<Record<string, SeenFile>>;
  readonly fetched: { readonly files: number; readonly bytes: number };
}

/** Where they lie in the repository. */
const FOLDER = 'Packages';

/**
 * Fetches packages, each by its own URL, into `incoming`. One is taken that is what the name of its file says, and has its recorded digest; without one,
 * that is signed by one of the declared keys; without these, the first that comes. One that is not taken stops no other.
 *
 * @param seen URL → what it had the first time
 * @param refused what of it is not taken
 * @param ring of the declared keys, where there are some
 * @param work a new directory
 */
export async function fetchByUrl(
  context: SyncContext,
  definition: ListsDefinition,
  asked: readonly AskedByUrl[],
  from: { store: Store; incoming: Incoming; seen: ByUrl['seen']; refused: RefusedBy; ring: PinnedRing | undefined; work: string },
): Promise<ByUrl> {
  const { store, incoming, seen, work } = from;
  const fetched = { files: 0, bytes: 0 };
  const refusalOf = (hex: string | undefined): RefusedHere | undefined =>
    hex === undefined ? undefined : from.refused.get(checksumKey({ algorithm: 'sha256', hex }));
  const refused: Problem[] = [];
  const wanted = asked.filter((one) => {
    // Nobody asks every day for what is not taken.
    const by = refusalOf(one.sha256 ?? seen[one.url]?.sha256);
    if (by !== undefined) refused.push(forgotten(one, by));
    return by === undefined;
  });
  if (wanted.length === 0) return { packages: [], source: undefined, problems: refused, seen, fetched };
  const { taken, problems } = await fetchAll(context, definition, wanted, { store, incoming, seen, fetched });
  const byFile = new Map(wanted.map((one) => [one.file, one]));
  const good: TakenFile[] = [];
  const first: TakenFile[] = [];
  for (const file of taken) {
    const one = byFile.get(file.path) as AskedByUrl;
    const by = refusalOf(file.sha256);
    const judged = judgePackageFile(incoming.locate({ algorithm: 'sha256', hex: file.sha256 }), file.path, file.size);
    if (by !== undefined) refused.push(forgotten(one, by));
    else if ('code' in judged) refused.push(misfit(one, judged));
    else good.push(file);
    if (by !== undefined) first.push(file);
  }
  const described = await describe(good, incoming, work);
  refused.push(...described.unreadable.map((file) => misfit(byFile.get(file) as AskedByUrl, UNREADABLE)));
  const lineOf = (item: ListedPackage): AskedByUrl => byFile.get(fileOf(item)) as AskedByUrl;
  const named = described.packages.filter((item) => askedName(item) === askedName(lineOf(item)));
  for (const item of described.packages) if (!named.includes(item)) refused.push(misfit(lineOf(item), misnamed(item)));
  const unsigned = await unsignedOf(context, definition.id, named, byFile, incoming, from.ring);
  const packages = named.filter((item) => !unsigned.has(item));
  const kept = new Set(packages.map(fileOf));
  first.push(...good.filter(({ path }) => kept.has(path)));
  return {
    packages,
    source: described.source,
    problems: [...problems.map((one) => located(one, byFile)), ...refused, ...unsigned.values()],
    seen: { ...seen, ...Object.fromEntries(first.map(({ url, sha256, size }) => [url, { sha256, size }])) },
    fetched,
  };
}

async function fetchAll(
  context: SyncContext,
  definition: ListsDefinition,
  wanted: readonly AskedByUrl[],
  { store, incoming, seen, fetched }: { store: Store; incoming: Incoming; seen: ByUrl['seen']; fetched: { files: number; bytes: number } },
): ReturnType<typeof fetchDeclared> {
  const urls = wanted.map(({ url }) => url);
  const fetching = new Fetching(context, definition.id, fetched);
  try {
    return await fetchDeclared(
      {
        client: context.client.reaching(isWaived(definition, 'privateAddresses') ? 'all' : declaredHosts(urls)),
        retry: context.retry,
        store,
        incoming,
        announce: (files, bytes) => fetching.announce(files, bytes, `${files} packages are to be fetched from addresses of their own`),
        onBytes: fetching.onBytes,
        onFile: fetching.onFile,
      },
      wanted.map(({ file, url, sha256 }) => ({ path: file, url, ...(sha256 === undefined ? {} : { sha256 }) })),
      new Map(Object.entries(seen)),
    );
  } finally {
    fetching.stop();
  }
}

/** What createrepo_c says of them; `unreadable` are names of files. */
async function describe(
  files: readonly TakenFile[],
  incoming: Incoming,
  work: string,
): Promise<{ readonly packages: Described['packages']; readonly source: Source | undefined; readonly unreadable: readonly string[] }> {
  if (files.length === 0) return { packages: [], source: undefined, unreadable: [] };
  await mkdir(work, { recursive: true });
  const { source, packages, unreadable } = await describeReadable(
    files.map(({ path, sha256 }) => ({ file: incoming.locate({ algorithm: 'sha256', hex: sha256 }), path: `${FOLDER}/${path}` })),
    work,
  );
  return { packages, source, unreadable: unreadable.map(fileOf) };
}

/** Name of the file, as it is asked for. */
function fileOf({ path }: { readonly path: string }): string {
  return path.slice(FOLDER.length + 1);
}

/** Of packages without a recorded digest, those that none of the declared keys has signed. */
async function unsignedOf(
  { layout }: SyncContext,
  id: string,
  packages: readonly ListedPackage[],
  byFile: ReadonlyMap<string, AskedByUrl>,
  incoming: Incoming,
  ring: PinnedRing | undefined,
): Promise<ReadonlyMap<ListedPackage, Problem>> {
  if (ring === undefined) return new Map();
  const asked = (item: ListedPackage): AskedByUrl => byFile.get(fileOf(item)) as AskedByUrl;
  const open = packages.filter((item) => asked(item).sha256 === undefined);
  if (open.length === 0) return new Map();
  const failed = await unsignedPackages(layout, (checksum) => incoming.locate(checksum), id, open, await ring());
  return new Map(
    [...failed].map(([item, problem]) => [
      item,
      {
        ...located({ ...problem, path: asked(item).file, url: asked(item).url }, byFile),
        remedy:
          'Compare the package with what its makers publish, and record its digest in the file of digests, or declare the key that signed it.',
      },
    ]),
  );
}

type Misfit = Pick<Problem, 'code' | 'message' | 'exitCode'>;

const UNREADABLE: Misfit = { code: 'PACKAGE_UNREADABLE', message: 'createrepo_c cannot read it', exitCode: ExitCode.invalid };

/** A header may say a thing twice: what counts is what clients will read of it. */
function misnamed(item: ListedPackage): Misfit {
  return { code: 'PACKAGE_MISNAMED', message: `by its metadata it is ${nevra(item)}`, exitCode: ExitCode.invalid };
}

/** A package that is none, or another one than its file is called. */
function misfit(asked: AskedByUrl, { code, message, exitCode }: Misfit): Problem {
  return {
    path: asked.file,
    url: asked.url,
    code,
    message: `${asked.list} line ${asked.line}: what is at ${asked.url} is not taken: ${message}`,
    remedy: 'Look at it with rpm -qip, and correct the address or the name in the list.',
    exitCode,
  };
}

/** The same problem with the line that asks. */
function located(problem: Problem, byFile: ReadonlyMap<string, AskedByUrl>): Problem {
  const asked = byFile.get(problem.path);
  return asked === undefined ? problem : { ...problem, message: `${asked.list} line ${asked.line}: ${problem.message}` };
}
