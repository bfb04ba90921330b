import { decompressed } from './decompress';
import { metadataRefused } from './errors';
import { GuardedXml } from './xml';

/** A metadata file on disk, compressed or not. */
export interface MetadataSource {
  readonly path: string;
  /** Its URL or name, for errors. */
  readonly what: string;
  /** The most that it may have when decompressed: what repomd.xml declares. */
  readonly openSize?: number | undefined;
}

/** Where something stands in the text of its element: from the first character to the one after the last. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What is made of each element directly below the root. Paths begin with the root's name. */
export interface ElementHandlers<T> {
  root(name: string, attributes: Readonly<Record<string, string>>): void;
  open?(path: readonly string[], attributes: Readonly<Record<string, string>>, tag: Span): void;
  /** `tag` is the closing tag; of an element that closes itself its only one, and then it starts where the opening tag did. */
  close?(path: readonly string[], text: string, tag: Span): void;
  wantsText?(path: readonly string[]): boolean;
  /** The element has ended: `text` is how it stands in the file, from `<` to `>`. */
  element(name: string, text: string): T;
  readonly doctype?: 'passed over';
}

/** An element is held as a whole. No advisory or group comes near this. */
const MAX_ELEMENT = 16 * 1024 * 1024;
const PIECE = 64 * 1024;

/**
 * Streams an XML file of any size and yields what the handlers make of each element below the root, whose text can be copied byte for byte.
 * Throws a MirrorError for what is no XML (see GuardedXml) and for an element of more than 16 MiB.
 */
export async function* scanElements<T>(source: MetadataSource, handlers: ElementHandlers<T>): AsyncGenerator<T> {
  const scanner = new Scanner(source, handlers);
  for await (const chunk of decompressed(source.path, source.what, source.openSize)) {
    // In pieces: what is ready is taken away before more is read.
    for (let offset = 0; offset < chunk.length; offset += PIECE) yield* scanner.read(chunk.subarray(offset, offset + PIECE));
  }
  scanner.end();
}

class Scanner<T> {
  private readonly xml: GuardedXml;
  /** Decoded text that is still needed, and where its first character stands in the whole. */
  private text = '';
  private offset = 0;
  /** Where the element below the root begins, while one is open. */
  private element: number | undefined;
  private ready: T[] = [];

  constructor(
    private readonly source: MetadataSource,
    handlers: ElementHandlers<T>,
  ) {
    this.xml = new GuardedXml(source.what, {
      raw: (text) => void (this.text += text),
      open: (path, attributes) => {
        if (path.length === 1) return handlers.root(path[0] as string, attributes);
        const tag = this.tag();
        if (path.length === 2) this.element = tag.start;
        handlers.open?.(path, attributes, this.within(tag));
      },
      close: (path, text) => {
        if (path.length === 1 || this.element === undefined) return;
        const tag = this.tag();
        handlers.close?.(path, text, this.within(tag));
        if (path.length > 2) return;
        this.ready.push(handlers.element(path[1] as string, this.text.slice(this.element - this.offset, tag.end - this.offset)));
        this.element = undefined;
      },
      wantsText: (path) => handlers.wantsText?.(path) === true,
      ...(handlers.doctype === undefined ? {} : { doctype: handlers.doctype }),
    });
  }

  read(chunk: Uint8Array): readonly T[] {
    this.ready = [];
    this.xml.write(chunk);
    this.forget();
    return this.ready;
  }

  end(): void {
    this.xml.end();
  }

  /** The tag that was just read: no `<` can stand inside one. */
  private tag(): Span {
    const end = this.xml.position;
    return { start: this.offset + this.text.lastIndexOf('<', end - this.offset - 1), end };
  }

  private within({ start, end }: Span): Span {
    const base = this.element as number;
    return { start: start - base, end: end - base };
  }

  /** Keeps the open element, or what may be the beginning of the next tag. */
  private forget(): void {
    const tag = this.text.lastIndexOf('<');
    const keep = this.element !== undefined ? this.element - this.offset : tag >= 0 ? tag : this.text.length;
    this.text = this.text.slice(keep);
    this.offset += keep;
    if (this.text.length > MAX_ELEMENT) {
      throw metadataRefused('METADATA_TOO_LARGE', this.source.what, `has an element of more than ${MAX_ELEMENT / 1024 / 1024} MiB`);
    }
  }
}

/** A copy of a piece of text: a slice would keep all of the text in memory that it was cut from. */
export function copyOf(text: string): string {
  return Buffer.from(text).toString();
}

/** `<name a="…">`, for the root of a merged file. */
export function openingTag(name: string, attributes: Readonly<Record<string, string>>): string {
  const escaped = (value: string): string =>
    value.replace(/[&<>"\t\n\r]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? `&#${c.charCodeAt(0)};`);
  return `<${[name, ...Object.entries(attributes).map(([key, value]) => `${key}="${escaped(value)}"`)].join(' ')}>`;
}

/**
 * The attributes that the root of a merged file has: those of all its parts, so that the prefixes which copied elements use stay declared.
 * The later part wins, but a prefix cannot mean two things.
 */
export function mergedRoot(
  parts: readonly { readonly what: string; readonly attributes: Readonly<Record<string, string>> }[],
): Record<string, string> {
  const merged: Record<string, string> = {};
  for (const { what, attributes } of parts) {
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith('xmlns') && merged[key] !== undefined && merged[key] !== value)
        throw metadataRefused('METADATA_CONTRADICTS', what, `declares ${key} as another name space than before`);
      merged[key] = value;
    }
  }
  return merged;
}
