import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { ChecksumSchema } from './damage';
import { isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';

/** What can go by a step of its own. */
export const ItemSchema = z.discriminatedUnion('kind', [
  /** A package of an accumulated repository, that upstream dropped or that was forgotten by name. */
  z.object({
    kind: z.literal('package'),
    id: z.string(),
    nevra: z.string(),
    path: z.string(),
    checksum: ChecksumSchema,
    size: z.number(),
  }),
  /** A superseded snapshot. */
  z.object({ kind: z.literal('snapshot'), id: z.string(), snapshot: z.string() }),
  /** Everything of a repository or hosted component that is no longer declared. */
  z.object({ kind: z.literal('repository'), id: z.string() }),
  /** A release that is no longer declared. */
  z.object({ kind: z.literal('release'), id: z.string() }),
]);
export type Item = z.infer<typeof ItemSchema>;

const EntrySchema = z.object({
  item: ItemSchema,
  /** Which rule, or whose words: a clause. */
  why: z.string(),
  /** `rule`: withdrawn where the rule keeps it again. `operator`: `retention forget` named it. */
  by: z.enum(['rule', 'operator']),
  /** `quarantined` is written before the step is done: a run that finds it not done does it. */
  stage: z.enum(['announced', 'quarantined']),
  announcedAt: z.string(),
  /** When the next step is taken, at the earliest: into quarantine, or out of it for good (ISO). */
  due: z.string(),
  /** What the disk has free when it is gone and those before it are, as the last run counted. Of a package its size: its snapshots hold that. */
  bytes: z.number(),
  /** Of a quarantined package: the snapshot that still has it, and is kept for that. */
  heldBy: z.string().optional(),
});
export type Entry = z.infer<typeof EntrySchema>;

const LedgerSchema = z.object({
  version: z.literal(1),
  /** End of the last run that took steps. */
  lastRun: z.string().optional(),
  /** By `keyOf` the item. */
  entries: z.record(z.string(), EntrySchema),
  /** Key → when it was had back: its rule counts from then. */
  restored: z.record(z.string(), z.string()),
});
export type Ledger = z.infer<typeof LedgerSchema>;

/** What commands and people call an item: `epel-7:bash-4.2-1.x86_64`, `epel-7@20261122T023000Z-…`, `acme/mos7.0-centos6/os`, `releases/stx-3.0`. */
export function keyOf(item: Item): string {
  switch (item.kind) {
    case 'package':
      return `${item.id}:${item.nevra}`;
    case 'snapshot':
      return `${item.id}@${item.snapshot}`;
    case 'repository':
      return item.id;
    case 'release':
      return `releases/${item.id}`;
  }
}

/** The ledger; an empty one before the first run. Throws where it cannot be read: what is in quarantine would have no term. */
export async function readLedger(layout: Layout): Promise<Ledger> {
  let text: string;
  try {
    text = await readFile(layout.retentionLedger, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return { version: 1, entries: {}, restored: {} };
    throw error;
  }
  try {
    const parsed = LedgerSchema.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data;
    throw new SyntaxError(parsed.error.issues[0]?.message);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new MirrorError({
      code: 'LEDGER_DAMAGED',
      message: `${layout.retentionLedger} cannot be read: ${error.message}`,
      remedy:
        'Nothing was purged. Bring it back from a backup, or remove it: everything is then announced anew, and what is in quarantine stays for a new term.',
      exitCode: ExitCode.environment,
    });
  }
}

export async function writeLedger(layout: Layout, ledger: Ledger): Promise<void> {
  await writeAtomically(layout.retentionLedger, `${JSON.stringify(ledger, undefined, 1)}\n`);
}

/** Key of each announced item → when it goes (ISO). For those who show it to readers: a ledger that cannot be read announces nothing. */
export async function announcedUntil(layout: Layout): Promise<ReadonlyMap<string, string>> {
  const { entries } = await readLedger(layout).catch((error: unknown) => {
    if (error instanceof MirrorError) return { entries: {} };
    throw error;
  });
  return new Map(
    Object.entries(entries)
      .filter(([, { stage }]) => stage === 'announced')
      .map(([key, { due }]) => [key, due]),
  );
}

/** Snapshots of a repository that retention took, with when (ISO): they may be in quarantine still. */
export function goneSnapshots(layout: Layout, id: string): ReadonlyMap<string, string> {
  let text: string;
  try {
    text = readFileSync(goneFile(layout, id), 'utf8');
  } catch (error) {
    if (isAbsent(error)) return new Map();
    throw error;
  }
  const lines = text.split('\n').map((line) => line.split(' '));
  return new Map(lines.filter((line): line is [string, string] => line.length === 2));
}

export async function noteGone(layout: Layout, id: string, gone: ReadonlyMap<string, string>): Promise<void> {
  await writeAtomically(goneFile(layout, id), [...gone].map(([snapshot, when]) => `${snapshot} ${when}\n`).join(''));
}

/**
 * Takes from the list of what is gone whatever is here: a restore that was killed may have brought it back and not come to that.
 *
 * @param here names of the snapshots that are in service
 * @returns the list as it has to be; undefined where it is so
 */
export function staleGone(layout: Layout, id: string, here: readonly string[]): ReadonlyMap<string, string> | undefined {
  const gone = goneSnapshots(layout, id);
  const left = new Map([...gone].filter(([name]) => !here.includes(name)));
  return left.size === gone.size && !existsSync(`${goneFile(layout, id)}.new`) ? undefined : left;
}

function goneFile(layout: Layout, id: string): string {
  return join(layout.repository(id), 'gone');
}
