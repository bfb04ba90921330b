import { Argument, type Command, Option } from 'commander';
import { ExitCode } from '../desired-state/errors';
import type { MarkContext, Marked } from './build-marks';
import type { Colour } from './builds';
import { opened, print, printJson, requireReason, sayWhenInterrupted, usage, warn, wholeSeconds } from './cli';

const LIST_EXAMPLES = `
A build stays for a time by its colour, from its start; one that a link leads to, that is kept or released, and the newest stay in any case.

Examples:
  mirrorctl build list                              every series
  mirrorctl build list master/centos/flock --json   one, for programs`;

const SHOW_EXAMPLES = `
Examples:
  mirrorctl build show master/centos/flock latest_green_build
  mirrorctl build show master/centos/flock 20261101T023000Z --json`;

const MARK_EXAMPLES = `
The sanity tests of a build say what it is worth. latest_green_build leads to the newest green one, latest_yellow_build to the newest that is
green or yellow. A build that failed cannot be green or yellow. Exit code 3: it was refused.

Examples:
  mirrorctl build mark master/centos/flock 20261101T023000Z green
  mirrorctl build mark master/centos/flock 20261101T023000Z none    take the colour away`;

const KEEP_EXAMPLES = `
Examples:
  mirrorctl build keep master/centos/flock 20261101T023000Z --reason 'the lab tests it until December'
  mirrorctl build keep master/centos/flock 20261101T023000Z --remove`;

const EXPIRE_EXAMPLES = `
A timer runs it daily. Where nothing else is declared, green builds stay 28 days from their start, yellow ones 10, others 7. What nothing uses any more
then leaves the disk with the last step of mirrorctl retention apply.

Examples:
  mirrorctl build expire --dry-run                  what would go, and what stays
  mirrorctl build expire master/centos/flock        one series`;

/** `mirrorctl build list|show|mark|keep|expire`. */
export function addBuildAdminCommands(root: Command, group: Command): void {
  const json = (): Option => new Option('--json', 'print one JSON document on standard output').default(false);
  const wait = (): Option =>
    new Option('--wait <seconds>', 'wait so long for who publishes a build of the series').default(0).argParser(wholeSeconds);
  const series = (): Argument => new Argument('<series>', 'for instance master/centos/flock');

  group
    .command('list')
    .description('which builds there are, which links lead to them, and how long they stay')
    .argument('[series...]', 'all that are declared when none is given')
    .addOption(json())
    .addHelpText('after', LIST_EXAMPLES)
    .action(async (names: string[], options: { json: boolean }) => {
      const { layout, definitions } = await looking(root);
      const { standings } = await import('./build-expire');
      const { buildRow, listLines } = await import('./build-text');
      const rows = [];
      for (const name of await selected(definitions, names)) {
        const all = await standings({ layout, definitions, now: () => new Date() }, name);
        rows.push({ series: name, builds: all.map(buildRow) });
      }
      if (options.json) printJson({ series: rows });
      else if (rows.length === 0) print('no BuildArchive is declared');
      else for (const one of rows) for (const line of listLines(one.series, one.builds)) print(line);
    });

  group
    .command('show')
    .description('everything that is known of a build')
    .addArgument(series())
    .argument('<build>', 'its name, or that of a link: latest_build')
    .addOption(json())
    .addHelpText('after', SHOW_EXAMPLES)
    .action(async (name: string, build: string, options: { json: boolean }) => {
      const { layout, definitions } = await looking(root);
      const { standings } = await import('./build-expire');
      const { buildNamed } = await import('./build-marks');
      const { requireSeries } = await import('./builds');
      const { buildDetails, showLines } = await import('./build-text');
      const all = await standings({ layout, definitions, now: () => new Date() }, name);
      const { timestamp } = buildNamed(
        all.map((standing) => standing.build),
        name,
        build,
      );
      const [found] = all.filter((standing) => standing.build.timestamp === timestamp);
      const details = await buildDetails(layout, found as NonNullable<typeof found>, requireSeries(definitions, name));
      if (options.json) printJson(details);
      else for (const line of showLines(details)) print(line);
    });

  const marking = async (options: { json: boolean; wait: number }, work: (context: MarkContext) => Promise<Marked>): Promise<void> => {
    sayWhenInterrupted();
    const { layout, definitions } = await opened(root);
    const { markedLines } = await import('./build-text');
    const { build, changed, links } = await work({ layout, definitions, say: warn, waitSeconds: options.wait });
    if (options.json) printJson({ series: build.series, build: build.timestamp, colour: build.colour, kept: build.kept, changed, links });
    else for (const line of markedLines({ build, changed, links })) print(line);
  };

  group
    .command('mark')
    .description('say what the sanity tests of a build found')
    .addArgument(series())
    .argument('<build>', 'its name: 20261101T023000Z')
    .addArgument(new Argument('<colour>').choices(['green', 'yellow', 'red', 'none']))
    .addOption(wait())
    .addOption(json())
    .addHelpText('after', MARK_EXAMPLES)
    .action(async (name: string, build: string, colour: Colour | 'none', options: { wait: number; json: boolean }) => {
      const { markBuild } = await import('./build-marks');
      await marking(options, (context) => markBuild(context, name, build, colour));
    });

  group
    .command('keep')
    .description('keep a build for good, whatever its age')
    .addArgument(series())
    .argument('<build>', 'its name: 20261101T023000Z')
    .option('--reason <text>', 'why: it is in the build, for everybody to read')
    .option('--remove', 'keep it no longer', false)
    .addOption(wait())
    .addOption(json())
    .addHelpText('after', KEEP_EXAMPLES)
    .action(async (name: string, build: string, options: { reason?: string; remove: boolean; wait: number; json: boolean }) => {
      const { reason, remove } = options;
      if (remove && reason !== undefined)
        throw usage('--reason says why a build is kept, and --remove keeps it no longer', 'Give one of the two.');
      const { keepBuild, releaseKept } = await import('./build-marks');
      const why = reason === undefined ? '' : requireReason(reason);
      await marking(options, (context) => (remove ? releaseKept(context, name, build) : keepBuild(context, name, build, why)));
    });

  group
    .command('expire')
    .description('remove the builds whose time is over')
    .argument('[series...]', 'all that are declared when none is given')
    .option('--dry-run', 'say what would go, and change nothing', false)
    .addOption(wait())
    .addOption(json())
    .addHelpText('after', EXPIRE_EXAMPLES)
    .action(async (names: string[], options: { dryRun: boolean; wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { layout, definitions } = await opened(root);
      const { expireBuilds, plannedExpiry } = await import('./build-expire');
      const { expiredJson, expiredLines } = await import('./build-text');
      const context = { layout, definitions, now: () => new Date(), say: warn, waitSeconds: options.wait };
      const all = await selected(definitions, names);
      const done = options.dryRun ? await plannedExpiry(context, all) : await expireBuilds(context, all);
      if (options.json) printJson({ dryRun: options.dryRun, series: done.map(expiredJson) });
      else for (const one of done) for (const line of expiredLines(one, options.dryRun)) print(line);
      for (const { series: one, error } of done) if (error !== undefined) warn(`mirrorctl: ${one}: ${error.message}\n  ${error.remedy}`);
      process.exitCode = done.find(({ error }) => error !== undefined)?.error?.exitCode ?? ExitCode.ok;
    });
}

/** What is declared. Where the disk is not mounted it says so, not that there is no build. */
async function looking(root: Command): ReturnType<typeof opened> {
  const all = await opened(root);
  await (await import('./storage')).requireStorage(all.layout, all.definitions.server);
  return all;
}

/** The series with these names, or all that are declared. */
async function selected(
  definitions: Awaited<ReturnType<typeof opened>>['definitions'],
  names: readonly string[],
): Promise<readonly string[]> {
  const { requireSeries, seriesDeclared } = await import('./builds');
  for (const name of names) requireSeries(definitions, name);
  return names.length === 0 ? seriesDeclared(definitions) : [...new Set(names)];
}
