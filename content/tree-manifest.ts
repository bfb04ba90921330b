import { z } from 'zod';
import { ChecksumSchema } from './damage';
import { DownloadsRecordSchema } from './downloads-record';
import { readJson } from './json-file';
import type { TreeFound } from './tree-fetch';

const ValidatorsSchema = z.object({ url: z.string(), etag: z.string().optional(), lastModified: z.string().optional() });

/** What is known of one snapshot of a tree, or of downloads: what the next run compares and asks with. Beside the snapshot, on disk before it is published. */
const ManifestSchema = z.object({
  version: z.literal(1),
  /** Digest of the definition under which it was verified. */
  definition: z.string(),
  /** Digest of its own files, by path and content. */
  digest: z.string(),
  /** Base URL of the source. */
  url: z.string(),
  publishedAt: z.string(),
  /** Its own files, and their bytes. */
  files: z.number(),
  bytes: z.number(),
  /** Files of superseded snapshots that are still served: path → until when (ISO). */
  carried: z.record(z.string(), z.string()),
  /** Checksum files, signatures and `.treeinfo`, by path. */
  own: z.record(z.string(), z.object({ sha256: z.string(), validators: ValidatorsSchema })),
  /** Path of a checksum file → when it was signed; `.treeinfo` → when it was made. Unix seconds: what comes later must not be older. */
  made: z.record(z.string(), z.number()),
  /** Files that the checksum files list. */
  listed: z.array(z.object({ path: z.string(), checksum: ChecksumSchema, size: z.number() })),
  /** Files that nothing has a checksum of. */
  unlisted: z.array(
    z.object({
      path: z.string(),
      checksum: z.object({ algorithm: z.literal('sha256'), hex: z.string().regex(/^[0-9a-f]{64}$/) }),
      size: z.number(),
      validators: ValidatorsSchema.optional(),
      modified: z.string().optional(),
    }),
  ),
  /** Of downloads, whose files have no base in common: in the place of `own`, `listed` and `unlisted`. */
  downloads: DownloadsRecordSchema.optional(),
});
export type TreeManifest = z.infer<typeof ManifestSchema>;

/** The manifest of a snapshot; undefined when there is none that can be read: the next run then looks at everything anew. */
export function readManifest(path: string): Promise<TreeManifest | undefined> {
  return readJson(path, ManifestSchema);
}

export function manifestText(manifest: TreeManifest): string {
  return `${JSON.stringify(manifest)}\n`;
}

/** What of a run is worth remembering. */
export function unlistedOf(found: readonly TreeFound[]): TreeManifest['unlisted'] {
  return found.map(({ path, checksum, size, validators, modified }) => ({
    path,
    checksum: { algorithm: 'sha256', hex: checksum.hex },
    size,
    ...(validators === undefined ? {} : { validators }),
    ...(modified === undefined ? {} : { modified }),
  }));
}
