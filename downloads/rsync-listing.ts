/** What `rsync --list-only` prints in the C locale. Pure. */
import { unsafeName } from './listing';

export interface RsyncEntry {
  /** Decoded, relative to the base. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symbolic link' | 'device' | 'FIFO or socket';
  /** Bytes. */
  readonly size: number;
  /** As the server says it, in UTC: `2026/11/22 09:14:58`. */
  readonly modified: string;
  /** Why it cannot be a file of a tree: its name is none. `path` is then as it is printed. */
  readonly unsafe: string | undefined;
}

const KINDS: Readonly<Record<string, RsyncEntry['kind']>> = {
  '-': 'file',
  d: 'folder',
  l: 'symbolic link',
  c: 'device',
  b: 'device',
  p: 'FIFO or socket',
  s: 'FIFO or socket',
};

/** Reads a listing; the base itself is left out. A phrase says which line is none. */
export function readRsyncListing(text: string): readonly RsyncEntry[] | { readonly problem: string } {
  const entries: RsyncEntry[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const match = /^(.)\S{9,10} +(\d{1,16}) (\d{4,}\/\d\d\/\d\d \d\d:\d\d:\d\d) (.+)$/.exec(line);
    const kind = KINDS[match?.[1] ?? ''];
    if (match === null || kind === undefined) return { problem: `lists ${JSON.stringify(line.slice(0, 120))}, which names no file` };
    const [, , size, modified, printed] = match as unknown as [string, string, string, string, string];
    if (printed === '.') continue;
    const path = decodeName(printed);
    const unsafe = path === undefined ? 'is not UTF-8' : path.split('/').flatMap((segment) => unsafeName(segment) ?? [])[0];
    entries.push({ path: unsafe === undefined ? (path as string) : printed, kind, size: Number(size), modified, unsafe });
  }
  return entries;
}

/** A printed name as it is: rsync prints `\#012` for a byte that is no printable ASCII. Undefined where the bytes are no UTF-8. */
function decodeName(printed: string): string | undefined {
  const bytes = Buffer.from(
    printed.replace(/\\#([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    'latin1',
  );
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
