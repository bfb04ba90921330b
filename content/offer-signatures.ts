import { join } from 'node:path';
import type { KeyReference } from '../desired-state/definitions';
import { forEachParallel } from '../downloads/parallel';
import { PackageVerifier } from '../signatures/packages';
import { buildKeyRing } from '../signatures/pinned-keys';
import { type Unusable, usableKeys } from '../signatures/usable-keys';
import type { Layout } from './layout';
import type { Arrived } from './offered';
import { type Refusal, untrusted } from './publish-rules';

/** Files that one rpmkeys judges: they are its arguments. */
const BATCH = 100;
const PARALLEL = 2;

/**
 * Looks in every package for a good signature by one of the keys, and for whole header and payload; returns those that have it not, with why.
 * Keys that expired or were revoked count for nothing.
 *
 * @param keys undefined where nobody needs to have signed: then it is looked for whole header and payload alone
 */
export async function unsignedOffers(
  layout: Layout,
  id: string,
  keys: readonly KeyReference[] | undefined,
  arrived: readonly Arrived[],
): Promise<ReadonlyMap<Arrived, Refusal>> {
  const refused = new Map<Arrived, Refusal>();
  if (arrived.length === 0) return refused;
  const directory = join(layout.temporary(id), 'keys');
  const pinned = keys?.map(({ file, fingerprint }) => ({ path: join(layout.configuration, file), fingerprint }));
  const usable = pinned === undefined ? undefined : await usableKeys(await buildKeyRing(pinned, directory), directory);
  const verifier = await PackageVerifier.create(usable?.ring, join(layout.temporary(id), 'rpm'));
  const batches = Array.from({ length: Math.ceil(arrived.length / BATCH) }, (_, i) => arrived.slice(i * BATCH, (i + 1) * BATCH));
  await forEachParallel(batches, PARALLEL, async (batch) => {
    const paths = [...new Set(batch.map(({ path }) => path))];
    const failures = await (usable === undefined ? verifier.damaged(paths) : verifier.failures(paths));
    for (const one of batch) {
      const reason = failures.get(one.path);
      if (reason !== undefined) refused.set(one, refusalOf(reason, keys ?? [], usable?.unusable ?? new Map()));
    }
  });
  return refused;
}

const OWN = 'Sign it with a key of the owner (rpmsign --addsign)';

/** @param reason as `failureReason` words it */
function refusalOf(reason: string, keys: readonly KeyReference[], unusable: ReadonlyMap<string, Unusable>): Refusal {
  const declared = `declared: ${keys.map(({ fingerprint }) => fingerprint).join(', ')}`;
  if (reason === 'it is not signed') return untrusted('PACKAGE_UNSIGNED', 'it is not signed', `${OWN}; ${declared}.`);
  const key = /^it is signed by key ([0-9a-f]+)/i.exec(reason)?.[1]?.toUpperCase();
  if (key === undefined) return untrusted('PACKAGE_DAMAGED', reason, 'Copy or build it again.');
  const why = [...unusable].find(([id]) => id.endsWith(key.slice(-16)))?.[1];
  if (why === undefined)
    return untrusted(
      'PACKAGE_UNTRUSTED',
      `it is signed by the key ${key}, which is none of the owner's`,
      `${OWN}, or declare that key (keys) and deploy; ${declared}.`,
    );
  return untrusted(
    why === 'expired' ? 'KEY_EXPIRED' : 'KEY_REVOKED',
    `it is signed by the key ${key}, which ${why === 'expired' ? 'has expired' : 'was revoked'}`,
    why === 'expired'
      ? 'Give the key more time (gpg --quick-set-expire), declare its new public key, and deploy; or sign the package with another one.'
      : 'Sign it with another key, which is declared (keys) and deployed.',
  );
}
