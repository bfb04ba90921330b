import { z } from 'zod';
import { readJsonSync } from './json-file';
import type { Layout } from './layout';

/** A file that could not be had, or that was not taken: what, from where, why, and what to do. */
export const ProblemSchema = z.object({
  path: z.string(),
  /** Where it was asked for; undefined where nothing was asked. */
  url: z.string().optional(),
  code: z.string(),
  message: z.string(),
  remedy: z.string(),
  exitCode: z.number(),
});
export type Problem = z.infer<typeof ProblemSchema>;

/** What is known of one snapshot. Flushed with its tree, before it is published: the symlink decides which record counts. */
const SnapshotRecordSchema = z.object({
  version: z.literal(1),
  /** Digest of the definition under which it was verified. */
  definition: z.string(),
  /** SHA-256 of upstream's `repomd.xml`, of its `.asc` and of its `.key` (absent: upstream has none). */
  repomd: z.string(),
  signature: z.string().optional(),
  key: z.string().optional(),
  /** As upstream says it, and the newest time (Unix seconds) among its records: what comes later must not be older. */
  revision: z.string().optional(),
  newest: z.number().optional(),
  /** Of a merged one: what of upstream's is in it, by type; the same again needs no merge. */
  merged: z.record(z.string(), z.string()).optional(),
  /** Digest of the keys that signed it; absent where upstream's own signature is served. */
  signedBy: z.string().optional(),
  /** Names of the metadata files in the tree, those that are carried among them. */
  repodata: z.array(z.string()),
  /** SHA-256 of what is in the tree alone, by path: `repodata/repomd.xml`, and its signature and key where it has them. */
  index: z.record(z.string(), z.string()),
  /** Where upstream's index was asked for. */
  url: z.string(),
  publishedAt: z.string(),
  /** What upstream listed. */
  upstreamPackages: z.number(),
  /** What is published. */
  packages: z.number(),
  bytes: z.number(),
  /** Files of superseded snapshots that are still served: path → until when (ISO). */
  carried: z.record(z.string(), z.string()),
  /** Of lists: what URLs had when they were first asked: URL → digest and size. */
  seen: z.record(z.string(), z.object({ sha256: z.string(), size: z.number() })).optional(),
  /** What is missing from it. */
  problems: z.array(ProblemSchema),
});
export type SnapshotRecord = z.infer<typeof SnapshotRecordSchema>;

/** The record of a snapshot; undefined when there is none that can be read: the next run then verifies everything anew. */
export function readRecord(layout: Layout, id: string, snapshot: string): SnapshotRecord | undefined {
  return readJsonSync(layout.record(id, snapshot, 'json'), SnapshotRecordSchema);
}

export function recordText(record: SnapshotRecord): string {
  return `${JSON.stringify(record)}\n`;
}
