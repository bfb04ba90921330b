import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { writeAtomically } from './files';

/** What is known of one published tree. Written before it is published: the symlink decides which entry counts. */
const SnapshotSchema = z.object({
  /** Digest of the definition under which it was verified. */
  definition: z.string(),
  /** SHA-256 of `repomd.xml`, of `repomd.xml.asc` and of `repomd.xml.key` (absent: upstream has none). */
  repomd: z.string(),
  signature: z.string().optional(),
  key: z.string().optional(),
  revision: z.string().optional(),
  /** For the next conditional request, which only makes sense at the same address. */
  url: z.string(),
  etag: z.string().optional(),
  lastModified: z.string().optional(),
  publishedAt: z.string(),
  packages: z.number(),
  bytes: z.number(),
  /** Files of superseded snapshots that are still served: path → until when (ISO). */
  carried: z.record(z.string(), z.string()),
});
export type SnapshotRecord = z.infer<typeof SnapshotSchema>;

const FailureSchema = z.object({ code: z.string(), message: z.string(), remedy: z.string(), exitCode: z.number() });
export type Failure = z.infer<typeof FailureSchema>;

const RunSchema = z.object({
  startedAt: z.string(),
  finishedAt: z.string().optional(),
  result: z.enum(['running', 'published', 'unchanged', 'failed']),
  error: FailureSchema.optional(),
});
export type RunRecord = z.infer<typeof RunSchema>;

const StateSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  /** End of the last run that published or found nothing new. */
  lastSuccess: z.string().optional(),
  lastRun: RunSchema.optional(),
  /** By snapshot name; at most the published one and one that is about to be. */
  snapshots: z.record(z.string(), SnapshotSchema),
});
export type RepositoryState = z.infer<typeof StateSchema>;

/** The state of a repository; an empty one before its first run. */
export async function readState(path: string, id: string): Promise<RepositoryState> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { version: 1, id, snapshots: {} };
    throw error;
  }
  try {
    return StateSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new MirrorError({
      code: 'STATE_DAMAGED',
      message: `${path} is not a state of this version`,
      remedy: 'Remove the file: the next run verifies everything again and fetches only what the store lacks.',
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

export async function writeState(path: string, state: RepositoryState): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(state, undefined, 1)}\n`);
}

/** An error as it is kept in the state and printed as JSON. */
export function failureOf(error: unknown): Failure {
  if (error instanceof MirrorError) return { code: error.code, message: error.message, remedy: error.remedy, exitCode: error.exitCode };
  return {
    code: 'INTERNAL',
    message: error instanceof Error ? error.message : String(error),
    remedy: 'This is a defect: report it with the output of MIRROR_DEBUG=1 mirrorctl ….',
    exitCode: ExitCode.internal,
  };
}
