/** Old URLs of a codename, answered in nginx without a redirect. */

/** Where requests for old URLs are logged beside the log of everything; rotated and, after 14 days, removed as all logs of nginx in this directory. */
export const LEGACY_LOG = '/var/log/nginx/mirror-legacy.log';

/** One old directory of a repository, and the component that it leads to. Paths are decoded, without slashes at their ends. */
export interface OldDirectory {
  /** For instance `mos/centos-6/proposed`. */
  readonly path: string;
  /** For instance `mos-repos/centos/mos7.0-centos6/cr`. */
  readonly target: string;
}

export interface AliasLocations {
  readonly id: string;
  readonly directories: readonly OldDirectory[];
  /** Trees of the component; the first one answers where an old URL has no architecture. */
  readonly architectures: readonly [string, ...string[]];
  /** For instance `RPM-GPG-KEY-mos7.0`. */
  readonly keyFile: string;
}

/**
 * `nginx/locations/alias+<id>.conf`. Each old URL is another name for the new one: it is rewritten and then looked up like a request for that,
 * so that access rules, listings and times (`@…`) are those of the place where it leads.
 */
export function aliasLocations({ id, directories, architectures, keyFile }: AliasLocations): string {
  const [first] = architectures;
  const trees = [...architectures, 'Source'].join('|');
  const locations = directories.map(({ path, target }) => {
    const old = `^/${path.replaceAll('.', '\\.')}`;
    return `location = /${path} {
    set $mirror_legacy 1;
    rewrite ^ /${target}/ last;
}
location ^~ /${path}/ {
    set $mirror_legacy 1;
    rewrite ${old}/RPM-GPG-KEY-mos[0-9.]+$ /${target}/${keyFile} last;
    # Without an architecture.
    rewrite ${old}(/@[^/]+)?/(repodata|Packages)$ /${target}$1/${first}/$2/ last;
    rewrite ${old}(/@[^/]+)?/((?:repodata|Packages)/.*)$ /${target}$1/${first}/$2 last;
    # Directories without their slash: nginx would redirect.
    rewrite ${old}(/@[^/]+|(?:/@[^/]+)?/(?:${trees})(?:/(?:repodata|Packages|SPackages))?)$ /${target}$1/ last;
    rewrite ${old}(/.*)$ /${target}$1 last;
}
`;
  });
  return `# Old URLs of ${id}. Nothing is redirected, since old clients do not follow; who may read is decided where it leads.\n${locations.join('')}`;
}

/** `nginx/locations/legacy-log.conf`, once for all aliases: who still uses old URLs. A log in a site takes the place of the one that nginx.conf declares. */
export function legacyLog(): string {
  return `access_log /var/log/nginx/access.log;
access_log ${LEGACY_LOG} combined if=$mirror_legacy;
# Requests for other URLs have no such variable.
uninitialized_variable_warn off;
`;
}
