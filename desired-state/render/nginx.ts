import { ANNOUNCEMENTS, MIRROR_KEY, ServerPaths } from '../model';

/** Where mirrorctl tells nginx which snapshot a URL with a time means. */
export const TIME_SOCKET = '/run/mirror-time.sock';
/** The snapshots, for what came through it and nobody else. */
export const TIME_LOCATION = '/.mirror/repositories/';

const CURRENT = `${ServerPaths.configuration}/current`;

/** How content is served wherever it is public; included by the vhost and by each customer's location. */
export function servingSnippet(): string {
  return `# What was there at a time: mirror-time.service says which snapshot that is, by the path as it was normalized here, and the bytes are served from it.
# Who may read is decided here, by what this is included in.
location ~ /@ {
    rewrite ^(.*)$ $1 break;
    proxy_pass http://unix:${TIME_SOCKET};
    proxy_redirect off;
    proxy_pass_request_body off;
    proxy_pass_request_headers off;
    proxy_set_header Accept $http_accept;
    proxy_read_timeout 30s;
}
# What repomd.xml names by checksum never changes. repomd.xml itself, and metadata without a checksum in its name, may at any time.
location ~ "/repodata/[0-9a-f]{32,128}-" {
    add_header Cache-Control "public, max-age=31536000, immutable";
}
location ~ /repodata/[^/]+$ {
    open_file_cache off;
    add_header Cache-Control "no-cache";
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
    autoindex_exact_size off;
    disable_symlinks if_not_owner from=$document_root;
    open_file_cache max=10000 inactive=60s;
    open_file_cache_valid 5s;

    # Listings where everybody may look; above customers there is none.
    location /mirror/ {
        autoindex on;
    }
    location /mos-repos/ {
        autoindex on;
    }
    location /releases/ {
        autoindex on;
    }
    location = / {
        default_type text/plain;
        return 200 "mirror/      copies of upstream repositories\nmos-repos/   MOS repositories\nreleases/    sets of snapshots that never change\nrepo-files/  yum configuration\nkeys/        public keys of upstreams\n${MIRROR_KEY.publicPath}  public key of this mirror\n${ANNOUNCEMENTS.publicPath}  what goes when, and why\n";
    }
    include ${CURRENT}/nginx/generation.conf;
    include ${CURRENT}/nginx/serving.conf;
    include ${CURRENT}/nginx/locations/*.conf;

    # What signs now: changes with a rotation of the mirror's key.
    location = /${MIRROR_KEY.publicPath} {
        alias ${settings.storageRoot}/${MIRROR_KEY.file};
        default_type text/plain;
        add_header Cache-Control "no-cache";
        open_file_cache off;
    }
    # What goes when, and why.
    location = /${ANNOUNCEMENTS.publicPath} {
        alias ${settings.storageRoot}/${ANNOUNCEMENTS.file};
        default_type application/json;
        add_header Cache-Control "no-cache";
        open_file_cache off;
    }
    location ^~ ${TIME_LOCATION} {
        internal;
        alias ${settings.storageRoot}/repositories/;
        autoindex on;
        disable_symlinks on from=$document_root;
        add_header Cache-Control "no-cache";
        add_header Sunset $upstream_http_sunset;
    }
    location /keys/ {
        alias ${CURRENT}/keys/;
        autoindex on;
        default_type text/plain;
        disable_symlinks off;
        open_file_cache off;
    }
    location /repo-files/ {
        alias ${CURRENT}/repo-files/;
        autoindex on;
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
# Without the slash nginx would redirect, and so tell everybody that the directory exists.
location = /${location.prefix} {
    return 404;
}
location ^~ /${location.prefix}/ {
    autoindex on;
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
