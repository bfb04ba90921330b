import { cvesIn } from './cve';
import { decompressed } from './decompress';
import type { MetadataSource } from './elements';
import { scanPackages } from './packages';

/** The usual beginning of a package. */
const PKGID = /^<package pkgid="([0-9a-f]+)"/;
const MAX_TAG = 160;

/**
 * Streams other.xml and returns which CVE names the changelogs of the wanted packages have, by the checksum that identifies a package
 * (`pkgid`, hex). Packages that are not listed are absent. createrepo keeps the newest ten entries of each package.
 * Throws a MirrorError for what is no such list.
 */
export async function changelogCves(
  source: MetadataSource,
  wanted: ReadonlySet<string>,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>();
  if (wanted.size === 0) return found;
  await scanPackages(decompressed(source.path, source.what, source.openSize), 'other', source.what, {
    // Most of it is of packages that did not change.
    passOver(raw) {
      const id = PKGID.exec(raw.toString('latin1', 0, MAX_TAG))?.[1];
      return id !== undefined && !wanted.has(id);
    },
    package({ pkgid }, raw) {
      const id = pkgid?.toLowerCase();
      if (id !== undefined && wanted.has(id)) found.set(id, cvesIn(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString()));
    },
  });
  return found;
}
