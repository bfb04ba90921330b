import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExitCode } from '../desired-state/errors';
import { forEachParallel } from '../downloads/parallel';
import type { Checksum } from '../rpm-metadata/checksum';
import type { ListedPackage } from '../rpm-metadata/primary';
import { PackageVerifier } from '../signatures/packages';
import type { KeyRing } from '../signatures/pinned-keys';
import type { Layout } from './layout';
import type { Problem } from './record';

const BATCH = 200;
const PARALLEL = 2;

/**
 * Looks for a good signature by a pinned key in every package, and returns those without, with the reason. What was proven for this set of
 * keys is remembered by checksum, so that an unchanged package is looked at once. `locate` says where a package can be read.
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
  const open = new Map<string, ListedPackage>();
  for (const item of packages) if (!proven.has(item.checksum.hex)) open.set(item.checksum.hex, item);
  const failed = new Map<ListedPackage, Problem>();
  if (open.size === 0) return failed;
  const verifier = await PackageVerifier.create(ring, join(layout.temporary(id), 'rpm'));
  await mkdir(dirname(journal), { recursive: true });
  await forEachParallel(batches([...open.values()], BATCH), PARALLEL, async (batch) => {
    const paths = new Map(batch.map((item) => [locate(item.checksum), item]));
    const failures = await verifier.failures([...paths.keys()]);
    for (const [path, reason] of failures) {
      const item = paths.get(path) as ListedPackage;
      failed.set(item, untrusted(item, reason, ring));
    }
    const good = [...paths].filter(([path]) => !failures.has(path)).map(([, item]) => item.checksum.hex);
    if (good.length > 0) await appendFile(journal, good.map((hex) => `${hex}\n`).join(''));
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

async function readProven(journal: string): Promise<ReadonlySet<string>> {
  const text = await readFile(journal, 'utf8').catch(() => '');
  // A line that a crash cut short is no checksum.
  return new Set(text.split('\n').filter((line) => /^([0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/.test(line)));
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
