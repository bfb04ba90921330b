import { readFileSync, writeFileSync } from 'node:fs';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { isAbsent } from './files';
import type { Layout } from './layout';

/** Path of a package in the snapshot → since when (ISO) its upstream no longer lists it. */
export type Dropped = ReadonlyMap<string, string>;

const HEAD = 'dropped 1';

/**
 * What upstream no longer lists of an accumulated snapshot, whatever the filter takes of it. Undefined where that is not known: the record of it is
 * lost, or not whole.
 */
export function readDropped(layout: Layout, id: string, snapshot: string): Dropped | undefined {
  let text: string;
  try {
    text = readFileSync(layout.record(id, snapshot, 'dropped'), 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  const lines = text.split('\n');
  const found = new Map<string, string>();
  if (lines.shift() !== HEAD || lines.pop() !== '' || lines.pop() !== `end ${lines.length}`) return undefined;
  for (const line of lines) {
    const tab = line.indexOf('\t');
    found.set(line.slice(tab + 1), line.slice(0, tab));
  }
  return found;
}

/** Writes it to a new file, one package a line. Paths have no control characters. */
export function writeDropped(path: string, dropped: Dropped): void {
  const lines = [...dropped].map(([place, since]) => `${since}\t${place}\n`);
  writeFileSync(path, `${HEAD}\n${lines.join('')}end ${dropped.size}\n`);
}

/**
 * What upstream dropped, by now. One that it lists under the same name and version is not dropped, even where that has other content and is refused.
 *
 * @param kept packages that stay from what is published
 * @param before what was dropped by then
 */
export function droppedNow(
  kept: readonly ListedPackage[],
  upstream: readonly ListedPackage[],
  before: Dropped | undefined,
  at: Date,
): Dropped {
  if (kept.length === 0) return new Map();
  const gone = new Map(kept.map((item) => [nevra(item), item.path]));
  for (const item of upstream) gone.delete(nevra(item));
  return new Map([...gone.values()].map((path) => [path, before?.get(path) ?? at.toISOString()]));
}
