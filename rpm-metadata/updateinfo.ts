import { createHash } from 'node:crypto';
import { type Advisory, readAdvisories } from './advisory';
import { copyOf, mergedRoot, type MetadataSource, openingTag } from './elements';
import { metadataRefused } from './errors';
import { writeGzip, type WrittenMetadata } from './gzip-file';

/** What is merged into what. */
export interface Merge {
  /** The file that the last merge wrote; undefined before the first. */
  readonly previous?: MetadataSource | undefined;
  /** What upstream has now; none when it has no such file (any more). */
  readonly upstream: readonly MetadataSource[];
  /** Where the result goes: a gzip file. */
  readonly output: string;
}

export interface MergedUpdateinfo extends WrittenMetadata {
  readonly advisories: number;
  /** Those that upstream does not have any more. */
  readonly survived: number;
  /** Those that list packages which upstream's own edition does not list any more. */
  readonly completed: number;
}

/** Packages of former editions are held in memory, with those of every advisory that upstream changed. */
const MAX_HELD = 256 * 1024 * 1024;

/**
 * Merges updateinfo.xml so that no advisory is lost, and none forgets a package: the packages stay in the repository, and a client that has
 * an old one must still learn what it fixes. Vanished advisories come first, then upstream's, each byte for byte as it was; upstream's
 * edition of an advisory wins, with the packages appended to their collection that the former edition lists and it does not (the same NEVRA
 * is the same package). Merging the same again changes nothing.
 *
 * It reads upstream's files twice and the previous one once, so that memory grows with the number of advisories and not with their text.
 * Throws a MirrorError for what is no updateinfo metadata.
 */
export async function mergeUpdateinfo(merge: Merge): Promise<MergedUpdateinfo> {
  const roots: { what: string; attributes: Readonly<Record<string, string>> }[] = [];
  const editions = await upstreamEditions(merge.upstream, roots);
  const counts = { advisories: 0, survived: 0, completed: 0 };
  const written = await writeGzip(merge.output, mergedText(merge, editions, roots, counts));
  return { ...written, ...counts };
}

/** Upstream's editions of one advisory: usually one. */
interface Editions {
  readonly digests: string[];
  /** How many are still to be written. */
  left: number;
  /** What former editions list, by the key of the package. */
  former: Map<string, FormerPackage> | undefined;
}

interface FormerPackage {
  readonly text: string;
  readonly collection: string;
  readonly head: string;
}

async function upstreamEditions(
  upstream: readonly MetadataSource[],
  roots: { what: string; attributes: Readonly<Record<string, string>> }[],
): Promise<Map<string, Editions>> {
  const editions = new Map<string, Editions>();
  for (const source of upstream) {
    for await (const item of readAdvisories(source, (attributes) => roots.push({ what: source.what, attributes }))) {
      if ('other' in item) continue;
      const known = editions.get(item.id);
      if (known === undefined) editions.set(copyOf(item.id), { digests: [digest(item.text)], left: 1, former: undefined });
      else {
        known.digests.push(digest(item.text));
        known.left++;
      }
    }
  }
  return editions;
}

async function* mergedText(
  { previous, upstream }: Merge,
  editions: Map<string, Editions>,
  roots: { what: string; attributes: Readonly<Record<string, string>> }[],
  counts: { advisories: number; survived: number; completed: number },
): AsyncGenerator<string> {
  const begin = (): string => `<?xml version="1.0" encoding="UTF-8"?>\n${openingTag('updates', mergedRoot(roots))}\n`;
  let begun = false;
  let held = 0;
  if (previous !== undefined) {
    for await (const item of readAdvisories(previous, (attributes) => roots.unshift({ what: previous.what, attributes }))) {
      if ('other' in item) continue;
      const current = editions.get(item.id);
      if (current === undefined) {
        if (!begun) yield begin();
        begun = true;
        counts.advisories++;
        counts.survived++;
        yield `${item.text}\n`;
      } else if (!current.digests.includes(digest(item.text))) {
        held += hold(current, item);
        if (held > MAX_HELD) {
          throw metadataRefused(
            'METADATA_TOO_LARGE',
            previous.what,
            `and upstream's differ in more than ${MAX_HELD / 1024 / 1024} MiB of packages`,
          );
        }
      }
    }
  }
  if (!begun) yield begin();
  for (const source of upstream) {
    for await (const item of readAdvisories(source)) {
      if ('other' in item) {
        yield `${item.other}\n`;
        continue;
      }
      counts.advisories++;
      const lost = lostPackages(editions.get(item.id) as Editions, item);
      if (lost.length > 0) counts.completed++;
      yield `${completed(item, lost)}\n`;
    }
  }
  yield '</updates>\n';
}

/** Remembers the packages of a former edition; returns how much memory that takes. */
function hold(current: Editions, item: Advisory): number {
  current.former ??= new Map();
  let length = 0;
  const heads = item.collections.map(({ key, head }) => ({ collection: copyOf(key), head: copyOf(head) }));
  for (const { key, start, end, collection } of item.packages) {
    const { collection: where, head } = heads[collection] as { collection: string; head: string };
    const former = { text: copyOf(item.text.slice(start, end)), collection: where, head };
    current.former.set(copyOf(key), former);
    length += former.text.length + key.length;
  }
  return length;
}

/** What must be added to this edition: what no edition of upstream lists, once its last one is at hand. */
function lostPackages(current: Editions, item: Advisory): readonly FormerPackage[] {
  const { former } = current;
  current.left--;
  if (former === undefined) return [];
  for (const { key } of item.packages) former.delete(key);
  if (current.left > 0) return [];
  current.former = undefined;
  return [...former.values()];
}

/** The advisory with these packages too, each in its own collection; a collection that is gone comes back. */
function completed({ text, collections, pkglistEnd, end }: Advisory, lost: readonly FormerPackage[]): string {
  if (lost.length === 0) return text;
  const byCollection = new Map<string, FormerPackage[]>();
  for (const former of lost) {
    const packages = byCollection.get(former.collection);
    if (packages === undefined) byCollection.set(former.collection, [former]);
    else packages.push(former);
  }
  const inserts: { at: number; text: string }[] = [];
  const gone: string[] = [];
  for (const [key, packages] of byCollection) {
    const at = collections.filter((collection) => collection.key === key).pop()?.innerEnd;
    const lines = packages.map((former) => `${former.text}\n`).join('');
    if (at !== undefined) inserts.push({ at, text: lines });
    else gone.push(`${packages[0]?.head}\n${lines}</collection>\n`);
  }
  if (gone.length > 0) {
    const whole = gone.join('');
    inserts.push(pkglistEnd === undefined ? { at: end, text: `<pkglist>\n${whole}</pkglist>\n` } : { at: pkglistEnd, text: whole });
  }
  inserts.sort((a, b) => a.at - b.at);
  let result = '';
  let from = 0;
  for (const insert of inserts) {
    result += text.slice(from, insert.at) + insert.text;
    from = insert.at;
  }
  return result + text.slice(from);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest().toString('latin1', 0, 16);
}
