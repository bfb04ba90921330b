import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';

/** Digest of a package that an operator had forgotten by name → its name and version. */
export type Refused = ReadonlyMap<string, string>;

/** What a repository takes from its upstream no more. */
export function readRefused(layout: Layout, id: string): Refused {
  try {
    const lines = readFileSync(layout.refused(id), 'utf8').split('\n');
    return new Map(lines.map((line) => line.split(' ')).filter((pair): pair is [string, string] => pair.length === 2));
  } catch (error) {
    if (isAbsent(error)) return new Map();
    throw error;
  }
}

/** Only for the holder of the repository's lock. */
export async function writeRefused(layout: Layout, id: string, refused: Refused): Promise<void> {
  if (refused.size === 0) await rm(layout.refused(id), { force: true });
  else await writeAtomically(layout.refused(id), [...refused].map(([key, name]) => `${key} ${name}\n`).join(''));
}

export function isRefused(refused: Refused, { checksum }: { readonly checksum: Checksum }): boolean {
  return refused.size > 0 && refused.has(checksumKey(checksum));
}
