import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExitCode } from '../desired-state/errors';
import { forEachParallel } from '../downloads/parallel';
import type { Checksum } from '../rpm-metadata/checksum';
import { quoted } from '../rpm-metadata/errors';
import { nevra } from '../rpm-metadata/nevra';
import { isSource } from '../rpm-metadata/package-lists';
import type { ListedPackage } from '../rpm-metadata/primary';
import { identityOf, type PackageIdentity } from '../signatures/package-identity';
import { PackageVerifier } from '../signatures/packages';
import type { KeyRing } from '../signatures/pinned-keys';
import type { Layout } from './layout';
import type { Problem } from './record';

const BATCH = 200;
const PARALLEL = 2;

/**
 * Looks for a good signature by a pinned key in every package, and returns those without, with the reason; and those of which the signed
 * header says another name or version than the list, which nobody signed: an old package must not pass for its update. What was proven for
 * this set of keys is remembered by checksum and name, so that an unchanged package is looked at once. `locate` says where a package can be
 * read.
 */
export async function unsignedPackages(
  layout: Layout,
  locate: (checksum: Checksum) => string,
  id: string,
  packages: Iterable<ListedPackage>,
  ring: KeyRing,
): Promise<ReadonlyMap<ListedPackage, Problem>> {
  const journal = layout.provenSignatures(keySetOf(ring.fingerprints));
  const proven = await readProven(journal);
  /** Of each, all places at which it is listed. */
  const open = new Map<string, ListedPackage[]>();
  for (const item of packages) {
    const key = provenAs(item);
    if (!proven.has(key)) open.set(key, [...(open.get(key) ?? []), item]);
  }
  const failed = new Map<ListedPackage, Problem>();
  if (open.size === 0) return failed;
  const verifier = await PackageVerifier.create(ring, join(layout.temporary(id), 'rpm'));
  await mkdir(dirname(journal), { recursive: true });
  await forEachParallel(batches([...open], BATCH), PARALLEL, async (batch) => {
    const failures = await verifier.failures([...new Set(batch.map(([, [item]]) => locate((item as ListedPackage).checksum)))]);
    const good: string[] = [];
    for (const [key, places] of batch) {
      for (const item of places) {
        const path = locate(item.checksum);
        const reason = failures.get(path);
        const problem = reason === undefined ? misnamed(item, identityOf(path)) : untrusted(item, reason, ring);
        if (problem !== undefined) failed.set(item, problem);
      }
      if (places.every((item) => !failed.has(item))) good.push(`${key}\n`);
    }
    if (good.length > 0) await appendFile(journal, good.join(''));
  });
  return failed;
}

/** A name for a set of keys: results under other keys do not count. */
export function keySetOf(fingerprints: ReadonlySet<string>): string {
  return createHash('sha256')
    .update([...fingerprints].sort().join('\n'))
    .digest('hex')
    .slice(0, 16);
}

/** What is remembered of a package: 64 hexadecimal digits. */
function provenAs(item: ListedPackage): string {
  return createHash('sha256')
    .update(`${item.checksum.hex}\n${nevra(item)}`)
    .digest('hex');
}

/** A package whose header says that it is another one than the list says. */
function misnamed(item: ListedPackage, found: PackageIdentity | undefined): Problem | undefined {
  // Tools differ in what they call a source package that lacks some of its sources.
  const listed = { ...item, arch: isSource(item) ? 'src' : item.arch };
  if (found !== undefined && nevra(found) === nevra(listed)) return undefined;
  return {
    path: item.path,
    code: 'PACKAGE_MISNAMED',
    message: `${item.path}: the package is ${found === undefined ? 'of no name' : quoted(nevra(found))} by its signed header, and the metadata calls it ${nevra(item)}`,
    remedy: 'Nobody signed the metadata: compare it with another mirror of this upstream, and put one that is right into fetchFrom.',
    exitCode: ExitCode.untrusted,
  };
}

async function readProven(journal: string): Promise<ReadonlySet<string>> {
  const text = await readFile(journal, 'utf8').catch(() => '');
  // A line that a crash cut short proves nothing.
  return new Set(text.split('\n').filter((line) => /^[0-9a-f]{64}$/.test(line)));
}

function batches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

function untrusted(item: ListedPackage, reason: string, ring: KeyRing): Problem {
  return {
    path: item.path,
    code: 'PACKAGE_UNTRUSTED',
    message: `${item.path}: ${reason}; pinned: ${[...ring.fingerprints].join(', ')}`,
    remedy:
      'If upstream has a new key, compare its fingerprint with what upstream publishes and pin it; if upstream does not sign, declare digestsOnly.',
    exitCode: ExitCode.untrusted,
  };
}
