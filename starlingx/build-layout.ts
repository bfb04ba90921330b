/**
 * Where builds are: `mirror/starlingx/<branch>/<distribution>[/<layer>]/<timestamp>/{inputs,outputs,logs}`. A *series* is what has builds one
 * after the other: a branch, a distribution and, where the branch is built in layers, a layer. It is called by its path: `master/centos/flock`.
 */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { shown } from './shown';

/** Above everything of StarlingX. */
export const STARLINGX = 'mirror/starlingx';

/** The folders of a build. */
export const BUILD_FOLDERS = ['inputs', 'outputs', 'logs'] as const;

/** Links of a series, each to a build of it. `latest_build` leads to the newest that succeeded. */
export const BUILD_LINKS = ['latest_build', 'latest_green_build', 'latest_yellow_build', 'latest_docker_image_build'] as const;
export type BuildLink = (typeof BUILD_LINKS)[number];

const WORD = '[A-Za-z0-9](?:[A-Za-z0-9_-]|\\.(?!\\.))*(?<!\\.)';
/** A branch as its repositories call it → where its builds are. The first that matches counts. */
const BRANCHES: readonly (readonly [RegExp, (groups: readonly string[]) => string])[] = [
  [/^master$/, () => 'master'],
  [new RegExp(`^f/(${WORD})$`), ([name]) => `feature/${name}`],
  [/^r\/stx\.(\d{1,4}\.\d{1,4})$/, ([version]) => `rc/${version}`],
  [/^m\/((\d{4}\.\d{2})\.[A-Za-z0-9]+)$/, ([name, month]) => `milestone/${month}/${name}`],
  [/^r\/((\d{4}\.\d{2})\.[A-Za-z0-9]+)$/, ([name, month]) => `release/${month}/${name}`],
];

/**
 * The path of a branch: `master`, `f/x` → `feature/x`, `r/stx.3.0` → `rc/3.0`, `m/2018.10.b3` → `milestone/2018.10/2018.10.b3`,
 * `r/2018.10.5` → `release/2018.10/2018.10.5`. Undefined for what is no branch of StarlingX.
 */
export function branchPath(branch: string): string | undefined {
  if (branch.length > 100) return undefined;
  for (const [pattern, path] of BRANCHES) {
    const match = pattern.exec(branch);
    if (match !== null) return path(match.slice(1));
  }
  return undefined;
}

/** `master/centos/flock`. */
export function seriesOf(branch: string, distribution: string, layer?: string): string {
  return [branch, distribution, ...(layer === undefined ? [] : [layer])].join('/');
}

/** Where the modified packages of a branch are: `mirror/starlingx/packages/<branch path>/<distribution>`; a directory for each layer in it. */
export function packagesPath(branch: string, distribution: string): string {
  return `${STARLINGX}/packages/${branch}/${distribution}`;
}

/** Where a released build is, which has no timestamp. */
export function releasedPath(release: string, distribution: string, layer?: string): string {
  return `${STARLINGX}/release/${seriesOf(release, distribution, layer)}`;
}

/** Whether the text is the name of a build: a UTC time to the second that there is, `20261101T023000Z`. */
export function isTimestamp(text: string): boolean {
  return timeOfBuild(text) !== undefined;
}

/** When a build was started; undefined for what is no name of one. */
export function timeOfBuild(timestamp: string): Date | undefined {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp) ?? [];
  if (year === undefined) return undefined;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) || time.toISOString() !== iso ? undefined : time;
}

/** The name of a build that starts at this time. */
export function timestampOf(time: Date): string {
  return time
    .toISOString()
    .replace(/\.\d{3}Z$/, 'Z')
    .replaceAll(/[:-]/g, '');
}

/** @throws MirrorError `BUILD_TIMESTAMP` (exit code 2) where the text is no name of a build */
export function checkTimestamp(text: string): string {
  if (isTimestamp(text)) return text;
  throw new MirrorError({
    code: 'BUILD_TIMESTAMP',
    message: `${shown(text)} is no name of a build`,
    remedy: 'A build is called by the UTC time of its start, to the second, for instance 20261101T023000Z.',
    exitCode: ExitCode.usage,
  });
}
