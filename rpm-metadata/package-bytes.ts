import type { PackageDraft, PackageListKind } from './package-lists';
import {
  AMP,
  APOSTROPHE,
  BLANK,
  BRACKET,
  COLON,
  GT,
  LT,
  NAME,
  NAME_START,
  QUOTE,
  REFERENCE,
  SEMICOLON,
  SLASH,
  TEXT,
  VALUE,
  resolved,
} from './xml-bytes';

/** Where the value of each field is in the bytes. */
const FIELDS = [
  'name',
  'epoch',
  'version',
  'release',
  'arch',
  'pkgid',
  'checksumType',
  'checksum',
  'size',
  'href',
  'base',
  'built',
] as const;
type Field = (typeof FIELDS)[number];
const F = Object.fromEntries(FIELDS.map((field, index) => [field, index])) as Readonly<Record<Field, number>>;
/** Fields in which packages often say what the one before says. */
const RECENT = Uint8Array.from(FIELDS, (field) =>
  ['epoch', 'version', 'release', 'arch', 'checksumType', 'base'].includes(field) ? 1 : 0,
);

/** Elements directly in a package whose text counts, and those whose attributes do. */
const TEXTS: Readonly<Record<string, number>> = { name: F.name, arch: F.arch, checksum: F.checksum };
const ATTRIBUTES: Readonly<Record<string, readonly (readonly [attribute: Buffer, field: number])[]>> = {
  version: pairs({ epoch: 'epoch', ver: 'version', rel: 'release' }),
  checksum: pairs({ type: 'checksumType' }),
  size: pairs({ package: 'size' }),
  time: pairs({ build: 'built' }),
  location: pairs({ href: 'href', 'xml:base': 'base' }),
};
const OF_PACKAGE = pairs({ pkgid: 'pkgid', name: 'name', arch: 'arch' });

function pairs(of: Readonly<Record<string, Field>>): readonly (readonly [Buffer, number])[] {
  return Object.entries(of).map(([attribute, field]) => [Buffer.from(attribute), F[field]]);
}

const MAX_DEPTH = 24;
const MAX_ATTRIBUTES = 16;
/** Below what GuardedXml takes: what comes near it is judged there. */
export const LONG = 7 * 1024 * 1024;
const LONG_VALUE = 16 * 1024;

/**
 * Reads `<package>` elements as bytes, without an XML parser. It knows what createrepo, createrepo_c, mergerepo_c and Pulp write: elements
 * with no prefix or `rpm:`, attributes, text, the five entities and character references. Whatever else there is, and whatever is not
 * well-formed, it calls unusual: PackageXml then decides.
 */
export class PackageBytes {
  private readonly starts = new Int32Array(FIELDS.length);
  private readonly ends = new Int32Array(FIELDS.length);
  private readonly openStart = new Int32Array(MAX_DEPTH);
  private readonly openEnd = new Int32Array(MAX_DEPTH);
  /** Of the current start tag: names and values of its attributes. */
  private readonly names = new Int32Array(MAX_ATTRIBUTES * 2);
  private readonly values = new Int32Array(MAX_ATTRIBUTES * 2);
  private count = 0;
  private selfClosing = false;
  private odd = false;
  private bytes: Buffer = Buffer.alloc(0);
  private readonly recent: Recent[] = FIELDS.map(() => ({ bytes: Buffer.alloc(0), text: '' }));

  constructor(private readonly kind: PackageListKind) {}

  /** The package whose element is exactly `bytes` from `start` to `end`; undefined when there is anything unusual. The bytes are UTF-8. */
  read(bytes: Buffer, start: number, end: number): PackageDraft | undefined {
    this.bytes = bytes;
    this.starts.fill(-1);
    return this.element(start, end) ? this.draft() : undefined;
  }

  private element(start: number, end: number): boolean {
    const { bytes, openStart, openEnd } = this;
    let depth = 0;
    /** The field that takes the text of the open element, and where that text begins. */
    let field = -1;
    let since = 0;
    for (let i = start; i < end;) {
      if (bytes[i] !== LT) {
        i = this.text(i);
        if (i < 0) return false;
      }
      const nameStart = i + 1;
      if (bytes[nameStart] === SLASH) {
        const from = openStart[depth - 1] as number;
        const length = (openEnd[depth - 1] as number) - from;
        for (let k = 0; k < length; k++) if (bytes[from + k] !== bytes[nameStart + 1 + k]) return false;
        if (bytes[nameStart + 1 + length] !== GT) return false;
        depth--;
        if (field >= 0) {
          this.starts[field] = since;
          this.ends[field] = i;
          field = -1;
        }
        i = nameStart + length + 2;
        if (depth === 0) return i === end;
        continue;
      }
      // Text around elements is pieced together elsewhere.
      if (field >= 0 || depth === MAX_DEPTH) return false;
      const nameEnd = this.name(nameStart);
      if (nameEnd < 0) return false;
      i = this.attributes(nameEnd);
      if (i < 0 || i - nameStart > LONG) return false;
      if (depth === 0 && this.kind !== 'primary') this.take(OF_PACKAGE);
      else if (depth === 1) {
        const name = this.childName(nameStart, nameEnd);
        const wanted = name === undefined || (this.kind !== 'primary' && name !== 'version') ? undefined : name;
        if (wanted !== undefined) {
          const taken = ATTRIBUTES[wanted];
          if (taken !== undefined) this.take(taken);
          field = TEXTS[wanted] ?? -1;
          since = i;
        }
      }
      if (!this.selfClosing) {
        openStart[depth] = nameStart;
        openEnd[depth++] = nameEnd;
      } else if (depth === 0) return false;
      else if (field >= 0) {
        this.starts[field] = i;
        this.ends[field] = i;
        field = -1;
      }
    }
    return false;
  }

  /** Where the text that begins at `i` ends; -1 when it is unusual. */
  private text(i: number): number {
    const { bytes } = this;
    const start = i;
    for (;;) {
      while (TEXT[bytes[i] as number] === 1) i++;
      const code = bytes[i];
      if (code === LT) return i - start > LONG ? -1 : i;
      if (code === AMP) {
        i = this.reference(i);
        if (i < 0) return -1;
      } else if (code === BRACKET) {
        if (bytes[i + 1] === BRACKET && bytes[i + 2] === GT) return -1;
        i++;
      } else if (code === 0xef && !this.isForbidden(i)) i++;
      else return -1;
    }
  }

  private isForbidden(i: number): boolean {
    return this.bytes[i + 1] === 0xbf && (this.bytes[i + 2] as number) >= 0xbe;
  }

  /** Where the reference at `i` ends; -1 when it is none that every parser knows. */
  private reference(i: number): number {
    const { bytes } = this;
    // The three frequent ones: lt, gt, amp.
    const second = bytes[i + 2];
    if (second === 0x74 && bytes[i + 3] === SEMICOLON && (bytes[i + 1] === 0x6c || bytes[i + 1] === 0x67)) return i + 4;
    if (second === 0x6d && bytes[i + 1] === 0x61 && bytes[i + 3] === 0x70 && bytes[i + 4] === SEMICOLON) return i + 5;
    const text = REFERENCE.exec(bytes.toString('latin1', i, i + 10))?.[0];
    return text === undefined || resolved(text.slice(1, -1)) === undefined ? -1 : i + text.length;
  }

  /** Where the name that begins at `i` ends: no prefix, or `rpm:`. */
  private name(i: number): number {
    const { bytes } = this;
    const start = i;
    if (NAME_START[bytes[i] as number] !== 1) return -1;
    while (NAME[bytes[i] as number] === 1) i++;
    if (bytes[i] !== COLON) return i;
    if (i - start !== 3 || bytes[start] !== 0x72 || bytes[start + 1] !== 0x70 || bytes[start + 2] !== 0x6d) return -1;
    i++;
    if (NAME_START[bytes[i] as number] !== 1) return -1;
    while (NAME[bytes[i] as number] === 1) i++;
    return bytes[i] === COLON ? -1 : i;
  }

  /** Reads the rest of a start tag from the end of its name; returns where it ends, -1 when it is unusual. */
  private attributes(i: number): number {
    const { bytes, names, values } = this;
    this.count = 0;
    this.selfClosing = false;
    for (;;) {
      const before = i;
      while (BLANK[bytes[i] as number] === 1) i++;
      if (bytes[i] === GT) return i + 1;
      if (bytes[i] === SLASH) {
        this.selfClosing = true;
        return bytes[i + 1] === GT ? i + 2 : -1;
      }
      if (i === before || this.count === MAX_ATTRIBUTES) return -1;
      const name = i;
      if (NAME_START[bytes[i] as number] !== 1) return -1;
      while (NAME[bytes[i] as number] === 1) i++;
      if (bytes[i] === COLON) {
        // `xml:base` and its like; a declaration of a namespace begins with `xmlns`.
        if (i - name !== 3 || bytes[name] !== 0x78 || bytes[name + 1] !== 0x6d || bytes[name + 2] !== 0x6c) return -1;
        i++;
        if (NAME_START[bytes[i] as number] !== 1) return -1;
        while (NAME[bytes[i] as number] === 1) i++;
      }
      const length = i - name;
      if (length >= 5 && bytes[name] === 0x78 && bytes[name + 3] === 0x6e) return -1;
      const quote = bytes[i + 1];
      if (bytes[i] !== 0x3d || (quote !== QUOTE && quote !== APOSTROPHE)) return -1;
      if (this.isDuplicate(name, length)) return -1;
      const value = i + 2;
      i = this.value(value, quote);
      if (i < 0) return -1;
      const slot = this.count++ * 2;
      names[slot] = name;
      names[slot + 1] = name + length;
      values[slot] = value;
      values[slot + 1] = i++;
    }
  }

  private isDuplicate(name: number, length: number): boolean {
    for (let slot = 0; slot < this.count * 2; slot += 2) {
      if (this.equals(this.names[slot] as number, this.names[slot + 1] as number, name, length)) return true;
    }
    return false;
  }

  private equals(start: number, end: number, other: number, length: number): boolean {
    if (end - start !== length) return false;
    const { bytes } = this;
    for (let k = 0; k < length; k++) if (bytes[start + k] !== bytes[other + k]) return false;
    return true;
  }

  /** Where the value that begins at `i` ends; -1 when it is unusual. */
  private value(i: number, quote: number): number {
    const { bytes } = this;
    for (;;) {
      while (VALUE[bytes[i] as number] === 1) i++;
      const code = bytes[i];
      if (code === quote) return i;
      if (code === AMP) {
        i = this.reference(i);
        if (i < 0) return -1;
      } else if (code === QUOTE || code === APOSTROPHE) i++;
      else if (code === 0xef && !this.isForbidden(i)) i++;
      else return -1;
    }
  }

  /** Which of the elements that count this is. */
  private childName(start: number, end: number): 'name' | 'arch' | 'version' | 'checksum' | 'size' | 'time' | 'location' | undefined {
    const { bytes } = this;
    for (const name of CHILDREN[end - start] ?? []) {
      let k = 0;
      while (k < name.bytes.length && bytes[start + k] === name.bytes[k]) k++;
      if (k === name.bytes.length) return name.name;
    }
    return undefined;
  }

  /** Notes the attributes of the current tag; of two such elements in a package the last counts. */
  private take(taken: readonly (readonly [Buffer, number])[]): void {
    const { bytes, names, values } = this;
    for (const [attribute, field] of taken) {
      this.starts[field] = -1;
      for (let slot = 0; slot < this.count * 2; slot += 2) {
        const start = names[slot] as number;
        if ((names[slot + 1] as number) - start !== attribute.length) continue;
        let k = 0;
        while (k < attribute.length && bytes[start + k] === attribute[k]) k++;
        if (k < attribute.length) continue;
        this.starts[field] = values[slot] as number;
        this.ends[field] = values[slot + 1] as number;
      }
    }
  }

  private draft(): PackageDraft | undefined {
    this.odd = false;
    const draft = {
      name: this.string(F.name),
      epoch: this.string(F.epoch),
      version: this.string(F.version),
      release: this.string(F.release),
      arch: this.string(F.arch),
      pkgid: this.string(F.pkgid),
      checksumType: this.string(F.checksumType),
      checksum: this.string(F.checksum),
      size: this.string(F.size),
      href: this.string(F.href),
      base: this.string(F.base),
      built: this.string(F.built),
    };
    return this.odd ? undefined : draft;
  }

  /** The value of a field; undefined when there is none, or when its bytes are odd. */
  private string(field: number): string | undefined {
    const start = this.starts[field] as number;
    if (start < 0) return undefined;
    const end = this.ends[field] as number;
    const length = end - start;
    if (length > LONG_VALUE) return this.refuse();
    const { bytes } = this;
    // Neighbours have the same architecture and often the same version: one string for all of them.
    const recent = this.recent[field] as Recent;
    if (recent.bytes.length === length && length > 0) {
      // From the end, where they differ.
      let k = length - 1;
      while (k >= 0 && recent.bytes[k] === bytes[start + k]) k--;
      if (k < 0) return recent.text;
    }
    let text = bytes.toString('utf8', start, end);
    // Line ends in text, and white space in attributes, are changed by parsers.
    const isText = this.kind === 'primary' && (field === F.name || field === F.arch || field === F.checksum);
    if (isText ? text.includes('\r') : /[\t\n\r]/.test(text)) return this.refuse();
    if (text.includes('&')) text = text.replace(/&([^;]*);/g, (_, name: string) => resolved(name) as string);
    if (RECENT[field] === 1) this.recent[field] = { bytes: Buffer.from(bytes.subarray(start, end)), text };
    return text;
  }

  private refuse(): undefined {
    this.odd = true;
  }
}

interface Recent {
  readonly bytes: Buffer;
  readonly text: string;
}

/** By length: the fewest comparisons. */
const CHILDREN = ((): readonly (readonly { readonly name: ChildName; readonly bytes: Buffer }[])[] => {
  const names: readonly ChildName[] = ['name', 'arch', 'version', 'checksum', 'size', 'time', 'location'];
  return Array.from({ length: 9 }, (_, length) =>
    names.filter((name) => name.length === length).map((name) => ({ name, bytes: Buffer.from(name) })),
  );
})();
type ChildName = 'name' | 'arch' | 'version' | 'checksum' | 'size' | 'time' | 'location';
