/** What `mirrorctl build publish` says of a build. */
import { BUILD_LINKS } from '../starlingx/build-layout';
import type { BuildPublished } from './build-publish';
import { size } from './progress';

const RESULTS: Readonly<Record<BuildPublished['result'], string>> = {
  published: 'published',
  unchanged: 'unchanged',
  judged: 'would be published',
};

/** A line for the build, and one for each thing that its links do. */
export function publishedLines(build: BuildPublished): readonly string[] {
  const { series, timestamp, result, files, bytes, newBytes, repositories, links, seconds } = build;
  const packages = repositories.reduce((sum, one) => sum + one.packages, 0);
  const parts = [
    `${files} files, ${size(bytes)}, ${result === 'unchanged' ? 'nothing' : size(newBytes)} new`,
    `${repositories.length} ${repositories.length === 1 ? 'repository' : 'repositories'} with ${packages} packages`,
    `${seconds.toFixed(1)} s`,
  ];
  const moved = links.map(({ link, from, to }) => {
    const before = from === undefined ? '' : ` (before: ${from})`;
    return to === undefined
      ? `  ${link} leads nowhere any more${before}`
      : `  ${link} ${result === 'judged' ? 'would lead' : 'leads'} to ${to}${before}`;
  });
  const noFile =
    build.repoFile || repositories.length === 0
      ? []
      : ['  it has no build.repo: the URL of the site is not known to this generation. Deploy'];
  return [`${series} ${timestamp}: ${RESULTS[result]}, ${parts.join(', ')}`, ...moved, ...whyNot(build), ...noFile];
}

/** Why links do not lead to this build that might be expected to. */
function whyNot({ succeeded, noNewContent, leadTo, timestamp }: BuildPublished): readonly string[] {
  if (!succeeded) return ['  no link leads to it: it failed (it has no marker Success)'];
  if (noNewContent) return ['  no link leads to it: it has nothing new (No_New_Content)'];
  return BUILD_LINKS.flatMap((link) => {
    const to = leadTo[link];
    return to === undefined || to <= timestamp ? [] : [`  ${link} stays at ${to}, which is newer`];
  });
}
