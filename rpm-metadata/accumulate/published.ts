import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decompressed } from '../decompress';
import { metadataRefused } from '../errors';
import type { PackageListKind } from '../packages';
import { readPrimary } from '../primary';
import { parseRepomd } from '../repomd';
import { type Catalogue, KINDS, perKind, readCatalogue } from './catalogue';
import { gunzipMember } from './gzip';
import type { Source, SourceFile } from './merge';
import { type PackageTable, TableBuilder } from './table';

/** What was published last. */
export interface Previous {
  /** The directory with `repomd.xml`. */
  readonly repodata: string;
  /** The file beside it that `writeAccumulated` wrote. Where it is missing or damaged, the published files are read instead. */
  readonly catalogue: string;
}

/** A published repository that is open for reading, by its catalogue. */
export class Published {
  private constructor(
    readonly catalogue: Catalogue,
    readonly paths: Readonly<Record<PackageListKind, string>>,
    readonly files: Readonly<Record<PackageListKind, FileHandle>>,
  ) {}

  /** Undefined when there is no catalogue of these very files. */
  static async open({ repodata, catalogue: path }: Previous): Promise<Published | undefined> {
    const catalogue = await readCatalogue(path);
    if (catalogue === undefined) return undefined;
    const paths = perKind((kind) => join(repodata, catalogue.files[kind].name));
    const opened = new Map<PackageListKind, FileHandle>();
    const close = (): Promise<unknown> => Promise.all([...opened.values()].map((file) => file.close()));
    for (const kind of KINDS) {
      const file = await open(paths[kind], 'r').catch(() => undefined);
      if (file !== undefined) opened.set(kind, file);
      if (file === undefined || (await file.stat()).size !== catalogue.files[kind].size) {
        await close();
        return undefined;
      }
    }
    return new Published(
      catalogue,
      paths,
      perKind((kind) => opened.get(kind) as FileHandle),
    );
  }

  /** One package's fragment in one of the files, without its line feed. */
  async fragment(kind: PackageListKind, row: number): Promise<Buffer> {
    const { members, rows, lengths, headSize } = this.catalogue.files[kind];
    const position = rows.indexOf(row);
    let offset = headSize;
    let first = 0;
    for (const { count, size, open: length } of members) {
      if (position < first + count) {
        const bytes = Buffer.allocUnsafeSlow(size);
        await this.files[kind].read(bytes, 0, size, offset);
        const content = await gunzipMember(bytes, length).catch((error: Error) => {
          throw damaged(this.paths[kind], error.message);
        });
        const start = lengths.subarray(first, position).reduce((sum, n) => sum + n, 0);
        return content.subarray(start, start + (lengths[position] as number) - 1);
      }
      offset += size;
      first += count;
    }
    throw new Error(`row ${row} is not in ${kind}`);
  }

  async close(): Promise<void> {
    await Promise.all(KINDS.map((kind) => this.files[kind].close()));
  }
}

/** Our own published metadata turned out to be damaged: the disk, or somebody wrote there. */
export function damaged(what: string, why: string): Error {
  return metadataRefused(
    'PUBLISHED_DAMAGED',
    what,
    `is damaged: ${why}`,
    'Nothing was changed. Something other than this program wrote there, or the disk loses data. Publish an older snapshot, then sync again.',
  );
}

/** The published files as a source, by the index beside them, and the index's revision. */
export async function publishedSource(repodata: string): Promise<{ readonly source: Source; readonly revision: number }> {
  const what = join(repodata, 'repomd.xml');
  const index = parseRepomd(await readFile(what), what, { weakChecksums: true });
  const file = (kind: PackageListKind): SourceFile | undefined => {
    const record = index.records.find(({ type }) => type === kind);
    const name = record?.path.slice(record.path.indexOf('/') + 1) ?? '';
    return record === undefined ? undefined : { path: join(repodata, name), what: join(repodata, name), openSize: record.openSize };
  };
  const revision = Number(index.revision ?? 0);
  return {
    source: { primary: file('primary') as SourceFile, filelists: file('filelists'), other: file('other') },
    revision: Number.isSafeInteger(revision) ? revision : 0,
  };
}

/** The packages that were published last: by the catalogue if it can be read, else by `primary.xml`. */
export async function readAccumulated(previous: Previous): Promise<PackageTable> {
  const catalogue = await readCatalogue(previous.catalogue);
  if (catalogue !== undefined) return catalogue.packages;
  const { primary } = (await publishedSource(previous.repodata)).source;
  const table = new TableBuilder();
  const list = await readPrimary(decompressed(primary.path, primary.what, primary.openSize), primary.what, { weakChecksums: true });
  for (const entry of list) table.add(entry);
  return table.view();
}
