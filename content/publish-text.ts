/** What publishing says to people. */
import { ExitCode } from '../desired-state/errors';
import { shortened } from './lines';
import { size } from './progress';
import type { ChangeOutcome, FileOutcome, PlacedContent } from './publish';

/** Lines of each kind; what was refused is told in full. */
const MOST = 20;

/** What became of one component. */
export function outcomeLines({ id, publicPath, snapshot, files, removed, packages, bytes, seconds }: ChangeOutcome): readonly string[] {
  const of = (result: FileOutcome['result']): readonly FileOutcome[] => files.filter((file) => file.result === result);
  const [published, skipped, refused, withheld] = [of('published'), of('skipped'), of('refused'), of('withheld')];
  const counts = [
    `${published.length} published`,
    ...(removed.length > 0 ? [`${removed.length} removed`] : []),
    ...(skipped.length > 0 ? [`${skipped.length} skipped`] : []),
    ...(refused.length > 0 ? [`${refused.length} refused`] : []),
  ];
  const has = `/${publicPath}/ has ${packages} ${packages === 1 ? 'package' : 'packages'}, ${size(bytes)}`;
  return [
    `${id}: ${counts.join(', ')} in ${seconds.toFixed(1)} s`,
    ...shortened(
      published.map((file) => `  published  ${file.package} (${file.trees?.join(', ')})`),
      MOST,
    ),
    ...shortened(
      published.flatMap(({ package: name, replaced }) =>
        replaced === undefined ? [] : [`  replaced   ${name}: ${replacement(replaced)}`],
      ),
      MOST,
    ),
    ...shortened(
      removed.map((name) => `  removed    ${name}`),
      MOST,
    ),
    ...shortened(
      skipped.map((file) => `  skipped    ${file.package}: ${file.message}`),
      MOST,
    ),
    ...refused.flatMap(({ file, message, remedy }) => [`  refused    ${file}: ${message}`, `             ${remedy}`]),
    ...shortened(
      withheld.map((file) => `  withheld   ${file.package}: ${file.message}`),
      MOST,
    ),
    snapshot === undefined
      ? `  ${files.some(({ repaired }) => repaired === true) ? 'no new snapshot' : 'nothing was changed'}: ${has}`
      : `  ${has}: snapshot ${snapshot}`,
  ];
}

function replacement({ served, kept }: NonNullable<FileOutcome['replaced']>): string {
  const content = ({ sha256, path }: PlacedContent): string => `SHA-256 ${sha256.slice(0, 12)}… at ${path}`;
  return `served is ${content(served)}; kept is ${content(kept)}, for clients with older metadata`;
}

/** That of the first file that was refused. */
export function exitCodeOf(outcomes: readonly ChangeOutcome[]): ExitCode {
  const refused = outcomes.flatMap(({ files }) => files).find(({ result }) => result === 'refused');
  return refused?.exitCode ?? ExitCode.ok;
}
