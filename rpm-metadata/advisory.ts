import { metadataRefused, quoted } from './errors';
import { copyOf, type ElementHandlers, type MetadataSource, scanElements, type Span } from './elements';

/** An `<update>` of updateinfo.xml as it stands in the file, and where its parts are in that text. */
export interface Advisory {
  readonly id: string;
  readonly text: string;
  readonly packages: readonly AdvisoryPackage[];
  readonly collections: readonly AdvisoryCollection[];
  /** Where `</pkglist>` (the last) begins; undefined when there is none. */
  readonly pkglistEnd: number | undefined;
  /** Where `</update>` begins. */
  readonly end: number;
}

export interface AdvisoryPackage extends Span {
  readonly nevra: AdvisoryNevra | undefined;
  /** What makes it the same package in another edition of the advisory: NEVRA, or else the file name. */
  readonly key: string;
  /** Index of its collection. */
  readonly collection: number;
}

export interface AdvisoryNevra {
  readonly name: string;
  readonly epoch: string;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
}

export interface AdvisoryCollection {
  /** Short name, name and module: the same in each edition of the advisory. */
  readonly key: string;
  /** Its opening tag and all its children but the packages. */
  readonly head: string;
  /** Where its closing tag begins; undefined for one that closes itself. */
  readonly innerEnd: number | undefined;
}

/** More advisories than any distribution has had; an index of them is held in memory. */
const MAX_ADVISORIES = 500_000;
const MAX_ID = 256;

/** What else stands below the root of updateinfo.xml, as text. */
export interface OtherElement {
  readonly other: string;
}

/**
 * Streams updateinfo.xml. Throws a MirrorError for what is none, and for an advisory without a usable id. `onRoot` gets the attributes of
 * the root before the first advisory comes.
 */
export async function* readAdvisories(
  source: MetadataSource,
  onRoot: (attributes: Readonly<Record<string, string>>) => void = () => undefined,
): AsyncGenerator<Advisory | OtherElement> {
  let count = 0;
  for await (const item of scanElements(source, new AdvisoryHandlers(source.what, onRoot))) {
    if (++count > MAX_ADVISORIES) throw metadataRefused('METADATA_TOO_LARGE', source.what, `has more than ${MAX_ADVISORIES} advisories`);
    yield item;
  }
}

interface OpenCollection {
  readonly attributes: Readonly<Record<string, string>>;
  readonly opening: Span;
  readonly children: Span[];
  innerEnd: number | undefined;
  name: string;
  module: string;
}

const PACKAGE_DEPTH = 5;

class AdvisoryHandlers implements ElementHandlers<Advisory | OtherElement> {
  private ids: string[] = [];
  private collections: OpenCollection[] = [];
  private packages: { start: number; end: number; attributes: Readonly<Record<string, string>>; filename: string; collection: number }[] =
    [];
  private pkglistEnd: number | undefined;
  private end = 0;
  private childStart = 0;

  constructor(
    private readonly what: string,
    private readonly onRoot: (attributes: Readonly<Record<string, string>>) => void,
  ) {}

  root(name: string, attributes: Readonly<Record<string, string>>): void {
    if (name !== 'updates') throw this.refuse(`is no updateinfo metadata: its root is <${name}>`);
    this.onRoot(attributes);
  }

  open(path: readonly string[], attributes: Readonly<Record<string, string>>, tag: Span): void {
    if (path.length === 2) {
      this.ids = [];
      this.collections = [];
      this.packages = [];
      this.pkglistEnd = undefined;
    } else if (path.length === 4 && inPkglist(path) && path[3] === 'collection') {
      this.collections.push({ attributes, opening: tag, children: [], innerEnd: undefined, name: '', module: '' });
    } else if (path.length === PACKAGE_DEPTH && inCollection(path)) {
      this.childStart = tag.start;
      const collection = this.collections.length - 1;
      if (path[4] === 'package') this.packages.push({ start: tag.start, end: tag.end, attributes, filename: '', collection });
      else if (path[4] === 'module') this.collection.module = moduleKey(attributes);
    }
  }

  wantsText(path: readonly string[]): boolean {
    return (
      (path.length === 3 && path[2] === 'id') ||
      (path.length === PACKAGE_DEPTH && inCollection(path) && path[4] === 'name') ||
      (path.length === 6 && inCollection(path) && path[5] === 'filename')
    );
  }

  close(path: readonly string[], text: string, tag: Span): void {
    if (path.length === 2) this.end = tag.start;
    else if (path.length === 3 && path[2] === 'id') this.ids.push(text.trim());
    else if (path.length === 3 && path[2] === 'pkglist') this.pkglistEnd = tag.start;
    else if (path.length === 4 && inPkglist(path) && path[3] === 'collection') {
      this.collection.innerEnd = tag.start === this.collection.opening.start ? undefined : tag.start;
    } else if (path.length === PACKAGE_DEPTH && inCollection(path)) {
      if (path[4] === 'package') this.package.end = tag.end;
      else this.collection.children.push({ start: this.childStart, end: tag.end });
      if (path[4] === 'name') this.collection.name = text.trim();
    } else if (path.length === 6 && inCollection(path) && path[4] === 'package' && path[5] === 'filename')
      this.package.filename = text.trim();
  }

  element(name: string, text: string): Advisory | OtherElement {
    if (name !== 'update') return { other: copyOf(text) };
    const [id, second] = this.ids;
    if (id === undefined || id === '') throw this.refuse('has an advisory without an id');
    if (second !== undefined) throw this.refuse(`has an advisory with two ids, ${quoted(id)} and ${quoted(second)}`);
    if (id.length > MAX_ID || /\p{C}/u.test(id)) throw this.refuse(`has an advisory with the id ${quoted(id)}`);
    return {
      id,
      text,
      packages: this.packages.map(({ start, end, attributes, filename, collection }) => {
        const nevra = nevraOf(attributes);
        return { start, end, nevra, key: keyOf(nevra, filename, text.slice(start, end)), collection };
      }),
      collections: this.collections.map(({ attributes, opening, children, innerEnd, name: collectionName, module }) => ({
        key: JSON.stringify([attributes.short ?? '', collectionName, module]),
        head: [opening, ...children].map(({ start, end }) => text.slice(start, end)).join(''),
        innerEnd,
      })),
      // A pkglist that closes itself has no inside.
      pkglistEnd: this.pkglistEnd !== undefined && text.startsWith('</', this.pkglistEnd) ? this.pkglistEnd : undefined,
      end: this.end,
    };
  }

  private get collection(): OpenCollection {
    return this.collections[this.collections.length - 1] as OpenCollection;
  }

  private get package(): { end: number; filename: string } {
    return this.packages[this.packages.length - 1] as { end: number; filename: string };
  }

  private refuse(why: string): Error {
    return metadataRefused('METADATA_MALFORMED', this.what, why);
  }
}

function inPkglist(path: readonly string[]): boolean {
  return path[1] === 'update' && path[2] === 'pkglist';
}

function inCollection(path: readonly string[]): boolean {
  return inPkglist(path) && path[3] === 'collection';
}

function moduleKey({ name, stream, version, context, arch }: Readonly<Record<string, string>>): string {
  return JSON.stringify([name, stream, version, context, arch].map((part) => part ?? ''));
}

function nevraOf({ name, epoch, version, release, arch }: Readonly<Record<string, string>>): AdvisoryNevra | undefined {
  if (name === undefined || version === undefined || release === undefined || arch === undefined) return undefined;
  return { name, epoch: epoch === undefined || epoch === '' ? '0' : epoch, version, release, arch };
}

function keyOf(nevra: AdvisoryNevra | undefined, filename: string, text: string): string {
  if (nevra !== undefined) return `${nevra.name}-${nevra.epoch}:${nevra.version}-${nevra.release}.${nevra.arch}`;
  return filename === '' ? text : filename;
}
