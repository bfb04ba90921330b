import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { ReleaseDefinition } from '../desired-state/definitions';
import type { Signer } from '../signatures/sign';
import type { Definitions } from './definitions';
import { machineFault, removeTree } from './files';
import { freeze, type Freeze, problemsOf } from './freeze';
import type { Layout } from './layout';
import { shortened, tableLines } from './lines';
import { Lock } from './lock';
import { size } from './progress';
import { missingPins, publishPins } from './release-pins';
import type { Difference, Verified } from './release-verify';
import { choose, existingReleases, readFrozen, releasesLock } from './releases';
import { namesIn, NEW } from './snapshot';
import { type Failure, failureOf } from './state';
import { requireStorage } from './storage';

const WAIT_SECONDS = 60;

/** What a run did with one release. */
export interface Froze extends Omit<Freeze, 'state'> {
  readonly state: Freeze['state'] | 'failed';
  /** Whether other pins are published than before. */
  readonly pinsChanged: boolean;
  readonly missingPins: readonly string[];
  readonly error?: Failure;
}

/** The releases with these ids, of those that are declared; all when none is given. */
export function selectReleases({ releases }: Definitions, ids: readonly string[]): readonly ReleaseDefinition[] {
  const unknown = ids.find((id) => !releases.some((release) => release.id === id));
  if (unknown === undefined) return ids.length === 0 ? releases : releases.filter(({ id }) => ids.includes(id));
  throw new MirrorError({
    code: 'NOT_DECLARED',
    message: `the release ${JSON.stringify(unknown)} is not declared on this server`,
    remedy: 'mirrorctl release list says which are. A new one is declared in main.ts and deployed: new Release(server, …).',
    exitCode: ExitCode.usage,
  });
}

/** Freezes those that are due, and publishes what they pin. One that fails does not hold up the others. */
export async function freezeReleases(
  layout: Layout,
  definitions: Definitions,
  releases: readonly ReleaseDefinition[],
  signer: () => Promise<Signer>,
  now: Date,
): Promise<readonly Froze[]> {
  if (releases.length === 0) return [];
  await requireStorage(layout, definitions.server);
  const lock = await Lock.take(releasesLock(layout), 'the freezing of releases', { waitSeconds: WAIT_SECONDS });
  try {
    for (const name of await namesIn(layout.releases)) if (name.startsWith(NEW)) await removeTree(join(layout.releases, name));
    const done: Froze[] = [];
    for (const release of releases) done.push(await freezeOne(layout, definitions, release, signer, now));
    return done;
  } finally {
    await lock.release();
  }
}

async function freezeOne(
  layout: Layout,
  definitions: Definitions,
  release: ReleaseDefinition,
  signer: () => Promise<Signer>,
  now: Date,
): Promise<Froze> {
  const { id, pins } = release;
  const nothing = { id, problems: [], pinsChanged: false, missingPins: [] };
  try {
    const frozen = await freeze(layout, definitions, release, now);
    if (pins === undefined || frozen.state === 'waiting') return { ...nothing, ...frozen };
    const { missing, changed } = await publishPins(layout, definitions, { ...release, pins }, signer, now);
    return { ...nothing, ...frozen, pinsChanged: changed, missingPins: missing };
  } catch (error) {
    const found = machineFault(error);
    if (!(found instanceof MirrorError)) throw error;
    return { ...nothing, state: 'failed', error: failureOf(found) };
  }
}

/** One release, for people and programs. */
export interface ReleaseRow {
  readonly id: string;
  /** `undeclared`: frozen, and no longer public. */
  readonly state: 'frozen' | 'waiting' | 'unsatisfiable' | 'undeclared' | 'damaged';
  readonly at: string | undefined;
  readonly frozenAt: string | undefined;
  /** Snapshots by id. */
  readonly members: Readonly<Record<string, string | undefined>>;
  /** Names of builds by series. */
  readonly builds: Readonly<Record<string, string>>;
  readonly files: number | undefined;
  readonly bytes: number | undefined;
  readonly pins: readonly string[];
  readonly missingPins: readonly string[];
  readonly error: Failure | undefined;
}

export async function releaseRows(layout: Layout, definitions: Definitions, now: Date): Promise<readonly ReleaseRow[]> {
  const ids = new Set([...definitions.releases.map(({ id }) => id), ...(await existingReleases(layout))]);
  const rows: ReleaseRow[] = [];
  for (const id of [...ids].sort())
    rows.push(
      await rowOf(
        layout,
        id,
        definitions.releases.find((one) => one.id === id),
        now,
      ),
    );
  return rows;
}

async function rowOf(layout: Layout, id: string, declared: ReleaseDefinition | undefined, now: Date): Promise<ReleaseRow> {
  const pins = declared?.pins ?? [];
  const builds = buildsBySeries(declared?.builds);
  const base = {
    id,
    at: declared?.at,
    frozenAt: undefined,
    members: {},
    builds,
    files: undefined,
    bytes: undefined,
    pins,
    missingPins: [],
  };
  try {
    const frozen = await readFrozen(layout, id);
    const missing = declared?.pins === undefined ? [] : await missingPins(layout, declared);
    if (frozen !== undefined) {
      const parts = [...frozen.members, ...(frozen.builds ?? [])];
      return {
        ...base,
        state: declared === undefined ? 'undeclared' : 'frozen',
        at: frozen.at,
        frozenAt: frozen.frozenAt,
        members: Object.fromEntries(frozen.members.map((member) => [member.id, member.snapshot])),
        builds: buildsBySeries(frozen.builds),
        files: parts.reduce((sum, { files }) => sum + files, 0),
        bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
        missingPins: missing,
        error: missing.length === 0 ? undefined : failureOf(noSuchPackages(id, missing)),
      };
    }
    const release = declared as ReleaseDefinition;
    const choices = await choose(layout, release);
    const members = Object.fromEntries(choices.map((choice) => [choice.id, choice.snapshot]));
    const isDue = release.at === undefined || Date.parse(release.at) <= now.getTime();
    const problems = isDue ? await problemsOf(layout, release, choices) : [];
    if (problems.length === 0) return { ...base, state: 'waiting', members, error: undefined };
    return { ...base, state: 'unsatisfiable', members, error: failureOf(unsatisfiable(id, problems)) };
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    return { ...base, state: 'damaged', error: failureOf(error) };
  }
}

function buildsBySeries(builds: readonly { readonly series: string; readonly timestamp: string }[] = []): Readonly<Record<string, string>> {
  return Object.fromEntries(builds.map(({ series, timestamp }) => [series, timestamp]));
}

function noSuchPackages(id: string, pins: readonly string[]): MirrorError {
  const several = pins.length > 1;
  return new MirrorError({
    code: 'PIN_NOT_FOUND',
    message: `the release ${id} pins ${pins.join(', ')}, which no copied repository here has`,
    remedy: `Correct ${several ? 'these pins' : 'this pin'} in main.ts (dnf repoquery --showduplicates lists versions), or sync a repository that has ${several ? 'them' : 'it'}, and: mirrorctl release freeze ${id}. The others are published.`,
    exitCode: ExitCode.invalid,
  });
}

function unsatisfiable(id: string, problems: readonly string[]): MirrorError {
  return new MirrorError({
    code: 'RELEASE_UNSATISFIABLE',
    message: `the release ${id} cannot be frozen: ${problems.join('; ')}`,
    remedy:
      'Declare a later time, snapshots that are here (each repository lists its own at <its URL>/@/), or builds that succeeded (mirrorctl build list), and deploy.',
    exitCode: ExitCode.invalid,
  });
}

/** Why a run was not all that was wanted. */
export function freezeErrors(done: readonly Froze[]): readonly Failure[] {
  return done.flatMap(({ id, state, problems, missingPins: missing, error }) => [
    ...(state === 'unsatisfiable' ? [failureOf(unsatisfiable(id, problems))] : []),
    ...(missing.length > 0 ? [failureOf(noSuchPackages(id, missing))] : []),
    ...(error === undefined ? [] : [error]),
  ]);
}

export function freezeLines(done: readonly Froze[]): readonly string[] {
  return done.flatMap(({ id, state, problems, pinsChanged }) => [
    ...(state === 'frozen' ? [`release ${id}: frozen`, ...problems.map((problem) => `release ${id}: ${problem}`)] : []),
    ...(state === 'unchanged' ? [`release ${id}: was frozen before`] : []),
    ...(state === 'waiting' ? [`release ${id}: waits for its time`] : []),
    ...(pinsChanged ? [`release ${id}: pins published`] : []),
  ]);
}

const MAX_NAMED = 50;
const WHAT: Readonly<Record<Difference['what'], string>> = {
  differs: 'is not what was frozen',
  missing: 'is missing',
  additional: 'is no part of the release',
  unreadable: 'cannot be read',
};

export function verifyLines({ id, files, bytes, seconds, differences }: Verified): readonly string[] {
  const named = shortened(
    differences.map(({ path, what }) => `release ${id}: ${path} ${WHAT[what]}`),
    MAX_NAMED,
  );
  const verdict = differences.length === 0 ? 'as it was frozen' : `${differences.length} differences`;
  return [...named, `release ${id}: ${files} files, ${size(bytes)} read in ${seconds} s: ${verdict}`];
}

export function releaseTable(rows: readonly ReleaseRow[]): string {
  if (rows.length === 0) return 'No release is declared or frozen on this server.\n';
  const cells = [
    ['RELEASE', 'STATE', 'AT', 'FROZEN', 'MEMBERS', 'BUILDS', 'FILES', 'SIZE', 'PINS'],
    ...rows.map((row) => [
      row.id,
      row.state,
      row.at ?? '-',
      row.frozenAt === undefined ? '-' : row.frozenAt.slice(0, 16).replace('T', ' '),
      String(Object.keys(row.members).length),
      String(Object.keys(row.builds).length),
      row.files === undefined ? '-' : String(row.files),
      row.bytes === undefined ? '-' : size(row.bytes),
      row.pins.length === 0 ? '-' : `${row.pins.length - row.missingPins.length} of ${row.pins.length}`,
    ]),
  ];
  const failures = rows.flatMap(({ id, error }) => (error === undefined ? [] : [`\n${id}: ${error.message}\n  ${error.remedy}`]));
  return `${[...tableLines(cells), ...failures].join('\n')}\n`;
}
