/** What is refused unless main.ts waives it, in words that the plan shows. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { DesiredState } from '../desired-state/model';
import type { Manifest } from './manifest';

const NAMED_AT_MOST = 8;

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

/** Ids of elements of which something public goes away, sorted. What moves to another element stays public. Pure. */
export function unpublished(before: Manifest['published'], desired: Pick<DesiredState, 'elements'>): string[] {
  const after = new Set(desired.elements.flatMap((element) => Object.keys(element.links)));
  return Object.entries(before)
    .filter(([, paths]) => paths.some((path) => !after.has(path)))
    .map(([id]) => id)
    .sort();
}

/** A wrong branch or a filter gone wrong would empty the mirror. Throws MirrorError unless every element that goes is waived. Pure. */
export function checkUnpublished(before: Manifest, desired: Pick<DesiredState, 'elements' | 'waivers'>): void {
  const going = unpublished(before.published, desired);
  const all = Object.keys(before.published).length;
  if (going.length * 2 <= all || going.every((id) => desired.waivers.unpublish.includes(id))) return;
  const unwaived = going.filter((id) => !desired.waivers.unpublish.includes(id));
  const named = unwaived.slice(0, NAMED_AT_MOST).join(', ');
  const list = unwaived.length > NAMED_AT_MOST ? `${named} and ${unwaived.length - NAMED_AT_MOST} more` : named;
  throw new MirrorError({
    code: 'UNPUBLISHES_MOST',
    message: `this would unpublish ${going.length} of ${all} repositories and codenames (${list}): nothing was changed`,
    remedy:
      'If that is meant, say so in main.ts, where the plan shows it: waivers: [Waiver.unpublish({ elements: [' +
      `${going.map((id) => `'${id}'`).join(', ')}], reason: '…' })] of the MirrorServer.`,
    exitCode: ExitCode.invalid,
  });
}
