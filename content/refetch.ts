import type { CopiedDefinition } from '../desired-state/definitions';
import { DownloadError } from '../downloads/errors';
import { checksumKey } from '../rpm-metadata/checksum';
import { MAX_METADATA_BYTES } from '../rpm-metadata/repomd';
import type { LostFile } from './damage';
import { fetchFiles, missingFiles, type Wanted } from './fetch';
import { modulesOf } from './rsync-modules';
import { clientFor, declaredSources, sourcesOf } from './source-lists';
import { requireSpace } from './storage';
import type { Incoming, Store } from './store';
import type { SyncContext } from './sync';
import { withSlots } from './with-slots';

export type RefetchContext = Pick<SyncContext, 'layout' | 'server' | 'client' | 'share' | 'retry' | 'say'>;

/** The scrub's own place among those that arrive and among the locks: no id has a `+`. */
export const SCRUB = '+scrub';

/**
 * Asks one upstream for what was lost of its copy, each file by the digest under which it was published, and brings what arrives into the store. The scrub
 * has a place of its own for what arrives, so that a sync of the same repository may run beside it.
 *
 * @returns why files could not be had, by `checksumKey`
 */
export async function refetch(
  context: RefetchContext,
  store: Store,
  incoming: Incoming,
  definition: CopiedDefinition,
  lost: readonly LostFile[],
): Promise<ReadonlyMap<string, DownloadError>> {
  const wanted = lost.flatMap(({ checksum, size, href, base }): Wanted[] =>
    href === undefined ? [] : [{ href, checksum, size, ...(base === undefined ? {} : { base }) }],
  );
  const missing = await missingFiles(store, incoming, wanted);
  // What a run that was killed had fetched may be all.
  await incoming.commit();
  if (missing.length === 0) return new Map();
  const client = clientFor(context.client, definition, basesOf(definition, missing));
  try {
    const { sources } = await sourcesOf({ ...context, client }, { id: definition.id, fetchFrom: declaredSources(definition) });
    const bytes = missing.reduce((sum, { size }) => sum + (size ?? 0), 0);
    // Whatever the disk guard says: it is repair.
    await requireSpace(context.layout, definition.id, { bytes });
    // What lists asked for once has addresses of its own: its line may be gone, and with it the last source.
    const slot = sources.all[0] ?? missing.find(({ base }) => base !== undefined)?.base;
    if (slot === undefined) return new Map();
    const { failures } = await withSlots(context, definition.id, slot, () =>
      fetchFiles(
        {
          client,
          sources,
          modules: modulesOf(context, SCRUB),
          retry: context.retry,
          store,
          incoming,
          parallel: client.parallel,
          maxUndeclared: MAX_METADATA_BYTES,
          onBytes: () => undefined,
          onFile: () => undefined,
        },
        missing,
      ),
    );
    await incoming.commit();
    return new Map([...failures].map(([{ checksum }, error]) => [checksumKey(checksum), error]));
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    return new Map(missing.map(({ checksum }) => [checksumKey(checksum), error]));
  }
}

/** Addresses that were declared when the files came: where these are private, they may be asked again. Of others, upstream's metadata says where they are. */
function basesOf({ kind }: CopiedDefinition, missing: readonly Wanted[]): readonly string[] {
  return kind === 'lists' || kind === 'downloads' ? missing.flatMap(({ base }) => base ?? []) : [];
}
