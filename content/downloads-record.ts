/** What is known of a snapshot of downloads: part of its manifest (tree-manifest.ts). */
import { z } from 'zod';
import { compressionOf } from '../desired-state/archives';
import { sha256 } from '../desired-state/canonical';
import type { DownloadedFile } from '../desired-state/definitions';
import { ProblemSchema } from './record';

const hex = z.string().regex(/^[0-9a-f]{64}$/);

/** What a source had when it was taken for the first time: `tar` of an archive that the mirror made, the digest of what is compressed in it. */
const SeenSchema = z.object({ sha256: hex, size: z.number(), tar: hex.optional() });
export type Seen = z.infer<typeof SeenSchema>;

export const DownloadsRecordSchema = z.object({
  /** Digest of the keys that signed the digests of the files. */
  signedBy: z.string(),
  /** What is served. */
  files: z.array(SeenSchema.extend({ path: z.string(), url: z.string() })),
  /** Digests, their signature and the lists: path → SHA-256. */
  made: z.record(z.string(), hex),
  /** `sourceKey` → what it had the first time; also of files that are asked for no more. */
  seen: z.record(z.string(), SeenSchema),
  /** What is asked for and is not there, or is an older one. */
  problems: z.array(ProblemSchema),
});
export type DownloadsRecord = z.infer<typeof DownloadsRecordSchema>;
export type ServedFile = DownloadsRecord['files'][number];

/** What a file comes from. The same source never gives another file, unless its digest is declared. */
export function sourceKey(file: DownloadedFile): string {
  if (!('method' in file)) return file.url;
  const compression = compressionOf(file.path) ?? '';
  const what = file.method === 'git' ? file.ref : sha256(file.members.join('\n'));
  return [file.method, compression, what, file.directory, file.url].join(' ');
}

/** A URL as those who fetch take it: a base with its slash, and what is below. */
export function placeOf(url: string): { readonly base: string; readonly href: string } {
  const [, base, href] = /^([^?#]*\/)(.*)$/.exec(url) as unknown as [string, string, string];
  return { base, href };
}

/** The text of `sha256sum`, by name. */
export function sumsText(files: readonly { readonly path: string; readonly sha256: string }[]): string {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  return sorted.map(({ path, sha256: digest }) => `${digest}  ${path}\n`).join('');
}
