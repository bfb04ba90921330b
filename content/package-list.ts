import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import type { ChecksumAlgorithm } from '../rpm-metadata/checksum';
import { hrefOf } from '../rpm-metadata/locations';
import type { ListedPackage } from '../rpm-metadata/primary';

/**
 * The list of a snapshot's packages as a text, one a line, tab-separated: what the next run compares upstream with, without reading the
 * metadata again. Paths have no control characters (rpm-metadata/locations.ts).
 */
const HEAD = 'packages 1';

/** Packages per write: a long list in one piece would take as much memory again as the packages themselves. */
const PIECE = 1000;

/** Writes the list to a new file. */
export function writePackageList(path: string, packages: readonly ListedPackage[]): void {
  const file = openSync(path, 'w');
  try {
    writeFileSync(file, `${HEAD}\n`);
    for (let i = 0; i < packages.length; i += PIECE) {
      const lines = packages.slice(i, i + PIECE).map(lineOf);
      writeFileSync(file, `${lines.join('\n')}\n`);
    }
    writeFileSync(file, `end ${packages.length}\n`);
  } finally {
    closeSync(file);
  }
}

function lineOf({ checksum: { algorithm, hex }, size, name, epoch, version, release, arch, path }: ListedPackage): string {
  return `${algorithm}\t${hex}\t${size}\t${name}\t${epoch}\t${version}\t${release}\t${arch}\t${path}`;
}

/**
 * The list in a file; undefined when it is absent or not whole. Packages that are the same in `upstream` share their strings with it: both lists
 * are long, and mostly equal.
 */
export function readPackageList(path: string, upstream: readonly ListedPackage[] = []): readonly ListedPackage[] | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return packagesOf(linesOf(file), upstream);
  } finally {
    closeSync(file);
  }
}

/** As latin1, which is fast: what is not ASCII is decoded later. After the end of the last line there is an empty one. */
function* linesOf(file: number): Generator<string, undefined> {
  const buffer = Buffer.alloc(64 * 1024);
  let rest = '';
  for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer)) {
    const lines = (rest + buffer.toString('latin1', 0, length)).split('\n');
    rest = lines.pop() as string;
    yield* lines;
  }
  yield rest;
}

function packagesOf(lines: Generator<string, undefined>, upstream: readonly ListedPackage[]): readonly ListedPackage[] | undefined {
  if (lines.next().value !== HEAD) return undefined;
  const byPath = new Map<string, ListedPackage>();
  for (const item of upstream) byPath.set(item.path, item);
  const packages: ListedPackage[] = [];
  for (const line of lines) {
    if (line.startsWith('end ')) {
      const isWhole = line === `end ${packages.length}` && lines.next().value === '' && lines.next().done === true;
      return isWhole ? packages : undefined;
    }
    const same = byPath.get(line.slice(line.lastIndexOf('\t') + 1));
    const item = same !== undefined && same.base === undefined && lineOf(same) === line ? { ...same } : packageOf(line);
    if (item === undefined) return undefined;
    packages.push(item);
  }
  return undefined;
}

function packageOf(line: string): ListedPackage | undefined {
  // A copy: pieces of what was read would keep all of that in memory.
  const text = Buffer.from(line, 'latin1').toString('utf8');
  const [algorithm, hex = '', size, name = '', epoch = '', version = '', release = '', arch = '', path] = text.split('\t');
  if (path === undefined) return undefined;
  const checksum = { algorithm: algorithm as ChecksumAlgorithm, hex };
  return { path, href: hrefOf(path), checksum, size: Number(size), name, epoch, version, release, arch };
}
