import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Definitions } from './definitions';
import { removeTree } from './files';
import { type Judged, judge, type Obstacle } from './import-judge';
import { Importer, isLinked, type Means, type Taken } from './import-take';
import { directoryOf, type PassedOver, walk } from './import-walk';
import { wantsOf } from './import-wants';
import type { Layout } from './layout';
import { secondsBetween } from './lines';
import { Lock, usingStore } from './lock';
import { pinnedRing } from './pinned-ring';
import { Progress, type Say, size } from './progress';
import type { Problem } from './record';
import { requireRoom, requireStorage } from './storage';
import { Store } from './store';

/** Where imports arrive and work, beside the repositories: no id has a plus. */
const ID = '+import';

export interface ImportOptions {
  readonly layout: Layout;
  readonly definitions: Definitions;
  readonly directory: string;
  readonly copyOnly: boolean;
  /** Says what would be taken, and takes nothing. */
  readonly dryRun: boolean;
  readonly say: Say;
}

export interface ImportOutcome {
  /** With symlinks resolved. */
  readonly directory: string;
  readonly dryRun: boolean;
  /** What is new in the store, or would be. */
  readonly taken: readonly {
    readonly path: string;
    readonly sha256: string;
    readonly size: number;
    /** In a dry run `copy` stands for `reflink`, too: only a try shows. */
    readonly by: Means;
    /** Why it was not hard-linked. */
    readonly obstacle?: Obstacle;
  }[];
  readonly takenBytes: number;
  /** Files whose content the store had. */
  readonly present: number;
  /** Files whose content is among what was taken, from another path. */
  readonly again: number;
  readonly passedOver: Readonly<Partial<Record<PassedOver, number>>>;
  /** Packages among what was taken that no pinned key signed. */
  readonly unsigned: readonly string[];
  /** What was not taken, by path. */
  readonly problems: readonly Problem[];
  readonly seconds: number;
}

/**
 * Takes over an existing mirror tree: what is intact, and what something that is declared could publish, enters the store under every checksum
 * by which a sync may ask for it. Throws a MirrorError where nothing can be done; single files that are not taken are among the problems.
 */
export async function importTree(options: ImportOptions): Promise<ImportOutcome> {
  const { layout, definitions, dryRun } = options;
  const started = new Date();
  const wants = wantsOf(definitions);
  await requireStorage(layout, definitions.server);
  if (!dryRun) await requireRoom(layout, definitions.server, `the import of ${options.directory}`);
  const directory = await directoryOf(options.directory, layout);
  const lock = await Lock.take(layout.lockFile(ID), 'the import');
  const temporary = layout.temporary(ID);
  try {
    await removeTree(temporary);
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    const store = new Store(layout.store);
    const { found, passedOver, problems: unread } = await walk(directory, layout, wants);
    const bytes = found.reduce((sum, file) => sum + file.size, 0);
    options.say(`${directory}: ${found.length} files, ${size(bytes)}, to be read`);
    const ring = wants.keys.length === 0 ? undefined : await pinnedRing(layout, wants.keys, join(temporary, 'keys'))();
    const device = statSync(layout.store).dev;
    const judged = await inProgress(`reading ${directory}`, found.length, bytes, options.say, (progress) =>
      judge({ directory, store, device, wants, ring, temporary: join(temporary, 'rpm'), ...progress }, found),
    );
    const { taken, problems } = dryRun
      ? foreseen(judged, options.copyOnly)
      : await usingStore(layout, () => take(options, { directory, store, device }, judged));
    return {
      directory,
      dryRun,
      taken: taken.map(({ file: { path, sha256, size: length, obstacle }, by }) => ({
        path,
        sha256,
        size: length,
        by,
        ...(obstacle === undefined || options.copyOnly ? {} : { obstacle }),
      })),
      takenBytes: taken.reduce((sum, { file }) => sum + file.size, 0),
      present: judged.present.length,
      again: judged.again,
      passedOver,
      unsigned: judged.unsigned,
      problems: [...unread, ...judged.problems, ...problems],
      seconds: secondsBetween(started, new Date()),
    };
  } finally {
    await removeTree(temporary);
    await lock.release();
  }
}

function foreseen({ take: files }: Judged, copyOnly: boolean): { readonly taken: readonly Taken[]; readonly problems: readonly Problem[] } {
  return { taken: files.map((file) => ({ file, by: isLinked(file, copyOnly) ? 'link' : 'copy' })), problems: [] };
}

async function take(
  { layout, definitions, copyOnly, say }: ImportOptions,
  where: { readonly directory: string; readonly store: Store; readonly device: number },
  judged: Judged,
): Promise<{ readonly taken: readonly Taken[]; readonly problems: readonly Problem[] }> {
  const { store, directory } = where;
  const incoming = await store.incoming(ID);
  try {
    const bytes = judged.take.reduce((sum, file) => sum + file.size, 0);
    const done = await inProgress(`taking from ${directory}`, judged.take.length, bytes, say, (progress) =>
      new Importer({ layout, server: definitions.server, incoming, copyOnly, ...where, ...progress }).take(judged.take),
    );
    for (const { sha256, checksums, size: length } of [...done.taken.map(({ file }) => file), ...judged.present])
      for (const checksum of checksums) if (!store.has(checksum, length)) incoming.name(sha256, checksum);
    return done;
  } finally {
    // Also what did not come to its end: on a full disk it is in the way of others.
    await incoming.close();
  }
}

async function inProgress<T>(
  what: string,
  files: number,
  bytes: number,
  say: Say,
  work: (progress: { onBytes: (count: number) => void; onFile: () => void }) => Promise<T>,
): Promise<T> {
  const progress = new Progress(what, files, bytes, say);
  try {
    return await work({ onBytes: (count) => progress.addBytes(count), onFile: () => progress.fileDone() });
  } finally {
    progress.stop();
  }
}
