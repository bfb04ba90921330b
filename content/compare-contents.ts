/** Small judgements on what the next snapshot would be, beside what is published. Pure. */
import { isWaived, type RepositoryDefinition, waiverFor } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { ListedPackage } from '../rpm-metadata/primary';
import type { Contents } from './contents';
import type { Problem } from './record';
import type { Missing } from './retrieval';

type Place = Pick<ListedPackage, 'path' | 'checksum'>;

/** Tells which packages are in a list, at the same place with the same content. The list has each path once. */
export function listed(list: Iterable<Place>): (item: Place) => boolean {
  const digests = new Map<string, string>();
  for (const { path, checksum } of list) digests.set(path, checksum.hex);
  return ({ path, checksum }) => digests.get(path) === checksum.hex;
}

/** Whether a list has the same packages at the same places. */
export function isSameContent({ packages }: Contents, before: readonly ListedPackage[]): boolean {
  return packages.length === before.length && packages.every(listed(before));
}

/** A wrong key in the declaration must not take away most of what only this mirror has. */
export function requireMost(definition: RepositoryDefinition, untrusted: ReadonlyMap<unknown, Missing>, published: number): void {
  const [first] = untrusted.values();
  if (first === undefined || untrusted.size * 2 <= published || isWaived(definition, 'shrunk')) return;
  throw new MirrorError({
    code: 'PACKAGE_UNTRUSTED',
    message: `${untrusted.size} of ${published} published packages are not signed by a pinned key, which would leave them out; the first: ${first.problem.message}`,
    remedy: `Pin the key that signed them, too. ${waiverFor('shrunk')}`,
    exitCode: ExitCode.untrusted,
  });
}

/** Whether two runs met the same. */
export function hasSameProblems(a: readonly Problem[], b: readonly Problem[]): boolean {
  const paths = (problems: readonly Problem[]): string =>
    problems
      .map(({ path, message }) => `${path} ${message}`)
      .sort()
      .join('\n');
  return paths(a) === paths(b);
}
