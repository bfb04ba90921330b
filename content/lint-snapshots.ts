/** The public snapshots of a codename against the scheme. */
import { readFile } from 'node:fs/promises';
import { isTree, parseSnapshot } from '../desired-state/mos-scheme';
import { MAX_REPOMD_BYTES } from '../rpm-metadata/repomd';
import { below, foldersOf, type Lint } from './lint';
import type { LintSource } from './lint-source';

const MAX_TARGET_BYTES = 4096;

/** @param components those that the codename has */
export async function lintSnapshots(run: Lint, path: string, components: readonly string[]): Promise<void> {
  const entries = (await run.source.list(path)) ?? [];
  const snapshots = new Map<string, string[]>();
  for (const { name, kind } of entries) {
    const parsed = parseSnapshot(name);
    const place = below(path, name);
    if (parsed === undefined || (parsed.is === 'target') !== (kind === 'file' || (parsed.is === 'target' && kind === 'other'))) {
      if (parsed !== undefined && kind === 'other') run.add('SNAPSHOT_BROKEN', place, 'the link leads nowhere');
      else run.add('SNAPSHOT_MALFORMED', place, `${JSON.stringify(name)} is no snapshot of a component`);
    } else if (!components.includes(parsed.component))
      run.add('SNAPSHOT_COMPONENT', place, `the codename has no component ${parsed.component}`);
    else if (parsed.is === 'snapshot') {
      const known = snapshots.get(parsed.component) ?? [];
      snapshots.set(parsed.component, [...known, name]);
      if (!foldersOf((await run.source.list(place)) ?? []).some(isTree)) run.add('SNAPSHOT_BROKEN', place, 'it holds no repository');
    }
  }
  const names = new Set(entries.map(({ name }) => name));
  for (const [component, known] of snapshots) await lintLatest(run, path, component, known.sort(), names);
}

async function lintLatest(run: Lint, path: string, component: string, known: readonly string[], names: ReadonlySet<string>): Promise<void> {
  const latest = below(path, `${component}-latest`);
  const targetFile = `${latest}.target.txt`;
  const newest = known.at(-1) as string;
  if (!names.has(`${component}-latest`)) run.add('SNAPSHOT_LATEST_MISSING', latest, `there are ${known.length} snapshots of ${component}`);
  const text = await run.source.read(targetFile, MAX_TARGET_BYTES, (file) => readFile(file, 'utf8'));
  if (text === undefined) return run.add('SNAPSHOT_TARGET_MISSING', targetFile, 'there is no such file');
  const target = (text.split('\n', 1)[0] as string).trim();
  if (!known.includes(target))
    return run.add('SNAPSHOT_TARGET_WRONG', targetFile, `it names ${JSON.stringify(target.slice(0, 120))}, which is not there`);
  if (!names.has(`${component}-latest`)) return;
  if (!(await sameIndexes(run.source, latest, below(path, target))))
    return run.add('SNAPSHOT_TARGET_WRONG', targetFile, `it names ${target}, and ${component}-latest holds something else`);
  if (target !== newest) run.add('SNAPSHOT_LATEST_OLD', latest, `it is ${target}, and ${newest} is newer`);
}

/** Whether two snapshots have the same trees with the same indexes: by that a web server shows where a link leads. */
async function sameIndexes(source: LintSource, one: string, other: string): Promise<boolean> {
  const [first, second] = (await Promise.all([one, other].map((path) => source.list(path)))).map((entries) =>
    foldersOf(entries ?? []).filter(isTree),
  ) as [string[], string[]];
  if (first.length === 0 || first.join() !== second.join()) return false;
  for (const tree of first) {
    const index = async (path: string): Promise<string | undefined> =>
      source.read(`${path}/${tree}/repodata/repomd.xml`, MAX_REPOMD_BYTES, (file) => readFile(file, 'latin1'));
    if ((await index(one)) !== (await index(other))) return false;
  }
  return true;
}
