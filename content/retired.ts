/** What is left to do for a copy that is declared never to be synced: its metadata is signed by the mirror, whose key may change. */
import { accumulates, type CopiedDefinition, type DownloadsDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { DownloadsRecord } from './downloads-record';
import { downloadsDigest } from './downloads-run';
import { type PublishedDownloads, publishDownloads, readDownloads } from './downloads-snapshot';
import type { Layout } from './layout';
import { Published } from './published';
import { rebuild } from './rebuild';
import { Store } from './store';
import type { Done, SyncContext } from './sync';
import { inWorkspace } from './workspace';

type Context = Pick<SyncContext, 'layout' | 'signer' | 'graceSeconds' | 'now'>;

/** Whether another key signed what is published than signs today. */
export async function needsSignature(
  { layout, signer }: Pick<Context, 'layout' | 'signer'>,
  definition: CopiedDefinition,
): Promise<boolean> {
  const signedBy = await signedByOf(layout, definition);
  return signedBy !== undefined && signedBy !== (await signer()).identity.digest;
}

/** Digest of the keys that signed what is published; undefined where the mirror signs nothing of it, or nothing is published. */
async function signedByOf(layout: Layout, definition: CopiedDefinition): Promise<string | undefined> {
  if (definition.kind === 'downloads') return (await readDownloads(layout, definition.id))?.manifest?.downloads.signedBy;
  if (!accumulates(definition)) return undefined;
  return (await Published.read(layout, definition.id))?.record?.signedBy;
}

/** Publishes the same packages or files, signed by today's key; asks no upstream. Only for the holder of the lock. Throws where there is nothing to do. */
export async function signAnew(context: Context, definition: CopiedDefinition): Promise<Done> {
  const { id } = definition;
  if (!(await needsSignature(context, definition))) throw retired(id, definition.retired ?? '');
  if (definition.kind === 'downloads') return signDownloadsAnew(context, definition);
  const { layout, signer, graceSeconds, now } = context;
  const published = (await Published.read(layout, id)) as Published;
  const packages = await published.packages([]);
  const snapshot = await rebuild({ layout, id, published, packages, withheld: [], graceSeconds, at: now(), signer });
  const bytes = packages.reduce((sum, { size }) => sum + size, 0);
  return { result: 'published', snapshot, packages: packages.length, bytes, downloadedFiles: 0, downloadedBytes: 0, problems: [] };
}

async function signDownloadsAnew({ layout, signer, graceSeconds, now }: Context, definition: DownloadsDefinition): Promise<Done> {
  const { id } = definition;
  return inWorkspace(layout, id, async () => {
    const published = (await readDownloads(layout, id)) as PublishedDownloads;
    const record = published.manifest?.downloads as DownloadsRecord;
    const store = new Store(layout.store);
    const { snapshot, bytes } = await publishDownloads({
      ...{ layout, store, incoming: await store.incoming(id), signer: await signer(), at: now(), graceSeconds },
      ...{ definition, definitionDigest: downloadsDigest(definition), published, ...record },
    });
    return { result: 'published', snapshot, files: record.files.length, bytes, downloadedFiles: 0, downloadedBytes: 0, problems: [] };
  });
}

function retired(id: string, why: string): MirrorError {
  return new MirrorError({
    code: 'RETIRED',
    message: `${id} is declared never to be synced: ${why}`,
    remedy: 'What is published stays and is served. To sync it again, declare another schedule than SyncSchedule.never and deploy.',
    exitCode: ExitCode.invalid,
  });
}
