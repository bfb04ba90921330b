import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { readJsonSync } from './json-file';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { writeAtomically } from './files';
import type { Layout } from './layout';
import type { Problem } from './record';

export const ChecksumSchema = z.object({
  algorithm: z.enum(['sha1', 'sha224', 'sha256', 'sha384', 'sha512']),
  hex: z.string().regex(/^[0-9a-f]+$/),
});

/** A file that a snapshot must have, and that is not served, since no whole copy of it is here. */
const LostFileSchema = z.object({
  /** Below the tree. */
  path: z.string(),
  checksum: ChecksumSchema,
  size: z.number().optional(),
  /** Where upstream had it, below its base; undefined where the mirror made it. */
  href: z.string().optional(),
  base: z.string().optional(),
  /** When it was found (ISO). */
  since: z.string(),
  /** What was found, as a phrase that follows the path. */
  why: z.string(),
  /** Why upstream did not bring it back. */
  upstream: z.string().optional(),
});
export type LostFile = z.infer<typeof LostFileSchema>;

const DamageSchema = z.object({ version: z.literal(1), files: z.array(LostFileSchema) });

/** What of a snapshot is lost. A record that cannot be read is none: the next scrub finds what is missing. */
export function readDamage(layout: Layout, id: string, snapshot: string): readonly LostFile[] {
  return readLost(layout.record(id, snapshot, 'damage'));
}

/** The same, by the path of the record. */
export function readLost(path: string): readonly LostFile[] {
  return readJsonSync(path, DamageSchema)?.files ?? [];
}

/** Writes what of a snapshot is lost; a snapshot that lacks nothing has no such record. */
export async function writeDamage(layout: Layout, id: string, snapshot: string, files: readonly LostFile[]): Promise<void> {
  await writeLost(layout.record(id, snapshot, 'damage'), files);
}

export async function writeLost(path: string, files: readonly LostFile[]): Promise<void> {
  if (files.length === 0) await rm(path, { force: true });
  else await writeAtomically(path, `${JSON.stringify({ version: 1, files }, undefined, 1)}\n`);
}

export function problemOfLost({ path, why, since, upstream }: LostFile): Problem {
  return {
    path,
    code: 'CONTENT_LOST',
    message: `${path} ${why} (found on ${since.slice(0, 10)}), and no whole copy is here${upstream === undefined ? '' : `: ${upstream}`}`,
    remedy: BRING_BACK,
    exitCode: ExitCode.untrusted,
  };
}

export const BRING_BACK =
  'mirrorctl scrub asks upstream for it again. Where that has it no more, put the file from a backup into the store under its digest (store/sha256/ab/…), and run it; docs/how-to/scrub.md.';

/** What is lost as one error; it is in the status until everything is back. */
export function damageError(files: readonly LostFile[]): MirrorError {
  const [first] = files.map(problemOfLost);
  if (first === undefined) throw new Error('nothing is lost');
  return new MirrorError({
    code: 'CONTENT_LOST',
    message: `${files.length === 1 ? 'one file' : `${files.length} files`} of what is published cannot be served; ${files.length === 1 ? '' : 'the first: '}${first.message}`,
    remedy: BRING_BACK,
    exitCode: ExitCode.untrusted,
  });
}
