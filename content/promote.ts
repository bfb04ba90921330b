/** `mirrorctl promote`: packages go from one component of a codename to another, `cr` to `updates` as a rule, without a copy of their bytes. */
import { join } from 'node:path';
import { pinsOf } from '../desired-state/pin';
import type { CodenameDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { nevra, type Nevra } from '../rpm-metadata/nevra';
import { requireOpen } from './codename-state';
import { HOLDBACK, OS } from './component';
import { type ComponentPackage, packagesOf } from './component-record';
import type { HostedComponent } from './definitions';
import { shortened, someOf } from './lines';
import { changeComponent, type FileOutcome, type PublishContext } from './publish';
import { currentSnapshot } from './snapshot';

export interface PromoteOptions {
  /** Names, or `name-[epoch:]version-release[.arch]`; with `all` none. */
  readonly packages: readonly string[];
  /** Everything that is there. */
  readonly all: boolean;
  readonly from: string;
  readonly to: string;
  readonly allowDowngrade: boolean;
  /** Judge, and change nothing. */
  readonly dryRun: boolean;
}

export interface PromoteOutcome {
  /** Ids of the components. */
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  /** What was published in `to`; in a dry run what would be. */
  readonly published: readonly string[];
  /** What `to` had already, with the same content: a run before this one was interrupted, or it was published there, too. */
  readonly there: readonly string[];
  /** What left `from` by this call. */
  readonly left: readonly string[];
  /** Names of which `from` has nothing any more, and what `to` has of them. */
  readonly done: readonly { readonly name: string; readonly there: readonly string[] }[];
  /** Why nothing was published; then `from` is as it was, too. */
  readonly refused: readonly { readonly package: string; readonly code: string; readonly message: string; readonly remedy: string }[];
  /** Names of the snapshots that were published. */
  readonly snapshots: { readonly from: string | undefined; readonly to: string | undefined };
  readonly exitCode: ExitCode;
}

/**
 * Publishes packages of `from` in `to`, and then takes them out of `from`: at any time they are in one of the two. Of one call all or nothing is published. A run that was
 * killed is finished by the same call.
 */
export async function promote(context: PublishContext, codename: CodenameDefinition, options: PromoteOptions): Promise<PromoteOutcome> {
  const { layout } = context;
  const { dryRun, allowDowngrade } = options;
  const from = componentOf(codename, options.from);
  const to = componentOf(codename, options.to);
  if (from.id === to.id) throw cannot(`packages are in ${from.id} already`, 'Name another component by --from or --to.');
  if (from.component === HOLDBACK || from.component === OS)
    throw cannot(
      `packages do not leave ${from.id} by promotion`,
      from.component === HOLDBACK
        ? '"mirrorctl holdback remove" takes a package out.'
        : 'Promote from cr, or from a component of your own.',
    );
  await requireOpen(layout, to, false);
  await requireOpen(layout, from, false);

  const { chosen, done } = choose(options, await packagesOf(layout, from.id), await packagesOf(layout, to.id), from.id, to.id);
  const base = { from: from.id, to: to.id, dryRun, done };
  const nothing = { published: [], there: [], left: [], refused: [], snapshots: { from: undefined, to: undefined } };
  if (chosen.length === 0) return { ...base, ...nothing, exitCode: ExitCode.ok };

  const tree = join(layout.snapshots(from.id), (await currentSnapshot(layout, from.id)) as string);
  const add = chosen.map(({ path, checksum }) => ({ file: join(tree, path), checksum }));
  const made = await changeComponent(context, { component: to, add, remove: [], allowDowngrade, ...(dryRun ? { dryRun } : {}) });
  const byFile = new Map(chosen.map((item) => [join(tree, item.path), nevra(item)]));
  const named = (result: FileOutcome['result']): readonly string[] =>
    made.files.filter((file) => file.result === result).map(({ file }) => byFile.get(file) as string);
  const refused = made.files.flatMap(({ file, result, code, message, remedy }) =>
    result === 'refused' ? [{ package: byFile.get(file) as string, code: code ?? '', message: message ?? '', remedy: remedy ?? '' }] : [],
  );
  if (refused.length > 0) {
    const exitCode = made.files.find(({ result }) => result === 'refused')?.exitCode ?? ExitCode.invalid;
    return { ...base, ...nothing, refused, exitCode: exitCode };
  }
  const leaving = chosen.map(nevra);
  const left = dryRun ? undefined : await changeComponent(context, { component: from, add: [], remove: leaving, mayBeGone: true });
  return {
    ...base,
    published: named('published'),
    there: named('skipped'),
    left: left?.removed ?? leaving,
    refused,
    snapshots: { from: left?.snapshot, to: made.snapshot },
    exitCode: ExitCode.ok,
  };
}

/** What is promoted, and what needs not be any more. Pure. Throws for a name that neither component knows. */
export function choose(
  { packages, all }: Pick<PromoteOptions, 'packages' | 'all'>,
  from: readonly ComponentPackage[],
  to: readonly ComponentPackage[],
  fromId: string,
  toId: string,
): { readonly chosen: readonly ComponentPackage[]; readonly done: PromoteOutcome['done'] } {
  if (all) return { chosen: from, done: [] };
  const chosen = new Set<ComponentPackage>();
  const done: PromoteOutcome['done'][number][] = [];
  for (const name of new Set(packages)) {
    const found = from.filter((item) => isNamed(item, name));
    for (const item of found) chosen.add(item);
    if (found.length > 0) continue;
    const there = to.filter((item) => isNamed(item, name)).map(nevra);
    if (there.length > 0) {
      done.push({ name, there });
      continue;
    }
    const like = from.filter((item) => name.startsWith(item.name) || item.name.includes(name)).map(nevra);
    const some = like.length > 0 ? like : from.map(nevra);
    throw new MirrorError({
      code: 'NOT_HERE',
      message: `${fromId} has no package ${JSON.stringify(name)}, nor has ${toId}`,
      remedy: `${some.length === 0 ? `${fromId} is empty.` : `There is ${someOf(some, 5)}.`} Nothing was changed.`,
      exitCode: ExitCode.invalid,
    });
  }
  return { chosen: from.filter((item) => chosen.has(item)), done };
}

/** A name means all that is called so; a version one of them. */
export function isNamed(item: Nevra, name: string): boolean {
  return item.name === name || pinsOf(new Set([name]), item).length > 0;
}

/** Throws where the codename has no such component. */
export function componentOf(codename: CodenameDefinition, component: string): HostedComponent {
  if (codename.components.includes(component)) return { id: `${codename.id}/${component}`, codename, component };
  throw new MirrorError({
    code: 'NOT_DECLARED',
    message: `${codename.id} has no component ${JSON.stringify(component)}`,
    remedy: `It has ${codename.components.join(', ')}.`,
    exitCode: ExitCode.usage,
  });
}

function cannot(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'CANNOT_PROMOTE', message, remedy, exitCode: ExitCode.invalid });
}

/** The outcome for people; what was refused is not in it. */
export function promoteLines({ from, to, dryRun, published, there, left, done }: PromoteOutcome): readonly string[] {
  const would = (text: string): string => (dryRun ? `would be ${text}` : text);
  const both = new Set([...published, ...there]);
  const of = (items: readonly string[], text: string): readonly string[] =>
    shortened(
      items.map((item) => `${item}: ${text}`),
      50,
      '',
    );
  return [
    ...of(published, would(`published in ${to}`)),
    ...of(there, `is in ${to} already, with the same content`),
    ...done.map(({ name, there: known }) => `${name}: nothing of it is in ${from} any more; ${to} has ${someOf(known, 5)}`),
    both.size === 0
      ? `nothing to promote from ${from}`
      : `${left.length} ${left.length === 1 ? 'package' : 'packages'} ${would(`moved from ${from} to ${to}`)}`,
  ];
}
