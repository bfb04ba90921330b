/** A real nginx on loopback that serves the mirror as its vhost does, and beside it the upstream and a plain directory. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerPaths } from '../../desired-state/model';
import { servingSnippet, vhost } from '../../desired-state/render/nginx';
import { CampaignError } from '../errors';
import type { Workshop } from './workshop';

export interface Site {
  /** Base URLs with a slash at the end. */
  readonly mirror: string;
  readonly upstream: string;
  readonly plain: string;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The site's own configuration, word for word, but for where it listens and where its generation is. Pure. */
export function siteConfiguration(storageRoot: string, configuration: string, port: number): string {
  return vhost({ serverName: 'mirror.example.org', port, ipv6: false, storageRoot })
    .replaceAll(`${ServerPaths.configuration}/current`, configuration)
    .replace(`listen ${port};`, `listen 127.0.0.1:${port};`);
}

export async function startSite(
  workshop: Workshop,
  roots: { readonly storage: string; readonly upstream: string; readonly plain: string },
): Promise<Site> {
  const [mirror = 0, upstream = 0, plain = 0] = await freePorts(3);
  const directory = workshop.path('nginx');
  const generation = join(directory, 'generation');
  mkdirSync(join(generation, 'nginx/locations'), { recursive: true });
  for (const name of ['keys', 'repo-files']) mkdirSync(join(generation, name));
  writeFileSync(join(generation, 'nginx/serving.conf'), servingSnippet());
  writeFileSync(join(generation, 'nginx/generation.conf'), '');
  writeFileSync(join(directory, 'site.conf'), siteConfiguration(roots.storage, generation, mirror));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `    ${name}_temp_path ${directory}/${name};`);
  writeFileSync(
    join(directory, 'nginx.conf'),
    `user www-data;
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
events { worker_connections 512; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    keepalive_requests 100000;
${paths.join('\n')}
    include ${directory}/site.conf;
    server { listen 127.0.0.1:${upstream}; root ${roots.upstream}; }
    server { listen 127.0.0.1:${plain}; root ${roots.plain}; }
}
`,
  );
  const errors = join(directory, 'error.log');
  const nginx = workshop.start('nginx', ['-e', errors, '-p', directory, '-c', join(directory, 'nginx.conf')]);
  let ended: string | undefined;
  void nginx.done.then(({ stderr }) => (ended = stderr));
  const site = { mirror: `http://127.0.0.1:${mirror}/`, upstream: `http://127.0.0.1:${upstream}/`, plain: `http://127.0.0.1:${plain}/` };
  for (let attempt = 0; attempt < 100; attempt++) {
    if (ended !== undefined) break;
    if (
      await fetch(site.mirror).then(
        () => true,
        () => false,
      )
    )
      return site;
    await sleep(50);
  }
  throw new CampaignError(`nginx does not start: ${ended ?? 'no answer'}`);
}
