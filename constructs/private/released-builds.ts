import type { Construct } from 'constructs';
import type { ReleaseDefinition } from '../../desired-state/definitions';
import { releasedPath, timeOfBuild } from '../../starlingx/build-layout';
import { BuildArchive, type BuildReference } from '../build-archive';
import { MirrorServer } from '../mirror-server';
import { check, invalid, show } from './check';

type ReleasedBuild = NonNullable<ReleaseDefinition['builds']>[number];

const FIX = "For instance builds: [archive.build('20261101T023000Z', 'flock')].";

/** The builds of a release, judged, with the place of each. */
export function releasedBuilds(scope: Construct, server: MirrorServer, builds: readonly BuildReference[]): readonly ReleasedBuild[] {
  if (!Array.isArray(builds) || builds.length === 0)
    throw invalid(scope, 'builds', show(builds), { allowed: 'at least one build of a BuildArchive', fix: FIX });
  check(scope, 'id', scope.node.id, versionOfRelease);
  const found = builds.map((one: unknown, index) => releasedBuild(scope, server, one, `builds[${index}]`));
  const twice = found.findIndex(({ publicPath }, index) => found.findIndex((other) => other.publicPath === publicPath) !== index);
  if (twice >= 0)
    throw invalid(scope, `builds[${twice}]`, JSON.stringify(found[twice]?.series), {
      allowed: `a release has one build of a distribution and layer, and this is the second one for /${found[twice]?.publicPath}/`,
      fix: 'Remove one of them.',
    });
  return found;
}

function releasedBuild(scope: Construct, server: MirrorServer, value: unknown, prop: string): ReleasedBuild {
  const archive = typeof value === 'object' && value !== null ? (value as Partial<BuildReference>).archive : undefined;
  if (!(archive instanceof BuildArchive) || MirrorServer.of(archive) !== server)
    throw invalid(scope, prop, show(value), { allowed: 'a build of a BuildArchive of the same server', fix: FIX });
  // Synthesis checks no types: what says it is a build is judged like one.
  const { timestamp, layer } = value as BuildReference;
  const { series } = archive.build(timestamp, layer);
  return { series, timestamp, publicPath: releasedPath(scope.node.id, archive.distribution, layer) };
}

/** Builds are released under the version of StarlingX. */
function versionOfRelease(value: unknown): ReturnType<Parameters<typeof check>[3]> {
  if (typeof value === 'string' && /^\d{1,4}\.\d{1,4}\.\d{1,4}$/.test(value)) return undefined;
  return {
    allowed: 'a release of builds is called by its version <N.M.P>, since its builds are at /mirror/starlingx/release/<N.M.P>/',
    fix: 'For instance new Release(server, "3.0.1", …). Leave builds out where it has another name.',
  };
}

/** When the last of the builds began: what else was there then is what they were built from. */
export function timeOfBuilds(builds: readonly ReleasedBuild[]): string {
  const last = builds
    .map(({ timestamp }) => timestamp)
    .sort()
    .at(-1) as string;
  return (timeOfBuild(last) as Date).toISOString().replace('.000Z', 'Z');
}
