import { basename, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, sayWhenInterrupted, usage, warn, wholeSeconds, withSigner } from './cli';

const PUBLISH_EXAMPLES = `
A build is a directory with inputs, outputs or logs in it. All of it is published, or nothing. It succeeded where it has the file Success, at its top or in
outputs/; one that did not is published for its logs, and no link leads to it. Each directory of packages becomes a repository that the mirror signs.
The same build again changes nothing. Files are copied and stay where they are; the user mirror must be able to read them.

Exit codes: 3 where the build is refused, or another one is published under its time already; nothing was changed then.

Examples:
  mirrorctl build publish master/centos/flock /var/tmp/20261101T023000Z
  mirrorctl build publish rc/3.0/centos /var/tmp/build --timestamp 20261101T023000Z
  mirrorctl build publish master/centos/flock /var/tmp/20261101T023000Z --dry-run   judge it, and say what would change`;

/**
 * `mirrorctl build` and `mirrorctl build publish`. Returns the group.
 *
 * @param keys those that the program opened while it was still root
 */
export function addBuildCommands(root: Command, keys: () => KeySource): Command {
  const group = root.command('build').description('builds of StarlingX, and the links that lead to them');
  group
    .command('publish')
    .description('publish a build: all of it, or nothing')
    .argument('<series>', 'for instance master/centos/flock')
    .argument('<directory>', 'what the build left')
    .option('--timestamp <time>', 'when the build was started; without it the name of the directory says so')
    .option('--dry-run', 'judge it, and change nothing', false)
    .addOption(
      new Option('--wait <seconds>', 'wait so long for who publishes another build of the series').default(600).argParser(wholeSeconds),
    )
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', PUBLISH_EXAMPLES)
    .action(async (series: string, directory: string, options: { timestamp?: string; dryRun: boolean; wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { isTimestamp } = await import('../starlingx/build-layout');
      const timestamp = options.timestamp ?? basename(resolve(directory));
      if (options.timestamp === undefined && !isTimestamp(timestamp))
        throw usage(
          `${JSON.stringify(timestamp.slice(0, 200))} does not say when the build was started`,
          'Call the directory by that time, for instance 20261101T023000Z, or give --timestamp.',
        );
      const { publishBuild } = await import('./build-publish');
      const { publishedLines } = await import('./build-publish-text');
      const { layout, definitions, declared } = await opened(root);
      const published = await withSigner(keys(), layout, (signer) =>
        publishBuild(
          { layout, definitions, declared, signer, now: () => new Date(), say: warn, waitSeconds: options.wait },
          { series, timestamp, directory, ...(options.dryRun ? { dryRun: true as const } : {}) },
        ),
      );
      if (options.json) printJson(published);
      else for (const line of publishedLines(published)) print(line);
    });
  return group;
}
