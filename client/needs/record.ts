/** What a build used, for the next one to compare with. */
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { nearest } from '../../desired-state/nearest';
import { type BuildManifest, type PackageInputs, sorted } from '../../starlingx/build-manifest';
import { shown } from '../../starlingx/shown';

/**
 * The record after a build: what was built is as its inputs were, what was not stays as it was recorded, and what the manifest no longer names leaves.
 * What was never built is not recorded, so that it is built the next time. Pure.
 *
 * @param built names of the packages that were built; undefined: all
 */
export function recordOf(inputs: BuildManifest, before: BuildManifest, built: readonly string[] | undefined): BuildManifest {
  for (const name of built ?? []) if (!inputs.has(name)) throw unknown(name, inputs);
  const now = new Set(built ?? inputs.keys());
  const record = new Map<string, PackageInputs>();
  for (const name of sorted(inputs.keys())) {
    const one = (now.has(name) ? inputs : before).get(name);
    if (one !== undefined) record.set(name, one);
  }
  return record;
}

function unknown(name: string, inputs: BuildManifest): MirrorError {
  const meant = nearest(name, [...inputs.keys()]);
  return new MirrorError({
    code: 'PACKAGE_UNKNOWN',
    message: `--packages names ${shown(name)}, which the manifest of --inputs does not have`,
    remedy: meant === undefined ? 'Give names as the manifest has them.' : `Did you mean ${JSON.stringify(meant)}?`,
    exitCode: ExitCode.usage,
  });
}
