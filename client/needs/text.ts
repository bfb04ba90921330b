/** What `needs-build check` found, for people. Pure. */
import { shown } from '../../starlingx/shown';
import type { Cause, Needs } from './needs-build';

/** Of each package; a new one has as many causes as inputs. */
const MOST_CAUSES = 5;

export function needsText({ rebuild, unchanged, gone }: Needs, unverified: readonly string[]): string {
  const lines = rebuild.flatMap(({ package: name, causes }) => [
    `${name}:`,
    ...causes.slice(0, MOST_CAUSES).map((cause) => `  ${causeText(cause)}`),
    ...(causes.length > MOST_CAUSES ? [`  and ${causes.length - MOST_CAUSES} causes more (--json has all)`] : []),
  ]);
  const all = rebuild.length + unchanged.length;
  lines.push(
    rebuild.length === 0
      ? `Nothing must be rebuilt: ${count(all)} ${all === 1 ? 'is' : 'are'} as recorded, and built.`
      : `${rebuild.length} of ${count(all)} must be rebuilt.`,
  );
  if (gone.length > 0)
    lines.push(
      `Recorded, and no longer in the manifest: ${gone.slice(0, 10).join(', ')}${gone.length > 10 ? ` and ${gone.length - 10} more` : ''}.`,
    );
  lines.push(...unverified.map((what) => `Not verified: ${what}`));
  return `${lines.join('\n')}\n`;
}

function causeText(cause: Cause): string {
  switch (cause.cause) {
    case 'inputChanged':
      return `${shown(cause.input)} changed: ${cause.recorded} is recorded, now it is ${cause.now}`;
    case 'inputNew':
      return `${shown(cause.input)} is new: nothing is recorded, now it is ${cause.now}`;
    case 'inputVanished':
      return `${shown(cause.input)} vanished: ${cause.recorded} is recorded, now there is nothing`;
    case 'packageMissing':
      return `${cause.package} is missing: ${cause.wanted} is wanted, none is built`;
    case 'packageWrongVersion':
      return `${cause.package} is built as another version: ${cause.wanted} is wanted, ${cause.built} is built`;
    case 'packageOlderThanSource':
      return `${cause.package} is older than its source: built ${cause.built ?? 'at an unknown time'}, its source ${cause.wanted}`;
  }
}

function count(packages: number): string {
  return packages === 1 ? '1 package' : `${packages.toLocaleString('en')} packages`;
}
