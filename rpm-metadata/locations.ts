/** `path` is where the file lies below the repository's root, decoded; `href` is the same as it is requested. */
export type Location = { readonly path: string; readonly href: string } | { readonly problem: string };

const MAX_LENGTH = 1024;
const MAX_SEGMENT = 255;
/** Most locations: nothing to decode, to encode or to doubt. */
const ORDINARY = /^(?:[A-Za-z0-9_][A-Za-z0-9_.~-]{0,200}\/){0,4}[A-Za-z0-9_][A-Za-z0-9_.~-]{0,200}$/;

/**
 * Judges an `href` of rpm metadata. Clients append it to the base URL as it is, so percent sequences are decoded by the web server: the
 * name on disk is the decoded one, and what a sequence hides (`%2e%2e`) counts.
 */
export function safeLocation(href: string): Location {
  if (ORDINARY.test(href)) return { path: href, href };
  const problem = (text: string): Location => ({ problem: text });
  if (href === '') return problem('is empty');
  if (Buffer.byteLength(href) > MAX_LENGTH) return problem(`is longer than ${MAX_LENGTH} bytes`);
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(href) && !/^[^/]*\.rpm$/.test(href)) return problem('names a protocol or another host');
  if (/[?#\\]/.test(href)) return problem('has one of ? # \\');
  let path: string;
  try {
    path = decodeURIComponent(href);
  } catch {
    return problem('has a percent sign that encodes nothing');
  }
  if (/%2f|%5c/i.test(href)) return problem('hides a slash');

  if (/[\u0000-\u001f\u007f-\u009f\ufffd\\]/.test(path) || /[\ud800-\udfff]/.test(path.replace(/[\ud800-\udbff][\udc00-\udfff]/g, ''))) {
    return problem('has a control character');
  }
  if (path.startsWith('/')) return problem('is absolute');
  const segments = path.split('/');
  if (segments.some((s) => s === '')) return problem('has an empty segment');
  if (segments.some((s) => s === '.' || s === '..')) return problem('has a segment "." or ".."');
  if (segments.some((s) => Buffer.byteLength(s) > MAX_SEGMENT)) return problem(`has a segment of more than ${MAX_SEGMENT} bytes`);
  return { path, href: hrefOf(path) };
}

/** How a path is requested: encoded, but for its slashes. */
export function hrefOf(path: string): string {
  return ORDINARY.test(path) ? path : path.split('/').map(encodeURIComponent).join('/');
}

/** `url` is another place than the repository, with a slash at its end; `folder` is to be put before the location below its own root. */
export type Base = { readonly url?: string; readonly folder: string } | { readonly problem: string };

/**
 * Judges an `xml:base`. Clients put it before the location with a slash between the two, so it names a folder with or without one at its
 * end. A relative one is a folder of the repository.
 */
export function baseLocation(base: string | undefined): Base {
  if (base === undefined || base === '') return { folder: '' };
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:|^[/\\]/.test(base)) {
    const location = safeLocation(base.replace(/\/$/, ''));
    return 'problem' in location ? location : { folder: base.endsWith('/') ? base : `${base}/` };
  }
  if (!/^https?:\/\/[^/]/i.test(base)) return { problem: 'is no http or https URL' };
  if (base.length > MAX_LENGTH) return { problem: `is longer than ${MAX_LENGTH} bytes` };
  if (/[?#\\\s\u0000-\u001f\u007f-\u009f]/.test(base)) return { problem: 'has one of ? # \\ or white space' };
  if (/%(2e|2f|5c|00)/i.test(base) || /\/\.{1,2}(\/|$)/.test(base)) return { problem: 'has a segment "." or ".." or hides a character' };
  let url: URL;
  try {
    url = new URL(base);
  } catch {
    return { problem: 'is no URL' };
  }
  if (url.username !== '' || url.password !== '') return { problem: 'has credentials' };
  return { url: url.href.endsWith('/') ? url.href : `${url.href}/`, folder: '' };
}

/** A package's location: safe, ends in `.rpm` (nothing else is to be served as content), and not among the metadata. */
export function packageLocation(href: string): Location {
  const location = safeLocation(href);
  if ('problem' in location) return location;
  if (location.path.split('/')[0] === 'repodata') return { problem: 'lies in repodata/' };
  if (!location.path.endsWith('.rpm')) return { problem: 'does not end in .rpm' };
  return location;
}

/** A delta rpm's location: safe, ends in `.drpm`, and not among the metadata. */
export function deltaLocation(href: string): Location {
  const location = safeLocation(href);
  if ('problem' in location) return location;
  if (location.path.split('/')[0] === 'repodata') return { problem: 'lies in repodata/' };
  if (!location.path.endsWith('.drpm')) return { problem: 'does not end in .drpm' };
  return location;
}

/** A metadata file's location: directly in `repodata/`, and not the index or its signature. */
export function metadataLocation(href: string): Location {
  const location = safeLocation(href);
  if ('problem' in location) return location;
  const [folder, name, ...rest] = location.path.split('/');
  if (folder !== 'repodata' || name === undefined || rest.length > 0) return { problem: 'is not directly in repodata/' };
  if (name.startsWith('repomd.xml') || name.startsWith('.')) return { problem: 'takes the name of the index' };
  return location;
}
