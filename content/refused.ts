import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';

/** Digest of a package that an operator had forgotten by name → its name and version. */
export type Refused = ReadonlyMap<string, string>;

/** What a repository takes from its upstream no more, or lists from anywhere. */
export function readRefused(layout: Layout, id: string): Refused {
  try {
    const lines = readFileSync(layout.refused(id), 'utf8').split('\n');
    return new Map(lines.map((line) => line.split(' ')).filter((pair): pair is [string, string] => pair.length === 2));
  } catch (error) {
    if (isAbsent(error)) return new Map();
    throw error;
  }
}

/** The repository or lists that take a package no more, and what it is called there. */
export interface RefusedHere {
  readonly id: string;
  readonly name: string;
}

/** By digest, what some copies or lists take no more. */
export type RefusedBy = ReadonlyMap<string, RefusedHere>;

/** Of what several refuse, the first of them is told. */
export function readRefusedBy(layout: Layout, ids: readonly string[]): RefusedBy {
  const found = new Map<string, RefusedHere>();
  for (const id of ids) for (const [key, name] of readRefused(layout, id)) if (!found.has(key)) found.set(key, { id, name });
  return found;
}

/** Only for the holder of the repository's lock. */
export async function writeRefused(layout: Layout, id: string, refused: Refused): Promise<void> {
  if (refused.size === 0) await rm(layout.refused(id), { force: true });
  else await writeAtomically(layout.refused(id), [...refused].map(([key, name]) => `${key} ${name}\n`).join(''));
}

export function isRefused(refused: Refused, { checksum }: { readonly checksum: Checksum }): boolean {
  return refused.size > 0 && refused.has(checksumKey(checksum));
}
