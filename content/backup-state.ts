import { z } from 'zod';
import { readJson } from './json-file';
import { writeAtomically } from './files';
import type { Layout } from './layout';
import { FailureSchema } from './state';

const BackupStateSchema = z.object({
  version: z.literal(1),
  /** Id of the repository that this content was backed up to, or was restored from: another one, or an empty one in its place, is not taken for it. */
  repository: z.string().optional(),
  lastRun: z
    .object({
      startedAt: z.string(),
      finishedAt: z.string(),
      /** `incomplete`: a backup was made, and files that it should have are lost here. */
      result: z.enum(['done', 'incomplete', 'failed']),
      error: FailureSchema.optional(),
    })
    .optional(),
  /** When the last backup was made that has all it should, and what it holds. */
  lastSuccess: z.string().optional(),
  snapshot: z.string().optional(),
  files: z.number().optional(),
  bytes: z.number().optional(),
  /** When each portion of the repository was read: `<n>/<of>` → ISO. */
  checked: z.record(z.string(), z.string()).optional(),
  /** What the last reading found wrong. */
  damage: FailureSchema.optional(),
});
export type BackupState = z.infer<typeof BackupStateSchema>;

/** How backups went. A file that is damaged is none: the next run asks before it takes a repository for its own. */
export async function readBackupState(layout: Layout): Promise<BackupState> {
  return (await readJson(layout.backupState, BackupStateSchema)) ?? { version: 1 };
}

export async function writeBackupState(layout: Layout, state: BackupState): Promise<void> {
  await writeAtomically(layout.backupState, `${JSON.stringify(state, undefined, 1)}\n`);
}
