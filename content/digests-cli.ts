/** The command `mirrorctl digests`. */
import type { Command } from 'commander';
import { uncompressedName } from '../starlingx/digests';
import { opened, print, printJson, usage } from './cli';
import type { Definitions } from './definitions';
import type { Layout } from './layout';

const EXAMPLES = `
Put into the file of digests of the declaration (docs/how-to/add-tarballs.md), they are enforced wherever the files are fetched from then on. An archive that
the mirror makes is recorded by its uncompressed tar.

Examples:
  mirrorctl digests stx-3.0-tarballs          a line for each file that is served, as sha256sum writes it
  mirrorctl digests stx-3.0-tarballs --json   with the address of each, for programs`;

/** Adds the command to the program. */
export function addDigestsCommand(root: Command): void {
  root
    .command('digests')
    .description('the digests of what is served of downloads, to be recorded in the project')
    .argument('<id>', 'id of downloads')
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, { json }: { json: boolean }) => {
      const { layout, definitions } = await opened(root);
      const digests = await digestsOf(layout, definitions, id);
      if (json) printJson({ id, digests });
      else for (const { name, sha256 } of digests) print(`${sha256}  ${name}`);
    });
}

interface Digest {
  /** As it stands in the file of digests. */
  readonly name: string;
  readonly sha256: string;
  readonly url: string;
}

/** Sorted by name. */
async function digestsOf(layout: Layout, definitions: Definitions, id: string): Promise<readonly Digest[]> {
  const { readDownloads } = await import('./downloads-snapshot');
  const { notDeclared } = await import('./status');
  const { copied } = await import('./definitions');
  const definition = copied(definitions).find((one) => one.id === id);
  if (definition === undefined) throw notDeclared(id);
  if (definition.kind !== 'downloads')
    throw usage(
      `${id} is a ${definition.kind === 'tree' ? 'file tree' : definition.kind}: its upstream says its digests`,
      'Name downloads; mirrorctl status lists what is declared.',
    );
  const files = (await readDownloads(layout, id))?.manifest?.downloads.files;
  if (files === undefined) throw usage(`nothing of ${id} is published yet`, `Sync it first: mirrorctl sync ${id}`);
  return files
    .map(({ path, url, sha256, tar }) => ({ name: tar === undefined ? path : uncompressedName(path), sha256: tar ?? sha256, url }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
