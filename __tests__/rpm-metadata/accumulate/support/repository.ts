import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Source } from '../../../../rpm-metadata/accumulate/merge';
import { type Accumulated, type AccumulateOptions, writeAccumulated } from '../../../../rpm-metadata/accumulate/write';

/** A package as an upstream lists it. Packages with one name, version and content are one and the same file. */
export interface Item {
  readonly name: string;
  readonly version: string;
  readonly content: number;
  readonly href: string;
  /** What upstream says of it: may change without the package changing. */
  readonly summary: string;
  readonly base?: string;
}

export function pkgid({ name, version, content }: Pick<Item, 'name' | 'version' | 'content'>): string {
  return createHash('sha256').update(`${name} ${version} ${content}`).digest('hex');
}

const evr = ({ version }: Item): string => `<version epoch="0" ver="${version}" rel="1"/>`;
const head = (item: Item): string => `<package pkgid="${pkgid(item)}" name="${item.name}" arch="noarch">\n  ${evr(item)}\n`;
export const filesOf = (item: Item): readonly string[] =>
  Array.from({ length: item.content * 3 }, (_, i) => `/usr/share/${item.name}/${item.summary}/${item.version}-${i}`);

const render = {
  primary: (item: Item) =>
    `<package type="rpm">\n  <name>${item.name}</name>\n  <arch>noarch</arch>\n  ${evr(item)}\n  <checksum type="sha256" pkgid="YES">${pkgid(item)}</checksum>\n` +
    `  <summary>${item.summary}</summary>\n  <size package="${100 + item.content}" installed="1" archive="1"/>\n` +
    `  <location ${item.base === undefined ? '' : `xml:base="${item.base}" `}href="${item.href}"/>\n  <format><rpm:license>MIT</rpm:license></format>\n</package>`,
  filelists: (item: Item) =>
    `${head(item)}${filesOf(item)
      .map((f) => `  <file>${f}</file>\n`)
      .join('')}</package>`,
  other: (item: Item) =>
    `${head(item)}  <changelog author="a &lt;b@c&gt;" date="${item.content}">- ${item.summary}</changelog>\n</package>`,
};
const roots = {
  primary: ['<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"', '</metadata>'],
  filelists: ['<filelists xmlns="http://linux.duke.edu/metadata/filelists"', '</filelists>'],
  other: ['<otherdata xmlns="http://linux.duke.edu/metadata/other"', '</otherdata>'],
} as const;

/** A directory for tests: upstreams are written into it, and repositories published. */
export class Publisher {
  readonly root = mkdtempSync(join(tmpdir(), 'accumulate-'));
  private count = 0;

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  fresh(): string {
    const path = join(this.root, String(this.count++));
    mkdirSync(join(path, 'repodata'), { recursive: true });
    return path;
  }

  /** Writes the metadata of an upstream; `orders` says how each file sorts its packages. */
  upstream(items: readonly Item[], orders: Partial<Record<keyof typeof render, (items: readonly Item[]) => readonly Item[]>> = {}): Source {
    const path = this.fresh();
    const file = (kind: keyof typeof render): { path: string; what: string } => {
      const list = (orders[kind] ?? ((all: readonly Item[]) => all))(items);
      const xml = `<?xml version="1.0" encoding="UTF-8"?>\n${roots[kind][0]} packages="${list.length}">\n${list.map((i) => `${render[kind](i)}\n`).join('')}${roots[kind][1]}\n`;
      const target = join(path, `${kind}.xml.gz`);
      writeFileSync(target, gzipSync(xml));
      return { path: target, what: `http://u/${kind}.xml.gz` };
    };
    return { primary: file('primary'), filelists: file('filelists'), other: file('other') };
  }

  /** Publishes into a new directory, the catalogue beside `repodata`. */
  async publish(
    previous: string | undefined,
    sources: readonly Source[],
    more: Partial<AccumulateOptions> = {},
  ): Promise<Accumulated & { readonly path: string }> {
    const path = this.fresh();
    const result = await writeAccumulated({
      previous: previous === undefined ? undefined : previousOf(previous),
      sources,
      directory: join(path, 'repodata'),
      catalogue: join(path, 'catalogue'),
      revision: 1_700_000_000,
      ...more,
    });
    writeFileSync(join(path, 'repodata', 'repomd.xml'), result.repomd);
    return { ...result, path };
  }
}

export function previousOf(path: string): { repodata: string; catalogue: string } {
  return { repodata: join(path, 'repodata'), catalogue: join(path, 'catalogue') };
}

/** What Python reads in published repositories. */
export interface Read {
  readonly revision: number;
  readonly types: readonly string[];
  /** Sizes and checksums that are not what repomd.xml says. */
  readonly wrong: readonly string[];
  readonly primary: Readonly<Record<string, readonly [string, string, string, string, string, string, Record<string, string>, string]>>;
  readonly filelists: Readonly<Record<string, readonly [string, string, string, string, string, readonly string[]]>>;
  readonly other: Read['filelists'];
}

export function readRepositories(paths: readonly string[]): readonly Read[] {
  return JSON.parse(
    execFileSync('python3', [join(__dirname, 'read-repository.py'), ...paths], { encoding: 'utf8', maxBuffer: 1e9 }),
  ) as readonly Read[];
}
