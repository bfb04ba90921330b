import { join } from 'node:path';
import type { KeyReference } from '../desired-state/definitions';
import { buildKeyRing, type KeyRing } from '../signatures/pinned-keys';
import type { Layout } from './layout';

/** The ring of the keys that a definition pins. It is built when something is to be verified: most runs find nothing new. */
export type PinnedRing = () => Promise<KeyRing>;

/** @param directory for the ring, made anew */
export function pinnedRing(layout: Layout, keys: readonly KeyReference[], directory: string): PinnedRing {
  let ring: Promise<KeyRing> | undefined;
  const pinned = keys.map(({ file, fingerprint }) => ({ path: join(layout.configuration, file), fingerprint }));
  return () => (ring ??= buildKeyRing(pinned, directory));
}
