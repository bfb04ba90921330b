import { z } from 'zod';
import { readJson } from './json-file';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { writeAtomically } from './files';
import { ProblemSchema } from './record';

export const FailureSchema = z.object({ code: z.string(), message: z.string(), remedy: z.string(), exitCode: z.number() });
export type Failure = z.infer<typeof FailureSchema>;

const RunSchema = z.object({
  startedAt: z.string(),
  finishedAt: z.string(),
  /** `degraded`: published, or left as it is, but something is missing from it. */
  result: z.enum(['published', 'unchanged', 'degraded', 'failed']),
  error: FailureSchema.optional(),
  /** What could not be had or was not taken, the first of them. */
  problems: z.array(ProblemSchema).optional(),
});
export type RunRecord = z.infer<typeof RunSchema>;

/** How the last run of a repository went: for people. What is published, and under which rules, is with the snapshot (record.ts). */
const StateSchema = z.object({
  version: z.literal(2),
  id: z.string(),
  /** End of the last run that published or found nothing new. */
  lastSuccess: z.string().optional(),
  lastRun: RunSchema.optional(),
});
export type RepositoryState = z.infer<typeof StateSchema>;

/** The state of a repository; an empty one before its first run, and when the file is damaged: nothing is decided by it. */
export async function readState(path: string, id: string): Promise<RepositoryState> {
  return (await readJson(path, StateSchema)) ?? { version: 2, id };
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
