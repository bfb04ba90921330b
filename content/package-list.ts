import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import type { ChecksumAlgorithm } from '../rpm-metadata/checksum';
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
    for (let i = 0; i < packages.length; i += PIECE) writeFileSync(file, packages.slice(i, i + PIECE).map(line).join(''));
    writeFileSync(file, `end ${packages.length}\n`);
  } finally {
    closeSync(file);
  }
}

function line({ checksum: { algorithm, hex }, size, name, epoch, version, release, arch, path }: ListedPackage): string {
  return `${algorithm}\t${hex}\t${size}\t${name}\t${epoch}\t${version}\t${release}\t${arch}\t${path}\n`;
}

/** The list in a file; undefined when it is absent or not whole. */
export function readPackageList(path: string): readonly ListedPackage[] | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const lines = text.split('\n');
  if (lines[0] !== HEAD || lines[lines.length - 2] !== `end ${lines.length - 3}` || lines[lines.length - 1] !== '') return undefined;
  const packages: ListedPackage[] = [];
  for (let i = 1; i < lines.length - 2; i++) {
    const [algorithm, hex, size, name, epoch, version, release, arch, path] = (lines[i] as string).split('\t');
    if (path === undefined) return undefined;
    const decoded = decode(path);
    packages.push({
      path: decoded,
      href: decoded.split('/').map(encodeURIComponent).join('/'),
      checksum: { algorithm: algorithm as ChecksumAlgorithm, hex: hex as string },
      size: Number(size),
      name: decode(name as string),
      epoch: decode(epoch as string),
      version: decode(version as string),
      release: decode(release as string),
      arch: decode(arch as string),
    });
  }
  return packages;
}

/** Lines are split as latin1, which is fast and keeps strings small; what is not ASCII is UTF-8. */
function decode(text: string): string {
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'latin1').toString('utf8');
}
