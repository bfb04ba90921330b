import { copied, type Definitions } from './definitions';
import { writeAtomically } from './files';
import type { Layout } from './layout';
import type { Ledger } from './retention-ledger';

/** What is said of what `forget` named, before the reason. */
export const FORGOTTEN = 'an operator had it forgotten';

/** What of the announcements is for everybody: copies are public, what was taken out of the declaration may not have been. */
export async function announce(layout: Layout, definitions: Definitions, { entries }: Pick<Ledger, 'entries'>, at: Date): Promise<void> {
  const copies = new Map(copied(definitions).map(({ id, publicPath }) => [id, publicPath]));
  const items = Object.entries(entries)
    .filter(([, { item }]) => copies.has(item.id) && (item.kind === 'package' || item.kind === 'snapshot'))
    .map(([key, { item, why, by, stage, due, bytes }]) => ({
      item: key,
      kind: item.kind,
      path: `/${copies.get(item.id) as string}/`,
      // An operator's reason may be for operators.
      why: by === 'operator' ? FORGOTTEN : why,
      stage,
      due,
      bytes,
    }));
  await writeAtomically(layout.announcements, `${JSON.stringify({ at: at.toISOString(), items }, undefined, 1)}\n`);
}
