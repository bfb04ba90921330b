/**
 * Publishes as a hosted repository does, for the benchmark: `publish.cjs DIRECTORY PREVIOUS --package FILE` or `--lists DIRECTORY`.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describePackages } from '../../rpm-metadata/accumulate/describe';
import type { Source } from '../../rpm-metadata/accumulate/merge';
import { writeAccumulated } from '../../rpm-metadata/accumulate/write';

async function main(directory: string, previous: string, kind: string, given: string): Promise<void> {
  mkdirSync(join(directory, 'repodata'), { recursive: true });
  const work = mkdtempSync(join(directory, '.work-'));
  const list = (name: string): { path: string; what: string } => ({ path: join(given, `${name}.xml.gz`), what: name });
  const source: Source =
    kind === '--package'
      ? await describePackages([{ file: given, path: `Packages/${basename(given)}` }], work)
      : { primary: list('primary'), filelists: list('filelists'), other: list('other') };
  const { repomd } = await writeAccumulated({
    previous: previous === '' ? undefined : { repodata: join(previous, 'repodata'), catalogue: join(previous, 'catalogue') },
    sources: [source],
    directory: join(directory, 'repodata'),
    catalogue: join(directory, 'catalogue'),
    revision: Math.floor(Date.now() / 1000),
  });
  writeFileSync(join(directory, 'repodata', 'repomd.xml'), repomd);
  rmSync(work, { recursive: true });
}

const [directory = '', previous = '', kind = '', given = ''] = process.argv.slice(2);
main(directory, previous, kind, given).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
