import { metadataRefused } from './errors';
import {
  NAMESPACES,
  PACKAGE_LISTS,
  type PackageDraft,
  type PackageHandlers,
  type PackageListKind,
  RPM_NAMESPACE as RPM,
} from './package-lists';
import { GuardedXml } from './xml';

const PLAIN = new Set(Object.values(NAMESPACES));

/** No real package comes near this: the longest have a hundred thousand files. */
export const MAX_PACKAGE_BYTES = 32 * 1024 * 1024;

const PIECE = 64 * 1024;

type Draft = { -readonly [K in keyof PackageDraft]: PackageDraft[K] };
const EMPTY: PackageDraft = {
  name: undefined,
  epoch: undefined,
  version: undefined,
  release: undefined,
  arch: undefined,
  pkgid: undefined,
  checksumType: undefined,
  checksum: undefined,
  size: undefined,
  href: undefined,
  base: undefined,
  built: undefined,
};

/** An open element. */
interface Level {
  /** With the usual prefixes. */
  readonly name: string;
  /** What it declares: prefix (empty for the default) → namespace. */
  readonly declares: ReadonlyMap<string, string>;
  /** The default namespace in what is written. */
  readonly written: string;
  /** Its start tag still lacks the `>` or `/>`. */
  pending: boolean;
}

/**
 * The careful reader of package lists: any well-formed XML, any prefixes. It writes each package anew with the usual prefixes, since
 * clients (libsolv, createrepo_c) compare names as they are written and know no namespaces.
 */
export class PackageXml {
  private readonly xml: GuardedXml;
  private readonly levels: Level[] = [];
  private readonly root: string;
  private readonly namespace: string;
  private before: number;
  private draft: Draft | undefined;
  /** The package as it is written anew: what is complete, its length, and the rest. */
  private done: Buffer[] = [];
  private doneBytes = 0;
  private written = '';

  /** `resumed` says how many packages of this list were handed over already; the head was then, too. */
  constructor(
    private readonly kind: PackageListKind,
    private readonly what: string,
    private readonly handlers: PackageHandlers,
    private readonly resumed?: { readonly packages: number },
  ) {
    this.root = PACKAGE_LISTS[kind];
    this.namespace = NAMESPACES[kind];
    this.before = resumed?.packages ?? 0;
    this.xml = new GuardedXml(
      what,
      {
        open: (path, attributes) => this.open(path.at(-1) as string, attributes),
        text: (text) => this.text(text),
        close: (_path, text) => this.close(text),
        wantsText: () =>
          this.kind === 'primary' && this.levels.length === 3 && ['name', 'arch', 'checksum'].includes(this.levels.at(-1)?.name as string),
      },
      () => this.where(),
    );
  }

  write(chunk: Uint8Array): void {
    this.xml.write(chunk);
  }

  end(): void {
    this.xml.end();
  }

  private where(): string {
    return this.before === 0 ? 'at or before its first package' : `after package number ${this.before}`;
  }

  private open(literal: string, attributes: Readonly<Record<string, string>>): void {
    const declares = declarations(attributes);
    const parent = this.levels.at(-1);
    const depth = this.levels.length;
    const { name, uri } = this.canonical(literal, declares);
    if (depth === 0 && name !== this.root)
      throw metadataRefused('METADATA_MALFORMED', this.what, `is no ${this.kind} metadata: its root is <${literal}>`);
    const isPackage = depth === 1 && name === 'package';
    // A default namespace of another's counts inside packages; of the root, clients take it for the usual one.
    const own = depth < 2 || name.includes(':') || PLAIN.has(uri) || uri === '' || !this.declaredInside('', declares);
    const outer = isPackage || parent === undefined ? this.namespace : parent.written;
    const written = own ? (name.includes(':') ? outer : this.namespace) : uri;
    const all = this.attributes(attributes, declares, isPackage);
    if (parent?.pending === true) this.finishTag(parent, '>');
    if (isPackage) this.draft = { ...EMPTY };
    this.levels.push({ name, declares, written, pending: true });
    this.emit(`<${name}${written === outer ? '' : ` xmlns="${attribute(written)}"`}${all}`);
    if (depth === 0) this.head(all);
    if (this.draft !== undefined) this.note(depth, name, attributes);
  }

  private text(text: string): void {
    const level = this.levels.at(-1) as Level;
    if (text === '') return;
    if (level.pending) this.finishTag(level, '>');
    this.emit(escaped(text));
  }

  private close(text: string): void {
    const level = this.levels.pop() as Level;
    if (level.pending) this.finishTag(level, '/>');
    else this.emit(`</${level.name}>`);
    const depth = this.levels.length;
    if (this.draft === undefined) {
      if (depth === 0) this.handlers.tail?.(Buffer.from(`</${this.root}>\n`));
      return;
    }
    if (depth === 2 && this.kind === 'primary') {
      if (level.name === 'checksum') this.draft.checksum = text;
      else if (level.name === 'name') this.draft.name = text;
      else if (level.name === 'arch') this.draft.arch = text;
    } else if (depth === 1) {
      const { draft } = this;
      this.draft = undefined;
      this.flush();
      this.handlers.package(flat(draft), Buffer.concat(this.done));
      this.done = [];
      this.doneBytes = 0;
      this.before++;
    }
  }

  private note(depth: number, name: string, attributes: Readonly<Record<string, string>>): void {
    const draft = this.draft as Draft;
    if (depth === 1 && this.kind !== 'primary') {
      draft.pkgid = attributes.pkgid;
      draft.name = attributes.name;
      draft.arch = attributes.arch;
    }
    if (depth !== 2) return;
    if (name === 'version') {
      draft.epoch = attributes.epoch;
      draft.version = attributes.ver;
      draft.release = attributes.rel;
    }
    if (this.kind !== 'primary') return;
    if (name === 'checksum') draft.checksumType = attributes.type;
    else if (name === 'size') draft.size = attributes.package;
    else if (name === 'time') draft.built = attributes.build;
    else if (name === 'location') {
      draft.base = attributes['xml:base'];
      draft.href = attributes.href;
    }
  }

  private head(attributes: string): void {
    if (this.resumed !== undefined) return;
    const rpm = this.kind === 'primary' ? ` xmlns:rpm="${RPM}"` : '';
    this.handlers.head?.(
      Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n<${this.root} xmlns="${this.namespace}"${rpm}${attributes}>\n`),
    );
  }

  private finishTag(level: Level, end: string): void {
    level.pending = false;
    this.emit(end);
  }

  private emit(text: string): void {
    if (this.draft === undefined) return;
    this.written += text;
    if (this.written.length < PIECE) return;
    this.flush();
    if (this.doneBytes > MAX_PACKAGE_BYTES)
      throw metadataRefused(
        'METADATA_TOKEN_TOO_LONG',
        this.what,
        `has a package of more than ${MAX_PACKAGE_BYTES / 1024 / 1024} MiB ${this.where()}`,
      );
  }

  private flush(): void {
    const bytes = Buffer.from(this.written);
    this.written = '';
    this.done.push(bytes);
    this.doneBytes += bytes.length;
  }

  /** The name with the usual prefixes, and its namespace. */
  private canonical(literal: string, declares: ReadonlyMap<string, string>): { name: string; uri: string } {
    const [prefix, local] = split(literal);
    if (prefix === 'rpm') return { name: literal, uri: RPM };
    const uri = this.namespaceOf(prefix, declares);
    if (uri === RPM) return { name: `rpm:${local}`, uri };
    return { name: PLAIN.has(uri) ? local : literal, uri };
  }

  private namespaceOf(prefix: string, declares: ReadonlyMap<string, string>): string {
    const own = declares.get(prefix);
    if (own !== undefined) return own;
    for (let at = this.levels.length - 1; at >= 0; at--) {
      const uri = (this.levels[at] as Level).declares.get(prefix);
      if (uri !== undefined) return uri;
    }
    return '';
  }

  private declaredInside(prefix: string, declares: ReadonlyMap<string, string>): boolean {
    return declares.has(prefix) || this.levels.slice(1).some((level) => level.declares.has(prefix));
  }

  /** As they are written: the usual prefixes, and what a package needs to be understood by itself. */
  private attributes(attributes: Readonly<Record<string, string>>, declares: ReadonlyMap<string, string>, isPackage: boolean): string {
    let all = '';
    const foreign = new Map(isPackage ? this.levels.flatMap((level) => [...level.declares]) : []);
    for (const [prefix, uri] of declares) foreign.set(prefix, uri);
    for (const [prefix, uri] of foreign) {
      if (prefix !== '' && prefix !== 'rpm' && uri !== RPM && !PLAIN.has(uri)) all += ` xmlns:${prefix}="${attribute(uri)}"`;
    }
    for (const [literal, value] of Object.entries(attributes)) {
      if (literal === 'xmlns' || literal.startsWith('xmlns:')) continue;
      const [prefix, local] = split(literal);
      const uri = prefix === '' || prefix === 'xml' ? '' : this.namespaceOf(prefix, declares);
      const name = uri === RPM ? `rpm:${local}` : PLAIN.has(uri) ? local : literal;
      if (name !== literal && Object.hasOwn(attributes, name)) continue;
      all += ` ${name}="${attribute(value)}"`;
    }
    return all;
  }
}

/** Copies: the parser's strings are pieces of larger ones, which they would keep in memory. */
function flat(draft: PackageDraft): PackageDraft {
  const copied: Record<string, string | undefined> = {};
  for (const [key, value] of Object.entries(draft) as [string, string | undefined][])
    copied[key] = value === undefined ? undefined : Buffer.from(value).toString();
  return copied as unknown as PackageDraft;
}

const NONE: ReadonlyMap<string, string> = new Map();

function declarations(attributes: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  let found: Map<string, string> | undefined;
  for (const name in attributes) {
    if (!name.startsWith('xmlns')) continue;
    found ??= new Map<string, string>();
    if (name === 'xmlns') found.set('', attributes[name] as string);
    else if (name.startsWith('xmlns:')) found.set(name.slice(6), attributes[name] as string);
  }
  return found ?? NONE;
}

function split(name: string): readonly [prefix: string, local: string] {
  const colon = name.indexOf(':');
  return colon < 0 ? ['', name] : [name.slice(0, colon), name.slice(colon + 1)];
}

const REFERENCES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escaped(text: string): string {
  return text.replace(/[&<>\r]/g, (c) => REFERENCES[c] ?? `&#${c.charCodeAt(0)};`);
}

function attribute(text: string): string {
  return text.replace(/[&<>"\t\n\r]/g, (c) => REFERENCES[c] ?? `&#${c.charCodeAt(0)};`);
}
