/** `path` is where the file lies below the repository's root, decoded; `href` is the same as it is requested. */
export type Location = { readonly path: string; readonly href: string } | { readonly problem: string };

const MAX_LENGTH = 1024;
const MAX_SEGMENT = 255;

/**
 * Judges an `href` of rpm metadata. Clients append it to the base URL as it is, so percent sequences are decoded by the web server: the
 * name on disk is the decoded one, and what a sequence hides (`%2e%2e`) counts.
 */
export function safeLocation(href: string): Location {
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
  return { path, href: segments.map(encodeURIComponent).join('/') };
}

/** A package's location: safe, ends in `.rpm` (nothing else is to be served as content), and not among the metadata. */
export function packageLocation(href: string): Location {
  const location = safeLocation(href);
  if ('problem' in location) return location;
  if (location.path.split('/')[0] === 'repodata') return { problem: 'lies in repodata/' };
  if (!location.path.endsWith('.rpm')) return { problem: 'does not end in .rpm' };
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
