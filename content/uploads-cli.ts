import { type Command, Option } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { UPLOADS } from '../desired-state/model';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, sayWhenInterrupted, warn, wholeSeconds, withSigner } from './cli';

const EXAMPLES = `
An account that is declared (new UploadAccount(…)) puts packages into <codename>/<component>/, and builds into <archive>/<layer>/<time>/, by SFTP or
rsync. What is complete is published by the rules of mirrorctl publish and build publish, and leaves; what is refused is kept for 30 days in
refused/, and the account reads in results/ what became of each. A build is complete when every file is there that its SHA256SUMS names.

Examples:
  mirrorctl uploads                     what waits, and what was refused and why
  mirrorctl uploads list --json         the same for programs
  mirrorctl uploads take acme-build     publish what waits now; a unit does it by itself`;

const TAKE_EXAMPLES = `
It ends when nothing arrives any more. What has not changed for 10 seconds is complete, unless its name ends with .part. A file is published by
itself, a directory of files as a whole or not at all. A build waits until every file is there that its SHA256SUMS names. What is refused is told to the account, and is no failure of this command.

Examples:
  mirrorctl uploads take acme-build
  mirrorctl uploads take acme-build --json    what became of each file, for programs`;

/** @param keys those that the program opened while it was still root */
export function addUploadCommands(root: Command, keys: () => KeySource): void {
  const group = root
    .command('uploads')
    .description('what build systems upload: what waits, what was refused')
    .addOption(new Option('--directory <directory>', 'where uploads arrive').default(UPLOADS.root))
    .addHelpText('after', EXAMPLES);
  const directory = (): string => group.opts<{ directory: string }>().directory;
  const json = (): Option => new Option('--json', 'print one JSON document on standard output').default(false);
  group
    .command('list', { isDefault: true })
    .description('what waits, and what was refused and why')
    .addOption(json())
    .action(async (options: { json: boolean }) => {
      const { listUploads, uploadLines } = await import('./upload-list');
      const { definitions } = await opened(root);
      const accounts = await listUploads(definitions, directory());
      if (options.json) printJson({ accounts });
      else for (const line of uploadLines(accounts)) print(line);
    });
  group
    .command('take')
    .description('publish what an account uploaded')
    .argument('<account>', 'name of the account')
    .addOption(new Option('--wait <seconds>', 'wait so long for another run, or publisher').default(0).argParser(wholeSeconds))
    .addOption(json())
    .addHelpText('after', TAKE_EXAMPLES)
    .action(async (name: string, options: { wait: number; json: boolean }) => {
      sayWhenInterrupted();
      const { takeUploads } = await import('./upload-take');
      const { resultText } = await import('./upload-results');
      const { definitions, layout, declared } = await opened(root);
      const account = definitions.uploads.find(({ id }) => id === name);
      if (account === undefined)
        throw unknown(
          name,
          definitions.uploads.map(({ id }) => id),
        );
      const context = { layout, definitions, declared, now: () => new Date(), say: warn, waitSeconds: options.wait, uploads: directory() };
      const results = await withSigner(keys(), layout, (signer) => takeUploads({ ...context, signer }, account));
      if (options.json) printJson({ account: name, uploads: results });
      else if (results.length === 0) print(`nothing that ${name} uploaded is complete`);
      else for (const result of results) print(resultText(result).trimEnd());
    });
}

function unknown(account: string, declared: readonly string[]): MirrorError {
  return new MirrorError({
    code: 'NO_SUCH_ACCOUNT',
    message: `no account ${JSON.stringify(account)} uploads to this server`,
    remedy: declared.length === 0 ? 'Declare an UploadAccount in main.ts, and deploy.' : `There are ${declared.join(', ')}.`,
    exitCode: ExitCode.usage,
  });
}
