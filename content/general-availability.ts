/** `mirrorctl ga`: `os` of a codename never changes once it is generally available. */
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { CodenameDefinition } from '../desired-state/definitions';
import { changeCodenameState, frozen, type GeneralAvailability, readCodenameState } from './codename-state';
import { OS } from './component';
import { countsOf, readTrees } from './component-record';
import type { Definitions } from './definitions';
import type { Layout } from './layout';
import { tableLines } from './lines';
import { holding, type WaitOptions } from './lock';
import { currentSnapshot, namesIn } from './snapshot';
import { requireStorage } from './storage';

export interface Availability {
  /** `<owner>/<codename>` */
  readonly codename: string;
  /** False of one that is no longer declared, and is not forgotten. */
  readonly declared: boolean;
  readonly frozen: GeneralAvailability | undefined;
  /** Freezes that were undone, the oldest first. */
  readonly undone: readonly GeneralAvailability[];
}

/** Freezes `os` as it is published now, after whoever publishes there. Does nothing where that is done. */
export async function freezeAtAvailability(
  layout: Layout,
  definitions: Definitions,
  { id, components }: CodenameDefinition,
  now: Date,
  wait: WaitOptions,
): Promise<{ readonly frozen: GeneralAvailability; readonly changed: boolean }> {
  await requireStorage(layout, definitions.server);
  const os = `${id}/${OS}`;
  if (!components.includes(OS))
    throw new MirrorError({
      code: 'NO_OS',
      message: `${id} has no component ${OS}, which is what general availability freezes; it has ${components.join(', ')}`,
      remedy: 'Name os among its components in main.ts, and deploy.',
      exitCode: ExitCode.invalid,
    });
  return holding(layout.lockFile(os), os, wait, async () => {
    const snapshot = await currentSnapshot(layout, os);
    if (snapshot === undefined)
      throw new MirrorError({
        code: 'NOT_PREPARED',
        message: `${os} does not exist yet`,
        remedy: 'A deploy makes it; by hand, as root: mirrorctl prepare.',
        exitCode: ExitCode.environment,
      });
    const { packages } = countsOf(await readTrees(layout, os, snapshot));
    let changed = false;
    const after = await changeCodenameState(layout, id, (state) => {
      changed = frozen(state) === undefined;
      const made: GeneralAvailability = { at: now.toISOString(), snapshot, packages };
      return changed ? { ...state, generalAvailability: [...state.generalAvailability, made] } : undefined;
    });
    return { frozen: frozen(after) as GeneralAvailability, changed };
  });
}

/** Lets `os` be published to again. */
export async function thaw(layout: Layout, id: string, reason: string, now: Date): Promise<GeneralAvailability> {
  const after = await changeCodenameState(layout, id, (state) => {
    const last = frozen(state);
    if (last === undefined)
      throw new MirrorError({
        code: 'NOT_FROZEN',
        message: `${id}/${OS} is not frozen`,
        remedy: 'mirrorctl ga list says which codenames are.',
        exitCode: ExitCode.invalid,
      });
    const undone = { ...last, undone: { at: now.toISOString(), reason } };
    return { ...state, generalAvailability: [...state.generalAvailability.slice(0, -1), undone] };
  });
  return after.generalAvailability.at(-1) as GeneralAvailability;
}

/** Of every declared codename, and of others that were frozen. */
export async function availabilities(layout: Layout, { codenames }: Pick<Definitions, 'codenames'>): Promise<readonly Availability[]> {
  const declared = new Set(codenames.map(({ id }) => id));
  const found: Availability[] = [];
  for (const codename of new Set([...declared, ...(await codenamesWithState(layout))])) {
    const state = await readCodenameState(layout, codename);
    const undone = state.generalAvailability.filter((one) => one.undone !== undefined);
    const row = { codename, declared: declared.has(codename), frozen: frozen(state), undone };
    if (row.declared || row.frozen !== undefined) found.push(row);
  }
  return found.sort((a, b) => (a.codename < b.codename ? -1 : 1));
}

async function codenamesWithState(layout: Layout): Promise<readonly string[]> {
  const found: string[] = [];
  for (const owner of await namesIn(layout.codenameStates))
    for (const name of await namesIn(join(layout.codenameStates, owner)))
      if (name.endsWith('.json')) found.push(`${owner}/${name.slice(0, -'.json'.length)}`);
  return found;
}

export function availabilityLines(rows: readonly Availability[]): readonly string[] {
  if (rows.length === 0) return ['No codename is declared on this server.'];
  return tableLines([
    ['CODENAME', 'OS', 'SINCE', 'PACKAGES', 'SNAPSHOT', 'NOTE'],
    ...rows.map(({ codename, declared, frozen: held, undone }) => {
      const note = [
        ...(declared ? [] : ['no longer declared']),
        ...undone.map(({ undone: why }) => `open again on ${why?.at.slice(0, 10)}: ${why?.reason}`),
      ].join('; ');
      return held === undefined
        ? [codename, 'open', '-', '-', '-', note]
        : [codename, 'frozen', held.at.slice(0, 10), String(held.packages), held.snapshot, note];
    }),
  ]);
}
