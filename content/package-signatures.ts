import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { forEachParallel } from '../downloads/parallel';
import type { ListedPackage } from '../rpm-metadata/primary';
import { PackageVerifier } from '../signatures/packages';
import type { KeyRing } from '../signatures/pinned-keys';
import type { Layout } from './layout';
import type { Store } from './store';

const BATCH = 200;
const PARALLEL = 2;

/**
 * Requires a good signature by a pinned key in every package. What was proven for this set of keys is remembered by checksum, so that an
 * unchanged package is looked at once. Returns how many were checked now.
 */
export async function requireSignedPackages(
  layout: Layout,
  store: Store,
  id: string,
  packages: readonly ListedPackage[],
  ring: KeyRing,
): Promise<number> {
  const journal = layout.provenSignatures(keySetOf(ring.fingerprints));
  const proven = await readProven(journal);
  const open = new Map<string, ListedPackage>();
  for (const item of packages) if (!proven.has(item.checksum.hex)) open.set(item.checksum.hex, item);
  if (open.size === 0) return 0;
  const verifier = await PackageVerifier.create(ring, join(layout.temporary(id), 'rpm'));
  const failed: [string, string][] = [];
  await mkdir(dirname(journal), { recursive: true });
  await forEachParallel(batches([...open.values()], BATCH), PARALLEL, async (batch) => {
    const paths = new Map(batch.map((item) => [store.path(item.checksum), item]));
    const failures = await verifier.failures([...paths.keys()]);
    for (const [path, reason] of failures) failed.push([paths.get(path)?.path ?? path, reason]);
    const good = [...paths].filter(([path]) => !failures.has(path)).map(([, item]) => item.checksum.hex);
    if (good.length > 0) await appendFile(journal, good.map((hex) => `${hex}\n`).join(''));
  });
  if (failed.length > 0) throw unsigned(id, failed, ring);
  return open.size;
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
  return new Set(text.split('\n').filter((line) => /^([0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/.test(line)));
}

function batches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

function unsigned(id: string, failed: readonly [string, string][], ring: KeyRing): MirrorError {
  const [first] = [...failed].sort(([a], [b]) => (a < b ? -1 : 1));
  const more = failed.length === 1 ? '' : ` (and ${failed.length - 1} more)`;
  return new MirrorError({
    code: 'PACKAGE_UNTRUSTED',
    message: `${id}: ${first?.[0]}: ${first?.[1]}${more}; pinned: ${[...ring.fingerprints].join(', ')}`,
    remedy:
      'The previous snapshot stays. If upstream has a new key, compare its fingerprint with what upstream publishes and pin it; if upstream does not sign, declare digestsOnly.',
    exitCode: ExitCode.untrusted,
  });
}
