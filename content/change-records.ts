/** The records of what publishes changed: `changes/<id>/<snapshot>.json` in the state directory. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { type ChangeRecord, changeRecord, ChangeRecordSchema, changesBetween, type PackageVersion } from './changes';
import { cvesOf, type Published } from './cves';
import { writeAtomically } from './files';
import type { Layout } from './layout';
import { currentSnapshot } from './snapshot';

/** A year and more of daily publishes. */
export const MAX_RECORDS = 400;

/**
 * The record of a publish from the lists of packages and the metadata before and after. What it changed must not hold it up: where metadata
 * cannot be read, the record says so instead of the CVE names.
 */
export async function describeChanges(
  publish: { readonly id: string; readonly at: Date; readonly from?: string | undefined; readonly to: string },
  before: Published | undefined,
  after: Published,
): Promise<ChangeRecord> {
  const changes = changesBetween<PackageVersion>(before?.packages ?? [], after.packages);
  try {
    return changeRecord(publish, changes, await cvesOf(before, after, changes));
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    return { ...changeRecord(publish, changes, []), cvesUnknown: error.message };
  }
}

/**
 * Keeps a record. Before or after the snapshot is published: one that never came to be published is not read, and its record goes with the
 * next. Of each repository the newest 400 are kept.
 */
export async function recordChanges(layout: Layout, id: string, record: ChangeRecord): Promise<void> {
  const directory = layout.changes(id);
  await removeUnfinished(directory);
  const names = await namesOf(directory);
  const last = names.filter((name) => name !== record.to).pop();
  // The last run was interrupted between this record and its publish: this one starts from the same snapshot.
  // A damaged one holds up no publish: it is who reads the records that is told.
  const former = last === undefined ? undefined : await read(directory, last).catch(ignoreDamage);
  if (former !== undefined && former.from === record.from) await rm(join(directory, `${last}.json`));
  await writeAtomically(join(directory, `${record.to}.json`), `${JSON.stringify(record, undefined, 1)}\n`);
  const kept = await namesOf(directory);
  for (const name of kept.slice(0, Math.max(0, kept.length - MAX_RECORDS))) await rm(join(directory, `${name}.json`));
}

/** The records of a repository, oldest first, of publishes at or after `since`. One that is damaged is passed over, and told. */
export async function readChanges(
  layout: Layout,
  id: string,
  since: Date = new Date(0),
  warn: (line: string) => void = () => undefined,
): Promise<readonly ChangeRecord[]> {
  const directory = layout.changes(id);
  // Where it is damaged, the status says so.
  const current = await currentSnapshot(layout, id).catch(ignoreDamage);
  const records: ChangeRecord[] = [];
  for (const name of await namesOf(directory)) {
    // Snapshots are named by their time: what is later than the published one is not published (yet).
    if (current === undefined || name > current) break;
    const record = await read(directory, name).catch((error: unknown) => {
      if (!(error instanceof MirrorError)) throw error;
      warn(error.describe());
      return undefined;
    });
    if (record !== undefined && Date.parse(record.at) >= since.getTime()) records.push(record);
  }
  return records;
}

function ignoreDamage(error: unknown): undefined {
  if (!(error instanceof MirrorError)) throw error;
}

/** Removes what runs left that died while they wrote a record. */
async function removeUnfinished(directory: string): Promise<void> {
  for (const name of await entriesOf(directory)) if (name.endsWith('.new')) await rm(join(directory, name), { force: true });
}

/** Names of snapshots, oldest first. */
async function namesOf(directory: string): Promise<string[]> {
  return (await entriesOf(directory))
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort();
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function read(directory: string, name: string): Promise<ChangeRecord> {
  const path = join(directory, `${name}.json`);
  const text = await readFile(path, 'utf8');
  try {
    return ChangeRecordSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new MirrorError({
      code: 'STATE_DAMAGED',
      message: `${path} is not a record of what changed, of this version`,
      remedy: 'Remove the file: it only tells of the past, and nothing else depends on it.',
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}
