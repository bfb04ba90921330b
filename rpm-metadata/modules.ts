import { createHash } from 'node:crypto';
import { isMap, isScalar, parseDocument, visit, type YAMLMap } from 'yaml';
import { decompressed } from './decompress';
import { copyOf, type MetadataSource } from './elements';
import { metadataRefused, quoted } from './errors';
import { writeGzip, type WrittenMetadata } from './gzip-file';
import type { Merge } from './updateinfo';

export interface MergedModules extends WrittenMetadata {
  readonly documents: number;
  /** Those that upstream does not have any more. */
  readonly survived: number;
}

/** A document as text, from its `---` to before its end. */
interface ModuleDocument {
  readonly text: string;
  /** Undefined for a kind of document that is not known here. */
  readonly key: string | undefined;
}

/** All is held in memory, about twice. */
const MAX_OPEN = 128 * 1024 * 1024;
const MAX_DOCUMENT = 4 * 1024 * 1024;
const MAX_DOCUMENTS = 50_000;
const MAX_VALUE = 256;

/** What makes two documents of a kind the same one, among the fields of `data`. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  modulemd: ['name', 'stream', 'version', 'context', 'arch'],
  'modulemd-stream': ['name', 'stream', 'version', 'context', 'arch'],
  'modulemd-packager': ['name', 'stream', 'version', 'context', 'arch'],
  'modulemd-defaults': ['module'],
  // Each says from when it counts; clients take the newest of a stream.
  'modulemd-obsoletes': ['module', 'stream', 'context', 'modified'],
  'modulemd-translations': ['module', 'stream'],
};

/**
 * Merges modules.yaml so that no module stream is lost: documents that upstream dropped come first, then upstream's, each as the text that it
 * was. Streams are told apart by name, stream, version, context and architecture, defaults by module (upstream's current ones are taken). Of
 * a kind that is not known here, upstream's documents are taken.
 *
 * Throws a MirrorError for what is no YAML, and for what would keep clients from reading the merged file: aliases, control characters,
 * directives, documents without a kind. Every client reads all documents or none.
 */
export async function mergeModules({ previous, upstream, output }: Merge): Promise<MergedModules> {
  const keys = new Map<string, string | undefined>();
  const former = previous === undefined ? [] : await readModules(previous, keys);
  const current: ModuleDocument[] = [];
  for (const source of upstream) current.push(...(await readModules(source, keys)));
  const known = new Set(current.map(({ key }) => key));
  const survivors = former.filter(({ key }) => key !== undefined && !known.has(key));
  const documents = [...survivors, ...current];
  const written = await writeGzip(output, joined(documents));
  return { ...written, documents: documents.length, survived: survivors.length };
}

// eslint-disable-next-line @typescript-eslint/require-await
async function* joined(documents: readonly ModuleDocument[]): AsyncGenerator<string> {
  for (const { text } of documents) yield `${text}...\n`;
}

/** Keys that are known already, by the digest of the text: most documents are the same as before. */
type KnownKeys = Map<string, string | undefined>;

async function readModules(source: MetadataSource, known: KnownKeys): Promise<readonly ModuleDocument[]> {
  const text = await textOf(source);
  return splitDocuments(text, source.what).map((document) => {
    const digest = createHash('sha256').update(document).digest('base64');
    if (!known.has(digest)) known.set(digest, documentKey(document, source.what));
    return { text: document, key: known.get(digest) };
  });
}

async function textOf({ path, what, openSize }: MetadataSource): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of decompressed(path, what, openSize)) {
    size += chunk.length;
    if (size > MAX_OPEN) throw metadataRefused('METADATA_TOO_LARGE', what, `has more than ${MAX_OPEN / 1024 / 1024} MiB of modules`);
    chunks.push(chunk);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw metadataRefused('METADATA_ENCODING', what, 'is not UTF-8');
  }
  // What YAML allows nowhere, and what ends a line for some readers only.
  const bad = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]|\r(?!\n)/.exec(text);
  if (bad !== null) throw metadataRefused('METADATA_MALFORMED', what, `has the control character ${quoted(bad[0])}`);
  return text;
}

/** The documents of a YAML stream as text. `---` at the start of a line begins one, whatever stands before it, so no parser is needed. */
export function splitDocuments(text: string, what: string): readonly string[] {
  const documents: string[] = [];
  let lines: string[] = [];
  let length = 0;
  const refuse = (code: string, why: string): Error => metadataRefused(code, what, why);
  const finish = (): void => {
    // Comments and empty lines between documents are none.
    const empty = lines.every((line) => /^(---(?=\s))?\s*(#.*)?\n?$/.test(line));
    if (!empty) {
      const whole = lines.join('');
      documents.push(copyOf(whole.startsWith('---') ? whole : `---\n${whole}`));
    }
    if (documents.length > MAX_DOCUMENTS) throw refuse('METADATA_TOO_LARGE', `has more than ${MAX_DOCUMENTS} documents`);
    lines = [];
    length = 0;
  };
  // Not by a pattern: on a line of megabytes its engine may run out of stack.
  for (let start = 0; start < text.length;) {
    const end = text.indexOf('\n', start);
    const line = end < 0 ? `${text.slice(start)}\n` : text.slice(start, end + 1);
    start = end < 0 ? text.length : end + 1;
    if (length + line.length > MAX_DOCUMENT && !/^(---|\.\.\.)/.test(line.slice(0, 3)))
      throw refuse('METADATA_TOO_LARGE', `has a document of more than ${MAX_DOCUMENT / 1024 / 1024} MiB`);
    if (/^---(\s|$)/.test(line)) finish();
    if (/^\.\.\.(\s|$)/.test(line)) {
      finish();
      continue;
    }
    if (line.startsWith('%') && !(lines[0] ?? '').startsWith('---')) {
      if (/^%YAML 1\.[0-9]+\s*$/.test(line)) continue;
      throw refuse('METADATA_MALFORMED', `has the directive ${quoted(line.trim())}`);
    }
    length += line.length;
    if (length > MAX_DOCUMENT) throw refuse('METADATA_TOO_LARGE', `has a document of more than ${MAX_DOCUMENT / 1024 / 1024} MiB`);
    lines.push(line);
  }
  finish();
  return documents;
}

/** The key of a document; undefined for a kind that is not known. */
export function documentKey(text: string, what: string): string | undefined {
  const refuse = (why: string): Error => metadataRefused('METADATA_MALFORMED', what, why);
  const root = parse(text, what);
  const kind = field(root, 'document', refuse);
  if (kind === undefined) throw refuse('has a document that does not say which kind it is');
  // Of the kinds that are not known nothing more is asked.
  if (!Object.hasOwn(KEYS, kind)) return undefined;
  const data = root.get('data', true);
  if (!isMap(data)) throw refuse(`has a document ${quoted(kind)} without data`);
  const names = KEYS[kind] as readonly string[];
  const values = names.map((name) => field(data, name, refuse));
  if (values[0] === undefined) throw refuse(`has a document ${quoted(kind)} without ${names[0]}`);
  return JSON.stringify([kind === 'modulemd-stream' ? 'modulemd' : kind, ...values.map((value) => value ?? '')]);
}

function parse(text: string, what: string): YAMLMap {
  const refuse = (code: string, why: string): Error => metadataRefused(code, what, why);
  // Values as they are written (a stream 1.10 is not 1.1); keys are compared below, as the library's comparison takes quadratic time. It
  // gives up by itself where collections nest too deep.
  const document = parseDocument(text, { version: '1.1', schema: 'failsafe', uniqueKeys: false, logLevel: 'silent', prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined) throw refuse('METADATA_MALFORMED', `is not well-formed YAML: ${problem.message.split('\n', 1)[0]}`);
  visit(document, {
    Alias: (_key, node) => {
      throw refuse('METADATA_MALFORMED', `has an alias, *${quoted(node.source)}`);
    },
  });
  if (!isMap(document.contents)) throw refuse('METADATA_MALFORMED', 'has a document that is no mapping');
  return document.contents;
}

/** A plain value of a mapping; undefined when it is absent. */
function field(map: YAMLMap, name: string, refuse: (why: string) => Error): string | undefined {
  const pairs = map.items.filter(({ key }) => isScalar(key) && key.value === name);
  if (pairs.length === 0) return undefined;
  if (pairs.length > 1) throw refuse(`says ${name} twice in one document`);
  const value = pairs[0]?.value;
  if (!isScalar(value) || typeof value.value !== 'string') throw refuse(`has a ${name} that is no plain value`);
  const text = value.value;
  if (text.length > MAX_VALUE || /\p{C}/u.test(text)) throw refuse(`has the ${name} ${quoted(text)}`);
  return text;
}
