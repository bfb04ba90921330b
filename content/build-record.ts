import { z } from 'zod';
import { isTimestamp } from '../starlingx/build-layout';
import { readJson } from './json-file';
import type { Layout } from './layout';

/** What is recorded of a build when it is published: it never changes. */
export const BuildRecordSchema = z.object({
  version: z.literal(1),
  series: z.string(),
  timestamp: z.string().refine(isTimestamp),
  /** When it was published (ISO). */
  publishedAt: z.string(),
  /** A build that failed is published, for its logs, and no link leads to it. */
  succeeded: z.boolean(),
  /** By the marker `No_New_Content`: it succeeded and has nothing that the build before it does not have; no link leads to it. */
  noNewContent: z.boolean(),
  files: z.number(),
  bytes: z.number(),
  /** Bytes that nothing on this server had before it. */
  newBytes: z.number(),
  /** Whether it has docker images. */
  dockerImages: z.boolean(),
  /** Its RPM directories, each a repository: path below the build. */
  repositories: z.array(z.object({ path: z.string(), packages: z.number() })),
  /** SHA-256 of its manifest. */
  manifest: z.string(),
});
export type BuildRecord = z.infer<typeof BuildRecordSchema>;

/** Undefined where there is none that can be read: what is in the build itself counts then. */
export function readBuildRecord(layout: Layout, series: string, timestamp: string): Promise<BuildRecord | undefined> {
  return readJson(layout.buildRecord(series, timestamp, 'json'), BuildRecordSchema);
}
