/**
 * Copies whose public path lies in another copy's, as upstreams' do: EPEL's `x86_64/debug` is a repository in that at `x86_64`, and an installer lies
 * beside the packages of its repository.
 */
import { ServerPaths } from '../model';

/** Directory of the document root, and of a release, with a root for each such copy. Nobody is served from here by this name. */
export const INNER = '.inner';

export interface Inner {
  readonly id: string;
  /** Decoded paths, relative to the site: of a directory with a slash at its end. */
  readonly inner: readonly string[];
}

/** `nginx/locations/copy+<id>.conf`: the same URLs in another root, so that listings and times (`@…`) are as everywhere. */
export function innerLocations({ id, inner, storageRoot }: Inner & { readonly storageRoot: string }): string {
  const root = `${storageRoot}/www/${INNER}/${id}`;
  const locations = inner.map((path) =>
    path.endsWith('/')
      ? `location = ${quoted(`/${path.slice(0, -1)}`)} {
    return 301 /${path.split('/').map(encodeURIComponent).join('/')};
}
location ^~ ${quoted(`/${path}`)} {
    root ${root};
    autoindex on;
    include ${ServerPaths.configuration}/current/nginx/serving.conf;
}
`
      : `location = ${quoted(`/${path}`)} {
    root ${root};
}
`,
  );
  return `# ${id} lies in the tree of another copy, and answers for what begins so.\n${locations.join('')}`;
}

/** `nginx/locations/inner.conf`, once for all of them. */
export function innerRoots(): string {
  return `location ^~ /${INNER}/ {
    return 404;
}
`;
}

/** `nginx/locations/release+<id>.conf`: the same of a release. */
export function releasedInnerLocations(release: string, copies: readonly Inner[]): string {
  const prefix = `/releases/${release}`;
  const locations = copies.flatMap(({ id, inner }) =>
    inner.map(
      (path) => `location ${path.endsWith('/') ? '^~' : '='} ${quoted(`${prefix}/${path}`)} {
    rewrite ^${prefix.replaceAll('.', '\\.')}(/.*)$ ${prefix}/${INNER}/${id}$1 last;
}
`,
    ),
  );
  return `# What lies in the trees of other copies.\n${locations.join('')}`;
}

/** A path as nginx reads it: it may have spaces, and a brace does not end it. */
function quoted(path: string): string {
  return `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
