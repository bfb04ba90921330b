/** One nginx for all upstream hosts: each has an address of its own, so that one can be down while the others answer. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answers } from './apt';
import { UPSTREAM_CERTIFICATE } from './certificates';
import { kill, processesIn, startIn } from './cgroups';
import type { Addresses, Instance } from './instance';
import { run, sleep, usageError } from './shell';
import { contentRoot } from './upstream-content';
import { UPSTREAM_HOSTS } from './upstreams';

export const accessLog = (instance: Instance): string => join(instance.state, 'log/upstream-access.log');
const directoryOf = (instance: Instance): string => join(instance.state, 'upstream/nginx');

/** Hosts that refuse connections. */
export function hostsDown(instance: Instance): string[] {
  const path = join(directoryOf(instance), 'down.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as string[]) : [];
}

/** nginx, with one line of JSON per request. A host that is down has no server, so its address refuses. */
export function upstreamConfiguration(
  state: string,
  root: string,
  log: string,
  addresses: Readonly<Record<string, string>>,
  down: readonly string[],
): string {
  const directory = join(state, 'upstream/nginx');
  const servers = Object.entries(addresses)
    .filter(([host]) => !down.includes(host))
    .map(
      ([host, address]) => `  server {
    listen ${address}:80;
    listen ${address}:443 ssl;
    server_name ${host};
    ssl_certificate ${state}/tls/${UPSTREAM_CERTIFICATE}.crt;
    ssl_certificate_key ${state}/tls/${UPSTREAM_CERTIFICATE}.key;
    root ${root}/${host};
    autoindex on;
  }`,
    );
  return `# The workers read a state directory that only root may enter.
user root;
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  log_format json escape=json '{"time":"$time_iso8601","host":"$host","method":"$request_method","uri":"$uri","status":$status,"bytes":$body_bytes_sent,"range":"$http_range","ifModifiedSince":"$http_if_modified_since","agent":"$http_user_agent"}';
  access_log ${log} json;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  sendfile on;
  types { application/xml xml; application/gzip gz; application/x-rpm rpm; }
  default_type application/octet-stream;
  ssl_protocols TLSv1.2 TLSv1.3;
${servers.join('\n')}
}
`;
}

function writeConfiguration(instance: Instance, addresses: Addresses): string {
  const directory = directoryOf(instance);
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(instance.state, 'log'), { recursive: true });
  const path = join(directory, 'nginx.conf');
  writeFileSync(
    path,
    upstreamConfiguration(instance.state, contentRoot(instance), accessLog(instance), addresses.upstreams, hostsDown(instance)),
  );
  return path;
}

const inside = (instance: Instance): string[] => ['ip', 'netns', 'exec', instance.namespaces.upstream];

export async function upstreamUp(instance: Instance, addresses: Addresses): Promise<void> {
  if (processesIn(instance.key, 'upstream').length > 0) return;
  const path = writeConfiguration(instance, addresses);
  const command = [...inside(instance), 'nginx', '-e', 'stderr', '-p', directoryOf(instance), '-c', path];
  await startIn(instance.key, 'upstream', command, join(instance.state, 'log/upstream.log'));
  // One program listens for all of them, or for none.
  const [, address] = Object.entries(addresses.upstreams).find(([host]) => !hostsDown(instance).includes(host)) ?? [];
  if (address !== undefined) await answers(`${address}:443`, inside(instance));
}

/** Takes upstream hosts away or brings them back; `all` names every one. */
export async function setHosts(instance: Instance, addresses: Addresses, host: string, up: boolean): Promise<void> {
  const named = host === 'all' ? UPSTREAM_HOSTS : [host];
  if (!named.every((name) => UPSTREAM_HOSTS.includes(name)))
    throw usageError(`${JSON.stringify(host)} is no upstream host`, `One of: ${UPSTREAM_HOSTS.join(', ')}, all.`);
  const down = new Set(hostsDown(instance));
  for (const name of named) if (up) down.delete(name); else down.add(name); // prettier-ignore
  mkdirSync(directoryOf(instance), { recursive: true });
  writeFileSync(join(directoryOf(instance), 'down.json'), JSON.stringify([...down].sort()));
  const path = writeConfiguration(instance, addresses);
  run([...inside(instance), 'nginx', '-q', '-t', '-e', 'stderr', '-p', directoryOf(instance), '-c', path]);
  const pid = Number(readFileSync(join(directoryOf(instance), 'nginx.pid'), 'utf8'));
  if (processesIn(instance.key, 'upstream').includes(pid)) kill(pid, 'SIGHUP');
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = run([...inside(instance), 'ss', '-Hltn', 'sport = :443']);
    if (named.every((name) => open.includes(`${addresses.upstreams[name]}:443`) === up)) return;
    await sleep(30);
  }
}
