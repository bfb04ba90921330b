/** What is left to do for a copy that is declared never to be synced: its metadata is signed by the mirror, whose key may change. */
import type { RepositoryDefinition, TreeDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { Published } from './published';
import { rebuild } from './rebuild';
import type { Done, SyncContext } from './sync';

type Context = Pick<SyncContext, 'layout' | 'signer' | 'graceSeconds' | 'now'>;

/** Whether another key signed what is published than signs today. */
export async function needsSignature(
  { layout, signer }: Pick<Context, 'layout' | 'signer'>,
  definition: RepositoryDefinition | TreeDefinition,
): Promise<boolean> {
  if (definition.kind === 'tree' || definition.view !== 'accumulate') return false;
  const published = await Published.read(layout, definition.id);
  return published?.record !== undefined && published.record.signedBy !== (await signer()).identity.digest;
}

/** Publishes the same packages, signed by today's key; asks no upstream. Only for the holder of the lock. Throws where there is nothing to do. */
export async function signAnew(context: Context, definition: RepositoryDefinition | TreeDefinition): Promise<Done> {
  const { id } = definition;
  if (!(await needsSignature(context, definition))) throw retired(id, definition.retired ?? '');
  const { layout, signer, graceSeconds, now } = context;
  const published = (await Published.read(layout, id)) as Published;
  const packages = await published.packages([]);
  const snapshot = await rebuild({ layout, id, published, packages, withheld: [], graceSeconds, at: now(), signer });
  const bytes = packages.reduce((sum, { size }) => sum + size, 0);
  return { result: 'published', snapshot, packages: packages.length, bytes, downloadedFiles: 0, downloadedBytes: 0, problems: [] };
}

function retired(id: string, why: string): MirrorError {
  return new MirrorError({
    code: 'RETIRED',
    message: `${id} is declared never to be synced: ${why}`,
    remedy: 'What is published stays and is served. To sync it again, declare another schedule than SyncSchedule.never and deploy.',
    exitCode: ExitCode.invalid,
  });
}
