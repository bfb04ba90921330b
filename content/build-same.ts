/** Whether a build that is published already is the same as one that is to be. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { type BuildRecord, readBuildRecord } from './build-record';
import { isReplaced } from './build-repositories';
import type { BuildFile } from './build-tree';
import { isAbsent } from './files';
import type { Layout } from './layout';
import { parseReleaseManifest } from './release-manifest';

/**
 * Returns the record of a published build with the same content. What the mirror makes of its own is not compared, nor what was marked since. Throws a
 * MirrorError that names a difference.
 */
export async function requireSameBuild(
  layout: Layout,
  series: string,
  timestamp: string,
  files: readonly BuildFile[],
): Promise<BuildRecord> {
  const record = await readBuildRecord(layout, series, timestamp);
  const before = record === undefined ? undefined : await publishedFiles(layout, record);
  const exists = (why: string): MirrorError =>
    new MirrorError({
      code: 'BUILD_EXISTS',
      message: `the build ${timestamp} of ${series} is published already, and ${why}`,
      remedy: 'A build never changes: nothing was published. Publish this one under the time at which it was started (--timestamp).',
      exitCode: ExitCode.invalid,
    });
  if (record === undefined || before === undefined) throw exists('what is recorded of it is lost, so that it cannot be compared');
  const differences: string[] = [];
  for (const { path, sha256 } of files) {
    const former = before.get(path);
    if (former !== sha256) differences.push(`${path} ${former === undefined ? 'is new' : 'has other content'}`);
    before.delete(path);
  }
  for (const path of before.keys()) differences.push(`${path} is not there any more`);
  const [first] = differences.sort();
  if (first !== undefined) throw exists(`${first}${differences.length > 1 ? `, and ${differences.length - 1} other differences` : ''}`);
  return record;
}

/** Path and digest of all that came with a build; undefined where its manifest is lost. */
async function publishedFiles(layout: Layout, record: BuildRecord): Promise<Map<string, string> | undefined> {
  const path = layout.buildRecord(record.series, record.timestamp, 'manifest');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
    return undefined;
  });
  if (text === undefined || createHash('sha256').update(text).digest('hex') !== record.manifest) return undefined;
  const lines = parseReleaseManifest(text, path).filter((line) => !isReplaced(line.path, record.repositories));
  return new Map(lines.map((line) => [line.path, line.checksum?.hex ?? '']));
}
