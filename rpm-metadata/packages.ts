import { isUtf8 } from 'node:buffer';
import { LONG, PackageBytes } from './package-bytes';
import { NAMESPACES, PACKAGE_LISTS, type PackageHandlers, type PackageListKind, RPM_NAMESPACE } from './package-lists';
import { MAX_PACKAGE_BYTES, PackageXml } from './packages-xml';
import { BLANK, GT } from './xml-bytes';

export { isSource, type PackageDraft, type PackageHandlers, type PackageListKind } from './package-lists';

/**
 * Streams a list and hands over each package. `what` names the file for errors. Throws a MirrorError for what is no such list, is not
 * well-formed, or uses what metadata never needs (document types, other encodings than UTF-8, endless tokens).
 */
export async function scanPackages(
  stream: AsyncIterable<Uint8Array>,
  kind: PackageListKind,
  what: string,
  handlers: PackageHandlers,
): Promise<void> {
  const scanner = new PackageScanner(kind, what, handlers);
  for await (const chunk of stream) {
    scanner.write(chunk);
    await handlers.drain?.();
  }
  scanner.end();
  await handlers.drain?.();
}

const PACKAGE = Buffer.from('<package');
const PACKAGE_END = Buffer.from('</package>');
const MAX_HEAD = 4096;

/**
 * Splits a list into its packages by their bytes. At the first unusual thing the careful reader takes over, from the last place where both
 * are in the same state: between two packages, with the root element open.
 */
class PackageScanner {
  private state: 'head' | 'packages' | 'tail' = 'head';
  private careful: PackageXml | undefined;
  private readonly reader: PackageBytes;
  private readonly rootEnd: Buffer;
  private head = Buffer.alloc(0);
  private window = Buffer.alloc(256 * 1024);
  /** What is not used up: from the end of the last package to the end of the input. */
  private start = 0;
  private stop = 0;
  /** The window up to there: behind it are leftovers. */
  private filled = this.window.subarray(0, 0);
  /** Up to here there is no end of a package. */
  private searched = 0;
  private packages = 0;

  constructor(
    private readonly kind: PackageListKind,
    private readonly what: string,
    private readonly handlers: PackageHandlers,
  ) {
    this.reader = new PackageBytes(kind);
    this.rootEnd = Buffer.from(`</${PACKAGE_LISTS[kind]}`);
  }

  write(chunk: Uint8Array): void {
    if (this.careful !== undefined) return this.careful.write(chunk);
    this.append(chunk);
    const usual = (this.state !== 'head' || this.readHead(false)) && this.readPackages();
    if (!usual) this.takeOver();
  }

  end(): void {
    if (this.careful === undefined) {
      const complete = (this.state !== 'head' || this.readHead(true)) && this.readPackages() && this.state === 'tail';
      if (complete) {
        this.handlers.tail?.(this.window.subarray(this.start, this.stop));
        return;
      }
      this.takeOver();
    }
    this.careful?.end();
  }

  private append(chunk: Uint8Array): void {
    const live = this.stop - this.start;
    if (this.stop + chunk.length > this.window.length) {
      const target =
        live + chunk.length > this.window.length ? Buffer.alloc(Math.max(this.window.length * 2, live + chunk.length)) : this.window;
      target.set(this.window.subarray(this.start, this.stop));
      this.searched = Math.max(0, this.searched - this.start);
      this.window = target;
      this.start = 0;
      this.stop = live;
    }
    this.window.set(chunk, this.stop);
    this.stop += chunk.length;
    this.filled = this.window.subarray(0, this.stop);
  }

  private takeOver(): void {
    const between = this.state === 'head' ? undefined : { packages: this.packages };
    this.careful = new PackageXml(this.kind, this.what, this.handlers, between);
    this.careful.write(this.head);
    this.careful.write(this.window.subarray(this.start, this.stop));
    this.window = Buffer.alloc(0);
    this.filled = this.window;
  }

  /** Returns false when the head is unusual. */
  private readHead(isEnd: boolean): boolean {
    const text = this.window.toString('latin1', this.start, Math.min(this.stop, this.start + MAX_HEAD));
    const length = usualHead(text, this.kind);
    if (length === undefined) return !isEnd && text.length < MAX_HEAD && !text.startsWith('\u00ef');
    this.head = Buffer.from(this.window.subarray(this.start, this.start + length));
    this.start += length;
    this.state = 'packages';
    this.handlers.head?.(this.head);
    return true;
  }

  /** Hands over all packages that are complete. Returns false when something is unusual, which then begins at `start`. */
  private readPackages(): boolean {
    if (this.state === 'head') return true;
    for (;;) {
      const { window, stop: end } = this;
      let from = this.start;
      if (this.state === 'tail') from = this.filled.indexOf(GT, from) + 1;
      while (from < end && BLANK[window[from] as number] === 1) from++;
      if (from - this.start > LONG) return false;
      if (from === end) return true;
      if (this.state === 'tail') return false;
      if (startsWith(window, from, end, PACKAGE)) {
        const stop = this.endOfPackage(from);
        if (stop === undefined) return end - from <= MAX_PACKAGE_BYTES;
        const raw = window.subarray(from, stop);
        const passedOver = this.handlers.passOver?.(raw) === true;
        if (!passedOver && (raw.length > MAX_PACKAGE_BYTES || !isUtf8(raw))) return false;
        const draft = passedOver ? undefined : this.reader.read(window, from, stop);
        if (draft === undefined && !passedOver) return false;
        this.start = stop;
        this.packages++;
        if (draft !== undefined) this.handlers.package(draft, raw);
      } else if (startsWith(window, from, end, this.rootEnd)) {
        let close = from + this.rootEnd.length;
        while (close < end && BLANK[window[close] as number] === 1) close++;
        if (close === end) return end - from <= LONG;
        if (window[close] !== GT) return false;
        this.start = from;
        this.state = 'tail';
      } else return end - from < this.rootEnd.length && window[from] === 0x3c;
    }
  }

  private endOfPackage(from: number): number | undefined {
    const found = this.filled.indexOf(PACKAGE_END, Math.max(from, this.searched));
    if (found >= 0) {
      this.searched = found + PACKAGE_END.length;
      return this.searched;
    }
    this.searched = Math.max(from, this.stop - PACKAGE_END.length + 1);
    return undefined;
  }
}

function startsWith(bytes: Buffer, from: number, end: number, needle: Buffer): boolean {
  if (end - from < needle.length) return false;
  for (let k = 0; k < needle.length; k++) if (bytes[from + k] !== needle[k]) return false;
  return true;
}

const DECLARATION = /^(?:<\?xml version="1\.0" encoding="[Uu][Tt][Ff]-8"(?: standalone="(?:yes|no)")? ?\?>)?[ \t\r\n]*/;

/** How long the declaration and the start of the root element are; undefined when they are unusual or not complete. */
function usualHead(text: string, kind: PackageListKind): number | undefined {
  const declaration = (DECLARATION.exec(text) as RegExpExecArray)[0];
  const root = new RegExp(`^<${PACKAGE_LISTS[kind]}((?:[ \\t\\r\\n]+[a-z:]+="[A-Za-z0-9:/.]*")*)[ \\t\\r\\n]*>`).exec(
    text.slice(declaration.length),
  );
  if (root === null) return undefined;
  const usual: Readonly<Record<string, RegExp>> = {
    xmlns: new RegExp(`^${NAMESPACES[kind]}$`),
    'xmlns:rpm': new RegExp(`^${RPM_NAMESPACE}$`),
    packages: /^[0-9]*$/,
  };
  const seen = new Set<string>();
  for (const [, name = '', value = ''] of (root[1] as string).matchAll(/([a-z:]+)="([^"]*)"/g)) {
    if (seen.has(name) || usual[name]?.test(value) !== true) return undefined;
    seen.add(name);
  }
  return declaration.length + root[0].length;
}
