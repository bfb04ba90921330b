import { waiverFor } from '../desired-state/definitions';
import { type ExitCode, MirrorError } from '../desired-state/errors';
import type { Problem } from './record';

/** A file that is not taken, because of `error`. What its remedy says of the whole run is not so: the run goes on without the file. */
export function problemOf(path: string, url: string | undefined, error: MirrorError): Problem {
  const { code, message, exitCode } = error;
  const remedy = error.remedy.replace(/^Nothing was changed[.;] (.)/, (_match, first: string) => first.toUpperCase());
  return { path, ...(url === undefined ? {} : { url }), code, message, remedy, exitCode };
}

/** All problems of a run as one error: how many, the first in full, and what follows from it (`consequence`). */
export function inOneSentence(id: string, problems: readonly Problem[], listed: number, consequence: string): MirrorError {
  const [first] = problems;
  if (first === undefined) throw new Error(`${id} has no problem to tell of`);
  const count = problems.length === 1 ? 'one file' : `${problems.length} files`;
  const isDoubt = problems.every(({ code }) => code === 'FIRST_SIGHT_LOST');
  return new MirrorError({
    code: problems.every(({ code }) => code === first.code) ? first.code : 'SEVERAL_PROBLEMS',
    message: `${count} of ${listed} ${isDoubt ? 'may be other than before' : 'could not be had or must not be used'}, and ${consequence}; ${problems.length === 1 ? '' : 'the first: '}${first.message}`,
    // A changed package has a waiver of its own, which its remedy names.
    remedy: first.code === 'PACKAGE_CHANGED' ? first.remedy : `${first.remedy} ${waiverFor('incomplete')}`,
    exitCode: first.exitCode as ExitCode,
  });
}
