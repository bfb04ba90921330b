/** The folder listings of Apache and nginx (and of what imitates them: lighttpd, Caddy's classic page). Pure. */

/** What a listing has, as names below the folder: decoded, without slashes. */
export interface ListedNames {
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

const MAX_NAME_BYTES = 255;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

/**
 * Reads a listing: the links to direct children of the folder. Links to anywhere else (the parent, the page's header, columns to sort by)
 * are none of its content. Returns a phrase when it is no listing, or names something that is not safe to be a file name.
 *
 * @param url where the page was asked for, with a slash at its end
 */
export function readListing(html: string, url: string): ListedNames | { readonly problem: string } {
  if (!/<title>\s*Index of\b/i.test(html)) return { problem: 'is no folder listing of a web server (its title is not "Index of …")' };
  const base = new URL(url);
  const files = new Set<string>();
  const folders = new Set<string>();
  for (const [, quoted, bare] of html.matchAll(/<a\s[^<>]*?\bhref\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)')/gi)) {
    const child = childOf(decodeEntities((quoted ?? bare ?? '').trim()), base);
    if (child === undefined) continue;
    if ('problem' in child) return child;
    (child.folder ? folders : files).add(child.name);
  }
  const both = [...files].find((name) => folders.has(name));
  if (both !== undefined) return { problem: `lists ${JSON.stringify(both)} both as a file and as a folder` };
  return { files: [...files].sort(), folders: [...folders].sort() };
}

function childOf(href: string, base: URL): { readonly name: string; readonly folder: boolean } | { readonly problem: string } | undefined {
  // A query sorts columns; a fragment stays on the page.
  if (href === '' || /[?#]/.test(href)) return undefined;
  let target: URL;
  try {
    target = new URL(href, base);
  } catch {
    return undefined;
  }
  if (target.origin !== base.origin || !target.pathname.startsWith(base.pathname)) return undefined;
  const rest = target.pathname.slice(base.pathname.length);
  const folder = rest.endsWith('/');
  const encoded = folder ? rest.slice(0, -1) : rest;
  if (encoded === '' || encoded.includes('/')) return undefined;
  const problem = (why: string): { problem: string } => ({ problem: `lists ${JSON.stringify(encoded.slice(0, 300))}, which ${why}` });
  if (/%2f|%5c/i.test(encoded)) return problem('hides a slash');
  let name: string;
  try {
    name = decodeURIComponent(encoded);
  } catch {
    return problem('is not UTF-8');
  }
  const why = unsafeName(name);
  return why === undefined ? { name, folder } : problem(why);
}

/** Why a name cannot be a file of a tree, as a phrase; undefined for a good one. */
export function unsafeName(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..') return 'is no name';
  if (/[/\\]/.test(name)) return 'has a slash';
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/.test(name)) return 'has a control character';
  if (name.includes('\ufffd')) return 'is not UTF-8';
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `is longer than ${MAX_NAME_BYTES} bytes`;
  return undefined;
}

function decodeEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
    const code = decimal === undefined ? parseInt(hex as string, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : whole;
  });
}
