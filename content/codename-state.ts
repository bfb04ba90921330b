/**
 * What operators did with a codename, beside its packages: general availability, and what is held back and why. It is nobody's declaration: a deploy neither makes nor
 * changes it, and it outlives the construct.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { digestOf } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { HOLDBACK, OS } from './component';
import type { HostedComponent } from './definitions';
import { isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';
import { holding } from './lock';

const FreezeSchema = z.strictObject({
  /** When `os` was frozen (ISO), as which snapshot, with how many packages. */
  at: z.string(),
  snapshot: z.string(),
  packages: z.number(),
  /** Absent while it holds. */
  undone: z.strictObject({ at: z.string(), reason: z.string() }).optional(),
});
export type GeneralAvailability = z.infer<typeof FreezeSchema>;

const HoldbackEntrySchema = z.strictObject({
  /** `name-version-release.arch`, with `epoch:` where it is not 0. */
  nevra: z.string(),
  /** SHA-256 of the package. */
  sha256: z.string(),
  reason: z.string(),
  /** When it was asked for (ISO). */
  since: z.string(),
  /** The repository or component that it was taken from; absent where it came from a file. */
  from: z.string().optional(),
  /** `adding`: whether it is published is to be looked up, since the run that noted it may have been killed. */
  state: z.enum(['adding', 'held', 'removed']),
  /** When it was found to be removed (ISO), and why where somebody said so. */
  removedAt: z.string().optional(),
  removedBecause: z.string().optional(),
});
export type HoldbackEntry = z.infer<typeof HoldbackEntrySchema>;

const CodenameStateSchema = z.strictObject({
  version: z.literal(1),
  /** The oldest first; at most the last one holds. */
  generalAvailability: z.array(FreezeSchema),
  /** The oldest first. */
  holdback: z.array(HoldbackEntrySchema),
  /** Digest of what it was when it was taken over from a former id; absent where it never was. */
  adopted: z.string().optional(),
});
export type CodenameState = z.infer<typeof CodenameStateSchema>;

const NOTHING: CodenameState = { version: 1, generalAvailability: [], holdback: [] };

/** Throws where it cannot be read: what is taken for nothing would be open again. */
export async function readCodenameState(layout: Layout, codename: string): Promise<CodenameState> {
  const path = layout.codenameState(codename);
  try {
    return CodenameStateSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (isAbsent(error)) return NOTHING;
    throw new MirrorError({
      code: 'STATE_DAMAGED',
      message: `what was done with ${codename} cannot be read: ${path}: ${error instanceof Error ? error.message : String(error)}`,
      remedy: `Bring the file back from a backup (mirrorctl backup list). Without it nobody knows whether os is frozen, nor why packages are held back; to go on without that, move it away.`,
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

/** Changes it, while nobody else does. Does nothing where `change` returns undefined. */
export async function changeCodenameState(
  layout: Layout,
  codename: string,
  change: (state: CodenameState) => CodenameState | undefined,
): Promise<CodenameState> {
  return holding(layout.lockFile(`${codename}+state`), `the state of ${codename}`, { waitSeconds: 60 }, async () => {
    const before = await readCodenameState(layout, codename);
    const after = change(before);
    if (after === undefined) return before;
    await writeAtomically(layout.codenameState(codename), `${JSON.stringify(after, undefined, 1)}\n`);
    return after;
  });
}

/** The freeze that holds; undefined before general availability, and where it was undone. */
export function frozen({ generalAvailability }: CodenameState): GeneralAvailability | undefined {
  const last = generalAvailability.at(-1);
  return last?.undone === undefined ? last : undefined;
}

/**
 * Refuses to change the packages of a component that nobody publishes to: `os` after general availability, and `holdback`, whose packages have a reason each. Whoever asks
 * holds the component's lock, so that a freeze comes before or after the change.
 *
 * @param holdback the caller notes the reason
 */
export async function requireOpen(layout: Layout, { id, codename, component }: HostedComponent, holdback: boolean): Promise<void> {
  // A layer may be called so.
  if (codename.kind !== 'codename') return;
  if (component === HOLDBACK && !holdback)
    throw new MirrorError({
      code: 'HOLDBACK_NEEDS_REASON',
      message: `${id} holds packages back for a time, each for a reason: nothing is published or promoted there`,
      remedy: `mirrorctl holdback add ${codename.id} FILE… --reason TEXT puts packages there, and "mirrorctl holdback remove" takes them out.`,
      exitCode: ExitCode.invalid,
    });
  if (component !== OS) return;
  const since = frozen(await readCodenameState(layout, codename.id))?.at;
  if (since === undefined) return;
  throw new MirrorError({
    code: 'FROZEN',
    message: `${id} is frozen since the general availability of ${codename.id} on ${since.slice(0, 10)}: its packages never change`,
    remedy: `Publish to cr, and promote to updates: mirrorctl promote ${codename.id}. Security fixes are published to security. If it was declared available too early: mirrorctl ga thaw ${codename.id} --reason TEXT.`,
    exitCode: ExitCode.invalid,
  });
}

/**
 * What was done with a codename under its former id holds under the new one; where that has a state of its own, it stays. One that was taken over for a deploy that was
 * taken back, and was not changed since, is taken over anew: `os` may have been frozen meanwhile.
 */
export async function adoptCodenameState(layout: Layout, codename: string, former: string): Promise<void> {
  const { generalAvailability, holdback } = await readCodenameState(layout, former);
  if (generalAvailability.length + holdback.length === 0) return;
  const adopted = digestOf({ generalAvailability, holdback });
  await changeCodenameState(layout, codename, (own) => {
    const untouched =
      own.adopted !== undefined && own.adopted === digestOf({ generalAvailability: own.generalAvailability, holdback: own.holdback });
    return own === NOTHING || (untouched && own.adopted !== adopted) ? { version: 1, generalAvailability, holdback, adopted } : undefined;
  });
}
