/**
 * The snapshots of hosted components as the public sees them, below the public path of each codename: `snapshots/<component>-<YYYY-MM-DD-HHMMSS>`,
 * `<component>-latest`, and `<component>-latest.target.txt`. All of it follows from what is on the disk, and is brought up to date by whoever changed that.
 */
import type { Dirent } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { flushDirectory, isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';
import { snapshotsHere } from './releases';
import { namesIn, replaceLink, timeOf } from './snapshot';

/** `os`, `20261122T023000Z-0123456789ab` → `os-2026-11-22-023000`. Pure. */
export function publicName(component: string, snapshot: string): string {
  const time = timeOf(snapshot) as string;
  return `${component}-${time.slice(0, 10)}-${time.slice(11, 19).replaceAll(':', '')}`;
}

/**
 * Makes the links of a component those of the snapshots that were published and are here. Does nothing for what is no hosted component. Only for the holder of its
 * lock; whatever is left by a run that was killed the next one puts right.
 */
export async function updatePublicSnapshots(layout: Layout, id: string): Promise<void> {
  const [owner, codename, component, ...more] = id.split('/');
  if (component === undefined || more.length > 0) return;
  const directory = layout.publicSnapshots(`${owner}/${codename}`);
  const wanted = new Map<string, string>();
  for (const snapshot of await snapshotsHere(layout, id))
    wanted.set(publicName(component, snapshot), relative(directory, join(layout.snapshots(id), snapshot)));
  const newest = [...wanted.keys()].at(-1);
  const isOwn = namesOf(component);
  const entries: readonly Dirent[] = (await unlessAbsent(readdir(directory, { withFileTypes: true }))) ?? [];
  const found = entries.filter(({ name }) => isOwn(name));
  if (newest === undefined && found.length === 0) return;

  await mkdir(directory, { recursive: true });
  let changed = false;
  // What a name stands for never changes, but for the newest.
  const lead = async (name: string, target: string): Promise<void> => {
    await replaceLink(join(directory, name), target);
    changed = true;
  };
  for (const [name, target] of wanted) if (!found.some((entry) => entry.name === name && entry.isSymbolicLink())) await lead(name, target);
  const latest = `${component}-latest`;
  const text = `${latest}.target.txt`;
  if (newest !== undefined) {
    if ((await unlessAbsent(readlink(join(directory, latest)))) !== newest) await lead(latest, newest);
    if ((await unlessAbsent(readFile(join(directory, text), 'utf8'))) !== `${newest}\n`)
      await writeAtomically(join(directory, text), `${newest}\n`);
    wanted.set(latest, newest).set(text, '');
  }
  for (const { name } of found.filter((entry) => !wanted.has(entry.name))) {
    await rm(join(directory, name), { force: true });
    changed = true;
  }
  if (changed) await flushDirectory(directory);
}

/** The same after a snapshot went or came back: a component that the public sees nothing of stays so, since it is not declared any more. */
export async function refreshPublicSnapshots(layout: Layout, id: string): Promise<void> {
  const [owner, codename, component, ...more] = id.split('/');
  if (component === undefined || more.length > 0) return;
  const names = await namesIn(layout.publicSnapshots(`${owner}/${codename}`));
  if (names.some(namesOf(component))) await updatePublicSnapshots(layout, id);
}

/**
 * Takes away the links of components that a codename does not declare: the directory is public as a whole. The snapshots stay, and the links come back with the
 * declaration.
 */
export async function withdrawOtherSnapshots(layout: Layout, codename: string, components: readonly string[]): Promise<void> {
  const directory = layout.publicSnapshots(codename);
  const own = components.map(namesOf);
  const isLink = linkName('.+');
  const others = (await namesIn(directory)).filter((name) => isLink.test(name) && !own.some((isOwn) => isOwn(name)));
  for (const name of others) await rm(join(directory, name), { force: true });
  if (others.length > 0) await flushDirectory(directory);
}

/** Which names of the directory are a component's, those of a run that was killed among them. */
function namesOf(component: string): (name: string) => boolean {
  const own = linkName(component.replaceAll('.', String.raw`\.`));
  return (name) => own.test(name);
}

function linkName(component: string): RegExp {
  return new RegExp(String.raw`^(\.new-)?${component}-(\d{4}-\d\d-\d\d-\d{6}|latest|latest\.target\.txt(\.new)?)$`);
}

/** Undefined as well where something else is in the place of a link. */
async function unlessAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (isAbsent(error) || (error as NodeJS.ErrnoException).code === 'EINVAL') return undefined;
    throw error;
  });
}
