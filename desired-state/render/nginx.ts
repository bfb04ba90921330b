import { ANNOUNCEMENTS, CLIENT_AUTHORITIES_FILE, MIRROR_KEY, passwordsSecret, secretFile, ServerPaths } from '../model';

/** Where mirrorctl tells nginx which snapshot a URL with a time means. */
export const TIME_SOCKET = '/run/mirror-time.sock';
/** The snapshots, for what came through it and nobody else. */
export const TIME_LOCATION = '/.mirror/repositories/';

const CURRENT = `${ServerPaths.configuration}/current`;

/**
 * Files that a worker keeps open. Debian's nginx has 768 connections a worker, and its unit lets a worker have 1024 files: with more kept open than are left,
 * a client that asks for two thousand packages gets errors 500 for the rest.
 */
const OPEN_FILES = 200;

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
# Not "public": a cache that many share would keep what was fetched with a password.
location ~ "/repodata/[0-9a-f]{32,128}-" {
    add_header Cache-Control "max-age=31536000, immutable";
}
location ~ /repodata/[^/]+$ {
    open_file_cache off;
    add_header Cache-Control "no-cache";
}
`;
}

/** Whether plain HTTP is answered beside TLS. */
export type PlainHttp = 'served' | 'redirected' | 'closed';

export interface TlsSettings {
  readonly port: number;
  /** Where the certificate and its key are: their directory, or both files. */
  readonly certificate: string;
  readonly key: string;
  readonly http: PlainHttp;
  /** Whether an ACME server looks here for what certbot puts there. */
  readonly acme: boolean;
}

export interface VhostSettings {
  readonly serverName: string;
  readonly port: number;
  readonly ipv6: boolean;
  readonly storageRoot: string;
  /** Undefined: plain HTTP only. */
  readonly tls?: TlsSettings;
}

/**
 * `nginx/vhost.conf`. Customers are in snippets of their own, so that a new one does not change this file.
 *
 * A symlink is followed only where it and its target have one owner: content that an upstream controls can't point out of the tree.
 */
export function vhost(settings: VhostSettings): string {
  const { tls } = settings;
  const plain = listens(settings.port, '', settings.ipv6);
  if (tls === undefined) return server(settings, plain);
  const secure = `${listens(tls.port, ' ssl http2', settings.ipv6)}${tlsDirectives(tls)}`;
  const main = server(settings, tls.http === 'served' ? `${plain}${acmeLocation(tls)}${secure}` : secure);
  return `${passwordsByTls(settings.serverName)}${tls.http === 'served' ? '' : plainServer(settings, tls)}${main}`;
}

function listens(port: number, options: string, ipv6: boolean): string {
  return `    listen ${port}${options};\n${ipv6 ? `    listen [::]:${port}${options};\n` : ''}`;
}

/** Only TLS keeps a password to those whose it is: over plain HTTP none is asked for, and none counts. */
function passwordsByTls(realm: string): string {
  return `map $https $${PASSWORD_REALM} {
    on "${realm}";
    default off;
}
`;
}

/**
 * TLS 1.2 is what CentOS 6 (from 6.8) and 7 speak. Sessions are not resumed: a certificate of a client counts for one connection, so that a
 * changed list of authorities does at once.
 */
function tlsDirectives({ certificate, key }: TlsSettings): string {
  return `    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256;
    ssl_session_tickets off;
    ssl_session_cache off;
    include ${CURRENT}/nginx/client-certificates*.conf;
`;
}

function acmeLocation({ acme }: Pick<TlsSettings, 'acme'>): string {
  return acme
    ? `    location ^~ /.well-known/acme-challenge/ {
        root ${ServerPaths.acme}/webroot;
        default_type text/plain;
        disable_symlinks on;
        open_file_cache off;
    }
`
    : '';
}

/**
 * The site over plain HTTP where it is not served there. It answers this machine's probe all the same: that nginx ends connections of everybody else
 * without a word (444) needs no other address to listen on, which a running nginx could not take.
 */
function plainServer(settings: VhostSettings, tls: TlsSettings): string {
  const address = `https://${settings.serverName}${tls.port === 443 ? '' : `:${tls.port}`}`;
  const closed = tls.http === 'closed';
  return `server {
${listens(settings.port, '', settings.ipv6)}    server_name ${settings.serverName};
    server_tokens off;
    include ${CURRENT}/nginx/generation.conf;
${acmeLocation(tls)}    location / {
${closed ? '        if ($remote_addr = 127.0.0.1) {\n            return 404;\n        }\n        return 444;\n' : `        return 301 ${address}$request_uri;\n`}    }
}
`;
}

function server(settings: VhostSettings, listen: string): string {
  return `server {
${listen}    server_name ${settings.serverName};
    server_tokens off;
    root ${settings.storageRoot}/www;
    charset utf-8;
    autoindex_exact_size off;
    disable_symlinks if_not_owner from=$document_root;
    open_file_cache max=${OPEN_FILES} inactive=60s;
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

/** The variable that is `off` where no password counts, else what clients show as what it is for. */
const PASSWORD_REALM = 'mirror_passwords';

/** Authorities whose certificates let clients in. */
export interface ClientCertificates {
  readonly authorities: readonly {
    /** Of the authority (RFC 2253). */
    readonly name: string;
    readonly pem: string;
  }[];
  /** Of their certificates these only (RFC 2253); all when absent. */
  readonly subjects?: readonly string[];
}

export interface OwnerLocation {
  readonly owner: string;
  /** Public prefix without slashes at its ends. */
  readonly prefix: string;
  /** Networks that may read; with none of the three everyone may. */
  readonly networks: readonly string[] | undefined;
  /** Whether users with passwords may. */
  readonly passwords?: boolean;
  readonly certificates?: ClientCertificates;
}

/** `nginx/locations/<owner>.conf`: everything below a customer's prefix, with that customer's one access list. */
export function ownerLocation(location: OwnerLocation): string {
  const { certificates } = location;
  return `# ${location.owner}
# Without the slash nginx would redirect, and so tell everybody that the directory exists.
location = /${location.prefix} {
    return 404;
}
${certificates === undefined ? '' : certificateLocation(location.owner, certificates)}location ^~ /${location.prefix}/ {
    autoindex on;
${accessDirectives(location)
  .map((line) => `    ${line};\n`)
  .join('')}    include ${CURRENT}/nginx/serving.conf;
    location ~ ^/${location.prefix.replaceAll('.', '\\.')}/(?<repo_file>[a-z0-9.-]+\\.repo)$ {
        alias ${CURRENT}/owners/${location.owner}/$repo_file;
        default_type text/plain;
        disable_symlinks off;
        open_file_cache off;
    }
}
`;
}

/**
 * All of nginx's access phase: locations below inherit it, and it is asked anew after an internal rewrite. `deny all` stands last of what lets in, so
 * that a way that does not count (a password over plain HTTP) leaves the door closed.
 */
function accessDirectives({ owner, networks, passwords, certificates }: OwnerLocation): string[] {
  const others = [
    ...(passwords === true
      ? [`auth_basic $${PASSWORD_REALM}`, `auth_basic_user_file ${CURRENT}/${secretFile(passwordsSecret(owner))}`]
      : []),
    ...(certificates === undefined ? [] : [`auth_request ${certificateQuestion(owner)}`]),
  ];
  if (networks === undefined && others.length === 0) return [];
  return [...(others.length === 0 ? [] : ['satisfy any']), ...(networks ?? []).map((one) => `allow ${one}`), 'deny all', ...others];
}

const certificateQuestion = (owner: string): string => `/.mirror/access/${owner}`;

/** `|` is in no name of an authority, so that no subject can look like another authority's. */
function certificateLocation(owner: string, { authorities, subjects }: ClientCertificates): string {
  const variable = subjects === undefined ? '$ssl_client_verify|$ssl_client_i_dn' : '$ssl_client_verify|$ssl_client_i_dn|$ssl_client_s_dn';
  const names = [...new Set(authorities.map(({ name }) => name))];
  const good = names.flatMap((name) =>
    subjects === undefined ? [`SUCCESS|${name}`] : subjects.map((subject) => `SUCCESS|${name}|${subject}`),
  );
  return `# Asked for each request: a client of this customer has a certificate that this customer's own authority issued itself.
location = ${certificateQuestion(owner)} {
    internal;
    set $mirror_client "${variable}";
${good.map((one) => `    if ($mirror_client = "${one.replaceAll('\\', '\\\\')}") {\n        return 204;\n    }\n`).join('')}    return 403;
}
`;
}

/**
 * `nginx/client-certificates.conf`, where customers have authorities. All of them are asked at the vhost, since a connection has one list; which one
 * issued a certificate counts for each customer. Depth 0: the authority issued it itself, since one between them could take any name, also
 * another customer's. `optional_no_ca` and the trusted list instead of the client list: what customers there are is not told to everybody.
 */
export function clientCertificates(): string {
  return `ssl_verify_client optional_no_ca;
ssl_verify_depth 0;
ssl_trusted_certificate ${CURRENT}/${CLIENT_AUTHORITIES_FILE};
`;
}
