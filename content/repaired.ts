import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expectedFiles } from './expected';
import { flushDirectory, linkOrCopy } from './files';
import type { Layout } from './layout';
import { present } from './scrub-read';
import { NEW } from './snapshot';
import type { Store } from './store';

/**
 * Gives a snapshot that was away what a scrub repaired meanwhile: it looks at what is in service, so a damaged file of the store was replaced there only.
 * What the store has no more is left to the next scrub. Only for the holder of the repository's lock.
 */
export async function takeRepaired(layout: Layout, store: Store, id: string, snapshot: string): Promise<void> {
  const tree = join(layout.snapshots(id), snapshot);
  const temporary = join(layout.repository(id), `${NEW}repaired`);
  const changed = new Set<string>();
  for (const { path, checksum, stored } of await expectedFiles(layout, id, snapshot)) {
    const whole = stored ? present(store.path(checksum)) : undefined;
    const place = join(tree, path);
    if (whole === undefined || present(place)?.ino === whole.ino) continue;
    await rm(temporary, { force: true });
    linkOrCopy(store.path(checksum), temporary);
    await rename(temporary, place);
    changed.add(dirname(place));
  }
  for (const directory of changed) await flushDirectory(directory);
}
