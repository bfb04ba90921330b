import { existsSync, linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { lstat, mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readComponentRecord } from './component-record';
import { copied, type Definitions } from './definitions';
import { flushDirectory, flushFileSystem, removeTree } from './files';
import { type Layout, RECORD_KINDS } from './layout';
import { currentSnapshot, NEW, publish, removeUnfinished, snapshotsOf } from './snapshot';
import { readState, writeState } from './state';

/** What says that a snapshot was copied from an upstream. */
const UPSTREAM_RECORDS = RECORD_KINDS.filter((kind) => kind !== 'damage' && kind !== 'component');

/** A new id, and the one whose content it goes on with. */
export interface Adoption {
  readonly id: string;
  readonly formerId: string;
}

/** Every id that is declared with a former one: what is copied, and the components of codenames. Pure. */
export function declaredAdoptions(definitions: Definitions): readonly Adoption[] {
  const upstreams = copied(definitions).flatMap(({ id, formerId }) => (formerId === undefined ? [] : [{ id, formerId }]));
  const components = definitions.codenames.flatMap(({ id, formerId, components: names }) =>
    formerId === undefined ? [] : names.map((name) => ({ id: `${id}/${name}`, formerId: `${formerId}/${name}` })),
  );
  return [...upstreams, ...components];
}

/**
 * Publishes, under the new id, the snapshot that the former id publishes: hard links to the same files. The former tree stays as it is, so
 * that the generation before goes on to serve it, and a rollback finds it. Does nothing where the new id has content of its own already.
 *
 * @returns whether anything was done
 */
export async function adopt(layout: Layout, { id, formerId }: Adoption): Promise<boolean> {
  const from = await currentSnapshot(layout, formerId);
  if (from === undefined) return false;
  const present = await currentSnapshot(layout, id);
  // Adopted for a deploy that was taken back, and untouched since: the former id may have gone on.
  if (present === from || (present !== undefined && !(await isBehind(layout, { id, formerId }, { present, from })))) return false;

  await removeUnfinished(layout, id);
  const target = join(layout.snapshots(id), from);
  if ((await lstat(target).catch(() => undefined)) === undefined) {
    const temporary = join(layout.snapshots(id), `${NEW}${from}`);
    await mkdir(layout.snapshots(id), { recursive: true });
    try {
      linkTree(join(layout.snapshots(formerId), from), temporary);
      linkRecords(layout, formerId, id, from);
      await flushFileSystem(temporary);
      await rename(temporary, target);
    } catch (error) {
      await removeTree(temporary);
      throw error;
    }
    await flushDirectory(layout.snapshots(id));
  }
  const { lastSuccess } = await readState(layout.stateFile(formerId), formerId);
  await writeState(layout.stateFile(id), { version: 2, id, ...(lastSuccess === undefined ? {} : { lastSuccess }) });
  await publish(layout, id, from);
  return true;
}

/**
 * Whether nothing happened to an id since it was adopted, and the former one went on. What owners publish is never synced, so no run says it: there the published
 * snapshot, or the one that `prepare` made it of, must be one of the former id's. A publish under the new id makes one that the former never had.
 */
async function isBehind(
  layout: Layout,
  { id, formerId }: Adoption,
  { present, from }: { readonly present: string; readonly from: string },
): Promise<boolean> {
  if (readComponentRecord(layout, id, present) !== undefined) {
    const former = new Set(await snapshotsOf(layout, formerId));
    let origin: string | undefined = present;
    while (origin !== undefined && !former.has(origin)) origin = readComponentRecord(layout, id, origin)?.preparedFrom;
    return origin !== undefined && origin !== from;
  }
  const { lastRun } = await readState(layout.stateFile(id), id);
  return lastRun === undefined && UPSTREAM_RECORDS.some((kind) => existsSync(layout.record(id, present, kind)));
}

function linkRecords(layout: Layout, formerId: string, id: string, snapshot: string): void {
  for (const kind of RECORD_KINDS) {
    const target = layout.record(id, snapshot, kind);
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { force: true });
    if (existsSync(layout.record(formerId, snapshot, kind))) linkSync(layout.record(formerId, snapshot, kind), target);
  }
  // What was forgotten by name stays so.
  rmSync(layout.refused(id), { force: true });
  if (existsSync(layout.refused(formerId))) linkSync(layout.refused(formerId), layout.refused(id));
}

/** The same tree by hard links; a link that a tree may hold is none of a snapshot's, and is left out. */
function linkTree(from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) linkTree(join(from, entry.name), join(to, entry.name));
    else if (entry.isFile()) linkSync(join(from, entry.name), join(to, entry.name));
  }
}
