/**
 * Judges what is on disk without any code of the mirror: reads a tree as a client would, hashes every byte of it, and asks gpgv and rpmkeys.
 * Knows of the storage root only what the design promises: the public tree, and a store whose files are named by their digest.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { must, start } from '../host';
import { sha256, type Key } from './packages';
import { advisoryId, type UpstreamState } from './upstream';

/** A file that metadata names. */
export interface Listed {
  /** Relative to the repository. */
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

/** What an index says. */
export interface Index {
  readonly metadata: readonly (Listed & { readonly type: string })[];
}

const attribute = (text: string, element: string, name: string): string =>
  new RegExp(`<${element}\\b[^>]*\\b${name}="([^"]*)"`).exec(text)?.[1] ?? '';
const element = (text: string, name: string): string => new RegExp(`<${name}\\b[^>]*>([^<]*)<`).exec(text)?.[1] ?? '';

/** Reads repomd.xml. Throws where it is none. Pure. */
export function readIndex(repomd: Buffer): Index {
  const text = repomd.toString('utf8');
  if (!/<\/repomd>\s*$/.test(text)) throw new Error(`repomd.xml is not whole: ${repomd.length} bytes`);
  const metadata = [...text.matchAll(/<data\b[^>]*type="([^"]+)"[^>]*>([\s\S]*?)<\/data>/g)].map(([, type = '', data = '']) => ({
    type,
    path: attribute(data, 'location', 'href'),
    sha256: element(data, 'checksum'),
    size: Number(element(data, 'size')),
  }));
  if (!metadata.some(({ type }) => type === 'primary')) throw new Error('repomd.xml names no primary');
  return { metadata };
}

/** The text of a metadata file, by its magic bytes. */
export function opened(bytes: Buffer): string {
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** The packages of a primary. Pure. */
export function readPackages(primary: string): Listed[] {
  return [...primary.matchAll(/<package\b[^>]*>([\s\S]*?)<\/package>/g)].map(([, text = '']) => ({
    path: attribute(text, 'location', 'href').replaceAll('&amp;', '&'),
    sha256: element(text, 'checksum'),
    size: Number(attribute(text, 'size', 'package')),
  }));
}

/** What is published, with everything that is wrong with it. */
export interface Tree {
  /** SHA-256 of repomd.xml. */
  readonly repomd: string;
  readonly packages: readonly Listed[];
  /** Ids of its advisories, sorted. */
  readonly advisories: readonly string[];
  /** Everything that a client of this index may ask for: path → SHA-256. */
  readonly files: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
}

/** Reads a published tree; undefined where nothing is published. */
export async function readTree(directory: string, signer: Key): Promise<Tree | undefined> {
  if (!existsSync(join(directory, 'repodata/repomd.xml'))) {
    if (!existsSync(directory)) return undefined;
    return {
      repomd: '',
      packages: [],
      advisories: [],
      files: new Map(),
      problems: [`${realpathSync(directory)} has no repodata/repomd.xml`],
    };
  }
  const problems: string[] = [];
  const files = new Map<string, string>();
  const readListed = ({ path, sha256: digest, size }: Listed): Buffer | undefined => {
    const bytes = existsSync(join(directory, path)) ? readFileSync(join(directory, path)) : undefined;
    files.set(path, digest);
    if (bytes === undefined) problems.push(`${path} is listed and missing`);
    else if (bytes.length !== size || sha256(bytes) !== digest)
      problems.push(`${path} is not what is listed: ${bytes.length} bytes of ${size}`);
    return bytes;
  };
  const repomd = readFileSync(join(directory, 'repodata/repomd.xml'));
  let packages: Listed[] = [];
  let advisories: string[] = [];
  try {
    const { metadata } = readIndex(repomd);
    const texts = new Map(metadata.map((one) => [one.type, opened(readListed(one) ?? Buffer.alloc(0))]));
    packages = readPackages(texts.get('primary') ?? '');
    for (const one of packages) readListed(one);
    advisories = [...(texts.get('updateinfo') ?? '').matchAll(/<id>([^<]*)<\/id>/g)].map((match) => match[1] ?? '').sort();
    const ids = packages
      .map((one) => one.sha256)
      .sort()
      .join();
    for (const type of ['filelists', 'other']) {
      const named = [...(texts.get(type) ?? '').matchAll(/pkgid="([0-9a-f]+)"/g)].map((match) => match[1] ?? '');
      if (named.sort().join() !== ids) problems.push(`${type} lists other packages than primary`);
    }
  } catch (error) {
    problems.push(String(error));
  }
  problems.push(...(await signatureProblems(directory, signer)));
  return { repomd: sha256(repomd), packages, advisories, files, problems };
}

async function signatureProblems(directory: string, signer: Key): Promise<string[]> {
  const repomd = join(directory, 'repodata/repomd.xml');
  if (!existsSync(`${repomd}.asc`)) return ['repomd.xml.asc is missing'];
  const { status, text } = await start('gpgv', ['--ignore-time-conflict', '--keyring', signer.ring, `${repomd}.asc`, repomd]).ended;
  return status === 0 ? [] : [`repomd.xml.asc does not verify: ${text.trim()}`];
}

/** What rpm says of packages: digests and signatures. The database holds the key that signs them. */
export class RpmKeys {
  constructor(
    private readonly database: string,
    private readonly key: Key,
  ) {}

  private imported = false;

  async problems(paths: readonly string[]): Promise<string[]> {
    if (!this.imported) {
      await must('rpmkeys', ['--dbpath', this.database, '--import', await this.keyFile()]);
      this.imported = true;
    }
    if (paths.length === 0) return [];
    const { text } = await start('rpmkeys', ['--dbpath', this.database, '--checksig', ...paths]).ended;
    const lines = text.trim().split('\n');
    return lines.length === paths.length ? lines.filter((line) => !line.endsWith(': digests signatures OK')) : [`rpmkeys: ${text.trim()}`];
  }

  private async keyFile(): Promise<string> {
    await must('mkdir', ['-p', this.database]);
    const file = join(this.database, 'key.asc');
    await must('gpg', ['--homedir', this.key.home, '--batch', '--yes', '--armor', '--output', file, '--export', this.key.name]);
    return file;
  }
}

/** A content that may be published. */
export interface Expected {
  readonly label: string;
  /** SHA-256 of the packages, sorted. */
  readonly packages: readonly string[];
  /** Ids of the advisories, sorted. */
  readonly advisories: readonly string[];
  /** Of repomd.xml, where upstream's own is published. */
  readonly repomd?: string;
}

/** What the mirror publishes of these states: upstream's last as it is, or the union. Pure. */
export function expectedOf(label: string, view: 'verbatim' | 'accumulate', states: readonly UpstreamState[]): Expected {
  const counted = view === 'verbatim' ? states.slice(-1) : states;
  const packages = counted.flatMap((state) => state.packages);
  const sorted = (texts: readonly string[]): string[] => [...new Set(texts)].sort();
  return {
    label,
    packages: sorted(packages.map((one) => one.sha256)),
    advisories: sorted(packages.map(advisoryId)),
    ...(view === 'verbatim' && counted[0] !== undefined ? { repomd: counted[0].repomd } : {}),
  };
}

/** Which of the contents a tree has; undefined: a mix, or something else. Pure. */
export function contentOf(tree: Pick<Tree, 'packages' | 'advisories' | 'repomd'>, expected: readonly Expected[]): string | undefined {
  const packages = tree.packages
    .map((one) => one.sha256)
    .sort()
    .join();
  const isOne = (one: Expected): boolean =>
    one.packages.join() === packages && one.advisories.join() === tree.advisories.join() && (one.repomd ?? tree.repomd) === tree.repomd;
  return expected.find(isOne)?.label;
}

/** Every regular file below a directory, relative to it. */
export function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
}

const ALGORITHMS: Readonly<Record<number, string>> = { 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' };

/** Files of the store whose name is not their digest. */
export function storeProblems(root: string): string[] {
  const store = join(root, 'store');
  return filesBelow(store).flatMap((path) => {
    const hex = /(?:^|\/)([0-9a-f]+)$/.exec(path)?.[1];
    const algorithm = hex === undefined ? undefined : ALGORITHMS[hex.length];
    if (hex === undefined || algorithm === undefined) return [];
    const digest = createHash(algorithm)
      .update(readFileSync(join(store, path)))
      .digest('hex');
    return digest === hex ? [] : [`store/${path} has another digest`];
  });
}

/** The shape of a path: what differs from run to run is left out. Pure. */
export function shapeOf(path: string): string {
  return path
    .replace(/[0-9a-f]{12,}/g, '<hex>')
    .replace(/\d{8}T\d{6}Z/g, '<time>')
    .replace(/^store\/(\w+)\/[0-9a-f]{2}\//, 'store/$1/<xx>/')
    .replace(/<hex>-(\w+)\.xml.*/, '<hex>-<metadata>')
    .replace(/[\w.+-]+\.rpm$/, '<rpm>');
}

/** Shapes of all files below the storage root and the state. */
export function shapesOf(root: string, state: string): Set<string> {
  return new Set([...filesBelow(root).map((path) => shapeOf(path)), ...filesBelow(state).map((path) => `state:${shapeOf(path)}`)]);
}
