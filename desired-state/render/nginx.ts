import { ServerPaths } from '../model';

const CURRENT = `${ServerPaths.configuration}/current`;

/** How content is served wherever it is public; included by the vhost and by each customer's location. */
export function servingSnippet(): string {
  return `# repomd.xml changes with every publication. What repomd.xml names by checksum never changes.
location ~ /repodata/repomd\\.xml(\\.asc|\\.key)?$ {
    open_file_cache off;
    add_header Cache-Control "no-cache";
}
location ~ "/repodata/[0-9a-f]{32,128}-" {
    add_header Cache-Control "public, max-age=31536000, immutable";
}
`;
}

export interface VhostSettings {
  readonly serverName: string;
  readonly port: number;
  readonly ipv6: boolean;
  readonly storageRoot: string;
}

/**
 * `nginx/vhost.conf`. Customers are in snippets of their own, so that a new one does not change this file.
 *
 * A symlink is followed only where it and its target have one owner: content that an upstream controls can't point out of the tree.
 */
export function vhost(settings: VhostSettings): string {
  const listen = [`    listen ${settings.port};`, ...(settings.ipv6 ? [`    listen [::]:${settings.port};`] : [])].join('\n');
  return `server {
${listen}
    server_name ${settings.serverName};
    server_tokens off;
    root ${settings.storageRoot}/www;
    charset utf-8;
    autoindex on;
    autoindex_exact_size off;
    disable_symlinks if_not_owner from=$document_root;
    open_file_cache max=10000 inactive=60s;
    open_file_cache_valid 5s;

    include ${CURRENT}/nginx/generation.conf;
    include ${CURRENT}/nginx/serving.conf;
    include ${CURRENT}/nginx/locations/*.conf;

    location /keys/ {
        alias ${CURRENT}/keys/;
        default_type text/plain;
        disable_symlinks off;
        open_file_cache off;
    }
    location /repo-files/ {
        alias ${CURRENT}/repo-files/;
        default_type text/plain;
        disable_symlinks off;
        open_file_cache off;
    }
}
`;
}

export interface OwnerLocation {
  readonly owner: string;
  /** Public prefix without slashes at its ends. */
  readonly prefix: string;
  /** Networks that may read, or undefined for everyone. */
  readonly networks: readonly string[] | undefined;
}

/** `nginx/locations/<owner>.conf`: everything below a customer's prefix, with that customer's one access list. */
export function ownerLocation(location: OwnerLocation): string {
  const access = location.networks === undefined ? [] : [...location.networks.map((n) => `    allow ${n};`), '    deny all;'];
  return `# ${location.owner}
location ^~ /${location.prefix}/ {
${access.map((line) => `${line}\n`).join('')}    include ${CURRENT}/nginx/serving.conf;
    location ~ ^/${location.prefix.replaceAll('.', '\\.')}/(?<repo_file>[a-z0-9.-]+\\.repo)$ {
        alias ${CURRENT}/owners/${location.owner}/$repo_file;
        default_type text/plain;
        disable_symlinks off;
        open_file_cache off;
    }
}
`;
}
