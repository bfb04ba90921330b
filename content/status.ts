import { ExitCode, MirrorError } from '../desired-state/errors';
import { frozen, readCodenameState } from './codename-state';
import { HOLDBACK, OS } from './component';
import { countsOf, readComponentRecord, readTrees } from './component-record';
import { damageError, problemOfLost, readDamage } from './damage';
import { copied, type Definitions, hostedComponents } from './definitions';
import { machineFault } from './files';
import type { Layout } from './layout';
import { tableLines } from './lines';
import { lockHolder } from './lock';
import { size } from './progress';
import { type Problem, readRecord } from './record';
import type { ReleaseRow } from './release-command';
import { currentSnapshot, timeOf } from './snapshot';
import { type Failure, failureOf, readState, type RunRecord } from './state';
import { readManifest } from './tree-manifest';

/** One line of the status. */
export interface StatusRow {
  readonly id: string;
  readonly kind: 'repository' | 'tree' | 'downloads' | 'lists' | 'hosted';
  readonly publicPath: string;
  readonly snapshot: string | undefined;
  /** ISO; of a hosted component the time of its snapshot. */
  readonly lastSuccess: string | undefined;
  /** `never`: not synced yet. `interrupted`: the last run ended without a word (killed, power cut); the next one goes on. `retired`: declared never to be synced; what is published stays. `damaged`: what is published cannot be looked at, or a scrub found that files of it are lost. */
  readonly result: 'never' | 'retired' | 'running' | 'interrupted' | RunRecord['result'] | 'missing' | 'ready' | 'damaged';
  readonly error: Failure | undefined;
  /** What the last run could not have or did not take, the first of them. */
  readonly problems: readonly Problem[];
  readonly packages: number | undefined;
  /** Of a file tree or downloads, instead of packages. */
  readonly files?: number;
  readonly bytes: number | undefined;
  /** Why it is declared never to be synced. */
  readonly retired?: string;
  /** Of `os` after general availability: since when it is frozen (ISO). */
  readonly frozen?: string;
}

/** The status of the repositories and hosted components with these ids, of all when none is given. */
export async function statusOf(layout: Layout, definitions: Definitions, ids: readonly string[]): Promise<readonly StatusRow[]> {
  const rows = new Map<string, () => Promise<StatusRow>>();
  const retired = new Map(copied(definitions).map((definition) => [definition.id, definition.retired]));
  const add = (kind: StatusRow['kind'], id: string, publicPath: string, row: typeof repositoryRow): void =>
    void rows.set(id, () =>
      row(layout, id, publicPath)
        .then((found) => withDamage(layout, asRetired(found, retired.get(id))))
        .catch((error: unknown) => damagedRow({ id, kind, publicPath }, error)),
    );
  for (const { id, publicPath } of definitions.repositories) add('repository', id, publicPath, repositoryRow);
  for (const { id, publicPath } of definitions.trees) add('tree', id, publicPath, treeRow);
  for (const { id, publicPath } of definitions.downloads) add('downloads', id, publicPath, downloadsRow);
  for (const { id, publicPath } of definitions.lists) add('lists', id, publicPath, listsRow);
  for (const { id, codename, component } of hostedComponents(definitions))
    add('hosted', id, `${codename.publicPath}/${component}`, hostedRow);
  const unknown = ids.find((id) => !rows.has(id));
  if (unknown !== undefined) throw notDeclared(unknown);
  const result: StatusRow[] = [];
  for (const [id, row] of rows) if (ids.length === 0 || ids.includes(id)) result.push(await row());
  return result;
}

export function notDeclared(id: string): MirrorError {
  return new MirrorError({
    code: 'NOT_DECLARED',
    message: `${JSON.stringify(id)} is not declared on this server`,
    remedy: 'mirrorctl status lists what is. A new repository is declared in main.ts and deployed.',
    exitCode: ExitCode.usage,
  });
}

/** One that cannot be looked at does not hide the others. */
function damagedRow(what: Pick<StatusRow, 'id' | 'kind' | 'publicPath'>, error: unknown): StatusRow {
  const found = machineFault(error);
  if (!(found instanceof MirrorError)) throw error;
  const nothing = { snapshot: undefined, lastSuccess: undefined, packages: undefined, bytes: undefined };
  return { ...what, ...nothing, result: 'damaged', error: failureOf(found), problems: [] };
}

/** What is lost goes before how the last run went: it stays so until it is back. */
function withDamage(layout: Layout, row: StatusRow): StatusRow {
  const lost = row.snapshot === undefined ? [] : readDamage(layout, row.id, row.snapshot);
  if (lost.length === 0) return row;
  return {
    ...row,
    result: row.result === 'running' ? 'running' : 'damaged',
    error: failureOf(damageError(lost)),
    problems: lost.map(problemOfLost),
  };
}

/** How its last run went is of no interest any more. */
function asRetired(row: StatusRow, why: string | undefined): StatusRow {
  if (why === undefined) return row;
  if (row.snapshot === undefined || row.result === 'running') return { ...row, retired: why };
  return { ...row, retired: why, result: 'retired', error: undefined, problems: [] };
}

async function repositoryRow(layout: Layout, id: string, publicPath: string): Promise<StatusRow> {
  const { lastSuccess, lastRun } = await readState(layout.stateFile(id), id);
  const snapshot = await currentSnapshot(layout, id);
  const record = snapshot === undefined ? undefined : readRecord(layout, id, snapshot);
  const holder = await lockHolder(layout.lockFile(id));
  return {
    id,
    kind: 'repository',
    publicPath,
    snapshot,
    lastSuccess,
    result: holder === 'none' ? (lastRun?.result ?? 'never') : holder === 'dead' ? 'interrupted' : 'running',
    error: lastRun?.error,
    problems: lastRun?.problems ?? [],
    packages: record?.packages,
    bytes: record?.bytes,
  };
}

async function treeRow(layout: Layout, id: string, publicPath: string): Promise<StatusRow> {
  const row = await repositoryRow(layout, id, publicPath);
  const manifest = row.snapshot === undefined ? undefined : await readManifest(layout.record(id, row.snapshot, 'tree'));
  return { ...row, kind: 'tree', ...(manifest === undefined ? {} : { files: manifest.files }), bytes: manifest?.bytes };
}

async function downloadsRow(layout: Layout, id: string, publicPath: string): Promise<StatusRow> {
  return { ...(await treeRow(layout, id, publicPath)), kind: 'downloads' };
}

async function listsRow(layout: Layout, id: string, publicPath: string): Promise<StatusRow> {
  return { ...(await repositoryRow(layout, id, publicPath)), kind: 'lists' };
}

async function hostedRow(layout: Layout, id: string, publicPath: string): Promise<StatusRow> {
  const base = { id, kind: 'hosted' as const, publicPath, error: undefined, problems: [] };
  const snapshot = await currentSnapshot(layout, id);
  if (snapshot === undefined)
    return { ...base, snapshot, lastSuccess: undefined, result: 'missing', packages: undefined, bytes: undefined };
  const { packages, bytes } = readComponentRecord(layout, id, snapshot) ?? countsOf(await readTrees(layout, id, snapshot));
  const since = id.endsWith(`/${OS}`) ? frozen(await readCodenameState(layout, id.slice(0, -OS.length - 1)))?.at : undefined;
  const row: StatusRow = { ...base, snapshot, lastSuccess: timeOf(snapshot), result: 'ready', packages, bytes };
  return since === undefined ? row : { ...row, frozen: since };
}

/** The status as a table, with what failed below it. */
export function statusTable(rows: readonly StatusRow[], releases: readonly ReleaseRow[]): string {
  if (rows.length === 0 && releases.length === 0) return 'Nothing is declared on this server.\n';
  const lines = [
    ['ID', 'RESULT', 'LAST SUCCESS', 'PACKAGES', 'SIZE', 'SNAPSHOT', 'PUBLIC PATH'],
    ...rows.map((row) => [
      row.id,
      row.result,
      row.lastSuccess === undefined ? '-' : `${row.lastSuccess.slice(0, 16).replace('T', ' ')}`,
      row.packages === undefined ? (row.files === undefined ? '-' : `${row.files} files`) : String(row.packages),
      row.bytes === undefined ? '-' : size(row.bytes),
      row.snapshot ?? '-',
      `/${row.publicPath}/`,
    ]),
  ];
  const table = tableLines(lines);
  const failures = [...rows, ...releases]
    .filter((row) => row.error !== undefined)
    .map((row) => `\n${row.id}: ${row.error?.message}\n  ${row.error?.remedy}`);
  const retired = rows.flatMap(({ id, retired: why }) =>
    why === undefined ? [] : [`\n${id}: is not synced any more, and stays as it is: ${why}`],
  );
  const frozenIds = rows.flatMap(({ id, frozen: since }) => (since === undefined ? [] : [`${id} since ${since.slice(0, 10)}`]));
  const available = frozenIds.length === 0 ? [] : [`\nFrozen at general availability: ${frozenIds.join(', ')}`];
  const held = rows.filter(({ id, packages = 0 }) => id.endsWith(`/${HOLDBACK}`) && packages > 0);
  const holdbacks =
    held.length === 0
      ? []
      : [`\nHeld back: ${held.map(({ id, packages }) => `${packages} in ${id}`).join(', ')} (mirrorctl holdback list says why)`];
  const states = releases.map(({ id, state, at }) => `${id} ${state}${state === 'waiting' && at !== undefined ? ` until ${at}` : ''}`);
  const all = states.length === 0 ? [] : [`\nReleases: ${states.join(', ')}`];
  return `${[...table, ...available, ...holdbacks, ...all, ...failures, ...retired].join('\n')}\n`;
}
