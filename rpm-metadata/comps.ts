import { writeFile } from 'node:fs/promises';
import { copyOf, mergedRoot, type MetadataSource, openingTag, scanElements, type Span } from './elements';
import { metadataRefused, quoted } from './errors';
import { writeGzip, type WrittenMetadata } from './gzip-file';
import type { Merge } from './updateinfo';

export interface CompsMerge extends Merge {
  /**
   * Where the same goes uncompressed: the record `group`. yum (CentOS 7) reads that as it is, and unpacks only `group_gz`, which is `output`;
   * dnf takes either.
   */
  readonly plain: string;
}

export interface MergedComps extends WrittenMetadata {
  /** Groups, categories and environments. */
  readonly definitions: number;
  /** Those that upstream does not have any more. */
  readonly survived: number;
}

/** All is held in memory. */
const MAX_HELD = 64 * 1024 * 1024;
const MAX_ID = 256;
/** What has an id, in the order of the result. */
const WITH_ID = ['group', 'category', 'environment'];
const ORDER = [...WITH_ID, 'langpacks'];

interface Element {
  readonly kind: string;
  readonly text: string;
  /** Of a group, category or environment. */
  readonly id: string | undefined;
  readonly matches: readonly Match[];
  /** Where the closing tag begins; undefined for an element that closes itself. */
  readonly innerEnd: number | undefined;
}

/** A line of langpacks: which package brings which translations. */
interface Match extends Span {
  readonly name: string;
}

/**
 * Merges comps.xml so that no group is lost: vanished groups, categories and environments stay, each byte for byte as it was; where upstream
 * has one with the same id, upstream's is taken. Language packs are united by package. What else there is (blacklist, whiteout) is
 * upstream's. The document type is left out: it only names a file that no client reads. Throws a MirrorError for what is no comps metadata.
 */
export async function mergeComps({ previous, upstream, output, plain }: CompsMerge): Promise<MergedComps> {
  const roots: { what: string; attributes: Readonly<Record<string, string>> }[] = [];
  const former = previous === undefined ? [] : await readComps(previous, roots);
  const current: Element[] = [];
  for (const source of upstream) current.push(...(await readComps(source, roots)));

  const known = new Set(current.filter(({ id }) => id !== undefined).map(keyOf));
  const survivors = former.filter((element) => element.id !== undefined && !known.has(keyOf(element)));
  const langpacks = mergedLangpacks(
    former.filter(({ kind }) => kind === 'langpacks'),
    current.filter(({ kind }) => kind === 'langpacks'),
  );
  const rest = current.filter(({ kind }) => kind !== 'langpacks');
  const texts = [
    ...WITH_ID.flatMap((kind) => [...survivors, ...rest].filter((element) => element.kind === kind).map(({ text }) => text)),
    ...langpacks,
    ...rest.filter(({ kind }) => !ORDER.includes(kind)).map(({ text }) => text),
  ];
  const root = openingTag('comps', mergedRoot(roots));
  await writeFile(plain, document(root, texts));
  const written = await writeGzip(output, document(root, texts));
  return { ...written, definitions: survivors.length + known.size, survived: survivors.length };
}

// eslint-disable-next-line @typescript-eslint/require-await
async function* document(root: string, texts: readonly string[]): AsyncGenerator<string> {
  yield `<?xml version="1.0" encoding="UTF-8"?>\n${root}\n`;
  for (const text of texts) yield `${text}\n`;
  yield '</comps>\n';
}

function keyOf({ kind, id }: Element): string {
  return `${kind} ${id}`;
}

/** Upstream's language packs, with the former ones of packages that it does not name any more. */
function mergedLangpacks(former: readonly Element[], current: readonly Element[]): readonly string[] {
  const named = new Set(current.flatMap(({ matches }) => matches.map(({ name }) => name)));
  const lost = new Map<string, string>();
  for (const { matches, text } of former)
    for (const { name, start, end } of matches) if (!named.has(name)) lost.set(name, text.slice(start, end));
  if (lost.size === 0) return current.map(({ text }) => text);
  const lines = [...lost.values()].map((text) => `${text}\n`).join('');
  const open = current.filter(({ innerEnd }) => innerEnd !== undefined).pop();
  if (open === undefined) return [...current.map(({ text }) => text), `<langpacks>\n${lines}</langpacks>`];
  return current.map((element) =>
    element === open ? `${element.text.slice(0, element.innerEnd)}${lines}${element.text.slice(element.innerEnd)}` : element.text,
  );
}

async function readComps(
  source: MetadataSource,
  roots: { what: string; attributes: Readonly<Record<string, string>> }[],
): Promise<readonly Element[]> {
  const refuse = (why: string): Error => metadataRefused('METADATA_MALFORMED', source.what, why);
  let ids: string[] = [];
  let matches: Match[] = [];
  let opened = 0;
  let innerEnd: number | undefined;
  let matchStart = 0;
  let matchName = '';
  let held = 0;
  const elements: Element[] = [];
  const scanned = scanElements<Element>(source, {
    doctype: 'passed over',
    root(name, attributes) {
      if (name !== 'comps') throw refuse(`is no comps metadata: its root is <${name}>`);
      roots.push({ what: source.what, attributes });
    },
    open(path, attributes, tag) {
      if (path.length === 2) {
        ids = [];
        matches = [];
        opened = tag.start;
      } else if (path.length === 3 && path[1] === 'langpacks' && path[2] === 'match') {
        if (attributes.name === undefined) throw refuse('has language packs of a package without a name');
        matchStart = tag.start;
        matchName = copyOf(attributes.name);
      }
    },
    wantsText: (path) => path.length === 3 && path[2] === 'id' && WITH_ID.includes(path[1] as string),
    close(path, text, tag) {
      if (path.length === 2) innerEnd = tag.start === opened ? undefined : tag.start;
      else if (path.length === 3 && path[2] === 'id' && WITH_ID.includes(path[1] as string)) ids.push(copyOf(text.trim()));
      else if (path.length === 3 && path[1] === 'langpacks' && path[2] === 'match')
        matches.push({ name: matchName, start: matchStart, end: tag.end });
    },
    element: (kind, text) => ({
      kind,
      text: copyOf(text),
      id: WITH_ID.includes(kind) ? idOf(ids, kind, refuse) : undefined,
      matches,
      innerEnd,
    }),
  });
  for await (const element of scanned) {
    held += element.text.length;
    if (held > MAX_HELD) throw metadataRefused('METADATA_TOO_LARGE', source.what, `has more than ${MAX_HELD / 1024 / 1024} MiB of groups`);
    elements.push(element);
  }
  return elements;
}

function idOf([id, second]: readonly string[], kind: string, refuse: (why: string) => Error): string {
  if (id === undefined || id === '') throw refuse(`has a ${kind} without an id`);
  if (second !== undefined) throw refuse(`has a ${kind} with two ids, ${quoted(id)} and ${quoted(second)}`);
  if (id.length > MAX_ID || /\p{C}/u.test(id)) throw refuse(`has a ${kind} with the id ${quoted(id)}`);
  return id;
}
