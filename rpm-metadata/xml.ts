import type * as Saxes from 'saxes';
import type { SaxesParser, SaxesTagPlain } from 'saxes';
import { metadataRefused } from './errors';

export interface XmlHandlers {
  /** `path` holds the names from the root to this element, without namespace prefixes of the document's own. */
  open(path: readonly string[], attributes: Readonly<Record<string, string>>): void;
  /** All text directly in the element that just ended; only for elements for which `wantsText` says so. */
  close(path: readonly string[], text: string): void;
  wantsText(path: readonly string[]): boolean;
  /** Each piece of text where it stands, between the elements around it. */
  text?(text: string): void;
  /** The decoded text, piece by piece, each before the events that it causes. */
  raw?(text: string): void;
  /** A document type that declares nothing itself is passed over, as comps.xml has one; nothing is ever fetched. */
  readonly doctype?: 'passed over';
}

const MAX_DEPTH = 32;
/** No real element, attribute list or text comes near this; without a limit an endless one would fill the memory. */
const MAX_TOKEN = 8 * 1024 * 1024;
const MAX_TEXT = 64 * 1024;
const PIECE = 64 * 1024;

/**
 * A streaming XML reader for hostile input: UTF-8 only, no document type (hence no entities of its own and nothing external),
 * bounded depth and bounded tokens.
 */
export class GuardedXml {
  private readonly parser: SaxesParser<{ xmlns: false; position: boolean }>;
  private readonly decoder = new TextDecoder('utf-8', { fatal: true });
  private readonly path: string[] = [];
  private readonly texts: string[] = [];
  private sinceToken = 0;

  /** `where` says for errors where the reader is; without it, it is the line and column. */
  constructor(
    private readonly what: string,
    private readonly handlers: XmlHandlers,
    where?: () => string,
  ) {
    // Only now, since an unchanged run reads no XML.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const saxes = require('saxes') as typeof Saxes;
    this.parser = new saxes.SaxesParser({ xmlns: false, position: where === undefined });
    this.parser.on('error', (error) => {
      throw this.refuse('METADATA_MALFORMED', `is not well-formed XML${where === undefined ? '' : ` ${where()}`}: ${error.message}`);
    });
    this.parser.on('doctype', (text) => {
      if (this.handlers.doctype === 'passed over' && !text.includes('[')) return;
      throw this.refuse('METADATA_DOCTYPE', 'has a document type declaration, which metadata never needs');
    });
    this.parser.on('xmldecl', ({ encoding }) => {
      if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8')
        throw this.refuse('METADATA_ENCODING', `is encoded in ${encoding.slice(0, 40)}; only UTF-8 is read`);
    });
    this.parser.on('opentag', (tag) => this.opened(tag));
    this.parser.on('text', (text) => this.text(text));
    this.parser.on('cdata', (text) => this.text(text));
    this.parser.on('closetag', () => this.closed());
  }

  write(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; offset += PIECE) {
      const piece = chunk.subarray(offset, offset + PIECE);
      this.sinceToken += piece.length;
      if (this.sinceToken > MAX_TOKEN)
        throw this.refuse('METADATA_TOKEN_TOO_LONG', `has a name, attribute or text of more than ${MAX_TOKEN / 1024 / 1024} MiB`);
      this.parse(this.decode(piece, true));
    }
  }

  /** While `open` or `close` runs: where the tag ends in the decoded text, in UTF-16 units. */
  get position(): number {
    return this.parser.position;
  }

  end(): void {
    this.parse(this.decode(new Uint8Array(), false));
    this.parser.close();
  }

  private parse(text: string): void {
    this.handlers.raw?.(text);
    this.parser.write(text);
  }

  private decode(piece: Uint8Array, stream: boolean): string {
    try {
      return this.decoder.decode(piece, { stream });
    } catch {
      throw this.refuse('METADATA_ENCODING', 'is not UTF-8');
    }
  }

  private opened(tag: SaxesTagPlain): void {
    this.sinceToken = 0;
    if (this.path.length >= MAX_DEPTH) throw this.refuse('METADATA_TOO_DEEP', `nests elements more than ${MAX_DEPTH} deep`);
    this.path.push(tag.name);
    this.texts.push('');
    this.handlers.open(this.path, tag.attributes);
  }

  private text(text: string): void {
    this.sinceToken = 0;
    const depth = this.texts.length - 1;
    if (depth >= 0) this.handlers.text?.(text);
    if (depth < 0 || !this.handlers.wantsText(this.path)) return;
    const all = (this.texts[depth] as string) + text;
    if (all.length > MAX_TEXT)
      throw this.refuse('METADATA_TOKEN_TOO_LONG', `has a text of more than ${MAX_TEXT} characters in <${this.path.join('/')}>`);
    this.texts[depth] = all;
  }

  private closed(): void {
    this.sinceToken = 0;
    this.handlers.close(this.path, this.texts.pop() as string);
    this.path.pop();
  }

  private refuse(code: string, why: string): Error {
    return metadataRefused(code, this.what, why);
  }
}
