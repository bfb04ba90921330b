/** The lists as they are served beside the packages that they ask for: below `lists/`, with their digests, which the mirror signs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import type { Signer } from '../signatures/sign';
import type { SnapshotRecord } from './record';
import type { TreeFile } from './snapshot';

const FOLDER = 'lists';
/** In it, one line a list, as `sha256sum` writes it in that folder; beside it the signature. */
const SUMS = 'SHA256SUMS';

/** @param lists name → bytes */
export async function servedLists(lists: ReadonlyMap<string, Uint8Array>, signer: Signer): Promise<readonly TreeFile[]> {
  const names = [...lists.keys()].sort();
  const sums = Buffer.from(names.map((name) => `${sha256(lists.get(name) as Uint8Array)}  ${name}\n`).join(''));
  return [
    ...names.map((name) => ({ path: `${FOLDER}/${name}`, bytes: lists.get(name) as Uint8Array })),
    { path: `${FOLDER}/${SUMS}`, bytes: sums },
    { path: `${FOLDER}/${SUMS}.asc`, bytes: Buffer.from(await signer.sign(sums)) },
  ];
}

/** Those of a published tree, signed by today's key; none where it has no lists. */
export async function servedAgain(tree: string, { index }: SnapshotRecord, signer: () => Promise<Signer>): Promise<readonly TreeFile[]> {
  const paths = Object.keys(index).filter((path) => path.startsWith(`${FOLDER}/`) && !path.startsWith(`${FOLDER}/${SUMS}`));
  if (paths.length === 0) return [];
  const lists = new Map<string, Uint8Array>();
  for (const path of paths) lists.set(path.slice(FOLDER.length + 1), await readFile(join(tree, path)));
  return servedLists(lists, await signer());
}
