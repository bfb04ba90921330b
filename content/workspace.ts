import { mkdir } from 'node:fs/promises';
import { removeOrphanedRecords } from './build-snapshot';
import { removeTree } from './files';
import type { Layout } from './layout';
import { removeUnfinished } from './snapshot';

/** Runs one sync of `id` between removing what a run that died left, and removing what this one needed. Only for the holder of its lock. */
export async function inWorkspace<T>(layout: Layout, id: string, work: () => Promise<T>): Promise<T> {
  const temporary = layout.temporary(id);
  const clear = async (): Promise<void> => {
    await removeTree(temporary);
    // An rsync of a run that was killed may go on for a moment: it writes where nothing is any more.
    await removeTree(layout.quarantine(id));
    await removeUnfinished(layout, id);
  };
  await clear();
  await removeOrphanedRecords(layout, id);
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  try {
    return await work();
  } finally {
    await clear();
  }
}
