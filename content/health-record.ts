/** What `mirrorctl health` found last, for whoever asks. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { writeAtomically } from './files';
import type { Layout } from './layout';

const CheckSchema = z.object({
  name: z.string(),
  /** `none`: there is nothing of the kind here, or it is too early to say. */
  verdict: z.enum(['ok', 'none', 'alert']),
  text: z.string(),
  /** Of an alert. */
  remedy: z.string().optional(),
});
/** One thing that was looked at. */
export type Check = Readonly<z.infer<typeof CheckSchema>>;

const HealthSchema = z.object({ at: z.string(), checks: z.array(CheckSchema) });
export interface Health {
  /** ISO. */
  readonly at: string;
  readonly checks: readonly Check[];
}

export async function keepHealth(layout: Layout, found: Health): Promise<void> {
  await writeAtomically(layout.healthFile, `${JSON.stringify(found, undefined, 1)}\n`);
}

export function alertsOf({ checks }: Health): readonly Check[] {
  return checks.filter(({ verdict }) => verdict === 'alert');
}

/** Of the last run; none before the first, and where its file is damaged: the next run writes it anew. */
export async function lastAlerts(layout: Layout): Promise<readonly Check[]> {
  try {
    return alertsOf(HealthSchema.parse(JSON.parse(await readFile(layout.healthFile, 'utf8'))));
  } catch {
    return [];
  }
}

/** Below the table of the status. */
export function alertLines(alerts: readonly Check[]): string {
  const lines = alerts.map(({ name, text }) => `ALERT ${name}: ${text}\n`);
  return lines.length === 0 ? '' : `\n${lines.join('')}  mirrorctl health says what to do.\n`;
}
