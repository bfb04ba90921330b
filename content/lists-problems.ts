/** Why what a list asks for is not published. Pure. */
import { basename } from 'node:path/posix';
import { ExitCode } from '../desired-state/errors';
import type { AskedPackage } from '../starlingx/asked';
import { type LostFile, problemOfLost } from './damage';
import { someOf } from './lines';
import { present } from './present';
import type { Problem } from './record';
import type { RefusedHere } from './refused';

/** So many versions are named. */
const MAX_VERSIONS = 5;

/** @param versions of that name that there are */
export function nobodyHas({ file, name, list, line, sha256 }: AskedPackage, versions: readonly string[]): Problem {
  const others = versions.length === 0 ? `, nor another version of ${name}` : `; of ${name} there are ${someOf(versions, MAX_VERSIONS)}`;
  return {
    path: file,
    code: 'NOBODY_HAS_IT',
    message: `${list} line ${line}: no copied repository has ${file}${sha256 === undefined ? '' : ' with the digest that is recorded'}, now or in an earlier snapshot${others}`,
    remedy:
      'Correct the line to a version that there is, add the package\'s URL ("file.rpm#url" in rpms_3rdparties.lst), or declare the repository that has it. The next sync looks again.',
    exitCode: ExitCode.unreachable,
  };
}

/** @param by who takes it no more */
export function forgotten({ file, list, line, url }: AskedPackage, { id, name }: RefusedHere): Problem {
  return {
    path: file,
    ...(url === undefined ? {} : { url }),
    code: 'PACKAGE_FORGOTTEN',
    message: `${list} line ${line}: ${name} was forgotten by name in ${id}, and is taken no more`,
    remedy: `Take its line out of the list, or have it back: mirrorctl retention restore ${id}:${name}`,
    exitCode: ExitCode.invalid,
  };
}

/** What could not be had and what is lost; a file that is lost and could not be had again is one problem. */
export function toldOnce(missing: readonly Problem[], lost: readonly LostFile[]): readonly Problem[] {
  const isLost = new Set(lost.map(({ path }) => basename(path)));
  const again = new Map(missing.map((problem) => [problem.path, problem.message]));
  return [
    ...missing.filter(({ path }) => !isLost.has(path)),
    ...lost.map((file) => problemOfLost({ ...file, ...present({ upstream: again.get(basename(file.path)) ?? file.upstream }) })),
  ];
}
