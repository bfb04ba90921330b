import type * as Saxes from 'saxes';
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from './errors';

/** One version of `repomd.xml` that a mirror may have. */
export interface IndexDigest {
  /** `sha512`, `sha384`, `sha256` or `sha224`; the strongest that is given. */
  readonly algorithm: string;
  /** Lower case. */
  readonly hex: string;
  readonly size: number | undefined;
  /** Seconds since 1970. */
  readonly timestamp: number | undefined;
}

export interface Metalink {
  /** Addresses of `repomd.xml`, the preferred first. */
  readonly urls: readonly string[];
  /** The current version, then older ones that mirrors may still have. */
  readonly digests: readonly IndexDigest[];
}

const STRONG: Readonly<Record<string, number>> = { sha512: 128, sha384: 96, sha256: 64, sha224: 56 };
const MAX_DEPTH = 16;
const MAX_TEXT = 4096;
const MAX_URLS = 10_000;

interface Version {
  readonly hashes: Map<string, string>;
  size: number | undefined;
  timestamp: number | undefined;
}

/**
 * Reads a metalink of `repomd.xml`: version 3 as MirrorManager writes it (`preference`, higher first; older versions of the file in
 * `mm0:alternates`), or version 4, RFC 5854 (`priority`, lower first). Throws a DownloadError for anything else; `url` names it.
 */
export function parseMetalink(bytes: Uint8Array, url: string): Metalink {
  const refuse = (why: string): DownloadError =>
    new DownloadError({
      kind: 'refused',
      code: 'METALINK_UNUSABLE',
      message: `${url} ${why}`,
      remedy: 'Look at the address with curl: it must answer with a metalink of repomd.xml. Else declare mirrors by their addresses.',
      exitCode: ExitCode.untrusted,
    });
  const reader = new Reader();
  try {
    reader.read(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw refuse(`is no metalink: ${(error as Error).message}`);
  }
  const { found, urls, versions } = reader;
  if (!found) throw refuse('has no file repomd.xml');
  const digests = versions.map(digestOf).filter((digest) => digest !== undefined);
  if (versions[0] === undefined || digestOf(versions[0]) === undefined) {
    throw refuse('has no checksum of repomd.xml by sha256 or better');
  }
  // Those that are equally good stay in the order of the file.
  const sorted = [...urls].sort((a, b) => a.rank - b.rank).map(({ text }) => text);
  return { urls: sorted, digests };
}

function digestOf({ hashes, size, timestamp }: Version): IndexDigest | undefined {
  for (const [algorithm, length] of Object.entries(STRONG)) {
    const hex = hashes.get(algorithm);
    if (hex?.length === length && /^[0-9a-f]+$/.test(hex)) return { algorithm, hex, size, timestamp };
  }
  return undefined;
}

/** Collects what stands in the file `repomd.xml`. Prefixes of names are dropped. */
class Reader {
  found = false;
  readonly urls: { readonly text: string; readonly rank: number }[] = [];
  readonly versions: Version[] = [];
  private readonly path: string[] = [];
  private inside = false;
  private version: Version | undefined;
  private text = '';
  private hashType = '';
  private rank = 0;

  read(xml: string): void {
    // Only now, since most upstreams have no metalink.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const saxes = require('saxes') as typeof Saxes;
    const parser = new saxes.SaxesParser({ xmlns: false });
    parser.on('error', (error) => {
      throw error;
    });
    parser.on('doctype', () => {
      throw new Error('it has a document type declaration');
    });
    parser.on('opentag', ({ name, attributes }) => this.open(name.slice(name.indexOf(':') + 1), attributes));
    parser.on('text', (text) => {
      if (this.text.length < MAX_TEXT) this.text += text;
    });
    parser.on('closetag', () => this.close());
    parser.write(xml).close();
  }

  private open(name: string, attributes: Readonly<Record<string, string>>): void {
    if (this.path.length === 0 && name !== 'metalink') throw new Error(`it begins with <${name.slice(0, 40)}>`);
    this.path.push(name);
    if (this.path.length > MAX_DEPTH) throw new Error('it is nested too deeply');
    this.text = '';
    if (name === 'file') {
      this.inside = attributes['name'] === 'repomd.xml' && !this.found;
      if (this.inside) this.begin();
      this.found ||= this.inside;
    }
    if (!this.inside) return;
    if (name === 'alternate') this.begin();
    if (name === 'hash') this.hashType = (attributes['type'] ?? '').toLowerCase().replace('-', '');
    if (name === 'url') this.rank = rankOf(attributes);
  }

  private begin(): void {
    this.version = { hashes: new Map(), size: undefined, timestamp: undefined };
    this.versions.push(this.version);
  }

  private close(): void {
    const name = this.path.pop();
    const text = this.text.trim();
    this.text = '';
    if (!this.inside || this.version === undefined) return;
    const number = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
    if (name === 'hash' && !this.version.hashes.has(this.hashType)) this.version.hashes.set(this.hashType, text.toLowerCase());
    else if (name === 'size') this.version.size = number;
    else if (name === 'timestamp') this.version.timestamp = number;
    else if (name === 'url' && text !== '' && this.urls.length < MAX_URLS) this.urls.push({ text, rank: this.rank });
    // What follows the alternates belongs to the current version again.
    else if (name === 'alternate') this.version = this.versions[0];
    else if (name === 'file') this.inside = false;
  }
}

/** Lower is better. */
function rankOf(attributes: Readonly<Record<string, string>>): number {
  const { preference, priority } = attributes;
  if (preference !== undefined && /^\d{1,6}$/.test(preference)) return -Number(preference);
  return priority !== undefined && /^\d{1,6}$/.test(priority) ? Number(priority) : 1_000_000;
}
