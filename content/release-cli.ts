import type { Command } from 'commander';
import { ExitCode } from '../desired-state/errors';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, sayWhenInterrupted, warn, withSigner } from './cli';

const EXAMPLES = `
A release is declared in main.ts: new Release(server, '3.0', { of: […], at: '2026-11-01T00:00:00Z' }).

Examples:
  mirrorctl release list                 which there are, which wait, and what is wrong
  mirrorctl release verify 3.0       whether every byte is as it was frozen`;

const FREEZE_EXAMPLES = `
A deploy does this for what is due, and a timer for what waits. What was frozen never changes; what is pinned is published anew where it changed.
Exit code 3: a release cannot be frozen as it is declared, or a pinned package is nowhere here. The others are frozen all the same.

Examples:
  mirrorctl release freeze             every declared release that is due
  mirrorctl release freeze 3.0     this one`;

const VERIFY_EXAMPLES = `
Everything is read again and compared with what was recorded when it was frozen.
Exit code 6: a file differs, is missing, or was not there; each is named. mirrorctl scrub repairs what it can.

Examples:
  mirrorctl release verify                 all frozen releases
  mirrorctl release verify 3.0 --json  one, for programs`;

const LIST_EXAMPLES = `
States: frozen; waiting (its time is to come, or nobody froze it yet); unsatisfiable (something of it is not here); undeclared (frozen, and no
longer public: mirrorctl retention forget releases/ID gives it up); damaged (release.json cannot be read). Exit code 3: a release cannot be frozen as it is declared, or a pinned package is nowhere here.

Examples:
  mirrorctl release list
  mirrorctl release list --json    with the snapshots of each, for programs`;

/** @param keys those that the program opened while it was still root */
export function addReleaseCommands(root: Command, keys: () => KeySource): void {
  const release = root.command('release').description('sets of snapshots and builds that never change').addHelpText('after', EXAMPLES);
  release
    .command('freeze')
    .description('freeze the declared releases that are due, and publish what they pin')
    .argument('[ids...]', 'releases; all that are declared when none is given')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', FREEZE_EXAMPLES)
    .action(async (ids: string[], { json }: { json: boolean }) => {
      sayWhenInterrupted();
      const { layout, definitions } = await opened(root);
      const { freezeErrors, freezeLines, freezeReleases, selectReleases } = await import('./release-command');
      await withSigner(keys(), layout, async (signer) => {
        const done = await freezeReleases(layout, definitions, selectReleases(definitions, ids), signer, new Date());
        const errors = freezeErrors(done);
        if (json) printJson({ releases: done, errors });
        else for (const line of freezeLines(done)) print(line);
        for (const { message, remedy } of errors) warn(`mirrorctl: ${message}\n  ${remedy}`);
        process.exitCode = errors[0]?.exitCode ?? ExitCode.ok;
      });
    });

  release
    .command('list')
    .description('which releases there are, which wait, and what is wrong')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', LIST_EXAMPLES)
    .action(async ({ json }: { json: boolean }) => {
      const { layout, definitions } = await opened(root);
      const { releaseRows, releaseTable } = await import('./release-command');
      const rows = await releaseRows(layout, definitions, new Date());
      if (json) printJson({ releases: rows });
      else process.stdout.write(releaseTable(rows));
      process.exitCode = rows.find(({ error }) => error !== undefined)?.error?.exitCode ?? ExitCode.ok;
    });

  release
    .command('verify')
    .description('read every byte of frozen releases and compare it with what was recorded')
    .argument('[ids...]', 'releases; all that are frozen when none is given')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', VERIFY_EXAMPLES)
    .action(async (ids: string[], { json }: { json: boolean }) => {
      sayWhenInterrupted();
      const { layout, definitions } = await opened(root);
      const { requireStorage } = await import('./storage');
      const { existingReleases } = await import('./releases');
      const { verifyRelease } = await import('./release-verify');
      const { verifyLines } = await import('./release-command');
      await requireStorage(layout, definitions.server);
      const verified = [];
      for (const id of ids.length === 0 ? await existingReleases(layout) : ids) {
        const one = await verifyRelease(layout, id, warn);
        verified.push(one);
        if (!json) for (const line of verifyLines(one)) print(line);
      }
      if (json) printJson({ releases: verified });
      process.exitCode = verified.every(({ differences }) => differences.length === 0) ? ExitCode.ok : ExitCode.untrusted;
    });
}
