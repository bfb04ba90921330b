/** The repositories of the builds that a release of the mirror has: where a layer takes the packages of the layers below it from. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { BUILDS_REPO } from '../desired-state/render/repo-file';
import { DownloadError } from '../downloads/errors';
import { getSmall } from '../downloads/http';
import { Sources, withFailover } from '../downloads/sources';
import { parseYumRepos, type YumRepo } from '../starlingx/yum-repos';
import { Repository } from './repository';
import type { SourceOptions } from './sources';
import { isMissing } from './sums';

const MAX_BYTES = 1024 * 1024;

/**
 * What `builds.repo` of the release names, those that are on first; none where the release has no builds. The file is signed by nobody: what it names has
 * to be below the release, and has to be signed by the mirror.
 */
export async function releasedBuilds(
  base: string,
  release: string,
  options: Omit<SourceOptions, 'repositories'>,
): Promise<readonly Repository[]> {
  const url = `${base}/${BUILDS_REPO}`;
  try {
    const bytes = await fetchFile(url, base, options);
    if (bytes === undefined) return [];
    const repositories = parseYumRepos(bytes, url, {});
    const sorted = [...repositories.filter(({ enabled }) => enabled), ...repositories.filter(({ enabled }) => !enabled)];
    return sorted.map((repo) => repository(repo, base, release, options));
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    options.onProblem({ place: 'mirror: released builds', error });
    return [];
  }
}

async function fetchFile(url: string, base: string, { web, retry }: Omit<SourceOptions, 'repositories'>): Promise<Buffer | undefined> {
  try {
    const { bytes } = await withFailover(new Sources([base]), retry, () => getSmall(web.to(base, true), url, { maxBytes: MAX_BYTES }));
    return bytes;
  } catch (error) {
    if (error instanceof DownloadError && isMissing(error)) return undefined;
    throw error;
  }
}

function repository({ id, baseurls }: YumRepo, base: string, release: string, options: Omit<SourceOptions, 'repositories'>): Repository {
  const { web, servers, workspace, retry, mirrorKeys, warn } = options;
  const bases = baseurls.map((url) => `${base}/${pathBelow(url, release, id)}/`);
  return new Repository({
    name: `mirror: ${id}`,
    side: 'mirror',
    client: web.to(base, true),
    workspace,
    bases,
    metadataKeys: mirrorKeys,
    mustBeSigned: true,
    retry,
    servers,
    warn,
  });
}

/** The place of a repository in the release. By which name the site was known when the release was frozen does not matter. */
function pathBelow(url: string, release: string, id: string): string {
  const [, path] = new RegExp(`/releases/${release.replaceAll('.', '\\.')}/(.+?)/*$`).exec(pathOf(url) ?? '') ?? [];
  if (path !== undefined) return path;
  throw new MirrorError({
    code: 'RELEASE_FILE',
    message: `${BUILDS_REPO} of the release ${release} says that [${id}] is at ${JSON.stringify(url.slice(0, 200))}, which is not below the release`,
    remedy: 'Tell the operator of the mirror; the file is not what a freeze writes.',
    exitCode: ExitCode.untrusted,
  });
}

/** Without `.` and `..`, as a request has it. */
function pathOf(url: string): string | undefined {
  try {
    return new URL(url).pathname;
  } catch {
    return undefined;
  }
}
