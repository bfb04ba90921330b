/**
 * Debian packages for the mirror host, which has no way out: a caching proxy on the gateway's address, in front of the apt source of this
 * machine. The source is read at run time and never written into the project; apt's signature check is untouched.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Addresses, Instance } from './instance';
import { processesIn, startIn } from './cgroups';
import { labError, run, sleep, succeeds } from './shell';

export const DEBIAN = 'bookworm';
export const APT_PORT = 3142;

export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
}

/** Reads apt's two formats. Only Debian's own archive counts: what another key signs is not for the mirror host. */
export function parseAptSources(text: string, format: 'deb822' | 'line'): AptSource[] {
  return format === 'deb822' ? parseStanzas(text) : text.split('\n').flatMap(parseLine);
}

function parseLine(line: string): AptSource[] {
  const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line.replace(/#.*/, '').trim());
  if (!match) return [];
  const [, options = '', uri, suite, components] = match as unknown as [string, string | undefined, string, string, string];
  const signedBy = /signed-by=(\S+)/i.exec(options)?.[1];
  return usable(uri, suite, signedBy) ? [{ uri: slash(uri), suite, components: components.trim().split(/\s+/) }] : [];
}

function parseStanzas(text: string): AptSource[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const field = (name: string): string[] => {
        const match = new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza);
        return match ? (match[1] as string).trim().split(/\s+/).filter(Boolean) : [];
      };
      if (!field('Types').includes('deb') || field('Enabled')[0] === 'no') return [];
      const signedBy = field('Signed-By')[0];
      return field('URIs').flatMap((uri) =>
        field('Suites')
          .filter((suite) => usable(uri, suite, signedBy))
          .map((suite) => ({ uri: slash(uri), suite, components: field('Components') })),
      );
    });
}

function usable(uri: string, suite: string, signedBy: string | undefined): boolean {
  return (
    /^https?:\/\//.test(uri) && new RegExp(`^${DEBIAN}(-|$)`).test(suite) && (signedBy === undefined || signedBy.includes('debian-archive'))
  );
}

const slash = (uri: string): string => uri.replace(/\/*$/, '/');

/** What this machine installs Debian packages from. */
export function machineAptSources(): AptSource[] {
  const files: [string, 'deb822' | 'line'][] = existsSync('/etc/apt/sources.list') ? [['/etc/apt/sources.list', 'line']] : [];
  for (const name of existsSync('/etc/apt/sources.list.d') ? readdirSync('/etc/apt/sources.list.d').sort() : []) {
    if (name.endsWith('.list')) files.push([`/etc/apt/sources.list.d/${name}`, 'line']);
    if (name.endsWith('.sources')) files.push([`/etc/apt/sources.list.d/${name}`, 'deb822']);
  }
  const sources = files.flatMap(([path, format]) => parseAptSources(readFileSync(path, 'utf8'), format));
  if (!sources.some((source) => source.suite === DEBIAN)) {
    throw labError(
      'APT',
      `no apt source of this machine has the suite ${DEBIAN}`,
      `Add an http(s) source of Debian 12 to /etc/apt/sources.list.d: the lab's mirror host is made from it.`,
    );
  }
  return sources;
}

/** This machine's answer to old Release files holds for the lab too: a frozen archive is older than its own expiry. */
export function aptOptions(): string[] {
  const dump = run(['apt-config', 'dump']);
  return ['Acquire::Check-Valid-Until', 'Acquire::Check-Date'].flatMap((name) => {
    const value = new RegExp(`^${name} "(.*)";$`, 'm').exec(dump)?.[1];
    return value ? [`${name} "${value}";`] : [];
  });
}

/** `sources.list` of the mirror host: one path of the proxy for each address that this machine uses. */
export function proxiedSources(sources: readonly AptSource[], gateway: string): string {
  const uris = [...new Set(sources.map((source) => source.uri))];
  return sources.map((s) => `deb http://${gateway}:${APT_PORT}/${uris.indexOf(s.uri)}/ ${s.suite} ${s.components.join(' ')}\n`).join('');
}

/** Configuration of the proxy's nginx. */
export function proxyConfiguration(sources: readonly AptSource[], gateway: string, directory: string, cache: string): string {
  const uris = [...new Set(sources.map((source) => source.uri))];
  const locations = uris.flatMap((uri, index) => {
    const url = new URL(uri);
    const login = url.username
      ? Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString('base64')
      : undefined;
    const common = [
      `rewrite ^/${index}/(.*)$ ${url.pathname}$1 break;`,
      `proxy_pass ${url.protocol}//${url.host};`,
      `proxy_set_header Host ${url.host};`,
      `proxy_ssl_name ${url.hostname};`,
      ...(login ? [`proxy_set_header Authorization "Basic ${login}";`] : []),
    ].join(' ');
    return [
      // What a Release file lists never changes under its name; Release files themselves are asked for again after ten minutes.
      `    location ~ ^/${index}/.*(/by-hash/|\\.deb$) { ${common} proxy_cache_valid 200 60d; }`,
      `    location /${index}/ { ${common} proxy_cache_valid 200 10m; proxy_cache_revalidate on; }`,
    ];
  });
  return `# The workers read the cache in root's home.
user root;
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  proxy_cache_path ${cache} levels=1:2 keys_zone=apt:8m inactive=60d max_size=4g use_temp_path=off;
  server {
    listen ${gateway}:${APT_PORT};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_ssl_server_name on;
    proxy_cache apt;
    proxy_cache_key $proxy_host$uri;
    proxy_cache_lock on;
    proxy_cache_use_stale error timeout http_500 http_502 http_503 http_504;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
${locations.join('\n')}
  }
}
`;
}

export async function aptProxyUp(instance: Instance, addresses: Addresses): Promise<void> {
  if (processesIn(instance.key, 'apt').length > 0) return;
  const directory = join(instance.state, 'apt');
  const cache = join(instance.cache, 'apt');
  mkdirSync(directory, { recursive: true });
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(directory, 'nginx.conf'), proxyConfiguration(machineAptSources(), addresses.gateway, directory, cache), {
    mode: 0o600,
  });
  run(['nginx', '-q', '-t', '-e', 'stderr', '-p', directory, '-c', join(directory, 'nginx.conf')]);
  await startIn(
    instance.key,
    'apt',
    ['nginx', '-e', 'stderr', '-p', directory, '-c', join(directory, 'nginx.conf')],
    join(instance.state, 'log/apt.log'),
  );
  await answers(`${addresses.gateway}:${APT_PORT}`, []);
}

/** Waits for a TCP listener, seen from a namespace when `prefix` says so. */
export async function answers(address: string, prefix: readonly string[]): Promise<void> {
  const [host, port] = address.split(':') as [string, string];
  for (let attempt = 0; attempt < 100; attempt++) {
    if (succeeds([...prefix, 'bash', '-c', `exec 3<>/dev/tcp/${host}/${port}`])) return;
    await sleep(50);
  }
  throw labError('START', `nothing listens on ${address}`, 'See the logs in the lab’s state directory: scripts/lab status names it.');
}
