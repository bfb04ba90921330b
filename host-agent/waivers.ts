/** What is refused unless main.ts waives it, in words that the plan shows. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { DesiredState } from '../desired-state/model';
import { describeUnpublished, needsWaiver, unpublished } from '../desired-state/unpublish';
import type { Manifest } from './manifest';

/**
 * Everything that is refused because of what the server has: asked by a deploy before it changes anything, and by a plan. Throws MirrorError.
 *
 * @param exists whether a link's target, relative to the storage root, is on disk
 */
export function checkAgainst(
  before: Manifest,
  desired: Pick<DesiredState, 'owner' | 'waivers' | 'elements'>,
  exists: (target: string) => boolean,
): void {
  checkOwner(before, desired);
  checkUnpublished(before, desired);
  checkContinuity(before, desired, exists);
}

/** Two deployments of one server would unpublish each other's repositories. Throws MirrorError unless that is waived. Pure. */
export function checkOwner(before: Manifest, desired: Pick<DesiredState, 'owner' | 'waivers'>): void {
  if (before.generation === 0 || before.owner === desired.owner || before.owner === desired.waivers.takeOver) return;
  throw new MirrorError({
    code: 'FOREIGN_OWNER',
    message: `this server belongs to ${before.owner} (generation ${before.generation}), not to ${desired.owner}: nothing was changed`,
    remedy:
      `Deploy it from ${before.owner}. Only if that deployment is given up for good, take the server over: ` +
      `waivers: [Waiver.takeOver({ from: '${before.owner}', reason: '…' })] of the MirrorServer.`,
    exitCode: ExitCode.invalid,
  });
}

/** A wrong branch or a filter gone wrong would empty the mirror. Throws MirrorError unless every element that goes is waived. Pure. */
export function checkUnpublished(before: Manifest, desired: Pick<DesiredState, 'elements' | 'waivers'>): void {
  const going = unpublished(
    before.published,
    desired.elements.flatMap((element) => Object.keys(element.links)),
  );
  const all = Object.keys(before.published).length;
  if (!needsWaiver(going, all, desired.waivers.unpublish)) return;
  const { what, waiver } = describeUnpublished(going, all, desired.waivers.unpublish);
  throw new MirrorError({
    code: 'UNPUBLISHES_MOST',
    message: `this would ${what}: nothing was changed`,
    remedy: `If that is meant, say so in main.ts, where the plan shows it: ${waiver} of the MirrorServer.`,
    exitCode: ExitCode.invalid,
  });
}

/** Where the former id of an element has what this target is to become. Pure. */
function adoptedTarget({ id, adopts }: DesiredState['elements'][number], target: string): string | undefined {
  const own = `repositories/${id.slice(id.indexOf('/') + 1)}/`;
  return adopts !== undefined && target.startsWith(own) ? `repositories/${adopts}/${target.slice(own.length)}` : undefined;
}

/**
 * A path that is served must not lose its content because it belongs to another id now. Throws MirrorError unless that one has content, or
 * its former id has. Pure.
 *
 * @param exists whether a link's target is on disk
 */
export function checkContinuity(before: Manifest, desired: Pick<DesiredState, 'elements'>, exists: (target: string) => boolean): void {
  for (const element of desired.elements) {
    for (const [path, target] of Object.entries(element.links)) {
      const served = before.links[path];
      if (served === undefined || served === target || !exists(served) || exists(target)) continue;
      const adopted = adoptedTarget(element, target);
      if (adopted !== undefined && exists(adopted)) continue;
      const former = Object.entries(before.published).find(([, paths]) => paths.includes(path))?.[0] ?? 'another element';
      throw new MirrorError({
        code: 'PATH_WOULD_EMPTY',
        message: `/${path} is served by ${former} and would become ${element.id}'s, which has no content: nothing was changed`,
        remedy:
          (element.adopts === undefined ? '' : `Its formerId, ${element.adopts}, has no content on this server. `) +
          `If ${former} was renamed, say so: formerId: '${former.split('/')[1] ?? ''}' in its new construct. Its content then stays.`,
        exitCode: ExitCode.invalid,
      });
    }
  }
}
